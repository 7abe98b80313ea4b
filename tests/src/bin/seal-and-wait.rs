//! Makes an account, or seals and opens a recording, drops everything it held, says so, and waits: so that a test can
//! look through its memory for what should be gone.
//!
//! `seal-and-wait keygen SUITE HOME` or `seal-and-wait seal HOME FILE PATIENT CLINICIAN`; passphrase in
//! `VAULT_PASSPHRASE`. Ends when its standard input does.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers fail by panicking, as its test functions do"
)]

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use secrecy::SecretString;
use vault_client::home_folder::HomeFolder;
use vault_client::sealing::{self, SealRequest};
use vault_core::passphrase_file::WorkFactor;
use vault_engine::home::account::NewAccount;
use vault_engine::opening::plaintext_sink::Discard;
use vault_engine::opening::recording::RemoteRecording;
use vault_proto::statements::Suite;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["keygen", suite, home] => keygen(suite, home),
        ["seal", home, file, patient, clinician] => seal(home, file, patient, clinician),
        _ => panic!("usage: seal-and-wait keygen SUITE HOME | seal HOME FILE PATIENT CLINICIAN"),
    }
    std::io::stdin().read_to_end(&mut Vec::new()).expect("standard input is a pipe");
}

fn passphrase() -> SecretString {
    SecretString::from(std::env::var("VAULT_PASSPHRASE").expect("a passphrase"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// Writes past every buffer of this process.
fn say(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::write(std::io::stdout().as_fd(), rest).expect("standard output is a pipe");
        rest = rest.get(written..).unwrap_or_default();
    }
}

fn keygen(suite: &str, home: &str) {
    let suite = if suite == "pq" { Suite::Pq } else { Suite::X25519 };
    let home = HomeFolder::new(home).home();
    let made = NewAccount::generate(home.effects(), suite).expect("an account");
    let stored = runtime().block_on(made.store(&home, &passphrase(), WorkFactor::LEAST));
    stored.expect("the account is stored");
    say(&made.words);
    drop(made);
    say("\n");
}

fn seal(home: &str, file: &str, patient: &str, clinician: &str) {
    let runtime = runtime();
    let recording = runtime.block_on(async {
        let session = vault_client::unlock(&HomeFolder::new(home), &passphrase()).await;
        let session = session.expect("an account that is enrolled");
        let request = SealRequest {
            patient: patient.parse().expect("an account id"),
            clinician: clinician.parse().expect("an account id"),
            consultation: None,
            title: Some("A talk".to_owned()),
            media_type: None,
            pad: false,
        };
        let never = std::future::pending();
        let sealed = sealing::seal_file(&session, Path::new(file), &request, never, &mut |_| ()).await;
        let recording = sealed.expect("it is sealed").recording;
        let remote = RemoteRecording::fetch(&session, recording).await.expect("it is there");
        remote.write_to(&session, None, &mut Discard, &mut |_| ()).await.expect("it opens");
        recording
    });
    drop(runtime);
    say(&format!("{recording}\n"));
}
