//! An adaptive attacker: it knows the contract, runs it in its head as often as it likes, and looks
//! for the attack, its knobs and its timing that harm most.
//!
//! The search is the cross-entropy method (Rubinstein and Kroese 2004; de Boer et al., Annals of
//! Operations Research 134, 2005): a generation of candidates is drawn, the best quarter is kept, and
//! the next is drawn around these. A candidate is an attack, drawn with a probability of its own,
//! and a point in that attack's knobs ([`space`]), drawn from a Gaussian on the unit cube.
//! Deviations: both the probabilities and the Gaussians are smoothed towards the last generation, no
//! attack's probability falls below a floor, and no deviation below `DEVIATION_MIN`, so that the
//! search does not settle on its first success.
//!
//! What it finds is a lower bound of what an attacker can do, not an upper one.

pub mod space;
#[cfg(test)]
mod tests;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::build::build;
use super::file::{AttackerGroup, ScenarioFile, Source};
use super::results::{MeasureName, Quality, RunResult, FORMAT};
use super::run::{play_absent, play_attacked, Cancel, RunError};
use super::stats::{mean, Mean};
use super::sweep::describe_knobs;
use crate::attack::Knowledge;
use crate::seed;
use space::{arms, Arm};

/// Candidates in a generation.
pub const GENERATION: usize = 20;
/// Share of a generation that the next one is drawn around.
const ELITE: f64 = 0.25;
/// How much of the old distribution is kept.
const KEPT: f64 = 0.3;
/// Least standard deviation on the unit cube.
const DEVIATION_MIN: f64 = 0.06;
/// Seeds of the final check are this far from those of the search.
const FRESH: u64 = 1_000_000;

/// What the attacker is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// That the model is wrong more often.
    #[default]
    Accuracy,
    /// That sick patients are not found.
    Recall,
    /// That their risk is underestimated.
    Underestimation,
}

/// How to search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// What is to be harmed.
    pub goal: Goal,
    /// Runs of the contract that the attacker may try, over all seeds of a candidate counted as one.
    pub evaluations: usize,
    /// Whether a candidate with an attacker in quarantine counts as no harm at all.
    pub unseen: bool,
    /// Seed of the search.
    pub seed: u64,
    /// Only these attacks; all when empty.
    pub attacks: Vec<String>,
}

/// One candidate and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Number of the trial, from 1.
    pub number: usize,
    /// The attack with its knobs, in words.
    pub attack: String,
    /// Harm, as a share: mean over the search's seeds.
    pub harm: f64,
    /// Attackers that were in quarantine at some time, over all seeds.
    pub caught: usize,
}

/// What the search found: `redteam.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hunt {
    /// [`FORMAT`].
    pub format: String,
    /// Name of the scenario.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// How it was searched.
    pub search: Search,
    /// The contract, in words.
    pub contract: String,
    /// Members of the consortium.
    pub members: usize,
    /// Of these, hostile.
    pub hostile: usize,
    /// All trials in order.
    pub trials: Vec<Trial>,
    /// The attackers that harmed most.
    pub worst: AttackerGroup,
    /// Their attack in words.
    pub worst_attack: String,
    /// Their harm on the seeds of the search: the best of many, so too high.
    pub harm_searched: f64,
    /// Their harm on as many seeds that the search has not seen, seed by seed.
    pub harm_fresh: Option<Mean>,
    /// Attackers caught on those seeds, and their number.
    pub caught_fresh: (usize, usize),
    /// Harm of the same attackers under plain averaging, on those seeds.
    pub harm_plain: Option<Mean>,
}

/// Searches for the worst that the scenario's attackers can do. `told` is called after each
/// generation with the number of trials so far and the worst harm.
///
/// # Errors
/// When the scenario cannot be run, or it was cancelled.
pub fn hunt(
    source: &Source,
    search: &Search,
    cancel: &Cancel,
    mut told: impl FnMut(usize, f64),
) -> Result<Hunt, RunError> {
    let source = with_attackers(source);
    let arms = arms(&search.attacks, source.scenario.rounds);
    let seeds = &source.scenario.seeds;
    let references = references(&source, seeds, cancel)?;
    let mut rng = seed::stream(search.seed, "redteam", 0, 0);
    let mut belief = Belief::new(&arms);
    let mut trials: Vec<Trial> = Vec::new();
    let mut best: Option<(f64, AttackerGroup)> = None;
    while trials.len() < search.evaluations {
        let size = GENERATION.min(search.evaluations - trials.len());
        let points: Vec<Point> = (0..size).map(|k| belief.draw(k, size, &mut rng)).collect();
        let groups: Vec<AttackerGroup> =
            points.iter().map(|point| arms[point.arm].group(&point.at, &source.scenario)).collect();
        let results: Vec<(f64, usize)> = groups
            .par_iter()
            .map(|group| evaluate(&source, group, search, &references, cancel))
            .collect::<Result<_, _>>()?;
        for (group, &(harm, caught)) in groups.iter().zip(&results) {
            let attack = in_words(group);
            trials.push(Trial { number: trials.len() + 1, attack, harm, caught });
            if best.as_ref().is_none_or(|(worst, _)| score(search, harm, caught) > *worst) {
                best = Some((score(search, harm, caught), group.clone()));
            }
        }
        let scores: Vec<f64> = results.iter().map(|r| score(search, r.0, r.1)).collect();
        belief.learn(&points, &scores);
        told(trials.len(), best.as_ref().map_or(0.0, |best| best.0));
    }
    let (harm_searched, worst) = best.expect("there was at least one trial");
    confirm(&source, search, trials, (harm_searched, worst), cancel)
}

/// Runs the worst attackers on seeds that the search has not seen.
fn confirm(
    source: &Source,
    search: &Search,
    trials: Vec<Trial>,
    (harm_searched, worst): (f64, AttackerGroup),
    cancel: &Cancel,
) -> Result<Hunt, RunError> {
    let fresh: Vec<u64> =
        source.scenario.seeds.iter().map(|seed| seed.wrapping_add(FRESH)).collect();
    let references = references(source, &fresh, cancel)?;
    let attacked = with_group(source, &worst);
    let mut plain = attacked.clone();
    plain.scenario.contract = super::contract::ContractChoice::plain();
    let plain_references = self::references(&plain, &fresh, cancel)?;
    let runs: Vec<(RunResult, RunResult)> = fresh
        .par_iter()
        .map(|&seed| Ok((run(&attacked, seed, cancel)?, run(&plain, seed, cancel)?)))
        .collect::<Result<_, RunError>>()?;
    let harm_of = |run: &RunResult, reference: &Quality| harm(search.goal, reference, run.end());
    let fresh_harm: Vec<f64> =
        runs.iter().zip(&references).map(|(run, (_, before))| harm_of(&run.0, before)).collect();
    let plain_harm: Vec<f64> = runs
        .iter()
        .zip(&plain_references)
        .map(|(run, (_, before))| harm_of(&run.1, before))
        .collect();
    let hostile = |run: &RunResult| run.members.iter().filter(|m| m.hostile).count();
    let first = &runs[0].0;
    Ok(Hunt {
        format: FORMAT.to_owned(),
        name: source.name.clone(),
        title: source.scenario.title.clone(),
        search: search.clone(),
        contract: source.scenario.contract.describe(),
        members: first.members.len(),
        hostile: hostile(first),
        trials,
        worst_attack: in_words(&worst),
        worst,
        harm_searched,
        harm_fresh: mean(&fresh_harm),
        caught_fresh: (
            runs.iter().map(|run| caught(&run.0)).sum(),
            runs.iter().map(|run| hostile(&run.0)).sum(),
        ),
        harm_plain: mean(&plain_harm),
    })
}

/// The scenario of the worst attackers that a search found, to be run by itself.
pub fn worst_scenario(source: &Source, hunt: &Hunt) -> ScenarioFile {
    let mut scenario = with_group(source, &hunt.worst).scenario;
    scenario.title = format!("Worst found against: {}", hunt.title);
    scenario.description =
        format!("Found by `sim redteam` in {} trials: {}.", hunt.trials.len(), hunt.worst_attack);
    scenario
}

/// A scenario without attackers gets as many as the default contract withstands.
fn with_attackers(source: &Source) -> Source {
    let mut source = source.clone();
    if source.scenario.attackers.is_empty() {
        let f = fedledger_ledger::ids::byzantine_max(source.scenario.members).max(1);
        source.scenario.attackers = vec![AttackerGroup {
            count: f,
            members: Vec::new(),
            knowledge: Knowledge::Colluders,
            attack: crate::attack::Attack::all().swap_remove(0),
            schedule: crate::attack::Schedule::default(),
            evaluations: crate::federation::Evaluations::default(),
            announced: false,
        }];
    }
    source
}

/// The same with the first group's members attacking as `group` does, and no other group.
fn with_group(source: &Source, group: &AttackerGroup) -> Source {
    let mut source = source.clone();
    source.scenario.attackers = vec![group.clone()];
    source
}

/// The end of the run without attackers, for each seed: what harm is measured against.
fn references(
    source: &Source,
    seeds: &[u64],
    cancel: &Cancel,
) -> Result<Vec<(u64, Quality)>, RunError> {
    let end = |&seed: &u64| {
        let built = build(source, seed)?;
        Ok((seed, *play_absent(source, &built, cancel)?.end()))
    };
    seeds.par_iter().map(end).collect()
}

fn run(source: &Source, seed: u64, cancel: &Cancel) -> Result<RunResult, RunError> {
    play_attacked(source, &build(source, seed)?, cancel)
}

/// Mean harm over the seeds, and attackers caught.
fn evaluate(
    source: &Source,
    group: &AttackerGroup,
    search: &Search,
    references: &[(u64, Quality)],
    cancel: &Cancel,
) -> Result<(f64, usize), RunError> {
    let source = with_group(source, group);
    let mut total = (0.0, 0);
    for (seed, before) in references {
        let run = run(&source, *seed, cancel)?;
        total.0 += harm(search.goal, before, run.end());
        total.1 += caught(&run);
    }
    Ok((total.0 / references.len() as f64, total.1))
}

fn score(search: &Search, harm: f64, caught: usize) -> f64 {
    if search.unseen && caught > 0 {
        harm.min(0.0)
    } else {
        harm
    }
}

fn harm(goal: Goal, before: &Quality, after: &Quality) -> f64 {
    let lost = |measure| before.get(measure).unwrap_or(0.0) - after.get(measure).unwrap_or(0.0);
    match goal {
        Goal::Accuracy => lost(MeasureName::Accuracy),
        Goal::Recall => lost(MeasureName::Recall),
        Goal::Underestimation => {
            let base = before.positive_probability.unwrap_or(1.0).max(1e-9);
            lost(MeasureName::PositiveProbability) / base
        }
    }
}

fn caught(run: &RunResult) -> usize {
    run.members.iter().filter(|member| member.hostile && member.quarantined.is_some()).count()
}

/// An attack with its knobs and its timing.
pub fn in_words(group: &AttackerGroup) -> String {
    let schedule = &group.schedule;
    let mut words = vec![describe_knobs(&group.attack)];
    if schedule.from > 1 {
        words.push(format!("from round {}", schedule.from));
    }
    if schedule.ramp > 1 {
        words.push(format!("over {} rounds", schedule.ramp));
    }
    if schedule.period > 1 && schedule.duty < 1.0 {
        words.push(format!("on for {:.0} % of every {}", schedule.duty * 100.0, schedule.period));
    }
    if schedule.peak < 1.0 {
        words.push(format!("at strength {:.2}", schedule.peak));
    }
    words.join(", ")
}

/// A candidate: an attack and its knobs on the unit cube.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    arm: usize,
    at: Vec<f64>,
}

/// Where the next generation is drawn.
struct Belief {
    shares: Vec<f64>,
    gaussians: Vec<Vec<(f64, f64)>>,
}

impl Belief {
    fn new(arms: &[Arm]) -> Self {
        let gaussians = arms.iter().map(|arm| vec![(0.5, 0.35); arm.dimensions()]).collect();
        Self { shares: vec![1.0 / arms.len() as f64; arms.len()], gaussians }
    }

    /// Candidate `k` of `size`: attacks are drawn at evenly spaced quantiles, so that a small
    /// generation still has its share of each.
    fn draw(&self, k: usize, size: usize, rng: &mut ChaCha8Rng) -> Point {
        let quantile = (k as f64 + rng.gen::<f64>()) / size as f64;
        let mut sum = 0.0;
        let arm = self.shares.iter().position(|share| {
            sum += share;
            quantile < sum
        });
        let arm = arm.unwrap_or(self.shares.len() - 1);
        let at = self.gaussians[arm].iter().map(|(mean, deviation)| {
            let noise: f64 = rng.sample(StandardNormal);
            (mean + deviation * noise).clamp(0.0, 1.0)
        });
        Point { arm, at: at.collect() }
    }

    /// Moves towards the best quarter.
    fn learn(&mut self, points: &[Point], scores: &[f64]) {
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order.truncate(((points.len() as f64 * ELITE).ceil() as usize).max(1));
        let floor = 0.25 / self.shares.len() as f64;
        for (arm, share) in self.shares.iter_mut().enumerate() {
            let elite: Vec<&Point> =
                order.iter().map(|&k| &points[k]).filter(|point| point.arm == arm).collect();
            let found = elite.len() as f64 / order.len() as f64;
            *share = (KEPT * *share + (1.0 - KEPT) * found).max(floor);
            for (k, (centre, deviation)) in self.gaussians[arm].iter_mut().enumerate() {
                let values: Vec<f64> = elite.iter().map(|point| point.at[k]).collect();
                let Some(of) = mean(&values) else { continue };
                let spread = values.iter().map(|v| (v - of.mean).powi(2)).sum::<f64>();
                let spread = (spread / values.len() as f64).sqrt();
                *centre = KEPT * *centre + (1.0 - KEPT) * of.mean;
                // A lone elite says where, not how wide.
                let spread = if values.len() > 1 { spread } else { *deviation * 0.8 };
                *deviation = (KEPT * *deviation + (1.0 - KEPT) * spread).max(DEVIATION_MIN);
            }
        }
        let total: f64 = self.shares.iter().sum();
        self.shares.iter_mut().for_each(|share| *share /= total);
    }
}
