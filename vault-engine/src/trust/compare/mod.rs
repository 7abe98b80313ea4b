//! Comparing keys with another person (FORMAT.md, "Comparing keys"): six digits read aloud, or sixty scanned or typed.

mod exchange;

use std::time::Duration;

use vault_proto::compare::{Comparison, Side};
use vault_proto::ids::{AccountId, ComparisonNonce};
use vault_proto::members::{TrustError, TrustProblem};
use vault_proto::problem::ProblemCode;
use vault_proto::wire::{self, COMPARISON_LIFETIME, ComparisonState};

use super::directory;
use crate::effects::Method;
use crate::error::{ClientError, CompareProblem, NextStep};
use crate::home::Home;
use crate::home::account;
use crate::home::pins::{self, Compared, Pin, Shown, Standing};
use crate::server::connection::Connection;
use crate::session::Session;

pub use exchange::{Exchange, Step};

/// Most bytes of a comparison's state.
const MAX_STATE: usize = 4096;

/// How long to wait for the other person.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Pause between two looks at the server.
    pub pause: Duration,
    /// The longest wait as a whole.
    pub limit: Duration,
}

/// What happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareEvent {
    /// The own commitment is at the server; the other side is not there yet.
    Waiting,
    /// The other side is there.
    Met,
}

/// Fixes what is compared: this home's own key list, and the other's newest as the rules of trust allow it. An account
/// that was found unequal before can be compared again.
///
/// # Errors
/// [`ClientError::Trust`], naming the account; [`ClientError::Usage`] for the own account.
pub async fn prepare(session: &Session, other: AccountId) -> Result<Comparison, ClientError> {
    let Session { home, enrolment, account, .. } = session;
    let own = Side { account: account.id, key_list: account::profile(home).await?.key_list.digest() };
    if other == own.account {
        return Err(ClientError::Usage("an account has nothing to compare with itself".to_owned()));
    }
    // Nobody is compared with an account that has ended, the own one included.
    directory::look_up(session, own.account).await?;
    let (_, pin) = directory::look_up_pinned(session, other).await?;
    Comparison::new(enrolment.organisation, own, Side { account: other, key_list: pin.key_list })
        .map_err(|error| ClientError::Usage(error.to_string()))
}

/// Runs commit-then-reveal with the other side through the server; returns the six digits, which are noted as shown and
/// wait for [`answer`].
///
/// # Errors
/// [`ClientError::Compare`]. A run that fails is never begun again by itself: each is a guess for whoever is in the
/// middle.
pub async fn code(
    session: &Session,
    comparison: Comparison,
    patience: Patience,
    on_event: &mut (dyn FnMut(CompareEvent) + Send),
) -> Result<String, ClientError> {
    let Session { home, connection, .. } = session;
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce)
        .map_err(|_| ClientError::Bug("the operating system gave no random bytes".to_owned()))?;
    let mut exchange = Exchange::new(comparison, ComparisonNonce::from_bytes(nonce));
    let result = run(connection, &comparison, &mut exchange, patience, on_event).await;
    let other = comparison.other();
    if result.is_err() && !exchange.has_revealed() {
        // Tidy, and no more: a side that stays is forgotten by itself.
        let _ = connection.delete(&wire::path::comparison(&other.account)).await;
    }
    let code = result?;
    let shown = Shown { code: code.clone(), key_list: other.key_list, at: session.effects().timestamp()? };
    change_met(home, other.account, |pin| Ok(Pin { shown: Some(shown), ..pin })).await?;
    Ok(code)
}

async fn run(
    connection: &Connection,
    comparison: &Comparison,
    exchange: &mut Exchange,
    patience: Patience,
    on_event: &mut (dyn FnMut(CompareEvent) + Send),
) -> Result<String, ClientError> {
    let other = comparison.other().account;
    let refused = |problem| ClientError::Compare { account: other, problem };
    let put = |path: String, value: [u8; 32]| async move {
        let body = bytes::Bytes::copy_from_slice(&value);
        let sent = connection.send_bytes(Method::Put, &path, body, "application/octet-stream").await;
        match sent {
            // Somebody moved the comparison on between the look and this; the next look tells.
            Err(error) if is_refusal(&error, &[ProblemCode::OutOfOrder, ProblemCode::NotFound]) => Ok(()),
            other => other.map(drop),
        }
    };
    let effects = connection.effects();
    let deadline = effects.now().running.saturating_add(patience.limit);
    let mut told = None;
    let mut tell = |event| {
        if told != Some(event) {
            told = Some(event);
            on_event(event);
        }
    };
    // The first look comes after the first commitment: what an earlier run left behind is of no interest.
    let Step::Commit(commitment) = exchange.next(None).map_err(refused)? else {
        return Err(ClientError::Bug("a comparison did not begin with a commitment".to_owned()));
    };
    let path = wire::path::commitment(&other);
    connection
        .send_bytes(
            Method::Put,
            &path,
            bytes::Bytes::copy_from_slice(commitment.as_bytes()),
            "application/octet-stream",
        )
        .await?;
    loop {
        let state = look(connection, other).await?;
        match exchange.next(state.as_ref()).map_err(refused)? {
            Step::Show(code) => return Ok(code),
            Step::Commit(commitment) => put(wire::path::commitment(&other), *commitment.as_bytes()).await?,
            Step::Reveal(nonce) => {
                tell(CompareEvent::Met);
                put(wire::path::nonce(&other), *nonce.as_bytes()).await?;
                continue;
            }
            Step::Wait => {
                let met = state.is_some_and(|state| state.other.is_some());
                tell(if met { CompareEvent::Met } else { CompareEvent::Waiting });
            }
        }
        if effects.now().running >= deadline {
            return Err(refused(CompareProblem::TimedOut));
        }
        effects.sleep(patience.pause).await;
    }
}

async fn look(connection: &Connection, other: AccountId) -> Result<Option<ComparisonState>, ClientError> {
    match connection.get_json(&wire::path::comparison(&other), None, MAX_STATE).await {
        Err(error) if is_refusal(&error, &[ProblemCode::NotFound]) => Ok(None),
        answer => answer.map(Some),
    }
}

fn is_refusal(error: &ClientError, codes: &[ProblemCode]) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.known_code().is_some_and(|code| codes.contains(&code)))
}

/// Notes what two people found about the digits that were shown last. Returns the digits, if some were shown.
///
/// # Errors
/// [`ClientError::Declined`] for "equal" if no digits wait for an answer or they are too old; [`ClientError::Compare`]
/// for "unequal", once that is noted: from then on nothing is sealed to the account.
pub async fn answer(home: &Home, other: AccountId, equal: bool) -> Result<String, ClientError> {
    let at = home.effects().timestamp()?;
    let mut digits = String::new();
    change_met(home, other, |pin| {
        let shown = pin.shown.as_ref().filter(|shown| {
            shown.key_list == pin.key_list && shown.at.saturating_add(COMPARISON_LIFETIME) >= at
        });
        if let Some(shown) = shown {
            digits.clone_from(&shown.code);
        } else if equal {
            return Err(ClientError::Declined {
                what: format!("no digits of a comparison with account {} wait for an answer", other.short()),
                next: NextStep::Compare + " first.",
            });
        }
        let standing = if equal {
            Standing { compared: Some(Compared { at, key_list: pin.key_list }), unequal: None }
        } else {
            Standing { compared: None, unequal: Some(at) }
        };
        Ok(Pin { standing, shown: None, ..pin })
    })
    .await?;
    if equal {
        Ok(digits)
    } else {
        Err(ClientError::Compare { account: other, problem: CompareProblem::Unequal })
    }
}

/// Compares a number that was scanned or typed with this side's, and notes the result.
///
/// # Errors
/// [`ClientError::Usage`] if it is no such number; [`ClientError::Compare`] if it differs, once that is noted.
pub async fn check_number(home: &Home, comparison: &Comparison, text: &str) -> Result<(), ClientError> {
    let typed = vault_proto::compare::parse_number(text).ok_or_else(|| {
        ClientError::Usage("that is no comparison number: it must be sixty digits".to_owned())
    })?;
    let number = comparison.number();
    let other = comparison.other();
    let shown = Shown { code: number.clone(), key_list: other.key_list, at: home.effects().timestamp()? };
    change_met(home, other.account, |pin| Ok(Pin { shown: Some(shown), ..pin })).await?;
    answer(home, other.account, typed == number).await.map(drop)
}

/// Changes the pin of an account that was met before.
async fn change_met(
    home: &Home,
    account: AccountId,
    change: impl FnOnce(Pin) -> Result<Pin, ClientError>,
) -> Result<Pin, ClientError> {
    pins::update(home, account, |pin| {
        let pin = pin.ok_or(TrustError { account, problem: TrustProblem::Missing })?;
        change(pin.clone())
    })
    .await
}
