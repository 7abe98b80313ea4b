//! The attack catalogue: one or more tests for each row, named after it, through the real command line against a server
//! that lies on purpose. `./tests/run hostile` prints the table.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

mod authorisation;
mod drill_june_2020;
mod keys;
mod lengths;
mod mix_ups;
mod named_statements;
mod parts;
mod planted;
mod removed_devices;
mod requests;
mod secrets;
mod statements;
mod stored_keys;
mod views;
mod words;

use vault_core::opening::{OpenError, Opening};
use vault_core::recording_key::RecordingKey;
use vault_core::track_release::TrackRelease;
use vault_proto::recording::{CheckedRecording, StoredStatements};
use vault_proto::trust::Known;
use vault_tests::hostile::Objects;
use vault_tests::scene::Scene;
use vault_tests::sealing_device::Device;

/// Opens a recording in this process, by the checks that the client makes and in its order: for attacks that are tried
/// thousands of times.
fn open_here(
    scene: &Scene,
    reader: &Device,
    recording: &str,
    objects: &Objects,
) -> Result<Vec<u8>, OpenError> {
    let seals: Vec<Vec<u8>> =
        objects.segments.iter().map_while(|segment| segment.seal.clone()).map(String::into_bytes).collect();
    let checked = CheckedRecording::check(
        recording.parse().unwrap(),
        scene.facts.organisation.parse().unwrap(),
        &StoredStatements {
            manifest: objects.manifest.as_bytes(),
            named: &objects.named(),
            seals: &seals,
            progress: None,
            final_seal: objects.final_seal.as_deref().map(str::as_bytes),
        },
        &Known::default(),
    )?;
    let key = RecordingKey::open(&checked, reader.account.id, &reader.account.identity, &objects.key)?;
    let opening = Opening::new(&checked, &key);
    let details = checked.final_seal().map(|_| opening.details(&objects.details)).transpose()?;
    let mut release = TrackRelease::new(details.as_ref());
    let mut content = Vec::new();
    for (proven, segment) in checked.segments().iter().zip(&objects.segments) {
        let opened = opening.segment(proven, &segment.header, &segment.parts)?;
        let parts = segment.split();
        let opener = opened.start(parts.first().map_or(&[][..], |part| part))?;
        for (number, part) in (0..opener.shape().parts()).zip(parts) {
            let plaintext = opener.open(number, part)?;
            let released = release.next(proven.track, &plaintext)?;
            content.extend_from_slice(&plaintext[..released]);
        }
    }
    Ok(content)
}
