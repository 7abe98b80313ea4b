//! The storage server, as PROTOCOL.md has it and as far as a client notices: what it checks, what it keeps, in which
//! order it takes things. It says what is true; [`crate::hostile`] stands in front of it.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault_engine::effects::{Method, Request};
use vault_proto::base64;
use vault_proto::byte_ranges::{self, Requested};
use vault_proto::credentials::{CertificateChain, verify_key_list};
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::geometry;
use vault_proto::http_signature::{
    CONTENT_DIGEST, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput, parse_content_digest,
    parse_signature,
};
use vault_proto::ids::{AccountId, ComparisonNonce, Digest, KeyId, OrganisationId, RecordingId};
use vault_proto::object;
use vault_proto::problem::{Problem, ProblemCode};
use vault_proto::recording::CheckedManifest;
use vault_proto::statements::{DeviceRole, FinalSeal, KeyList, SegmentProgress, SegmentSeal};
use vault_proto::timestamp::Timestamp;
use vault_proto::tree;
use vault_proto::wire::{
    AccountMatches, COMPARISON_LIFETIME, ComparisonSide, ComparisonState, CreateRecording, DirectoryEntry,
    Enrol, Last, MAX_PARTS_AHEAD, OpenSegment, RecordingEntry, RecordingPage, RecordingRecord, SEGMENT_PROGRESS,
    SegmentRecord,
};

/// What every device in the world calls it.
pub(crate) const ADDRESS: &str = "https://vault.example";
const AUTHORITY: &str = "vault.example";
/// Seconds by which a request may differ from the server's clock.
const FRESH: i64 = 120;
/// Entries of a page, small so that lists have several.
const PAGE: usize = 3;

type Answered = Result<(u16, Bytes), ProblemCode>;

#[derive(Default)]
pub(crate) struct Server {
    organisation: Option<OrganisationId>,
    pub(crate) accounts: BTreeMap<AccountId, Enrolled>,
    nonces: HashSet<(KeyId, [u8; 16])>,
    pub(crate) recordings: Vec<Stored>,
    sides: BTreeMap<(AccountId, AccountId), CommittedSide>,
    commitments: u64,
    /// Every nonce that was ever revealed, by whom and to whom.
    pub(crate) revealed: Vec<(AccountId, AccountId, ComparisonNonce)>,
    /// Words over which the world has to be told that something impossible came.
    pub(crate) seen: Seen,
}

/// What was ever sent here, whatever became of it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Two ends of one recording, two seals of one segment, other bytes under one key and number.
    pub(crate) contradictions: Vec<String>,
    /// Requests that had come before.
    pub(crate) replays: u64,
    /// Requests whose signature did not fit.
    pub(crate) forged: u64,
    ends: BTreeMap<RecordingId, Digest>,
    seals: BTreeMap<(RecordingId, u32), Digest>,
    parts: BTreeMap<(Digest, u32), Digest>,
    sequences: BTreeMap<(KeyId, u64), Digest>,
}

pub(crate) struct Enrolled {
    pub(crate) chain: CertificateChain,
    pub(crate) key_lists: Vec<Envelope<KeyList>>,
}

pub(crate) struct Stored {
    pub(crate) id: RecordingId,
    checked: CheckedManifest,
    manifest: String,
    credentials: String,
    pub(crate) segments: Vec<StoredSegment>,
    details: Option<Bytes>,
    pub(crate) final_seal: Option<Envelope<FinalSeal>>,
    last_stored: Timestamp,
}

pub(crate) struct StoredSegment {
    track: u8,
    header: Bytes,
    pub(crate) parts: BTreeMap<u32, (Bytes, Digest)>,
    pub(crate) seal: Option<Verified<SegmentSeal>>,
    seal_bytes: String,
    progress: Vec<(u32, String)>,
}

struct CommittedSide {
    commitment: Digest,
    nonce: Option<ComparisonNonce>,
    order: u64,
    at: Timestamp,
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

fn json<T: Serialize>(value: &T) -> Answered {
    serde_json::to_vec(value).map(|bytes| (200, bytes.into())).map_err(|_| ProblemCode::Internal)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProblemCode> {
    serde_json::from_slice(body).map_err(|_| ProblemCode::BadRequest)
}

const fn stored() -> Answered {
    Ok((201, Bytes::new()))
}

const fn unchanged() -> Answered {
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
                let of_device = self.recordings.iter().filter(|stored| {
                    stored.checked.manifest().sealer_key == actor.key
                });
                let newest = of_device.max_by_key(|stored| stored.checked.manifest().sequence);
                json(&Last { manifest: newest.map(|stored| stored.manifest.clone()) })
            }
            (Method::Put, ["accounts", account, "certificate"]) => {
                self.replace_certificate(now, id(account)?, parse(asked.body)?)
            }
            (_, ["comparisons", other, rest @ ..]) => self.compare(now, actor, id(other)?, rest, asked),
            (Method::Post, ["recordings"]) => self.create(now, actor, &parse(asked.body)?),
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
        enrol.chain.verify(organisation, account, now).map_err(|_| refused)?;
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

    fn replace_certificate(&mut self, now: Timestamp, account: AccountId, chain: CertificateChain) -> Answered {
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

    fn compare(
        &mut self,
        now: Timestamp,
        actor: Actor,
        other: AccountId,
        rest: &[&str],
        asked: &Asked<'_>,
    ) -> Answered {
        if other == actor.account {
            return Err(ProblemCode::BadRequest);
        }
        if !self.accounts.contains_key(&other) {
            return Err(ProblemCode::NotFound);
        }
        self.sides.retain(|_, side| side.at.saturating_add(COMPARISON_LIFETIME) >= now);
        let (own, theirs) = ((actor.account, other), (other, actor.account));
        let value = || <[u8; 32]>::try_from(asked.body.as_ref()).map_err(|_| ProblemCode::BadRequest);
        let shown = |side: &CommittedSide| ComparisonSide { commitment: side.commitment, nonce: side.nonce };
        match (asked.method, rest) {
            (Method::Put, ["commitment"]) => {
                let commitment = Digest::from_bytes(value()?);
                if let Some(before) = self.sides.get(&own) {
                    if before.commitment == commitment {
                        return unchanged();
                    }
                    let revealed = before.nonce.is_some()
                        || self.sides.get(&theirs).is_some_and(|side| side.nonce.is_some());
                    if revealed {
                        self.sides.remove(&theirs);
                    }
                }
                self.commitments += 1;
                let side = CommittedSide { commitment, nonce: None, order: self.commitments, at: now };
                self.sides.insert(own, side);
                stored()
            }
            (Method::Put, ["nonce"]) => {
                let nonce = ComparisonNonce::from_bytes(value()?);
                let before = self.sides.get(&theirs).map(|side| (side.order, side.nonce.is_some()));
                let side = self.sides.get_mut(&own).ok_or(ProblemCode::NotFound)?;
                let (order, revealed) = before.ok_or(ProblemCode::OutOfOrder)?;
                if order < side.order && !revealed {
                    return Err(ProblemCode::OutOfOrder);
                }
                match side.nonce {
                    Some(same) if same == nonce => unchanged(),
                    Some(_) => Err(ProblemCode::Conflict),
                    None => {
                        side.nonce = Some(nonce);
                        self.revealed.push((actor.account, other, nonce));
                        stored()
                    }
                }
            }
            (Method::Get, []) => {
                let side = self.sides.get(&own).ok_or(ProblemCode::NotFound)?;
                let theirs = self.sides.get(&theirs);
                json(&ComparisonState {
                    own: shown(side),
                    other: theirs.map(shown),
                    first: theirs.is_none_or(|theirs| side.order < theirs.order),
                })
            }
            (Method::Delete, []) => {
                if self.sides.remove(&own).is_some() { stored() } else { unchanged() }
            }
            _ => Err(ProblemCode::NotFound),
        }
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
            let equal = stored.manifest == text && stored.credentials == body.credentials;
            return if equal { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        let organisation = self.organisation.ok_or(ProblemCode::Internal)?;
        let refused = ProblemCode::StatementRefused;
        let checked = CheckedManifest::check(
            claimed.recording,
            organisation,
            body.manifest.bytes(),
            body.credentials.as_bytes(),
        );
        let checked = checked.map_err(|_| refused)?;
        if checked.manifest().sealer_key != actor.key {
            return Err(ProblemCode::Forbidden);
        }
        if claimed.created.unix_seconds().abs_diff(now.unix_seconds()) > 30 * 24 * 3600 {
            return Err(refused);
        }
        self.recordings.push(Stored {
            id: claimed.recording,
            checked,
            manifest: text,
            credentials: body.credentials.clone(),
            segments: Vec::new(),
            details: None,
            final_seal: None,
            last_stored: now,
        });
        stored()
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

impl StoredSegment {
    fn bytes(&self) -> u64 {
        self.parts.values().map(|(bytes, _)| bytes.len() as u64).sum()
    }

    /// Parts up to the first gap, or the first that is not full, that part included.
    fn without_gap(&self) -> Vec<&(Bytes, Digest)> {
        let mut parts = Vec::new();
        for (number, part) in (0u32..).map_while(|number| Some((number, self.parts.get(&number)?))) {
            parts.push(part);
            if part.0.len() != geometry::full_part_length(number) {
                break;
            }
        }
        parts
    }
}

impl Stored {
    fn has_party(&self, account: AccountId) -> bool {
        let manifest = self.checked.manifest();
        [manifest.patient, manifest.clinician, manifest.sealer].contains(&account)
    }

    /// Hash of a part, if it is here.
    pub(crate) fn part(&self, segment: u32, part: u32) -> Option<Digest> {
        Some(self.segments.get(usize::try_from(segment).ok()?)?.parts.get(&part)?.1)
    }

    /// Digest of its manifest.
    pub(crate) fn manifest_digest(&self) -> Digest {
        self.checked.manifest().digest()
    }

    /// Plaintext bytes that its readers can open, whatever dies next.
    pub(crate) fn proven(&self) -> u64 {
        let sealed = |segment: &StoredSegment| segment.seal.as_ref().and_then(|seal| seal.shape());
        let growing = |segment: &StoredSegment| {
            let parts = u32::try_from(segment.without_gap().len()).unwrap_or(0);
            let covered = segment.progress.iter().map(|(covers, _)| *covers).filter(|covers| *covers <= parts);
            u64::from(covered.max().unwrap_or(0)) * geometry::PART_PLAINTEXT as u64
        };
        let of = |segment| sealed(segment).map_or_else(|| growing(segment), |shape| shape.plaintext_length());
        self.segments.iter().map(of).sum()
    }

    fn read(&self, actor: Actor, rest: &[&str], range: Option<&str>) -> Answered {
        let manifest = self.checked.manifest();
        if !self.has_party(actor.account) {
            return Err(ProblemCode::NotFound);
        }
        let segment = |index: &str| {
            let index = object::parse_number(index).ok_or(ProblemCode::NotFound)?;
            self.segments.get(index as usize).ok_or(ProblemCode::NotFound)
        };
        let reads = [manifest.patient, manifest.clinician].contains(&actor.account);
        match rest {
            [] => json(&self.record()),
            ["segments", index, "parts"] => {
                let hashes = segment(index)?.without_gap().into_iter().flat_map(|(_, hash)| *hash.as_bytes());
                Ok((200, hashes.collect()))
            }
            _ if !reads => Err(ProblemCode::Forbidden),
            ["segments", index, "header"] => Ok((200, segment(index)?.header.clone())),
            ["segments", index, "body"] => segment(index)?.body(range),
            ["details"] => self.details.clone().map(|details| (200, details)).ok_or(ProblemCode::NotFound),
            _ => Err(ProblemCode::NotFound),
        }
    }

    fn record(&self) -> RecordingRecord {
        let segments = self.segments.iter().map(|segment| {
            let parts = segment.without_gap();
            let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            let mut covered = segment.progress.iter().filter(|(parts, _)| *parts <= count);
            let newest = covered.by_ref().max_by_key(|(parts, _)| *parts);
            SegmentRecord {
                track: segment.track,
                header_generation: 0,
                parts: count,
                bytes: parts.iter().map(|(bytes, _)| bytes.len() as u64).sum(),
                seal: segment.seal.is_some().then(|| segment.seal_bytes.clone()),
                progress: newest.filter(|_| self.final_seal.is_none()).map(|(_, text)| text.clone()),
            }
        });
        let text = |envelope: &Envelope<FinalSeal>| String::from_utf8_lossy(envelope.bytes()).into_owned();
        RecordingRecord {
            manifest: self.manifest.clone(),
            credentials: self.credentials.clone(),
            segments: segments.collect(),
            final_seal: self.final_seal.as_ref().map(text),
            details_bytes: self.details.as_ref().map(|details| details.len() as u64),
            last_stored: self.last_stored,
        }
    }

    fn write(&mut self, now: Timestamp, rest: &[&str], asked: &Asked<'_>, seen: &mut Seen) -> Answered {
        let number = |text: &str| object::parse_number(text).ok_or(ProblemCode::NotFound);
        match (asked.method, rest) {
            (Method::Put, ["segments", index]) => self.open(number(index)?, &parse(asked.body)?),
            (Method::Delete, ["segments", index]) => self.abandon(number(index)?),
            (Method::Put, ["segments", index, "parts", part]) => {
                self.put_part(number(index)?, number(part)?, asked, seen)
            }
            (Method::Put, ["segments", index, "seal"]) => self.seal(number(index)?, asked.body, seen),
            (Method::Put, ["details"]) => {
                if let Some(final_seal) = &self.final_seal {
                    let same = final_seal.unverified().details == Digest::of(asked.body);
                    return if same { unchanged() } else { Err(ProblemCode::OutOfOrder) };
                }
                if self.details.as_ref() == Some(asked.body) {
                    return unchanged();
                }
                self.details = Some(asked.body.clone());
                stored()
            }
            (Method::Put, ["final"]) => self.end(now, asked.body, seen),
            _ => Err(ProblemCode::NotFound),
        }
    }

    fn open(&mut self, index: u32, body: &OpenSegment) -> Answered {
        let header = Bytes::from(base64::decode(&body.header).ok_or(ProblemCode::BadRequest)?);
        if let Some(segment) = self.segments.get(index as usize) {
            let same = segment.track == body.track && segment.header == header;
            return if same { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        let ready = self.segments.last().is_none_or(|last| last.seal.is_some());
        if index as usize != self.segments.len() || !ready || self.final_seal.is_some() {
            return Err(ProblemCode::OutOfOrder);
        }
        self.segments.push(StoredSegment {
            track: body.track,
            header,
            parts: BTreeMap::new(),
            seal: None,
            seal_bytes: String::new(),
            progress: Vec::new(),
        });
        stored()
    }

    fn abandon(&mut self, index: u32) -> Answered {
        let index = index as usize;
        match self.segments.get(index) {
            None => unchanged(),
            Some(segment) if segment.seal.is_some() || index + 1 != self.segments.len() => {
                Err(ProblemCode::OutOfOrder)
            }
            Some(_) => {
                self.segments.pop();
                stored()
            }
        }
    }

    fn put_part(&mut self, index: u32, number: u32, asked: &Asked<'_>, seen: &mut Seen) -> Answered {
        let id = self.id;
        let before = index.checked_sub(1).and_then(|before| self.segments.get(before as usize));
        let before = before.and_then(|segment| segment.seal.as_ref()).map(Verified::digest);
        let segment = self.segments.get_mut(index as usize).ok_or(ProblemCode::OutOfOrder)?;
        if !geometry::is_possible_part_length(number, asked.body.len()) {
            return Err(ProblemCode::BadRequest);
        }
        let digest = Digest::of(asked.body);
        seen.part(id, Digest::of(&segment.header), number, digest);
        if let Some((_, hash)) = segment.parts.get(&number) {
            return if *hash == digest { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        let gap = (0..).find(|part| !segment.parts.contains_key(part)).unwrap_or(0);
        if segment.seal.is_some() || number > gap.saturating_add(MAX_PARTS_AHEAD) {
            return Err(ProblemCode::OutOfOrder);
        }
        if let Some(text) = asked.progress {
            let refused = ProblemCode::StatementRefused;
            let progress = Envelope::<SegmentProgress>::parse(text.as_bytes()).map_err(|_| refused)?;
            let manifest = self.checked.manifest();
            let verified = progress.verify(manifest.sealer_key, manifest.signer()).map_err(|_| refused)?;
            let fits = verified.manifest == manifest.digest()
                && verified.index == index
                && verified.track == segment.track
                && verified.parts == number + 1
                && verified.previous == before;
            if !fits {
                return Err(refused);
            }
            segment.progress.push((number + 1, text.to_owned()));
        }
        segment.parts.insert(number, (asked.body.clone(), digest));
        stored()
    }

    fn seal(&mut self, index: u32, body: &Bytes, seen: &mut Seen) -> Answered {
        let refused = ProblemCode::StatementRefused;
        let seal = Envelope::<SegmentSeal>::parse(body).map_err(|_| refused)?;
        let before = index.checked_sub(1).and_then(|before| self.segments.get(before as usize));
        let before = before.and_then(|segment| segment.seal.as_ref());
        let verified = self.checked.check_seal(index, before, &seal).map_err(|_| refused)?;
        seen.seal(self.id, index, verified.digest());
        let segment = self.segments.get_mut(index as usize).ok_or(ProblemCode::OutOfOrder)?;
        if let Some(sealed) = &segment.seal {
            return if sealed.digest() == verified.digest() { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        let parts: Option<Vec<&(Bytes, Digest)>> =
            (0..verified.parts).map(|part| segment.parts.get(&part)).collect();
        let Some(parts) = parts else {
            return Err(ProblemCode::OutOfOrder);
        };
        let length: u64 = parts.iter().map(|(bytes, _)| bytes.len() as u64).sum();
        let root = tree::parts_root(parts.iter().map(|(_, hash)| hash));
        if root != verified.parts_root || length != verified.body_length || verified.track != segment.track {
            return Err(refused);
        }
        segment.parts.retain(|part, _| *part < verified.parts);
        segment.seal_bytes = String::from_utf8_lossy(seal.bytes()).into_owned();
        segment.seal = Some(verified);
        stored()
    }

    fn end(&mut self, _now: Timestamp, body: &Bytes, seen: &mut Seen) -> Answered {
        let refused = ProblemCode::StatementRefused;
        let envelope = Envelope::<FinalSeal>::parse(body).map_err(|_| refused)?;
        let seals: Vec<Verified<SegmentSeal>> =
            self.segments.iter().filter_map(|segment| segment.seal.clone()).collect();
        let manifest = self.checked.manifest();
        if envelope.verify(manifest.sealer_key, manifest.signer()).is_ok() {
            seen.end(self.id, envelope.digest());
        }
        if let Some(known) = &self.final_seal {
            return if *known == envelope { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        if seals.len() != self.segments.len() || self.details.is_none() {
            return Err(ProblemCode::OutOfOrder);
        }
        let verified = self.checked.check_final(&seals, &envelope).map_err(|_| refused)?;
        if self.details.as_ref().map(|details| Digest::of(details)) != Some(verified.details) {
            return Err(refused);
        }
        self.final_seal = Some(envelope);
        stored()
    }
}

impl StoredSegment {
    fn body(&self, range: Option<&str>) -> Answered {
        let parts = self.without_gap();
        let length: u64 = parts.iter().map(|(bytes, _)| bytes.len() as u64).sum();
        let (status, wanted) = match byte_ranges::requested(range, length) {
            Requested::Whole => (200, 0..length),
            Requested::Part(wanted) => (206, wanted),
            Requested::Unsatisfiable => return Err(ProblemCode::RangeNotSatisfiable),
        };
        let mut body = Vec::new();
        let mut offset = 0;
        for (bytes, _) in parts {
            let end = offset + bytes.len() as u64;
            let (from, to) = (wanted.start.max(offset), wanted.end.min(end));
            if from < to {
                let place = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
                if wanted == (offset..end) {
                    return Ok((status, bytes.clone()));
                }
                body.extend_from_slice(bytes.get(place(from)..place(to)).unwrap_or_default());
            }
            offset = end;
        }
        Ok((status, body.into()))
    }
}

impl Seen {
    /// The end that was sent for a recording.
    pub(crate) fn end_of(&self, recording: RecordingId) -> Option<Digest> {
        self.ends.get(&recording).copied()
    }

    fn end(&mut self, recording: RecordingId, digest: Digest) {
        if *self.ends.entry(recording).or_insert(digest) != digest {
            self.contradictions.push(format!("two ends of recording {recording} were sent"));
        }
    }

    fn seal(&mut self, recording: RecordingId, segment: u32, digest: Digest) {
        if *self.seals.entry((recording, segment)).or_insert(digest) != digest {
            let two = format!("two seals of segment {segment} of recording {recording} were sent");
            self.contradictions.push(two);
        }
    }

    fn part(&mut self, recording: RecordingId, header: Digest, part: u32, digest: Digest) {
        if *self.parts.entry((header, part)).or_insert(digest) != digest {
            let two = format!("part {part} of recording {recording} was sealed twice under one key");
            self.contradictions.push(two);
        }
    }

    fn manifest(&mut self, device: KeyId, sequence: u64, digest: Digest) {
        if *self.sequences.entry((device, sequence)).or_insert(digest) != digest {
            self.contradictions.push(format!("number {sequence} of a device names two manifests"));
        }
    }
}
