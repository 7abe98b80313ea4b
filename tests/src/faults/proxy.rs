//! A TCP proxy between client and server. It counts every byte, both ways, over all connections; at a chosen byte it
//! cuts the connection that the byte is on, or calls something, before it passes the byte on.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::traffic::{Framing, Traffic, answer, request};

/// What happens at a byte.
pub enum Strike {
    /// The connection ends, in both directions.
    Cut,
    /// Something is called, on the proxy's thread; the byte waits for it.
    Call(Box<dyn FnOnce() + Send>),
}

/// A running proxy. Its threads end with their connections, and the process.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    upstream: Option<SocketAddr>,
    when_refused: Option<Arc<dyn Fn() + Send + Sync>>,
    passed: u64,
    strikes: Vec<(u64, Strike)>,
    struck: usize,
    traffic: Traffic,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts as many of `length` bytes as come before the next strike, and takes out a strike that is due now.
    fn advance(&mut self, length: usize) -> (usize, Option<Strike>) {
        let next = self
            .strikes
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(index, (at, _))| (index, *at));
        match next {
            Some((index, at)) if at < self.passed + length as u64 => {
                let before = usize::try_from(at.saturating_sub(self.passed)).expect("no more than was read");
                self.passed += before as u64;
                self.struck += 1;
                (before, Some(self.strikes.swap_remove(index).1))
            }
            _ => {
                self.passed += length as u64;
                (length, None)
            }
        }
    }
}

impl Proxy {
    /// Listens on a free port; leads nowhere yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connect(&accepting, client);
            }
        });
        Self { address, shared }
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Its address as a server's.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where connections from now on lead; `None` ends them at once.
    pub fn lead_to(&self, server: Option<SocketAddr>) {
        self.shared.state().upstream = server;
    }

    /// Calls this, on the proxy's thread, whenever the server takes no connection, and then tries once more.
    pub fn when_refused(&self, call: Arc<dyn Fn() + Send + Sync>) {
        self.shared.state().when_refused = Some(call);
    }

    /// Bytes that have passed so far.
    pub fn passed(&self) -> u64 {
        self.shared.state().passed
    }

    /// Strikes before the byte that comes after `bytes` more.
    pub fn strike_after(&self, bytes: u64, strike: Strike) {
        let mut state = self.shared.state();
        let at = state.passed + bytes;
        state.strikes.push((at, strike));
    }

    /// Forgets strikes that are still to come. Returns how many there were since the last call.
    pub fn end_strikes(&self) -> usize {
        let mut state = self.shared.state();
        state.strikes.clear();
        std::mem::take(&mut state.struck)
    }

    /// All requests so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.state().traffic.clone()
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) {
    let upstream = || {
        let upstream = shared.state().upstream;
        upstream.and_then(|upstream| TcpStream::connect(upstream).ok())
    };
    let server = upstream().or_else(|| {
        let call = shared.state().when_refused.clone();
        call.and_then(|call| {
            call();
            upstream()
        })
    });
    // Dropping the client's stream is what a client sees of a server that is down.
    let Some(server) = server else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a connected stream");
    }
    let waiting = Arc::new(Mutex::new(VecDeque::new()));
    let ways = [(&client, &server, Direction::ToServer), (&server, &client, Direction::ToClient)];
    for (from, to, direction) in ways {
        let from = from.try_clone().expect("a stream");
        let to = to.try_clone().expect("a stream");
        let (shared, waiting) = (Arc::clone(shared), Arc::clone(&waiting));
        std::thread::spawn(move || {
            pass(
                &shared,
                from.try_clone().expect("a stream"),
                to.try_clone().expect("a stream"),
                direction,
                &waiting,
            );
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// Passes bytes on until an end, an error or a cut.
fn pass(
    shared: &Shared,
    mut from: TcpStream,
    mut to: TcpStream,
    direction: Direction,
    waiting: &Mutex<VecDeque<usize>>,
) {
    let mut framing = Framing::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut rest = buffer.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            let (before, strike) = shared.state().advance(rest.len());
            let (now, later) = rest.split_at(before);
            note(shared, &mut framing, now, direction, waiting);
            if to.write_all(now).is_err() {
                return;
            }
            match strike {
                None => {}
                Some(Strike::Cut) => return,
                Some(Strike::Call(call)) => call(),
            }
            rest = later;
        }
    }
}

fn note(
    shared: &Shared,
    framing: &mut Framing,
    mut bytes: &[u8],
    direction: Direction,
    waiting: &Mutex<VecDeque<usize>>,
) {
    while !bytes.is_empty() {
        let (taken, head) = framing.take(bytes);
        bytes = bytes.get(taken..).unwrap_or_default();
        let Some(head) = head else { continue };
        let mut state = shared.state();
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match direction {
            Direction::ToServer => {
                waiting.push_back(state.traffic.0.len());
                state.traffic.0.push(request(&head));
            }
            Direction::ToClient => answer(&head, &mut waiting, &mut state.traffic),
        }
    }
}
