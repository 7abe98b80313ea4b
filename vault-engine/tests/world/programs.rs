//! What the programs of the world do with the engine, and what is found of what they were told.

use std::sync::Arc;
use std::time::Duration;

use vault_engine::effects::Effects;
use vault_engine::error::CutOffReason;
use vault_engine::home::{Enrolment, Home};
use vault_engine::opening::listing::{self, Listing};
use vault_engine::opening::media;
use vault_engine::opening::recording::{Completeness, RemoteRecording};
use vault_engine::opening::track::RemoteTrack;
use vault_engine::{ClientError, Session};
use vault_proto::ids::{AccountId, RecordingId};
use vault_proto::members::CertificateChain;

use crate::acquaintances;
use crate::apps;
use crate::files;
use crate::machine::{Machine, Shared, World, lock};
use crate::recorders;
use crate::server::ADDRESS;
use crate::shown::{Before, Out, check_listing, released};

/// Things that one program does at the same time.
const AT_ONCE: usize = 2;

/// One life of a program.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) world: Shared,
    pub(crate) program: usize,
    pub(crate) life: u64,
}

impl Life {
    pub(crate) fn look<T>(&self, at: impl FnOnce(&mut World) -> T) -> T {
        at(&mut lock(&self.world))
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        self.look(|world| world.random.below(bound))
    }

    pub(crate) fn home_index(&self) -> usize {
        self.look(|world| world.programs[self.program].home)
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.look(|world| world.violation(format!("program {}: {what}", self.program)));
    }

    /// The engine's own mistakes are never an answer to bad input.
    pub(crate) fn is_stated(&self, doing: &str, error: &ClientError) {
        self.look(|world| {
            world.counts.refused += 1;
            world.say(|| format!("{} was told, {doing}: {error:?}", self.program));
        });
        if let ClientError::Bug(what) = error {
            self.wrong(format!("{doing} came to a bug: {what}"));
        }
    }

    pub(crate) fn json(&self, key: &str) -> Option<serde_json::Value> {
        self.look(|world| world.home_of(self.program).json(key))
    }

    pub(crate) fn other(&self) -> AccountId {
        self.look(|world| {
            let people = &world.people;
            if world.programs[self.program].home == 0 { people.dora.account } else { people.anna.account }
        })
    }
}

/// Lives until the world closes: in half of its lives as a program in Rust, in the others as one in another language.
pub(crate) async fn live(life: Life) {
    if life.below(2) == 0 {
        return apps::live(&life).await;
    }
    let Some(session) = begin(&life).await else {
        return;
    };
    if life.home_index() == 1 {
        recorders::resume(&life, &session).await;
    }
    let parts = (0..AT_ONCE).map(|part| act(&life, &session, part));
    futures_util::future::join_all(parts).await;
}

/// Gets a session, by enrolling if nobody has.
pub(crate) async fn begin(life: &Life) -> Option<Session> {
    let driver = Machine { world: Arc::clone(&life.world), program: life.program, life: life.life };
    let home = Home::new(Effects::new(Arc::new(driver)), "home");
    let (account, organisation, chain) = life.look(|world| {
        let person = world.person(life.program);
        (person.account(), world.people.organisation, person.chains[0].clone())
    });
    loop {
        if life.look(|world| world.closing && world.home_of(life.program).read("server.json").is_none()) {
            return None;
        }
        let retry_for = match life.below(3) {
            0 => None,
            1 => Some(Duration::ZERO),
            _ => Some(Duration::from_secs(2)),
        };
        let session = |enrolment| Session::new(home.clone(), enrolment, account.clone(), retry_for);
        match home.enrolment().await {
            Ok(enrolment) => match session(enrolment) {
                Ok(session) => return Some(session),
                Err(error) => life.wrong(format!("an enrolment that cannot be used: {error}")),
            },
            Err(ClientError::NotSetUp(_)) => {
                let enrolment = Enrolment { server: ADDRESS.to_owned(), organisation };
                match session(enrolment) {
                    Ok(session) => enrol(life, &session, chain.clone()).await,
                    Err(error) => life.wrong(format!("an enrolment that cannot be used: {error}")),
                }
            }
            Err(error) => life.is_stated("reading the enrolment", &error),
        }
    }
}

async fn enrol(life: &Life, session: &Session, chain: CertificateChain) {
    match session.enrol(chain).await {
        Ok(()) => {
            if life.json("server.json").is_none() || life.json("certificate.json").is_none() {
                life.wrong("enrolled, and the home does not know of it");
            }
            if !life.look(|world| world.server.accounts.contains_key(&session.account().id)) {
                life.wrong("enrolled, and the server does not know of it");
            }
        }
        Err(error) => life.is_stated("enrolling", &error),
    }
}

/// Does one thing after the other.
async fn act(life: &Life, session: &Session, part: usize) {
    while !life.look(|world| world.closing) {
        let home = life.home_index();
        let met = life.look(|world| {
            let now = world.running();
            world.meeting.filter(|(first, since)| *first != home && *since + Duration::from_secs(10) > now)
        });
        let what = life.below(40);
        let seals = home == 1 && life.below(2) == 0;
        match what {
            0..=2 if seals => drop(recorders::resume(life, session).await),
            3..=10 if seals => files::seal_file(life, session).await,
            _ if seals && met.is_none() => recorders::record(life, session).await,
            _ if met.is_some() && what.is_multiple_of(2) => acquaintances::compare_keys(life, session).await,
            0..=4 => {
                drop(list(life, session).await);
            }
            5..=13 => {
                if let Some(recording) = any_recording(life) {
                    open(life, session, recording).await;
                }
            }
            14..=20 => {
                if let Some(recording) = any_recording(life) {
                    read_about(life, session, recording).await;
                }
            }
            21..=25 => acquaintances::look_up(life, session).await,
            26..=31 => acquaintances::name(life, session, part).await,
            32 => acquaintances::renew(life, session).await,
            33..=34 => acquaintances::compare_keys(life, session).await,
            _ => acquaintances::find(life, session).await,
        }
        // Nobody who has done something begins something else without a breath in between.
        let _ = session.home().read("server.json").await;
    }
}

pub(crate) fn any_recording(life: &Life) -> Option<RecordingId> {
    life.look(|world| {
        let ids: Vec<RecordingId> = world.truth.iter().map(|truth| truth.id).collect();
        world.random.pick(&ids).copied()
    })
}

pub(crate) async fn list(life: &Life, session: &Session) -> Option<Listing> {
    let before = Before::of(life);
    match listing::list(session).await {
        Ok(listing) => {
            check_listing(life, &before, &listing);
            life.look(|world| world.counts.listed += 1);
            Some(listing)
        }
        Err(error) => {
            life.is_stated("listing", &error);
            None
        }
    }
}

/// Fetches a recording, and finds out whether it agrees with what was known.
async fn fetch(life: &Life, session: &Session, recording: RecordingId) -> Option<RemoteRecording> {
    let before = Before::of(life);
    let remote = match RemoteRecording::fetch(session, recording).await {
        Ok(remote) => remote,
        Err(error) => {
            life.is_stated("fetching", &error);
            return None;
        }
    };
    let entry = remote.entry();
    if !life.look(|world| world.is_true(&entry)) {
        life.wrong(format!("{recording} was taken for what it never was"));
    }
    if before.of_recording(recording).is_some_and(|known| known.agrees_with(remote.shown()).is_err()) {
        life.wrong(format!("{recording} was taken with another end than the known one"));
    }
    match remote.cut_off(session.home()).await {
        Ok(Some(cut_off)) => {
            let known_end = before.of_recording(recording).is_some_and(|known| known.final_seal.is_some());
            let end_hidden = entry.final_seal.is_none() && known_end;
            if end_hidden && matches!(cut_off.why, CutOffReason::NoEnd | CutOffReason::RestLost) {
                life.wrong(format!("the known end of {recording} is hidden, and nobody says so"));
            }
        }
        Ok(None) if entry.final_seal.is_none() => life.wrong(format!("{recording} is whole without an end")),
        Ok(None) => {}
        Err(error) => life.is_stated("looking where it is cut off", &error),
    }
    Some(remote)
}

/// Opens a recording or one of its tracks.
pub(crate) async fn open(life: &Life, session: &Session, recording: RecordingId) -> Option<u64> {
    let before = Before::of(life);
    let remote = fetch(life, session, recording).await?;
    let tracks: Vec<u8> = match remote.tracks(session).await {
        Ok(tracks) => tracks.into_keys().collect(),
        Err(error) => {
            life.is_stated("looking for tracks", &error);
            return None;
        }
    };
    let track = life.look(|world| match world.random.below(4) {
        0 => world.random.pick(&tracks).copied(),
        _ => None,
    });
    let track = track.filter(|_| !life.look(|world| world.closing));
    let mut out = Out::new(life, before, remote.entry(), track);
    match remote.write_to(session, track, &mut out, &mut |_| {}).await {
        Ok(opened) => {
            if opened.bytes != out.written as u64 {
                life.wrong(format!(
                    "{recording}: said to be {} bytes, written {}",
                    opened.bytes, out.written
                ));
            }
            if remote.completeness() == Completeness::Complete && out.written != out.rest.len() {
                life.wrong(format!("{recording} is called complete, and is not all of it"));
            }
            life.look(|world| world.counts.opened += 1);
            Some(opened.bytes)
        }
        Err(error) => {
            life.is_stated("opening", &error);
            None
        }
    }
}

/// Reads in a track from anywhere.
async fn read_about(life: &Life, session: &Session, recording: RecordingId) {
    let before = Before::of(life);
    let Some(remote) = fetch(life, session, recording).await else {
        return;
    };
    let media = match media::media(session, &remote).await {
        Ok(media) => media,
        Err(error) => return life.is_stated("looking for tracks", &error),
    };
    let Some(track) = life.look(|world| world.random.pick(&media).map(|medium| medium.track)) else {
        return;
    };
    let view = match RemoteTrack::open(session, &remote, track, None).await {
        Ok(view) => view,
        Err(error) => return life.is_stated("opening a track", &error),
    };
    let recorded = Out::new(life, Before::of(life), remote.entry(), Some(track)).rest;
    let length = usize::try_from(view.length()).unwrap_or(usize::MAX);
    let check = |offset: usize, bytes: &[u8]| {
        if bytes.is_empty() {
            return;
        }
        if recorded.get(offset..offset + bytes.len()) != Some(bytes) {
            life.wrong(format!("other bytes than those recorded in {recording} were read"));
        }
        released(life, &before, remote.entry());
    };
    for _ in 0..2 {
        let offset = life.below(length + 10);
        let most = 1 + life.below(5000);
        match view.read_at(offset as u64, most).await {
            Ok(bytes) if bytes.is_empty() && offset < length => {
                life.wrong(format!("{recording} ended before its end"));
            }
            Ok(bytes) => check(offset, &bytes),
            Err(error) => life.is_stated("reading", &error),
        }
    }
    let mut offset = life.below(length);
    let mut reader = view.reader(offset as u64);
    for _ in 0..3 {
        match reader.next(1 << 20).await {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => {
                check(offset, &bytes);
                offset += bytes.len();
            }
            Err(error) => return life.is_stated("reading on", &error),
        }
    }
}
