//! Many scenarios from one: every combination of contract, attack, schedule, number of attackers, honest
//! changes, data, split and model. What several combinations are measured against is run once.

mod axes;
mod shared;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use fedledger_ledger::ids::Digest;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use axes::DataEntry;
pub use axes::{combinations, fields, AttackEntry, AttackWith, Axes, ChangesEntry, Combination};
pub use words::{describe_attack, describe_knobs, describe_split};

use super::acceptance::{summarise, Summary};
use super::file::{ScenarioFile, Source};
use super::results::SeedResult;
use super::run::{Cancel, RunError};
use super::store::{make_folder, read_json, write_json, Keep, StoreError};
use crate::scenario::ScenarioError;
use shared::Shared;

/// One combination and what it led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The contract, in words.
    pub contract: String,
    /// The attack, in words.
    pub attack: String,
    /// When it acts, in words; empty when nobody attacks.
    #[serde(default)]
    pub schedule: String,
    /// What the attackers know; empty when nobody attacks.
    #[serde(default)]
    pub knowledge: String,
    /// What they report of candidates; empty when nobody attacks.
    #[serde(default)]
    pub reports: String,
    /// Number of attackers.
    pub hostile: usize,
    /// What changes at honest members, by the sweep's title; empty without one.
    #[serde(default)]
    pub changes: String,
    /// The data, by the sweep's title or in words.
    #[serde(default)]
    pub data: String,
    /// The split, in words.
    pub split: String,
    /// The model, in words.
    #[serde(default)]
    pub model: String,
    /// Rounds of training.
    #[serde(default)]
    pub rounds: u64,
    /// Why this combination was not run: a rule whose precondition fails, or data that are not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// A whole grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// [`super::results::FORMAT`].
    pub format: String,
    /// Name of the scenario.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// The seeds that each cell is the mean over.
    pub seeds: Vec<u64>,
    /// The cells in the order of [`combinations`].
    pub cells: Vec<Cell>,
}

/// One finished cell: a file in the folder `cells`.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of scenario, data, seeds and program.
    key: String,
    /// The ends of all runs, from which the sums follow to the last bit.
    seeds: Vec<SeedResult>,
}

/// Runs every combination over the scenario's seeds and keeps nothing. `done` is called after each with
/// its number from 1.
///
/// # Errors
/// When data cannot be read, or it was cancelled. A contract that refuses its task is no error but
/// a refused cell.
pub fn sweep(
    source: &Source,
    cancel: &Cancel,
    done: impl FnMut(usize, usize),
) -> Result<Grid, RunError> {
    sweep_into(source, &[], &Keep::default(), cancel, done).map_err(|error| match error {
        StoreError::Run(error) => error,
        other => unreachable!("nothing is written without a folder: {other}"),
    })
}

/// The combinations of a sweep whose words hold each of `only`, in order.
pub fn selected(scenario: &ScenarioFile, only: &[String]) -> Vec<Combination> {
    let mut all = combinations(scenario);
    all.retain(|combination| {
        let cell = described(combination);
        let words = format!(
            "{}, {}, {}, {}, {}, {}, {}, {}, {} reports, {} hostile",
            cell.contract,
            cell.data,
            cell.split,
            cell.model,
            cell.changes,
            cell.attack,
            cell.schedule,
            cell.knowledge,
            cell.reports,
            cell.hostile
        );
        only.iter().all(|word| words.contains(word.as_str()))
    });
    all
}

/// [`sweep`] into a folder: finished cells are kept in it and not run again. Of the combinations, those
/// that are [`selected`].
///
/// # Errors
/// When data cannot be read, it was cancelled, or the folder cannot be written.
pub fn sweep_into(
    source: &Source,
    only: &[String],
    keep: &Keep,
    cancel: &Cancel,
    mut done: impl FnMut(usize, usize),
) -> Result<Grid, StoreError> {
    let folder = keep.folder.as_ref().map(|folder| folder.join("cells"));
    folder.as_deref().map_or(Ok(()), make_folder)?;
    let combinations = selected(&source.scenario, only);
    let total = combinations.len();
    let shared = Shared::default();
    let mut cells = Vec::with_capacity(total);
    for (k, combination) in combinations.into_iter().enumerate() {
        let mut cell = described(&combination);
        let named = combination.data_named;
        let one = Source { scenario: combination.scenario, ..source.clone() };
        match summary_of(&one, &shared, folder.as_deref(), keep, cancel) {
            Ok(summary) => cell.summary = Some(summary),
            Err(StoreError::Run(RunError::Task { source, .. })) => {
                cell.refused = Some(source.to_string());
            }
            Err(StoreError::Run(RunError::Scenario(ScenarioError::Data(error))))
                if named && error.is_absent() =>
            {
                cell.refused = Some(format!("these data are not here: {error}"));
            }
            Err(error) => return Err(error),
        }
        cells.push(cell);
        done(k + 1, total);
    }
    Ok(Grid {
        format: super::results::FORMAT.to_owned(),
        name: source.name.clone(),
        title: source.scenario.title.clone(),
        seeds: source.scenario.seeds.clone(),
        cells,
    })
}

fn described(combination: &Combination) -> Cell {
    let scenario = &combination.scenario;
    Cell {
        contract: scenario.contract.describe(),
        attack: describe_attack(scenario),
        schedule: words::describe_schedule(scenario),
        knowledge: words::describe_knowledge(scenario),
        reports: words::describe_reports(scenario),
        hostile: scenario.attackers.iter().map(|g| g.count.max(g.members.len())).sum(),
        changes: combination.changes_title.clone().unwrap_or_default(),
        data: combination.data_title.clone().unwrap_or_else(|| scenario.data.describe()),
        split: scenario.split.map_or_else(|| "as the data".to_owned(), |s| describe_split(&s)),
        model: words::describe_model(scenario.model),
        rounds: scenario.rounds,
        refused: None,
        summary: None,
    }
}

/// What one combination leads to, or was kept to have led to.
fn summary_of(
    source: &Source,
    shared: &Shared,
    folder: Option<&Path>,
    keep: &Keep,
    cancel: &Cancel,
) -> Result<Summary, StoreError> {
    let seeds = &source.scenario.seeds;
    let run = || -> Result<Vec<SeedResult>, RunError> {
        seeds.par_iter().map(|&seed| shared.seed(source, seed, cancel)).collect()
    };
    let Some(folder) = folder else { return Ok(summarise(&run()?)) };
    let fingerprints = seeds.par_iter().map(|&seed| shared.fingerprint(source, seed));
    let fingerprints: Result<Vec<Digest>, RunError> = fingerprints.collect();
    let mut decisive = format!("{} {}", source.digest(), keep.program);
    for (seed, fingerprint) in seeds.iter().zip(fingerprints?) {
        decisive += &format!(" {seed} {fingerprint}");
    }
    let key = Digest::of(decisive.as_bytes()).to_string();
    let path = folder.join(format!("cell-{}.json", &key[..16]));
    if !keep.fresh {
        // A file that cannot be read or is half written is written anew.
        if let Some(kept) = read_json::<Kept>(&path).ok().filter(|kept| kept.key == key) {
            return Ok(summarise(&kept.seeds));
        }
    }
    let kept = Kept { key, seeds: run()? };
    write_json(&path, &kept)?;
    Ok(summarise(&kept.seeds))
}
