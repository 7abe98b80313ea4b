//! What programs do with other people: look them up, name them, compare keys, bring certificates.

use std::time::Duration;

use vault_engine::home::names::{self, Names, Petname};
use vault_engine::trust::{compare, directory};
use vault_engine::{ClientError, Session};
use vault_proto::ids::AccountId;

use crate::programs::Life;

pub(crate) async fn look_up(life: &Life, session: &Session) {
    let own = life.below(4) == 0;
    let account = if own { session.account().id } else { life.other() };
    let pin = format!("pins/{account}.json");
    let is_unequal = |life: &Life| {
        let unequal = life.json(&pin)?.get("standing")?.get("unequal")?.clone();
        (!unequal.is_null()).then_some(unequal)
    };
    let before = life.json(&pin);
    let unequal = is_unequal(life);
    match directory::look_up(session, account).await {
        Ok(trusted) => {
            let number = |pin: Option<serde_json::Value>| pin.and_then(|pin| pin.get("number")?.as_u64());
            let list = trusted.verified.key_list();
            let real = life.look(|world| {
                let person = world.people.person(account);
                person.is_some_and(|person| {
                    person.key_lists.iter().any(|known| known.digest() == list.digest())
                })
            });
            if !real {
                life.wrong("keys were trusted that nobody ever had");
            }
            if number(before).is_some_and(|seen| list.number < seen) {
                life.wrong("an older key list was trusted than the one that had been seen");
            }
            if number(life.json(&pin)).is_none_or(|durable| durable < list.number) {
                life.wrong("keys were trusted before they were remembered");
            }
            if unequal.is_some() && unequal == is_unequal(life) {
                life.wrong("keys were trusted that people found unequal");
            }
        }
        Err(error) => life.is_stated("looking somebody up", &error),
    }
}

/// Petnames that only this part of this program gives and takes.
pub(crate) async fn name(life: &Life, session: &Session, part: usize) {
    let which = life.below(3);
    let text = format!("p{}-{part}-{which}", life.program);
    let Ok(petname) = text.parse::<Petname>() else {
        return;
    };
    let account =
        AccountId::from_bytes([u8::try_from(life.program * 16 + part * 4 + which).unwrap_or(0); 32]);
    let possible =
        life.look(|world| world.oracle.names.entry(text.clone()).or_insert_with(|| [None].into()).clone());
    let known = |now: Option<String>| {
        life.look(|world| world.oracle.names.insert(text.clone(), [now].into()));
    };
    match life.below(3) {
        0 => match Names::read(session.home()).await {
            Ok(names) => {
                let now = names.account(&text).map(|account| account.to_string());
                if !possible.contains(&now) {
                    life.wrong(format!("petname {text} is {now:?}, where it can only be {possible:?}"));
                }
                known(now);
            }
            Err(error) => life.is_stated("reading names", &error),
        },
        1 => {
            life.look(|world| {
                world.oracle.names.entry(text.clone()).or_default().insert(Some(account.to_string()))
            });
            match names::add(session.home(), petname, account).await {
                Ok(()) => {
                    let durable = life.json("names.json");
                    if durable.and_then(|names| names.get(&text).cloned()).is_none() {
                        life.wrong(format!("petname {text} was given, and is not there"));
                    }
                    known(Some(account.to_string()));
                }
                Err(error) => life.is_stated("naming", &error),
            }
        }
        _ => {
            life.look(|world| world.oracle.names.entry(text.clone()).or_default().insert(None));
            match names::remove(session.home(), &petname).await {
                Ok(_) => known(None),
                Err(ClientError::Declined { .. }) => {
                    if !possible.contains(&None) {
                        life.wrong(format!("petname {text} was lost"));
                    }
                    known(None);
                }
                Err(error) => life.is_stated("taking a name", &error),
            }
        }
    }
}

pub(crate) async fn renew(life: &Life, session: &Session) {
    match life.below(2) {
        0 => {
            if let Err(error) = directory::refresh_own_certificate(session).await {
                life.is_stated("asking for the own certificate", &error);
            }
        }
        _ => {
            let chain = life.look(|world| {
                let home = world.random.below(2);
                world.person_of_home(home).chains[1].clone()
            });
            if let Err(error) = directory::bring_certificate(session, &chain).await {
                life.is_stated("bringing a certificate", &error);
            }
        }
    }
}

pub(crate) async fn find(life: &Life, session: &Session) {
    let prefix: String = life.other().to_string().chars().take(8).collect();
    match life.below(3) {
        0 => match directory::resolve_account(session, &prefix).await {
            Ok(account) if !account.to_string().starts_with(&prefix) => {
                life.wrong("an account was found that does not begin so");
            }
            Ok(_) => {}
            Err(error) => life.is_stated("finding somebody", &error),
        },
        1 => match directory::first_contact(session, &prefix).await {
            Ok(member) => {
                let account = member.account();
                if life.look(|world| world.people.person(account).is_none()) {
                    life.wrong("somebody was met whom nobody certified");
                }
            }
            Err(error) => life.is_stated("meeting somebody", &error),
        },
        _ => match vault_engine::home::account::expiry(session.home()).await {
            Ok(_) => {}
            Err(error) => life.is_stated("looking at the own certificate", &error),
        },
    }
}

pub(crate) async fn compare_keys(life: &Life, session: &Session) {
    let other = life.other();
    let home = life.home_index();
    life.look(|world| world.meeting = Some((home, world.running())));
    let comparison = match compare::prepare(session, other).await {
        Ok(comparison) => comparison,
        Err(error) => return life.is_stated("preparing to compare", &error),
    };
    let patience = compare::Patience { pause: Duration::from_millis(700), limit: Duration::from_secs(12) };
    let code = match compare::code(session, comparison, patience, &mut |_| {}).await {
        Ok(code) => code,
        Err(error) => return life.is_stated("comparing", &error),
    };
    let own = session.account().id;
    life.look(|world| {
        world.counts.compared += 1;
        let of = |from: AccountId, to: AccountId| {
            world.server.comparisons.revealed.iter().filter(move |(of, with, _)| (*of, *with) == (from, to))
        };
        let true_code = of(own, other)
            .any(|(_, _, mine)| of(other, own).any(|(_, _, theirs)| comparison.code(mine, theirs) == code));
        if !true_code {
            world.violation("digits were shown that the two never agreed on");
        }
    });
    let equal = life.below(4) != 0;
    life.look(|world| world.oracle.answering.insert(life.program));
    let answered = compare::answer(session.home(), other, equal).await;
    match answered {
        Ok(_) if !equal => life.wrong("unequal keys were called equal"),
        Ok(_) => {}
        Err(ClientError::Compare { .. }) if !equal => {
            let standing = life.json(&format!("pins/{other}.json"));
            let standing = standing.and_then(|pin| pin.get("standing")?.get("compared").cloned());
            if standing.is_none() {
                life.wrong("unequal keys were not noted");
            }
        }
        Err(error) => life.is_stated("answering", &error),
    }
    life.look(|world| world.oracle.answering.remove(&life.program));
}
