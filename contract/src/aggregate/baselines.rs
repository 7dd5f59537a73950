//! Scores of updates by what a statistician would try first: Mahalanobis distance, and the error of
//! reconstructing an update from the principal components of the round. The contract decides
//! nothing by them; the laboratory holds the contract against them.

use ndarray::ArrayView2;

use super::measures::pairwise_distances_squared;
use super::spectral::{centred, shifted, top, WEIGHT_ONE};

/// Binary digits behind the point of the matrix that is inverted.
const POINT_BITS: u32 = 40;

/// The squared Mahalanobis distance of each row of `updates` (n × d) from their mean, in millionths,
/// rounded down; 0 to n.
///
/// Formula: `m_i² = (x_i − μ)ᵀ·(S + λ·I)⁻¹·(x_i − μ)` with `S = 1/n·Σ (x_j − μ)(x_j − μ)ᵀ` and
/// `λ = ρ·tr(S)/n`.
///
/// Symbols: x_i update i; μ the mean; S the covariance; λ ridge, without which S has no inverse
/// where n ≤ d.
/// Parameters: ρ = `ridge_milli` / 1000, 1 to 1,000,000 thousandths.
/// Reference: P. C. Mahalanobis, "On the generalised distance in statistics", Proceedings of the
/// National Institute of Sciences of India 2, 1936; the ridge as in O. Ledoit, M. Wolf, "A
/// well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate
/// Analysis 88, 2004.
/// Deviations: computed in the n × n products K of the centred updates, where
/// `m_i² = n·(1 − [(I + K/(n·λ))⁻¹]_ii)`; the inverse has 40 binary digits behind the point.
///
/// # Panics
/// When `ridge_milli` is out of range, or a value has a magnitude of 2^24 or more.
pub fn mahalanobis_squared_micro(updates: ArrayView2<'_, i32>, ridge_milli: u32) -> Vec<u64> {
    assert!((1..=1_000_000).contains(&ridge_milli), "the ridge is 1 to 1,000,000 thousandths");
    let n = updates.nrows();
    let products = centred_products(updates);
    let trace: i128 = (0..n).map(|i| products[i * n + i]).sum();
    if trace <= 0 {
        return vec![0; n];
    }
    // n·λ = ρ·tr(K)/n, so K/(n·λ) = K·n·1000/(ρ·tr(K)): below 2^56·2^17·2^40 before the division.
    let scale = |product: i128| {
        ((product * n as i128 * 1000) << POINT_BITS).div_euclid(trace * i128::from(ridge_milli))
    };
    let one = 1i128 << POINT_BITS;
    let matrix =
        (0..n * n).map(|at| scale(products[at]) + if at / n == at % n { one } else { 0 }).collect();
    let inverse = invert(matrix, n);
    (0..n)
        .map(|i| {
            let leverage = (one - inverse[i * n + i]).clamp(0, one);
            ((leverage * n as i128 * 1_000_000) >> POINT_BITS) as u64
        })
        .collect()
}

/// The squared error of each row of `updates` (n × d) less its best approximation by `components`
/// principal components, in millionths of the mean squared distance from the mean.
///
/// Formula: `e_i² = ‖x_i − μ‖² − Σ_r ⟨x_i − μ, v_r⟩²`, v_r being the r-th unit direction of greatest
/// variance.
///
/// Symbols: x_i update i; μ the mean.
/// Parameters: `components`, as many as there are at most.
/// Reference: I. T. Jolliffe, "Principal Component Analysis", 2nd edition, Springer 2002, chapter 10
/// (outliers by the last components).
/// Deviations: directions by power iteration and deflation in the n × n products (`spectral.rs`),
/// so that close variances may share a component; errors are rounded down and not negative.
///
/// # Panics
/// When a value has a magnitude of 2^24 or more.
pub fn reconstruction_error_micro(updates: ArrayView2<'_, i32>, components: usize) -> Vec<u64> {
    let n = updates.nrows();
    let mut products = centred_products(updates);
    let trace: i128 = (0..n).map(|i| products[i * n + i]).sum();
    if trace <= 0 {
        return vec![0; n];
    }
    let weights = vec![WEIGHT_ONE; n];
    for _ in 0..components.min(n) {
        let Some(direction) = top(&products, &weights) else { break };
        for (at, product) in products.iter_mut().enumerate() {
            *product -=
                direction.part(direction.projections[at / n], direction.projections[at % n]);
        }
    }
    (0..n).map(|i| (products[i * n + i].max(0) * n as i128 * 1_000_000 / trace) as u64).collect()
}

fn centred_products(updates: ArrayView2<'_, i32>) -> Vec<i128> {
    let distances = shifted(&pairwise_distances_squared(updates));
    centred(&distances, &vec![WEIGHT_ONE; updates.nrows()])
}

/// The inverse of a symmetric matrix whose eigenvalues are at least 1, by Gauss and Jordan without
/// pivoting, which such a matrix does not need: every pivot is at least 1.
fn invert(mut matrix: Vec<i128>, n: usize) -> Vec<i128> {
    let one = 1i128 << POINT_BITS;
    let mut inverse: Vec<i128> =
        (0..n * n).map(|at| if at / n == at % n { one } else { 0 }).collect();
    for pivot in 0..n {
        let by = matrix[pivot * n + pivot].max(one);
        for side in [&mut matrix, &mut inverse] {
            for value in &mut side[pivot * n..][..n] {
                *value = (*value << POINT_BITS).div_euclid(by);
            }
        }
        for row in (0..n).filter(|&row| row != pivot) {
            let factor = matrix[row * n + pivot];
            for side in [&mut matrix, &mut inverse] {
                for column in 0..n {
                    side[row * n + column] -= (factor * side[pivot * n + column]) >> POINT_BITS;
                }
            }
        }
    }
    inverse
}
