//! Requests that were signed for another server, or for this one under a name that it does not know: what the log says
//! of them, and how often.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::authority::Authority;

/// Time for which the same is not said again.
const QUIET: Duration = Duration::from_secs(60);
/// Names that are remembered at a time. While so many are, others are not logged.
const MOST_NAMES: usize = 32;
/// Characters of a name that are logged.
const MOST_OF_A_NAME: usize = 100;

/// What was said, and when.
#[derive(Debug, Default)]
pub(crate) struct Misaddressed {
    said: Mutex<HashMap<(bool, String), Instant>>,
}

impl Misaddressed {
    /// Tells the operator of a request whose signature is good for `signed_for`, which is none of the server's `own`
    /// names.
    pub(crate) fn signed_for(&self, signed_for: &str, own: &[Authority]) {
        let name = shown(signed_for);
        if self.is_news(true, &name, Instant::now()) {
            tracing::warn!(
                signed_for = name,
                own = listed(own),
                "refused a request that was signed for another name than this server has; if clients reach it under that \
                 name, start it with --authority and that name"
            );
        }
    }

    /// Tells the operator of a request by a known key whose signature is good for none of the names that are known: not
    /// for the server's `own`, nor for the one that it `came_for`.
    pub(crate) fn signed_for_nothing_known(&self, came_for: Option<&str>, own: &[Authority]) {
        let name = shown(came_for.unwrap_or_default());
        if self.is_news(false, &name, Instant::now()) {
            tracing::warn!(
                host = name,
                own = listed(own),
                "refused a request whose signature fits none of the server's names; if there is a proxy in front, start the \
                 server with --authority and the name that clients type, and have the proxy leave path and headers as they \
                 are"
            );
        }
    }

    fn is_news(&self, is_proven: bool, name: &str, now: Instant) -> bool {
        // What a panic leaves half-done here is at worst said twice.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        let key = (is_proven, name.to_owned());
        if said.contains_key(&key) || said.len() >= MOST_NAMES {
            return false;
        }
        said.insert(key, now);
        true
    }
}

/// A name that a stranger may have chosen, on one line and no longer than names are.
fn shown(name: &str) -> String {
    name.escape_default().take(MOST_OF_A_NAME).collect()
}

/// Names, one after the other.
pub(crate) fn listed(names: &[Authority]) -> String {
    names.iter().map(Authority::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_a_flood_of_names_is_not() {
        let misaddressed = Misaddressed::default();
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        assert!(misaddressed.is_news(true, "vault.example", at(0)));
        assert!(!misaddressed.is_news(true, "vault.example", at(59)));
        assert!(misaddressed.is_news(false, "vault.example", at(59)));
        assert!(misaddressed.is_news(true, "vault.example", at(60)));
        let told = (0..10_000).filter(|name| misaddressed.is_news(false, &name.to_string(), at(61))).count();
        assert_eq!(told, MOST_NAMES - 2);
        assert_eq!(misaddressed.said.lock().unwrap().len(), MOST_NAMES);
        assert!(misaddressed.is_news(false, "of the next minute", at(121)));
    }

    #[test]
    fn a_name_is_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(shown(&"x".repeat(10_000)).len(), MOST_OF_A_NAME);
    }
}
