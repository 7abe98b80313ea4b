//! The storage server, as PROTOCOL.md has it and as far as a client notices: what it checks, what it keeps, in which
//! order it takes things. It says what is true; [`crate::hostile`] stands in front of it.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_engine::effects::{Method, Request};
use vault_proto::base64;
use vault_proto::envelope::{Envelope, payload_digest};
use vault_proto::http_signature::{
    CONTENT_DIGEST, CoveredHeader, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput,
    parse_content_digest, parse_signature,
};
use vault_proto::ids::{AccountId, Digest, KeyId, OrganisationId, RecordingId};
use vault_proto::key_object::check_key_object;
use vault_proto::members::{CertificateChain, verify_key_list};
use vault_proto::named_statements::NamedStatements;
use vault_proto::problem::{Problem, ProblemCode};
use vault_proto::recording::CheckedManifest;
use vault_proto::statements::{DeviceRole, KeyList};
use vault_proto::timestamp::Timestamp;
use vault_proto::trust::Known;
use vault_proto::wire::{
    AccountMatches, CreateRecording, DirectoryEntry, Enrol, Last, MAX_ASKED_STATEMENTS, RecordingEntry,
    RecordingPage, SEGMENT_PROGRESS, Statements,
};

use crate::comparisons::Comparisons;
use crate::seen::Seen;
use crate::stored::{Stored, StoredSegment};

/// What every device in the world calls it.
pub(crate) const ADDRESS: &str = "https://vault.example";
const AUTHORITY: &str = "vault.example";
/// Seconds by which a request may differ from the server's clock.
const FRESH: i64 = 120;
/// Entries of a page, small so that lists have several.
const PAGE: usize = 3;

pub(crate) type Answered = Result<(u16, Bytes), ProblemCode>;

#[derive(Default)]
pub(crate) struct Server {
    organisation: Option<OrganisationId>,
    pub(crate) accounts: BTreeMap<AccountId, Enrolled>,
    nonces: HashSet<(KeyId, [u8; 16])>,
    pub(crate) recordings: Vec<Stored>,
    /// What their manifests name.
    statements: NamedStatements,
    pub(crate) comparisons: Comparisons,
    /// Words over which the world has to be told that something impossible came.
    pub(crate) seen: Seen,
}

pub(crate) struct Enrolled {
    pub(crate) chain: CertificateChain,
    pub(crate) key_lists: Vec<Envelope<KeyList>>,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Actor {
    pub(crate) account: AccountId,
    pub(crate) key: KeyId,
}

/// What is asked, once it is known by whom.
pub(crate) struct Asked<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) body: &'a Bytes,
    pub(crate) range: Option<&'a str>,
    pub(crate) progress: Option<&'a str>,
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str())
}

pub(crate) fn json<T: Serialize>(value: &T) -> Answered {
    serde_json::to_vec(value).map(|bytes| (200, bytes.into())).map_err(|_| ProblemCode::Internal)
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProblemCode> {
    serde_json::from_slice(body).map_err(|_| ProblemCode::BadRequest)
}

pub(crate) const fn stored() -> Answered {
    Ok((201, Bytes::new()))
}

pub(crate) const fn unchanged() -> Answered {
    Ok((200, Bytes::new()))
}

/// A refusal, as it is answered.
pub(crate) fn refusal(code: ProblemCode) -> (u16, Bytes) {
    let problem = Problem::new(code, None, None);
    (code.status(), serde_json::to_vec(&problem).unwrap_or_default().into())
}

impl Server {
    pub(crate) fn new(organisation: OrganisationId) -> Self {
        Self { organisation: Some(organisation), ..Self::default() }
    }

    /// Answers a request as it came.
    pub(crate) fn handle(&mut self, now: Timestamp, request: &Request) -> (u16, Bytes) {
        self.try_handle(now, request).unwrap_or_else(refusal)
    }

    fn try_handle(&mut self, now: Timestamp, request: &Request) -> Answered {
        let (path, query) = target(request);
        let actor = self.authenticate(now, request, path, query)?;
        let asked = Asked {
            method: request.method,
            path,
            query,
            body: &request.body,
            range: header(request, "range"),
            progress: header(request, SEGMENT_PROGRESS),
        };
        self.act(now, actor, &asked)
    }

    fn authenticate(
        &mut self,
        now: Timestamp,
        request: &Request,
        path: &str,
        query: Option<&str>,
    ) -> Result<Actor, ProblemCode> {
        let missing = ProblemCode::SignatureMissing;
        let digest = header(request, CONTENT_DIGEST).and_then(|value| parse_content_digest(value).ok());
        let input = header(request, SIGNATURE_INPUT).and_then(|value| SignatureInput::parse(value).ok());
        let signature = header(request, SIGNATURE).and_then(|value| parse_signature(value).ok());
        let (Some(content_digest), Some(input), Some(signature)) = (digest, input, signature) else {
            return Err(missing);
        };
        if input.created.abs_diff(now.unix_seconds()) > FRESH.unsigned_abs() {
            return Err(ProblemCode::SignatureStale);
        }
        let enrols = request.method == Method::Post && path == "/v1/accounts";
        let submitted: Option<Enrol> = if enrols { Some(parse(&request.body)?) } else { None };
        let known = submitted.as_ref().map(|enrol| &enrol.key_list);
        let known = known.into_iter().chain(self.accounts.values().filter_map(|row| row.key_lists.last()));
        let device = known
            .filter_map(|list| {
                let list = list.unverified();
                Some((list.account, list.device(input.key_id, DeviceRole::Auth)?.key))
            })
            .next();
        let (account, key) = device.ok_or(ProblemCode::UnknownKey)?;
        let target = RequestTarget {
            method: request.method.as_str(),
            authority: AUTHORITY,
            path,
            query,
            content_digest,
            covered: CoveredHeader::ALL
                .into_iter()
                .find_map(|covered| Some((covered, header(request, covered.name())?))),
        };
        if target.verify(&input, &signature, &key).is_err() {
            self.seen.forged += 1;
            return Err(ProblemCode::SignatureInvalid);
        }
        if !self.nonces.insert((input.key_id, *input.nonce.as_bytes())) {
            self.seen.replays += 1;
            return Err(ProblemCode::SignatureReplayed);
        }
        if Digest::of(&request.body) != content_digest {
            return Err(ProblemCode::DigestMismatch);
        }
        Ok(Actor { account, key: input.key_id })
    }

    /// Does what `actor` may ask for.
    pub(crate) fn act(&mut self, now: Timestamp, actor: Actor, asked: &Asked<'_>) -> Answered {
        let rest = asked.path.strip_prefix("/v1/").ok_or(ProblemCode::NotFound)?;
        let pieces: Vec<&str> = rest.split('/').collect();
        match (asked.method, pieces.as_slice()) {
            (Method::Post, ["accounts"]) => self.enrol(now, actor, &parse(asked.body)?),
            (Method::Get, ["accounts"]) => self.matches(asked.query),
            (Method::Get, ["accounts", account]) => {
                let row = self.accounts.get(&id(account)?).ok_or(ProblemCode::NotFound)?;
                let CertificateChain { issuer, certificate } = row.chain.clone();
                json(&DirectoryEntry { issuer, certificate, key_lists: row.key_lists.clone() })
            }
            (Method::Get, ["accounts", account, "last"]) => {
                let account: AccountId = id(account)?;
                if account != actor.account {
                    return Err(ProblemCode::NotFound);
                }
                let of_device =
                    self.recordings.iter().filter(|stored| stored.checked.manifest().sealer_key == actor.key);
                let newest = of_device.max_by_key(|stored| stored.checked.manifest().sequence);
                json(&Last { manifest: newest.map(|stored| stored.manifest.clone()) })
            }
            (Method::Put, ["accounts", account, "certificate"]) => {
                self.replace_certificate(now, id(account)?, parse(asked.body)?)
            }
            (_, ["comparisons", other, rest @ ..]) => self.compare(now, actor, id(other)?, rest, asked),
            (Method::Post, ["recordings"]) => self.create(now, actor, &parse(asked.body)?),
            (Method::Get, ["statements"]) => self.named(asked.query),
            (Method::Get, ["recordings"]) => self.page(actor, asked.query),
            (method, ["recordings", recording, rest @ ..]) => {
                let recording: RecordingId = id(recording)?;
                let at = self.recordings.iter().position(|stored| stored.id == recording);
                let stored = at.and_then(|at| self.recordings.get_mut(at)).ok_or(ProblemCode::NotFound)?;
                if method == Method::Get {
                    stored.read(actor, rest, asked.range)
                } else {
                    let manifest = stored.checked.manifest();
                    if manifest.sealer_key != actor.key {
                        let party = [manifest.patient, manifest.clinician, manifest.sealer];
                        let party = party.contains(&actor.account);
                        return Err(if party { ProblemCode::Forbidden } else { ProblemCode::NotFound });
                    }
                    let answer = stored.write(now, rest, asked, &mut self.seen);
                    if matches!(answer, Ok((201, _))) {
                        stored.last_stored = now;
                    }
                    answer
                }
            }
            _ => Err(ProblemCode::NotFound),
        }
    }

    fn enrol(&mut self, now: Timestamp, actor: Actor, enrol: &Enrol) -> Answered {
        let refused = ProblemCode::CredentialsRefused;
        let account = enrol.key_list.unverified().account;
        let list = verify_key_list(&enrol.key_list, account).map_err(|_| refused)?;
        let organisation = self.organisation.ok_or(ProblemCode::Internal)?;
        let signed = enrol.chain.verify_signatures(organisation, account).map_err(|_| refused)?;
        Known::default().check_chain_now(&signed, now).map_err(|_| refused)?;
        if account != actor.account {
            return Err(ProblemCode::UnknownKey);
        }
        let Some(row) = self.accounts.get_mut(&account) else {
            if list.number != 1 {
                return Err(refused);
            }
            let row = Enrolled { chain: enrol.chain.clone(), key_lists: vec![enrol.key_list.clone()] };
            self.accounts.insert(account, row);
            return stored();
        };
        if enrol.chain.is_newer_than(&row.chain) {
            row.chain = enrol.chain.clone();
        }
        let number = usize::try_from(list.number).unwrap_or(usize::MAX);
        match row.key_lists.get(number - 1) {
            Some(same) if *same == enrol.key_list => unchanged(),
            Some(_) => Err(ProblemCode::Conflict),
            None if number == row.key_lists.len() + 1
                && list.previous == row.key_lists.last().map(Envelope::digest) =>
            {
                row.key_lists.push(enrol.key_list.clone());
                unchanged()
            }
            None => Err(refused),
        }
    }

    fn replace_certificate(
        &mut self,
        now: Timestamp,
        account: AccountId,
        chain: CertificateChain,
    ) -> Answered {
        let refused = ProblemCode::CredentialsRefused;
        let organisation = self.organisation.ok_or(ProblemCode::Internal)?;
        let row = self.accounts.get_mut(&account).ok_or(ProblemCode::NotFound)?;
        if row.chain == chain {
            return unchanged();
        }
        let signed = chain.verify_signatures(organisation, account).map_err(|_| refused)?;
        signed.check_begun(now).map_err(|_| refused)?;
        if !chain.is_newer_than(&row.chain) {
            return Err(refused);
        }
        row.chain = chain;
        stored()
    }

    fn matches(&self, query: Option<&str>) -> Answered {
        let prefix = query.and_then(|query| query.strip_prefix("prefix=")).ok_or(ProblemCode::BadRequest)?;
        let accounts = self.accounts.keys().filter(|account| account.to_string().starts_with(prefix));
        json(&AccountMatches { accounts: accounts.take(10).copied().collect() })
    }

    fn create(&mut self, now: Timestamp, actor: Actor, body: &CreateRecording) -> Answered {
        let claimed = body.manifest.unverified();
        self.seen.manifest(claimed.sealer_key, claimed.sequence, body.manifest.digest());
        let text = String::from_utf8(body.manifest.bytes().to_vec()).map_err(|_| ProblemCode::BadRequest)?;
        let same = self.recordings.iter().find(|stored| {
            let manifest = stored.checked.manifest();
            stored.id == claimed.recording
                || (manifest.sealer_key == claimed.sealer_key && manifest.sequence == claimed.sequence)
        });
        if let Some(stored) = same {
            return if stored.manifest == text { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        let organisation = self.organisation.ok_or(ProblemCode::Internal)?;
        let refused = ProblemCode::StatementRefused;
        let mut named = self.statements.clone();
        for envelope in &body.statements {
            let digest = payload_digest(envelope.as_bytes()).ok_or(refused)?;
            if !claimed.named_statements().contains(&digest) {
                return Err(refused);
            }
            named.insert(digest, envelope.as_bytes());
        }
        let checked = CheckedManifest::check(
            claimed.recording,
            organisation,
            body.manifest.bytes(),
            &named,
            &Known::default(),
        );
        let checked = checked.map_err(|_| refused)?;
        let key = base64::decode(&body.key).ok_or(ProblemCode::BadRequest)?;
        check_key_object(checked.manifest(), &key).map_err(|_| refused)?;
        if checked.manifest().sealer_key != actor.key {
            return Err(ProblemCode::Forbidden);
        }
        if claimed.created.unix_seconds().abs_diff(now.unix_seconds()) > 30 * 24 * 3600 {
            return Err(refused);
        }
        self.statements = named;
        self.recordings.push(Stored {
            id: claimed.recording,
            checked,
            manifest: text,
            key: key.into(),
            segments: Vec::new(),
            details: None,
            final_seal: None,
            last_stored: now,
        });
        stored()
    }

    fn named(&self, query: Option<&str>) -> Answered {
        let mut statements = Vec::new();
        for field in query.unwrap_or_default().split('&') {
            let digest = field.strip_prefix("digest=").ok_or(ProblemCode::BadRequest)?;
            let digest = digest.parse().map_err(|_| ProblemCode::BadRequest)?;
            let envelope = self.statements.bytes(&digest).ok_or(ProblemCode::NotFound)?;
            statements.push(String::from_utf8_lossy(envelope).into_owned());
        }
        if statements.len() > MAX_ASKED_STATEMENTS {
            return Err(ProblemCode::BadRequest);
        }
        json(&Statements { statements })
    }

    fn page(&self, actor: Actor, query: Option<&str>) -> Answered {
        let mut prefix = "";
        let mut after = None;
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            match pair.split_once('=') {
                Some(("prefix", value)) => prefix = value,
                Some(("after", value)) => {
                    after = Some(value.parse::<usize>().map_err(|_| ProblemCode::BadRequest)?);
                }
                Some(("limit", _)) => {}
                _ => return Err(ProblemCode::BadRequest),
            }
        }
        let newest_first = self.recordings.iter().enumerate().rev();
        let mut of_caller = newest_first.filter(|(at, stored)| {
            stored.has_party(actor.account)
                && after.is_none_or(|after| *at < after)
                && stored.id.to_string().starts_with(prefix)
        });
        let page: Vec<(usize, &Stored)> = of_caller.by_ref().take(PAGE).collect();
        let next = of_caller.next().and(page.last()).map(|(at, _)| at.to_string());
        let recordings = page
            .into_iter()
            .map(|(_, stored)| RecordingEntry {
                recording: stored.id,
                finished: stored.final_seal.is_some(),
                bytes: stored.segments.iter().map(StoredSegment::bytes).sum(),
            })
            .collect();
        json(&RecordingPage { recordings, next })
    }
}

/// Path and query of a request to this server.
pub(crate) fn target(request: &Request) -> (&str, Option<&str>) {
    let rest = request.url.strip_prefix(ADDRESS).unwrap_or_default();
    rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)))
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, ProblemCode> {
    text.parse().map_err(|_| ProblemCode::NotFound)
}
