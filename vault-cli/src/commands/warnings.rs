//! What a person should know before it hurts: said on standard error, once for each command.

use vault_client::ClientError;
use vault_client::home_folder::HomeFolder;
use vault_engine::home::account::Profile;
use vault_engine::server::connection::is_exposed;
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;

use crate::local_time::day;
use crate::terminal::Terminal;

/// Days before the end of a certificate from which on it is told.
const DAYS_BEFORE: i64 = 30;
const DAY: i64 = 24 * 3600;

/// What to say of the end of the account's certificate, as the home knows it; `None` while it is far.
pub(super) fn of_end(profile: &Profile) -> Result<Option<String>, ClientError> {
    let Some(chain) = &profile.chain else {
        return Ok(None);
    };
    let end = chain.issuer.unverified().not_after.min(chain.certificate.unverified().not_after);
    let role = chain.certificate.unverified().role;
    Ok(ending(end, vault_client::clock::now()?, role))
}

/// Says if others can look into a home, or this program cannot write into it.
pub(super) fn warn_of_home(terminal: &Terminal, home: &HomeFolder) {
    let folder = home.folder().display();
    if home.is_open_to_others() {
        terminal.insist(&format!(
            "Note: other users of this machine can look into your home folder {folder}. Close it: `chmod -R go= {folder}`."
        ));
    }
    if !home.is_writable() {
        terminal.insist(&format!(
            "Note: the home folder {folder} cannot be written to, so nothing of what is seen now is remembered for later checks."
        ));
    }
}

/// Says if what is sent can be read by whoever stands between.
pub(super) fn warn_of_way(terminal: &Terminal, server: &str) {
    if is_exposed(server) {
        terminal.insist(&format!(
            "Note: {server} is plain http, beyond this machine. Recordings stay sealed, but whoever listens on the way sees who \
             meets whom and when. Ask the operator for an https address."
        ));
    }
}

/// What to say of a certificate that ends soon or has ended.
fn ending(end: Timestamp, now: Timestamp, role: Role) -> Option<String> {
    let left = end.unix_seconds() - now.unix_seconds();
    if left > DAYS_BEFORE * DAY {
        return None;
    }
    if left <= 0 {
        let stays = match role {
            Role::Patient => {
                "What you are the patient of is still yours to list, open, play and export; nothing new is sealed to you"
            }
            _ => "The server lets this account finish what it began, and nothing else",
        };
        return Some(format!(
            "Note: the certificate of this account ended on {}. {stays} until you enrol with a new one from the registrar.",
            day(end)
        ));
    }
    let days = match left / DAY {
        0 => "in less than a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    };
    Some(format!(
        "Note: the certificate of this account ends on {}, {days}. Ask the registrar for a new one and enrol with it before: \
         from then on nothing is sealed by it or to it, and only a patient's own recordings stay open to it.",
        day(end)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_told_thirty_days_before() {
        let now = Timestamp::from_unix_seconds(1_795_000_000).unwrap();
        let said = |seconds| ending(now.saturating_add(seconds), now, Role::Clinician);
        assert_eq!(said(DAYS_BEFORE * DAY + 1), None);
        assert!(said(DAYS_BEFORE * DAY).unwrap().contains("in 30 days"));
        assert!(said(DAY).unwrap().contains("in 1 day."));
        assert!(said(1).unwrap().contains("in less than a day"));
    }

    #[test]
    fn what_an_ended_certificate_leaves_is_told_to_each_role() {
        let now = Timestamp::from_unix_seconds(1_795_000_000).unwrap();
        for ended in [0, 1, 400 * DAY] {
            let said = |role| ending(now.saturating_add(-ended), now, role).unwrap();
            assert!(said(Role::Patient).contains("still yours to list, open, play and export"));
            assert!(said(Role::Clinician).contains("finish what it began, and nothing else"));
            assert!(said(Role::Recorder).contains(" ended on "));
        }
    }
}
