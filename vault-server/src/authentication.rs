//! Who makes a request (PROTOCOL.md, section 2): the form of the headers, then freshness, key, signature, nonce, body
//! digest, certificate, in this order.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, uri::Authority};
use vault_proto::credentials::{Member, TrustProblem};
use vault_proto::http_signature::{
    CONTENT_DIGEST, MAX_SKEW_SECONDS, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput,
    parse_content_digest, parse_signature,
};
use vault_proto::ids::{AccountId, Digest, PublicKey};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::DeviceRole;
use vault_proto::timestamp::Timestamp;

use crate::authorize::{Actor, Standing};
use crate::event::Caller;
use crate::ops::Vault;
use crate::ops::accounts::Submission;
use crate::problem::Problem;
use crate::store::{NewNonce, NonceUse};

/// The names under which this server is reached. A request signed for another server is worth nothing here.
#[derive(Debug, Clone)]
pub struct Authorities(Vec<String>);

impl Authorities {
    /// Accepts these `HOST[:PORT]`, in any case, with or without the default port.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| normalised(&name)).collect())
    }

    fn contains(&self, authority: &str) -> bool {
        self.0.iter().any(|own| own == authority)
    }
}

/// Lower case and without a default port. The server may stand behind a proxy that ends TLS, so both schemes' count.
fn normalised(authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let bare = authority.strip_suffix(":443").or_else(|| authority.strip_suffix(":80"));
    bare.unwrap_or(&authority).to_owned()
}

/// The signed parts of a request, in the accepted form; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct SignedHead {
    method: String,
    authority: String,
    own_authority: bool,
    path: String,
    query: Option<String>,
    content_digest: Digest,
    input: SignatureInput,
    signature: [u8; 64],
}

/// A request whose signature is valid. Its nonce is not used and its body not compared yet.
#[derive(Debug)]
pub struct Authenticated {
    account: AccountId,
    member: Member,
    device: PublicKey,
}

impl Authenticated {
    /// The account whose key signed it.
    pub const fn account(&self) -> AccountId {
        self.account
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

impl SignedHead {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// [`ProblemCode::SignatureMissing`] for every form but the accepted one.
    pub fn parse(parts: &Parts, own: &Authorities) -> Result<Self, Problem> {
        let parse = || {
            let input = SignatureInput::parse(single(&parts.headers, SIGNATURE_INPUT)?).ok()?;
            let signature = parse_signature(single(&parts.headers, SIGNATURE)?).ok()?;
            let content_digest = parse_content_digest(single(&parts.headers, CONTENT_DIGEST)?).ok()?;
            let authority = match parts.uri.authority().map(Authority::as_str) {
                Some(authority) => authority,
                None => single(&parts.headers, HOST.as_str())?,
            };
            let authority = normalised(authority);
            Some(Self {
                method: parts.method.as_str().to_owned(),
                own_authority: own.contains(&authority),
                authority,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().map(str::to_owned),
                content_digest,
                input,
                signature,
            })
        };
        parse().ok_or(ProblemCode::SignatureMissing.into())
    }

    /// Refuses a request whose time is too far from `now`.
    ///
    /// # Errors
    /// [`ProblemCode::SignatureStale`], with the server's time.
    pub fn check_fresh(&self, now: Timestamp) -> Result<(), Problem> {
        let skew = i128::from(self.input.created) - i128::from(now.unix_seconds());
        if skew.abs() <= i128::from(MAX_SKEW_SECONDS) {
            Ok(())
        } else {
            Err(Problem::with_detail(ProblemCode::SignatureStale, format!("The server's time is {now}.")))
        }
    }

    fn check_signature(&self, key: &PublicKey) -> Result<(), Problem> {
        let target = RequestTarget {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            content_digest: self.content_digest,
        };
        let valid = target.verify(&self.input, &self.signature, key).is_ok();
        if self.own_authority && valid { Ok(()) } else { Err(ProblemCode::SignatureInvalid.into()) }
    }

    /// Uses the request of `account` up. Blocks until that is durable.
    ///
    /// # Errors
    /// [`ProblemCode::SignatureReplayed`]; [`ProblemCode::SignatureStale`] if nobody knows any more whether it is a
    /// repetition; [`ProblemCode::StorageFull`] if it would write and there is no room.
    pub fn use_nonce(&self, vault: &Vault, account: AccountId) -> Result<(), Problem> {
        let now = (vault.clock)();
        let reads = matches!(self.method.as_str(), "GET" | "HEAD");
        // What drops something makes room.
        if !reads && self.method != "DELETE" {
            vault.check_room_to_write()?;
        }
        let SignatureInput { key_id: key, nonce, created } = self.input;
        let nonce = NewNonce { account, key, nonce, created, now: now.unix_seconds(), reads };
        match vault.store.use_nonce(&nonce)? {
            NonceUse::Fresh => Ok(()),
            NonceUse::Repeated => Err(ProblemCode::SignatureReplayed.into()),
            NonceUse::Forgotten => Err(ProblemCode::SignatureStale.into()),
            NonceUse::TooMany => Err(Problem::with_detail(
                ProblemCode::Busy,
                "This account has made as many requests as are remembered of an account at a time.",
            )),
        }
    }

    fn check_body(&self, body: &[u8]) -> Result<(), Problem> {
        if Digest::of(body) == self.content_digest { Ok(()) } else { Err(ProblemCode::DigestMismatch.into()) }
    }

    /// Whose request it is, as far as its head tells: freshness, key, signature. `None` if nobody has such a key.
    /// Blocks for no longer than a look into the index takes: it waits for nothing that others write.
    ///
    /// # Errors
    /// [`ProblemCode::SignatureStale`], [`ProblemCode::SignatureInvalid`].
    pub fn identify(&self, vault: &Vault) -> Result<Option<Authenticated>, Problem> {
        self.check_fresh((vault.clock)())?;
        let Some((account, member)) = vault.store.member_of_device(self.input.key_id)? else {
            return Ok(None);
        };
        let devices = member.key_list.unverified();
        let Some(device) = devices.device(self.input.key_id, DeviceRole::Auth) else {
            return Ok(None);
        };
        self.check_signature(&device.key)?;
        let device = device.key;
        Ok(Some(Authenticated { account, member, device }))
    }

    /// The last two checks, once the body is here. Blocks. Returns the caller, and the digest the body was found to
    /// have. What a caller may do whose certificate has ended is not decided here.
    ///
    /// # Errors
    /// [`ProblemCode::DigestMismatch`]; [`ProblemCode::CertificateExpired`] for a certificate that does not count yet.
    pub fn complete(
        &self,
        vault: &Vault,
        authenticated: &Authenticated,
        body: &[u8],
        request_id: String,
    ) -> Result<(Caller, Digest), Problem> {
        self.check_body(body)?;
        let at = (vault.clock)();
        let damaged = || Problem::internal(&"a stored certificate or key list does not check");
        let member = authenticated
            .member
            .verify_signatures(vault.organisation, authenticated.account)
            .map_err(|_| damaged())?;
        let standing = match member.check_in_force(at) {
            Ok(()) => Standing::InForce,
            Err(TrustProblem::Expired { .. }) => {
                Standing::Ended { seconds: at.unix_seconds() - member.chain().end().unix_seconds() }
            }
            Err(TrustProblem::NotYetValid { .. }) => return Err(ProblemCode::CertificateExpired.into()),
            Err(_) => return Err(damaged()),
        };
        let (account, key_id) = (authenticated.account, self.input.key_id);
        let actor = Actor { account, key_id, role: member.role(), standing };
        let caller = Caller { actor, device: authenticated.device, request_id, at };
        Ok((caller, self.content_digest))
    }

    /// All checks of what an account submits of itself: it takes the place of the directory. Of somebody `known` the
    /// head was checked and the nonce used before the body came; of a stranger, whose key stands in the body, both
    /// happen here, and a nonce is spent only on what checks. Blocks.
    ///
    /// # Errors
    /// The first check that fails: freshness, body digest, form of the body, chain and key list, key named in it,
    /// signature, nonce.
    pub fn authenticate_enrolment(
        &self,
        vault: &Vault,
        body: &[u8],
        known: bool,
        request_id: String,
    ) -> Result<(Caller, Submission), Problem> {
        let at = (vault.clock)();
        if !known {
            self.check_fresh(at)?;
        }
        self.check_body(body)?;
        let submission = Submission::parse(body)?;
        let member = submission.verify(vault.organisation, at)?;
        let device = member
            .key_list()
            .device(self.input.key_id, DeviceRole::Auth)
            .ok_or(Problem::from(ProblemCode::UnknownKey))?;
        let (account, key_id) = (member.account(), self.input.key_id);
        // A key id is the hash of its key, so that of somebody known has checked the signature already.
        if !known {
            self.check_signature(&device.key)?;
            self.use_nonce(vault, account)?;
        }
        // Only what counts now is enrolled.
        let actor = Actor { account, key_id, role: member.role(), standing: Standing::InForce };
        let caller = Caller { actor, device: device.key, request_id, at };
        Ok((caller, submission))
    }
}
