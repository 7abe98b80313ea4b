//! Five minutes by a real browser's MediaRecorder, through the whole house: sealed, played with jumps in a real
//! browser, exported.
//!
//! `tests/run` has Chromium record them while other tests run, and runs this once it has: LONG_RECORDING names the
//! file.

use std::path::Path;
use std::sync::Arc;

use vault_tests::command::end;
use vault_tests::faults::proxy::Proxy;
use vault_tests::playing::{PlayProcess, browser, count_parts, fetched};
use vault_tests::world::World;

/// The only argument that the jumps depend on.
const SEED: &str = "2020";

#[test]
fn sixty_jumps_show_the_right_picture_and_fetch_two_parts_at_most_and_the_export_plays_the_same() {
    let Some(original) = std::env::var_os("LONG_RECORDING") else {
        println!("no recording: `tests/run` makes one");
        return;
    };
    let original = Path::new(&original);
    let length = original.metadata().unwrap().len();
    assert!(length > 20 << 20, "only {length} bytes: a few parts would be all of it");
    let proxy = Arc::new(Proxy::start());
    let world = World::behind(&proxy);
    let patient = world.person_with("patient", "patient", &[], &proxy.url());
    let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
    let recording = clinician.seal(original, &patient, &clinician, &["--title", "Five minutes"]).text();
    let listed = patient.run(&["list", "--json"]).json();
    let duration = listed.get("duration_ms").and_then(serde_json::Value::as_u64).unwrap();
    assert!((295_000..310_000).contains(&duration), "{duration} ms");

    let playing = PlayProcess::start(&patient.home, &proxy.url(), &recording, &[]);
    let counter = count_parts(Arc::clone(&proxy));
    let path = original.to_str().unwrap();
    let said =
        browser("seek.mjs", &[playing.page(), path, "60", SEED, "--counter", &counter, "--json"]).unwrap();
    let report = said.json();
    let summary =
        |name: &str| report.pointer(&format!("/summary/{name}")).and_then(serde_json::Value::as_u64).unwrap();
    assert_eq!((summary("jumps"), summary("wrong")), (60, 0), "{report}");
    assert!(summary("needed/max") <= 2, "{report}");
    println!(
        "60 jumps: pictures right, at most {} parts each; {} parts fetched for all of them, with what the player read ahead",
        summary("needed/max"),
        fetched(&proxy).len()
    );
    drop(playing);

    let folder = world.folder().join("export");
    let exported = patient.run(&["export", folder.to_str().unwrap()]);
    assert_eq!(exported.exit, Some(0), "{}", exported.stderr);
    let described = std::fs::read_dir(folder.join("recordings")).unwrap().next().unwrap().unwrap().path();
    let medium = described.join("recording.webm");
    let hashes = |file: &Path| browser("streamhashes.mjs", &[file.to_str().unwrap()]).unwrap().json();
    assert_eq!(hashes(&medium), hashes(original), "pictures or sound differ");
    let mut ffprobe = std::process::Command::new(std::env::var_os("FFPROBE_BIN").unwrap());
    ffprobe.args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(&medium);
    let probed = end(&mut ffprobe);
    assert_eq!(probed.stderr, "");
    let seconds: f64 = probed.text().parse().unwrap();
    assert!((seconds * 1000.0 - duration as f64).abs() < 50.0, "{seconds} s");
}
