//! The organisation's registrar: an offline home that certifies accounts (FORMAT.md, "Trust").
//!
//! Nothing here opens a connection: the registrar's keys never come near the storage server.

use secrecy::SecretString;
use vault_core::identity_file::RegistrarSecrets;
use vault_core::seed::Seed;
use vault_core::signing_key::SigningKey;
use vault_proto::credentials::CertificateChain;
use vault_proto::envelope::{self, Envelope};
use vault_proto::ids::{AccountId, KeyId, OrganisationId, PublicKey};
use vault_proto::statements::{Certificate, IssuerCertificate, Role};
use vault_proto::timestamp::Timestamp;
use zeroize::Zeroizing;

use crate::clock::now;
use crate::error::ClientError;
use crate::home::{Home, ISSUER, REGISTRAR};

/// Seconds for which an issuer certificate counts: five years.
const ISSUER_LIFETIME: i64 = 5 * 366 * 24 * 3600;
/// Seconds before its end from which an issuer certificate is renewed when it is next needed: one year.
const ISSUER_RENEWAL: i64 = 366 * 24 * 3600;
/// Seconds for which a certificate counts if nothing else is asked: one year.
pub const CERTIFICATE_LIFETIME: i64 = 366 * 24 * 3600;

/// An organisation that was just made.
pub struct NewOrganisation {
    /// Its root fingerprint, which every client and server pins.
    pub organisation: OrganisationId,
    /// The 24 words from which its root derives.
    pub words: Zeroizing<String>,
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
    /// First second at which the certificate no longer counts; one year from now if `None`.
    pub not_after: Option<Timestamp>,
}

/// Makes an organisation root and an issuer in an empty home.
///
/// # Errors
/// [`ClientError::Usage`] if the home has a root already; it is never overwritten.
pub fn create(home: &Home, passphrase: &SecretString) -> Result<NewOrganisation, ClientError> {
    let _lock = home.lock("home.lock")?;
    if home.has(REGISTRAR) {
        return Err(ClientError::Usage(format!(
            "{} already holds an organisation root, which is never overwritten; choose another --home",
            home.folder().display()
        )));
    }
    let no_random = |error: vault_core::random::RandomError| ClientError::Bug(error.to_string());
    let seed = Seed::generate().map_err(no_random)?;
    let secrets = RegistrarSecrets {
        root: seed.organisation_root(),
        issuer: SigningKey::generate().map_err(no_random)?,
    };
    home.write(ISSUER, issue_issuer(&secrets, now()?)?.bytes())?;
    home.write(REGISTRAR, &secrets.lock(passphrase)?)?;
    Ok(NewOrganisation { organisation: organisation(&secrets), words: seed.to_words() })
}

fn organisation(secrets: &RegistrarSecrets) -> OrganisationId {
    OrganisationId::of_root(&PublicKey::from_bytes(secrets.root.public()))
}

fn issue_issuer(
    secrets: &RegistrarSecrets,
    at: Timestamp,
) -> Result<Envelope<IssuerCertificate>, ClientError> {
    let root = PublicKey::from_bytes(secrets.root.public());
    let certificate = IssuerCertificate {
        organisation: organisation(secrets),
        root,
        issuer: PublicKey::from_bytes(secrets.issuer.public()),
        not_before: at,
        not_after: at.saturating_add(ISSUER_LIFETIME),
    };
    Ok(envelope::sign(&certificate, KeyId::of_organisation_root(&root), |bytes| secrets.root.sign(bytes))?)
}

/// Certifies an account.
///
/// # Errors
/// [`ClientError::Usage`] for an end after the issuer's, or a label that misleads;
/// [`ClientError::NotSetUp`] or [`ClientError::Unlock`].
pub fn certify(
    home: &Home,
    passphrase: &SecretString,
    request: &CertificateRequest,
) -> Result<CertificateChain, ClientError> {
    let file = home.read(REGISTRAR)?.ok_or_else(|| {
        ClientError::NotSetUp(format!("there is no organisation root in {}", home.folder().display()))
    })?;
    let secrets = RegistrarSecrets::unlock(passphrase, &file)?;
    let at = now()?;
    let issuer = current_issuer(home, &secrets, at)?;
    let issuer_end = issuer.unverified().not_after;
    let not_after = match request.not_after {
        None => at.saturating_add(CERTIFICATE_LIFETIME).min(issuer_end),
        Some(end) if end > issuer_end => {
            return Err(ClientError::Usage(format!(
                "the issuer itself is certified only until {issuer_end}"
            )));
        }
        Some(end) => end,
    };
    let certificate = Certificate {
        organisation: organisation(&secrets),
        account: request.account,
        role: request.role,
        label: request.label.clone(),
        // A certificate that has ended already is a way to say that an account's time is over.
        not_before: at.min(not_after.saturating_add(-1)),
        not_after,
    };
    let key_id = KeyId::of_issuer(&PublicKey::from_bytes(secrets.issuer.public()));
    let certificate = envelope::sign(&certificate, key_id, |bytes| secrets.issuer.sign(bytes))
        .map_err(|error| ClientError::Usage(error.to_string()))?;
    Ok(CertificateChain { issuer, certificate })
}

/// The stored issuer certificate, renewed in its last year.
fn current_issuer(
    home: &Home,
    secrets: &RegistrarSecrets,
    at: Timestamp,
) -> Result<Envelope<IssuerCertificate>, ClientError> {
    if let Some(stored) =
        home.read(ISSUER)?.and_then(|bytes| Envelope::<IssuerCertificate>::parse(&bytes).ok())
        && stored.unverified().issuer.as_bytes() == &secrets.issuer.public()
        && stored.unverified().not_after > at.saturating_add(ISSUER_RENEWAL)
    {
        return Ok(stored);
    }
    let renewed = issue_issuer(secrets, at)?;
    home.write(ISSUER, renewed.bytes())?;
    Ok(renewed)
}
