//! How fast segments are sealed and opened: `throughput [MEBIBYTES] [THREADS] [ROUNDS]`.
//!
//! Parts of one buffer go round between threads and are dropped when they are done, so nothing but the work itself is
//! measured. Prints the median of the rounds in MB/s, one line a measurement: name, tab, figure.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement that is run by hand")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use vault_core::age_file::seal_small;
use vault_core::file_key::FileKey;
use vault_core::identity::{Identity, unwrap_header};
use vault_core::payload::{PartJob, PayloadOpener, PayloadSealer};
use vault_proto::age_header::Header;
use vault_proto::geometry::{BodyEnd, MAX_PART_PLAINTEXT, PartChunks};
use vault_proto::ids::Digest;
use vault_proto::statements::Suite;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let get = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let (parts, threads, rounds) = (get(0, 1024), get(1, 2), get(2, 5));
    for (name, hashed) in [("seal", false), ("seal with part hashes", true)] {
        report(name, parts, rounds, || seal(parts, threads, hashed))?;
    }
    for (name, hashed) in [("open", false), ("open with part hashes", true)] {
        let (opener, sealed) = one_part()?;
        report(name, parts, rounds, || open(&opener, &sealed, parts, threads, hashed))?;
    }
    Ok(())
}

fn report(
    name: &str,
    parts: usize,
    rounds: usize,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut speeds = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        work()?;
        speeds.push((parts * MAX_PART_PLAINTEXT) as f64 / began.elapsed().as_secs_f64() / 1e6);
    }
    speeds.sort_by(f64::total_cmp);
    println!("{name}\t{:.0}", speeds.get(rounds / 2).copied().unwrap_or_default());
    Ok(())
}

/// Every thread takes the next part, with a buffer of its own that comes back to it.
fn seal(parts: usize, threads: usize, hashed: bool) -> Result<(), Failure> {
    let sealer = Mutex::new((PayloadSealer::new(FileKey::generate()?, PartChunks::FIFTEEN)?, 0usize));
    on_threads(threads, || {
        let mut buffer = PayloadSealer::part_buffer();
        loop {
            buffer.resize(MAX_PART_PLAINTEXT, 7);
            let job: PartJob = {
                let mut next = sealer.lock().map_err(|_| "a thread failed")?;
                if next.1 == parts {
                    return Ok(());
                }
                next.1 += 1;
                let last = next.1 == parts;
                next.0.next_part(std::mem::take(&mut buffer), last)?
            };
            let sealed = job.run()?;
            if hashed {
                std::hint::black_box(Digest::of(&sealed.ciphertext));
            }
            buffer = sealed.ciphertext.into();
        }
    })
}

/// A sealed part and what opens it, by way of an identity: sealing consumes its file key.
fn one_part() -> Result<(PayloadOpener, Vec<u8>), Failure> {
    let identity = Identity::generate(Suite::X25519)?;
    let recipients = [identity.recipient().clone()];
    let file = seal_small(&recipients, None, &vec![7; MAX_PART_PLAINTEXT])?;
    let (header, length) = Header::parse(&file)?;
    let body = file.get(length..).ok_or("a file without a body")?;
    let nonce = body.first_chunk().ok_or("a body without a nonce")?;
    let file_key = unwrap_header(&[&identity], &header)?;
    Ok((PayloadOpener::new(&file_key, &header, nonce)?, body.to_vec()))
}

fn open(
    opener: &PayloadOpener,
    sealed: &[u8],
    parts: usize,
    threads: usize,
    hashed: bool,
) -> Result<(), Failure> {
    let left = Mutex::new(parts);
    on_threads(threads, || {
        let mut buffer = PayloadSealer::part_buffer();
        loop {
            {
                let mut left = left.lock().map_err(|_| "a thread failed")?;
                if *left == 0 {
                    return Ok(());
                }
                *left -= 1;
            }
            buffer.clear();
            buffer.extend_from_slice(sealed);
            if hashed {
                std::hint::black_box(Digest::of(&buffer));
            }
            buffer = opener
                .open_part((0, PartChunks::FIFTEEN), std::mem::take(&mut *buffer), true, BodyEnd::Final)?
                .into();
        }
    })
}

fn on_threads(threads: usize, work: impl Fn() -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| Failure::from("a thread failed"))?)
    })
}
