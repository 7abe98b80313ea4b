//! Recordings of every container that apps send, through sealing, playing and taking home: read by ffmpeg before and
//! after.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use vault_tests::command::{end, run};
use vault_tests::playing::{PlayProcess, browser};
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

/// A file, and what is expected of it at home.
struct Original {
    name: &'static str,
    file: PathBuf,
    streams: usize,
    ending: &'static str,
}

struct Ffmpeg {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
}

impl Ffmpeg {
    fn find() -> Option<Self> {
        let program = |variable| std::env::var_os(variable).map(PathBuf::from);
        Some(Self { ffmpeg: program("FFMPEG_BIN")?, ffprobe: program("FFPROBE_BIN")? })
    }

    /// Writes a format.
    fn record(&self, folder: &Path, format: &Format) -> Original {
        let Format { name, pictures, codecs, muxer, ending } = *format;
        let mut command = Command::new(&self.ffmpeg);
        command.current_dir(folder).args(["-v", "error", "-y"]);
        if pictures {
            command.args(PICTURES);
        }
        let output = command.args(SOUND).args(codecs).args(muxer).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let file = folder.join(name);
        if muxer.ends_with(&["-"]) {
            std::fs::write(&file, output.stdout).unwrap();
        } else {
            std::fs::rename(folder.join(muxer.last().unwrap()), &file).unwrap();
        }
        Original { name, file, streams: 1 + usize::from(pictures), ending }
    }

    /// A hash of each stream's packets.
    fn streams(&self, medium: &str) -> String {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-v", "error", "-i", medium, "-map", "0", "-c", "copy", "-f", "streamhash", "-"]);
        let said = end(&mut command);
        assert_eq!(said.exit, Some(0), "{medium}: {}", said.stderr);
        said.text()
    }

    fn probe(&self, medium: &Path, entries: &str) -> String {
        let mut command = Command::new(&self.ffprobe);
        command.args(["-v", "error", "-show_entries", entries, "-of", "csv=p=0"]).arg(medium);
        end(&mut command).text()
    }

    /// How many seconds it plays, where it says so.
    fn said(&self, medium: &Path) -> Option<f64> {
        self.probe(medium, "format=duration").parse().ok()
    }

    /// Where it ends by its packets: when the last one begins, and that with the longest packet there is.
    fn end_of_packets(&self, medium: &Path) -> (f64, f64) {
        let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for line in self.probe(medium, "packet=stream_index,pts_time").lines() {
            let (stream, time) = line.split_once(',').unwrap();
            times.entry(stream.to_owned()).or_default().push(time.trim_end_matches(',').parse().unwrap());
        }
        let mut last = 0.0_f64;
        let mut longest = 0.0_f64;
        for mut times in times.into_values() {
            times.sort_by(f64::total_cmp);
            last = times.last().copied().unwrap_or_default().max(last);
            longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(longest, f64::max);
        }
        (last, last + longest)
    }
}

/// Seals the files, exports them, plays them; what comes out has the same packets, a fitting name, and tells how long
/// it is.
fn come_home(ffmpeg: &Ffmpeg, world: &World, originals: &[Original]) {
    let (patient, clinician) = (world.person("patient", "patient"), world.person("clinician", "clinician"));
    let seal = |original: &Original| clinician.seal(&original.file, &patient, &clinician, &[]).text();
    let recordings: Vec<String> = originals.iter().map(seal).collect();
    let export = world.folder().join("export");
    let said = run(&patient.home, ["export", export.to_str().unwrap()]);
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    for (Original { name, file, streams, ending }, recording) in originals.iter().zip(recordings) {
        let folders =
            std::fs::read_dir(export.join("recordings")).unwrap().map(|entry| entry.unwrap().path());
        let folder = folders.into_iter().find(|folder| folder.to_string_lossy().contains(&recording[..12]));
        let exported =
            folder.unwrap_or_else(|| panic!("{name} is missing")).join(format!("recording.{ending}"));
        assert!(exported.exists(), "{name} has another ending than {ending}");
        let hashes = ffmpeg.streams(file.to_str().unwrap());
        assert_eq!(hashes.lines().count(), *streams, "{name}: {hashes}");
        assert_eq!(ffmpeg.streams(exported.to_str().unwrap()), hashes, "{name}");
        let seconds = ffmpeg.said(&exported).unwrap_or_else(|| panic!("{name} does not tell how long it is"));
        let (least, most) = match ffmpeg.said(file) {
            Some(seconds) => (seconds, seconds),
            None => ffmpeg.end_of_packets(file),
        };
        assert!((least - 0.1..most + 0.1).contains(&seconds), "{name}: {seconds} s, not {least} to {most} s");
        let player = PlayProcess::start(&patient.home, world.server().url(), &recording, &[]);
        assert_eq!(ffmpeg.streams(player.track(0)), hashes, "{name}");
    }
}

#[test]
fn every_format_plays_and_comes_home_as_it_was_and_tells_how_long_it_is() {
    let Some(ffmpeg) = Ffmpeg::find() else { return };
    let world = World::new();
    let originals = FORMATS.map(|format| ffmpeg.record(world.folder(), &format));
    come_home(&ffmpeg, &world, &originals);
}

#[test]
fn whatever_a_browser_records_does_too() {
    let Some(ffmpeg) = Ffmpeg::find() else { return };
    let world = World::new();
    let mut originals = Vec::new();
    for (name, kind, ending) in [
        ("VP9", "video/webm;codecs=vp9,opus", "webm"),
        ("Matroska", "video/x-matroska;codecs=avc1,opus", "mkv"),
        ("MP4", "video/mp4;codecs=vp9,opus", "mp4"),
    ] {
        let file = world.folder().join(name);
        let Some(said) = browser("capture.mjs", &[file.to_str().unwrap(), "4", "--type", kind]) else {
            return;
        };
        assert_eq!(said.exit, Some(0), "{name}: {}", said.stderr);
        originals.push(Original { name, file, streams: 2, ending });
    }
    come_home(&ffmpeg, &world, &originals);
}
