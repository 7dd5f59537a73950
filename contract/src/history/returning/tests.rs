use std::collections::BTreeSet;

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::task::HarmPolicy;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{ReturnHarm, RETURN_MEAN, RETURN_ROUNDS_MIN};
use crate::evaluation::RETURN_MICRO_MAX;
use crate::history::tests::{member, POLICY, SEED};
use crate::history::{observe, Past, Row};
use crate::records::ReturnRecord;

const HARM: HarmPolicy = HarmPolicy {
    observed_rounds: 6,
    cosine_milli: 300,
    allowance_milli: 1_000,
    limit_milli: 4_000,
    return_micro: Some(1_000),
    all_rows_milli: None,
};
const WIDTH: usize = 12;

fn cell() -> BTreeSet<MemberId> {
    (0..3).map(member).collect()
}

/// Thirteen members with noise; the first three are pushed along the first two parameters.
struct Stream(ChaCha8Rng);

impl Stream {
    fn round(&mut self, push: [i32; 2], quarantined: &BTreeSet<MemberId>) -> Vec<Deviation> {
        let mut row = |k: usize| {
            let mut row: Vec<i32> = (0..WIDTH).map(|_| self.0.gen_range(-400..400)).collect();
            if k < 3 {
                row[0] += push[0];
                row[1] += push[1];
            }
            row
        };
        let values: Vec<Vec<i32>> = (0..13).map(&mut row).collect();
        let rows = values.iter().enumerate().map(|(k, values)| {
            let member = member(k);
            Row { enters: !quarantined.contains(&member), member, values }
        });
        observe(&POLICY, &SEED, &rows.collect::<Vec<_>>()).expect("rows differ")
    }
}

/// A past in which the three were found; with the stream that goes on.
fn found(seed: u64) -> (Past, Stream) {
    let mut past = Past::new(POLICY, SEED).with_harm(Some(HARM));
    let mut stream = Stream(ChaCha8Rng::seed_from_u64(seed));
    let nobody = BTreeSet::new();
    (0..15).for_each(|_| drop(past.advance(&stream.round([0, 0], &nobody), &nobody, 4)));
    (0..30).for_each(|_| drop(past.advance(&stream.round([2_000, 0], &cell()), &cell(), 4)));
    assert_eq!(past.returning(&cell()), Some(cell().into_iter().collect()));
    (past, stream)
}

fn record(harm_micro: i64) -> ReturnRecord {
    ReturnRecord {
        cell: cell().into_iter().collect(),
        harm_micro,
        evaluators: 10,
        classes: Vec::new(),
    }
}

#[test]
fn a_return_is_measured_of_those_that_the_history_keeps() {
    let (past, _) = found(1);
    // Not of the others in quarantine, not where the task does not ask, not beside harm of their own.
    assert_eq!(past.returning(&[member(0), member(9)].into()), Some(vec![member(0)]));
    assert_eq!(past.returning(&[member(9)].into()), None);
    let silent = HarmPolicy { return_micro: None, ..HARM };
    assert_eq!(past.clone().with_harm(Some(silent)).returning(&cell()), None);
    assert_eq!(past.clone().with_harm(None).returning(&cell()), None);
    let mut harmful = past;
    let history = harmful.members.get_mut(&member(1)).expect("it was observed");
    history.harm_milli = Some(2_000);
    assert_eq!(harmful.returning(&cell()), Some(vec![member(0), member(2)]));
}

#[test]
fn some_rounds_without_consequence_let_back_and_one_good_one_does_not() {
    let (mut past, _) = found(1);
    for round in 1..=RETURN_ROUNDS_MIN {
        past.weigh_return(Some(&record(1_000)), &cell());
        assert_eq!(past.may_return(&member(0)), round >= RETURN_ROUNDS_MIN);
    }
    // A round in which nothing was measured changes nothing; one of harm takes it back.
    past.weigh_return(None, &cell());
    assert!(past.may_return(&member(0)) && !past.may_return(&member(5)));
    past.weigh_return(Some(&record(2_000)), &cell());
    assert!(!past.may_return(&member(0)));
    // Ten rounds of harm of consequence are not made good by one of as much use as counts.
    let (mut past, _) = found(1);
    (0..10).for_each(|_| past.weigh_return(Some(&record(2_500)), &cell()));
    past.weigh_return(Some(&record(-RETURN_MICRO_MAX)), &cell());
    assert!(!past.may_return(&member(0)), "{:?}", past.members[&member(0)].returning);
    // Out of quarantine nothing is left of it.
    past.weigh_return(None, &BTreeSet::new());
    assert_eq!(past.members[&member(0)].returning, None);
}

#[test]
fn with_the_return_the_baseline_moves_and_a_further_drift_is_found_at_once() {
    for seed in 0..5 {
        let (mut past, mut stream) = found(seed);
        (0..3).for_each(|_| past.weigh_return(Some(&record(0)), &cell()));
        let spread = past.members[&member(0)].spread;
        past.rebase(&cell(), &cell());
        let history = &past.members[&member(0)];
        assert_eq!((history.in_cell, history.returning, history.spread), (0, None, spread));
        let nobody = BTreeSet::new();
        for _ in 0..30 {
            let findings = past.advance(&stream.round([2_000, 0], &nobody), &nobody, 4).moved;
            assert!(findings.is_empty(), "seed {seed}: {findings:?}");
        }
        let drift = (1..15).find(|_| {
            let findings = past.advance(&stream.round([2_000, 2_500], &nobody), &nobody, 4).moved;
            cell().iter().all(|id| findings.iter().any(|finding| finding.member == *id))
        });
        assert!(drift.is_some(), "seed {seed}");
    }
}

#[test]
fn a_baseline_stays_where_no_return_was_measured() {
    let (past, _) = found(1);
    let mut moved = past.clone();
    moved.rebase(&cell(), &cell());
    assert_eq!(moved, past);
    (0..3).for_each(|_| moved.weigh_return(Some(&record(1_001)), &cell()));
    let weighed = moved.clone();
    moved.rebase(&cell(), &cell());
    assert_eq!(moved, weighed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_mean_lies_between_what_it_averages(
        harms in prop::collection::vec(-RETURN_MICRO_MAX..=RETURN_MICRO_MAX, 1..40),
    ) {
        let mut mean = ReturnHarm::default();
        harms.iter().for_each(|&harm| mean.add(harm));
        let (least, most) = (harms.iter().min().copied(), harms.iter().max().copied());
        prop_assert!(Some(mean.mean_micro) >= least && Some(mean.mean_micro) <= most);
        prop_assert_eq!(mean.rounds as usize, harms.len());
        // Of the first rounds it is the plain mean, but for what a rounding each can do.
        if harms.len() <= RETURN_MEAN as usize {
            let sum: i64 = harms.iter().sum();
            let away = sum - mean.mean_micro * harms.len() as i64;
            prop_assert!(away.unsigned_abs() as usize <= harms.len() * harms.len(), "{away}");
        }
    }
}
