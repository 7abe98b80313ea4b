//! Following the elements of a recording while its bytes pass by.

use super::beginnings::{Beginning, beginning, next_beginning};
use super::ebml::{MAX_HEADER, Read, id, read_id, read_number, unsigned};
use super::head::Head;
use super::seek_index::SeekIndex;
use super::timeline::{Block, Found, Place, Timeline};

/// Bytes at the start of a block that say what it is: track number, time, flags.
const BLOCK_HEAD: usize = 11;

/// What the next bytes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    /// The id and size of an element.
    #[default]
    Header,
    /// What is passed over.
    Skip(u64),
    /// What is passed over up to the position `end`, unless a cluster or another recording begins in it. `from` is
    /// where the element begins that this is of.
    Look { from: u64, end: u64 },
    /// As `Look`; such a beginning may be pending.
    Perhaps { from: u64, end: u64 },
    /// The rest of an element that is kept, with as many bytes of its head before it.
    Keep { id: u32, head: usize, left: usize },
    /// The rest of a block's beginning, with as many bytes of the element's head before it; then as many bytes to pass
    /// over.
    Block { id: u32, head: usize, left: usize, then: u64 },
    /// What nothing is looked for in.
    Rest,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    place: Place,
    /// Where it ends, if it says so.
    end: Option<u64>,
    time: Option<u64>,
    /// Time of its latest block, in ticks from its own. Blocks tell 16 bits of theirs: in a cluster of more than 32,767
    /// ticks the one that is nearest to the block before is meant.
    latest: i64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    end: u64,
    block: Option<Block>,
    /// It needs another picture to be decoded.
    refers: bool,
    duration: Option<u64>,
}

/// Follows the elements of a recording.
#[derive(Debug, Default)]
pub(super) struct Parser {
    position: u64,
    pending: Vec<u8>,
    next: Next,
    /// What was taken but is to be looked at once more.
    again: Vec<u8>,
    head: Head,
    in_segment: bool,
    /// Where the media begin, which stay as they are, and when they play; once the head is complete.
    media: Option<(u64, Timeline)>,
    cluster: Option<Cluster>,
    group: Option<Group>,
    /// The head of another recording behind the first one, and where in the body it begins, until its first cluster.
    joined: Option<(u64, Head)>,
    open_ended: bool,
    has_cues: bool,
    other_from: Option<u64>,
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
    /// Goes on; `None` for what is no recording.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let before = self.position;
            let understood = self.step(bytes);
            let taken = usize::try_from(self.position.checked_sub(before)?).ok()?;
            if understood.is_none() {
                self.lose_track()?;
            }
            let again = std::mem::take(&mut self.again);
            if !again.is_empty() {
                // Always fewer than were pending: this ends.
                self.position = self.position.checked_sub(again.len() as u64)?;
                self.push(&again)?;
            }
            bytes = bytes.get(taken..)?;
        }
        Some(())
    }

    /// Takes some of the bytes, by as many as the position goes on; `None` for what is not understood.
    fn step(&mut self, bytes: &[u8]) -> Option<()> {
        match self.next {
            Next::Header => {
                if self.pending.is_empty() {
                    self.leave();
                }
                self.take(bytes, 1)?;
                self.header()
            }
            Next::Skip(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.position = self.position.checked_add(taken as u64)?;
                let left = left - taken as u64;
                self.next = if left == 0 { Next::Header } else { Next::Skip(left) };
                Some(())
            }
            Next::Look { from, end } => self.look(bytes, from, end),
            Next::Perhaps { from, end } => {
                self.take(bytes, 1)?;
                self.decide(from, end)
            }
            Next::Keep { id, head, left } => {
                let left = left - self.take(bytes, left)?;
                self.next = Next::Keep { id, head, left };
                if left == 0 { self.keep(id, head) } else { Some(()) }
            }
            Next::Block { id, head, left, then } => {
                let left = left - self.take(bytes, left)?;
                self.next = Next::Block { id, head, left, then };
                if left == 0 { self.block(id, head, then) } else { Some(()) }
            }
            Next::Rest => {
                self.position = self.position.checked_add(bytes.len() as u64)?;
                Some(())
            }
        }
    }

    fn take(&mut self, bytes: &[u8], most: usize) -> Option<usize> {
        let taken = most.min(bytes.len());
        self.pending.extend_from_slice(bytes.get(..taken)?);
        self.position = self.position.checked_add(taken as u64)?;
        Some(taken)
    }

    /// Where what is pending begins.
    fn start(&self) -> u64 {
        self.position.saturating_sub(self.pending.len() as u64)
    }

    /// Goes on where the next cluster or recording begins, behind the first of the bytes that are pending and not
    /// understood. `None` where nothing can be played anyway.
    fn lose_track(&mut self) -> Option<()> {
        let from = self.start();
        self.begin_media(from)?;
        self.look_from(from, u64::MAX);
        Some(())
    }

    /// Looks from the second of the pending bytes on, up to `end`.
    fn look_from(&mut self, from: u64, end: u64) {
        let pending = std::mem::take(&mut self.pending);
        self.again = pending.get(1..).unwrap_or_default().to_vec();
        self.next = Next::Look { from, end };
    }

    fn look(&mut self, bytes: &[u8], from: u64, end: u64) -> Option<()> {
        let Some(left) = end.checked_sub(self.position).filter(|&left| left > 0) else {
            self.next = Next::Header;
            return Some(());
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(..most)?;
        let passed = next_beginning(bytes);
        self.position = self.position.checked_add(passed as u64)?;
        if let Some(first) = bytes.get(passed) {
            self.take(std::slice::from_ref(first), 1)?;
            self.next = Next::Perhaps { from, end };
        }
        Some(())
    }

    /// Decides whether a cluster or another recording begins with what is pending.
    fn decide(&mut self, from: u64, end: u64) -> Option<()> {
        match beginning(&self.pending) {
            Beginning::More => {}
            Beginning::No => self.look_from(from, end),
            Beginning::Yes => {
                self.begin_media(from)?;
                self.open_ended = true;
                self.cluster = None;
                self.group = None;
                self.in_segment = true;
                self.again = std::mem::take(&mut self.pending);
                self.next = Next::Header;
            }
        }
        Some(())
    }

    /// Leaves what ends here.
    fn leave(&mut self) {
        if let Some(group) = self.group.filter(|group| group.end <= self.position) {
            self.group = None;
            if let Some(block) = group.block {
                self.count(Block { key: !group.refers, lasts: group.duration, ..block });
            }
        }
        let ends = |cluster: Cluster| cluster.end.is_some_and(|end| end <= self.position);
        if self.group.is_none() && self.cluster.is_some_and(ends) {
            self.cluster = None;
        }
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
        if self.group.is_some() {
            return self.in_group(element, size?, head);
        }
        if self.cluster.is_some() && !is_beside_clusters(element) {
            return self.in_cluster(element, size?, head);
        }
        // One of known size has ended already, unless some of it is missing.
        self.open_ended |= self.cluster.take().is_some_and(|cluster| cluster.end.is_some());
        if element == id::EBML {
            self.begin_recording()?;
            let size = size.filter(|&size| self.has_room(size, head))?;
            return self.begin_keeping(element, size, head);
        }
        if !self.in_segment {
            return match element {
                id::SEGMENT if !self.current_head().ebml.is_empty() => {
                    self.in_segment = true;
                    self.enter()
                }
                id::VOID | id::CRC_32 if !self.current_head().ebml.is_empty() => self.skip(size?),
                _ => None,
            };
        }
        match element {
            id::CLUSTER => self.begin_cluster(size),
            // Another recording, whose first bytes are missing.
            id::SEGMENT if self.media.is_some() => {
                self.begin_recording()?;
                self.in_segment = true;
                self.enter()
            }
            id::SEGMENT => None,
            id::CUES => {
                self.has_cues = true;
                self.skip(size?)
            }
            id::INFO | id::TRACKS | id::TAGS | id::CHAPTERS | id::ATTACHMENTS => {
                let is_kept = self.joined.is_some() || self.media.is_none();
                if is_kept && self.has_room(size?, head) {
                    return self.begin_keeping(element, size?, head);
                }
                // Too large to stand in a new head, so it stays in the body.
                self.begin_media(self.start())?;
                self.skip(size?)
            }
            id::SEEK_HEAD => self.skip(size?),
            _ => {
                // Behind a whole head it stays, for it may be a damaged cluster; before that, nothing can be played
                // yet.
                let _ = self.begin_media(self.start());
                self.look_through(size?)
            }
        }
    }

    fn in_group(&mut self, element: u32, size: u64, head: usize) -> Option<()> {
        let group = self.group.as_mut()?;
        if self.position.checked_add(size)? > group.end {
            return None;
        }
        match element {
            id::BLOCK => self.begin_block(element, size, head),
            id::BLOCK_DURATION if size <= 8 => self.begin_keeping(element, size, head),
            id::REFERENCE_BLOCK => {
                group.refers = true;
                self.look_through(size)
            }
            _ => self.look_through(size),
        }
    }

    fn in_cluster(&mut self, element: u32, size: u64, head: usize) -> Option<()> {
        let end = self.position.checked_add(size)?;
        if self.cluster?.end.is_some_and(|cluster_end| end > cluster_end) {
            return None;
        }
        match element {
            id::TIMESTAMP if size <= 8 => self.begin_keeping(element, size, head),
            id::SIMPLE_BLOCK => self.begin_block(element, size, head),
            id::BLOCK_GROUP => {
                self.group = Some(Group { end, block: None, refers: false, duration: None });
                self.enter()
            }
            _ => self.look_through(size),
        }
    }

    fn begin_cluster(&mut self, size: Option<u64>) -> Option<()> {
        let start = self.start();
        self.begin_media(start)?;
        let (body_from, timeline) = self.media.as_mut()?;
        if let Some((offset, head)) = self.joined.take() {
            if !self.head.serves(&head) {
                self.other_from = Some(offset);
                self.pending.clear();
                self.next = Next::Rest;
                return Some(());
            }
            timeline.begin_again();
        }
        let place = Place::new(start.checked_sub(*body_from)?);
        let end = match size {
            Some(size) => Some(self.position.checked_add(size)?),
            None => None,
        };
        self.open_ended |= end.is_none();
        self.cluster = Some(Cluster { place, end, time: None, latest: 0 });
        self.enter()
    }

    /// What is pending begins a recording: the first one, or another behind it.
    fn begin_recording(&mut self) -> Option<()> {
        self.in_segment = false;
        match &self.media {
            // Nothing of an earlier one can be played.
            None => self.head = Head::default(),
            Some((body_from, _)) => {
                self.open_ended = true;
                self.joined = Some((self.start().checked_sub(*body_from)?, Head::default()));
            }
        }
        Some(())
    }

    /// The head is complete, and from `start` on all bytes stay as they are.
    fn begin_media(&mut self, start: u64) -> Option<()> {
        if self.media.is_none() {
            self.media = Some((start, Timeline::new(self.head.read()?)?));
        }
        Some(())
    }

    fn current_head(&mut self) -> &mut Head {
        match &mut self.joined {
            Some((_, head)) => head,
            None => &mut self.head,
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

    /// Passes over the rest of an element, or of what looks like one: where bytes are missing, anything does, of any
    /// size.
    fn look_through(&mut self, size: u64) -> Option<()> {
        let end = self.position.checked_add(size)?;
        self.look_from(self.start(), end);
        Some(())
    }

    fn has_room(&self, size: u64, head: usize) -> bool {
        let bytes = usize::try_from(size).ok().and_then(|size| size.checked_add(head));
        let current = self.joined.as_ref().map_or(&self.head, |(_, head)| head);
        bytes.is_some_and(|bytes| current.has_room(bytes))
    }

    fn begin_keeping(&mut self, id: u32, size: u64, head: usize) -> Option<()> {
        let left = usize::try_from(size).ok()?;
        self.next = Next::Keep { id, head, left };
        if left == 0 { self.keep(id, head) } else { Some(()) }
    }

    fn begin_block(&mut self, id: u32, size: u64, head: usize) -> Option<()> {
        let left = usize::try_from(size).unwrap_or(usize::MAX).min(BLOCK_HEAD);
        self.next = Next::Block { id, head, left, then: size - left as u64 };
        // A block has at least four bytes.
        (left >= 4).then_some(())
    }

    /// An element that is kept is pending, whole.
    fn keep(&mut self, element: u32, head: usize) -> Option<()> {
        let payload = self.pending.get(head..)?;
        match element {
            id::TIMESTAMP => self.cluster.as_mut()?.time = Some(unsigned(payload)?),
            id::BLOCK_DURATION => self.group.as_mut()?.duration = Some(unsigned(payload)?),
            _ => {
                let whole = std::mem::take(&mut self.pending);
                self.current_head().keep(element, whole);
            }
        }
        self.enter()
    }

    /// The beginning of a block is pending.
    fn block(&mut self, element: u32, head: usize, then: u64) -> Option<()> {
        let beginning = self.pending.get(head..)?;
        let Read::Value(Some(track), length) = read_number(beginning) else {
            return None;
        };
        let &[high, low, flags] = beginning.get(length..length + 3)? else {
            return None;
        };
        if !self.media.as_ref()?.1.has_track(track) {
            return None;
        }
        let cluster = self.cluster.as_mut()?;
        let base = cluster.time?;
        #[expect(clippy::cast_possible_truncation, reason = "what is left are the bits that a block tells")]
        let step = i16::from_be_bytes([high, low]).wrapping_sub(cluster.latest as i16);
        cluster.latest = cluster.latest.saturating_add(i64::from(step));
        let time = base.saturating_add_signed(cluster.latest);
        let block = Block { track, time, key: flags & 0x80 != 0, lasts: None };
        match &mut self.group {
            // Whether it is a key frame is known at the end of the group.
            Some(group) if element == id::BLOCK => group.block = Some(block),
            _ => self.count(block),
        }
        self.look_through(then)
    }

    fn count(&mut self, block: Block) {
        if let (Some((_, timeline)), Some(cluster)) = (&mut self.media, &mut self.cluster) {
            timeline.count(&mut cluster.place, block);
        }
    }

    /// How long the recording says that it is, in milliseconds.
    pub(super) fn said(&self) -> Option<u64> {
        self.head.said()
    }

    /// The index of what was followed, and whether the recording is seekable without; `None` if no block was.
    pub(super) fn finish(mut self) -> Option<(SeekIndex, bool)> {
        if matches!(self.next, Next::Look { end, .. } if end <= self.position) {
            self.next = Next::Header;
        }
        if self.next == Next::Header && self.pending.is_empty() {
            self.leave();
        }
        // What was cut off within an element does not end with the segment either.
        let cut_off = self.cluster.is_some() || self.next != Next::Header || !self.pending.is_empty();
        let (body_from, timeline) = self.media?;
        let Found { scale, runs, cue_track, cues, sound_track, sound_cues } = timeline.finish()?;
        let index = SeekIndex {
            info: self.head.lasting_info()?,
            ebml: self.head.ebml,
            tracks: self.head.tracks,
            others: self.head.others,
            body_from,
            open_ended: self.open_ended || cut_off,
            scale,
            runs,
            cue_track,
            cues,
            sound_track,
            sound_cues,
            other_from: self.other_from,
        };
        Some((index, self.has_cues))
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let head = |head: &Head| {
            [&head.ebml, &head.info, &head.tracks, &head.others]
                .map(|element| element.capacity())
                .iter()
                .sum::<usize>()
        };
        let heads = head(&self.head) + self.joined.as_ref().map_or(0, |(_, joined)| head(joined));
        let media = self.media.as_ref().map_or(0, |(_, timeline)| timeline.memory());
        heads + media + self.pending.capacity() + self.again.capacity()
    }
}
