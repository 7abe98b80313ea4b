//! What is left in a client's own memory after it made an account, sealed and opened: no seed, no identity, no device
//! secret, no file key and no payload key.
//!
//! The child process drops what it held and waits; this process reads its writable memory through `/proc`. The secrets
//! to look for are derived here, from the files and with an implementation of age that is not ours. Suite x25519,
//! because that implementation knows no other; the keys below the wrapping are the same code in both.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};

use age::secrecy::ExposeSecret as _;
use hkdf::Hkdf;
use secrecy::SecretString;
use sha2::Sha256;
use vault_core::identity_file::DeviceSecrets;
use vault_core::seed::Seed;
use vault_proto::age_header::Header;
use vault_tests::command::{PASSPHRASE, binary};
use vault_tests::world::{World, bytes};

/// Runs the child until it says that it is done, and gives what it said.
fn start(arguments: &[&str]) -> (Child, String) {
    let mut child = Command::new(binary("seal-and-wait"))
        .args(arguments)
        .env_clear()
        .env("VAULT_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.ends_with('\n'), "the child ended early: {:?}", child.wait());
    (child, said.trim_end().to_owned())
}

/// All writable memory of a process.
fn memory(process: u32) -> Vec<(String, Vec<u8>)> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, permissions) = (fields.next().unwrap(), fields.next().unwrap());
        if !permissions.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            regions.push((line.to_owned(), bytes));
        }
    }
    regions
}

/// Where the secrets stand in the memory of a child.
fn found(child: &Child, secrets: &[(&str, Vec<u8>)]) -> Vec<String> {
    let regions = memory(child.id());
    let total: usize = regions.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(total > 1 << 20, "only {total} bytes of memory could be read");
    let mut hits = Vec::new();
    for (name, secret) in secrets {
        assert!(secret.len() >= 16, "{name} is too short to be looked for");
        for (region, bytes) in &regions {
            let count = bytes.windows(secret.len()).filter(|window| window == secret).count();
            if count > 0 {
                hits.push(format!("{name}: {count} times in {region}"));
            }
        }
    }
    hits
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_search_finds_what_is_there() {
    // The control: a secret that the child still holds is its own environment.
    let world = World::offline();
    let home = world.folder().join("home");
    let (child, _) = start(&["keygen", "x25519", home.to_str().unwrap()]);
    assert_ne!(found(&child, &[("passphrase", PASSPHRASE.as_bytes().to_vec())]), Vec::<String>::new());
    end(child);
}

#[test]
fn nothing_of_a_new_account_is_left() {
    let world = World::offline();
    for suite in ["x25519", "pq"] {
        let home = world.folder().join(suite);
        let (child, words) = start(&["keygen", suite, home.to_str().unwrap()]);
        let seed = Seed::from_words(&words).unwrap();
        let file = std::fs::read(home.join("identity.age")).unwrap();
        let secrets = DeviceSecrets::unlock(&SecretString::from(PASSPHRASE), &file).unwrap();
        let entropy = bip39::Mnemonic::parse(&words).unwrap().to_entropy();
        let looked_for = [
            ("words", words.as_bytes().to_vec()),
            ("seed", entropy),
            ("root, in hexadecimal", seed.account_root().export().as_bytes().to_vec()),
            ("root", raw(&seed.account_root().export())),
            ("device secret, in hexadecimal", secrets.device.export().as_bytes().to_vec()),
            ("device secret", raw(&secrets.device.export())),
            ("identity", secrets.identity.export().as_bytes().to_vec()),
        ];
        assert_eq!(found(&child, &looked_for), Vec::<String>::new(), "suite {suite}");
        end(child);
    }
}

fn raw(hexadecimal: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hexadecimal.as_bytes()).unwrap()
}

#[test]
fn nothing_of_a_recording_is_left() {
    let world = World::new();
    let url = world.server().url();
    let keys = ["--suite", "x25519"];
    let patient = world.person_with("patient", "patient", &keys, url);
    let clinician = world.person_with("clinician", "clinician", &keys, url);
    let file = world.file("talk.bin", &bytes(3 * 1024 * 1024 + 7, 41));
    let (home, file) = (clinician.home.to_str().unwrap(), file.to_str().unwrap());
    let (child, recording) = start(&["seal", home, file, &patient.account, &clinician.account]);

    let locked = std::fs::read(clinician.home.join("identity.age")).unwrap();
    let secrets = DeviceSecrets::unlock(&SecretString::from(PASSPHRASE), &locked).unwrap();
    let identity = secrets.identity.export();
    let segment = world.stored(&recording).join("seg/0");
    let header = std::fs::read(segment.join("header")).unwrap();
    let body = std::fs::read(segment.join("body")).unwrap();
    // What a reader gets out of the key object, of which the sealer keeps nothing.
    let key_object = std::fs::read(world.stored(&recording).join("key.0")).unwrap();
    let text = vault_core::age_file::open_small(&secrets.identity, &key_object, 1024).unwrap();
    let key = std::str::from_utf8(&text).unwrap().trim_end();
    let file_key = file_key(key, &header);
    let mut payload_key = vec![0; 32];
    Hkdf::<Sha256>::new(body.get(..16), &file_key).expand(b"payload", &mut payload_key).unwrap();
    let details = std::fs::read(world.stored(&recording).join("details")).unwrap();
    let looked_for = [
        ("file key", file_key),
        ("payload key", payload_key),
        ("file key of the details", self::file_key(key, &details)),
        ("file key of the key object", self::file_key(&identity, &key_object)),
        ("the recording's key", key.as_bytes().to_vec()),
        ("identity", identity.as_bytes().to_vec()),
        ("device secret, in hexadecimal", secrets.device.export().as_bytes().to_vec()),
        ("device secret", raw(&secrets.device.export())),
    ];
    assert_eq!(found(&child, &looked_for), Vec::<String>::new());
    end(child);
}

/// The file key of a header, unwrapped by the `age` crate.
fn file_key(identity: &str, header: &[u8]) -> Vec<u8> {
    let identity: age::x25519::Identity = identity.parse().unwrap();
    let (header, _) = Header::parse(header).unwrap();
    let key = header.stanzas().iter().find_map(|stanza| {
        let stanza = age_core::format::Stanza {
            tag: stanza.tag().to_owned(),
            args: stanza.args().to_vec(),
            body: stanza.body().to_vec(),
        };
        age::Identity::unwrap_stanza(&identity, &stanza).and_then(Result::ok)
    });
    key.unwrap().expose_secret().to_vec()
}
