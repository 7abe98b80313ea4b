//! A server behind a real nginx: with the configuration of docs/OPERATING.md, and with nginx's own defaults.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::path::Path;
use std::process::Stdio;

use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_proto::wire::{MAX_DETAILS, MAX_JSON_BODY};
use vault_tests::command::{end, vault_cli};
use vault_tests::nginx::{self, Front};
use vault_tests::tls_certificates;
use vault_tests::world::{Person, World, bytes};

/// Bytes of a whole part as it is sent.
const LARGEST_PART: usize = 983_296;
const OPERATING: &str = include_str!("../../../docs/OPERATING.md");

/// The one configuration for nginx of the document, with names and places of a test.
fn documented(front: &Front, world: &World, folder: &Path) -> String {
    let mut blocks = OPERATING.split("```nginx\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut text = blocks.next().unwrap().to_owned();
    assert_eq!(blocks.next(), None);
    let limit: usize =
        text.split("client_max_body_size ").nth(1).unwrap().split("m;").next().unwrap().parse().unwrap();
    assert!(limit << 20 > MAX_DETAILS.max(MAX_JSON_BODY).max(LARGEST_PART), "{limit} MiB");
    let certificate = folder.join("server.pem").display().to_string();
    let key = folder.join("server.key").display().to_string();
    for (documented, here) in [
        ("listen 443 ssl", format!("listen {} ssl", front.authority())),
        ("/etc/ssl/vault.example.pem", certificate),
        ("/etc/ssl/private/vault.example.key", key),
        ("http://127.0.0.1:8440", world.server().url().to_owned()),
    ] {
        assert_eq!(text.matches(documented).count(), 1, "{documented} in {text}");
        text = text.replace(documented, &here);
    }
    text
}

/// Somebody whose commands believe the authority `ca.pem` of the world, and no other.
fn run(world: &World, home: &Path, arguments: &[&str]) -> vault_tests::command::Said {
    end(vault_cli(home).arg("--cacert").arg(world.folder().join("ca.pem")).args(arguments))
}

fn enrolled(world: &World, role: &str, server: &str) -> Person {
    let person = world.unenrolled(role, role, &[]);
    let certificate = person.certificate.display().to_string();
    let arguments =
        ["enrol", "--server", server, "--organisation", &world.organisation, "--certificate", &certificate];
    run(world, &person.home, &arguments).text();
    person
}

#[test]
fn the_documented_configuration_carries_everything() {
    if !nginx::is_there() || !tls_certificates::can_be_made() {
        return;
    }
    let front = Front::reserve();
    let (url, world) = (format!("https://{}", front.authority()), World::known_as(front.authority()));
    tls_certificates::make_authority(world.folder(), "ca");
    tls_certificates::make_server_certificate(world.folder(), "ca");
    let configuration = documented(&front, &world, world.folder());
    let _nginx = front.start(world.folder(), &configuration);
    let (patient, clinician) = (enrolled(&world, "patient", &url), enrolled(&world, "clinician", &url));
    let content = bytes(5 * MAX_PART_PLAINTEXT + 12_345, 1);
    let file = world.file("talk.bin", &content).display().to_string();
    let sealed = run(
        &world,
        &clinician.home,
        &["seal", &file, "--patient", &patient.account, "--clinician", &clinician.account],
    );
    let recording = sealed.text();
    let listed = run(&world, &patient.home, &["list"]).text();
    assert!(listed.contains(&recording), "{listed}");
    for reader in [&patient, &clinician] {
        assert!(run(&world, &reader.home, &["open", &recording]).stdout == content, "the bytes differ");
    }
    assert_eq!(
        range_played(&world, &patient, &recording, 3_000_000, 3_100_000),
        content[3_000_000..=3_100_000]
    );
    let export = world.folder().join("export").display().to_string();
    run(&world, &patient.home, &["export", &export]).text();
}

/// Bytes of a recording as a player gets them.
fn range_played(world: &World, person: &Person, recording: &str, first: usize, last: usize) -> Vec<u8> {
    use std::io::{BufRead as _, BufReader};
    let mut command = vault_cli(&person.home);
    command.arg("--cacert").arg(world.folder().join("ca.pem")).args(["--json", "play", recording, "--url"]);
    let mut playing = command.stderr(Stdio::inherit()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(playing.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = addresses["tracks"][0]["url"].as_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).header("range", format!("bytes={first}-{last}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 206);
        answer.bytes().await.unwrap().to_vec()
    });
    playing.kill().unwrap();
    playing.wait().unwrap();
    body
}

/// With nothing but `proxy_pass`: what nginx does to a request by itself costs nothing, but for its limit, which is
/// said in words that help.
#[test]
fn nginx_as_it_comes_works_or_says_what_to_set() {
    if !nginx::is_there() {
        return;
    }
    let (front, wide) = (Front::reserve(), Front::reserve());
    let world = World::known_as(front.authority());
    let plain = |front: &Front, more: &str| {
        format!(
            "server {{ listen {}; location / {{ proxy_pass {}; }} {more} }}",
            front.authority(),
            world.server().url()
        )
    };
    let url = format!("http://{}", front.authority());
    let configuration = plain(&front, "");
    let again = front.again();
    let nginx = front.start(world.folder(), &configuration);
    let patient = world.person_with("patient", "patient", &[], &url);
    let clinician = world.person_with("clinician", "clinician", &[], &url);
    let whole = bytes(2 * MAX_PART_PLAINTEXT + 900_000, 1);
    let recording = clinician.seal(&world.file("whole", &whole), &patient, &clinician, &[]).text();
    assert!(patient.open(&recording).stdout == whole, "the bytes differ");
    // One that takes less than it usually does: one part is too large, and a small one goes through beside it.
    drop(nginx);
    let configuration = plain(&again, "client_max_body_size 900k;");
    let nginx = again.start(world.folder(), &configuration);
    let content = bytes(MAX_PART_PLAINTEXT + 5, 2);
    let file = world.file("talk", &content);
    let said = clinician.seal(&file, &patient, &clinician, &[]);
    said.refused(18, "takes no request of 983296 bytes (status 413; in nginx that is client_max_body_size)");
    assert!(said.stderr.contains("let requests of 5 MiB through the proxy"), "{}", said.stderr);

    // The server is known by another name, and nginx has put its own into `Host`: the log names what there is to know.
    let stranger = world.unenrolled("stranger", "patient", &[]);
    let configuration = plain(&wide, "client_max_body_size 5m;");
    let wide_url = format!("http://{}", wide.authority());
    let (other, name) = (wide.start(world.folder(), &configuration), world.server().authority().to_owned());
    let said = world.enrol(&stranger, &wide_url);
    said.refused(22, "This server is reached as ");
    let log = world.server().log();
    assert!(
        log.contains("fits none of the server's names") && log.contains(&format!("host=\"{name}\"")),
        "{log}"
    );
    drop((nginx, other));

    // What was advised helps, and the same command goes on.
    let mut world = world;
    let (front, data) = (Front::reserve(), world.data());
    assert!(world.take_server().stop().success());
    let server = vault_tests::server_process::ServerProcess::start_as(
        &data,
        &world.log(),
        "127.0.0.1:0",
        &front.authority(),
    );
    let url = format!("http://{}", front.authority());
    let configuration = format!(
        "server {{ listen {}; client_max_body_size 5m; location / {{ proxy_pass {}; }} }}",
        front.authority(),
        server.url()
    );
    let nginx = front.start(world.folder(), &configuration);
    let sealed = clinician.seal(&file, &patient, &clinician, &["--server", &url]).text();
    let opened = patient.run(&["--server", &url, "open", &sealed]);
    assert!(opened.stdout == content, "{}", opened.stderr);
    // A server that is away behind a proxy that is there.
    server.kill();
    patient.run(&["--server", &url, "list"]).refused(18, "a proxy in front of it says 502 Bad Gateway");
    drop(nginx);
}
