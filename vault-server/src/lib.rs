//! The storage server of the recording vault: it holds ciphertext and cannot decrypt.
//!
//! [`serve`] is what the program and the tests call. Layers, each knowing only those after it: `router` → `routes` → [`ops`]
//! → [`store`] (metadata) and [`blob`] (bytes). The protocol is `docs/PROTOCOL.md`.

pub mod authentication;
pub mod authorize;
pub mod blob;
pub mod data_folder;
pub mod event;
pub mod ops;
pub mod problem;
mod router;
mod routes;
mod server_error;
pub mod store;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use vault_proto::timestamp::Timestamp;

pub use server_error::ServerError;

use authentication::Authorities;
use blob::FileBlobs;
use data_folder::DataFolder;
use ops::{Clock, Vault};
use store::{SqliteStore, Store as _};

/// How a server is to run.
pub struct Config {
    /// Its data folder, initialised.
    pub data: PathBuf,
    /// Names under which clients reach it, `HOST[:PORT]`; if empty, the address it listens on.
    pub authorities: Vec<String>,
    /// The time.
    pub clock: Clock,
    /// Called once the server is ready to answer.
    pub announce: Box<dyn FnOnce(SocketAddr) + Send>,
    /// How long running requests may take to finish after a shutdown was asked for.
    pub grace: Duration,
}

impl Config {
    /// A server on `data`, known by the address it listens on, with the system's clock.
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            authorities: Vec::new(),
            clock: Arc::new(system_time),
            announce: Box::new(|_| ()),
            grace: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data", &self.data)
            .field("authorities", &self.authorities)
            .finish_non_exhaustive()
    }
}

fn system_time() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    Timestamp::EPOCH.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn own_names(address: SocketAddr) -> Vec<String> {
    let mut names = vec![address.to_string()];
    if address.ip().is_loopback() {
        names.push(format!("localhost:{}", address.port()));
    }
    names
}

/// Serves the vault in `config.data` on `listener` until `shutdown` completes; then finishes running requests, brings the
/// database into one file and returns.
///
/// # Errors
/// [`ServerError`]; everything that was acknowledged is stored.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let address = listener.local_addr().map_err(ServerError::Stopped)?;
    let names = if config.authorities.is_empty() { own_names(address) } else { config.authorities };
    let data = config.data;
    let opened = tokio::task::spawn_blocking(move || {
        let folder = DataFolder::open(&data)?;
        let store = SqliteStore::open(folder.database())?;
        let blobs = FileBlobs::open(folder.blobs())?;
        Ok::<_, ServerError>((folder, store, blobs))
    });
    let (folder, store, blobs) = opened.await.map_err(|error| ServerError::Stopped(error.into()))??;
    let store = Arc::new(store);
    let vault = Vault::new(
        folder.organisation(),
        Arc::clone(&store) as Arc<dyn store::Store>,
        Arc::new(blobs),
        config.clock,
    );
    let router = router::router(routes::App::new(vault, Authorities::new(names)));
    tracing::info!(%address, "listening");
    (config.announce)(address);
    let result = run(listener, router, config.grace, shutdown).await;
    let checkpoint = tokio::task::spawn_blocking(move || store.checkpoint()).await;
    match checkpoint {
        Ok(Ok(())) => tracing::info!("stopped"),
        Ok(Err(error)) => tracing::warn!(%error, "the write-ahead log was left for the next start"),
        Err(error) => tracing::warn!(%error, "the write-ahead log was left for the next start"),
    }
    drop(folder);
    result
}

async fn run(
    listener: TcpListener,
    router: axum::Router,
    grace: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "small packets may be delayed");
        }
    });
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        tracing::info!("stopping");
        let _ = stopping.send(());
    });
    let out_of_patience = async {
        let _ = stopped.await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = serving => result.map_err(ServerError::Stopped),
        () = out_of_patience => {
            tracing::warn!("some requests did not finish in time");
            Ok(())
        }
    }
}
