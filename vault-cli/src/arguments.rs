//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use vault_core::passphrase_file::WorkFactor;
use vault_engine::home::names::{PETNAME_FORM, Petname};
use vault_proto::ids::{AccountId, ConsultationId, OrganisationId};
use vault_proto::statements::{Role, Suite};
use vault_proto::timestamp::Timestamp;

/// Seal recordings so that only their patient and their clinician can open them.
#[derive(Debug, Parser)]
#[command(name = "vault-cli", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Heading of the options that stand behind every command's own.
const FOR_EVERY_COMMAND: &str = "Options of every command";

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Folder with this account's keys, certificates and unfinished uploads [default: the platform's config folder]
    #[arg(long, global = true, help_heading = FOR_EVERY_COMMAND, value_name = "DIR", env = "VAULT_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// Server address; remembered at enrolment
    #[arg(long, global = true, help_heading = FOR_EVERY_COMMAND, value_name = "URL", env = "VAULT_SERVER")]
    pub(crate) server: Option<String>,
    /// Certificates in PEM of the server's own authority, which alone may vouch for it [default: those this machine
    /// trusts]
    #[arg(long, global = true, help_heading = FOR_EVERY_COMMAND, value_name = "FILE", env = "VAULT_CACERT")]
    pub(crate) cacert: Option<PathBuf>,
    /// Read the passphrase from the first line of this file [otherwise: VAULT_PASSPHRASE, or a prompt]
    #[arg(long, global = true, help_heading = FOR_EVERY_COMMAND, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// For how many seconds to try again while the server does not answer or cannot give what it stores; 0 for a single
    /// try [default: 6, and 60 at the end of what was sealed from a stream]
    #[arg(long, global = true, help_heading = FOR_EVERY_COMMAND, value_name = "SECONDS", env = "VAULT_RETRY_FOR", value_parser = parse_seconds)]
    pub(crate) retry_for: Option<Duration>,
    /// Print JSON: one document, or one a line for lists; errors as JSON on standard error
    #[arg(long, global = true, help_heading = FOR_EVERY_COMMAND)]
    pub(crate) json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, help_heading = FOR_EVERY_COMMAND)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new identity: shows its 24 words once, prints the account id
    Keygen {
        /// Kind of keys: pq also holds against quantum computers, x25519 also opens with old age programs
        #[arg(long, value_enum, default_value_t = SuiteName::Pq)]
        suite: SuiteName,
        /// Write the 24 words into this new file, unencrypted, instead of showing them on the terminal and asking some
        /// back
        #[arg(long, value_name = "FILE")]
        words_file: Option<PathBuf>,
        #[command(flatten)]
        locking: Locking,
    },
    /// Certify accounts for an organisation, on an offline machine
    #[command(subcommand)]
    Registrar(Registrar),
    /// Enrol this account at a server, under an organisation that is pinned from then on
    Enrol {
        /// The organisation's root fingerprint, as the registrar gave it to you; remembered from the first time on
        #[arg(long, value_name = "ROOT-FINGERPRINT")]
        organisation: Option<OrganisationId>,
        /// The certificate file from the registrar
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
    },
    /// Show this account, its keys, its certificate and where it is enrolled
    Whoami,
    /// Put the secrets of this home under another passphrase
    Passphrase {
        /// Read the new passphrase from the first line of this file [otherwise: a prompt]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        locking: Locking,
    },
    /// Seal a recording for its patient and its clinician, and upload it; run again to go on after an interruption
    Seal {
        /// The recording; - for standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// The patient's account
        #[arg(long, value_name = "ACCOUNT")]
        patient: String,
        /// The clinician's account
        #[arg(long, value_name = "ACCOUNT")]
        clinician: String,
        /// The consultation's id in your organisation; the server sees it
        #[arg(long, value_name = "ID")]
        consultation: Option<ConsultationId>,
        /// Title; only the readers see it
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
        /// Media type [default: found out from the first bytes]
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
        /// Hide how long it is from the server, behind up to 12 % of zeros at the end of each track, which nobody who
        /// opens it sees; what `resume` has to end goes without
        #[arg(long)]
        pad: bool,
    },
    /// Bring to an end what was left behind: send what waits in the encrypted spool, go on with files, say what was
    /// lost
    Resume,
    /// List this account's recordings
    List,
    /// Check, decrypt and write out a recording
    Open {
        /// The recording
        recording: String,
        /// Where to write it; - for standard output, which is also the default unless that is a terminal; a folder for
        /// a recording of several tracks, each in a file of its own
        #[arg(short, long, value_name = "FILE|FOLDER|-")]
        output: Option<PathBuf>,
        /// Write only what is from this moment on, such as 12:30 or 1:02:03; only what is needed is fetched
        #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "as_sealed")]
        from: Option<Duration>,
        /// Which track of a recording that has several
        #[arg(long, value_name = "NUMBER")]
        track: Option<u8>,
        /// Write the very bytes that were sealed, without the index that makes them seekable
        #[arg(long)]
        as_sealed: bool,
        /// Also write out a recording whose end is missing
        #[arg(long)]
        allow_cut_off: bool,
    },
    /// Watch a recording without storing it: in mpv, vlc or a browser, which fetch only what is watched
    Play {
        /// The recording
        recording: String,
        /// Moment at which to start, such as 12:30 or 1:02:03
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        from: Option<Duration>,
        /// Which track of a recording that has several
        #[arg(long, value_name = "NUMBER")]
        track: Option<u8>,
        /// - for a pipe: write it to standard output, seekable where its sealer left an index
        #[arg(short, long, value_name = "-", conflicts_with = "url")]
        output: Option<PathBuf>,
        /// Start no player: print the address for one on this machine, and serve it until Ctrl-C
        #[arg(long)]
        url: bool,
        /// Also play a recording whose end is missing
        #[arg(long)]
        allow_cut_off: bool,
    },
    /// Take recordings home: media files, what proves them, and a page to look at; run again to go on or to add what is
    /// new
    Export {
        /// The folder: a new one, an empty one, or that of an earlier export
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The recordings [default: everything this account may read]
        #[arg(value_name = "RECORDING")]
        recordings: Vec<String>,
        /// Leave them encrypted: to keep them where others can reach, and open them later with your 24 words
        #[arg(long)]
        sealed: bool,
    },
    /// Check every byte of a recording without writing anything; or an export, offline and without a passphrase
    Verify {
        /// The recording, or the folder of an export
        #[arg(value_name = "RECORDING|DIR")]
        recording: String,
    },
    /// Call an account something; without arguments, list what accounts are called
    Name(Naming),
    /// Compare keys with another person, who runs the same at the same time: six digits to read aloud in the call
    Compare(Comparing),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Locking {
    /// Work that each guess at the passphrase takes, and each command that asks for it: 15 (32 MiB of memory), 16, 17
    /// (128 MiB, half a second) or 18 [default: 17]
    #[arg(long, value_name = "15-18", env = "VAULT_WORK_FACTOR", default_value = "17", hide_default_value = true,
        value_parser = parse_work_factor)]
    pub(crate) work_factor: WorkFactor,
}

#[derive(Debug, Args)]
pub(crate) struct Naming {
    /// The account: its whole id, or the beginning of one that was met before
    #[arg(requires = "petname")]
    pub(crate) account: Option<String>,
    #[arg(help = format!("{PETNAME_FORM}. It stays on this machine, and stands wherever an account is asked for"))]
    pub(crate) petname: Option<Petname>,
    /// Remove a petname
    #[arg(long, value_name = "PETNAME", conflicts_with = "account")]
    pub(crate) remove: Option<Petname>,
}

#[derive(Debug, Args)]
pub(crate) struct Comparing {
    /// The other person's account
    pub(crate) account: String,
    /// Show a QR code and its sixty digits instead, for the other person to scan or type
    #[arg(long, conflicts_with_all = ["scanned", "yes", "no"])]
    pub(crate) qr: bool,
    /// Check the sixty digits that the other person shows
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["yes", "no"])]
    pub(crate) scanned: Option<String>,
    /// The digits shown last match: mark the account as compared
    #[arg(long, conflicts_with = "no")]
    pub(crate) yes: bool,
    /// The digits shown last differ: seal nothing to the account any more
    #[arg(long)]
    pub(crate) no: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Registrar {
    /// Make an organisation root: shows its 24 words once, prints the root fingerprint
    Init {
        /// Write the 24 words into this new file, unencrypted, instead of showing them on the terminal and asking some
        /// back
        #[arg(long, value_name = "FILE")]
        words_file: Option<PathBuf>,
        #[command(flatten)]
        locking: Locking,
    },
    /// Certify what an account is
    Certify {
        /// The account, all 64 digits of it, as its holder gave it to you
        account: AccountId,
        /// What it is in the organisation
        #[arg(long, value_parser = roles())]
        role: Role,
        /// What people call the account; the server sees it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// Last day (2027-12-31) or moment (2027-12-31T12:00:00Z, excluded) for which it counts; one that has passed
        /// ends the account, once the certificate is uploaded [default: the same day of the next year]
        #[arg(long, value_name = "DATE", value_parser = parse_end)]
        not_after: Option<Timestamp>,
        /// Where to write the certificate [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Bring a certificate to the server, in place of an older one of its account, which is renewed by it or ended;
    /// with the --home of any enrolled account, for a registrar's own never meets the server
    Upload {
        /// The certificate
        #[arg(value_name = "FILE")]
        certificate: PathBuf,
    },
}

/// The roles that a registrar certifies, for the parser, the help and the completion of shells.
fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| name.parse::<Role>())
}

/// A suite, as people name it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SuiteName {
    Pq,
    X25519,
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::Pq => Self::Pq,
            SuiteName::X25519 => Self::X25519,
        }
    }
}

/// A moment of a recording: seconds, minutes:seconds or hours:minutes:seconds, the last with or without a fraction.
fn parse_moment(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a moment such as 12:30 or 1:02:03");
    let whole =
        |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten();
    let (large, last) = text.rsplit_once(':').map_or((None, text), |(large, last)| (Some(large), last));
    let (seconds, fraction) = last.split_once('.').unwrap_or((last, "0"));
    let mut parts = Vec::new();
    for part in large.iter().flat_map(|large| large.split(':')).chain([seconds]) {
        parts.push(whole(part).ok_or_else(wrong)?);
    }
    // Below the largest unit that is given, sixty are one of the next.
    let carried = parts.iter().skip(1).any(|&part| part >= 60);
    if parts.len() > 3 || carried || fraction.len() > 9 || whole(fraction).is_none() {
        return Err(wrong());
    }
    let seconds = parts.iter().fold(0u64, |sum, &part| sum * 60 + u64::from(part));
    let nanoseconds = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    Ok(Duration::new(seconds, nanoseconds))
}

/// Seconds, with or without a fraction, up to a day.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_secs(24 * 3600);
    match parse_moment(text) {
        Ok(seconds) if !text.contains(':') && seconds <= longest => Ok(seconds),
        _ => Err(format!("{text:?} is not a number of seconds from 0 to {}", longest.as_secs())),
    }
}

/// A work factor, as a power of two.
fn parse_work_factor(text: &str) -> Result<WorkFactor, String> {
    let factor = text.parse().ok().and_then(WorkFactor::new);
    factor.ok_or_else(|| format!("{text:?} is not a work factor from 15 to 18"))
}

/// The end of a day, or a moment.
fn parse_end(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let wrong = || format!("{text:?} is not a date such as 2027-12-31");
    let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    // The library also reads a date out of longer texts.
    if day.to_string() != text {
        return Err(wrong());
    }
    let next = day.tomorrow().map_err(|_| wrong())?;
    let end = next.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
    Timestamp::from_unix_seconds(end.timestamp().as_second()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_a_petname_is_made_of_is_told_in_one_way() {
        let command = Arguments::command();
        let name = command.find_subcommand("name").unwrap();
        let petname = name.get_arguments().find(|argument| argument.get_id() == "petname").unwrap();
        let help = petname.get_help().unwrap().to_string();
        let refused = "no petname".parse::<Petname>().unwrap_err().to_string();
        assert!(help.starts_with(PETNAME_FORM) && refused.ends_with(PETNAME_FORM), "{help}; {refused}");
    }

    #[test]
    fn a_moment_is_read_as_clocks_show_it() {
        for (text, milliseconds) in [
            ("0", 0),
            ("90", 90_000),
            ("12:30", 750_000),
            ("1:02:03", 3_723_000),
            ("90:00", 5_400_000),
            ("0:01.5", 1_500),
        ] {
            assert_eq!(parse_moment(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in
            ["", ":", "1:", ":30", "1:60", "1:2:3:4", "-1", "1e3", "1.5:00", "12:3O", "0:01.", "99999999999"]
        {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_a_number() {
        for (text, milliseconds) in [("0", 0), ("0.2", 200), ("30", 30_000), ("86400", 86_400_000)] {
            assert_eq!(parse_seconds(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "-1", "1:00", "86400.1", "1e3", "30s", "for ever", "NaN"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_work_factor_is_one_that_is_accepted_again() {
        for (text, exponent) in [("15", 15), ("18", 18)] {
            assert_eq!(parse_work_factor(text).unwrap(), WorkFactor::new(exponent).unwrap());
        }
        for wrong in ["", "14", "19", "2^15", "15.5", "-1", "300"] {
            assert!(parse_work_factor(wrong).is_err(), "{wrong}");
        }
        let typed = Arguments::try_parse_from(["vault-cli", "keygen"]).unwrap();
        assert!(
            matches!(typed.command, Command::Keygen { locking, .. } if locking.work_factor == WorkFactor::default())
        );
    }

    #[test]
    fn a_day_ends_with_it() {
        assert_eq!(parse_end("2027-12-31").unwrap().to_string(), "2028-01-01T00:00:00Z");
        assert_eq!(parse_end("2027-12-31T12:00:00Z").unwrap().to_string(), "2027-12-31T12:00:00Z");
        for wrong in ["", "2027-02-29", "31.12.2027", "tomorrow", "2027-12-31T12:00"] {
            assert!(parse_end(wrong).is_err(), "{wrong}");
        }
    }
}
