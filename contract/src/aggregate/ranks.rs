//! The mean of the values of certain ranks in each column: median and trimmed mean in one kernel.
//!
//! A value and its row are packed into one integer, q · 2^7 + row, which fits 31 bits and orders by
//! value and then by row. So equal values have a defined order, and the kernel knows whose values
//! it used.

use super::blocks;
use super::network::{Lane, Network, LANES};
use super::{Aggregation, UpdateUse};
use crate::integer::{div_half_even, CountDivider};

/// Bits that hold the row: n ≤ 128.
const ROW_BITS: u32 = 7;

/// Packs a value with its row.
#[inline]
pub(super) fn pack(value: i32, row: usize) -> i32 {
    (value << ROW_BITS) | row as i32
}

/// The value of a packed key.
#[inline]
pub(super) fn unpack(key: i32) -> i32 {
    key >> ROW_BITS
}

/// Packs up to `LANES` columns from `from` on; missing columns are zeros.
#[inline]
pub(super) fn load(rows: &[&[i32]], from: usize, keys: &mut [Lane]) {
    for (row, (values, keys)) in rows.iter().zip(keys).enumerate() {
        let values = &values[from..];
        if let Some(values) = values.first_chunk::<LANES>() {
            for (key, &value) in keys.iter_mut().zip(values) {
                *key = pack(value, row);
            }
        } else {
            keys.fill(pack(0, row));
            for (key, &value) in keys.iter_mut().zip(values) {
                *key = pack(value, row);
            }
        }
    }
}

/// Adds to `counts` in how many of the first `columns` lanes each row's key lies within `lower` and
/// `upper`, and returns the sums of the values that do.
#[inline]
pub(super) fn sum_within(
    keys: &[Lane],
    (lower, upper): (&Lane, &Lane),
    columns: usize,
    counts: &mut [u64],
) -> Lane {
    let mut sums = [0i32; LANES];
    for (keys, count) in keys.iter().zip(counts) {
        let mut inside = [0i32; LANES];
        for lane in 0..LANES {
            let key = keys[lane];
            inside[lane] = i32::from(key >= lower[lane]) & i32::from(key <= upper[lane]);
            sums[lane] = sums[lane].wrapping_add(unpack(key) & inside[lane].wrapping_neg());
        }
        let used = inside[..columns].iter().fold(0i32, |sum, &one| sum.wrapping_add(one));
        *count += used as u64;
    }
    sums
}

/// The mean, rounded half to even, of the values of ranks `lowest..=highest` in each column.
pub(super) fn mean_of_ranks(rows: &[&[i32]], lowest: usize, highest: usize) -> Aggregation {
    let n = rows.len();
    let network = Network::for_ranks(n, [lowest, highest]);
    let divider = CountDivider::new(highest - lowest + 1);
    let mut values = vec![0; rows[0].len()];
    let counts = blocks::fill(rows, &mut values, |rows, out, counts| {
        let mut keys = vec![[0i32; LANES]; n];
        let mut sorted = keys.clone();
        for (at, out) in out.chunks_mut(LANES).enumerate() {
            load(rows, at * LANES, &mut keys);
            sorted.copy_from_slice(&keys);
            network.run(&mut sorted);
            let bounds = (&sorted[lowest], &sorted[highest]);
            let sums = sum_within(&keys, bounds, out.len(), counts);
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = divider.divide(sum);
            }
        }
    });
    let per_update = uses_of_counts(&counts, values.len(), None);
    Aggregation { values, per_update }
}

/// What each row was used for, from the number of columns that its value entered.
pub(super) fn uses_of_counts(counts: &[u64], d: usize, scores: Option<&[u64]>) -> Vec<UpdateUse> {
    counts
        .iter()
        .enumerate()
        .map(|(row, &count)| UpdateUse {
            selected: count > 0,
            used_share_micro: div_half_even(i128::from(count) * 1_000_000, d as i128) as u32,
            score: scores.map(|scores| scores[row]),
        })
        .collect()
}
