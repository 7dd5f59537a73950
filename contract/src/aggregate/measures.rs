//! Norms, distances and angles, exact.

use ndarray::ArrayView2;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::Matrix;
use super::{blocks, pairs, rows_contiguous, rows_of, simd, OutOfRange};
use crate::canonical::VALUE_LIMIT;
use crate::integer::wide_mul;

/// Columns whose squares and products are summed in 64 bits: 2^14 of them, each below 2^46.
const SPAN: usize = 1 << 14;

/// Σ q² of each row of `updates` (n × d), in squared quanta.
///
/// # Panics
/// When a value has a magnitude of 2^24 or more: updates and their differences have not.
pub fn norms_squared(updates: ArrayView2<'_, i32>) -> Vec<u128> {
    let matrix = rows_contiguous(updates);
    distances(&Matrix::new(rows_of(&matrix)), None, DIFFERENCE_LIMIT).expect(IN_RANGE)
}

/// How a vector lies to another, the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearing {
    /// ‖x − centre‖², in squared quanta.
    pub distance_squared: u128,
    /// The cosine of the angle between the two in millionths, as [`cosine_micro`] rounds it.
    pub cosine_micro: i64,
}

/// How each row of `updates` (n × d) lies to a centre, and ‖centre‖², in squared quanta.
///
/// # Panics
/// When `centre` does not have d values, or a value has a magnitude of 2^24 or more:
/// updates and their differences have not.
pub fn bearings(updates: ArrayView2<'_, i32>, centre: &[i32]) -> (Vec<Bearing>, u128) {
    assert_eq!(centre.len(), updates.ncols(), "the centre has one value for each parameter");
    let matrix = rows_contiguous(updates);
    let matrix = Matrix::new(rows_of(&matrix));
    let n = matrix.n();
    // ‖x_i − c‖² and ‖x_i‖² of each row, then ‖c‖².
    let sums = blocks::sum(&matrix.with_point(Some(centre)), 2 * n + 1, |rows, totals| {
        let (point, rows) = rows.split_last().expect("the point is the last row");
        let (square, mut greatest) = simd::run(Square(point));
        totals[2 * n] += u128::from(square);
        for (at, row) in rows.iter().enumerate() {
            let (distance, square, magnitude) = simd::run(DistanceAndSquare { row, point });
            totals[at] += u128::from(distance);
            totals[n + at] += u128::from(square);
            greatest = greatest.max(magnitude);
        }
        greatest < DIFFERENCE_LIMIT
    });
    let sums = sums.expect(IN_RANGE);
    let centre_square = sums[2 * n];
    let bearing = |at: usize| {
        let (distance_squared, square) = (sums[at], sums[n + at]);
        // ‖x − c‖² = ‖x‖² + ‖c‖² − 2·⟨x, c⟩, and all of them are below 2^78.
        let product = ((square + centre_square) as i128 - distance_squared as i128) / 2;
        Bearing { distance_squared, cosine_micro: cosine_of(product, square, centre_square) }
    };
    ((0..n).map(bearing).collect(), centre_square)
}

/// ‖x_i − x_j‖² of every two rows of `updates` (n × d), in squared quanta: n × n, row-major,
/// symmetric, zero on the diagonal.
///
/// # Panics
/// When a value has a magnitude of 2^24 or more: updates and their differences have not.
pub fn pairwise_distances_squared(updates: ArrayView2<'_, i32>) -> Vec<u128> {
    let matrix = rows_contiguous(updates);
    pairs::pairwise_below(&Matrix::new(rows_of(&matrix)), DIFFERENCE_LIMIT).expect(IN_RANGE)
}

/// Differences of updates are below this in magnitude.
const DIFFERENCE_LIMIT: u32 = 1 << 24;
const IN_RANGE: &str = "updates and their differences are below 2^24 in magnitude";

/// Distances of rows to a point, to zero when it is absent.
pub(super) fn to_point(
    matrix: &Matrix<'_>,
    point: Option<&[i32]>,
) -> Result<Vec<u128>, OutOfRange> {
    distances(matrix, point, VALUE_LIMIT.unsigned_abs())
}

/// The same for values below `limit` in magnitude, which is at most 2^24.
fn distances(
    matrix: &Matrix<'_>,
    point: Option<&[i32]>,
    limit: u32,
) -> Result<Vec<u128>, OutOfRange> {
    if point.is_none() {
        return blocks::sum(matrix, matrix.n(), |rows, totals| {
            let mut greatest = 0;
            for (total, row) in totals.iter_mut().zip(rows) {
                let (square, magnitude) = simd::run(Square(row));
                *total += u128::from(square);
                greatest = greatest.max(magnitude);
            }
            greatest < limit
        });
    }
    blocks::sum(&matrix.with_point(point), matrix.n(), |rows, totals| {
        let (point, rows) = rows.split_last().expect("the point is the last row");
        let mut greatest = 0;
        for (total, row) in totals.iter_mut().zip(rows) {
            let (distance, magnitude) = simd::run(Distance { row, point });
            *total += u128::from(distance);
            greatest = greatest.max(magnitude);
        }
        greatest < limit
    })
}

/// Squared distance over a piece, at most 2^14 squares below 2^50, and the greatest magnitude of a
/// value.
struct Distance<'a> {
    row: &'a [i32],
    point: &'a [i32],
}

impl WithSimd for Distance<'_> {
    type Output = (u64, u32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (u64, u32) {
        let (mut sum, mut greatest) = (0u64, 0u32);
        for (&a, &b) in self.row.iter().zip(self.point) {
            greatest = greatest.max(a.unsigned_abs()).max(b.unsigned_abs());
            // Below 2^32, so that the product of two 32-bit halves is the square.
            let difference = u64::from(a.abs_diff(b));
            sum = sum.wrapping_add(difference.wrapping_mul(difference));
        }
        (sum, greatest)
    }
}

/// Squared distance and Σ q² over a piece, of values as [`Distance`] has them, and the greatest
/// magnitude of a value of the row.
struct DistanceAndSquare<'a> {
    row: &'a [i32],
    point: &'a [i32],
}

impl WithSimd for DistanceAndSquare<'_> {
    type Output = (u64, u64, u32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (u64, u64, u32) {
        let (mut distance, mut square, mut greatest) = (0u64, 0u64, 0u32);
        for (&a, &b) in self.row.iter().zip(self.point) {
            let magnitude = a.unsigned_abs();
            greatest = greatest.max(magnitude);
            let difference = u64::from(a.abs_diff(b));
            distance = distance.wrapping_add(difference.wrapping_mul(difference));
            square = square.wrapping_add(u64::from(magnitude).wrapping_mul(u64::from(magnitude)));
        }
        (distance, square, greatest)
    }
}

/// Σ q² over a piece, at most 2^14 squares below 2^48, and the greatest magnitude of a value.
struct Square<'a>(&'a [i32]);

impl WithSimd for Square<'_> {
    type Output = (u64, u32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (u64, u32) {
        let (mut sum, mut greatest) = (0u64, 0u32);
        for value in self.0 {
            let magnitude = value.unsigned_abs();
            greatest = greatest.max(magnitude);
            sum = sum.wrapping_add(u64::from(magnitude).wrapping_mul(u64::from(magnitude)));
        }
        (sum, greatest)
    }
}

/// ⟨a, b⟩, ‖a‖² and ‖b‖² of values below 2^23 in magnitude.
fn dots(a: &[i32], b: &[i32]) -> [i128; 3] {
    let blocks = a.par_chunks(SPAN).zip(b.par_chunks(SPAN));
    blocks
        .map(|(a, b)| simd::run(Dots { a, b }).map(i128::from))
        .reduce(|| [0; 3], |x, y| [x[0] + y[0], x[1] + y[1], x[2] + y[2]])
}

struct Dots<'a> {
    a: &'a [i32],
    b: &'a [i32],
}

impl WithSimd for Dots<'_> {
    type Output = [i64; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [i64; 3] {
        let (mut product, mut a_square, mut b_square) = (0i64, 0i64, 0i64);
        for (&a, &b) in self.a.iter().zip(self.b) {
            let (a, b) = (i64::from(a), i64::from(b));
            product = product.wrapping_add(a.wrapping_mul(b));
            a_square = a_square.wrapping_add(a.wrapping_mul(a));
            b_square = b_square.wrapping_add(b.wrapping_mul(b));
        }
        [product, a_square, b_square]
    }
}

/// The cosine of the angle between two vectors in millionths, rounded toward zero: the sign of
/// ⟨a, b⟩ and the greatest c with c²·‖a‖²·‖b‖² ≤ 10^12·⟨a, b⟩². Zero when either vector is zero.
///
/// # Panics
/// When the lengths differ.
pub fn cosine_micro(a: &[i32], b: &[i32]) -> i64 {
    assert_eq!(a.len(), b.len(), "both vectors have one value for each parameter");
    let [product, a_square, b_square] = dots(a, b);
    cosine_of(product, a_square.unsigned_abs(), b_square.unsigned_abs())
}

/// The cosine from ⟨a, b⟩, ‖a‖² and ‖b‖², as [`cosine_micro`] rounds it.
pub(super) fn cosine_of(product: i128, a_square: u128, b_square: u128) -> i64 {
    if a_square == 0 || b_square == 0 {
        return 0;
    }
    let magnitude = product.unsigned_abs();
    // Squares are below 2^77, so c²·‖a‖² and 10^12·|⟨a, b⟩| are below 2^117.
    let right = wide_mul(magnitude * 1_000_000_000_000, magnitude);
    let fits = |c: u64| {
        let square = u128::from(c) * u128::from(c);
        wide_mul(square * a_square, b_square) <= right
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
