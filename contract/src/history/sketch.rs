//! Updates as few numbers: projection, robust centre, common unit.
//!
//! With d > p the projection is a block-wise random rotation of signs: coordinate `k·p + j` is
//! added, with a random sign, to number `(j + rₖ) mod p`, `rₖ` random. Signs are independent, so
//! inner products are kept in the mean (Charikar, Chen and Farach-Colton, ICALP 2002), and a row is
//! read once, in order. With d ≤ p it is the identity.
//!
//! The signs are public. With d > p, an attacker that solves for the projection's null space is not
//! seen here; its size and direction within a round still are.

#![allow(clippy::inline_always, reason = "what is not inlined is compiled without vectors")]

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::HistoryPolicy;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::aggregate::simd;
use crate::draw::splitmix64;
use crate::integer::{div_half_even, isqrt_u128, median_u64};

/// One median deviation in the numbers of a [`Deviation`].
pub const UNIT: i64 = 4096;

/// Deviations are shortened to this many median deviations, so that a single round cannot fill a
/// history.
const LENGTH_MAX: i64 = 4;

/// Fewest members with a meaningful median among them.
const MEMBERS_MIN: usize = 3;

/// One member's update.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// Whose.
    pub member: MemberId,
    /// Its d integers.
    pub values: &'a [i32],
    /// Whether it enters the aggregation; members in quarantine are only observed.
    pub enters: bool,
}

/// p: how many numbers are kept of an update.
pub(super) fn width(policy: &HistoryPolicy, parameters: usize) -> usize {
    parameters.min(policy.sketch_width as usize)
}

/// The deviations of a round's updates, in the order of `rows`; nothing when there are fewer than
/// three that enter, or half of those are the same.
///
/// # Panics
/// When rows have different lengths.
pub fn observe(policy: &HistoryPolicy, seed: &Digest, rows: &[Row<'_>]) -> Option<Vec<Deviation>> {
    let parameters = rows.first()?.values.len();
    assert!(rows.iter().all(|row| row.values.len() == parameters), "updates have one length");
    let width = width(policy, parameters);
    let values: Vec<&[i32]> = rows.iter().map(|row| row.values).collect();
    let mut sketches = project(&values, width, seed);
    let entering: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].enters).collect();
    if entering.len() < MEMBERS_MIN {
        return None;
    }
    for column in 0..width {
        let values: Vec<i64> = entering.iter().map(|&at| sketches[at][column]).collect();
        let centre = median_i64(values);
        sketches.iter_mut().for_each(|sketch| sketch[column] -= centre);
    }
    let norms: Vec<u64> = sketches.iter().map(|sketch| norm(sketch)).collect();
    let entered: Vec<u64> = entering.iter().map(|&at| norms[at]).collect();
    let median = median_u64(&entered).filter(|&median| median > 0)?;
    let scaled = |at: usize| {
        let unit = i128::from(median.max(norms[at].div_ceil(LENGTH_MAX as u64)));
        let numbers = sketches[at].iter().map(|&value| {
            let scaled = div_half_even(i128::from(value) * i128::from(UNIT), unit);
            i16::try_from(scaled).expect("no number is longer than its row")
        });
        numbers.flat_map(i16::to_le_bytes).collect()
    };
    let deviation = |at: usize| Deviation { member: rows[at].member.clone(), sketch: scaled(at) };
    Some((0..rows.len()).map(deviation).collect())
}

/// The numbers of a deviation.
pub(super) fn values(sketch: &[u8]) -> Vec<i16> {
    sketch.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// The rows' projections. Sums of at most 5·10^7 values below 2^23 stay below 2^49.
fn project(rows: &[&[i32]], width: usize, seed: &Digest) -> Vec<Vec<i64>> {
    let parameters = rows.first().map_or(0, |row| row.len());
    if parameters <= width {
        return rows
            .iter()
            .map(|row| row.iter().map(|&value| i64::from(value)).collect())
            .collect();
    }
    let key = u64::from_le_bytes(seed.0[..8].try_into().expect("a digest has 32 bytes"));
    let length = BLOCKS * width;
    let (parts, groups) = (parameters.div_ceil(length), rows.len().div_ceil(ROWS));
    let start = || vec![0i64; rows.len() * width];
    let add = |mut sums: Vec<i64>, task: usize| {
        let (part, group) = (task / groups, task % groups);
        let columns = part * length..parameters.min((part + 1) * length);
        let members = group * ROWS..rows.len().min((group + 1) * ROWS);
        let projected = &mut sums[members.start * width..members.end * width];
        let rows: Vec<&[i32]> = rows[members].iter().map(|row| &row[columns.clone()]).collect();
        // Every block takes one draw for its turn, and one for the signs of each 64 values.
        let draw = (part * BLOCKS * (1 + width.div_ceil(SIGNS))) as u64;
        simd::run(Projection { rows: &rows, width, key, draw, sums: projected });
        sums
    };
    let sums =
        (0..parts * groups).into_par_iter().fold(start, add).reduce(start, |mut sums, added| {
            sums.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
            sums
        });
    sums.chunks(width).map(<[i64]>::to_vec).collect()
}

/// Blocks whose signed values are summed in 32 bits: 2^8 of them, each below 2^23.
const BLOCKS: usize = 256;
/// Values whose signs are one draw.
const SIGNS: usize = 64;
/// Rows that are read side by side. One after the other would wait for its own sums: they lie across
/// those that were written a block before.
const ROWS: usize = 8;

/// At most `BLOCKS` blocks of at most `ROWS` rows.
struct Projection<'a> {
    rows: &'a [&'a [i32]],
    width: usize,
    key: u64,
    /// The first draw's number.
    draw: u64,
    /// `width` numbers for each row, to which its projection is added.
    sums: &'a mut [i64],
}

impl WithSimd for Projection<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rows, width, key, mut draw, sums } = self;
        let mut next = || {
            draw = draw.wrapping_add(1);
            splitmix64(key, draw.wrapping_sub(1))
        };
        // Number j + turn, which is taken modulo the width only at the end.
        let mut turned = vec![0i32; rows.len() * 2 * width];
        let columns = rows.first().map_or(0, |row| row.len());
        for from in (0..columns).step_by(width) {
            let (turn, end) = ((next() % width as u64) as usize, columns.min(from + width));
            for at in (from..end).step_by(SIGNS) {
                let (signs, stretch) = (next(), at..end.min(at + SIGNS));
                let target = turn + at - from;
                for (row, turned) in rows.iter().zip(turned.chunks_mut(2 * width)) {
                    let values = &row[stretch.clone()];
                    add_signed(values, signs, &mut turned[target..target + values.len()]);
                }
            }
        }
        for (sums, turned) in sums.chunks_mut(width).zip(turned.chunks(2 * width)) {
            let (low, high) = turned.split_at(width);
            for (sum, (&low, &high)) in sums.iter_mut().zip(low.iter().zip(high)) {
                *sum += i64::from(low) + i64::from(high);
            }
        }
    }
}

/// Adds each value, or takes it off where its bit of `signs`, from the lowest on, is one.
#[inline(always)]
fn add_signed(values: &[i32], signs: u64, sums: &mut [i32]) {
    if let (Ok(values), Ok(sums)) =
        (<&[i32; SIGNS]>::try_from(values), <&mut [i32; SIGNS]>::try_from(&mut *sums))
    {
        for (half, signs) in [signs as u32, (signs >> 32) as u32].into_iter().enumerate() {
            for bit in 0..SIGNS / 2 {
                let at = half * (SIGNS / 2) + bit;
                // All ones where the sign is negative.
                let mask = ((signs << (SIGNS / 2 - 1 - bit)) as i32) >> 31;
                sums[at] = sums[at].wrapping_add((values[at] ^ mask).wrapping_sub(mask));
            }
        }
        return;
    }
    for (at, (sum, &value)) in sums.iter_mut().zip(values).enumerate() {
        let is_negative = (signs >> at) & 1 == 1;
        *sum = sum.wrapping_add(if is_negative { value.wrapping_neg() } else { value });
    }
}

fn norm(values: &[i64]) -> u64 {
    isqrt_u128(values.iter().map(|value| u128::from(value.unsigned_abs()).pow(2)).sum())
}

/// The middle value, or the mean of the two middle ones rounded half to even.
pub(crate) fn median_i64(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    let middle = div_half_even(i128::from(lower) + i128::from(upper), 2);
    i64::try_from(middle).expect("a median lies between the values")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The projection as the head of this file has it, one coordinate after the other.
    fn twin(row: &[i32], width: usize, seed: &Digest) -> Vec<i64> {
        let key = u64::from_le_bytes(seed.0[..8].try_into().expect("a digest has 32 bytes"));
        let mut numbers = (0..).map(|counter| splitmix64(key, counter));
        let mut sums = vec![0i64; width];
        for block in row.chunks(width) {
            let turn = numbers.next().expect("a sequence without end") % width as u64;
            let mut signs = 0;
            for (j, &value) in block.iter().enumerate() {
                if j % 64 == 0 {
                    signs = numbers.next().expect("a sequence without end");
                }
                let sign = 1 - 2 * (signs >> (j % 64) & 1) as i64;
                sums[(j + turn as usize) % width] += sign * i64::from(value);
            }
        }
        sums
    }

    #[test]
    fn the_projection_is_that_of_its_twin_up_to_the_greatest_values() {
        const LIMIT: i32 = (1 << 23) - 1;
        let seed = Digest([9; 32]);
        for width in [1, 7, 16, 63, 64, 65, 100, 128, 1_000] {
            for d in [width + 1, 2 * width, 300 * width + 5, 1_000 * width] {
                let constant = vec![LIMIT; d];
                let mixed: Vec<i32> = (0..d)
                    .map(|at| (splitmix64(3, at as u64) % (2 * LIMIT as u64 + 1)) as i32 - LIMIT)
                    .collect();
                for row in [constant, vec![-LIMIT; d], mixed] {
                    assert_eq!(
                        project(&[&row], width, &seed),
                        [twin(&row, width, &seed)],
                        "{width} {d}"
                    );
                }
            }
        }
    }

    /// Values that all have the sign they are given, so that nothing cancels.
    #[test]
    fn sums_that_only_grow_do_not_overflow() {
        const LIMIT: i32 = (1 << 23) - 1;
        let (seed, width) = (Digest([1; 32]), 64);
        let key = u64::from_le_bytes(seed.0[..8].try_into().expect("a digest has 32 bytes"));
        let row: Vec<i32> = (0..1_000 * width)
            .map(|at| {
                let signs = splitmix64(key, 2 * (at / width) as u64 + 1);
                if signs >> (at % width) & 1 == 1 {
                    -LIMIT
                } else {
                    LIMIT
                }
            })
            .collect();
        assert_eq!(project(&[&row], width, &seed), [vec![1_000 * i64::from(LIMIT); width]]);
    }
}
