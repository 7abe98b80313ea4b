//! What crashes left of the objects, set aside: `leftovers/<day>/rec/<id>/…` and `leftovers/<day>/statements/…`, each
//! file under the name that it had. It is put back by copying the folder of a day over that of the objects, and
//! unlinked once it has lain there for [`KEPT_DAYS`] days.
//!
//! A day counts when a server has searched for leftovers on it, and days only ever go forward: `leftovers/days` lists
//! those that were counted, ascending. So neither a clock that was wrong for a while nor a server that was off makes
//! anything go early: a clock ahead adds the one day that it says, and until it is right again no further one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use vault_proto::timestamp::Timestamp;

use super::listing;
use crate::durable::{create_folders, move_file, write_whole_file};

/// Days for which a leftover is kept after it was set aside.
pub const KEPT_DAYS: usize = 30;
/// Days that the list keeps: more than are ever asked for.
const MOST_DAYS: usize = 4 * KEPT_DAYS;
/// Files of one name that can be set aside on one day.
const MOST_OF_A_NAME: u32 = 100;

/// A day in UTC, `2026-11-21`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(String);

impl Day {
    /// The day of a time.
    pub fn of(time: Timestamp) -> Self {
        Self(time.to_string().chars().take(10).collect())
    }

    fn parse(text: &str) -> Option<Self> {
        let midnight: Timestamp = format!("{text}T00:00:00Z").parse().ok()?;
        Some(Self::of(midnight))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of leftovers of one store, whose root is `objects`.
#[derive(Debug)]
pub(super) struct Leftovers {
    objects: PathBuf,
    root: PathBuf,
}

/// Name of a folder of leftovers: the day, and a number if a file of that name was set aside on that day before.
fn folder_of(day: &Day, number: u32) -> String {
    if number == 0 { day.to_string() } else { format!("{day}.{number}") }
}

fn day_of_folder(name: &str) -> Option<Day> {
    let (day, number) = name.split_once('.').map_or((name, None), |(day, number)| (day, Some(number)));
    let canonical = number.is_none_or(|number| number.parse::<u32>().is_ok_and(|number| number > 0));
    Day::parse(day).filter(|_| canonical)
}

impl Leftovers {
    pub(super) const fn new(objects: PathBuf, root: PathBuf) -> Self {
        Self { objects, root }
    }

    fn list(&self) -> PathBuf {
        self.root.join("days")
    }

    /// The days that were counted, ascending.
    fn days(&self) -> io::Result<Vec<Day>> {
        let text = match std::fs::read_to_string(self.list()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut days: Vec<Day> = text.lines().filter_map(Day::parse).collect();
        days.sort();
        days.dedup();
        Ok(days)
    }

    /// Counts a day, and gives the one that counts today: the last, if the clock is behind it.
    fn count(&self, today: &Day) -> io::Result<(Day, Vec<Day>)> {
        let mut days = self.days()?;
        if days.last().is_none_or(|last| last < today) {
            days.push(today.clone());
            let kept = days.split_off(days.len().saturating_sub(MOST_DAYS));
            days = kept;
            create_folders(&self.root)?;
            let text: String = days.iter().map(|day| format!("{day}\n")).collect();
            write_whole_file(&self.list(), text.as_bytes())?;
        }
        let counts = days.last().unwrap_or(today).clone();
        Ok((counts, days))
    }

    /// Moves a file of the store, by its name there, to the leftovers.
    pub(super) fn set_aside(&self, name: &str, today: &Day) -> io::Result<()> {
        let (day, _) = self.count(today)?;
        let from = self.objects.join(name);
        for number in 0..MOST_OF_A_NAME {
            let to = self.root.join(folder_of(&day, number)).join(name);
            to.parent().map_or(Ok(()), create_folders)?;
            match move_file(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Counts the day and unlinks what has been here for long enough, and what is no object never. Gives the number of
    /// files.
    pub(super) fn unlink_old(&self, today: &Day) -> io::Result<u64> {
        if !self.root.is_dir() {
            return Ok(0);
        }
        let (_, days) = self.count(today)?;
        let mut unlinked = 0;
        for entry in std::fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let Some((name, day)) = name.to_str().and_then(|name| Some((name, day_of_folder(name)?))) else {
                continue;
            };
            let later = days.iter().filter(|counted| **counted > day).count();
            if later >= KEPT_DAYS && is_days_before(&day, today) {
                unlinked += unlink_objects(&self.root.join(name))?;
            }
        }
        Ok(unlinked)
    }
}

/// Whether a day is [`KEPT_DAYS`] before today by the clock, too.
fn is_days_before(day: &Day, today: &Day) -> bool {
    let seconds = |day: &Day| format!("{day}T00:00:00Z").parse().map(Timestamp::unix_seconds);
    let kept = i64::try_from(KEPT_DAYS).unwrap_or(i64::MAX).saturating_mul(86_400);
    match (seconds(day), seconds(today)) {
        (Ok(day), Ok(today)) => today.saturating_sub(day) >= kept,
        _ => false,
    }
}

fn unlink_objects(folder: &Path) -> io::Result<u64> {
    let mut unlinked = 0;
    let mut recordings = Vec::new();
    listing::recordings(folder, &mut |recording| {
        recordings.push(recording);
        true
    })?;
    for recording in recordings {
        let mut segments = Vec::new();
        for file in listing::files(folder, recording)? {
            std::fs::remove_file(folder.join(&file.name))?;
            tracing::info!(file = %file.name, "unlinked a leftover that was set aside long ago");
            unlinked += 1;
            segments.extend(file.segment);
        }
        segments.dedup();
        for segment in segments {
            super::files::remove_empty_folder(folder, recording, Some(segment))?;
        }
        super::files::remove_empty_folder(folder, recording, None)?;
    }
    for file in listing::statements(folder)? {
        std::fs::remove_file(folder.join(&file.name))?;
        tracing::info!(file = %file.name, "unlinked a leftover that was set aside long ago");
        unlinked += 1;
    }
    for name in [vault_proto::object::RECORDINGS, vault_proto::object::STATEMENTS, ""] {
        super::files::gone_is_fine(std::fs::remove_dir(folder.join(name)))?;
    }
    Ok(unlinked)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NAME: &str = "rec/00112233445566778899aabbccddeeff/key.0";

    fn day(number: i64) -> Day {
        Day::of(Timestamp::from_unix_seconds(1_795_000_000 + number * 86_400).unwrap())
    }

    fn leftovers(data: &Path) -> Leftovers {
        Leftovers::new(data.join("blobs"), data.join("leftovers"))
    }

    fn leave(data: &Path) {
        let path = data.join("blobs").join(NAME);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "left behind").unwrap();
    }

    fn kept(data: &Path) -> BTreeSet<String> {
        let entries = std::fs::read_dir(data.join("leftovers")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "days").collect()
    }

    #[test]
    fn a_leftover_goes_after_thirty_days_of_searching() {
        let data = tempfile::tempdir().unwrap();
        let leftovers = leftovers(data.path());
        leave(data.path());
        leftovers.set_aside(NAME, &day(0)).unwrap();
        for number in 0..30 {
            assert_eq!(leftovers.unlink_old(&day(number)).unwrap(), 0, "day {number}");
        }
        assert!(data.path().join("leftovers").join(day(0).to_string()).join(NAME).exists());
        assert_eq!(leftovers.unlink_old(&day(30)).unwrap(), 1);
        assert!(kept(data.path()).is_empty());
    }

    #[test]
    fn days_without_a_search_and_days_of_a_wrong_clock_do_not_count() {
        let data = tempfile::tempdir().unwrap();
        let leftovers = leftovers(data.path());
        leave(data.path());
        leftovers.set_aside(NAME, &day(0)).unwrap();
        // A year ahead for an afternoon, with many starts; then behind, at the beginning of all times; then right.
        for number in [365, 365, 366, -7000, 1, 2] {
            assert_eq!(leftovers.unlink_old(&day(number)).unwrap(), 0);
        }
        // What is set aside under a wrong clock is kept until the right one has passed that day, and thirty more.
        leave(data.path());
        leftovers.set_aside(NAME, &day(-7000)).unwrap();
        assert_eq!(kept(data.path()), BTreeSet::from([day(0).to_string(), day(366).to_string()]));
        for number in 3..=366 {
            assert_eq!(leftovers.unlink_old(&day(number)).unwrap(), 0, "day {number}");
        }
        let unlinked: Vec<i64> =
            (367..=400).filter(|number| leftovers.unlink_old(&day(*number)).unwrap() > 0).collect();
        // Two days that the clock was ahead counted for the first.
        assert_eq!(unlinked, [394, 396]);
    }

    #[test]
    fn what_has_the_same_name_is_kept_beside_and_what_is_no_object_stays() {
        let data = tempfile::tempdir().unwrap();
        let leftovers = leftovers(data.path());
        for _ in 0..3 {
            leave(data.path());
            leftovers.set_aside(NAME, &day(0)).unwrap();
        }
        let names = BTreeSet::from(["", ".1", ".2"].map(|end| format!("{}{end}", day(0))));
        assert_eq!(kept(data.path()), names);
        let note = data.path().join(format!("leftovers/{}/rec/README", day(0)));
        std::fs::write(&note, "do not lose").unwrap();
        for number in 1..=31 {
            leftovers.unlink_old(&day(number)).unwrap();
        }
        assert_eq!(kept(data.path()), BTreeSet::from([day(0).to_string()]));
        assert!(note.exists());
    }
}
