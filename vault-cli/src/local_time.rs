//! Times as the clock on the wall shows them. Statements, messages of the libraries and JSON write them in UTC.

use jiff::tz::TimeZone;
use vault_proto::timestamp::Timestamp;

/// Characters of a time as statements write it, such as `2026-11-18T11:06:40Z`.
const WRITTEN: usize = 20;

/// The person's zone: of the variable `TZ`, or of the system; UTC where neither is known.
fn zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// `2026-11-18 12:06`.
pub(crate) fn minute(time: Timestamp) -> String {
    formatted(time, &zone(), "%Y-%m-%d %H:%M")
}

/// `2026-11-18`.
pub(crate) fn day(time: Timestamp) -> String {
    formatted(time, &zone(), "%Y-%m-%d")
}

/// Words with each time in the person's zone, which is named: `2026-11-18 12:06:40 CET`. A time that is part of
/// something longer, such as the name of a file, is left alone.
pub(crate) fn in_zone(words: &str) -> String {
    replaced(words, &zone())
}

fn formatted(time: Timestamp, zone: &TimeZone, format: &str) -> String {
    jiff::Timestamp::from_second(time.unix_seconds())
        .map_or_else(|_| time.to_string(), |known| known.to_zoned(zone.clone()).strftime(format).to_string())
}

fn replaced(words: &str, zone: &TimeZone) -> String {
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(at);
        out.push_str(before);
        let time = digits.get(..WRITTEN).and_then(|text| text.parse::<Timestamp>().ok());
        let after = digits.get(WRITTEN..).unwrap_or_default();
        match time {
            Some(time) if stands_alone(&out, after) => {
                out.push_str(&formatted(time, zone, "%Y-%m-%d %H:%M:%S %Z"));
                rest = after;
            }
            _ => {
                // All of this number, so that the next search begins behind it.
                let end = digits.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(digits.len());
                let (number, after) = digits.split_at(end);
                out.push_str(number);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether what stands before and after a time is a space, punctuation, or nothing.
fn stands_alone(before: &str, after: &str) -> bool {
    let begins = before.chars().next_back().is_none_or(|c| c == ' ' || c == '(');
    let ends = after.trim_start_matches(['.', ',', ';', ':', ')', '?']);
    begins && (ends.is_empty() || ends.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_zone_and_nothing_else_is_touched() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (words, shown) in [
            ("until 2026-11-18T23:06:40Z.", "until 2026-11-19 01:06:40 +02."),
            ("at 00:12:31 (2026-11-18T11:19:11Z): why", "at 00:12:31 (2026-11-18 13:19:11 +02): why"),
            ("2026-11-18T11:19:11Z, 12 bytes", "2026-11-18 13:19:11 +02, 12 bytes"),
            ("talk-2026-11-18T11:19:11Z.webm cannot", "talk-2026-11-18T11:19:11Z.webm cannot"),
            ("/tmp/2026-11-18T11:19:11Z is", "/tmp/2026-11-18T11:19:11Z is"),
            ("2026-13-18T11:19:11Z", "2026-13-18T11:19:11Z"),
            ("account 0123abcd 診 7", "account 0123abcd 診 7"),
        ] {
            assert_eq!(replaced(words, &zone), shown);
        }
        assert_eq!(replaced("on 2020-01-02T00:00:00Z", &TimeZone::UTC), "on 2020-01-02 00:00:00 UTC");
    }
}
