//! Updates as a rule sees them: the members' rows, or rows made from them by pre-aggregation.
//!
//! A pre-aggregation decides on the geometry of the updates, and then makes each of its rows from
//! the members' column by column. Such rows are computed a block at a time where they are read, so
//! that they never exist as a second matrix.

use pulp::{Simd, WithSimd};

use super::blocks::{BLOCK, LONG};
use super::{blocks, simd, OutOfRange};
use crate::integer::CountDivider;

/// Binary digits of a scale factor.
pub(super) const FACTOR_BITS: u32 = 30;

/// How a row is made from the rows before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A row as it is.
    Row(usize),
    /// The mean of some rows, in ascending order, each value rounded half to even.
    Mean(Vec<usize>),
    /// A row times `factor` / 2^30, at most 1, each value rounded half to even.
    Scaled {
        /// The row.
        row: usize,
        /// 0 to 2^30.
        factor: u32,
    },
}

/// n × d, given by its rows.
#[derive(Debug, Clone)]
pub(super) struct Matrix<'a> {
    members: Vec<&'a [i32]>,
    stages: Vec<Vec<Source>>,
    /// A further row at the end, which no stage touches.
    point: Option<Point<'a>>,
    /// ‖x_i − x_j‖² of the members' rows, where somebody has computed them before.
    distances: Option<&'a [u128]>,
}

#[derive(Debug, Clone, Copy)]
enum Point<'a> {
    /// All zeros, without having them in memory d times.
    Origin,
    At(&'a [i32]),
}

/// As many zeros as are ever asked for in one piece.
static ZEROS: [i32; LONG * BLOCK] = [0; LONG * BLOCK];

impl<'a> Matrix<'a> {
    pub(super) fn new(members: Vec<&'a [i32]>) -> Self {
        Self { members, stages: Vec::new(), point: None, distances: None }
    }

    /// The matrix with the squared distances between every two of its rows (n × n, row-major), which
    /// also says that the rows' values are in range.
    pub(super) fn with_distances(self, distances: Option<&'a [u128]>) -> Self {
        let n = self.n();
        assert!(distances.is_none_or(|all| all.len() == n * n), "a distance for every two rows");
        Self { distances, ..self }
    }

    /// The squared distances between every two rows, where they are known.
    pub(super) fn distances(&self) -> Option<&'a [u128]> {
        self.distances
    }

    pub(super) fn n(&self) -> usize {
        let staged = self.stages.last().map_or(self.members.len(), Vec::len);
        staged + usize::from(self.point.is_some())
    }

    pub(super) fn d(&self) -> usize {
        self.members.first().map_or(0, |row| row.len())
    }

    /// The matrix with one more row, of zeros when `point` is absent.
    pub(super) fn with_point(&self, point: Option<&'a [i32]>) -> Self {
        assert!(self.point.is_none(), "one point is enough");
        let point = Some(point.map_or(Point::Origin, Point::At));
        Self { point, distances: None, ..self.clone() }
    }

    /// The matrix of rows made from these.
    pub(super) fn staged(&self, stage: Vec<Source>) -> Self {
        assert!(self.point.is_none(), "a point comes after the stages");
        let mut matrix = Self { distances: None, ..self.clone() };
        let plain: Option<Vec<usize>> = stage
            .iter()
            .map(|source| if let Source::Row(row) = source { Some(*row) } else { None })
            .collect();
        match plain {
            Some(rows) if matrix.stages.is_empty() => {
                matrix.members = rows.iter().map(|&row| self.members[row]).collect();
            }
            _ => matrix.stages.push(stage),
        }
        matrix
    }

    /// The matrix of some of the rows.
    pub(super) fn picked(&self, rows: &[usize]) -> Self {
        self.staged(rows.iter().map(|&row| Source::Row(row)).collect())
    }

    /// Looks for values that are out of range in some of the members' rows, for a rule whose other
    /// passes do not read all. Rows that are made come of a stage that has.
    pub(super) fn check(&self, of: impl Fn(usize) -> bool) -> Result<(), OutOfRange> {
        if !self.stages.is_empty() {
            return Ok(());
        }
        let rows: Vec<&[i32]> =
            (0..self.members.len()).filter(|&row| of(row)).map(|row| self.members[row]).collect();
        blocks::is_in_range(&rows).then_some(()).ok_or(OutOfRange)
    }

    /// How many columns are worked on in one go: fewer where rows are made, since a cache has to
    /// hold those and what they are made of.
    pub(super) fn block(&self) -> usize {
        if self.stages.is_empty() {
            BLOCK
        } else {
            BLOCK / 4
        }
    }

    /// `length` columns of every row from `from` on, at most `LONG` blocks; rows that have to be made are made in
    /// `scratch`.
    pub(super) fn pieces<'b>(
        &self,
        from: usize,
        length: usize,
        scratch: &'b mut Vec<Vec<i32>>,
    ) -> Vec<&'b [i32]>
    where
        'a: 'b,
    {
        let cut = |rows: &[&'a [i32]]| -> Vec<&'b [i32]> {
            rows.iter().map(|row| &row[from..from + length]).collect()
        };
        let point = self.point.map(|point| match point {
            Point::Origin => &ZEROS[..length],
            Point::At(row) => &row[from..from + length],
        });
        if self.stages.is_empty() {
            return cut(&self.members).into_iter().chain(point).collect();
        }
        let mut next = Vec::new();
        for (at, stage) in self.stages.iter().enumerate() {
            next.resize_with(stage.len(), Vec::new);
            let rows: Vec<&[i32]> = if at == 0 {
                cut(&self.members)
            } else {
                scratch.iter().map(Vec::as_slice).collect()
            };
            simd::run(Stage {
                sources: stage,
                rows: &rows,
                made: &mut next,
                copied: self.stages.len() > 1,
            });
            std::mem::swap(scratch, &mut next);
        }
        let made = scratch.iter().map(Vec::as_slice);
        if let [stage] = self.stages.as_slice() {
            let piece = |(source, made): (&Source, &'b [i32])| match source {
                Source::Row(row) => &self.members[*row][from..from + length],
                _ => made,
            };
            return stage.iter().zip(made).map(piece).chain(point).collect();
        }
        made.chain(point).collect()
    }
}

struct Stage<'a> {
    sources: &'a [Source],
    rows: &'a [&'a [i32]],
    made: &'a mut [Vec<i32>],
    /// Whether rows that stay as they are are made, too.
    copied: bool,
}

impl WithSimd for Stage<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sources, rows, made, copied } = self;
        let length = rows[0].len();
        let mut total: Vec<i32> = Vec::new();
        for (source, out) in sources.iter().zip(made) {
            out.clear();
            match source {
                Source::Row(row) if copied => out.extend_from_slice(rows[*row]),
                Source::Row(_) => {}
                Source::Scaled { row, factor } => {
                    out.extend(rows[*row].iter().map(|&value| scale(value, *factor)));
                }
                Source::Mean(of) => {
                    out.resize(length, 0);
                    let divider = CountDivider::new(of.len());
                    // The fewer additions: the rows, or all rows less the others.
                    if 2 * of.len() <= rows.len() {
                        let of: Vec<&[i32]> = of.iter().map(|&row| rows[row]).collect();
                        add(&of, out);
                        out.iter_mut().for_each(|value| *value = divider.divide(*value));
                    } else {
                        if total.is_empty() {
                            total.resize(length, 0);
                            add(rows, &mut total);
                        }
                        let others = (0..rows.len()).filter(|row| of.binary_search(row).is_err());
                        let others: Vec<&[i32]> = others.map(|row| rows[row]).collect();
                        add(&others, out);
                        for (value, total) in out.iter_mut().zip(&total) {
                            *value = divider.divide(total.wrapping_sub(*value));
                        }
                    }
                }
            }
        }
    }
}

/// Columns whose sums stay in registers.
const TILE: usize = 32;

/// The sum of rows.
#[inline(always)]
fn add(rows: &[&[i32]], sums: &mut [i32]) {
    let mut from = 0;
    let mut tiles = sums.chunks_exact_mut(TILE);
    for sums in &mut tiles {
        let mut tile = [0i32; TILE];
        for row in rows {
            let values: &[i32; TILE] =
                row[from..from + TILE].try_into().expect("the range has that length");
            for at in 0..TILE {
                tile[at] = tile[at].wrapping_add(values[at]);
            }
        }
        sums.copy_from_slice(&tile);
        from += TILE;
    }
    for (at, sum) in tiles.into_remainder().iter_mut().enumerate() {
        *sum = rows.iter().fold(0, |sum, row| sum.wrapping_add(row[from + at]));
    }
}

/// `value · factor / 2^30`, rounded half to even.
#[inline(always)]
pub(super) fn scale(value: i32, factor: u32) -> i32 {
    let product = i64::from(value).wrapping_mul(i64::from(factor));
    // Half a unit, less one when the floor is even, so that a tie goes to the even side.
    let floor_is_odd = (product >> FACTOR_BITS) & 1;
    let half = (1i64 << (FACTOR_BITS - 1)).wrapping_sub(1);
    (product.wrapping_add(half).wrapping_add(floor_is_odd) >> FACTOR_BITS) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integer::div_half_even;

    #[test]
    fn scaling_rounds_half_to_even() {
        let limit = (1 << 23) - 1;
        for value in [0, 1, -1, 2, 3, -3, 5, 7, limit, -limit, 12_345, -54_321] {
            for factor in [0, 1, 1 << 28, 1 << 29, 3 << 28, (1 << 30) - 1, 1 << 30, 123_456_789] {
                let exact = div_half_even(i128::from(value) * i128::from(factor), 1 << FACTOR_BITS);
                assert_eq!(i128::from(scale(value, factor)), exact, "{value} by {factor}");
            }
        }
    }

    #[test]
    fn rows_are_made_from_rows_that_were_made() {
        let rows = [vec![1, 10, -4], vec![2, 20, 5], vec![4, 41, 6], vec![7, 70, 80]];
        let matrix = Matrix::new(rows.iter().map(Vec::as_slice).collect());
        let means = vec![
            Source::Mean(vec![0, 1]),
            Source::Mean(vec![0, 1, 2]),
            Source::Row(3),
            Source::Scaled { row: 2, factor: 1 << 29 },
        ];
        let staged = matrix.staged(means).picked(&[0, 1, 3]);
        let mut scratch = Vec::new();
        let pieces = staged.pieces(1, 2, &mut scratch);
        assert_eq!(pieces, [[15, 0], [24, 2], [20, 3]]);
        let point = [9, 9, 9];
        assert_eq!(staged.with_point(Some(&point)).n(), 4);
        let with_zeros = matrix.picked(&[3]).with_point(None);
        assert_eq!(with_zeros.pieces(1, 2, &mut scratch), [[70, 80], [0, 0]]);
        assert_eq!(matrix.picked(&[3, 0]).pieces(0, 1, &mut scratch), [[7], [1]]);
    }
}
