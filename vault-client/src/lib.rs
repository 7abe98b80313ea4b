//! The one client of the storage server, for apps and for the command line. Nothing the server says is believed beyond
//! what signed statements and this home's pins prove.
//!
//! Everything begins with a [`Session`]: a person's home, unlocked, and the server it is enrolled at.
//!
//! ```no_run
//! use secrecy::SecretString;
//! use vault_client::home_folder::HomeFolder;
//! use vault_client::{ClientError, Session};
//!
//! async fn unlock(passphrase: &SecretString) -> Result<Session, ClientError> {
//!     vault_client::unlock(&HomeFolder::new("/home/anna/.config/recording-vault"), passphrase).await
//! }
//! ```
//!
//! # Recording
//!
//! A [`Recorder`](sealing::Recorder) seals what is written to it while it is written, for the two people it was begun
//! for and for nobody else. Whatever dies next, what it calls acknowledged opens for both.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use vault_client::{ClientError, Session};
//! # use vault_proto::ids::AccountId;
//! use vault_client::sealing::{self, RecorderOptions, SealRequest, resume_all};
//!
//! # async fn record(session: Session, patient: AccountId, clinician: AccountId, mut sound: impl Iterator<Item = Vec<u8>>,
//! #     pictures: impl Iterator<Item = Vec<u8>>) -> Result<(), ClientError> {
//! let request = SealRequest { patient, clinician, consultation: None, title: None, media_type: None, pad: false };
//! let mut recorder = sealing::begin(&session, &request, RecorderOptions::default()).await?;
//! for bytes in sound {
//!     recorder.write(&bytes).await?;
//! }
//! recorder.switch_track(Some("video/webm")).await?; // the same readers, a new segment and key
//! for bytes in pictures {
//!     recorder.write(&bytes).await?;
//! }
//! match recorder.finish(true, Duration::from_secs(60)).await {
//!     Ok(sealed) => println!("{} has {} bytes, all of them on the server", sealed.recording, sealed.bytes),
//!     // Sealed, and kept in the home: this sends it, now or in another process.
//!     Err(ClientError::Kept { .. }) => drop(resume_all(&session, &mut |_| ()).await?),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Listing
//!
//! ```no_run
//! # async fn list(session: vault_client::Session) -> Result<(), vault_client::ClientError> {
//! let listing = vault_engine::opening::listing::list(&session).await?;
//! for recording in &listing.recordings {
//!     println!("{} {:?} {} bytes", recording.created, recording.status, recording.bytes);
//! }
//! for refused in &listing.refused {
//!     println!("{}: {}", refused.recording, refused.error); // shown, and not what it should be
//! }
//! for missing in &listing.missing {
//!     println!("{} was listed before", missing.recording);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Opening
//!
//! The statements are checked first, then each part before a byte of it is written on.
//!
//! ```no_run
//! # use vault_proto::ids::RecordingId;
//! use vault_engine::opening::recording::RemoteRecording;
//!
//! # async fn open(session: vault_client::Session, id: RecordingId) -> Result<(), vault_client::ClientError> {
//! let remote = RemoteRecording::fetch(&session, id).await?;
//! remote.require_complete(session.home()).await?; // or show `cut_off`, and go on
//! let mut file = Vec::new();
//! let opened = remote.write_to(&session, None, &mut file, &mut |_| ()).await?;
//! assert_eq!(opened.bytes, file.len() as u64);
//! # Ok(())
//! # }
//! ```
//!
//! # Playing
//!
//! A [`RemoteTrack`](vault_engine::opening::track::RemoteTrack) can be read from anywhere; a jump fetches the parts it
//! lands in, and no more.
//!
//! ```no_run
//! # use vault_engine::opening::recording::RemoteRecording;
//! use vault_engine::opening::media::media;
//! use vault_engine::opening::track::RemoteTrack;
//!
//! # async fn play(session: vault_client::Session, remote: RemoteRecording) -> Result<(), vault_client::ClientError> {
//! for medium in media(&session, &remote).await? {
//!     let track = RemoteTrack::open(&session, &remote, medium.track, medium.layout()).await?;
//!     let middle = track.read_at(track.length() / 2, 64 * 1024).await?;
//!     println!("{}: {} bytes from the middle", medium.media_type, middle.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! | room | holds | knows |
//! |---|---|---|
//! | [`clock`], `http` | the time; requests on sockets | nobody |
//! | [`io_failure`] | errors of the operating system in the engine's words | nobody |
//! | [`home_folder`] | a home as files | `io_failure` |
//! | `machine` | this machine as the driver of [`vault_engine`], which decides | `home_folder`, `http` |
//! | [`unlock()`], [`enrol`] | from a folder and a passphrase to a session | those above |
//! | [`blocking_reader`] | a track for threads that may wait | nobody |
//! | [`sealing`] | one pipeline of flat memory, and what goes on where a process died | `home_folder`, `clock` |
//! | [`export`] | recordings taken home, and their check | `home_folder` |
//! | [`registrar`] | certificates, made offline | `home_folder`, `clock` |
//!
//! No room knows one below it, and `.ci/module-circles` keeps it so. What is not here is decided in [`vault_engine`]:
//! whose keys, what is listed, what may be released.
//!
//! # What is stable
//!
//! What this page shows: [`unlock()`], [`Session`], [`sealing::Recorder`], [`sealing::resume_all`],
//! [`list`](vault_engine::opening::listing::list),
//! [`RemoteRecording`](vault_engine::opening::recording::RemoteRecording),
//! [`media`](vault_engine::opening::media), [`track`](vault_engine::opening::track), and [`ClientError`]. Everything
//! else may still move between rooms.

pub mod blocking_reader;
pub mod clock;
pub mod export;
pub mod home_folder;
mod http;
pub mod io_failure;
mod machine;
pub mod registrar;
pub mod sealing;
mod unlock;

pub use unlock::{SessionOptions, enrol, unlock, unlock_with};
pub use vault_engine::{ClientError, Session};
