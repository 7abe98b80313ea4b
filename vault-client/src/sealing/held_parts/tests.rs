use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use vault_proto::ids::RecordingId;

use super::*;
use crate::home_folder::HomeFolder;
use crate::sealing::progress::Mark;

const LENGTH: usize = 10;
const PARTS: u32 = 4;

struct Fixture {
    _folder: tempfile::TempDir,
    spool: Spool,
    settlement: Settlement,
    memory: Arc<Semaphore>,
    held: HeldParts,
}

impl Fixture {
    /// Four parts on their way, noted in the order in which they were sealed.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::of(&HomeFolder::new(folder.path()), RecordingId::from_bytes([7; 16]), 1 << 20);
        let settlement = Settlement::after(Mark::default());
        let memory = Arc::new(Semaphore::new(PARTS as usize));
        let held = HeldParts::new(settlement.clone());
        for part in 0..PARTS {
            let share = Arc::clone(&memory).try_acquire_owned().unwrap();
            held.hold(
                (0, part),
                HeldPart { ciphertext: vec![0; LENGTH].into(), progress: None, _share: share },
            );
            let end = Mark { bytes: u64::from(part) + 1, ..Mark::default() };
            settlement.note((0, part), LENGTH, end, false);
        }
        Self { _folder: folder, spool, settlement, memory, held }
    }

    fn kept(&self) -> Vec<u32> {
        (0..PARTS).filter(|&part| self.spool.holds(0, part, LENGTH)).collect()
    }
}

#[test]
fn whoever_keeps_a_part_keeps_those_before_it() {
    let fixture = Fixture::new();
    fixture.held.keep_up_to((0, 2), &fixture.spool).unwrap();
    assert_eq!(fixture.kept(), [0, 1, 2]);
    assert_eq!(fixture.memory.available_permits(), 3, "what is kept takes no memory");
    assert_eq!(fixture.settlement.safe(&fixture.spool).bytes, 3);
    // One of another segment has all of this one before it.
    fixture.held.keep_up_to((1, 0), &fixture.spool).unwrap();
    assert_eq!(fixture.memory.available_permits(), 4);
    assert!(fixture.settlement.all_safe().now_or_never().unwrap().is_ok(), "all of it is on the disk");
}

#[test]
fn where_there_is_no_room_the_earlier_parts_come_first() {
    let fixture = Fixture::new();
    // No file can take the place of a folder with something in it.
    let in_the_way = fixture.spool.folder().join("0-1");
    std::fs::create_dir_all(in_the_way.join("something")).unwrap();
    fixture.held.keep_up_to((0, 3), &fixture.spool).unwrap_err();
    assert_eq!(fixture.kept(), [0], "nothing behind a part that is not there");
    assert_eq!(fixture.memory.available_permits(), 1);
    std::fs::remove_dir_all(in_the_way).unwrap();
    fixture.held.keep_up_to((0, 3), &fixture.spool).unwrap();
    assert_eq!(fixture.kept(), [0, 1, 2, 3]);
}

#[test]
fn what_has_arrived_is_not_kept_whichever_came_first() {
    let fixture = Fixture::new();
    fixture.held.arrived((0, 1), LENGTH, Some(&fixture.spool));
    fixture.held.keep_up_to((0, 3), &fixture.spool).unwrap();
    assert_eq!(fixture.kept(), [0, 2, 3]);
    fixture.held.arrived((0, 0), LENGTH, Some(&fixture.spool));
    fixture.held.arrived((0, 3), LENGTH, Some(&fixture.spool));
    assert_eq!(fixture.kept(), [2]);
    assert_eq!(fixture.spool.used(), LENGTH as u64);
}
