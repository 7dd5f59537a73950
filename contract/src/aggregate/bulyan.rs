//! Bulyan over Krum.
//!
//! Formula: θ = n − 2f times, move the Krum winner of the updates that remain into the selection S.
//! Then `y_k = 1/β · Σ` of the β = θ − 2f values of S in column k that are closest to S's median in
//! that column.
//!
//! Symbols: n updates; f of them Byzantine; θ selected; β averaged.
//! Parameters: none. Weights are ignored.
//! Precondition: n ≥ 4f + 3.
//! Reference: E. M. El Mhamdi, R. Guerraoui, S. Rouault, "The Hidden Vulnerability of Distributed
//! Learning in Byzantium", ICML 2018, §4.
//! Deviations: with r updates remaining the winner is scored on max(r − f − 2, 1) neighbours (at
//! most r − 1), because r falls to 2f + 1, where r − f − 2 is f − 1; equal scores go to the lower
//! row (with f ≤ 2 the last winner is scored on one neighbour, and of two updates that are each
//! other's nearest it is the lower row). The median of an even θ is the unrounded mean of the middle two. The β closest values are
//! found by dropping, 2f times, the least or the greatest of the sorted values, whichever is farther
//! from the median, and the greatest when both are equally far; a row counts as used in a column when
//! its value equals one that is left. The mean is rounded half to even.

use super::columns::{mean_of_window, Window};
use super::matrix::Matrix;
use super::pairs::pairwise;
use super::{uses_of_counts, Aggregation, OutOfRange};
use crate::integer::isqrt_u128;

/// Bulyan's aggregate; a row's score is the root of its Krum score among all n.
pub(super) fn aggregate(matrix: &Matrix<'_>, f: usize) -> Result<Aggregation, OutOfRange> {
    let n = matrix.n();
    let (selection, scores) = select(&pairwise(matrix)?, n, f);
    let window = Window::AroundMedian { kept: selection.len() - 2 * f };
    let (values, counts) = mean_of_window(&matrix.picked(&selection), window)?;
    let mut all_counts = vec![0; n];
    for (&row, count) in selection.iter().zip(counts) {
        all_counts[row] = count;
    }
    let per_update = uses_of_counts(&all_counts, values.len(), Some(&scores));
    Ok(Aggregation { values, per_update })
}

/// The θ selected rows in ascending order, and the root of every row's first score.
fn select(distances: &[u128], n: usize, f: usize) -> (Vec<usize>, Vec<u64>) {
    // Each row's other rows from the nearest on, sorted once; removed rows are passed over.
    let nearest: Vec<Vec<usize>> = (0..n)
        .map(|i| {
            let mut others: Vec<usize> = (0..n).filter(|&j| j != i).collect();
            others.sort_by_key(|&j| distances[i * n + j]);
            others
        })
        .collect();
    let mut remains = vec![true; n];
    let mut first_scores = Vec::new();
    let mut selection = Vec::new();
    for remaining in (2 * f + 1..=n).rev() {
        let k = remaining.saturating_sub(f + 2).max(1).min(remaining - 1);
        let score = |i: usize| -> u128 {
            let others = nearest[i].iter().filter(|&&j| remains[j]);
            others.take(k).map(|&j| distances[i * n + j]).sum()
        };
        if remaining == n {
            first_scores = (0..n).map(|i| isqrt_u128(score(i))).collect();
        }
        let winner = (0..n)
            .filter(|&i| remains[i])
            .min_by_key(|&i| (score(i), i))
            .expect("at least 2f + 1 rows remain");
        remains[winner] = false;
        selection.push(winner);
    }
    selection.sort_unstable();
    (selection, first_scores)
}
