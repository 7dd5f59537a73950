//! The attack laboratory: scenario files, runs over seeds with what they are measured against, a
//! verdict, sweeps, an adaptive attacker and a report. `docs/laboratory.md` is for its users.

pub mod acceptance;
pub mod build;
pub mod check;
pub mod contract;
pub mod data;
pub mod fields;
pub mod file;
pub mod library;
pub mod publish;
pub mod redteam;
pub mod report;
pub mod results;
pub mod rounds;
pub mod run;
pub mod schema;
pub mod shape;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod tables;

pub use acceptance::{summarise, Acceptance, Summary, Verdict};
pub use file::{FileError, ScenarioFile, Source};
pub use results::{Bracket, SeedResult};
pub use run::{run_seeds, Cancel, Progress, RunError};

#[cfg(test)]
mod tests;
