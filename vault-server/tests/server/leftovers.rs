use std::fs::{File, create_dir_all};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use vault_proto::ids::{Digest, RecordingId};
use vault_proto::object::statement_path;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::authorize::{Actor, Standing};
use vault_server::blob::{
    BlobError, BlobKey, BlobStore, BodyReader, Day, FileBlobs, StoredFile, StoredStatement,
};
use vault_server::event::Caller;
use vault_server::ops::leftovers::{Collection, Search, SearchError, collect};
use vault_server::ops::{Vault, recordings, segments};
use vault_server::refusal::Reason;
use vault_server::store::Stored;

use crate::support::{Draft, NOW, Organisation, Person, Server, at, open_blobs, open_store};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn people() -> (Organisation, Person, Person) {
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    (organisation, patient, clinician)
}

/// Writes a file that was last written to `age` ago.
fn leave(path: &Path, age: Duration) {
    create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "left behind").unwrap();
    age_of(path, age);
}

fn age_of(path: &Path, age: Duration) {
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

/// Everything below a folder, with what is in it.
fn all_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Names below `folder` of everything in it.
fn names(folder: &Path) -> Vec<String> {
    let below =
        |(path, _): (String, _)| path.strip_prefix(&format!("{}/", folder.display())).unwrap().to_owned();
    if folder.exists() { all_files(folder).into_iter().map(below).collect() } else { Vec::new() }
}

fn collect_by_hand(data: &Path, arguments: &[&str]) -> std::process::Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_vault-server"));
    program.args(["collect", "--data"]).arg(data).args(arguments).output().unwrap()
}

/// What a crash may have left, and can hold nothing that was acknowledged, is set aside when it is old; everything
/// else stays, whatever the rows say. What was set aside is put back by a plain copy.
#[tokio::test]
async fn old_leftovers_are_set_aside_and_nothing_else() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let finished = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&finished, 2_000_000).await;
    let open = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.begin(&open).await;
    server.part(&open, 0, 0, &open.parts(0, 3_000_000)[0]).await.ok(201);
    let rec = server.data().join("blobs/rec");
    let (finished_folder, open_folder) =
        (rec.join(finished.id().to_string()), rec.join(open.id().to_string()));
    leave(&rec.join("README"), 2 * DAY);
    leave(&finished_folder.join("notes.txt"), 2 * DAY);
    let never = rec.join("00112233445566778899aabbccddeeff");
    let gone = rec.join("ffeeddccbbaa99887766554433221100");
    // A crash may have left them, but somebody signed or sealed them, or they are a recording that the index does not
    // know.
    let unexplained = [
        gone.join("manifest"),
        gone.join("key.0"),
        gone.join(".0011223344556677.new"),
        open_folder.join("details"),
        open_folder.join("final"),
        open_folder.join("seg/0/seal"),
        open_folder.join("seg/0/parts"),
        open_folder.join("key.1"),
    ];
    for path in &unexplained {
        leave(path, 2 * DAY);
    }
    let staying = all_files(&rec);
    for (file, _) in &staying {
        age_of(Path::new(file), 2 * DAY);
    }
    let old = [
        never.join("key.0"),
        never.join(".0011223344556677.new"),
        open_folder.join("seg/1/header"),
        finished_folder.join(".0011223344556677.new"),
        finished_folder.join("seg/0/.8899aabbccddeeff.new"),
    ];
    let young = [never.join(".8899aabbccddeeff.new"), finished_folder.join("seg/2/header")];
    for path in &old {
        leave(path, DAY + Duration::from_secs(60));
    }
    for path in &young {
        leave(path, DAY - Duration::from_secs(60));
    }
    let empty_body = open_folder.join("seg/1/body");
    std::fs::write(&empty_body, "").unwrap();
    age_of(&empty_body, 2 * DAY);
    let before = all_files(&rec);

    let mut server = server.restart().await;
    let done = server.collected().await;
    let expected =
        Collection { recordings: 4, set_aside: 6, young: 2, unexplained: 8, ..Collection::default() };
    assert_eq!(done, expected);
    let mut left = all_files(&rec);
    left.retain(|(path, _)| !young.iter().any(|young| young.display().to_string() == *path));
    assert!(left == staying);
    assert!(!open_folder.join("seg/1").exists() && young.iter().all(|path| path.exists()));
    assert!(server.get(&patient, path::body(&finished.id(), 0)).await.ok(200).body == body);

    // Under the day of the server's clock, each by its name, and back again.
    let data = server.stop().await;
    let day = at(NOW).to_string()[..10].to_owned();
    let kept = data.path().join("leftovers").join(&day);
    let mut aside: Vec<String> = old
        .iter()
        .chain([&empty_body])
        .map(|path| path.strip_prefix(data.path().join("blobs")).unwrap().display().to_string())
        .collect();
    aside.sort();
    assert_eq!(names(&kept), aside);
    let put_back = format!("cd {} && cp -rn leftovers/{day}/. blobs/", data.path().display());
    assert!(Command::new("sh").args(["-c", &put_back]).status().unwrap().success());
    assert!(all_files(&rec) == before);

    // By hand, once no server uses the folder: no more than was said, then the rest.
    let program = collect_by_hand(data.path(), &["--older-than", "0h", "--at-most", "3"]);
    assert_eq!(program.status.code(), Some(0), "{}", String::from_utf8_lossy(&program.stderr));
    assert!(String::from_utf8(program.stdout).unwrap().contains("3 moved, 5 left, 0 too young"));
    let program = collect_by_hand(data.path(), &["--older-than", "0h"]);
    assert!(String::from_utf8(program.stdout).unwrap().contains("5 moved, 0 left, 0 too young"));
    assert!(all_files(&rec) == staying);
    assert!(!never.exists());
}

/// More leftovers than some crashes leave stop the server before it touches one; a person who has looked moves them,
/// and the server starts.
#[tokio::test]
async fn many_leftovers_wait_for_a_person() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.finish(&draft, 1000).await;
    let rec = server.data().join("blobs/rec");
    for number in 0..17 {
        leave(&rec.join(format!("{number:032x}/key.0")), 2 * DAY);
    }
    let before = all_files(&rec);
    let data = server.stop().await;
    let mut program = Command::new(env!("CARGO_BIN_EXE_vault-server"));
    program.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let refused = program.output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(11), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let [.., what, means, next] = lines.as_slice() else { panic!("{said}") };
    assert!(what.starts_with("vault-server: In ") && what.contains("17 files"), "{what}");
    assert!(means.starts_with("None of them was moved"), "{means}");
    assert!(all_files(&rec) == before);
    let (_, command) = next.split_once("vault-server ").unwrap();
    let collect = format!("{} {command}", env!("CARGO_BIN_EXE_vault-server"));
    let collected = Command::new("sh").args(["-c", &collect]).output().unwrap();
    assert!(String::from_utf8(collected.stdout).unwrap().contains("17 moved, 0 left"));
    assert_eq!(names(&data.path().join("leftovers")).len(), 18, "17 files and the list of days");
    let program = collect_by_hand(data.path(), &[]);
    assert!(String::from_utf8(program.stdout).unwrap().contains("leftovers: 0 moved, 0 left"));
}

/// Does something else once the files of a recording have been listed.
struct Interrupted {
    blobs: FileBlobs,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl BlobStore for Interrupted {
    fn check_ready(&self) -> Result<(), BlobError> {
        self.blobs.check_ready()
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.blobs.put(key, bytes)
    }

    fn get(&self, key: &BlobKey) -> Result<Vec<u8>, BlobError> {
        self.blobs.get(key)
    }

    fn create_body(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.blobs.create_body(key)
    }

    fn write_part(&self, key: &BlobKey, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        self.blobs.write_part(key, offset, bytes)
    }

    fn truncate_body(&self, key: &BlobKey, length: u64) -> Result<(), BlobError> {
        self.blobs.truncate_body(key, length)
    }

    fn open_body(&self, key: &BlobKey) -> Result<Box<dyn BodyReader>, BlobError> {
        self.blobs.open_body(key)
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.blobs.size(key)
    }

    fn put_statement(&self, digest: &Digest, envelope: &[u8]) -> Result<(), BlobError> {
        self.blobs.put_statement(digest, envelope)
    }

    fn statement(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        self.blobs.statement(digest)
    }

    fn statements(&self) -> Result<Vec<StoredStatement>, BlobError> {
        self.blobs.statements()
    }

    fn free_bytes(&self) -> Result<u64, BlobError> {
        self.blobs.free_bytes()
    }

    fn recordings(&self, visit: &mut dyn FnMut(RecordingId) -> bool) -> Result<(), BlobError> {
        self.blobs.recordings(visit)
    }

    fn files(&self, recording: RecordingId) -> Result<Vec<StoredFile>, BlobError> {
        let files = self.blobs.files(recording)?;
        let then = self.then.lock().unwrap().take();
        if let Some(then) = then {
            then();
        }
        Ok(files)
    }

    fn set_aside(&self, name: &str, today: &Day) -> Result<(), BlobError> {
        self.blobs.set_aside(name, today)
    }

    fn unlink_set_aside(&self, today: &Day) -> Result<u64, BlobError> {
        self.blobs.unlink_set_aside(today)
    }

    fn remove_empty_folder(&self, recording: RecordingId, segment: Option<u32>) -> Result<(), BlobError> {
        self.blobs.remove_empty_folder(recording, segment)
    }
}

fn search() -> Search {
    Search { before: SystemTime::now() - DAY, at_most: 16, stop_beyond: true }
}

/// A vault in a folder, with somebody who seals.
struct Small {
    vault: Arc<Vault>,
    blobs: Arc<Interrupted>,
    caller: Caller,
}

fn small(folder: &Path, clinician: &Person) -> Small {
    let blobs = Arc::new(Interrupted { blobs: open_blobs(folder), then: Mutex::new(None) });
    let vault = Arc::new(Vault::new(
        Organisation::new(1).id(),
        Arc::new(open_store(folder)),
        Arc::clone(&blobs) as Arc<dyn BlobStore>,
        Arc::new(|| at(NOW)),
    ));
    let actor = Actor {
        has_auth: true,
        account: clinician.account(),
        key_id: clinician.device_id(),
        role: Role::Clinician,
        standing: Standing::InForce,
    };
    let caller = Caller { actor, device: clinician.device_key(), request_id: "00".repeat(16), at: at(NOW) };
    Small { vault, blobs, caller }
}

fn store_part(small: &Small, draft: &Draft<'_>, segment: u32) {
    let part = draft.parts(0, 1000).remove(0);
    let digest = vault_proto::ids::Digest::of(&part);
    segments::store_part(&small.vault, &small.caller, draft.id(), (segment, 0), &part, digest, None).unwrap();
}

/// The recording and the segment get their rows after the search has listed their old files.
#[test]
fn what_gains_its_row_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let place = folder.path().join(format!("blobs/rec/{}", draft.id()));
    leave(&place.join("key.0"), 2 * DAY);
    let small = small(folder.path(), &clinician);
    let (vault, caller) = (Arc::clone(&small.vault), small.caller.clone());
    let (create, open, id) = (draft.create(), draft.open(0, 0), draft.id());
    *small.blobs.then.lock().unwrap() = Some(Box::new(move || {
        recordings::create(&vault, &caller, &create).unwrap();
        segments::open(&vault, &caller, id, 0, &open).unwrap();
    }));
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    // What was there before was no such object, so it was set aside when the object came.
    assert_eq!(done, Collection { recordings: 1, ..Collection::default() });
    assert_eq!(std::fs::read(place.join("key.0")).unwrap(), draft.key_object);
    assert_eq!(names(&place), ["key.0", "manifest", "seg/0/body", "seg/0/header"]);
    let day = &at(NOW).to_string()[..10];
    let kept = folder.path().join(format!("leftovers/{day}/rec/{}/key.0", draft.id()));
    assert_eq!(std::fs::read(kept).unwrap(), b"left behind");
}

/// Objects that no crash leaves without a row: each shows that the index is older, stops the search before it touches
/// anything, and keeps anybody from writing over them.
#[test]
fn what_no_crash_leaves_stops_the_search() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let rec = format!("blobs/rec/{}", draft.id());
    for name in [
        "seg/0/header",
        "seg/0/body",
        "seg/3/seal",
        "key.1",
        "details",
        "final",
        "seg/0/.0011223344556677.new",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let small = small(folder.path(), &clinician);
        leave(&folder.path().join(&rec).join(name), Duration::ZERO);
        leave(&folder.path().join("blobs/rec/00112233445566778899aabbccddeeff/key.0"), 2 * DAY);
        let before = all_files(folder.path());
        let Err(SearchError::Refused(reason)) = collect(&small.vault, &search(), &|| true) else {
            panic!("{name}: the search went on");
        };
        let expected = Reason::UnknownObjects {
            recording: draft.id(),
            object: format!("{}/{name}", &rec[6..]),
            recordings: 1,
        };
        assert_eq!(reason, expected);
        let refused = recordings::create(&small.vault, &small.caller, &draft.create()).unwrap_err();
        assert_eq!(refused.code, ProblemCode::Internal);
        let mut after = all_files(folder.path());
        // Only the database wrote, into its log.
        let others =
            |files: &mut Vec<(String, Vec<u8>)>| files.retain(|(path, _)| !path.contains("vault.db"));
        let mut before = before;
        others(&mut before);
        others(&mut after);
        assert!(before == after, "{name}");
    }
}

/// A body with bytes in it and no row of its segment is the sealer's, who dropped it, or the index is older.
#[test]
fn a_body_without_a_row_is_kept() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let folder = tempfile::tempdir().unwrap();
    let small = small(folder.path(), &clinician);
    recordings::create(&small.vault, &small.caller, &draft.create()).unwrap();
    segments::open(&small.vault, &small.caller, draft.id(), 0, &draft.open(0, 0)).unwrap();
    store_part(&small, &draft, 0);
    let body = folder.path().join(format!("blobs/rec/{}/seg/0/body", draft.id()));
    let bytes = std::fs::read(&body).unwrap();
    segments::abandon(&small.vault, &small.caller, draft.id(), 0).unwrap();
    assert_eq!(std::fs::read(&body).unwrap(), b"", "the sealer dropped it");
    // As if a crash had come before the body was cut.
    std::fs::write(&body, &bytes).unwrap();
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    assert_eq!((done.unexplained, done.set_aside, done.young), (2, 0, 0));
    segments::open(&small.vault, &small.caller, draft.id(), 0, &draft.open(0, 0)).unwrap();
    assert_eq!(std::fs::read(&body).unwrap(), b"");
    let day = &at(NOW).to_string()[..10];
    let kept = folder.path().join(format!("leftovers/{day}/rec/{}/seg/0/body", draft.id()));
    assert!(std::fs::read(kept).unwrap() == bytes);

    // Of segment 1 the index knows nothing: neither its opening nor its dropping touches what is there.
    let other = folder.path().join(format!("blobs/rec/{}/seg/1/body", draft.id()));
    leave(&other, Duration::ZERO);
    let Err(SearchError::Refused(Reason::UnknownObjects { .. })) = collect(&small.vault, &search(), &|| true)
    else {
        panic!("the search went on");
    };
    assert_eq!(segments::abandon(&small.vault, &small.caller, draft.id(), 1).unwrap(), Stored::Same);
    assert_eq!(std::fs::read(&other).unwrap(), b"left behind");
    let other_recording = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    recordings::create(&small.vault, &small.caller, &other_recording.create()).unwrap();
    let body = folder.path().join(format!("blobs/rec/{}/seg/0/body", other_recording.id()));
    leave(&body, Duration::ZERO);
    let opened =
        segments::open(&small.vault, &small.caller, other_recording.id(), 0, &other_recording.open(0, 0));
    assert_eq!(opened.unwrap_err().code, ProblemCode::Internal);
    assert_eq!(std::fs::read(&body).unwrap(), b"left behind");
}

/// A manifest without a row is a recording that the index does not know: nobody begins another under its id.
#[test]
fn a_manifest_without_a_row_is_not_replaced() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let folder = tempfile::tempdir().unwrap();
    let small = small(folder.path(), &clinician);
    let manifest = folder.path().join(format!("blobs/rec/{}/manifest", draft.id()));
    leave(&manifest, 2 * DAY);
    let refused = recordings::create(&small.vault, &small.caller, &draft.create()).unwrap_err();
    assert_eq!(refused.code, ProblemCode::Conflict);
    assert_eq!(std::fs::read(&manifest).unwrap(), b"left behind");
    // The same one is stored again: that is what its sealer does after a crash.
    std::fs::write(&manifest, draft.manifest.bytes()).unwrap();
    assert_eq!(recordings::create(&small.vault, &small.caller, &draft.create()).unwrap(), Stored::New);
}

/// Objects that rows name and that are gone are told, and keep anything from being set aside.
#[test]
fn missing_objects_are_told_and_nothing_is_touched() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let folder = tempfile::tempdir().unwrap();
    let small = small(folder.path(), &clinician);
    recordings::create(&small.vault, &small.caller, &draft.create()).unwrap();
    segments::open(&small.vault, &small.caller, draft.id(), 0, &draft.open(0, 0)).unwrap();
    store_part(&small, &draft, 0);
    let rec = folder.path().join("blobs/rec");
    leave(&rec.join("00112233445566778899aabbccddeeff/key.0"), 2 * DAY);
    let place = rec.join(draft.id().to_string());
    File::options().write(true).open(place.join("seg/0/body")).unwrap().set_len(10).unwrap();
    let shorter = draft.key_object.len() as u64 - 1;
    File::options().write(true).open(place.join("key.0")).unwrap().set_len(shorter).unwrap();
    std::fs::remove_file(place.join("seg/0/header")).unwrap();
    let before = all_files(&rec);
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    assert_eq!(done, Collection { recordings: 2, missing: 3, left: 1, ..Collection::default() });
    assert!(all_files(&rec) == before);
    std::fs::remove_dir_all(&place).unwrap();
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    assert_eq!(done, Collection { recordings: 1, missing: 4, left: 1, ..Collection::default() });
}

/// Statements are never set aside: one without a row may be all that proves whose keys a recording was sealed with,
/// which the index does not know either. What never got its name is.
#[test]
fn statements_stay_and_missing_ones_are_told() {
    let (organisation, patient, clinician) = people();
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let folder = tempfile::tempdir().unwrap();
    let small = small(folder.path(), &clinician);
    recordings::create(&small.vault, &small.caller, &draft.create()).unwrap();
    let statements = folder.path().join("blobs/statements");
    let stored = names(&statements).len();
    assert_eq!(stored, draft.statements.len());
    let (unknown, aside) = (statements.join("ab".repeat(32)), statements.join(".0011223344556677.new"));
    leave(&unknown, 2 * DAY);
    leave(&aside, 2 * DAY);
    leave(&statements.join("notes.txt"), 2 * DAY);
    leave(&statements.join(".8899aabbccddeeff.new"), Duration::ZERO);
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    let expected =
        Collection { recordings: 1, set_aside: 1, unexplained: 1, young: 1, ..Collection::default() };
    assert_eq!(done, expected);
    assert!(unknown.exists() && !aside.exists());
    let day = &at(NOW).to_string()[..10];
    assert!(folder.path().join(format!("leftovers/{day}/statements/.0011223344556677.new")).exists());
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    assert_eq!(done, Collection { set_aside: 0, ..expected });

    // Gone, or not as long as it was.
    leave(&aside, 2 * DAY);
    let place = folder.path().join("blobs").join(statement_path(&patient.key_list.digest()));
    let whole = std::fs::read(&place).unwrap();
    std::fs::write(&place, &whole[1..]).unwrap();
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    assert_eq!((done.missing, done.set_aside, done.left), (1, 0, 1));
    std::fs::remove_file(&place).unwrap();
    let done = collect(&small.vault, &search(), &|| true).unwrap();
    assert_eq!((done.missing, done.set_aside, done.left), (1, 0, 1));
    assert!(aside.exists(), "nothing is touched while something is missing");
}
