//! The squared distances between every two updates of a round, computed once.
//!
//! The rule asks for them, once more where probation or a suspected cell has it run on fewer updates, and
//! each verdict says how near the nearest other update was.

use std::sync::OnceLock;

use super::admission::{Admission, Place};
use crate::aggregate::pairwise;

/// The distance to the nearest other update is measured while n²·d is at most this: it takes no
/// part in any verdict, and must not cost more than the aggregation of a large model.
const NEAREST_WORK_MAX: u128 = 1 << 30;

/// Filled when first asked for. What it holds stays true while a cell is left out: it goes by the lines
/// that are measured, in their order, wherever their rows are.
#[derive(Debug, Clone, Default)]
pub(super) struct Geometry(OnceLock<Option<Vec<u128>>>);

impl Admission {
    /// How many updates are scored.
    pub(super) fn scored(&self) -> usize {
        self.lines.iter().filter(|line| line.row.is_some()).count()
    }

    /// Whether verdicts say how near the nearest other update was.
    pub(super) fn measures_nearest(&self) -> bool {
        let n = self.scored();
        n > 1 && (n as u128).pow(2) * self.values.ncols() as u128 <= NEAREST_WORK_MAX
    }

    /// The rows between which distances are measured, in the order of the lines. Updates of members in
    /// quarantine enter no rule, and are measured only where verdicts say how near they are.
    fn measured(&self) -> Vec<usize> {
        let all = self.measures_nearest();
        let lines = self.lines.iter().filter(|line| all || line.place != Place::Shadow);
        lines.filter_map(|line| line.row).collect()
    }

    /// ‖x_i − x_j‖² of every two of `rows`, which are measured: row-major, symmetric, in squared quanta.
    /// Nothing when a value is out of range, which the rule then reports.
    pub(super) fn distances_between(&self, rows: &[usize]) -> Option<Vec<u128>> {
        let measured = self.measured();
        let all = self.geometry.0.get_or_init(|| {
            let values = measured.iter().map(|&row| self.row(row));
            pairwise(values.collect())
        });
        let (all, n) = (all.as_ref()?, measured.len());
        let place = |row: &usize| {
            let found = measured.iter().position(|at| at == row);
            found.expect("distances are asked for between rows that are measured")
        };
        let places: Vec<usize> = rows.iter().map(place).collect();
        let pairs = places.iter().flat_map(|&i| places.iter().map(move |&j| all[i * n + j]));
        Some(pairs.collect())
    }

    /// The values of a row.
    pub(super) fn row(&self, row: usize) -> &[i32] {
        self.values.row(row).to_slice().expect("the rows of an owned matrix are contiguous")
    }
}

#[cfg(test)]
mod tests;
