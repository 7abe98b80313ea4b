use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use vault_proto::ids::OrganisationId;
use vault_proto::problem::ProblemCode;
use vault_proto::wire::path;

use crate::support::{Draft, NOW, Organisation, at, clinic};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vault-server");

fn init(data: &Path, organisation: OrganisationId) -> std::process::Output {
    Command::new(PROGRAM)
        .args(["init", "--data"])
        .arg(data)
        .args(["--organisation", &organisation.to_string()])
        .output()
        .unwrap()
}

fn serve(data: &Path) -> Child {
    Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "json", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn announced(child: &mut Child) -> (String, BufReader<std::process::ChildStdout>) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let address = line
        .strip_prefix("vault-server listening on http://")
        .unwrap_or_else(|| panic!("{line:?}"))
        .trim_end()
        .to_owned();
    (address, out)
}

#[tokio::test]
async fn the_program_serves_one_folder_once_and_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let organisation = Organisation::new(1);
    assert_eq!(serve(&data).wait().unwrap().code(), Some(2), "not initialised");
    for _ in 0..2 {
        assert_eq!(init(&data, organisation.id()).status.code(), Some(0));
    }
    let other = init(&data, Organisation::new(2).id());
    assert_eq!(other.status.code(), Some(2));
    assert_eq!(String::from_utf8(other.stderr).unwrap().lines().count(), 3);
    std::fs::create_dir(folder.path().join("used")).unwrap();
    std::fs::write(folder.path().join("used/file"), "x").unwrap();
    let used = init(&folder.path().join("used"), organisation.id());
    assert_eq!(used.status.code(), Some(2));
    let usage = Command::new(PROGRAM).arg("serve").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));

    let mut first = serve(&data);
    let (address, mut rest) = announced(&mut first);
    let second = serve(&data).wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(19));
    assert!(String::from_utf8(second.stderr).unwrap().contains("Another vault-server"));
    for (place, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = reqwest::get(format!("http://{address}{place}")).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), body);
    }
    let killed = Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut more = String::new();
    rest.read_to_string(&mut more).unwrap();
    assert_eq!(more, "", "one line on stdout");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert!(!data.join("vault.db-wal").exists(), "everything is in the one database file");
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    for private in ["vault.db", "vault.json", "blobs/mark", "blobs/commits"] {
        assert_eq!(mode(private), 0o600, "{private}");
    }
    assert_eq!((mode("."), mode("blobs")), (0o700, 0o700));
}

/// However many nobodies ask for whatever, the log grows by sums.
#[tokio::test]
async fn a_flood_of_strangers_does_not_fill_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    assert_eq!(init(&data, Organisation::new(1).id()).status.code(), Some(0));
    let mut server = serve(&data);
    let (address, _rest) = announced(&mut server);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (place, status) in [(path::RECORDINGS, 401), (path::HEALTHZ, 200)] {
        for _ in 0..300 {
            let answer = http.get(format!("http://{address}{place}")).send().await.unwrap();
            assert_eq!(answer.status(), status);
        }
    }
    let killed = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let log = String::from_utf8(server.wait_with_output().unwrap().stderr).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() < 20, "{log}");
    let counted = |code: Option<&str>| -> u64 {
        let sums = lines.iter().map(|line| &line["fields"]);
        sums.filter(|fields| {
            fields["message"] == "requests of unknown callers" && fields["code"].as_str() == code
        })
        .map(|fields| fields["number"].as_u64().unwrap())
        .sum()
    };
    assert_eq!((counted(Some("signature-missing")), counted(None)), (300, 300), "{log}");
}

/// What a crash left of a write before its row is not in the way of the next one, and is not destroyed either.
#[tokio::test]
async fn leftovers_of_a_crash_do_not_matter() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let folder = server.data().join(format!("blobs/rec/{}", draft.id()));
    let leave = |name: &str, bytes: &str| {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    leave("key.0", "of another try");
    leave(".0123456789abcdef.new", "half of someth");
    server.get(&patient, path::recording(&draft.id())).await.refused(ProblemCode::NotFound);
    server.create(&draft).await;
    let names = ["seg/0/header", "seg/0/parts", "seg/0/seal", "details", "final"];
    for name in names {
        leave(name, "of another try");
    }
    leave("seg/0/body", "");
    let parts = draft.parts(0, 1_100_000);
    server.finish_from(&draft, &parts).await;
    assert!(std::fs::read(folder.join("seg/0/body")).unwrap() == parts.concat());
    assert_eq!(std::fs::read(folder.join("manifest")).unwrap(), draft.manifest.bytes());
    let day = &at(NOW).to_string()[..10];
    let aside = server.data().join(format!("leftovers/{day}/rec/{}", draft.id()));
    for name in names.iter().chain(&["key.0"]) {
        assert_eq!(std::fs::read(aside.join(name)).unwrap(), b"of another try", "{name}");
        assert_ne!(std::fs::read(folder.join(name)).unwrap(), b"of another try", "{name}");
    }
}

/// A sealed body that lost its tail's truncation in a crash is cut when the sealer, who got no answer, asks again.
#[tokio::test]
async fn a_repeated_seal_cuts_the_body_again() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&draft, 50_000).await;
    let place = server.data().join(format!("blobs/rec/{}/seg/0/body", draft.id()));
    let mut longer = body.clone();
    longer.extend([1; 1000]);
    std::fs::write(&place, longer).unwrap();
    let parts = draft.parts(0, 50_000);
    let seal = draft.sign_seal(&draft.segment_seal(0, &parts, vault_proto::geometry::BodyEnd::Final, None));
    server.put(&clinician, path::seal(&draft.id(), 0), seal.bytes().to_vec()).await.ok(200);
    assert!(std::fs::read(&place).unwrap() == body);
}

/// Damage under the server is a failure with an id, and tells the caller nothing else.
#[tokio::test]
async fn a_missing_blob_is_an_internal_failure() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.finish(&draft, 1000).await;
    let blobs = server.data().join("blobs");
    std::fs::remove_file(blobs.join(format!("rec/{}/details", draft.id()))).unwrap();
    let problem = server.get(&patient, path::details(&draft.id())).await.refused(ProblemCode::Internal);
    assert_eq!(problem.detail, None);
    std::fs::rename(&blobs, server.data().join("elsewhere")).unwrap();
    let ready = server.send(Method::GET, path::READYZ, &[], Vec::new()).await;
    assert_eq!(ready.status, 503);
    let line = "internal: the index or the objects do not work, see the log\n";
    assert_eq!(String::from_utf8(ready.body).unwrap(), line);
    server.send(Method::GET, path::HEALTHZ, &[], Vec::new()).await.ok(200);
}

/// Each change left exactly one event, repeats none.
#[tokio::test]
async fn every_change_is_committed_with_its_event() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.finish(&draft, 1_100_000).await;
    server.open(&draft, 0).await.ok(200);
    let database = rusqlite::Connection::open(server.data().join("vault.db")).unwrap();
    let mut statement = database.prepare("SELECT action, segment, part FROM events ORDER BY event").unwrap();
    let events: Vec<(String, Option<u32>, Option<u32>)> = statement
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let named: Vec<(&str, Option<u32>, Option<u32>)> =
        events.iter().map(|(action, segment, part)| (action.as_str(), *segment, *part)).collect();
    assert_eq!(
        named,
        [
            ("enrol", None, None),
            ("enrol", None, None),
            ("create-recording", None, None),
            ("open-segment", Some(0), None),
            ("store-part", Some(0), Some(0)),
            ("store-part", Some(0), Some(1)),
            ("seal-segment", Some(0), None),
            ("store-details", None, None),
            ("store-final-seal", None, None),
        ]
    );
}
