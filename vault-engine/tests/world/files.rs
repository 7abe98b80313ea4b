//! Files that are sealed: what an earlier life began goes on, and no two programs seal one file at the same time.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use vault_core::webm::SeekIndexer;
use vault_engine::Session;
use vault_engine::sealing::{
    FilePlan, Recorder, RecorderOptions, RecorderTask, SealRequest, SourceFile, TakenUp, plan_file,
};
use vault_proto::ids::{Digest, RecordingId};

use crate::machine::World;
use crate::programs::Life;
use crate::recorders::{MOST, beside, has_sealed};

/// Files of the world.
const FILES: usize = 2;

/// A file, which nobody ever changes.
pub(crate) struct File {
    bytes: Vec<u8>,
    /// The program that seals it at this moment.
    sealing: Option<usize>,
}

impl World {
    pub(crate) fn make_files(&mut self) {
        for _ in 0..FILES {
            let more = if self.random.happens(1, 3) { 1 << 20 } else { 0 };
            let length = 1 + more + self.random.below(6_000);
            let bytes = self.random.bytes(length);
            self.files.push(File { bytes, sealing: None });
        }
    }

    /// Lets go of the files that a dead program sealed.
    pub(crate) fn close_files(&mut self, program: usize) {
        for file in &mut self.files {
            file.sealing = file.sealing.filter(|other| *other != program);
        }
    }
}

/// Seals a file, or goes on with it.
pub(crate) async fn seal_file(life: &Life, session: &Session) {
    if life.look(|world| world.truth.len() >= MOST) {
        return;
    }
    let which = life.below(FILES);
    let (bytes, request) = life.look(|world| {
        let request = SealRequest {
            patient: world.people.anna.account,
            clinician: world.people.dora.account,
            consultation: None,
            title: Some(format!("file {which}")),
            media_type: None,
            pad: world.temper.pads,
        };
        (world.files[which].bytes.clone(), request)
    });
    let path = format!("/recordings/{which}.webm");
    let file = SourceFile { path, length: bytes.len() as u64, modified: (1, 2) };
    let options = RecorderOptions { real_time: false, ..RecorderOptions::default() };
    let plan = plan_file(session, &file, &request, options).await;
    let (recording, begun, from) = match plan {
        Ok(FilePlan::Busy(_)) => return,
        Ok(FilePlan::New(begun)) => {
            let (recorder, task) = *begun;
            let recording = recorder.recording();
            holds(life, which);
            (recording, (recorder, task), 0)
        }
        Ok(FilePlan::GoOn(unfinished)) => {
            holds(life, which);
            let recording = unfinished.recording();
            match unfinished.take_up(session).await {
                Ok(TakenUp::Open(continuation)) => {
                    let from = usize::try_from(continuation.bytes()).unwrap_or(usize::MAX);
                    let before = bytes.get(..from).unwrap_or_default();
                    if continuation.source_hash() != Digest::of(before) {
                        life.wrong(format!("what {recording} goes on from is not the beginning of its file"));
                    }
                    let mut indexer = SeekIndexer::new();
                    indexer.push(before);
                    let hash = Sha256::new_with_prefix(before);
                    match continuation.go_on(session, &request, options, hash, indexer).await {
                        Ok(begun) => (recording, begun, from),
                        Err(error) => {
                            life.is_stated("going on with a file", &error);
                            return lets_go(life, which);
                        }
                    }
                }
                Ok(TakenUp::Ended(Ok(sealed))) => {
                    has_sealed(life, recording, &sealed);
                    return lets_go(life, which);
                }
                Ok(TakenUp::Ended(Err(error))) => {
                    life.is_stated("going on with a file", &error);
                    return lets_go(life, which);
                }
                Ok(TakenUp::NeverBegun) => return lets_go(life, which),
                Err(error) => {
                    life.is_stated("taking a file up", &error);
                    return lets_go(life, which);
                }
            }
        }
        Err(error) => return life.is_stated("beginning with a file", &error),
    };
    life.look(|world| world.file_begins(recording, life.program, which));
    let (recorder, task): (Recorder, RecorderTask) = begun;
    beside(task, write(life, recorder, recording, bytes.get(from..).unwrap_or_default())).await;
    lets_go(life, which);
}

fn holds(life: &Life, which: usize) {
    life.look(|world| {
        if let Some(other) = world.files[which].sealing.replace(life.program) {
            world.violation(format!("file {which} is sealed by program {} and by {other}", life.program));
        }
    });
}

fn lets_go(life: &Life, which: usize) {
    life.look(|world| world.files[which].sealing = None);
}

async fn write(life: &Life, mut recorder: Recorder, recording: RecordingId, mut rest: &[u8]) {
    while !rest.is_empty() {
        let most = if rest.len() > 10_000 { 1 << 19 } else { 4_000 };
        let (piece, later) = rest.split_at(rest.len().min(1 + life.below(most)));
        rest = later;
        if let Err(error) = recorder.write(piece).await {
            return life.is_stated("sealing a file", &error);
        }
        let acknowledged = recorder.progress().get().acknowledged_bytes;
        life.look(|world| world.promise(recording, acknowledged));
    }
    match recorder.finish(true, Duration::ZERO).await {
        Ok(sealed) => has_sealed(life, recording, &sealed),
        Err(error) => life.is_stated("sealing a file", &error),
    }
}

impl World {
    /// A file is a recording all of which is written already.
    fn file_begins(&mut self, recording: RecordingId, program: usize, which: usize) {
        let bytes = self.files[which].bytes.clone();
        let title = Some(format!("file {which}"));
        self.live_begins(recording, program, title);
        if let Some(truth) = self.live(recording) {
            truth.segments = vec![(0, bytes)];
        }
        self.live_ends(recording);
    }
}
