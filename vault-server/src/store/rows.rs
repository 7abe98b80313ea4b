//! What goes into a store and comes out of it.

use vault_proto::envelope::Envelope;
use vault_proto::geometry::PartChunks;
use vault_proto::http_signature::Nonce;
use vault_proto::ids::{AccountId, Digest, KeyId, RecordingId};
use vault_proto::members::CertificateChain;
use vault_proto::object::Object;
use vault_proto::statements::{KeyList, Manifest};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::{DirectoryEntry, MAX_PARTS_AHEAD};

use crate::authorize::Parties;

/// The beginning of an id, as a range of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexPrefix {
    low: Vec<u8>,
    high: Vec<u8>,
}

impl HexPrefix {
    /// Reads 8 or more lowercase hexadecimal digits, at most those of an id of `bytes` bytes.
    pub fn parse(text: &str, bytes: usize) -> Option<Self> {
        if text.len() < vault_proto::ids::MIN_PREFIX || text.len() > bytes * 2 {
            return None;
        }
        let bound = |fill: char| {
            let mut whole = text.to_owned();
            whole.extend(std::iter::repeat_n(fill, bytes * 2 - text.len()));
            data_encoding::HEXLOWER.decode(whole.as_bytes()).ok()
        };
        Some(Self { low: bound('0')?, high: bound('f')? })
    }

    /// The first id that begins so.
    pub fn low(&self) -> &[u8] {
        &self.low
    }

    /// The last id that begins so.
    pub fn high(&self) -> &[u8] {
        &self.high
    }
}

/// What is stored of an account.
#[derive(Debug, Clone)]
pub struct DirectoryRow {
    /// Its certificate chain and all its key lists.
    pub entry: DirectoryEntry,
}

/// An account's new statements, and those they replace.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The account.
    pub account: AccountId,
    /// Certificate and issuer.
    pub chain: CertificateChain,
    /// The current key list.
    pub key_list: Envelope<KeyList>,
    /// Digests of the certificate and the key list that are stored now; `None` if the account is new.
    pub replaces: Option<(Digest, Digest)>,
}

impl Enrolment {
    /// Its statements: digests and envelopes.
    pub fn statements(&self) -> [(Digest, &[u8]); 3] {
        let CertificateChain { issuer, certificate } = &self.chain;
        [
            (issuer.digest(), issuer.bytes()),
            (certificate.digest(), certificate.bytes()),
            (self.key_list.digest(), self.key_list.bytes()),
        ]
    }
}

/// A nonce to be marked as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewNonce {
    /// The account whose device signed the request.
    pub account: AccountId,
    /// That device.
    pub key: KeyId,
    /// The nonce.
    pub nonce: Nonce,
    /// When the request was made, by its own word, in seconds since 1970.
    pub created: i64,
    /// When it is, by the server's clock, in seconds since 1970.
    pub now: i64,
    /// Whether the request only reads: it is answered also where there is no room for another row.
    pub reads: bool,
}

/// A manifest to be stored.
#[derive(Debug, Clone)]
pub struct NewRecording {
    /// The manifest.
    pub manifest: Envelope<Manifest>,
    /// Bytes of its key object of generation 0.
    pub key_length: u32,
    /// Statements that it names and that are not stored yet, as far as is known: digests and envelopes.
    pub statements: Vec<(Digest, Vec<u8>)>,
}

/// What is stored of a recording as a whole.
#[derive(Debug, Clone)]
pub struct RecordingRow {
    /// Whose it is.
    pub parties: Parties,
    /// The manifest's envelope.
    pub manifest: Vec<u8>,
    /// Digest and length of the details object, once there is one.
    pub details: Option<DetailsRow>,
    /// The final seal's envelope, once there is one.
    pub final_seal: Option<Vec<u8>>,
    /// When something of it was last stored.
    pub last_stored: Timestamp,
}

/// Which page of a list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Last recording of the page before.
    pub after: Option<RecordingId>,
    /// Most entries.
    pub limit: u32,
    /// Only recordings whose id begins so.
    pub prefix: Option<HexPrefix>,
}

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRecording {
    /// The recording.
    pub recording: RecordingId,
    /// Whether it has a final seal.
    pub finished: bool,
    /// Ciphertext bytes of all stored parts.
    pub bytes: u64,
}

/// A segment to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSegment {
    /// Its number.
    pub index: u32,
    /// Its track.
    pub track: u8,
    /// How many chunks each of its parts has but the last.
    pub part_chunks: PartChunks,
    /// SHA-256 of its header.
    pub header: Digest,
    /// Bytes of that header.
    pub header_length: u32,
}

/// What is stored of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its number.
    pub index: u32,
    /// Its track.
    pub track: u8,
    /// How many chunks each of its parts has but the last.
    pub part_chunks: PartChunks,
    /// SHA-256 of its header.
    pub header: Digest,
    /// Parts from part 0 to the first gap or the first part that is not full, that one included.
    pub parts: u32,
    /// Ciphertext bytes of these parts.
    pub bytes: u64,
    /// Root over the part hashes, once sealed.
    pub parts_root: Option<Digest>,
    /// The seal's envelope, once sealed.
    pub seal: Option<Vec<u8>>,
    /// The envelope of its newest progress that these parts cover.
    pub progress: Option<Vec<u8>>,
}

/// A part to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPart {
    /// Its segment.
    pub segment: u32,
    /// Its number.
    pub part: u32,
    /// SHA-256 and length.
    pub row: PartRow,
    /// The envelope of the segment's progress up to and with this part.
    pub progress: Option<Vec<u8>>,
}

/// Whether a part would leave a larger hole before it than a body may have, in a segment with so many parts up to its
/// first gap.
pub fn is_too_far_ahead(part: u32, parts: u32) -> bool {
    part > parts.saturating_add(MAX_PARTS_AHEAD)
}

/// What is stored of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRow {
    /// SHA-256 of its ciphertext.
    pub digest: Digest,
    /// Bytes of ciphertext.
    pub length: u32,
}

/// A seal to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSeal {
    /// The segment.
    pub segment: u32,
    /// Parts that stay.
    pub parts: u32,
    /// Bytes of the body.
    pub body_length: u64,
    /// Root over the part hashes.
    pub parts_root: Digest,
    /// SHA-256 of the envelope of the seal before, as it is stored; `None` for segment 0.
    pub previous: Option<Digest>,
    /// The envelope.
    pub envelope: Vec<u8>,
}

/// The details object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetailsRow {
    /// SHA-256 of its ciphertext.
    pub digest: Digest,
    /// Bytes of ciphertext.
    pub length: u64,
}

/// A final seal to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalRow {
    /// The details it was checked against.
    pub details: Digest,
    /// The number of segments it was checked against.
    pub segments: u32,
    /// SHA-256 of the envelope of the last one's seal, as it is stored.
    pub last_seal: Digest,
    /// The envelope.
    pub envelope: Vec<u8>,
}

/// Which objects of a recording, and of one segment of it, rows name; its manifest and key of generation 0 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Whether it has details.
    pub details: bool,
    /// Whether it has a final seal.
    pub final_seal: bool,
    /// The segment that was asked for, if it is there.
    pub segment: Option<NamedSegment>,
    /// Whether its sealer ever dropped a segment of that number.
    pub abandoned: bool,
}

/// Which objects of a segment rows name; its header and body always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSegment {
    /// Whether it has a seal and a list of parts.
    pub sealed: bool,
}

/// The objects that the rows of a recording name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRecording {
    /// The number by which rows name the recording, ascending in time.
    pub number: u64,
    /// The recording.
    pub recording: RecordingId,
    /// The objects, each with the fewest bytes that it has to have.
    pub objects: Vec<(Object, u64)>,
}
