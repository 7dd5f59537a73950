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
//! from the median, and the greatest when both are equally far; equal values are ordered by row. The
//! mean is rounded half to even.

use super::measures::pairwise;
use super::network::{Lane, Network, LANES};
use super::ranks::{load, sum_within, unpack, uses_of_counts};
use super::{blocks, Aggregation};
use crate::integer::{isqrt_u128, CountDivider};

/// Bulyan's aggregate; a row's score is the root of its Krum score among all n.
pub(super) fn aggregate(rows: &[&[i32]], f: usize) -> Aggregation {
    let n = rows.len();
    let (selection, scores) = select(&pairwise(rows), n, f);
    let chosen: Vec<&[i32]> = selection.iter().map(|&row| rows[row]).collect();
    let mut values = vec![0; rows[0].len()];
    let counts = mean_around_median(&chosen, 2 * f, &mut values);
    let mut all_counts = vec![0; n];
    for (&row, count) in selection.iter().zip(counts) {
        all_counts[row] = count;
    }
    let per_update = uses_of_counts(&all_counts, values.len(), Some(&scores));
    Aggregation { values, per_update }
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

/// The mean of the values closest to each column's median, `dropped` of them left out. Returns in
/// how many columns each row was used.
fn mean_around_median(rows: &[&[i32]], dropped: usize, values: &mut [i32]) -> Vec<u64> {
    let theta = rows.len();
    let beta = theta - dropped;
    let middle = ((theta - 1) / 2, theta / 2);
    let network = Network::for_ranks(theta, 0..theta);
    let divider = CountDivider::new(beta);
    blocks::fill(rows, values, |rows, out, counts| {
        let mut keys = vec![[0i32; LANES]; theta];
        let mut sorted = keys.clone();
        for (at, out) in out.chunks_mut(LANES).enumerate() {
            load(rows, at * LANES, &mut keys);
            sorted.copy_from_slice(&keys);
            network.run(&mut sorted);
            let (lower, upper) = window(&sorted, beta, middle);
            let sums = sum_within(&keys, (&lower, &upper), out.len(), counts);
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = divider.divide(sum);
            }
        }
    })
}

/// Least and greatest key of the window of `beta` sorted values around the median.
///
/// A window that starts at j is worse than the next one when its least value x_j is farther from
/// the median m than x_{j+β}: m − x_j > x_{j+β} − m, which is x_j + x_{j+β} < 2m. The left side grows
/// with j, so the comparisons are true up to some j and false from there on.
#[inline]
fn window(sorted: &[Lane], beta: usize, middle: (usize, usize)) -> (Lane, Lane) {
    let (mut lower, mut upper) = (sorted[0], sorted[beta - 1]);
    for j in 0..sorted.len() - beta {
        for lane in 0..LANES {
            let twice_median = unpack(sorted[middle.0][lane]) + unpack(sorted[middle.1][lane]);
            let ends = unpack(sorted[j][lane]) + unpack(sorted[j + beta][lane]);
            let moves = ends < twice_median;
            lower[lane] = if moves { sorted[j + 1][lane] } else { lower[lane] };
            upper[lane] = if moves { sorted[j + beta][lane] } else { upper[lane] };
        }
    }
    (lower, upper)
}
