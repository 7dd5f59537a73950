//! Updates as few numbers: projection, robust centre, common unit.
//!
//! With d > p the projection is a block-wise random rotation of signs: coordinate `k·p + j` is
//! added, with a random sign, to number `(j + rₖ) mod p`, `rₖ` random. Signs are independent, so
//! inner products are kept in the mean (Charikar, Chen and Farach-Colton, ICALP 2002), and a row is
//! read once, in order. With d ≤ p it is the identity.
//!
//! The signs are public. With d > p, an attacker that solves for the projection's null space is not
//! seen here; its size and direction within a round still are.

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::HistoryPolicy;
use rayon::prelude::*;

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
    let mut sketches: Vec<Vec<i64>> =
        rows.par_iter().map(|row| project(row.values, width, seed)).collect();
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

/// Sums of at most 5·10^7 values below 2^23 stay below 2^49.
fn project(row: &[i32], width: usize, seed: &Digest) -> Vec<i64> {
    if row.len() <= width {
        return row.iter().map(|&value| i64::from(value)).collect();
    }
    let key = u64::from_le_bytes(seed.0[..8].try_into().expect("a digest has 32 bytes"));
    let mut sums = vec![0i64; width];
    let mut numbers = (0..).map(|counter| splitmix64(key, counter));
    let mut next = || numbers.next().expect("a sequence without end");
    for block in row.chunks(width) {
        let turn = (next() % width as u64) as usize;
        let (low, high) = sums.split_at_mut(turn);
        // Number (j + turn) mod p: first the numbers from `turn` on, then those before it.
        let mut targets = high.iter_mut().chain(low.iter_mut());
        for values in block.chunks(64) {
            let mut signs = next();
            for &value in values {
                let sum = targets.next().expect("a block is no longer than the sketch");
                let value = i64::from(value);
                *sum += if signs & 1 == 1 { -value } else { value };
                signs >>= 1;
            }
        }
    }
    sums
}

fn norm(values: &[i64]) -> u64 {
    isqrt_u128(values.iter().map(|value| u128::from(value.unsigned_abs()).pow(2)).sum())
}

/// The middle value, or the mean of the two middle ones rounded half to even.
pub(super) fn median_i64(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    let middle = div_half_even(i128::from(lower) + i128::from(upper), 2);
    i64::try_from(middle).expect("a median lies between the values")
}
