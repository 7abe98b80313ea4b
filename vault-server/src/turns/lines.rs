//! Who waits, in the order in which they are served.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use vault_proto::ids::{AccountId, KeyId};

/// On whose account work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Somebody whose key has signed for it, or for the last request on the same connection.
    Account(AccountId),
    /// Somebody who is not known, or not yet, with the key that is claimed: who floods with one key is not in the way
    /// of others who are about to show that they have theirs.
    Stranger(Option<KeyId>),
}

/// What waits. Accounts are served in rotation, strangers together as one of them, and those by their keys.
#[derive(Debug)]
pub(super) struct Lines<T>(Rotation<Option<AccountId>, Rotation<Option<KeyId>, VecDeque<T>>>);

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self(Rotation::default())
    }
}

impl<T> Lines<T> {
    /// Adds what waits on account of `who`.
    pub(super) fn push(&mut self, who: Who, waits: T) {
        let place = match who {
            Who::Account(account) => (Some(account), (None, ())),
            Who::Stranger(claimed) => (None, (claimed, ())),
        };
        self.0.push(place, waits);
    }

    /// Takes out what is served next.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lines.values().flat_map(|line| line.lines.values()).map(VecDeque::len).sum()
    }

    #[cfg(test)]
    pub(super) fn is_untouched(&self) -> bool {
        self.0.order.is_empty() && self.0.lines.is_empty()
    }
}

/// Something that is taken out by a rule.
trait Line: Default {
    type Waits;
    /// By what it is told apart.
    type Place;
    fn push(&mut self, place: Self::Place, waits: Self::Waits);
    fn pop(&mut self) -> Option<Self::Waits>;
    fn is_empty(&self) -> bool;
}

impl<T> Line for VecDeque<T> {
    type Waits = T;
    type Place = ();

    fn push(&mut self, (): (), waits: T) {
        self.push_back(waits);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// Lines of which one after the other has its turn. None of them is empty.
#[derive(Debug)]
struct Rotation<K, L> {
    /// The next first.
    order: VecDeque<K>,
    lines: HashMap<K, L>,
}

impl<K, L> Default for Rotation<K, L> {
    fn default() -> Self {
        Self { order: VecDeque::new(), lines: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, L: Line> Line for Rotation<K, L> {
    type Waits = L::Waits;
    type Place = (K, L::Place);

    fn push(&mut self, (key, place): Self::Place, waits: L::Waits) {
        let order = &mut self.order;
        let line = self.lines.entry(key).or_insert_with(|| {
            order.push_back(key);
            L::default()
        });
        line.push(place, waits);
    }

    fn pop(&mut self) -> Option<L::Waits> {
        let key = self.order.pop_front()?;
        let line = self.lines.get_mut(&key)?;
        let waits = line.pop();
        if line.is_empty() {
            self.lines.remove(&key);
        } else {
            self.order.push_back(key);
        }
        waits
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(seed: u8) -> Who {
        Who::Account(AccountId::from_bytes([seed; 32]))
    }

    fn stranger(seed: u8) -> Who {
        Who::Stranger(Some(KeyId::from_bytes([seed; 32])))
    }

    /// In which order these are served, who came in this one.
    fn served(callers: &[Who]) -> Vec<usize> {
        let mut lines = Lines::default();
        for (number, who) in callers.iter().enumerate() {
            lines.push(*who, number);
        }
        let order: Vec<usize> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(order.len(), callers.len());
        assert!(lines.is_untouched());
        order
    }

    #[test]
    fn whoever_floods_delays_others_by_one() {
        let flood = vec![account(1); 50];
        let order = served(&[flood, vec![account(2); 2]].concat());
        assert_eq!(order[..5], [0, 50, 1, 51, 2]);
        assert_eq!(order[5..], (3..50).collect::<Vec<_>>());
    }

    /// However many strangers there are, with however many keys, they are one.
    #[test]
    fn strangers_are_one_together_and_served_by_their_keys() {
        let flood: Vec<Who> = (0..20).map(stranger).chain([Who::Stranger(None); 20]).collect();
        let order = served(&[flood, vec![account(2); 2]].concat());
        assert_eq!(order[..4], [0, 40, 1, 41]);
        let order = served(&[vec![stranger(1); 50], vec![stranger(2)]].concat());
        assert_eq!(order[..3], [0, 50, 1]);
    }
}
