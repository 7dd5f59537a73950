//! The columns in blocks, which are independent and may run on any number of threads.

use rayon::prelude::*;

use crate::canonical::first_out_of_range;

/// Columns of one block. A block of 25 rows is 100 KB, so it stays in the second-level cache while
/// a rule passes over it more than once.
pub(super) const BLOCK: usize = 1024;

/// Row and column of the first value (by row, then column) whose magnitude is 2^23 or more.
pub(super) fn find_out_of_range(rows: &[&[i32]]) -> Option<(usize, usize)> {
    rows.iter().enumerate().find_map(|(row, values)| {
        values
            .par_chunks(64 * BLOCK)
            .enumerate()
            .find_map_first(|(chunk, values)| {
                first_out_of_range(values).map(|at| chunk * 64 * BLOCK + at)
            })
            .map(|column| (row, column))
    })
}

/// Fills `values` (d) block by block: `kernel` gets the rows' pieces of a block, the piece of the
/// result, and one counter for each row. Returns the counters summed over the blocks; integer sums
/// do not depend on the order in which blocks finish.
pub(super) fn fill(
    rows: &[&[i32]],
    values: &mut [i32],
    kernel: impl Fn(&[&[i32]], &mut [i32], &mut [u64]) + Sync,
) -> Vec<u64> {
    let zero = || vec![0u64; rows.len()];
    values
        .par_chunks_mut(BLOCK)
        .enumerate()
        .fold(zero, |mut counts, (block, out)| {
            kernel(&pieces(rows, block, out.len()), out, &mut counts);
            counts
        })
        .reduce(zero, add)
}

/// Sums over the blocks what `kernel` adds to `size` totals for each.
pub(super) fn sum(
    rows: &[&[i32]],
    size: usize,
    kernel: impl Fn(&[&[i32]], &mut [u128]) + Sync,
) -> Vec<u128> {
    let d = rows.first().map_or(0, |row| row.len());
    let zero = || vec![0u128; size];
    (0..d.div_ceil(BLOCK))
        .into_par_iter()
        .fold(zero, |mut totals, block| {
            kernel(&pieces(rows, block, BLOCK.min(d - block * BLOCK)), &mut totals);
            totals
        })
        .reduce(zero, add)
}

fn pieces<'a>(rows: &[&'a [i32]], block: usize, length: usize) -> Vec<&'a [i32]> {
    rows.iter().map(|row| &row[block * BLOCK..][..length]).collect()
}

fn add<T: Copy + std::ops::Add<Output = T>>(mut left: Vec<T>, right: Vec<T>) -> Vec<T> {
    left.iter_mut().zip(right).for_each(|(left, right)| *left = *left + right);
    left
}
