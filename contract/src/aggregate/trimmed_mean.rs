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
//! is rounded half to even. A row counts as used in a column when its value equals one that is not
//! trimmed.

use super::columns::{mean_of_window, Window};
use super::matrix::Matrix;
use super::{uses_of_counts, Aggregation, OutOfRange};

/// The trimmed mean of each column.
pub(super) fn aggregate(matrix: &Matrix<'_>, f: usize) -> Result<Aggregation, OutOfRange> {
    let window = Window::Ranks { lowest: f, highest: matrix.n() - 1 - f };
    let (values, counts) = mean_of_window(matrix, window)?;
    let per_update = uses_of_counts(&counts, values.len(), None);
    Ok(Aggregation { values, per_update })
}
