use async_lock::Semaphore;
use futures_executor::block_on;
use futures_util::FutureExt as _;
use vault_proto::ids::RecordingId;

use super::*;
use crate::effects::in_memory;
use crate::home::Home;
use crate::sealing::progress::Mark;

const LENGTH: usize = 10;
const PARTS: u32 = 4;

struct Fixture {
    home: Home,
    spool: Spool,
    settlement: Settlement,
    memory: Arc<Semaphore>,
    held: HeldParts,
}

impl Fixture {
    /// Four parts on their way, noted in the order in which they were sealed.
    fn new() -> Self {
        let home = in_memory::home();
        let recording = RecordingId::from_bytes([7; 16]);
        let journal = block_on(Journal::of_nothing(&home, recording)).unwrap();
        let spool = Spool::of(&home, recording, 1 << 20);
        let settlement = Settlement::after(Mark::default());
        let memory = Arc::new(Semaphore::new(PARTS as usize));
        let held = HeldParts::new(settlement.clone(), Arc::new(journal));
        for part in 0..PARTS {
            let share = memory.try_acquire_arc().unwrap();
            let in_memory = HeldPart { ciphertext: vec![0; LENGTH].into(), progress: None, _share: share };
            block_on(held.hold((0, part), in_memory));
            let end = Mark { bytes: u64::from(part) + 1, ..Mark::default() };
            settlement.note((0, part), LENGTH, end);
        }
        Self { home, spool, settlement, memory, held }
    }

    fn keep_up_to(&self, place: Place) -> Result<(), ClientError> {
        block_on(self.held.keep_up_to(place, &self.spool))
    }

    fn kept(&self) -> Vec<u32> {
        block_on(self.spool.lengths()).unwrap().into_keys().map(|(_, part)| part).collect()
    }

    fn free(&self) -> usize {
        let shares: Vec<_> = std::iter::from_fn(|| self.memory.try_acquire_arc()).collect();
        shares.len()
    }
}

#[test]
fn whoever_keeps_a_part_keeps_those_before_it() {
    let fixture = Fixture::new();
    fixture.keep_up_to((0, 2)).unwrap();
    assert_eq!(fixture.kept(), [0, 1, 2]);
    assert_eq!(fixture.free(), 3, "what is kept takes no memory");
    let lengths = block_on(fixture.spool.lengths()).unwrap();
    assert_eq!(fixture.settlement.safe(&lengths).bytes, 3);
    // One of another segment has all of this one before it.
    fixture.keep_up_to((1, 0)).unwrap();
    assert_eq!(fixture.free(), 4);
    assert!(fixture.settlement.all_safe().now_or_never().unwrap().is_ok(), "all of it is in the home");
}

#[test]
fn where_there_is_no_room_the_earlier_parts_come_first() {
    let fixture = Fixture::new();
    in_memory::limit_commits(&fixture.home, Some(1));
    fixture.keep_up_to((0, 3)).unwrap_err();
    assert_eq!(fixture.kept(), [0], "nothing behind a part that is not there");
    assert_eq!(fixture.free(), 1);
    in_memory::limit_commits(&fixture.home, None);
    fixture.keep_up_to((0, 3)).unwrap();
    assert_eq!(fixture.kept(), [0, 1, 2, 3]);
}

#[test]
fn what_has_arrived_is_not_kept_whichever_came_first() {
    let fixture = Fixture::new();
    let arrived = |part| block_on(fixture.held.arrived((0, part), LENGTH, &fixture.spool));
    assert_eq!(arrived(1), None, "it was nowhere else");
    fixture.keep_up_to((0, 3)).unwrap();
    assert_eq!(fixture.kept(), [0, 2, 3]);
    for part in [0, 3] {
        let removal = arrived(part).expect("it lies in the spool");
        block_on(fixture.home.commit(vec![removal])).unwrap();
    }
    assert_eq!(fixture.kept(), [2]);
    assert_eq!(fixture.spool.used(), LENGTH as u64);
}
