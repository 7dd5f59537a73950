//! Squared distances between every two rows, exact.
//!
//! ‖x − y‖² = ‖x‖² + ‖y‖² − 2·⟨x, y⟩ loses the difference of close vectors in floats, but not in
//! integers. Products come from `products.rs`, piece by piece. Magnitudes below 2^24, as differences
//! of updates have them, give squared differences below 2^50 and sums over a piece of at most 2^14
//! columns below 2^64.

use super::blocks;
use super::matrix::Matrix;
use super::products::add_products;
use super::OutOfRange;
use crate::canonical::VALUE_LIMIT;

/// ‖x_i − x_j‖²: n × n, row-major, symmetric, zero on the diagonal.
pub(super) fn pairwise(matrix: &Matrix<'_>) -> Result<Vec<u128>, OutOfRange> {
    if let Some(known) = matrix.distances() {
        return Ok(known.to_vec());
    }
    pairwise_below(matrix, VALUE_LIMIT.unsigned_abs())
}

/// The same for values below `limit` in magnitude, which is at most 2^24.
pub(super) fn pairwise_below(matrix: &Matrix<'_>, limit: u32) -> Result<Vec<u128>, OutOfRange> {
    assert!(limit <= 1 << 24, "at most 2^24");
    let n = matrix.n();
    let mut distances =
        blocks::sum(matrix, n * n, |rows, totals| add_distances(rows, totals) < limit)?;
    mirror(&mut distances, n);
    Ok(distances)
}

/// Adds ‖x_i − x_j‖² over at most 2^14 columns to `totals` (n × n), above the diagonal; the
/// greatest magnitude of a value. With one of 2^24 or more the totals mean nothing.
pub(super) fn add_distances(rows: &[&[i32]], totals: &mut [u128]) -> u32 {
    assert!(rows.first().is_none_or(|row| row.len() <= 1 << 14), "at most 2^14 columns");
    let n = rows.len();
    let mut products = vec![0i64; n * n];
    let greatest = add_products(rows, &mut products);
    for i in 0..n {
        for j in i + 1..n {
            let norms = products[i * n + i].wrapping_add(products[j * n + j]);
            let distance = norms.wrapping_sub(products[i * n + j].wrapping_mul(2));
            totals[i * n + j] += u128::from(distance as u64);
        }
    }
    greatest
}

/// Copies what is above the diagonal below it.
pub(super) fn mirror(distances: &mut [u128], n: usize) {
    for i in 0..n {
        for j in 0..i {
            distances[i * n + j] = distances[j * n + i];
        }
    }
}
