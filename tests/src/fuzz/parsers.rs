//! What is fuzzed: each parser of bytes that somebody else wrote, and what must hold of whatever it accepts.
//!
//! `tests/run fuzz` searches with libFuzzer; the test `fuzz_smoke` goes through a million cases without it.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use data_encoding::BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vault_core::details::Details;
use vault_core::identity::Identity;
use vault_core::payload_reader::read_header;
use vault_core::recipient::Recipient;
use vault_core::recording_key::RecordingKey;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_core::webm::{Indexed, SeekIndex, SeekIndexer};
use vault_proto::age_header::Header;
use vault_proto::byte_ranges::{self, Requested};
use vault_proto::envelope::{Envelope, Statement, StatementError, payload_digest};
use vault_proto::http_signature::{
    SignatureInput, content_digest_value, parse_content_digest, parse_signature, signature_value,
};
use vault_proto::ids::{AccountId, ConsultationId, Digest, KeyId, OrganisationId, PublicKey, RecordingId};
use vault_proto::named_statements::NamedStatements;
use vault_proto::problem::Problem;
use vault_proto::recording_list::ListObject;
use vault_proto::revocation_entries::RevocationEntries;
use vault_proto::sealed_header::SealedHeader;
use vault_proto::statements::{
    Certificate, Device as AddedDevice, Export, FinalSeal, Grant, IssuerCertificate, KeyList, Manifest,
    RecordingList, Revocations, SegmentProgress, SegmentSeal, Suite,
};
use vault_proto::timestamp::Timestamp;
use vault_proto::{compare, wire};
use zeroize::Zeroizing;

/// Gives it an input, and says whether it was accepted; panics if something does not hold.
pub type Parser = fn(&[u8]) -> bool;

/// Each by its name; `tests/run fuzz` takes them in this order.
pub const PARSERS: [(&str, Parser); 9] = [
    ("webm", webm),
    ("details", details),
    ("envelope", envelope),
    ("statement", statement),
    ("object", object),
    ("header", header),
    ("request", request),
    ("answer", answer),
    ("text", text),
];

/// A function for each kind of statement; new kinds come last, because `statement` counts them.
macro_rules! of_each_kind {
    ($function:ident) => {
        [
            $function::<Certificate>,
            $function::<IssuerCertificate>,
            $function::<KeyList>,
            $function::<Manifest>,
            $function::<SegmentSeal>,
            $function::<SegmentProgress>,
            $function::<FinalSeal>,
            $function::<RecordingList>,
            $function::<Export>,
            $function::<AddedDevice>,
            $function::<Revocations>,
            $function::<Grant>,
        ]
    };
}

/// Most bytes of the head of a seekable file: twice 64 KiB that came with the recording, 4096 cues, and 1024 of the
/// sound.
const MAX_LAYOUT_HEAD: usize = 2 * 64 * 1024 + (4096 + 1024) * 100;

/// What a media file is indexed by.
fn webm(data: &[u8]) -> bool {
    let indexed = |piece: usize| -> Indexed {
        let mut indexer = SeekIndexer::new();
        data.chunks(piece).for_each(|piece| indexer.push(piece));
        indexer.finish()
    };
    let whole = indexed(data.len().max(1));
    assert_eq!(whole, indexed(1 + data.len() % 13), "how the bytes come changes what is found");
    if let Some(index) = &whole.index {
        assert_eq!(whole.duration_ms, Some(index.duration_ms()));
        assert!(index.layout(data.len() as u64).is_some(), "an index that is not of its own track");
        seekable(index, data.len() as u64);
        same_again(index);
    }
    whole.index.is_some()
}

/// The sealed details of a recording, in plain.
fn details(data: &[u8]) -> bool {
    let Ok(details) = Details::parse(data) else {
        return false;
    };
    same_again(&details);
    for track in details.tracks {
        if let Some(index) = track.seek {
            seekable(&index, track.bytes);
        }
    }
    true
}

/// Files made of a track with an index are within bounds, wherever they begin.
fn seekable(index: &SeekIndex, bytes: u64) {
    let breaks = index.breaks_ms();
    assert!(breaks.is_sorted() && breaks.last().is_none_or(|&last| last <= index.duration_ms()));
    for from in [0, index.duration_ms() / 2, index.duration_ms(), u64::MAX].into_iter().chain(breaks) {
        for layout in [index.layout(bytes), index.layout_from(bytes, from)].into_iter().flatten() {
            assert!(layout.body_from <= bytes && layout.head.len() <= MAX_LAYOUT_HEAD);
        }
    }
}

/// A statement with its signature, as it is sent.
fn envelope(data: &[u8]) -> bool {
    fn parse<T: Statement>(data: &[u8]) -> bool {
        Envelope::<T>::parse(data).is_ok_and(|envelope| {
            let written: Value = serde_json::from_slice(envelope.bytes()).expect("an envelope is JSON");
            for field in ["/payload", "/signatures/0/sig"] {
                let text = written.pointer(field).and_then(Value::as_str).expect("an envelope has this text");
                let bytes = BASE64.decode(text.as_bytes()).expect("an envelope's field is base64");
                assert_eq!(BASE64.encode(&bytes), text, "one envelope has two spellings");
            }
            assert_eq!(envelope.bytes(), data);
            true
        })
    }
    let kinds: [fn(&[u8]) -> bool; 12] = of_each_kind!(parse);
    let accepted = kinds.iter().filter(|parse| parse(data)).count();
    assert!(accepted <= 1, "one statement is of two kinds");
    named(data);
    accepted == 1
}

/// The same, found by its digest: what has one is found under it and under no other, as what it is and as nothing else.
fn named(data: &[u8]) {
    type Find = fn(&NamedStatements, &Digest, &[u8]) -> bool;
    fn find<T: Statement>(statements: &NamedStatements, digest: &Digest, bytes: &[u8]) -> bool {
        let found = statements.get::<T>(digest);
        let parsed = Envelope::<T>::parse(bytes);
        match (&found, &parsed) {
            (Ok(found), Ok(parsed)) => assert_eq!((found.digest(), found.bytes()), (*digest, parsed.bytes())),
            (Err(found), Err(parsed)) => assert_eq!(found, parsed),
            _ => panic!("a statement is not what it is under its digest"),
        }
        found.is_ok()
    }
    let digest = payload_digest(data);
    let mut statements = NamedStatements::default();
    assert_eq!(statements.insert_any(data), digest.is_some());
    let Some(digest) = digest else {
        assert!(Envelope::<Manifest>::parse(data).is_err(), "a statement has no digest");
        return;
    };
    let kinds: [Find; 12] = of_each_kind!(find);
    assert!(kinds.iter().filter(|find| find(&statements, &digest, data)).count() <= 1);
    let other = Digest::of(digest.as_bytes());
    statements.insert(other, data);
    let refused = statements.get::<Manifest>(&other).err();
    assert_eq!(refused, Some(StatementError::OtherDigest(Manifest::NAME)));
}

/// What is signed, behind a byte that says as what.
fn statement(data: &[u8]) -> bool {
    let Some((kind, payload)) = data.split_first() else { return false };
    fn parse<T: Statement>(payload: &[u8]) -> bool {
        let wrapped = |payload: &[u8]| {
            let (kind, key, sig) = (T::PAYLOAD_TYPE, "0".repeat(64), BASE64.encode(&[0; 64]));
            let payload = BASE64.encode(payload);
            format!(
                r#"{{"payloadType":"{kind}","payload":"{payload}","signatures":[{{"keyid":"{key}","sig":"{sig}"}}]}}"#
            )
        };
        let Ok(envelope) = Envelope::<T>::parse(wrapped(payload).as_bytes()) else { return false };
        let written = serde_json::to_vec(envelope.unverified()).expect("a statement is written");
        let again = Envelope::<T>::parse(wrapped(&written).as_bytes()).expect("what was written is read");
        let twice = serde_json::to_vec(again.unverified()).expect("a statement is written");
        assert_eq!(written, twice, "one statement has two readings");
        true
    }
    let kinds: [fn(&[u8]) -> bool; 12] = of_each_kind!(parse);
    kinds.get(usize::from(*kind)).is_some_and(|parse| parse(payload))
}

/// What statements carry the hash of: the list of recordings, the entries of revocations.
fn object(data: &[u8]) -> bool {
    let list = ListObject::parse(data).ok().map(|list| list.to_bytes());
    let written = list.or_else(|| Some(RevocationEntries::parse(data).ok()?.to_bytes()));
    if let Some(written) = &written {
        assert_eq!(written.as_deref().ok(), Some(data), "one object has two spellings");
    }
    written.is_some()
}

/// An age header, with and without a payload behind it.
fn header(data: &[u8]) -> bool {
    let parsed = Header::parse(data);
    if let Ok((header, length)) = &parsed {
        assert_eq!(Some(header.encode().as_slice()), data.get(..*length), "one header has two spellings");
    }
    let accepted = parsed.is_ok();
    let mut rest = data;
    match (read_header(&mut rest), parsed) {
        (Ok(read), Ok((header, length))) => assert_eq!((read, rest.len()), (header, data.len() - length)),
        (Err(_), Err(_)) => {}
        (read, parsed) => panic!("read as {:?}, parsed as {:?}", read.is_ok(), parsed.is_ok()),
    }
    for suite in [Suite::X25519, Suite::Pq] {
        for recipients in 1..=2 {
            let _ = SealedHeader::parse(data, &Digest::of(b""), suite, recipients);
        }
    }
    accepted
}

/// Fields of a request, one a line.
fn request(data: &[u8]) -> bool {
    let mut accepted = false;
    for line in String::from_utf8_lossy(data).lines() {
        if let Ok(input) = SignatureInput::parse(line) {
            assert_eq!(input.to_string(), line, "one value has two spellings");
            accepted = true;
        }
        if let Ok(signature) = parse_signature(line) {
            assert_eq!(signature_value(&signature), line, "one value has two spellings");
        }
        if let Ok(digest) = parse_content_digest(line) {
            assert_eq!(content_digest_value(&digest), line, "one value has two spellings");
        }
        for length in [0, 1, 1000, u64::MAX] {
            if let Requested::Part(range) = byte_ranges::requested(Some(line), length) {
                assert!(range.start < range.end && range.end <= length);
            }
        }
    }
    accepted
}

/// What servers and clients say to each other in JSON.
fn answer(data: &[u8]) -> bool {
    fn parse<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) -> bool {
        serde_json::from_slice::<T>(data).is_ok_and(|answer| {
            same_again(&answer);
            true
        })
    }
    [
        parse::<wire::ServerInfo>,
        parse::<wire::Enrol>,
        parse::<wire::DirectoryEntry>,
        parse::<wire::AccountMatches>,
        parse::<wire::ComparisonState>,
        parse::<wire::CreateRecording>,
        parse::<wire::OpenSegment>,
        parse::<wire::RecordingPage>,
        parse::<wire::Statements>,
        parse::<wire::RecordingRecord>,
        parse::<Problem>,
    ]
    .map(|parse| parse(data))
    .contains(&true)
}

/// Short texts that people and files hand over.
fn text(data: &[u8]) -> bool {
    fn public<T: FromStr + Display>(text: &str) -> bool {
        text.parse::<T>().is_ok_and(|value| {
            assert_eq!(value.to_string(), text, "one value has two spellings");
            true
        })
    }
    fn secret(written: Option<Zeroizing<String>>, text: &str) -> bool {
        written.is_some_and(|written| {
            assert!(*written == text, "one secret has two spellings");
            true
        })
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let number = compare::parse_number(text);
    if let Some(digits) = &number {
        assert_eq!(compare::parse_number(&compare::grouped(digits)).as_ref(), Some(digits));
    }
    [
        public::<AccountId>(text),
        public::<OrganisationId>(text),
        public::<RecordingId>(text),
        public::<Digest>(text),
        public::<KeyId>(text),
        public::<PublicKey>(text),
        public::<ConsultationId>(text),
        public::<Timestamp>(text),
        public::<Recipient>(text),
        secret(Identity::parse(text).ok().map(|identity| identity.export()), text),
        secret(SigningKey::parse(text).ok().map(|key| key.export()), text),
        RecordingKey::from_text(data).is_some(),
        Seed::from_words(text).is_ok(),
        number.is_some(),
    ]
    .contains(&true)
}

/// What was read is written so that it is read again as the same.
fn same_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(value: &T) {
    let written = serde_json::to_vec(value).expect("what was read can be written");
    let read: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(&read, value);
}
