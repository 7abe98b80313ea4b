//! Points in time, as signed statements write them: RFC 3339 in UTC with whole seconds, `2026-11-21T09:30:00Z`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;

/// A second in UTC between the years 1970 and 9999. Exactly one text stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Last second of the year 9999, after which the text would need a fifth digit.
const LAST: i64 = 253_402_300_799;

/// A text or number that is not a timestamp of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-21T09:30:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// The first second of all, 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// Takes seconds since 1970-01-01T00:00:00Z; refuses what lies outside the years 1970 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, TimestampError> {
        if (0..=LAST).contains(&seconds) { Ok(Self(seconds)) } else { Err(TimestampError) }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_seconds(self) -> i64 {
        self.0
    }

    /// This time moved by `seconds`, kept within the years 1970 to 9999.
    pub fn saturating_add(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds).clamp(0, LAST))
    }

    /// The same day and time of the next year, kept within the year 9999; of 29 February, the 28th.
    pub fn a_year_later(self) -> Self {
        let later = self.civil().and_then(|time| time.checked_add(jiff::Span::new().years(1)));
        later.map_or(Self(LAST), of_civil)
    }

    /// As a date and a time of day in UTC, which reach to the last second of the year 9999.
    fn civil(self) -> Result<DateTime, jiff::Error> {
        EPOCH.checked_add(jiff::SignedDuration::from_secs(self.0))
    }
}

/// The beginning of all, as a date and a time of day.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

fn of_civil(time: DateTime) -> Timestamp {
    Timestamp(time.duration_since(EPOCH).as_secs())
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.civil().map_err(|_| fmt::Error)?;
        write!(f, "{}", time.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        if text.len() != 20 {
            return Err(TimestampError);
        }
        let time: DateTime =
            text.strip_suffix('Z').and_then(|text| text.parse().ok()).ok_or(TimestampError)?;
        let parsed = Self::from_unix_seconds(of_civil(time).0)?;
        // The library also reads other spellings of the same second; only the canonical one is accepted.
        if parsed.to_string() == text { Ok(parsed) } else { Err(TimestampError) }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_second_has_one_text(seconds in 0..=LAST) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }

        #[test]
        fn accepted_texts_print_as_they_were(text in "[0-9TtZz:+. -]{18,25}") {
            if let Ok(time) = text.parse::<Timestamp>() {
                prop_assert_eq!(time.to_string(), text);
            }
        }
    }

    #[test]
    fn a_year_later_is_the_same_day() {
        for (from, to) in [
            ("2026-11-21T09:30:00Z", "2027-11-21T09:30:00Z"),
            ("2027-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2028-02-28T23:59:59Z", "2029-02-28T23:59:59Z"),
            ("2028-02-29T12:00:00Z", "2029-02-28T12:00:00Z"),
            ("9998-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("9999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(from.parse::<Timestamp>().unwrap().a_year_later().to_string(), to, "{from}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "2026-11-21t09:30:00z",
            "2026-11-21 09:30:00Z",
            "2026-11-21T09:30:00+00:00",
            "2026-11-21T09:30:60Z",
            "2026-02-30T09:30:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-21T09:30:00ZZ",
            "2026-11-21T09:30Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
