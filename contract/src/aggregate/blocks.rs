//! The columns in blocks, which are independent and may run on any number of threads.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::Matrix;
use super::{simd, OutOfRange};
use crate::canonical::{first_out_of_range, VALUE_LIMIT};

/// Columns of one block: 25 rows of it fill half of a second-level cache.
pub(super) const BLOCK: usize = 4096;

/// Row and column of the first value (by row, then column) whose magnitude is 2^23 or more.
pub(super) fn find_out_of_range(rows: &[&[i32]]) -> Option<(usize, usize)> {
    rows.iter().enumerate().find_map(|(row, values)| {
        values
            .par_chunks(16 * BLOCK)
            .enumerate()
            .find_map_first(|(chunk, values)| {
                first_out_of_range(values).map(|at| chunk * 16 * BLOCK + at)
            })
            .map(|column| (row, column))
    })
}

/// Whether the magnitudes of all values are below 2^23.
pub(super) fn is_in_range(rows: &[&[i32]]) -> bool {
    let chunks = |row: &&[i32]| row.par_chunks(16 * BLOCK).all(|chunk| simd::run(InRange(chunk)));
    rows.iter().all(chunks)
}

struct InRange<'a>(&'a [i32]);

impl WithSimd for InRange<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        self.0.iter().fold(0, |most, value| value.unsigned_abs().max(most)) < VALUE_LIMIT as u32
    }
}

/// What one thread keeps while it goes from block to block.
struct Worker<T> {
    totals: Vec<T>,
    scratch: Vec<Vec<i32>>,
    in_range: bool,
}

impl<T: Copy + Default + std::ops::Add<Output = T>> Worker<T> {
    fn new(size: usize) -> Self {
        Self { totals: vec![T::default(); size], scratch: Vec::new(), in_range: true }
    }

    /// Integer sums do not depend on the order in which blocks finish.
    fn join(mut self, other: Self) -> Self {
        self.totals.iter_mut().zip(other.totals).for_each(|(left, right)| *left = *left + right);
        self.in_range &= other.in_range;
        self
    }

    fn finish(self) -> Result<Vec<T>, OutOfRange> {
        self.in_range.then_some(self.totals).ok_or(OutOfRange)
    }
}

/// Fills `values` (d) block by block: `kernel` gets the rows' pieces of a block, the piece of the
/// result, and one counter for each row, and says whether the values that it read are in range.
/// Returns the counters summed over the blocks.
pub(super) fn fill(
    matrix: &Matrix<'_>,
    values: &mut [i32],
    kernel: impl Fn(&[&[i32]], &mut [i32], &mut [u64]) -> bool + Sync,
) -> Result<Vec<u64>, OutOfRange> {
    let start = || Worker::<u64>::new(matrix.n());
    let block_length = matrix.block();
    values
        .par_chunks_mut(block_length)
        .enumerate()
        .fold(start, |mut worker, (block, out)| {
            let Worker { totals, scratch, in_range } = &mut worker;
            let pieces = matrix.pieces(block * block_length, out.len(), scratch);
            *in_range &= kernel(&pieces, out, totals);
            drop(pieces);
            worker
        })
        .reduce(start, Worker::join)
        .finish()
}

/// Blocks that are one piece where there are many: what a kernel waits for at the beginning of each
/// piece then counts less.
pub(super) const LONG: usize = 4;

/// Sums over pieces of at most `LONG` blocks what `kernel` adds to `size` totals for each; it says
/// whether the values that it read are in range.
pub(super) fn sum(
    matrix: &Matrix<'_>,
    size: usize,
    kernel: impl Fn(&[&[i32]], &mut [u128]) -> bool + Sync,
) -> Result<Vec<u128>, OutOfRange> {
    let d = matrix.d();
    // As short as they are for others where threads would not share the work evenly otherwise.
    let block = matrix.block() * if d < 64 * BLOCK { 1 } else { LONG };
    sum_parts(d.div_ceil(block), size, |part, scratch, totals| {
        let from = part * block;
        kernel(&matrix.pieces(from, block.min(d - from), scratch), totals)
    })
}

/// Sums over `parts` what `kernel` adds to `size` totals for each, with a thread's scratch for
/// [`Matrix::pieces`]; it says whether the values that it read are in range.
pub(super) fn sum_parts(
    parts: usize,
    size: usize,
    kernel: impl Fn(usize, &mut Vec<Vec<i32>>, &mut [u128]) -> bool + Sync,
) -> Result<Vec<u128>, OutOfRange> {
    let start = || Worker::<u128>::new(size);
    // A worker for each stretch that a thread takes up: no more of them than share the work evenly.
    let stretch = parts.div_ceil(4 * rayon::current_num_threads());
    (0..parts)
        .into_par_iter()
        .with_min_len(stretch)
        .fold(start, |mut worker, part| {
            let Worker { totals, scratch, in_range } = &mut worker;
            *in_range &= kernel(part, scratch, totals);
            worker
        })
        .reduce(start, Worker::join)
        .finish()
}
