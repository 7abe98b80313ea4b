//! Stand-in.
/// Layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeekableLayout {
    /// Head.
    pub head: Vec<u8>,
    /// From.
    pub body_from: u64,
}
/// Index.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SeekIndex {}
impl SeekIndex {
    /// Duration.
    pub fn duration_ms(&self) -> u64 {
        0
    }
    /// Layout.
    pub fn layout(&self, _track_bytes: u64) -> Option<SeekableLayout> {
        None
    }
    /// Layout.
    pub fn layout_from(&self, _track_bytes: u64, _from_ms: u64) -> Option<SeekableLayout> {
        None
    }
}
/// Indexer.
#[derive(Debug, Default)]
pub struct SeekIndexer {}
impl SeekIndexer {
    /// New.
    pub fn new() -> Self {
        Self {}
    }
    /// Push.
    pub fn push(&mut self, _bytes: &[u8]) {}
    /// Finish.
    pub fn finish(self) -> Option<SeekIndex> {
        None
    }
}
