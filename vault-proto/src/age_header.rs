//! Temporary stand-in until the age branch lands.
#[derive(Debug, Clone, PartialEq, Eq)]
/// S.
pub struct Stanza {
    /// T.
    pub tag: String,
    /// A.
    pub args: Vec<String>,
    /// B.
    pub body: Vec<u8>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
/// H.
pub struct Header {
    /// S.
    pub stanzas: Vec<Stanza>,
    /// M.
    pub mac: [u8; 32],
}
/// E.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header")]
pub struct HeaderError;
impl Header {
    /// P.
    pub fn parse(_bytes: &[u8]) -> Result<(Self, usize), HeaderError> {
        Err(HeaderError)
    }
}
