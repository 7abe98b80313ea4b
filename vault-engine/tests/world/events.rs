//! What happens without anybody of this world asking: disks fill, clocks are set, servers go away; Dora's other device
//! seals, keys and certificates are renewed.

use vault_core::sealing::device_key_id;
use vault_engine::effects::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::wire;

use crate::disk::Health;
use crate::machine::World;
use crate::people::seal;
use crate::server::{Actor, Asked};

/// Most recordings of that device in one world: each look at a list checks them all.
const MOST: usize = 3;

/// Most seconds by which a clock is set wrong.
const WRONG_CLOCK: usize = 4 * 3600;

impl World {
    /// What happens without anybody having asked for it.
    pub(crate) fn weather(&mut self) {
        if !self.random.happens(1, 12) {
            return;
        }
        match self.random.below(40) {
            0..=9 => self.seal_on(),
            10..=11 => self.begin_recording(),
            12 => self.rotate(),
            13 => self.certify(),
            14..=15 if self.temper.disks => {
                let home = self.random.below(2);
                let health = match self.random.below(6) {
                    0 => Health::Failing,
                    1 => Health::Full,
                    2 => Health::ReadOnly,
                    _ => Health::Well,
                };
                if health == Health::ReadOnly {
                    self.oracle.read_only[home] += 1;
                }
                self.homes[home].health = health;
                self.trouble[home] = self.running();
            }
            16..=17 => {
                for home in 0..2 {
                    if self.homes[home].health != Health::Well {
                        self.homes[home].health = Health::Well;
                        self.trouble[home] = self.running();
                    }
                }
            }
            18 if self.temper.clocks => {
                let home = self.random.below(2);
                let seconds = match self.random.below(4) {
                    0 => self.random.below(200),
                    1 => self.random.below(WRONG_CLOCK),
                    _ => self.random.below(90),
                };
                let seconds = i64::try_from(seconds).unwrap_or(0);
                self.wall_ms[home] = if self.random.happens(1, 2) { seconds * 1000 } else { seconds * -1000 };
            }
            19..=20 => self.wall_ms = [0; 2],
            21 if self.temper.network => self.hostile.away = self.random.happens(1, 2),
            22..=24 => self.hostile.away = false,
            25 if self.temper.hostile => self.hostile.shows_other_ends = self.random.happens(1, 2),
            26 => self.hostile.shows_other_ends = false,
            27 if self.temper.network => {
                let codes = [
                    ProblemCode::StorageFull,
                    ProblemCode::Busy,
                    ProblemCode::Forbidden,
                    ProblemCode::CertificateExpired,
                ];
                self.hostile.refuses = self.random.pick(&codes).copied();
            }
            28..=30 => self.hostile.refuses = None,
            _ => {}
        }
    }

    /// Dora's device begins another recording.
    pub(crate) fn begin_recording(&mut self) {
        if self.truth.iter().filter(|truth| truth.live.is_none()).count() >= MOST {
            return;
        }
        let before = self.truth.iter().filter(|truth| truth.live.is_none());
        let sequence = before.count() as u64 + 1;
        let people = std::sync::Arc::clone(&self.people);
        let recording = seal(&people, &mut self.random, sequence);
        self.truth.push(recording);
    }

    /// It sends some of what it has sealed.
    pub(crate) fn seal_on(&mut self) {
        let at = self.random.below(self.truth.len());
        for _ in 0..=self.random.below(4) {
            let Some(sent) = self.truth.get_mut(at).and_then(|truth| truth.to_send.pop_front()) else {
                return;
            };
            let dora = &self.people.dora;
            let actor = Actor { account: dora.account, key: device_key_id(&dora.tablet) };
            let asked = Asked {
                method: sent.method,
                path: &sent.path,
                query: None,
                body: &sent.body,
                range: None,
                progress: sent.progress.as_deref(),
            };
            let now = self.server_time();
            if let Err(code) = self.server.act(now, actor, &asked) {
                self.violation(format!("the model server refused an honest sealer {}: {code}", sent.path));
            }
        }
    }

    /// An account says something new of its keys, on a device that is not in this world.
    pub(crate) fn rotate(&mut self) {
        let home = self.random.below(2);
        let person = self.person_of_home(home);
        let account = person.account;
        let lists = person.key_lists.clone();
        if let Some(row) = self.server.accounts.get_mut(&account)
            && let Some(next) = lists.get(row.key_lists.len())
        {
            row.key_lists.push(next.clone());
        }
    }

    /// A registrar brings a newer certificate.
    pub(crate) fn certify(&mut self) {
        let home = self.random.below(2);
        let person = self.person_of_home(home);
        let account = person.account;
        let body = serde_json::to_vec(&person.chains[1]).unwrap_or_default().into();
        let actor = Actor { account, key: person.device_id() };
        let path = wire::path::certificate(&account);
        let asked =
            Asked { method: Method::Put, path: &path, query: None, body: &body, range: None, progress: None };
        let now = self.server_time();
        // Before the account is enrolled there is nothing to renew.
        let _ = self.server.act(now, actor, &asked);
    }
}
