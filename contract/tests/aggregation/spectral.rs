//! The rules and scores that look for directions, against twins in double precision that work on
//! the d coordinates themselves, not on inner products.
#![allow(clippy::disallowed_types, reason = "the reference that the integer code is held to")]

use fedledger_contract::aggregate::{
    aggregate, alignments, cosine_micro, cosines_micro, foolsgold_similarity_micro,
    mahalanobis_squared_micro, reconstruction_error_micro,
};
use fedledger_ledger::task::AggregationRule;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{matrix, naive, random_rows};

/// The rows less their weighted mean, in real numbers.
fn centred(rows: &[Vec<i32>], c: &[f64]) -> Vec<Vec<f64>> {
    let total: f64 = c.iter().sum();
    let sum = |k: usize| rows.iter().zip(c).map(|(row, c)| c * f64::from(row[k])).sum::<f64>();
    let mean: Vec<f64> = (0..rows[0].len()).map(|k| sum(k) / total).collect();
    let mut centred = Vec::new();
    for row in rows {
        centred.push(row.iter().zip(&mean).map(|(&q, mean)| f64::from(q) - mean).collect());
    }
    centred
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Projections of the centred rows on the unit direction of greatest weighted variance, after 300
/// steps in the d coordinates.
fn projections(rows: &[Vec<i32>], c: &[f64]) -> Vec<f64> {
    let rows = centred(rows, c);
    let far = (0..rows.len()).filter(|&i| c[i] > 0.0);
    let far = far.max_by(|&i, &j| dot(&rows[i], &rows[i]).total_cmp(&dot(&rows[j], &rows[j])));
    let mut v = rows[far.unwrap()].clone();
    for _ in 0..300 {
        let mut next = vec![0.0; v.len()];
        for (row, c) in rows.iter().zip(c) {
            let pull = c * dot(row, &v);
            next.iter_mut().zip(row).for_each(|(next, x)| *next += pull * x);
        }
        let length = dot(&next, &next).sqrt();
        v = next.iter().map(|x| x / length).collect();
    }
    rows.iter().map(|row| dot(row, &v)).collect()
}

/// An honest cloud, of which the first `f` are moved off to one side.
fn with_outliers(rng: &mut ChaCha8Rng, n: usize, f: usize, d: usize, far: i32) -> Vec<Vec<i32>> {
    let side: Vec<i32> = (0..d).map(|_| if rng.gen() { far } else { -far }).collect();
    let mut rows = Vec::new();
    for i in 0..n {
        let moved = |k: usize| if i < f { side[k] } else { 0 };
        rows.push((0..d).map(|k| rng.gen_range(-1_000..1_000) + moved(k)).collect());
    }
    rows
}

#[test]
fn dnc_removes_what_projects_most() {
    let mut rng = ChaCha8Rng::seed_from_u64(60);
    let mut compared = 0;
    for _ in 0..300 {
        let n = rng.gen_range(5..16);
        let f = rng.gen_range(1..=(n - 1) / 3);
        let far = rng.gen_range(800..8_000);
        let rows = with_outliers(&mut rng, n, f, 20, far);
        let squares = projections(&rows, &vec![1.0; n]).into_iter().map(|p| p * p);
        let mut order: Vec<(f64, usize)> = squares.zip(0..n).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        // 32 steps settle only where the variances are apart: compare where the choice is clear.
        if order[f - 1].0 < 1.5 * order[f].0 {
            continue;
        }
        compared += 1;
        let rule = AggregationRule::DivideAndConquer {
            coordinates: None,
            iterations: 1,
            removed_milli: 1_000,
        };
        let found = aggregate(&rule, f, matrix(&rows).view(), &vec![1; n], None).unwrap();
        let mut kept: Vec<usize> = order[f..].iter().map(|&(_, i)| i).collect();
        kept.sort_unstable();
        let selected: Vec<usize> = (0..n).filter(|&i| found.per_update[i].selected).collect();
        assert_eq!(selected, kept, "{order:?}");
        let chosen: Vec<Vec<i32>> = kept.iter().map(|&i| rows[i].clone()).collect();
        let mean = naive::aggregate(&AggregationRule::Mean, 0, &chosen, &vec![1; n - f], None);
        assert_eq!(found.values, mean.values);
    }
    assert!(compared > 100, "{compared} clear cases");
}

#[test]
fn dnc_on_samples_finds_a_colluding_third() {
    let mut rng = ChaCha8Rng::seed_from_u64(61);
    let rows = with_outliers(&mut rng, 13, 4, 5_000, 600);
    let rule = AggregationRule::DivideAndConquer {
        coordinates: Some(500),
        iterations: 3,
        removed_milli: 1_000,
    };
    let found = aggregate(&rule, 4, matrix(&rows).view(), &[1; 13], None).unwrap();
    let removed: Vec<u64> = found.per_update.iter().map(|usage| usage.score.unwrap()).collect();
    assert_eq!(removed, [3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// The filter of TM++ in real numbers, over the coordinates.
fn filter(rows: &[Vec<i32>], f: usize, iterations: u32) -> Vec<f64> {
    let n = rows.len();
    let mut c = vec![1.0; n];
    let mut best = (f64::INFINITY, c.clone());
    for step in 0..=iterations {
        let p = projections(rows, &c);
        let total: f64 = c.iter().sum();
        let variance = p.iter().zip(&c).map(|(p, c)| c * p * p).sum::<f64>() / total;
        if variance < best.0 {
            best = (variance, c.clone());
        }
        let weighing = p.iter().zip(&c).filter(|(_, c)| **c > 0.0);
        let greatest = weighing.map(|(p, _)| p * p).fold(0.0, f64::max);
        let fall = |(p, c): (&f64, &f64)| c * (1.0 - p * p / greatest).max(0.0);
        let next: Vec<f64> = p.iter().zip(&c).map(fall).collect();
        if step == iterations || next.iter().sum::<f64>() < (n - 2 * f) as f64 {
            break;
        }
        c = next;
    }
    best.1
}

#[test]
fn tm_plus_plus_leaves_out_what_its_filter_does() {
    let mut rng = ChaCha8Rng::seed_from_u64(62);
    let mut compared = 0;
    for _ in 0..200 {
        let n = rng.gen_range(7..16);
        let f = rng.gen_range(1..=(n - 1) / 3);
        let rows = with_outliers(&mut rng, n, f, 12, 4_000);
        // The first direction is clear; later ones are of a cloud without any.
        let c = filter(&rows, f, 1);
        if c.iter().any(|c| (c - 0.5).abs() < 0.05) {
            continue;
        }
        compared += 1;
        let mut doubtful: Vec<usize> = (0..n).filter(|&i| c[i] < 0.5).collect();
        doubtful.sort_by(|&i, &j| c[i].total_cmp(&c[j]));
        doubtful.truncate(2 * f);
        let kept: Vec<Vec<i32>> =
            (0..n).filter(|i| !doubtful.contains(i)).map(|i| rows[i].clone()).collect();
        let trim = f.saturating_sub(doubtful.len());
        let ones = vec![1; kept.len()];
        let expected = naive::aggregate(&AggregationRule::TrimmedMean, trim, &kept, &ones, None);
        let rule = AggregationRule::FilteredTrimmedMean { iterations: 1 };
        let found = aggregate(&rule, f, matrix(&rows).view(), &vec![1; n], None).unwrap();
        assert_eq!(found.values, expected.values, "weights {c:?}, f {f}");
    }
    assert!(compared > 60, "{compared} clear cases");
}

/// Copies, zeros, extremes: a result within the updates' values in each coordinate, and no panic.
#[test]
fn directions_of_degenerate_updates_do_no_harm() {
    let mut rng = ChaCha8Rng::seed_from_u64(63);
    for _ in 0..600 {
        let (n, d) = (rng.gen_range(1..12), rng.gen_range(1..5));
        let rows = random_rows(&mut rng, n, d, 1 << 23);
        let f = rng.gen_range(0..=(n - 1) / 2);
        let plus = AggregationRule::FilteredTrimmedMean { iterations: rng.gen_range(1..10) };
        let dnc = AggregationRule::DivideAndConquer {
            coordinates: rng.gen_bool(0.5).then_some(2),
            iterations: rng.gen_range(1..4),
            removed_milli: rng.gen_range(1..=1_000),
        };
        for rule in [plus, dnc] {
            let found = aggregate(&rule, f, matrix(&rows).view(), &vec![1; n], None).unwrap();
            for (k, value) in found.values.iter().enumerate() {
                let column = rows.iter().map(|row| row[k]);
                let (least, greatest) = (column.clone().min().unwrap(), column.max().unwrap());
                assert!((least..=greatest).contains(value), "{rule:?}");
            }
        }
        let updates = matrix(&rows);
        let distances = mahalanobis_squared_micro(updates.view(), 100);
        assert!(distances.iter().all(|&m| m <= n as u64 * 1_000_000));
        assert_eq!(reconstruction_error_micro(updates.view(), 1).len(), n);
    }
}

#[test]
fn reconstruction_errors_are_what_the_first_component_leaves() {
    let mut rng = ChaCha8Rng::seed_from_u64(64);
    for _ in 0..100 {
        let n = rng.gen_range(4..12);
        let rows = with_outliers(&mut rng, n, 1, 15, 20_000);
        let ones = vec![1.0; n];
        let p = projections(&rows, &ones);
        let squares: Vec<f64> = centred(&rows, &ones).iter().map(|row| dot(row, row)).collect();
        let mean = squares.iter().sum::<f64>() / n as f64;
        let one = reconstruction_error_micro(matrix(&rows).view(), 1);
        let none = reconstruction_error_micro(matrix(&rows).view(), 0);
        for i in 0..n {
            let expected = 1e6 * (squares[i] - p[i] * p[i]) / mean;
            assert!((one[i] as f64 - expected).abs() < 30.0, "{} for {expected}", one[i]);
            assert!((none[i] as f64 - 1e6 * squares[i] / mean).abs() < 2.0);
        }
    }
}

/// In the plane the ridge covariance has an inverse by hand.
#[test]
fn mahalanobis_distances_agree_with_the_inverse_of_the_covariance() {
    let mut rng = ChaCha8Rng::seed_from_u64(65);
    for _ in 0..300 {
        let n = rng.gen_range(3..12);
        let rows = random_rows(&mut rng, n, 2, 1 << 20);
        let ridge = rng.gen_range(10..2_000);
        let points = centred(&rows, &vec![1.0; n]);
        let s = |a: usize, b: usize| points.iter().map(|p| p[a] * p[b]).sum::<f64>() / n as f64;
        let trace = s(0, 0) + s(1, 1);
        let found = mahalanobis_squared_micro(matrix(&rows).view(), ridge);
        if trace == 0.0 {
            assert!(found.iter().all(|&m| m == 0));
            continue;
        }
        let lambda = f64::from(ridge) / 1000.0 * trace / n as f64;
        let (a, b, c) = (s(0, 0) + lambda, s(0, 1), s(1, 1) + lambda);
        let determinant = a * c - b * b;
        for (p, &found) in points.iter().zip(&found) {
            let form = c * p[0] * p[0] - 2.0 * b * p[0] * p[1] + a * p[1] * p[1];
            let expected = 1e6 * form / determinant;
            assert!((found as f64 - expected).abs() < 3.0, "{found} for {expected}");
        }
    }
}

#[test]
fn cosines_of_all_pairs_equal_those_of_each() {
    let mut rng = ChaCha8Rng::seed_from_u64(66);
    for _ in 0..100 {
        let (n, d) = (rng.gen_range(1..8), rng.gen_range(1..300));
        let rows = random_rows(&mut rng, n, d, 1 << 23);
        let found = cosines_micro(matrix(&rows).view());
        for i in 0..n {
            for j in (0..n).filter(|&j| j != i) {
                assert_eq!(found[i * n + j], cosine_micro(&rows[i], &rows[j]));
            }
        }
    }
}

/// Two copies and two others, worked by hand from the cosines.
#[test]
fn foolsgold_pardons_the_honest_and_not_the_copies() {
    let rows = [vec![100, 0, 0], vec![100, 0, 0], vec![60, 80, 0], vec![0, 0, 5]];
    let found = foolsgold_similarity_micro(matrix(&rows).view());
    let row = |i: usize| found[4 * i..4 * i + 4].to_vec();
    // The copies speak fully against each other; the third is 0.6 like them, which their greater
    // likeness to each other pardons to 0.36.
    assert_eq!(row(0), [0, 1_000_000, 600_000, 0]);
    assert_eq!(row(1), [1_000_000, 0, 600_000, 0]);
    assert_eq!(row(2), [360_000, 360_000, 0, 0]);
    assert_eq!(row(3), [0, 0, 0, 0]);
}

#[test]
fn alignments_count_the_signs_of_the_largest_values() {
    let rows = [vec![9, -8, 1, 0], vec![5, 6, -7, 0], vec![2, -3, -4, 1]];
    let found = alignments(matrix(&rows).view(), &[1, 0, 0, 0], 2);
    // Principal signs: + − − +.
    let shares: Vec<u32> = found.iter().map(|metrics| metrics.sign_share_micro).collect();
    assert_eq!(shares, [1_000_000, 500_000, 1_000_000]);
    assert_eq!(found[0].direction_micro, cosine_micro(&rows[0], &[1, 0, 0, 0]));
}
