//! What the commands do, one file a family.

mod account;
mod breaks;
mod exporting;
mod opening;
mod output;
mod playing;
mod reading;
mod registrar;
mod sealing;
mod trust;
mod warnings;
mod whom;

use std::path::{Path, PathBuf};

use vault_client::home_folder::HomeFolder;
use vault_client::{Session, SessionOptions};
use vault_engine::home::Home;
use vault_engine::home::account::profile;
use vault_engine::server::connection::require_address;
use vault_engine::trust::directory;

use crate::arguments::{Arguments, Command, Global};
use crate::completions;
use crate::failure::{self, Failure};
use crate::stop::Stop;
use crate::terminal::Terminal;

/// Runs what was typed.
pub(crate) async fn run(arguments: Arguments, terminal: &Terminal, stop: &Stop) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    match dispatch(&global, command, terminal, stop).await {
        Err(failure) if failure.claims_expiry => Err(account::expiry(&global).await),
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
        Command::Keygen { suite, words_file, locking } => {
            let words_file = words_file.as_deref();
            account::keygen(global, terminal, suite.into(), words_file, locking.work_factor).await
        }
        Command::Registrar(command) => registrar::run(global, terminal, command).await,
        Command::Enrol { organisation, certificate } => {
            account::enrol(global, terminal, organisation, &certificate).await
        }
        Command::Whoami => account::whoami(global, terminal).await,
        Command::Passphrase { new_passphrase_file, locking } => {
            account::passphrase(global, terminal, new_passphrase_file.as_deref(), locking.work_factor).await
        }
        Command::Seal { file, patient, clinician, consultation, title, media_type, pad } => {
            let wanted = sealing::Wanted { file, patient, clinician, consultation, title, media_type, pad };
            let session = unlock(global, terminal, async |home| wanted.check(home).await).await?;
            learn(&session, sealing::seal(&session, terminal, wanted, stop).await).await
        }
        Command::Resume => {
            let session = unlock(global, terminal, async |_| Ok(())).await?;
            learn(&session, sealing::resume(&session, terminal).await).await
        }
        Command::List => {
            let session = unlock(global, terminal, async |_| Ok(())).await?;
            learn(&session, reading::list(&session, terminal).await).await
        }
        Command::Open { recording, output, from, track, as_sealed, allow_cut_off } => {
            let wanted = opening::Wanted { recording, output, from, track, as_sealed, allow_cut_off };
            let session = unlock(global, terminal, async |_| wanted.check()).await?;
            learn(&session, opening::open(&session, terminal, wanted).await).await
        }
        Command::Play { recording, from, track, output, url, allow_cut_off } => {
            let wanted = playing::Wanted { recording, from, track, output, url, allow_cut_off };
            let session = unlock(global, terminal, async |_| wanted.check()).await?;
            learn(&session, playing::play(&session, terminal, wanted, stop).await).await
        }
        Command::Export { folder, recordings, sealed } => {
            let wanted = exporting::Wanted { folder, recordings, sealed };
            let session = unlock(global, terminal, async |_| wanted.check()).await?;
            learn(&session, exporting::export(&session, terminal, wanted).await).await
        }
        Command::Verify { recording } if vault_client::export::is_export(Path::new(&recording)) => {
            let home = home(global).ok().map(|home| home.home());
            exporting::verify(home.as_ref(), terminal, Path::new(&recording)).await
        }
        Command::Verify { recording } => {
            let session =
                unlock(global, terminal, async |_| exporting::require_recording(&recording)).await?;
            learn(&session, reading::verify(&session, terminal, &recording).await).await
        }
        Command::Name(naming) => trust::name(global, terminal, naming).await,
        Command::Compare(comparing) if comparing.yes || comparing.no => {
            trust::answer(global, terminal, &comparing).await
        }
        Command::Compare(comparing) => {
            let session = unlock(global, terminal, async |home| {
                Ok(directory::resolve_near(home, &comparing.account).await.map(drop)?)
            })
            .await?;
            learn(&session, trust::compare(&session, terminal, comparing).await).await
        }
        Command::Completions { shell } => terminal.script(completions::script(shell).trim_end()),
    }
}

/// The home that was asked for, or the platform's.
fn home(global: &Global) -> Result<HomeFolder, Failure> {
    let folder: Option<PathBuf> =
        global.home.clone().or_else(|| dirs::config_dir().map(|folder| folder.join("recording-vault")));
    folder
        .map(HomeFolder::new)
        .ok_or_else(|| Failure::usage("this machine names no config folder: give one with --home"))
}

/// Unlocks the account of the home and prepares to talk to its server. What can be told without the passphrase comes
/// before it is asked for: `check` refuses what cannot be meant.
async fn unlock(
    global: &Global,
    terminal: &Terminal,
    check: impl AsyncFnOnce(&Home) -> Result<(), Failure>,
) -> Result<Session, Failure> {
    let folder = home(global)?;
    let home = folder.home();
    let known = profile(&home).await?;
    let enrolment = home.enrolment().await?;
    let server = global.server.as_ref().unwrap_or(&enrolment.server);
    require_address(server)?;
    let options = session_options(global)?;
    check(&home).await?;
    warnings::warn_of_home(terminal, &folder);
    warnings::warn_of_way(terminal, server);
    let passphrase = terminal.passphrase(global.passphrase_file.as_deref()).await?;
    let session = vault_client::unlock_with(&folder, &passphrase, options).await?;
    if warnings::of_end(&known)?.is_some() {
        // A registrar may have brought another certificate to the server. Without an answer the home's word stands.
        let _ = directory::refresh_own_certificate(&session).await;
        let known = profile(session.home()).await?;
        if let Some(words) = warnings::of_end(&known)? {
            terminal.say(&words);
        }
    }
    Ok(session)
}

/// What came of asking the server in the account's name. Where it says that the account's certificate has ended, the
/// home learns which one it means, if a registrar has brought one there.
async fn learn(session: &Session, outcome: Result<(), Failure>) -> Result<(), Failure> {
    if outcome.as_ref().is_err_and(|failure| failure.claims_expiry) {
        // What cannot be learned says nothing about what has failed: that is told from what is known.
        let _ = directory::refresh_own_certificate(session).await;
    }
    outcome
}

/// What was typed about the server.
fn session_options(global: &Global) -> Result<SessionOptions, Failure> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| failure::disk(&path.display().to_string(), &error))
    };
    Ok(SessionOptions {
        server: global.server.clone(),
        retry_for: global.retry_for,
        ca_certificates: global.cacert.as_ref().map(read).transpose()?,
    })
}
