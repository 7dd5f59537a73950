//! Weighted arithmetic mean.
//!
//! Formula: `y_k = Σ_i w_i·x_ik / Σ_i w_i`, rounded half to even.
//!
//! Symbols: x_ik value k of update i; w_i positive integer weight of update i.
//! Parameters: none.
//! Precondition: n ≥ 1. It withstands no Byzantine update: it is the undefended baseline.
//! Reference: B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas,
//! "Communication-Efficient Learning of Deep Networks from Decentralized Data" (FedAvg), AISTATS
//! 2017, algorithm 1.
//! Deviations: the rounding to the grid. Weights are whatever the caller decided on; a declared
//! number of examples should be capped before it becomes one, or a declaration buys the model.

use fedledger_ledger::limits::MEMBERS_MAX;

use super::blocks;
use super::{uses_whole, Aggregation};
use crate::integer::{div_half_even, gcd, CountDivider, WeightDivider, WEIGHT_TOTAL_FAST_MAX};

/// The weighted mean of each column.
pub(super) fn aggregate(rows: &[&[i32]], weights: &[u64]) -> Aggregation {
    let values = weighted(rows, weights);
    Aggregation { values, per_update: uses_whole(rows.iter().map(|_| true), None) }
}

/// The weighted mean of each column. Weights may be zero, but not all of them, and their sum fits
/// 64 bits.
pub(super) fn weighted(rows: &[&[i32]], weights: &[u64]) -> Vec<i32> {
    let used: Vec<usize> = (0..rows.len()).filter(|&row| weights[row] > 0).collect();
    let rows: Vec<&[i32]> = used.iter().map(|&row| rows[row]).collect();
    let common = used.iter().fold(0, |common, &row| gcd(common, weights[row]));
    // Only the proportions matter, so that equal weights are all one.
    let weights: Vec<u64> = used.iter().map(|&row| weights[row] / common).collect();
    let total: u64 = weights.iter().sum();
    let mut values = vec![0; rows[0].len()];
    if weights.iter().all(|&weight| weight == 1) && rows.len() <= MEMBERS_MAX {
        let divider = CountDivider::new(rows.len());
        blocks::fill(&rows, &mut values, |rows, out, _| {
            for row in rows {
                for (sum, &q) in out.iter_mut().zip(*row) {
                    *sum = sum.wrapping_add(q);
                }
            }
            for sum in out {
                *sum = divider.divide(*sum);
            }
        });
    } else if total <= WEIGHT_TOTAL_FAST_MAX {
        let divider = WeightDivider::new(total);
        blocks::fill(&rows, &mut values, |rows, out, _| {
            // Each partial sum is below total · 2^23 < 2^62.
            let mut sums = [0i64; blocks::BLOCK];
            for (row, &weight) in rows.iter().zip(&weights) {
                for (sum, &q) in sums.iter_mut().zip(*row) {
                    *sum = sum.wrapping_add((weight as i64).wrapping_mul(i64::from(q)));
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = divider.divide(sum);
            }
        });
    } else {
        blocks::fill(&rows, &mut values, |rows, out, _| {
            for (column, out) in out.iter_mut().enumerate() {
                let terms = rows.iter().zip(&weights);
                let sum: i128 =
                    terms.map(|(row, &weight)| i128::from(weight) * i128::from(row[column])).sum();
                *out = div_half_even(sum, i128::from(total)) as i32;
            }
        });
    }
    values
}
