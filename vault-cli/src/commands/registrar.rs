//! `registrar init`, `registrar certify`: on an offline machine.

use vault_client::registrar::{self, CertificateRequest};

use super::home;
use super::output::Output;
use crate::arguments::{Global, Registrar};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Runs a registrar's command.
pub(crate) async fn run(global: &Global, terminal: &Terminal, command: Registrar) -> Result<(), Failure> {
    match command {
        Registrar::Init => init(global, terminal).await,
        Registrar::Certify { account, role, label, not_after, output } => {
            let request = CertificateRequest { account, role, label, not_after };
            certify(global, terminal, &request, output.as_deref()).await
        }
    }
}

async fn init(global: &Global, terminal: &Terminal) -> Result<(), Failure> {
    let home = home(global)?;
    let passphrase = terminal.new_passphrase(global.passphrase_file.as_deref()).await?;
    let made = registrar::create(&home, &passphrase)?;
    terminal.words(
        "These 24 words are your organisation's root. Write them on paper and lock it away: they are shown only now, and \
         whoever has them decides whose keys your organisation trusts.",
        &made.words,
    );
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
    output: Option<&std::path::Path>,
) -> Result<(), Failure> {
    let home = home(global)?;
    let passphrase = terminal.passphrase(global.passphrase_file.as_deref()).await?;
    let chain = registrar::certify(&home, &passphrase, request)?;
    let certificate = chain.certificate.unverified();
    if certificate.not_after <= vault_client::clock::now()? {
        terminal.insist(&format!(
            "Note: this certificate ended on {} and counts for nothing.",
            certificate.not_after
        ));
    }
    let text = serde_json::to_string(&chain).map_err(|error| Failure::bug(error.to_string()))?;
    let Some(path) = output else {
        return terminal.document(&chain);
    };
    let mut file = Output::open(Some(path))?;
    let written = writeln!(file.writer(), "{text}");
    written.map_err(|error| Failure::disk(&file.name(), &error))?;
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
            "not_after": certificate.not_after, "file": path,
        }))?;
    }
    Ok(())
}
