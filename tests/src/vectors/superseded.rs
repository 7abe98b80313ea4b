//! A second end of a recording, which its sealer signed in place of one whose parts it had lost, before readers who
//! have seen one of them.

use vault_proto::ids::Digest;
use vault_proto::statements::{RecordingStatus, Suite};

use super::Outcome::{CutOff, Damaged};
use super::Scenario;
use super::cast::Cast;
use super::draft::{Draft, Recording};
use super::primitives::{digest, fixed_bytes};

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    let first = Digest::from_bytes(fixed_bytes("a first end"));
    let other = Digest::from_bytes(fixed_bytes("an end of another"));
    // Recordings whose end says that it stands in place of the first.
    let record = |name: &str, supersedes: Option<Digest>| {
        let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600)]);
        draft.on_final = Box::new(move |seal| {
            seal.status = RecordingStatus::Recovered;
            seal.supersedes = supersedes;
        });
        draft.record()
    };
    let opened = |name: &str, text: &str, supersedes, known: Option<Digest>| {
        let scenario = Scenario::opened(name, text, cast, &record(name, supersedes)).ending(CutOff);
        match known {
            Some(known) => scenario.having_seen(known),
            None => scenario,
        }
    };
    let refused = |name: &str, text: &str, supersedes, known| {
        Scenario::refused(name, text, cast, &record(name, supersedes), Damaged).having_seen(known)
    };
    let mut all = vec![
        opened(
            "superseded-end",
            "an end that names the one that the reader has seen",
            Some(first),
            Some(first),
        ),
        opened(
            "superseded-end-never-seen",
            "an end that names another, which nobody has seen",
            Some(first),
            None,
        ),
        refused(
            "superseded-end-of-another",
            "an end that names another than the one that the reader has seen",
            Some(other),
            first,
        ),
        refused(
            "superseded-by-an-end-that-names-none",
            "another end than the one that the reader has seen, which names none",
            None,
            first,
        ),
        seal(cast, first),
    ];
    let name = "superseded-end-that-was-seen";
    let recording = record(name, Some(first));
    let end = end_of(&recording);
    let text = "the reader has seen this very end, which stands in place of another";
    all.push(Scenario::opened(name, text, cast, &recording).ending(CutOff).having_seen(end));

    let name = "superseded-end-shown-again";
    let second = end_of(&record(name, Some(end_of(&record(name, None)))));
    let text = "the first end, before a reader who has seen the one that stands in its place";
    all.push(Scenario::refused(name, text, cast, &record(name, None), Damaged).having_seen(second));

    let name = "superseded-and-no-end";
    let text = "no end, before a reader who has seen one";
    let hidden = Scenario::opened(name, text, cast, &record(name, None)).ending(CutOff).having_seen(first);
    all.push(hidden.with(|objects| {
        objects.final_seal = None;
        objects.details = None;
    }));
    all
}

fn end_of(recording: &Recording) -> Digest {
    digest(recording.objects.final_seal.as_deref().unwrap())
}

fn seal(cast: &Cast, first: Digest) -> Scenario {
    let name = "superseded-seal";
    let mut draft = Draft::new(cast, Suite::X25519, name, &[(0, 600), (0, 70)]);
    draft.on_seal = Box::new(move |seal| seal.supersedes = (seal.index == 1).then_some(first));
    Scenario::opened(name, "a seal that names another, which nobody has seen", cast, &draft.record())
}
