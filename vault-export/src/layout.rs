//! What an export is called and where its files lie (FORMAT.md, "Lists and exports").

/// What of the recordings lies in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Opened: media files to play, with a page to look at.
    Opened,
    /// As the server has it: ciphertext, to be opened later with the account's key.
    Sealed,
}

/// File that names every other file of the export, as `sha256sum` writes it.
pub const SUMS: &str = "SHA256SUMS";
/// Folder in which what is not whole yet is kept apart.
pub const INCOMPLETE: &str = ".incomplete";
/// Held for as long as a process writes in an export.
pub const LOCK: &str = ".lock";
/// Folder of the export in which those of the recordings are.
pub const RECORDINGS: &str = "recordings";
/// Most bytes of a `recording.json`.
pub const MAX_DESCRIPTION: usize = 1024 * 1024;

/// Files of an export that prove what it is.
pub mod proof {
    /// The account's newest list, as signed.
    pub const LIST: &str = "proof/list";
    /// What the list names.
    pub const LIST_OBJECT: &str = "proof/list-object";
    /// What was signed over the sums, and whose device signed it. The only file, beside these, that they do not name.
    pub const EXPORT: &str = "proof/export";
}
