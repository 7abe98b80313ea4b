//! The organisation's registrar: an offline home that certifies accounts (FORMAT.md, "Trust").
//!
//! Nothing here opens a connection: the registrar's keys never come near the storage server.

use secrecy::SecretString;
use vault_core::identity_file::RegistrarSecrets;
use vault_core::passphrase_file::WorkFactor;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_proto::envelope::{self, Envelope};
use vault_proto::ids::{AccountId, KeyId, OrganisationId, PublicKey};
use vault_proto::members::{CLOCK_LENIENCE, CertificateChain};
use vault_proto::statements::{Certificate, IssuerCertificate, Role};
use vault_proto::timestamp::Timestamp;
use zeroize::Zeroizing;

use crate::clock::now;
use crate::home_folder::{HomeFolder, ISSUER, REGISTRAR};
use vault_engine::error::{ClientError, Missing, NextStep};

/// Seconds for which an issuer certificate counts: five years of 366 days.
const ISSUER_LIFETIME: i64 = 5 * 366 * 24 * 3600;
/// Seconds before its end from which an issuer certificate is renewed when it is next needed: 366 days, so that it
/// outlasts every certificate of a year.
const ISSUER_RENEWAL: i64 = 366 * 24 * 3600;

/// An organisation that was just made and is kept nowhere yet.
pub struct NewOrganisation {
    /// Its root fingerprint, which every client and server pins.
    pub organisation: OrganisationId,
    /// The 24 words from which its root derives.
    pub words: Zeroizing<String>,
    secrets: RegistrarSecrets,
}

/// What to certify.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The account.
    pub account: AccountId,
    /// Its role.
    pub role: Role,
    /// What people call it; the server sees this.
    pub label: Option<String>,
    /// First second at which the certificate no longer counts; the same day and time of the next year if
    /// `None`.
    pub not_after: Option<Timestamp>,
}

/// Whether a home is a registrar's.
pub fn is_registrar(home: &HomeFolder) -> bool {
    home.has(REGISTRAR)
}

/// Refuses a home that has an organisation root already.
///
/// # Errors
/// [`ClientError::Declined`]: a root is never overwritten.
pub fn require_none(home: &HomeFolder) -> Result<(), ClientError> {
    if home.has(REGISTRAR) {
        return Err(ClientError::Declined {
            what: format!(
                "the folder {} already holds an organisation root, which is never overwritten",
                home.folder().display()
            ),
            next: "Choose another " + NextStep::Home + ".",
        });
    }
    Ok(())
}

impl NewOrganisation {
    /// Makes an organisation root and an issuer in memory.
    ///
    /// # Errors
    /// [`ClientError::Bug`] without random bytes.
    pub fn generate() -> Result<Self, ClientError> {
        let no_random = |error: vault_core::random::RandomError| ClientError::Bug(error.to_string());
        let seed = Seed::generate().map_err(no_random)?;
        let secrets = RegistrarSecrets {
            root: seed.organisation_root(),
            issuer: SigningKey::generate().map_err(no_random)?,
        };
        Ok(Self { organisation: organisation(&secrets), words: seed.to_words(), secrets })
    }

    /// Puts the organisation into an empty home, durably. For whoever has handed over the words: from then on they are
    /// needed.
    ///
    /// # Errors
    /// As [`require_none`], or [`ClientError::Disk`].
    pub fn store(
        &self,
        home: &HomeFolder,
        passphrase: &SecretString,
        work_factor: WorkFactor,
    ) -> Result<(), ClientError> {
        let _lock = home.lock("home")?;
        require_none(home)?;
        home.write(ISSUER, issue_issuer(&self.secrets, None, now()?)?.bytes())?;
        home.write(REGISTRAR, &self.secrets.lock(passphrase, work_factor)?)
    }
}

/// Opens the keys of a registrar's home, and forgets them.
///
/// # Errors
/// [`ClientError::NotSetUp`] or [`ClientError::Unlock`].
pub fn check_passphrase(home: &HomeFolder, passphrase: &SecretString) -> Result<(), ClientError> {
    unlock(home, passphrase).map(drop)
}

/// Puts the keys of a registrar's home under another passphrase. The file is replaced whole.
///
/// # Errors
/// [`ClientError::NotSetUp`]; [`ClientError::Unlock`] if `old` is not its passphrase; [`ClientError::Disk`].
pub fn change_passphrase(
    home: &HomeFolder,
    old: &SecretString,
    new: &SecretString,
    work_factor: WorkFactor,
) -> Result<(), ClientError> {
    let _lock = home.lock("home")?;
    let secrets = unlock(home, old)?;
    home.write(REGISTRAR, &secrets.lock(new, work_factor)?)
}

/// Refuses a home that has no organisation root.
///
/// # Errors
/// [`ClientError::NotSetUp`].
pub fn require_root(home: &HomeFolder) -> Result<(), ClientError> {
    if is_registrar(home) { Ok(()) } else { Err(no_root(home)) }
}

fn no_root(home: &HomeFolder) -> ClientError {
    ClientError::NotSetUp(Missing::OrganisationRoot(home.folder().display().to_string()))
}

fn unlock(home: &HomeFolder, passphrase: &SecretString) -> Result<RegistrarSecrets, ClientError> {
    let file = home.read(REGISTRAR)?.ok_or_else(|| no_root(home))?;
    Ok(RegistrarSecrets::unlock(passphrase, &file)?)
}

fn organisation(secrets: &RegistrarSecrets) -> OrganisationId {
    OrganisationId::of_root(&PublicKey::from_bytes(secrets.root.public()))
}

fn issue_issuer(
    secrets: &RegistrarSecrets,
    before: Option<&IssuerCertificate>,
    at: Timestamp,
) -> Result<Envelope<IssuerCertificate>, ClientError> {
    let root = PublicKey::from_bytes(secrets.root.public());
    let certificate = IssuerCertificate {
        organisation: organisation(secrets),
        root,
        issuer: PublicKey::from_bytes(secrets.issuer.public()),
        not_before: at,
        not_after: at.saturating_add(ISSUER_LIFETIME),
        number: before.map_or(1, |before| before.number.saturating_add(1)),
        ended: before.map_or_else(Vec::new, |before| before.ended.clone()),
        revocations: false,
        roles: Role::ascending(),
    };
    Ok(envelope::sign(&certificate, KeyId::of_organisation_root(&root), |bytes| secrets.root.sign(bytes))?)
}

/// Certifies an account.
///
/// # Errors
/// [`ClientError::Usage`] for an end after the issuer's, or a label that misleads;
/// [`ClientError::NotSetUp`] or [`ClientError::Unlock`].
pub fn certify(
    home: &HomeFolder,
    passphrase: &SecretString,
    request: &CertificateRequest,
) -> Result<CertificateChain, ClientError> {
    let secrets = unlock(home, passphrase)?;
    let at = now()?;
    let issuer = current_issuer(home, &secrets, at)?;
    let issuer_end = issuer.unverified().not_after;
    let not_after = match request.not_after {
        None => at.a_year_later().min(issuer_end),
        Some(end) if end > issuer_end => {
            return Err(ClientError::Usage(format!(
                "the issuer itself is certified only until {issuer_end}"
            )));
        }
        Some(end) => end,
    };
    let _lock = home.lock("home")?;
    let issued = next_issued(home.read_json(&issued_name(request.account))?, at);
    let certificate = Certificate {
        organisation: organisation(&secrets),
        account: request.account,
        role: request.role,
        label: request.label.clone(),
        issued,
        // A certificate that has ended already is a way to say that an account's time is over.
        not_before: at.min(not_after.saturating_add(-1)),
        not_after,
        succeeds: None,
        guardians: Vec::new(),
    };
    let key_id = KeyId::of_issuer(&PublicKey::from_bytes(secrets.issuer.public()));
    let certificate = envelope::sign(&certificate, key_id, |bytes| secrets.issuer.sign(bytes))
        .map_err(|error| ClientError::Usage(error.to_string()))?;
    home.write_json(&issued_name(request.account), &issued)?;
    Ok(CertificateChain { issuer, certificate })
}

/// File with the time at which the newest certificate of an account was issued here.
fn issued_name(account: AccountId) -> String {
    format!("issued/{account}.json")
}

/// When the next certificate of an account is issued: now, and after the one before. One from a time that no server and
/// no client takes yet was issued by a clock that ran ahead, and counts for nobody.
fn next_issued(before: Option<Timestamp>, at: Timestamp) -> Timestamp {
    match before {
        Some(before) if before >= at && before < at.saturating_add(CLOCK_LENIENCE) => {
            before.saturating_add(1)
        }
        _ => at,
    }
}

/// The stored issuer certificate, renewed in its last year. One that counts only from a time to come, because this
/// machine's clock was ahead when it was made, counts for nobody now and is renewed too.
fn current_issuer(
    home: &HomeFolder,
    secrets: &RegistrarSecrets,
    at: Timestamp,
) -> Result<Envelope<IssuerCertificate>, ClientError> {
    let stored = home.read(ISSUER)?.and_then(|bytes| Envelope::<IssuerCertificate>::parse(&bytes).ok());
    let own = stored.filter(|stored| stored.unverified().issuer.as_bytes() == &secrets.issuer.public());
    if let Some(stored) = &own
        && stored.unverified().not_before <= at
        && stored.unverified().not_after > at.saturating_add(ISSUER_RENEWAL)
    {
        return Ok(stored.clone());
    }
    let renewed = issue_issuer(secrets, own.as_ref().map(Envelope::unverified), at)?;
    home.write(ISSUER, renewed.bytes())?;
    Ok(renewed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_issued_after_the_one_before() {
        let time = |seconds| Timestamp::from_unix_seconds(seconds).unwrap();
        let next = |before: Option<i64>| next_issued(before.map(time), time(1_000)).unix_seconds();
        assert_eq!(next(None), 1_000);
        for (before, after) in [(1, 1_000), (999, 1_000), (1_000, 1_001), (1_119, 1_120), (1_120, 1_000)] {
            assert_eq!(next(Some(before)), after, "after one of {before}");
        }
    }

    #[test]
    fn an_issuer_certificate_of_the_future_or_of_the_past_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let home = HomeFolder::new(folder.path().join("home"));
        let passphrase = SecretString::from("seven lamps in the harbour");
        NewOrganisation::generate().unwrap().store(&home, &passphrase, WorkFactor::LEAST).unwrap();
        let secrets = unlock(&home, &passphrase).unwrap();
        let at = now().unwrap();
        let begun_here = current_issuer(&home, &secrets, at).unwrap();
        let renewed = |made: i64| {
            let stored = issue_issuer(&secrets, None, at.saturating_add(made)).unwrap();
            home.write(ISSUER, stored.bytes()).unwrap();
            let found = current_issuer(&home, &secrets, at).unwrap();
            assert!(found.unverified().not_before <= at && found.unverified().not_after > at, "{made}");
            // What was handed out is what is kept.
            assert_eq!(home.read(ISSUER).unwrap().unwrap(), found.bytes());
            let is_renewed = found.bytes() != stored.bytes();
            assert_eq!(found.unverified().number, if is_renewed { 2 } else { 1 });
            is_renewed
        };
        assert!(begun_here.unverified().not_before <= at);
        for (made, is_renewed) in [
            (1, true),
            (10 * ISSUER_RENEWAL, true),
            (0, false),
            (-ISSUER_RENEWAL, false),
            (-ISSUER_LIFETIME, true),
        ] {
            assert_eq!(renewed(made), is_renewed, "made {made} s from now");
        }
    }
}
