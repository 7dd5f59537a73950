//! Every rule on updates at the limits, for the fewest and the most members.

use fedledger_contract::aggregate::{
    aggregate_on, alignments, bearings, check_precondition, cosine_micro, cosines_micro,
    foolsgold_similarity_micro, mahalanobis_squared_micro, norms_squared,
    pairwise_distances_squared, reconstruction_error_micro, Terms,
};
use fedledger_ledger::limits::{MEMBERS_MAX, PARAMETERS_MAX};
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use ndarray::{Array2, ArrayView2, ShapeBuilder};

use crate::{extreme_row, VALUE_MAX};

fn plain_rules() -> Vec<AggregationRule> {
    use AggregationRule as Rule;
    let mut rules = vec![
        Rule::Mean,
        Rule::Median,
        Rule::TrimmedMean,
        Rule::Krum { neighbours: None },
        Rule::Krum { neighbours: Some(1) },
        Rule::MultiKrum { neighbours: None, selected: None },
        Rule::MultiKrum { neighbours: Some(2), selected: Some(1) },
        Rule::GeometricMedian { iterations: 1 },
        Rule::GeometricMedian { iterations: 64 },
        Rule::Bulyan,
        Rule::FilteredTrimmedMean { iterations: 1 },
        Rule::FilteredTrimmedMean { iterations: 128 },
    ];
    for (iterations, radius_milli) in [(1, 1), (1, 1_000_000), (64, 1), (64, 1_000_000)] {
        rules.push(Rule::CenteredClipping { iterations, radius_milli });
    }
    for (coordinates, iterations, removed_milli) in
        [(None, 1, 1), (None, 16, 2_000), (Some(1), 16, 2_000), (Some(100_000), 1, 1_000)]
    {
        rules.push(Rule::DivideAndConquer { coordinates, iterations, removed_milli });
    }
    rules
}

fn stages() -> Vec<Vec<PreAggregation>> {
    use PreAggregation::{AdaptiveClipping as Arc, Bucketing, NearestNeighbours as Nnm};
    vec![
        vec![Nnm],
        vec![Arc],
        vec![Bucketing { size: 2 }],
        vec![Arc, Nnm, Arc, Nnm],
        vec![Nnm, Bucketing { size: 3 }, Arc, Bucketing { size: 1 }],
    ]
}

/// Every rule, by itself and behind every pre-aggregation.
fn rules() -> Vec<AggregationRule> {
    let plain = plain_rules();
    let staged = stages().into_iter().flat_map(|stages| {
        let of = move |rule| AggregationRule::PreAggregated {
            stages: stages.clone(),
            rule: Box::new(rule),
        };
        plain_rules().into_iter().map(of)
    });
    plain.clone().into_iter().chain(staged).collect()
}

/// Matrices of extreme rows: mixed, all of one kind, and one against all others.
fn matrices(n: usize, d: usize) -> Vec<Array2<i32>> {
    let of = |kind: &dyn Fn(usize) -> usize| {
        let rows: Vec<Vec<i32>> = (0..n).map(|row| extreme_row(kind(row), d)).collect();
        Array2::from_shape_fn((n, d), |(row, column)| rows[row][column])
    };
    vec![
        of(&|row| row),
        of(&|_| 0),
        of(&|_| 6),
        of(&|row| row % 2),
        of(&|row| usize::from(row == 0)),
        of(&|row| 2 + row % 2),
        of(&|row| if row == 0 { 1 } else { 6 }),
    ]
}

fn check(rule: &AggregationRule, updates: ArrayView2<'_, i32>, terms: &Terms<'_>) {
    let (n, d) = updates.dim();
    if check_precondition(rule, n, terms.f).is_err() {
        return;
    }
    let found = aggregate_on(rule, updates, terms).expect("the inputs are within their ranges");
    assert_eq!((found.values.len(), found.per_update.len()), (d, n));
    // Whatever a rule does, it averages: no value is longer than the longest that went in.
    let sent = updates.iter().chain(terms.start.into_iter().flatten());
    let greatest = sent.map(|value| value.unsigned_abs()).max().unwrap_or(0);
    let made = found.values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
    assert!(made <= greatest, "{rule:?} made {made} of {greatest}");
    assert!(found.per_update.iter().all(|used| used.used_share_micro <= 1_000_000));
}

#[test]
fn every_rule_takes_updates_at_the_limits() {
    let rules = rules();
    for (n, d) in [(1, 1), (2, 3), (3, 65), (7, 64), (11, 4_097), (25, 130), (MEMBERS_MAX, 67)] {
        let longest: Vec<i32> = extreme_row(2, d);
        let weights = [vec![1u64; n], vec![u64::MAX / n as u64; n], {
            let mut one_has_all = vec![1u64; n];
            one_has_all[n - 1] = u64::MAX - (n as u64 - 1);
            one_has_all
        }];
        for (at, updates) in matrices(n, d).iter().enumerate() {
            let weights = &weights[at % weights.len()];
            let start = (at % 2 == 1).then_some(longest.as_slice());
            // Each rule on every matrix of few members, and on one in three of many.
            let step = if n > 20 { 3 } else { 1 };
            for (number, rule) in rules.iter().enumerate().skip(at % step).step_by(step) {
                let most = (0..n).rev().find(|&f| check_precondition(rule, n, f).is_ok());
                // The mean is defined for any f; none is more than all.
                for f in [Some(0), most].into_iter().flatten() {
                    let seed = u64::MAX - number as u64;
                    check(rule, updates.view(), &Terms { f, weights, start, seed });
                }
            }
        }
    }
}

/// Sums over as many parameters as a task can have, all of them at the limit: each square is 2^48
/// less a little, and there are 5·10^7.
#[test]
fn sums_over_the_most_parameters_are_exact() {
    let d = PARAMETERS_MAX as usize;
    // Each row begins one value later than the one before it, so that neighbours are opposite.
    let sent: Vec<i32> =
        (0..d + 2).map(|k| if k % 2 == 0 { VALUE_MAX } else { -VALUE_MAX }).collect();
    let updates = ArrayView2::from_shape((3, d).strides((1, 1)), &sent).expect("rows may overlap");
    let square = u128::from(VALUE_MAX.unsigned_abs()).pow(2) * d as u128;
    assert_eq!(norms_squared(updates), [square; 3]);
    let (found, square_of_first) = bearings(updates, &sent[..d]);
    assert_eq!(square_of_first, square);
    let found: Vec<(u128, i64)> =
        found.iter().map(|one| (one.distance_squared, one.cosine_micro)).collect();
    assert_eq!(found, [(0, 1_000_000), (4 * square, -1_000_000), (0, 1_000_000)]);
    let distances = pairwise_distances_squared(updates);
    assert_eq!(distances[1], 4 * square);
    assert_eq!(distances[2], 0);
    assert_eq!(cosine_micro(&sent[..d], &sent[1..=d]), -1_000_000);
    let of = |rule| {
        let terms = Terms { f: 0, weights: &[1, 1, 1], start: Some(&sent[1..=d]), seed: 0 };
        aggregate_on(&rule, updates, &terms).expect("the inputs are within their ranges")
    };
    // Two of three are alike, and opposite to the third.
    let third = (VALUE_MAX + 1) / 3;
    assert_eq!(of(AggregationRule::Mean).values[..2], [third, -third]);
    assert_eq!(of(AggregationRule::Krum { neighbours: None }).values, sent[..d]);
    let clipping = AggregationRule::CenteredClipping { iterations: 2, radius_milli: 1_000 };
    assert!(of(clipping).per_update.iter().all(|used| used.selected));
}

#[test]
fn measures_and_baselines_take_updates_at_the_limits() {
    for (n, d) in [(1, 1), (2, 3), (7, 64), (25, 130), (MEMBERS_MAX, 67)] {
        for updates in matrices(n, d) {
            let updates = updates.view();
            let one = 1_000_000i64;
            assert!(cosines_micro(updates).iter().all(|cosine| cosine.abs() <= one));
            assert!(foolsgold_similarity_micro(updates).iter().all(|edge| edge.abs() <= one));
            for top in [1, d] {
                let found = alignments(updates, &extreme_row(3, d), top);
                assert!(found.iter().all(|one| one.sign_share_micro <= 1_000_000));
            }
            for ridge_milli in [1, 1_000_000] {
                let most = n as u64 * 1_000_000;
                let found = mahalanobis_squared_micro(updates, ridge_milli);
                assert!(found.iter().all(|&distance| distance <= most), "{found:?}");
            }
            for components in [0, 1, n, usize::MAX] {
                let most = n as u64 * 1_000_000;
                let found = reconstruction_error_micro(updates, components);
                assert!(found.iter().all(|&error| error <= most), "{found:?}");
            }
        }
    }
}
