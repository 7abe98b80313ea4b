//! Who makes a request (PROTOCOL.md, section 2): the form of the headers, then freshness, key, signature, nonce, body
//! digest, certificate, in this order.

use std::sync::Arc;

use http::header::{HOST, IF_RANGE};
use http::request::Parts;
use http::{HeaderMap, uri};
use vault_proto::http_signature::{
    CONTENT_DIGEST, CoveredHeader, MAX_SKEW_SECONDS, RequestTarget, SIGNATURE, SIGNATURE_INPUT,
    SignatureInput, parse_content_digest, parse_signature,
};
use vault_proto::ids::{AccountId, Digest, KeyId, PublicKey};
use vault_proto::members::{MemberStatements, TrustProblem};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{DeviceKey, DeviceRole};
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Signer;

use crate::authority::{Authority, normalised};
use crate::authorize::{Actor, Standing};
use crate::event::Caller;
use crate::misaddressed::{Misaddressed, listed};
use crate::ops::Vault;
use crate::ops::accounts::Submission;
use crate::problem::Problem;
use crate::store::{NewNonce, NonceUse};

/// Where a proxy says for which name a request came to it. Only the log believes it.
const X_FORWARDED_HOST: &str = "x-forwarded-host";

/// The names under which this server is reached. A request signed for another server is worth nothing here.
#[derive(Debug)]
pub struct Authorities {
    own: Vec<Authority>,
    misaddressed: Misaddressed,
}

impl Authorities {
    /// Accepts what is signed for any of these names.
    pub fn new(own: Vec<Authority>) -> Self {
        Self { own, misaddressed: Misaddressed::default() }
    }
}

/// The signed parts of a request, in the accepted form; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct SignedHead {
    method: String,
    own: Arc<Authorities>,
    /// The names that the request claims to have come for: `Host` or `:authority`, then what a proxy says.
    came_for: Vec<String>,
    path: String,
    query: Option<String>,
    content_digest: Digest,
    covered: Option<(CoveredHeader, String)>,
    input: SignatureInput,
    signature: [u8; 64],
}

/// A request whose signature is valid. Its nonce is not used and its body not compared yet.
#[derive(Debug)]
pub struct Authenticated {
    account: AccountId,
    member: MemberStatements,
    device: DeviceKey,
    at: Timestamp,
}

impl Authenticated {
    /// The account whose key signed it.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// When it was found fresh, by the server's clock.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// The header that the signature has to cover too, if there is one. `None` for a request with two, with one twice or
/// with white space around it, and for one with `If-Range`, which would void what was signed.
fn covered(headers: &HeaderMap) -> Option<Option<(CoveredHeader, String)>> {
    let mut present = CoveredHeader::ALL.into_iter().filter(|header| headers.contains_key(header.name()));
    if headers.contains_key(IF_RANGE) {
        return None;
    }
    let Some(header) = present.next() else {
        return Some(None);
    };
    let value = single(headers, header.name()).filter(|_| present.next().is_none())?;
    (value.trim() == value).then(|| Some((header, value.to_owned())))
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
    pub fn parse(parts: &Parts, own: &Arc<Authorities>) -> Result<Self, Problem> {
        let parse = || {
            let input = SignatureInput::parse(single(&parts.headers, SIGNATURE_INPUT)?).ok()?;
            let signature = parse_signature(single(&parts.headers, SIGNATURE)?).ok()?;
            let content_digest = parse_content_digest(single(&parts.headers, CONTENT_DIGEST)?).ok()?;
            let covered = covered(&parts.headers)?;
            if input.covered != covered.as_ref().map(|(header, _)| *header) {
                return None;
            }
            let host = match parts.uri.authority().map(uri::Authority::as_str) {
                Some(authority) => Some(authority),
                None => single(&parts.headers, HOST.as_str()),
            };
            let came_for = [host, single(&parts.headers, X_FORWARDED_HOST)];
            Some(Self {
                method: parts.method.as_str().to_owned(),
                own: Arc::clone(own),
                came_for: came_for.into_iter().flatten().map(normalised).collect(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().map(str::to_owned),
                content_digest,
                covered,
                input,
                signature,
            })
        };
        parse().ok_or(ProblemCode::SignatureMissing.into())
    }

    /// The key that it claims to be signed with.
    pub const fn key_id(&self) -> KeyId {
        self.input.key_id
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

    /// Whether the signature is good, had the request been made to this name.
    fn is_signed_for(&self, authority: &str, key: &PublicKey) -> bool {
        let target = RequestTarget {
            method: &self.method,
            authority,
            path: &self.path,
            query: self.query.as_deref(),
            content_digest: self.content_digest,
            covered: self.covered.as_ref().map(|(header, value)| (*header, value.as_str())),
        };
        target.verify(&self.input, &self.signature, key).is_ok()
    }

    /// Checks the signature for each of the server's own names. A proxy may have put another name in place of the one
    /// that the client signed, so `Host` decides nothing, and costs nothing: whatever it says, what is signed for
    /// another server fits none of these.
    fn check_signature(&self, key: &PublicKey) -> Result<(), Problem> {
        let Authorities { own, misaddressed } = &*self.own;
        // The likely one first; each costs a verification.
        let is_likely = |name: &&Authority| self.came_for.iter().any(|came_for| came_for == name.as_str());
        let (likely, others): (Vec<&Authority>, Vec<&Authority>) = own.iter().partition(is_likely);
        if likely.into_iter().chain(others).any(|name| self.is_signed_for(name.as_str(), key)) {
            return Ok(());
        }
        match self.came_for.iter().find(|name| self.is_signed_for(name, key)) {
            Some(name) => misaddressed.signed_for(name, own),
            None => misaddressed.signed_for_nothing_known(self.came_for.first().map(String::as_str), own),
        }
        let detail = format!("This server is reached as {}.", listed(own));
        Err(Problem::with_detail(ProblemCode::SignatureInvalid, detail))
    }

    /// Uses the request of `account` up. Blocks until that is durable. `now` is the time at which it was found fresh:
    /// by another one, of a clock that jumped meanwhile, nonces would be forgotten that are still needed.
    ///
    /// # Errors
    /// [`ProblemCode::SignatureReplayed`]; [`ProblemCode::SignatureStale`] if nobody knows any more whether it is a
    /// repetition; [`ProblemCode::StorageFull`] if it would write and there is no room.
    pub fn use_nonce(&self, vault: &Vault, account: AccountId, now: Timestamp) -> Result<(), Problem> {
        let reads = matches!(self.method.as_str(), "GET" | "HEAD");
        // What drops something makes room.
        if !reads && self.method != "DELETE" {
            vault.check_room_to_write()?;
        }
        let SignatureInput { key_id: key, nonce, created, .. } = self.input;
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
        let at = (vault.clock)();
        self.check_fresh(at)?;
        let Some((account, member)) = vault.store.member_of_device(self.input.key_id)? else {
            return Ok(None);
        };
        let devices = member.key_list.unverified();
        let Some(device) = devices.any_device(self.input.key_id).cloned() else {
            return Ok(None);
        };
        self.check_signature(&device.key)?;
        Ok(Some(Authenticated { account, member, device, at }))
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
        let (account, key_id, role) = (authenticated.account, self.input.key_id, member.role());
        let known = vault.known([])?;
        let end = known.end_of(member.chain());
        let has_auth = authenticated.device.roles.contains(&DeviceRole::Auth);
        let device_role = if has_auth { DeviceRole::Auth } else { DeviceRole::Seal };
        let signer = Signer { key: key_id, role: device_role, sequence: None };
        let standing = match known.check_at(member, Some(signer), at).map_err(|error| error.problem) {
            Ok(_) => Standing::InForce,
            Err(TrustProblem::Expired { .. } | TrustProblem::IssuerEnded { .. }) => {
                Standing::Ended { seconds: at.unix_seconds() - end.unix_seconds() }
            }
            Err(TrustProblem::NotYetValid { .. } | TrustProblem::Revoked { .. }) => {
                return Err(ProblemCode::CertificateExpired.into());
            }
            Err(_) => return Err(damaged()),
        };
        let actor = Actor { account, key_id, has_auth, role, standing };
        let caller = Caller { actor, device: authenticated.device.key, request_id, at };
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
        let member = submission.verify(vault, at)?;
        let device = member.key_list().any_device(self.input.key_id);
        let device = device.ok_or(Problem::from(ProblemCode::UnknownKey))?;
        if !device.roles.contains(&DeviceRole::Auth) {
            return Err(ProblemCode::Forbidden.into());
        }
        let (account, key_id) = (member.account(), self.input.key_id);
        // A key id is the hash of its key, so that of somebody known has checked the signature already.
        if !known {
            self.check_signature(&device.key)?;
            self.use_nonce(vault, account, at)?;
        }
        // Only what counts now is enrolled.
        let (role, standing) = (member.role(), Standing::InForce);
        let actor = Actor { account, key_id, has_auth: true, role, standing };
        let caller = Caller { actor, device: device.key, request_id, at };
        Ok((caller, submission))
    }
}
