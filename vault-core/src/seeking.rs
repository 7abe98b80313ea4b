//! Authenticated random access: a track of a recording as one `Read + Seek` (FORMAT.md, "Geometry").
//!
//! Reading fetches only the parts that hold the bytes asked for, and each is checked before a byte of it is handed out.

use std::io::{self, Read, Seek, SeekFrom};

use crate::opening::{OpenError, PartOpener};

/// Where a reader gets ciphertext from.
pub trait PartSource {
    /// Fetches one whole part of a segment.
    ///
    /// # Errors
    /// Whatever the source's transport reports. What it returns is checked, so it may be wrong.
    fn part(&mut self, segment: u32, part: u32) -> io::Result<Vec<u8>>;
}

/// A segment ready to be read: its number and what opens its parts.
pub struct ReadableSegment {
    /// Number of the segment in the recording.
    pub index: u32,
    /// Opens its parts.
    pub parts: PartOpener,
}

/// A part that was opened last.
struct Opened {
    segment: usize,
    part: u32,
    plaintext: zeroize::Zeroizing<Vec<u8>>,
}

/// The plaintext of segments one after the other, readable from anywhere.
pub struct SeekableTrack<S> {
    source: S,
    segments: Vec<ReadableSegment>,
    /// Offset at which each segment starts.
    starts: Vec<u64>,
    length: u64,
    position: u64,
    opened: Option<Opened>,
}

/// A place in the segments: which one, which part of it, which byte of that part's plaintext.
struct Place {
    segment: usize,
    part: u32,
    offset: usize,
}

impl<S: PartSource> SeekableTrack<S> {
    /// Joins the segments of one track, in their order. It ends after so many `bytes`, as the details say; `None`
    /// without details, where it is all that the segments hold.
    pub fn new(source: S, segments: Vec<ReadableSegment>, bytes: Option<u64>) -> Self {
        let mut starts = Vec::with_capacity(segments.len());
        let mut held = 0;
        for segment in &segments {
            starts.push(held);
            held += segment.parts.shape().plaintext_length();
        }
        let length = bytes.map_or(held, |bytes| bytes.min(held));
        Self { source, segments, starts, length, position: 0, opened: None }
    }

    /// Plaintext bytes of the track, without padding.
    pub const fn length(&self) -> u64 {
        self.length
    }

    fn locate(&self, position: u64) -> Option<Place> {
        if position >= self.length {
            return None;
        }
        // Of several segments with one start, the empty ones come first: the last one holds the byte.
        let segment = self.starts.partition_point(|&start| start <= position).checked_sub(1)?;
        let start = self.starts.get(segment)?;
        let (part, offset) = self.segments.get(segment)?.parts.shape().locate(position - start);
        Some(Place { segment, part: u32::try_from(part).ok()?, offset })
    }

    fn open(&mut self, place: &Place) -> io::Result<&[u8]> {
        let cached =
            self.opened.take().filter(|opened| opened.segment == place.segment && opened.part == place.part);
        let opened = match cached {
            Some(opened) => opened,
            None => {
                let segment = self
                    .segments
                    .get(place.segment)
                    .ok_or_else(|| io::Error::other("a position outside the recording"))?;
                let ciphertext = self.source.part(segment.index, place.part)?;
                let plaintext = segment.parts.open(place.part, ciphertext).map_err(refused)?;
                Opened { segment: place.segment, part: place.part, plaintext: plaintext.into() }
            }
        };
        Ok(&self.opened.insert(opened).plaintext)
    }
}

/// A refusal as an I/O error, so that it passes through [`Read`]; its source is the [`OpenError`].
fn refused(error: OpenError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: PartSource> Read for SeekableTrack<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(place) = self.locate(self.position).filter(|_| !out.is_empty()) else {
            return Ok(0);
        };
        let left = usize::try_from(self.length - self.position).unwrap_or(usize::MAX);
        let plaintext = self.open(&place)?;
        let available = plaintext.get(place.offset..).unwrap_or_default();
        let taken = available.len().min(out.len()).min(left);
        let (Some(from), Some(to)) = (available.get(..taken), out.get_mut(..taken)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.position += taken as u64;
        Ok(taken)
    }
}

impl<S: PartSource> Seek for SeekableTrack<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the start of the recording")
        })?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
