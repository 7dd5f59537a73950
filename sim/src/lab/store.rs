//! The folder that a scenario's results are kept in, and running into it: finished seeds stay and
//! are not run again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fedledger_ledger::ids::Digest;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::acceptance::{summarise, Summary, Verdict};
use super::build::build;
use super::file::{ScenarioFile, Source};
use super::results::{SeedResult, FORMAT};
use super::run::{run_built, Cancel, Progress, RunError};

/// Everything about a scenario's runs: `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`].
    pub format: String,
    /// Name of the scenario.
    pub name: String,
    /// SHA-256 of what decides the results, as hexadecimal; see [`Source::digest`].
    pub digest: String,
    /// The scenario.
    pub scenario: ScenarioFile,
    /// Whether it keeps to its thresholds.
    pub verdict: Verdict,
    /// Over all seeds.
    pub summary: Summary,
    /// Seed by seed, in the order of the scenario.
    pub seeds: Vec<SeedResult>,
}

/// One finished seed: `seeds/seed-N.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of scenario, data, seed and program.
    key: String,
    result: SeedResult,
}

/// Why results cannot be kept or read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} is not a file of results: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// A file of another version.
    #[error("{} is of format `{found}`, expected `{FORMAT}`", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The scenario cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// How to run into a folder.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// The folder; nothing is kept without one.
    pub folder: Option<PathBuf>,
    /// Identifies the program, so that results of another build are not taken for this one's.
    pub program: String,
    /// Runs finished seeds again.
    pub fresh: bool,
}

/// Runs all seeds of a scenario that are not kept yet and judges the whole.
///
/// # Errors
/// When it cannot be run or kept.
pub fn run(
    source: &Source,
    keep: &Keep,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, StoreError> {
    if let Some(folder) = &keep.folder {
        make_folder(&folder.join("seeds"))?;
    }
    let seeds = source.scenario.seeds.par_iter();
    let seeds: Result<Vec<SeedResult>, StoreError> =
        seeds.map(|&seed| one_seed(source, seed, keep, cancel, progress)).collect();
    let outcome = judge(source, seeds?);
    if let Some(folder) = &keep.folder {
        keep_outcome(source, &outcome, folder)?;
    }
    Ok(outcome)
}

/// Writes an outcome into a folder that is there, with the scenario that it is of.
///
/// # Errors
/// When a file cannot be written.
pub fn keep_outcome(source: &Source, outcome: &Outcome, folder: &Path) -> Result<(), StoreError> {
    write(&folder.join("scenario.toml"), source.text.as_bytes())?;
    write_json(&folder.join("results.json"), outcome)
}

/// The outcome of finished seeds.
pub fn judge(source: &Source, seeds: Vec<SeedResult>) -> Outcome {
    let summary = summarise(&seeds);
    Outcome {
        format: FORMAT.to_owned(),
        name: source.name.clone(),
        digest: source.digest().to_string(),
        scenario: source.scenario.clone(),
        verdict: source.scenario.acceptance.judge(&summary),
        summary,
        seeds,
    }
}

fn one_seed(
    source: &Source,
    seed: u64,
    keep: &Keep,
    cancel: &Cancel,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedResult, StoreError> {
    let built = build(source, seed)?;
    let Some(folder) = &keep.folder else {
        return Ok(run_built(source, &built, cancel, progress)?);
    };
    let decisive = format!("{} {} {seed} {}", source.digest(), built.fingerprint(), keep.program);
    let key = Digest::of(decisive.as_bytes()).to_string();
    let path = folder.join("seeds").join(format!("seed-{seed}.json"));
    if !keep.fresh {
        // A file that cannot be read, is half written or of another scenario is written anew.
        if let Some(kept) = read_json::<Kept>(&path).ok().filter(|kept| kept.key == key) {
            progress(Progress::Rounds(super::run::rounds_total(source, 1)));
            progress(Progress::Seed(seed));
            return Ok(kept.result);
        }
    }
    let kept = Kept { key, result: run_built(source, &built, cancel, progress)? };
    write_json(&path, &kept)?;
    Ok(kept.result)
}

/// Reads `results.json` of a folder.
///
/// # Errors
/// When there is none, or it is not of this version.
pub fn read_outcome(folder: &Path) -> Result<Outcome, StoreError> {
    let path = folder.join("results.json");
    let mut outcome: Outcome = read_json(&path)?;
    if outcome.format != FORMAT {
        return Err(StoreError::Format { path, found: outcome.format });
    }
    // Sums follow from the seeds; computed anew, they are the same to the last bit.
    outcome.summary = summarise(&outcome.seeds);
    outcome.verdict = outcome.scenario.acceptance.judge(&outcome.summary);
    Ok(outcome)
}

/// Reads a JSON document.
///
/// # Errors
/// When it cannot be read or is something else.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let bytes =
        fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|source| StoreError::Content { path: path.to_owned(), source })
}

/// Writes a value as JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let mut bytes = serde_json::to_vec(value).expect("results have text keys");
    bytes.push(b'\n');
    write(path, &bytes)
}

/// Writes a file in full or not at all: beside its place first, then renamed.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    fs::write(&beside, bytes).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// Makes a folder with those above it.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|source| StoreError::Write { path: path.to_owned(), source })
}
