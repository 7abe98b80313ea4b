//! The program: arguments in, [`vault_server::serve`], one exit code out.

mod arguments;
mod terminal;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vault_proto::ids::OrganisationId;
use vault_server::authority::Authority;
use vault_server::data_folder::{Initialised, init};
use vault_server::limits::Limits;
use vault_server::{Config, ServerError, collect, serve};

use crate::arguments::{Arguments, Command, LogForm};
use crate::terminal::{not_understood, say, tell};

/// From now on a file that may not grow (`ulimit -f`) is a full disk to whoever writes it, and not the end of the
/// process.
fn outlive_file_size_limit() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    // The handler stays when the runtime goes.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

fn main() -> ExitCode {
    // Without it a limit that nobody has to set ends the process, as it ends any other.
    let _ = outlive_file_size_limit();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    let result = match arguments.command {
        Command::Init { data, organisation } => run_init(&data, organisation),
        Command::Serve { data, listen, authority, max_bytes, min_free, log } => {
            start_log(log);
            run_serve(data, listen, authority, Limits { max_bytes, min_free, ..Limits::default() })
        }
        Command::Collect { data, older_than, at_most } => {
            start_log(LogForm::Text);
            run_collect(&data, older_than, at_most)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("vault-server: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn start_log(form: LogForm) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match form {
        LogForm::Text => log.with_ansi(false).init(),
        LogForm::Json => log.json().init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("it does not say why");
        tracing::error!(place, reason, "a mistake of this program: something panicked; please report it");
    }));
}

fn run_init(data: &Path, organisation: OrganisationId) -> Result<(), ServerError> {
    let word = match init(data, organisation)? {
        Initialised::New => "is now",
        Initialised::Already => "already is",
    };
    say(&format!("{} {word} a vault of organisation {organisation}", data.display()));
    Ok(())
}

fn run_collect(data: &Path, grace: Duration, at_most: u64) -> Result<(), ServerError> {
    let done = collect(data, grace, at_most)?;
    say(&format!(
        "{}: {} recordings; leftovers: {} moved, {} left, {} too young, {} of before unlinked; {} files unexplained; \
         {} objects missing; {} failures",
        data.display(),
        done.recordings,
        done.set_aside,
        done.left,
        done.young,
        done.unlinked,
        done.unexplained,
        done.missing,
        done.failed
    ));
    Ok(())
}

fn run_serve(
    data: PathBuf,
    listen: SocketAddr,
    authorities: Vec<Authority>,
    limits: Limits,
) -> Result<(), ServerError> {
    // What `serve` finds too, and that names the address as it was typed.
    if authorities.is_empty() && Authority::of_listener(listen).is_none() {
        return Err(ServerError::Nameless { data, address: listen });
    }
    // The blocking threads bound how many requests touch the disk at once.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(32)
        .build()
        .map_err(ServerError::Stopped)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Stopped)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Stopped)?;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| ServerError::Listen { address: listen, error })?;
        let config = Config {
            authorities,
            limits,
            announce: Box::new(|address| say(&format!("vault-server listening on http://{address}"))),
            ..Config::new(data)
        };
        serve(listener, config, async move {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
        })
        .await
    })
}
