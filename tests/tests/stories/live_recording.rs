//! Sealing while it is recorded: what was acknowledged opens whatever dies, what was kept is sent later, nothing is
//! spliced.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vault_client::ClientError;
use vault_client::sealing::RecorderOptions;
use vault_engine::error::{Extent, RecordingEnd};
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::app::{App, runtime};
use vault_tests::command::{Said, end, vault_cli};
use vault_tests::faults::proxy::{Proxy, Strike};
use vault_tests::pseudo_terminal::PseudoTerminal;
use vault_tests::world::{Person, World, bytes, sha256};

/// A live recording by the command line.
struct Live {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Live {
    fn start(sealer: &Person, patient: &Person, clinician: &Person, more: &[&str]) -> Self {
        let mut command = vault_cli(&sealer.home);
        command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account]);
        let mut child = command.args(more).stdin(Stdio::piped()).spawn().unwrap();
        let pipe = child.stdin.take();
        Self { child, pipe }
    }

    fn write(&mut self, bytes: &[u8]) {
        let pipe = self.pipe.as_mut().unwrap();
        pipe.write_all(bytes).unwrap();
        pipe.flush().unwrap();
    }

    /// Waits for something to become true while the recording goes on.
    fn until(&mut self, what: &str, is_true: impl Fn() -> bool) {
        while !is_true() {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}");
            std::thread::yield_now();
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success());
    }

    fn end(mut self) -> Said {
        drop(self.pipe.take());
        Said::new(self.child.wait_with_output().unwrap())
    }
}

fn kept_parts(person: &Person) -> Vec<PathBuf> {
    let within = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let spools = within(person.home.join("uploads")).filter(|entry| entry.path().is_dir());
    let parts = spools.flat_map(|spool| within(spool.path())).map(|part| part.path());
    parts.filter(|part| !part.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

/// Parts that the only journal of a home names.
fn noted_parts(person: &Person) -> usize {
    let entries = std::fs::read_dir(person.home.join("uploads")).into_iter().flatten().flatten();
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "journal");
    let journal = entries.map(|entry| entry.path()).find(is_journal);
    let text = journal.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    text.lines().filter(|line| line.starts_with(r#"{"part""#)).count()
}

fn signal(process: u32, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

fn people(world: &World) -> (Person, Person) {
    (world.person("patient", "patient"), world.person("clinician", "clinician"))
}

fn only_recording(reader: &Person) -> String {
    reader.run(&["list", "--json"]).json()["recording"].as_str().unwrap().to_owned()
}

fn open_cut_off(reader: &Person, recording: &str) -> Vec<u8> {
    let opened = reader.run(&["open", recording, "--allow-cut-off"]);
    assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
    assert!(opened.stderr.contains("cut off"), "{}", opened.stderr);
    opened.stdout
}

#[test]
fn what_was_acknowledged_opens_whatever_dies() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(5 * MAX_PART_PLAINTEXT + 1_000, 41);
    let mut live = Live::start(&clinician, &patient, &clinician, &["--title", "Knee"]);
    live.write(&content);
    live.until("five parts were there", || world.parts() == 5);
    // Another process leaves alone what this one is at.
    let busy = clinician.run(&["resume"]);
    assert!(busy.stderr.contains("1 more recording is being sealed by another process"), "{}", busy.stderr);
    assert_eq!(busy.text(), "");
    live.kill();

    // Nobody came back to seal anything: the signed progress alone opens it, for both, as cut off.
    let recording = only_recording(&patient);
    for reader in [&patient, &clinician] {
        reader.open(&recording).refused(12, "This recording is cut off: its end was never sealed");
        assert!(open_cut_off(reader, &recording) == content[..5 * MAX_PART_PLAINTEXT]);
    }

    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!(resumed["recording"], recording.as_str());
    assert_eq!(resumed["status"], "cut_off");
    assert_eq!(resumed["bytes"], 5 * MAX_PART_PLAINTEXT);
    assert!(resumed["lost_ms"].is_u64(), "{resumed}");
    for reader in [&patient, &clinician] {
        reader.open(&recording).refused(12, "says that the rest was lost");
        assert!(open_cut_off(reader, &recording) == content[..5 * MAX_PART_PLAINTEXT]);
        let listed = reader.run(&["list", "--json"]).json();
        assert_eq!(listed["status"], "cut_off");
        assert_eq!(listed["title"], "Knee", "the title outlives its process");
    }
    let again = clinician.run(&["resume"]);
    assert!(again.stderr.contains("Nothing was left behind"), "{}", again.stderr);
    assert_eq!(std::fs::read_dir(clinician.home.join("uploads")).unwrap().count(), 0);
}

#[test]
fn what_is_recorded_while_the_server_is_away_is_kept_sealed_and_sent_by_the_next_process() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    let marker = b"a sentence that was said in the consulting room";
    let content: Vec<u8> = marker.iter().copied().cycle().take(8 * MAX_PART_PLAINTEXT + 1).collect();
    let (before, during) = content.split_at(2 * MAX_PART_PLAINTEXT + 1);
    let mut live = Live::start(&clinician, &patient, &clinician, &[]);
    live.write(before);
    live.until("two parts were there", || world.parts() == 2);
    world.take_server().kill();
    live.write(during);
    // A part that the server had may be kept too: its answer died with the server.
    live.until("six parts were kept", || noted_parts(&clinician) == 8 && kept_parts(&clinician).len() >= 6);
    live.kill();
    let kept_then = kept_parts(&clinician);
    for path in &kept_then {
        let kept = std::fs::read(path).unwrap();
        let found = kept.windows(marker.len()).any(|window| window == marker);
        assert!(!found, "plaintext in {}", path.display());
    }

    // As long as the server is away, nothing is given up and nothing is lost by trying.
    clinician.run(&["resume"]).refused(18, "Not everything could be brought to an end");
    assert_eq!(kept_parts(&clinician).len(), kept_then.len());
    world.start();
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!(resumed["bytes"], 8 * MAX_PART_PLAINTEXT, "all that was sealed is there");
    let recording = only_recording(&patient);
    for reader in [&patient, &clinician] {
        assert!(open_cut_off(reader, &recording) == content[..8 * MAX_PART_PLAINTEXT]);
    }
    assert_eq!(kept_parts(&clinician), Vec::<PathBuf>::new());
}

#[test]
fn a_server_that_comes_back_gets_everything_in_order() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(6 * MAX_PART_PLAINTEXT + 5, 43);
    let mut live = Live::start(&clinician, &patient, &clinician, &["--json"]);
    live.write(&content[..MAX_PART_PLAINTEXT + 1]);
    live.until("a part was there", || world.parts() == 1);
    world.take_server().kill();
    live.write(&content[MAX_PART_PLAINTEXT + 1..5 * MAX_PART_PLAINTEXT]);
    live.until("parts were kept", || kept_parts(&clinician).len() >= 3);
    world.start();
    live.write(&content[5 * MAX_PART_PLAINTEXT..]);
    let said = live.end();
    assert!(said.stderr.contains("cannot be reached"), "{}", said.stderr);
    let sealed = said.json();
    assert_eq!(sealed["sha256"], sha256(&content));
    assert_eq!(sealed["segments"], 1, "it was one process with one key");
    for reader in [&patient, &clinician] {
        let opened = reader.open(sealed["recording"].as_str().unwrap());
        assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
        assert!(opened.stdout == content);
    }
    assert_eq!(kept_parts(&clinician), Vec::<PathBuf>::new());
}

/// A server that hangs refuses no connection and answers nothing. What is on its way to it then comes before what is
/// kept, and a recording opens only up to its first gap.
#[test]
fn a_server_that_hangs_leaves_no_gap_in_what_is_kept() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(9 * MAX_PART_PLAINTEXT + 1, 51);
    let mut live = Live::start(&clinician, &patient, &clinician, &[]);
    live.write(&content[..MAX_PART_PLAINTEXT + 1]);
    live.until("a part was there", || world.parts() == 1);
    signal(world.server().id(), Signal::STOP);
    live.write(&content[MAX_PART_PLAINTEXT + 1..]);
    let kept = |part: usize| {
        kept_parts(&clinician).iter().any(|path| path.file_name().unwrap() == format!("0-{part}").as_str())
    };
    live.until("the last part was kept", || noted_parts(&clinician) == 9 && kept(8));
    for part in 1..9 {
        assert!(kept(part), "part {part} is missing before what is kept: {:?}", kept_parts(&clinician));
    }
    live.kill();
    signal(world.server().id(), Signal::CONT);
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!(resumed["bytes"], 9 * MAX_PART_PLAINTEXT, "all that was kept is there");
    let recording = only_recording(&patient);
    for reader in [&patient, &clinician] {
        assert!(open_cut_off(reader, &recording) == content[..9 * MAX_PART_PLAINTEXT]);
    }
    assert_eq!(kept_parts(&clinician), Vec::<PathBuf>::new());
}

fn program(variable: &str, name: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| name.into()))
}

/// An encoder that takes as long as what it encodes.
fn encoder(seconds: u32, video: bool) -> Command {
    let mut command = program("FFMPEG_BIN", "ffmpeg");
    command.args(["-v", "error", "-re"]);
    if video {
        command.args(["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15"]);
    }
    command.args(["-f", "lavfi", "-i", "sine=frequency=330", "-t", &seconds.to_string()]);
    command.args(["-c:a", "libopus", "-c:v", "libvpx", "-deadline", "realtime", "-f", "webm", "-"]);
    command
}

#[test]
fn an_encoder_is_sealed_in_real_time() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let mut encoder = encoder(3, true).stdout(Stdio::piped()).spawn().unwrap();
    let mut live = Live::start(&clinician, &patient, &clinician, &["--json"]);
    let mut encoded = Vec::new();
    let mut out = encoder.stdout.take().unwrap();
    let mut piece = [0; 8192];
    loop {
        match out.read(&mut piece).unwrap() {
            0 => break,
            read => {
                live.write(&piece[..read]);
                encoded.extend_from_slice(&piece[..read]);
            }
        }
    }
    assert!(encoder.wait().unwrap().success());
    let sealed = live.end().json();
    assert_eq!(sealed["sha256"], sha256(&encoded));
    let listed = patient.run(&["list", "--json"]).json();
    assert_eq!(listed["status"], "complete");
    assert_eq!(listed["tracks"][0]["media_type"], "video/webm");
    let path = world.folder().join("opened.webm");
    let recording = sealed["recording"].as_str().unwrap();
    assert_eq!(patient.run(&["open", recording, "-o", path.to_str().unwrap()]).exit, Some(0));
    let as_sealed = patient.run(&["open", recording, "--as-sealed"]);
    assert!(as_sealed.stdout == encoded, "the sealed bytes differ");
    let mut probe = program("FFPROBE_BIN", "ffprobe");
    probe.args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]).arg(&path);
    let streams = String::from_utf8(probe.output().unwrap().stdout).unwrap();
    assert!(streams.contains("vp8") && streams.contains("opus"), "{streams}");
}

#[test]
fn an_audio_call_becomes_a_video_call_for_the_same_two_people() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let [audio, video] = [false, true].map(|video| encoder(1, video).output().unwrap().stdout);
    let app = App::of(&clinician);
    let sealed = runtime().block_on(async {
        let mut recorder = app.begin(&patient, &clinician, RecorderOptions::default()).await;
        for piece in audio.chunks(1000) {
            recorder.write(piece).await.unwrap();
        }
        recorder.pause();
        recorder.resume();
        recorder.switch_track(Some("video/webm")).await.unwrap();
        for piece in video.chunks(1000) {
            recorder.write(piece).await.unwrap();
        }
        recorder.finish(true, Duration::ZERO).await.unwrap()
    });
    assert_eq!(sealed.segments, 2, "the switch began a segment, and nothing else did");
    let recording = sealed.recording.to_string();
    for reader in [&patient, &clinician] {
        let listed = reader.run(&["list", "--json"]).json();
        assert_eq!(listed["status"], "complete");
        let tracks = listed["tracks"].as_array().unwrap();
        let types: Vec<&str> = tracks.iter().map(|track| track["media_type"].as_str().unwrap()).collect();
        assert_eq!(types, ["audio/webm", "video/webm"], "in the order of the call");
        let lengths: Vec<u64> = tracks.iter().map(|track| track["bytes"].as_u64().unwrap()).collect();
        assert_eq!(lengths, [audio.len() as u64, video.len() as u64]);
        let durations: u64 = tracks.iter().map(|track| track["duration_ms"].as_u64().unwrap()).sum();
        assert_eq!(listed["duration_ms"], durations);
        // Both media say themselves how long they play; how long it took to write them says nothing then.
        assert!((1_900..2_300).contains(&durations), "two seconds, of {tracks:?}");
        for (track, content) in [("0", &audio), ("1", &video)] {
            let opened = reader.run(&["open", &recording, "--track", track, "--as-sealed"]);
            assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
            assert!(&opened.stdout == content, "track {track}");
        }
        let folder = reader.home.with_extension("opened");
        std::fs::create_dir(&folder).unwrap();
        let into = ["open", &recording, "-o", folder.to_str().unwrap()];
        assert_eq!(reader.run(&into).exit, Some(0));
        let opened = std::fs::read(folder.join("track-1.webm")).unwrap();
        reader.run(&into).refused(19, "track-0.webm exists already");
        assert!(
            opened.ends_with(&video[video.len() / 2..]),
            "only what is in front of the clusters is another"
        );
        reader.open(&recording).refused(2, "several tracks");
    }
}

#[test]
fn the_end_of_a_recording_waits_for_the_server_on_this_machine() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(MAX_PART_PLAINTEXT + 7, 44);
    let app = App::of(&clinician);
    let runtime = runtime();
    let mut recorder = runtime.block_on(app.begin(&patient, &clinician, RecorderOptions::default()));
    let recording = recorder.recording().to_string();
    world.take_server().kill();
    let error = runtime.block_on(async {
        recorder.write(&content).await.unwrap();
        recorder.finish(true, Duration::ZERO).await.unwrap_err()
    });
    let ClientError::Kept(told) = error else {
        panic!("{error}");
    };
    assert_eq!(told.end, RecordingEnd::SealedHere);
    assert_eq!(told.on_server.bytes + told.kept.bytes, content.len() as u64);
    assert_eq!(told.lost, Extent::default());
    drop(runtime);
    world.start();
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!(resumed["status"], "complete", "its end was sealed, and nothing of it lost");
    for reader in [&patient, &clinician] {
        let opened = reader.open(&recording);
        assert_eq!(opened.exit, Some(0), "{}", opened.stderr);
        assert!(opened.stdout == content);
    }
}

#[test]
fn a_long_recording_is_many_segments_and_one_stream() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(9_000, 45);
    let app = App::of(&clinician);
    let sealed = runtime().block_on(async {
        let options = RecorderOptions { segment_length: Duration::ZERO, ..RecorderOptions::default() };
        let mut recorder = app.begin(&patient, &clinician, options).await;
        for piece in content.chunks(1_000) {
            recorder.write(piece).await.unwrap();
        }
        recorder.finish(true, Duration::ZERO).await.unwrap()
    });
    assert_eq!(sealed.segments, 9);
    let opened = patient.open(&sealed.recording.to_string());
    assert!(opened.stdout == content, "{}", opened.stderr);
    let headers: std::collections::BTreeSet<Vec<u8>> =
        (0..9).map(|segment| header(&world, &sealed.recording.to_string(), segment)).collect();
    assert_eq!(headers.len(), 9, "each segment has a key of its own");
}

fn header(world: &World, recording: &str, segment: u32) -> Vec<u8> {
    let path: &Path = &world.stored(recording).join(format!("seg/{segment}/header"));
    std::fs::read(path).unwrap()
}

#[test]
fn nothing_recorded_is_an_empty_recording() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let said = Live::start(&clinician, &patient, &clinician, &["--json"]).end();
    assert_eq!(said.exit, Some(20), "{}", said.stderr);
    assert!(said.stderr.contains("There was nothing to seal"), "{}", said.stderr);
    let sealed: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(sealed["bytes"], 0);
    let opened = patient.open(sealed["recording"].as_str().unwrap());
    assert_eq!((opened.exit, opened.stdout.as_slice()), (Some(0), &[][..]), "{}", opened.stderr);
}

/// A live recording whose words are read as they come.
struct Heard {
    live: Live,
    words: BufReader<ChildStderr>,
    said: String,
}

impl Heard {
    fn start(sealer: &Person, patient: &Person, clinician: &Person) -> Self {
        Self::of(Live::start(sealer, patient, clinician, &["--json"]))
    }

    fn of(mut live: Live) -> Self {
        let words = BufReader::new(live.child.stderr.take().unwrap());
        Self { live, words, said: String::new() }
    }

    /// Reads until a line holds these words.
    fn until_said(&mut self, words: &str) -> String {
        loop {
            let before = self.said.len();
            assert!(
                self.words.read_line(&mut self.said).unwrap() > 0,
                "{words:?} is not said in: {}",
                self.said
            );
            let line = &self.said[before..];
            if line.contains(words) {
                return line.trim().to_owned();
            }
        }
    }

    fn interrupt(&self) {
        signal(self.live.child.id(), Signal::INT);
    }

    /// Waits for its end, with the source still open.
    fn end(mut self) -> Said {
        self.words.read_to_string(&mut self.said).unwrap();
        let mut stdout = Vec::new();
        self.live.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        Said { exit: self.live.child.wait().unwrap().code(), stdout, stderr: self.said }
    }
}

#[test]
fn an_interrupt_ends_a_recording_to_its_last_byte() {
    let world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(2 * MAX_PART_PLAINTEXT + 9, 46);
    let mut heard = Heard::start(&clinician, &patient, &clinician);
    heard.live.write(&content);
    heard.live.until("two parts were there", || world.parts() == 2);
    heard.interrupt();
    let said = heard.end();
    // A machine that is busy with other tests may take longer than it is waited for; nothing is lost by that.
    if said.exit == Some(130) {
        assert!(said.stderr.contains("Nothing is lost"), "{}", said.stderr);
        assert_eq!(clinician.run(&["resume", "--json"]).json()["status"], "complete");
    } else {
        assert_eq!(said.json()["sha256"], sha256(&content));
    }
    let opened = patient.open(&only_recording(&patient));
    assert!(opened.stdout == content, "{}", opened.stderr);
}

#[test]
fn a_second_interrupt_waits_for_nothing() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(2 * MAX_PART_PLAINTEXT + 9, 47);
    let mut heard = Heard::start(&clinician, &patient, &clinician);
    heard.live.write(&content);
    heard.live.until("two parts were there", || world.parts() == 2);
    world.take_server().kill();
    heard.interrupt();
    heard.until_said("Ctrl-C again waits for nothing");
    heard.interrupt();
    let said = heard.end();
    assert!(matches!(said.exit, Some(130 | 18)), "{}", said.stderr);
    assert!(said.stderr.contains("`vault-cli resume`"), "{}", said.stderr);
    world.start();
    let resumed = clinician.run(&["resume", "--json"]).json();
    let there = usize::try_from(resumed["bytes"].as_u64().unwrap()).unwrap();
    assert!(there >= 2 * MAX_PART_PLAINTEXT, "{resumed}");
    assert!(
        clinician.run(&["open", &only_recording(&patient), "--allow-cut-off"]).stdout == content[..there]
    );
}

/// A pipe by a file's name is a live recording like any other.
#[test]
fn a_pipe_by_name_is_recorded_while_the_server_is_away() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(3 * MAX_PART_PLAINTEXT + 9, 50);
    let pipe = world.folder().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut command = vault_cli(&clinician.home);
    command.arg("seal").arg(&pipe).args(["--patient", &patient.account, "--clinician", &clinician.account]);
    let child = command.spawn().unwrap();
    let mut heard = Heard::of(Live { child, pipe: None });
    let mut writer = File::options().write(true).open(&pipe).unwrap();
    heard.until_said("Recording ");
    writer.write_all(&content[..MAX_PART_PLAINTEXT + 1]).unwrap();
    heard.live.until("a part was there", || world.parts() == 1);
    world.take_server().kill();
    writer.write_all(&content[MAX_PART_PLAINTEXT + 1..]).unwrap();
    heard.until_said("going on into the encrypted spool of this machine");
    drop(writer);
    heard.interrupt();
    let said = heard.end();
    assert_eq!(said.exit, Some(18), "{}", said.stderr);
    assert!(said.stderr.contains("Nothing is lost"), "{}", said.stderr);
    world.start();
    assert_eq!(clinician.run(&["resume", "--json"]).json()["status"], "complete");
    assert!(patient.open(&only_recording(&patient)).stdout == content);
}

/// Everything that could take a part is gone: the recording waits, and whoever ends it is told what that costs, to the
/// byte.
#[test]
fn an_interrupt_is_heard_while_a_recording_waits_for_room() {
    let mut world = World::new();
    let (patient, clinician) = people(&world);
    let content = bytes(12 * MAX_PART_PLAINTEXT, 48);
    let mut heard = Heard::start(&clinician, &patient, &clinician);
    let begun = heard.until_said("Recording ");
    let recording = begun.strip_prefix("Recording ").unwrap().to_owned();
    // No folder can be made where a file is.
    let spool = clinician.home.join(format!("uploads/{recording}.spool"));
    std::fs::write(&spool, b"").unwrap();
    heard.live.write(&content[..MAX_PART_PLAINTEXT + 1]);
    heard.live.until("a part was there", || world.parts() == 1);
    world.take_server().kill();
    let mut pipe = heard.live.pipe.take().unwrap();
    let rest = content[MAX_PART_PLAINTEXT + 1..].to_vec();
    let writing = std::thread::spawn(move || {
        // It waits as long as the recording does, and ends with it.
        let _ = pipe.write_all(&rest);
    });
    heard.until_said("the encrypted spool of this machine cannot be written");
    heard.interrupt();
    let said = heard.end();
    writing.join().unwrap();
    assert_eq!(said.exit, Some(19), "{}", said.stderr);
    let told: serde_json::Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(told["recording"], recording.as_str());
    assert_eq!(told["end"], "unsealed", "no end is sealed over parts that are nowhere");
    // The answer may have died with the server; then nobody here was told that the part is there.
    let acknowledged = told["acknowledged_bytes"].as_u64().unwrap();
    assert!([0, MAX_PART_PLAINTEXT as u64].contains(&acknowledged), "{told}");
    assert_eq!(told["kept_bytes"], 0);
    assert!(told["lost_bytes"].as_u64().unwrap() > 0, "{told}");

    std::fs::remove_file(spool).unwrap();
    world.start();
    let resumed = clinician.run(&["resume", "--json"]).json();
    assert_eq!(resumed["status"], "cut_off");
    assert_eq!(resumed["bytes"], MAX_PART_PLAINTEXT);
    assert!(open_cut_off(&patient, &recording) == content[..MAX_PART_PLAINTEXT]);
    // Both count the recorded time in one way, to the millisecond, wherever the line between kept and lost lies.
    let sum = |of: &serde_json::Value, names: &[&str]| {
        names.iter().map(|name| of[name].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(
        sum(&told, &["acknowledged_ms", "kept_ms", "lost_ms"]),
        sum(&resumed, &["kept_ms", "lost_ms"]),
        "{told} {resumed}"
    );
}

/// A store that is full answers. Nobody is told that the server is away, and who ends the recording waits for it no
/// longer than for one that is.
#[test]
fn a_full_store_is_no_server_that_is_away() {
    let mut world = World::offline();
    world.start_with(&["--min-free", "0", "--max-bytes", "600K"]);
    let (patient, clinician) = people(&world);
    let content = bytes(3 * MAX_PART_PLAINTEXT + 9, 52);
    let mut heard = Heard::start(&clinician, &patient, &clinician);
    heard.live.write(&content);
    heard.until_said("The server's store is full: going on into the encrypted spool of this machine");
    heard.live.until("three parts were kept", || kept_parts(&clinician).len() == 3);
    drop(heard.live.pipe.take());
    let said = heard.end();
    assert_eq!(said.exit, Some(22), "{}", said.stderr);
    for untrue in ["cannot be reached", "takes what is sent"] {
        assert!(!said.stderr.contains(untrue), "{}", said.stderr);
    }
    let told: serde_json::Value = serde_json::from_str(said.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&told["acknowledged_bytes"], &told["lost_bytes"]), (&0.into(), &0.into()), "{told}");
    assert_eq!(told["kept_bytes"], content.len(), "{told}");
    assert!(told["what"].as_str().unwrap().contains("storage-full"), "{told}");
    assert!(told["next"].as_str().unwrap().contains("`vault-cli resume`"), "{told}");
    assert!(world.take_server().stop().success());
    world.start();
    assert_eq!(clinician.run(&["resume", "--json"]).json()["status"], "complete");
    assert!(patient.open(&only_recording(&patient)).stdout == content);
}

/// Whatever the server says no with, the line that is written over says so, on a narrow terminal too.
#[test]
fn the_live_line_says_what_the_server_does() {
    let mut world = World::offline();
    world.start_with(&["--min-free", "0", "--max-bytes", "600K"]);
    let (patient, clinician) = people(&world);
    let pipe = world.folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe_text = pipe.to_str().unwrap();
    let seal = ["seal", pipe_text, "--patient", &patient.account, "--clinician", &clinician.account];
    for columns in [80, 40] {
        let mut terminal = PseudoTerminal::vault_cli(&clinician.home, columns, &seal);
        let mut writer = File::options().write(true).open(&pipe).unwrap();
        writer.write_all(&bytes(MAX_PART_PLAINTEXT + 1, 53)).unwrap();
        let line = terminal.wait_for(" s behind").rsplit('\r').next().unwrap().to_owned();
        assert!(line.contains("recorded, "), "{line:?}");
        let line = terminal.wait_for("store full, 00:00:").rsplit('\r').next().unwrap().to_owned();
        assert!(line.chars().count() <= usize::from(columns) + 20, "{line:?}");
        drop(writer);
        let (exit, screen) = terminal.end();
        assert_eq!(exit, Some(22), "{screen}");
    }
}

/// A standard input that is a file is watched like any other file.
#[test]
fn a_file_on_standard_input_that_changes_is_never_complete() {
    let proxy = Proxy::start();
    let world = World::behind(&proxy);
    let patient = world.person_with("patient", "patient", &[], &proxy.url());
    let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
    let content = bytes(24 * MAX_PART_PLAINTEXT, 49);
    let file = world.file("talk.bin", &content);
    let changing = file.clone();
    let shrink = move || File::options().write(true).open(changing).unwrap().set_len(1000).unwrap();
    proxy.strike_after(2 * MAX_PART_PLAINTEXT as u64, Strike::Call(Box::new(shrink)));
    let mut command = vault_cli(&clinician.home);
    command.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account]);
    let said = end(command.stdin(File::open(&file).unwrap()));
    said.refused(20, "The file changed while it was read");
    let recording = only_recording(&patient);
    patient.open(&recording).refused(12, "cut off");
    let opened = open_cut_off(&patient, &recording);
    assert!(content.starts_with(&opened) && opened.len() < content.len());
}
