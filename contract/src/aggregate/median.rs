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
//! equals one of the middle ones.

use super::columns::{mean_of_window, Window};
use super::matrix::Matrix;
use super::{uses_of_counts, Aggregation, OutOfRange};

/// The median of each column.
pub(super) fn aggregate(matrix: &Matrix<'_>) -> Result<Aggregation, OutOfRange> {
    let n = matrix.n();
    let (values, counts) =
        mean_of_window(matrix, Window::Ranks { lowest: (n - 1) / 2, highest: n / 2 })?;
    let per_update = uses_of_counts(&counts, values.len(), None);
    Ok(Aggregation { values, per_update })
}
