//! Random access through the SDK: `Read` and `Seek` over all segments of a remote track, against a truthful server and
//! lying ones.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::SecretString;
use vault_client::blocking_reader::BlockingReader;
use vault_client::home_folder::HomeFolder;
use vault_client::{ClientError, SessionOptions};
use vault_engine::opening::recording::RemoteRecording;
use vault_engine::opening::track::RemoteTrack;
use vault_tests::command::PASSPHRASE;
use vault_tests::hostile::{Fault, FaultKind};
use vault_tests::scene::{Scene, content, segments};

/// Opens a track of a recording for Anna.
fn open(
    scene: &Scene,
    runtime: &tokio::runtime::Runtime,
    name: &str,
    track: u8,
) -> Result<RemoteTrack, ClientError> {
    let folder = HomeFolder::new(scene.home("anna"));
    let passphrase = SecretString::from(PASSPHRASE);
    let options = SessionOptions {
        server: Some(scene.server().url()),
        retry_for: Some(Duration::from_millis(200)),
        ..SessionOptions::default()
    };
    runtime.block_on(async {
        let session = vault_client::unlock_with(&folder, &passphrase, options).await.unwrap();
        let remote = RemoteRecording::fetch(&session, scene.id(name).parse().unwrap()).await?;
        RemoteTrack::open(&session, &remote, track, None).await
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn any_walk_reads_what_was_sealed_over_all_segments() {
    let scene = Scene::new();
    let runtime = runtime();
    // Track 1 lies in two segments, behind one of another track.
    let later: Vec<u8> =
        segments().into_iter().filter(|(track, _)| *track == 1).flat_map(|(_, bytes)| bytes).collect();
    for (name, track, whole) in [("s1", 1, later), ("p1", 0, content("p1"))] {
        let view = open(&scene, &runtime, name, track).unwrap();
        assert_eq!(view.length(), whole.len() as u64);
        let length = whole.len() as i64;
        let steps = prop::collection::vec((0..3u8, -length - 10..length + 10, 0usize..200_000), 1..20);
        let mut runner =
            proptest::test_runner::TestRunner::new(ProptestConfig { cases: 64, ..ProptestConfig::default() });
        let walked = runner.run(&steps, |steps| {
            let mut reader = BlockingReader::new(view.clone(), runtime.handle().clone());
            let mut truth = std::io::Cursor::new(&whole);
            for (from, offset, many) in steps {
                let to = match from {
                    0 => SeekFrom::Start(offset.unsigned_abs()),
                    1 => SeekFrom::End(offset),
                    _ => SeekFrom::Current(offset),
                };
                prop_assert_eq!(reader.seek(to).ok(), truth.seek(to).ok());
                let (mut read, mut expected) = (Vec::new(), Vec::new());
                reader.by_ref().take(many as u64).read_to_end(&mut read).unwrap();
                truth.by_ref().take(many as u64).read_to_end(&mut expected).unwrap();
                prop_assert!(read == expected, "the bytes differ");
            }
            Ok(())
        });
        walked.unwrap();
    }
}

#[test]
fn many_readers_at_once_read_the_same() {
    let scene = Scene::new();
    let runtime = runtime();
    let view = open(&scene, &runtime, "p1", 0).unwrap();
    let whole = content("p1");
    std::thread::scope(|scope| {
        for at in 0..8usize {
            let (view, whole, handle) = (view.clone(), &whole, runtime.handle().clone());
            scope.spawn(move || {
                let mut reader = BlockingReader::new(view, handle);
                let start = at * 250_000;
                reader.seek(SeekFrom::Start(start as u64)).unwrap();
                let mut read = Vec::new();
                reader.read_to_end(&mut read).unwrap();
                assert!(read == whole[start..], "the bytes differ");
            });
        }
    });
}

#[test]
fn whatever_a_server_lies_no_wrong_byte_is_read() {
    let lies = [
        FaultKind::LieAboutRange,
        FaultKind::IgnoreRange,
        FaultKind::EndlessAnswer,
        FaultKind::Redirect,
        FaultKind::SwapBody,
        FaultKind::SwapBodyOnly,
        FaultKind::SwapHeader,
        FaultKind::DropPart,
        FaultKind::DoublePart,
        FaultKind::ReorderParts,
        FaultKind::Truncate,
        FaultKind::ReplayOldHeader,
        FaultKind::EditDetails,
    ];
    let scene = Scene::new();
    let runtime = runtime();
    let whole = content("p1");
    for kind in lies {
        scene.server().clear();
        scene.server().inject(Fault::everywhere(kind));
        let Ok(view) = open(&scene, &runtime, "p1", 0) else { continue };
        let mut failed = 0;
        for start in [0usize, 1_000_000, 983_039, 983_040, 2_000_000, 2_150_000] {
            let mut reader = BlockingReader::new(view.clone(), runtime.handle().clone());
            reader.seek(SeekFrom::Start(start as u64)).unwrap();
            let mut read = vec![0; 2000];
            match reader.read_exact(&mut read) {
                Ok(()) => assert!(read == whole[start..start + 2000], "{kind:?}: wrong bytes at {start}"),
                Err(_) => failed += 1,
            }
        }
        assert!(failed > 0 || kind == FaultKind::ReplayOldHeader, "{kind:?} was never noticed");
    }
    // The very same view reads on once the server is truthful again.
    scene.server().clear();
    let view = open(&scene, &runtime, "p1", 0).unwrap();
    let mut reader = BlockingReader::new(view, runtime.handle().clone());
    let mut read = Vec::new();
    scene.server().inject(Fault::everywhere(FaultKind::LieAboutRange));
    assert!(reader.read_to_end(&mut read).is_err());
    scene.server().clear();
    reader.seek(SeekFrom::Start(0)).unwrap();
    read.clear();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == whole, "the bytes differ");
}
