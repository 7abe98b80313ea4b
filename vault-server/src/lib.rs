//! The storage server of the recording vault: it holds ciphertext and cannot decrypt.
//!
//! [`serve`] is what the program and the tests call. Layers, each knowing only those after it: `router` → `routes` → [`ops`]
//! → [`store`] (metadata) and [`blob`] (bytes). The protocol is `docs/PROTOCOL.md`.

pub mod authentication;
pub mod authorize;
pub mod blob;
mod collector;
mod connections;
pub mod data_folder;
mod durable;
pub mod event;
pub mod limits;
pub mod ops;
pub mod problem;
mod router;
mod routes;
mod server_error;
pub mod store;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use vault_proto::timestamp::Timestamp;

pub use server_error::ServerError;

use authentication::Authorities;
use blob::FileBlobs;
use data_folder::DataFolder;
use limits::Limits;
use ops::orphans::Collection;
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
    /// What it takes on at most.
    pub limits: Limits,
    /// Called after each search for leftovers of crashes.
    pub collected: Box<dyn Fn(Collection) + Send + Sync>,
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
            limits: Limits::default(),
            collected: Box::new(|_| ()),
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

/// What of a data folder has to be open to work on it.
type Opened = (DataFolder, Arc<SqliteStore>, FileBlobs);

fn open(data: &Path) -> Result<Opened, ServerError> {
    let folder = DataFolder::open(data)?;
    let store = SqliteStore::open(folder.database())?;
    let blobs = FileBlobs::open(folder.blobs())?;
    folder.sync()?;
    Ok((folder, Arc::new(store), blobs))
}

/// Removes leftovers of crashes from a data folder that no server uses: files that no row names and that were last written to
/// before `grace`. Blocks.
///
/// # Errors
/// [`ServerError`].
pub fn collect(data: &Path, grace: Duration) -> Result<Collection, ServerError> {
    let (folder, store, blobs) = open(data)?;
    let vault = Vault::new(
        folder.organisation(),
        Arc::clone(&store) as Arc<dyn store::Store>,
        Arc::new(blobs),
        Arc::new(system_time),
    );
    let done = ops::orphans::collect(&vault, collector::before(grace), &|| true)?;
    store.checkpoint()?;
    Ok(done)
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
    let limits = config.limits;
    let clock = config.clock;
    let opened = tokio::task::spawn_blocking(move || {
        let (folder, store, blobs) = open(&data)?;
        let all = Arc::clone(&store) as Arc<dyn store::Store>;
        let vault = Vault::new(folder.organisation(), all, Arc::new(blobs), clock).with_room(&limits)?;
        Ok::<_, ServerError>((folder, store, Arc::new(vault)))
    });
    let (folder, store, vault) = opened.await.map_err(|error| ServerError::Stopped(error.into()))??;
    let router = router::router(routes::App::new(Arc::clone(&vault), Authorities::new(names), limits));
    tracing::info!(%address, "listening");
    (config.announce)(address);
    let collector = collector::start(vault, limits.orphan_grace, config.collected);
    connections::serve(listener, router, limits, config.grace, shutdown).await;
    collector.stop().await;
    let checkpoint = tokio::task::spawn_blocking(move || store.checkpoint()).await;
    match checkpoint {
        Ok(Ok(())) => tracing::info!("stopped"),
        Ok(Err(error)) => tracing::warn!(%error, "the write-ahead log was left for the next start"),
        Err(error) => tracing::warn!(%error, "the write-ahead log was left for the next start"),
    }
    drop(folder);
    Ok(())
}
