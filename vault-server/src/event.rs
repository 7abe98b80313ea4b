//! What happened: the record that every change of the metadata is committed with.

use vault_proto::ids::{AccountId, KeyId, PublicKey, RecordingId};
use vault_proto::timestamp::Timestamp;

use crate::authorize::{Actor, Permit};

/// Who asks, and in which request: what operations are called with.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The authenticated actor.
    pub actor: Actor,
    /// The device key that signed the request; its id is the actor's.
    pub device: PublicKey,
    /// Id of the request, 32 hexadecimal digits; also in the answer and in the log.
    pub request_id: String,
    /// When the request was authenticated, by the server's clock.
    pub at: Timestamp,
}

/// One change, as the events table keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// The account that asked for it.
    pub account: AccountId,
    /// The device key that signed the request.
    pub key_id: KeyId,
    /// What was done.
    pub action: &'static str,
    /// The recording it was done to, if any.
    pub recording: Option<RecordingId>,
    /// The segment, if it was done to one.
    pub segment: Option<u32>,
    /// The part, if it was done to one.
    pub part: Option<u32>,
    /// Id of the request.
    pub request_id: String,
}

impl Event {
    /// The event of a permitted action.
    pub fn permitted(permit: &Permit, caller: &Caller) -> Self {
        Self {
            at: caller.at,
            account: permit.actor().account,
            key_id: permit.actor().key_id,
            action: permit.action().name(),
            recording: permit.recording(),
            segment: None,
            part: None,
            request_id: caller.request_id.clone(),
        }
    }

    /// The event of an enrolment, which needs no permit: the submitted chain and key list speak for themselves.
    pub fn enrolment(caller: &Caller) -> Self {
        Self {
            at: caller.at,
            account: caller.actor.account,
            key_id: caller.actor.key_id,
            action: "enrol",
            recording: None,
            segment: None,
            part: None,
            request_id: caller.request_id.clone(),
        }
    }

    /// The same event, done to a segment.
    #[must_use]
    pub const fn on_segment(mut self, segment: u32) -> Self {
        self.segment = Some(segment);
        self
    }

    /// The same event, done to a part.
    #[must_use]
    pub const fn on_part(mut self, segment: u32, part: u32) -> Self {
        self.segment = Some(segment);
        self.part = Some(part);
        self
    }
}
