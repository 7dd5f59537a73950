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
use pulp::{Simd, WithSimd};

use super::matrix::Matrix;
use super::{blocks, simd, uses_whole, Aggregation, OutOfRange};
use crate::canonical::{is_in_range, VALUE_LIMIT};
use crate::integer::{div_half_even, gcd, CountDivider, WeightDivider, WEIGHT_TOTAL_FAST_MAX};

/// The weighted mean of each column.
pub(super) fn aggregate(matrix: &Matrix<'_>, weights: &[u64]) -> Result<Aggregation, OutOfRange> {
    let values = weighted(matrix, weights)?;
    Ok(Aggregation { values, per_update: uses_whole((0..matrix.n()).map(|_| true), None) })
}

/// The weighted mean of each column. Weights may be zero, but not all of them, and their sum fits
/// 64 bits.
pub(super) fn weighted(matrix: &Matrix<'_>, weights: &[u64]) -> Result<Vec<i32>, OutOfRange> {
    let common = weights.iter().fold(0, |common, &weight| gcd(common, weight));
    // Only the proportions matter, so that equal weights are all one.
    let weights: Vec<u64> = weights.iter().map(|&weight| weight / common).collect();
    let total: u64 = weights.iter().sum();
    let mut values = vec![0; matrix.d()];
    if weights.iter().all(|&weight| weight <= 1) && total <= MEMBERS_MAX as u64 {
        let divider = CountDivider::new(total as usize);
        blocks::fill(matrix, &mut values, |rows, out, _| {
            simd::run(Plain { rows: &weighing(rows, &weights), divider, out })
        })?;
    } else if total <= WEIGHT_TOTAL_FAST_MAX {
        let divider = WeightDivider::new(total);
        blocks::fill(matrix, &mut values, |rows, out, _| {
            simd::run(Weighted { rows: &weighing(rows, &weights), divider, out })
        })?;
    } else {
        blocks::fill(matrix, &mut values, |rows, out, _| {
            let rows = weighing(rows, &weights);
            for (column, out) in out.iter_mut().enumerate() {
                let terms = rows.iter();
                let sum: i128 =
                    terms.map(|(row, weight)| i128::from(*weight) * i128::from(row[column])).sum();
                *out = div_half_even(sum, i128::from(total)) as i32;
            }
            rows.iter().all(|(row, _)| row.iter().all(|value| is_in_range(*value)))
        })?;
    }
    Ok(values)
}

/// The rows that have a weight, with it.
fn weighing<'a>(rows: &[&'a [i32]], weights: &[u64]) -> Vec<(&'a [i32], u64)> {
    let all = rows.iter().copied().zip(weights.iter().copied());
    all.filter(|&(_, weight)| weight > 0).collect()
}

/// Means of a block with all weights one; whether all values are in range.
struct Plain<'a> {
    rows: &'a [(&'a [i32], u64)],
    divider: CountDivider,
    out: &'a mut [i32],
}

impl WithSimd for Plain<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        // The more rows in one go, the less often sums are read and written.
        let (eights, rest) = self.rows.as_chunks::<8>();
        let (fours, rest) = rest.as_chunks::<4>();
        let (twos, ones) = rest.as_chunks::<2>();
        let mut greatest = 0;
        eights.iter().for_each(|rows| greatest = greatest.max(add(rows, self.out)));
        fours.iter().for_each(|rows| greatest = greatest.max(add(rows, self.out)));
        twos.iter().for_each(|rows| greatest = greatest.max(add(rows, self.out)));
        ones.iter().for_each(|row| greatest = greatest.max(add(&[*row], self.out)));
        for sum in self.out.iter_mut() {
            *sum = self.divider.divide(*sum);
        }
        greatest < VALUE_LIMIT as u32
    }
}

/// Adds N rows to sums of values below 2^23 in magnitude, at most 128 of them; the greatest magnitude of
/// a value.
#[inline(always)]
fn add<const N: usize>(rows: &[(&[i32], u64); N], sums: &mut [i32]) -> u32 {
    let mut values = [&rows[0].0[..sums.len()]; N];
    for (values, &(row, _)) in values.iter_mut().zip(rows) {
        *values = &row[..sums.len()];
    }
    let mut greatest = 0;
    for (at, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for values in &values {
            total = total.wrapping_add(values[at]);
            greatest = greatest.max(values[at].unsigned_abs());
        }
        *sum = total;
    }
    greatest
}

/// Weighted means of a block; whether all values are in range.
struct Weighted<'a> {
    rows: &'a [(&'a [i32], u64)],
    divider: WeightDivider,
    out: &'a mut [i32],
}

/// Columns whose sums stay in a first-level cache.
const SPAN: usize = 1024;
/// Rows that are added in one go.
const ROWS: usize = 4;
/// Weights are cut at this bit into two factors below 2^20, so that a product takes one instruction.
const CUT_BITS: u32 = 19;

impl WithSimd for Weighted<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        let mut most = 0;
        // Each partial sum is below total · 2^23 < 2^62.
        let (mut high, mut low) = ([0i64; SPAN], [0i64; SPAN]);
        for (at, out) in self.out.chunks_mut(SPAN).enumerate() {
            let (high, low) = (&mut high[..out.len()], &mut low[..out.len()]);
            high.fill(0);
            low.fill(0);
            let columns = at * SPAN..at * SPAN + out.len();
            let mut groups = self.rows.chunks_exact(ROWS);
            for rows in &mut groups {
                let rows: &[_; ROWS] = rows.try_into().expect("the chunk has that length");
                most = most.max(add_weighted(rows, columns.clone(), high, low));
            }
            for row in groups.remainder() {
                most = most.max(add_weighted(&[*row], columns.clone(), high, low));
            }
            for ((out, &high), &low) in out.iter_mut().zip(&*high).zip(&*low) {
                *out = self.divider.divide((high << CUT_BITS).wrapping_add(low));
            }
        }
        most < VALUE_LIMIT as u32
    }
}

/// Adds some columns of N rows times the upper and the lower part of their weights; the greatest
/// magnitude of a value.
#[inline(always)]
fn add_weighted<const N: usize>(
    rows: &[(&[i32], u64); N],
    columns: std::ops::Range<usize>,
    high: &mut [i64],
    low: &mut [i64],
) -> u32 {
    let mut values = [&rows[0].0[columns.clone()]; N];
    let mut factors = [(0i32, 0i32); N];
    for (at, &(row, weight)) in rows.iter().enumerate() {
        values[at] = &row[columns.clone()];
        factors[at] = ((weight >> CUT_BITS) as i32, weight as i32 & ((1 << CUT_BITS) - 1));
    }
    let mut most = 0;
    for at in 0..columns.len() {
        let (mut upper, mut lower) = (high[at], low[at]);
        for (values, (high_factor, low_factor)) in values.iter().zip(factors) {
            let value = i64::from(values[at]);
            upper = upper.wrapping_add(value.wrapping_mul(i64::from(high_factor)));
            lower = lower.wrapping_add(value.wrapping_mul(i64::from(low_factor)));
            most = most.max(values[at].unsigned_abs());
        }
        (high[at], low[at]) = (upper, lower);
    }
    most
}
