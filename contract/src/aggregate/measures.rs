//! Norms, distances and angles, exact.

use ndarray::ArrayView2;

use super::{blocks, rows_contiguous, rows_of};
use crate::integer::wide_mul;

/// Σ q² of each row of `updates` (n × d), in squared quanta.
pub fn norms_squared(updates: ArrayView2<'_, i32>) -> Vec<u128> {
    let matrix = rows_contiguous(updates);
    let rows = rows_of(&matrix);
    blocks::sum(&rows, rows.len(), |rows, totals| {
        for (total, row) in totals.iter_mut().zip(rows) {
            let block = row.iter().fold(0u64, |sum, &q| {
                let magnitude = u64::from(q.unsigned_abs());
                sum.wrapping_add(magnitude.wrapping_mul(magnitude))
            });
            *total += u128::from(block);
        }
    })
}

/// ‖x_i − centre‖² of each row of `updates` (n × d), in squared quanta.
///
/// # Panics
/// When `centre` does not have d values.
pub fn distances_squared_to(updates: ArrayView2<'_, i32>, centre: &[i32]) -> Vec<u128> {
    assert_eq!(centre.len(), updates.ncols(), "the centre has one value for each parameter");
    let matrix = rows_contiguous(updates);
    to_point(&rows_of(&matrix), centre)
}

/// ‖x_i − x_j‖² of every two rows of `updates` (n × d), in squared quanta: n × n, row-major,
/// symmetric, zero on the diagonal.
pub fn pairwise_distances_squared(updates: ArrayView2<'_, i32>) -> Vec<u128> {
    let matrix = rows_contiguous(updates);
    pairwise(&rows_of(&matrix))
}

/// Distances of rows to a point.
pub(super) fn to_point(rows: &[&[i32]], point: &[i32]) -> Vec<u128> {
    let with_point: Vec<&[i32]> = rows.iter().copied().chain([point]).collect();
    blocks::sum(&with_point, rows.len(), |rows, totals| {
        let (point, rows) = rows.split_last().expect("the point is the last row");
        for (total, row) in totals.iter_mut().zip(rows) {
            *total += u128::from(block_distance(row, point));
        }
    })
}

/// Distances of every two rows.
pub(super) fn pairwise(rows: &[&[i32]]) -> Vec<u128> {
    let n = rows.len();
    let mut all = blocks::sum(rows, n * n, |rows, totals| {
        for i in 0..n {
            for j in i + 1..n {
                totals[i * n + j] += u128::from(block_distance(rows[i], rows[j]));
            }
        }
    });
    for i in 0..n {
        for j in 0..i {
            all[i * n + j] = all[j * n + i];
        }
    }
    all
}

/// Squared distance over one block: at most 2^10 squares below 2^48.
#[inline]
fn block_distance(a: &[i32], b: &[i32]) -> u64 {
    a.iter().zip(b).fold(0u64, |sum, (&a, &b)| {
        // Unsigned and below 2^24, so that the product of two 32-bit halves is the square.
        let difference = u64::from(a.abs_diff(b));
        sum.wrapping_add(difference.wrapping_mul(difference))
    })
}

/// The cosine of the angle between two vectors in millionths, rounded toward zero: the sign of
/// ⟨a, b⟩ and the greatest c with c²·‖a‖²·‖b‖² ≤ 10^12·⟨a, b⟩². Zero when either vector is zero.
///
/// # Panics
/// When the lengths differ.
pub fn cosine_micro(a: &[i32], b: &[i32]) -> i64 {
    assert_eq!(a.len(), b.len(), "both vectors have one value for each parameter");
    let dot = |a: &[i32], b: &[i32]| -> i128 {
        let blocks = a.chunks(blocks::BLOCK).zip(b.chunks(blocks::BLOCK));
        blocks
            .map(|(a, b)| {
                // At most 2^10 products below 2^46.
                let sum = a.iter().zip(b).fold(0i64, |sum, (&a, &b)| {
                    sum.wrapping_add(i64::from(a).wrapping_mul(i64::from(b)))
                });
                i128::from(sum)
            })
            .sum()
    };
    let (product, a_square, b_square) = (dot(a, b), dot(a, a), dot(b, b));
    if a_square == 0 || b_square == 0 {
        return 0;
    }
    let magnitude = product.unsigned_abs();
    // Squares are below 2^72, so c²·‖a‖² and 10^12·|⟨a, b⟩| are below 2^112.
    let right = wide_mul(magnitude * 1_000_000_000_000, magnitude);
    let fits = |c: u64| {
        let square = u128::from(c) * u128::from(c);
        wide_mul(square * a_square.unsigned_abs(), b_square.unsigned_abs()) <= right
    };
    let (mut low, mut high) = (0u64, 1_000_000u64);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if product < 0 {
        -(low as i64)
    } else {
        low as i64
    }
}
