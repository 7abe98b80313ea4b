//! What an app can ask for, and what it is told.

use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use vault_proto::ids::{AccountId, OrganisationId, RecordingId};
use zeroize::Zeroizing;

use crate::error::CutOff;
use crate::home::account::Account;
use crate::opening::listing::{ListedRecording, Listing};
use crate::opening::media::Medium;
use crate::sealing::{RecorderOptions, RecordingProgress, Resumed, SealRequest, Sealed};

/// Something to be done. Everything in it is owned, and nothing in it belongs to a machine.
pub enum Command {
    /// Enrols the account of the home at a server, under the organisation root that is pinned from then on, and unlocks
    /// it: [`Outcome::Unlocked`]. As [`Session::enrol`](crate::Session::enrol).
    Enrol {
        /// What opens the account.
        key: Key,
        /// Address of the server.
        server: String,
        /// The organisation's root.
        organisation: OrganisationId,
        /// The registrar's certificate file.
        certificate: Bytes,
    },
    /// Unlocks the account of the home, at the server it is enrolled at: [`Outcome::Unlocked`]. Everything below but
    /// what is said of a recording that was begun needs it.
    Unlock {
        /// What opens the account.
        key: Key,
        /// Another address of the same server.
        server: Option<String>,
        /// For how long requests are tried again; see
        /// [`with_retry_for`](crate::server::connection::Connection::with_retry_for).
        retry_for: Option<Duration>,
    },
    /// Locks the account: what opens its recordings and all that is open is let go of, and what commands that are under
    /// way find is not given out any more: [`Outcome::Done`]. What is being recorded goes on, and holds a copy of what
    /// opens the account's recordings until it ends; memory is wiped when the last copy goes.
    Lock,
    /// [`Outcome::Listing`], as [`list`](crate::opening::listing::list) gives it.
    List,
    /// Checks the statements of a recording, named by its id or the beginning of it: [`Outcome::Opened`].
    Open {
        /// The recording.
        recording: String,
    },
    /// Some bytes of a track from `offset` on, at most `most` and none at its end: [`Outcome::Bytes`]. The track is the
    /// file that [`Medium::layout`] makes of it, of [`Medium::length`] bytes.
    Read {
        /// What was opened.
        opened: Handle,
        /// The track.
        track: u8,
        /// First byte.
        offset: u64,
        /// Most bytes.
        most: usize,
    },
    /// Forgets what was opened: [`Outcome::Done`].
    Close {
        /// What was opened.
        opened: Handle,
    },
    /// Begins to record, as [`Recorder::begin`](crate::sealing::Recorder::begin): [`Outcome::Begun`]. From then on
    /// there are [events](Event::Progress), and things to [say](super::Engine::say) of it.
    Begin {
        /// What, and for whom.
        request: SealRequest,
        /// How.
        options: RecorderOptions,
    },
    /// Ends what processes of this home left behind: [`Outcome::Resumed`].
    Resume,
}

/// What can be [said](super::Engine::say) of a recording under way.
pub enum Said {
    /// Its next bytes: [`Outcome::Done`] once there is room for more. Whoever does not wait for that holds all that is
    /// written ahead in memory.
    Write(Zeroizing<Vec<u8>>),
    /// Its track ends and another begins, of this media type, which is found out from its first bytes if `None`:
    /// [`Outcome::Done`].
    Switch(Option<String>),
    /// Its clock stops: [`Outcome::Done`].
    Pause,
    /// Its clock goes on after [`Said::Pause`]: [`Outcome::Done`].
    GoOn,
    /// Its end, as [`Recorder::finish`](crate::sealing::Recorder::finish) seals it: [`Outcome::Sealed`].
    Finish {
        /// Whether all of it was recorded.
        complete: bool,
        /// For how long to wait while the server takes nothing.
        patience: Duration,
    },
    /// It is left as if its process had died; [`Command::Resume`] brings it to an end: [`Outcome::Done`].
    Leave,
}

/// What opens an account.
pub enum Key {
    /// The passphrase of the identity file in the home.
    Passphrase(SecretString),
    /// What somebody else has unlocked, with a passkey for example.
    Account(Account),
}

/// What was opened, until it is [closed](Command::Close) or the account [locked](Command::Lock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// What came of a command.
#[derive(Debug)]
pub enum Outcome {
    /// It is done, and there is nothing more to say.
    Done,
    /// The account can be used.
    Unlocked(AccountId),
    /// Its recordings.
    Listing(Listing),
    /// A recording whose statements were checked. Nothing of it was released.
    Opened {
        /// How to speak of it.
        opened: Handle,
        /// What its statements and details say.
        about: Box<ListedRecording>,
        /// Its tracks.
        media: Vec<Medium>,
        /// Where it is cut off and why; `None` if it is complete.
        cut_off: Option<Box<CutOff>>,
    },
    /// Checked plaintext. The account's own list names the recording from then on.
    Bytes(Bytes),
    /// A recording is under way.
    Begun(RecordingId),
    /// All of a recording is on the server.
    Sealed(Sealed),
    /// What became of each upload that was left behind.
    Resumed(Resumed),
}

/// News that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// How far a recording has come. A newer one takes the place of one that nobody has taken yet.
    Progress {
        /// The recording.
        recording: RecordingId,
        /// How far.
        progress: RecordingProgress,
    },
}
