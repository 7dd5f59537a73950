//! Measures of updates that are evidence, not weights: similarity as FoolsGold has it, and the
//! direction and sign metrics of AlignIns.

use std::cmp::Reverse;

use ndarray::ArrayView2;

use super::measures::{cosine_of, norms_squared, pairwise_distances_squared};
use super::{cosine_micro, rows_contiguous, rows_of};

/// Cosines of the angles between every two rows of `updates` (n × d) in millionths, rounded toward
/// zero: n × n, row-major, symmetric, 1,000,000 on the diagonal. A zero row has cosine 0 with every
/// other row.
///
/// # Panics
/// When a value has a magnitude of 2^24 or more.
pub fn cosines_micro(updates: ArrayView2<'_, i32>) -> Vec<i64> {
    let n = updates.nrows();
    let distances = pairwise_distances_squared(updates);
    let norms = norms_squared(updates);
    (0..n * n)
        .map(|at| {
            let (i, j) = (at / n, at % n);
            // ‖a − b‖² = ‖a‖² + ‖b‖² − 2·⟨a, b⟩, exactly.
            let twice_product = (norms[i] + norms[j]) as i128 - distances[at] as i128;
            if i == j {
                1_000_000
            } else {
                cosine_of(twice_product / 2, norms[i], norms[j])
            }
        })
        .collect()
}

/// FoolsGold's similarity of members, as edges of a graph.
///
/// Formula: cs_ij = cos(∠(h_i, h_j)); v_i = max_j≠i cs_ij; where v_j > v_i, cs_ij is "pardoned" to
/// cs_ij·v_i/v_j.
///
/// Symbols: h_i the sum of member i's updates over the rounds (n × d, `histories`).
/// Result: n × n in millionths, row-major, zero on the diagonal; row i is what speaks against i.
/// Reference: C. Fung, C. J. M. Yoon, I. Beschastnikh, "The Limitations of Federated Learning in
/// Sybil Settings", RAID 2020.
/// Deviations: the edges alone, without the weights 1 − max_j cs_ij and their logit: similarity of
/// two honest institutions is no fault. Maxima that are not positive are not pardoned by. Quotients
/// are rounded toward zero. No feature weights.
///
/// # Panics
/// When a value has a magnitude of 2^24 or more.
pub fn foolsgold_similarity_micro(histories: ArrayView2<'_, i32>) -> Vec<i64> {
    let n = histories.nrows();
    let cosines = cosines_micro(histories);
    let greatest: Vec<i64> = (0..n)
        .map(|i| (0..n).filter(|&j| j != i).map(|j| cosines[i * n + j]).max().unwrap_or(0))
        .collect();
    (0..n * n)
        .map(|at| {
            let (i, j) = (at / n, at % n);
            if i == j {
                0
            } else if greatest[j] > greatest[i] && greatest[i] > 0 {
                cosines[at] * greatest[i] / greatest[j]
            } else {
                cosines[at]
            }
        })
        .collect()
}

/// AlignIns' metrics of one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alignment {
    /// Temporal direction alignment: the cosine of the update's angle to the model in millionths,
    /// rounded toward zero.
    pub direction_micro: i64,
    /// Masked principal sign alignment: the share, in millionths rounded down, of the update's
    /// largest values whose sign is the one that most updates have there.
    pub sign_share_micro: u32,
}

/// AlignIns' metrics of each row of `updates` (n × d).
///
/// Formula: TDA_i = cos(∠(x_i, w)); p_k = sgn(Σ_j sgn(x_jk)); MPSA_i = the share of the k among the
/// `top` greatest |x_ik| with sgn(x_ik) = p_k.
///
/// Symbols: x_i update i; w the model that the round started from; p_k principal sign.
/// Parameters: `top`, 1 to d: how many values count.
/// Reference: J. Xu, Z. Zhang, R. Hu, "Detecting Backdoor Attacks in Federated Learning via Direction
/// Alignment Inspection", CVPR 2025.
/// Deviations: of equal magnitudes the lower column counts. The metrics alone; what to make of them
/// is the caller's part.
///
/// # Panics
/// When `model` does not have d values, or `top` is not 1 to d.
pub fn alignments(updates: ArrayView2<'_, i32>, model: &[i32], top: usize) -> Vec<Alignment> {
    let d = updates.ncols();
    assert_eq!(model.len(), d, "the model has one value for each parameter");
    assert!((1..=d).contains(&top), "expected 1 to {d} values, found {top}");
    let matrix = rows_contiguous(updates);
    let rows = rows_of(&matrix);
    let mut principal = vec![0i32; d];
    for row in &rows {
        principal.iter_mut().zip(*row).for_each(|(sum, value)| *sum += value.signum());
    }
    let sign_share = |row: &[i32]| {
        let mut order: Vec<usize> = (0..d).collect();
        let largest = |&column: &usize| (Reverse(row[column].unsigned_abs()), column);
        order.select_nth_unstable_by_key(top - 1, largest);
        let agree = |&&column: &&usize| row[column].signum() == principal[column].signum();
        (order[..top].iter().filter(agree).count() as u64 * 1_000_000 / top as u64) as u32
    };
    rows.iter()
        .map(|row| Alignment {
            direction_micro: cosine_micro(row, model),
            sign_share_micro: sign_share(row),
        })
        .collect()
}
