//! A word to whoever opens a recording that players show only in part.

use std::time::Duration;

use vault_engine::elapsed::elapsed;
use vault_engine::opening::media::Medium;

use crate::terminal::Terminal;

/// Most moments that are named.
const MOST: usize = 8;

/// Says of each track where players stop before its end, and what to type for the rest.
pub(super) fn tell_breaks(terminal: &Terminal, recording: &str, media: &[&Medium]) {
    for medium in media {
        if let Some(words) = words(recording, medium.track, &medium.breaks(), medium.has_other()) {
            terminal.insist(&words);
        }
    }
}

fn words(recording: &str, track: u8, breaks: &[Duration], has_other: bool) -> Option<String> {
    let mut words = match breaks {
        [] if !has_other => return None,
        [] => String::new(),
        [first, ..] => {
            // The first whole second that lies behind a break, as --from takes it.
            let moments = breaks.iter().map(|at| elapsed(Duration::from_secs(at.as_secs() + 1)));
            let named: Vec<String> = moments.take(MOST).collect();
            let more = if breaks.len() > MOST { " and later" } else { "" };
            format!(
                "The recorder's clock jumped in track {track}, or another recorder went on: at {}{more}. Players \
                 stop at the first of these. `vault-cli open {recording} --track {track} --from {}` writes what follows.",
                named.join(", "),
                elapsed(Duration::from_secs(first.as_secs() + 1)),
            )
        }
    };
    if has_other {
        let space = if words.is_empty() { "" } else { " " };
        words.push_str(&format!(
            "{space}Behind track {track} stands another recording of a different kind, which players do not show; \
             its length is not counted. `vault-cli open {recording} --track {track} --as-sealed` writes every byte as it was sealed."
        ));
    }
    words.push_str(" Nothing was left out of the recording.");
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_a_recording_is_told_what_players_do_not_show() {
        let at = |milliseconds| Duration::from_millis(milliseconds);
        assert_eq!(words("id", 0, &[], false), None);
        let told = words("id", 2, &[at(6_020), at(65_000)], false).unwrap();
        for part in ["at 00:00:07, 00:01:06.", "open id --track 2 --from 00:00:07`", "Nothing was left out"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("different kind"), "{told}");
        let other = words("id", 1, &[], true).unwrap();
        assert!(other.starts_with("Behind track 1") && other.contains("--as-sealed"), "{other}");
        let many: Vec<_> = (0..20).map(|n| at(n * 1000)).collect();
        assert!(words("id", 0, &many, false).unwrap().contains("00:00:08 and later"));
    }
}
