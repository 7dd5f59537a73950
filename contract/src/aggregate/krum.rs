//! Krum and Multi-Krum.
//!
//! Formula: `s_i = Σ ‖x_i − x_j‖²` over the k updates j ≠ i that are nearest to i. Krum is the x_i
//! of least s_i; Multi-Krum is the weighted mean of the m updates of least s_i.
//!
//! Symbols: x_i update i; n updates; f of them Byzantine; k neighbours; m selected.
//! Parameters: k = n − f − 2 unless `neighbours` says otherwise (1 to n − 1); m = n − f unless
//! `selected` says otherwise (1 to n − f).
//! Precondition: n ≥ 2f + 3.
//! Reference: P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer, "Machine Learning with
//! Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017.
//! Deviations: equal scores go to the lower row; distances are differences squared and summed
//! exactly, never ‖a‖² + ‖b‖² − 2⟨a, b⟩ in floats, which cancels when updates are small against
//! their distance from zero; the mean of Multi-Krum is weighted and rounded half to even (the
//! paper's is uniform, which equal weights give).

use super::matrix::Matrix;
use super::pairs::pairwise;
use super::{mean, uses_whole, Aggregation, OutOfRange};
use crate::integer::isqrt_u128;

/// k of the paper.
pub(super) fn neighbours_default(n: usize, f: usize) -> usize {
    n - f - 2
}

/// Krum: the update of least score.
pub(super) fn single(
    matrix: &Matrix<'_>,
    f: usize,
    neighbours: Option<u32>,
) -> Result<Aggregation, OutOfRange> {
    let (scores, order) = scored(matrix, f, neighbours)?;
    let winner = order[0];
    Ok(Aggregation {
        values: mean::weighted(&matrix.picked(&[winner]), &[1])?,
        per_update: uses_whole((0..matrix.n()).map(|row| row == winner), Some(&scores)),
    })
}

/// Multi-Krum: the weighted mean of the updates of least score.
pub(super) fn multi(
    matrix: &Matrix<'_>,
    f: usize,
    neighbours: Option<u32>,
    selected: Option<u32>,
    weights: &[u64],
) -> Result<Aggregation, OutOfRange> {
    let n = matrix.n();
    let (scores, order) = scored(matrix, f, neighbours)?;
    let count = selected.map_or(n - f, |selected| selected as usize);
    let chosen = &order[..count];
    let is_chosen = |row: usize| chosen.contains(&row);
    let masked: Vec<u64> =
        (0..n).map(|row| if is_chosen(row) { weights[row] } else { 0 }).collect();
    Ok(Aggregation {
        values: mean::weighted(matrix, &masked)?,
        per_update: uses_whole((0..n).map(is_chosen), Some(&scores)),
    })
}

/// The root of each row's score, and the rows from the least score on.
fn scored(
    matrix: &Matrix<'_>,
    f: usize,
    neighbours: Option<u32>,
) -> Result<(Vec<u64>, Vec<usize>), OutOfRange> {
    let n = matrix.n();
    let k = neighbours.map_or(neighbours_default(n, f), |neighbours| neighbours as usize);
    let distances = pairwise(matrix)?;
    let squared: Vec<u128> = (0..n)
        .map(|i| {
            let mut others: Vec<u128> =
                (0..n).filter(|&j| j != i).map(|j| distances[i * n + j]).collect();
            others.sort_unstable();
            others[..k].iter().sum()
        })
        .collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&row| (squared[row], row));
    Ok((squared.iter().map(|&score| isqrt_u128(score)).collect(), order))
}
