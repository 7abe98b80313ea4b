//! When the blocks of a recording play, and from which of them playing can begin.
//!
//! A recorder's clock may jump: by days when it is set, back to nothing when another recorder goes on. The blocks
//! between two jumps are a run. What is recorded lasts as long as its runs together; nothing was recorded between them.

use super::head::{Kind, Media};
use super::seek_index::{MAX_CUES, MAX_RUNS, MAX_SOUND_CUES, Run};

/// Longest that blocks of one run are apart, and that one lasts, in seconds: camera and microphone may be off for a
/// while.
const MAX_GAP: u64 = 3600;
/// Furthest that a cluster goes back within a run, in seconds: tracks do not come in exact order.
const MAX_STEP_BACK: u64 = 60;

/// A block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) track: u64,
    /// In ticks.
    pub(super) time: u64,
    /// Whether it says that it needs no other.
    pub(super) key: bool,
    /// Ticks that it lasts, where it says so.
    pub(super) lasts: Option<u64>,
}

/// A cluster, as far as its blocks were counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Offset from where the media begin.
    offset: u64,
    /// Whether its blocks count; not known before the first one.
    counts: Option<bool>,
    /// Whether playing can begin here: in the main track, in the sound beside it.
    cued: bool,
    sound_cued: bool,
}

impl Place {
    pub(super) const fn new(offset: u64) -> Self {
        Self { offset, counts: None, cued: false, sound_cued: false }
    }
}

/// A run that may grow.
#[derive(Debug, Clone, Copy)]
struct Growing {
    run: Run,
    clusters: u64,
    /// Whether a recorder begins with it: then it is no stray timestamp, however short.
    begins: bool,
}

/// Times of a track within a run.
#[derive(Debug, Clone, Copy)]
struct Times {
    track: u64,
    last: u64,
    /// Ticks between its last two blocks.
    step: u64,
    /// Latest block of which nothing says how long it lasts.
    latest: Option<u64>,
}

/// What is known of a recording's times.
#[derive(Debug)]
pub(super) struct Timeline {
    media: Media,
    /// The first track with pictures; without one the first with sound; without one the first.
    main: u64,
    /// The first track with sound beside pictures.
    sound: Option<u64>,
    /// Whether the main track has a block.
    has_main: bool,
    runs: Vec<Growing>,
    times: Vec<Times>,
    cues: Cues,
    sound_cues: Cues,
    /// Whether another recorder begins, so that the next block begins a run whatever it says.
    begins: bool,
}

/// Runs and cues of a recording, as its index has them.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) scale: u64,
    pub(super) runs: Vec<Run>,
    pub(super) cue_track: u64,
    pub(super) cues: Vec<(u64, u64)>,
    pub(super) sound_track: Option<u64>,
    pub(super) sound_cues: Vec<(u64, u64)>,
}

impl Timeline {
    /// Of tracks of which no block was seen yet; `None` if there are none.
    pub(super) fn new(media: Media) -> Option<Self> {
        let (pictures, sound) = (media.first(Kind::Pictures), media.first(Kind::Sound));
        let main = pictures.or(sound).or_else(|| media.tracks.first().map(|track| track.number))?;
        Some(Self {
            media,
            main,
            sound: sound.filter(|_| pictures.is_some()),
            has_main: false,
            runs: Vec::new(),
            times: Vec::new(),
            cues: Cues::default(),
            sound_cues: Cues::default(),
            begins: false,
        })
    }

    /// Whether the head tells of a track.
    pub(super) fn has_track(&self, number: u64) -> bool {
        self.media.more || self.media.track(number).is_some()
    }

    /// Another recorder goes on.
    pub(super) fn begin_again(&mut self) {
        self.begins = true;
    }

    /// Counts the next block, of a cluster.
    pub(super) fn count(&mut self, cluster: &mut Place, block: Block) {
        let counts = match cluster.counts {
            Some(counts) => counts,
            None => self.place(cluster.offset, block.time),
        };
        cluster.counts = Some(counts);
        if !counts {
            return;
        }
        let Some(track) = self.media.track(block.track) else { return };
        let lasts = block.lasts.or(track.lasts).filter(|&lasts| lasts <= self.seconds(MAX_GAP));
        self.follow(block, lasts);
        // Sound can be begun with anywhere, and some recorders do not say so.
        let key = block.key || track.kind == Kind::Sound;
        self.has_main |= block.track == self.main;
        let from = self.runs.last().map_or(0, |growing| growing.run.offset);
        if key && block.track == self.main && !cluster.cued {
            cluster.cued = self.cues.add(block.time, cluster.offset, from);
        }
        if Some(block.track) == self.sound && !cluster.sound_cued {
            cluster.sound_cued = self.sound_cues.add(block.time, cluster.offset, from);
        }
    }

    /// Finds the run of the cluster at `offset`, whose first block is at `time`. Says whether there is one.
    fn place(&mut self, offset: u64, time: u64) -> bool {
        if !self.begins {
            if self.last_holds(time) {
                return self.go_on();
            }
            // One cluster whose time fits to nothing is no clock that was set.
            if self.runs.last().is_some_and(|growing| growing.clusters == 1 && !growing.begins) {
                self.drop_run();
                if self.last_holds(time) {
                    return self.go_on();
                }
            }
            // A clock that was set wrong and is right again: what came between lies in a gap of the run that goes on.
            let before = self.runs.len().checked_sub(2).and_then(|at| self.runs.get(at));
            let is_back = before.is_some_and(|before| self.holds(before.run, time));
            if is_back && self.runs.last().is_some_and(|growing| !growing.begins) {
                self.drop_run();
                return self.go_on();
            }
        }
        self.close_run();
        if self.runs.len() >= MAX_RUNS {
            return false;
        }
        let run = Run { offset, from: time, until: time };
        self.runs.push(Growing { run, clusters: 1, begins: self.begins });
        self.begins = false;
        true
    }

    fn last_holds(&self, time: u64) -> bool {
        self.runs.last().is_some_and(|growing| self.holds(growing.run, time))
    }

    /// Whether a cluster at `time` goes on with a run.
    fn holds(&self, run: Run, time: u64) -> bool {
        let earliest = run.until.saturating_sub(self.seconds(MAX_STEP_BACK));
        let latest = run.until.saturating_add(self.seconds(MAX_GAP));
        (earliest..=latest).contains(&time)
    }

    fn go_on(&mut self) -> bool {
        if let Some(growing) = self.runs.last_mut() {
            growing.clusters += 1;
        }
        true
    }

    fn drop_run(&mut self) {
        if let Some(dropped) = self.runs.pop() {
            self.times.clear();
            self.cues.drop_from(dropped.run.offset);
            self.sound_cues.drop_from(dropped.run.offset);
        }
    }

    /// Extends the run that grows by a block.
    fn follow(&mut self, block: Block, lasts: Option<u64>) {
        let Block { track, time, .. } = block;
        if !self.times.iter().any(|times| times.track == track) {
            self.times.push(Times { track, last: time, step: 0, latest: None });
        }
        if let Some(times) = self.times.iter_mut().find(|times| times.track == track) {
            times.step = time.checked_sub(times.last).filter(|&step| step > 0).unwrap_or(times.step);
            times.last = time;
            if lasts.is_none() {
                times.latest = times.latest.max(Some(time));
            }
        }
        if let Some(Growing { run, .. }) = self.runs.last_mut() {
            run.from = run.from.min(time);
            run.until = run.until.max(time.saturating_add(lasts.unwrap_or(0)));
        }
    }

    /// Ends the run that grows. A last block of unknown length is taken to last as long as the one before it, but no
    /// longer than a second: before it there may have been a gap.
    fn close_run(&mut self) {
        let second = self.seconds(1);
        let ends = |times: &Times| times.latest.map(|latest| latest.saturating_add(times.step.min(second)));
        let end = self.times.iter().filter_map(ends).max();
        if let Some(Growing { run, .. }) = self.runs.last_mut() {
            run.until = run.until.max(end.unwrap_or(0));
        }
        self.times.clear();
    }

    fn seconds(&self, seconds: u64) -> u64 {
        seconds.saturating_mul(1_000_000_000) / self.media.scale.max(1)
    }

    /// What was found; `None` if no block was counted.
    pub(super) fn finish(mut self) -> Option<Found> {
        if self.runs.len() > 1 && self.runs.last().is_some_and(|last| last.clusters == 1 && !last.begins) {
            self.drop_run();
        }
        self.close_run();
        let runs: Vec<Run> = self.runs.iter().map(|growing| growing.run).collect();
        if runs.is_empty() {
            return None;
        }
        let scale = self.media.scale;
        let (cues, mut sound_cues) = (self.cues.places, self.sound_cues.places);
        // A camera that was never on.
        if let Some(sound) = self.sound.filter(|_| !self.has_main) {
            let (sound_track, none) = (None, Vec::new());
            return Some(Found {
                scale,
                runs,
                cue_track: sound,
                cues: sound_cues,
                sound_track,
                sound_cues: none,
            });
        }
        while sound_cues.len() > MAX_SOUND_CUES {
            halve(&mut sound_cues);
        }
        Some(Found { scale, runs, cue_track: self.main, cues, sound_track: self.sound, sound_cues })
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        16 * (self.cues.places.capacity() + self.sound_cues.places.capacity())
            + 64 * (self.times.capacity() + self.runs.capacity() + self.media.tracks.capacity())
    }
}

/// Places of a track, evenly apart.
#[derive(Debug, Default)]
struct Cues {
    /// Each: a time in ticks, and the offset of its cluster.
    places: Vec<(u64, u64)>,
    /// Places met, and how often every second one of them was dropped.
    met: u64,
    halvings: u32,
}

impl Cues {
    /// Takes a place in, of the run that begins at `from`; says whether it is one. Times that go back could not be
    /// searched.
    fn add(&mut self, time: u64, offset: u64, from: u64) -> bool {
        let is_forward = |&(before, at): &(u64, u64)| at < offset && (at < from || before <= time);
        if !self.places.last().is_none_or(is_forward) {
            return false;
        }
        // After n halvings one of 2^n is kept of those to come too.
        if self.met.trailing_zeros() >= self.halvings {
            self.places.push((time, offset));
            if self.places.len() > MAX_CUES {
                halve(&mut self.places);
                self.halvings += 1;
            }
        }
        self.met += 1;
        true
    }

    fn drop_from(&mut self, offset: u64) {
        self.places.retain(|&(_, at)| at < offset);
    }
}

/// Drops every second one, from the second on.
pub(super) fn halve(places: &mut Vec<(u64, u64)>) {
    let mut keep = false;
    places.retain(|_| {
        keep = !keep;
        keep
    });
}
