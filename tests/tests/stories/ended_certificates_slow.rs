//! A certificate ends, by its time or because the registrar says so: a patient keeps what is hers, nobody else keeps
//! anything, and what was begun is finished.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use vault_tests::command::{Said, end, run, vault_cli};
use vault_tests::world::{Person, World, bytes, sha256};

const DAY: i64 = 24 * 3600;

struct Scene {
    world: World,
    patient: Person,
    clinician: Person,
    content: Vec<u8>,
    file: PathBuf,
    recording: String,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (patient, clinician) =
            (world.person("patient", "patient"), world.person("clinician", "clinician"));
        let content = bytes(2_000_000, 7);
        let file = world.file("talk.bin", &content);
        let recording = clinician.seal(&file, &patient, &clinician, &[]).text();
        Self { world, patient, clinician, content, file, recording }
    }

    /// The registrar's newest word for somebody.
    fn certify(&self, person: &Person, role: &str, more: &[&str]) -> PathBuf {
        let file = self.world.folder().join(format!("{role}.newest"));
        self.world.certify(&person.account, role, more, &file).text();
        file
    }

    /// Somebody brings it to the server.
    fn upload(&self, by: &Person, certificate: &Path) -> Said {
        end(vault_cli(&by.home).args(["registrar", "upload"]).arg(certificate))
    }

    /// Ends an account as of so many days ago, by the hand of somebody else.
    fn end_account(&self, person: &Person, role: &str, days: i64, by: &Person) {
        let ended = vault_client::clock::now().unwrap().saturating_add(-days * DAY).to_string();
        let certificate = self.certify(person, role, &["--not-after", &ended]);
        let said = self.upload(by, &certificate);
        assert_eq!(said.exit, Some(0), "{}", said.stderr);
        assert!(said.stderr.contains(&format!("account {}, certified as {role}, ended on", person.account)));
    }
}

#[test]
fn my_certificate_ended_and_i_still_have_my_consultations() {
    let scene = Scene::new();
    let Scene { world, patient, clinician, content, file, recording } = &scene;
    scene.end_account(patient, "patient", 400, clinician);
    let before = world.recordings();

    assert_eq!(patient.run(&["list", "--json"]).json()["recording"], recording.as_str());
    assert_eq!(patient.open(recording).stdout, *content);
    assert_eq!(patient.run(&["play", recording, "-o", "-"]).stdout, *content);
    patient.run(&["verify", recording]).text();
    for more in [&[][..], &["--sealed"]] {
        let folder = world.folder().join(format!("export{}", more.len()));
        let folder = folder.to_str().unwrap();
        patient.run(&[&["export", folder], more].concat()).text();
        let checked = patient.run(&["verify", folder]);
        assert_eq!(checked.exit, Some(0), "{}", checked.stderr);
        // Also for somebody who has nothing but the folder.
        let checked = run(&world.folder().join("nobody"), ["verify", folder]);
        assert_eq!(checked.exit, Some(0), "{}", checked.stderr);
    }

    // Nothing new is sealed by her or to her, and nothing is sent.
    let refused = patient.seal(file, patient, clinician, &[]);
    refused.refused(16, "its certificate expired on");
    assert!(refused.stderr.contains(&patient.account), "{}", refused.stderr);
    let refused = clinician.seal(file, patient, clinician, &[]);
    refused.refused(16, "its certificate expired on");
    assert!(refused.stderr.contains(&patient.account), "{}", refused.stderr);
    let compared = patient.run(&["compare", &clinician.account, "--qr"]);
    compared.refused(16, "its certificate expired on");
    assert_eq!(world.recordings(), before, "something was uploaded");

    // Her home has learned of it: one line says so, and everything goes on.
    let listed = patient.run(&["list"]);
    assert_eq!(listed.exit, Some(0), "{}", listed.stderr);
    let notes: Vec<&str> = listed.stderr.lines().filter(|line| line.starts_with("Note: ")).collect();
    assert_eq!(notes.len(), 1, "{}", listed.stderr);
    assert!(listed.stderr.contains("still yours to list, open, play and export"), "{}", listed.stderr);
    assert_eq!(patient.open(recording).stdout, *content);

    // A newer certificate, and all is as it was.
    scene.world.certify(&patient.account, "patient", &[], &patient.certificate).text();
    world.enrol(patient, world.server().url()).text();
    patient.seal(file, patient, clinician, &[]).text();
    clinician.seal(file, patient, clinician, &[]).text();
    assert!(!patient.run(&["list"]).stderr.contains("Note: "));
}

#[test]
fn the_registrar_ends_the_account_of_a_clinician() {
    let scene = Scene::new();
    let Scene { world, patient, clinician, content, file, recording } = &scene;
    scene.end_account(clinician, "clinician", 400, patient);
    let before = world.recordings();
    for refused in [
        clinician.run(&["list"]),
        clinician.open(recording),
        clinician.run(&["play", recording, "-o", "-"]),
        clinician.run(&["verify", recording]),
        clinician.run(&["export", world.folder().join("export").to_str().unwrap()]),
        clinician.run(&["compare", &patient.account, "--qr"]),
        clinician.seal(file, patient, clinician, &[]),
    ] {
        refused.refused(16, "its certificate expired on");
    }
    // Nor does anybody seal to her, and nothing of it is recorded.
    let mut live = vault_cli(&patient.home);
    live.args(["seal", "-", "--patient", &patient.account, "--clinician", &clinician.account]);
    end(&mut live).refused(16, &clinician.account);
    assert_eq!(world.recordings(), before, "something was uploaded");
    assert_eq!(patient.open(recording).stdout, *content, "the patient has what is hers");

    // What was there before does not bring her back, whoever brings it.
    scene.upload(patient, &clinician.certificate).refused(22, "not newer than the current one");
    scene.upload(clinician, &clinician.certificate).refused(16, "its certificate expired on");
    world.enrol(clinician, world.server().url()).refused(22, "not newer than the current one");

    // Only another word of the registrar's does; she does nothing herself.
    let renewed = scene.certify(clinician, "clinician", &[]);
    let said = scene.upload(patient, &renewed);
    assert!(said.stderr.contains("is certified as clinician until"), "{}", said.stderr);
    assert_eq!(clinician.open(recording).stdout, *content);
    clinician.seal(file, patient, clinician, &[]).text();
    assert!(!clinician.run(&["list"]).stderr.contains("Note: "), "sealing has taught the home its new end");
}

#[test]
fn what_the_registrar_did_not_say_is_not_taken() {
    let scene = Scene::new();
    let Scene { world, patient, clinician, recording, .. } = &scene;
    let elsewhere = World::offline();
    let foreign = world.folder().join("foreign.certificate");
    elsewhere.certify(&clinician.account, "clinician", &["--not-after", "2020-01-01"], &foreign).text();
    scene.upload(patient, &foreign).refused(16, "another organisation");
    let promoted = scene.certify(clinician, "auditor", &[]);
    scene.upload(patient, &promoted).refused(22, "for another role");
    let nobody = world.unenrolled("nobody", "patient", &[]);
    scene.upload(patient, &nobody.certificate).refused(17, &nobody.account);
    let none = world.file("none", b"{}");
    scene.upload(patient, &none).refused(2, "is no certificate file");
    end(vault_cli(&world.folder().join("registrar")).args(["registrar", "upload"]).arg(&promoted))
        .refused(2, "never meets the server");
    let json =
        end(vault_cli(&patient.home).args(["registrar", "upload", "--json"]).arg(&clinician.certificate));
    let json = json.json();
    assert_eq!((&json["ended"], &json["account"]), (&false.into(), &clinician.account.as_str().into()));
    assert_eq!(clinician.open(recording).stdout, scene.content);
}

#[test]
fn what_was_begun_is_finished_after_the_end() {
    let scene = Scene::new();
    let Scene { world, patient, clinician, .. } = &scene;
    let content = bytes(96 * 1024 * 1024 + 777, 8);
    let file = world.file("long.bin", &content);
    let mut child = vault_cli(&clinician.home)
        .arg("seal")
        .arg(&file)
        .args(["--patient", &patient.account, "--clinician", &clinician.account])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while world.parts() < 8 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    scene.end_account(clinician, "clinician", 29, patient);
    scene.end_account(patient, "patient", 29, patient);
    let resumed = clinician.run(&["resume"]);
    assert_eq!(resumed.exit, Some(0), "{}", resumed.stderr);
    let listed = patient.run(&["list", "--json"]).json_lines();
    assert_eq!(listed.len(), 2);
    for entry in &listed {
        assert_eq!(entry["status"], "complete");
    }
    let newest = listed.iter().find(|entry| entry["recording"] != scene.recording.as_str()).unwrap();
    let opened = patient.open(newest["recording"].as_str().unwrap());
    assert_eq!(sha256(&opened.stdout), sha256(&content));
    clinician.run(&["list"]).refused(16, "its certificate expired on");
}
