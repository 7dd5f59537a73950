//! Squared distances between the rows over columns that were drawn.
//!
//! The columns of all draws are gathered while going through the rows once, in order: what a draw
//! asks for one by one would be a wait for memory each time.

use rayon::prelude::*;

use super::blocks::{self, BLOCK};
use super::matrix::Matrix;
use super::pairs::{add_distances, mirror};
use super::OutOfRange;
use crate::canonical::VALUE_LIMIT;

/// About how many columns of a draw are gathered before they are multiplied.
const GATHERED: usize = 512;

/// ‖x_i − x_j‖² over the columns of each draw, one of which may hold a column several times: n × n,
/// row-major, symmetric, zero on the diagonal.
pub(super) fn pairwise(
    matrix: &Matrix<'_>,
    draws: &[Vec<usize>],
) -> Result<Vec<Vec<u128>>, OutOfRange> {
    let (n, d) = (matrix.n(), matrix.d());
    let block = matrix.block();
    let blocks = d.div_ceil(block);
    let sorted: Vec<ByBlock> =
        draws.par_iter().map(|columns| ByBlock::new(columns, block, blocks)).collect();
    let most = draws.iter().map(Vec::len).max().unwrap_or(0);
    let stride = (blocks * GATHERED / most.max(1)).clamp(1, blocks);
    let size = n * n;
    let parts = blocks.div_ceil(stride);
    let totals = blocks::sum_parts(parts, draws.len() * size, |part, scratch, totals| {
        // A little over what a part has of a draw, more or less.
        let row = |_| Vec::with_capacity(GATHERED + GATHERED / 8);
        let mut gathered: Vec<Vec<Vec<i32>>> =
            draws.iter().map(|_| (0..n).map(row).collect()).collect();
        for at in (part * stride..blocks).take(stride) {
            let from = at * block;
            let pieces = matrix.pieces(from, block.min(d - from), scratch);
            for (sorted, rows) in sorted.iter().zip(&mut gathered) {
                let columns = sorted.of(at);
                for (row, piece) in rows.iter_mut().zip(&pieces) {
                    row.extend(columns.iter().map(|&column| piece[usize::from(column)]));
                }
            }
        }
        let each = gathered.iter().zip(totals.chunks_exact_mut(size));
        let greatest = each.map(|(rows, totals)| add_in_blocks(rows, totals)).max();
        greatest.unwrap_or(0) < VALUE_LIMIT.unsigned_abs()
    })?;
    let mut distances: Vec<Vec<u128>> = totals.chunks_exact(size).map(<[u128]>::to_vec).collect();
    distances.iter_mut().for_each(|distances| mirror(distances, n));
    Ok(distances)
}

/// Adds the distances over any number of columns; the greatest magnitude of a value.
fn add_in_blocks(rows: &[Vec<i32>], totals: &mut [u128]) -> u32 {
    let columns = rows.first().map_or(0, Vec::len);
    let parts = (0..columns).step_by(BLOCK).map(|from| from..columns.min(from + BLOCK));
    let each = parts.map(|part| {
        let rows: Vec<&[i32]> = rows.iter().map(|row| &row[part.clone()]).collect();
        add_distances(&rows, totals)
    });
    each.max().unwrap_or(0)
}

/// Columns by the block that they are in, counted from its first.
struct ByBlock {
    /// Where a block's columns begin, and at the end, where they end.
    begins: Vec<usize>,
    columns: Vec<u16>,
}

impl ByBlock {
    /// Counts the columns of each block, and then puts them in their places.
    fn new(columns: &[usize], block: usize, blocks: usize) -> Self {
        let mut begins = vec![0; blocks + 1];
        columns.iter().for_each(|column| begins[column / block + 1] += 1);
        for at in 0..blocks {
            begins[at + 1] += begins[at];
        }
        let mut next = begins.clone();
        let mut sorted = vec![0; columns.len()];
        for column in columns {
            let place = &mut next[column / block];
            sorted[*place] = (column % block) as u16;
            *place += 1;
        }
        Self { begins, columns: sorted }
    }

    fn of(&self, block: usize) -> &[u16] {
        &self.columns[self.begins[block]..self.begins[block + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(d: usize, draws: &[Vec<usize>]) {
        let mut state = 1u64;
        let mut value = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 32) as i32) >> 9
        };
        let rows: Vec<Vec<i32>> = (0..4).map(|_| (0..d).map(|_| value()).collect()).collect();
        let matrix = Matrix::new(rows.iter().map(Vec::as_slice).collect());
        let found = pairwise(&matrix, draws).expect("values are in range");
        for (columns, found) in draws.iter().zip(found) {
            for (at, &distance) in found.iter().enumerate() {
                let (a, b) = (&rows[at / 4], &rows[at % 4]);
                let square = |&k: &usize| u128::from(a[k].abs_diff(b[k])).pow(2);
                assert_eq!(distance, columns.iter().map(square).sum(), "d {d}, {at}");
            }
        }
    }

    #[test]
    fn drawn_columns_count_as_often_as_they_were_drawn() {
        check(1, &[vec![0, 0, 0], vec![], vec![0]]);
        check(BLOCK, &[vec![BLOCK - 1, 0, 7, 7], vec![3]]);
        check(BLOCK + 1, &[vec![BLOCK, 0, BLOCK, BLOCK - 1]]);
        let many = |step: usize| (0..9_000).map(|at| at * step % 20_000).collect::<Vec<usize>>();
        check(20_000, &[many(1), many(7), many(4_099)]);
        // More of one block than a block has.
        check(20_000, &[vec![19_999; 3 * BLOCK + 1]]);
    }

    #[test]
    fn a_drawn_value_that_is_out_of_range_is_noticed() {
        let rows = [vec![0, 1 << 23, 0], vec![1, 2, 3]];
        let matrix = Matrix::new(rows.iter().map(Vec::as_slice).collect());
        assert_eq!(pairwise(&matrix, &[vec![0, 2]]), Ok(vec![vec![0, 10, 10, 0]]));
        assert_eq!(pairwise(&matrix, &[vec![0], vec![1]]), Err(OutOfRange));
    }
}
