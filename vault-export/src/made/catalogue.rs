//! What an export contains: the one description from which its page and its FHIR bundles are made.

use serde::{Deserialize, Serialize};
use vault_proto::ids::{AccountId, Digest, OrganisationId, RecordingId};
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;

/// Someone named in an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The account.
    pub account: AccountId,
    /// What the organisation certifies the account to be.
    pub role: Role,
    /// What the organisation's certificate calls them.
    pub label: Option<String>,
}

/// Whether an exported recording has its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportedStatus {
    /// Its end is sealed, and everything up to it is here.
    Complete,
    /// Its end is missing; what is here is its beginning.
    CutOff,
    /// It was begun, and nothing was recorded.
    Empty,
}

/// One file of a recording: one track, opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedFile {
    /// Number of the track.
    pub track: u8,
    /// Path relative to the recording's folder, separated by `/`.
    pub path: String,
    /// Media type, its sealer's word.
    pub media_type: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// Playing time in milliseconds, where the sealing device knew it.
    pub duration_ms: Option<u64>,
    /// Bytes of the track as it was sealed.
    pub sealed_bytes: u64,
    /// SHA-256 of the track as it was sealed. It differs from that of the file where an index for seeking was put in
    /// front.
    pub sealed_sha256: Digest,
}

/// One recording of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedRecording {
    /// The recording.
    pub recording: RecordingId,
    /// Its folder, relative to the export and separated by `/`.
    pub folder: String,
    /// The consultation, as the organisation's own systems name it.
    pub consultation: String,
    /// Title, as its sealer typed it: any characters.
    pub title: Option<String>,
    /// Whether it has its end.
    pub status: ExportedStatus,
    /// When its sealing began, by the sealing device's clock.
    pub created: Timestamp,
    /// When the consultation began, where its end is sealed.
    pub started: Option<Timestamp>,
    /// When the consultation ended, where its end is sealed.
    pub ended: Option<Timestamp>,
    /// The patient.
    pub patient: Person,
    /// The clinician.
    pub clinician: Person,
    /// Whose device sealed it.
    pub sealer: Person,
    /// Hash of its manifest.
    pub manifest: Digest,
    /// Hash of its final seal; `None` without an end.
    pub final_seal: Option<Digest>,
    /// Its files, by track.
    pub files: Vec<ExportedFile>,
}

impl ExportedRecording {
    /// When the consultation began as far as is known: without that, when its sealing began.
    pub fn began(&self) -> Timestamp {
        self.started.unwrap_or(self.created)
    }
}

/// What an export contains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Whose export it is.
    pub account: Person,
    /// The organisation that certifies the people in it.
    pub organisation: OrganisationId,
    /// When it was made.
    pub created: Timestamp,
    /// Its recordings, newest first.
    pub recordings: Vec<ExportedRecording>,
    /// Recordings that could not be exported, each with the reason for a person.
    pub missing: Vec<(RecordingId, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::catalogue_fixture::varied;

    #[test]
    fn json_keeps_everything_and_refuses_what_it_does_not_know() {
        let catalogue = varied();
        let json = serde_json::to_value(&catalogue).unwrap();
        assert_eq!(json["recordings"][0]["status"], "complete");
        assert!(json["recordings"].as_array().unwrap().iter().any(|r| r["status"] == "cut_off"));
        assert_eq!(serde_json::from_value::<Catalogue>(json.clone()).unwrap(), catalogue);
        for path in ["", "/account", "/recordings/0", "/recordings/0/files/0"] {
            let mut more = json.clone();
            more.pointer_mut(path).unwrap().as_object_mut().unwrap().insert("extra".into(), 1.into());
            assert!(serde_json::from_value::<Catalogue>(more).is_err(), "{path:?}");
        }
    }
}
