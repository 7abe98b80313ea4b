//! A recording on the model server: what it takes of one, in which order, and what it gives (PROTOCOL.md, "Creating and
//! filling a recording", "Reading").

use std::collections::BTreeMap;

use bytes::Bytes;
use vault_engine::effects::Method;
use vault_proto::base64;
use vault_proto::byte_ranges::{self, Requested};
use vault_proto::envelope::{Envelope, Verified};
use vault_proto::geometry::PartChunks;
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::object;
use vault_proto::problem::ProblemCode;
use vault_proto::recording::CheckedManifest;
use vault_proto::statements::{FinalSeal, SegmentProgress, SegmentSeal};
use vault_proto::timestamp::Timestamp;
use vault_proto::tree;
use vault_proto::wire::{MAX_PARTS_AHEAD, OpenSegment, RecordingRecord, SegmentRecord};

use crate::seen::Seen;
use crate::server::{Actor, Answered, Asked, json, parse, stored, unchanged};

/// A recording.
pub(crate) struct Stored {
    pub(crate) id: RecordingId,
    pub(crate) checked: CheckedManifest,
    pub(crate) manifest: String,
    pub(crate) key: Bytes,
    pub(crate) segments: Vec<StoredSegment>,
    pub(crate) details: Option<Bytes>,
    pub(crate) final_seal: Option<Envelope<FinalSeal>>,
    pub(crate) last_stored: Timestamp,
}

/// One of its segments.
pub(crate) struct StoredSegment {
    track: u8,
    part_chunks: PartChunks,
    header: Bytes,
    pub(crate) parts: BTreeMap<u32, (Bytes, Digest)>,
    pub(crate) seal: Option<Verified<SegmentSeal>>,
    seal_bytes: String,
    progress: Vec<(u32, String)>,
}

impl StoredSegment {
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.values().map(|(bytes, _)| bytes.len() as u64).sum()
    }

    /// Parts up to the first gap, or the first that is not full, that part included.
    fn without_gap(&self) -> Vec<&(Bytes, Digest)> {
        let mut parts = Vec::new();
        for (number, part) in (0u32..).map_while(|number| Some((number, self.parts.get(&number)?))) {
            parts.push(part);
            if part.0.len() != self.part_chunks.full_length(number) {
                break;
            }
        }
        parts
    }
}

impl Stored {
    pub(crate) fn has_party(&self, account: AccountId) -> bool {
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
            let covered =
                segment.progress.iter().map(|(covers, _)| *covers).filter(|covers| *covers <= parts);
            u64::from(covered.max().unwrap_or(0)) * segment.part_chunks.plaintext() as u64
        };
        let of = |segment| sealed(segment).map_or_else(|| growing(segment), |shape| shape.plaintext_length());
        self.segments.iter().map(of).sum()
    }

    pub(crate) fn read(&self, actor: Actor, rest: &[&str], range: Option<&str>) -> Answered {
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
            ["keys", "0"] => Ok((200, self.key.clone())),
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
                parts: count,
                bytes: parts.iter().map(|(bytes, _)| bytes.len() as u64).sum(),
                seal: segment.seal.is_some().then(|| segment.seal_bytes.clone()),
                progress: newest.filter(|_| self.final_seal.is_none()).map(|(_, text)| text.clone()),
            }
        });
        let text = |envelope: &Envelope<FinalSeal>| String::from_utf8_lossy(envelope.bytes()).into_owned();
        RecordingRecord {
            manifest: self.manifest.clone(),
            segments: segments.collect(),
            final_seal: self.final_seal.as_ref().map(text),
            details_bytes: self.details.as_ref().map(|details| details.len() as u64),
            last_stored: self.last_stored,
        }
    }

    pub(crate) fn write(
        &mut self,
        now: Timestamp,
        rest: &[&str],
        asked: &Asked<'_>,
        seen: &mut Seen,
    ) -> Answered {
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
            let same = segment.track == body.track
                && segment.part_chunks == body.part_chunks
                && segment.header == header;
            return if same { unchanged() } else { Err(ProblemCode::Conflict) };
        }
        let ready = self.segments.last().is_none_or(|last| last.seal.is_some());
        if index as usize != self.segments.len() || !ready || self.final_seal.is_some() {
            return Err(ProblemCode::OutOfOrder);
        }
        self.segments.push(StoredSegment {
            track: body.track,
            part_chunks: body.part_chunks,
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
        if !segment.part_chunks.is_possible_length(number, asked.body.len()) {
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
                && verified.part_chunks == segment.part_chunks
                && verified.header == Digest::of(&segment.header)
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
        seen.seal(self.id, index, (verified.digest(), verified.supersedes));
        let segment = self.segments.get_mut(index as usize).ok_or(ProblemCode::OutOfOrder)?;
        if let Some(sealed) = &segment.seal {
            return if sealed.digest() == verified.digest() {
                unchanged()
            } else {
                Err(ProblemCode::Conflict)
            };
        }
        let parts: Option<Vec<&(Bytes, Digest)>> =
            (0..verified.parts).map(|part| segment.parts.get(&part)).collect();
        let Some(parts) = parts else {
            return Err(ProblemCode::OutOfOrder);
        };
        let length: u64 = parts.iter().map(|(bytes, _)| bytes.len() as u64).sum();
        let root = tree::parts_root(parts.iter().map(|(_, hash)| hash));
        let of_segment = verified.track == segment.track && verified.header == Digest::of(&segment.header);
        if root != verified.parts_root || length != verified.body_length || !of_segment {
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
            seen.end(self.id, (envelope.digest(), envelope.unverified().supersedes));
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
