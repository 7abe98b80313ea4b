//! Petnames: what the holder of a home calls accounts. They stay on this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vault_proto::ids::{AccountId, MIN_PREFIX};

use crate::error::{ClientError, NextStep};
use crate::home::Home;

const NAMES: &str = "names.json";
/// Most characters of a petname.
const MAX_PETNAME: usize = 32;

/// What a petname is made of, for people.
pub const PETNAME_FORM: &str =
    "1 to 32 letters, digits, - and _, beginning with anything but -; capitals count as small letters";

/// A petname: 1 to 32 of `A-Z a-z 0-9 - _`, not beginning with `-`, and nothing that could be the beginning of an id.
/// Petnames that differ only in case are the same.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Petname(String);

/// A text that cannot be a petname.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PetnameError {
    /// Its characters or its length.
    #[error("a petname is {}", PETNAME_FORM)]
    Characters,
    /// It could be taken for an id.
    #[error("a petname must not look like an id: this one is 8 or more hexadecimal digits")]
    LooksLikeAnId,
}

impl Petname {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for Petname {
    type Err = PetnameError;

    fn from_str(text: &str) -> Result<Self, PetnameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=MAX_PETNAME).contains(&text.len()) || !text.bytes().all(allowed) || text.starts_with('-') {
            return Err(PetnameError::Characters);
        }
        if text.len() >= MIN_PREFIX && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PetnameError::LooksLikeAnId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Petname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Petname {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Petname {}

impl PartialOrd for Petname {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Petname {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl<'de> Deserialize<'de> for Petname {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// All petnames of a home. A petname names one account, and an account has one petname.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(BTreeMap<Petname, AccountId>);

impl Names {
    /// Reads the petnames of a home.
    ///
    /// # Errors
    /// [`ClientError::Disk`], also if the file is damaged.
    pub async fn read(home: &Home) -> Result<Self, ClientError> {
        Ok(home.read_json(NAMES).await?.unwrap_or_default())
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&Petname, AccountId)> {
        self.0.iter().map(|(petname, account)| (petname, *account))
    }

    /// The account of a petname; `None` for any text that is none.
    pub fn account(&self, text: &str) -> Option<AccountId> {
        self.0.get(&text.parse::<Petname>().ok()?).copied()
    }

    /// The petname of an account.
    pub fn petname(&self, account: AccountId) -> Option<&Petname> {
        self.0.iter().find(|(_, named)| **named == account).map(|(petname, _)| petname)
    }

    /// How a person recognises an account: its petname and the beginning of its id, or that beginning alone.
    pub fn show(&self, account: AccountId) -> String {
        let short = account.short();
        self.petname(account).map_or_else(|| short.clone(), |petname| format!("{petname} ({short})"))
    }
}

/// Gives an account a petname. The same again changes nothing.
///
/// # Errors
/// [`ClientError::Declined`] if the petname is another account's, or the account has another: a name never changes its
/// account unless it is removed first.
pub async fn add(home: &Home, petname: Petname, account: AccountId) -> Result<(), ClientError> {
    let _lock = home.lock("names").await?;
    let mut names = Names::read(home).await?;
    if let Some(named) = names.0.get(&petname) {
        return if *named == account {
            Ok(())
        } else {
            Err(ClientError::Declined {
                what: format!("the petname {petname} already names account {}", named.short()),
                next: "To give the name away, " + NextStep::RemoveName(petname.to_string()) + ".",
            })
        };
    }
    if let Some(other) = names.petname(account) {
        return Err(ClientError::Declined {
            what: format!("account {} is called {other} already", account.short()),
            next: "To rename the account, " + NextStep::RemoveName(other.to_string()) + ".",
        });
    }
    names.0.insert(petname, account);
    home.write_json(NAMES, &names).await
}

/// Removes a petname; returns whose it was.
///
/// # Errors
/// [`ClientError::Declined`] if it names nobody; [`ClientError::Disk`].
pub async fn remove(home: &Home, petname: &Petname) -> Result<AccountId, ClientError> {
    let _lock = home.lock("names").await?;
    let mut names = Names::read(home).await?;
    let account = names.0.remove(petname).ok_or_else(|| ClientError::Declined {
        what: format!("nobody has the petname {petname} in this home"),
        next: NextStep::SeeNames + ".",
    })?;
    home.write_json(NAMES, &names).await?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::effects::in_memory;

    fn account(byte: u8) -> AccountId {
        AccountId::from_bytes([byte; 32])
    }

    fn petname(text: &str) -> Petname {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_petname_is_never_an_id_or_its_beginning(text in "[a-fA-F0-9_\\-]{0,70}|.{0,40}") {
            if let Ok(petname) = text.parse::<Petname>() {
                prop_assert_eq!(petname.as_str(), &text);
                prop_assert!(text.parse::<AccountId>().is_err());
                prop_assert!(crate::trust::directory::check_prefix(&text, "an account", 64).is_err());
                prop_assert!(!text.starts_with('-') && text.is_ascii() && text.len() <= 32);
            }
        }
    }

    #[test]
    fn what_cannot_be_a_petname() {
        for text in ["", "-anna", "anna b", "anna\n", "zoë", "../x", "a.b", &"a".repeat(33)] {
            assert_eq!(text.parse::<Petname>(), Err(PetnameError::Characters), "{text:?}");
        }
        for text in ["deadbeef", "DEADBEEF", "0123456789abcdef"] {
            assert_eq!(text.parse::<Petname>(), Err(PetnameError::LooksLikeAnId), "{text:?}");
        }
        for text in ["a", "deadbee", "deadbeefs", "dr-house", "_1", &"z".repeat(32)] {
            assert!(text.parse::<Petname>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_name_keeps_its_account_until_it_is_removed() {
        let home = in_memory::home();
        let add = |petname, account| block_on(add(&home, petname, account));
        let remove = |petname| block_on(remove(&home, &petname));
        let read = || block_on(Names::read(&home));
        add(petname("Anna"), account(1)).unwrap();
        add(petname("anna"), account(1)).unwrap();
        assert!(matches!(add(petname("ANNA"), account(2)), Err(ClientError::Declined { .. })));
        assert!(matches!(add(petname("ann"), account(1)), Err(ClientError::Declined { .. })));
        let names = read().unwrap();
        assert_eq!(names.account("anna"), Some(account(1)));
        assert_eq!(names.petname(account(1)).unwrap().as_str(), "Anna");
        assert_eq!(names.iter().count(), 1);
        assert_eq!(remove(petname("aNNa")).unwrap(), account(1));
        assert!(matches!(remove(petname("anna")), Err(ClientError::Declined { .. })));
        add(petname("anna"), account(2)).unwrap();
        assert_eq!(read().unwrap().account("Anna"), Some(account(2)));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays() {
        let home = in_memory::home();
        for text in ["", "{", r#"{"deadbeef":"00"}"#, r#"["anna"]"#] {
            block_on(home.write(NAMES, text)).unwrap();
            assert!(matches!(block_on(Names::read(&home)), Err(ClientError::Disk { .. })), "{text}");
            let added = block_on(add(&home, petname("anna"), account(1)));
            assert!(matches!(added, Err(ClientError::Disk { .. })));
            assert_eq!(block_on(home.read(NAMES)).unwrap().unwrap(), text);
        }
    }
}
