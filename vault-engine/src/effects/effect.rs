//! What can be asked of a machine, and what it can answer.

use std::time::Duration;

use bytes::Bytes;

use super::job::{Job, JobDone};
use crate::error::IoFailure;

/// Something that only the machine can do. Each says what its answer is.
#[derive(Debug)]
pub enum Effect {
    /// The signature of the device key over these bytes: [`Answer::Signature`], or [`Answer::Gone`] if the key cannot
    /// be used any more. What comes is verified before it is used.
    Sign(Vec<u8>),
    /// One try of one request: [`Answer::Response`] or [`Answer::NoAnswer`]. No redirect is followed, no cookie kept,
    /// nothing cached.
    Fetch(Request),
    /// Records of the home: [`Answer::Records`], one for each key, in their order.
    Load(Vec<String>),
    /// The names of all records that begin so: [`Answer::Names`].
    List(String),
    /// Changes of the home, all or none of them: [`Answer::Done`] once they are durable. On a machine that knows only
    /// files, those before an [`Change::Append`] are durable before the line is.
    Commit(Vec<Change>),
    /// The only holder of a name among all programs that use this home, until [`Effect::Unlock`] or the holder's death:
    /// [`Answer::Locked`].
    Lock {
        /// The name.
        name: String,
        /// What if another holds it.
        locking: Locking,
    },
    /// Gives a lock back; nobody waits for an answer. It is carried out behind every [`Effect::Commit`] that was asked
    /// for before it, also of one that nobody waits for any more: who gets the lock next reads what that left.
    Unlock(String),
    /// Work that takes the processor a while, on a thread of its own where there are threads: [`Answer::Ran`].
    Run(Job),
    /// A pause: [`Answer::Done`].
    Sleep(Duration),
}

/// What comes of an effect.
#[derive(Debug)]
pub enum Answer {
    /// Of [`Effect::Sign`].
    Signature([u8; 64]),
    /// Of [`Effect::Sign`]: the key is not to be had any more.
    Gone,
    /// Of [`Effect::Fetch`].
    Response(Response),
    /// Of [`Effect::Fetch`].
    NoAnswer(NoAnswer),
    /// Of [`Effect::Load`]; `None` for what is not there.
    Records(Vec<Option<Bytes>>),
    /// Of [`Effect::List`], in any order.
    Names(Vec<RecordName>),
    /// Of [`Effect::Lock`]: whether it is held now.
    Locked(bool),
    /// Of [`Effect::Run`].
    Ran(JobDone),
    /// Of [`Effect::Commit`] and [`Effect::Sleep`].
    Done,
    /// Of [`Effect::Load`], [`Effect::List`], [`Effect::Commit`] and [`Effect::Lock`]: the store failed. Nothing of a
    /// commit that failed is there.
    Failed(StoreFailure),
}

/// What to do about a lock that another holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Wait for it.
    Wait,
    /// Say so.
    Try,
}

/// A change of the home. Keys are text with `/` between folders.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts a whole record in place of what was there.
    Put(String, Bytes),
    /// Adds to the end of a record, which begins with it if it is not there.
    Append(String, Bytes),
    /// Cuts a record off after so many bytes.
    Truncate(String, u64),
    /// Removes a record; one that is not there is removed already.
    Delete(String),
    /// Says of a record when something of it last happened, in milliseconds since 1970. Need not be durable.
    Touch(String, u64),
}

// What is kept may be long, and some of it nobody else's business.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(key, bytes) => write!(f, "Put({key}, {} bytes)", bytes.len()),
            Self::Append(key, bytes) => write!(f, "Append({key}, {} bytes)", bytes.len()),
            Self::Truncate(key, length) => write!(f, "Truncate({key}, {length})"),
            Self::Delete(key) => write!(f, "Delete({key})"),
            Self::Touch(key, at_ms) => write!(f, "Touch({key}, {at_ms})"),
        }
    }
}

/// A record, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName {
    /// When it was last changed or touched, in milliseconds since 1970.
    pub changed_ms: u64,
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub length: u64,
}

/// Why the store of a home did not do what was asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFailure {
    /// Where, for a person: a path, if there are paths.
    pub place: String,
    /// Why.
    pub why: IoFailure,
}

/// What is done with something on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `PUT`
    Put,
    /// `POST`
    Post,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A signed request.
#[derive(Clone)]
pub struct Request {
    /// What is done.
    pub method: Method,
    /// The whole address.
    pub url: String,
    /// Names and values of headers beside those that every client of HTTP makes itself.
    pub headers: Vec<(String, String)>,
    /// The body; none if it is empty and there is no `content-type`.
    pub body: Bytes,
    /// Most bytes of an answer's body that are read.
    pub limit: usize,
}

// Headers hold signatures, bodies hold statements of people.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method.as_str(), self.url, self.body.len())
    }
}

/// An answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its body, within the limit of its request.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// None came, or not all of it; with what the machine says.
    Lost(String),
    /// It is longer than was asked for; with its status.
    TooLong(u16),
}

/// What the clocks of the machine show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since 1970, by a clock that people set.
    pub unix_ms: u64,
    /// Time since some moment in the past, by a clock that nobody sets.
    pub running: Duration,
}
