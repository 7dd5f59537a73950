//! Squared distances between every two rows, exact.
//!
//! ‖x − y‖² = ‖x‖² + ‖y‖² − 2·⟨x, y⟩ loses the difference of close vectors in floats, but not in
//! integers. Moving all rows by 2^24 changes no distance and makes every value positive, so that a
//! product is that of two 32-bit halves, which vectors of 64-bit lanes have an instruction for.
//! Magnitudes up to 2^24, as differences of updates have them, give products up to 2^50 and sums
//! over a block up to 2^62.

use std::array::from_fn;

use pulp::{Simd, WithSimd};

use super::blocks;
use super::matrix::Matrix;
use super::{simd, OutOfRange};
use crate::canonical::VALUE_LIMIT;

/// What all values are moved by.
const SHIFT: u32 = 1 << 24;
/// Columns that are multiplied in one go: 25 rows of them fill most of a first-level cache.
const SPAN: usize = 128;
/// Rows and columns of a tile of products that is summed in registers.
const TILE_ROWS: usize = 4;
const TILE_COLUMNS: usize = 3;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Wide([u64; SPAN]);

/// ‖x_i − x_j‖²: n × n, row-major, symmetric, zero on the diagonal.
pub(super) fn pairwise(matrix: &Matrix<'_>) -> Result<Vec<u128>, OutOfRange> {
    pairwise_below(matrix, VALUE_LIMIT.unsigned_abs())
}

/// The same for values below `limit` in magnitude, which is at most 2^24.
pub(super) fn pairwise_below(matrix: &Matrix<'_>, limit: u32) -> Result<Vec<u128>, OutOfRange> {
    assert!(limit <= SHIFT, "at most 2^24");
    let n = matrix.n();
    let products = blocks::sum(matrix, n * n, |rows, totals| {
        let mut sums = vec![0; n * n];
        let greatest = simd::run(Products { rows, sums: &mut sums });
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += u128::from(sum));
        greatest < limit
    })?;
    let mut distances = vec![0; n * n];
    for i in 0..n {
        for j in i + 1..n {
            let distance = products[i * n + i] + products[j * n + j] - 2 * products[i * n + j];
            distances[i * n + j] = distance;
            distances[j * n + i] = distance;
        }
    }
    Ok(distances)
}

/// Adds ⟨x_i + 2^24, x_j + 2^24⟩ of a block to `sums` (n × n), at and above the diagonal; the
/// greatest magnitude of a value.
struct Products<'a> {
    rows: &'a [&'a [i32]],
    sums: &'a mut [u64],
}

impl WithSimd for Products<'_> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u32 {
        let Self { rows, sums } = self;
        let n = rows.len();
        let d = rows.first().map_or(0, |row| row.len());
        let mut wide = vec![Wide([0; SPAN]); n];
        let mut greatest = 0;
        for from in (0..d).step_by(SPAN) {
            for (wide, row) in wide.iter_mut().zip(rows) {
                greatest = greatest.max(widen(&row[from..d.min(from + SPAN)], wide));
            }
            for i in (0..n).step_by(TILE_ROWS) {
                let left: [&Wide; TILE_ROWS] = from_fn(|t| &wide[(i + t).min(n - 1)]);
                // From the diagonal on; what a tile has beyond the last row is left out below.
                for j in (i..n).step_by(TILE_COLUMNS) {
                    let right: [&Wide; TILE_COLUMNS] = from_fn(|t| &wide[(j + t).min(n - 1)]);
                    for (i, row) in (i..n).zip(multiply(left, right)) {
                        for (j, sum) in (j..n).zip(row) {
                            sums[i * n + j] = sums[i * n + j].wrapping_add(sum);
                        }
                    }
                }
            }
        }
        greatest
    }
}

/// Moves up to `SPAN` values, the rest being zeros; their greatest magnitude.
#[inline(always)]
fn widen(values: &[i32], wide: &mut Wide) -> u32 {
    let mut greatest = 0;
    if let Ok(values) = <&[i32; SPAN]>::try_from(values) {
        for (wide, &value) in wide.0.iter_mut().zip(values) {
            greatest = greatest.max(value.unsigned_abs());
            *wide = u64::from((value as u32).wrapping_add(SHIFT));
        }
    } else {
        wide.0.fill(0);
        for (wide, &value) in wide.0.iter_mut().zip(values) {
            greatest = greatest.max(value.unsigned_abs());
            *wide = u64::from((value as u32).wrapping_add(SHIFT));
        }
    }
    greatest
}

/// The products of a tile. Masked to 32 bits, so that one multiplication of halves is all it takes.
#[inline(always)]
fn multiply(
    left: [&Wide; TILE_ROWS],
    right: [&Wide; TILE_COLUMNS],
) -> [[u64; TILE_COLUMNS]; TILE_ROWS] {
    const HALF: u64 = u32::MAX as u64;
    let mut sums = [[0u64; TILE_COLUMNS]; TILE_ROWS];
    for k in 0..SPAN {
        for (sums, left) in sums.iter_mut().zip(left) {
            for (sum, right) in sums.iter_mut().zip(right) {
                let product = (left.0[k] & HALF).wrapping_mul(right.0[k] & HALF);
                *sum = sum.wrapping_add(product);
            }
        }
    }
    sums
}
