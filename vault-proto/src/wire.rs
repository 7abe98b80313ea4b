//! Paths and JSON bodies of the protocol (PROTOCOL.md, "Resources").
//!
//! Bodies of requests are strict: a server that does not know a field must not act as if it had read it. Answers are
//! not: a later server says more, and what proves anything in them is signed.

use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::geometry::PartChunks;
use crate::ids::{AccountId, ComparisonNonce, Digest, OrganisationId, RecordingId};
use crate::members::{CertificateChain, MemberStatements};
use crate::statements::{Certificate, IssuerCertificate, KeyList, Manifest};
use crate::timestamp::Timestamp;

/// Most bytes of a JSON request body.
pub const MAX_JSON_BODY: usize = 2 * 1024 * 1024;
/// Most bytes of a details object.
pub const MAX_DETAILS: usize = 4 * 1024 * 1024;
/// Most bytes of the body of an enrolment, or of a certificate with its issuer's: three envelopes, with room for their
/// escapes in JSON.
pub const MAX_ENROLMENT: usize = 300 * 1024;
/// How many parts beyond the first one missing of its segment a part may be. What a sealer has sent meanwhile while one
/// part is late is a small multiple of what it sends at a time; a body never has a larger hole.
pub const MAX_PARTS_AHEAD: u32 = 64;
/// Most recordings that one account has begun and stored no part of. A recording that goes on has its first part within
/// a minute, so these are crashes in the moments between.
pub const MAX_EMPTY_RECORDINGS: u32 = 1000;
/// Most comparisons in which one account has a side at a time.
pub const MAX_COMPARISONS: u32 = 64;
/// Most bytes of a segment seal's or a final seal's envelope.
pub const MAX_SEAL: usize = 8 * 1024;
/// Most key lists of one account.
pub const MAX_KEY_LISTS: usize = 256;
/// Most bytes of all key lists of one account together.
pub const MAX_KEY_LIST_BYTES: usize = 8 * 1024 * 1024;
/// Entries of a list page if the caller asks for no other number.
pub const DEFAULT_PAGE: u32 = 100;
/// Most entries of a list page.
pub const MAX_PAGE: u32 = 500;
/// Most matches that a prefix look-up names; one more makes it ambiguous all the same.
pub const MAX_MATCHES: u32 = 10;

/// Most statements that are sent with a manifest: each that seventeen members name.
pub const MAX_SENT_STATEMENTS: usize = 17 * 4;
/// Most statements that are asked for at a time.
pub const MAX_ASKED_STATEMENTS: usize = 32;

/// Seconds for which a comparison is kept.
pub const COMPARISON_LIFETIME: i64 = 600;

/// Paths of the resources, as clients write them.
pub mod path {
    use crate::ids::{AccountId, RecordingId};

    /// Liveness.
    pub const HEALTHZ: &str = "/healthz";
    /// Readiness.
    pub const READYZ: &str = "/readyz";
    /// What this server is; unsigned.
    pub const SERVER: &str = "/v1/server";
    /// Accounts: enrol, look up by prefix.
    pub const ACCOUNTS: &str = "/v1/accounts";
    /// Recordings: create, list.
    pub const RECORDINGS: &str = "/v1/recordings";
    /// Statements by their digests.
    pub const STATEMENTS: &str = "/v1/statements";

    /// One account.
    pub fn account(account: &AccountId) -> String {
        format!("{ACCOUNTS}/{account}")
    }

    /// The newest manifest of the calling device, for a home that was restored.
    pub fn last(account: &AccountId) -> String {
        format!("{}/last", self::account(account))
    }

    /// An account's certificate, to replace it.
    pub fn certificate(account: &AccountId) -> String {
        format!("{}/certificate", self::account(account))
    }

    /// The caller's comparison with another account.
    pub fn comparison(other: &AccountId) -> String {
        format!("/v1/comparisons/{other}")
    }

    /// The caller's commitment in it.
    pub fn commitment(other: &AccountId) -> String {
        format!("{}/commitment", comparison(other))
    }

    /// The caller's revealed nonce in it.
    pub fn nonce(other: &AccountId) -> String {
        format!("{}/nonce", comparison(other))
    }

    /// One recording's statements.
    pub fn recording(recording: &RecordingId) -> String {
        format!("{RECORDINGS}/{recording}")
    }

    /// A recording's key object of one generation.
    pub fn key(recording: &RecordingId, generation: u32) -> String {
        format!("{RECORDINGS}/{recording}/keys/{generation}")
    }

    /// A recording's details object.
    pub fn details(recording: &RecordingId) -> String {
        format!("{RECORDINGS}/{recording}/details")
    }

    /// A recording's final seal.
    pub fn final_seal(recording: &RecordingId) -> String {
        format!("{RECORDINGS}/{recording}/final")
    }

    /// One segment.
    pub fn segment(recording: &RecordingId, index: u32) -> String {
        format!("{RECORDINGS}/{recording}/segments/{index}")
    }

    /// A segment's header.
    pub fn header(recording: &RecordingId, index: u32) -> String {
        format!("{}/header", segment(recording, index))
    }

    /// A segment's part hash list.
    pub fn parts(recording: &RecordingId, index: u32) -> String {
        format!("{}/parts", segment(recording, index))
    }

    /// One part, to store it.
    pub fn part(recording: &RecordingId, index: u32, part: u32) -> String {
        format!("{}/parts/{part}", segment(recording, index))
    }

    /// A segment's body, to fetch ranges of it.
    pub fn body(recording: &RecordingId, index: u32) -> String {
        format!("{}/body", segment(recording, index))
    }

    /// A segment's seal.
    pub fn seal(recording: &RecordingId, index: u32) -> String {
        format!("{}/seal", segment(recording, index))
    }
}

/// Header of a part's request with the segment's progress up to and with that part: a signed statement, verbatim.
pub const SEGMENT_PROGRESS: &str = "x-segment-progress";

/// `GET /v1/server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// The organisation whose accounts this server serves. A client compares it with its pin and never learns it here.
    pub organisation: OrganisationId,
    /// The server's clock.
    pub time: Timestamp,
    /// Version of the server's program.
    pub version: String,
}

/// `POST /v1/accounts`, signed by a device of `key_list` with the role `auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// The account's certificate and that of its issuer.
    pub chain: CertificateChain,
    /// The account's current key list.
    pub key_list: Envelope<KeyList>,
}

/// `GET /v1/accounts/{account}`: what the directory says of an account. Nothing of it is to be believed unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// The organisation root's word for the issuer.
    pub issuer: Envelope<IssuerCertificate>,
    /// The issuer's word for the account.
    pub certificate: Envelope<Certificate>,
    /// All key lists from number 1 to the current one.
    pub key_lists: Vec<Envelope<KeyList>>,
}

impl DirectoryEntry {
    /// The account's certificate and that of its issuer.
    pub fn chain(&self) -> CertificateChain {
        CertificateChain { issuer: self.issuer.clone(), certificate: self.certificate.clone() }
    }

    /// The entry with its current key list only; `None` if it has no key list.
    pub fn current(&self) -> Option<MemberStatements> {
        Some(MemberStatements {
            issuer: self.issuer.clone(),
            certificate: self.certificate.clone(),
            key_list: self.key_lists.last()?.clone(),
        })
    }
}

/// `GET /v1/accounts/{account}/last`, of the caller's own account: the newest manifest, by sequence, that the calling
/// device has signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The manifest's envelope; null if the device has signed none that this server knows.
    pub manifest: Option<String>,
}

/// `GET /v1/accounts?prefix=…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountMatches {
    /// Accounts whose id begins so, at most [`MAX_MATCHES`], in ascending order.
    pub accounts: Vec<AccountId>,
}

/// `GET /v1/comparisons/{account}`: what the caller and that account have stored for each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonState {
    /// What the caller stored.
    pub own: ComparisonSide,
    /// What the other account stored, once it did.
    pub other: Option<ComparisonSide>,
    /// Whether the caller's commitment was there first, so that the caller reveals first.
    pub first: bool,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonSide {
    /// Commitment to the nonce.
    pub commitment: Digest,
    /// The nonce, once it is revealed.
    pub nonce: Option<ComparisonNonce>,
}

/// `POST /v1/recordings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRecording {
    /// The manifest.
    pub manifest: Envelope<Manifest>,
    /// The key object of generation 0, in standard base64.
    pub key: String,
    /// Statements that the manifest names: those that the server lacks, and any others, at most
    /// [`MAX_SENT_STATEMENTS`].
    pub statements: Vec<String>,
}

/// `PUT /v1/recordings/{id}/segments/{index}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenSegment {
    /// Track the segment belongs to.
    pub track: u8,
    /// How many chunks each of its parts has but the last.
    pub part_chunks: PartChunks,
    /// The sealed header, in standard base64.
    pub header: String,
}

/// `GET /v1/statements`: envelopes in the order in which their digests were asked for. Each stands as a string that the
/// client parses itself: one damaged statement must not make the others unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statements {
    /// The envelopes.
    pub statements: Vec<String>,
}

/// `GET /v1/recordings`: one page, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingPage {
    /// The recordings.
    pub recordings: Vec<RecordingEntry>,
    /// Cursor of the next page, to be passed as `after`; absent on the last page.
    pub next: Option<String>,
}

/// One recording in a list: enough to find it; everything shown to a person comes from its checked statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEntry {
    /// The recording.
    pub recording: RecordingId,
    /// Whether it has a final seal.
    pub finished: bool,
    /// Ciphertext bytes of all stored parts.
    pub bytes: u64,
}

/// `GET /v1/recordings/{id}`: all statements of a recording, verbatim.
///
/// Statements stand as strings that the client parses itself: one damaged statement must not make the others
/// unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRecord {
    /// The manifest's envelope.
    pub manifest: String,
    /// The segments, from index 0.
    pub segments: Vec<SegmentRecord>,
    /// The final seal's envelope, once there is one.
    pub final_seal: Option<String>,
    /// Bytes of the details object, once there is one.
    pub details_bytes: Option<u64>,
    /// When the server last stored a part or statement of it.
    pub last_stored: Timestamp,
}

/// One segment of a [`RecordingRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Track the segment belongs to.
    pub track: u8,
    /// Parts stored without a gap from part 0.
    pub parts: u32,
    /// Ciphertext bytes of these parts.
    pub bytes: u64,
    /// The seal's envelope, once there is one.
    pub seal: Option<String>,
    /// The envelope of its newest progress that these parts cover, if it has one; none once the recording has its final
    /// seal.
    pub progress: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    const ID: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    fn takes_more<T: DeserializeOwned + Serialize>(text: &str) {
        let known: T = serde_json::from_str(text).unwrap();
        let more = text.replace('{', r#"{"later":[{"x":1}],"#);
        let read: T = serde_json::from_str(&more).unwrap();
        assert_eq!(serde_json::to_string(&known).unwrap(), serde_json::to_string(&read).unwrap());
        let twice = text.replacen('{', r#"{"later":1,"later":2,"#, 1);
        assert!(serde_json::from_str::<T>(&twice).is_ok(), "what nobody reads does not count");
    }

    #[test]
    fn answers_may_say_more_and_requests_may_not() {
        takes_more::<Last>(r#"{"manifest":null}"#);
        takes_more::<AccountMatches>(&format!(r#"{{"accounts":["{ID}"]}}"#));
        let side = format!(r#"{{"commitment":"{ID}","nonce":null}}"#);
        takes_more::<ComparisonState>(&format!(r#"{{"own":{side},"other":{side},"first":true}}"#));
        let entry = format!(r#"{{"recording":"{}","finished":true,"bytes":7}}"#, &ID[..32]);
        takes_more::<RecordingPage>(&format!(r#"{{"recordings":[{entry}],"next":null}}"#));
        takes_more::<Statements>(r#"{"statements":["s"]}"#);
        let segment = r#"{"track":0,"parts":1,"bytes":33,"seal":null,"progress":null}"#;
        takes_more::<RecordingRecord>(&format!(
            r#"{{"manifest":"m","segments":[{segment}],"final_seal":null,"details_bytes":null,"last_stored":"2026-11-21T09:30:00Z"}}"#
        ));
        let open = r#"{"track":0,"part_chunks":15,"header":""}"#;
        assert!(serde_json::from_str::<OpenSegment>(open).is_ok());
        assert!(serde_json::from_str::<OpenSegment>(&open.replace('{', r#"{"later":1,"#)).is_err());
    }
}
