//! `sim run --network`: the attacked run of a scenario through real nodes, beside the same in
//! process.

use std::path::Path;
use std::time::Instant;

use fedledger_ledger::ids::ChainId;
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::federation::RoundReport;
use fedledger_sim::lab::build::{build, Built};
use fedledger_sim::lab::publish::publish;
use fedledger_sim::lab::run::{attacked_federation, run_built_on};
use fedledger_sim::lab::store::{judge, keep_outcome, make_folder};
use fedledger_sim::lab::{Cancel, RunError, SeedResult, Source};

use super::super::context::Context;
use super::{failed, folder, tell_outcome, RunArgs};
use crate::devnet::this_program;
use crate::exit::{Exit, Failure};
use crate::network_run::compare::{Compared, Difference};
use crate::network_run::{Cast, Cleanup, NetworkRun};
use crate::output::OutputFormat;

/// Runs the scenario's seeds one after the other, the first alone unless `--seeds` says how many.
pub(super) fn run(context: &Context, args: &RunArgs, mut source: Source) -> Result<Exit, Failure> {
    if args.common.seeds.is_none() {
        source.scenario.seeds.truncate(1);
    }
    let out = folder(&args.common, &source);
    make_folder(&out).map_err(failed)?;
    let temporary = tempfile::Builder::new().prefix("fedledger-network-").tempdir();
    let temporary = temporary.map_err(|error| Failure::internal(format!("no folder: {error}")))?;
    let cleanup = Cleanup::on_interrupt(temporary.path().to_owned())?;
    let mut told = Told::new(context.output);
    let seeds: Result<Vec<SeedResult>, Failure> = source
        .scenario
        .seeds
        .iter()
        .map(|&seed| one_seed(&source, seed, temporary.path(), &cleanup, &mut told))
        .collect();
    cleanup.unless_interrupted();
    let outcome = judge(&source, seeds?);
    keep_outcome(&source, &outcome, &out).map_err(failed)?;
    let report = publish(&out).map_err(failed)?;
    tell_outcome(context, &outcome, &out, &report)
}

fn one_seed(
    source: &Source,
    seed: u64,
    temporary: &Path,
    cleanup: &Cleanup,
    told: &mut Told,
) -> Result<SeedResult, Failure> {
    let built = build(source, seed).map_err(|error| failed(error.into()))?;
    let (task, twin) = attacked_federation(source, &built).map_err(|error| failed(error.into()))?;
    let members = built.scenario.names.len();
    let begun = Instant::now();
    let dir = temporary.join(format!("seed-{seed}"));
    let chain_id = ChainId::new("fedledger-laboratory").expect("a fixed id");
    let program = this_program()?;
    let mut nodes = NetworkRun::start(&dir, chain_id, cast(&built, task), &program, cleanup)?;
    told.up(seed, members, begun);
    let rounds = source.scenario.rounds;
    let mut on_round = |report: &RoundReport| told.round(seed, report.round, rounds);
    let mut compared = Compared::new(&mut nodes, twin, &mut on_round);
    let result = run_built_on(source, &built, &mut compared, &Cancel::default(), &|_| {});
    let rounds = compared.rounds();
    let mut result = result.map_err(explain)?;
    nodes.stop()?;
    // The keys and ledgers of a finished seed serve nobody; should they stay, the whole folder
    // goes at the end.
    let _ = std::fs::remove_dir_all(dir);
    told.same(seed, rounds, members, begun);
    result.on_nodes = Some(rounds);
    Ok(result)
}

fn cast(built: &Built, task: TaskSpec) -> Cast {
    Cast {
        names: built.scenario.names.clone(),
        trainers: built.trainers(),
        task,
        knowledge: built.knowledge,
        initial_model: built.scenario.initial_model(),
    }
}

/// A difference is a verdict that does not hold; everything else that stops nodes is a fault.
fn explain(error: RunError) -> Failure {
    let RunError::Nodes(error) = error else { return failed(error.into()) };
    if error.is::<Difference>() {
        return Failure::new(Exit::Invalid, error);
    }
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        message += &format!(": {deeper}");
        cause = deeper.source();
    }
    Failure::internal(message)
}

/// Tells on standard error how it goes; nothing where a program listens.
struct Told {
    silent: bool,
    last: Instant,
}

impl Told {
    fn new(output: OutputFormat) -> Self {
        Self { silent: output == OutputFormat::Json, last: Instant::now() }
    }

    fn say(&self, line: &str) {
        if !self.silent {
            eprintln!("{line}");
        }
    }

    fn up(&mut self, seed: u64, members: usize, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        self.say(&format!("seed {seed}: {members} nodes are up after {seconds:.1} s"));
        self.last = Instant::now();
    }

    fn round(&mut self, seed: u64, round: u64, rounds: u64) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.say(&format!("seed {seed}: round {round} of {rounds}, the same ({seconds:.1} s)"));
    }

    fn same(&self, seed: u64, rounds: u64, members: usize, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        self.say(&format!(
            "seed {seed}: {rounds} rounds, {members} members: every model, verdict and trust \
             record is the same, bit for bit ({seconds:.0} s)"
        ));
    }
}
