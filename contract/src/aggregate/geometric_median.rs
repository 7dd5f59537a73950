//! Geometric median by the smoothed Weiszfeld algorithm (RFA).
//!
//! Formula: z⁰ = Σ α_i·x_i, then T times `z ← Σ β_i·x_i / Σ β_i` with `β_i = α_i / max(ν, ‖x_i − z‖)`.
//!
//! Symbols: x_i update i; α_i its weight, Σ α_i = 1; ν smoothing; T iterations.
//! Parameters: T = `iterations`, 1 to 64. ν is one quantum: distances below the grid's step say
//! nothing.
//! Precondition: n > 2f.
//! Reference: K. Pillutla, S. M. Kakade, Z. Harchaoui, "Robust Aggregation for Federated Learning",
//! IEEE Transactions on Signal Processing 70, 2022 (arXiv:1912.13445), algorithm 2.
//! Deviations: a fixed number of iterations without a stopping test; shares have 38 binary digits
//! and are rounded down, distances have 19 behind the point and are rounded down, and the estimates
//! are held by their shares (`span.rs`), so that only the last one is rounded to the grid, half to
//! even. With f ≥ 1 the weights should be capped below one half in total for any f members: the
//! breakdown point is a weight of one half.

use super::matrix::Matrix;
use super::pairs::pairwise;
use super::span::{distances_to, shares, DISTANCE_BITS};
use super::{mean, uses_whole, Aggregation, OutOfRange};

/// ν in units of 2^-19 quanta.
const SMOOTHING: u64 = 1 << DISTANCE_BITS;

/// The geometric median of the rows.
pub(super) fn aggregate(
    matrix: &Matrix<'_>,
    weights: &[u64],
    iterations: u32,
) -> Result<Aggregation, OutOfRange> {
    let distances = pairwise(matrix)?;
    let weights: Vec<u128> = weights.iter().map(|&weight| u128::from(weight)).collect();
    let initial = shares(&weights);
    let mut estimate = initial.clone();
    let mut radii = Vec::new();
    for _ in 0..iterations {
        radii = distances_to(&distances, &estimate);
        // α < 2^38 and the distance at least 2^19, so β < 2^83; distances are below 2^57, so that
        // β keeps at least 45 digits of a share of one.
        let pulls: Vec<u128> = initial
            .iter()
            .zip(&radii)
            .map(|(&alpha, &radius)| (u128::from(alpha) << 64) / u128::from(radius.max(SMOOTHING)))
            .collect();
        estimate = shares(&pulls);
    }
    let scores: Vec<u64> = radii.iter().map(|&radius| radius >> DISTANCE_BITS).collect();
    Ok(Aggregation {
        values: mean::weighted(matrix, &estimate)?,
        per_update: uses_whole(estimate.iter().map(|&share| share > 0), Some(&scores)),
    })
}
