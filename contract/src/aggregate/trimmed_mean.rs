//! Coordinate-wise trimmed mean.
//!
//! Formula: `y_k = 1/(n − 2f) · Σ x_(j)k over j = f+1 … n−f`, where `x_(1)k ≤ … ≤ x_(n)k` are the
//! values of column k in order.
//!
//! Symbols: x_ik value k of update i; n updates; f of them Byzantine.
//! Parameters: none; f of the task is the number trimmed on each side. Weights are ignored.
//! Precondition: n > 2f.
//! Reference: D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, "Byzantine-Robust Distributed Learning:
//! Towards Optimal Statistical Rates", ICML 2018, definition 2.
//! Deviations: the paper trims a share β with f/n ≤ β < 1/2, here exactly f on each side; the mean
//! is rounded half to even. A row counts as used in a column when its value is not trimmed, equal
//! values being ordered by row.

use super::{ranks, Aggregation};

/// The trimmed mean of each column.
pub(super) fn aggregate(rows: &[&[i32]], f: usize) -> Aggregation {
    ranks::mean_of_ranks(rows, f, rows.len() - 1 - f)
}
