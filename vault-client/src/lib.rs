//! The one client of the storage server, for apps and for the command line.

pub mod clock;
pub mod error;
pub mod home;
pub mod media_type;
pub mod opening;
pub mod registrar;
pub mod sealing;
pub mod server;
pub mod session;
pub mod trust;

pub use error::ClientError;
pub use session::Session;
