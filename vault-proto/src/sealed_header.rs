//! The profile of age headers that a recording uses (FORMAT.md, "Sealed header").
//!
//! The context stanza first, then one stanza of the manifest's suite for each recipient, nothing else: the
//! readers in a key object, the recording's own key in everything else. The server checks it when a header is stored,
//! the reader before it unwraps anything.

use crate::age_header::{self, Header, HeaderError, Stanza};
use crate::ids::Digest;
use crate::labels::CONTEXT_STANZA;
use crate::statements::Suite;

/// Most bytes of a sealed header: sixteen `pq` stanzas take under 32 KiB.
pub const MAX_SEALED_HEADER: usize = 32 * 1024;

/// Why a header is not the one of this recording, segment and track.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedHeaderError {
    /// Not a canonical age header.
    #[error(transparent)]
    Grammar(#[from] HeaderError),
    /// Bytes behind the header, or too many in it.
    #[error("the header is longer than it may be")]
    Length,
    /// No context stanza: an age file, but not one sealed for a recording.
    #[error("it is an age file that was never sealed as part of a recording")]
    NoContext,
    /// The context of another recording, segment or track.
    #[error("it belongs to another recording, segment or track")]
    OtherContext,
    /// A stanza that the manifest's suite does not have.
    #[error("it has a stanza of type {0:?}, which this recording's suite does not know")]
    UnexpectedStanza(String),
    /// Not one stanza for each recipient.
    #[error("it is for {found} recipients instead of {expected}")]
    Recipients {
        /// Stanzas behind the context.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
}

/// A header whose grammar, context and stanza types fit one segment of one recording. Its MAC is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
    header: Header,
}

/// The stanza that carries a context.
///
/// # Errors
/// None in practice: its tag and argument are within the grammar.
pub fn context_stanza(context: &Digest) -> Result<Stanza, HeaderError> {
    Stanza::new(CONTEXT_STANZA, vec![age_header::encode_argument(context.as_bytes())], Vec::new())
}

impl SealedHeader {
    /// Parses `bytes`, which must be one header and nothing else, and checks it against the expected context, suite and
    /// number of recipients.
    ///
    /// # Errors
    /// [`SealedHeaderError`].
    pub fn parse(
        bytes: &[u8],
        context: &Digest,
        suite: Suite,
        recipients: usize,
    ) -> Result<Self, SealedHeaderError> {
        if bytes.len() > MAX_SEALED_HEADER {
            return Err(SealedHeaderError::Length);
        }
        let (header, length) = Header::parse(bytes)?;
        if length != bytes.len() {
            return Err(SealedHeaderError::Length);
        }
        Self::check(header, context, suite, recipients)
    }

    /// As [`Self::parse`] for a header that is followed by its payload; also returns the header's length.
    ///
    /// # Errors
    /// [`SealedHeaderError`].
    pub fn parse_prefix(
        bytes: &[u8],
        context: &Digest,
        suite: Suite,
        recipients: usize,
    ) -> Result<(Self, usize), SealedHeaderError> {
        let (header, length) = Header::parse(bytes)?;
        if length > MAX_SEALED_HEADER {
            return Err(SealedHeaderError::Length);
        }
        Ok((Self::check(header, context, suite, recipients)?, length))
    }

    fn check(
        header: Header,
        context: &Digest,
        suite: Suite,
        recipients: usize,
    ) -> Result<Self, SealedHeaderError> {
        let (first, stanzas) = header.stanzas().split_first().ok_or(SealedHeaderError::NoContext)?;
        if first.tag() != CONTEXT_STANZA {
            return Err(SealedHeaderError::NoContext);
        }
        if *first != context_stanza(context)? {
            return Err(SealedHeaderError::OtherContext);
        }
        if let Some(other) = stanzas.iter().find(|stanza| stanza.tag() != suite.stanza_tag()) {
            return Err(SealedHeaderError::UnexpectedStanza(other.tag().chars().take(40).collect()));
        }
        if stanzas.len() != recipients {
            return Err(SealedHeaderError::Recipients { found: stanzas.len(), expected: recipients });
        }
        Ok(Self { header })
    }

    /// The whole header, context stanza included.
    pub const fn header(&self) -> &Header {
        &self.header
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stanza(tag: &str) -> Stanza {
        Stanza::new(tag, vec!["share".to_owned()], vec![1; 32]).unwrap()
    }

    fn header(stanzas: Vec<Stanza>) -> Vec<u8> {
        Header::new(stanzas, [9; 32]).unwrap().encode()
    }

    #[test]
    fn one_stanza_of_the_suite_for_each_recipient_behind_the_context() {
        let context = Digest::of(b"context");
        let own = context_stanza(&context).unwrap();
        for suite in [Suite::X25519, Suite::Pq] {
            for (found, expected) in [(0, 1), (1, 1), (2, 1), (1, 2), (2, 2), (16, 16), (17, 16)] {
                let mut stanzas = vec![own.clone()];
                stanzas.resize(found + 1, stanza(suite.stanza_tag()));
                let parsed = SealedHeader::parse(&header(stanzas), &context, suite, expected);
                let refused = SealedHeaderError::Recipients { found, expected };
                assert_eq!(parsed.err(), (found != expected).then_some(refused));
            }
        }
        let mixed = header(vec![own.clone(), stanza("X25519"), stanza("mlkem768x25519")]);
        for suite in [Suite::X25519, Suite::Pq] {
            let parsed = SealedHeader::parse(&mixed, &context, suite, 2);
            assert!(matches!(parsed, Err(SealedHeaderError::UnexpectedStanza(_))));
        }
        let planted = SealedHeader::parse(&header(vec![stanza("X25519")]), &context, Suite::X25519, 1);
        assert_eq!(planted, Err(SealedHeaderError::NoContext));
        let bytes = header(vec![own, stanza("X25519")]);
        let elsewhere = SealedHeader::parse(&bytes, &Digest::of(b"other"), Suite::X25519, 1);
        assert_eq!(elsewhere, Err(SealedHeaderError::OtherContext));
    }

    proptest! {
        #[test]
        fn bytes_behind_a_header_are_seen(rest in prop::collection::vec(any::<u8>(), 0..50)) {
            let context = Digest::of(b"context");
            let bytes = header(vec![context_stanza(&context).unwrap(), stanza("X25519")]);
            let longer = [&bytes[..], &rest].concat();
            let (parsed, length) = SealedHeader::parse_prefix(&longer, &context, Suite::X25519, 1).unwrap();
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(parsed.header().encode(), bytes);
            let whole = SealedHeader::parse(&longer, &context, Suite::X25519, 1);
            prop_assert_eq!(whole.is_ok(), rest.is_empty());
        }
    }
}
