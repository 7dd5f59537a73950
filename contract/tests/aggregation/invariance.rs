//! What must not change a bit: the order of rows, the number of threads, the layout in memory.

use fedledger_contract::aggregate::aggregate;
use fedledger_ledger::task::AggregationRule;
use ndarray::{Array2, Axis, Slice};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;

use crate::{matrix, random_rules, random_weights};

fn distinct_rows(rng: &mut ChaCha8Rng, n: usize, d: usize) -> Vec<Vec<i32>> {
    (0..n).map(|_| (0..d).map(|_| rng.gen_range(-(1 << 22)..1 << 22)).collect()).collect()
}

/// Whether two updates can have equal scores without being equally placed: on one neighbour, two
/// updates that are each other's nearest always do, and the tie goes to the lower member id.
fn scores_on_one_neighbour(rule: &AggregationRule, n: usize, f: usize) -> bool {
    match *rule {
        AggregationRule::Krum { neighbours } | AggregationRule::MultiKrum { neighbours, .. } => {
            neighbours.map_or(n - f - 2, |neighbours| neighbours as usize) == 1
        }
        // The last winner is scored on max(f − 1, 1) neighbours.
        AggregationRule::Bulyan => f <= 2,
        _ => false,
    }
}

/// Without ties between scores the order of rows is no part of any rule: values are the same and
/// uses move with their rows.
#[test]
fn permuting_members_permutes_their_uses_and_nothing_else() {
    let mut rng = ChaCha8Rng::seed_from_u64(30);
    for _ in 0..1_500 {
        let (n, d) = (rng.gen_range(1..24), rng.gen_range(4..12));
        let rows = distinct_rows(&mut rng, n, d);
        let weights = random_weights(&mut rng, n);
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut rng);
        let permuted: Vec<Vec<i32>> = order.iter().map(|&i| rows[i].clone()).collect();
        let permuted_weights: Vec<u64> = order.iter().map(|&i| weights[i]).collect();
        for (rule, f) in random_rules(&mut rng, n) {
            if scores_on_one_neighbour(&rule, n, f) {
                continue;
            }
            let one = aggregate(&rule, f, matrix(&rows).view(), &weights, None).unwrap();
            let other =
                aggregate(&rule, f, matrix(&permuted).view(), &permuted_weights, None).unwrap();
            assert_eq!(one.values, other.values, "{rule:?}, f {f}");
            for (at, &i) in order.iter().enumerate() {
                assert_eq!(one.per_update[i], other.per_update[at], "{rule:?}, f {f}, row {i}");
            }
        }
    }
}

#[test]
fn scaling_all_weights_changes_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(31);
    for _ in 0..300 {
        let n = rng.gen_range(1..12);
        let updates = matrix(&distinct_rows(&mut rng, n, 5));
        let weights: Vec<u64> = (0..n).map(|_| rng.gen_range(1..1000)).collect();
        let scaled: Vec<u64> = weights.iter().map(|weight| weight << 40).collect();
        for (rule, f) in random_rules(&mut rng, n) {
            let one = aggregate(&rule, f, updates.view(), &weights, None).unwrap();
            let other = aggregate(&rule, f, updates.view(), &scaled, None).unwrap();
            assert_eq!(one, other, "{rule:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(32);
    for (n, d) in [(7, 9_001), (13, 20_000), (40, 3_000)] {
        let updates = matrix(&distinct_rows(&mut rng, n, d));
        let weights = random_weights(&mut rng, n);
        for (rule, f) in random_rules(&mut rng, n) {
            let run = |threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| aggregate(&rule, f, updates.view(), &weights, None).unwrap())
            };
            let one = run(1);
            assert_eq!(one, run(2), "{rule:?}");
            assert_eq!(one, run(5), "{rule:?}");
        }
    }
}

#[test]
fn the_layout_in_memory_changes_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(33);
    let (n, d) = (9, 1_500);
    let updates = matrix(&distinct_rows(&mut rng, n, d));
    let transposed = updates.t().as_standard_layout().into_owned();
    let spread = Array2::from_shape_fn((n, 2 * d), |(i, k)| updates[[i, k / 2]]);
    let mut reversed = updates.clone();
    reversed.invert_axis(Axis(1));
    let reversed = reversed.as_standard_layout().into_owned();
    let weights = vec![1; n];
    for (rule, f) in random_rules(&mut rng, n) {
        let expected = aggregate(&rule, f, updates.view(), &weights, None).unwrap();
        let by = |matrix, step| Array2::slice_axis(matrix, Axis(1), Slice::new(0, None, step));
        for view in [transposed.t(), by(&spread, 2), by(&reversed, -1)] {
            assert_eq!(view, updates);
            assert_eq!(aggregate(&rule, f, view, &weights, None).unwrap(), expected, "{rule:?}");
        }
    }
}

/// The result stays within the updates' values in each coordinate.
#[test]
fn aggregates_lie_in_the_hull_of_each_coordinate() {
    let mut rng = ChaCha8Rng::seed_from_u64(34);
    for _ in 0..500 {
        let n = rng.gen_range(1..16);
        let rows = distinct_rows(&mut rng, n, 6);
        let weights = random_weights(&mut rng, n);
        let start = rows[rng.gen_range(0..n)].clone();
        for (rule, f) in random_rules(&mut rng, n) {
            let found = aggregate(&rule, f, matrix(&rows).view(), &weights, Some(&start)).unwrap();
            for (k, value) in found.values.iter().enumerate() {
                let column = rows.iter().map(|row| row[k]);
                let (least, greatest) = (column.clone().min().unwrap(), column.max().unwrap());
                assert!((least..=greatest).contains(value), "{rule:?}");
            }
        }
    }
}

/// f updates chosen at will move the median and the trimmed mean no further than the honest values.
#[test]
fn byzantine_values_do_not_pull_coordinates_past_honest_ones() {
    let mut rng = ChaCha8Rng::seed_from_u64(35);
    for _ in 0..2_000 {
        let n = rng.gen_range(3..20);
        let f = rng.gen_range(1..=(n - 1) / 2);
        let mut rows = distinct_rows(&mut rng, n, 3);
        for row in &mut rows[..f] {
            row.fill(if rng.gen() { (1 << 23) - 1 } else { 1 - (1 << 23) });
        }
        for rule in [AggregationRule::Median, AggregationRule::TrimmedMean] {
            let found = aggregate(&rule, f, matrix(&rows).view(), &vec![1; n], None).unwrap();
            for (k, value) in found.values.iter().enumerate() {
                let honest = rows[f..].iter().map(|row| row[k]);
                let (least, greatest) = (honest.clone().min().unwrap(), honest.max().unwrap());
                assert!((least..=greatest).contains(value), "{rule:?}");
            }
        }
    }
}
