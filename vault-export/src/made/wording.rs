//! Times, lengths, sizes and people in words, for the page.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use vault_proto::ids::AccountId;
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;

use super::catalogue::{Catalogue, ExportedRecording, Person};
use super::inert_text::inert;

/// Most characters of a title.
const LONGEST_TITLE: usize = 200;
/// Most characters of a label, as certificates limit them, and of other short texts.
const LONGEST_LABEL: usize = 128;

/// A time by a strftime format, in UTC.
fn formatted(time: Timestamp, format: &str) -> String {
    jiff::Timestamp::from_second(time.unix_seconds())
        .map_or_else(|_| time.to_string(), |known| known.strftime(format).to_string())
}

/// `21 November 2026`.
pub(crate) fn day(time: Timestamp) -> String {
    formatted(time, "%-d %B %Y")
}

/// `November 2026`.
pub(crate) fn month(time: Timestamp) -> String {
    formatted(time, "%B %Y")
}

/// `2026-11`, by which months are ordered and named in addresses.
pub(crate) fn month_key(time: Timestamp) -> String {
    formatted(time, "%Y-%m")
}

/// `21 November 2026, 09:30`, with its machine-readable form.
pub(crate) fn moment(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (formatted(time, "%-d %B %Y, %H:%M")) } }
}

/// From when to when, naming the second day only where it is another.
pub(crate) fn span(began: Timestamp, ended: Option<Timestamp>) -> Markup {
    html! {
        (moment(began))
        @if let Some(ended) = ended.filter(|ended| *ended > began) {
            " to "
            @if day(ended) == day(began) {
                time datetime=(ended) { (formatted(ended, "%H:%M")) }
            } @else {
                (moment(ended))
            }
        }
        " UTC"
    }
}

/// The length of a recording: of its longest file. When it was begun and ended says nothing of it: a file is sealed
/// faster than it plays.
pub(crate) fn length(recording: &ExportedRecording) -> Option<String> {
    recording.files.iter().filter_map(|file| file.duration_ms).max().map(playing_time)
}

/// `1 hour 2 minutes`; seconds only below one hour.
pub(crate) fn playing_time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000 + u64::from(milliseconds % 1000 >= 500);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "hour"), (minutes, "minute"), (if hours == 0 { seconds } else { 0 }, "second")];
    let words: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| counted(*count, unit)).collect();
    if words.is_empty() { "less than a second".to_owned() } else { words.join(" ") }
}

/// `1 file`, `2 files`.
pub(crate) fn counted(count: u64, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// A size as file managers show it: powers of 1,000 and one decimal.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    for name in ["bytes", "kB", "MB", "GB"] {
        if bytes / unit < 1000 {
            return in_unit(bytes, unit, name);
        }
        unit *= 1000;
    }
    in_unit(bytes, unit, "TB")
}

fn in_unit(bytes: u64, unit: u64, name: &str) -> String {
    let (whole, tenths) = (bytes / unit, bytes % unit * 10 / unit);
    if unit == 1 || tenths == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}

/// Title of a recording as text.
pub(crate) fn title(recording: &ExportedRecording) -> String {
    let given = recording.title.as_deref().and_then(|title| inert(title, LONGEST_TITLE));
    given.unwrap_or_else(|| format!("Consultation on {}", day(recording.began())))
}

/// Another text from elsewhere.
pub(crate) fn short_text(text: &str) -> String {
    inert(text, LONGEST_LABEL).unwrap_or_else(|| "(nothing readable)".to_owned())
}

/// What the organisation calls someone, or what they are.
pub(crate) fn person_name(person: &Person) -> String {
    let label = person.label.as_deref().and_then(|label| inert(label, LONGEST_LABEL));
    label.unwrap_or_else(|| role_name(person.role).to_owned())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Patient => "Patient",
        Role::Clinician => "Clinician",
        Role::Recorder => "Recording device",
        Role::Auditor => "Auditor",
        Role::Custodian => "Custodian",
    }
}

/// How the people of an export are called.
pub(crate) struct People {
    owner: AccountId,
    /// Names that several accounts have.
    shared: BTreeSet<String>,
}

impl People {
    pub(crate) fn of(catalogue: &Catalogue) -> Self {
        let people = catalogue
            .recordings
            .iter()
            .flat_map(|recording| [&recording.patient, &recording.clinician, &recording.sealer])
            .chain([&catalogue.account]);
        let mut accounts: BTreeMap<String, AccountId> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for person in people {
            let name = person_name(person);
            if *accounts.entry(name.clone()).or_insert(person.account) != person.account {
                shared.insert(name);
            }
        }
        Self { owner: catalogue.account.account, shared }
    }

    /// Someone; with the beginning of the account id only where that tells two of the same name apart.
    pub(crate) fn show(&self, person: &Person) -> Markup {
        let name = person_name(person);
        html! {
            bdi { (name) }
            @if person.account == self.owner { " (you)" }
            @if self.shared.contains(&name) { ", account " (person.account.short()) "…" }
        }
    }
}

/// The consultation as the organisation's systems know it; `None` for a name that the sealing program made up because
/// it was told none.
pub(crate) fn consultation(recording: &ExportedRecording) -> Option<String> {
    let made_up = recording
        .consultation
        .strip_prefix("unnamed-")
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    (!made_up).then(|| short_text(&recording.consultation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_in_words() {
        for (milliseconds, words) in [
            (0, "less than a second"),
            (499, "less than a second"),
            (8_701, "9 seconds"),
            (60_000, "1 minute"),
            (61_000, "1 minute 1 second"),
            (3_600_000, "1 hour"),
            (7_384_000, "2 hours 3 minutes"),
        ] {
            assert_eq!(playing_time(milliseconds), words);
        }
        assert!(playing_time(u64::MAX).ends_with("minutes"));
        for (bytes, words) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1 kB"),
            (54_321_000, "54.3 MB"),
            (2_000_000_000, "2 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(size(bytes).split('.').next(), words.split('.').next());
            assert_eq!(size(bytes).split(' ').next_back(), words.split(' ').next_back());
        }
        assert_eq!(size(54_321_000), "54.3 MB");
    }

    #[test]
    fn the_second_day_is_named_only_where_it_is_another() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let began = at("2026-11-03T23:50:00Z");
        let plain = |ended| span(began, ended).into_string();
        assert!(plain(Some(at("2026-11-03T23:59:00Z"))).contains(">23:59</time> UTC"));
        assert!(plain(Some(at("2026-11-04T00:10:00Z"))).contains(">4 November 2026, 00:10</time> UTC"));
        assert_eq!(plain(Some(at("2026-11-03T23:40:00Z"))), plain(None));
    }
}
