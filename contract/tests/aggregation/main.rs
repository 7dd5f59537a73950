//! Every aggregation rule against twins that share no code with it, and what a rule promises.
#![allow(missing_docs)]

mod agreement;
mod composed;
mod invariance;
mod misuse;
mod naive;
mod published;
mod real;
mod spectral;

use fedledger_ledger::task::AggregationRule;
use ndarray::Array2;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// n × d from rows.
fn matrix(rows: &[Vec<i32>]) -> Array2<i32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, k)| rows[i][k])
}

/// Rows with values below `limit` in magnitude, with everything that makes rules stumble: ties,
/// copies, rows of extremes, clusters far away.
fn random_rows(rng: &mut ChaCha8Rng, n: usize, d: usize, limit: i32) -> Vec<Vec<i32>> {
    let spread = match rng.gen_range(0..4) {
        0 => 2,
        1 => 50.min(limit),
        2 => 10_000.min(limit),
        _ => limit,
    };
    let mut rows: Vec<Vec<i32>> =
        (0..n).map(|_| (0..d).map(|_| rng.gen_range(1 - spread..spread)).collect()).collect();
    for _ in 0..rng.gen_range(0..4) {
        let (from, to) = (rng.gen_range(0..n), rng.gen_range(0..n));
        match rng.gen_range(0..4) {
            0 => {
                let copy = rows[from].clone();
                rows[to] = copy;
            }
            1 => rows[to] = vec![limit - 1; d],
            2 => rows[to] = vec![1 - limit; d],
            _ => {
                rows[to] = (0..d).map(|k| if k % 2 == 0 { limit - 1 } else { 1 - limit }).collect();
            }
        }
    }
    rows
}

/// Every rule with random parameters, and an f that it allows for n.
fn random_rules(rng: &mut ChaCha8Rng, n: usize) -> Vec<(AggregationRule, usize)> {
    let half = rng.gen_range(0..=(n - 1) / 2);
    let mut rules = vec![
        (AggregationRule::Mean, rng.gen_range(0..n)),
        (AggregationRule::Median, half),
        (AggregationRule::TrimmedMean, half),
        (AggregationRule::GeometricMedian { iterations: rng.gen_range(1..6) }, half),
        (
            AggregationRule::CenteredClipping {
                iterations: rng.gen_range(1..4),
                radius_milli: rng.gen_range(1..2_000),
            },
            half,
        ),
    ];
    if n >= 3 {
        let f = rng.gen_range(0..=(n - 3) / 2);
        let neighbours = rng.gen_bool(0.3).then(|| rng.gen_range(1..n as u32));
        let selected = rng.gen_bool(0.5).then(|| rng.gen_range(1..=(n - f) as u32));
        rules.push((AggregationRule::Krum { neighbours }, f));
        rules.push((AggregationRule::MultiKrum { neighbours, selected }, f));
        rules.push((AggregationRule::Bulyan, rng.gen_range(0..=(n - 3) / 4)));
    }
    rules
}

fn random_weights(rng: &mut ChaCha8Rng, n: usize) -> Vec<u64> {
    let digits = [0, 3, 20, 36, 56][rng.gen_range(0..5)];
    (0..n).map(|_| rng.gen_range(1..=1u64 << digits)).collect()
}
