//! What a sealing device does with the engine, and what it is told of it: recordings written in real time, ended,
//! dropped, taken up again after a crash; each promise is remembered and looked at when the world ends.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use vault_engine::error::RecordingEnd;
use vault_engine::sealing::{
    Ending, GiveUp, Recorder, RecorderOptions, RecorderTask, RecordingProgress, Resumed, SealRequest, Sealed,
    resume_all,
};
use vault_engine::watched::Watched;
use vault_engine::{ClientError, Session};
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::statements::SegmentSeal;

use crate::disk::Health;
use crate::machine::World;
use crate::people::TrueRecording;
use crate::programs::Life;

/// What of a recording may be lost with its process, where its home is well.
const TAIL: Duration = Duration::from_secs(5);
/// For how long a home has to be well before anything is expected of it.
const WELL: Duration = Duration::from_secs(20);
/// Most recordings of one world.
pub(crate) const MOST: usize = 8;

/// What is known of a recording that a program of the world seals.
pub(crate) struct Live {
    program: usize,
    /// How much had been written when, by the clock that nobody sets.
    written: Vec<(Duration, u64)>,
    /// The most that anybody was told is on the server or kept.
    pub(crate) promised: u64,
    /// What must be left because it was written long enough before its process died.
    pub(crate) outlives: u64,
    /// Whether it was called sealed as a whole.
    pub(crate) is_whole: bool,
    pub(crate) title: Option<String>,
    /// Whether somebody still writes it.
    is_open: bool,
    /// Whether anything is expected of it that was recorded a few seconds before a crash.
    has_tails: bool,
    /// What its program can see of it.
    progress: Option<Watched<RecordingProgress>>,
}

impl World {
    pub(crate) fn live(&mut self, recording: RecordingId) -> Option<&mut TrueRecording> {
        self.truth.iter_mut().find(|truth| truth.id == recording)
    }

    pub(crate) fn live_begins(&mut self, recording: RecordingId, program: usize, title: Option<String>) {
        let now = self.running();
        let live = Live {
            program,
            written: vec![(now, 0)],
            promised: 0,
            outlives: 0,
            is_whole: false,
            title,
            is_open: true,
            has_tails: true,
            progress: None,
        };
        match self.live(recording) {
            Some(truth) => {
                let before = truth.live.take();
                let promised = before.as_ref().map_or(0, |before| before.promised);
                truth.live = Some(Live { promised, ..live });
            }
            None => self.truth.push(TrueRecording::live(recording, None, live)),
        }
        self.counts.begun += 1;
        self.say(|| format!("{program} begins {recording}"));
    }

    /// Learns of recordings that came to the server before their program could say that they had begun.
    pub(crate) fn learn_of_created(&mut self) {
        let created: Vec<(RecordingId, Digest)> =
            self.server.recordings.iter().map(|stored| (stored.id, stored.manifest_digest())).collect();
        for (id, manifest) in created {
            let dead = Live {
                program: usize::MAX,
                written: Vec::new(),
                promised: 0,
                outlives: 0,
                is_whole: false,
                title: None,
                is_open: false,
                has_tails: false,
                progress: None,
            };
            match self.live(id) {
                Some(truth) => truth.manifest = manifest,
                None => self.truth.push(TrueRecording::live(id, Some(manifest), dead)),
            }
        }
    }

    pub(crate) fn live_writes(&mut self, recording: RecordingId, bytes: &[u8]) {
        let now = self.running();
        if let Some(truth) = self.live(recording) {
            if truth.segments.is_empty() {
                truth.segments.push((0, Vec::new()));
            }
            if let Some((_, written)) = truth.segments.last_mut() {
                written.extend_from_slice(bytes);
            }
            let length = truth.length();
            if let Some(live) = &mut truth.live {
                live.written.push((now, length));
            }
        }
    }

    /// The last bytes that were to be written were not taken, and whoever wrote them was told.
    pub(crate) fn live_was_not_taken(&mut self, recording: RecordingId, mut bytes: usize) {
        let segments = self.live(recording).map(|truth| &mut truth.segments);
        for (_, written) in segments.into_iter().flatten().rev() {
            let here = bytes.min(written.len());
            written.truncate(written.len() - here);
            bytes -= here;
        }
    }

    pub(crate) fn live_switches(&mut self, recording: RecordingId) {
        if let Some(truth) = self.live(recording) {
            let next = truth.segments.last().map_or(0, |(track, bytes)| track + u8::from(!bytes.is_empty()));
            truth.segments.push((next, Vec::new()));
        }
    }

    pub(crate) fn promise(&mut self, recording: RecordingId, bytes: u64) {
        self.say(|| format!("{bytes} bytes of {recording} are promised"));
        if let Some(live) = self.live(recording).and_then(|truth| truth.live.as_mut()) {
            live.promised = live.promised.max(bytes);
        }
    }

    /// So much is called acknowledged, and is there.
    pub(crate) fn acknowledged(&mut self, recording: RecordingId, bytes: u64) {
        self.promise(recording, bytes);
        let stored = self.server.recordings.iter().find(|stored| stored.id == recording);
        let there = stored.map_or(0, crate::stored::Stored::proven);
        if there < bytes {
            self.violation(format!(
                "{bytes} bytes of {recording} are called acknowledged, {there} are there"
            ));
        }
    }

    pub(crate) fn live_ends(&mut self, recording: RecordingId) {
        if let Some(live) = self.live(recording).and_then(|truth| truth.live.as_mut()) {
            live.is_open = false;
            live.progress = None;
        }
    }

    /// A program that has recorded for long enough to leave something behind, if one dies now.
    pub(crate) fn somebody_who_records(&self) -> Option<usize> {
        let now = self.running();
        let open = self.truth.iter().filter_map(|truth| truth.live.as_ref()).filter(|live| live.is_open);
        let begun = |live: &&Live| live.written.get(1).is_some_and(|(at, _)| *at + TAIL < now);
        open.filter(begun).map(|live| live.program).next()
    }

    /// Notes what must be left of what a program was sealing when it died.
    pub(crate) fn recorders_die(&mut self, program: usize) {
        let now = self.running();
        let home = self.programs[program].home;
        let well = self.homes[home].health == Health::Well && self.trouble[home] + WELL < now;
        for live in self.truth.iter_mut().filter_map(|truth| truth.live.as_mut()) {
            if !live.is_open || live.program != program {
                continue;
            }
            live.is_open = false;
            if let Some(progress) = live.progress.take() {
                live.promised = live.promised.max(progress.get().acknowledged_bytes);
            }
            if well && live.has_tails {
                // What was written long enough ago.
                let outlive = live.written.iter().rev().find(|(at, _)| *at + TAIL < now);
                live.outlives = outlive.map_or(0, |(_, bytes)| *bytes);
                self.counts.outlived += u64::from(live.outlives > 0);
            }
        }
    }

    /// A seal is signed only over parts that are on the server or in the home.
    pub(crate) fn look_at_signed(&mut self, home: usize, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if !text.starts_with("DSSEv1") || !text.contains("segment-seal") {
            return;
        }
        let seal = text.find('{').and_then(|at| serde_json::from_str::<SegmentSeal>(&text[at..]).ok());
        let Some(seal) = seal else {
            self.violation("a segment's seal was signed that nobody can read");
            return;
        };
        let Some(truth) = self.truth.iter().find(|truth| truth.manifest == seal.manifest) else {
            return;
        };
        let stored = self.server.recordings.iter().find(|stored| stored.id == truth.id);
        let missing = (0..seal.parts).find(|part| {
            let on_server = stored.is_some_and(|stored| stored.part(seal.index, *part).is_some());
            let key = format!("uploads/{}.spool/{}-{part}", truth.id, seal.index);
            !on_server && self.homes[home].read(&key).is_none()
        });
        if let Some(part) = missing {
            self.violation(format!(
                "a seal of {} was signed over part {part} of segment {}, which is nowhere",
                truth.id, seal.index
            ));
        }
    }

    /// What has become of a recording's promises, once its device was well again and has resumed.
    pub(crate) fn look_at_promises(&mut self) {
        let mut wrong = Vec::new();
        for truth in &self.truth {
            let Some(live) = &truth.live else {
                continue;
            };
            let stored = self.server.recordings.iter().find(|stored| stored.id == truth.id);
            let there = stored.map_or(0, crate::stored::Stored::proven);
            let id = truth.id;
            if there < live.promised {
                wrong.push(format!("{there} bytes of {id} are left of {} that were promised", live.promised));
            }
            if there < live.outlives {
                wrong.push(format!(
                    "{there} bytes of {id} are left of {} that were written more than {TAIL:?} before a crash",
                    live.outlives
                ));
            }
            let most = truth.padded_length(self.temper.pads);
            if there > most {
                wrong.push(format!("{there} bytes of {id} are there, and {most} are all of it"));
            }
            if live.is_whole && there != most {
                wrong.push(format!("{id} was called sealed, and has {there} of {most} bytes"));
            }
            if there > 0 && stored.is_some_and(|stored| stored.final_seal.is_none()) {
                wrong.push(format!("{id} was resumed, and has no end"));
            }
        }
        if !self.temper.lied_to_sealer {
            self.violations.append(&mut wrong);
        }
        let left = self.homes[1].list("uploads/");
        if !left.is_empty() && !self.temper.lied_to_sealer {
            self.violation(format!("after everything was resumed there is {left:?}"));
        }
    }
}

/// Until a moment of the world's clock.
struct Until {
    life: Life,
    at: Duration,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.life.look(|world| {
            if world.running() >= self.at {
                return Poll::Ready(());
            }
            world.wake_at(self.at, context.waker().clone());
            Poll::Pending
        })
    }
}

pub(crate) async fn wait(life: &Life, time: Duration) {
    let at = life.look(|world| world.running() + time);
    Until { life: life.clone(), at }.await;
}

/// Writes a recording, in real time, for as long as nothing comes between.
pub(crate) async fn record(life: &Life, session: &Session) {
    let (request, options) = life.look(|world| {
        let title = world.random.happens(1, 2).then(|| format!("live {}", world.steps));
        let request = SealRequest {
            patient: world.people.anna.account,
            clinician: world.people.dora.account,
            consultation: None,
            title,
            media_type: Some("audio/webm".to_owned()),
            pad: world.temper.pads,
        };
        let seconds = if world.random.happens(1, 3) { 4 } else { 1800 };
        let segment_length = Duration::from_secs(seconds);
        let options = RecorderOptions { segment_length, ..RecorderOptions::default() };
        let spool_limit = if world.random.happens(1, 8) { 3_000 } else { options.spool_limit };
        (request, RecorderOptions { spool_limit, ..options })
    });
    if life.look(|world| world.truth.len() >= MOST) {
        return;
    }
    let (recorder, task) = match Recorder::begin(session, &request, options).await {
        Ok(begun) => begun,
        Err(error) => return life.is_stated("beginning a recording", &error),
    };
    let recording = recorder.recording();
    life.look(|world| {
        world.live_begins(recording, life.program, request.title.clone());
        if let Some(live) = world.live(recording).and_then(|truth| truth.live.as_mut()) {
            live.progress = Some(recorder.progress());
            // A spool at its limit takes no tails either.
            live.has_tails = options.spool_limit > 1 << 30;
        }
    });
    beside(task, write(life, recorder)).await;
    life.look(|world| world.live_ends(recording));
}

/// Lets a recorder's task run while something is done with the recorder.
pub(crate) async fn beside<T>(task: RecorderTask, work: impl Future<Output = T>) -> T {
    match select(pin!(work), task).await {
        Either::Left((result, task)) => {
            task.await;
            result
        }
        Either::Right(((), work)) => work.await,
    }
}

/// Waits as long as an encoder may until it has more, and says whether anything more is written.
pub(crate) async fn goes_on(life: &Life) -> bool {
    let most = match life.below(6) {
        0 => 6000,
        1 => 0,
        _ => 1500,
    };
    let pause = life.look(|world| world.random.milliseconds(most));
    wait(life, pause).await;
    !life.look(|world| world.closing)
}

async fn write(life: &Life, mut recorder: Recorder) {
    let recording = recorder.recording();
    let progress = recorder.progress();
    for _ in 0..life.below(30) {
        let what = life.below(60);
        let done = match what {
            0..=5 => {
                life.look(|world| world.live_switches(recording));
                recorder.switch_track(Some("video/webm")).await
            }
            6..=7 => {
                recorder.pause();
                wait(life, Duration::from_millis(900)).await;
                recorder.resume();
                Ok(())
            }
            _ => {
                let length = match what {
                    8 => (1 << 20) + life.below(40_000),
                    9..=12 => 30_000 + life.below(200_000),
                    _ => 1 + life.below(3000),
                };
                let bytes = life.look(|world| {
                    let bytes = world.random.bytes(length);
                    world.live_writes(recording, &bytes);
                    bytes
                });
                recorder.write(&bytes).await
            }
        };
        if let Err(error) = done {
            return claimed(life, recording, &error);
        }
        let acknowledged = progress.get().acknowledged_bytes;
        life.look(|world| world.acknowledged(recording, acknowledged));
        if !goes_on(life).await {
            break;
        }
    }
    if life.below(10) == 0 {
        // What it holds in memory goes with it, as whoever drops it wants.
        life.look(|world| world.live_ends(recording));
        return drop(recorder);
    }
    match life.below(12) {
        0 => recorder.give_up().change(|give_up| *give_up = GiveUp::Now),
        1 => recorder.give_up().change(|give_up| *give_up = GiveUp::AfterOneMoreTry),
        _ => {}
    }
    let complete = life.below(4) != 0;
    let patience = life.look(|world| world.random.milliseconds(8_000));
    match recorder.finish(complete, patience).await {
        Ok(sealed) => has_sealed(life, recording, &sealed),
        Err(error) => claimed(life, recording, &error),
    }
}

/// All of a recording is on the server, and that is what somebody was told.
pub(crate) fn has_sealed(life: &Life, recording: RecordingId, sealed: &Sealed) {
    life.look(|world| {
        world.counts.sealed += 1;
        world.promise(recording, sealed.bytes);
        let pads = world.temper.pads;
        let truth = world.live(recording);
        let written = truth.map(|truth| {
            if let Some(live) = &mut truth.live {
                live.is_whole = true;
            }
            (truth.plaintext(None), truth.padded_length(pads))
        });
        let (written, padded) = written.unwrap_or_default();
        if sealed.bytes != written.len() as u64 || sealed.sha256 != Digest::of(&written) {
            world.violation(format!("{recording} was called sealed, and is not what was written"));
        }
        let stored = world.server.recordings.iter().find(|stored| stored.id == recording);
        if stored.is_none_or(|stored| stored.final_seal.is_none() || stored.proven() != padded) {
            world.violation(format!("{recording} was called sealed, and is not all on the server"));
        }
        if world.known_of(1, recording).is_none_or(|known| known.final_seal.is_none()) {
            world.violation(format!("{recording} was called sealed, and its end is not on the own list"));
        }
    });
}

/// Remembers what somebody was told of a recording that did not end well.
pub(crate) fn claimed(life: &Life, recording: RecordingId, error: &ClientError) {
    life.is_stated("sealing", error);
    life.look(|world| {
        let ClientError::Kept(kept) = error else {
            world.violation(format!("{recording} ended and nobody said what is where: {error:?}"));
            return;
        };
        world.counts.kept += 1;
        let written = world.live(recording).map_or(0, |truth| truth.length());
        let told = [kept.on_server.bytes, kept.kept.bytes, kept.lost.bytes];
        if told.iter().sum::<u64>() != written {
            world.violation(format!("{recording}: of {written} bytes it is said where {told:?} are"));
        }
        if kept.recording != recording {
            world.violation(format!("{recording} ended, and another was spoken of"));
        }
        world.promise(recording, kept.on_server.bytes + kept.kept.bytes);
        let stored = world.server.recordings.iter().find(|stored| stored.id == recording);
        let there = stored.map_or(0, crate::stored::Stored::proven);
        let has_end = stored.is_some_and(|stored| stored.final_seal.is_some());
        if there < kept.on_server.bytes {
            world.violation(format!(
                "{recording}: {} bytes are said to be on the server, {there} are",
                told[0]
            ));
        }
        if kept.end == RecordingEnd::OnServer && !has_end {
            world.violation(format!("{recording}: its end is said to be on the server, and is not"));
        }
        world.live_ends(recording);
    });
}

/// Brings to an end what earlier lives left behind. Gives whether nothing is left.
pub(crate) async fn resume(life: &Life, session: &Session) -> bool {
    match resume_all(session).await {
        Ok(resumed) => looked_at_resumed(life, resumed),
        Err(error) => {
            life.is_stated("resuming", &error);
            life.look(|world| world.last_refusal = format!("{error:?}"));
            false
        }
    }
}

/// Looks at what became of what was left behind. Gives whether nothing is left.
pub(crate) fn looked_at_resumed(life: &Life, resumed: Resumed) -> bool {
    let mut all = resumed.busy == 0;
    for upload in resumed.uploads {
        let recording = upload.recording;
        match upload.ending {
            Ok(Ending::Complete { bytes } | Ending::CutOff { bytes, .. }) => life.look(|world| {
                world.counts.resumed += 1;
                let stored = world.server.recordings.iter().find(|stored| stored.id == recording);
                let there = stored.map_or(0, crate::stored::Stored::proven);
                let is_there = if world.temper.pads { there >= bytes } else { there == bytes };
                if !is_there && !world.temper.lied_to_sealer {
                    world.violation(format!("{recording} was resumed with {bytes} bytes, and has {there}"));
                }
            }),
            Ok(Ending::Nothing { .. }) => {}
            Err(error) => {
                all = false;
                life.is_stated("resuming", &error);
                life.look(|world| world.last_refusal = format!("{recording}: {error:?}"));
            }
        }
    }
    all
}
