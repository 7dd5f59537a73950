use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use proptest::prelude::*;

use crate::aggregate::{aggregate_rows, measures_pairs, pairwise, Terms};
use crate::judge::admit;
use crate::judge::tests::{inputs, terms, with_standing};

const N: usize = 11;
const F: usize = 2;

fn arbitrary_rows() -> impl Strategy<Value = Vec<Vec<i32>>> {
    prop::collection::vec(prop::collection::vec(-8_388_607i32..8_388_608, 5), N)
}

fn rules() -> Vec<AggregationRule> {
    let nnm = vec![PreAggregation::NearestNeighbours, PreAggregation::AdaptiveClipping];
    let arc = vec![PreAggregation::AdaptiveClipping, PreAggregation::NearestNeighbours];
    let drawing = |coordinates| AggregationRule::DivideAndConquer {
        coordinates,
        iterations: 4,
        removed_milli: 1_000,
    };
    let krum = || Box::new(AggregationRule::Krum { neighbours: None });
    vec![
        AggregationRule::Krum { neighbours: None },
        AggregationRule::MultiKrum { neighbours: None, selected: None },
        AggregationRule::GeometricMedian { iterations: 8 },
        AggregationRule::Bulyan,
        AggregationRule::FilteredTrimmedMean { iterations: 32 },
        drawing(None),
        drawing(Some(100)),
        drawing(Some(2)),
        AggregationRule::PreAggregated { stages: nnm, rule: krum() },
        AggregationRule::PreAggregated { stages: arc, rule: krum() },
        AggregationRule::Mean,
        AggregationRule::Median,
        AggregationRule::TrimmedMean,
        AggregationRule::CenteredClipping { iterations: 3, radius_milli: 500 },
    ]
}

proptest! {
    /// Wherever rows are moved to, what is known of them is what would be measured anew.
    #[test]
    fn distances_stay_true_while_lines_move(
        rows in arbitrary_rows(),
        quarantined in prop::collection::btree_set(0..N, 0..3),
        cell in prop::collection::btree_set(0..N, 0..4),
        some in prop::collection::vec(0..N, 0..N),
    ) {
        let round = quarantined.iter().fold(inputs(terms(F, 5), &rows), |inputs, &at| {
            with_standing(inputs, at, Standing::Quarantine)
        });
        let mut admission = admit(round);
        let all: Vec<usize> = (0..N).collect();
        let check = |admission: &crate::judge::Admission, asked: &[usize]| {
            let values = asked.iter().map(|&row| admission.row(row)).collect();
            prop_assert_eq!(admission.distances_between(asked), pairwise(values));
            Ok(())
        };
        check(&admission, &all)?;
        let members: Vec<_> =
            cell.iter().map(|&at| admission.lines[at].submission.member.clone()).collect();
        admission.leave_out(&members);
        check(&admission, &all)?;
        check(&admission, &some)?;
    }

    /// A rule that is told the distances gives the same as one that measures them.
    #[test]
    fn rules_do_not_care_who_measured(rows in arbitrary_rows()) {
        let values = || rows.iter().map(Vec::as_slice).collect();
        let distances = pairwise(values()).expect("values are in range");
        let weights: Vec<u64> = (1..=N as u64).collect();
        let terms = Terms { f: F, weights: &weights, start: None, seed: 7 };
        for rule in rules() {
            let told = aggregate_rows(&rule, values(), &terms, Some(&distances));
            prop_assert_eq!(told, aggregate_rows(&rule, values(), &terms, None), "{:?}", rule);
        }
    }
}

/// Wrong distances change what a rule does exactly where it is said to begin with them.
#[test]
fn the_rules_that_measure_pairs_are_those_that_use_them() {
    let rows: Vec<Vec<i32>> =
        (0..N as i32).map(|at| vec![at * at * 1_000, 9_000 - at * 700, at % 3 * 4_000]).collect();
    let values = || rows.iter().map(Vec::as_slice).collect();
    let reversed: Vec<u128> =
        pairwise(values()).expect("values are in range").into_iter().rev().collect();
    let weights = vec![1; N];
    let terms = Terms { f: F, weights: &weights, start: None, seed: 7 };
    for rule in rules() {
        let told = aggregate_rows(&rule, values(), &terms, Some(&reversed));
        let differs = told != aggregate_rows(&rule, values(), &terms, None);
        assert_eq!(differs, measures_pairs(&rule, rows[0].len()), "{rule:?}");
    }
}

/// Of a large model the distances cost as much as the rule asks for, and no more.
#[test]
fn who_is_in_quarantine_is_measured_only_where_verdicts_say_how_near_it_is() {
    let measured = |d: usize| {
        let rows: Vec<Vec<i32>> = (0..128).map(|at| vec![at; d]).collect();
        let admission = admit(with_standing(inputs(terms(F, 5), &rows), 7, Standing::Quarantine));
        let some = admission.distances_between(&[0, 126]).expect("values are in range");
        // The row in quarantine went to the end.
        assert_eq!(some[1], 127 * 127 * d as u128);
        admission.measured().len()
    };
    assert_eq!(measured(1 << 16), 128);
    assert_eq!(measured((1 << 16) + 1), 127);
}

#[test]
fn nothing_is_known_of_values_out_of_range() {
    let mut rows = vec![vec![1, 2]; N];
    rows[3][1] = 1 << 23;
    assert_eq!(pairwise(rows.iter().map(Vec::as_slice).collect()), None);
}
