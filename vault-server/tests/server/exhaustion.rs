use std::sync::Arc;

use reqwest::Method;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::authorize::{Action, Actor, Parties, Standing, authorize};
use vault_server::blob::{
    BlobError, BlobKey, BlobStore, BodyReader, Day, FileBlobs, StoredFile, StoredStatement,
};
use vault_server::event::Caller;
use vault_server::ops::{Vault, recordings, segments};
use vault_server::store::{Store, Stored};

use crate::support::{Call, Draft, NOW, Organisation, Person, Server, at, clinic, open_blobs, open_store};

/// A disk without room for another part.
struct FullDisk(FileBlobs);

impl BlobStore for FullDisk {
    fn check_ready(&self) -> Result<(), BlobError> {
        self.0.check_ready()
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.0.put(key, bytes)
    }

    fn get(&self, key: &BlobKey) -> Result<Vec<u8>, BlobError> {
        self.0.get(key)
    }

    fn create_body(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.0.create_body(key)
    }

    fn write_part(&self, key: &BlobKey, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        self.0.write_part(key, offset, &bytes[..bytes.len() / 2])?;
        Err(BlobError::Full)
    }

    fn truncate_body(&self, key: &BlobKey, length: u64) -> Result<(), BlobError> {
        self.0.truncate_body(key, length)
    }

    fn open_body(&self, key: &BlobKey) -> Result<Box<dyn BodyReader>, BlobError> {
        self.0.open_body(key)
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.0.size(key)
    }

    fn put_statement(&self, digest: &Digest, envelope: &[u8]) -> Result<(), BlobError> {
        self.0.put_statement(digest, envelope)
    }

    fn statement(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        self.0.statement(digest)
    }

    fn statements(&self) -> Result<Vec<StoredStatement>, BlobError> {
        self.0.statements()
    }

    fn free_bytes(&self) -> Result<u64, BlobError> {
        self.0.free_bytes()
    }

    fn recordings(&self, visit: &mut dyn FnMut(RecordingId) -> bool) -> Result<(), BlobError> {
        self.0.recordings(visit)
    }

    fn files(&self, recording: RecordingId) -> Result<Vec<StoredFile>, BlobError> {
        self.0.files(recording)
    }

    fn set_aside(&self, name: &str, today: &Day) -> Result<(), BlobError> {
        self.0.set_aside(name, today)
    }

    fn unlink_set_aside(&self, today: &Day) -> Result<u64, BlobError> {
        self.0.unlink_set_aside(today)
    }

    fn remove_empty_folder(&self, recording: RecordingId, segment: Option<u32>) -> Result<(), BlobError> {
        self.0.remove_empty_folder(recording, segment)
    }
}

#[test]
fn on_a_full_disk_nothing_becomes_visible_and_the_part_can_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let organisation = Organisation::new(1);
    let (patient, clinician) =
        (organisation.person(10, Role::Patient), organisation.person(11, Role::Clinician));
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let caller = Caller {
        actor: Actor {
            has_auth: true,
            account: clinician.account(),
            key_id: clinician.device_id(),
            role: Role::Clinician,
            standing: Standing::InForce,
        },
        device: clinician.device_key(),
        request_id: "00".repeat(16),
        at: at(NOW),
    };
    let store = Arc::new(open_store(folder.path()));
    let blobs = || open_blobs(folder.path());
    let vault = |blobs| {
        let store = Arc::clone(&store) as Arc<dyn Store>;
        Vault::new(organisation.id(), store, blobs, Arc::new(|| at(NOW)))
    };
    let full = vault(Arc::new(FullDisk(blobs())));
    recordings::create(&full, &caller, &draft.create()).unwrap();
    segments::open(&full, &caller, draft.id(), 0, &draft.open(0, 0)).unwrap();
    let part = draft.parts(0, 100_000).remove(0);
    let digest = vault_proto::ids::Digest::of(&part);
    let put = |vault: &Vault| segments::store_part(vault, &caller, draft.id(), (0, 0), &part, digest, None);
    assert_eq!(put(&full).unwrap_err().code, ProblemCode::StorageFull);
    let parties = Parties::of(draft.manifest.unverified());
    let permit = authorize(&caller.actor, Action::FetchBody, Some(&parties)).unwrap();
    assert_eq!(store.segment(&permit, 0).unwrap().bytes, 0);
    let roomy = vault(Arc::new(blobs()));
    assert_eq!(put(&roomy).unwrap(), Stored::New);
    let body = segments::body(&roomy, &caller, draft.id(), 0).unwrap();
    assert!(body.reader.read_at(0, part.len()).unwrap() == part);
}

async fn ask(server: &Server, reader: &Person, place: &str) -> reqwest::Response {
    let call = Call::new(&reader.device, Method::GET, place, Vec::new());
    let request = server.http.get(format!("{}{place}", server.base()));
    let request = call
        .signature()
        .iter()
        .fold(request.header("host", "vault.test"), |request, (name, value)| request.header(name, value));
    request.send().await.unwrap()
}

/// Readers who take nothing keep only so many streams each; who comes then is told to come again, and everybody else is
/// served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_keep_only_themselves_out() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&draft, 24_000_000).await;
    let place = path::body(&draft.id(), 0);
    let mut stalled = Vec::new();
    let refused = loop {
        let answer = ask(&server, &patient, &place).await;
        if answer.status() != 200 {
            break answer;
        }
        stalled.push(answer);
        assert!(stalled.len() <= 16);
    };
    assert_eq!(stalled.len(), 16);
    let problem: vault_proto::problem::Problem =
        serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(problem.known_code(), Some(ProblemCode::Busy));
    // The other participant reads all of it, other requests are not held up, and one who takes his bytes gets all of
    // them.
    assert!(server.get(&clinician, place).await.ok(200).body == body);
    server.get(&patient, path::recording(&draft.id())).await.ok(200);
    let taken = stalled.pop().unwrap().bytes().await.unwrap();
    assert!(taken == body);
}
