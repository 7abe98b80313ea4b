use ed25519_dalek::{Signer as _, SigningKey};
use vault_proto::envelope::{Envelope, Statement, sign};
use vault_proto::ids::{AccountId, KeyId, OrganisationId, PublicKey};
use vault_proto::members::{CertificateChain, MemberStatements};
use vault_proto::statements::{
    Certificate, DeviceKey, DeviceRole, EncryptionKey, IssuerCertificate, KeyList, Member, RemovedDevice,
    Role, Suite,
};
use vault_proto::timestamp::Timestamp;

use super::NOW;

pub(crate) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.verifying_key().to_bytes())
}

pub(crate) fn signed<T: Statement>(statement: &T, id: KeyId, key: &SigningKey) -> Envelope<T> {
    sign(statement, id, |bytes| key.sign(bytes).to_bytes()).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

pub(crate) struct Organisation {
    root: SigningKey,
    issuer: SigningKey,
}

/// From when to when certificate and key list count, relative to [`NOW`].
#[derive(Clone, Copy)]
pub(crate) struct Validity(pub(crate) i64, pub(crate) i64);

pub(crate) const YEAR: Validity = Validity(-1000, 30_000_000);

pub(crate) struct Person {
    root: SigningKey,
    pub(crate) device: SigningKey,
    pub(crate) chain: CertificateChain,
    pub(crate) key_list: Envelope<KeyList>,
}

impl Organisation {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            root: SigningKey::from_bytes(&[seed; 32]),
            issuer: SigningKey::from_bytes(&[seed.wrapping_add(1); 32]),
        }
    }

    pub(crate) fn id(&self) -> OrganisationId {
        OrganisationId::of_root(&public(&self.root))
    }

    pub(crate) fn certify(&self, account: AccountId, role: Role, validity: Validity) -> CertificateChain {
        self.certify_as_of(account, role, validity, (validity.0, 1_000_000_000))
    }

    /// As [`Self::certify`], issued at another time than that from which it counts, by an issuer certified until
    /// another; both relative to [`NOW`].
    pub(crate) fn certify_as_of(
        &self,
        account: AccountId,
        role: Role,
        validity: Validity,
        (issued, issuer_end): (i64, i64),
    ) -> CertificateChain {
        let root = public(&self.root);
        let issuer = IssuerCertificate {
            organisation: self.id(),
            root,
            issuer: public(&self.issuer),
            not_before: at(NOW - 1_000_000_000),
            not_after: at(NOW + issuer_end),
            number: 1,
            ended: Vec::new(),
            revocations: false,
            roles: Role::ascending(),
        };
        let certificate = Certificate {
            organisation: self.id(),
            account,
            role,
            label: Some("Dr Example".to_owned()),
            issued: at(NOW + issued),
            not_before: at(NOW + validity.0),
            not_after: at(NOW + validity.1),
            succeeds: None,
            guardians: Vec::new(),
        };
        CertificateChain {
            issuer: signed(&issuer, KeyId::of_organisation_root(&root), &self.root),
            certificate: signed(&certificate, KeyId::of_issuer(&public(&self.issuer)), &self.issuer),
        }
    }

    /// A person with one device; the seed makes all keys.
    pub(crate) fn person(&self, seed: u8, role: Role) -> Person {
        self.person_for(seed, role, YEAR)
    }

    pub(crate) fn person_for(&self, seed: u8, role: Role, validity: Validity) -> Person {
        let root = SigningKey::from_bytes(&[seed; 32]);
        let device = SigningKey::from_bytes(&[seed.wrapping_add(100); 32]);
        let account = AccountId::of_root(&public(&root));
        let chain = self.certify(account, role, validity);
        let key_list = key_list(&root, None, &[&device], validity);
        Person { root, device, chain, key_list }
    }
}

fn key_list(
    root: &SigningKey,
    previous: Option<&Envelope<KeyList>>,
    devices: &[&SigningKey],
    validity: Validity,
) -> Envelope<KeyList> {
    // Whoever is not in the list any more was removed.
    let mut removed = previous.map_or_else(Vec::new, |list| list.unverified().removed.clone());
    for before in previous.iter().flat_map(|list| &list.unverified().devices) {
        if !devices.iter().any(|device| public(device) == before.key) {
            removed.push(RemovedDevice { key: before.key, sequence: 0, since: None });
        }
    }
    let list = KeyList {
        account: AccountId::of_root(&public(root)),
        root: public(root),
        number: previous.map_or(1, |list| list.unverified().number + 1),
        previous: previous.map(Envelope::digest),
        created: at(NOW + validity.0),
        epoch: 1,
        encryption: vec![EncryptionKey { suite: Suite::X25519, recipient: recipient(&public(root)) }],
        devices: devices
            .iter()
            .map(|device| DeviceKey { key: public(device), roles: vec![DeviceRole::Auth, DeviceRole::Seal] })
            .collect(),
        removed,
        allows: Vec::new(),
    };
    signed(&list, KeyId::of_account_root(&public(root)), root)
}

/// A recipient of the form that the format has, and a different one for each key; nothing can be sealed to it.
fn recipient(key: &PublicKey) -> String {
    let digits = key.to_string();
    let letters = digits.chars().map(|digit| {
        if digit == 'b' {
            'z'
        } else if digit == '1' {
            'y'
        } else {
            digit
        }
    });
    format!("age1{}", letters.take(58).collect::<String>())
}

impl Person {
    pub(crate) fn account(&self) -> AccountId {
        self.key_list.unverified().account
    }

    pub(crate) fn device_id(&self) -> KeyId {
        KeyId::of_device(&self.device_key())
    }

    pub(crate) fn device_key(&self) -> PublicKey {
        public(&self.device)
    }

    pub(crate) fn encryption_key(&self) -> KeyId {
        self.key_list.unverified().encryption[0].key_id()
    }

    /// The same person at another device, in these roles; the key list with both is theirs from now on.
    pub(crate) fn at_another_device(&self, seed: u8, roles: Vec<DeviceRole>) -> Person {
        let device = SigningKey::from_bytes(&[seed; 32]);
        let mut list = self.next_key_list(&[&self.device, &device]).unverified().clone();
        list.devices[1].roles = roles;
        let key_list = signed(&list, KeyId::of_account_root(&list.root), &self.root);
        Person { root: self.root.clone(), device, chain: self.chain.clone(), key_list }
    }

    /// The next key list, with these devices.
    pub(crate) fn next_key_list(&self, devices: &[&SigningKey]) -> Envelope<KeyList> {
        key_list(&self.root, Some(&self.key_list), devices, YEAR)
    }

    /// Another list under the number of the first.
    pub(crate) fn other_first_key_list(&self, devices: &[&SigningKey]) -> Envelope<KeyList> {
        key_list(&self.root, None, devices, YEAR)
    }

    pub(crate) fn member(&self) -> Member {
        self.statements().member(self.account())
    }

    pub(crate) fn statements(&self) -> MemberStatements {
        MemberStatements {
            issuer: self.chain.issuer.clone(),
            certificate: self.chain.certificate.clone(),
            key_list: self.key_list.clone(),
        }
    }

    pub(crate) fn enrolment(&self) -> Vec<u8> {
        self.enrolment_with(&self.key_list)
    }

    /// The body that brings this key list, with the certificate as it is.
    pub(crate) fn enrolment_with(&self, key_list: &Envelope<KeyList>) -> Vec<u8> {
        let enrol = vault_proto::wire::Enrol { chain: self.chain.clone(), key_list: key_list.clone() };
        serde_json::to_vec(&enrol).unwrap()
    }
}
