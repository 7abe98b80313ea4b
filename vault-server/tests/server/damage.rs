use vault_proto::problem::ProblemCode;
use vault_proto::wire::path;

use crate::support::{Draft, clinic};

/// A file that lost bytes, or is gone, is never answered as if that were all there is.
#[tokio::test]
async fn what_is_short_or_missing_is_a_failure_and_no_shorter_answer() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    let body = server.finish(&draft, 2_000_000).await;
    let id = draft.id();
    let places = [
        ("seg/0/body", path::body(&id, 0)),
        ("seg/0/header", path::header(&id, 0)),
        ("key.0", path::key(&id, 0)),
        ("details", path::details(&id)),
    ];
    for (name, place) in places {
        let file = server.data().join(format!("blobs/rec/{id}/{name}"));
        let whole = std::fs::read(&file).unwrap();
        let mut damaged = vec![whole[..whole.len() - 1].to_vec(), Vec::new()];
        if name != "seg/0/body" {
            // Bodies are checked by their readers, part by part.
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            damaged.push(changed);
        }
        for bytes in damaged {
            std::fs::write(&file, bytes).unwrap();
            let problem = server.get(&patient, place.clone()).await.refused(ProblemCode::Internal);
            assert_eq!(problem.detail, None);
        }
        std::fs::remove_file(&file).unwrap();
        server.get(&patient, place.clone()).await.refused(ProblemCode::Internal);
        std::fs::write(&file, whole).unwrap();
        server.get(&patient, place).await.ok(200);
    }
    assert!(server.get(&patient, path::body(&id, 0)).await.ok(200).body == body);
}

/// What is lost before the seal is not sealed as if it were there.
#[tokio::test]
async fn a_body_that_lost_bytes_is_not_sealed() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.begin(&draft).await;
    let parts = draft.parts(0, 50_000);
    server.part(&draft, 0, 0, &parts[0]).await.ok(201);
    let file = server.data().join(format!("blobs/rec/{}/seg/0/body", draft.id()));
    std::fs::write(&file, &parts[0][1..]).unwrap();
    let seal = draft.sign_seal(&draft.segment_seal(0, &parts, vault_proto::geometry::BodyEnd::Final, None));
    let put = async || server.put(&clinician, path::seal(&draft.id(), 0), seal.bytes().to_vec()).await;
    put().await.refused(ProblemCode::Internal);
    std::fs::write(&file, &parts[0]).unwrap();
    put().await.ok(201);
}

/// A row that cannot be read is not one that is absent: nothing is written in its place.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_not_taken_for_none() {
    let (organisation, patient, clinician, server) = clinic().await;
    let draft = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
    server.begin(&draft).await;
    let database = rusqlite::Connection::open(server.data().join("vault.db")).unwrap();
    database.execute("UPDATE segments SET run_bytes = -1", ()).unwrap();
    // Another header for the same segment, which would be written over the one that a row names.
    let other = Draft::open_with(1, &draft.header(0, 1));
    server.put(&clinician, path::segment(&draft.id(), 0), other).await.refused(ProblemCode::Internal);
    let file = server.data().join(format!("blobs/rec/{}/seg/0/header", draft.id()));
    assert!(std::fs::read(file).unwrap() == draft.header(0, 0));
    server.open(&draft, 1).await.refused(ProblemCode::Internal);
    assert!(!server.data().join(format!("blobs/rec/{}/seg/1", draft.id())).exists());
}
