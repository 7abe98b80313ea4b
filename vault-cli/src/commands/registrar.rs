//! `registrar init`, `registrar certify`: on an offline machine; `registrar upload`: on one that is not.

use std::path::Path;

use vault_client::Session;
use vault_client::registrar::{self, CertificateRequest, NewOrganisation};
use vault_core::passphrase_file::WorkFactor;
use vault_engine::home::account;
use vault_engine::trust::directory;
use vault_proto::members::CertificateChain;

use super::account::certificate_in;
use super::output::Output;
use super::warnings::warn_of_home;
use super::{home, learn, unlock};
use crate::arguments::{Global, Registrar};
use crate::failure::{self, Failure};
use crate::terminal::Terminal;

/// Runs a registrar's command.
pub(crate) async fn run(global: &Global, terminal: &Terminal, command: Registrar) -> Result<(), Failure> {
    match command {
        Registrar::Init { words_file, locking } => {
            init(global, terminal, words_file.as_deref(), locking.work_factor).await
        }
        Registrar::Certify { account, role, label, not_after, output } => {
            let request = CertificateRequest { account, role, label, not_after };
            certify(global, terminal, &request, output.as_deref()).await
        }
        Registrar::Upload { certificate } => {
            let home = home(global)?;
            if registrar::is_registrar(&home) && !account::is_account(&home.home()).await? {
                return Err(Failure::usage(
                    "a registrar's home never meets the server: name the home of an enrolled account with --home",
                ));
            }
            let chain = certificate_in(&certificate)?;
            let session = unlock(global, terminal, async |_| Ok(())).await?;
            learn(&session, upload(&session, terminal, &chain).await).await
        }
    }
}

async fn init(
    global: &Global,
    terminal: &Terminal,
    words_file: Option<&Path>,
    work_factor: WorkFactor,
) -> Result<(), Failure> {
    let home = home(global)?;
    registrar::require_none(&home)?;
    terminal.require_words_place(words_file)?;
    let passphrase = terminal.new_passphrase(global.passphrase_file.as_deref()).await?;
    let made = NewOrganisation::generate()?;
    let title = "These 24 words are your organisation's root. Lock them away, on paper: this is the only time that you \
                 get them, and whoever has them decides whose keys your organisation trusts.";
    terminal.hand_over_words(title, &made.words, words_file).await?;
    made.store(&home, &passphrase, work_factor)?;
    terminal.say("Your organisation's root fingerprint, for the server and for every account:");
    if terminal.json() {
        terminal.document(&serde_json::json!({ "organisation": made.organisation }))
    } else {
        terminal.data(&made.organisation.to_string())
    }
}

async fn certify(
    global: &Global,
    terminal: &Terminal,
    request: &CertificateRequest,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let home = home(global)?;
    registrar::require_root(&home)?;
    if output.is_some() {
        Output::check(output)?;
    }
    warn_of_home(terminal, &home);
    let passphrase = terminal.passphrase(global.passphrase_file.as_deref()).await?;
    let chain = registrar::certify(&home, &passphrase, request)?;
    let certificate = chain.certificate.unverified();
    if certificate.not_after <= vault_client::clock::now()? {
        terminal.insist(&format!(
            "Note: this certificate ended on {}: it ends the account once `vault-cli registrar upload` has brought it to the server.",
            certificate.not_after
        ));
    }
    let text = serde_json::to_string(&chain).map_err(|error| Failure::bug(error.to_string()))?;
    let Some(path) = output else {
        return terminal.document(&chain);
    };
    let mut file = Output::open(Some(path))?;
    let written = writeln!(file.writer(), "{text}");
    written.map_err(|error| failure::output(&file.name(), &error))?;
    file.finish()?;
    terminal.say(&format!(
        "Account {} is certified as {} until {}; the certificate is in {}.",
        request.account,
        request.role,
        certificate.not_after,
        path.display()
    ));
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "account": request.account, "role": request.role, "label": request.label,
            "not_after": certificate.not_after, "file": path.display().to_string(),
        }))?;
    }
    Ok(())
}

async fn upload(session: &Session, terminal: &Terminal, chain: &CertificateChain) -> Result<(), Failure> {
    directory::bring_certificate(session, chain).await?;
    if chain.certificate.unverified().account == session.account().id {
        // The server has it, whether or not this home learns that now.
        let _ = directory::refresh_own_certificate(session).await;
    }
    let (certificate, server) = (chain.certificate.unverified(), &session.enrolment().server);
    let ended = certificate.not_after <= vault_client::clock::now()?;
    let (account, role, end) = (certificate.account, certificate.role, certificate.not_after);
    terminal.say(&if ended {
        format!(
            "{server} has it: account {account}, certified as {role}, ended on {end}. From now on nothing is sealed by it or to it."
        )
    } else {
        format!("{server} has it: account {account} is certified as {role} until {end}.")
    });
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "account": account, "role": role, "not_after": end, "ended": ended, "server": server,
        }))?;
    }
    Ok(())
}
