//! Whole age files: small ones in memory, and any file from a reader.

use std::io::{self, BufRead};

use thiserror::Error;
use vault_proto::age_header::{HeaderError, Stanza};
use vault_proto::geometry::{MAX_PART_PLAINTEXT, PAYLOAD_NONCE, PartChunks};
use zeroize::Zeroizing;

use crate::file_key::{FileKey, HeaderMacError};
use crate::identity::{Identity, UnwrapError, unwrap_header};
use crate::payload::{PayloadOpener, PayloadSealer, SealPartError};
use crate::payload_reader::{PayloadError, PayloadReader, ReadHeaderError, read_full, read_header};
use crate::random::RandomError;
use crate::recipient::{Recipient, WrapError};

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// No recipient: nobody could open the file.
    #[error("there is nobody to seal this to, so nothing was sealed")]
    NoRecipients,
    /// Recipients of different suites: the file would be no safer than the weaker one.
    #[error("the recipients' keys are of different suites, so nothing was sealed")]
    MixedSuites,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A recipient was refused.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The header would be too large.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The payload could not be sealed.
    #[error(transparent)]
    Payload(#[from] SealPartError),
}

/// Why a file was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The input itself failed.
    #[error("the file could not be read")]
    Io(#[from] io::Error),
    /// No acceptable header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The file ends before its payload begins.
    #[error("the file is cut off right behind its header")]
    NoPayload,
    /// No file key for these identities.
    #[error(transparent)]
    Unwrap(#[from] UnwrapError),
    /// The header is not the one that was sealed.
    #[error(transparent)]
    HeaderMac(#[from] HeaderMacError),
    /// The payload is damaged, cut off, lengthened, or longer than allowed.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl From<ReadHeaderError> for OpenError {
    fn from(error: ReadHeaderError) -> Self {
        match error {
            ReadHeaderError::Io(error) => Self::Io(error),
            ReadHeaderError::Header(error) => Self::Header(error),
        }
    }
}

/// Wraps a file key for each recipient, `first` before them if there is one.
///
/// # Errors
/// [`SealError::NoRecipients`], [`SealError::MixedSuites`], or a recipient's own error.
pub fn wrap_for(
    recipients: &[Recipient],
    first: Option<Stanza>,
    file_key: &FileKey,
) -> Result<Vec<Stanza>, SealError> {
    let suite = recipients.first().ok_or(SealError::NoRecipients)?.suite();
    if recipients.iter().any(|recipient| recipient.suite() != suite) {
        return Err(SealError::MixedSuites);
    }
    let mut stanzas = Vec::with_capacity(recipients.len() + 1);
    stanzas.extend(first);
    for recipient in recipients {
        stanzas.push(recipient.wrap(file_key)?);
    }
    Ok(stanzas)
}

/// Seals a small content as one whole age file. `extra_stanza_first`, if given, is the first stanza of the header; age
/// programs skip what they do not know.
///
/// # Errors
/// [`SealError`].
pub fn seal_small(
    recipients: &[Recipient],
    extra_stanza_first: Option<Stanza>,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let file_key = FileKey::generate()?;
    let stanzas = wrap_for(recipients, extra_stanza_first, &file_key)?;
    seal_with_stanzas(file_key, stanzas, plaintext)
}

/// Seals a small content under a file key that `stanzas` wrap.
pub(crate) fn seal_with_stanzas(
    file_key: FileKey,
    stanzas: Vec<Stanza>,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let mut out = file_key.authenticate(stanzas)?.encode();
    let mut sealer = PayloadSealer::new(file_key, PartChunks::FIFTEEN)?;
    let mut parts = plaintext.chunks(MAX_PART_PLAINTEXT).peekable();
    loop {
        let part = parts.next().unwrap_or_default();
        let last = parts.peek().is_none();
        let mut buffer = PayloadSealer::part_buffer();
        buffer.extend_from_slice(part);
        out.extend_from_slice(&sealer.next_part(buffer, last)?.run()?.ciphertext);
        if last {
            return Ok(out);
        }
    }
}

/// Opens a small whole age file whose content has at most `limit` bytes.
///
/// # Errors
/// [`OpenError`]; nothing is released then.
pub fn open_small(identity: &Identity, bytes: &[u8], limit: usize) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    // The content is shorter than the file, so one reservation is enough for it.
    Ok(open_any(&[identity], bytes)?.read_whole(bytes.len(), limit)?)
}

/// Opens any age file for the first of the identities that can. The content is read from the answer, which releases
/// only authenticated chunks.
///
/// # Errors
/// [`OpenError`] for everything up to the first chunk.
pub fn open_any<R: BufRead>(identities: &[&Identity], mut input: R) -> Result<PayloadReader<R>, OpenError> {
    let header = read_header(&mut input)?;
    let file_key = unwrap_header(identities, &header)?;
    open_payload(&file_key, &header, input)
}

/// Opens the body of a small age file whose content has at most `limit` bytes: what follows its header, whose file key
/// was unwrapped.
///
/// # Errors
/// [`OpenError`]; nothing is released then.
pub(crate) fn read_body(
    file_key: &FileKey,
    header: &vault_proto::age_header::Header,
    body: &[u8],
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    // The content is shorter than the body, so one reservation is enough for it.
    Ok(open_payload(file_key, header, body)?.read_whole(body.len(), limit)?)
}

/// Opens the payload that `input` stands at.
pub(crate) fn open_payload<R: BufRead>(
    file_key: &FileKey,
    header: &vault_proto::age_header::Header,
    mut input: R,
) -> Result<PayloadReader<R>, OpenError> {
    file_key.verify(header)?;
    let mut nonce = [0; PAYLOAD_NONCE];
    if read_full(&mut input, &mut nonce)? < PAYLOAD_NONCE {
        return Err(OpenError::NoPayload);
    }
    let opener = PayloadOpener::new(file_key, header, &nonce)?;
    Ok(PayloadReader::new(input, opener))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vault_proto::age_header::Header;
    use vault_proto::geometry::CHUNK_PLAINTEXT;

    use super::*;
    use vault_proto::statements::Suite;

    fn extra() -> Stanza {
        Stanza::new("recording-vault/ctx1", vec!["AQID".to_owned()], vec![]).unwrap()
    }

    #[test]
    fn every_recipient_opens_and_no_one_else() {
        for suite in [Suite::X25519, Suite::Pq] {
            let readers: Vec<Identity> = (0..3).map(|_| Identity::generate(suite).unwrap()).collect();
            let recipients: Vec<Recipient> =
                readers.iter().map(|reader| reader.recipient().clone()).collect();
            let sealed = seal_small(&recipients, Some(extra()), b"hello").unwrap();
            let (header, _) = Header::parse(&sealed).unwrap();
            assert_eq!(header.stanzas()[0], extra());
            for reader in &readers {
                assert_eq!(**open_small(reader, &sealed, 5).unwrap(), *b"hello");
                let too_long = open_small(reader, &sealed, 4).err();
                assert!(matches!(too_long, Some(OpenError::Payload(PayloadError::TooLong { limit: 4 }))));
            }
            let stranger = Identity::generate(suite).unwrap();
            let refused = open_small(&stranger, &sealed, 5).err();
            assert!(matches!(refused, Some(OpenError::Unwrap(UnwrapError::NoMatch))));
        }
    }

    #[test]
    fn sizes_around_chunks_and_parts_round_trip() {
        let reader = Identity::generate(Suite::X25519).unwrap();
        for len in [0, 1, CHUNK_PLAINTEXT, CHUNK_PLAINTEXT + 1, MAX_PART_PLAINTEXT, MAX_PART_PLAINTEXT + 1] {
            let content = vec![3; len];
            let sealed = seal_small(&[reader.recipient().clone()], None, &content).unwrap();
            assert_eq!(**open_small(&reader, &sealed, len).unwrap(), *content, "{len}");
            for end in [sealed.len() - 1, sealed.len() - 17] {
                assert!(open_small(&reader, &sealed[..end], len).is_err(), "{len} cut at {end}");
            }
            let longer = [&sealed[..], &[0]].concat();
            assert!(open_small(&reader, &longer, len).is_err(), "{len}");
        }
    }

    #[test]
    fn recipients_are_never_none_nor_mixed() {
        let [x, pq] =
            [Suite::X25519, Suite::Pq].map(|suite| Identity::generate(suite).unwrap().recipient().clone());
        assert_eq!(seal_small(&[], None, b"x"), Err(SealError::NoRecipients));
        assert_eq!(seal_small(&[x.clone(), pq.clone()], None, b"x"), Err(SealError::MixedSuites));
        assert_eq!(seal_small(&[pq, x], None, b"x"), Err(SealError::MixedSuites));
    }

    #[test]
    fn a_dropped_or_added_stanza_breaks_the_mac() {
        let reader = Identity::generate(Suite::X25519).unwrap();
        let sealed = seal_small(&[reader.recipient().clone()], Some(extra()), b"hello").unwrap();
        let (header, length) = Header::parse(&sealed).unwrap();
        let without = Header::new(header.stanzas()[1..].to_vec(), *header.mac()).unwrap();
        let with = Header::new([header.stanzas(), &[extra()]].concat(), *header.mac()).unwrap();
        for changed in [without, with] {
            let file = [changed.encode(), sealed[length..].to_vec()].concat();
            assert!(matches!(open_small(&reader, &file, 5).err(), Some(OpenError::HeaderMac(_))));
        }
    }

    #[test]
    fn two_files_with_the_same_content_share_nothing() {
        let reader = Identity::generate(Suite::X25519).unwrap();
        let [one, two] =
            [(), ()].map(|()| seal_small(&[reader.recipient().clone()], None, &[0; 64]).unwrap());
        assert_ne!(one[one.len() - 80..], two[two.len() - 80..]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn a_flipped_bit_anywhere_is_refused(pq in any::<bool>(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let reader = Identity::generate(if pq { Suite::Pq } else { Suite::X25519 }).unwrap();
            let mut sealed = seal_small(&[reader.recipient().clone()], Some(extra()), b"hello").unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(open_small(&reader, &sealed, 5).is_err());
        }
    }
}
