//! Connections that dribble or say nothing do not keep anybody else from the server.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vault_proto::geometry::MAX_PART_PLAINTEXT;
use vault_tests::command::end;
use vault_tests::faults::clinic::{Clinic, SEAL_FILE, recording};
use vault_tests::faults::{Tally, how_many};

/// Heads that never end, bodies that never end, and nothing at all.
const BEGINNINGS: [&str; 3] = [
    "GET /v1/server HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    "PUT /v1/recordings/00000000000000000000000000000000/details HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n",
    "",
];

#[test]
fn slow_and_silent_connections_stop_nobody_else() {
    let class = "slow and half-open connections";
    let connections = how_many(400);
    let clinic = Clinic::new();
    let server = clinic.server.address();
    let mut slow: Vec<(TcpStream, &str)> = (0..connections)
        .map(|number| {
            let beginning = BEGINNINGS[number % BEGINNINGS.len()];
            let mut stream = TcpStream::connect(server).unwrap();
            stream.write_all(beginning.as_bytes()).unwrap();
            (stream, beginning)
        })
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let dribbling = std::thread::spawn(move || {
        // A byte at a time on each, for as long as somebody else works; the server may end any of them.
        while !seen.load(Ordering::Relaxed) {
            for (stream, beginning) in &mut slow {
                if !beginning.is_empty() {
                    let _ = stream.write(b"a");
                }
            }
            std::thread::yield_now();
        }
    });
    let (file, content) = clinic.new_file(0, 3 * MAX_PART_PLAINTEXT);
    let sealed = end(&mut (SEAL_FILE.begin)(&clinic, &file));
    let tally = clinic.tally(&recording(&sealed), &content, connections);
    done.store(true, Ordering::Relaxed);
    dribbling.join().unwrap();
    assert!(clinic.server.is_alive());
    let sum = Tally { tried: connections, ..tally };
    sum.report(class);
}
