//! What other people and other devices do meanwhile: Dora's sealing device goes on, keys and certificates are renewed.

use vault_core::sealing::device_key_id;
use vault_engine::effects::Method;
use vault_proto::wire;

use crate::machine::World;
use crate::people::seal;
use crate::server::{Actor, Asked};

/// Most recordings of that device in one world: each look at a list checks them all.
const MOST: usize = 3;

impl World {
    /// Dora's device begins another recording.
    pub(crate) fn begin_recording(&mut self) {
        if self.truth.iter().filter(|truth| truth.live.is_none()).count() >= MOST {
            return;
        }
        let mut before = self.truth.iter().filter(|truth| truth.live.is_none());
        let sequence = before.clone().count() as u64 + 1;
        let previous = before.next_back().map(|before| before.manifest);
        let people = std::sync::Arc::clone(&self.people);
        let recording = seal(&people, &mut self.random, sequence, previous);
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
