//! The demonstration: hospitals on one machine, some of them hostile, every one a real node with
//! its own keys, disk and sockets, training together while you watch; and then an outsider who
//! checks all of it.

mod hospital;
mod interrupt;
mod outsider;
mod screen;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _};
use fedledger_contract::canonical::Schema;
use fedledger_ledger::ids::{byzantine_max, ChainId, MemberId, RoundNumber, TaskId};
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::attack::{Attack, PublicRecord};
use fedledger_sim::data::CsvOptions;
use fedledger_sim::federation::named_bits;
use fedledger_sim::scenario::{self, Scenario};

use self::hospital::Hospital;
use self::interrupt::Cleanup;
use self::screen::Screen;
use crate::devnet::{this_program, Devnet, Plan, PlannedTask, Running};

/// How long a node may take to come up, and a round to end, before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to show.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Number of hospitals; ignored with `data`, where it is the number of files.
    pub institutions: Option<usize>,
    /// Number of hostile ones.
    pub attackers: usize,
    /// What they do.
    pub attack: Attack,
    /// Number of rounds.
    pub rounds: u64,
    /// A folder with one CSV file for each institution, instead of the built-in data.
    pub data: Option<(PathBuf, CsvOptions)>,
    /// Keeps everything in this folder instead of a temporary one.
    pub keep: Option<PathBuf>,
    /// Seed of split, training and attackers.
    pub seed: u64,
}

/// Number of hospitals when nothing is said.
pub const INSTITUTIONS: usize = 7;

/// Runs the demonstration and prints it. Returns whether everything that had to hold did.
///
/// # Errors
/// When it cannot be set up, a node fails, or a round does not end.
pub fn run(options: &DemoOptions) -> anyhow::Result<bool> {
    let temporary = tempfile::Builder::new().prefix("fedledger-demo-").tempdir()?;
    let cleanup = Cleanup::on_interrupt(temporary.path().to_owned())?;
    let result = show(options, temporary.path(), &cleanup);
    cleanup.unless_interrupted();
    result
}

fn show(options: &DemoOptions, temporary: &Path, cleanup: &Cleanup) -> anyhow::Result<bool> {
    let started = Instant::now();
    let mut scenario = build_scenario(options)?;
    scenario.rounds = options.rounds;
    let task = TaskId::new("demo").expect("a fixed id");
    let members = member_ids(&scenario)?;
    let spec = task_spec(&scenario, task)?;
    let dir = options.keep.clone().unwrap_or_else(|| temporary.join("consortium"));
    let screen = Screen::new(&members, &scenario.hostile);
    screen.opening(&scenario, &spec, &dir);

    let devnet = create(&dir, &members, &scenario, &spec)?;
    let running = start(&devnet, cleanup)?;
    screen.nodes_up(&running, started.elapsed());
    let hospitals = hospitals(&scenario, &devnet, &running, &spec)?;
    let summary = train(&scenario, &spec, &hospitals, &screen)?;
    drop(hospitals);
    for node in running {
        node.stop(PATIENCE)?;
    }
    screen.summary(&scenario, &summary);
    let verified = outsider::check(&devnet, &dir, &screen)?;
    screen.closing(options.keep.as_deref(), started.elapsed());
    Ok(verified)
}

fn build_scenario(options: &DemoOptions) -> anyhow::Result<Scenario> {
    let (attackers, attack, seed) = (options.attackers, options.attack.clone(), options.seed);
    let scenario = match &options.data {
        Some((folder, csv)) => scenario::folder(folder, csv, attackers, attack, seed)?,
        None => {
            let n = options.institutions.unwrap_or(INSTITUTIONS);
            scenario::demo(n, attackers, attack, seed)?
        }
    };
    let n = scenario.sites.len();
    if n < 4 {
        bail!("the demonstration needs at least 4 institutions to tolerate a hostile one, not {n}");
    }
    if attackers > byzantine_max(n) {
        eprintln!(
            "note: {n} members tolerate {} hostile ones; with {attackers} nothing is promised",
            byzantine_max(n)
        );
    }
    Ok(scenario)
}

fn member_ids(scenario: &Scenario) -> anyhow::Result<Vec<MemberId>> {
    scenario
        .names
        .iter()
        .map(|name| MemberId::new(name.as_str()).with_context(|| format!("the name {name}")))
        .collect()
}

/// The default task, with windows as a classroom wants them: nobody waits for a trainer overnight.
fn task_spec(scenario: &Scenario, task: TaskId) -> anyhow::Result<TaskSpec> {
    Ok(scenario.task(task)?)
}

fn create(
    dir: &Path,
    members: &[MemberId],
    scenario: &Scenario,
    spec: &TaskSpec,
) -> anyhow::Result<Devnet> {
    let schema = Schema::of(spec)?;
    let initial_model = schema.quantise(&named_bits(&scenario.spec, &scenario.initial_model()))?;
    let plan = Plan {
        chain_id: ChainId::new("fedledger-demo").expect("a fixed id"),
        members: members.iter().map(|id| (id.clone(), id.to_string())).collect(),
        tasks: vec![PlannedTask { spec: spec.clone(), initial_model }],
        dial_only: Vec::new(),
    };
    Devnet::create(dir, &plan)
}

fn start(devnet: &Devnet, cleanup: &Cleanup) -> anyhow::Result<Vec<Running>> {
    let program = this_program()?;
    let mut running = Vec::new();
    for node in &devnet.nodes {
        let process = Running::launch(&program, &node.home)?;
        cleanup.started(process.pid());
        running.push(process);
    }
    for (node, process) in devnet.nodes.iter().zip(&mut running) {
        process.wait_ready(PATIENCE).with_context(|| format!("the node of {}", node.member))?;
    }
    Ok(running)
}

fn hospitals(
    scenario: &Scenario,
    devnet: &Devnet,
    running: &[Running],
    spec: &TaskSpec,
) -> anyhow::Result<Vec<Hospital>> {
    let trainers = scenario.trainers().into_iter();
    trainers
        .zip(devnet.nodes.iter().zip(running))
        .map(|(trainer, (node, process))| Hospital::new(trainer, node, &process.http, spec))
        .collect()
}

/// What the rounds led to.
pub(crate) struct Summary {
    /// The model that the consortium has.
    pub(crate) model: Vec<f32>,
    /// The model that plain averaging of the same updates would have led to.
    pub(crate) plain: Vec<f32>,
}

/// Every hospital trains and submits at the same time; the ledger says when a round is over.
fn train(
    scenario: &Scenario,
    spec: &TaskSpec,
    hospitals: &[Hospital],
    screen: &Screen,
) -> anyhow::Result<Summary> {
    let schema = Schema::of(spec)?;
    let first = schema.quantise(&named_bits(&scenario.spec, &scenario.initial_model()))?;
    let mut plain = fedledger_sim::federation::PlainAverage::new(&first);
    let mut model = scenario.initial_model();
    let mut record = PublicRecord::new(model.clone());
    for round in 1..=scenario.rounds {
        let begun = Instant::now();
        let round = RoundNumber(round);
        let known = &record;
        std::thread::scope(|scope| {
            let work: Vec<_> = hospitals
                .iter()
                .map(|hospital| scope.spawn(move || hospital.train_and_submit(round, known)))
                .collect();
            work.into_iter().try_for_each(|one| one.join().expect("a trainer does not panic"))
        })?;
        let watcher = &hospitals[0];
        let view = watcher.wait_for_end(round, PATIENCE)?;
        let (updates, counts) = watcher.revealed(&view)?;
        plain.add(updates.view(), &counts);
        let trust = watcher.trust()?;
        if let Some(values) = watcher.model_after(&view)? {
            model = values;
        }
        let shown = updates.rows().into_iter();
        let shown: Vec<_> = shown.map(|row| hospital::floats(&schema, &row.to_vec())).collect();
        // The record is by position: with a member missing it would say who sent what wrongly.
        let whole = shown.len() == hospitals.len();
        record.close_round(if whole { shown } else { Vec::new() }, model.clone());
        let plain = hospital::floats(&schema, plain.model());
        let measured = (scenario.evaluate_all(&model), scenario.evaluate_all(&plain));
        screen.round(&view, &trust, measured, begun.elapsed());
    }
    Ok(Summary { model, plain: hospital::floats(&schema, plain.model()) })
}
