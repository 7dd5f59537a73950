//! Centered clipping.
//!
//! Formula: v⁰ = start, then T times `v ← v + Σ_i α_i·(x_i − v)·min(1, τ / ‖x_i − v‖)`.
//!
//! Symbols: x_i update i; α_i its weight, Σ α_i = 1; v the centre; τ radius; T iterations.
//! Parameters: T = `iterations`, 1 to 64; τ = `radius_milli` / 1000 (0.001 to 1000) times the median
//! distance of the updates to v⁰. v⁰ is the task's previous aggregate, zero in the first round.
//! Precondition: n > 2f.
//! Reference: S. P. Karimireddy, L. He, M. Jaggi, "Learning from History for Byzantine Robust
//! Optimization", ICML 2021, §4.
//! Deviations: the paper's radius is a constant, here it follows the round's distances, so that a
//! task need not know the scale of its updates; weights; the paper clips momenta, here what the
//! members submit. Shares have 38 binary digits and are rounded down, distances have 19 behind the
//! point and are rounded down, τ and the aggregate are rounded half to even; the centre keeps what
//! rounding leaves over (`span.rs`).

use super::matrix::Matrix;
use super::measures::to_point;
use super::pairs::pairwise;
use super::span::{distances_to, shares, DISTANCE_BITS, SHARE_BITS, WHOLE};
use super::{mean, uses_whole, Aggregation, OutOfRange};
use crate::integer::{div_half_even, median_u64};

/// The centre after the last iteration.
pub(super) fn aggregate(
    matrix: &Matrix<'_>,
    weights: &[u64],
    start: Option<&[i32]>,
    iterations: u32,
    radius_milli: u32,
) -> Result<Aggregation, OutOfRange> {
    let n = matrix.n();
    let points = matrix.with_point(start);
    let distances = squared_distances(matrix, start, iterations)?;

    let weights: Vec<u128> = weights.iter().map(|&weight| u128::from(weight)).collect();
    let alphas = shares(&weights);
    // The centre is the last point.
    let mut centre = vec![0u64; n + 1];
    centre[n] = WHOLE;
    let mut radii = distances_to(&distances, &centre);
    let median = median_u64(&radii[..n]).expect("there is at least one update");
    let tau = div_half_even(i128::from(median) * i128::from(radius_milli), 1000) as u128;
    for iteration in 0..iterations {
        if iteration > 0 {
            radii = distances_to(&distances, &centre);
        }
        let moves: Vec<u64> = alphas
            .iter()
            .zip(&radii)
            .map(|(&alpha, &radius)| clipped(alpha, tau, u128::from(radius)))
            .collect();
        let rest = u128::from(WHOLE - moves.iter().sum::<u64>());
        for (point, share) in centre.iter_mut().enumerate() {
            let kept = ((u128::from(*share) * rest) >> SHARE_BITS) as u64;
            *share = kept + moves.get(point).copied().unwrap_or(0);
        }
    }
    let scores: Vec<u64> = radii[..n].iter().map(|&radius| radius >> DISTANCE_BITS).collect();
    Ok(Aggregation {
        values: mean::weighted(&points, &centre)?,
        per_update: uses_whole(centre[..n].iter().map(|&share| share > 0), Some(&scores)),
    })
}

/// α · min(1, τ / radius), rounded down: α < 2^39 and τ < radius < 2^57 when it divides.
fn clipped(alpha: u64, tau: u128, radius: u128) -> u64 {
    if radius <= tau {
        alpha
    } else {
        (u128::from(alpha) * tau / radius) as u64
    }
}

/// Squared distances between the rows and the centre, which comes last. A single iteration asks
/// only for the distances to the centre.
fn squared_distances(
    matrix: &Matrix<'_>,
    centre: Option<&[i32]>,
    iterations: u32,
) -> Result<Vec<u128>, OutOfRange> {
    if iterations > 1 {
        return pairwise(&matrix.with_point(centre));
    }
    let m = matrix.n() + 1;
    let mut distances = vec![0; m * m];
    for (i, distance) in to_point(matrix, centre)?.into_iter().enumerate() {
        distances[i * m + m - 1] = distance;
        distances[(m - 1) * m + i] = distance;
    }
    Ok(distances)
}
