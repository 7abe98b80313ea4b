use std::sync::atomic::Ordering;

use reqwest::Method;
use vault_proto::problem::ProblemCode;
use vault_proto::statements::Role;
use vault_proto::wire::path;

use crate::support::{Call, NOW, Organisation, Person, Server};

/// Jumps forward and back, also across restarts: no request counts twice, and nobody is kept out once the clock is
/// right.
#[tokio::test]
async fn a_clock_that_jumps_lets_nothing_count_twice_and_locks_nobody_out() {
    let organisation = Organisation::new(1);
    let person: Person = organisation.person(10, Role::Patient);
    let mut server = Server::start(&organisation).await;
    server.enrol(&[&person]).await;
    let request = |created: i64| {
        let mut call = Call::new(&person.device, Method::GET, path::RECORDINGS, Vec::new());
        call.created = created;
        call
    };
    let again = |call: &Call<'_>| {
        let mut again = request(call.created);
        again.nonce = call.nonce;
        again
    };
    const MONTH: i64 = 30 * 24 * 60 * 60;
    let mut used: Vec<Call<'_>> = Vec::new();
    for time in [NOW, NOW + MONTH, NOW + MONTH + 5000, NOW + 50, NOW + 2000, NOW + MONTH, NOW + 2100] {
        server.clock.store(time, Ordering::SeqCst);
        let call = request(time);
        let repeat = again(&call);
        server.call(call).await.ok(200);
        used.push(repeat);
        for call in &used {
            let problem = server.call(again(call)).await.problem().known_code().unwrap();
            assert!(
                [ProblemCode::SignatureReplayed, ProblemCode::SignatureStale].contains(&problem),
                "{problem:?}"
            );
        }
        server = server.restart().await;
    }
    // Each one comes again at its own time.
    for call in used {
        server.clock.store(call.created, Ordering::SeqCst);
        let problem = server.call(call).await.problem().known_code().unwrap();
        assert!([ProblemCode::SignatureReplayed, ProblemCode::SignatureStale].contains(&problem));
    }
}
