//! A scenario through real nodes comes to the same bits as in process, a tampered one does not, and
//! nothing of it stays behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fedledger_contract::evaluation::Evaluation;
use fedledger_ledger::decision::{Measure, Reason, UpdateVerdict};
use fedledger_ledger::ids::{ChainId, MemberId};
use fedledger_ledger::limits::LOSS_MICRO_MAX;
use fedledger_node::network_run::compare::{Compared, Difference};
use fedledger_node::network_run::{Cast, Cleanup, NetworkRun};
use fedledger_sim::lab::build::{build, Built};
use fedledger_sim::lab::rounds::Rounds as _;
use fedledger_sim::lab::run::{attacked_federation, run_built, run_built_on};
use fedledger_sim::lab::{Cancel, RunError, Source};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fedledger-under-test");

/// Five hospitals, two of which hand in the same update in each round from the second on: whose is
/// the copy rests on the order of commitments.
const SCENARIO: &str = r#"
title = "Two of five hand in one update"
members = 5
rounds = ROUNDS
seeds = [1, 2]

[data]
name = "wdbc"

[split]
name = "iid"

[[attackers]]
count = 2
attack = { name = "sybil" }
schedule = { from = 2 }
"#;

/// Seven hospitals of which two turn labels from the first round on and report whatever hides it, and an
/// honest one announces another scanner.
/// History and harm are quicker than any calibration would have them: so little has to show. The rule
/// is one that lets the labels in; the filter would leave them out, and there would be no harm.
const EVALUATED: &str = r#"
title = "Two of seven pull together and lie about candidates"
members = 7
rounds = 7
seeds = [1]

[data]
name = "wdbc"

[split]
name = "iid"

[contract]
profile = "balanced"
rule = { name = "centered_clipping", iterations = 3, radius_milli = 1000 }
harm = { observed_rounds = 2, cosine_milli = 100, allowance_milli = 0, limit_milli = 2000 }
classes = ["benign", "malignant"]

[contract.history]
sketch_width = 16
settle_rounds = 0
baseline_rounds = 4
bond_milli = 8000
shift_milli = 3000
lead_milli = 1000
rounds_in_a_row = 3

[[attackers]]
count = 2
attack = { name = "label-flip" }
evaluations = "framing"

[[changes]]
count = 1
round = 5
announced = true
change = { name = "scanner", gain = 1.1, offset = 0.3 }
"#;

fn text(rounds: u64) -> String {
    SCENARIO.replace("ROUNDS", &rounds.to_string())
}

fn scenario(rounds: u64) -> (Source, Built) {
    let source = Source::parse("small", "small.toml", text(rounds), PathBuf::new());
    let source = source.expect("a good scenario");
    let built = build(&source, 1).expect("built-in data");
    (source, built)
}

fn cast(source: &Source, built: &Built) -> Cast {
    Cast {
        names: built.scenario.names.clone(),
        trainers: built.trainers(),
        task: attacked_federation(source, built).expect("a good task").0,
        knowledge: built.knowledge,
        initial_model: built.scenario.initial_model(),
    }
}

fn assert_empty(folder: &Path) {
    let entries = fs::read_dir(folder).expect("the folder is there");
    assert_eq!(entries.count(), 0, "something is left");
}

fn start(folder: &Path, cast: Cast) -> NetworkRun {
    let chain_id = ChainId::new("probe-1").expect("a chain id");
    let program = Path::new(PROGRAM);
    let started =
        NetworkRun::start(&folder.join("net"), chain_id, cast, program, &Cleanup::default());
    started.expect("five nodes come up")
}

#[test]
fn nodes_come_to_the_same_bits_as_the_run_in_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, built) = scenario(4);
    let mut nodes = start(folder.path(), cast(&source, &built));
    let (_, twin) = attacked_federation(&source, &built).expect("a good task");
    let mut duplicates = 0;
    let mut told = |report: &fedledger_sim::federation::RoundReport| {
        let copy = |verdict: &&UpdateVerdict| verdict.reason == Reason::Duplicate;
        duplicates += report.verdicts.iter().filter(copy).count();
    };
    let mut compared = Compared::new(&mut nodes, twin, &mut told);
    let cancel = Cancel::default();
    let on_nodes = run_built_on(&source, &built, &mut compared, &cancel, &|_| {});
    let on_nodes = on_nodes.expect("every round is the same");
    assert_eq!(compared.rounds(), 4);
    nodes.stop().expect("every node ends in order");
    assert_eq!(duplicates, 3, "the copies decide about the order of commitments");
    // The results, too, with everything that they are measured against.
    let in_process = run_built(&source, &built, &cancel, &|_| {});
    assert_eq!(on_nodes, in_process.expect("the scenario runs"));
}

#[test]
fn evaluations_come_to_the_same_bits_whoever_lies() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::parse("judged", "judged.toml", EVALUATED.into(), PathBuf::new())
        .expect("a good scenario");
    let built = build(&source, 1).expect("built-in data");
    let mut nodes = start(folder.path(), cast(&source, &built));
    let (_, twin) = attacked_federation(&source, &built).expect("a good task");
    let (mut suspected, mut lied, mut struck, mut excused) = (0, 0, 0, 0);
    let mut named = BTreeSet::new();
    let mut told = |report: &fedledger_sim::federation::RoundReport| {
        suspected += usize::from(report.harm.is_some());
        let lies = |losses: &[u64]| losses.contains(&LOSS_MICRO_MAX);
        let by_class = |one: &Evaluation| one.classes.iter().all(|classes| classes.len() == 2);
        assert!(report.evaluations.iter().all(by_class), "{:?}", report.evaluations);
        let class = |verdict: &UpdateVerdict| Some(verdict.harmed_class.as_ref()?.class.clone());
        named.extend(report.verdicts.iter().filter_map(class));
        lied += report.evaluations.iter().filter(|one| lies(&one.losses)).count();
        let harmful = |verdict: &&UpdateVerdict| verdict.reason == Reason::HarmfulTogether;
        struck += report.verdicts.iter().filter(harmful).count();
        let announced = |verdict: &&UpdateVerdict| {
            verdict.measures.iter().any(|(measure, _)| *measure == Measure::ExcusedRounds)
        };
        excused += report.verdicts.iter().filter(announced).count();
    };
    let mut compared = Compared::new(&mut nodes, twin, &mut told);
    for _ in 0..7 {
        compared.step().unwrap_or_else(|error| panic!("{}", explain(error)));
    }
    nodes.stop().expect("every node ends in order");
    let seen = format!("suspected {suspected}, lied {lied}, struck {struck}, named {named:?}");
    assert!(suspected > 0 && lied > 0 && struck > 0, "too little was compared: {seen}");
    assert_eq!(excused, 3, "one member from the round of its notice on");
    // The nodes' verdicts on the two name the class that their turned labels harm most.
    assert!(!named.is_empty(), "{seen}");
}

/// What stopped the nodes, with its causes.
fn explain(error: RunError) -> String {
    match error {
        RunError::Nodes(error) => format!("{error:?}"),
        error => error.to_string(),
    }
}

#[test]
fn an_update_that_differs_is_named_with_its_round_and_member() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, built) = scenario(4);
    let odd = built.scenario.honest()[1];
    let mut cast = cast(&source, &built);
    // It draws its rows in another order.
    cast.trainers[odd].seed += 1;
    let mut nodes = start(folder.path(), cast);
    let (_, twin) = attacked_federation(&source, &built).expect("a good task");
    let mut told = |_: &fedledger_sim::federation::RoundReport| panic!("it was not the same");
    let error = Compared::new(&mut nodes, twin, &mut told).step().unwrap_err();
    let RunError::Nodes(error) = error else { panic!("another error: {error}") };
    let difference = error.downcast_ref::<Difference>().expect("the nodes did what they had to");
    let expected = MemberId::new(built.scenario.names[odd].as_str()).expect("a member id");
    let named =
        matches!(difference, Difference::Update { round: 1, member, .. } if *member == expected);
    assert!(named, "{difference}");
}

/// Processes that have `folder` in their command line.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("a temporary path is UTF-8");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder)).collect()
}

fn sim_run(folder: &Path, temporary: &Path, rounds: u64) -> Command {
    let file = folder.join("small.toml");
    fs::write(&file, text(rounds)).expect("a new file");
    fs::create_dir(temporary).expect("a new folder");
    let mut command = Command::new(PROGRAM);
    command.args(["sim", "run", "--network", "--out"]).arg(folder.join("out")).arg(file);
    command.env("TMPDIR", temporary);
    command
}

#[test]
fn the_command_line_says_that_it_is_the_same_and_keeps_the_results() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let temporary = folder.path().join("tmp");
    let done = sim_run(folder.path(), &temporary, 2).output().expect("the program starts");
    let (told, said) =
        (String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&done.stdout));
    assert_eq!(done.status.code(), Some(0), "{told}{said}");
    assert!(told.contains("round 2 of 2, the same"), "{told}");
    let same =
        "2 rounds, 5 members: every model, verdict and trust record is the same, bit for bit";
    assert!(told.contains(same), "{told}");
    let results = fs::read(folder.path().join("out/results.json")).expect("results");
    let results: serde_json::Value = serde_json::from_slice(&results).expect("JSON");
    assert_eq!(
        results["seeds"].as_array().map(Vec::len),
        Some(1),
        "one seed unless asked for more"
    );
    assert_eq!(results["seeds"][0]["on_nodes"], 2);
    let report = fs::read_to_string(folder.path().join("out/report.html")).expect("a report");
    assert!(report.contains("a real node with keys"), "the report does not say that nodes ran");
    assert_empty(&temporary);
}

#[test]
fn ctrl_c_leaves_no_process_and_no_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let temporary = folder.path().join("tmp");
    let mut run = sim_run(folder.path(), &temporary, 1_000);
    let mut run = run.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut told = BufReader::new(run.stderr.take().expect("it is piped")).lines();
    told.by_ref().map(Result::unwrap).find(|line| line.contains("round 1 of")).expect("a round");
    assert!(processes_of(&temporary).len() >= 5, "the nodes run");
    let pid = run.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill starts").success());
    let rest: Vec<String> = told.map(Result::unwrap).collect();
    assert_eq!(run.wait().expect("it ends").code(), Some(130), "{rest:?}");
    assert_eq!(processes_of(&temporary), Vec::<String>::new());
    assert_empty(&temporary);
}
