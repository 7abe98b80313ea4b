//! What the program says of a data folder that it does not take, and that what it advises works: each message's third
//! line is followed, word for word where it says what to type. `tests/faults/index.rs` has the cases of the index,
//! with clients.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Method;
use vault_proto::ids::Digest;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;

use crate::support::{Draft, Organisation, Server};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vault-server");

/// A stopped vault with one recording, and a whole copy of its folder.
struct Stopped {
    folder: tempfile::TempDir,
    organisation: Organisation,
}

/// What the program said when it ended by itself.
struct Refused {
    exit: Option<i32>,
    lines: Vec<String>,
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn shell(command: &str) {
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

fn files(data: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("vault.db-shm") {
            found.insert(path.clone(), Digest::of(&std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn serve(data: &Path, listen: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", listen, "--data"]).arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(command: &mut Command) -> Refused {
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"", "it was not refused at once");
    let said = String::from_utf8(output.stderr).unwrap();
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    let lines = lines.split_off(lines.len().saturating_sub(3));
    Refused { exit: output.status.code(), lines }
}

/// Starts a server, which has to come up.
fn started(data: &Path) -> (Child, String) {
    listening(&mut serve(data, "127.0.0.1:0"))
}

fn listening(command: &mut Command) -> (Child, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("vault-server listening on http://").expect("it starts");
    (child, address.to_owned())
}

fn stop(mut child: Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

impl Stopped {
    async fn new() -> Self {
        let organisation = Organisation::new(1);
        let (patient, clinician) =
            (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
        let server = Server::start(&organisation).await;
        server.enrol(&[&patient, &clinician]).await;
        server.finish(&Draft::new(&organisation, 1, &patient, &clinician, &clinician), 70_000).await;
        let data = server.stop().await;
        let folder = tempfile::tempdir().unwrap();
        copy(data.path(), &folder.path().join("data"));
        copy(data.path(), &folder.path().join("copy"));
        Self { folder, organisation }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    fn copied(&self, name: &str) -> PathBuf {
        self.folder.path().join("copy").join(name)
    }

    /// Neither serving nor collecting changes anything in the folder.
    fn refused(&self, exit: i32, words: &str) -> Refused {
        let before = files(&self.data());
        let mut collect = Command::new(PROGRAM);
        collect.args(["collect", "--older-than", "0h", "--data"]).arg(self.data());
        for command in [&mut collect, &mut serve(&self.data(), "127.0.0.1:0")] {
            let said = ended(command);
            assert_eq!(said.exit, Some(exit), "{:?}", said.lines);
            assert!(
                said.lines[0].starts_with("vault-server: ") && said.lines[0].contains(words),
                "{:?}",
                said.lines
            );
            assert!(files(&self.data()) == before, "{words}: something was changed");
        }
        ended(&mut serve(&self.data(), "127.0.0.1:0"))
    }

    /// What the third line says to type, from this word on.
    fn follow(&self, said: &Refused, from: &str) {
        let advice = &said.lines[2];
        let command = &advice[advice.find(from).unwrap_or_else(|| panic!("{from:?} is not in {advice:?}"))..];
        shell(&command.replace("COPY", &self.folder.path().join("copy").display().to_string()));
    }

    /// The server starts on the folder, and its recording is there.
    fn is_whole(&self) {
        let (child, _) = started(&self.data());
        stop(child);
        let database = rusqlite::Connection::open(self.path("vault.db")).unwrap();
        let mut statement = database.prepare("SELECT number FROM recordings").unwrap();
        let rows = statement.query_map((), |row| row.get::<_, i64>(0)).unwrap().count();
        let objects = files(&self.path("blobs/rec")).len();
        assert_eq!((rows, objects), (1, 8));
    }
}

#[tokio::test]
async fn a_lost_description_comes_from_any_copy() {
    let vault = Stopped::new().await;
    std::fs::remove_file(vault.path("vault.json")).unwrap();
    let said = vault.refused(11, "its vault.json is missing");
    vault.follow(&said, "cp COPY");
    vault.is_whole();
    std::fs::write(vault.path("vault.json"), "{\"format\":3,\"vault\":\"00").unwrap();
    let said = vault.refused(11, "vault.json in");
    vault.follow(&said, "cp COPY");
    vault.is_whole();
    // Without it, what is there is never taken for a folder to begin in.
    std::fs::remove_file(vault.path("vault.json")).unwrap();
    let before = files(&vault.data());
    let mut init = Command::new(PROGRAM);
    init.args(["init", "--organisation", &vault.organisation.id().to_string(), "--data"]).arg(vault.data());
    assert_eq!(ended(&mut init).exit, Some(11));
    std::fs::remove_file(vault.path("vault.db")).unwrap();
    assert_eq!(ended(&mut init).exit, Some(11), "objects without an index");
    copy(&vault.copied("vault.db"), &vault.path("vault.db"));
    std::fs::rename(vault.path("blobs"), vault.folder.path().join("elsewhere")).unwrap();
    assert_eq!(ended(&mut init).exit, Some(11), "an index without objects");
    std::fs::rename(vault.folder.path().join("elsewhere"), vault.path("blobs")).unwrap();
    assert_eq!(files(&vault.data()).len(), before.len());
}

#[tokio::test]
async fn lost_or_older_objects_come_back_whole() {
    let vault = Stopped::new().await;
    let put_back = |words: &str| {
        let said = vault.refused(11, words);
        assert!(said.lines[2].starts_with("If the folder blobs was replaced, put the one of before back"));
        vault.follow(&said, "mv ");
        let aside = vault.data().with_extension("refused");
        assert!(aside.is_dir());
        std::fs::remove_dir_all(aside).unwrap();
        vault.is_whole();
    };
    std::fs::remove_file(vault.path("blobs/mark")).unwrap();
    put_back("blobs/mark is missing");
    std::fs::write(vault.path("blobs/mark"), "").unwrap();
    put_back("blobs/mark cannot be read");
    // As it is when the disk of the objects is not mounted.
    std::fs::rename(vault.path("blobs"), vault.path("blobs.before")).unwrap();
    std::fs::create_dir(vault.path("blobs")).unwrap();
    put_back("blobs/mark is missing");

    // Older objects under an index that went on; what was moved away is moved back.
    for _ in 0..2 {
        vault.is_whole();
    }
    std::fs::rename(vault.path("blobs"), vault.folder.path().join("blobs.before")).unwrap();
    copy(&vault.copied("blobs"), &vault.path("blobs"));
    let said = vault.refused(11, "are older than the index");
    assert!(said.lines[2].starts_with("If the folder blobs was replaced, put the one of before back"));
    std::fs::remove_dir_all(vault.path("blobs")).unwrap();
    std::fs::rename(vault.folder.path().join("blobs.before"), vault.path("blobs")).unwrap();
    vault.is_whole();
}

#[tokio::test]
async fn an_index_and_a_log_of_two_times_do_not_go_together() {
    let vault = Stopped::new().await;
    for _ in 0..3 {
        vault.is_whole();
    }
    let (child, _) = started(&vault.data());
    kill(child);
    let before = vault.folder.path().join("vault.db.before");
    std::fs::rename(vault.path("vault.db"), &before).unwrap();
    copy(&vault.copied("vault.db"), &vault.path("vault.db"));
    let said = vault.refused(11, "do not belong together");
    assert!(said.lines[2].starts_with("If vault.db was moved or replaced, put the one of before back"));
    std::fs::rename(&before, vault.path("vault.db")).unwrap();
    vault.is_whole();
    // The whole copy over the folder, and the log of a killed server stays beside it.
    let (child, _) = started(&vault.data());
    kill(child);
    shell(&format!("cp -a {}/. {}", vault.folder.path().join("copy").display(), vault.data().display()));
    let said = vault.refused(11, "do not belong together");
    vault.follow(&said, "mv ");
    vault.is_whole();
}

#[tokio::test]
async fn generations_and_formats_are_told_apart() {
    let vault = Stopped::new().await;
    let description = std::fs::read_to_string(vault.path("vault.json")).unwrap();
    let second = description.replace("\"generation\":1", "\"generation\":2");
    assert_ne!(second, description);
    std::fs::write(vault.path("vault.json"), second).unwrap();
    // Index and objects belong together: what is wrong is this file, and any copy has it.
    let said = vault.refused(11, "vault.json in");
    assert!(said.lines[0].ends_with("generation 1: it was edited or replaced."), "{:?}", said.lines);
    vault.follow(&said, "cp COPY");
    assert_eq!(std::fs::read_to_string(vault.path("vault.json")).unwrap(), description);
    vault.is_whole();
    let mark = std::fs::read_to_string(vault.path("blobs/mark")).unwrap();
    std::fs::write(vault.path("blobs/mark"), mark.replace("\"generation\":1", "\"generation\":2")).unwrap();
    let said = vault.refused(11, "of several generations of one vault");
    vault.follow(&said, "mv ");
    vault.is_whole();

    // What a server of before this format wrote.
    let old = format!("{{\"format\":1,\"organisation\":\"{}\"}}", vault.organisation.id());
    std::fs::write(vault.path("vault.json"), old).unwrap();
    let said = vault.refused(15, "is a vault of format 1; this vault-server knows format 3");
    assert!(said.lines[2].ends_with("make a new vault in another folder with vault-server init."));
    let another = vault.folder.path().join("another");
    let mut init = Command::new(PROGRAM);
    init.args(["init", "--organisation", &vault.organisation.id().to_string(), "--data"]).arg(&another);
    assert!(init.status().unwrap().success());
    stop(started(&another).0);
    std::fs::write(vault.path("vault.json"), description).unwrap();
    vault.is_whole();

    // An index that a later version of the program has brought forward.
    let database = rusqlite::Connection::open(vault.path("vault.db")).unwrap();
    let sql =
        "INSERT INTO refinery_schema_history SELECT 2, 'later', applied_on, '1' FROM refinery_schema_history";
    assert_eq!(database.execute(sql, ()).unwrap(), 1);
    drop(database);
    let said = vault.refused(15, "is of a newer version of vault-server");
    assert_eq!(said.lines[2], "Run that version.");
}

#[tokio::test]
async fn what_is_no_vault_and_what_is_in_use_is_told() {
    let vault = Stopped::new().await;
    let elsewhere = vault.folder.path().join("elsewhere");
    for make in [|_: &Path| (), |path: &Path| std::fs::create_dir(path).unwrap()] {
        make(&elsewhere);
        let said = ended(&mut serve(&elsewhere, "127.0.0.1:0"));
        assert_eq!(said.exit, Some(2), "{:?}", said.lines);
        assert!(said.lines[0].ends_with("is not a vault."), "{:?}", said.lines);
    }
    let said = ended(&mut serve(&elsewhere, "127.0.0.1:0"));
    let advice = &said.lines[2];
    let command = advice[advice.find("vault-server init").unwrap()..].replace("vault-server", PROGRAM);
    shell(&command.replace("ROOT-FINGERPRINT", &vault.organisation.id().to_string()));
    stop(started(&elsewhere).0);

    // Two servers on one folder, and two on one address.
    let (first, address) = started(&vault.data());
    let said = vault.refused_while_in_use();
    assert_eq!(said.exit, Some(19), "{:?}", said.lines);
    assert!(said.lines[2].starts_with("Stop the other one"));
    let said = ended(&mut serve(&elsewhere, &address));
    assert_eq!(said.exit, Some(18), "{:?}", said.lines);
    stop(first);
    vault.is_whole();
}

impl Stopped {
    fn refused_while_in_use(&self) -> Refused {
        ended(&mut serve(&self.data(), "127.0.0.1:0"))
    }
}

/// Nothing can be removed from the folder, by somebody who tidies up, that lets a second server in.
#[tokio::test]
async fn no_file_of_the_folder_is_what_keeps_a_second_server_out() {
    let vault = Stopped::new().await;
    let (first, _) = started(&vault.data());
    let mut names: Vec<String> = std::fs::read_dir(vault.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in &names {
        // Moved away and put back, so that the first server is not disturbed for good; what it has open, it keeps.
        std::fs::rename(vault.path(name), vault.folder.path().join("aside")).unwrap();
        let said = ended(&mut serve(&vault.data(), "127.0.0.1:0"));
        let refused = [Some(2), Some(11), Some(19)].contains(&said.exit);
        assert!(refused, "without {name} a second server was let in: {:?}", said.lines);
        if ["vault.db-wal", "vault.db-shm"].contains(&name.as_str()) {
            assert_eq!(said.exit, Some(19), "{:?}", said.lines);
        }
        std::fs::rename(vault.folder.path().join("aside"), vault.path(name)).unwrap();
    }
    assert_eq!(names, ["blobs", "read-nonces", "vault.db", "vault.db-shm", "vault.db-wal", "vault.json"]);
    // The lock is of the folder, under whatever name.
    let moved = vault.folder.path().join("moved");
    std::fs::rename(vault.data(), &moved).unwrap();
    let link = vault.folder.path().join("link");
    std::os::unix::fs::symlink(&moved, &link).unwrap();
    for path in [&moved, &link] {
        assert_eq!(ended(&mut serve(path, "127.0.0.1:0")).exit, Some(19));
    }
    kill(first);
    std::fs::rename(&moved, vault.data()).unwrap();
    vault.is_whole();
}

/// Every member of `vault.json` that is edited is noticed.
#[tokio::test]
async fn an_edited_description_is_refused() {
    let vault = Stopped::new().await;
    let description = std::fs::read_to_string(vault.path("vault.json")).unwrap();
    let written: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&description).unwrap();
    let other = Organisation::new(2).id().to_string();
    assert_eq!(written.keys().collect::<Vec<_>>(), ["format", "generation", "organisation", "vault"]);
    for (member, value) in [
        ("organisation", serde_json::json!(other)),
        ("vault", serde_json::json!("0".repeat(32))),
        ("generation", serde_json::json!(7)),
    ] {
        let mut edited = written.clone();
        edited.insert(member.to_owned(), value);
        std::fs::write(vault.path("vault.json"), serde_json::to_vec(&edited).unwrap()).unwrap();
        let said = vault.refused(11, &vault.data().display().to_string());
        if member == "organisation" {
            assert!(said.lines[0].contains(&format!("it says organisation {other}")), "{:?}", said.lines);
            assert!(said.lines[0].contains(&vault.organisation.id().to_string()), "{:?}", said.lines);
        }
        // Whichever it is: what is wrong is this file alone, and so is what to put back.
        vault.follow(&said, "cp COPY");
        assert_eq!(std::fs::read_to_string(vault.path("vault.json")).unwrap(), description, "{member}");
        vault.is_whole();
    }
}

/// An `init` that died before it wrote `vault.json`, and another for somebody else.
#[tokio::test]
async fn what_an_init_left_is_finished_for_the_same_organisation_only() {
    let vault = Stopped::new().await;
    let init = |organisation: &Organisation| {
        let mut init = Command::new(PROGRAM);
        init.args(["init", "--organisation", &organisation.id().to_string(), "--data"]);
        init.arg(vault.folder.path().join("new"));
        init
    };
    assert!(init(&vault.organisation).status().unwrap().success());
    std::fs::remove_file(vault.folder.path().join("new/vault.json")).unwrap();
    let said = ended(&mut init(&Organisation::new(2)));
    assert_eq!(said.exit, Some(2), "{:?}", said.lines);
    assert!(said.lines[0].contains("of another organisation"), "{:?}", said.lines);
    assert!(init(&vault.organisation).status().unwrap().success());
    stop(started(&vault.folder.path().join("new")).0);
}

/// A folder that others can look into is told, with a remedy that helps; one that only looks like it is not.
#[tokio::test]
async fn a_folder_that_others_can_look_into_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let vault = Stopped::new().await;
    let open = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    let warning = || {
        let (child, _) = started(&vault.data());
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let log = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
        log.lines().find(|line| line.contains("other users")).map(str::to_owned)
    };
    open(&vault.data(), 0o755);
    assert_eq!(warning(), None, "nothing in it is open");
    open(&vault.path("vault.db"), 0o644);
    open(&vault.path("blobs"), 0o750);
    open(&vault.data(), 0o700);
    assert_eq!(warning(), None, "nobody gets in");
    open(&vault.data(), 0o711);
    let said = warning().unwrap();
    assert!(
        said.contains(" WARN ") && said.contains("look into vault.db, blobs of the data folder"),
        "{said}"
    );
    shell(said.split("to keep them out: ").nth(1).unwrap());
    assert_eq!(warning(), None);
    vault.is_whole();
}

/// A name that a shell and SQLite's addresses read otherwise than it is meant.
#[tokio::test]
async fn a_folder_with_an_awkward_name_is_served_and_its_advice_works() {
    let vault = Stopped::new().await;
    let data = vault.folder.path().join("it's 100% #1? a vault");
    std::fs::rename(vault.data(), &data).unwrap();
    stop(started(&data).0);
    std::fs::remove_file(data.join("vault.db")).unwrap();
    let said = ended(&mut serve(&data, "127.0.0.1:0"));
    assert_eq!(said.exit, Some(11), "{:?}", said.lines);
    vault.follow(&said, "mv ");
    stop(started(&data).0);
}

/// The folder is moved under a running server, and a copy of it takes its place: nothing is read from the copy and
/// nothing written into it, and once the folder is back everything goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_was_moved_is_neither_written_nor_read_elsewhere() {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let late = organisation.person(12, Role::Patient);
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let done = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&done, 70_000).await;
    let growing = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.begin(&growing).await;
    let part = growing.parts(0, 100).remove(0);
    let data = server.data().to_owned();
    let (moved, blobs) = (data.with_extension("moved"), data.join("blobs"));
    let ready = async || {
        let answer = server.send(Method::GET, path::READYZ, &[], Vec::new()).await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    // The whole folder, or that of the objects alone; a copy in its place, or nothing.
    for (place, is_copied) in [(&data, true), (&data, false), (&blobs, true), (&blobs, false)] {
        assert_eq!(ready().await, (200, "ready\n".to_owned()));
        std::fs::rename(place, &moved).unwrap();
        if is_copied {
            copy(&moved, place);
        }
        let there = is_copied.then(|| files(place));
        let third = Draft::new(&organisation, 3, &patient, &clinician, &clinician);
        server.part(&growing, 0, 0, &part).await.refused(ProblemCode::Internal);
        server.post(&clinician, path::RECORDINGS, third.create()).await.refused(ProblemCode::Internal);
        server.post(&late, path::ACCOUNTS, late.enrolment()).await.refused(ProblemCode::Internal);
        server.get(&patient, path::body(&done.id(), 0)).await.refused(ProblemCode::Internal);
        tokio::time::timeout(std::time::Duration::from_secs(60), async {
            // What was found is answered for a second.
            while ready().await.0 == 200 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it is not ready");
        assert!(ready().await.1.starts_with("internal: "));
        if let Some(there) = there {
            assert!(files(place) == there, "something was written into {}", place.display());
            std::fs::remove_dir_all(place).unwrap();
        }
        std::fs::rename(&moved, place).unwrap();
        while ready().await.0 != 200 {
            tokio::task::yield_now().await;
        }
        assert!(server.get(&patient, path::body(&done.id(), 0)).await.ok(200).body == body);
    }
    server.part(&growing, 0, 0, &part).await.ok(201);
    server.post(&late, path::ACCOUNTS, late.enrolment()).await.ok(201);
    let server = server.restart().await;
    assert!(server.get(&patient, path::body(&growing.id(), 0)).await.ok(200).body == part);
}

/// A server whose folder was moved stops without touching what lies there now: SQLite removes a log by its name.
#[tokio::test]
async fn a_server_whose_folder_was_moved_leaves_the_next_one_its_log() {
    let vault = Stopped::new().await;
    let (first, _) = started(&vault.data());
    let moved = vault.folder.path().join("moved");
    std::fs::rename(vault.data(), &moved).unwrap();
    copy(&vault.copied(""), &vault.data());
    let (second, _) = started(&vault.data());
    let before = files(&vault.data());
    assert!(before.keys().any(|path| path.ends_with("vault.db-wal")), "{:?}", before.keys());
    assert!(Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap().success());
    let log = first.wait_with_output().unwrap();
    assert_eq!(log.status.code(), Some(0));
    let log = String::from_utf8(log.stderr).unwrap();
    assert!(log.contains("it was moved or replaced") && log.contains("left for the next start"), "{log}");
    assert!(files(&vault.data()) == before, "the first server touched what is the second one's");
    kill(second);
    vault.is_whole();
    // And its own is as whole as after a crash.
    std::fs::remove_dir_all(vault.data()).unwrap();
    std::fs::rename(&moved, vault.data()).unwrap();
    vault.is_whole();
}

/// A limit on the size of files that leaves no room for a part is a full disk to whoever asks.
#[tokio::test]
async fn no_server_is_ready_whose_files_may_not_grow_to_a_part() {
    let vault = Stopped::new().await;
    for (blocks, line) in [("1000", "storage-full: reads are served"), ("unlimited", "ready")] {
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -f {blocks} && exec \"$0\" \"$@\""), PROGRAM]);
        limited.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(vault.data());
        let (child, address) = listening(&mut limited);
        let answer = reqwest::get(format!("http://{address}{}", path::READYZ)).await.unwrap();
        let answer = answer.text().await.unwrap();
        assert!(answer.starts_with(line), "{blocks}: {answer}");
        stop(child);
    }
    vault.is_whole();
}
