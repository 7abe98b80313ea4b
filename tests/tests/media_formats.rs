//! Recordings of every container that apps send, through sealing, playing and taking home: read by ffmpeg before and after.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::{Path, PathBuf};
use std::process::Command;

use vault_tests::command::{end, run};
use vault_tests::playing::PlayProcess;
use vault_tests::world::World;

const PICTURES: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=3"];
const SOUND: [&str; 4] = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3"];
const VP8_OPUS: [&str; 4] = ["-c:v", "libvpx", "-c:a", "libopus"];
const MPEG4_AAC: [&str; 4] = ["-c:v", "mpeg4", "-c:a", "aac"];

/// A format: whether it has pictures, how ffmpeg is told to write it, and the ending that its exported file has.
struct Format {
    name: &'static str,
    pictures: bool,
    codecs: &'static [&'static str],
    muxer: &'static [&'static str],
    ending: &'static str,
}

const fn format(
    name: &'static str,
    pictures: bool,
    codecs: &'static [&'static str],
    muxer: &'static [&'static str],
    ending: &'static str,
) -> Format {
    Format { name, pictures, codecs, muxer, ending }
}

/// Those that are written into a pipe cannot say how long they are.
const FORMATS: [Format; 13] = [
    format("WebM of a pipe", true, &VP8_OPUS, &["-f", "webm", "-"], "webm"),
    format("WebM of a live stream", true, &VP8_OPUS, &["-live", "1", "-f", "webm", "-"], "webm"),
    format("WebM of sound alone", false, &["-c:a", "libopus"], &["-f", "webm", "-"], "webm"),
    format("WebM of a file", true, &VP8_OPUS, &["file.webm"], "webm"),
    format("Matroska of a pipe", true, &MPEG4_AAC, &["-f", "matroska", "-"], "mkv"),
    format(
        "fragmented MP4",
        true,
        &MPEG4_AAC,
        &["-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-"],
        "mp4",
    ),
    format("MP4 of a file", true, &MPEG4_AAC, &["file.mp4"], "mp4"),
    format("QuickTime", true, &MPEG4_AAC, &["file.mov"], "mov"),
    format("MP4 of sound alone", false, &["-c:a", "aac"], &["file.m4a"], "m4a"),
    format("Ogg", false, &["-c:a", "libopus"], &["-f", "ogg", "-"], "ogg"),
    format("WAVE", false, &[], &["file.wav"], "wav"),
    format("FLAC", false, &[], &["file.flac"], "flac"),
    format("AAC without a container", false, &["-c:a", "aac"], &["-f", "adts", "-"], "aac"),
];

/// Has ffmpeg write a format; returns the file.
fn record(ffmpeg: &Path, folder: &Path, format: &Format) -> PathBuf {
    let mut command = Command::new(ffmpeg);
    command.current_dir(folder).args(["-v", "error", "-y"]);
    if format.pictures {
        command.args(PICTURES);
    }
    let output = command.args(SOUND).args(format.codecs).args(format.muxer).output().unwrap();
    assert!(output.status.success(), "{}: {}", format.name, String::from_utf8_lossy(&output.stderr));
    let written = folder.join(format.muxer.last().unwrap());
    let file = folder.join(format.name);
    if format.muxer.ends_with(&["-"]) {
        std::fs::write(&file, output.stdout).unwrap();
    } else {
        std::fs::rename(written, &file).unwrap();
    }
    file
}

/// A hash of each stream's packets.
fn streams(ffmpeg: &Path, medium: &str) -> String {
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error", "-i", medium, "-map", "0", "-c", "copy", "-f", "streamhash", "-"]);
    let said = end(&mut command);
    assert_eq!(said.exit, Some(0), "{medium}: {}", said.stderr);
    said.text()
}

/// How long it is, where it says so.
fn duration(ffprobe: &Path, medium: &Path) -> Option<f64> {
    let mut command = Command::new(ffprobe);
    command.args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]).arg(medium);
    end(&mut command).text().parse().ok()
}

#[test]
fn every_format_plays_and_comes_home_as_it_was_and_tells_how_long_it_is() {
    let (Some(ffmpeg), Some(ffprobe)) = (std::env::var_os("FFMPEG_BIN"), std::env::var_os("FFPROBE_BIN"))
    else {
        return;
    };
    let (ffmpeg, ffprobe) = (PathBuf::from(ffmpeg), PathBuf::from(ffprobe));
    let world = World::new();
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let originals: Vec<_> = FORMATS
        .iter()
        .map(|format| {
            let file = record(&ffmpeg, world.folder(), format);
            let recording = clinician.seal(&file, &patient, &clinician, &[]).text();
            (format, file, recording)
        })
        .collect();
    let export = world.folder().join("export");
    let said = run(&patient.home, ["export", export.to_str().unwrap()]);
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    for (format, original, recording) in originals {
        let name = format.name;
        let id = &recording[..12];
        let folder = std::fs::read_dir(export.join("recordings")).unwrap().map(|entry| entry.unwrap().path());
        let folder = folder.into_iter().find(|folder| folder.to_string_lossy().contains(id));
        let exported = folder
            .unwrap_or_else(|| panic!("{name} is missing"))
            .join(format!("recording.{}", format.ending));
        assert!(exported.exists(), "{name} has another ending than {}", format.ending);
        let hashes = streams(&ffmpeg, original.to_str().unwrap());
        assert_eq!(hashes.lines().count(), 1 + usize::from(format.pictures), "{name}: {hashes}");
        assert_eq!(streams(&ffmpeg, exported.to_str().unwrap()), hashes, "{name}");
        let seconds =
            duration(&ffprobe, &exported).unwrap_or_else(|| panic!("{name} does not tell how long it is"));
        let expected = duration(&ffprobe, &original).unwrap_or(3.0);
        assert!((seconds - expected).abs() < 0.1, "{name}: {seconds} s instead of {expected} s");
        let player = PlayProcess::start(&patient.home, world.server().url(), &recording, &[]);
        assert_eq!(streams(&ffmpeg, player.track(0)), hashes, "{name}");
    }
}
