//! What the programs of the world do with the engine, and what is found of what they were told.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use vault_engine::effects::Effects;
use vault_engine::error::CutOffReason;
use vault_engine::home::names::{self, Names, Petname};
use vault_engine::home::{Enrolment, Home};
use vault_engine::opening::listing::{self, Listing, Status};
use vault_engine::opening::media;
use vault_engine::opening::recording::{Completeness, RemoteRecording};
use vault_engine::opening::track::RemoteTrack;
use vault_engine::trust::{compare, directory};
use vault_engine::{ClientError, Session};
use vault_proto::credentials::CertificateChain;
use vault_proto::ids::{AccountId, RecordingId};
use vault_proto::recording_list::ListEntry;

use crate::disk::Health;
use crate::files;
use crate::machine::{Machine, Shared, World, lock};
use crate::recorders;
use crate::server::ADDRESS;

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

    fn json(&self, key: &str) -> Option<serde_json::Value> {
        self.look(|world| world.home_of(self.program).json(key))
    }

    fn other(&self) -> AccountId {
        self.look(|world| {
            let people = &world.people;
            if world.programs[self.program].home == 0 { people.dora.account } else { people.anna.account }
        })
    }
}

/// Lives until the world closes.
pub(crate) async fn live(life: Life) {
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
            _ if met.is_some() && what.is_multiple_of(2) => compare_keys(life, session).await,
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
            21..=25 => look_up(life, session).await,
            26..=31 => name(life, session, part).await,
            32 => renew(life, session).await,
            33..=34 => compare_keys(life, session).await,
            _ => find(life, session).await,
        }
        // Nobody who has done something begins something else without a breath in between.
        let _ = session.home().read("server.json").await;
    }
}

fn any_recording(life: &Life) -> Option<RecordingId> {
    life.look(|world| {
        let ids: Vec<RecordingId> = world.truth.iter().map(|truth| truth.id).collect();
        world.random.pick(&ids).copied()
    })
}

/// What a home knows and has to be able to keep, before something is asked.
struct Before {
    home: usize,
    known: Vec<ListEntry>,
    /// How often it has become one that nobody can write to, and whether it is.
    read_only: (u64, bool),
}

impl Before {
    fn of(life: &Life) -> Self {
        let home = life.home_index();
        life.look(|world| Self { home, known: world.known(home), read_only: read_only(world, home) })
    }

    /// Whether what is learnt since could be kept.
    fn can_learn(&self, world: &World) -> bool {
        let (times, is) = self.read_only;
        !is && times == read_only(world, self.home).0
    }

    fn of_recording(&self, recording: RecordingId) -> Option<&ListEntry> {
        self.known.iter().find(|entry| entry.recording == recording)
    }
}

fn read_only(world: &World, home: usize) -> (u64, bool) {
    (world.oracle.read_only[home], world.homes[home].health == Health::ReadOnly)
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

fn check_listing(life: &Life, before: &Before, listing: &Listing) {
    for listed in &listing.recordings {
        let entry = listed.entry();
        life.look(|world| {
            if !world.is_true(&entry) {
                world.violation(format!("{} was listed as it never was", entry.recording));
            }
            let truth = world.truth.iter().find(|truth| truth.id == entry.recording);
            let longest = truth.map_or(0, crate::people::TrueRecording::length);
            let titles = truth.map(crate::people::TrueRecording::titles).unwrap_or_default();
            if listed.bytes > longest {
                world.violation(format!("{} was listed longer than it is", entry.recording));
            }
            if listed.status == Status::Complete && listed.final_seal.is_none() {
                world.violation(format!("{} was listed as complete without an end", entry.recording));
            }
            let title = listed.details.as_ref().and_then(|details| details.title.clone());
            if title.is_some_and(|title| !titles.contains(&title)) {
                world.violation(format!("{} was listed with a title it never had", entry.recording));
            }
            let durable = world.known_of(before.home, entry.recording);
            let learnt = durable.is_some_and(|durable| {
                durable.manifest == entry.manifest
                    && (entry.final_seal.is_none() || durable.final_seal == entry.final_seal)
            });
            if !learnt && before.can_learn(world) {
                world.violation(format!("{} was listed and not learnt", entry.recording));
            }
        });
        if let Some(known) = before.of_recording(entry.recording)
            && known.agrees_with(entry).is_err()
        {
            life.wrong(format!("{} was listed against what the home knew", entry.recording));
        }
    }
    for known in &before.known {
        let of = known.recording;
        let told = listing.recordings.iter().any(|listed| listed.recording == of)
            || listing.refused.iter().any(|refused| refused.recording == of)
            || listing.missing.iter().any(|missing| missing.recording == of);
        if !told {
            life.wrong(format!("{of} is known, was not listed, and nobody said so"));
        }
    }
}

/// Where a recording is written to: compares it with what was recorded.
struct Out {
    life: Life,
    before: Before,
    entry: ListEntry,
    rest: Vec<u8>,
    written: usize,
}

impl Out {
    fn new(life: &Life, before: Before, entry: ListEntry, track: Option<u8>) -> Self {
        let recorded = life.look(|world| {
            let truth = world.truth.iter().find(|truth| truth.id == entry.recording);
            truth.map(|truth| truth.plaintext(track)).unwrap_or_default()
        });
        Self { life: life.clone(), before, entry, rest: recorded, written: 0 }
    }

    fn release(&mut self, bytes: &[u8]) {
        let expected = self.rest.get(self.written..self.written + bytes.len());
        if expected != Some(bytes) {
            self.life.wrong(format!("other bytes than those recorded in {} were released", self.entry.recording));
        }
        self.written += bytes.len();
        released(&self.life, &self.before, self.entry);
    }
}

/// Before anything is released, the home has learnt what it was shown.
fn released(life: &Life, before: &Before, shown: ListEntry) {
    life.look(|world| {
        world.counts.released += 1;
        if !before.can_learn(world) {
            return;
        }
        let durable = world.known_of(before.home, shown.recording);
        let learnt = durable.is_some_and(|durable| {
            durable.manifest == shown.manifest
                && (shown.final_seal.is_none() || durable.final_seal == shown.final_seal)
        });
        if !learnt {
            world.violation(format!("{} was released before it was learnt", shown.recording));
        }
    });
}

impl io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.release(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    if before.of_recording(recording).is_some_and(|known| known.agrees_with(entry).is_err()) {
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
    let tracks: Vec<u8> = remote.tracks().into_keys().collect();
    let track = life.look(|world| match world.random.below(4) {
        0 => world.random.pick(&tracks).copied(),
        _ => None,
    });
    let track = track.filter(|_| !life.look(|world| world.closing));
    let mut out = Out::new(life, before, remote.entry(), track);
    match remote.write_to(session, track, &mut out, &mut |_| {}).await {
        Ok(opened) => {
            if opened.bytes != out.written as u64 {
                life.wrong(format!("{recording}: said to be {} bytes, written {}", opened.bytes, out.written));
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

async fn look_up(life: &Life, session: &Session) {
    let own = life.below(4) == 0;
    let account = if own { session.account().id } else { life.other() };
    let pin = format!("pins/{account}.json");
    let is_unequal = |life: &Life| {
        let unequal = life.json(&pin)?.get("standing")?.get("unequal")?.clone();
        (!unequal.is_null()).then_some(unequal)
    };
    let before = life.json(&pin);
    let unequal = is_unequal(life);
    match directory::look_up(session, account).await {
        Ok(trusted) => {
            let number = |pin: Option<serde_json::Value>| pin.and_then(|pin| pin.get("number")?.as_u64());
            let list = trusted.verified.key_list();
            let real = life.look(|world| {
                let person = world.people.person(account);
                person.is_some_and(|person| {
                    person.key_lists.iter().any(|known| known.digest() == list.digest())
                })
            });
            if !real {
                life.wrong("keys were trusted that nobody ever had");
            }
            if number(before).is_some_and(|seen| list.number < seen) {
                life.wrong("an older key list was trusted than the one that had been seen");
            }
            if number(life.json(&pin)).is_none_or(|durable| durable < list.number) {
                life.wrong("keys were trusted before they were remembered");
            }
            if unequal.is_some() && unequal == is_unequal(life) {
                life.wrong("keys were trusted that people found unequal");
            }
        }
        Err(error) => life.is_stated("looking somebody up", &error),
    }
}

/// Petnames that only this part of this program gives and takes.
async fn name(life: &Life, session: &Session, part: usize) {
    let which = life.below(3);
    let text = format!("p{}-{part}-{which}", life.program);
    let Ok(petname) = text.parse::<Petname>() else {
        return;
    };
    let account = AccountId::from_bytes([u8::try_from(life.program * 16 + part * 4 + which).unwrap_or(0); 32]);
    let possible = life.look(|world| {
        world.oracle.names.entry(text.clone()).or_insert_with(|| [None].into()).clone()
    });
    let known = |now: Option<String>| {
        life.look(|world| world.oracle.names.insert(text.clone(), [now].into()));
    };
    match life.below(3) {
        0 => match Names::read(session.home()).await {
            Ok(names) => {
                let now = names.account(&text).map(|account| account.to_string());
                if !possible.contains(&now) {
                    life.wrong(format!("petname {text} is {now:?}, where it can only be {possible:?}"));
                }
                known(now);
            }
            Err(error) => life.is_stated("reading names", &error),
        },
        1 => {
            life.look(|world| {
                world.oracle.names.entry(text.clone()).or_default().insert(Some(account.to_string()))
            });
            match names::add(session.home(), petname, account).await {
                Ok(()) => {
                    let durable = life.json("names.json");
                    if durable.and_then(|names| names.get(&text).cloned()).is_none() {
                        life.wrong(format!("petname {text} was given, and is not there"));
                    }
                    known(Some(account.to_string()));
                }
                Err(error) => life.is_stated("naming", &error),
            }
        }
        _ => {
            life.look(|world| world.oracle.names.entry(text.clone()).or_default().insert(None));
            match names::remove(session.home(), &petname).await {
                Ok(_) => known(None),
                Err(ClientError::Declined { .. }) => {
                    if !possible.contains(&None) {
                        life.wrong(format!("petname {text} was lost"));
                    }
                    known(None);
                }
                Err(error) => life.is_stated("taking a name", &error),
            }
        }
    }
}

async fn renew(life: &Life, session: &Session) {
    match life.below(2) {
        0 => {
            if let Err(error) = directory::refresh_own_certificate(session).await {
                life.is_stated("asking for the own certificate", &error);
            }
        }
        _ => {
            let chain = life.look(|world| {
                let home = world.random.below(2);
                world.person_of_home(home).chains[1].clone()
            });
            if let Err(error) = directory::bring_certificate(session, &chain).await {
                life.is_stated("bringing a certificate", &error);
            }
        }
    }
}

async fn find(life: &Life, session: &Session) {
    let prefix: String = life.other().to_string().chars().take(8).collect();
    match life.below(3) {
        0 => match directory::resolve_account(session, &prefix).await {
            Ok(account) if !account.to_string().starts_with(&prefix) => {
                life.wrong("an account was found that does not begin so");
            }
            Ok(_) => {}
            Err(error) => life.is_stated("finding somebody", &error),
        },
        1 => match directory::first_contact(session, &prefix).await {
            Ok(member) => {
                let account = member.account();
                if life.look(|world| world.people.person(account).is_none()) {
                    life.wrong("somebody was met whom nobody certified");
                }
            }
            Err(error) => life.is_stated("meeting somebody", &error),
        },
        _ => match vault_engine::home::account::expiry(session.home()).await {
            Ok(_) => {}
            Err(error) => life.is_stated("looking at the own certificate", &error),
        },
    }
}

async fn compare_keys(life: &Life, session: &Session) {
    let other = life.other();
    let home = life.home_index();
    life.look(|world| world.meeting = Some((home, world.running())));
    let comparison = match compare::prepare(session, other).await {
        Ok(comparison) => comparison,
        Err(error) => return life.is_stated("preparing to compare", &error),
    };
    let patience =
        compare::Patience { pause: Duration::from_millis(700), limit: Duration::from_secs(12) };
    let code = match compare::code(session, comparison, patience, &mut |_| {}).await {
        Ok(code) => code,
        Err(error) => return life.is_stated("comparing", &error),
    };
    let own = session.account().id;
    life.look(|world| {
        world.counts.compared += 1;
        let of = |from: AccountId, to: AccountId| {
            world.server.revealed.iter().filter(move |(of, with, _)| (*of, *with) == (from, to))
        };
        let true_code = of(own, other)
            .any(|(_, _, mine)| of(other, own).any(|(_, _, theirs)| comparison.code(mine, theirs) == code));
        if !true_code {
            world.violation("digits were shown that the two never agreed on");
        }
    });
    let equal = life.below(4) != 0;
    life.look(|world| world.oracle.answering.insert(life.program));
    let answered = compare::answer(session.home(), other, equal).await;
    match answered {
        Ok(_) if !equal => life.wrong("unequal keys were called equal"),
        Ok(_) => {}
        Err(ClientError::Compare { .. }) if !equal => {
            let standing = life.json(&format!("pins/{other}.json"));
            let standing = standing.and_then(|pin| pin.get("standing")?.get("compared").cloned());
            if standing.is_none() {
                life.wrong("unequal keys were not noted");
            }
        }
        Err(error) => life.is_stated("answering", &error),
    }
    life.look(|world| world.oracle.answering.remove(&life.program));
}
