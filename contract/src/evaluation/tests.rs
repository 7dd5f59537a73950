use proptest::prelude::*;

use fedledger_ledger::decision::Candidate;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{AggregationRule, HarmPolicy};
use fedledger_ledger::transaction::ClassLoss;

use super::{
    choose, conclude, measure, measure_return, Evaluation, RETURN_MICRO_MAX, SCORE_MILLI_MAX,
};
use crate::history::Past;
use crate::profile::{HARM_OF_CLASS, HISTORY_BALANCED};

fn check(losses: &[&[u64]], f: usize, expected: usize) {
    let losses: Vec<Vec<u64>> = losses.iter().map(|row| row.to_vec()).collect();
    assert_eq!(choose(&losses, 3, f), expected, "{losses:?}, f = {f}");
}

#[test]
fn the_least_median_wins_and_ties_go_to_the_earlier() {
    check(&[&[5, 4, 6], &[5, 4, 6], &[5, 4, 6]], 1, 1);
    check(&[&[5, 5, 5], &[5, 5, 5], &[5, 5, 5]], 1, 0);
    check(&[&[5, 4, 4]], 0, 1);
}

#[test]
fn f_liars_do_not_choose() {
    check(&[&[5, 4, 9], &[5, 4, 9], &[0, 1_000_000, 0]], 1, 1);
    // Hospitals with different losses all find candidate 1 worse; medians of the losses themselves,
    // 500 against 100, would let the liar choose it.
    check(&[&[100, 101, 101], &[500, 501, 501], &[900, 0, 1_000]], 1, 0);
}

#[test]
fn too_few_evaluators_leave_the_tasks_own_rule() {
    check(&[&[5, 4, 6], &[5, 4, 6]], 1, 0);
    check(&[], 0, 0);
    assert_eq!(measure(&[(2, 1); 8], 4), None);
}

#[test]
fn harm_that_all_measure_alike_scores_most_and_noise_little() {
    let alike: Vec<(u64, u64)> = (0..9).map(|k| (100_000 + 1_000 + k, 100_000)).collect();
    let found = measure(&alike, 4).expect("nine are enough");
    assert_eq!((found.agreeing, found.evaluators, found.harm_micro), (9, 9, 1_002));
    assert_eq!(found.score_milli, SCORE_MILLI_MAX);
    let mixed = [900, 300, 100, 50, 0, -50, -100, -300, -900];
    let mixed = mixed.map(|harm: i64| ((100_000 + harm) as u64, 100_000));
    let found = measure(&mixed, 4).expect("nine are enough");
    assert_eq!((found.agreeing, found.harm_micro), (4, -100));
    assert!(found.score_milli < 0);
    // (1000 − 20·0)/(5/4 · 0 + 20) is over the limit; half of the spread scores five hundred.
    let half: Vec<(u64, u64)> = [0, 0, 100, 300, 300].map(|harm| (1_000 + harm, 1_000)).to_vec();
    // Median of the four least is 50; |x − 100| = 100, 100, 0, 200, 200, MAD 100: mean 120.
    let found = measure(&half, 1).expect("five are enough");
    assert_eq!((found.harm_micro, found.score_milli), (50, 50 * 1_000 / (150 + 20)));
}

#[test]
fn the_harm_of_a_return_is_a_share_of_the_loss_and_limited() {
    assert_eq!(measure_return(&[(2, 1); 8], 4), None);
    let harm = |losses: &[(u64, u64)], f| {
        measure_return(losses, f).map(|found| (found.harm_micro, found.evaluators))
    };
    // A thousandth of 200,000; of four greatest 100 to 400 the median is 250, of the least losses
    // 200,000.
    let losses = [0, 100, 200, 300, 400].map(|harm| (200_000, 200_000 + harm));
    assert_eq!(harm(&losses, 1), Some((1_250, 5)));
    assert_eq!(harm(&losses, 2), Some((1_500, 5)));
    assert_eq!(harm(&[(200_000, 199_900); 3], 1), Some((-500, 3)));
    // Half to even, and no loss at all.
    assert_eq!(harm(&[(2_000_000, 2_000_001); 3], 1), Some((0, 3)));
    assert_eq!(harm(&[(0, 5); 3], 1), Some((RETURN_MICRO_MAX, 3)));
    assert_eq!(harm(&[(5, 0); 3], 1), Some((-RETURN_MICRO_MAX, 3)));
}

#[test]
fn the_model_with_members_in_quarantine_is_never_chosen() {
    let id = |at: usize| MemberId::new(format!("m{at}")).expect("a good id");
    let candidate = |at: u8, without: Option<Vec<MemberId>>, with| Candidate {
        rule: AggregationRule::Median,
        aggregate: Digest([at; 32]),
        model: Digest([at; 32]),
        without,
        with,
    };
    let scored = |losses: &[u64]| -> Vec<Evaluation> {
        let one = |at| Evaluation { member: id(at), losses: losses.to_vec(), classes: Vec::new() };
        (2..7).map(one).collect()
    };
    let losses = scored(&[5_000, 6_000, 1_000]);
    let whole = candidate(0, None, None);
    let mixed = || candidate(2, None, Some(vec![id(0)]));
    let listed = [whole.clone(), candidate(1, Some(vec![id(1), id(2)]), None), mixed()];
    let found = conclude(&listed, &losses, None, 1, None);
    assert_eq!((found.chosen, found.harm.map(|harm| harm.evaluators)), (0, Some(4)));
    let returning = found.returning.expect("five evaluators are enough");
    assert_eq!((returning.cell, returning.harm_micro), (vec![id(0)], -RETURN_MICRO_MAX));
    // Nor where nobody is suspected.
    let found = conclude(&[whole, mixed()], &scored(&[5_000, 1_000]), None, 1, None);
    assert_eq!((found.chosen, found.harm), (0, None));
    assert!(found.returning.is_some());
}

/// Nine evaluators find the sick better off without the cell by a thousand, and all rows worse or better
/// off by `all`.
fn harm_with(all_rows_milli: Option<u32>, protected: Option<usize>, all: i64) -> i64 {
    let id = |at: usize| MemberId::new(format!("m{at:02}")).expect("a good id");
    let cell: Vec<MemberId> = (9..13).map(id).collect();
    let candidate = |at: u8, without| Candidate {
        rule: AggregationRule::Median,
        aggregate: Digest([at; 32]),
        model: Digest([at; 32]),
        without,
        with: None,
    };
    let loss = |loss_micro| ClassLoss { loss_micro, num_examples: 10 };
    let evaluations = (0..9).map(|at| Evaluation {
        member: id(at),
        losses: vec![100_000, (100_000 - all) as u64],
        classes: vec![vec![loss(50_000), loss(200_000)], vec![loss(51_000), loss(199_000)]],
    });
    let evaluations: Vec<Evaluation> = evaluations.collect();
    let policy = HarmPolicy { all_rows_milli, ..HARM_OF_CLASS };
    let past = Past::new(HISTORY_BALANCED, Digest([0; 32])).with_harm(Some(policy));
    let listed = [candidate(0, None), candidate(1, Some(cell))];
    let found = conclude(&listed, &evaluations, Some(&past), 4, protected);
    found.harm.expect("nine are enough").score_milli
}

#[test]
fn harm_to_one_class_counts_as_far_as_all_rows_do_not_contradict_it() {
    assert_eq!(harm_with(None, Some(1), -1_000), SCORE_MILLI_MAX);
    assert_eq!(harm_with(Some(700), Some(1), -1_000), 700 - SCORE_MILLI_MAX);
    assert_eq!(harm_with(Some(700), Some(1), 0), 700);
    assert_eq!(harm_with(Some(700), Some(1), 1_000), SCORE_MILLI_MAX);
    // All rows agree, the class does not.
    assert_eq!(harm_with(Some(700), Some(0), 1_000), -SCORE_MILLI_MAX);
    // Nothing is protected: the loss on all rows is what counts.
    assert_eq!(harm_with(Some(700), None, 0), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn f_liars_do_not_make_a_harmful_return_harmless(
        honest in prop::collection::vec((1u64..=2_000_000, 0u64..=20_000), 5..20),
        lies in prop::collection::vec((0u64..=1_000_000_000_000, 0u64..=1_000_000_000_000), 4),
    ) {
        // For every honest evaluator it raises the loss, or does nothing; its share of the median
        // loss is at least that of the median honest ones.
        let mut losses: Vec<(u64, u64)> =
            honest.iter().map(|&(out, harm)| (out, out + harm)).collect();
        let mut harms: Vec<u64> = honest.iter().map(|&(_, harm)| harm).collect();
        let mut usual: Vec<u64> = honest.iter().map(|&(out, _)| out).collect();
        harms.sort_unstable();
        usual.sort_unstable();
        let (below, above) = (harms[(harms.len() - 1) / 2], usual[usual.len() / 2]);
        losses.extend(lies);
        let found = measure_return(&losses, 4).expect("nine are enough").harm_micro;
        let share = (below * 1_000_000 / above) as i64;
        prop_assert!(found >= share.min(RETURN_MICRO_MAX), "{found} under {share}");
    }

    #[test]
    fn no_losses_of_a_return_overflow_and_no_order_matters(
        mut losses in prop::collection::vec((0u64..=1_000_000_000_000, 0u64..=1_000_000_000_000), 1..129),
        turn in 0usize..128,
    ) {
        let f = (losses.len() - 1) / 2;
        let found = measure_return(&losses, f);
        let turn = turn % losses.len();
        losses.rotate_left(turn);
        prop_assert_eq!(measure_return(&losses, f), found);
    }

    #[test]
    fn f_liars_neither_accuse_nor_choose_what_no_honest_evaluator_finds_harmful(
        honest in prop::collection::vec((0u64..=1_000_000, 0u64..=1_000_000), 5..20),
        lies in prop::collection::vec((0u64..=1_000_000_000_000, 0u64..=1_000_000_000_000), 4),
    ) {
        // For every honest evaluator the cell helps, or does nothing.
        let mut losses: Vec<(u64, u64)> = honest.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
        losses.extend(lies);
        let found = measure(&losses, 4).expect("nine are enough");
        prop_assert!(found.harm_micro <= 0 && found.score_milli <= 0, "{found:?}");
        let rows: Vec<Vec<u64>> = losses.iter().map(|&(with, out)| vec![with, out]).collect();
        prop_assert_eq!(choose(&rows, 2, 4), 0);
    }

    #[test]
    fn the_harm_that_counts_is_not_above_the_median_of_the_honest(
        honest in prop::collection::vec(0u64..=2_000_000, 5),
        lies in prop::collection::vec(0u64..=1_000_000_000_000, 4),
    ) {
        let losses: Vec<(u64, u64)> =
            honest.iter().chain(&lies).map(|&with| (with, 1_000_000)).collect();
        let mut sorted: Vec<i64> = honest.iter().map(|&with| with as i64 - 1_000_000).collect();
        sorted.sort_unstable();
        let found = measure(&losses, 4).expect("nine are enough");
        prop_assert!(found.harm_micro <= sorted[2], "{found:?}");
    }

    #[test]
    fn no_losses_overflow_and_no_order_matters(
        mut losses in prop::collection::vec((0u64..=1_000_000_000_000, 0u64..=1_000_000_000_000), 1..129),
        turn in 0usize..128,
    ) {
        let f = (losses.len() - 1) / 2;
        let found = measure(&losses, f);
        let turn = turn % losses.len();
        losses.rotate_left(turn);
        prop_assert_eq!(measure(&losses, f), found);
    }
}
