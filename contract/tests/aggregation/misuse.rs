//! Inputs that are refused, and with which numbers.

use fedledger_contract::aggregate::{
    aggregate, check_precondition, AggregateError, PreconditionError,
};
use fedledger_ledger::task::AggregationRule;
use ndarray::Array2;

const KRUM: AggregationRule = AggregationRule::Krum { neighbours: None };

/// The fewest members for each rule and f, as the papers state them.
#[test]
fn rules_start_to_be_defined_at_the_papers_n() {
    let multi = AggregationRule::MultiKrum { neighbours: None, selected: None };
    let rfa = AggregationRule::GeometricMedian { iterations: 1 };
    let clip = AggregationRule::CenteredClipping { iterations: 1, radius_milli: 1 };
    for f in 0..12usize {
        for (rule, fewest) in [
            (&AggregationRule::Mean, 1),
            (&AggregationRule::Median, 2 * f + 1),
            (&AggregationRule::TrimmedMean, 2 * f + 1),
            (&KRUM, 2 * f + 3),
            (&multi, 2 * f + 3),
            (&AggregationRule::Bulyan, 4 * f + 3),
            (&rfa, 2 * f + 1),
            (&clip, 2 * f + 1),
        ] {
            for n in 0..60 {
                assert_eq!(
                    check_precondition(rule, n, f).is_ok(),
                    n >= fewest,
                    "{rule:?}, n {n}, f {f}"
                );
            }
            assert!(check_precondition(rule, 128, f).is_ok());
            assert_eq!(
                check_precondition(rule, 129, f),
                Err(PreconditionError::TooMany { max: 128, n: 129 })
            );
        }
    }
    assert!(check_precondition(&AggregationRule::Bulyan, 100, usize::MAX).is_err());
}

#[test]
fn refusals_have_the_numbers() {
    // With as many liars as this, whoever is nearest to a fellow liar would win.
    assert_eq!(
        check_precondition(&KRUM, 4, 3).unwrap_err().to_string(),
        "krum needs n >= 2f + 3: with f = 3 at least 9 updates, found 4"
    );
    assert_eq!(
        check_precondition(&AggregationRule::Bulyan, 13, 4).unwrap_err().to_string(),
        "bulyan needs n >= 4f + 3: with f = 4 at least 19 updates, found 13"
    );
    let rule = AggregationRule::MultiKrum { neighbours: None, selected: Some(10) };
    assert_eq!(
        check_precondition(&rule, 13, 4).unwrap_err().to_string(),
        "multi_krum has selected = 10, expected 1 to 9 for n = 13, f = 4"
    );
}

#[test]
fn parameters_have_ranges() {
    let fine = |rule: AggregationRule| check_precondition(&rule, 13, 4).is_ok();
    let krum = |neighbours| AggregationRule::Krum { neighbours: Some(neighbours) };
    assert_eq!([0, 1, 12, 13].map(|k| fine(krum(k))), [false, true, true, false]);
    let multi = |m| AggregationRule::MultiKrum { neighbours: None, selected: Some(m) };
    assert_eq!([0, 1, 9, 10].map(|m| fine(multi(m))), [false, true, true, false]);
    let rfa = |iterations| AggregationRule::GeometricMedian { iterations };
    assert_eq!([0, 1, 64, 65].map(|t| fine(rfa(t))), [false, true, true, false]);
    let clip = |iterations, radius_milli| {
        fine(AggregationRule::CenteredClipping { iterations, radius_milli })
    };
    assert_eq!([0, 1, 64, 65].map(|t| clip(t, 1000)), [false, true, true, false]);
    assert_eq!([0, 1, 1_000_000, 1_000_001].map(|r| clip(1, r)), [false, true, true, false]);
}

#[test]
fn inputs_that_do_not_fit_together_are_refused() {
    let updates = Array2::<i32>::zeros((3, 4));
    let run = |weights: &[u64], start: Option<&[i32]>| {
        aggregate(&AggregationRule::Mean, 0, updates.view(), weights, start)
    };
    assert!(run(&[1, 1, 1], None).is_ok());
    assert_eq!(run(&[1, 1], None), Err(AggregateError::WrongWeights { expected: 3, found: 2 }));
    assert_eq!(run(&[1, 0, 1], None), Err(AggregateError::ZeroWeight { row: 1 }));
    assert_eq!(run(&[u64::MAX, 1, 1], None), Err(AggregateError::WeightsTooLarge));
    assert!(run(&[u64::MAX - 2, 1, 1], None).is_ok());
    assert_eq!(
        run(&[1, 1, 1], Some(&[0; 3])),
        Err(AggregateError::WrongStart { expected: 4, found: 3 })
    );
    assert_eq!(
        run(&[1, 1, 1], Some(&[0, 0, 1 << 23, 0])),
        Err(AggregateError::StartOutOfRange { column: 2, found: 1 << 23 })
    );
    let none = Array2::<i32>::zeros((0, 4));
    assert!(matches!(
        aggregate(&AggregationRule::Mean, 0, none.view(), &[], None),
        Err(AggregateError::Precondition(PreconditionError::TooFew { needed: 1, .. }))
    ));
    let empty = Array2::<i32>::zeros((3, 0));
    assert!(matches!(
        aggregate(&AggregationRule::Mean, 0, empty.view(), &[1; 3], None),
        Err(AggregateError::ParametersOutOfRange { found: 0, .. })
    ));
}

#[test]
fn values_out_of_range_are_found_wherever_they_are() {
    for d in [1usize, 1024, 70_000, 140_000] {
        for (row, column) in [(0, 0), (1, d - 1), (2, d / 2)] {
            for found in [1 << 23, -(1 << 23), i32::MIN, i32::MAX] {
                let mut updates = Array2::<i32>::zeros((3, d));
                updates[[row, column]] = found;
                assert_eq!(
                    aggregate(&AggregationRule::Median, 1, updates.view(), &[1; 3], None),
                    Err(AggregateError::ValueOutOfRange { row, column, found })
                );
            }
        }
    }
}
