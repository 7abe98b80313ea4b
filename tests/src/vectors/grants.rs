//! Grants: chains of them that count, that are void, and that are none, with the key objects that come with them.

use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Statement as _;
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::{AccountId, Digest, KeyId, PublicKey};
use vault_proto::labels;
use vault_proto::sealed_header::context_stanza;
use vault_proto::statements::{
    Allowance, Certificate, EncryptionKey, Grant, Guardian, KeyList, Member, Reader, ReaderRole,
    RemovedDevice, Role,
};

use super::Outcome::{self, Damaged, MixUp, NewerFormat, NotAReader};
use super::Scenario;
use super::cast::{Cast, MemberText, Person, key_of, time};
use super::draft::{Draft, Recording, recording_key};
use super::primitives::{FileKey, Payload, digest, envelope, fixed_bytes, header, signed, wrap};
use super::untrusted::SUITE;

/// The scenarios.
#[must_use]
pub fn scenarios(cast: &Cast) -> Vec<Scenario> {
    [added(cast), let_in(cast), keys(cast), chains(cast), forbidden(cast), unproven(cast), dated(cast)]
        .into_iter()
        .flatten()
        .collect()
}

/// A recording with its grants in the making.
struct Chain<'a> {
    cast: &'a Cast,
    name: String,
    recording: Recording,
    grants: Vec<Vec<u8>>,
}

/// A grant before it is signed, and the statements that come with it.
struct Unsigned {
    grant: Grant,
    key: Vec<u8>,
    members: Vec<MemberText>,
}

fn reader(person: &Person, role: ReaderRole) -> Reader {
    Reader { account: person.account, key: key_of(&person.identity(SUITE)), role, until: None }
}

impl<'a> Chain<'a> {
    fn new(cast: &'a Cast, name: &str, policy: &[Allowance]) -> Self {
        let mut draft = Draft::new(cast, SUITE, name, &[(0, 250)]);
        let allowed = policy.to_vec();
        draft.on_manifest = Box::new(move |manifest| manifest.policy.clone_from(&allowed));
        let allows = policy.to_vec();
        draft.on_members = Box::new(move |members| {
            let list = KeyList { allows: allows.clone(), ..cast.key_list(&cast.patient, SUITE) };
            members[0].key_list = cast.sign_key_list(&cast.patient, &list);
        });
        Self { cast, name: name.to_owned(), recording: draft.record(), grants: Vec::new() }
    }

    fn patient(&self) -> Reader {
        reader(&self.cast.patient, ReaderRole::Patient)
    }

    fn clinician(&self) -> Reader {
        reader(&self.cast.clinician, ReaderRole::Clinician)
    }

    /// The readers of the manifest, and these.
    fn and(&self, more: &[Reader]) -> Vec<Reader> {
        [&[self.patient(), self.clinician()], more].concat()
    }

    fn member(&self, person: &Person) -> MemberText {
        self.cast.member(person, SUITE)
    }

    fn key_object(&self, number: u64, readers: &[Reader], change: impl FnOnce(&mut Digest)) -> Vec<u8> {
        let manifest = &self.recording.manifest;
        let mut context = labels::key_context(&manifest.tenant, &manifest.recording, &manifest.key);
        change(&mut context);
        let file_key: FileKey =
            *fixed_bytes(&format!("{} file key {number}", self.name)).first_chunk().unwrap();
        let mut stanzas = vec![context_stanza(&context).unwrap()];
        for reader in readers {
            let people = self.cast.everybody();
            let identities =
                people.iter().flat_map(|person| [1, 2].map(|epoch| person.identity_of(SUITE, epoch)));
            let identity = identities.into_iter().find(|identity| key_of(identity) == reader.key).unwrap();
            let ephemeral = fixed_bytes(&format!("{} key {number} to {}", self.name, reader.key));
            stanzas.push(wrap(identity.recipient(), &file_key, ephemeral));
        }
        let text = format!("{}\n", *recording_key(SUITE, &self.name).export());
        let nonce = *fixed_bytes(&format!("{} nonce {number}", self.name)).first_chunk().unwrap();
        let payload = Payload::new(&file_key, nonce).all(text.as_bytes(), BodyEnd::Final).bytes();
        [header(stanzas, &file_key), payload].concat()
    }

    /// What `by` is to sign, with the statements of `with` beside its own.
    fn draft(&self, by: &Person, readers: Vec<Reader>, with: Vec<MemberText>) -> Unsigned {
        let mut readers = readers;
        readers.sort_by_key(|reader| (reader.role, reader.account));
        let number = self.grants.len() as u64 + 1;
        let key = self.key_object(number, &readers, |_| {});
        let mut members = with;
        if members.iter().all(|member| member.account != by.account) {
            members.push(self.member(by));
        }
        members.sort_by_key(|member| member.account);
        let grant = Grant {
            manifest: digest(&self.recording.objects.manifest),
            number,
            previous: self.grants.last().map(|grant| digest(grant)),
            readers,
            key_object: Digest::of(&key),
            grantor: by.account,
            grantor_key: by.device_id(),
            sequence: number + 1,
            members: members.iter().map(MemberText::named).collect(),
            created: time(&format!("2026-11-22T10:{number:02}:00Z")),
        };
        Unsigned { grant, key, members }
    }

    /// Puts it behind the others, signed by `device` whatever it says.
    fn put(&mut self, unsigned: Unsigned, device: &SigningKey) {
        let Unsigned { grant, key, members } = unsigned;
        let number = grant.number;
        for statement in members.iter().flat_map(MemberText::statements) {
            let bytes = statement.clone().into_bytes();
            self.recording.objects.statements.insert(digest(&bytes), bytes);
        }
        let signed = signed(&grant, grant.grantor_key, device);
        self.recording.objects.grants.insert(number, signed.clone());
        self.recording.objects.later_keys.insert(number, key);
        self.grants.push(signed);
    }

    fn grant(&mut self, by: &Person, readers: Vec<Reader>, with: Vec<MemberText>) {
        let unsigned = self.draft(by, readers, with);
        self.put(unsigned, &by.device);
    }

    fn opened(&self, text: &str) -> Scenario {
        Scenario::opened(&self.name, text, self.cast, &self.recording)
    }

    fn refused(&self, text: &str, outcome: Outcome) -> Scenario {
        Scenario::refused(&self.name, text, self.cast, &self.recording, outcome)
    }

    /// One grant of a chain of one, which is void: the patient opens it all the same.
    fn void(&self, text: &str) -> Scenario {
        let mut scenario = self.opened(text).read_as([&self.cast.patient, &self.cast.clinician]);
        scenario.description.expected.void = vec![self.grants.len() as u64];
        scenario
    }
}

fn other(cast: &Cast) -> Reader {
    reader(&cast.other, ReaderRole::Reader)
}

fn added(cast: &Cast) -> Vec<Scenario> {
    let one_more = [&cast.patient, &cast.clinician, &cast.other];
    let with_other = |name: &str| {
        let mut chain = Chain::new(cast, name, &[]);
        chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        chain
    };
    let mut all = vec![
        with_other("grant-adds-a-reader").opened("the patient has added a reader").read_as(one_more),
        with_other("grant-adds-a-reader-who-reads")
            .opened("the patient has added a reader, who reads")
            .read_by(&cast.other, SUITE)
            .read_as(one_more),
        with_other("grant-adds-a-reader-and-the-clinician-reads")
            .opened("the patient has added a reader, and the clinician reads")
            .read_by(&cast.clinician, SUITE)
            .read_as(one_more),
    ];
    let mut chain = with_other("grant-drops-a-reader");
    chain.grant(&cast.patient, chain.and(&[]), vec![]);
    all.push(chain.opened("a reader was added and dropped").read_as([&cast.patient, &cast.clinician]));
    let mut chain = with_other("grant-drops-a-reader-who-asks-again");
    chain.grant(&cast.patient, chain.and(&[]), vec![]);
    all.push(chain.refused("a reader who was dropped asks again", NotAReader).read_by(&cast.other, SUITE));
    let mut chain = with_other("grant-dates-a-reader");
    let until = Reader { until: Some(time("2046-01-01T00:00:00Z")), ..other(cast) };
    chain.grant(&cast.patient, chain.and(&[until]), vec![]);
    all.push(chain.opened("a reader was added and then given a time").read_as(one_more));
    let mut chain = with_other("grant-by-a-reader-of-itself");
    chain.grant(&cast.other, chain.and(&[]), vec![]);
    all.push(chain.opened("a reader drops itself").read_as([&cast.patient, &cast.clinician]));
    let mut chain = Chain::new(cast, "grant-drops-whose-time-is-over", &[]);
    let until = Reader { until: Some(time("2026-11-22T10:02:00Z")), ..other(cast) };
    chain.grant(&cast.patient, chain.and(&[until]), vec![chain.member(&cast.other)]);
    chain.grant(&cast.clinician, chain.and(&[]), vec![]);
    let text = "the clinician drops a reader whose time is over";
    all.push(chain.opened(text).read_as([&cast.patient, &cast.clinician]));
    all
}

/// What a certificate says beside a role.
fn certified(cast: &Cast, person: &Person, change: impl FnOnce(&mut Certificate)) -> MemberText {
    let mut certificate = cast.certificate(person);
    change(&mut certificate);
    MemberText { certificate: cast.sign_certificate(&certificate), ..cast.member(person, SUITE) }
}

fn let_in(cast: &Cast) -> Vec<Scenario> {
    let mut all = Vec::new();
    let colleague = |certificate: &mut Certificate| certificate.role = Role::Clinician;
    let name = "grant-by-a-clinician-who-may-share";
    let mut chain = Chain::new(cast, name, &[Allowance::ClinicianShares]);
    chain.grant(&cast.clinician, chain.and(&[other(cast)]), vec![certified(cast, &cast.other, colleague)]);
    let people = [&cast.patient, &cast.clinician, &cast.other];
    all.push(chain.opened("the clinician shares with another one, as the patient allowed").read_as(people));
    let mut chain = Chain::new(cast, "grant-by-a-clinician-who-takes-it-back", &[Allowance::ClinicianShares]);
    chain.grant(&cast.clinician, chain.and(&[other(cast)]), vec![certified(cast, &cast.other, colleague)]);
    chain.grant(&cast.clinician, chain.and(&[]), vec![]);
    let text = "the clinician shares with another one and drops that one again";
    all.push(chain.opened(text).read_as([&cast.patient, &cast.clinician]));

    let successor = |certificate: &mut Certificate| certificate.succeeds = Some(cast.patient.account);
    let new = reader(&cast.other, ReaderRole::Patient);
    for (name, by, policy) in [
        ("grant-adds-who-succeeds-the-patient", &cast.patient, &[][..]),
        ("grant-readmits-the-patient", &cast.clinician, &[Allowance::ClinicianReadmits][..]),
    ] {
        let mut chain = Chain::new(cast, name, policy);
        chain.grant(by, chain.and(&[new]), vec![certified(cast, &cast.other, successor)]);
        let text = "another patient, whose certificate succeeds the first one's";
        all.push(chain.opened(text).read_as([&cast.other, &cast.patient, &cast.clinician]));
    }
    let mut chain = Chain::new(cast, "grant-drops-who-was-succeeded", &[]);
    chain.grant(&cast.patient, chain.and(&[new]), vec![certified(cast, &cast.other, successor)]);
    chain.grant(&cast.other, vec![new, chain.clinician()], vec![]);
    let text = "the patient's successor drops the old account";
    let people = [&cast.other, &cast.clinician];
    all.push(chain.opened(text).read_by(&cast.other, SUITE).read_as(people));

    let until = time("2030-01-01T00:00:00Z");
    let guarded = |certificate: &mut Certificate| {
        certificate.guardians = vec![Guardian { account: cast.other.account, until }];
    };
    let guardian = Reader { until: Some(until), ..reader(&cast.other, ReaderRole::Guardian) };
    let mut chain = Chain::new(cast, "grant-adds-a-guardian", &[]);
    let with = vec![certified(cast, &cast.patient, guarded), chain.member(&cast.other)];
    chain.grant(&cast.patient, chain.and(&[guardian]), with);
    let people = [&cast.patient, &cast.clinician, &cast.other];
    all.push(
        chain.opened("a guardian of the patient's certificate").read_by(&cast.other, SUITE).read_as(people),
    );

    let mut chain = Chain::new(cast, "grant-drops-a-clinician-whose-certificate-ended", &[]);
    let ended = |certificate: &mut Certificate| certificate.not_after = time("2026-11-22T10:01:00Z");
    chain.grant(&cast.patient, vec![chain.patient()], vec![certified(cast, &cast.clinician, ended)]);
    all.push(chain.opened("the clinician's certificate has ended").read_as([&cast.patient]));
    all
}

/// The key list that follows on a person's first, with the identity of epoch 2.
fn second_list(cast: &Cast, person: &Person) -> MemberText {
    let first = cast.key_list(person, SUITE);
    let recipient = person.identity_of(SUITE, 2).recipient().to_string();
    let list = KeyList {
        number: 2,
        previous: Some(digest(cast.sign_key_list(person, &first).as_bytes())),
        created: time("2026-11-22T00:00:00Z"),
        epoch: 2,
        encryption: vec![EncryptionKey { suite: SUITE, recipient }],
        ..first
    };
    MemberText { key_list: cast.sign_key_list(person, &list), ..cast.member(person, SUITE) }
}

fn keys(cast: &Cast) -> Vec<Scenario> {
    let people = [&cast.patient, &cast.clinician];
    let with_other = |name: &str| {
        let mut chain = Chain::new(cast, name, &[]);
        chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        chain
    };
    let renewed =
        |person: &Person, role| Reader { key: key_of(&person.identity_of(SUITE, 2)), ..reader(person, role) };
    let mut all = Vec::new();

    let mut chain = Chain::new(cast, "grant-follows-a-new-key", &[]);
    let readers = vec![renewed(&cast.patient, ReaderRole::Patient), chain.clinician()];
    chain.grant(&cast.clinician, readers, vec![second_list(cast, &cast.patient)]);
    let mut scenario =
        chain.opened("the clinician gives the patient's new key the recording").read_as(people);
    scenario.description.identity = cast.patient.identity_of(SUITE, 2).export().to_string();
    all.push(scenario);
    let mut chain = Chain::new(cast, "grant-and-the-key-before-it", &[]);
    let readers = vec![renewed(&cast.patient, ReaderRole::Patient), chain.clinician()];
    chain.grant(&cast.clinician, readers, vec![second_list(cast, &cast.patient)]);
    all.push(chain.refused("the patient reads with the key before her new one", NotAReader));

    let three = [&cast.patient, &cast.clinician, &cast.other];
    let mut chain = with_other("grant-key-object-missing");
    chain.recording.objects.later_keys.clear();
    all.push(chain.opened("no key object of the grant: the one before opens").read_as(three));
    let mut chain = with_other("grant-key-object-altered");
    *chain.recording.objects.later_keys.get_mut(&1).unwrap().last_mut().unwrap() ^= 1;
    all.push(chain.opened("the grant's key object is altered: the one before opens").read_as(three));
    let mut chain = with_other("grant-key-object-altered-for-the-new-reader");
    *chain.recording.objects.later_keys.get_mut(&1).unwrap().last_mut().unwrap() ^= 1;
    let text = "the grant's key object is altered, and its new reader has no other";
    all.push(chain.refused(text, Damaged).read_by(&cast.other, SUITE));

    for (name, text, outcome) in [
        ("grant-key-object-of-another-recording", "a key object in another context", None),
        (
            "grant-key-object-of-another-recording-for-the-new-reader",
            "a key object in another context",
            Some(MixUp),
        ),
    ] {
        let mut chain = Chain::new(cast, name, &[]);
        let mut unsigned =
            chain.draft(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        unsigned.key =
            chain.key_object(1, &unsigned.grant.readers, |context| *context = Digest::of(b"elsewhere"));
        unsigned.grant.key_object = Digest::of(&unsigned.key);
        chain.put(unsigned, &cast.patient.device);
        all.push(match outcome {
            None => chain.opened(text).read_as(three),
            Some(outcome) => chain.refused(text, outcome).read_by(&cast.other, SUITE),
        });
    }
    for (name, text, kept) in [
        ("grant-key-object-to-fewer", "a stanza of the grant's key object is missing", 2),
        ("grant-key-object-to-one-twice", "a stanza too many in the grant's key object", 4),
    ] {
        let mut chain = Chain::new(cast, name, &[]);
        let mut unsigned =
            chain.draft(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        let mut readers = unsigned.grant.readers.clone();
        readers.push(readers[2]);
        readers.truncate(kept);
        unsigned.key = chain.key_object(1, &readers, |_| {});
        unsigned.grant.key_object = Digest::of(&unsigned.key);
        chain.put(unsigned, &cast.patient.device);
        let refused = Scenario::refused(name, text, cast, &chain.recording, Outcome::NotEntitled);
        all.push(refused.read_by(&cast.other, SUITE));
    }
    all
}

fn chains(cast: &Cast) -> Vec<Scenario> {
    let two = |name: &str| {
        let mut chain = Chain::new(cast, name, &[]);
        chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        chain.grant(&cast.patient, chain.and(&[]), vec![]);
        chain
    };
    let mut all = Vec::new();
    let mut chain = two("grant-first-left-out");
    chain.recording.objects.grants.remove(&1);
    all.push(chain.refused("the first of two grants is left out", Damaged));
    let mut chain = two("grant-twice");
    let first = chain.recording.objects.grants[&1].clone();
    chain.recording.objects.grants.insert(2, first);
    all.push(chain.refused("the first grant in place of the second, too", Damaged));
    let mut chain = two("grant-order");
    let (first, second) =
        (chain.recording.objects.grants[&1].clone(), chain.recording.objects.grants[&2].clone());
    chain.recording.objects.grants.insert(1, second);
    chain.recording.objects.grants.insert(2, first);
    all.push(chain.refused("two grants in the place of each other", Damaged));
    let chain = two("grant-last-left-out");
    let mut scenario = chain.opened("the second grant is left out, which nobody without memory notices");
    scenario.objects.grants.remove(&2);
    all.push(scenario.read_as([&cast.patient, &cast.clinician, &cast.other]));

    let mut chain = Chain::new(cast, "grant-of-another-recording", &[]);
    let mut unsigned = chain.draft(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
    unsigned.grant.manifest = Digest::of(b"another manifest");
    chain.put(unsigned, &cast.patient.device);
    all.push(chain.refused("a grant of another recording", MixUp));

    let mut chain = Chain::new(cast, "grant-with-another-before-it", &[]);
    chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
    let mut unsigned = chain.draft(&cast.patient, chain.and(&[]), vec![]);
    unsigned.grant.previous = Some(Digest::of(b"another grant"));
    chain.put(unsigned, &cast.patient.device);
    all.push(chain.refused("a second grant that follows on another first one", Damaged));

    let mut chain = Chain::new(cast, "grant-number-skipped", &[]);
    chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
    let mut unsigned = chain.draft(&cast.patient, chain.and(&[]), vec![]);
    unsigned.grant.number = 3;
    let signed = signed(&unsigned.grant, unsigned.grant.grantor_key, &cast.patient.device);
    chain.recording.objects.grants.insert(2, signed);
    all.push(chain.refused("number 3 behind number 1, and following on it", Damaged));

    let mut chain = Chain::new(cast, "grant-statement-missing", &[]);
    chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
    let named = chain.member(&cast.other).named();
    chain.recording.objects.statements.remove(&named.key_list);
    all.push(chain.refused("a statement that a grant names is missing", Damaged));

    let spelt = |name: &str, from: &str, to: &str, payload_type: &str, text: &str, outcome: Outcome| {
        let mut chain = Chain::new(cast, name, &[]);
        let unsigned = chain.draft(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        let payload = serde_json::to_string(&unsigned.grant).unwrap();
        let changed = payload.replace(from, to);
        assert!(from == to || changed != payload);
        let key_id = unsigned.grant.grantor_key;
        let bytes = envelope(payload_type, changed.as_bytes(), key_id, &cast.patient.device);
        chain.put(unsigned, &cast.patient.device);
        chain.recording.objects.grants.insert(1, bytes);
        chain.refused(text, outcome)
    };
    let kind = Grant::PAYLOAD_TYPE;
    let later = kind.replace(".v1+", ".v2+");
    let role = r#""role":"reader""#;
    all.extend([
        spelt(
            "grant-newer-role",
            role,
            r#""role":"witness""#,
            kind,
            "a reader in an unknown role",
            NewerFormat,
        ),
        spelt("grant-newer-version", "", "", &later, "a grant of version 2", NewerFormat),
        spelt("grant-number-zero", r#""number":1,"#, r#""number":0,"#, kind, "a grant of number 0", Damaged),
        spelt("grant-sequence-zero", r#""sequence":2,"#, r#""sequence":0,"#, kind, "no sequence", Damaged),
        spelt(
            "grant-follows-on-nothing",
            r#""previous":null"#,
            &format!(r#""previous":"{}""#, Digest::of(b"x")),
            kind,
            "number 1 with one before it",
            Damaged,
        ),
        spelt(
            "grant-patient-with-a-time",
            r#""role":"patient","until":null"#,
            r#""role":"patient","until":"2046-01-01T00:00:00Z""#,
            kind,
            "a patient until a time",
            Damaged,
        ),
        spelt(
            "grant-clinician-with-a-time",
            r#""role":"clinician","until":null"#,
            r#""role":"clinician","until":"2046-01-01T00:00:00Z""#,
            kind,
            "a clinician until a time",
            Damaged,
        ),
        spelt(
            "grant-guardian-without-a-time",
            role,
            r#""role":"guardian""#,
            kind,
            "a guardian without a time",
            Damaged,
        ),
    ]);

    let shaped = |name: &str, text: &str, change: &dyn Fn(&mut Grant)| {
        let mut chain = Chain::new(cast, name, &[]);
        let mut unsigned =
            chain.draft(&cast.patient, chain.and(&[other(cast)]), vec![chain.member(&cast.other)]);
        change(&mut unsigned.grant);
        chain.put(unsigned, &cast.patient.device);
        chain.refused(text, Damaged)
    };
    let stranger = |number: u8| Reader {
        account: AccountId::from_bytes([number; 32]),
        key: KeyId::from_bytes([number; 32]),
        role: ReaderRole::Reader,
        until: None,
    };
    let many = move |count: u8| (0..count).map(stranger).collect::<Vec<_>>();
    // Their statements are there, so that there being too many of them is all that is wrong.
    let nobody = |number: u8| Member {
        account: AccountId::from_bytes([number; 32]),
        ..cast.member(&cast.other, SUITE).named()
    };
    all.extend([
        shaped("grant-to-nobody", "a grant without readers", &|grant| grant.readers.clear()),
        shaped("grant-to-17", "seventeen readers", &|grant| grant.readers = many(17)),
        shaped("grant-to-one-twice", "the patient as a reader, too", &|grant| {
            grant.readers.push(Reader { role: ReaderRole::Reader, ..grant.readers[0] });
        }),
        shaped("grant-with-18-members", "eighteen members", &|grant| {
            grant.members = (0..18).map(nobody).collect();
        }),
        shaped("grant-without-members", "no member", &|grant| grant.members.clear()),
        shaped("grant-readers-descend", "the clinician before the patient", &|grant| {
            grant.readers.swap(0, 1)
        }),
        shaped("grant-members-descend", "members in another order", &|grant| grant.members.reverse()),
    ]);
    all
}

fn forbidden(cast: &Cast) -> Vec<Scenario> {
    let one = |name: &str,
               text: &str,
               policy: &[Allowance],
               by: &Person,
               readers: Vec<Reader>,
               with: Vec<MemberText>| {
        let mut chain = Chain::new(cast, name, policy);
        chain.grant(by, readers, with);
        chain.void(text)
    };
    let (patient, clinician) =
        (reader(&cast.patient, ReaderRole::Patient), reader(&cast.clinician, ReaderRole::Clinician));
    let and = |more: Reader| vec![patient, clinician, more];
    let plain = || vec![cast.member(&cast.other, SUITE)];
    let as_a = |role| reader(&cast.other, role);
    let until = Some(time("2030-01-01T00:00:00Z"));
    let clinical = || vec![certified(cast, &cast.other, |certificate| certificate.role = Role::Clinician)];
    let succeeding =
        |account| vec![certified(cast, &cast.other, |certificate| certificate.succeeds = Some(account))];
    let guarded = |until: &str| {
        let until = time(until);
        let of = certified(cast, &cast.patient, |certificate| {
            certificate.guardians = vec![Guardian { account: cast.other.account, until }];
        });
        vec![of, cast.member(&cast.other, SUITE)]
    };
    let guardian = Reader { until, ..as_a(ReaderRole::Guardian) };
    let shares = [Allowance::ClinicianShares];
    let readmits = [Allowance::ClinicianReadmits];
    let mut all = vec![
        one(
            "void-by-a-stranger",
            "granted by who was no reader",
            &[],
            &cast.other,
            and(as_a(ReaderRole::Reader)),
            plain(),
        ),
        one(
            "void-by-a-clinician",
            "a clinician adds a reader without leave",
            &[],
            &cast.clinician,
            and(as_a(ReaderRole::Reader)),
            clinical(),
        ),
        one(
            "void-by-a-clinician-of-a-layman",
            "a clinician who may share adds somebody who is none",
            &shares,
            &cast.clinician,
            and(as_a(ReaderRole::Reader)),
            plain(),
        ),
        one(
            "void-by-a-clinician-of-a-clinician",
            "a clinician adds a clinician",
            &shares,
            &cast.clinician,
            and(as_a(ReaderRole::Clinician)),
            clinical(),
        ),
        one(
            "void-clinician-who-is-none",
            "a patient as a clinician",
            &[],
            &cast.patient,
            and(as_a(ReaderRole::Clinician)),
            plain(),
        ),
        one(
            "void-patient-who-succeeds-nobody",
            "another patient, whose certificate succeeds nobody",
            &[],
            &cast.patient,
            and(as_a(ReaderRole::Patient)),
            plain(),
        ),
        one(
            "void-patient-who-succeeds-another",
            "another patient, whose certificate succeeds the clinician",
            &[],
            &cast.patient,
            and(as_a(ReaderRole::Patient)),
            succeeding(cast.clinician.account),
        ),
        one(
            "void-readmitted-without-leave",
            "a clinician adds who succeeds the patient, without leave",
            &shares,
            &cast.clinician,
            and(as_a(ReaderRole::Patient)),
            succeeding(cast.patient.account),
        ),
        one(
            "void-readmitted-who-succeeds-nobody",
            "a clinician with leave adds a patient who succeeds nobody",
            &readmits,
            &cast.clinician,
            and(as_a(ReaderRole::Patient)),
            plain(),
        ),
        one(
            "void-guardian-of-nobody",
            "a guardian whom no certificate names",
            &[],
            &cast.patient,
            and(guardian),
            plain(),
        ),
        one(
            "void-guardian-for-longer",
            "a guardian for longer than the certificate says",
            &[],
            &cast.patient,
            and(guardian),
            guarded("2029-01-01T00:00:00Z"),
        ),
        one(
            "void-guardian-by-a-clinician",
            "a guardian whom the clinician adds",
            &shares,
            &cast.clinician,
            and(guardian),
            guarded("2030-01-01T00:00:00Z"),
        ),
        one(
            "void-without-a-clinician-in-force",
            "a patient drops a clinician in force",
            &[],
            &cast.patient,
            vec![patient],
            vec![cast.member(&cast.clinician, SUITE)],
        ),
        one("void-without-a-patient", "a patient drops herself", &[], &cast.patient, vec![clinician], vec![]),
        one(
            "void-patient-dropped-by-a-clinician",
            "a clinician drops the patient",
            &[],
            &cast.clinician,
            vec![clinician],
            vec![],
        ),
        one(
            "void-time-is-over",
            "a reader whose time is over already",
            &[],
            &cast.patient,
            and(Reader { until: Some(time("2026-11-22T10:01:00Z")), ..as_a(ReaderRole::Reader) }),
            plain(),
        ),
    ];
    let after = |name: &str, text: &str, by: &Person, readers: Vec<Reader>, with: Vec<MemberText>| {
        let mut chain = Chain::new(cast, name, &shares);
        chain.grant(&cast.patient, and(as_a(ReaderRole::Reader)), clinical());
        chain.grant(by, readers, with);
        let people = [&cast.patient, &cast.clinician, &cast.other];
        chain.void(text).read_as(people)
    };
    let dated = Reader { until, ..as_a(ReaderRole::Reader) };
    all.extend([
        after(
            "void-role-changed",
            "a reader becomes a clinician",
            &cast.patient,
            and(as_a(ReaderRole::Clinician)),
            vec![],
        ),
        after(
            "void-dropped-by-a-clinician",
            "a clinician who may share drops whom another added",
            &cast.clinician,
            vec![patient, clinician],
            vec![],
        ),
        after(
            "void-dated-by-a-clinician",
            "a clinician gives a reader a time",
            &cast.clinician,
            and(dated),
            vec![],
        ),
        after("void-dated-by-itself", "a reader gives itself a time", &cast.other, and(dated), vec![]),
        after(
            "void-clinician-dropped-by-a-reader",
            "a reader drops the clinician",
            &cast.other,
            vec![patient, as_a(ReaderRole::Reader)],
            vec![],
        ),
        after(
            "void-key-changed-by-a-reader",
            "a reader gives the patient another key",
            &cast.other,
            vec![
                Reader { key: key_of(&cast.patient.identity_of(SUITE, 2)), ..patient },
                clinician,
                as_a(ReaderRole::Reader),
            ],
            vec![second_list(cast, &cast.patient)],
        ),
    ]);
    all.extend(dropped(cast));
    all
}

/// Who is not the grantor's to drop, and a grantor whose own time is over.
fn dropped(cast: &Cast) -> Vec<Scenario> {
    let patient = reader(&cast.patient, ReaderRole::Patient);
    let clinician = reader(&cast.clinician, ReaderRole::Clinician);
    let successor = reader(&cast.other, ReaderRole::Patient);
    let two = [&cast.other, &cast.patient, &cast.clinician];
    let succeeded = |name: &str, text: &str, by: &Person, left: Reader| {
        let mut chain = Chain::new(cast, name, &[]);
        let of =
            certified(cast, &cast.other, |certificate| certificate.succeeds = Some(cast.patient.account));
        chain.grant(&cast.patient, vec![patient, successor, clinician], vec![of]);
        chain.grant(by, vec![left, clinician], vec![]);
        chain.void(text).read_as(two)
    };
    let text = "a clinician drops a patient who has a successor";
    let mut all = vec![
        succeeded("void-succeeded-dropped-by-a-clinician", text, &cast.clinician, successor),
        succeeded("void-successor-dropped", "a patient drops her successor", &cast.patient, patient),
    ];
    let until = time("2030-01-01T00:00:00Z");
    let guardian = Reader { until: Some(until), ..reader(&cast.other, ReaderRole::Guardian) };
    let mut chain = Chain::new(cast, "void-guardian-dropped-by-a-clinician", &[Allowance::ClinicianShares]);
    let of = certified(cast, &cast.patient, |certificate| {
        certificate.guardians = vec![Guardian { account: cast.other.account, until }];
    });
    chain.grant(&cast.patient, chain.and(&[guardian]), vec![of, cast.member(&cast.other, SUITE)]);
    chain.grant(&cast.clinician, chain.and(&[]), vec![]);
    let people = [&cast.patient, &cast.clinician, &cast.other];
    all.push(chain.void("a clinician drops a guardian").read_as(people));
    let mut chain = Chain::new(cast, "void-by-whose-time-is-over", &[]);
    let dated = Reader { until: Some(time("2026-11-22T10:02:00Z")), ..other(cast) };
    chain.grant(&cast.patient, chain.and(&[dated]), vec![cast.member(&cast.other, SUITE)]);
    chain.grant(&cast.other, chain.and(&[]), vec![]);
    all.push(chain.void("a reader whose time is over drops itself").read_as(people));
    all
}

fn unproven(cast: &Cast) -> Vec<Scenario> {
    let readers = |chain: &Chain<'_>| chain.and(&[other(cast)]);
    let with = |name: &str, text: &str, members: Vec<MemberText>| {
        let mut chain = Chain::new(cast, name, &[]);
        chain.grant(&cast.patient, readers(&chain), members);
        chain.void(text)
    };
    let strangers_root = Cast::of("another hospital");
    let ended = |certificate: &mut Certificate| certificate.not_after = time("2026-11-22T10:01:00Z");
    let mut all = vec![
        with("void-member-missing", "without the new reader's statements", vec![]),
        with(
            "void-member-too-many",
            "with the clinician's statements, which nothing needs",
            vec![cast.member(&cast.other, SUITE), cast.member(&cast.clinician, SUITE)],
        ),
        with(
            "void-member-ended",
            "a new reader whose certificate has ended",
            vec![certified(cast, &cast.other, ended)],
        ),
        with(
            "void-member-of-elsewhere",
            "a new reader whom another organisation certified",
            vec![strangers_root.member(&strangers_root.other, SUITE)],
        ),
        with(
            "void-grantor-ended",
            "a grantor whose certificate has ended",
            vec![cast.member(&cast.other, SUITE), certified(cast, &cast.patient, ended)],
        ),
    ];
    let changed = |name: &str, text: &str, device: &SigningKey, change: &dyn Fn(&mut Grant)| {
        let mut chain = Chain::new(cast, name, &[]);
        let mut unsigned = chain.draft(&cast.patient, readers(&chain), vec![cast.member(&cast.other, SUITE)]);
        change(&mut unsigned.grant);
        chain.put(unsigned, device);
        chain.void(text)
    };
    let own = &cast.patient.device;
    let clinicians = cast.clinician.device_id();
    let stranger = key_of(&cast.recorder.identity(SUITE));
    all.extend([
        changed("void-signature", "signed by another device", &cast.clinician.device, &|_| {}),
        changed(
            "void-device-of-another",
            "by a device of the clinician in the patient's name",
            &cast.clinician.device,
            &|grant| {
                grant.grantor_key = clinicians;
            },
        ),
        changed("void-key-of-another", "a key that the new reader's list has not", own, &|grant| {
            grant.readers[2].key = stranger;
        }),
        changed("void-dated-before-the-manifest", "dated before the manifest", own, &|grant| {
            grant.created = time("2026-11-21T09:29:59Z");
        }),
    ]);
    let mut chain = Chain::new(cast, "void-key-of-an-older-list", &[]);
    let renewed = Reader { key: key_of(&cast.patient.identity_of(SUITE, 2)), ..chain.patient() };
    chain.grant(&cast.patient, vec![renewed, chain.clinician()], vec![second_list(cast, &cast.patient)]);
    chain.grant(&cast.patient, chain.and(&[]), vec![]);
    let mut scenario = chain.void("the patient's first key again, by her first list");
    scenario.description.identity = cast.patient.identity_of(SUITE, 2).export().to_string();
    all.push(scenario);
    let mut chain = Chain::new(cast, "void-and-the-chain-goes-on", &[]);
    chain.grant(&cast.clinician, chain.and(&[other(cast)]), vec![cast.member(&cast.other, SUITE)]);
    chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![cast.member(&cast.other, SUITE)]);
    let people = [&cast.patient, &cast.clinician, &cast.other];
    let mut scenario = chain
        .opened("a void grant, and one that counts behind it")
        .read_by(&cast.other, SUITE)
        .read_as(people);
    scenario.description.expected.void = vec![1];
    all.push(scenario);
    all
}

fn dated(cast: &Cast) -> Vec<Scenario> {
    let first = cast.key_list(&cast.patient, SUITE);
    let removing = |sequence: u64| {
        let mut list = KeyList {
            number: 2,
            previous: Some(digest(cast.sign_key_list(&cast.patient, &first).as_bytes())),
            created: time("2026-11-23T00:00:00Z"),
            epoch: 2,
            encryption: vec![EncryptionKey {
                suite: SUITE,
                recipient: cast.patient.identity_of(SUITE, 2).recipient().to_string(),
            }],
            ..first.clone()
        };
        let gone = std::mem::replace(
            &mut list.devices[0].key,
            PublicKey::from_bytes(SigningKey::from_bytes(&fixed_bytes("her next device")).public()),
        );
        list.removed.push(RemovedDevice { key: gone, sequence, since: None });
        [&first, &list].map(|list| cast.sign_key_list(&cast.patient, list)).to_vec()
    };
    let chain = |name: &str| {
        let mut chain = Chain::new(cast, name, &[]);
        chain.grant(&cast.patient, chain.and(&[other(cast)]), vec![cast.member(&cast.other, SUITE)]);
        chain
    };
    let before = chain("grant-by-a-device-before-it-was-removed")
        .opened("granted by a device that a later key list removes behind that grant")
        .read_as([&cast.patient, &cast.clinician, &cast.other])
        .knowing(removing(2));
    let after = chain("void-by-a-device-after-it-was-removed")
        .void("granted by a device that a later key list removes before that grant")
        .knowing(removing(1));
    let mut twice = Chain::new(cast, "void-dated-before-the-last", &[]);
    twice.grant(&cast.patient, twice.and(&[other(cast)]), vec![cast.member(&cast.other, SUITE)]);
    let mut unsigned = twice.draft(&cast.patient, twice.and(&[]), vec![]);
    unsigned.grant.created = time("2026-11-22T10:00:59Z");
    twice.put(unsigned, &cast.patient.device);
    let text = "a second grant that is dated before the first";
    let twice = twice.void(text).read_as([&cast.patient, &cast.clinician, &cast.other]);
    vec![before, after, twice]
}
