//! The header of an age v1 file: a strict, canonical parser and its writer.
//!
//! Grammar: C2SP `age`, "ABNF definition of file header". Every header has exactly one spelling, and this module
//! accepts only that one: for every input that [`Header::parse`] accepts, [`Header::encode`] gives back the same bytes.
//! So the bytes a MAC or a hash was computed over can always be rebuilt from the parsed form, and two parsers cannot be
//! made to see two different headers in one file.
//!
//! A header holds no secret: file keys are wrapped in the stanza bodies.

use data_encoding::BASE64_NOPAD;
use thiserror::Error;

/// The first line of every age v1 file, with its line feed.
pub const VERSION_LINE: &[u8] = b"age-encryption.org/v1\n";

/// The longest header that is read or written, in bytes. About 40 post-quantum readers fit.
pub const MAX_HEADER_LEN: usize = 64 * 1024;

/// The most recipient stanzas that one header may hold.
pub const MAX_STANZAS: usize = 64;

/// Length of the header MAC in bytes.
pub const MAC_LEN: usize = 32;

const VERSION_PREFIX: &[u8] = b"age-encryption.org/";
const STANZA_PREFIX: &[u8] = b"-> ";
const MAC_MARK: &[u8] = b"---";
const COLUMNS: usize = 64;
const BYTES_PER_LINE: usize = 48;

/// Why some bytes are not an acceptable age v1 header. Lines are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The input does not start as an age file does.
    #[error("this is not an age file: its first line does not name the age format")]
    NotAge,
    /// An age file of another version than v1.
    #[error("this age file has a version other than v1, which this program cannot read")]
    UnsupportedVersion,
    /// The input ends inside the header.
    #[error("the header is cut short: the file ends before the header does")]
    Truncated,
    /// The header is longer than [`MAX_HEADER_LEN`].
    #[error("the header is longer than {MAX_HEADER_LEN} bytes")]
    TooLong,
    /// The header has more than [`MAX_STANZAS`] recipient stanzas.
    #[error("the header has more than {MAX_STANZAS} recipient stanzas")]
    TooManyStanzas,
    /// The header has no recipient stanza.
    #[error("the header has no recipient stanza")]
    NoStanzas,
    /// A line starts neither a stanza nor the MAC.
    #[error("line {line} of the header starts neither a recipient stanza nor the MAC")]
    UnexpectedLine {
        /// Where.
        line: usize,
    },
    /// A stanza has no argument, an empty one, or one with a byte outside the visible ASCII characters.
    #[error("line {line} of the header has a malformed stanza argument")]
    Argument {
        /// Where.
        line: usize,
    },
    /// A line of a stanza body is too long, or is not canonical unpadded base64.
    #[error("line {line} of the header is not canonical base64 of at most {COLUMNS} characters")]
    Body {
        /// Where.
        line: usize,
    },
    /// A stanza body does not end with a line shorter than 64 characters.
    #[error("line {line} of the header: the stanza before it lacks its final short line")]
    MissingFinalLine {
        /// Where the short line was expected.
        line: usize,
    },
    /// The MAC line is not `--- ` followed by the canonical base64 of 32 bytes.
    #[error("line {line} of the header is a malformed MAC line")]
    Mac {
        /// Where.
        line: usize,
    },
}

/// One recipient stanza: `-> tag args…` and a body.
///
/// A value of this type is always well formed: its tag and arguments are non-empty strings of visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza {
    tag: String,
    args: Vec<String>,
    body: Vec<u8>,
}

impl Stanza {
    /// Builds a stanza from its tag, its further arguments and its decoded body.
    ///
    /// # Errors
    /// [`HeaderError::Argument`] (line 1) if the tag or an argument is empty or has a character outside `!` to `~`.
    pub fn new(tag: &str, args: Vec<String>, body: Vec<u8>) -> Result<Self, HeaderError> {
        let well_formed = |s: &str| is_argument(s.as_bytes());
        if !well_formed(tag) || !args.iter().all(|arg| well_formed(arg)) {
            return Err(HeaderError::Argument { line: 1 });
        }
        Ok(Self { tag: tag.to_owned(), args, body })
    }

    /// The first argument, which names the kind of recipient.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The arguments after the tag.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The decoded body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(STANZA_PREFIX);
        out.extend_from_slice(self.tag.as_bytes());
        for arg in &self.args {
            out.push(b' ');
            out.extend_from_slice(arg.as_bytes());
        }
        out.push(b'\n');
        let mut lines = self.body.chunks_exact(BYTES_PER_LINE);
        for full in lines.by_ref() {
            out.extend_from_slice(BASE64_NOPAD.encode(full).as_bytes());
            out.push(b'\n');
        }
        out.extend_from_slice(BASE64_NOPAD.encode(lines.remainder()).as_bytes());
        out.push(b'\n');
    }
}

/// A whole age v1 header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    stanzas: Vec<Stanza>,
    mac: [u8; MAC_LEN],
}

impl Header {
    /// Parses the header at the start of `input` and says how many bytes it takes, its last line feed included. What
    /// follows the header is not looked at. The MAC is not checked here: that takes the file key.
    ///
    /// # Errors
    /// [`HeaderError`] for everything but the one canonical spelling of a header within [`MAX_HEADER_LEN`] and
    /// [`MAX_STANZAS`].
    pub fn parse(input: &[u8]) -> Result<(Self, usize), HeaderError> {
        let mut lines = Lines::new(input);
        parse_version(&mut lines)?;
        let mut stanzas = Vec::new();
        loop {
            let line = lines.next_line()?;
            if line.starts_with(MAC_MARK) {
                let mac = parse_mac(line).ok_or(HeaderError::Mac { line: lines.number })?;
                if stanzas.is_empty() {
                    return Err(HeaderError::NoStanzas);
                }
                return Ok((Self { stanzas, mac }, lines.consumed));
            }
            if stanzas.len() == MAX_STANZAS {
                return Err(HeaderError::TooManyStanzas);
            }
            stanzas.push(parse_stanza(line, &mut lines)?);
        }
    }

    /// Builds a header from its stanzas and its MAC, which covers [`mac_input`] of the same stanzas.
    ///
    /// # Errors
    /// [`HeaderError::NoStanzas`], [`HeaderError::TooManyStanzas`] or [`HeaderError::TooLong`]: a header that
    /// [`Header::parse`] would refuse cannot be built.
    pub fn new(stanzas: Vec<Stanza>, mac: [u8; MAC_LEN]) -> Result<Self, HeaderError> {
        mac_input(&stanzas)?;
        Ok(Self { stanzas, mac })
    }

    /// The recipient stanzas, in the order of the file.
    #[must_use]
    pub fn stanzas(&self) -> &[Stanza] {
        &self.stanzas
    }

    /// The MAC as it stands in the file, unverified.
    #[must_use]
    pub fn mac(&self) -> &[u8; MAC_LEN] {
        &self.mac
    }

    /// The bytes that the MAC covers: from the start of the file up to and including `---`.
    #[must_use]
    pub fn mac_input(&self) -> Vec<u8> {
        encode_unauthenticated(&self.stanzas)
    }

    /// The whole header, up to and including its last line feed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.mac_input();
        out.push(b' ');
        out.extend_from_slice(BASE64_NOPAD.encode(&self.mac).as_bytes());
        out.push(b'\n');
        out
    }
}

/// The bytes that the MAC of a header with these stanzas covers: from the start up to and including `---`.
///
/// # Errors
/// [`HeaderError::NoStanzas`], [`HeaderError::TooManyStanzas`], or [`HeaderError::TooLong`] if the whole header would
/// exceed [`MAX_HEADER_LEN`].
pub fn mac_input(stanzas: &[Stanza]) -> Result<Vec<u8>, HeaderError> {
    if stanzas.is_empty() {
        return Err(HeaderError::NoStanzas);
    }
    if stanzas.len() > MAX_STANZAS {
        return Err(HeaderError::TooManyStanzas);
    }
    let out = encode_unauthenticated(stanzas);
    if out.len() + MAC_LINE_REST > MAX_HEADER_LEN {
        return Err(HeaderError::TooLong);
    }
    Ok(out)
}

/// Decodes a stanza argument that has to be the canonical unpadded base64 of exactly `N` bytes.
#[must_use]
pub fn decode_argument<const N: usize>(argument: &str) -> Option<[u8; N]> {
    BASE64_NOPAD.decode(argument.as_bytes()).ok()?.try_into().ok()
}

/// Encodes a value as a stanza argument: canonical unpadded base64.
#[must_use]
pub fn encode_argument(value: &[u8]) -> String {
    BASE64_NOPAD.encode(value)
}

/// What follows `---` on the MAC line: a space, 43 characters and a line feed.
const MAC_LINE_REST: usize = 45;

fn encode_unauthenticated(stanzas: &[Stanza]) -> Vec<u8> {
    let mut out = VERSION_LINE.to_vec();
    for stanza in stanzas {
        stanza.encode_to(&mut out);
    }
    out.extend_from_slice(MAC_MARK);
    out
}

fn is_argument(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic)
}

fn parse_version(lines: &mut Lines<'_>) -> Result<(), HeaderError> {
    let start = lines.rest.get(..VERSION_PREFIX.len().min(lines.rest.len())).unwrap_or_default();
    if !VERSION_PREFIX.starts_with(start) {
        return Err(HeaderError::NotAge);
    }
    let line = lines.next_line()?;
    match line.strip_prefix(VERSION_PREFIX) {
        Some(b"v1") => Ok(()),
        Some(_) => Err(HeaderError::UnsupportedVersion),
        None => Err(HeaderError::NotAge),
    }
}

fn parse_stanza(first: &[u8], lines: &mut Lines<'_>) -> Result<Stanza, HeaderError> {
    let line = lines.number;
    let arguments = first.strip_prefix(STANZA_PREFIX).ok_or(HeaderError::UnexpectedLine { line })?;
    let mut arguments = arguments.split(|&byte| byte == b' ').map(|argument| {
        let text = std::str::from_utf8(argument).ok().filter(|text| is_argument(text.as_bytes()));
        text.map(str::to_owned).ok_or(HeaderError::Argument { line })
    });
    let tag = arguments.next().ok_or(HeaderError::Argument { line })??;
    let args = arguments.collect::<Result<Vec<_>, _>>()?;

    let mut body = Vec::new();
    loop {
        let text = lines.next_line()?;
        let line = lines.number;
        // `-` is no base64 character: such a line starts the next stanza or the MAC.
        if text.starts_with(b"-") {
            return Err(HeaderError::MissingFinalLine { line });
        }
        if text.len() > COLUMNS {
            return Err(HeaderError::Body { line });
        }
        // Each full line is 48 whole bytes, so decoding line by line is decoding the body.
        let decoded = BASE64_NOPAD.decode(text).map_err(|_| HeaderError::Body { line })?;
        body.extend_from_slice(&decoded);
        if text.len() < COLUMNS {
            return Ok(Stanza { tag, args, body });
        }
    }
}

fn parse_mac(line: &[u8]) -> Option<[u8; MAC_LEN]> {
    let text = line.strip_prefix(MAC_MARK)?.strip_prefix(b" ")?;
    BASE64_NOPAD.decode(text).ok()?.try_into().ok()
}

/// Takes lines off the front of the input, each byte looked at once.
struct Lines<'a> {
    rest: &'a [u8],
    consumed: usize,
    number: usize,
    /// Whether the input goes on behind what `rest` may reach.
    clipped: bool,
}

impl<'a> Lines<'a> {
    fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input.get(..input.len().min(MAX_HEADER_LEN)).unwrap_or_default(),
            consumed: 0,
            number: 0,
            clipped: input.len() > MAX_HEADER_LEN,
        }
    }

    /// The next line without its line feed.
    fn next_line(&mut self) -> Result<&'a [u8], HeaderError> {
        let unfinished = if self.clipped { HeaderError::TooLong } else { HeaderError::Truncated };
        let mut parts = self.rest.splitn(2, |&byte| byte == b'\n');
        let (Some(line), Some(rest)) = (parts.next(), parts.next()) else {
            return Err(unfinished);
        };
        self.rest = rest;
        self.consumed += line.len() + 1;
        self.number += 1;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC_LINE: &str = "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

    fn header(stanzas: &str) -> Vec<u8> {
        format!("age-encryption.org/v1\n{stanzas}{MAC_LINE}").into_bytes()
    }

    fn parse_error(stanzas: &str) -> HeaderError {
        Header::parse(&header(stanzas)).expect_err("this header must be refused")
    }

    fn arb_stanza() -> impl Strategy<Value = Stanza> {
        (
            "[!-~]{1,12}",
            prop::collection::vec("[!-~]{1,70}", 0..4),
            prop::collection::vec(any::<u8>(), 0..200),
        )
            .prop_map(|(tag, args, body)| Stanza::new(&tag, args, body).unwrap())
    }

    fn arb_header() -> impl Strategy<Value = Header> {
        (prop::collection::vec(arb_stanza(), 1..6), any::<[u8; 32]>())
            .prop_map(|(stanzas, mac)| Header::new(stanzas, mac).unwrap())
    }

    #[test]
    fn reads_tag_arguments_body_and_length() {
        let mut bytes = header("-> X25519 one two\nAQID\n-> empty\n\n");
        let length = bytes.len();
        bytes.extend_from_slice(b"payload\n-> not a stanza");
        let (parsed, consumed) = Header::parse(&bytes).unwrap();
        assert_eq!(consumed, length);
        assert_eq!(parsed.stanzas().len(), 2);
        let first = &parsed.stanzas()[0];
        assert_eq!((first.tag(), first.body()), ("X25519", &[1, 2, 3][..]));
        assert_eq!(first.args(), ["one", "two"]);
        assert_eq!(parsed.stanzas()[1].body(), b"");
        assert_eq!(parsed.mac(), &[0; 32]);
    }

    #[test]
    fn a_body_of_48_bytes_ends_with_an_empty_line() {
        let line = "A".repeat(64);
        let bytes = header(&format!("-> a\n{line}\n\n"));
        let (parsed, _) = Header::parse(&bytes).unwrap();
        assert_eq!(parsed.stanzas()[0].body(), [0; 48]);
        assert_eq!(parsed.encode(), bytes);
        assert_eq!(parse_error(&format!("-> a\n{line}\n")), HeaderError::MissingFinalLine { line: 4 });
    }

    #[test]
    fn malformed_headers_are_named_by_line() {
        for (stanzas, expected) in [
            ("", HeaderError::NoStanzas),
            ("-> \n\n", HeaderError::Argument { line: 2 }),
            ("-> a  b\n\n", HeaderError::Argument { line: 2 }),
            ("-> a \n\n", HeaderError::Argument { line: 2 }),
            ("-> \u{e9}\n\n", HeaderError::Argument { line: 2 }),
            ("-> a\tb\n\n", HeaderError::Argument { line: 2 }),
            ("-> a\r\n\n", HeaderError::Argument { line: 2 }),
            ("->a\n\n", HeaderError::UnexpectedLine { line: 2 }),
            ("x> a\n\n", HeaderError::UnexpectedLine { line: 2 }),
            ("\n", HeaderError::UnexpectedLine { line: 2 }),
            ("-> a\nAQI=\n", HeaderError::Body { line: 3 }),
            ("-> a\nAQJ\n", HeaderError::Body { line: 3 }),
            ("-> a\nA\n", HeaderError::Body { line: 3 }),
            ("-> a\nAQ_D\n", HeaderError::Body { line: 3 }),
            ("-> a\nAQID\r\n", HeaderError::Body { line: 3 }),
            ("-> a\nAQID\nAQID\n", HeaderError::UnexpectedLine { line: 4 }),
            ("-> a\n", HeaderError::MissingFinalLine { line: 3 }),
            ("-> a\n-> b\n\n", HeaderError::MissingFinalLine { line: 3 }),
        ] {
            assert_eq!(parse_error(stanzas), expected, "{stanzas:?}");
        }
        let long = format!("-> a\n{}\n", "A".repeat(68));
        assert_eq!(parse_error(&long), HeaderError::Body { line: 3 });
    }

    #[test]
    fn malformed_mac_lines_are_refused() {
        let good = "A".repeat(43);
        for mac in [
            format!("---{good}"),
            format!("---  {good}"),
            format!("--- {good} "),
            format!("--- {good}\r"),
            format!("--- {good}="),
            format!("--- {}B", &good[1..]),
            format!("--- {}", &good[1..]),
            format!("--- {good}AAAA"),
            "---".to_owned(),
        ] {
            let bytes = format!("age-encryption.org/v1\n-> a\n\n{mac}\n");
            assert_eq!(Header::parse(bytes.as_bytes()), Err(HeaderError::Mac { line: 4 }), "{mac:?}");
        }
    }

    #[test]
    fn foreign_files_and_versions_are_told_apart() {
        for (bytes, expected) in [
            (&b""[..], HeaderError::Truncated),
            (b"age-encryption", HeaderError::Truncated),
            (b"hello", HeaderError::NotAge),
            (b"\x1aE\xdf\xa3 no line feed at all", HeaderError::NotAge),
            (b"Age-encryption.org/v1\n", HeaderError::NotAge),
            (b"age-encryption.org/v2\n-> a\n\n", HeaderError::UnsupportedVersion),
            (b"age-encryption.org/v1\r\n-> a\n\n", HeaderError::UnsupportedVersion),
            (b"age-encryption.org/v1 \n", HeaderError::UnsupportedVersion),
        ] {
            assert_eq!(Header::parse(bytes), Err(expected), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn every_cut_of_a_good_header_is_truncated() {
        let bytes = header("-> X25519 one two\nAQID\n-> empty\n\n");
        for end in 0..bytes.len() {
            assert_eq!(Header::parse(&bytes[..end]), Err(HeaderError::Truncated), "cut at {end}");
        }
    }

    #[test]
    fn limits_hold_for_reading_and_writing() {
        let most = header(&"-> a\n\n".repeat(MAX_STANZAS));
        assert!(Header::parse(&most).is_ok());
        let over = header(&"-> a\n\n".repeat(MAX_STANZAS + 1));
        assert_eq!(Header::parse(&over), Err(HeaderError::TooManyStanzas));
        let stanza = Stanza::new("a", vec![], vec![]).unwrap();
        assert_eq!(Header::new(vec![stanza; MAX_STANZAS + 1], [0; 32]), Err(HeaderError::TooManyStanzas));
        assert_eq!(Header::new(vec![], [0; 32]), Err(HeaderError::NoStanzas));

        let empty = header("-> \n\n").len();
        let longest = "a".repeat(MAX_HEADER_LEN - empty);
        let bytes = header(&format!("-> {longest}\n\n"));
        assert_eq!(bytes.len(), MAX_HEADER_LEN);
        let (parsed, length) = Header::parse(&bytes).unwrap();
        assert_eq!(length, MAX_HEADER_LEN);
        assert_eq!(parsed.encode(), bytes);
        assert_eq!(parse_error(&format!("-> {longest}a\n\n")), HeaderError::TooLong);
        let stanza = Stanza::new(&format!("{longest}a"), vec![], vec![]).unwrap();
        assert_eq!(Header::new(vec![stanza], [0; 32]), Err(HeaderError::TooLong));
    }

    #[test]
    fn a_stanza_that_could_not_be_read_back_cannot_be_built() {
        for bad in ["", " ", "a b", "a\n", "\u{7f}", "\u{e9}"] {
            assert_eq!(Stanza::new(bad, vec![], vec![]), Err(HeaderError::Argument { line: 1 }), "{bad:?}");
            let args = vec!["ok".to_owned(), bad.to_owned()];
            assert_eq!(Stanza::new("a", args, vec![]), Err(HeaderError::Argument { line: 1 }), "{bad:?}");
        }
    }

    #[test]
    fn arguments_decode_only_canonically_and_at_the_right_length() {
        assert_eq!(decode_argument::<2>("AQI"), Some([1, 2]));
        assert_eq!(encode_argument(&[1, 2]), "AQI");
        for bad in ["AQJ", "AQI=", "AQID", "AQ", "", "A I"] {
            assert_eq!(decode_argument::<2>(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(header in arb_header(), tail in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = header.encode();
            let length = bytes.len();
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(Header::parse(&bytes), Ok((header, length)));
        }

        #[test]
        fn everything_accepted_encodes_to_the_same_bytes(
            header in arb_header(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
        ) {
            let mut bytes = header.encode();
            for (at, byte, kind) in edits {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => { bytes.remove(at); }
                }
            }
            if let Ok((parsed, length)) = Header::parse(&bytes) {
                prop_assert_eq!(parsed.encode(), &bytes[..length]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut prefixed = VERSION_LINE.to_vec();
            prefixed.extend_from_slice(&bytes);
            for input in [&bytes, &prefixed] {
                if let Ok((parsed, length)) = Header::parse(input) {
                    prop_assert_eq!(parsed.encode(), &input[..length]);
                }
            }
        }
    }
}
