//! Points in the span of the updates, known by their weights alone.
//!
//! The estimates of an iterative rule are weighted means z = Σ c_j·x_j / C with C = Σ c_j. Their
//! distances to the updates follow from the distances between updates,
//!
//! ```text
//! ‖x_i − z‖² = Σ_j c_j·D_ij / C − Σ_jk c_j·c_k·D_jk / (2·C²)
//! ```
//!
//! so that all iterations work on an n × n matrix of exact integers, and the d coordinates are
//! touched once for the distances and once for the final mean, which alone is rounded to the grid.

use crate::integer::isqrt_u128;

/// Binary digits of the weights' sum: C is 2^38, less at most one for each point.
pub(super) const SHARE_BITS: u32 = 38;
/// The whole.
pub(super) const WHOLE: u64 = 1 << SHARE_BITS;
/// Binary digits behind the point of the distances between updates and estimates.
pub(super) const DISTANCE_BITS: u32 = SHARE_BITS / 2;

/// Shares in proportion to `weights`, which are below 2^84 and not all zero: ⌊w_i · 2^38 / Σ w⌋.
pub(super) fn shares(weights: &[u128]) -> Vec<u64> {
    let total: u128 = weights.iter().sum();
    weights.iter().map(|&weight| ((weight << SHARE_BITS) / total) as u64).collect()
}

/// ⌊2^19 · ‖x_i − z‖⌋ for each of m points x_i, where z has the shares `shares` and `distances` are
/// the squared distances between the points, m × m.
pub(super) fn distances_to(distances: &[u128], shares: &[u64]) -> Vec<u64> {
    let m = shares.len();
    let whole: u128 = shares.iter().map(|&share| u128::from(share)).sum();
    // C · Σ_j c_j·D_ij / C: squared distances are below 2^74, so these are below 2^112.
    let spread: Vec<u128> = (0..m)
        .map(|i| (0..m).map(|j| u128::from(shares[j]) * distances[i * m + j]).sum())
        .collect();
    // ⌊Σ_i c_i · spread_i / (2·C)⌋, with quotients and remainders by C apart so that neither sum
    // overflows: below 2^112 and 2^76.
    let (quotients, remainders) =
        shares.iter().zip(&spread).fold((0u128, 0u128), |(quotients, remainders), (&c, &s)| {
            let c = u128::from(c);
            (quotients + c * (s / whole), remainders + c * (s % whole))
        });
    let common = quotients.midpoint(remainders / whole);
    spread
        .iter()
        .map(|&spread| {
            let scaled = spread.saturating_sub(common);
            let square =
                ((scaled / whole) << SHARE_BITS) + ((scaled % whole) << SHARE_BITS) / whole;
            isqrt_u128(square)
        })
        .collect()
}
