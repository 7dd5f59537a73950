//! The demonstration: hospitals on one machine, some of them hostile, every one a real node with
//! its own keys, disk and sockets, training together while you watch; and then an outsider who
//! checks all of it.

mod outsider;
mod screen;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{bail, Context as _};
use fedledger_contract::check_task;
use fedledger_contract::profile::{apply, with_classes, Profile};
use fedledger_ledger::ids::{byzantine_max, ChainId, MemberId, TaskId};
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::attack::{Attack, Knowledge};
use fedledger_sim::data::CsvOptions;
use fedledger_sim::scenario::{self, Scenario};

use self::screen::Screen;
use crate::devnet::this_program;
use crate::network_run::{Cast, Cleanup, NetworkRun};

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
    /// Contract settings, in place of the defaults.
    pub profile: Option<Profile>,
    /// A folder with one CSV file for each institution, instead of the built-in data.
    pub data: Option<(PathBuf, CsvOptions)>,
    /// Keeps everything in this folder instead of a temporary one.
    pub keep: Option<PathBuf>,
    /// Seed of split, training and attackers.
    pub seed: u64,
}

/// Number of hospitals when nothing is said.
pub const INSTITUTIONS: usize = 7;

/// A demonstration that can begin.
pub struct Demonstration {
    scenario: Scenario,
    members: Vec<MemberId>,
    task: TaskSpec,
    keep: Option<PathBuf>,
}

/// Reads the data and settles the task; nothing is started.
///
/// # Errors
/// When the settings or the data do not make a demonstration.
pub fn prepare(options: &DemoOptions) -> anyhow::Result<Demonstration> {
    let mut scenario = build_scenario(options)?;
    scenario.rounds = options.rounds;
    let task = TaskId::new("demo").expect("a fixed id");
    let members = member_ids(&scenario)?;
    let task = contract(options.profile, scenario.task(task)?, &scenario)?;
    check_task(&task, members.len())?;
    Ok(Demonstration { scenario, members, task, keep: options.keep.clone() })
}

/// Runs the demonstration and prints it. Returns whether everything that had to hold did.
///
/// # Errors
/// When a node fails, or a round does not end.
pub fn run(demonstration: Demonstration) -> anyhow::Result<bool> {
    let temporary = tempfile::Builder::new().prefix("fedledger-demo-").tempdir()?;
    let cleanup = Cleanup::on_interrupt(temporary.path().to_owned())?;
    let result = show(demonstration, temporary.path(), &cleanup);
    cleanup.unless_interrupted();
    result
}

fn show(shown: Demonstration, temporary: &Path, cleanup: &Cleanup) -> anyhow::Result<bool> {
    let started = Instant::now();
    let Demonstration { scenario, members, task, keep } = shown;
    let dir = keep.clone().unwrap_or_else(|| temporary.join("consortium"));
    let screen = Screen::new(&members, &scenario.hostile);
    screen.opening(&scenario, &task, &dir);

    let chain_id = ChainId::new("fedledger-demo").expect("a fixed id");
    let cast = cast(&scenario, task);
    let mut nodes = NetworkRun::start(&dir, chain_id, cast, &this_program()?, cleanup)?;
    screen.nodes_up(nodes.running(), started.elapsed());
    train(&scenario, &mut nodes, &screen)?;
    let (model, plain) = (nodes.model(), nodes.plain_average());
    let devnet = nodes.stop()?;
    screen.summary(&scenario, &model, &plain);
    let verified = outsider::check(&devnet, &dir, &screen)?;
    screen.closing(keep.as_deref(), started.elapsed());
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

/// The task with the settings of a profile, when one is asked for. Where members score, of two classes
/// the second, that of the sick, is protected.
fn contract(
    profile: Option<Profile>,
    task: TaskSpec,
    scenario: &Scenario,
) -> anyhow::Result<TaskSpec> {
    let Some(profile) = profile else { return Ok(task) };
    let members = scenario.sites.len();
    let mut task = apply(profile, task, members);
    if let [well, sick] = scenario.sites[0].train.class_names.as_slice() {
        let (classes, protected) = (vec![well.clone(), sick.clone()], Some(sick.clone()));
        task.evaluation =
            task.evaluation.map(|evaluation| with_classes(evaluation, classes, protected));
    }
    if profile == Profile::Evaluated && task.evaluation.is_none() {
        bail!(
            "the profile `evaluated` needs 7 institutions and 18 rounds; with {members} and {} it \
             measures nothing",
            task.rounds
        );
    }
    Ok(task)
}

fn member_ids(scenario: &Scenario) -> anyhow::Result<Vec<MemberId>> {
    scenario
        .names
        .iter()
        .map(|name| MemberId::new(name.as_str()).with_context(|| format!("the name {name}")))
        .collect()
}

fn cast(scenario: &Scenario, task: TaskSpec) -> Cast {
    Cast {
        names: scenario.names.clone(),
        trainers: scenario.trainers(),
        task,
        knowledge: Knowledge::Colluders,
        initial_model: scenario.initial_model(),
    }
}

/// Every hospital trains and submits; the ledger says when a round is over.
fn train(scenario: &Scenario, nodes: &mut NetworkRun, screen: &Screen) -> anyhow::Result<()> {
    for _ in 1..=scenario.rounds {
        let begun = Instant::now();
        let report = nodes.step()?;
        let measure = |model: &[f32]| scenario.evaluate_all(model);
        let measured = (measure(&nodes.model()), measure(&nodes.plain_average()));
        screen.round(&report, measured, begun.elapsed());
        if nodes.is_frozen() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_demonstration_are_named_before_anything_is_started() {
        let good = DemoOptions {
            institutions: None,
            attackers: 2,
            attack: "sign-flip".parse().expect("an attack"),
            rounds: 5,
            profile: None,
            data: None,
            keep: None,
            seed: 1,
        };
        assert!(prepare(&good).is_ok());
        let few = DemoOptions { institutions: Some(3), attackers: 1, ..good.clone() };
        let all = DemoOptions { attackers: 7, ..good.clone() };
        let none = DemoOptions { rounds: 0, ..good.clone() };
        let short = DemoOptions { profile: Some(Profile::Evaluated), ..good };
        for (options, words) in [
            (few, "needs at least 4 institutions to tolerate a hostile one, not 3"),
            (all, "at least one must be honest"),
            (none, "rounds is 0, expected 1 to"),
            (short, "needs 7 institutions and 18 rounds"),
        ] {
            let error = prepare(&options).err().expect("no demonstration").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
