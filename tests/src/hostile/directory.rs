//! Lies of the directory, and the keys that an operator makes for himself.

use vault_core::identity::Identity;
use vault_core::recipient::Recipient;
use vault_core::recording_key::RecordingKey;
use vault_core::sealing::{RecordingSealer, device_key_id, prepare_manifest};
use vault_core::signing_key::SigningKey;
use vault_proto::envelope::{self, Envelope};
use vault_proto::ids::{AccountId, Digest, KeyId, OrganisationId, PublicKey, RecordingId, RecordingSalt};
use vault_proto::members::MemberStatements;
use vault_proto::named_statements::NamedStatements;
use vault_proto::statements::{
    Certificate, DeviceKey, DeviceRole, EncryptionKey, IssuerCertificate, KeyList, Manifest, NotYet, Reader,
    ReaderRole, RecordingStatus, Role, Suite,
};
use vault_proto::timestamp::Timestamp;
use vault_proto::wire::DirectoryEntry;

use super::fault::FaultKind;
use super::objects::{Objects, SegmentObjects, edit_payload};

/// Everything an operator can make without anybody's help: an organisation, an account, keys.
pub(super) struct OwnKeys {
    /// The organisation that clients pinned: his certificates say that they are of it.
    claimed: OrganisationId,
    organisation_root: SigningKey,
    issuer: SigningKey,
    root: SigningKey,
    pub(super) device: SigningKey,
    identities: [Identity; 2],
    salt: RecordingSalt,
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.public())
}

impl OwnKeys {
    pub(super) fn generate(claimed: OrganisationId) -> Self {
        let key = || SigningKey::generate().expect("random bytes");
        let mut salt = [0; 16];
        salt.copy_from_slice(&key().public()[..16]);
        Self {
            claimed,
            organisation_root: key(),
            issuer: key(),
            root: key(),
            device: key(),
            identities: [Suite::Pq, Suite::X25519]
                .map(|suite| Identity::generate(suite).expect("random bytes")),
            salt: RecordingSalt::from_bytes(salt),
        }
    }

    /// The recording that this operator plants.
    pub(super) fn recording(&self) -> RecordingId {
        RecordingId::of(&device_key_id(&self.device), &self.salt)
    }

    pub(super) fn account(&self) -> AccountId {
        AccountId::of_root(&public(&self.root))
    }

    pub(super) fn recipient(&self, suite: Suite) -> &Recipient {
        let [pq, x25519] = &self.identities;
        if suite == Suite::Pq { pq.recipient() } else { x25519.recipient() }
    }

    fn key_list(&self, at: Timestamp) -> Envelope<KeyList> {
        // By ascending suite.
        let encryption = self
            .identities
            .iter()
            .rev()
            .map(|identity| EncryptionKey {
                suite: identity.suite(),
                recipient: identity.recipient().to_string(),
            })
            .collect();
        let list = KeyList {
            account: self.account(),
            root: public(&self.root),
            number: 1,
            previous: None,
            created: at,
            epoch: 1,
            encryption,
            devices: vec![DeviceKey {
                key: public(&self.device),
                roles: vec![DeviceRole::Auth, DeviceRole::Seal],
            }],
            removed: Vec::new(),
            allows: Vec::new(),
        };
        envelope::sign(&list, KeyId::of_account_root(&public(&self.root)), |bytes| self.root.sign(bytes))
            .expect("a key list")
    }

    /// A certificate of the operator's own organisation for any account.
    fn certify(
        &self,
        account: AccountId,
        role: Role,
        at: Timestamp,
    ) -> (Envelope<IssuerCertificate>, Envelope<Certificate>) {
        let root = public(&self.organisation_root);
        let organisation = OrganisationId::of_root(&root);
        let not_after = at.saturating_add(86_400);
        let issuer = public(&self.issuer);
        let issuer_certificate = IssuerCertificate {
            organisation,
            root,
            issuer,
            not_before: at,
            not_after,
            number: 1,
            ended: Vec::new(),
            revocations: false,
            roles: Role::ascending(),
        };
        let certificate = Certificate {
            organisation: self.claimed,
            account,
            role,
            label: None,
            issued: at,
            not_before: at,
            not_after,
            succeeds: None,
            guardians: Vec::new(),
        };
        let issuer_certificate =
            envelope::sign(&issuer_certificate, KeyId::of_organisation_root(&root), |bytes| {
                self.organisation_root.sign(bytes)
            });
        let certificate =
            envelope::sign(&certificate, KeyId::of_issuer(&issuer), |bytes| self.issuer.sign(bytes));
        (issuer_certificate.expect("a certificate"), certificate.expect("a certificate"))
    }

    /// The operator's own account, as he certifies it.
    pub(super) fn member(&self, role: Role, at: Timestamp) -> MemberStatements {
        let (issuer, certificate) = self.certify(self.account(), role, at);
        MemberStatements { issuer, certificate, key_list: self.key_list(at) }
    }

    /// A recording for `patient` that this operator sealed himself, under the tenant that the patient pinned.
    pub(super) fn plant_recording(
        &self,
        tenant: OrganisationId,
        patient: &DirectoryEntry,
        at: Timestamp,
    ) -> Option<Objects> {
        let patient = patient.current()?;
        let clinician = self.member(Role::Clinician, at);
        let theirs = patient.key_list.unverified().encryption.first()?.clone();
        let own = self.recipient(theirs.suite);
        let patient_account = patient.certificate.unverified().account;
        let mut named = NamedStatements::default();
        let mut members = Vec::new();
        for (account, statements) in [(patient_account, &patient), (self.account(), &clinician)] {
            statements.put_into(&mut named);
            members.push(statements.member(account));
        }
        members.sort_unstable_by_key(|member| member.account);
        let key = RecordingKey::generate(theirs.suite).ok()?;
        let recipients = [theirs.recipient.parse().ok()?, own.clone()];
        let key_object = key.seal(&tenant, &self.recording(), &recipients).ok()?;
        let reader = |account, key, role| Reader { account, key, role, until: None };
        let manifest = Manifest {
            suite: theirs.suite,
            recording: self.recording(),
            salt: self.salt,
            tenant,
            consultation: "planted".parse().ok()?,
            patient: patient_account,
            clinician: self.account(),
            key: key.id(),
            key_object: Digest::of(&key_object),
            readers: vec![
                reader(patient_account, theirs.key_id(), ReaderRole::Patient),
                reader(self.account(), KeyId::of_recipient(&own.to_string()), ReaderRole::Clinician),
            ],
            sealer: self.account(),
            sealer_key: device_key_id(&self.device),
            sequence: 1,
            members,
            directory_checkpoint: None,
            created: at,
            policy: Vec::new(),
            replaces: NotYet,
        };
        let unsigned = prepare_manifest(&manifest, public(&self.device)).ok()?;
        let envelope = self.device.sign_statement(unsigned).ok()?;
        let verified = envelope.verify(manifest.sealer_key, &public(&self.device)).ok()?;
        let mut sealer = RecordingSealer::new(verified, key.recipient().clone()).ok()?;
        let mut segment = sealer.begin_segment(0, vault_proto::geometry::PartChunks::FIFTEEN).ok()?;
        let header = segment.header().to_vec();
        let said = b"planted by the operator";
        let part = segment.next_part(said.to_vec(), true).ok()?.run().ok()?.ciphertext;
        let facts = segment.finish(vec![Digest::of(&part)], part.len());
        let seal = self.device.sign_statement(sealer.prepare_seal(&facts).ok()?).ok()?;
        sealer.continue_after(&seal).ok()?;
        let details = vault_core::details::Details {
            title: Some("Planted".to_owned()),
            started: at,
            ended: at,
            tracks: vec![vault_core::details::Track {
                track: 0,
                media_type: "text/plain".to_owned(),
                bytes: said.len() as u64,
                duration_ms: None,
                sha256: Some(Digest::of(said)),
                seek: None,
            }],
        };
        let (details, final_seal) = sealer.prepare_final(&details, RecordingStatus::Complete, at).ok()?;
        let final_seal = self.device.sign_statement(final_seal).ok()?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let mut objects = SegmentObjects { header, seal: text(seal.bytes()), ..SegmentObjects::default() };
        objects.set_parts(&[part]);
        Some(Objects {
            manifest: text(envelope.bytes())?,
            key: key_object,
            statements: named
                .iter()
                .map(|(digest, envelope)| Some((*digest, text(envelope)?)))
                .collect::<Option<_>>()?,
            segments: vec![objects],
            details,
            final_seal: text(final_seal.bytes()),
        })
    }

    /// The directory entry of `account` with one lie in it; `other` is the entry of another account.
    pub(super) fn lie(
        &self,
        kind: FaultKind,
        account: AccountId,
        entry: serde_json::Value,
        other: Option<serde_json::Value>,
        at: Timestamp,
    ) -> serde_json::Value {
        let mut entry = entry;
        let text = |envelope: &[u8]| serde_json::Value::from(String::from_utf8_lossy(envelope).into_owned());
        let Some(fields) = entry.as_object_mut() else { return entry };
        let mut set = |name: &str, value: serde_json::Value| {
            fields.insert(name.to_owned(), value);
        };
        match kind {
            FaultKind::SwapKeyList => {
                if let Some(lists) = other.and_then(|other| other.get("key_lists").cloned()) {
                    set("key_lists", lists);
                }
            }
            FaultKind::OwnKeyList => {
                set("key_lists", serde_json::Value::from(vec![text(self.key_list(at).bytes())]));
            }
            FaultKind::OtherTenantCertificate => {
                let role = fields
                    .get("certificate")
                    .and_then(|certificate| {
                        serde_json::from_value::<Envelope<Certificate>>(certificate.clone()).ok()
                    })
                    .map_or(Role::Patient, |certificate| certificate.unverified().role);
                let (issuer, certificate) = self.certify(account, role, at);
                fields.insert("issuer".to_owned(), text(issuer.bytes()));
                fields.insert("certificate".to_owned(), text(certificate.bytes()));
            }
            FaultKind::OldKeyList => {
                if let Some(lists) = fields.get_mut("key_lists").and_then(|lists| lists.as_array_mut())
                    && lists.len() > 1
                {
                    lists.pop();
                }
            }
            FaultKind::EditKeyList => {
                if let Some(lists) = fields.get_mut("key_lists").and_then(|lists| lists.as_array_mut())
                    && let Some(last) = lists.last_mut()
                    && let Some(envelope) = last.as_str()
                {
                    *last = self.with_own_recipient(envelope).into();
                }
            }
            _ => {}
        }
        entry
    }

    /// A key list with the operator's recipient in place of the account's.
    fn with_own_recipient(&self, envelope: &str) -> String {
        edit_payload(envelope, |payload| {
            let mut list: KeyList = serde_json::from_str(payload).expect("a key list");
            for key in &mut list.encryption {
                key.recipient = self.recipient(key.suite).to_string();
            }
            serde_json::to_string(&list).expect("a key list")
        })
    }
}
