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
//! Sums stay in vectors of 32-bit numbers, which are added up only when the next span could make one
//! overflow: a step adds two products to each number, at most 2·f² for factors of magnitude f. With
//! |q| < 2^24 a factor is at most 4095 + 2048, so that 16 steps reach 2·16·6143² < 2^31.

use pulp::bytemuck;

use super::simd::{self, Halves, HalvesSet, WithHalves};

/// Columns that are multiplied in one go: 25 rows of them, in 16 bits, fill a first-level cache.
const SPAN: usize = 512;
/// Where the largest factors are too large for the steps of a whole span.
const HALF_SPAN: usize = SPAN / 2;
/// Rows and columns of a tile of sums that stays in registers.
const TILE: usize = 3;
/// Binary digits of l.
const LOW_BITS: u32 = 12;
/// Greatest magnitude of l.
const LOW_MAX: u32 = 1 << (LOW_BITS - 1);
/// Greatest magnitude of which one sum is enough: 2·32·5792² < 2^31.
const SMALL_MAX: u32 = 5792;

/// 16-bit parts of a span of one row, two in a number: of each `PACKED` values the first half is in
/// the low digits and the second half in the high ones. Any order would do that is the same in all rows,
/// and this one takes no instruction that moves numbers across a vector.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Part([i32; SPAN / 2]);

/// Values that are packed together.
const PACKED: usize = 64;

/// Adds ⟨x_i, x_j⟩ of a block to `sums` (n × n), at and above the diagonal, modulo 2^64; the greatest
/// magnitude of a value. With values of 2^24 or more in magnitude the sums mean nothing.
pub(super) fn add_products(rows: &[&[i32]], sums: &mut [i64]) -> u32 {
    HalvesSet::best().run(Products { rows, sums })
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
        let mut parts = vec![Part([0; SPAN / 2]); 3 * n];
        let (high, rest) = parts.split_at_mut(n);
        let (low, both) = rest.split_at_mut(n);
        let weight: i64 = 1 << LOW_BITS;
        let mut plain = Sums::<H>::new(n, 1);
        let mut of_high = Sums::<H>::new(n, weight * weight - weight);
        let mut of_both = Sums::<H>::new(n, weight);
        let mut of_low = Sums::<H>::new(n, 1 - weight);
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
                    plain.add(halves, low, magnitude, &mut ahead, sums);
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
            let high_max = (magnitude >> LOW_BITS) + 1;
            of_high.add(halves, high, high_max, &mut ahead, sums);
            of_both.add(halves, both, high_max + LOW_MAX, &mut ahead, sums);
            of_low.add(halves, low, LOW_MAX, &mut ahead, sums);
        }
        for mut part in [plain, of_high, of_both, of_low] {
            part.flush(sums);
        }
        greatest
    }
}

/// The sums of products of every two rows' parts, in vectors: tile by tile, row by row in each.
struct Sums<H: Halves> {
    n: usize,
    /// What the sums count for.
    factor: i64,
    /// None before the first span.
    vectors: Vec<H::Sums>,
    /// Greatest magnitude that a number of a vector can have.
    reached: i64,
}

impl<H: Halves> Sums<H> {
    fn new(n: usize, factor: i64) -> Self {
        Self { n, factor, vectors: Vec::new(), reached: 0 }
    }

    /// Adds a span of factors of at most `greatest` in magnitude; what would overflow before that goes
    /// to `sums`.
    #[inline(always)]
    fn add(
        &mut self,
        halves: H,
        rows: &[Part],
        greatest: u32,
        ahead: &mut Ahead<'_>,
        sums: &mut [i64],
    ) {
        let step = 2 * i64::from(greatest).pow(2);
        let most = step * steps::<H>(SPAN) as i64;
        if self.vectors.is_empty() {
            let tiles = (0..self.n).step_by(TILE).map(|i| (self.n - i).min(TILE) * (self.n - i));
            self.vectors = vec![bytemuck::Zeroable::zeroed(); tiles.sum()];
        }
        if most <= i64::from(i32::MAX) {
            self.make_room(most, sums);
            gram::<H, SPAN>(halves, rows, 0, &mut self.vectors, ahead);
        } else {
            for from in [0, HALF_SPAN] {
                self.make_room(most / 2, sums);
                gram::<H, HALF_SPAN>(halves, rows, from, &mut self.vectors, ahead);
            }
        }
    }

    /// Sees to it that `most` more do not overflow.
    #[inline(always)]
    fn make_room(&mut self, most: i64, sums: &mut [i64]) {
        if self.reached + most > i64::from(i32::MAX) {
            self.flush(sums);
        }
        self.reached += most;
    }

    /// Adds the sums to those of all parts, n × n, and begins with zeros again.
    #[inline(always)]
    fn flush(&mut self, sums: &mut [i64]) {
        self.reached = 0;
        let n = self.n;
        // None at all before the first span.
        let mut vectors = self.vectors.iter_mut();
        for i in (0..n).step_by(TILE) {
            for j in (i..n).step_by(TILE) {
                for row in i..n.min(i + TILE) {
                    for sum in &mut sums[row * n + j..row * n + n.min(j + TILE)] {
                        let Some(vector) = vectors.next() else { return };
                        *sum = sum.wrapping_add(total_of::<H>(vector).wrapping_mul(self.factor));
                        *vector = bytemuck::Zeroable::zeroed();
                    }
                }
            }
        }
    }
}

/// Steps over a number of columns.
const fn steps<H: Halves>(columns: usize) -> usize {
    2 * columns / size_of::<H::Numbers>()
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
    for (part, values) in part.0.chunks_exact_mut(PACKED / 2).zip(values.chunks_exact(PACKED)) {
        let (first, second) = values.split_at(PACKED / 2);
        for ((part, &a), &b) in part.iter_mut().zip(first).zip(second) {
            most = a.unsigned_abs().max(b.unsigned_abs()).max(most);
            *part = pack(a, b);
        }
    }
    most
}

/// The low halves of two numbers.
#[inline(always)]
fn pack(low: i32, high: i32) -> i32 {
    (low & 0xFFFF) | (high << 16)
}

/// The high and low parts of up to `SPAN` values and the sums of both, filled up with zeros; the
/// greatest magnitude of a value.
#[inline(always)]
fn split(values: &[i32], (high, low, both): (&mut Part, &mut Part, &mut Part)) -> u32 {
    let mut filled = [0; SPAN];
    let values = whole_span(values, &mut filled);
    let parts = |value: i32| {
        let high = value.wrapping_add(1 << (LOW_BITS - 1)) >> LOW_BITS;
        (high, value.wrapping_sub(high << LOW_BITS))
    };
    let mut most = 0;
    let high = high.0.chunks_exact_mut(PACKED / 2);
    let low = low.0.chunks_exact_mut(PACKED / 2);
    let both = both.0.chunks_exact_mut(PACKED / 2);
    for (((high, low), both), values) in high.zip(low).zip(both).zip(values.chunks_exact(PACKED)) {
        for at in 0..PACKED / 2 {
            let (a, b) = (values[at], values[PACKED / 2 + at]);
            most = a.unsigned_abs().max(b.unsigned_abs()).max(most);
            let ((a_high, a_low), (b_high, b_low)) = (parts(a), parts(b));
            high[at] = pack(a_high, b_high);
            low[at] = pack(a_low, b_low);
            both[at] = pack(a_high.wrapping_add(a_low), b_high.wrapping_add(b_low));
        }
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

/// Adds the products of every two rows over the `LENGTH` columns from `from` on to their vectors.
#[inline(always)]
fn gram<H: Halves, const LENGTH: usize>(
    halves: H,
    rows: &[Part],
    from: usize,
    mut sums: &mut [H::Sums],
    ahead: &mut Ahead<'_>,
) {
    let n = rows.len();
    for i in (0..n).step_by(TILE) {
        for j in (i..n).step_by(TILE) {
            ahead.ask();
            let (height, width) = ((n - i).min(TILE), (n - j).min(TILE));
            let (tile, rest) = sums.split_at_mut(height * width);
            let place = Place { i, j, from };
            match (height, width) {
                (3, 3) => place.add::<H, 3, 3, LENGTH>(halves, rows, tile),
                (3, 2) => place.add::<H, 3, 2, LENGTH>(halves, rows, tile),
                (3, 1) => place.add::<H, 3, 1, LENGTH>(halves, rows, tile),
                (2, _) => place.add::<H, 2, 2, LENGTH>(halves, rows, tile),
                _ => place.add::<H, 1, 1, LENGTH>(halves, rows, tile),
            }
            sums = rest;
        }
    }
}

/// Where a tile is: its first rows, left and right, and its first column.
struct Place {
    i: usize,
    j: usize,
    from: usize,
}

impl Place {
    /// Adds the products of R rows with C rows over `LENGTH` columns to the tile's vectors.
    #[inline(always)]
    fn add<H: Halves, const R: usize, const C: usize, const LENGTH: usize>(
        &self,
        halves: H,
        rows: &[Part],
        tile: &mut [H::Sums],
    ) {
        let mut left = [vectors::<H, LENGTH>(&rows[self.i], self.from); R];
        for row in 1..R {
            left[row] = vectors::<H, LENGTH>(&rows[self.i + row], self.from);
        }
        let mut right = [vectors::<H, LENGTH>(&rows[self.j], self.from); C];
        for row in 1..C {
            right[row] = vectors::<H, LENGTH>(&rows[self.j + row], self.from);
        }
        let mut sums = [[<H::Sums as bytemuck::Zeroable>::zeroed(); C]; R];
        for (sums, tile) in sums.iter_mut().zip(tile.chunks_exact(C)) {
            sums.copy_from_slice(tile);
        }
        for step in 0..steps::<H>(LENGTH) {
            for (sums, left) in sums.iter_mut().zip(&left) {
                for (sum, right) in sums.iter_mut().zip(&right) {
                    *sum = halves.multiply_add(*sum, left[step], right[step]);
                }
            }
        }
        for (sums, tile) in sums.iter().zip(tile.chunks_exact_mut(C)) {
            tile.copy_from_slice(sums);
        }
    }
}

#[inline(always)]
fn vectors<H: Halves, const LENGTH: usize>(part: &Part, from: usize) -> &[H::Numbers] {
    bytemuck::cast_slice(&part.0[from / 2..][..LENGTH / 2])
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
        for set in HalvesSet::all() {
            let mut sums = vec![0; n * n];
            let found = set.run(Products { rows: &slices, sums: &mut sums });
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
        let usual = 1 << 23;
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
