//! Divide and conquer (DnC).
//!
//! Formula: T times, take b of the d coordinates, the mean μ of the updates in them, and the
//! direction v of their greatest variance; remove the r updates of greatest `⟨x_i − μ, v⟩²`. The
//! aggregate is the weighted mean, in all coordinates, of the updates that were never removed.
//!
//! Symbols: x_i update i; n updates; f of them Byzantine; T iterations; b sampled coordinates.
//! Parameters: b = `coordinates`, 1 to 100,000, all of them when absent; T = `iterations`, 1 to 16;
//! r = ⌊f · `removed_milli` / 1000⌋, with `removed_milli` 1 to 2,000 (the paper's c).
//! Precondition: n > 2f, r < n.
//! Reference: V. Shejwalkar, A. Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning
//! Attacks and Defenses for Federated Learning", NDSS 2021.
//! Deviations: coordinates are drawn with replacement from the round's public seed, so that all
//! nodes draw the same; with all coordinates the iterations are equal, and one is made. The
//! direction comes from 32 power steps in the inner products (`spectral.rs`). Of equal projections
//! the lower row stays. When every update was removed at some time, those removed least often are
//! averaged. The mean is weighted and rounded half to even. The score of an update is how often it
//! was removed.

use rayon::prelude::*;

use super::matrix::Matrix;
use super::pairs::pairwise;
use super::spectral::{centred, shifted, top, WEIGHT_ONE};
use super::{mean, sample, uses_whole, Aggregation, OutOfRange};
use crate::draw::splitmix64;

/// r: how many updates an iteration removes.
pub(super) fn removed(f: usize, removed_milli: u32) -> usize {
    (f as u128 * u128::from(removed_milli) / 1000) as usize
}

/// The rule's parameters.
pub(super) struct Parameters {
    pub(super) coordinates: Option<u32>,
    pub(super) iterations: u32,
    /// r.
    pub(super) removed: usize,
}

/// The mean of the updates that were not removed.
pub(super) fn aggregate(
    matrix: &Matrix<'_>,
    weights: &[u64],
    parameters: &Parameters,
    round_seed: u64,
) -> Result<Aggregation, OutOfRange> {
    let n = matrix.n();
    let mut times = vec![0u64; n];
    let sampled = parameters.coordinates.filter(|&count| (count as usize) < matrix.d());
    if let Some(count) = sampled {
        let draw = |iteration: u32| -> Vec<usize> {
            let draw = splitmix64(round_seed, u64::from(iteration));
            (0..u64::from(count)).map(|at| column(draw, at, matrix.d())).collect()
        };
        let draws: Vec<Vec<usize>> = (0..parameters.iterations).into_par_iter().map(draw).collect();
        let outliers: Vec<Vec<usize>> = sample::pairwise(matrix, &draws)?
            .par_iter()
            .map(|distances| outliers(distances, n, parameters.removed))
            .collect();
        outliers.into_iter().flatten().for_each(|row| times[row] += 1);
    } else {
        outliers(&pairwise(matrix)?, n, parameters.removed)
            .into_iter()
            .for_each(|row| times[row] += 1);
    }
    let fewest = times.iter().copied().min().unwrap_or(0);
    let kept: Vec<bool> = times.iter().map(|&count| count == fewest).collect();
    let masked: Vec<u64> =
        kept.iter().zip(weights).map(|(&kept, &weight)| if kept { weight } else { 0 }).collect();
    // The mean looks at the values of the rows that are kept, and nothing has at the others' yet.
    matrix.check(|row| !kept[row])?;
    Ok(Aggregation {
        values: mean::weighted(matrix, &masked)?,
        per_update: uses_whole(kept.into_iter(), Some(&times)),
    })
}

/// The `at`-th column of a draw: the high half of a product, which is as even as 64 bits are.
fn column(draw: u64, at: u64, d: usize) -> usize {
    ((u128::from(splitmix64(draw, at)) * d as u128) >> 64) as usize
}

/// The `removed` rows that project most on the direction of greatest variance.
fn outliers(distances: &[u128], n: usize, removed: usize) -> Vec<usize> {
    let weights = vec![WEIGHT_ONE; n];
    let products = centred(&shifted(distances), &weights);
    let Some(direction) = top(&products, &weights) else { return Vec::new() };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&row| std::cmp::Reverse((direction.projections[row].unsigned_abs(), row)));
    order.truncate(removed);
    order
}
