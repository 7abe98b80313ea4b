//! Connections cut at random bytes, in both directions.

use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::command::end;
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, SEAL_LIVE, Way, recording};
use vault_tests::faults::proxy::Strike;
use vault_tests::faults::{Chance, Tally, how_many};

const LENGTH: usize = 6 * MAX_PART_PLAINTEXT + 4321;

#[test]
fn a_cut_connection_costs_one_part_at_most() {
    cut_connections(SEAL_FILE);
}

#[test]
fn a_cut_connection_costs_one_part_of_a_live_recording_at_most() {
    cut_connections(SEAL_LIVE);
}

fn cut_connections(way: Way) {
    let class = &format!("cut connections: {} and open", way.name);
    let cuts = how_many(50);
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (sealing, opening) = clinic.measured(way, 0, LENGTH);
    let mut sum = Tally::default();
    for number in 1.. {
        if sum.tried >= cuts {
            break;
        }
        let (file, content) = clinic.new_file(number, LENGTH);
        for _ in 0..5 {
            clinic.proxy.strike_after(chance.below(sealing + opening), Strike::Cut);
        }
        let sealed = end(&mut (way.begin)(&clinic, &file));
        let mut tally = clinic.tally(&recording(&sealed), &content, 0);
        tally.tried = clinic.proxy.end_strikes();
        assert!(tally.sent_twice <= tally.tried, "more than one part a cut: {tally:?}");
        sum += tally;
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}
