//! `name`, `compare`.

use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use vault_client::{ClientError, Session};
use vault_engine::home::Home;
use vault_engine::home::names::{self, Names};
use vault_engine::home::pins::{self, Comparison};
use vault_engine::trust::compare::{self, CompareEvent, Patience};
use vault_engine::trust::directory;
use vault_proto::compare::grouped;
use vault_proto::ids::AccountId;
use vault_proto::wire::COMPARISON_LIFETIME;

use super::{home, whom};
use crate::arguments::{Comparing, Global, Naming};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// Pause between two looks at the server.
const PAUSE: Duration = Duration::from_millis(500);

/// Lists, adds or removes petnames; needs no passphrase and asks no server.
pub(crate) async fn name(global: &Global, terminal: &Terminal, naming: Naming) -> Result<(), Failure> {
    let home = home(global)?.home();
    match naming {
        Naming { remove: Some(petname), .. } => {
            let account = names::remove(&home, &petname).await?;
            terminal.say(&format!("{petname} no longer names account {account}."));
            if terminal.json() {
                terminal.document(&serde_json::json!({ "account": account, "petname": null }))?;
            }
            Ok(())
        }
        Naming { account: Some(account), petname: Some(petname), .. } => {
            let account = met(&home, &account).await?;
            names::add(&home, petname.clone(), account).await?;
            terminal.say(&format!("{petname} names account {account}."));
            if terminal.json() {
                terminal.document(&serde_json::json!({ "account": account, "petname": petname }))?;
            }
            Ok(())
        }
        _ => list(&home, terminal).await,
    }
}

async fn list(home: &Home, terminal: &Terminal) -> Result<(), Failure> {
    let names = Names::read(home).await?;
    if names.iter().next().is_none() {
        terminal.say("No account has a petname.");
    }
    for (petname, account) in names.iter() {
        let comparison = pins::comparison(home, account).await?;
        if terminal.json() {
            let (compared, changed, unequal) = match comparison {
                Comparison::None => (None, None, None),
                Comparison::Equal { at } => (Some(at), Some(false), None),
                Comparison::EqualThenChanged { at } => (Some(at), Some(true), None),
                Comparison::Unequal { at } => (None, None, Some(at)),
            };
            terminal.document(&serde_json::json!({
                "petname": petname, "account": account, "compared": compared, "keys_changed_since": changed,
                "unequal": unequal,
            }))?;
            continue;
        }
        let comparison = comparison_words(comparison);
        match terminal.columns() {
            None => terminal.data(&format!("{petname:<32}  {account}  {comparison}"))?,
            // The beginning of the id, which every command takes, and no line that is broken within a column.
            Some(_) => {
                terminal.data(&format!("{petname}  ({})", account.short()))?;
                terminal.data(&format!("  {comparison}"))?;
            }
        }
    }
    Ok(())
}

fn comparison_words(comparison: Comparison) -> String {
    match comparison {
        Comparison::Unequal { at } => format!("NOT TRUSTED: keys differed on {at}"),
        Comparison::Equal { at } => format!("compared on {at}"),
        Comparison::EqualThenChanged { at } => format!("compared on {at}, keys changed since"),
        Comparison::None => "not compared".to_owned(),
    }
}

/// An account that is written whole, by petname, or by the beginning of the id of one that was met before. A server
/// that was asked here could choose whom a name is given to.
async fn met(home: &Home, text: &str) -> Result<AccountId, Failure> {
    directory::resolve_near(home, text).await?.ok_or_else(|| {
        Failure::usage(format!("no account that begins with {text} was met before: write its whole id"))
    })
}

/// Notes what was found when keys were compared with another person.
pub(crate) async fn answer(
    global: &Global,
    terminal: &Terminal,
    comparing: &Comparing,
) -> Result<(), Failure> {
    let home = home(global)?.home();
    let account = met(&home, &comparing.account).await?;
    let code = compare::answer(&home, account, comparing.yes).await?;
    compared(terminal, &home, account, &code).await
}

/// Compares keys with another person.
pub(crate) async fn compare(
    session: &Session,
    terminal: &Terminal,
    comparing: Comparing,
) -> Result<(), Failure> {
    let (home, own) = (session.home(), session.account());
    let other = whom::resolve(session, terminal, &comparing.account).await?;
    let comparison = compare::prepare(session, other).await?;
    if let Some(text) = comparing.scanned {
        compare::check_number(home, &comparison, &text).await?;
        return compared(terminal, home, other, &comparison.number()).await;
    }
    let names = Names::read(home).await?;
    let whom = names.show(other);
    if comparing.qr {
        let number = comparison.number();
        if terminal.json() {
            return document(terminal, other, &number, false);
        }
        terminal.lines(&qr(&number)?)?;
        terminal.data(&grouped(&number))?;
        terminal.say(&format!(
            "Let {whom} scan or type this: `vault-cli compare {} --scanned NUMBER`. Scan theirs too: each side marks the \
             other for itself.",
            own.id.short()
        ));
        return Ok(());
    }
    let patience = Patience { pause: PAUSE, limit: Duration::from_secs(COMPARISON_LIFETIME.unsigned_abs()) };
    let mut on_event = |event| match event {
        CompareEvent::Waiting => terminal.say(&format!(
            "Waiting for {whom}, at most ten minutes: ask them to run `vault-cli compare {}` now.",
            own.id.short()
        )),
        CompareEvent::Met => terminal.say("The other side is there."),
    };
    let code = compare::code(session, comparison, patience, &mut on_event).await?;
    if terminal.json() {
        return document(terminal, other, &code, false);
    }
    terminal.data(&grouped(&code))?;
    terminal.say(&format!("Read these digits to {whom} in the call, and let them read theirs to you."));
    match terminal.ask_plainly("Do they match? [y/n] ").await? {
        Some(equal) => {
            compare::answer(home, other, equal).await?;
            terminal.say(&marked(home, other).await?);
        }
        None => terminal.say(&format!(
            "Then say whether they match: `vault-cli compare {} --yes` or `--no`, within ten minutes. Nothing is marked yet.",
            other.short()
        )),
    }
    Ok(())
}

async fn marked(home: &Home, other: AccountId) -> Result<String, ClientError> {
    Ok(format!("The keys of {} are marked as compared.", Names::read(home).await?.show(other)))
}

async fn compared(terminal: &Terminal, home: &Home, other: AccountId, code: &str) -> Result<(), Failure> {
    terminal.say(&marked(home, other).await?);
    if terminal.json() { document(terminal, other, code, true) } else { Ok(()) }
}

fn document(terminal: &Terminal, account: AccountId, code: &str, compared: bool) -> Result<(), Failure> {
    terminal.document(&serde_json::json!({ "account": account, "code": code, "compared": compared }))
}

/// The number as a QR code, two modules a character, light on dark as terminals are.
fn qr(number: &str) -> Result<String, Failure> {
    let code = qrcode::QrCode::new(number).map_err(|error| Failure::bug(error.to_string()))?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
