use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;

const LENGTH: usize = 10;

/// What is done with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Kept,
    /// It was kept, and the disk does not have it any more.
    KeptAndGone,
    Lost,
    OnItsWay,
}

fn mark(parts: usize) -> Mark {
    Mark { bytes: parts as u64, recorded: Duration::from_millis(parts as u64) }
}

/// What lies in the spool, each with the bytes of its record.
type Spool = BTreeMap<Place, u64>;

fn place(part: usize) -> Place {
    let part = u32::try_from(part).unwrap();
    (part / 3, part % 3)
}

fn meet(settlement: &Settlement, spool: &mut Spool, part: usize, fate: Fate) {
    let at = place(part);
    match fate {
        Fate::Acknowledged => settlement.settle(at, Settled::Acknowledged),
        Fate::Kept | Fate::KeptAndGone => {
            if fate == Fate::Kept {
                spool.insert(at, LENGTH as u64 + 1);
            }
            settlement.settle(at, Settled::Spooled);
        }
        Fate::Lost => settlement.settle(at, Settled::Lost(ClientError::Interrupted)),
        Fate::OnItsWay => {}
    }
}

proptest! {
    /// Parts come to rest in any order: what is called safe is exactly what stands before the first part that is
    /// nowhere, and nothing can be signed while one is.
    #[test]
    fn only_what_is_somewhere_is_safe(
        fates in prop::collection::vec(
            prop_oneof![
                4 => Just(Fate::Acknowledged), 4 => Just(Fate::Kept),
                1 => Just(Fate::KeptAndGone), 1 => Just(Fate::Lost), 1 => Just(Fate::OnItsWay),
            ],
            0..20,
        ),
        order in any::<prop::sample::Index>(),
    ) {
        let mut spool = Spool::new();
        let settlement = Settlement::after(mark(0));
        for part in 0..fates.len() {
            settlement.note(place(part), LENGTH, mark(part + 1));
        }
        let shift = if fates.is_empty() { 0 } else { order.index(fates.len()) };
        for part in (0..fates.len()).map(|part| (part + shift) % fates.len()) {
            meet(&settlement, &mut spool, part, fates[part]);
        }
        let whole = |fate: &&Fate| matches!(fate, Fate::Acknowledged | Fate::Kept);
        prop_assert_eq!(settlement.safe(&spool), mark(fates.iter().take_while(whole).count()));

        let lossy = fates.contains(&Fate::Lost);
        let waits = !lossy && fates.contains(&Fate::OnItsWay);
        let asked = settlement.all_safe().now_or_never();
        prop_assert_eq!(asked.is_none(), waits);
        if let Some(answer) = asked {
            prop_assert_eq!(answer.is_err(), lossy);
        }
    }
}

#[test]
fn a_loss_is_told_once_and_stays_one() {
    let spool = Spool::new();
    let settlement = Settlement::after(mark(0));
    settlement.note(place(0), LENGTH, mark(1));
    settlement.note(place(1), LENGTH, mark(2));
    settlement.settle(place(1), Settled::Lost(ClientError::KeptPartGone { segment: 0, part: 1 }));
    assert!(matches!(settlement.take_loss(), Some(ClientError::KeptPartGone { .. })));
    assert!(settlement.take_loss().is_none());
    settlement.settle(place(0), Settled::Acknowledged);
    assert!(settlement.all_safe().now_or_never().unwrap().is_err());
    assert_eq!(settlement.safe(&spool), mark(1));
}

#[test]
fn a_sender_that_ends_leaves_nobody_waiting() {
    let spool = Spool::new();
    let settlement = Settlement::after(mark(0));
    settlement.note(place(0), LENGTH, mark(1));
    assert!(settlement.all_safe().now_or_never().is_none(), "it is on its way");
    settlement.close();
    assert!(settlement.all_safe().now_or_never().unwrap().is_err());
    assert_eq!(settlement.safe(&spool), mark(0));
}

#[test]
fn what_is_sealed_for_a_sender_that_has_ended_is_lost() {
    let settlement = Settlement::after(mark(0));
    assert!(!settlement.is_closed());
    settlement.close();
    assert!(settlement.is_closed(), "whoever seals can stop");
    settlement.note(place(0), LENGTH, mark(1));
    assert!(settlement.all_safe().now_or_never().expect("nobody waits for it").is_err());
}
