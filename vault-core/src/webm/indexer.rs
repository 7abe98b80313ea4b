//! Finding out, while a recording passes by, how long it is and where it can be played from.

use super::parser::Parser;
use super::seek_index::SeekIndex;
use super::timeline::halve;

/// Most bytes of an index in JSON.
const MAX_JSON: usize = 200 * 1024;

/// Collects what makes a recording seekable while its bytes pass by, in pieces of any size. Never fails: what it cannot
/// follow has no index.
///
/// What is remembered is bounded: the elements before the first cluster (64 KiB, and as much of another recording's
/// while the two are compared), 4096 cues of each of two tracks, 64 runs, 16 tracks, and the few bytes of an element's
/// head.
#[derive(Debug, Default)]
pub struct SeekIndexer {
    /// `None` before the first byte, and once this is no recording.
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
        let Some((index, is_seekable)) = self.parser.and_then(|parser| parser.finish()) else {
            return Indexed { duration_ms: self.said, index: None };
        };
        let duration_ms = Some(index.duration_ms());
        let index = if is_seekable { None } else { limited(index) };
        Indexed { duration_ms, index }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.parser.as_ref().map_or(0, |parser| parser.memory())
    }
}

/// An index with as many cues as there is room for.
fn limited(mut index: SeekIndex) -> Option<SeekIndex> {
    while serde_json::to_vec(&index).ok()?.len() > MAX_JSON {
        let cues =
            if index.cues.len() < index.sound_cues.len() { &mut index.sound_cues } else { &mut index.cues };
        // Halving does not shorten these.
        if cues.len() < 2 {
            return None;
        }
        halve(cues);
    }
    Some(index)
}

#[cfg(test)]
mod built_tests;
#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod damaged_tests;
#[cfg(test)]
mod tests;
