//! What the commands do, one file a family.

mod account;
mod exporting;
mod opening;
mod output;
mod playing;
mod reading;
mod registrar;
mod sealing;
mod trust;
mod whom;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::CommandFactory as _;
use vault_client::account::Account;
use vault_client::connection::Connection;
use vault_client::download::Session;
use vault_client::home::{Enrolment, Home};
use vault_client::upload::Sealer;

use crate::arguments::{Arguments, Command, Global};
use crate::failure::Failure;
use crate::stop::Stop;
use crate::terminal::Terminal;

/// An unlocked account with a connection to its server.
struct Unlocked {
    home: Home,
    enrolment: Enrolment,
    account: Account,
    connection: Connection,
}

impl Unlocked {
    const fn sealer(&self) -> Sealer<'_> {
        Sealer {
            connection: &self.connection,
            home: &self.home,
            enrolment: &self.enrolment,
            account: &self.account,
        }
    }

    const fn session(&self) -> Session<'_> {
        Session {
            connection: &self.connection,
            enrolment: &self.enrolment,
            account: &self.account,
            home: &self.home,
        }
    }
}

/// Runs what was typed.
pub(crate) async fn run(arguments: Arguments, terminal: &Terminal, stop: &Stop) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    match dispatch(&global, command, terminal, stop).await {
        Err(failure) if failure.claims_expiry => Err(account::expiry(&global)),
        outcome => outcome,
    }
}

async fn dispatch(
    global: &Global,
    command: Command,
    terminal: &Terminal,
    stop: &Stop,
) -> Result<(), Failure> {
    match command {
        Command::Keygen { suite } => account::keygen(global, terminal, suite.into()).await,
        Command::Registrar(command) => registrar::run(global, terminal, command).await,
        Command::Enrol { organisation, certificate } => {
            account::enrol(global, terminal, organisation, &certificate).await
        }
        Command::Whoami => account::whoami(global, terminal),
        Command::Seal { file, patient, clinician, consultation, title, media_type } => {
            let unlocked = unlock(global, terminal).await?;
            let wanted = sealing::Wanted { file, patient, clinician, consultation, title, media_type };
            sealing::seal(&unlocked, terminal, wanted, stop).await
        }
        Command::Resume => sealing::resume(&unlock(global, terminal).await?, terminal).await,
        Command::List => reading::list(&unlock(global, terminal).await?, terminal).await,
        Command::Open { recording, output, from, track, as_sealed, allow_cut_off } => {
            let unlocked = unlock(global, terminal).await?;
            let wanted = opening::Wanted { recording, output, from, track, as_sealed, allow_cut_off };
            opening::open(&unlocked, terminal, wanted).await
        }
        Command::Play { recording, from, track, output, url, allow_cut_off } => {
            let unlocked = unlock(global, terminal).await?;
            let wanted = playing::Wanted { recording, from, track, output, url, allow_cut_off };
            playing::play(&unlocked, terminal, wanted, stop).await
        }
        Command::Export { folder, recordings, sealed } => {
            let unlocked = unlock(global, terminal).await?;
            exporting::export(&unlocked, terminal, exporting::Wanted { folder, recordings, sealed }).await
        }
        Command::Verify { recording } if vault_client::export::is_export(Path::new(&recording)) => {
            exporting::verify(home(global).ok().as_ref(), terminal, Path::new(&recording))
        }
        Command::Verify { recording } => {
            reading::verify(&unlock(global, terminal).await?, terminal, &recording).await
        }
        Command::Name(naming) => trust::name(global, terminal, naming),
        Command::Compare(comparing) => trust::compare(global, terminal, comparing).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vault-cli", &mut script);
            terminal.script(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

/// The home that was asked for, or the platform's.
fn home(global: &Global) -> Result<Home, Failure> {
    let folder: Option<PathBuf> =
        global.home.clone().or_else(|| dirs::config_dir().map(|folder| folder.join("recording-vault")));
    folder
        .map(Home::new)
        .ok_or_else(|| Failure::usage("this machine names no config folder: give one with --home"))
}

/// Unlocks the account of the home and prepares to talk to its server.
async fn unlock(global: &Global, terminal: &Terminal) -> Result<Unlocked, Failure> {
    let home = home(global)?;
    let mut enrolment = home.enrolment()?;
    if let Some(server) = &global.server {
        enrolment.server.clone_from(server);
    }
    // Fails before the passphrase is asked for if there is nothing to unlock.
    vault_client::account::profile(&home)?;
    let passphrase = terminal.passphrase(global.passphrase_file.as_deref()).await?;
    let account = vault_client::account::unlock(&home, &passphrase)?;
    let connection = connect(global, &enrolment.server, &account)?;
    Ok(Unlocked { home, enrolment, account, connection })
}

/// Prepares to talk to a server, as patiently as was asked for.
fn connect(global: &Global, server: &str, account: &Account) -> Result<Connection, Failure> {
    let connection = Connection::new(server, Arc::clone(&account.device))?;
    Ok(match global.retry_for {
        Some(retry_for) => connection.with_retry_for(retry_for),
        None => connection,
    })
}
