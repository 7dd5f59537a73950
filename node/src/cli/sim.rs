//! `fedledger sim`: the attack laboratory. Everything but words and files is
//! [`fedledger_sim::lab`].

mod on_nodes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use fedledger_ledger::ids::Digest;
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::attack::Attack;
use fedledger_sim::lab::contract::{rule_named, ContractChoice, Profile};
use fedledger_sim::lab::publish::{publish, REPORT};
use fedledger_sim::lab::redteam::{hunt, worst_scenario, Goal, Search};
use fedledger_sim::lab::run::rounds_total;
use fedledger_sim::lab::store::{self, make_folder, write, write_json, Keep, Outcome};
use fedledger_sim::lab::sweep::{selected, sweep_into, AttackEntry};
use fedledger_sim::lab::{library, Cancel, FileError, Progress, RunError, Source};
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{print_line, table, Unit};

#[derive(Debug, Subcommand)]
pub(super) enum SimCommand {
    /// The scenarios that the program carries.
    List,
    /// Print a scenario's file, to start one's own from.
    Show {
        /// Its name.
        name: String,
    },
    /// Run a scenario with what it is measured against, judge it, and write a report.
    Run(RunArgs),
    /// Run every combination that the scenario's `sweep` table names.
    Sweep(SweepArgs),
    /// Let an adaptive attacker search for the worst it can do.
    Redteam(RedteamArgs),
    /// Write tables and report again from results.
    Report {
        /// The folder that `run`, `sweep` or `redteam` wrote.
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// A name of `sim list`, a scenario file, or a task in JSON on the members of `control`.
    scenario: String,
    /// Folder for results and report [default: fedledger-sim/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Use the seeds 1 to N in place of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// Take rule, f, weighting, admission and trust from a task, as `task show --output json`
    /// prints it or as a task file for `task create`.
    #[arg(long, value_name = "FILE")]
    task: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,
    /// Run seeds again that the folder has results of.
    #[arg(long)]
    fresh: bool,
    /// Play the attacked run through real nodes, a process with keys, disk and sockets for each
    /// member, and compare every round with the same in process, bit for bit. Only the scenario's
    /// first seed unless --seeds says how many; nothing is taken from earlier results.
    #[arg(long)]
    network: bool,
}

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    common: Common,
    /// Rules in place of the scenario's contracts; separated by commas. `balanced`,
    /// `evaluated` and `strict` are whole contracts, `plain` is averaging with no defence, any other
    /// a rule by itself.
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    rules: Vec<String>,
    /// Attacks with their default knobs in place of the scenario's; separated by commas.
    #[arg(long, value_name = "ATTACKS", value_delimiter = ',')]
    attacks: Vec<String>,
    /// Numbers of attackers; separated by commas.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',')]
    hostile: Vec<usize>,
    /// Only combinations whose words in the table hold this, such as a contract, data or an attack;
    /// may be given more than once.
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
    /// Run combinations again that the folder has results of.
    #[arg(long)]
    fresh: bool,
}

#[derive(Debug, Args)]
pub(super) struct RedteamArgs {
    #[command(flatten)]
    common: Common,
    /// How many attacks it may try.
    #[arg(long, value_name = "N", default_value_t = 200)]
    evaluations: usize,
    /// What it is after.
    #[arg(long, value_enum, default_value_t)]
    goal: GoalName,
    /// Count an attack only when no attacker is ever in quarantine.
    #[arg(long)]
    unseen: bool,
    /// Search only these attacks; separated by commas.
    #[arg(long, value_name = "ATTACKS", value_delimiter = ',')]
    attacks: Vec<String>,
    /// Seed of the search.
    #[arg(long, default_value_t = 1)]
    search_seed: u64,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum GoalName {
    /// That the model is wrong more often.
    #[default]
    Accuracy,
    /// That the sick are not found.
    Recall,
    /// That their risk is underestimated.
    Underestimation,
}

pub(super) fn run(context: &Context, command: &SimCommand) -> Result<Exit, Failure> {
    match command {
        SimCommand::List => list(context),
        SimCommand::Show { name } => show(name),
        SimCommand::Run(args) => run_scenario(context, args),
        SimCommand::Sweep(args) => run_sweep(context, args),
        SimCommand::Redteam(args) => run_redteam(context, args),
        SimCommand::Report { folder } => {
            let report = publish(folder).map_err(failed)?;
            said(context, &json!({ "report": report }), &format!("report: {}", report.display()))?;
            Ok(Exit::Ok)
        }
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Row {
        name: String,
        title: String,
        rounds: u64,
    }
    let rows = library::names().into_iter().filter_map(|name| {
        let scenario = library::get(&name)?.scenario;
        Some(Row { name, title: scenario.title, rounds: scenario.rounds })
    });
    context.output.print(&rows.collect::<Vec<_>>(), |rows| {
        let cells: Vec<Vec<String>> = rows
            .iter()
            .map(|row| vec![row.name.clone(), row.rounds.to_string(), row.title.clone()])
            .collect();
        table(&["name", "rounds", "what it tries"], &cells)
    })?;
    Ok(Exit::Ok)
}

fn show(name: &str) -> Result<Exit, Failure> {
    let text = library::text(name).ok_or_else(|| unknown(name))?;
    print_line(text.trim_end())?;
    Ok(Exit::Ok)
}

fn unknown(name: &str) -> Failure {
    let near = library::similar(name).map(|near| format!("; did you mean `{near}`?"));
    let message = format!(
        "no scenario is called `{name}` and no such file is there{}",
        near.unwrap_or_default()
    );
    Failure::usage(message).hint("see `fedledger sim list`").field(Some("scenario".to_owned()))
}

/// The scenario with what the command line changes about it.
fn source(common: &Common) -> Result<Source, Failure> {
    let path = Path::new(&common.scenario);
    if path.extension().is_some_and(|extension| extension == "json") {
        // A task by itself: its contract on the members of the control.
        let mut source = library::get("control").expect("the library has a control");
        source.scenario.contract = ContractChoice::of_task(&read_task(path)?);
        return Ok(with_seeds(source, common));
    }
    let mut source = match library::get(&common.scenario) {
        Some(source) => source,
        None if !path.exists() => return Err(unknown(&common.scenario)),
        None => Source::read(path).map_err(|error| match error {
            FileError::Check(faults) => {
                let field = faults.faults.first().map(|fault| fault.field.clone());
                Failure::usage(&faults).field(field.filter(|field| !field.is_empty()))
            }
            error => Failure::usage(error),
        })?,
    };
    if let Some(file) = &common.task {
        source.scenario.contract = ContractChoice::of_task(&read_task(file)?);
    }
    Ok(with_seeds(source, common))
}

fn with_seeds(mut source: Source, common: &Common) -> Source {
    if let Some(count) = common.seeds {
        source.scenario.seeds = (1..=count).collect();
    }
    source
}

/// A task as JSON from the ledger, or as the TOML that `task create` takes.
fn read_task(file: &Path) -> Result<TaskSpec, Failure> {
    if file.extension().is_some_and(|extension| extension == "toml") {
        return Ok(super::task_file::read(file)?.spec);
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    // `task show` puts the definition under `task`.
    let spec = value.get("task").cloned().unwrap_or(value);
    serde_json::from_value(spec)
        .map_err(|error| Failure::usage(format!("{} is no task: {error}", file.display())))
}

fn folder(common: &Common, source: &Source) -> PathBuf {
    common.out.clone().unwrap_or_else(|| Path::new("fedledger-sim").join(&source.name))
}

/// Identifies this program, so that results of another build are not taken for its own.
fn program() -> String {
    let bytes = std::env::current_exe().and_then(std::fs::read);
    bytes.map_or_else(|_| String::new(), |bytes| Digest::of(&bytes).to_string())
}

fn run_scenario(context: &Context, args: &RunArgs) -> Result<Exit, Failure> {
    let source = source(&args.common)?;
    if args.network {
        return on_nodes::run(context, args, source);
    }
    let out = folder(&args.common, &source);
    let keep = Keep { folder: Some(out.clone()), program: program(), fresh: args.fresh };
    let total = rounds_total(&source, source.scenario.seeds.len());
    let bar = context.output.progress(total, "rounds", Unit::Things);
    let outcome = store::run(&source, &keep, &Cancel::default(), &|progress| {
        if let Progress::Rounds(rounds) = progress {
            bar.inc(rounds);
        }
    });
    bar.finish_and_clear();
    let outcome = outcome.map_err(failed)?;
    let report = publish(&out).map_err(failed)?;
    tell_outcome(context, &outcome, &out, &report)
}

fn tell_outcome(
    context: &Context,
    outcome: &Outcome,
    out: &Path,
    report: &Path,
) -> Result<Exit, Failure> {
    let shown = json!({
        "scenario": outcome.name,
        "digest": outcome.digest,
        "verdict": outcome.verdict,
        "summary": outcome.summary,
        "folder": out,
        "report": report,
    });
    context.output.print(&shown, |_| in_words(outcome, report))?;
    Ok(if outcome.verdict.pass { Exit::Ok } else { Exit::Invalid })
}

/// The verdict for a terminal.
fn in_words(outcome: &Outcome, report: &Path) -> String {
    let word = match (outcome.scenario.acceptance.asks(), outcome.verdict.pass) {
        (false, _) => "nothing was asked",
        (true, true) => "PASSED",
        (true, false) => "NOT PASSED",
    };
    let mut text = format!("{}: {word}\n", outcome.scenario.title);
    for sentence in fedledger_sim::lab::report::story(outcome) {
        text += &format!("{sentence}\n");
    }
    let rows: Vec<Vec<String>> = outcome
        .verdict
        .checks
        .iter()
        .map(|check| {
            let (measured, limit) = fedledger_sim::lab::report::check_words(check);
            let holds = if check.holds { "holds" } else { "FAILS" };
            vec![check.question.clone(), measured, limit, holds.to_owned()]
        })
        .collect();
    if !rows.is_empty() {
        text += &format!("\n{}", table(&["asked", "measured", "allowed", "verdict"], &rows));
    }
    text + &format!("\nreport: {}\n", report.display())
}

fn run_sweep(context: &Context, args: &SweepArgs) -> Result<Exit, Failure> {
    let mut source = source(&args.common)?;
    let axes = &mut source.scenario.sweep;
    if !args.rules.is_empty() {
        let contracts = args.rules.iter().map(|name| contract_named(name));
        axes.contracts = contracts.collect::<Result<_, _>>()?;
    }
    if !args.attacks.is_empty() {
        let attacks = args
            .attacks
            .iter()
            .map(|name| name.parse::<Attack>().map(AttackEntry::from).map_err(Failure::usage));
        axes.attacks = attacks.collect::<Result<_, _>>()?;
    }
    if !args.hostile.is_empty() {
        axes.hostile.clone_from(&args.hostile);
    }
    let out = folder(&args.common, &source);
    make_folder(&out).map_err(failed)?;
    let total = selected(&source.scenario, &args.only).len() as u64;
    if total == 0 {
        let field = Some("only".to_owned());
        return Err(Failure::usage("no combination holds all of these words").field(field));
    }
    let bar = context.output.progress(total, "combinations", Unit::Things);
    let keep = Keep { folder: Some(out.clone()), program: program(), fresh: args.fresh };
    let grid = sweep_into(&source, &args.only, &keep, &Cancel::default(), |done, _| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let grid = grid.map_err(failed)?;
    write_json(&out.join("sweep.json"), &grid).map_err(failed)?;
    let report = publish(&out).map_err(failed)?;
    context.output.print(&grid, |grid| {
        let rows: Vec<Vec<String>> =
            grid.cells.iter().map(fedledger_sim::lab::report::cell_words).collect();
        let header = [
            "contract",
            "data",
            "attack",
            "when",
            "attackers",
            "accuracy lost",
            "recall lost",
            "caught",
            "wronged",
        ];
        let missing = grid.cells.iter().filter_map(|cell| cell.refused.as_ref());
        let missing = missing.map(|why| format!("not run: {why}\n")).collect::<BTreeSet<_>>();
        format!(
            "{}\n{}report: {}\ntables: {}\n",
            table(&header, &rows),
            missing.into_iter().collect::<String>(),
            report.display(),
            out.join("table.md").display()
        )
    })?;
    Ok(Exit::Ok)
}

fn contract_named(name: &str) -> Result<ContractChoice, Failure> {
    match name {
        "balanced" => Ok(ContractChoice::of_profile(Profile::Balanced)),
        "evaluated" => Ok(ContractChoice::of_profile(Profile::Evaluated)),
        "strict" => Ok(ContractChoice::of_profile(Profile::Strict)),
        "plain" => Ok(ContractChoice::plain()),
        name => rule_named(name).map(ContractChoice::bare).ok_or_else(|| {
            Failure::usage(format!("no rule is called `{name}`"))
                .hint("balanced, evaluated, strict, plain, median, trimmed_mean, krum, multi_krum, geometric_median, bulyan, centered_clipping")
        }),
    }
}

fn run_redteam(context: &Context, args: &RedteamArgs) -> Result<Exit, Failure> {
    if args.evaluations == 0 {
        return Err(Failure::usage("--evaluations is 0: expected 1 or more"));
    }
    for name in &args.attacks {
        name.parse::<Attack>().map_err(Failure::usage)?;
    }
    let mut source = source(&args.common)?;
    if args.common.seeds.is_none() {
        // The search runs each candidate on every seed: three tell enough.
        source.scenario.seeds.truncate(3);
    }
    let search = Search {
        goal: match args.goal {
            GoalName::Accuracy => Goal::Accuracy,
            GoalName::Recall => Goal::Recall,
            GoalName::Underestimation => Goal::Underestimation,
        },
        evaluations: args.evaluations,
        unseen: args.unseen,
        seed: args.search_seed,
        attacks: args.attacks.clone(),
    };
    let out = folder(&args.common, &source);
    make_folder(&out).map_err(failed)?;
    let bar = context.output.progress(args.evaluations as u64, "attacks tried", Unit::Things);
    let found = hunt(&source, &search, &Cancel::default(), |done, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let found = found.map_err(|error| failed(error.into()))?;
    write_json(&out.join("redteam.json"), &found).map_err(failed)?;
    let worst = worst_scenario(&source, &found).to_toml();
    write(&out.join("worst.toml"), worst.as_bytes()).map_err(failed)?;
    publish(&out).map_err(failed)?;
    context.output.print(&found, |found| {
        let harm = |mean: Option<fedledger_sim::lab::stats::Mean>| {
            mean.map_or_else(|| "-".to_owned(), |mean| format!("{:.1} %", mean.mean * 100.0))
        };
        format!(
            "worst of {} attacks: {}\nharm on seeds of its own: {} (under plain averaging {})\n\
             caught there: {} of {}\nrun it again: fedledger sim run {}\nreport: {}\n",
            found.trials.len(),
            found.worst_attack,
            harm(found.harm_fresh),
            harm(found.harm_plain),
            found.caught_fresh.0,
            found.caught_fresh.1,
            out.join("worst.toml").display(),
            out.join(REPORT).display()
        )
    })?;
    Ok(Exit::Ok)
}

fn said(context: &Context, value: &serde_json::Value, line: &str) -> Result<(), Failure> {
    context.output.print(value, |_| line.to_owned())
}

/// What is wrong with the scenario, its data or its contract is the user's to mend; a disk that
/// fails is not.
fn failed(error: store::StoreError) -> Failure {
    match &error {
        store::StoreError::Write { .. } => Failure::internal(error),
        store::StoreError::Run(RunError::Cancelled) => Failure::new(Exit::Interrupted, error),
        _ => Failure::usage(error),
    }
}
