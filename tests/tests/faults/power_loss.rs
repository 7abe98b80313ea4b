//! Power losses at every step, on a simulated disk that drops, tears and reorders what was not synced.
//!
//! The real server is recorded while people enrol and seal, and while it is killed between two calls of its own and
//! started again. Then for moments of that record the disk is built as a power loss may have left it, and must hold
//! everything that the server had acknowledged before that moment.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use rusqlite::Connection;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::{MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::object::statement_path;
use vault_proto::statements::Manifest;
use vault_server::data_folder::{DataFolder, init};
use vault_server::store::Store as _;
use vault_tests::command::end;
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, recording};
use vault_tests::faults::simulated_disk::{Arrived, SimulatedDisk};
use vault_tests::faults::traffic::{Exchange, request_id};
use vault_tests::faults::watched_disk::{Effect, Event, Rule, WatchedDisk};
use vault_tests::faults::{Chance, Tally, how_many};
use vault_tests::world::World;

const LENGTH: usize = 2 * MAX_PART_PLAINTEXT + 4321;
/// Calls of the server, from its start, among which it is killed.
const CALLS: u64 = 120;

/// Rows of the server's database.
struct Rows(Connection);

impl Rows {
    fn count(&self, sql: &str) -> usize {
        let count: u32 = self.0.query_row(sql, (), |row| row.get(0)).unwrap();
        count as usize
    }

    fn all<T>(&self, sql: &str, read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        self.0.prepare(sql).unwrap().query_map((), read).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    std::fs::read(path).ok().map(|bytes| Digest::of(&bytes))
}

/// The digest that a request's `Content-Digest` names.
fn content_digest(exchange: &Exchange) -> Digest {
    let value = exchange.digest.strip_prefix("sha-256=:").unwrap().strip_suffix(':').unwrap();
    Digest::from_bytes(BASE64.decode(value.as_bytes()).unwrap().try_into().unwrap())
}

fn hexadecimal(id: [u8; 16]) -> String {
    vault_proto::ids::RecordingId::from_bytes(id).to_string()
}

/// What a data folder holds: of every row, that the objects which it names are there, by the names that requests give
/// them.
fn held(data: &Path) -> Result<(Rows, HashMap<String, Digest>), String> {
    let opened = || {
        // As the server does when it starts: whether all belongs together, recovery, migrations, the mark.
        let folder = DataFolder::open(data).map_err(|error| error.to_string())?;
        let (lock, store, blobs) = folder.into_stores().map_err(|error| error.to_string())?;
        store.close().map_err(|error| error.to_string())?;
        drop((lock, store, blobs));
        Connection::open(data.join("vault.db")).map_err(|error| error.to_string())
    };
    let rows = Rows(opened()?);
    let sound: String = rows.0.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    if sound != "ok" {
        return Err(sound);
    }
    let mut held = HashMap::new();
    let folder = |id: [u8; 16]| data.join("blobs/rec").join(hexadecimal(id));
    let mut check = |path: String, file: Option<Digest>, row: Digest| {
        if file == Some(row) {
            held.insert(path, row);
            Ok(())
        } else {
            Err(format!("a row names {path}, and its object is not there or another"))
        }
    };
    type Recording = ([u8; 16], Vec<u8>, Option<[u8; 32]>, Option<Vec<u8>>);
    let sql = "SELECT recording, manifest, details_digest, final_seal FROM recordings";
    let recordings: Vec<Recording> =
        rows.all(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    for (id, manifest, details, final_seal) in recordings {
        let path = format!("/v1/recordings/{}", hexadecimal(id));
        check(path.clone(), digest_of(&folder(id).join("manifest")), Digest::of(&manifest))?;
        let signed = Envelope::<Manifest>::parse(&manifest).map_err(|error| format!("{path}: {error}"))?;
        for named in signed.unverified().named_statements() {
            let sql = format!("SELECT envelope FROM statements WHERE digest = x'{named}'");
            let Some(row) = rows.all(&sql, |row| row.get::<_, Vec<u8>>(0)).pop() else {
                return Err(format!("{path} names a statement that no row has: {named}"));
            };
            let file = data.join("blobs").join(statement_path(&named));
            check(format!("{path}/{named}"), digest_of(&file), Digest::of(&row))?;
        }
        let key = signed.unverified().key_object;
        check(format!("{path}/keys/0"), digest_of(&folder(id).join("key.0")), key)?;
        if let Some(details) = details {
            let row = Digest::from_bytes(details);
            check(format!("{path}/details"), digest_of(&folder(id).join("details")), row)?;
        }
        if let Some(seal) = final_seal {
            check(format!("{path}/final"), digest_of(&folder(id).join("final")), Digest::of(&seal))?;
        }
    }
    type Segment = ([u8; 16], u32, [u8; 32], Option<Vec<u8>>);
    let sql = "SELECT recording, segment, header, seal FROM segments JOIN recordings USING (number)";
    let segments: Vec<Segment> =
        rows.all(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    for (id, segment, header, seal) in segments {
        let path = format!("/v1/recordings/{}/segments/{segment}", hexadecimal(id));
        let objects = folder(id).join(format!("seg/{segment}"));
        check(path.clone(), digest_of(&objects.join("header")), Digest::from_bytes(header))?;
        if let Some(seal) = seal {
            check(format!("{path}/seal"), digest_of(&objects.join("seal")), Digest::of(&seal))?;
            let sql = format!(
                "SELECT digest FROM parts JOIN recordings USING (number) WHERE segment = {segment} AND recording = x'{}' ORDER BY part",
                hexadecimal(id)
            );
            let hashes = rows.all(&sql, |row| row.get::<_, [u8; 32]>(0)).concat();
            if digest_of(&objects.join("parts")) != Some(Digest::of(&hashes)) {
                return Err(format!("{path} has another list of parts"));
            }
        }
        let body =
            std::fs::read(objects.join("body")).map_err(|error| format!("{path} has no body: {error}"))?;
        let sql = format!(
            "SELECT part, digest, length FROM parts JOIN recordings USING (number) WHERE segment = {segment} AND recording = x'{}'",
            hexadecimal(id)
        );
        let parts: Vec<(u32, [u8; 32], u32)> =
            rows.all(&sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        for (part, digest, length) in parts {
            let from = usize::try_from(PartChunks::FIFTEEN.offset(part)).unwrap();
            let bytes = body.get(from..from + length as usize).map(Digest::of);
            check(format!("{path}/parts/{part}"), bytes, Digest::from_bytes(digest))?;
        }
    }
    Ok((rows, held))
}

/// Checks that everything acknowledged is held. Returns how much that is.
fn check(data: &Path, acknowledged: &[&Exchange]) -> Result<usize, String> {
    let (rows, held) = held(data)?;
    if rows.count("SELECT count(*) FROM nonces") < acknowledged.len() {
        return Err("a request that was acted upon could be made again".to_owned());
    }
    let number = |path: &str| acknowledged.iter().filter(|exchange| exchange.path == path).count();
    let accounts = rows.count("SELECT count(*) FROM accounts");
    if accounts < number("/v1/accounts").min(2) {
        return Err("an enrolment is lost".to_owned());
    }
    for exchange in acknowledged.iter().filter(|exchange| exchange.method == "PUT") {
        let found = held.get(&exchange.path);
        // A segment is opened with its header inside of a document: that its row is there and fits its file is all.
        let same = exchange.opened_segment().is_some() || found == Some(&content_digest(exchange));
        if found.is_none() || !same {
            return Err(format!("PUT {} was acknowledged and is lost", exchange.path));
        }
        // The recording was created before, and that was acknowledged before this was sent.
        let recording = exchange.path.split("/segments").next().unwrap();
        let recording = recording.trim_end_matches("/details").trim_end_matches("/final");
        if !held.contains_key(recording) {
            return Err(format!("{recording} is lost"));
        }
    }
    let created = rows.count("SELECT count(*) FROM recordings");
    let mut digests: Vec<&str> = acknowledged
        .iter()
        .filter(|exchange| exchange.method == "POST" && exchange.path == "/v1/recordings")
        .map(|exchange| exchange.digest.as_str())
        .collect();
    digests.sort_unstable();
    digests.dedup();
    if created < digests.len() {
        return Err("a recording is lost".to_owned());
    }
    Ok(acknowledged.len())
}

/// Lets people enrol and seal; the server dies after calls that chance chooses, and is started again when it is next
/// needed.
fn recorded(chance: &mut Chance, recordings: u64) -> (Clinic, WatchedDisk, Vec<(String, Vec<u8>)>) {
    let (clinic, disk) = Clinic::recorded();
    let sealed = (0..recordings)
        .map(|number| {
            let (file, content) = clinic.new_file(number, LENGTH);
            let kills: Vec<Rule> = (0..3)
                .map(|_| chance.below(CALLS) + 1)
                .map(|call| Rule { call: "any", effect: Effect::Kill, from: call, to: call })
                .collect();
            clinic.server.kill();
            let deaths = Mutex::new(kills);
            let (server, watched) = (Arc::clone(&clinic.server), disk.clone());
            clinic.proxy.when_refused(Arc::new(move || {
                server.revive(|| {
                    let rule = deaths.lock().unwrap().pop();
                    Some(watched.with(rule.as_slice()))
                });
            }));
            let said = end(&mut (SEAL_FILE.begin)(&clinic, &file));
            (recording(&said), content)
        })
        .collect();
    clinic.server.kill();
    (clinic, disk, sealed)
}

/// The moment from which on a data folder is one: the name of its last file is durable.
fn initialised(events: &[Event]) -> usize {
    let named = |event: &Event| matches!(event, Event::Rename(_, _, path) if path.ends_with("vault.json"));
    let named = events.iter().position(named).unwrap();
    let synced = events.iter().skip(named).position(|event| matches!(event, Event::SyncEnds(..)));
    named + synced.unwrap()
}

/// Whatever is left of an `init` that the power cut off, the next one finishes.
#[test]
fn a_power_loss_while_a_vault_is_made_is_mended_by_making_it_again() {
    let class = "power loss: init";
    let states = how_many(400);
    let mut chance = Chance::of_class(class);
    let mut disk = None;
    let world = World::with_init(|data, init| {
        let disk = disk.insert(WatchedDisk::new(data.parent().unwrap(), &data.with_extension("trace")));
        disk.watch(init);
    });
    let events = disk.unwrap().events();
    let organisation = world.organisation.parse().unwrap();
    let last = initialised(&events) as u64;
    let mut tally = Tally::default();
    for _ in 0..states {
        let mut simulated = SimulatedDisk::new(world.data().parent().unwrap());
        let moment = chance.below(last + 1) as usize;
        events[..=moment].iter().for_each(|event| simulated.apply(event));
        let arrived = Arrived::ALL[usize::try_from(chance.below(5)).unwrap()];
        let folder = tempfile::tempdir().unwrap();
        simulated.write_after_power_loss(folder.path(), arrived, &mut chance);
        let data = folder.path().join("data");
        let made = init(&data, organisation).map_err(|error| error.to_string());
        let held = made.and_then(|_| check(&data, &[]));
        tally.tried += 1;
        tally.acknowledged += 1;
        tally.opened += 1;
        held.unwrap_or_else(|problem| panic!("moment {moment}, {arrived:?}: {problem}"));
    }
    tally.report(class);
}

#[test]
fn a_power_loss_loses_nothing_that_was_acknowledged() {
    let class = "power loss: simulated disk";
    let states = how_many(2000);
    let mut chance = Chance::of_class(class);
    let (clinic, disk, sealed) = recorded(&mut chance, if states > 100 { 6 } else { 2 });
    let events = disk.events();
    let traffic = clinic.proxy.traffic();
    let answers: HashMap<&str, &Exchange> = traffic
        .0
        .iter()
        .filter(|exchange| exchange.acknowledged())
        .map(|exchange| (exchange.request_id.as_str(), exchange))
        .collect();
    let data = clinic.world.data();
    let first = initialised(&events);
    // Each moment as often as it takes to make so many states, or some of the moments.
    let mut tally = Tally::default();
    let per_moment = states as u64 * 1000 / (events.len() - first) as u64;
    let mut simulated = SimulatedDisk::new(data.parent().unwrap());
    let mut acknowledged: Vec<&Exchange> = Vec::new();
    for (moment, event) in events.iter().enumerate() {
        simulated.apply(event);
        if let Event::Answer(head) = event {
            acknowledged.extend(answers.get(request_id(head).as_str()));
        }
        if moment < first {
            continue;
        }
        let times = per_moment / 1000 + u64::from(chance.below(1000) < per_moment % 1000);
        for _ in 0..times {
            let arrived = Arrived::ALL[usize::try_from(chance.below(5)).unwrap()];
            let folder = tempfile::tempdir().unwrap();
            simulated.write_after_power_loss(folder.path(), arrived, &mut chance);
            let outcome = check(&folder.path().join("data"), &acknowledged);
            tally.tried += 1;
            tally.acknowledged += acknowledged.len();
            tally.opened += outcome.unwrap_or_else(|lost| {
                panic!("moment {moment} of {}, after {event:.80?}, {arrived:?}: {lost}", events.len())
            });
        }
    }
    drop(sealed);
    tally.report(class);
}
