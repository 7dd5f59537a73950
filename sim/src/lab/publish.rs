//! Writes everything about a scenario into its folder, and reads it back for a new report.

use std::path::{Path, PathBuf};

use super::redteam::Hunt;
use super::report::{html, Parts};
use super::store::{read_json, read_outcome, write, Outcome, StoreError};
use super::sweep::Grid;
use super::tables;

/// Name of the report.
pub const REPORT: &str = "report.html";

/// Writes tables and report of everything that is in `folder`: `results.json`, `sweep.json`,
/// `redteam.json`. Returns where the report is.
///
/// # Errors
/// When none of them is there or readable, or a file cannot be written.
pub fn publish(folder: &Path) -> Result<PathBuf, StoreError> {
    let there = |name: &str| folder.join(name).exists();
    let grid: Option<Grid> =
        there("sweep.json").then(|| read_json(&folder.join("sweep.json"))).transpose()?;
    let hunt: Option<Hunt> =
        there("redteam.json").then(|| read_json(&folder.join("redteam.json"))).transpose()?;
    let outcome: Option<Outcome> = if there("results.json") || (grid.is_none() && hunt.is_none()) {
        Some(read_outcome(folder)?)
    } else {
        None
    };
    if let Some(outcome) = &outcome {
        write(&folder.join("rounds.csv"), tables::rounds(outcome).as_bytes())?;
        write(&folder.join("members.csv"), tables::members(outcome).as_bytes())?;
        write(&folder.join("summary.csv"), tables::summary(outcome).as_bytes())?;
    }
    if let Some(grid) = &grid {
        write(&folder.join("sweep.csv"), tables::grid(grid).as_bytes())?;
        write(&folder.join("table.md"), tables::sweep_markdown(grid).as_bytes())?;
    }
    let parts = Parts { outcome: outcome.as_ref(), grid: grid.as_ref(), hunt: hunt.as_ref() };
    let path = folder.join(REPORT);
    write(&path, html(parts).as_bytes())?;
    Ok(path)
}
