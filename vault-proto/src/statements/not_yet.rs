use serde::{Deserialize, Serialize};

/// A place that is null in this version of the format: whatever else stands there is of a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NotYet;

impl NotYet {
    /// If `payload` has something in `field`: that.
    pub(super) fn newer(payload: &serde_json::Value, field: &str) -> Option<String> {
        payload.get(field).filter(|value| !value.is_null()).map(|_| format!("{field:?} that is not null"))
    }
}
