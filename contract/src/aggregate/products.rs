//! Inner products of every two rows of a block, exact.
//!
//! A processor multiplies more 16-bit numbers in one instruction than any others that it can add up
//! without loss. So each value is cut into q = h·2^12 + l, |l| ≤ 2^11, and
//!
//! ```text
//! q·q' = h·h'·2^24 + (h·l' + l·h')·2^12 + l·l'
//! h·l' + l·h' = (h + l)·(h' + l') − h·h' − l·l'
//! ```
//!
//! (A. Karatsuba, Y. Ofman, "Multiplication of Multidigit Numbers on Automata", Soviet Physics
//! Doklady 7, 1963): three sums of products of 16-bit numbers. Where all values of a span are small,
//! as those of updates are more often than not, one sum of products is enough.
//!
//! Why no 32-bit sum overflows: it takes two products for each of `SPAN` / 16 steps. With |q| < 2^24
//! a factor is at most 4095 + 2048 in magnitude, so that 16 steps reach 2·16·6143² < 2^31; with
//! |q| < 2^23 it is at most 4096, and 32 steps reach 2·32·2^24 = 2^30.

use pulp::{bytemuck, Arch};

use super::simd::{self, Halves, WithHalves};

/// Columns that are multiplied in one go: 25 rows of them, in 16 bits, fill a first-level cache.
const SPAN: usize = 512;
const HALF_SPAN: usize = SPAN / 2;
/// Rows and columns of a tile of sums that stays in registers.
const TILE: usize = 3;
/// Binary digits of l.
const LOW_BITS: u32 = 12;
/// Greatest magnitude of which one sum is enough: 2·32·5792² < 2^31.
const SMALL_MAX: u32 = 5792;
/// Magnitudes below this need no shorter sums.
const USUAL_LIMIT: u32 = 1 << 23;

/// 16-bit parts of a span of one row.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Part([i16; SPAN]);

/// Adds ⟨x_i, x_j⟩ of a block to `sums` (n × n), at and above the diagonal, modulo 2^64; the greatest
/// magnitude of a value. With values of 2^24 or more in magnitude the sums mean nothing.
pub(super) fn add_products(rows: &[&[i32]], sums: &mut [i64]) -> u32 {
    simd::run_halves(Arch::new(), Products { rows, sums })
}

struct Products<'a> {
    rows: &'a [&'a [i32]],
    sums: &'a mut [i64],
}

impl WithHalves for Products<'_> {
    type Output = u32;

    #[inline(always)]
    fn with_halves<H: Halves>(self, halves: H) -> u32 {
        let Self { rows, sums } = self;
        let n = rows.len();
        let d = rows.first().map_or(0, |row| row.len());
        let mut parts = vec![Part([0; SPAN]); 3 * n];
        let (high, rest) = parts.split_at_mut(n);
        let (low, both) = rest.split_at_mut(n);
        let (mut greatest, mut are_small) = (0, true);
        for from in (0..d).step_by(SPAN) {
            let span = from..d.min(from + SPAN);
            let mut ahead = Ahead::new(rows, span.end, d.min(span.end + SPAN));
            // As the span before: one that is not small need not be looked through twice.
            if are_small {
                let mut magnitude = 0;
                for (row, low) in rows.iter().zip(&mut *low) {
                    magnitude = narrow(&row[span.clone()], low).max(magnitude);
                }
                greatest = greatest.max(magnitude);
                are_small = magnitude <= SMALL_MAX;
                if are_small {
                    gram::<H, SPAN>(halves, low, 1, sums, &mut ahead);
                    continue;
                }
            }
            let mut magnitude = 0;
            for (at, row) in rows.iter().enumerate() {
                let parts = (&mut high[at], &mut low[at], &mut both[at]);
                magnitude = split(&row[span.clone()], parts).max(magnitude);
            }
            greatest = greatest.max(magnitude);
            are_small = magnitude <= SMALL_MAX;
            let factors =
                [(1 << (2 * LOW_BITS)) - (1 << LOW_BITS), 1 << LOW_BITS, 1 - (1 << LOW_BITS)];
            for (parts, factor) in [&*high, &*both, &*low].into_iter().zip(factors) {
                if magnitude < USUAL_LIMIT {
                    gram::<H, SPAN>(halves, parts, factor, sums, &mut ahead);
                } else {
                    gram::<H, HALF_SPAN>(halves, parts, factor, sums, &mut ahead);
                }
            }
        }
        greatest
    }
}

/// What will be read next, asked for a little at a time, so that memory works while products are
/// made.
struct Ahead<'a> {
    rows: std::slice::Iter<'a, &'a [i32]>,
    /// What is left of the row that is being asked for.
    row: &'a [i32],
    from: usize,
    to: usize,
    /// How often to ask at each tile.
    times: usize,
}

/// Values in a cache line, and lines that are asked for in one go.
const LINE: usize = 16;
const LINES: usize = 8;

impl<'a> Ahead<'a> {
    /// The columns from `from` to `to` of the rows.
    #[inline(always)]
    fn new(rows: &'a [&'a [i32]], from: usize, to: usize) -> Self {
        // All of them by the end of the first sum of products.
        let edge = rows.len().div_ceil(TILE);
        let tiles = edge * (edge + 1) / 2;
        let times = rows.len() * (to - from).div_ceil(LINE * LINES);
        Self { rows: rows.iter(), row: &[], from, to, times: times.div_ceil(tiles.max(1)) }
    }

    #[inline(always)]
    fn ask(&mut self) {
        for _ in 0..self.times {
            if self.row.is_empty() {
                let Some(row) = self.rows.next() else { return };
                self.row = &row[self.from..self.to];
            }
            let (asked, rest) = self.row.split_at(self.row.len().min(LINE * LINES));
            asked.iter().step_by(LINE).for_each(simd::prefetch);
            self.row = rest;
        }
    }
}

/// Values in 16 bits, filled up with zeros, and their greatest magnitude; only small ones are what
/// they were.
#[inline(always)]
fn narrow(values: &[i32], part: &mut Part) -> u32 {
    let mut filled = [0; SPAN];
    let values = whole_span(values, &mut filled);
    let mut most = 0;
    for (part, &value) in part.0.iter_mut().zip(values) {
        most = value.unsigned_abs().max(most);
        *part = value as i16;
    }
    most
}

/// The high and low parts of up to `SPAN` values and the sums of both, filled up with zeros; the
/// greatest magnitude of a value.
#[inline(always)]
fn split(values: &[i32], (high, low, both): (&mut Part, &mut Part, &mut Part)) -> u32 {
    let mut filled = [0; SPAN];
    let values = whole_span(values, &mut filled);
    let mut most = 0;
    for (at, &value) in values.iter().enumerate() {
        most = value.unsigned_abs().max(most);
        let h = value.wrapping_add(1 << (LOW_BITS - 1)) >> LOW_BITS;
        high.0[at] = h as i16;
        low.0[at] = value.wrapping_sub(h << LOW_BITS) as i16;
    }
    for (both, (h, l)) in both.0.iter_mut().zip(high.0.iter().zip(&low.0)) {
        *both = h.wrapping_add(*l);
    }
    most
}

/// Up to `SPAN` values, followed by zeros where there are fewer.
#[inline(always)]
fn whole_span<'a>(values: &'a [i32], filled: &'a mut [i32; SPAN]) -> &'a [i32; SPAN] {
    match values.try_into() {
        Ok(values) => values,
        Err(_) => {
            filled[..values.len()].copy_from_slice(values);
            filled
        }
    }
}

/// Adds `factor` times the products of every two rows, in stretches of `LENGTH` columns.
#[inline(always)]
fn gram<H: Halves, const LENGTH: usize>(
    halves: H,
    rows: &[Part],
    factor: i64,
    sums: &mut [i64],
    ahead: &mut Ahead<'_>,
) {
    let n = rows.len();
    for from in (0..SPAN).step_by(LENGTH) {
        for i in (0..n).step_by(TILE) {
            for j in (i..n).step_by(TILE) {
                ahead.ask();
                let mut place = Place { i, j, n, factor, sums };
                match ((n - i).min(TILE), (n - j).min(TILE)) {
                    (3, 3) => place.add(tile::<H, 3, 3, LENGTH>(halves, rows, i, j, from)),
                    (3, 2) => place.add(tile::<H, 3, 2, LENGTH>(halves, rows, i, j, from)),
                    (3, 1) => place.add(tile::<H, 3, 1, LENGTH>(halves, rows, i, j, from)),
                    (2, _) => place.add(tile::<H, 2, 2, LENGTH>(halves, rows, i, j, from)),
                    _ => place.add(tile::<H, 1, 1, LENGTH>(halves, rows, i, j, from)),
                }
            }
        }
    }
}

/// Where a tile's sums go.
struct Place<'a> {
    i: usize,
    j: usize,
    n: usize,
    factor: i64,
    sums: &'a mut [i64],
}

impl Place<'_> {
    #[inline(always)]
    fn add<const R: usize, const C: usize>(&mut self, tile: [[i64; C]; R]) {
        for (row, sums) in tile.iter().enumerate() {
            let from = (self.i + row) * self.n + self.j;
            for (sum, &added) in self.sums[from..from + C].iter_mut().zip(sums) {
                *sum = sum.wrapping_add(added.wrapping_mul(self.factor));
            }
        }
    }
}

/// The sums of products of R rows from `i` on with C rows from `j` on, over the columns from `from`.
#[inline(always)]
fn tile<H: Halves, const R: usize, const C: usize, const LENGTH: usize>(
    halves: H,
    rows: &[Part],
    i: usize,
    j: usize,
    from: usize,
) -> [[i64; C]; R] {
    let mut left = [vectors::<H, LENGTH>(&rows[i], from); R];
    for row in 1..R {
        left[row] = vectors::<H, LENGTH>(&rows[i + row], from);
    }
    let mut right = [vectors::<H, LENGTH>(&rows[j], from); C];
    for row in 1..C {
        right[row] = vectors::<H, LENGTH>(&rows[j + row], from);
    }
    let mut sums = [[<H::Sums as bytemuck::Zeroable>::zeroed(); C]; R];
    for step in 0..2 * LENGTH / size_of::<H::Numbers>() {
        for (sums, left) in sums.iter_mut().zip(&left) {
            for (sum, right) in sums.iter_mut().zip(&right) {
                *sum = halves.multiply_add(*sum, left[step], right[step]);
            }
        }
    }
    let mut totals = [[0; C]; R];
    for (totals, sums) in totals.iter_mut().zip(&sums) {
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total = total_of::<H>(sums);
        }
    }
    totals
}

#[inline(always)]
fn vectors<H: Halves, const LENGTH: usize>(part: &Part, from: usize) -> &[H::Numbers] {
    let numbers: &[i16; LENGTH] =
        part.0[from..from + LENGTH].try_into().expect("the range has that length");
    bytemuck::cast_slice(numbers)
}

#[inline(always)]
fn total_of<H: Halves>(sums: &H::Sums) -> i64 {
    let lanes: &[i32] = bytemuck::cast_slice(std::slice::from_ref(sums));
    lanes.iter().fold(0i64, |total, &lane| total.wrapping_add(i64::from(lane)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: i32 = 1 << 24;

    fn check(rows: &[Vec<i32>]) {
        let n = rows.len();
        let slices: Vec<&[i32]> = rows.iter().map(Vec::as_slice).collect();
        let mut expected = vec![0; n * n];
        for i in 0..n {
            for j in i..n {
                let products = rows[i].iter().zip(&rows[j]);
                let exact: i128 = products.map(|(&a, &b)| i128::from(a) * i128::from(b)).sum();
                expected[i * n + j] = exact as i64;
            }
        }
        let values = rows.iter().flatten();
        let greatest = values.map(|value| value.unsigned_abs()).max().unwrap_or(0);
        for set in simd::all() {
            let mut sums = vec![0; n * n];
            let found = simd::run_halves(set, Products { rows: &slices, sums: &mut sums });
            assert_eq!(found, greatest, "{set:?}");
            for i in 0..n {
                let upper = i * n + i..i * n + n;
                assert_eq!(sums[upper.clone()], expected[upper], "{set:?} n {n} row {i}");
            }
        }
    }

    #[test]
    fn products_are_exact_for_every_number_of_rows_and_magnitude() {
        let mut state = 1u64;
        for n in 1..=14 {
            for bits in [2, 11, 13, 14, 16, 22, 23, 24] {
                for d in [1, 7, SPAN - 1, SPAN, 2 * SPAN + 3] {
                    let row = |_| {
                        let value = |_| {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            ((state >> 32) as i32) >> (31 - bits)
                        };
                        (0..d).map(value).map(|value| value.clamp(1 - LIMIT, LIMIT - 1)).collect()
                    };
                    check(&(0..n).map(row).collect::<Vec<Vec<i32>>>());
                }
            }
        }
    }

    /// Rows of one value, and of two that alternate, at every bound that the code has: nothing can
    /// add up to more.
    #[test]
    fn products_of_extremes_do_not_overflow() {
        let small = SMALL_MAX as i32;
        let usual = USUAL_LIMIT as i32;
        for extreme in [small, small + 1, usual - 1, usual, LIMIT - 1, LIMIT - 2048, LIMIT - 2049] {
            let nearby = extreme - (extreme & 4095) - 2048;
            let constants = [extreme, -extreme, nearby, -nearby, nearby - 1, 1 - nearby];
            let mut rows: Vec<Vec<i32>> =
                constants.iter().map(|&value| vec![value; 4096]).collect();
            rows.push((0..4096).map(|at| if at % 2 == 0 { extreme } else { -extreme }).collect());
            rows.push((0..4096).map(|at| if at % 2 == 0 { nearby } else { 1 - nearby }).collect());
            check(&rows);
        }
    }

    /// One value that is not small, among small ones, in a span of its own.
    #[test]
    fn spans_of_small_and_of_large_values_add_up() {
        for at in [0, 1, SPAN - 1, SPAN, 3 * SPAN, 4 * SPAN - 1] {
            let mut rows = vec![vec![7; 4 * SPAN], vec![-5792; 4 * SPAN], vec![5792; 4 * SPAN]];
            rows[1][at] = 1 - LIMIT;
            rows[2][at] = 5793;
            check(&rows);
        }
    }
}
