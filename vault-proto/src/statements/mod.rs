//! The statements that are signed, one file each (FORMAT.md, "Statements").

mod certificate;
mod export;
mod final_seal;
mod key_list;
mod manifest;
mod recording_list;
mod segment_progress;
mod segment_seal;

pub use certificate::{Certificate, IssuerCertificate, Role};
pub use export::Export;
pub use final_seal::{FinalSeal, RecordingStatus};
pub use key_list::{DeviceKey, DeviceRole, EncryptionKey, KeyList};
pub use manifest::{Manifest, Policy, RecipientKey, Suite};
pub use recording_list::RecordingList;
pub use segment_progress::SegmentProgress;
pub use segment_seal::SegmentSeal;

/// Most characters of a label.
const MAX_LABEL: usize = 128;

/// Whether a label a person reads is short, on one line, and free of control and direction-changing characters.
fn is_plain_label(text: &str) -> bool {
    let deceptive = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().count() <= MAX_LABEL && !text.chars().any(|c| c.is_control() || deceptive(c))
}
