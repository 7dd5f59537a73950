//! Small cases worked by hand, and the faults measured in other implementations.
#![allow(clippy::disallowed_types, reason = "one test shows what float32 would have done")]

use fedledger_contract::aggregate::{aggregate, Aggregation, UpdateUse};
use fedledger_ledger::task::AggregationRule;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::matrix;

fn run(rule: &AggregationRule, f: usize, rows: &[Vec<i32>], weights: &[u64]) -> Aggregation {
    aggregate(rule, f, matrix(rows).view(), weights, None).unwrap()
}

fn column(values: &[i32]) -> Vec<Vec<i32>> {
    values.iter().map(|&q| vec![q]).collect()
}

#[test]
fn means_and_medians_round_half_to_even() {
    let value = |rule: &AggregationRule, f, values: &[i32]| {
        run(rule, f, &column(values), &vec![1; values.len()]).values[0]
    };
    for (values, expected) in [([1, 2], 2), ([2, 3], 2), ([-1, -2], -2), ([-2, -3], -2)] {
        assert_eq!(value(&AggregationRule::Mean, 0, &values), expected);
        assert_eq!(value(&AggregationRule::Median, 0, &values), expected);
    }
    assert_eq!(value(&AggregationRule::Median, 2, &[100, -5, 7, 8, -100]), 7);
    assert_eq!(value(&AggregationRule::TrimmedMean, 1, &[1000, 1, 2, 4, -1000]), 2);
    let weighted = run(&AggregationRule::Mean, 0, &column(&[10, 20]), &[3, 1]);
    assert_eq!(weighted.values, [12]);
}

/// Values that are equal are used alike, wherever their rows stand: an update that equals the
/// aggregate is never one that was not selected.
#[test]
fn values_equal_to_a_used_one_are_used() {
    let used = |rule: &AggregationRule, f, values: &[i32]| {
        let uses = run(rule, f, &column(values), &vec![1; values.len()]).per_update;
        uses.iter().map(|usage| usage.selected).collect::<Vec<_>>()
    };
    let (median, trimmed) = (AggregationRule::Median, AggregationRule::TrimmedMean);
    assert_eq!(used(&median, 2, &[5, 5, 5, 5, 5]), [true; 5]);
    assert_eq!(used(&trimmed, 1, &[5, 5, 5, 5, 5]), [true; 5]);
    assert_eq!(used(&median, 2, &[1, 5, 9, 5, 7]), [false, true, false, true, false]);
    assert_eq!(used(&trimmed, 1, &[1, 1, 4, 9, 9]), [true; 5]);
    assert_eq!(used(&trimmed, 1, &[1, 2, 4, 8, 9]), [false, true, true, true, false]);
    // All but 60 and 1000 are selected; 1, 2 and 2 are averaged.
    let bulyan = used(&AggregationRule::Bulyan, 1, &[0, 1, 2, 2, 30, 60, 1000]);
    assert_eq!(bulyan, [false, true, true, true, false, false, false]);
}

/// n = 5, f = 1, two neighbours. Scores: 0: 1 + 4; 1: 1 + 1; 2: 1 + 4; 4: 4 + 9; 100: 96² + 98².
#[test]
fn krum_by_hand() {
    let rows = column(&[0, 1, 2, 4, 100]);
    let krum = run(&AggregationRule::Krum { neighbours: None }, 1, &rows, &[1; 5]);
    assert_eq!(krum.values, [1]);
    let scores: Vec<u64> = krum.per_update.iter().map(|usage| usage.score.unwrap()).collect();
    assert_eq!(scores, [2, 1, 2, 3, 137]);
    let multi = AggregationRule::MultiKrum { neighbours: None, selected: Some(3) };
    assert_eq!(run(&multi, 1, &rows, &[1; 5]).values, [1]);
    let multi = AggregationRule::MultiKrum { neighbours: None, selected: None };
    let all_but_one = run(&multi, 1, &rows, &[1; 5]);
    assert_eq!(all_but_one.values, [2]);
    let outlier = UpdateUse { selected: false, used_share_micro: 0, score: Some(137) };
    assert_eq!(all_but_one.per_update[4], outlier);
}

/// Equal scores go to the lower row.
#[test]
fn krum_ties_go_to_the_lower_member() {
    let rows = column(&[10, -10, 0, 20, -20]);
    // With one neighbour every score is 100.
    let krum = run(&AggregationRule::Krum { neighbours: Some(1) }, 1, &rows, &[1; 5]);
    assert_eq!(krum.values, [10]);
    assert_eq!(krum.per_update.iter().filter(|usage| usage.selected).count(), 1);
}

/// n = 7, f = 1: four updates around 0, an honest outlier, and one far away. Krum drops 1000 and 60
/// last, so θ = 5 of them are {-1, 0, 1, 2, 30}; the median is 1, and the three closest average 1.
#[test]
fn bulyan_by_hand() {
    let rows = column(&[0, 1, 2, -1, 30, 60, 1000]);
    let bulyan = run(&AggregationRule::Bulyan, 1, &rows, &[1; 7]);
    assert_eq!(bulyan.values, [1]);
    let selected: Vec<bool> = bulyan.per_update.iter().map(|usage| usage.selected).collect();
    assert_eq!(selected, [true, true, true, false, false, false, false]);
}

/// The geometric median of the corners of a square and its centre is the centre; on a line it is
/// the median, and one far liar does not matter to it.
#[test]
fn geometric_median_of_known_points() {
    let rule = AggregationRule::GeometricMedian { iterations: 64 };
    let s = 1000;
    let square = [vec![s, s], vec![s, -s], vec![-s, s], vec![-s, -s], vec![0, 0]];
    assert_eq!(run(&rule, 2, &square, &[1; 5]).values, [0, 0]);
    let line = column(&[0, 100, 200, 300, 8_000_000]);
    let found = run(&rule, 1, &line, &[1; 5]).values[0];
    assert!((190..=210).contains(&found), "{found}");
    // Three of four quarters of the weight on one point: the median is that point.
    let found = run(&rule, 0, &column(&[0, 1000]), &[3, 1]).values[0];
    assert!(found <= 2, "{found}");
}

/// τ is the median distance, 10, so that from 0 the outlier moves the centre by 10/5 and no more.
#[test]
fn centered_clipping_by_hand() {
    let rule = AggregationRule::CenteredClipping { iterations: 1, radius_milli: 1000 };
    let found = run(&rule, 1, &column(&[5, 10, 10, 10, 1_000_000]), &[1; 5]);
    assert_eq!(found.values, [9]);
    let scores: Vec<u64> = found.per_update.iter().map(|usage| usage.score.unwrap()).collect();
    assert_eq!(scores, [5, 10, 10, 10, 1_000_000]);
    // From a start of 10 the distances are 5, 0, 0, 0, 999990: τ = 0, and nothing moves.
    let rows = matrix(&column(&[5, 10, 10, 10, 1_000_000]));
    let found = aggregate(&rule, 1, rows.view(), &[1; 5], Some(&[10])).unwrap();
    assert_eq!(found.values, [10]);
}

/// ‖a‖² + ‖b‖² − 2⟨a, b⟩ in float32 picks wrong Krum winners when updates differ little against
/// their size. Exact distances do not change when all updates move together.
#[test]
fn krum_finds_its_winner_at_any_distance_from_zero() {
    let mut rng = ChaCha8Rng::seed_from_u64(40);
    let rule = AggregationRule::Krum { neighbours: None };
    let (n, d, f) = (10usize, 64, 2);
    let mut cancelled = 0;
    for _ in 0..200 {
        let near: Vec<Vec<i32>> =
            (0..n).map(|_| (0..d).map(|_| rng.gen_range(-50..=50)).collect()).collect();
        let far: Vec<Vec<i32>> =
            near.iter().map(|row| row.iter().map(|q| q + 8_000_000).collect()).collect();
        let expected = run(&rule, f, &near, &vec![1; n]);
        let found = run(&rule, f, &far, &vec![1; n]);
        assert_eq!(found.per_update, expected.per_update);

        let dot = |a: &[i32], b: &[i32]| -> f32 {
            a.iter().zip(b).map(|(&a, &b)| a as f32 * b as f32).sum()
        };
        let score = |i: usize| {
            let mut distances: Vec<f32> = (0..n)
                .filter(|&j| j != i)
                .map(|j| {
                    dot(&far[i], &far[i]) + dot(&far[j], &far[j]) - 2.0 * dot(&far[i], &far[j])
                })
                .collect();
            distances.sort_by(f32::total_cmp);
            distances[..n - f - 2].iter().sum::<f32>()
        };
        let float_winner = (0..n).min_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
        cancelled += usize::from(!expected.per_update[float_winner].selected);
    }
    assert!(
        cancelled > 100,
        "float32 was right too often ({cancelled}) for this test to mean much"
    );
}

/// One selected liar with a huge weight takes the mean of Multi-Krum; with weights capped as the
/// contract caps them it moves the result by its share and no more. Capping is the caller's part.
#[test]
fn what_a_declared_weight_can_buy() {
    let rule = AggregationRule::MultiKrum { neighbours: None, selected: None };
    let rows = column(&[0, 2, 4, 6, 8, 10, 12]);
    let bought = run(&rule, 2, &rows, &[1, 1, 1, 1, 1_000_000_000, 1, 1]);
    assert_eq!(bought.values, [8]);
    let equal = run(&rule, 2, &rows, &[1; 7]);
    assert_eq!(equal.values, [6]);
    assert_eq!(bought.per_update, equal.per_update);
}
