//! Stub.
pub(super) fn page(_: &super::catalogue::Catalogue) -> String {
    String::new()
}
