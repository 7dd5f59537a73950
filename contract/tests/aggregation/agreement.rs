//! Exactly equal to the naive twin; equal to the papers' real numbers up to the grid.
#![allow(clippy::disallowed_types, reason = "the reference that the integer code is held to")]

use fedledger_contract::aggregate::{
    aggregate, bearings, cosine_micro, norms_squared, pairwise_distances_squared,
};
use fedledger_ledger::task::AggregationRule;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{matrix, naive, random_rows, random_rules, random_weights, real};

fn check(rng: &mut ChaCha8Rng, n: usize, d: usize) {
    // The twin of the iterative rules multiplies without care for overflow: small values for them.
    for limit in [1 << 18, 1 << 23] {
        let rows = random_rows(rng, n, d, limit);
        let weights = random_weights(rng, n);
        let start: Option<Vec<i32>> =
            rng.gen_bool(0.5).then(|| (0..d).map(|_| rng.gen_range(1 - limit..limit)).collect());
        for (rule, f) in random_rules(rng, n) {
            let iterative = matches!(
                rule,
                AggregationRule::GeometricMedian { .. } | AggregationRule::CenteredClipping { .. }
            );
            if iterative && (limit > 1 << 18 || d > 30) {
                continue;
            }
            let found =
                aggregate(&rule, f, matrix(&rows).view(), &weights, start.as_deref()).unwrap();
            let expected = naive::aggregate(&rule, f, &rows, &weights, start.as_deref());
            assert_eq!(found, expected, "{rule:?} f {f} weights {weights:?} rows {rows:?}");
        }
    }
}

#[test]
fn every_rule_equals_its_naive_twin_on_small_inputs() {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    for _ in 0..4_000 {
        let (n, d) = (rng.gen_range(1..14), rng.gen_range(1..6));
        check(&mut rng, n, d);
    }
}

#[test]
fn every_rule_equals_its_naive_twin_with_many_members() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    for _ in 0..60 {
        let (n, d) = (rng.gen_range(14..50), rng.gen_range(1..10));
        check(&mut rng, n, d);
    }
    check(&mut rng, 127, 3);
    check(&mut rng, 128, 3);
}

#[test]
fn every_rule_equals_its_naive_twin_across_blocks_and_their_ends() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    for d in [63, 64, 65, 1023, 1024, 1025, 2100] {
        check(&mut rng, 7, d);
        check(&mut rng, 12, d);
    }
}

fn to_real(values: &[i32]) -> Vec<f64> {
    values.iter().map(|&q| f64::from(q)).collect()
}

/// Rounding to the grid is at most half a quantum; the shares of iterative rules add a little that
/// is proportional to how far apart the updates are.
fn assert_close(found: &[i32], expected: &[f64], slack: f64, what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= 0.5 + slack, "{what}: {found} instead of {expected}");
    }
}

#[test]
fn rules_are_the_papers_up_to_the_grid_over_the_whole_range() {
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    for _ in 0..2_000 {
        let (n, d) = (rng.gen_range(1..20), rng.gen_range(1..40));
        let rows = random_rows(&mut rng, n, d, 1 << 23);
        let weights: Vec<u64> = (0..n).map(|_| rng.gen_range(1..1000)).collect();
        let start: Vec<i32> = (0..d).map(|_| rng.gen_range(-1000..1000)).collect();
        let run = |rule: AggregationRule, f: usize| {
            aggregate(&rule, f, matrix(&rows).view(), &weights, Some(&start)).unwrap().values
        };
        let real_rows: Vec<Vec<f64>> = rows.iter().map(|row| to_real(row)).collect();
        let real_weights: Vec<f64> = weights.iter().map(|&weight| weight as f64).collect();

        let mean = real::weighted_mean(&real_rows, &real_weights);
        assert_close(&run(AggregationRule::Mean, 0), &mean, 1e-6, "mean");
        let median = real::trimmed_mean(&real_rows, (n - 1) / 2);
        assert_close(&run(AggregationRule::Median, 0), &median, 1e-6, "median");
        let f = rng.gen_range(0..=(n - 1) / 2);
        let trimmed = real::trimmed_mean(&real_rows, f);
        assert_close(&run(AggregationRule::TrimmedMean, f), &trimmed, 1e-6, "trimmed mean");
        let expected = real::geometric_median(&real_rows, &real_weights, 8);
        let found = run(AggregationRule::GeometricMedian { iterations: 8 }, 0);
        assert_close(&found, &expected, 0.05, "geometric median");
        for iterations in [1, 3] {
            let rule = AggregationRule::CenteredClipping { iterations, radius_milli: 900 };
            let expected = real::centered_clipping(
                &real_rows,
                &real_weights,
                &to_real(&start),
                iterations,
                0.9,
            );
            assert_close(&run(rule, 0), &expected, 0.05, "centered clipping");
        }
    }
}

#[test]
fn measures_equal_their_definitions() {
    let mut rng = ChaCha8Rng::seed_from_u64(24);
    for case in 0..400 {
        let n = rng.gen_range(1..9);
        let d = if case % 20 == 0 { rng.gen_range(1..3000) } else { rng.gen_range(1..20) };
        let rows = random_rows(&mut rng, n, d, 1 << 23);
        let updates = matrix(&rows);
        let dot = |a: &[i32], b: &[i32]| -> i128 {
            a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum()
        };
        let difference =
            |a: &[i32], b: &[i32]| -> Vec<i32> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let square = |a: &[i32]| dot(a, a) as u128;
        let norms: Vec<u128> = rows.iter().map(|row| square(row)).collect();
        assert_eq!(norms_squared(updates.view()), norms);
        let to_first: Vec<u128> =
            rows.iter().map(|row| square(&difference(row, &rows[0]))).collect();
        let (bearings, square_of_first) = bearings(updates.view(), &rows[0]);
        assert_eq!(square_of_first, norms[0]);
        for ((bearing, row), distance) in bearings.iter().zip(&rows).zip(&to_first) {
            let cosine = cosine_micro(row, &rows[0]);
            assert_eq!((bearing.distance_squared, bearing.cosine_micro), (*distance, cosine));
        }
        let pairs = pairwise_distances_squared(updates.view());
        for i in 0..n {
            for j in 0..n {
                assert_eq!(pairs[i * n + j], square(&difference(&rows[i], &rows[j])));
            }
            let product = dot(&rows[0], &rows[i]) as f64;
            let lengths = (norms[0] as f64).sqrt() * (norms[i] as f64).sqrt();
            let expected = if lengths == 0.0 { 0.0 } else { 1e6 * product / lengths };
            let found = cosine_micro(&rows[0], &rows[i]);
            // Truncated, so that the last digit may fall to either side of a float's idea of it.
            assert!((found as f64 - expected).abs() < 1.001, "{found} instead of {expected}");
            assert!(found.abs() <= 1_000_000);
        }
    }
}

#[test]
fn cosines_of_known_angles_are_exact() {
    let limit = (1 << 23) - 1;
    let long = vec![limit; 5000];
    let opposite = vec![-limit; 5000];
    assert_eq!(cosine_micro(&long, &long), 1_000_000);
    assert_eq!(cosine_micro(&long, &opposite), -1_000_000);
    assert_eq!(cosine_micro(&[1, 0], &[0, 1]), 0);
    assert_eq!(cosine_micro(&[1, 0], &[1, 1]), 707_106);
    assert_eq!(cosine_micro(&[1, 0], &[-1, 1]), -707_106);
    assert_eq!(cosine_micro(&[3, 4], &[4, 3]), 960_000);
    assert_eq!(cosine_micro(&[0, 0], &[4, 3]), 0);
}
