use fedledger_ledger::decision::{Measure, Reason, UpdateVerdict, Verdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::AggregationRule;
use ndarray::Array2;
use proptest::prelude::*;

use crate::aggregate::{aggregate, Aggregation};
use crate::judge::tests::{inputs, measure, said, terms, with_standing};
use crate::judge::{judge, RoundInputs};

const F: usize = 2;

fn on_probation(rows: &[Vec<i32>], who: &[usize]) -> RoundInputs {
    let all = inputs(terms(F, 5), rows);
    who.iter().fold(all, |inputs, &at| with_standing(inputs, at, Standing::Probation))
}

/// The rule by itself.
fn by_itself(rule: &AggregationRule, f: usize, rows: &[Vec<i32>]) -> Aggregation {
    let shape = (rows.len(), rows[0].len());
    let matrix = Array2::from_shape_vec(shape, rows.concat()).expect("rows of one length");
    let weights = vec![1; rows.len()];
    aggregate(rule, f, matrix.view(), &weights, None).expect("a rule that is defined")
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

/// The weight of each update in the rule's aggregate, and the share of it that was used; millionths.
fn shares(of: &Aggregation) -> Vec<(i64, i32)> {
    let selected = of.per_update.iter().filter(|used| used.selected).count() as i64;
    let each = of.per_update.iter().map(|used| {
        let weight = if used.selected { 1_000_000 / selected } else { 0 };
        (weight, used.used_share_micro as i32)
    });
    each.collect()
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
    /// Bulyan is too. What is said of each update is of both parts.
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
            let all = by_itself(&rule, F, &rows);
            let defined = rule != AggregationRule::Bulyan || kept.len() > 4 * F + 2;
            if !defined {
                prop_assert_eq!(judgement.aggregate, Ok(all.values), "{:?}", rule);
                continue;
            }
            let standing = by_itself(&rule, F, &kept);
            let pairs = standing.values.iter().zip(&all.values);
            let expected = pairs.map(|(&standing, &all)| leaning(standing, all)).collect();
            prop_assert_eq!(&judgement.aggregate, &Ok(expected), "{:?}", rule);
            let mut of_others = shares(&standing).into_iter();
            for (at, of_all) in shares(&all).into_iter().enumerate() {
                let of_standing =
                    if who.contains(&at) { (0, 0) } else { of_others.next().expect("one each") };
                let verdict = &judgement.verdicts[at];
                let weight = (3 * of_standing.0 + of_all.0) / 4;
                prop_assert_eq!(i64::from(verdict.weight_micro), weight, "{:?}", rule);
                let used = leaning(of_standing.1, of_all.1);
                let found = measure(&judgement, at, Measure::UsedShareMicro);
                prop_assert_eq!(found, u64::try_from(used).ok(), "{:?}", rule);
            }
            let sum: u32 = judgement.verdicts.iter().map(|verdict| verdict.weight_micro).sum();
            prop_assert!((999_900..=1_000_000).contains(&sum), "{:?}: {}", rule, sum);
        }
    }
}

#[test]
fn where_too_few_are_in_good_standing_probation_is_in_the_record_alone() {
    let rows: Vec<Vec<i32>> = (0..7).map(|at| vec![100 + 3 * at, 100 - 2 * at]).collect();
    // Four in good standing are no more than twice f.
    let judgement = judge(&AggregationRule::Median, on_probation(&rows, &[1, 2, 3]));
    assert_eq!(judgement.aggregate, Ok(by_itself(&AggregationRule::Median, F, &rows).values));
    assert_eq!(said(&judgement, 3), (Verdict::Accept, Reason::Clean, false));
}

/// With f = 4 and thirteen members: what is left of f when so many on probation were struck.
#[test]
fn who_was_struck_counts_as_one_of_the_f_up_to_half_of_them() {
    let rows: Vec<Vec<i32>> = (0..13i32).map(|at| vec![at * at * at, 70 - 9 * at * at]).collect();
    let who = [0, 4, 12];
    let kept = rows.iter().enumerate().filter(|(at, _)| !who.contains(at));
    let kept: Vec<Vec<i32>> = kept.map(|(_, row)| row.clone()).collect();
    let rule = AggregationRule::TrimmedMean;
    let mut aggregates = Vec::new();
    for (struck, f_standing) in [(0, 4), (1, 3), (2, 2), (3, 2)] {
        let mut inputs = on_probation(&rows, &who);
        inputs.terms = terms(4, 9);
        who.iter().take(struck).for_each(|&at| inputs.submissions[at].trust.strikes = 1);
        let all = by_itself(&rule, 4, &rows).values;
        let standing = by_itself(&rule, f_standing, &kept).values;
        let expected = standing.iter().zip(&all).map(|(&one, &all)| leaning(one, all)).collect();
        let found = judge(&rule, inputs).aggregate;
        assert_eq!(found, Ok(expected), "{struck} struck");
        aggregates.push(found);
    }
    aggregates.dedup();
    assert_eq!(aggregates.len(), 3, "each of three values of f makes another aggregate");
}

/// Eight that stand are too few for f = 4, and enough for what is left of it when one was struck.
#[test]
fn strikes_can_make_the_rule_defined_without_who_was_struck() {
    let rows: Vec<Vec<i32>> = (0..13).map(|at| vec![100 + 3 * at, 100 - 2 * at]).collect();
    let who = [0, 1, 2, 3, 4];
    let mut inputs = on_probation(&rows, &who);
    inputs.terms = terms(4, 9);
    let rule = AggregationRule::Median;
    let all = by_itself(&rule, 4, &rows).values;
    assert_eq!(judge(&rule, inputs.clone()).aggregate, Ok(all.clone()));
    inputs.submissions[0].trust.strikes = 1;
    let standing = by_itself(&rule, 3, &rows[5..]).values;
    let leaning = standing.iter().zip(&all).map(|(&one, &all)| leaning(one, all)).collect();
    assert_eq!(judge(&rule, inputs).aggregate, Ok(leaning));
}

/// Of seven a standing one has three quarters of a fifth and a quarter of a seventh, one on probation
/// the quarter alone.
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
    assert_eq!(weights, [35_714, 185_714, 185_714, 185_714, 185_714, 185_714, 35_714]);
    let down = (Verdict::DownWeight, Reason::MemberOnProbation, false);
    assert_eq!(said(&judgement, 6), down);
    let verdict = &judgement.verdicts[6];
    assert_eq!((verdict.value, verdict.threshold), (35_714, 142_857));
    let judgement = judge(&AggregationRule::TrimmedMean, inputs(Standing::Active));
    assert!(judgement.verdicts.iter().all(|one| one.weight_micro == 142_857));
}

/// Krum takes one update of all and another of those that stand: both are in the aggregate.
#[test]
fn an_update_that_either_part_used_is_in_the_record() {
    // The three on probation are close together, so that Krum chooses one of them among all, the
    // one at -1; of the others it is 40, whose two neighbours are 20 away.
    let at = [-40, -20, -1, 0, 1, 20, 40, 60];
    let rows: Vec<Vec<i32>> = at.iter().map(|&x| vec![1_000 + x]).collect();
    let krum = AggregationRule::Krum { neighbours: None };
    let mut inputs = on_probation(&rows, &[2, 3, 4]);
    inputs.terms = terms(1, 5);
    let judgement = judge(&krum, inputs);
    let used: Vec<(usize, u32)> = judgement.verdicts.iter().enumerate().filter_map(used).collect();
    assert_eq!(used, [(2, 250_000), (6, 750_000)]);
    // A quarter of 999 and three of 1040 are 1029.75.
    assert_eq!(judgement.aggregate, Ok(vec![1_030]));
    assert_eq!(said(&judgement, 2), (Verdict::DownWeight, Reason::MemberOnProbation, false));
    assert_eq!(said(&judgement, 6), (Verdict::Accept, Reason::Clean, false));
    let others = [0, 1, 3, 4, 5, 7];
    assert!(others.iter().all(|&at| said(&judgement, at).1 == Reason::NotSelected));
}

fn used((at, verdict): (usize, &UpdateVerdict)) -> Option<(usize, u32)> {
    let share = verdict.measures.iter().find(|(of, _)| *of == Measure::UsedShareMicro);
    assert_eq!(share.map(|(_, share)| *share), Some(u64::from(verdict.weight_micro)));
    (verdict.weight_micro > 0).then_some((at, verdict.weight_micro))
}
