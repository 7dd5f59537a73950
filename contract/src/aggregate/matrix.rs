//! Updates as a rule sees them: the members' rows, or rows made from them by pre-aggregation.
//!
//! A pre-aggregation decides on the geometry of the updates, and then makes each of its rows from
//! the members' column by column. Such rows are computed a block at a time where they are read, so
//! that they never exist as a second matrix.

use pulp::{Simd, WithSimd};

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
    point: Option<&'a [i32]>,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(members: Vec<&'a [i32]>) -> Self {
        Self { members, stages: Vec::new(), point: None }
    }

    pub(super) fn n(&self) -> usize {
        let staged = self.stages.last().map_or(self.members.len(), Vec::len);
        staged + usize::from(self.point.is_some())
    }

    pub(super) fn d(&self) -> usize {
        self.members.first().map_or(0, |row| row.len())
    }

    /// The matrix with one more row.
    pub(super) fn with_point(&self, point: &'a [i32]) -> Self {
        assert!(self.point.is_none(), "one point is enough");
        Self { point: Some(point), ..self.clone() }
    }

    /// The matrix of rows made from these.
    pub(super) fn staged(&self, stage: Vec<Source>) -> Self {
        assert!(self.point.is_none(), "a point comes after the stages");
        let mut matrix = self.clone();
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

    /// Looks for values that are out of range, for a rule whose first pass does not read all.
    pub(super) fn check(&self) -> Result<(), OutOfRange> {
        match blocks::find_out_of_range(&self.members) {
            None => Ok(()),
            Some(_) => Err(OutOfRange),
        }
    }

    /// Some columns of every row, copied.
    pub(super) fn columns(&self, columns: &[usize]) -> Vec<Vec<i32>> {
        let mut rows = vec![Vec::with_capacity(columns.len()); self.n()];
        let mut scratch = Vec::new();
        for &column in columns {
            for (row, piece) in rows.iter_mut().zip(self.pieces(column, 1, &mut scratch)) {
                row.push(piece[0]);
            }
        }
        rows
    }

    /// `length` columns of every row from `from` on; rows that have to be made are made in
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
        let point = cut(self.point.as_slice());
        if self.stages.is_empty() {
            return [cut(&self.members), point].concat();
        }
        let mut next = Vec::new();
        for (at, stage) in self.stages.iter().enumerate() {
            next.resize_with(stage.len(), Vec::new);
            let rows: Vec<&[i32]> = if at == 0 {
                cut(&self.members)
            } else {
                scratch.iter().map(Vec::as_slice).collect()
            };
            simd::run(Stage { sources: stage, rows: &rows, made: &mut next });
            std::mem::swap(scratch, &mut next);
        }
        scratch.iter().map(Vec::as_slice).chain(point).collect()
    }
}

struct Stage<'a> {
    sources: &'a [Source],
    rows: &'a [&'a [i32]],
    made: &'a mut [Vec<i32>],
}

impl WithSimd for Stage<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sources, rows, made } = self;
        let length = rows[0].len();
        let mut total: Vec<i32> = Vec::new();
        for (source, out) in sources.iter().zip(made) {
            out.clear();
            match source {
                Source::Row(row) => out.extend_from_slice(rows[*row]),
                Source::Scaled { row, factor } => {
                    out.extend(rows[*row].iter().map(|&value| scale(value, *factor)));
                }
                Source::Mean(of) => {
                    // The fewer additions: the rows, or all rows less the others.
                    if 2 * of.len() <= rows.len() {
                        out.resize(length, 0);
                        of.iter().for_each(|&row| add(out, rows[row]));
                    } else {
                        if total.is_empty() {
                            total.resize(length, 0);
                            rows.iter().for_each(|row| add(&mut total, row));
                        }
                        out.extend_from_slice(&total);
                        let others = (0..rows.len()).filter(|row| of.binary_search(row).is_err());
                        others.for_each(|row| subtract(out, rows[row]));
                    }
                    let divider = CountDivider::new(of.len());
                    out.iter_mut().for_each(|value| *value = divider.divide(*value));
                }
            }
        }
    }
}

#[inline(always)]
fn add(sums: &mut [i32], row: &[i32]) {
    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum = sum.wrapping_add(value));
}

#[inline(always)]
fn subtract(sums: &mut [i32], row: &[i32]) {
    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum = sum.wrapping_sub(value));
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
        assert_eq!(staged.with_point(&point).n(), 4);
        assert_eq!(matrix.picked(&[3, 0]).pieces(0, 1, &mut scratch), [[7], [1]]);
    }
}
