//! All that can be typed, and what is wrong with the rest.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use vault_proto::ids::OrganisationId;
use vault_server::MOST_LEFTOVERS;
use vault_server::authority::Authority;

/// Port to listen on where none is said.
const DEFAULT_PORT: u16 = 8440;

/// Storage server of the recording vault. It keeps ciphertext and cannot decrypt it.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
        #[arg(long, value_name = "ADDR", value_parser = listen_address, default_value = "127.0.0.1:8440")]
        listen: SocketAddr,
        /// Name under which clients reach the server, as they type it after https:// or http://; may be given several
        /// times. Requests signed for another name are refused. Needed to listen on every address of the machine
        /// (0.0.0.0, [::]), and behind a proxy. [default: the address it listens on]
        #[arg(long, value_name = "HOST[:PORT]")]
        authority: Vec<Authority>,
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
pub(crate) enum LogForm {
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

/// An address to listen on.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let host = text.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(text);
    let instead = match host.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, DEFAULT_PORT),
        Err(_) => SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
    };
    text.parse()
        .map_err(|_| format!("an IP address of this machine with a port is needed, such as {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_server::limits::Limits;

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
    fn an_address_without_its_port_is_told_how_to_be_typed() {
        for good in ["127.0.0.1:0", "0.0.0.0:8440", "[::]:8440", "[::1]:1", "[fe80::1%2]:8440"] {
            assert_eq!(listen_address(good).unwrap().to_string(), good);
        }
        for (wrong, instead) in [
            ("127.0.0.1", "127.0.0.1:8440"),
            ("192.168.0.7", "192.168.0.7:8440"),
            ("::1", "[::1]:8440"),
            ("[::]", "[::]:8440"),
            ("localhost:8440", "127.0.0.1:8440"),
            (":8440", "127.0.0.1:8440"),
            ("8440", "127.0.0.1:8440"),
            ("https://vault.example", "127.0.0.1:8440"),
        ] {
            let said = listen_address(wrong).unwrap_err();
            assert!(said.ends_with(&format!(" such as {instead}")), "{wrong}: {said}");
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
