//! The rules once more, as plainly as they can be written, one column and one value at a time. No
//! line is shared with the code under test.

use fedledger_contract::aggregate::{Aggregation, UpdateUse};
use fedledger_ledger::task::AggregationRule;

type Rows = [Vec<i32>];

/// Rounds half to even, by rounding half up and stepping back from an odd result of a tie.
pub fn divide(numerator: i128, denominator: i128) -> i128 {
    let half_up = (2 * numerator + denominator).div_euclid(2 * denominator);
    let tie = (2 * numerator + denominator).rem_euclid(2 * denominator) == 0;
    half_up - i128::from(tie && half_up % 2 != 0)
}

pub fn root(value: u128) -> u64 {
    let (mut low, mut high) = (0u128, u128::from(u64::MAX));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if middle * middle <= value {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low as u64
}

pub fn squared_distance(a: &[i32], b: &[i32]) -> u128 {
    let squares = a.iter().zip(b).map(|(&a, &b)| (i128::from(a) - i128::from(b)).pow(2));
    squares.sum::<i128>() as u128
}

fn mean(rows: &Rows, weights: &[u64]) -> Vec<i32> {
    let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
    let column = |k: usize| -> i128 {
        (0..rows.len()).map(|i| i128::from(weights[i]) * i128::from(rows[i][k])).sum()
    };
    (0..rows[0].len()).map(|k| divide(column(k), total) as i32).collect()
}

fn whole(selected: &[bool], scores: Option<Vec<u64>>) -> Vec<UpdateUse> {
    let each = selected.iter().enumerate();
    each.map(|(i, &selected)| UpdateUse {
        selected,
        used_share_micro: if selected { 1_000_000 } else { 0 },
        score: scores.as_ref().map(|scores| scores[i]),
    })
    .collect()
}

/// A rule by columns: `keep` gets a column's (value, row) pairs in order and leaves those to average.
/// Only the rows in `eligible` can be used.
fn by_column(
    rows: &Rows,
    eligible: &[usize],
    scores: Option<Vec<u64>>,
    keep: impl Fn(Vec<(i32, usize)>) -> Vec<(i32, usize)>,
) -> Aggregation {
    let d = rows[0].len();
    let mut used = vec![0i128; rows.len()];
    let mut values = Vec::new();
    for k in 0..d {
        let mut column: Vec<(i32, usize)> = (0..rows.len()).map(|i| (rows[i][k], i)).collect();
        column.sort_unstable();
        let kept = keep(column.clone());
        let sum: i128 = kept.iter().map(|&(value, _)| i128::from(value)).sum();
        values.push(divide(sum, kept.len() as i128) as i32);
        // A value that equals one that is averaged is used as much as that one.
        for (value, row) in column {
            let candidate = eligible.contains(&row);
            used[row] += i128::from(candidate && kept.iter().any(|&(other, _)| other == value));
        }
    }
    let per_update = used.iter().enumerate().map(|(i, &used)| UpdateUse {
        selected: used > 0,
        used_share_micro: divide(used * 1_000_000, d as i128) as u32,
        score: scores.as_ref().map(|scores| scores[i]),
    });
    Aggregation { values, per_update: per_update.collect() }
}

fn krum_score(rows: &Rows, among: &[usize], i: usize, neighbours: usize) -> u128 {
    let others = among.iter().filter(|&&j| j != i);
    let mut distances: Vec<u128> = others.map(|&j| squared_distance(&rows[i], &rows[j])).collect();
    distances.sort_unstable();
    distances.iter().take(neighbours).sum()
}

fn krum_order(rows: &Rows, among: &[usize], neighbours: usize) -> Vec<usize> {
    let mut order = among.to_vec();
    order.sort_by_key(|&i| (krum_score(rows, among, i, neighbours), i));
    order
}

fn krum_scores(rows: &Rows, neighbours: usize) -> Vec<u64> {
    let all: Vec<usize> = (0..rows.len()).collect();
    all.iter().map(|&i| root(krum_score(rows, &all, i, neighbours))).collect()
}

fn bulyan(rows: &Rows, f: usize) -> Aggregation {
    let n = rows.len();
    let mut remaining: Vec<usize> = (0..n).collect();
    let mut selection = Vec::new();
    while selection.len() < n - 2 * f {
        let wanted = (remaining.len() as i64 - f as i64 - 2).max(1) as usize;
        let winner = krum_order(rows, &remaining, wanted)[0];
        remaining.retain(|&row| row != winner);
        selection.push(winner);
    }
    let first = (n - f).saturating_sub(2).max(1);
    by_column(rows, &selection, Some(krum_scores(rows, first)), |column| {
        let mut column: Vec<(i32, usize)> =
            column.into_iter().filter(|(_, row)| selection.contains(row)).collect();
        let theta = column.len();
        let twice_median = column[(theta - 1) / 2].0 + column[theta / 2].0;
        for _ in 0..2 * f {
            let below = twice_median - 2 * column[0].0;
            let above = 2 * column[column.len() - 1].0 - twice_median;
            if below > above {
                column.remove(0);
            } else {
                column.pop();
            }
        }
        column
    })
}

fn shares(weights: &[u128]) -> Vec<u128> {
    let total: u128 = weights.iter().sum();
    weights.iter().map(|weight| weight * (1 << 38) / total).collect()
}

/// ⌊2^19 · ‖x_i − z‖⌋ for z = Σ c_j·x_j / C. For small values, where nothing below overflows.
fn radii(points: &Rows, c: &[u128]) -> Vec<u128> {
    let m = points.len();
    let whole: u128 = c.iter().sum();
    let distance = |i: usize, j: usize| squared_distance(&points[i], &points[j]);
    let mut double_sum = 0;
    for i in 0..m {
        for j in 0..m {
            double_sum += c[i] * c[j] * distance(i, j);
        }
    }
    let common = double_sum / (2 * whole);
    let spread = |i: usize| (0..m).map(|j| c[j] * distance(i, j)).sum::<u128>();
    let square = |i: usize| spread(i).saturating_sub(common) * (1 << 38) / whole;
    (0..m).map(|i| u128::from(root(square(i)))).collect()
}

fn geometric_median(rows: &Rows, weights: &[u64], iterations: u32) -> Aggregation {
    let alpha = shares(&weights.iter().map(|&weight| u128::from(weight)).collect::<Vec<_>>());
    let mut estimate = alpha.clone();
    let mut last = Vec::new();
    for _ in 0..iterations {
        last = radii(rows, &estimate);
        let pulls = alpha.iter().zip(&last).map(|(a, &r)| a * (1 << 64) / r.max(1 << 19));
        estimate = shares(&pulls.collect::<Vec<_>>());
    }
    finish(rows, rows.len(), &estimate, &last)
}

fn centered_clipping(
    rows: &Rows,
    weights: &[u64],
    start: Option<&[i32]>,
    iterations: u32,
    radius_milli: u32,
) -> Aggregation {
    let n = rows.len();
    let mut points = rows.to_vec();
    points.push(start.map_or(vec![0; rows[0].len()], <[i32]>::to_vec));
    let alpha = shares(&weights.iter().map(|&weight| u128::from(weight)).collect::<Vec<_>>());
    let mut centre = vec![0; n];
    centre.push(1u128 << 38);
    let mut last = radii(&points, &centre);
    let mut sorted = last[..n].to_vec();
    sorted.sort_unstable();
    let median = divide((sorted[(n - 1) / 2] + sorted[n / 2]) as i128, 2);
    let tau = divide(median * i128::from(radius_milli), 1000) as u128;
    for iteration in 0..iterations {
        if iteration > 0 {
            last = radii(&points, &centre);
        }
        let moved: Vec<u128> = (0..n)
            .map(|i| if last[i] <= tau { alpha[i] } else { alpha[i] * tau / last[i] })
            .collect();
        let rest = (1 << 38) - moved.iter().sum::<u128>();
        for i in 0..=n {
            centre[i] = centre[i] * rest / (1 << 38) + if i < n { moved[i] } else { 0 };
        }
    }
    finish(&points, n, &centre, &last)
}

fn finish(points: &Rows, n: usize, shares: &[u128], last: &[u128]) -> Aggregation {
    let weights: Vec<u64> = shares.iter().map(|&share| share as u64).collect();
    let selected: Vec<bool> = shares[..n].iter().map(|&share| share > 0).collect();
    let scores = last[..n].iter().map(|&radius| (radius >> 19) as u64).collect();
    Aggregation { values: mean(points, &weights), per_update: whole(&selected, Some(scores)) }
}

/// What `aggregate` must return.
pub fn aggregate(
    rule: &AggregationRule,
    f: usize,
    rows: &Rows,
    weights: &[u64],
    start: Option<&[i32]>,
) -> Aggregation {
    let n = rows.len();
    let all: Vec<usize> = (0..n).collect();
    match *rule {
        AggregationRule::Mean => {
            Aggregation { values: mean(rows, weights), per_update: whole(&vec![true; n], None) }
        }
        AggregationRule::Median => {
            by_column(rows, &all, None, |column| column[(n - 1) / 2..=n / 2].to_vec())
        }
        AggregationRule::TrimmedMean => {
            by_column(rows, &all, None, |column| column[f..n - f].to_vec())
        }
        AggregationRule::Krum { neighbours } => {
            let k = neighbours.map_or(n - f - 2, |k| k as usize);
            let winner = krum_order(rows, &all, k)[0];
            let selected: Vec<bool> = all.iter().map(|&i| i == winner).collect();
            Aggregation {
                values: rows[winner].clone(),
                per_update: whole(&selected, Some(krum_scores(rows, k))),
            }
        }
        AggregationRule::MultiKrum { neighbours, selected } => {
            let k = neighbours.map_or(n - f - 2, |k| k as usize);
            let m = selected.map_or(n - f, |m| m as usize);
            let best = krum_order(rows, &all, k)[..m].to_vec();
            let chosen: Vec<Vec<i32>> = best.iter().map(|&i| rows[i].clone()).collect();
            let chosen_weights: Vec<u64> = best.iter().map(|&i| weights[i]).collect();
            let selected: Vec<bool> = all.iter().map(|i| best.contains(i)).collect();
            Aggregation {
                values: mean(&chosen, &chosen_weights),
                per_update: whole(&selected, Some(krum_scores(rows, k))),
            }
        }
        AggregationRule::Bulyan => bulyan(rows, f),
        AggregationRule::GeometricMedian { iterations } => {
            geometric_median(rows, weights, iterations)
        }
        AggregationRule::CenteredClipping { iterations, radius_milli } => {
            centered_clipping(rows, weights, start, iterations, radius_milli)
        }
        ref other => panic!("{other:?} has a twin of its own"),
    }
}
