//! Runs a scenario: four runs for each seed, seeds in parallel, each finished seed kept.
//!
//! Every seed is computed from its number alone and results are collected in the order of seeds, so
//! that neither the number of threads nor what was already finished changes a byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use fedledger_contract::task_check::{check_task, TaskFault};
use fedledger_ledger::decision::Verdict as UpdateVerdictKind;
use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::TaskSpec;
use rayon::prelude::*;
use thiserror::Error;

use super::build::{build, Built};
use super::check::CheckError;
use super::file::Source;
use super::results::{Bracket, Edge, MemberTrack, Quality, RoundResult, RunResult, SeedResult};
use super::rounds::Rounds;
use crate::comparison::mean_task;
use crate::data::Dataset;
use crate::federation::{Federation, FederationError, RoundReport};
use crate::scenario::ScenarioError;

/// Most points of a curve when the scenario does not say how often to measure.
const POINTS_MAX: u64 = 200;

/// Why a scenario cannot be run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The file is wrong in a way that shows only now.
    #[error(transparent)]
    File(#[from] CheckError),
    /// The data cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The contract refuses the task.
    #[error("the contract refuses the task of {bracket}, {members} members: {source}")]
    Task {
        /// Which of the four runs.
        bracket: &'static str,
        /// Members of the consortium.
        members: usize,
        /// What it refuses.
        source: TaskFault,
    },
    /// A federation cannot run.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// Somebody asked for it to stop.
    #[error("stopped before the end")]
    Cancelled,
    /// The nodes that were to play a round did not, or recorded something else.
    #[error(transparent)]
    Nodes(Box<dyn std::error::Error + Send + Sync>),
}

/// Asks long work to stop after the round it is in.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a running scenario tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Rounds of one of a seed's four runs that have been played since the last call.
    Rounds(u64),
    /// A seed is finished.
    Seed(u64),
}

/// Rounds that running `seeds` seeds of a scenario plays.
pub fn rounds_total(source: &Source, seeds: usize) -> u64 {
    source.scenario.rounds * Bracket::ALL.len() as u64 * seeds as u64
}

/// Runs all seeds of the scenario.
///
/// # Errors
/// The first seed's error, in the order of seeds.
pub fn run_seeds(
    source: &Source,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<SeedResult>, RunError> {
    let seeds = source.scenario.seeds.par_iter();
    seeds.map(|&seed| run_seed(source, seed, cancel, progress)).collect()
}

/// Runs one seed: the scenario and the three runs that it is measured against.
///
/// # Errors
/// When the scenario cannot be set up or run, or was cancelled.
pub fn run_seed(
    source: &Source,
    seed: u64,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedResult, RunError> {
    run_built(source, &build(source, seed)?, cancel, progress)
}

/// [`run_seed`] once its data are there.
///
/// # Errors
/// When the scenario cannot be run, or was cancelled.
pub fn run_built(
    source: &Source,
    built: &Built,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedResult, RunError> {
    let play = |bracket| play_bracket(source, built, bracket, cancel, progress);
    // The probe of the attack belongs to all four, also where the attackers are absent.
    let runs = if built.scenario.hostile.is_empty() {
        let (attacked, plain) = rayon::join(|| play(Bracket::Attacked), || play(Bracket::Plain));
        let (attacked, plain) = (attacked?, plain?);
        progress(Progress::Rounds(2 * source.scenario.rounds));
        [attacked.clone(), without_counterfactual(&attacked), plain.clone(), plain]
    } else {
        let runs: Result<Vec<RunResult>, RunError> =
            Bracket::ALL.into_par_iter().map(play).collect();
        <[RunResult; 4]>::try_from(runs?).expect("there are four brackets")
    };
    Ok(seed_result(built, runs, progress))
}

/// [`run_built`] with the attacked run played by `rounds` in place of a federation in process: the
/// consortium of [`attacked_federation`], before its first round.
///
/// # Errors
/// When the scenario cannot be run, or was cancelled.
pub fn run_built_on(
    source: &Source,
    built: &Built,
    rounds: &mut dyn Rounds,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedResult, RunError> {
    let every = Every { rounds: measure_every(source), same_updates: true };
    let attacked = play(built, rounds, every, cancel, progress)?;
    let others = [Bracket::Absent, Bracket::Plain, Bracket::PlainAbsent].into_par_iter();
    let others: Result<Vec<RunResult>, RunError> =
        others.map(|bracket| play_bracket(source, built, bracket, cancel, progress)).collect();
    let [absent, plain, plain_absent] =
        <[RunResult; 3]>::try_from(others?).expect("there are three other brackets");
    Ok(seed_result(built, [attacked, absent, plain, plain_absent], progress))
}

pub(super) fn seed_result(
    built: &Built,
    [attacked, absent, plain, plain_absent]: [RunResult; 4],
    progress: &(dyn Fn(Progress) + Sync),
) -> SeedResult {
    let seed = built.scenario.seed;
    progress(Progress::Seed(seed));
    let rows = built.test_union(u64::MAX);
    SeedResult {
        seed,
        onset: built.onset(),
        changed: built.first_change(),
        test_rows: rows.rows(),
        test_positives: rows.count(1),
        on_nodes: None,
        attacked,
        absent,
        plain,
        plain_absent,
    }
}

fn measure_every(source: &Source) -> u64 {
    match source.scenario.measure_every {
        0 => source.scenario.rounds.div_ceil(POINTS_MAX).max(1),
        every => every,
    }
}

fn play_bracket(
    source: &Source,
    built: &Built,
    bracket: Bracket,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<RunResult, RunError> {
    let absent = without_attackers(built, bracket);
    let task = task_of(source, built, absent.as_ref(), bracket)?;
    let built = absent.as_ref().unwrap_or(built);
    let same_updates = bracket == Bracket::Attacked;
    let every = Every { rounds: measure_every(source), same_updates };
    run_one(built, task, every, cancel, progress)
}

/// The consortium without its attackers where that is what `bracket` is about.
pub(super) fn without_attackers(built: &Built, bracket: Bracket) -> Option<Built> {
    match bracket {
        Bracket::Attacked | Bracket::Plain => None,
        Bracket::Absent | Bracket::PlainAbsent => Some(built.attackers_absent()),
    }
}

/// The task of one of the four runs; `absent` is the consortium without its attackers if it is
/// about that.
pub(super) fn task_of(
    source: &Source,
    built: &Built,
    absent: Option<&Built>,
    bracket: Bracket,
) -> Result<TaskSpec, RunError> {
    let of = absent.unwrap_or(built);
    let task = match bracket {
        Bracket::Attacked | Bracket::Absent => {
            let left = built.scenario.sites.len() - of.scenario.sites.len();
            source.scenario.contract.task(&of.scenario, left)?
        }
        Bracket::Plain | Bracket::PlainAbsent => mean_task(&of.scenario)?,
    };
    check(&task, bracket, of)?;
    Ok(task)
}

/// A run that was measured at its end alone, and the model that it ended with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    /// The run: of its rounds the last, and of its members what sums are made of.
    pub(super) run: RunResult,
    /// The last model.
    pub(super) model: Vec<f32>,
}

impl Ended {
    /// Plays `task` to its end.
    pub(super) fn play(built: &Built, task: TaskSpec, cancel: &Cancel) -> Result<Self, RunError> {
        let every = Every { rounds: u64::MAX, same_updates: false };
        let mut federation = built.federation(task)?;
        let mut run = play(built, &mut federation, every, cancel, &|_| {})?;
        run.rounds.drain(..run.rounds.len() - 1);
        run.coordination.clear();
        for track in &mut run.members {
            track.trust_micro.clear();
            track.verdict.clear();
            track.strike.clear();
        }
        Ok(Self { run, model: federation.model() })
    }

    /// The run as those of `built` measure it, who may be after something else.
    pub(super) fn measured_by(&self, built: &Built) -> RunResult {
        let mut run = self.run.clone();
        let last = run.rounds.last_mut().expect("the end is kept");
        last.quality = Gauge::new(built).measure(last.round, &self.model);
        run
    }
}

/// A run in which nobody attacks, as its own control.
fn without_counterfactual(run: &RunResult) -> RunResult {
    let mut run = run.clone();
    run.rounds.iter_mut().for_each(|round| round.same_updates_averaged = None);
    run
}

/// The attacked run of a seed by itself, measured at its end.
///
/// # Errors
/// When it cannot be run, or was cancelled.
pub fn play_attacked(
    source: &Source,
    built: &Built,
    cancel: &Cancel,
) -> Result<RunResult, RunError> {
    let task = source.scenario.contract.task(&built.scenario, 0)?;
    at_the_end(built, task, Bracket::Attacked, cancel)
}

/// The run of a seed with the attackers absent by itself, measured at its end.
///
/// # Errors
/// When it cannot be run, or was cancelled.
pub fn play_absent(source: &Source, built: &Built, cancel: &Cancel) -> Result<RunResult, RunError> {
    let absent = built.attackers_absent();
    let left = built.scenario.sites.len() - absent.scenario.sites.len();
    let task = source.scenario.contract.task(&absent.scenario, left)?;
    at_the_end(&absent, task, Bracket::Absent, cancel)
}

fn at_the_end(
    built: &Built,
    task: TaskSpec,
    bracket: Bracket,
    cancel: &Cancel,
) -> Result<RunResult, RunError> {
    check(&task, bracket, built)?;
    let every = Every { rounds: u64::MAX, same_updates: false };
    run_one(built, task, every, cancel, &|_| {})
}

fn check(task: &TaskSpec, bracket: Bracket, built: &Built) -> Result<(), RunError> {
    let members = built.scenario.sites.len();
    check_task(task, members).map_err(|source| RunError::Task {
        bracket: bracket.title(),
        members,
        source,
    })
}

/// How often to measure, and whether to follow what plain averaging makes of the same updates.
#[derive(Debug, Clone, Copy)]
struct Every {
    rounds: u64,
    same_updates: bool,
}

fn run_one(
    built: &Built,
    task: TaskSpec,
    every: Every,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<RunResult, RunError> {
    play(built, &mut built.federation(task)?, every, cancel, progress)
}

fn play(
    built: &Built,
    federation: &mut dyn Rounds,
    every: Every,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<RunResult, RunError> {
    let rounds = built.scenario.rounds;
    let gauge = Gauge::new(built);
    let mut tracks = tracks(built);
    let mut results = vec![RoundResult {
        round: 0,
        model: federation.model_digest().to_string(),
        failure: None,
        quality: gauge.measure(0, &federation.model()),
        same_updates_averaged: None,
    }];
    let (mut frozen, mut told) = (None, 0);
    let mut together: BTreeMap<(String, String), u64> = BTreeMap::new();
    for round in 1..=rounds {
        if cancel.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        let report = federation.step()?;
        follow(&mut tracks, &report);
        for verdict in &report.verdicts {
            for other in verdict.together_with.iter().flatten() {
                let (a, b) = (verdict.member.to_string(), other.to_string());
                *together.entry(if a < b { (a, b) } else { (b, a) }).or_default() += 1;
            }
        }
        let last = round == rounds || federation.is_frozen();
        if round % every.rounds == 0 || last || report.failure.is_some() {
            results.push(RoundResult {
                round,
                model: report.model.to_string(),
                failure: report.failure.map(word),
                quality: gauge.measure(round, &federation.model()),
                same_updates_averaged: every
                    .same_updates
                    .then(|| gauge.measure(round, &federation.plain_average())),
            });
            progress(Progress::Rounds(round - told));
            told = round;
        }
        if federation.is_frozen() {
            frozen = Some(round);
            break;
        }
    }
    progress(Progress::Rounds(rounds - told));
    let most = together.values().copied().max().unwrap_or(1) as f64;
    let edges = together.into_iter().map(|((from, to), rounds)| Edge {
        from,
        to,
        strength: (rounds as f64 / most * 1e3).round() / 1e3,
    });
    Ok(RunResult { rounds: results, members: tracks, frozen, coordination: edges.collect() })
}

/// Measures models on the honest members' held-out rows, as they are in each round.
struct Gauge<'a> {
    built: &'a Built,
    /// What is measured on from a round on, by ascending rounds; the first from 0.
    phases: Vec<(u64, Dataset, Vec<super::build::TargetProbe>)>,
    honest: Vec<usize>,
}

impl<'a> Gauge<'a> {
    fn new(built: &'a Built) -> Self {
        let changes = built.scenario.changes.iter().map(|change| change.round);
        let mut rounds: Vec<u64> = changes.chain([0]).collect();
        rounds.sort_unstable();
        rounds.dedup();
        let phases = rounds.into_iter().map(|round| {
            let union = built.test_union(round);
            let probes = built.probes(&union);
            (round, union, probes)
        });
        Self { built, phases: phases.collect(), honest: built.scenario.honest() }
    }

    fn measure(&self, round: u64, model: &[f32]) -> Quality {
        let scenario = &self.built.scenario;
        let phase = self.phases.iter().rev().find(|(from, _, _)| *from <= round);
        let (_, union, probes) = phase.expect("the first phase begins with round 0");
        let all = scenario.spec.evaluate(model, union);
        let worst = self.honest.iter().map(|&k| {
            let test = scenario.test_in(k, round);
            if test.rows() == 0 {
                1.0
            } else {
                scenario.spec.evaluate(model, test).accuracy
            }
        });
        let worst = worst.fold(f64::INFINITY, f64::min);
        let success =
            super::stats::mean_of(probes.iter().map(|probe| probe.success(&scenario.spec, model)));
        Quality::new(&all, worst, success.map(|success| success.mean))
    }
}

fn tracks(built: &Built) -> Vec<MemberTrack> {
    let members = built.scenario.names.iter().zip(&built.scenario.sites).enumerate();
    members
        .map(|(k, (name, site))| MemberTrack {
            member: name.clone(),
            hostile: built.scenario.hostile.contains(&k),
            changed: built.scenario.changes.iter().find(|c| c.member == k).map(|c| c.round),
            examples: site.train.rows(),
            trust_micro: Vec::new(),
            standing: String::new(),
            verdict: String::new(),
            strike: String::new(),
            quarantined: None,
            reason: None,
        })
        .collect()
}

/// Notes what a round did to each member.
fn follow(tracks: &mut [MemberTrack], report: &RoundReport) {
    for (k, track) in tracks.iter_mut().enumerate() {
        let (trust, verdict) = (&report.trust[k], &report.verdicts[k]);
        track.trust_micro.push(trust.trust_micro);
        let standing = match trust.standing {
            Standing::Active => 'a',
            Standing::Probation => 'p',
            Standing::Quarantine => 'q',
        };
        track.standing.push(standing);
        track.verdict.push(match verdict.verdict {
            UpdateVerdictKind::Accept => 'a',
            UpdateVerdictKind::Clip => 'c',
            UpdateVerdictKind::DownWeight => 'd',
            UpdateVerdictKind::Reject => 'r',
            UpdateVerdictKind::Quarantine => 'q',
        });
        track.strike.push(if verdict.strike { 'x' } else { '.' });
        if track.quarantined.is_none() && standing == 'q' {
            track.quarantined = Some(report.round);
            track.reason = Some(word(verdict.reason));
        }
    }
}

/// A value's name as it stands on the ledger.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("reasons are words, not {other:?}"),
    }
}

/// The task of the attacked run, and the federation that plays it in process: what a run through a
/// network is compared with.
///
/// # Errors
/// When the model makes no schema, or the contract refuses the task.
pub fn attacked_federation(
    source: &Source,
    built: &Built,
) -> Result<(TaskSpec, Federation), RunError> {
    let task = source.scenario.contract.task(&built.scenario, 0)?;
    check(&task, Bracket::Attacked, built)?;
    let federation = built.federation(task.clone())?;
    Ok((task, federation))
}
