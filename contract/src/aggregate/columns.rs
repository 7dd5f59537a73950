//! One kernel for the rules that order each column: a window of the sorted values, its mean, and
//! whose values lie in it.
//!
//! A rule averages the values of certain ranks. Their sum follows from the window's ends alone:
//! every value clamped to them, summed, less the ends as often as values were clamped. A value is
//! *used* when clamping leaves it as it is, so that values equal to a used one are used too, and
//! neither the sum nor the counts depend on the order of the rows.

use std::array::from_fn;

use fedledger_ledger::limits::MEMBERS_MAX;
use pulp::{Simd, WithSimd};

use super::blocks;
use super::matrix::Matrix;
use super::network::sort_group;
use super::plan::Plan;
use super::simd::{self, prefetch};
use super::OutOfRange;
use crate::canonical::VALUE_LIMIT;
use crate::integer::CountDivider;

/// Vectors that are worked on side by side.
const VECTORS: usize = 4;
/// How many steps before it is worked on a piece of memory is asked for.
const AHEAD: usize = 4;
/// A number of columns that every instruction set's vectors divide.
pub(super) const TILE_COLUMNS: usize = 64;

/// Which of a column's sorted values are averaged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Window {
    /// Those of ranks `lowest..=highest`.
    Ranks {
        /// Least rank, from 0.
        lowest: usize,
        /// Greatest rank.
        highest: usize,
    },
    /// The `kept` values closest to the median: of two windows that are equally close the lower.
    AroundMedian {
        /// Number of values, at least one.
        kept: usize,
    },
}

impl Window {
    fn size(self) -> usize {
        match self {
            Self::Ranks { lowest, highest } => highest - lowest + 1,
            Self::AroundMedian { kept } => kept,
        }
    }
}

/// The mean of each column's window, rounded half to even, and in how many columns each row's value
/// is in it.
pub(super) fn mean_of_window(
    matrix: &Matrix<'_>,
    window: Window,
) -> Result<(Vec<i32>, Vec<u64>), OutOfRange> {
    let plan = match window {
        Window::Ranks { lowest, highest } => Plan::to_select(matrix.n(), lowest, highest),
        Window::AroundMedian { .. } => Plan::to_sort(matrix.n()),
    };
    let divider = CountDivider::new(window.size());
    let mut values = vec![0; matrix.d()];
    let counts = blocks::fill(matrix, &mut values, |rows, out, counts| {
        let whole = out.len() / TILE_COLUMNS * TILE_COLUMNS;
        let (tiles, rest) = out.split_at_mut(whole);
        let heads: Vec<&[i32]> = rows.iter().map(|row| &row[..whole]).collect();
        let kernel = |rows: &[&[i32]], out: &mut [i32], counts: &mut [u64]| {
            simd::run(Kernel { plan: &plan, window, divider, rows, out, counts })
        };
        let in_range = kernel(&heads, tiles, counts);
        if rest.is_empty() {
            return in_range;
        }
        // The last columns, filled up with zeros, in which every row counts as used.
        let padded: Vec<[i32; TILE_COLUMNS]> = rows
            .iter()
            .map(|row| from_fn(|column| row.get(whole + column).copied().unwrap_or(0)))
            .collect();
        let tails: Vec<&[i32]> = padded.iter().map(<[i32; TILE_COLUMNS]>::as_slice).collect();
        let mut last = [0; TILE_COLUMNS];
        let tail_in_range = kernel(&tails, &mut last, counts);
        rest.copy_from_slice(&last[..rest.len()]);
        let added = (TILE_COLUMNS - rest.len()) as u64;
        counts.iter_mut().for_each(|count| *count -= added);
        in_range & tail_in_range
    })?;
    Ok((values, counts))
}

type Tile<V> = super::network::Tile<V, VECTORS>;

/// A tile of each row, or of each rank.
type Places<V> = [Tile<V>; MEMBERS_MAX];

#[inline(always)]
fn tile<V>(vectors: [V; VECTORS]) -> Tile<V> {
    super::network::Tile(vectors)
}

/// Works on blocks of columns, a multiple of `TILE_COLUMNS`; whether all values are in range.
struct Kernel<'a> {
    plan: &'a Plan,
    window: Window,
    divider: CountDivider,
    rows: &'a [&'a [i32]],
    out: &'a mut [i32],
    counts: &'a mut [u64],
}

impl WithSimd for Kernel<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let zero = simd.splat_i32s(0);
        let rows: Vec<&[S::i32s]> = self.rows.iter().map(|row| S::as_simd_i32s(row).0).collect();
        let mut inputs = [tile([zero; VECTORS]); MEMBERS_MAX];
        let mut places = inputs;
        let mut counters = vec![zero; rows.len()];
        let mut range = (zero, zero);
        let (sums, _) = S::as_mut_simd_i32s(self.out);
        for (at, sums) in sums.chunks_exact_mut(VECTORS).enumerate() {
            load::<S>(&rows, at * VECTORS, &mut inputs);
            let inputs = &inputs[..rows.len()];
            sort(simd, self.plan, inputs, &mut places);
            widen(simd, self.plan, &places, &mut range);
            let ends = ends::<S>(simd, self.plan, self.window, &places);
            let totals = match self.window {
                Window::Ranks { lowest, highest } if highest - lowest <= 1 => {
                    match_ends(simd, inputs, &ends, lowest == highest, &mut counters)
                }
                _ => clamp(simd, inputs, &ends, &mut counters),
            };
            sums.copy_from_slice(&totals.0);
        }
        if self.window.size() > 1 {
            for value in self.out.iter_mut() {
                *value = self.divider.divide(*value);
            }
        }
        for (count, counter) in self.counts.iter_mut().zip(&counters) {
            let lanes: &[u32] = pulp::bytemuck::cast_slice(std::slice::from_ref(counter));
            *count += lanes.iter().map(|&lane| u64::from(lane)).sum::<u64>();
        }
        in_range::<S>(range)
    }
}

#[inline(always)]
fn in_range<S: Simd>((least, greatest): (S::i32s, S::i32s)) -> bool {
    let lanes = |vector: &S::i32s| -> Vec<i32> {
        pulp::bytemuck::cast_slice(std::slice::from_ref(vector)).to_vec()
    };
    lanes(&least).iter().all(|&value| value > -VALUE_LIMIT)
        && lanes(&greatest).iter().all(|&value| value < VALUE_LIMIT)
}

/// Copies a tile of each row to where the next one is beside it: rows are often as far apart as a
/// cache has room for few of, and are read twice.
#[inline(always)]
fn load<S: Simd>(rows: &[&[S::i32s]], from: usize, inputs: &mut Places<S::i32s>) {
    const LINE_BYTES: usize = 64;
    for (row, input) in rows.iter().zip(inputs) {
        let ahead = from + AHEAD * VECTORS;
        let vectors = row.get(ahead..ahead + VECTORS).unwrap_or_default();
        vectors.iter().step_by(LINE_BYTES.div_ceil(size_of::<S::i32s>())).for_each(prefetch);
        let piece: &[S::i32s; VECTORS] =
            row[from..from + VECTORS].try_into().expect("the range has that length");
        *input = tile(*piece);
    }
}

/// Brings the columns of `VECTORS` vectors into the plan's order.
#[inline(always)]
fn sort<S: Simd>(simd: S, plan: &Plan, inputs: &[Tile<S::i32s>], places: &mut Places<S::i32s>) {
    let mut first = 0;
    for &size in &plan.groups {
        let group = first..first + size;
        sort_group::<S, VECTORS>(simd, &inputs[group.clone()], &mut places[group]);
        first += size;
    }
    for &(low, high) in &plan.steps {
        let (a, b) = (place::<S>(places, low), place::<S>(places, high));
        places[usize::from(low) % MEMBERS_MAX] = tile(from_fn(|v| simd.min_i32s(a.0[v], b.0[v])));
        places[usize::from(high) % MEMBERS_MAX] = tile(from_fn(|v| simd.max_i32s(a.0[v], b.0[v])));
    }
}

/// A place by its number, which is below the number of places: the remainder tells the compiler.
#[inline(always)]
fn place<S: Simd>(places: &Places<S::i32s>, number: u8) -> Tile<S::i32s> {
    places[usize::from(number) % MEMBERS_MAX]
}

/// Widens `range` to the least and greatest values of the columns, which begin and end the sorted
/// lists.
#[inline(always)]
fn widen<S: Simd>(simd: S, plan: &Plan, places: &Places<S::i32s>, range: &mut (S::i32s, S::i32s)) {
    for list in &plan.lists {
        let (first, last) = (list[0], list[list.len() - 1]);
        let (first, last) = (place::<S>(places, first).0, place::<S>(places, last).0);
        for v in 0..VECTORS {
            range.0 = simd.min_i32s(range.0, first[v]);
            range.1 = simd.max_i32s(range.1, last[v]);
        }
    }
}

/// The ends of a window, and how many values lie below and above it in rank.
struct Ends<V> {
    lower: Tile<V>,
    upper: Tile<V>,
    below: Tile<V>,
    above: Tile<V>,
}

#[inline(always)]
fn ends<S: Simd>(simd: S, plan: &Plan, window: Window, places: &Places<S::i32s>) -> Ends<S::i32s> {
    let n = plan.lists.iter().map(Vec::len).sum::<usize>();
    let all = |value: usize| tile([simd.splat_i32s(value as i32); VECTORS]);
    match window {
        Window::Ranks { lowest, highest } => {
            let lower = select::<S>(simd, &plan.lowest, places);
            let upper =
                if highest == lowest { lower } else { select::<S>(simd, &plan.highest, places) };
            Ends { lower, upper, below: all(lowest), above: all(n - 1 - highest) }
        }
        Window::AroundMedian { kept } => around_median::<S>(simd, &plan.lists[0], places, kept),
    }
}

/// The least over some pairs of places of the greater of both values.
#[inline(always)]
fn select<S: Simd>(simd: S, pairs: &[(u8, u8)], places: &Places<S::i32s>) -> Tile<S::i32s> {
    let mut least = tile([simd.splat_i32s(i32::MAX); VECTORS]);
    for &(a, b) in pairs {
        let (a, b) = (place::<S>(places, a), place::<S>(places, b));
        least = tile(from_fn(|v| simd.min_i32s(least.0[v], simd.max_i32s(a.0[v], b.0[v]))));
    }
    least
}

/// The window of `kept` sorted values around the median.
///
/// A window that starts at j is worse than the next one when its least value x_j is farther from
/// the median m than x_{j+kept}: m − x_j > x_{j+kept} − m, which is x_j + x_{j+kept} < 2m. The left
/// side grows with j, so the comparisons are true up to some j and false from there on.
#[inline(always)]
fn around_median<S: Simd>(
    simd: S,
    order: &[u8],
    places: &Places<S::i32s>,
    kept: usize,
) -> Ends<S::i32s> {
    let n = order.len();
    let sorted = |rank: usize| &places[usize::from(order[rank]) % MEMBERS_MAX].0;
    let (one, zero) = (simd.splat_i32s(1), simd.splat_i32s(0));
    let mut lower = tile(*sorted(0));
    let mut upper = tile(*sorted(kept - 1));
    let mut below = tile([zero; VECTORS]);
    for j in 0..n - kept {
        for v in 0..VECTORS {
            let twice_median = simd.add_i32s(sorted((n - 1) / 2)[v], sorted(n / 2)[v]);
            let ends = simd.add_i32s(sorted(j)[v], sorted(j + kept)[v]);
            let moves = simd.less_than_i32s(ends, twice_median);
            lower.0[v] = simd.select_i32s(moves, sorted(j + 1)[v], lower.0[v]);
            upper.0[v] = simd.select_i32s(moves, sorted(j + kept)[v], upper.0[v]);
            below.0[v] = simd.select_i32s(moves, simd.add_i32s(below.0[v], one), below.0[v]);
        }
    }
    let outside = simd.splat_i32s((n - kept) as i32);
    let above = tile(from_fn(|v| simd.sub_i32s(outside, below.0[v])));
    Ends { lower, upper, below, above }
}

/// The sums of windows of one value or of two: their ends, whose equals alone are used. Counts those
/// in `counters`, row by row.
#[inline(always)]
fn match_ends<S: Simd>(
    simd: S,
    inputs: &[Tile<S::i32s>],
    ends: &Ends<S::i32s>,
    is_one: bool,
    counters: &mut [S::i32s],
) -> Tile<S::i32s> {
    let (one, zero) = (simd.splat_i32s(1), simd.splat_i32s(0));
    let Ends { lower, upper, .. } = ends;
    for (input, counter) in inputs.iter().zip(counters) {
        let values = input.0;
        let mut used = [zero; VECTORS];
        for v in 0..VECTORS {
            let equals_lower = simd.equal_i32s(values[v], lower.0[v]);
            let equals = if is_one {
                equals_lower
            } else {
                simd.or_m32s(equals_lower, simd.equal_i32s(values[v], upper.0[v]))
            };
            used[v] = simd.select_i32s(equals, one, zero);
        }
        *counter = used.into_iter().fold(*counter, |sum, used| simd.add_i32s(sum, used));
    }
    if is_one {
        *lower
    } else {
        tile(from_fn(|v| simd.add_i32s(lower.0[v], upper.0[v])))
    }
}

/// The sums of the values within the ends. Counts those in `counters`, row by row.
#[inline(always)]
fn clamp<S: Simd>(
    simd: S,
    inputs: &[Tile<S::i32s>],
    ends: &Ends<S::i32s>,
    counters: &mut [S::i32s],
) -> Tile<S::i32s> {
    let (one, zero) = (simd.splat_i32s(1), simd.splat_i32s(0));
    let Ends { lower, upper, below, above } = ends;
    let mut sums: [S::i32s; VECTORS] = from_fn(|v| {
        let outside = simd
            .add_i32s(simd.mul_i32s(below.0[v], lower.0[v]), simd.mul_i32s(above.0[v], upper.0[v]));
        simd.sub_i32s(zero, outside)
    });
    for (input, counter) in inputs.iter().zip(counters) {
        let values = input.0;
        let mut used = [zero; VECTORS];
        for v in 0..VECTORS {
            let clamped = simd.min_i32s(simd.max_i32s(values[v], lower.0[v]), upper.0[v]);
            sums[v] = simd.add_i32s(sums[v], clamped);
            used[v] = simd.select_i32s(simd.equal_i32s(clamped, values[v]), one, zero);
        }
        *counter = used.into_iter().fold(*counter, |sum, used| simd.add_i32s(sum, used));
    }
    tile(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every instruction set of this machine against the one without vectors, and all of them
    /// against sorting, for every number of rows and values with many ties.
    #[test]
    fn every_instruction_set_computes_the_same() {
        let mut state = 1u64;
        for n in 1..=128usize {
            let spread = if n % 3 == 0 { 2 } else { 22 };
            let rows: Vec<Vec<i32>> = (0..n)
                .map(|_| {
                    (0..2 * TILE_COLUMNS)
                        .map(|_| {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            ((state >> 32) as i32) >> (32 - spread)
                        })
                        .collect()
                })
                .collect();
            let rows: Vec<&[i32]> = rows.iter().map(Vec::as_slice).collect();
            let kept = n - 2 * ((n - 1) / 4);
            for window in [
                Window::Ranks { lowest: (n - 1) / 2, highest: n / 2 },
                Window::Ranks { lowest: n / 4, highest: n - 1 - n / 4 },
                Window::AroundMedian { kept },
            ] {
                let plan = match window {
                    Window::Ranks { lowest, highest } => Plan::to_select(n, lowest, highest),
                    Window::AroundMedian { .. } => Plan::to_sort(n),
                };
                let divider = CountDivider::new(window.size());
                let results: Vec<(Vec<i32>, Vec<u64>)> = simd::all()
                    .into_iter()
                    .map(|set| {
                        let (mut out, mut counts) = (vec![0; 2 * TILE_COLUMNS], vec![0; n]);
                        let (plan, rows) = (&plan, rows.as_slice());
                        let (out_of, counts_of) = (&mut out, &mut counts);
                        let kernel =
                            Kernel { plan, window, divider, rows, out: out_of, counts: counts_of };
                        assert!(set.dispatch(kernel));
                        (out, counts)
                    })
                    .collect();
                assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "n {n}, {window:?}");
                if let Window::Ranks { lowest, highest } = window {
                    for (column, &found) in results[0].0.iter().enumerate() {
                        let mut values: Vec<i32> = rows.iter().map(|row| row[column]).collect();
                        values.sort_unstable();
                        let sum: i32 = values[lowest..=highest].iter().sum();
                        assert_eq!(found, divider.divide(sum), "n {n}, {window:?}");
                    }
                }
            }
        }
    }
}
