//! Spectral filter and trimmed mean ("TM++", fedledger's own combination).
//!
//! Formula: weights c_i start at 1. A step takes the weighted mean μ, the direction v of greatest
//! weighted variance λ and `τ_i = ⟨x_i − μ, v⟩²`, and sets `c_i ← c_i·(1 − τ_i / max τ)`. Of the
//! weights met, those of least λ count: updates with c_i < 1/2, but at most 2f of them, are left
//! out, and the others go through the coordinate-wise trimmed mean that trims max(f − r, 0) values
//! on each side, r being the number left out.
//!
//! Symbols: x_i update i; n updates; f of them Byzantine; r left out.
//! Parameters: `iterations`, 1 to 128, is the most steps. Weights of members are ignored.
//! Precondition: n > 2f.
//! Reference: the filter is the covariance-bound agnostic one of Y. Allouah, R. Guerraoui,
//! J. Stephan, "Towards Trustworthy Federated Learning with Untrusted Participants", ICML 2025, after
//! I. Diakonikolas, G. Kamath, D. Kane, J. Li, A. Moitra, A. Stewart, "Robust Estimators in
//! High-Dimensions without the Computational Intractability", SIAM Journal on Computing 48, 2019; the
//! trimmed mean that of `trimmed_mean.rs`. The combination is ours and has no paper.
//! Deviations: the filter's papers return μ; here its weights only choose. A step that would leave
//! a total weight below n − 2f is not taken. The direction comes from 32 power steps in the inner
//! products (`spectral.rs`); weights have 20 binary digits and are rounded down; of equal weights
//! the lower row stays.

use super::columns::{mean_of_window, Window};
use super::matrix::Matrix;
use super::pairs::pairwise;
use super::spectral::{centred, shifted, top, WEIGHT_ONE};
use super::{uses_of_counts, Aggregation, OutOfRange};

/// The trimmed mean of what the filter leaves.
pub(super) fn aggregate(
    matrix: &Matrix<'_>,
    f: usize,
    iterations: u32,
) -> Result<Aggregation, OutOfRange> {
    let n = matrix.n();
    let weights = filter(&shifted(&pairwise(matrix)?), n, f, iterations);
    let mut doubtful: Vec<usize> = (0..n).filter(|&row| weights[row] < WEIGHT_ONE / 2).collect();
    doubtful.sort_by_key(|&row| (weights[row], std::cmp::Reverse(row)));
    doubtful.truncate(2 * f);
    let kept: Vec<usize> = (0..n).filter(|row| !doubtful.contains(row)).collect();
    let trimmed = f.saturating_sub(doubtful.len());
    let window = Window::Ranks { lowest: trimmed, highest: kept.len() - 1 - trimmed };
    let (values, counts) = mean_of_window(&matrix.picked(&kept), window)?;
    let mut all_counts = vec![0; n];
    for (&row, count) in kept.iter().zip(counts) {
        all_counts[row] = count;
    }
    let per_update = uses_of_counts(&all_counts, values.len(), None);
    Ok(Aggregation { values, per_update })
}

/// The weights of least variance.
fn filter(distances: &[i128], n: usize, f: usize, iterations: u32) -> Vec<u64> {
    let enough = (n - 2 * f) as u64 * WEIGHT_ONE;
    let mut weights = vec![WEIGHT_ONE; n];
    let mut best: Option<(u128, Vec<u64>)> = None;
    for step in 0..=iterations {
        let products = centred(distances, &weights);
        let Some(direction) = top(&products, &weights) else { return weights };
        if best.as_ref().is_none_or(|(variance, _)| direction.variance < *variance) {
            best = Some((direction.variance, weights.clone()));
        }
        let squares: Vec<u128> = direction
            .projections
            .iter()
            .zip(&weights)
            .map(|(p, &weight)| if weight == 0 { 0 } else { u128::from(p.unsigned_abs()).pow(2) })
            .collect();
        let greatest = squares.iter().copied().max().unwrap_or(0);
        if step == iterations || greatest == 0 {
            break;
        }
        // Weights are at most 2^20 and squares at most 2^96.
        let next: Vec<u64> = weights
            .iter()
            .zip(squares)
            .map(|(&weight, square)| (u128::from(weight) * (greatest - square) / greatest) as u64)
            .collect();
        if next.iter().sum::<u64>() < enough {
            break;
        }
        weights = next;
    }
    best.expect("the first step gave one").1
}
