use std::fs::{File, create_dir_all};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use vault_proto::ids::RecordingId;
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::authorize::Actor;
use vault_server::blob::{BlobError, BlobKey, BlobStore, BodyReader, FileBlobs, StoredFile};
use vault_server::event::Caller;
use vault_server::ops::orphans::{Collection, collect};
use vault_server::ops::{Vault, recordings, segments};
use vault_server::store::SqliteStore;

use crate::support::{Draft, NOW, Organisation, Person, Server, at};

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

/// What a crash may have left goes when it is old; what is young, what rows name and what the server did not make stays.
#[tokio::test]
async fn old_leftovers_go_and_nothing_else() {
    let (organisation, patient, clinician) = people();
    let server = Server::start(&organisation).await;
    server.enrol(&[&patient, &clinician]).await;
    let finished = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&finished, 2_000_000).await;
    let open = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
    server.create(&open).await;
    server.open(&open, 0).await.ok(201);
    server.part(&open, 0, 0, &open.parts(0, 3_000_000)[0]).await.ok(201);
    let rec = server.data().join("blobs/rec");
    let (finished_folder, open_folder) =
        (rec.join(finished.id().to_string()), rec.join(open.id().to_string()));
    let foreign = rec.join("README");
    let foreign_inside = finished_folder.join("notes.txt");
    leave(&foreign, 2 * DAY);
    leave(&foreign_inside, 2 * DAY);
    let named = all_files(&rec);
    for (file, _) in &named {
        age_of(Path::new(file), 2 * DAY);
    }

    let never = rec.join("00112233445566778899aabbccddeeff");
    let gone = rec.join("ffeeddccbbaa99887766554433221100");
    let old = [
        gone.join("manifest"),
        gone.join("credentials"),
        gone.join("seg/0/body"),
        never.join("manifest"),
        never.join("seg/3/header.0"),
        open_folder.join("details"),
        open_folder.join("final"),
        open_folder.join("seg/0/seal"),
        open_folder.join("seg/0/parts"),
        open_folder.join("seg/0/header.1"),
        open_folder.join("seg/1/body"),
        finished_folder.join(".0011223344556677.new"),
        finished_folder.join("seg/0/.8899aabbccddeeff.new"),
    ];
    let young =
        [never.join("credentials"), open_folder.join("seg/1/header.0"), finished_folder.join("seg/2/body")];
    for path in &old {
        leave(path, DAY + Duration::from_secs(60));
    }
    for path in &young {
        leave(path, DAY - Duration::from_secs(60));
    }
    let mut server = server.restart().await;
    let done = server.collected().await;
    assert_eq!(done, Collection { recordings: 4, removed: 13, young: 3, failed: 0 });
    let mut left = all_files(&rec);
    left.retain(|(path, _)| !young.iter().any(|young| young.display().to_string() == *path));
    assert_eq!(left.len(), named.len());
    assert!(left == named);
    assert!(!gone.exists() && !never.join("seg/3").exists() && young.iter().all(|path| path.exists()));
    assert!(server.get(&patient, path::body(&finished.id(), 0)).await.ok(200).body == body);

    // By hand, once no server uses the folder.
    let data = server.stop().await;
    let program = Command::new(env!("CARGO_BIN_EXE_vault-server"))
        .args(["collect", "--grace", "0", "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
    assert!(String::from_utf8(program.stdout).unwrap().contains("3 recordings, 3 leftovers removed"));
    assert!(all_files(&rec) == named);
    assert!(!never.exists());
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

    fn remove(&self, file: &StoredFile) -> Result<(), BlobError> {
        self.blobs.remove(file)
    }

    fn remove_empty_folder(&self, recording: RecordingId, segment: Option<u32>) -> Result<(), BlobError> {
        self.blobs.remove_empty_folder(recording, segment)
    }
}

/// The recording and the segment get their rows after the search has listed their old files.
#[test]
fn what_gains_its_row_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("blobs");
    let id = {
        let (organisation, patient, clinician) = people();
        Draft::new(&organisation, 1, &patient, &clinician, &clinician).id()
    };
    let place = root.join(format!("rec/{id}"));
    let names = ["manifest", "credentials", "seg/0/header.0", "seg/0/body"];
    for name in names.iter().chain(&["details"]) {
        leave(&place.join(name), 2 * DAY);
    }
    let blobs = Arc::new(Interrupted { blobs: FileBlobs::open(root).unwrap(), then: Mutex::new(None) });
    let organisation = Organisation::new(1).id();
    let store = Arc::new(SqliteStore::open(folder.path().join("vault.db")).unwrap());
    let vault = Arc::new(Vault::new(
        organisation,
        store,
        Arc::clone(&blobs) as Arc<dyn BlobStore>,
        Arc::new(|| at(NOW)),
    ));
    let written: Arc<OnceLock<Vec<Vec<u8>>>> = Arc::default();
    let (same, result, kept) = (Arc::clone(&vault), Arc::clone(&written), place.clone());
    *blobs.then.lock().unwrap() = Some(Box::new(move || {
        let (organisation, patient, clinician) = people();
        let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
        let actor =
            Actor { account: clinician.account(), key_id: clinician.device_id(), role: Role::Clinician };
        let caller =
            Caller { actor, device: clinician.device_key(), request_id: "00".repeat(16), at: at(NOW) };
        recordings::create(&same, &caller, &draft.create()).unwrap();
        segments::open(&same, &caller, draft.id(), 0, &draft.open(0, 0)).unwrap();
        let part = draft.parts(0, 1000).remove(0);
        let digest = vault_proto::ids::Digest::of(&part);
        segments::store_part(&same, &caller, draft.id(), (0, 0), &part, digest, None).unwrap();
        result.set(names.map(|name| std::fs::read(kept.join(name)).unwrap()).to_vec()).unwrap();
    }));
    let done = collect(&vault, SystemTime::now() - DAY, &|| true).unwrap();
    assert_eq!(done, Collection { recordings: 1, removed: 1, young: 0, failed: 0 });
    let left = names.map(|name| std::fs::read(place.join(name)).unwrap());
    assert_eq!(left.as_slice(), written.get().unwrap().as_slice());
    assert!(!place.join("details").exists());
}
