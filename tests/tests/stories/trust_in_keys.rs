//! Attack 1, and whatever else can be wrong with somebody's keys: sealing refuses, names whose key and why, and uploads
//! nothing. The server lies by what is put into its database while it is stopped.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::PathBuf;

use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Envelope;
use vault_proto::ids::PublicKey;
use vault_proto::statements::{Certificate, DeviceKey, IssuerCertificate, KeyList, RemovedDevice};
use vault_tests::command::{run_for_words, vault_cli, words_of};
use vault_tests::forging::{
    Directory, Pins, certificate, issuer, key_list, registrar, time, under_old_signature,
};
use vault_tests::world::{Person, World};

/// A patient and a clinician who wants to seal for her.
struct Scene {
    world: World,
    patient: Person,
    clinician: Person,
    file: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let patient = world.person("patient", "patient");
        let clinician = world.person("clinician", "clinician");
        let file = world.file("talk.bin", b"what was said");
        Self { world, patient, clinician, file }
    }

    /// Changes the server's directory.
    fn lie(&mut self, change: impl FnOnce(&Directory, &World, &Person, &Person)) {
        let (patient, clinician) = (&self.patient, &self.clinician);
        self.world.tamper(|world| change(&Directory::open(&world.data()), world, patient, clinician));
    }

    /// Sealing is refused, the patient is named, and nothing was uploaded.
    #[track_caller]
    fn refuses(&self, why: &str) {
        let before = self.world.recordings();
        let said = self.clinician.seal(&self.file, &self.patient, &self.clinician, &[]);
        said.refused(16, why);
        assert!(said.stderr.contains(&self.patient.account), "it does not say whose: {}", said.stderr);
        assert!(said.stderr.contains("nothing was uploaded"), "{}", said.stderr);
        assert_eq!(self.world.recordings(), before, "something was uploaded");
    }

    #[track_caller]
    fn seals(&self) {
        let before = self.world.recordings();
        self.clinician.seal(&self.file, &self.patient, &self.clinician, &[]).text();
        assert_eq!(self.world.recordings(), before + 1);
    }
}

/// Somebody whose 24 words the test knows.
fn with_seed(world: &World, name: &str, role: &str) -> (Person, Seed) {
    let home = world.folder().join(name);
    let said = run_for_words(&home, ["keygen"]);
    let seed = Seed::from_words(&words_of(&home)).unwrap();
    let file = world.folder().join(format!("{name}.certificate"));
    let person = Person { home, account: said.text(), certificate: file };
    world.certify(&person.account, role, &[], &person.certificate).text();
    world.enrol(&person, world.server().url()).text();
    (person, seed)
}

/// The list that follows on `before`.
fn next(before: &Envelope<KeyList>) -> KeyList {
    let list = before.unverified().clone();
    KeyList { number: list.number + 1, previous: Some(before.digest()), ..list }
}

#[test]
fn a_key_of_the_servers_own() {
    let mut scene = Scene::new();
    let mallory = scene.world.person("mallory", "patient");
    let honest = Directory::open(&scene.world.data()).key_list(&scene.patient, 1);
    // Another's list; her list with another's key under her signature; her list signed for something else.
    scene.lie(|directory, _, patient, _| {
        directory.set_key_list(patient, 1, directory.key_list(&mallory, 1).bytes());
    });
    scene.refuses("the key list is for another account");
    scene.lie(|directory, _, patient, _| {
        let mut list = honest.unverified().clone();
        list.encryption.clone_from(&directory.key_list(&mallory, 1).unverified().encryption);
        directory.set_key_list(patient, 1, &under_old_signature(&honest, &list));
    });
    scene.refuses("the key list does not carry a valid signature");
    scene.lie(|directory, _, patient, _| directory.set_key_list(patient, 1, honest.bytes()));
    scene.seals();
}

#[test]
fn a_certificate_of_somebody_else() {
    let mut scene = Scene::new();
    let other = scene.world.person("other", "patient");
    scene.lie(|directory, _, patient, _| {
        directory.set_statement(patient, "certificate", &directory.statement(&other, "certificate"));
    });
    scene.refuses("the certificate is for another account");
}

#[test]
fn a_certificate_of_another_organisation() {
    let mut scene = Scene::new();
    let elsewhere = World::offline();
    let foreign = registrar(&elsewhere);
    let own = registrar(&scene.world);
    let certificate_of = |directory: &Directory, person: &Person| -> Envelope<Certificate> {
        Envelope::parse(&directory.statement(person, "certificate")).unwrap()
    };
    let file = scene.world.folder().join("foreign.certificate");
    elsewhere.certify(&scene.patient.account, "patient", &[], &file).text();
    let chain: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let honest_issuer = Directory::open(&scene.world.data()).statement(&scene.patient, "issuer");
    scene.lie(|directory, _, patient, _| {
        directory.set_statement(patient, "issuer", chain["issuer"].as_str().unwrap().as_bytes());
        directory.set_statement(patient, "certificate", chain["certificate"].as_str().unwrap().as_bytes());
    });
    scene.refuses("it is certified by another organisation");
    // Under the right issuer's certificate the foreign signature does not count.
    scene.lie(|directory, _, patient, _| directory.set_statement(patient, "issuer", &honest_issuer));
    scene.refuses("the certificate does not carry a valid signature");
    // A foreign key that claims to be this organisation's issuer.
    scene.lie(|directory, _, patient, clinician| {
        let honest: Envelope<IssuerCertificate> = Envelope::parse(&honest_issuer).unwrap();
        let mut claimed = honest.unverified().clone();
        claimed.issuer = vault_proto::ids::PublicKey::from_bytes(foreign.issuer.public());
        directory.set_statement(patient, "issuer", &under_old_signature(&honest, &claimed));
        let mut statement = certificate_of(directory, clinician).unverified().clone();
        statement.account = patient.account.parse().unwrap();
        directory.set_statement(patient, "certificate", certificate(&foreign, &statement).bytes());
    });
    scene.refuses("the issuer certificate does not carry a valid signature");
    // The root may name another issuer: that is no attack.
    scene.lie(|directory, world, patient, _| {
        let renewed: Envelope<IssuerCertificate> = Envelope::parse(&honest_issuer).unwrap();
        let mut renewed = renewed.unverified().clone();
        renewed.issuer = vault_proto::ids::PublicKey::from_bytes(foreign.issuer.public());
        directory.set_statement(patient, "issuer", issuer(&own, &renewed).bytes());
        let bytes = std::fs::read(world.folder().join("patient.certificate")).unwrap();
        let chain: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let honest: Envelope<Certificate> =
            Envelope::parse(chain["certificate"].as_str().unwrap().as_bytes()).unwrap();
        directory.set_statement(patient, "certificate", certificate(&foreign, honest.unverified()).bytes());
    });
    scene.seals();
}

#[test]
fn what_has_expired_or_does_not_count_yet() {
    let mut scene = Scene::new();
    let own = registrar(&scene.world);
    let directory = Directory::open(&scene.world.data());
    let honest_issuer: Envelope<IssuerCertificate> =
        Envelope::parse(&directory.statement(&scene.patient, "issuer")).unwrap();
    let honest: Envelope<Certificate> =
        Envelope::parse(&directory.statement(&scene.patient, "certificate")).unwrap();
    drop(directory);
    let windows =
        [("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"), ("2090-01-01T00:00:00Z", "2091-01-01T00:00:00Z")];
    let words = [" expired on 2021-01-01 00:00:00 UTC", " counts only from 2090-01-01 00:00:00 UTC"];
    for ((not_before, not_after), words) in windows.into_iter().zip(words) {
        let (not_before, not_after) = (time(not_before), time(not_after));
        let stale = Certificate { not_before, not_after, ..honest.unverified().clone() };
        scene.lie(|directory, _, patient, _| {
            directory.set_statement(patient, "certificate", certificate(&own, &stale).bytes());
        });
        scene.refuses(&format!("its certificate{words}"));
        let stale = IssuerCertificate { not_before, not_after, ..honest_issuer.unverified().clone() };
        scene.lie(|directory, _, patient, _| {
            directory.set_statement(patient, "certificate", honest.bytes());
            directory.set_statement(patient, "issuer", issuer(&own, &stale).bytes());
        });
        scene.refuses(&format!("its issuer's certificate{words}"));
        scene.lie(|directory, _, patient, _| {
            directory.set_statement(patient, "issuer", honest_issuer.bytes());
        });
    }
    scene.seals();
    // One that once was in force, in the place of the one that was seen.
    scene.lie(|directory, _, patient, _| {
        let older = Certificate { issued: time("2024-01-01T00:00:00Z"), ..honest.unverified().clone() };
        directory.set_statement(patient, "certificate", certificate(&own, &older).bytes());
    });
    scene.refuses("a newer one");
}

#[test]
fn another_role_or_nothing_at_all() {
    let mut scene = Scene::new();
    let own = registrar(&scene.world);
    scene.lie(|directory, _, patient, _| {
        let honest: Envelope<Certificate> =
            Envelope::parse(&directory.statement(patient, "certificate")).unwrap();
        let promoted =
            Certificate { role: vault_proto::statements::Role::Auditor, ..honest.unverified().clone() };
        directory.set_statement(patient, "certificate", certificate(&own, &promoted).bytes());
    });
    scene.refuses("it is certified as auditor, and patient is needed");
    scene.lie(|directory, _, patient, _| directory.drop_account(patient));
    scene.refuses("there is no certificate and no key list for it");
}

#[test]
fn key_lists_rolled_back_forked_broken_and_of_the_future() {
    let mut scene = Scene::new();
    let (patient, seed) = with_seed(&scene.world, "seeded", "patient");
    scene.patient = patient;
    let first = Directory::open(&scene.world.data()).key_list(&scene.patient, 1);
    let second = key_list(&seed, &next(&first));
    let third = key_list(&seed, &next(&second));
    let put = |number: u32, bytes: Vec<u8>| {
        move |directory: &Directory, _: &World, patient: &Person, _: &Person| {
            directory.set_key_list(patient, number, &bytes);
        }
    };
    // A change under the same root is taken without a question.
    scene.seals();
    scene.lie(put(2, second.bytes().to_vec()));
    scene.seals();
    assert_eq!(Pins::of(&scene.clinician, &scene.patient)["number"], 2);

    scene.lie(|directory, _, patient, _| directory.drop_key_list(patient, 2));
    scene.refuses("its key list is number 1, and number 2 was seen before");
    let mut other = next(&first);
    other.created = time("2020-01-01T00:00:00Z");
    let forked = key_list(&seed, &other);
    scene.lie(put(2, forked.bytes().to_vec()));
    scene.refuses("its key list number 2 contradicts what was seen before");
    // A chain that goes on from the fork hides nothing.
    scene.lie(put(3, key_list(&seed, &next(&forked)).bytes().to_vec()));
    scene.refuses("its key list number 2 contradicts what was seen before");
    scene.lie(put(2, second.bytes().to_vec()));
    scene.refuses("its key list number 3 contradicts what was seen before");
    let to_come = KeyList { created: time("2090-01-01T00:00:00Z"), ..next(&second) };
    scene.lie(put(3, key_list(&seed, &to_come).bytes().to_vec()));
    scene.refuses("its key list counts only from 2090-01-01 00:00:00 UTC");
    assert_eq!(Pins::of(&scene.clinician, &scene.patient)["number"], 2, "what is refused is not remembered");
    scene.lie(put(3, third.bytes().to_vec()));
    scene.seals();
    assert_eq!(Pins::of(&scene.clinician, &scene.patient)["number"], 3);
}

/// A device that a key list removed, and a server that is rolled back to the time before.
#[test]
fn a_removed_device_sealed_nothing_that_its_removal_does_not_name() {
    for (sequence, is_taken) in [(1, true), (0, false)] {
        let mut scene = Scene::new();
        let (clinician, seed) = with_seed(&scene.world, "seeded", "clinician");
        scene.clinician = clinician;
        let recording = scene.clinician.seal(&scene.file, &scene.patient, &scene.clinician, &[]).text();
        let recording = recording.trim().to_owned();
        assert_eq!(scene.patient.open(&recording).stdout, b"what was said");

        let first = Directory::open(&scene.world.data()).key_list(&scene.clinician, 1);
        let mut list = next(&first);
        let gone = list.devices[0].clone();
        let another = SigningKey::from_bytes(&[7; 32]);
        list.devices = vec![DeviceKey { key: PublicKey::from_bytes(another.public()), ..gone.clone() }];
        list.removed = vec![RemovedDevice { key: gone.key, sequence, since: None }];
        let second = key_list(&seed, &list);
        scene.lie(|directory, _, _, clinician| directory.set_key_list(clinician, 2, second.bytes()));
        // Sealing to him has her see his newest list.
        scene.patient.seal(&scene.file, &scene.patient, &scene.clinician, &[]).text();
        scene.lie(|directory, _, _, clinician| directory.drop_key_list(clinician, 2));

        let said = scene.patient.open(&recording);
        if is_taken {
            assert_eq!(said.stdout, b"what was said");
        } else {
            said.refused(14, "its key list number 2 removed device");
            assert!(said.stdout.is_empty());
        }
    }
}

#[test]
fn a_comparison_outlives_the_keys_and_says_so() {
    let mut scene = Scene::new();
    let (patient, seed) = with_seed(&scene.world, "seeded", "patient");
    scene.patient = patient;
    let named = |scene: &Scene| scene.clinician.run(&["name", "--json"]).json();
    let shown = scene.patient.run(&["compare", &scene.clinician.account, "--qr", "--json"]).json();
    let number = shown["code"].as_str().unwrap();
    scene.clinician.run(&["name", &scene.patient.account, "anna"]).text();
    scene.clinician.run(&["compare", "anna", "--scanned", number]).text();
    assert_eq!(named(&scene)["keys_changed_since"], false);
    let at = named(&scene)["compared"].as_str().unwrap().to_owned();
    assert!(!scene.clinician.run(&["name"]).text().contains("changed"));

    let first = Directory::open(&scene.world.data()).key_list(&scene.patient, 1);
    let second = key_list(&seed, &next(&first));
    scene.lie(|directory, _, patient, _| directory.set_key_list(patient, 2, second.bytes()));
    scene.seals();
    let said = scene.clinician.run(&["name"]).text();
    assert!(said.contains("compared on ") && said.ends_with(", keys changed since"), "{said}");
    let json = named(&scene);
    assert_eq!((json["compared"].as_str(), &json["keys_changed_since"]), (Some(&*at), &true.into()));
    // Compared anew, with the new keys on both sides, it is plain again.
    std::fs::write(scene.patient.home.join("key-list.json"), second.bytes()).unwrap();
    let shown = scene.patient.run(&["compare", &scene.clinician.account, "--qr", "--json"]).json();
    let number = shown["code"].as_str().unwrap();
    scene.clinician.run(&["compare", "anna", "--scanned", number]).text();
    assert_eq!(named(&scene)["keys_changed_since"], false);
}

#[test]
fn a_pin_that_cannot_be_read_is_never_replaced() {
    let scene = Scene::new();
    scene.seals();
    let file = Pins::file(&scene.clinician, &scene.patient);
    let whole = std::fs::read(&file).unwrap();
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"{}", b"\0\0\0\0"] {
        std::fs::write(&file, damaged).unwrap();
        scene
            .clinician
            .seal(&scene.file, &scene.patient, &scene.clinician, &[])
            .refused(19, "never replaced silently");
        assert_eq!(std::fs::read(&file).unwrap(), damaged);
    }
    assert_eq!(scene.world.recordings(), 1);
    // Met under one organisation, and now used under another.
    let text = String::from_utf8(whole.clone()).unwrap();
    std::fs::write(&file, text.replace(&scene.world.organisation, &"a".repeat(64))).unwrap();
    scene.refuses("is another one");
    std::fs::write(&file, whole).unwrap();
    scene.seals();
}

#[test]
fn another_organisation_root_is_a_hard_stop() {
    let scene = Scene::new();
    let elsewhere = World::new();
    let file = scene.world.folder().join("foreign.certificate");
    elsewhere.certify(&scene.clinician.account, "clinician", &[], &file).text();
    let pinned = scene.clinician.home.join("server.json");
    let before = std::fs::read(&pinned).unwrap();
    let enrol = |organisation: &str| {
        let mut command = vault_cli(&scene.clinician.home);
        command.args(["enrol", "--server", elsewhere.server().url(), "--organisation", organisation]);
        vault_tests::command::end(command.arg("--certificate").arg(&file))
    };
    enrol(&elsewhere.organisation).refused(16, &elsewhere.organisation);
    // Nor with the fingerprint that is pinned.
    enrol(&scene.world.organisation).refused(16, "it is certified by another organisation");
    assert_eq!(std::fs::read(&pinned).unwrap(), before);
    // A pin that cannot be read is not a free choice.
    std::fs::write(&pinned, b"{").unwrap();
    enrol(&elsewhere.organisation).refused(19, "server.json");
    assert_eq!(std::fs::read(&pinned).unwrap(), b"{");
}

#[test]
fn petnames_stand_wherever_an_account_is_asked_for() {
    let scene = Scene::new();
    let Scene { world, patient, clinician, .. } = &scene;
    clinician.run(&["name", &patient.account, "anna"]).text();
    clinician.run(&["name", &patient.account, "Anna"]).text();
    clinician.run(&["name", &clinician.account, "anna"]).refused(2, "already names account");
    clinician.run(&["name", &patient.account, "bea"]).refused(2, "is called anna already");
    clinician.run(&["name", &patient.account, "deadbeef"]).refused(2, "must not look like an id");
    let file = scene.file.to_str().unwrap();
    clinician.run(&["seal", file, "--patient", "anna", "--clinician", &clinician.account]).text();
    assert_eq!(world.recordings(), 1);
    assert!(clinician.run(&["list"]).text().contains("(patient anna"));
    assert!(!patient.run(&["list"]).text().contains("anna"), "names stay where they were given");
    let named = clinician.run(&["name", "--json"]).json();
    assert_eq!(named["petname"], "anna");
    assert_eq!(named["account"], patient.account.as_str());
    assert!(named["compared"].is_null() && named["unequal"].is_null());
    clinician.run(&["compare", "anna", "--no"]).refused(16, "The digits differ");
    assert!(clinician.run(&["name"]).text().contains("NOT TRUSTED"));
    clinician.run(&["name", "--remove", "anna"]).text();
    clinician.run(&["name", "--remove", "anna"]).refused(2, "has the petname anna");
    clinician.run(&["seal", file, "--patient", "anna", "--clinician", &clinician.account]).refused(2, "anna");
    clinician.run(&["name", &patient.account[..10], "bea"]).text();
    assert_eq!(clinician.run(&["name"]).text().split_whitespace().next(), Some("bea"));
}
