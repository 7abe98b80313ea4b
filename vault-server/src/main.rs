//! The program: arguments in, [`vault_server::serve`], one exit code out.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vault_proto::ids::OrganisationId;
use vault_server::data_folder::{Initialised, init};
use vault_server::limits::Limits;
use vault_server::{Config, MOST_LEFTOVERS, ServerError, collect, serve};

/// Storage server of the recording vault. It keeps ciphertext and cannot decrypt it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a folder the data folder of a new server.
    Init {
        /// The folder: new, empty, or already a vault of this organisation.
        #[arg(long)]
        data: PathBuf,
        /// Fingerprint of the organisation root whose accounts the server is for; `vault-cli registrar init` prints it.
        #[arg(long, value_name = "ROOT-FINGERPRINT")]
        organisation: OrganisationId,
    },
    /// Serve a data folder.
    Serve {
        /// The folder, made by `init`.
        #[arg(long)]
        data: PathBuf,
        /// Address to listen on; port 0 takes a free one. Beyond one machine, put a proxy that ends TLS in front.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8440")]
        listen: SocketAddr,
        /// Name under which clients reach the server; may be given several times. Requests signed for another name are
        /// refused. [default: the address it listens on]
        #[arg(long, value_name = "HOST[:PORT]")]
        authority: Vec<String>,
        /// Most bytes to store for good, all recordings and accounts together; more is refused with 507 until there is
        /// room again. Bytes, or powers of 1024 of them, such as 500M, 10G or 2T. [default: as many as the disk holds]
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        max_bytes: Option<u64>,
        /// Bytes of the disk to leave free: whatever is new is refused with 507 before it would use them. Seals of what
        /// is under way may use half of them, reads all.
        #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "64M")]
        min_free: u64,
        /// Form of the log on stderr; RUST_LOG sets what is in it.
        #[arg(long, value_enum, default_value = "text")]
        log: LogForm,
    },
    /// Move what crashes left behind to the folder `leftovers`, where it stays for 30 days: files that nothing stored
    /// refers to. A running server does so by itself every day.
    Collect {
        /// The folder; no server may be using it.
        #[arg(long)]
        data: PathBuf,
        /// Time for which such a file is left alone after it was last written to: 24h, 30d.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
        older_than: Duration,
        /// Most files to move.
        #[arg(long, value_name = "N", default_value_t = MOST_LEFTOVERS)]
        at_most: u64,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

/// Bytes, or with one of the letters K, M, G and T that many powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 500M or 10G");
    let (digits, power) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (text.get(..text.len() - 1), 1),
        Some(b'M' | b'm') => (text.get(..text.len() - 1), 2),
        Some(b'G' | b'g') => (text.get(..text.len() - 1), 3),
        Some(b'T' | b't') => (text.get(..text.len() - 1), 4),
        _ => (Some(text), 0),
    };
    let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong)?;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1024_u64.pow(power)).ok_or_else(wrong)
}

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
    let result = match Arguments::parse().command {
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
            let _ = writeln!(std::io::stderr(), "vault-server: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes one line for whoever started the program; one who closed the pipe does not want it.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn start_log(form: LogForm) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match form {
        LogForm::Text => log.with_ansi(false).init(),
        LogForm::Json => log.json().init(),
    }
}

fn run_init(data: &std::path::Path, organisation: OrganisationId) -> Result<(), ServerError> {
    let word = match init(data, organisation)? {
        Initialised::New => "is now",
        Initialised::Already => "already is",
    };
    say(&format!("{} {word} a vault of organisation {organisation}", data.display()));
    Ok(())
}

/// A time as it is typed: a number of minutes, hours or days.
fn time(text: &str) -> Result<Duration, String> {
    let unit = match text.chars().last() {
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
    match number.and_then(|number| number.checked_mul(unit)) {
        Some(seconds) if unit > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("a number with m, h or d behind it is needed, such as 24h or 30d".to_owned()),
    }
}

fn run_collect(data: &std::path::Path, grace: Duration, at_most: u64) -> Result<(), ServerError> {
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
    authorities: Vec<String>,
    limits: Limits,
) -> Result<(), ServerError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("3K", 3072),
            ("500M", 524_288_000),
            ("10G", 10_737_418_240),
            ("2t", 1 << 41),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "G", "-1", "1.5G", "10GB", "10 G", "+1", "1e9", "99999999T", "1P", "1\u{e4}"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_room_that_is_left_free_is_the_librarys() {
        let arguments = Arguments::try_parse_from(["vault-server", "serve", "--data", "folder"])
            .unwrap_or_else(|_| unreachable!());
        let Command::Serve { min_free, .. } = arguments.command else { unreachable!() };
        assert_eq!(min_free, Limits::default().min_free);
    }
}
