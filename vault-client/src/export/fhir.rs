//! Stub.
pub(super) enum FhirVersion {
    R4,
    R5,
}
pub(super) fn bundle(_: &super::catalogue::Catalogue, v: FhirVersion) -> serde_json::Value {
    match v {
        FhirVersion::R4 => serde_json::json!({}),
        FhirVersion::R5 => serde_json::json!({}),
    }
}
