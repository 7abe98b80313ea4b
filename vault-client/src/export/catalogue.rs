//! stub
use serde::{Deserialize, Serialize};
use vault_proto::ids::{AccountId, Digest, OrganisationId, RecordingId};
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;
/// A person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// a
    pub account: AccountId,
    /// a
    pub role: Role,
    /// a
    pub label: Option<String>,
}
/// S.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportedStatus {
    /// a
    Complete,
    /// a
    CutOff,
}
/// F.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedFile {
    /// a
    pub track: u8,
    /// a
    pub path: String,
    /// a
    pub media_type: String,
    /// a
    pub bytes: u64,
    /// a
    pub sha256: Digest,
    /// a
    pub duration_ms: Option<u64>,
    /// a
    pub sealed_bytes: u64,
    /// a
    pub sealed_sha256: Digest,
}
/// R.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedRecording {
    /// a
    pub recording: RecordingId,
    /// a
    pub folder: String,
    /// a
    pub consultation: String,
    /// a
    pub title: Option<String>,
    /// a
    pub status: ExportedStatus,
    /// a
    pub created: Timestamp,
    /// a
    pub started: Option<Timestamp>,
    /// a
    pub ended: Option<Timestamp>,
    /// a
    pub patient: Person,
    /// a
    pub clinician: Person,
    /// a
    pub sealer: Person,
    /// a
    pub manifest: Digest,
    /// a
    pub final_seal: Option<Digest>,
    /// a
    pub files: Vec<ExportedFile>,
}
/// C.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// a
    pub account: Person,
    /// a
    pub organisation: OrganisationId,
    /// a
    pub created: Timestamp,
    /// a
    pub recordings: Vec<ExportedRecording>,
    /// a
    pub missing: Vec<(RecordingId, String)>,
}
