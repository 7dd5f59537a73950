//! What a node costs while nothing happens.
//!
//! `cargo bench -p fedledger-tests --bench idle` starts a consortium of four processes with an open
//! task to which nobody submits, lets it settle, and prints the share of one core that each process
//! used over 30 seconds, from /proc. The aim is under 1 %.
#![allow(clippy::disallowed_types, clippy::float_arithmetic, reason = "a bench measures time")]

use std::path::Path;
use std::time::{Duration, Instant};

use fedledger_contract::canonical::Schema;
use fedledger_ledger::ids::{ChainId, Digest, TaskId};
use fedledger_ledger::task::TensorSpec;
use fedledger_node::devnet::{Devnet, Plan, PlannedTask, Running};

const NODES: usize = 4;
const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);

/// Clock ticks of user and system time that a process has used.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // The second field is the name in parentheses, which may hold spaces.
    let after = stat.rsplit(')').next().expect("the name ends");
    let fields: Vec<&str> = after.split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum()
}

fn main() {
    let program = Path::new(env!("CARGO_BIN_EXE_fedledger-under-test"));
    let folder = tempfile::tempdir().expect("the temporary folder works");
    let mut plan =
        Plan::of_hospitals(ChainId::new("idle-1").expect("an id"), NODES).expect("a plan");
    let tensors = vec![TensorSpec { name: "weight".into(), shape: vec![30], scale_bits: 16 }];
    let id = TaskId::new("waiting").expect("an id");
    let spec = fedledger_sim::defaults::task(id, "idle", NODES, tensors, Digest([0; 32]), 10);
    let initial_model = Schema::of(&spec).expect("a schema").zero_model();
    plan.tasks = vec![PlannedTask { spec, initial_model }];
    let devnet = Devnet::create(&folder.path().join("net"), &plan).expect("the folder is empty");
    let mut nodes: Vec<Running> = devnet
        .nodes
        .iter()
        .map(|node| Running::launch(program, &node.home).expect("the program starts"))
        .collect();
    for node in &mut nodes {
        node.wait_ready(PATIENCE).expect("the node comes up");
    }
    std::thread::sleep(SETTLE);
    let per_second = 100.0; // USER_HZ on every Linux that Rust runs on.
    let before: Vec<u64> = nodes.iter().map(|node| ticks(node.pid())).collect();
    let begin = Instant::now();
    std::thread::sleep(WATCH);
    let seconds = begin.elapsed().as_secs_f64();
    println!("{NODES} idle nodes over {seconds:.0} s");
    for (node, before) in nodes.iter().zip(before) {
        let used = (ticks(node.pid()) - before) as f64 / per_second;
        println!("  process {}: {:.2} % of one core", node.pid(), 100.0 * used / seconds);
    }
    for node in nodes {
        node.stop(PATIENCE).expect("the node ends in order");
    }
}
