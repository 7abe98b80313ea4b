//! The storage server of the recording vault: it holds ciphertext and cannot decrypt.
//!
//! [`serve`] is what the program and the tests call. Layers, each knowing only those after it: `router` → `routes` →
//! [`ops`] → [`store`] (metadata) and [`blob`] (bytes). The protocol is `docs/PROTOCOL.md`.

pub mod authentication;
pub mod authority;
pub mod authorize;
pub mod blob;
mod collector;
mod connections;
pub mod data_folder;
mod durable;
pub mod event;
pub mod limits;
pub mod mark;
mod mark_mover;
mod misaddressed;
pub mod ops;
mod place;
pub mod problem;
pub mod refusal;
mod request_log;
mod router;
mod routes;
mod server_error;
pub mod store;
mod turns;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use vault_proto::timestamp::Timestamp;

pub use collector::MOST_LEFTOVERS;
pub use server_error::ServerError;

use authentication::Authorities;
use authority::Authority;
use data_folder::DataFolder;
use limits::Limits;
use ops::leftovers::{Collection, Search, SearchError};
use ops::{Clock, Vault};
use refusal::Refusal;
use request_log::RequestLog;
use store::{SqliteStore, Store};

/// How a server is to run.
pub struct Config {
    /// Its data folder, initialised.
    pub data: PathBuf,
    /// Names under which clients reach it; if empty, the address it listens on.
    pub authorities: Vec<Authority>,
    /// The time.
    pub clock: Clock,
    /// Called once the server is ready to answer.
    pub announce: Box<dyn FnOnce(SocketAddr) + Send>,
    /// How long running requests may take to finish after a shutdown was asked for.
    pub grace: Duration,
    /// What it takes on at most.
    pub limits: Limits,
    /// Whether it looks for leftovers of crashes and for what contradicts the index. Only who changes index or objects
    /// on purpose has a reason not to.
    pub searches: bool,
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
            searches: true,
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

/// What of a data folder has to be open to work on it.
struct Opened {
    path: PathBuf,
    store: Arc<SqliteStore>,
    vault: Arc<Vault>,
    /// Keeps other processes out.
    lock: data_folder::Lock,
}

fn open(data: &Path, clock: Clock, limits: &Limits) -> Result<Opened, ServerError> {
    let folder = DataFolder::open(data)?;
    let (path, organisation) = (folder.path().to_owned(), folder.organisation());
    let (lock, store, blobs) = folder.into_stores()?;
    let store = Arc::new(store.with_nonces(limits.nonces));
    let vault = Vault::new(organisation, Arc::clone(&store) as Arc<dyn Store>, Arc::new(blobs), clock)
        .with_room(limits)
        .map_err(|error| ServerError::index(&path, error.into()))?;
    Ok(Opened { path, store, vault: Arc::new(vault), lock })
}

/// Sets leftovers of crashes aside in a data folder that no server uses: at most `at_most` files that were last
/// written to before `grace`. Blocks.
///
/// # Errors
/// [`ServerError`].
pub fn collect(data: &Path, grace: Duration, at_most: u64) -> Result<Collection, ServerError> {
    let opened = open(data, Arc::new(system_time), &Limits::default())?;
    let search = Search { before: collector::before(grace), at_most, stop_beyond: false };
    let done = ops::leftovers::collect(&opened.vault, &search, &|| true);
    let closed = opened.store.close();
    let done = done.map_err(|error| match error {
        SearchError::Refused(reason) => Refusal { data: data.to_owned(), reason }.into(),
        SearchError::Blobs(error) => ServerError::blobs(data, error),
        SearchError::Store(error) => ServerError::index(data, error.into()),
    })?;
    closed.map_err(|error| ServerError::index(data, error.into()))?;
    Ok(done)
}

/// Serves the vault in `config.data` on `listener` until `shutdown` completes, or until index and objects are found to
/// contradict each other; then finishes running requests, brings the database into one file and returns.
///
/// # Errors
/// [`ServerError`]; everything that was acknowledged is stored.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let address = listener.local_addr().map_err(ServerError::Stopped)?;
    let Config { data, limits, clock, authorities, .. } = config;
    let authorities = if authorities.is_empty() {
        Authority::of_listener(address)
            .ok_or_else(|| ServerError::Nameless { data: data.clone(), address })?
    } else {
        authorities
    };
    let opened = tokio::task::spawn_blocking(move || open(&data, clock, &limits));
    let Opened { path, store, vault, lock } =
        opened.await.map_err(|error| ServerError::Stopped(error.into()))??;
    let place = lock.place();
    let log = RequestLog::new(limits.log_sums_every);
    let sums = log.start();
    let app = routes::App::new(Arc::clone(&vault), Authorities::new(authorities), limits);
    let router = router::router(app, Arc::clone(&log));
    tracing::info!(%address, "listening");
    (config.announce)(address);
    let refused = Arc::new(Notify::new());
    let collector = config
        .searches
        .then(|| collector::start(vault, limits.leftover_grace, config.collected, Arc::clone(&refused)));
    let marks = mark_mover::start(Arc::clone(&store) as Arc<dyn Store>, limits.mark_every);
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            () = refused.notified() => {}
        }
    };
    connections::serve(listener, router, limits, Arc::clone(&log), config.grace, stop).await;
    drop(sums);
    log.finish();
    let refusal = match collector {
        Some(collector) => collector.stop().await,
        None => None,
    };
    marks.stop();
    if let Err(error) = place.check() {
        // SQLite would remove the log by its path, where another database's may lie by now. What was committed is in
        // the files that are open, and stays there.
        let _kept_open = Box::leak(Box::new(store));
        tracing::warn!(%error, "stopped, and the write-ahead log was left for the next start");
        return refusal.map_or(Ok(()), |reason| Err(Refusal { data: path, reason }.into()));
    }
    match tokio::task::spawn_blocking(move || store.close()).await {
        Ok(Ok(())) => tracing::info!("stopped"),
        Ok(Err(error)) => tracing::warn!(%error, "the write-ahead log was left for the next start"),
        Err(error) => tracing::warn!(%error, "the write-ahead log was left for the next start"),
    }
    match refusal {
        Some(reason) => Err(Refusal { data: path, reason }.into()),
        None => Ok(()),
    }
}
