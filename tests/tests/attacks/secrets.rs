//! Rows 15 and 20: no key and nonce twice, and nothing secret in the server.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use vault_core::identity_file::DeviceSecrets;
use vault_proto::age_header::Header;
use vault_proto::envelope::Envelope;
use vault_proto::ids::Digest;
use vault_proto::statements::SegmentSeal;
use vault_tests::attack::{report, run_in};
use vault_tests::command::{PASSPHRASE, binary, run_for_words, words_of};
use vault_tests::scene::{Scene, content};
use vault_tests::server_process::ServerProcess;
use vault_tests::world::{World, bytes, sha256};

#[test]
fn row_15_nonce_reuse_on_resume() {
    const NAME: &str = "row_15_nonce_reuse_on_resume";
    let scene = Scene::new();
    let plaintext = bytes(48 * 1024 * 1024 + 77, 99);
    let file = scene.folder().join("long.webm");
    std::fs::write(&file, &plaintext).unwrap();
    let seal = || {
        let mut command = scene.command("dora");
        command.arg("seal").arg(&file).args([
            "--patient",
            scene.account("anna"),
            "--clinician",
            scene.account("dora"),
        ]);
        command
    };
    let before: BTreeSet<String> = scene.server().recordings().into_iter().collect();
    // Killed each time after some parts were sent, wherever that is.
    for parts in [7, 1, 6, 8] {
        scene.server().take_traffic();
        let mut child = seal().spawn().unwrap();
        let mut sent = 0;
        while sent < parts && child.try_wait().unwrap().is_none() {
            let traffic = scene.server().take_traffic();
            sent +=
                traffic.iter().filter(|seen| seen.path.contains("/parts/") && seen.method == "PUT").count();
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let sealed = run_in(scene.folder(), &mut seal(), false).said.text();
    let after: BTreeSet<String> = scene.server().recordings().into_iter().collect();
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), [&sealed], "one recording came of it");
    let mut nonces = BTreeSet::new();
    let mut stanzas = BTreeSet::new();
    let mut segments = 0;
    for recording in &after {
        let stored = scene.server().stored(recording);
        let headers = stored.segments.iter().map(|segment| &segment.header);
        let headers = headers.chain([&stored.details, &stored.key]);
        for header in headers {
            let (header, _) = Header::parse(header).unwrap();
            for stanza in header.stanzas() {
                assert!(stanzas.insert((stanza.args().to_vec(), stanza.body().to_vec())), "a stanza twice");
            }
        }
        for segment in &stored.segments {
            let seal = Envelope::<SegmentSeal>::parse(segment.seal.as_ref().unwrap().as_bytes()).unwrap();
            assert_eq!(seal.unverified().header, Digest::of(&segment.header));
            // A stanza holds one file key, and the payload key is a function of file key and nonce.
            assert!(nonces.insert(segment.body[..16].to_vec()), "a payload nonce twice");
            segments += 1;
        }
    }
    let pieces = scene.server().stored(&sealed).segments.len();
    assert!(pieces > 2, "only {pieces} segments: no kill hit it");
    let opened = run_in(scene.folder(), scene.command("anna").args(["open", &sealed]), true);
    assert!(opened.output.as_deref() == Some(&plaintext[..]), "{}", opened.said.stderr);
    let saw = format!(
        "{segments} segments in the store, {pieces} of this one: no stanza or nonce twice; all bytes are there"
    );
    report(NAME, "kill -9 of the sealing client, four times", &saw, Some(0), 0);
}

/// Every file under a folder, with its name.
fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), into);
        } else {
            into.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
        }
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The spellings in which a secret text could stand somewhere.
fn spellings(text: &[u8]) -> Vec<Vec<u8>> {
    let lower = text.to_ascii_lowercase();
    vec![
        text.to_vec(),
        lower,
        text.to_ascii_uppercase(),
        data_encoding::HEXLOWER.encode(text).into_bytes(),
        // Without the ends, which depend on what stands around.
        data_encoding::BASE64.encode(&text[..text.len() / 3 * 3]).into_bytes(),
    ]
}

#[test]
fn row_20_secrets_in_database_log_or_url() {
    const NAME: &str = "row_20_secrets_in_database_log_or_url";
    let world = World::offline();
    let start = || {
        let mut command = Command::new(binary("vault-server"));
        command.env("RUST_LOG", "trace").arg("serve").arg("--data").arg(world.data());
        command.args(["--listen", "127.0.0.1:0"]);
        ServerProcess::spawn(command, &world.log())
    };
    let server = start();
    let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
    let mut people = Vec::new();
    for (name, role) in [("patient", "patient"), ("clinician", "clinician"), ("stranger", "patient")] {
        let home = world.folder().join(name);
        let account = run_for_words(&home, ["keygen"]).text();
        let words = words_of(&home);
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(words.len(), 24);
        // Words are common; four in a row are not.
        for four in words.windows(4) {
            secrets.push((format!("words of the {name}"), four.join(" ").into_bytes()));
        }
        let certificate = world.folder().join(format!("{name}.certificate"));
        world.certify(&account, role, &[], &certificate).text();
        let person = vault_tests::world::Person { home, account, certificate };
        world.enrol(&person, server.url()).text();
        let file = std::fs::read(person.home.join("identity.age")).unwrap();
        let unlocked = DeviceSecrets::unlock(&PASSPHRASE.to_owned().into(), &file);
        let Ok(unlocked) = unlocked else { panic!("the identity opens") };
        secrets.push((format!("device key of the {name}"), unlocked.device.export().as_bytes().to_vec()));
        secrets.push((
            format!("raw device key of the {name}"),
            data_encoding::HEXLOWER.decode(unlocked.device.export().as_bytes()).unwrap(),
        ));
        secrets.push((format!("identity of the {name}"), unlocked.identity.export().as_bytes().to_vec()));
        people.push(person);
    }
    secrets.push(("passphrase".to_owned(), PASSPHRASE.as_bytes().to_vec()));
    secrets.push(("any identity".to_owned(), b"AGE-SECRET-KEY-".to_vec()));
    let marker = b"the marker sentence that was spoken in confidence".to_vec();
    let (title, name) = ("A title that nobody else shall read", "name-of-the-file-at-home.webm");
    let media_type = "video/x-marker-type";
    let content: Vec<u8> = marker.iter().copied().cycle().take(2_300_000).collect();
    let file = world.file(name, &content);
    secrets.push(("content".to_owned(), marker));
    secrets.push(("title".to_owned(), title.as_bytes().to_vec()));
    secrets.push(("name of the file".to_owned(), name.as_bytes().to_vec()));
    secrets.push(("media type".to_owned(), media_type.as_bytes().to_vec()));
    secrets.push(("hash of the content".to_owned(), sha256(&content).into_bytes()));
    let [patient, clinician, stranger] = people.as_slice() else { panic!("three people") };
    let sealed = clinician.seal(&file, patient, clinician, &["--title", title, "--media-type", media_type]);
    let recording = sealed.text();
    assert!(patient.open(&recording).stdout == content);
    assert!(patient.run(&["list"]).text().contains(title));
    patient.run(&["verify", &recording]).text();
    stranger.open(&recording).refused(17, &recording);
    let mut stored = Vec::new();
    // While it runs there is a write-ahead log.
    files(&world.data(), &mut stored);
    assert!(
        stored.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()),
        "no WAL to look at"
    );
    let log = server.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is not verbose");
    assert!(server.stop().success());
    files(&world.data(), &mut stored);
    stored.push(("server.log".to_owned(), std::fs::read(world.log()).unwrap()));
    let searched: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(searched > 4_000_000, "{searched}");
    for (what, secret) in &secrets {
        for spelling in spellings(secret) {
            for (name, bytes) in &stored {
                assert!(!holds(bytes, &spelling), "{what} is in {name}");
            }
        }
    }
    // The search finds what is there.
    assert!(stored.iter().any(|(_, bytes)| holds(bytes, recording.as_bytes())));
    let saw = format!(
        "0 hits for {} secrets in {} files, {searched} bytes of database, WAL, blobs and trace log",
        secrets.len(),
        stored.len()
    );
    report(NAME, "markers in content, title, file name, media type; all keys and words", &saw, Some(0), 0);
}

#[test]
fn the_scene_is_true() {
    let scene = Scene::new();
    for (recording, reader) in [("a1", "anna"), ("b1", "dora"), ("c1", "emil"), ("x1", "xaver")] {
        let opened = run_in(scene.folder(), scene.command(reader).args(["open", scene.id(recording)]), true);
        assert!(opened.output == Some(content(recording)), "{recording}: {}", opened.said.stderr);
    }
    for (track, range) in [("0", 0..70_000), ("1", 70_000..210_000)] {
        let mut command = scene.command("anna");
        command.args(["open", scene.id("s1"), "--track", track]);
        let opened = run_in(scene.folder(), &mut command, true);
        assert!(
            opened.output.as_deref() == content("s1").get(range),
            "track {track}: {}",
            opened.said.stderr
        );
    }
}
