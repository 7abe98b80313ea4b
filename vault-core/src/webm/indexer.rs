//! Finding out, while a recording passes by, how long it is and where it can be played from.
//!
//! What is remembered is bounded: the elements before the first cluster (64 KiB), 4096 cues, 16 tracks, and the few bytes of an
//! element's head. Whatever is not understood ends the indexing, never the recording.

use super::ebml::{MAX_HEADER, Read, children, id, read_id, read_number, unsigned, write};
use super::seek_index::{MAX_CUES, MAX_HEAD, SeekIndex};

/// Most Matroska tracks whose times are followed.
const MAX_TRACKS: usize = 16;
/// Bytes at the start of a block that say what it is: track number, time, flags.
const BLOCK_HEAD: usize = 11;
/// Nanoseconds of a tick, where nothing else is said.
const DEFAULT_SCALE: u64 = 1_000_000;
/// Most bytes of an index in JSON.
const MAX_JSON: usize = 200 * 1024;
/// Longest duration that is believed, in milliseconds: a hundred years.
const MAX_SAID: f64 = 100.0 * 366.0 * 86_400_000.0;
/// `TrackType` of a track with pictures.
const VIDEO: u64 = 1;

/// Collects what makes a recording seekable while its bytes pass by, in pieces of any size. Never fails: what it cannot follow
/// has no index.
#[derive(Debug, Default)]
pub struct SeekIndexer {
    /// `None` once something was not understood.
    parser: Option<Box<Parser>>,
    begun: bool,
    /// What the recording says itself of how long it is, in milliseconds.
    said: Option<u64>,
}

/// What was found out about a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexed {
    /// How long it plays, in milliseconds: by its blocks, or what it says itself where these were not followed.
    pub duration_ms: Option<u64>,
    /// What makes it seekable; `None` where it is seekable as it is, and where it was not understood.
    pub index: Option<SeekIndex>,
}

impl SeekIndexer {
    /// Starts at the first byte of a track.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.begun && !bytes.is_empty() {
            self.begun = true;
            self.parser = Some(Box::default());
        }
        if let Some(parser) = &mut self.parser {
            let understood = parser.push(bytes).is_some();
            self.said = self.said.or_else(|| parser.said());
            if !understood {
                self.parser = None;
            }
        }
    }

    /// What was found out, as far as the bytes went: nothing, if they are no WebM or Matroska.
    pub fn finish(self) -> Indexed {
        let index = self.parser.and_then(|parser| parser.finish());
        let duration_ms = index.as_ref().map(SeekIndex::duration_ms).or(self.said);
        Indexed { duration_ms, index }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.parser.as_ref().map_or(0, |parser| {
            let head = [&parser.ebml, &parser.info, &parser.tracks, &parser.others];
            let head: usize = head.iter().map(|element| element.capacity()).sum();
            head + parser.pending.capacity() + 16 * parser.cues.capacity() + 64 * parser.times.capacity()
        })
    }
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    /// The id and size of an element.
    #[default]
    Header,
    /// What is passed over.
    Skip(u64),
    /// The rest of an element that is kept, with as many bytes of its head before it.
    Keep { id: u32, head: usize, left: usize },
    /// The beginning of a block; then as many bytes to pass over.
    Block { id: u32, left: usize, then: u64 },
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    /// Offset from the first cluster.
    offset: u64,
    /// Where it ends, if it says so.
    end: Option<u64>,
    time: Option<u64>,
    cued: bool,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    end: u64,
    block: Option<Block>,
    /// It needs another picture to be decoded.
    refers: bool,
    duration: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    track: u64,
    time: u64,
    key: bool,
}

/// What is known of the times of a track.
#[derive(Debug, Clone, Copy)]
struct Times {
    track: u64,
    last: u64,
    /// Ticks between its last two blocks.
    step: u64,
    /// Latest block of which nothing says how long it lasts.
    latest: Option<u64>,
    /// Latest end of those of which something does.
    end: u64,
}

#[derive(Debug, Default)]
struct Parser {
    position: u64,
    pending: Vec<u8>,
    next: Next,
    ebml: Vec<u8>,
    in_segment: bool,
    info: Vec<u8>,
    tracks: Vec<u8>,
    others: Vec<u8>,
    scale: u64,
    cue_track: u64,
    /// Track numbers with the ticks that each of their blocks lasts.
    default_durations: Vec<(u64, u64)>,
    first_cluster: Option<u64>,
    open_ended: bool,
    cluster: Option<Cluster>,
    group: Option<Group>,
    times: Vec<Times>,
    cues: Vec<(u64, u64)>,
    /// Places met from which it can be played, and how often every second one of them was dropped.
    places: u64,
    halvings: u32,
}

/// Whether an element stands beside clusters, and so ends one of unknown size.
const fn is_beside_clusters(element: u32) -> bool {
    matches!(
        element,
        id::SEEK_HEAD
            | id::INFO
            | id::TRACKS
            | id::CLUSTER
            | id::CUES
            | id::CHAPTERS
            | id::TAGS
            | id::ATTACHMENTS
            | id::SEGMENT
            | id::EBML
    )
}

impl Parser {
    /// Goes on; `None` for what is not understood.
    fn push(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let taken = match self.next {
                Next::Header => {
                    if self.pending.is_empty() {
                        self.leave()?;
                    }
                    self.pending.push(*bytes.first()?);
                    self.position += 1;
                    self.header()?;
                    1
                }
                Next::Skip(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.position = self.position.checked_add(taken as u64)?;
                    let left = left - taken as u64;
                    self.next = if left == 0 { Next::Header } else { Next::Skip(left) };
                    taken
                }
                Next::Keep { id, head, left } => {
                    let taken = self.take(bytes, left)?;
                    self.next = Next::Keep { id, head, left: left - taken };
                    if left == taken {
                        self.keep(id, head)?;
                    }
                    taken
                }
                Next::Block { id, left, then } => {
                    let taken = self.take(bytes, left)?;
                    self.next = Next::Block { id, left: left - taken, then };
                    if left == taken {
                        self.block(id)?;
                        self.pending.clear();
                        self.next = if then == 0 { Next::Header } else { Next::Skip(then) };
                    }
                    taken
                }
            };
            bytes = bytes.get(taken..)?;
        }
        Some(())
    }

    fn take(&mut self, bytes: &[u8], most: usize) -> Option<usize> {
        let taken = most.min(bytes.len());
        self.pending.extend_from_slice(bytes.get(..taken)?);
        self.position = self.position.checked_add(taken as u64)?;
        Some(taken)
    }

    /// Leaves what ends here.
    fn leave(&mut self) -> Option<()> {
        if self.group.is_some_and(|group| group.end == self.position) {
            let group = self.group.take()?;
            if let Some(block) = group.block {
                self.count(Block { key: !group.refers, ..block }, group.duration);
            }
        }
        if self.group.is_none() && self.cluster.is_some_and(|cluster| cluster.end == Some(self.position)) {
            self.cluster = None;
        }
        Some(())
    }

    /// Looks whether the head of an element is there.
    fn header(&mut self) -> Option<()> {
        let (element, id_length) = match read_id(&self.pending) {
            Read::Value(element, length) => (element, length),
            Read::More => return Some(()),
            Read::Malformed => return None,
        };
        let (size, size_length) = match read_number(self.pending.get(id_length..)?) {
            Read::Value(size, length) => (size, length),
            Read::More => return (self.pending.len() < MAX_HEADER).then_some(()),
            Read::Malformed => return None,
        };
        self.element(element, size, id_length + size_length)
    }

    /// Decides what to do with an element whose head, of `head` bytes, is pending.
    fn element(&mut self, element: u32, size: Option<u64>, head: usize) -> Option<()> {
        let start = self.position - head as u64;
        if self.ebml.is_empty() {
            return if element == id::EBML { self.begin_keeping(element, size?, head) } else { None };
        }
        if !self.in_segment {
            match element {
                id::SEGMENT => {
                    self.in_segment = true;
                    return self.enter();
                }
                id::VOID | id::CRC_32 => return self.skip(size?),
                _ => return None,
            }
        }
        if let Some(group) = &mut self.group {
            let size = size?;
            if self.position.checked_add(size)? > group.end {
                return None;
            }
            return match element {
                id::BLOCK => self.begin_block(element, size),
                id::BLOCK_DURATION if size <= 8 => self.begin_keeping(element, size, head),
                id::REFERENCE_BLOCK => {
                    group.refers = true;
                    self.skip(size)
                }
                _ => self.skip(size),
            };
        }
        if let Some(cluster) = self.cluster.filter(|_| !is_beside_clusters(element)) {
            let size = size?;
            let end = self.position.checked_add(size)?;
            if cluster.end.is_some_and(|cluster_end| end > cluster_end) {
                return None;
            }
            return match element {
                id::TIMESTAMP if size <= 8 => self.begin_keeping(element, size, head),
                id::SIMPLE_BLOCK => self.begin_block(element, size),
                id::BLOCK_GROUP => {
                    self.group = Some(Group { end, block: None, refers: false, duration: None });
                    self.enter()
                }
                _ => self.skip(size),
            };
        }
        // One of known size has ended already: what is beside clusters is not within one.
        if self.cluster.take().is_some_and(|cluster| cluster.end.is_some()) {
            return None;
        }
        match element {
            id::CLUSTER => {
                if self.first_cluster.is_none() {
                    self.read_head()?;
                }
                let offset = start - *self.first_cluster.get_or_insert(start);
                let end = match size {
                    Some(size) => Some(self.position.checked_add(size)?),
                    None => None,
                };
                self.open_ended |= end.is_none();
                self.cluster = Some(Cluster { offset, end, time: None, cued: false });
                self.enter()
            }
            id::INFO | id::TRACKS | id::TAGS | id::CHAPTERS | id::ATTACHMENTS
                if self.first_cluster.is_none() =>
            {
                self.begin_keeping(element, size?, head)
            }
            // It can be sought in as it is; and its cues would be wrong behind another head.
            id::CUES | id::SEGMENT | id::EBML => None,
            _ => self.skip(size?),
        }
    }

    fn enter(&mut self) -> Option<()> {
        self.pending.clear();
        self.next = Next::Header;
        Some(())
    }

    fn skip(&mut self, size: u64) -> Option<()> {
        self.pending.clear();
        self.next = if size == 0 { Next::Header } else { Next::Skip(size) };
        Some(())
    }

    fn begin_keeping(&mut self, id: u32, size: u64, head: usize) -> Option<()> {
        let left = usize::try_from(size).ok()?;
        let kept = self.ebml.len() + self.info.len() + self.tracks.len() + self.others.len();
        if kept.checked_add(head)?.checked_add(left)? > MAX_HEAD {
            return None;
        }
        self.next = Next::Keep { id, head, left };
        if left == 0 { self.keep(id, head) } else { Some(()) }
    }

    fn begin_block(&mut self, id: u32, size: u64) -> Option<()> {
        self.pending.clear();
        let left = usize::try_from(size).unwrap_or(usize::MAX).min(BLOCK_HEAD);
        self.next = Next::Block { id, left, then: size - left as u64 };
        // A block has at least four bytes.
        (left >= 4).then_some(())
    }

    /// An element that is kept is pending, whole.
    fn keep(&mut self, element: u32, head: usize) -> Option<()> {
        let whole = std::mem::take(&mut self.pending);
        let payload = whole.get(head..)?;
        self.next = Next::Header;
        match element {
            id::EBML => self.ebml = whole,
            id::INFO if self.info.is_empty() => self.info = whole,
            id::TRACKS if self.tracks.is_empty() => self.tracks = whole,
            id::TAGS | id::CHAPTERS | id::ATTACHMENTS => self.others.extend(whole),
            id::TIMESTAMP => self.cluster.as_mut()?.time = Some(unsigned(payload)?),
            id::BLOCK_DURATION => self.group.as_mut()?.duration = Some(unsigned(payload)?),
            _ => return None,
        }
        Some(())
    }

    /// Understands what stands before the first cluster.
    fn read_head(&mut self) -> Option<()> {
        let (_, _, info) = children(&self.info).next()??;
        self.scale = DEFAULT_SCALE;
        for child in children(info) {
            let (id, _, payload) = child?;
            if id == id::TIMESTAMP_SCALE {
                self.scale = unsigned(payload).filter(|&scale| scale > 0)?;
            }
        }
        let (_, _, tracks) = children(&self.tracks).next()??;
        let mut pictures = None;
        let mut first = None;
        for child in children(tracks) {
            let (id, _, entry) = child?;
            if id != id::TRACK_ENTRY {
                continue;
            }
            let (mut number, mut kind, mut lasts) = (None, None, None);
            for child in children(entry) {
                let (id, _, payload) = child?;
                match id {
                    id::TRACK_NUMBER => number = unsigned(payload),
                    id::TRACK_TYPE => kind = unsigned(payload),
                    id::DEFAULT_DURATION => lasts = unsigned(payload),
                    _ => {}
                }
            }
            let number = number?;
            first.get_or_insert(number);
            if kind == Some(VIDEO) {
                pictures.get_or_insert(number);
            }
            if let Some(lasts) = lasts.filter(|_| self.default_durations.len() < MAX_TRACKS) {
                self.default_durations.push((number, lasts / self.scale));
            }
        }
        self.cue_track = pictures.or(first)?;
        Some(())
    }

    /// The beginning of a block is pending.
    fn block(&mut self, element: u32) -> Option<()> {
        let Read::Value(Some(track), length) = read_number(&self.pending) else {
            return None;
        };
        let &[high, low, flags] = self.pending.get(length..length + 3)? else {
            return None;
        };
        let base = self.cluster.as_ref()?.time?;
        let time = base.saturating_add_signed(i64::from(i16::from_be_bytes([high, low])));
        let block = Block { track, time, key: flags & 0x80 != 0 };
        match &mut self.group {
            // Its key frame is known at the end of the group.
            Some(group) if element == id::BLOCK => group.block = Some(block),
            _ => self.count(block, None),
        }
        Some(())
    }

    fn count(&mut self, block: Block, lasts: Option<u64>) {
        let Block { track, time, key } = block;
        let default =
            self.default_durations.iter().find(|(number, _)| *number == track).map(|(_, lasts)| *lasts);
        let lasts = lasts.or(default.filter(|&lasts| lasts > 0));
        if self.times.len() < MAX_TRACKS && self.times.iter().all(|times| times.track != track) {
            self.times.push(Times { track, last: time, step: 0, latest: None, end: 0 });
        }
        if let Some(times) = self.times.iter_mut().find(|times| times.track == track) {
            times.step = time.checked_sub(times.last).filter(|&step| step > 0).unwrap_or(times.step);
            times.last = time;
            match lasts {
                Some(lasts) => times.end = times.end.max(time.saturating_add(lasts)),
                None => times.latest = times.latest.max(Some(time)),
            }
        }
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| !cluster.cued) else {
            return;
        };
        // Times that go back could not be searched.
        let forward = self.cues.last().is_none_or(|&(last, offset)| last <= time && offset < cluster.offset);
        if key && track == self.cue_track && forward {
            cluster.cued = true;
            // After n halvings one of 2^n is kept of those to come too, so that they stay evenly apart.
            if self.places.trailing_zeros() >= self.halvings {
                self.cues.push((time, cluster.offset));
                if self.cues.len() > MAX_CUES {
                    halve(&mut self.cues);
                    self.halvings += 1;
                }
            }
            self.places += 1;
        }
    }

    /// How long the recording says that it is, in milliseconds.
    fn said(&self) -> Option<u64> {
        let (_, _, info) = children(&self.info).next()??;
        let (mut scale, mut ticks) = (DEFAULT_SCALE, None);
        for child in children(info) {
            let (id, _, payload) = child?;
            match id {
                id::TIMESTAMP_SCALE => scale = unsigned(payload)?,
                id::DURATION => ticks = float(payload),
                _ => {}
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "no scale is so large that its last digits matter")]
        let milliseconds = ticks? * scale as f64 / 1e6;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within a century, as the line before it says"
        )]
        (0.0..=MAX_SAID).contains(&milliseconds).then(|| milliseconds.round() as u64)
    }

    fn finish(mut self) -> Option<SeekIndex> {
        self.leave()?;
        let first_cluster = self.first_cluster?;
        let ticks = self.times.iter().map(|times| times.ends(self.scale)).max()?;
        let nanoseconds = u128::from(ticks) * u128::from(self.scale);
        // What was cut off within an element does not end with the segment either.
        let cut_off = self.cluster.is_some() || self.next != Next::Header || !self.pending.is_empty();
        let mut index = SeekIndex {
            info: with_duration(&self.info, ticks)?,
            ebml: self.ebml,
            tracks: self.tracks,
            others: self.others,
            first_cluster,
            open_ended: self.open_ended || cut_off,
            scale: self.scale,
            duration_ms: u64::try_from(nanoseconds / 1_000_000).ok()?,
            cue_track: self.cue_track,
            cues: self.cues,
        };
        while serde_json::to_vec(&index).ok()?.len() > MAX_JSON {
            // Halving does not shorten these.
            if index.cues.len() < 2 {
                return None;
            }
            halve(&mut index.cues);
        }
        Some(index)
    }
}

impl Times {
    /// When the track ends. A last block of unknown length is taken to last as long as the one before it, but no longer than
    /// a second: before it there may have been a gap.
    fn ends(&self, scale: u64) -> u64 {
        let second = 1_000_000_000 / scale.max(1);
        let latest = self.latest.map_or(0, |latest| latest.saturating_add(self.step.min(second)));
        self.end.max(latest)
    }
}

/// Drops every second one, from the second on.
fn halve(cues: &mut Vec<(u64, u64)>) {
    let mut keep = false;
    cues.retain(|_| {
        keep = !keep;
        keep
    });
}

/// A floating-point number of 4 or 8 bytes, as elements hold it.
fn float(payload: &[u8]) -> Option<f64> {
    match payload.len() {
        4 => Some(f32::from_be_bytes(payload.try_into().ok()?).into()),
        8 => Some(f64::from_be_bytes(payload.try_into().ok()?)),
        _ => None,
    }
}

/// The element `Info` with another duration. What it says of its own checksum or leaves free is dropped.
fn with_duration(info: &[u8], ticks: u64) -> Option<Vec<u8>> {
    let (_, _, payload) = children(info).next()??;
    let mut rewritten = Vec::with_capacity(payload.len() + 16);
    for child in children(payload) {
        let (id, whole, _) = child?;
        if !matches!(id, id::DURATION | id::CRC_32 | id::VOID) {
            rewritten.extend_from_slice(whole);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a duration of 2^53 ticks is no recording's")]
    write(&mut rewritten, id::DURATION, &(ticks as f64).to_be_bytes());
    let mut element = Vec::new();
    write(&mut element, id::INFO, &rewritten);
    Some(element)
}

#[cfg(test)]
mod built_tests;
#[cfg(test)]
mod tests;
