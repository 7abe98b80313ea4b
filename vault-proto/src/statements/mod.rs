//! The statements that are signed, one file each (FORMAT.md, "Statements").

mod certificate;
mod device;
mod export;
mod final_seal;
mod grant;
mod key_list;
mod manifest;
mod member;
mod not_yet;
mod participants;
mod recording_list;
mod revocations;
mod segment_progress;
mod segment_seal;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;

pub use certificate::{Certificate, EndedIssuer, Guardian, IssuerCertificate, Role};
pub use device::Device;
pub use export::Export;
pub use final_seal::{FinalSeal, RecordingStatus};
pub use grant::Grant;
pub use key_list::{Allowance, DeviceKey, DeviceRole, EncryptionKey, KeyList, RemovedDevice};
pub use manifest::{Manifest, Reader, ReaderRole, Suite};
pub use member::Member;
pub use not_yet::NotYet;
pub use participants::Participants;
pub use recording_list::RecordingList;
pub use revocations::Revocations;
pub use segment_progress::SegmentProgress;
pub use segment_seal::SegmentSeal;

/// Most characters of a label.
const MAX_LABEL: usize = 128;

/// Whether a label a person reads is short, on one line, and free of control and direction-changing characters.
pub fn is_plain_label(text: &str) -> bool {
    let deceptive = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().count() <= MAX_LABEL && !text.chars().any(|c| c.is_control() || deceptive(c))
}

/// Most words in a list of them.
const MAX_WORDS: usize = 16;
/// Most characters of a word.
const MAX_WORD: usize = 32;

/// If one of the words in an array is none of `T`: which. A newer version may know it.
fn unknown_word<T: DeserializeOwned>(what: &str, words: &serde_json::Value) -> Option<String> {
    let is_word = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(allowed)
    };
    let unknown = |word: &&serde_json::Value| {
        word.as_str().is_some_and(is_word) && serde_json::from_value::<T>((*word).clone()).is_err()
    };
    words.as_array()?.iter().find(unknown).map(|word| format!("{what} {word}"))
}

/// Whether each of `items` is greater than the one before it.
fn is_ascending<T: PartialOrd>(items: impl IntoIterator<Item = T>) -> bool {
    let mut before = None;
    items.into_iter().all(|item| {
        let ascends = before.as_ref().is_none_or(|before| *before < item);
        before = Some(item);
        ascends
    })
}
