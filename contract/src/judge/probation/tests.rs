use fedledger_ledger::decision::{Reason, Verdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::AggregationRule;
use ndarray::Array2;
use proptest::prelude::*;

use crate::aggregate::aggregate;
use crate::judge::tests::{inputs, said, terms, with_standing};
use crate::judge::{judge, RoundInputs};

const F: usize = 2;

fn on_probation(rows: &[Vec<i32>], who: &[usize]) -> RoundInputs {
    let all = inputs(terms(F, 5), rows);
    who.iter().fold(all, |inputs, &at| with_standing(inputs, at, Standing::Probation))
}

/// The rule by itself.
fn by_itself(rule: &AggregationRule, rows: &[Vec<i32>]) -> Vec<i32> {
    let shape = (rows.len(), rows[0].len());
    let matrix = Array2::from_shape_vec(shape, rows.concat()).expect("rows of one length");
    let weights = vec![1; rows.len()];
    aggregate(rule, F, matrix.view(), &weights, None).expect("a rule that is defined").values
}

/// `(3·standing + all) / 4`, rounded half to even, in another way.
fn leaning(standing: i32, all: i32) -> i32 {
    let sum = 3 * standing + all;
    let (floor, quarters) = (sum.div_euclid(4), sum.rem_euclid(4));
    match quarters {
        0 | 1 => floor,
        2 => floor + floor.rem_euclid(2),
        _ => floor + 1,
    }
}

/// Rules that do not weigh.
fn rules() -> [AggregationRule; 5] {
    [
        AggregationRule::Median,
        AggregationRule::TrimmedMean,
        AggregationRule::FilteredTrimmedMean { iterations: 32 },
        AggregationRule::Krum { neighbours: None },
        AggregationRule::Bulyan,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// With seven on no probation every rule but Bulyan is defined without the others, with eleven
    /// Bulyan is too.
    #[test]
    fn three_quarters_are_the_rule_without_those_on_probation(
        rows in prop::collection::vec(prop::collection::vec(-100_000i32..100_000, 3), 12..16),
        probation in prop::collection::btree_set(0usize..12, 1..6),
    ) {
        let who: Vec<usize> = probation.iter().copied().collect();
        let kept = rows.iter().enumerate().filter(|(at, _)| !who.contains(at));
        let kept: Vec<Vec<i32>> = kept.map(|(_, row)| row.clone()).collect();
        for rule in rules() {
            let judgement = judge(&rule, on_probation(&rows, &who));
            let all = by_itself(&rule, &rows);
            let defined = rule != AggregationRule::Bulyan || kept.len() > 4 * F + 2;
            let expected = if defined {
                let standing = by_itself(&rule, &kept);
                standing.iter().zip(&all).map(|(&standing, &all)| leaning(standing, all)).collect()
            } else {
                all
            };
            prop_assert_eq!(judgement.aggregate, Ok(expected), "{:?}", rule);
        }
    }
}

#[test]
fn where_too_few_are_in_good_standing_probation_is_in_the_record_alone() {
    let rows: Vec<Vec<i32>> = (0..7).map(|at| vec![100 + 3 * at, 100 - 2 * at]).collect();
    // Four in good standing are no more than twice f.
    let judgement = judge(&AggregationRule::Median, on_probation(&rows, &[1, 2, 3]));
    assert_eq!(judgement.aggregate, Ok(by_itself(&AggregationRule::Median, &rows)));
    assert_eq!(said(&judgement, 3), (Verdict::Accept, Reason::Clean, false));
}

/// Five of seven in good standing count four parts each, two on probation one.
#[test]
fn the_record_says_what_an_update_weighed() {
    let rows: Vec<Vec<i32>> = (0..7).map(|at| vec![100 + 3 * at, 100 - 2 * at]).collect();
    let inputs = |standing| {
        let mut inputs = on_probation(&rows, &[0, 6]);
        inputs.submissions[0].trust.standing = standing;
        inputs.submissions[6].trust.standing = standing;
        RoundInputs { terms: terms(0, 5), ..inputs }
    };
    // With f = 0 the trimmed mean is the mean, and uses every update.
    let judgement = judge(&AggregationRule::TrimmedMean, inputs(Standing::Probation));
    let weights: Vec<u32> = judgement.verdicts.iter().map(|one| one.weight_micro).collect();
    assert_eq!(weights, [45_454, 181_818, 181_818, 181_818, 181_818, 181_818, 45_454]);
    let down = (Verdict::DownWeight, Reason::MemberOnProbation, false);
    assert_eq!(said(&judgement, 6), down);
    let judgement = judge(&AggregationRule::TrimmedMean, inputs(Standing::Active));
    assert!(judgement.verdicts.iter().all(|one| one.weight_micro == 142_857));
}
