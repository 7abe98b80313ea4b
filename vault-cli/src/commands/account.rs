//! `keygen`, `enrol`, `whoami`, `passphrase`.

use std::path::Path;

use vault_client::ClientError;
use vault_client::registrar;
use vault_core::passphrase_file::WorkFactor;
use vault_engine::home::Enrolment;
use vault_engine::home::account::{self, NewAccount};
use vault_engine::server::connection::require_address;
use vault_proto::ids::OrganisationId;
use vault_proto::members::CertificateChain;
use vault_proto::statements::Suite;

use super::{home, session_options, warnings};
use crate::arguments::Global;
use crate::failure::{self, Code, Failure};
use crate::terminal::Terminal;

/// Makes an identity.
pub(crate) async fn keygen(
    global: &Global,
    terminal: &Terminal,
    suite: Suite,
    words_file: Option<&Path>,
    work_factor: WorkFactor,
) -> Result<(), Failure> {
    let home = home(global)?;
    // What would refuse it comes before anything is asked.
    account::require_none(&home.home()).await?;
    terminal.require_words_place(words_file)?;
    let passphrase = terminal.new_passphrase(global.passphrase_file.as_deref()).await?;
    let made = NewAccount::generate(home.home().effects(), suite)?;
    let title = "These 24 words are your account. Keep them safe, on paper: this is the only time that you get \
                 them, and whoever has them can read your recordings.";
    terminal.hand_over_words(title, &made.words, words_file).await?;
    made.store(&home.home(), &passphrase, work_factor).await?;
    terminal.say("Your account id, for your registrar:");
    if terminal.json() {
        terminal.document(&serde_json::json!({ "account": made.account, "suite": suite.name() }))
    } else {
        terminal.data(&made.account.to_string())
    }
}

/// Enrols at a server.
pub(crate) async fn enrol(
    global: &Global,
    terminal: &Terminal,
    organisation: Option<OrganisationId>,
    certificate: &Path,
) -> Result<(), Failure> {
    let home = home(global)?;
    let pinned = match home.home().enrolment().await {
        Ok(enrolment) => Some(enrolment),
        Err(ClientError::NotSetUp(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let remembered = |found: Option<&Enrolment>| found.map(|enrolment| enrolment.server.clone());
    let server = global.server.clone().or_else(|| remembered(pinned.as_ref())).ok_or_else(|| {
        Failure::declined(
            "no server is named to enrol at",
            "Name it: `vault-cli --server URL enrol …`. It is remembered from then on.",
        )
    })?;
    // One that is given beside a pinned one has to be the same, which is looked at when it enrols.
    let organisation = organisation.or(pinned.map(|enrolment| enrolment.organisation)).ok_or_else(|| {
        Failure::declined(
            "no organisation is named to enrol under",
            "Name it by its root fingerprint, as the registrar gave it to you: `vault-cli enrol --organisation ROOT-FINGERPRINT …`. \
             It is remembered from then on.",
        )
    })?;
    let own = account::profile(&home.home()).await?.key_list.unverified().account;
    require_address(&server)?;
    let chain = certificate_in(certificate)?;
    let named = chain.certificate.unverified().account;
    if named != own {
        let file = certificate.display();
        return Err(Failure::declined(
            &format!(
                "the file {file} holds the certificate of account {named}, and this home is that of account {own}"
            ),
            "Name the certificate that the registrar made for this account, or the home of the other with --home.",
        ));
    }
    let options = session_options(global)?;
    warnings::warn_of_home(terminal, &home);
    warnings::warn_of_way(terminal, &server);
    let passphrase = terminal.passphrase(global.passphrase_file.as_deref()).await?;
    let enrolment = Enrolment { server, organisation };
    let role = chain.certificate.unverified().role;
    let session = vault_client::enrol(&home, &passphrase, enrolment, chain, &options).await?;
    let (account, server) = (session.account().id, &session.enrolment().server);
    terminal.say(&format!("Account {account} is enrolled at {server} as {role}."));
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "account": account, "server": server, "organisation": organisation, "role": role,
        }))?;
    }
    Ok(())
}

/// The certificate in a file that a registrar made.
pub(super) fn certificate_in(file: &Path) -> Result<CertificateChain, Failure> {
    let name = file.display();
    let bytes = std::fs::read(file).map_err(|error| failure::disk(&name.to_string(), &error))?;
    account::parse_certificate_file(&bytes).map_err(|error| {
        Failure::declined(
            &format!("{name} is no certificate file: {error}"),
            "Name the file that `vault-cli registrar certify -o FILE` wrote. If it is that one, have the registrar send it again.",
        )
    })
}

/// Shows the account of the home; needs no passphrase.
pub(crate) async fn whoami(global: &Global, terminal: &Terminal) -> Result<(), Failure> {
    let profile = account::profile(&home(global)?.home()).await?;
    let list = profile.key_list.unverified();
    let (Some(encryption), Some(device)) = (list.encryption.first(), list.devices.first()) else {
        return Err(Failure::new(
            Code::Unlock,
            "The key list in this home is damaged.",
            "The identity itself is not affected.",
            "Restore key-list.json from a backup of the home.",
        ));
    };
    let certificate = profile.chain.as_ref().map(|chain| chain.certificate.unverified());
    if terminal.json() {
        return terminal.document(&serde_json::json!({
            "account": list.account,
            "suite": encryption.suite.name(),
            "recipient": encryption.recipient,
            "device": device.key_id(),
            "key_list": list.number,
            "role": certificate.map(|certificate| certificate.role),
            "label": certificate.and_then(|certificate| certificate.label.clone()),
            "certificate_not_after": certificate.map(|certificate| certificate.not_after),
            "organisation": profile.enrolment.as_ref().map(|enrolment| enrolment.organisation),
            "server": profile.enrolment.as_ref().map(|enrolment| &enrolment.server),
        }));
    }
    terminal.data(&format!("account       {}", list.account))?;
    terminal.data(&format!("suite         {}", encryption.suite.name()))?;
    terminal.data(&format!("device        {}", device.key_id()))?;
    terminal.data(&format!("key list      number {}, since {}", list.number, list.created))?;
    match (&profile.enrolment, certificate) {
        (Some(enrolment), Some(certificate)) => {
            let label = certificate.label.as_deref().map_or_else(String::new, |label| format!(" ({label})"));
            terminal.data(&format!(
                "role          {}{label}, until {}",
                certificate.role, certificate.not_after
            ))?;
            terminal.data(&format!("organisation  {}", enrolment.organisation))?;
            terminal.data(&format!("server        {}", enrolment.server))
        }
        _ => terminal.data("server        not enrolled yet"),
    }
}

/// Puts what the home keeps secret under another passphrase: of an account, of a registrar, or of both.
pub(crate) async fn passphrase(
    global: &Global,
    terminal: &Terminal,
    new: Option<&Path>,
    work_factor: WorkFactor,
) -> Result<(), Failure> {
    let home = home(global)?;
    let is_registrar = registrar::is_registrar(&home);
    let is_account = !is_registrar || account::is_account(&home.home()).await?;
    if is_account {
        // Fails before anything is asked if there is nothing to change.
        account::profile(&home.home()).await?;
    }
    let old = terminal.passphrase(global.passphrase_file.as_deref()).await?;
    // A wrong one is told before a new one is asked for, and before either file is changed.
    if is_account {
        account::unlock(&home.home(), &old).await?;
    }
    if is_registrar {
        registrar::check_passphrase(&home, &old)?;
    }
    let new = terminal.replacing_passphrase(new).await?;
    if is_account {
        account::change_passphrase(&home.home(), &old, &new, work_factor).await?;
    }
    if is_registrar {
        registrar::change_passphrase(&home, &old, &new, work_factor)?;
    }
    terminal
        .say("The passphrase is changed. Copies of the home that were made before open with the old one.");
    if terminal.json() {
        terminal
            .document(&serde_json::json!({ "changed": true, "home": home.folder().display().to_string() }))?;
    }
    Ok(())
}

/// What to say where the server says that this account's own certificate has ended: it may be wrong, or
/// lie.
pub(crate) async fn expiry(global: &Global) -> Failure {
    let known = match home(global) {
        Ok(home) => account::expiry(&home.home()).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match known {
        Ok(None) => failure::expiry_only_claimed(),
        Ok(Some(problem)) => failure::expired(Some(&problem)),
        // What cannot be read here says nothing against the server.
        Err(_) => failure::expired(None),
    }
}
