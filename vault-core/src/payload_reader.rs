//! Reading a generic age file from its start: the header, then the payload chunk by chunk.

use std::io::{self, BufRead, Read};

use thiserror::Error;
use vault_proto::age_header::{Header, HeaderError, MAX_HEADER_LEN};
use vault_proto::geometry::{CHUNK_CIPHERTEXT, CHUNK_TAG};
use zeroize::Zeroizing;

use crate::payload::PayloadOpener;

/// Why a header could not be read.
#[derive(Debug, Error)]
pub enum ReadHeaderError {
    /// The input itself failed.
    #[error("the file could not be read")]
    Io(#[from] io::Error),
    /// What was read is no acceptable header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Why a payload could not be read to its end. What was released before is authentic and is not the whole.
#[derive(Debug, Error)]
pub enum PayloadError {
    /// The input itself failed.
    #[error("the file could not be read")]
    Io(#[from] io::Error),
    /// A chunk is damaged, or the file was cut off in it or before it.
    #[error("the file is damaged or cut off at chunk {chunk}; what came before it is intact")]
    Chunk {
        /// Index of the chunk, from 0.
        chunk: u64,
    },
    /// Bytes follow the final chunk.
    #[error("the file goes on after its end: something was appended to it")]
    TrailingData,
    /// The plaintext is longer than the caller allows.
    #[error("the content is longer than the {limit} bytes expected here")]
    TooLong {
        /// The caller's limit in bytes.
        limit: usize,
    },
}

/// Reads a header and leaves the input right behind it. At most [`MAX_HEADER_LEN`] bytes are taken, and a file of
/// another kind is given up on at its first line.
///
/// # Errors
/// [`ReadHeaderError`].
pub fn read_header(input: &mut impl BufRead) -> Result<Header, ReadHeaderError> {
    let mut bytes = Vec::new();
    // One byte over the limit, so that the parser sees that there is more.
    let mut input = input.take(MAX_HEADER_LEN as u64 + 1);
    let mut line_start = 0;
    loop {
        let read = input.read_until(b'\n', &mut bytes)?;
        let line = bytes.get(line_start..).unwrap_or_default();
        let is_first = line_start == 0;
        if read == 0 || !line.ends_with(b"\n") || line.starts_with(b"---") {
            return Ok(Header::parse(&bytes)?.0);
        }
        if is_first && line != vault_proto::age_header::VERSION_LINE {
            return match Header::parse(&bytes) {
                Err(error) => Err(error.into()),
                Ok((header, _)) => Ok(header),
            };
        }
        line_start = bytes.len();
    }
}

/// The plaintext of a payload, one authenticated chunk at a time.
pub struct PayloadReader<R> {
    input: R,
    opener: PayloadOpener,
    buffer: Zeroizing<Vec<u8>>,
    counter: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Chunks,
    FinalRead,
    Done,
}

impl<R: Read> PayloadReader<R> {
    /// Reads the chunks that follow the payload nonce which `opener` was made with.
    #[must_use]
    pub fn new(input: R, opener: PayloadOpener) -> Self {
        let buffer = Zeroizing::new(Vec::with_capacity(CHUNK_CIPHERTEXT));
        Self { input, opener, buffer, counter: 0, state: State::Chunks }
    }

    /// The plaintext of the next chunk, or `None` after a final chunk that nothing follows. Only that `None` says that
    /// the payload is whole.
    ///
    /// # Errors
    /// [`PayloadError`]; asking again after an error gives the end of a damaged file, never more plaintext.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>, PayloadError> {
        let chunk = self.counter;
        match self.state {
            State::Done => return Err(PayloadError::Chunk { chunk }),
            State::FinalRead => {
                let mut more = [0];
                let trailing = read_full(&mut self.input, &mut more)? > 0;
                if trailing {
                    self.state = State::Done;
                    return Err(PayloadError::TrailingData);
                }
                return Ok(None);
            }
            State::Chunks => self.state = State::Done,
        }
        self.buffer.resize(CHUNK_CIPHERTEXT, 0);
        let read = read_full(&mut self.input, &mut self.buffer)?;
        self.buffer.truncate(read);
        // An empty chunk ends only a payload that has no other.
        if read < CHUNK_TAG || (read == CHUNK_TAG && chunk > 0) {
            return Err(PayloadError::Chunk { chunk });
        }
        // A full chunk may be the final one or not: its own mark decides, and what follows it has to agree.
        let full = read == CHUNK_CIPHERTEXT;
        if full && self.opener.open_chunk(chunk, false, &mut self.buffer).is_some() {
            self.state = State::Chunks;
        } else if self.opener.open_chunk(chunk, true, &mut self.buffer).is_some() {
            self.state = State::FinalRead;
        } else {
            return Err(PayloadError::Chunk { chunk });
        }
        self.counter += 1;
        Ok(Some(&self.buffer))
    }

    /// The whole plaintext, in one piece of memory that is wiped on drop. It is reserved at once, `expected` bytes of
    /// it, so that no copies of it are left behind by growing.
    ///
    /// # Errors
    /// [`PayloadError`]; nothing is released then.
    pub fn read_whole(mut self, expected: usize, limit: usize) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        let mut whole = Zeroizing::new(Vec::with_capacity(expected.min(limit)));
        while let Some(chunk) = self.next_chunk()? {
            let len = whole.len() + chunk.len();
            if len > limit {
                return Err(PayloadError::TooLong { limit });
            }
            if len > whole.capacity() {
                let mut larger = Zeroizing::new(Vec::with_capacity(limit.min(len * 2)));
                larger.extend_from_slice(&whole);
                whole = larger;
            }
            whole.extend_from_slice(chunk);
        }
        Ok(whole)
    }
}

/// Fills `out` as far as the input goes and says how far that was.
pub(crate) fn read_full(input: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(PayloadReader<&[u8]>: Clone, std::fmt::Debug, serde::Serialize);

    const HEADER: &[u8] = b"age-encryption.org/v1\n-> a\n\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

    #[test]
    fn the_input_is_left_behind_the_header() {
        let bytes = [HEADER, b"--- rest"].concat();
        let mut input = &bytes[..];
        assert_eq!(read_header(&mut input).unwrap().encode(), HEADER);
        assert_eq!(input, b"--- rest");
    }

    /// An endless input of one byte, which counts what was taken from it.
    struct Endless(u8, usize);

    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            out.fill(self.0);
            self.1 += out.len();
            Ok(out.len())
        }
    }

    #[test]
    fn an_endless_first_line_is_given_up_on() {
        for byte in [b'a', b'\n', 0] {
            let mut input = io::BufReader::new(Endless(byte, 0));
            assert!(
                matches!(read_header(&mut input), Err(ReadHeaderError::Header(HeaderError::NotAge))),
                "{byte}"
            );
            assert!(input.get_ref().1 < 2 * MAX_HEADER_LEN, "{byte}");
        }
    }

    #[test]
    fn an_endless_header_is_too_long() {
        let start: &[u8] = b"age-encryption.org/v1\n-> a\n";
        for endless in [b'A', b'-', b'\n'] {
            let mut input = io::BufReader::new(start.chain(Endless(endless, 0)));
            let error = read_header(&mut input).err();
            assert!(matches!(error, Some(ReadHeaderError::Header(_))), "{endless}: {error:?}");
        }
    }

    #[test]
    fn every_cut_and_every_header_read_as_the_parser_does() {
        for end in 0..=HEADER.len() {
            let cut = &HEADER[..end];
            match (read_header(&mut &cut[..]), Header::parse(cut)) {
                (Ok(read), Ok((parsed, _))) => assert_eq!(read, parsed),
                (Err(ReadHeaderError::Header(read)), Err(parsed)) => assert_eq!(read, parsed),
                (read, parsed) => panic!("{read:?} against {parsed:?} at {end}"),
            }
        }
    }
}
