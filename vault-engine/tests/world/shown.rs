//! What programs are shown of recordings: nothing that never was, nothing against what they knew, nothing released
//! before it is learnt.

use vault_engine::error::IoFailure;
use vault_engine::opening::listing::{Listing, Status};
use vault_engine::opening::plaintext_sink::PlaintextSink;
use vault_proto::ids::RecordingId;
use vault_proto::recording_list::ListEntry;

use crate::disk::Health;
use crate::machine::World;
use crate::programs::Life;

/// What a home knows and has to be able to keep, before something is asked.
pub(crate) struct Before {
    home: usize,
    known: Vec<ListEntry>,
    /// How often it has become one that nobody can write to, and whether it is.
    read_only: (u64, bool),
}

impl Before {
    pub(crate) fn of(life: &Life) -> Self {
        let home = life.home_index();
        life.look(|world| Self { home, known: world.known(home), read_only: read_only(world, home) })
    }

    /// Whether what is learnt since could be kept.
    fn can_learn(&self, world: &World) -> bool {
        let (times, is) = self.read_only;
        !is && times == read_only(world, self.home).0
    }

    pub(crate) fn of_recording(&self, recording: RecordingId) -> Option<&ListEntry> {
        self.known.iter().find(|entry| entry.recording == recording)
    }
}

fn read_only(world: &World, home: usize) -> (u64, bool) {
    (world.oracle.read_only[home], world.homes[home].health == Health::ReadOnly)
}

/// Looks at a list.
pub(crate) fn check_listing(life: &Life, before: &Before, listing: &Listing) {
    for listed in &listing.recordings {
        let entry = listed.entry();
        life.look(|world| {
            if !world.is_true(&entry) {
                world.violation(format!("{} was listed as it never was", entry.recording));
            }
            let truth = world.truth.iter().find(|truth| truth.id == entry.recording);
            // Without an end nothing says what of it is padding.
            let pads = world.temper.pads && listed.final_seal.is_none();
            let longest = truth.map_or(0, |truth| truth.padded_length(pads));
            let titles = truth.map(crate::people::TrueRecording::titles).unwrap_or_default();
            if listed.bytes > longest {
                world.violation(format!("{} was listed longer than it is", entry.recording));
            }
            if listed.status == Status::Complete && listed.final_seal.is_none() {
                world.violation(format!("{} was listed as complete without an end", entry.recording));
            }
            let title = listed.details.as_ref().and_then(|details| details.title.clone());
            if title.is_some_and(|title| !titles.contains(&title)) {
                world.violation(format!("{} was listed with a title it never had", entry.recording));
            }
            let durable = world.known_of(before.home, entry.recording);
            let learnt = durable.is_some_and(|durable| {
                durable.manifest == entry.manifest
                    && (entry.final_seal.is_none() || durable.final_seal == entry.final_seal)
            });
            if !learnt && before.can_learn(world) {
                world.violation(format!("{} was listed and not learnt", entry.recording));
            }
        });
        if let Some(known) = before.of_recording(entry.recording)
            && known.agrees_with(listed.shown()).is_err()
        {
            life.wrong(format!("{} was listed against what the home knew", entry.recording));
        }
    }
    for known in &before.known {
        let of = known.recording;
        let told = listing.recordings.iter().any(|listed| listed.recording == of)
            || listing.refused.iter().any(|refused| refused.recording == of)
            || listing.missing.iter().any(|missing| missing.recording == of);
        if !told {
            life.wrong(format!("{of} is known, was not listed, and nobody said so"));
        }
    }
}

/// Where a recording is written to: compares it with what was recorded.
pub(crate) struct Out {
    life: Life,
    before: Before,
    entry: ListEntry,
    pub(crate) rest: Vec<u8>,
    pub(crate) written: usize,
}

impl Out {
    pub(crate) fn new(life: &Life, before: Before, entry: ListEntry, track: Option<u8>) -> Self {
        let recorded = life.look(|world| {
            let truth = world.truth.iter().find(|truth| truth.id == entry.recording);
            // Without an end nothing says where a track ends and its padding begins.
            let pads = world.temper.pads && entry.final_seal.is_none();
            truth.map(|truth| truth.padded_plaintext(track, pads)).unwrap_or_default()
        });
        Self { life: life.clone(), before, entry, rest: recorded, written: 0 }
    }

    fn release(&mut self, bytes: &[u8]) {
        if self.rest.get(self.written..self.written + bytes.len()) != Some(bytes) {
            self.life
                .wrong(format!("other bytes than those recorded in {} were released", self.entry.recording));
        }
        self.written += bytes.len();
        released(&self.life, &self.before, self.entry);
    }
}

/// Before anything is released, the home has learnt what it was shown.
pub(crate) fn released(life: &Life, before: &Before, shown: ListEntry) {
    life.look(|world| {
        world.counts.released += 1;
        if !before.can_learn(world) {
            return;
        }
        let durable = world.known_of(before.home, shown.recording);
        let learnt = durable.is_some_and(|durable| {
            durable.manifest == shown.manifest
                && (shown.final_seal.is_none() || durable.final_seal == shown.final_seal)
        });
        if !learnt {
            world.violation(format!("{} was released before it was learnt", shown.recording));
        }
    });
}

impl PlaintextSink for Out {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IoFailure> {
        self.release(bytes);
        Ok(())
    }
}
