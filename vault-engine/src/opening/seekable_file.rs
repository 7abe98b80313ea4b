//! Writing a track as a seekable file while it is opened.

use sha2::{Digest as _, Sha256};
use vault_core::webm::{Indexed, SeekIndexer, SeekableLayout};
use vault_proto::ids::Digest;

use super::plaintext_sink::PlaintextSink;
use crate::error::IoFailure;

/// Takes a track as it was sealed, from its start, and writes it with the head of a layout in place of its beginning.
/// Without a layout it writes what it takes.
pub struct SeekableFile<'a> {
    out: &'a mut dyn PlaintextSink,
    head: Vec<u8>,
    skip: u64,
    bytes: u64,
    hash: Sha256,
    /// Looks for an index where nobody has left one.
    indexer: Option<SeekIndexer>,
}

/// What was written.
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
    /// How long it plays and what would make a seekable file of it: found on the way, where there was no layout.
    pub indexed: Indexed,
}

impl<'a> SeekableFile<'a> {
    /// Writes to `out`.
    pub fn new(out: &'a mut dyn PlaintextSink, layout: Option<SeekableLayout>) -> Self {
        let indexer = layout.is_none().then(SeekIndexer::new);
        let SeekableLayout { head, body_from } =
            layout.unwrap_or(SeekableLayout { head: Vec::new(), body_from: 0 });
        Self { out, head, skip: body_from, bytes: 0, hash: Sha256::new(), indexer }
    }

    /// Says what was written.
    pub fn finish(self) -> Written {
        Written {
            bytes: self.bytes,
            sha256: Digest::from_bytes(self.hash.finalize().into()),
            indexed: self.indexer.map(SeekIndexer::finish).unwrap_or_default(),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), IoFailure> {
        self.out.write(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl PlaintextSink for SeekableFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IoFailure> {
        if let Some(indexer) = &mut self.indexer {
            indexer.push(bytes);
        }
        let head = std::mem::take(&mut self.head);
        self.put(&head)?;
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.put(bytes.get(skipped..).unwrap_or_default())
    }

    fn flush(&mut self) -> Result<(), IoFailure> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_beginning_is_replaced_however_the_bytes_come(
            body in prop::collection::vec(any::<u8>(), 1..200),
            head in prop::collection::vec(any::<u8>(), 0..20),
            from in 0usize..220,
            piece in 1usize..50,
        ) {
            let mut out = Vec::new();
            let layout = SeekableLayout { head: head.clone(), body_from: from as u64 };
            let mut file = SeekableFile::new(&mut out, Some(layout));
            for piece in body.chunks(piece) {
                file.write(piece).unwrap();
            }
            let Written { bytes, sha256, indexed } = file.finish();
            let expected = [&head[..], body.get(from..).unwrap_or_default()].concat();
            prop_assert_eq!(&out, &expected);
            prop_assert_eq!(bytes, expected.len() as u64);
            prop_assert_eq!(sha256, Digest::of(&expected));
            prop_assert_eq!(indexed, Indexed::default());
        }
    }
}
