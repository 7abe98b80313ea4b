//! What stands between a device and the honest server: a network that loses, repeats and delays, and a server that does
//! anything with what it was given but make signatures.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vault_engine::effects::{Answer, Method, NoAnswer, Request, Response};
use vault_proto::problem::ProblemCode;
use vault_proto::wire::{RecordingPage, RecordingRecord};

use crate::machine::World;
use crate::server::{Actor, Asked, refusal, target};

/// Answers of one path that are remembered, to be given again later.
const REMEMBERED: usize = 4;
/// Longest answer that is remembered.
const LONGEST: usize = 64 * 1024;

/// What it does with what it was given.
#[derive(Default)]
pub(crate) struct Hostile {
    history: BTreeMap<String, Vec<Bytes>>,
    /// Whether it shows the ends that an attacker signed with the sealer's key.
    pub(crate) shows_other_ends: bool,
    /// Whether it refuses what is to be stored, and how.
    pub(crate) refuses: Option<ProblemCode>,
    /// Whether it is away.
    pub(crate) away: bool,
}

fn answer(request: &Request, (status, body): (u16, Bytes)) -> Answer {
    if body.len() > request.limit {
        return Answer::NoAnswer(NoAnswer::TooLong(status));
    }
    Answer::Response(Response { status, body })
}

fn lost() -> Answer {
    Answer::NoAnswer(NoAnswer::Lost("the network lost it".to_owned()))
}

impl World {
    /// What comes of a request, and after how long.
    pub(crate) fn fetch(&mut self, program: usize, request: &Request) -> (Answer, Duration) {
        let late = if self.random.happens(1, 8) { self.random.milliseconds(3_000) } else { Duration::ZERO };
        if self.hostile.away {
            return (lost(), late);
        }
        let writes = request.method != Method::Get;
        if self.temper.network && self.random.happens(1, 12) {
            match self.random.below(4) {
                // It never came.
                0 => return (lost(), late),
                // It came, and its answer did not.
                1 => {
                    self.handle(request);
                    return (lost(), late);
                }
                // It came twice.
                2 => {
                    let first = self.handle(request);
                    self.brought_twice += 1;
                    let second = self.handle(request);
                    let answered = if self.random.happens(1, 2) { first } else { second };
                    return (answer(request, answered), late);
                }
                _ => {
                    let code = self.random.pick(&[
                        ProblemCode::Busy,
                        ProblemCode::Internal,
                        ProblemCode::Timeout,
                        ProblemCode::StorageFull,
                        ProblemCode::DigestMismatch,
                    ]);
                    return (answer(request, refusal(code.copied().unwrap_or(ProblemCode::Busy))), late);
                }
            }
        }
        if writes {
            let sealer = self.programs[program].home == 1;
            if let Some(code) = self.hostile.refuses.filter(|_| sealer) {
                return (answer(request, refusal(code)), late);
            }
            return (answer(request, self.handle(request)), late);
        }
        let honest = self.handle(request);
        let (path, _) = target(request);
        let key = format!("{program} {path}");
        let lies = self.temper.hostile && (self.programs[program].home == 0 || self.temper.lied_to_sealer);
        let shown = if lies && self.random.happens(1, 6) {
            self.counts.lies += 1;
            self.tampered(program, request, &honest, &key)
        } else {
            Some(self.with_other_end(path, honest.clone()))
        };
        if honest.0 / 100 == 2 && honest.1.len() <= LONGEST {
            let history = self.hostile.history.entry(key).or_default();
            if history.last() != Some(&honest.1) {
                history.push(honest.1);
                if history.len() > REMEMBERED {
                    history.remove(self.random.below(REMEMBERED));
                }
            }
        }
        (shown.map_or_else(lost, |shown| answer(request, shown)), late)
    }

    fn handle(&mut self, request: &Request) -> (u16, Bytes) {
        let now = self.server_time();
        if self.forgets(request) {
            return (201, Bytes::new());
        }
        let answered = self.server.handle(now, request);
        self.violations.append(&mut self.server.seen.contradictions);
        self.learn_of_created();
        if self.server.seen.replays > self.brought_twice {
            self.violation("a request came twice that the network brought once");
        }
        if self.server.seen.forged > 0 {
            self.violation("a request came whose signature does not fit it");
        }
        answered
    }

    /// A lie about what is asked for; `None` is silence.
    fn tampered(
        &mut self,
        program: usize,
        request: &Request,
        honest: &(u16, Bytes),
        key: &str,
    ) -> Option<(u16, Bytes)> {
        let (path, query) = target(request);
        let mut body = honest.1.to_vec();
        match self.random.below(12) {
            0 => None,
            1 => {
                // Another byte, at any place of it.
                let at = self.random.below(body.len());
                let byte = body.get_mut(at)?;
                *byte = if *byte == b'!' { b'?' } else { b'!' };
                Some((honest.0, body.into()))
            }
            2 => {
                body.truncate(self.random.below(body.len()));
                Some((honest.0, body.into()))
            }
            3 => {
                let more = self.random.below(40);
                body.extend(self.random.bytes(more));
                Some((honest.0, body.into()))
            }
            4 | 5 => {
                let older = self.hostile.history.get(key).cloned().unwrap_or_default();
                let older = self.random.pick(&older)?.clone();
                Some((honest.0, older))
            }
            6 | 7 => self.of_another(program, request, path, query),
            8 => Some(refusal(
                self.random
                    .pick(&[
                        ProblemCode::NotFound,
                        ProblemCode::Forbidden,
                        ProblemCode::CertificateExpired,
                        ProblemCode::RangeNotSatisfiable,
                        ProblemCode::SignatureStale,
                    ])
                    .copied()?,
            )),
            9 => Some((502, Bytes::from_static(b"<html>bad gateway</html>"))),
            _ => self.edited(path, &body).map(|body| (honest.0, body)),
        }
    }

    /// What it has of another recording or account, under this one's name.
    fn of_another(
        &mut self,
        program: usize,
        request: &Request,
        path: &str,
        query: Option<&str>,
    ) -> Option<(u16, Bytes)> {
        let mut pieces: Vec<String> = path.split('/').map(str::to_owned).collect();
        let id = pieces.get_mut(3)?;
        if path.starts_with("/v1/recordings/") {
            let others: Vec<String> = self.truth.iter().map(|other| other.id.to_string()).collect();
            id.clone_from(self.random.pick(&others)?);
        } else {
            let people = [self.people.anna.account, self.people.dora.account];
            *id = self.random.pick(&people)?.to_string();
        }
        if let Some(index) = pieces.get_mut(5)
            && self.random.happens(1, 2)
        {
            *index = self.random.below(3).to_string();
        }
        let person = self.person(program);
        let actor = Actor { account: person.account, key: person.device_id() };
        let asked = Asked {
            method: request.method,
            path: &pieces.join("/"),
            query,
            body: &request.body,
            range: None,
            progress: None,
        };
        let now = self.server_time();
        self.server.act(now, actor, &asked).ok()
    }

    /// Statements and lists with something taken out.
    fn edited(&mut self, path: &str, body: &[u8]) -> Option<Bytes> {
        if path == "/v1/recordings" {
            let mut page: RecordingPage = serde_json::from_slice(body).ok()?;
            match self.random.below(4) {
                0 if !page.recordings.is_empty() => {
                    let at = self.random.below(page.recordings.len());
                    page.recordings.remove(at);
                }
                1 => page.recordings.extend(page.recordings.first().cloned()),
                2 => page.next = None,
                _ => {
                    let mut id = [0; 16];
                    id.copy_from_slice(&self.random.bytes(16));
                    let mut invented = page.recordings.first().cloned()?;
                    invented.recording = vault_proto::ids::RecordingId::from_bytes(id);
                    page.recordings.push(invented);
                }
            }
            return Some(serde_json::to_vec(&page).ok()?.into());
        }
        let mut record: RecordingRecord = serde_json::from_slice(body).ok()?;
        match self.random.below(6) {
            0 | 1 => record.final_seal = None,
            2 => drop(record.segments.pop()),
            3 => {
                record.final_seal = None;
                record.segments.pop();
            }
            4 => record.segments.iter_mut().for_each(|segment| segment.seal = None),
            _ => record.segments.reverse(),
        }
        Some(serde_json::to_vec(&record).ok()?.into())
    }

    /// The answer with the end that an attacker signed, if that is what it shows.
    fn with_other_end(&self, path: &str, honest: (u16, Bytes)) -> (u16, Bytes) {
        if !self.hostile.shows_other_ends || honest.0 != 200 {
            return honest;
        }
        let recording = self.truth.iter().find(|truth| path.contains(&truth.id.to_string()));
        let Some(other) = recording.and_then(|truth| truth.other_end.as_ref()) else {
            return honest;
        };
        if path.ends_with("/details") {
            return (200, other.details.clone().into());
        }
        let Ok(mut record) = serde_json::from_slice::<RecordingRecord>(&honest.1) else {
            return honest;
        };
        if record.final_seal.is_some() {
            record.final_seal = String::from_utf8(other.seal.clone()).ok();
        }
        (200, serde_json::to_vec(&record).unwrap_or_default().into())
    }
}
