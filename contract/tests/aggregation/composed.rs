//! Pre-aggregation against twins that make the transformed matrix in full, value by value, and give
//! it to the naive rules.

use std::collections::BTreeSet;

use fedledger_contract::aggregate::{
    aggregate, aggregate_on, check_precondition, Aggregation, PreconditionError, Terms, UpdateUse,
};
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::naive::{self, divide, root, squared_distance};
use crate::{matrix, random_rows, random_rules, random_weights};

const NNM: PreAggregation = PreAggregation::NearestNeighbours;
const ARC: PreAggregation = PreAggregation::AdaptiveClipping;

/// Rows made of rows, and which members' values are in each.
struct Made {
    rows: Vec<Vec<i32>>,
    weights: Vec<u64>,
    members: Vec<Vec<usize>>,
    home: Vec<usize>,
}

fn mix(seed: u64, counter: u64) -> u64 {
    let golden = 0x9E37_79B9_7F4A_7C15u64;
    let mut z = seed.wrapping_add(golden.wrapping_mul(counter.wrapping_add(1)));
    for (shift, factor) in [(30, 0xBF58_476D_1CE4_E5B9u64), (27, 0x94D0_49BB_1331_11EB)] {
        z = (z ^ (z >> shift)).wrapping_mul(factor);
    }
    z ^ (z >> 31)
}

fn mean_of(rows: &[Vec<i32>], of: &[usize]) -> Vec<i32> {
    (0..rows[0].len())
        .map(|k| {
            let sum: i128 = of.iter().map(|&i| i128::from(rows[i][k])).sum();
            divide(sum, of.len() as i128) as i32
        })
        .collect()
}

fn mixed(made: &Made, groups: &[Vec<usize>]) -> (Vec<Vec<i32>>, Vec<Vec<usize>>) {
    let rows = groups.iter().map(|group| mean_of(&made.rows, group)).collect();
    let members =
        groups.iter().map(|group| group.iter().flat_map(|&i| made.members[i].clone()).collect());
    (rows, members.collect())
}

fn clipped(made: &Made, f: usize) -> Vec<Vec<i32>> {
    let n = made.rows.len();
    let zero = vec![0; made.rows[0].len()];
    let norm = |row: &Vec<i32>| u128::from(root(squared_distance(row, &zero) << 38));
    let norms: Vec<u128> = made.rows.iter().map(norm).collect();
    let mut sorted = norms.clone();
    sorted.sort_unstable();
    let tau = sorted[n - 1 - 2 * f * (n - f) / n];
    let clip = |(row, &norm): (&Vec<i32>, &u128)| {
        if norm <= tau {
            return row.clone();
        }
        let factor = (tau * (1 << 30) / norm) as i128;
        row.iter().map(|&q| divide(i128::from(q) * factor, 1 << 30) as i32).collect()
    };
    made.rows.iter().zip(&norms).map(clip).collect()
}

fn run_stage(made: Made, stage: &PreAggregation, at: usize, f: usize, seed: u64) -> Made {
    let n = made.rows.len();
    match *stage {
        PreAggregation::NearestNeighbours => {
            let nearest = |i: usize| -> Vec<usize> {
                let mut others: Vec<(u128, usize)> = (0..n)
                    .filter(|&j| j != i)
                    .map(|j| (squared_distance(&made.rows[i], &made.rows[j]), j))
                    .collect();
                others.sort_unstable();
                others.iter().map(|&(_, j)| j).take(n - f - 1).chain([i]).collect()
            };
            let groups: Vec<Vec<usize>> = (0..n).map(nearest).collect();
            let (rows, members) = mixed(&made, &groups);
            Made { rows, members, ..made }
        }
        PreAggregation::AdaptiveClipping => Made { rows: clipped(&made, f), ..made },
        PreAggregation::Bucketing { size } => {
            let draw = mix(seed, at as u64);
            let mut order: Vec<(u64, usize)> = (0..n).map(|i| (mix(draw, i as u64), i)).collect();
            order.sort_unstable();
            let order: Vec<usize> = order.into_iter().map(|(_, i)| i).collect();
            let groups: Vec<Vec<usize>> =
                order.chunks(size as usize).map(<[usize]>::to_vec).collect();
            let (rows, members) = mixed(&made, &groups);
            let bucket_of = |home: &usize| groups.iter().position(|group| group.contains(home));
            let home = made.home.iter().map(|home| bucket_of(home).unwrap()).collect();
            let weights =
                groups.iter().map(|group| group.iter().map(|&i| made.weights[i]).sum()).collect();
            Made { rows, weights, members, home }
        }
    }
}

fn twin(
    stages: &[PreAggregation],
    rule: &AggregationRule,
    rows: &[Vec<i32>],
    terms: &Terms<'_>,
) -> Aggregation {
    let n = rows.len();
    let mut made = Made {
        rows: rows.to_vec(),
        weights: terms.weights.to_vec(),
        members: (0..n).map(|i| vec![i]).collect(),
        home: (0..n).collect(),
    };
    for (at, stage) in stages.iter().enumerate() {
        made = run_stage(made, stage, at, terms.f, terms.seed);
    }
    let found = naive::aggregate(rule, terms.f, &made.rows, &made.weights, terms.start);
    let per_update = (0..n).map(|member| {
        let score = found.per_update[made.home[member]].score;
        let mut usage = UpdateUse { selected: false, used_share_micro: 0, score };
        for (row, row_use) in found.per_update.iter().enumerate() {
            if made.members[row].contains(&member) {
                usage.selected |= row_use.selected;
                usage.used_share_micro = usage.used_share_micro.max(row_use.used_share_micro);
            }
        }
        usage
    });
    Aggregation { values: found.values, per_update: per_update.collect() }
}

#[test]
fn pre_aggregated_rules_equal_their_twins() {
    let mut rng = ChaCha8Rng::seed_from_u64(50);
    for case in 0..1_500 {
        let (n, d) = match case % 50 {
            0 => (rng.gen_range(14..40), 3),
            1 => (7, 4_100 + rng.gen_range(0..70)),
            _ => (rng.gen_range(1..14), rng.gen_range(1..6)),
        };
        let limit = if case % 2 == 0 { 1 << 18 } else { 1 << 23 };
        let rows = random_rows(&mut rng, n, d, limit);
        let weights = random_weights(&mut rng, n);
        let bucketing = PreAggregation::Bucketing { size: rng.gen_range(1..=n.min(3)) as u32 };
        let stages = [
            vec![NNM],
            vec![ARC],
            vec![bucketing.clone()],
            vec![ARC, NNM],
            vec![bucketing, ARC, NNM],
        ];
        let stages = stages[rng.gen_range(0..stages.len())].clone();
        let seed: u64 = rng.gen();
        for (rule, f) in random_rules(&mut rng, n) {
            let iterative = matches!(
                rule,
                AggregationRule::GeometricMedian { .. } | AggregationRule::CenteredClipping { .. }
            );
            let whole = AggregationRule::PreAggregated {
                stages: stages.clone(),
                rule: Box::new(rule.clone()),
            };
            let overflows = iterative && (limit > 1 << 18 || d > 30);
            if overflows || check_precondition(&whole, n, f).is_err() {
                continue;
            }
            let terms = Terms { f, weights: &weights, start: None, seed };
            let found = aggregate_on(&whole, matrix(&rows).view(), &terms).unwrap();
            let expected = twin(&stages, &rule, &rows, &terms);
            assert_eq!(found, expected, "{whole:?} f {f} seed {seed} {weights:?} {rows:?}");
        }
    }
}

#[test]
fn mixing_and_clipping_by_hand() {
    let run = |stage: PreAggregation, rows: &[Vec<i32>]| {
        let rule = AggregationRule::PreAggregated {
            stages: vec![stage],
            rule: Box::new(AggregationRule::Mean),
        };
        aggregate(&rule, 1, matrix(rows).view(), &vec![1; rows.len()], None).unwrap()
    };
    // Means of the two nearest: (0 + 2)/2 = 1 twice, and (2 + 100)/2 = 51: a third of 53.
    let mixed = run(NNM, &[vec![0], vec![2], vec![100]]);
    assert_eq!(mixed.values, [18]);
    // k = ⌊2 · 1/3 · 2⌋ = 1: the longest is scaled down to the length of the next, 5.
    let clipped = run(ARC, &[vec![3, 4], vec![0, 1], vec![60, 80]]);
    assert_eq!(clipped.values, [2, 3]);
}

#[test]
fn compositions_that_cannot_work_are_refused() {
    let composed = |stages: Vec<PreAggregation>, rule: AggregationRule| {
        AggregationRule::PreAggregated { stages, rule: Box::new(rule) }
    };
    let bucketing = |size| PreAggregation::Bucketing { size };
    let krum = AggregationRule::Krum { neighbours: None };
    // 13 members in buckets of 2 are 7 updates: enough for f = 2, not for f = 4.
    let rule = composed(vec![bucketing(2)], krum.clone());
    assert!(check_precondition(&rule, 13, 2).is_ok());
    assert_eq!(
        check_precondition(&rule, 13, 4).unwrap_err().to_string(),
        "krum needs n >= 2f + 3: with f = 4 at least 11 updates, found 7"
    );
    let refused = |rule: AggregationRule| check_precondition(&rule, 13, 4).is_err();
    assert!(refused(composed(vec![], AggregationRule::Mean)));
    assert!(refused(composed(vec![ARC; 5], AggregationRule::Mean)));
    assert!(refused(composed(vec![bucketing(0)], AggregationRule::Mean)));
    assert!(refused(composed(vec![bucketing(14)], AggregationRule::Mean)));
    let nested = composed(vec![ARC], composed(vec![NNM], krum));
    assert_eq!(check_precondition(&nested, 13, 4), Err(PreconditionError::Nested));
}

#[test]
fn another_seed_draws_other_buckets_and_nothing_else() {
    let rows: Vec<Vec<i32>> = (0..12).map(|i| vec![1 << i, -(i * i * 7_919)]).collect();
    let weights = vec![1; 12];
    let run = |stage: PreAggregation, seed| {
        let rule = AggregationRule::PreAggregated {
            stages: vec![stage],
            rule: Box::new(AggregationRule::Median),
        };
        let terms = Terms { f: 1, weights: &weights, start: None, seed };
        aggregate_on(&rule, matrix(&rows).view(), &terms).unwrap().values
    };
    let drawn: BTreeSet<Vec<i32>> =
        (0..20).map(|seed| run(PreAggregation::Bucketing { size: 3 }, seed)).collect();
    assert!(drawn.len() > 10, "{} of 20 seeds differ", drawn.len());
    assert_eq!(run(NNM, 1), run(NNM, 2));
}
