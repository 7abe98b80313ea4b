//! The server's clock jumps between two of its runs. What it says is clear, nothing is lost, and it goes on when it is
//! right.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::kills::killed_after;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use vault_client::clock::now;
use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_server::{Config, serve};
use vault_tests::command::end;
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, recording};
use vault_tests::faults::{Chance, Tally, how_many};

const LENGTH: usize = 3 * MAX_PART_PLAINTEXT;
/// The certificates' life is longer; the freshness of a request is 120 s.
const DAY: i64 = 86_400;

/// Serves the clinic's data folder in this process, with a clock that is `off` seconds ahead, while `work` runs.
pub(crate) fn with_clock(runtime: &Runtime, clinic: &Clinic, off: Arc<AtomicI64>, work: impl FnOnce()) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    clinic.proxy.lead_to(Some(listener.local_addr().unwrap()));
    let config = Config {
        authorities: vec![clinic.proxy.authority().parse().unwrap()],
        clock: Arc::new(move || now().unwrap().saturating_add(off.load(Ordering::SeqCst))),
        ..Config::new(clinic.world.data())
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(serve(listener, config, async {
        let _ = stopped.await;
    }));
    work();
    stop.send(()).unwrap();
    runtime.block_on(serving).unwrap().unwrap();
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let class = "clock of the server jumps";
    let jumps = how_many(50);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let clinic = Clinic::new();
    let mut chance = Chance::of_class(class);
    let (whole, _) = clinic.measured(SEAL_FILE, 0, LENGTH);
    clinic.server.stop();
    let mut sum = Tally::default();
    for number in 1..=jumps as u64 {
        let (file, content) = clinic.new_file(number, LENGTH);
        let seal = || end(&mut (SEAL_FILE.begin)(&clinic, &file));
        with_clock(&runtime, &clinic, Arc::default(), || {
            // The client dies somewhere on the way.
            let begun = (SEAL_FILE.begin)(&clinic, &file);
            let (said, killed) = killed_after(&clinic, chance.below(whole), begun);
            assert!(killed || said.exit == Some(0), "{}", said.stderr);
        });
        let magnitude = 121 + i64::try_from(chance.below(30 * DAY as u64)).unwrap();
        let off = if chance.once_in(2) { magnitude } else { -magnitude };
        with_clock(&runtime, &clinic, Arc::new(off.into()), || {
            seal().refused(22, "Set this machine's clock");
        });
        with_clock(&runtime, &clinic, Arc::default(), || {
            let tally = clinic.tally(&recording(&seal()), &content, 1);
            sum += tally;
        });
        std::fs::remove_file(file).unwrap();
    }
    sum.report(class);
}
