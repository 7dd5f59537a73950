//! The squared distances between every two updates of a round, computed once.
//!
//! The rule asks for them, once more where probation or a suspected cell has it run on fewer updates, and
//! each verdict says how near the nearest other update was.

use std::sync::OnceLock;

use super::admission::Admission;
use crate::aggregate::pairwise;

/// Filled when first asked for. What it holds stays true while lines move between places: it goes by
/// the lines that have a row, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Geometry(OnceLock<Option<Vec<u128>>>);

impl Admission {
    /// ‖x_i − x_j‖² of every two of `rows`: row-major, symmetric, in squared quanta. Nothing when a value
    /// is out of range, which the rule then reports.
    pub(super) fn distances_between(&self, rows: &[usize]) -> Option<Vec<u128>> {
        let measured: Vec<usize> = self.lines.iter().filter_map(|line| line.row).collect();
        let all = self.geometry.0.get_or_init(|| {
            let values = measured.iter().map(|&row| self.row(row));
            pairwise(values.collect())
        });
        let (all, n) = (all.as_ref()?, measured.len());
        let place = |row: &usize| {
            let found = measured.iter().position(|at| at == row);
            found.expect("distances are asked for between rows that stand for a line")
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
