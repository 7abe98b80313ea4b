//! Whom a person means by what they typed, and what they are told before anything is done with it.

use vault_client::Session;
use vault_engine::trust::directory;
use vault_proto::ids::AccountId;

use crate::failure::Failure;
use crate::terminal::Terminal;

/// A prefix that is shorter than this is asked about: whoever makes keys until one begins so needs hours for 8 digits,
/// and more than anybody has for 16.
const SURE_DIGITS: usize = 16;

/// The account that is meant: a whole id, a petname, or a prefix of an account that was met before, all without the
/// server; or a prefix that the server completes, who is then named in full before anything is done.
pub(super) async fn resolve(
    session: &Session,
    terminal: &Terminal,
    text: &str,
) -> Result<AccountId, Failure> {
    if let Some(account) = directory::resolve_near(session.home(), text).await? {
        return Ok(account);
    }
    let met = directory::first_contact(session, text).await?;
    let certificate = met.certificate();
    let label = certificate.label.as_deref().map_or_else(String::new, |label| format!(" {label:?}"));
    terminal.insist(&format!(
        "First contact: the server says that {text} is account {}, certified as {}{label} by organisation {} until {}.",
        met.account(),
        met.role(),
        session.enrolment().organisation,
        certificate.not_after
    ));
    if text.len() < SURE_DIGITS && terminal.ask("Is that who you mean? [y/N] ").await? == Some(false) {
        return Err(Failure::declined(
            &format!("the account {text} is not whom you mean"),
            "Ask its holder for the whole id, which no server can choose.",
        ));
    }
    Ok(met.account())
}
