//! Watching without storing: what a player gets from `vault-cli play`, and how much of a recording is fetched for it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use vault_client::sealing::RecorderOptions;
use vault_tests::app::{App, runtime};
use vault_tests::command::{end, vault_cli};
use vault_tests::faults::proxy::{Proxy, Strike};
use vault_tests::playing::{PlayProcess, browser, count_parts, fetched};
use vault_tests::world::{Person, World, bytes, sha256};

/// A recording by a real browser, with no duration and no cues.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/media/mediarecorder.webm");
/// Plaintext bytes of a part.
const PART: usize = vault_proto::geometry::MAX_PART_PLAINTEXT;

struct Clinic {
    world: World,
    patient: Person,
    clinician: Person,
    proxy: Arc<Proxy>,
}

impl Clinic {
    fn new() -> Self {
        let proxy = Arc::new(Proxy::start());
        let world = World::behind(&proxy);
        let patient = world.person_with("patient", "patient", &[], &proxy.url());
        let clinician = world.person_with("clinician", "clinician", &[], &proxy.url());
        Self { world, patient, clinician, proxy }
    }

    fn seal(&self, name: &str, content: &[u8], more: &[&str]) -> String {
        let file = self.world.file(name, content);
        self.clinician.seal(&file, &self.patient, &self.clinician, more).text()
    }

    fn play(&self, recording: &str, more: &[&str]) -> PlayProcess {
        PlayProcess::start(&self.patient.home, &self.proxy.url(), recording, more)
    }
}

/// What came of a request: status, the header `Content-Range`, and the body as far as it came.
fn get(url: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let range = response.headers().get("content-range").map(|range| range.to_str().unwrap().to_owned());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
        }
        (status, range.unwrap_or_default(), body)
    })
}

#[test]
fn a_range_fetches_the_parts_that_hold_it_and_no_others() {
    let clinic = Clinic::new();
    let content = bytes(6 * PART + 12_345, 31);
    let recording = clinic.seal("long", &content, &[]);
    let playing = clinic.play(&recording, &[]);
    let url = playing.track(0);
    assert_eq!(fetched(&clinic.proxy), [], "something was fetched before anybody watched");
    let at = |first: usize, last: usize| {
        let before = fetched(&clinic.proxy).len();
        let (status, range, body) = get(url, &[("range", &format!("bytes={first}-{last}"))]);
        assert_eq!((status, range), (206, format!("bytes {first}-{last}/{}", content.len())));
        assert!(body == content.get(first..=last).unwrap(), "the bytes differ at {first}");
        let parts: Vec<u32> = fetched(&clinic.proxy).iter().skip(before).map(|(_, part)| *part).collect();
        parts
    };
    // Part 0 holds what every other part of its segment is opened with.
    assert_eq!(at(4 * PART + 5, 4 * PART + 9), [0, 4]);
    assert!(at(4 * PART + 500_000, 5 * PART - 1).is_empty(), "the part was fetched again");
    assert!(at(0, 99).is_empty());
    assert_eq!(at(6 * PART, 6 * PART + 12_344), [6]);
    // Reading from one part into the next has those after it fetched meanwhile.
    let read_on = at(2 * PART - 1, 2 * PART);
    assert!([1, 2].iter().all(|part| read_on.contains(part)), "{read_on:?}");
    assert!(read_on.iter().all(|part| [1, 2, 3].contains(part)), "{read_on:?}");
    // A browser goes on asking, so it gets what one part holds.
    let (status, range, body) = get(url, &[("range", "bytes=2949130-"), ("sec-fetch-dest", "video")]);
    let end = 4 * PART - 1;
    assert_eq!((status, range), (206, format!("bytes 2949130-{end}/{}", content.len())));
    assert!(body == content.get(2_949_130..=end).unwrap());
    let (status, _, body) = get(url, &[]);
    assert_eq!((status, sha256(&body)), (200, sha256(&content)));
    assert_eq!(get(url, &[("range", "bytes=99999999-")]).0, 416);
}

#[test]
fn nobody_gets_in_who_does_not_know_the_address_or_comes_by_another_name() {
    let clinic = Clinic::new();
    let recording = clinic.seal("talk", b"what was said", &["--title", "<script>alert(1)</script>"]);
    let playing = clinic.play(&recording, &[]);
    let url = playing.track(0);
    assert_eq!(get(url, &[]).2, b"what was said");
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let name = url.rsplit('/').next().unwrap();
    let guessed = format!("{origin}/{}/{name}", "0".repeat(32));
    for address in [
        format!("{origin}/"),
        guessed,
        format!("{origin}/{name}"),
        format!("{url}/x"),
        format!("{}x", playing.page()),
    ] {
        let (status, _, body) = get(&address, &[]);
        assert_eq!((status, body), (404, Vec::new()), "{address}");
    }
    let rebound = [("host", "attacker.example")];
    assert_eq!(get(url, &rebound).0, 404);
    let page = String::from_utf8(get(playing.page(), &[]).2).unwrap();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
}

#[test]
fn a_server_that_cuts_or_is_away_costs_nothing_but_time() {
    let clinic = Clinic::new();
    let content = bytes(3 * PART, 32);
    let recording = clinic.seal("long", &content, &[]);
    let playing = clinic.play(&recording, &["--retry-for", "6"]);
    for bytes in [100_000, 900_000, 1_200_000, 2_500_000] {
        clinic.proxy.strike_after(bytes, Strike::Cut);
    }
    assert!(get(playing.track(0), &[]).2 == content, "the bytes differ");
    assert_eq!(clinic.proxy.end_strikes(), 4);
}

#[test]
fn what_is_damaged_is_never_played_and_said() {
    let mut clinic = Clinic::new();
    let content = bytes(3 * PART, 33);
    let recording = clinic.seal("long", &content, &[]);
    clinic.world.tamper(|world| {
        let body = world.stored(&recording).join("seg/0");
        let mut parts: Vec<_> =
            std::fs::read_dir(&body).unwrap().map(|entry| entry.unwrap().path()).collect();
        parts.retain(|path| path.metadata().unwrap().len() > PART as u64);
        let body = parts.pop().unwrap();
        let mut bytes = std::fs::read(&body).unwrap();
        *bytes.get_mut(PART + 500_000).unwrap() ^= 1;
        std::fs::write(&body, bytes).unwrap();
    });
    clinic.proxy.lead_to(Some(clinic.world.server().authority().parse().unwrap()));
    let playing = clinic.play(&recording, &[]);
    let (_, _, body) = get(playing.track(0), &[]);
    assert!(body == content.get(..PART).unwrap(), "{} bytes came", body.len());
    let said = clinic.patient.run(&["play", &recording, "-o", "-"]);
    assert_eq!(said.exit, Some(11), "{}", said.stderr);
    assert!(said.stdout == content.get(..PART).unwrap());
    assert!(said.stderr.contains("part 1"), "{}", said.stderr);
}

/// Chromium takes its time to start.
mod in_a_browser_slow {
    use super::*;

    #[test]
    fn a_browsers_recording_is_sought_in_as_a_browser_does() {
        let clinic = Clinic::new();
        let content = std::fs::read(RECORDED).unwrap();
        let recording = clinic.seal("call.webm", &content, &[]);
        let listed = clinic.patient.run(&["list", "--json"]).json();
        let duration = listed.get("duration_ms").and_then(serde_json::Value::as_u64).unwrap();
        assert!((7_500..9_500).contains(&duration), "{duration} ms");
        let playing = clinic.play(&recording, &[]);
        let counter = count_parts(Arc::clone(&clinic.proxy));
        if let Some(said) = browser(
            "seek.mjs",
            &[playing.page(), RECORDED, "12", "20260609", "--counter", &counter, "--json"],
        ) {
            assert_eq!(said.exit, Some(0), "{}{}", String::from_utf8_lossy(&said.stdout), said.stderr);
        }
        // As it was sealed it can be had, too, byte for byte.
        let sealed = clinic.patient.run(&["open", &recording, "--as-sealed"]);
        assert!(sealed.stdout == content, "the sealed bytes differ");
        let opened = clinic.patient.run(&["open", &recording]).stdout;
        let piped = clinic.patient.run(&["play", &recording, "-o", "-"]).stdout;
        assert!(opened == piped && opened != content);
        // The clusters were not touched: all that differs is in front of them.
        let tail = content.len() * 9 / 10;
        assert!(opened.ends_with(content.get(content.len() - tail..).unwrap()));
    }
}

#[test]
fn a_recording_opens_from_a_moment_on() {
    let clinic = Clinic::new();
    let recording = clinic.seal("call.webm", &std::fs::read(RECORDED).unwrap(), &[]);
    let whole = clinic.patient.run(&["open", &recording]).stdout;
    let file = clinic.world.folder().join("later.webm");
    let said = clinic.patient.run(&["open", &recording, "--from", "0:07", "-o", file.to_str().unwrap()]);
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    // A picture that can be played from stands every two seconds or so.
    assert!(said.stderr.contains("It begins at 00:00:0"), "{}", said.stderr);
    assert!(said.stderr.contains("the last place before 00:00:07"), "{}", said.stderr);
    let later = std::fs::read(&file).unwrap();
    assert!(later.len() < whole.len() / 2, "{} of {} bytes", later.len(), whole.len());
    if let Some(ffprobe) = std::env::var_os("FFPROBE_BIN") {
        let mut command = std::process::Command::new(ffprobe);
        command
            .args(["-v", "error", "-show_entries", "packet=pts_time,stream_index", "-of", "csv=p=0"])
            .arg(&file);
        let said = end(&mut command);
        assert_eq!((said.exit, said.stderr.as_str()), (Some(0), ""));
        let text = said.text();
        let first: f64 = text.lines().next().unwrap().split(',').nth(1).unwrap().parse().unwrap();
        assert!((5.0..=7.0).contains(&first), "it begins at {first} s");
    }
    clinic.patient.run(&["open", &recording, "--from", "1:00:00"]).refused(2, "long");
    let other = clinic.seal("other", b"no video", &[]);
    clinic.patient.run(&["open", &other, "--from", "0:01"]).refused(2, "no index to begin at a moment with");
}

/// A call of eight seconds of sound and pictures, then eight more on another track.
fn switched(clinic: &Clinic) -> String {
    let content = std::fs::read(RECORDED).unwrap();
    let app = App::of(&clinic.clinician);
    let sealed = runtime().block_on(async {
        let mut recorder = app.begin(&clinic.patient, &clinic.clinician, RecorderOptions::default()).await;
        recorder.write(&content).await.unwrap();
        recorder.switch_track(Some("video/webm")).await.unwrap();
        recorder.write(&content).await.unwrap();
        recorder.finish(true, Duration::ZERO).await.unwrap()
    });
    sealed.recording.to_string()
}

#[test]
fn two_tracks_are_two_addresses_and_a_moment_finds_its_own() {
    let clinic = Clinic::new();
    let recording = switched(&clinic);
    let both = clinic.play(&recording, &[]);
    let [first, second] = [0, 1].map(|track| get(both.track(track), &[]).2);
    assert!(first == second && first.len() > 100_000, "the same content on both tracks");
    for (more, expected) in [
        (&["--from", "0:03"][..], &[0, 1][..]),
        (&["--from", "0:11"], &[1]),
        (&["--track", "0"], &[0]),
        (&["--track", "1", "--from", "0:03"], &[1]),
    ] {
        let play = clinic.play(&recording, more);
        let tracks = play.addresses["tracks"].as_array().unwrap();
        let tracks: Vec<_> = tracks.iter().map(|track| track["track"].as_u64().unwrap()).collect();
        assert_eq!(tracks, expected, "{more:?}");
    }
    // Where to begin is no part of an address: a person is told how a player is told.
    let mut play = vault_cli(&clinic.patient.home);
    play.args(["--server", &clinic.proxy.url(), "play", &recording, "--url", "--from", "0:03"]);
    let mut child = play.spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let told = said.lines().map_while(Result::ok).find(|line| line.contains("mpv --start="));
    child.kill().unwrap();
    child.wait().unwrap();
    let told = told.expect("it is told before it ends");
    assert!(told.contains("begins at 00:00:03") && told.contains("`mpv --start=3 ADDRESS`"), "{told}");
    let mut play = vault_cli(&clinic.patient.home);
    play.args(["play", &recording, "--track", "3", "--url"]);
    end(&mut play).refused(2, "no track 3");
    let mut play = vault_cli(&clinic.patient.home);
    play.args(["play", &recording, "-o", "file"]);
    end(&mut play).refused(2, "stores nothing");
}

/// What a player was started with: its arguments, its list, and the script that it was given.
struct Started {
    home: String,
    arguments: Vec<String>,
    list: String,
    script: Option<String>,
}

/// A player that writes down what it is told.
const PLAYER: &str = r#"#!/bin/sh
set -e
export PATH=/usr/bin:/bin
cd "$(dirname "$0")"
printf '%s\n' "$@" >arguments
for argument; do
    case $argument in
    --script=*) cp "${argument#--script=}" script ;;
    *.m3u) cp "$argument" list ;;
    esac
done
"#;

/// Plays with a program called `player` that writes down what it is told, and ends.
fn started(clinic: &Clinic, player: &str, arguments: &[&str]) -> Started {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(player);
    std::fs::write(&program, PLAYER).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut play = vault_cli(&clinic.patient.home);
    play.env("PATH", folder.path()).env("DISPLAY", ":none").env("HOME", folder.path());
    let said = end(play.arg("play").args(arguments));
    assert_eq!(said.exit, Some(0), "{}", said.stderr);
    // Where a snap finds it, and nowhere any more.
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("vault-play-")).collect();
    assert!(left.is_empty(), "{left:?}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name));
    Started {
        home: folder.path().to_str().unwrap().to_owned(),
        arguments: read("arguments").unwrap().lines().map(str::to_owned).collect(),
        list: read("list").unwrap(),
        script: read("script").ok(),
    }
}

#[test]
fn a_player_is_told_where_to_begin_and_no_argument_tells_the_address() {
    let clinic = Clinic::new();
    let recording = switched(&clinic);
    for (player, from, addresses, is_scripted) in [
        ("mpv", "0:03", 2, true),
        ("mpv", "0:00", 2, false),
        ("mpv", "0:10", 1, false),
        ("vlc", "0:03", 2, false),
    ] {
        let told = started(&clinic, player, &[&recording, "--from", from]);
        let entries = told.list.lines().filter(|line| line.starts_with("http://127.0.0.1:")).count();
        assert_eq!(entries, addresses, "{player} from {from}: {}", told.list);
        assert!(!told.arguments.iter().any(|argument| argument.contains("http")), "{:?}", told.arguments);
        // mpv would begin every entry of its list there, vlc does not.
        assert_eq!(told.script.is_some(), is_scripted, "{player} from {from}");
        if let Some(script) = told.script {
            assert!(script.contains("file-loaded") && script.contains("options/start"), "{script}");
        }
        let list = told.arguments.last().unwrap();
        assert!(list.starts_with(&told.home) && list.contains("/vault-play-"), "{list}");
        let start = match (player, from) {
            ("mpv", "0:03") => told.arguments.contains(&"--start=3".to_owned()),
            ("vlc", _) => told.list.contains("start-time=3\n"),
            ("mpv", "0:10") => told.arguments.iter().any(|argument| argument.starts_with("--start=")),
            _ => true,
        };
        assert!(start, "{player} from {from}: {:?}, {}", told.arguments, told.list);
    }
}
