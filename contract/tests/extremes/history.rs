//! The members' histories over many rounds of updates at the limits, and evaluations at theirs.

use std::collections::BTreeSet;

use fedledger_contract::evaluation::{
    choose, measure, measure_return, RETURN_MICRO_MAX, SCORE_MILLI_MAX,
};
use fedledger_contract::history::{observe, onset, Past, Row};
use fedledger_contract::records::{HarmRecord, ReturnRecord};
use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber};
use fedledger_ledger::limits::LOSS_MICRO_MAX;
use fedledger_ledger::task::{HarmPolicy, HistoryPolicy, SwingPolicy};

use crate::consortium::member_id;
use crate::extreme_row;

const ROUNDS: usize = 1_200;
const MEMBERS: usize = 9;
const WIDTH: u32 = 16;

/// The limits that `check_task` allows, the lowest and the highest.
fn policies() -> [HistoryPolicy; 3] {
    let low = HistoryPolicy {
        sketch_width: WIDTH,
        settle_rounds: 0,
        baseline_rounds: 4,
        bond_milli: 1_000,
        shift_milli: 1,
        lead_milli: 0,
        rounds_in_a_row: 1,
        swings: Some(SwingPolicy {
            window_rounds: 3,
            correlation_milli: 1,
            amplitude_milli: 1,
            copy_correlation_milli: 1,
            copy_amplitude_milli: 1,
            rounds_in_a_row: 1,
        }),
    };
    let high = HistoryPolicy {
        sketch_width: WIDTH,
        settle_rounds: 100,
        baseline_rounds: 1_000,
        bond_milli: 1_000_000,
        shift_milli: 1_000_000,
        lead_milli: 1_000_000,
        rounds_in_a_row: 1_000,
        swings: Some(SwingPolicy {
            window_rounds: 100,
            correlation_milli: 999,
            amplitude_milli: 1_000_000,
            copy_correlation_milli: 999,
            copy_amplitude_milli: 1_000_000,
            rounds_in_a_row: 1_000,
        }),
    };
    [low, high, HistoryPolicy { settle_rounds: 1_000, baseline_rounds: 4, ..low }]
}

fn harm_policies() -> [HarmPolicy; 2] {
    [
        HarmPolicy {
            observed_rounds: 2,
            cosine_milli: 1,
            allowance_milli: 0,
            limit_milli: 1,
            return_micro: Some(10_000),
            all_rows_milli: None,
        },
        HarmPolicy {
            observed_rounds: 1_000,
            cosine_milli: 1_000,
            allowance_milli: 3_000,
            limit_milli: 1_000_000,
            return_micro: Some(0),
            all_rows_milli: None,
        },
    ]
}

/// The numbers of a deviation at the ends of their type: more than any honest node makes, and what
/// a quorum that lies can write.
fn hostile(round: usize, member: usize) -> Deviation {
    let value = |column: usize| match (round / 7 + member * column) % 5 {
        0 => i16::MIN,
        2 if round % 2 == 0 => i16::MIN,
        1 | 2 => i16::MAX,
        3 => 0,
        _ => 1,
    };
    let sketch = (0..WIDTH as usize).flat_map(|column| value(column).to_le_bytes()).collect();
    Deviation { member: member_id(member), sketch }
}

/// Deviations as they follow from updates that change between the extremes.
fn observed(policy: &HistoryPolicy, d: usize, round: usize) -> Option<Vec<Deviation>> {
    let rows: Vec<Vec<i32>> =
        (0..MEMBERS).map(|member| extreme_row(member + round / 5 * 3, d)).collect();
    let rows: Vec<Row<'_>> = rows
        .iter()
        .enumerate()
        .map(|(at, values)| Row { member: member_id(at), values, enters: at != 4 })
        .collect();
    observe(policy, &Digest::of(&(round as u64).to_le_bytes()), &rows)
}

fn play(
    policy: HistoryPolicy,
    harm: HarmPolicy,
    mut deviations: impl FnMut(usize) -> Option<Vec<Deviation>>,
) -> Past {
    let mut past = Past::new(policy, Digest::of(b"seed")).with_harm(Some(harm));
    let mut all: Vec<(RoundNumber, Vec<Deviation>)> = Vec::new();
    let everybody: BTreeSet<MemberId> = (0..MEMBERS).map(member_id).collect();
    for round in 0..ROUNDS {
        let Some(deviations) = deviations(round) else { continue };
        // Some are in quarantine for a while, and the absent come back.
        let quarantined = BTreeSet::from([member_id(4), member_id(round / 100 % MEMBERS)]);
        past.advance(&deviations, &quarantined, 3);
        let cell = past.suspects(&everybody, 3);
        let harm = cell.map(|cell| HarmRecord {
            cell,
            harm_micro: i64::MAX,
            score_milli: if round % 3 == 0 { -SCORE_MILLI_MAX } else { SCORE_MILLI_MAX },
            agreeing: u32::MAX,
            evaluators: u32::MAX,
            classes: Vec::new(),
        });
        past.weigh(harm.as_ref(), &quarantined);
        // Whoever leaves quarantine takes where it is for its baseline, again and again.
        let returning = past.returning(&quarantined).map(|cell| ReturnRecord {
            cell,
            harm_micro: if round % 3 == 0 { RETURN_MICRO_MAX } else { -RETURN_MICRO_MAX },
            evaluators: u32::MAX,
            classes: Vec::new(),
        });
        past.weigh_return(returning.as_ref(), &quarantined);
        past.rebase(&quarantined, &quarantined);
        all.push((RoundNumber(u64::MAX - ROUNDS as u64 + round as u64), deviations));
    }
    onset(&policy, &all, &[member_id(0), member_id(1)]);
    past
}

#[test]
fn a_history_takes_any_deviation_over_many_rounds() {
    for policy in policies() {
        for harm in harm_policies() {
            let past = play(policy, harm, |round| {
                // A member is away now and then, and one only comes late.
                let comes = |&member: &usize| {
                    (round + member) % 11 != 0 && (member != 8 || round > ROUNDS / 2)
                };
                Some((0..MEMBERS).filter(comes).map(|member| hostile(round, member)).collect())
            });
            assert_eq!(past.members.len(), MEMBERS);
            assert!(past.members.values().all(|history| history.observed > 500));
        }
    }
}

#[test]
fn a_history_takes_updates_at_the_limits_over_many_rounds() {
    for (policy, d) in policies().into_iter().zip([5, WIDTH as usize, 1_000]) {
        for harm in harm_policies() {
            let past = play(policy, harm, |round| observed(&policy, d, round));
            assert!(past.members.values().any(|history| history.observed > 500));
        }
    }
}

/// Sums of as many parameters as one block of the projection can pile on one number.
#[test]
fn a_projection_of_long_updates_fits() {
    let d = 1 << 20;
    let rows: Vec<Vec<i32>> = (0..4).map(|member| extreme_row(member, d)).collect();
    let rows: Vec<Row<'_>> = rows
        .iter()
        .enumerate()
        .map(|(at, values)| Row { member: member_id(at), values, enters: true })
        .collect();
    for sketch_width in [16, 1_024] {
        let policy = HistoryPolicy { sketch_width, ..policies()[0] };
        let found = observe(&policy, &Digest::of(b"seed"), &rows).expect("the rows differ");
        assert!(found.iter().all(|one| one.sketch.len() == 2 * sketch_width as usize));
    }
}

#[test]
fn evaluations_take_losses_at_the_limits() {
    for count in [1usize, 2, 3, 13, 128] {
        for f in [0, 1, (count - 1) / 2, count, usize::MAX / 4] {
            for pattern in 0..4usize {
                let loss = |at: usize| match (pattern, at % 2) {
                    (0, _) | (2, 0) => LOSS_MICRO_MAX,
                    (1 | 2, _) => 0,
                    (_, 0) => LOSS_MICRO_MAX - 1,
                    _ => 1,
                };
                let pairs: Vec<(u64, u64)> =
                    (0..count).map(|at| (loss(at), loss(at + 1))).collect();
                let found = measure(&pairs, f);
                assert_eq!(found.is_some(), count > 2 * f);
                assert!(found.is_none_or(|harm| harm.score_milli.abs() <= SCORE_MILLI_MAX));
                let found = measure_return(&pairs, f);
                assert_eq!(found.is_some(), count > 2 * f);
                assert!(found.is_none_or(|harm| harm.harm_micro.abs() <= RETURN_MICRO_MAX));
                let rows: Vec<Vec<u64>> =
                    (0..count).map(|at| (at..at + 8).map(loss).collect()).collect();
                for candidates in [1, 2, 8] {
                    assert!(choose(&rows, candidates, f) < candidates);
                }
            }
        }
    }
}
