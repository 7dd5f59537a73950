//! Coordinate-wise median.
//!
//! Formula: `y_k = median(x_1k, …, x_nk)`; for even n the mean of the two middle values, rounded
//! half to even.
//!
//! Symbols: x_ik value k of update i; n updates; f of them Byzantine.
//! Parameters: none. Weights are ignored.
//! Precondition: n > 2f.
//! Reference: D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, "Byzantine-Robust Distributed Learning:
//! Towards Optimal Statistical Rates", ICML 2018, definition 1.
//! Deviations: the rounding to the grid for even n. A row counts as used in a column when its value
//! is one of the middle ones, equal values being ordered by row.

use super::{ranks, Aggregation};

/// The median of each column.
pub(super) fn aggregate(rows: &[&[i32]]) -> Aggregation {
    let n = rows.len();
    ranks::mean_of_ranks(rows, (n - 1) / 2, n / 2)
}
