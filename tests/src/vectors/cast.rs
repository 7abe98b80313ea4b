//! The people of the vectors: an organisation and its accounts, all with fixed keys.

use vault_core::identity::Identity;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_proto::envelope::Statement;
use vault_proto::ids::{AccountId, KeyId, OrganisationId, PublicKey};
use vault_proto::statements::{
    Certificate, DeviceKey, DeviceRole, EncryptionKey, IssuerCertificate, KeyList, Member, Role, Suite,
};
use vault_proto::timestamp::Timestamp;

use super::primitives::{digest, fixed_bytes, signed};

/// A time of the vectors.
#[must_use]
pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An account with all its secrets.
pub struct Person {
    /// Its seed.
    pub seed: Seed,
    /// Its id.
    pub account: AccountId,
    /// Its role.
    pub role: Role,
    /// Its device.
    pub device: SigningKey,
}

impl Person {
    fn new(name: &str, role: Role, words: &str) -> Self {
        let seed = Seed::from_words(words).unwrap();
        let account = AccountId::of_root(&PublicKey::from_bytes(seed.account_root().public()));
        Self { seed, account, role, device: SigningKey::from_bytes(&fixed_bytes(name)) }
    }

    /// Its identity of epoch 1.
    #[must_use]
    pub fn identity(&self, suite: Suite) -> Identity {
        self.identity_of(suite, 1)
    }

    /// Its identity of any epoch.
    #[must_use]
    pub fn identity_of(&self, suite: Suite, epoch: u32) -> Identity {
        self.seed.identity(suite, epoch).unwrap()
    }

    /// Key id of its device.
    #[must_use]
    pub fn device_id(&self) -> KeyId {
        KeyId::of_device(&PublicKey::from_bytes(self.device.public()))
    }
}

/// Key id of an identity.
#[must_use]
pub fn key_of(identity: &Identity) -> KeyId {
    KeyId::of_recipient(&identity.recipient().to_string())
}

/// One member of a manifest, with the statements that it names as envelopes.
#[derive(Clone)]
pub struct MemberText {
    /// The account.
    pub account: AccountId,
    /// The issuer's certificate.
    pub issuer: String,
    /// The account's certificate.
    pub certificate: String,
    /// The account's key list.
    pub key_list: String,
    /// What added the signing device to it.
    pub device: Option<String>,
}

impl MemberText {
    /// The statements.
    pub fn statements(&self) -> impl Iterator<Item = &String> {
        [&self.issuer, &self.certificate, &self.key_list].into_iter().chain(&self.device)
    }

    /// What names them.
    #[must_use]
    pub fn named(&self) -> Member {
        let digest = |envelope: &String| digest(envelope.as_bytes());
        Member {
            account: self.account,
            issuer: digest(&self.issuer),
            certificate: digest(&self.certificate),
            key_list: digest(&self.key_list),
            device: self.device.as_ref().map(digest),
        }
    }
}

/// An organisation and those it certifies.
pub struct Cast {
    /// The organisation's root.
    pub root: SigningKey,
    /// Its issuer.
    pub issuer: SigningKey,
    /// The patient of every recording but one.
    pub patient: Person,
    /// The clinician of every recording.
    pub clinician: Person,
    /// A recorder.
    pub recorder: Person,
    /// Another patient.
    pub other: Person,
}

const ZERO: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
    abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art";
const LEGAL: &str = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth \
    useful legal winner thank year wave sausage worth title";
const LETTER: &str = "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor \
    acoustic avoid letter advice cage absurd amount doctor acoustic bless";
const ZOO: &str =
    "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote";

impl Cast {
    /// The organisation called `name`: its keys differ, its people do not.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self {
            root: SigningKey::from_bytes(&fixed_bytes(&format!("{name} root"))),
            issuer: SigningKey::from_bytes(&fixed_bytes(&format!("{name} issuer"))),
            patient: Person::new("patient device", Role::Patient, ZERO),
            clinician: Person::new("clinician device", Role::Clinician, LEGAL),
            recorder: Person::new("recorder device", Role::Recorder, LETTER),
            other: Person::new("other patient device", Role::Patient, ZOO),
        }
    }

    /// All people.
    #[must_use]
    pub const fn everybody(&self) -> [&Person; 4] {
        [&self.patient, &self.clinician, &self.recorder, &self.other]
    }

    /// The organisation.
    #[must_use]
    pub fn organisation(&self) -> OrganisationId {
        OrganisationId::of_root(&PublicKey::from_bytes(self.root.public()))
    }

    /// What the root says of the issuer.
    #[must_use]
    pub fn issuer_certificate(&self) -> IssuerCertificate {
        IssuerCertificate {
            organisation: self.organisation(),
            root: PublicKey::from_bytes(self.root.public()),
            issuer: PublicKey::from_bytes(self.issuer.public()),
            not_before: time("2026-01-01T00:00:00Z"),
            not_after: time("2036-01-01T00:00:00Z"),
            number: 1,
            ended: Vec::new(),
            revocations: false,
            roles: vec![Role::Auditor, Role::Clinician, Role::Custodian, Role::Patient, Role::Recorder],
        }
    }

    /// What the issuer says of a person.
    #[must_use]
    pub fn certificate(&self, person: &Person) -> Certificate {
        Certificate {
            organisation: self.organisation(),
            account: person.account,
            role: person.role,
            label: None,
            issued: time("2026-02-01T00:00:00Z"),
            not_before: time("2026-02-01T00:00:00Z"),
            not_after: time("2028-02-01T00:00:00Z"),
            succeeds: None,
            guardians: Vec::new(),
        }
    }

    /// What a person says of her keys.
    #[must_use]
    pub fn key_list(&self, person: &Person, suite: Suite) -> KeyList {
        KeyList {
            account: person.account,
            root: PublicKey::from_bytes(person.seed.account_root().public()),
            number: 1,
            previous: None,
            created: time("2026-03-01T00:00:00Z"),
            epoch: 1,
            encryption: vec![EncryptionKey {
                suite,
                recipient: person.identity(suite).recipient().to_string(),
            }],
            devices: vec![DeviceKey {
                key: PublicKey::from_bytes(person.device.public()),
                roles: vec![DeviceRole::Auth, DeviceRole::Seal],
            }],
            removed: Vec::new(),
            allows: Vec::new(),
        }
    }

    /// Signs an issuer certificate with the root.
    #[must_use]
    pub fn sign_issuer(&self, statement: &IssuerCertificate) -> String {
        text(statement, KeyId::of_organisation_root(&PublicKey::from_bytes(self.root.public())), &self.root)
    }

    /// Signs a certificate with the issuer.
    #[must_use]
    pub fn sign_certificate(&self, statement: &Certificate) -> String {
        text(statement, KeyId::of_issuer(&PublicKey::from_bytes(self.issuer.public())), &self.issuer)
    }

    /// Signs a key list with the person's root.
    #[must_use]
    pub fn sign_key_list(&self, person: &Person, statement: &KeyList) -> String {
        let root = person.seed.account_root();
        text(statement, KeyId::of_account_root(&PublicKey::from_bytes(root.public())), &root)
    }

    /// A person as a manifest names her whose key list has the device that seals, or who does not seal.
    #[must_use]
    pub fn member(&self, person: &Person, suite: Suite) -> MemberText {
        MemberText {
            account: person.account,
            device: None,
            issuer: self.sign_issuer(&self.issuer_certificate()),
            certificate: self.sign_certificate(&self.certificate(person)),
            key_list: self.sign_key_list(person, &self.key_list(person, suite)),
        }
    }
}

fn text<T: Statement>(statement: &T, key_id: KeyId, signer: &SigningKey) -> String {
    String::from_utf8(signed(statement, key_id, signer)).unwrap()
}
