//! A fixed ledger and its state root at every height, for comparison between builds and machines.
//!
//! `cargo run --release -p fedledger-contract --example state_roots -- --threads 2` plays the
//! ledger (fixed keys, every rule, every kind of bad submission, values from an integer generator),
//! replays it from genesis as an auditor does, and prints for each height
//!
//! - `height H root ROOT`: the state root. It covers the log, and so the order of its entries.
//! - `height H settled DIGEST`: what of the state does not depend on that order: members, tasks,
//!   models, trust, and the counters of updates and verdicts.
//! - `height H decision TASK round R DIGEST`: a decision of that block, with its verdicts, their
//!   numbers, and the digests of aggregate and model.
//!
//! All lines are the same on any machine, with any compiler, profile and number of threads. With
//! `--shuffle SEED` the transactions of each block and the blobs arrive in another order; then the
//! roots differ, and all other lines must be the same. An order is kept only where it is what the
//! transactions are about: which of two equal updates came first and which is the copy, which of
//! two contradicting commitments stands, and what one member sends again after a refusal.
//! `scripts/determinism.sh` compares builds.

mod acts;
mod consortium;
mod lcg;
mod scenario;
mod tasks;

use std::process::ExitCode;

const USAGE: &str = "usage: state_roots [--threads N] [--shuffle SEED]";

/// Number of threads (0: as many as there are cores) and the seed of the order of arrival.
fn options() -> Option<(usize, Option<u64>)> {
    let (mut threads, mut shuffle) = (0, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--threads" => threads = value.parse().ok()?,
            "--shuffle" => shuffle = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some((threads, shuffle))
}

fn main() -> ExitCode {
    let Some((threads, shuffle)) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // One thread is this one: WebAssembly has no other.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = if threads == 1 { pool.use_current_thread().build() } else { pool.build() };
    let pool = pool.expect("the system gives a few threads");
    pool.install(|| {
        let run = scenario::play(shuffle);
        if let Err(error) = scenario::replay(&run) {
            eprintln!("the replay does not agree: {error}");
            return ExitCode::FAILURE;
        }
        for line in run.roots.iter().chain(&run.decided) {
            println!("{line}");
        }
        ExitCode::SUCCESS
    })
}
