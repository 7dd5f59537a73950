//! The twins here are in floating point, which only the tests are allowed.
#![allow(clippy::disallowed_types, clippy::float_arithmetic)]

use std::collections::BTreeSet;

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{HarmPolicy, HistoryPolicy};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::sketch::{median_i64, values};
use super::{observe, sketch_bytes, MemberHistory, Past, Row, UNIT, USUAL};
use crate::records::HarmRecord;

pub(super) const POLICY: HistoryPolicy = HistoryPolicy {
    sketch_width: 16,
    settle_rounds: 2,
    baseline_rounds: 8,
    bond_milli: 8_000,
    shift_milli: 3_000,
    lead_milli: 1_000,
    rounds_in_a_row: 2,
    swings: None,
};
pub(super) const SEED: Digest = Digest([7; 32]);

pub(super) fn member(k: usize) -> MemberId {
    MemberId::new(format!("m-{k:02}")).expect("a good id")
}

/// Rows of independent noise around each member's own offset; `push(round, member)` is added along
/// the first parameter.
struct Stream {
    random: ChaCha8Rng,
    offsets: Vec<Vec<i32>>,
}

impl Stream {
    fn new(members: usize, parameters: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let offsets = (0..members)
            .map(|_| (0..parameters).map(|_| random.gen_range(-300..300)).collect())
            .collect();
        Self { random, offsets }
    }

    fn round(&mut self, push: impl Fn(usize) -> i32) -> Vec<Vec<i32>> {
        let random = &mut self.random;
        let rows = self.offsets.iter().enumerate().map(|(k, offset)| {
            let mut row: Vec<i32> =
                offset.iter().map(|base| base + random.gen_range(-400..400)).collect();
            row[0] += push(k);
            row
        });
        rows.collect()
    }
}

fn deviations(rows: &[Vec<i32>], quarantined: &BTreeSet<MemberId>) -> Vec<Deviation> {
    let rows: Vec<Row<'_>> = rows
        .iter()
        .enumerate()
        .map(|(k, values)| Row {
            member: member(k),
            values,
            enters: !quarantined.contains(&member(k)),
        })
        .collect();
    observe(&POLICY, &SEED, &rows).expect("rows differ")
}

/// Runs `rounds` rounds with `push(round, member)` and returns who was ever found.
fn found(members: usize, seed: u64, rounds: u32, push: impl Fn(u32, usize) -> i32) -> Vec<usize> {
    let mut past = Past::new(POLICY, SEED);
    let mut stream = Stream::new(members, 12, seed);
    let mut ever = BTreeSet::new();
    for round in 0..rounds {
        let rows = stream.round(|k| push(round, k));
        let findings = past.advance(&deviations(&rows, &BTreeSet::new()), &BTreeSet::new(), 4);
        ever.extend(findings.moved.into_iter().map(|finding| finding.member));
    }
    (0..members).filter(|&k| ever.contains(&member(k))).collect()
}

#[test]
fn those_that_begin_to_move_together_are_found_and_nobody_else() {
    for seed in 0..5 {
        let drift = |round: u32, k: usize| if k < 4 && round >= 15 { 2_000 } else { 0 };
        assert_eq!(found(13, seed, 40, drift), [0, 1, 2, 3], "seed {seed}");
        assert_eq!(found(13, seed, 40, |_, _| 0), [0usize; 0], "seed {seed}");
    }
}

#[test]
fn one_that_changes_alone_and_those_that_were_always_alike_are_not_found() {
    for seed in 0..5 {
        let alone = |round: u32, k: usize| if k == 5 && round >= 15 { 2_000 } else { 0 };
        assert_eq!(found(13, seed, 40, alone), [0usize; 0], "seed {seed}");
        let always = |_: u32, k: usize| if k < 4 { 2_000 } else { 0 };
        assert_eq!(found(13, seed, 40, always), [0usize; 0], "seed {seed}");
    }
}

/// Four that push in turns from the first round on have baselines that scatter widely, and bonds of
/// nothing with anybody: more than half of all pairs have one of them. The others, whose updates vary
/// little, part in the course of training, each its own way.
#[test]
fn those_that_are_unsteady_do_not_make_the_others_look_unusual() {
    for seed in 0..10 {
        let mut past = Past::new(POLICY, SEED);
        let mut stream = Stream::new(13, 12, seed);
        stream.offsets.iter_mut().flatten().for_each(|value| *value *= 10);
        let ways = Stream::new(13, 12, seed + 100).offsets;
        for round in 0..60 {
            if (12..42).contains(&round) {
                for (offset, way) in stream.offsets.iter_mut().zip(&ways).skip(4) {
                    offset.iter_mut().zip(way).for_each(|(value, step)| *value += step / 5);
                }
            }
            let rows = stream.round(|k| if round % 4 == k { 20_000 } else { 0 });
            let nobody = BTreeSet::new();
            let found = past.advance(&deviations(&rows, &nobody), &nobody, 4).moved;
            assert_eq!(found, [], "seed {seed}, round {round}");
        }
    }
}

/// Runs 60 rounds in which the last `changed` of 13 members change alike from round 15 on, and says in
/// which rounds who was found; `notice` is called for each of them before that round.
fn after_a_change(
    seed: u64,
    changed: usize,
    notice: impl Fn(MemberHistory) -> Option<MemberHistory>,
) -> (Past, BTreeSet<(u32, MemberId)>) {
    let mut past = Past::new(POLICY, SEED);
    let mut stream = Stream::new(13, 12, seed);
    let mut found = BTreeSet::new();
    let changes = |k: usize| k >= 13 - changed;
    for round in 0..60 {
        if round == 15 {
            for id in (0..13).filter(|&k| changes(k)).map(member) {
                let history = past.members.remove(&id).expect("everybody was observed");
                past.members.extend(notice(history).map(|after| (id, after)));
            }
        }
        let rows = stream.round(|k| if changes(k) && round >= 15 { 2_000 } else { 0 });
        let none = BTreeSet::new();
        let moved = past.advance(&deviations(&rows, &none), &none, 4).moved;
        found.extend(moved.into_iter().map(|finding| (round, finding.member)));
    }
    (past, found)
}

/// Nine members whose deviations all move when the model does, in round 15, each by up to `answer` in its
/// own way, four of them from round 20 on by `drift` together, and four that begin anew then and send
/// what they sent. Says of each round who was found of the nine, and how many of all; the four are left
/// out where `alone`.
fn beside_new_histories(
    seed: u64,
    (answer, drift): (i16, i16),
    alone: bool,
) -> Vec<(Vec<MemberId>, usize)> {
    const CHANGE: u32 = 15;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut vector = |size: i16| (0..12).map(|_| random.gen_range(-size..=size)).collect();
    let offsets: Vec<Vec<i16>> = (0..13).map(|_| vector(2_000)).collect();
    let answers: Vec<Vec<i16>> = (0..13).map(|_| vector(answer)).collect();
    let mut past = Past::new(POLICY, SEED);
    let mut found = Vec::new();
    for round in 0..60 {
        if round == CHANGE {
            (9..13).for_each(|k| drop(past.members.remove(&member(k))));
        }
        let mut deviation = |k: usize| {
            let stayed = k < 9 && round >= CHANGE;
            let noise: Vec<i16> = vector(1_500);
            let values = (0..12).map(|at| {
                let together = if at == 1 && k < 4 && round >= 20 { drift } else { 0 };
                let moved = if at == 0 { 3_000 } else { together } + answers[k][at];
                offsets[k][at] + noise[at] + if stayed { moved } else { 0 }
            });
            let sketch = values.flat_map(i16::to_le_bytes).collect();
            Deviation { member: member(k), sketch }
        };
        let all: Vec<Deviation> = (0..13).map(&mut deviation).collect();
        let left = if alone && round >= CHANGE { 9 } else { 13 };
        let moved = past.advance(&all[..left], &BTreeSet::new(), 4).moved;
        let members: Vec<MemberId> = moved.into_iter().map(|finding| finding.member).collect();
        let of_nine = members.iter().filter(|id| **id < member(9)).cloned().collect();
        found.push((of_nine, members.len()));
    }
    found
}

#[test]
fn who_begins_anew_has_left_nothing() {
    for seed in 0..20 {
        let found = beside_new_histories(seed, (1_200, 0), false);
        assert!(found.iter().all(|(_, members)| *members == 0), "seed {seed}: {found:?}");
    }
}

/// Until round 39, when a baseline of round 25 stands half as long as one of round 10.
#[test]
fn beside_those_that_begin_anew_the_others_are_judged_as_if_they_were_not_there() {
    let mut ever = 0;
    for seed in 0..60 {
        let beside = beside_new_histories(seed, (1_600, 6_000), false);
        let alone = beside_new_histories(seed, (1_600, 6_000), true);
        for (round, (beside, alone)) in beside.iter().zip(&alone).enumerate().take(39) {
            assert_eq!(beside.0, alone.0, "seed {seed}, round {round}");
            ever += alone.0.len();
        }
    }
    assert!(ever > 0, "a test in which nobody is found shows nothing");
}

#[test]
fn one_that_announces_a_change_has_a_new_baseline_after_as_many_rounds_as_that_takes() {
    let announced = |history: MemberHistory| history.after_notice(&POLICY);
    for seed in 0..20 {
        let (past, found) = after_a_change(seed, 1, announced);
        assert_eq!(found, BTreeSet::new(), "seed {seed}");
        let history = &past.members[&member(12)];
        let (whole, taken) = (POLICY.settle_rounds + POLICY.baseline_rounds, Some(25));
        assert_eq!((history.excused, history.rebased), (None, taken));
        assert_eq!(history.rounds_judged(&POLICY), Some(60 - 15 - whole));
        // Beside the old baseline the shift is as long as the step, beside the new one it is noise.
        let length = |history: &MemberHistory| {
            history.shifts[1].iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
        };
        let (unsaid, _) = after_a_change(seed, 1, Some);
        let ratio = length(history) / length(&unsaid.members[&member(12)]);
        assert!(ratio < 0.5, "seed {seed}: {ratio}");
    }
}

#[test]
fn those_that_announce_the_same_change_are_excused_for_as_long_as_they_are_found() {
    let announced = |history: MemberHistory| history.after_notice(&POLICY);
    for seed in 0..20 {
        let (past, found) = after_a_change(seed, 4, announced);
        let members: BTreeSet<MemberId> = found.iter().map(|(_, id)| id.clone()).collect();
        assert_eq!(members, (9..13).map(member).collect(), "seed {seed}");
        assert_eq!(past.excused(), members, "seed {seed}");
        let last = found.last().map(|(round, _)| *round);
        assert_eq!(last, Some(59), "seed {seed}: found for as long as they stay away");
    }
}

const HARM: HarmPolicy = HarmPolicy {
    observed_rounds: 6,
    cosine_milli: 300,
    allowance_milli: 1_000,
    limit_milli: 4_000,
    return_micro: None,
    all_rows_milli: None,
};

/// A past of `rounds` rounds in which the first four of 13 members are always alike.
fn alike(seed: u64, rounds: u32, push: i32) -> Past {
    let mut past = Past::new(POLICY, SEED).with_harm(Some(HARM));
    let mut stream = Stream::new(13, 12, seed);
    for _ in 0..rounds {
        let rows = stream.round(|k| if k < 4 { push } else { 0 });
        past.advance(&deviations(&rows, &BTreeSet::new()), &BTreeSet::new(), 4);
    }
    past
}

fn everybody() -> BTreeSet<MemberId> {
    (0..13).map(member).collect()
}

#[test]
fn those_that_always_pull_together_are_suspected_without_a_baseline() {
    for seed in 0..5 {
        let past = alike(seed, 8, 2_000);
        let cell: Vec<MemberId> = (0..4).map(member).collect();
        assert_eq!(past.suspects(&everybody(), 4), Some(cell.clone()), "seed {seed}");
        // No more than may be hostile, none that does not stand, nobody alone, nobody too soon.
        let three = past.suspects(&everybody(), 3).expect("three are bound as well");
        assert!(three.len() == 3 && three.iter().all(|id| cell.contains(id)), "{three:?}");
        let others: BTreeSet<MemberId> = (1..13).map(member).collect();
        assert_eq!(
            past.suspects(&others, 4).map(|cell| cell[..3].to_vec()),
            Some(cell[1..].to_vec())
        );
        assert_eq!(past.suspects(&everybody(), 1), None);
        assert_eq!(alike(seed, 5, 2_000).suspects(&everybody(), 4), None);
        assert_eq!(Past { harm: None, ..past }.suspects(&everybody(), 4), None);
    }
}

#[test]
fn harm_adds_up_over_the_allowance_and_shrinks_without_suspicion() {
    let mut past = alike(1, 8, 2_000);
    let cell: Vec<MemberId> = (0..4).map(member).collect();
    let harm = |score_milli| HarmRecord {
        cell: cell.clone(),
        harm_micro: 1,
        score_milli,
        agreeing: 9,
        evaluators: 9,
        classes: Vec::new(),
    };
    let nobody = BTreeSet::new();
    let sum = |past: &Past, k| past.members[&member(k)].harm_milli;
    assert!(past.weigh(Some(&harm(3_000)), &nobody).is_empty());
    assert_eq!((sum(&past, 0), sum(&past, 4)), (Some(2_000), Some(0)));
    let found = past.weigh(Some(&harm(3_000)), &nobody);
    let found: Vec<_> = found.into_iter().map(|one| (one.member, one.sum_milli)).collect();
    assert_eq!(found, cell.iter().map(|id| (id.clone(), 4_000)).collect::<Vec<_>>());
    // The sum has an end, and in quarantine it shrinks until the strikes do.
    (0..9).for_each(|_| drop(past.weigh(Some(&harm(3_000)), &nobody)));
    assert_eq!(sum(&past, 0), Some(8_000));
    let known: BTreeSet<MemberId> = cell.iter().cloned().collect();
    let struck = (0..40).take_while(|_| !past.weigh(None, &known).is_empty()).count();
    assert_eq!(struck, (8_000 - 2_000) / 250);
    // A cell that helps, or harms no more than is allowed for, never comes to anything.
    let mut past = alike(1, 8, 2_000);
    for score in [1_000, -3_000, 500, 1_000, 0] {
        assert!(past.weigh(Some(&harm(score)), &nobody).is_empty());
        assert_eq!(sum(&past, 0), Some(0));
    }
}

#[test]
fn a_finding_names_the_company_and_how_long() {
    let mut past = Past::new(POLICY, SEED);
    let mut stream = Stream::new(13, 12, 1);
    let mut last = Vec::new();
    for round in 0..30 {
        let rows = stream.round(|k| if k < 4 && round >= 15 { 2_000 } else { 0 });
        last = past.advance(&deviations(&rows, &BTreeSet::new()), &BTreeSet::new(), 4).moved;
    }
    let first = &last[0];
    let mut company = first.together_with.clone();
    company.sort();
    assert_eq!((first.member.clone(), company), (member(0), vec![member(1), member(2), member(3)]));
    assert!(first.rounds > 5 && first.bond_milli > 8_000 && first.lead_milli > 1_000, "{first:?}");
}

#[test]
fn who_is_absent_keeps_its_history_and_one_hostile_member_has_no_company() {
    let mut past = Past::new(POLICY, SEED);
    let mut stream = Stream::new(7, 12, 1);
    for _ in 0..12 {
        let all = deviations(&stream.round(|_| 0), &BTreeSet::new());
        past.advance(&all[1..], &BTreeSet::new(), 2);
    }
    assert!(!past.members.contains_key(&member(0)));
    let before = past.members[&member(3)].clone();
    let mut some = deviations(&stream.round(|_| 0), &BTreeSet::new());
    some.remove(3);
    past.advance(&some, &BTreeSet::new(), 2);
    assert_eq!(past.members[&member(3)], before);
    let rounds = (0..30).flat_map(|_| {
        let rows = stream.round(|k| if k < 3 { 5_000 } else { 0 });
        past.advance(&deviations(&rows, &BTreeSet::new()), &BTreeSet::new(), 1).moved
    });
    assert_eq!(rounds.count(), 0);
}

#[test]
fn quarantined_members_do_not_move_the_centre() {
    let mut stream = Stream::new(9, 12, 3);
    let rows = stream.round(|k| if k < 2 { 1_000_000 } else { 0 });
    let without = deviations(&rows[2..], &BTreeSet::new());
    let quarantined: BTreeSet<MemberId> = [member(0), member(1)].into();
    let with = deviations(&rows, &quarantined);
    let sketches = |list: &[Deviation]| list.iter().map(|d| d.sketch.clone()).collect::<Vec<_>>();
    assert_eq!(sketches(&with[2..]), sketches(&without));
}

#[test]
fn a_record_is_a_few_kilobytes_and_a_deviation_two_bytes_a_number() {
    let policy = HistoryPolicy { sketch_width: 128, ..POLICY };
    assert_eq!(sketch_bytes(&policy, 1_000_000), 256);
    assert_eq!(sketch_bytes(&policy, 31), 62);
    let mut history = MemberHistory::default();
    let long: Vec<i16> = (0..128).map(|k| (k * 251 % 4_000 - 2_000) as i16).collect();
    (0..40).for_each(|_| history.observe(&policy, &long));
    let bytes = fedledger_ledger::codec::to_canonical(&history).len();
    assert!((1_000..3_000).contains(&bytes), "{bytes}");
    // Eleven deviations more where swings are looked at over ten changes.
    let sketch: Vec<u8> = long.iter().flat_map(|value| value.to_le_bytes()).collect();
    (0..40).for_each(|_| history.keep_latest(10, Some(&sketch)));
    let more = fedledger_ledger::codec::to_canonical(&history).len() - bytes;
    assert!((11 * 256..11 * 256 + 10).contains(&more), "{more}");
}

/// The three means and the baseline in floating point.
fn naive(policy: &HistoryPolicy, rounds: &[Vec<i16>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let from = policy.settle_rounds as usize;
    let until = from + policy.baseline_rounds as usize;
    let units = |value: i16| f64::from(value) / UNIT as f64;
    let width = rounds[0].len();
    let mean = |column: usize| {
        let sum: f64 = rounds[from..until].iter().map(|row| units(row[column])).sum();
        sum / policy.baseline_rounds as f64
    };
    let baseline: Vec<f64> = (0..width).map(mean).collect();
    let shift = |lambda: f64| {
        rounds[until..].iter().fold(vec![0.0; width], |shift: Vec<f64>, row| {
            let step = |k: usize| shift[k] + lambda * (units(row[k]) - baseline[k] - shift[k]);
            (0..width).map(step).collect()
        })
    };
    (baseline.clone(), [0.3, 0.1, 0.03].map(shift).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_record_is_what_floating_point_says(
        rounds in prop::collection::vec(prop::collection::vec(-16_384i16..=16_384, 4), 11..60),
    ) {
        let mut history = MemberHistory::default();
        rounds.iter().for_each(|row| history.observe(&POLICY, row));
        let (baseline, shifts) = naive(&POLICY, &rounds);
        let mut usual = MemberHistory::default();
        for row in &rounds {
            usual.grow_usual(row);
            usual.observed += 1;
        }
        let later: Vec<&Vec<i16>> = rounds.iter().skip(1).collect();
        for (column, found) in usual.usual.iter().flatten().enumerate() {
            let mean = later.iter().enumerate().fold(0.0, |mean, (k, row)| {
                let parts = (k + 1).min(USUAL as usize) as f64;
                mean + (f64::from(row[column]) / UNIT as f64 - mean) / parts
            });
            prop_assert!((f64::from(*found) / (4096.0 * 256.0) - mean).abs() < 1e-4);
        }
        let fine = 4096.0 * 256.0;
        for (found, expected) in history.baseline.iter().zip(&baseline) {
            prop_assert!((f64::from(*found) / fine - expected).abs() < 1e-5);
        }
        for (found, expected) in history.shifts.iter().flatten().zip(shifts.iter().flatten()) {
            prop_assert!((f64::from(*found) / fine - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn no_values_overflow_and_no_order_matters(
        rows in prop::collection::vec(prop::collection::vec(-8_388_607i32..=8_388_607, 40), 3..9),
        rounds in 1usize..30,
        turn in 0usize..8,
    ) {
        let advance = |turn: usize| {
            let mut past = Past::new(POLICY, SEED).with_harm(Some(HARM));
            let (mut all, mut cells) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                let mut turned = rows.clone();
                let middle = (round * 3 + 1) % turned.len();
                turned.rotate_left(middle);
                let mut order: Vec<usize> = (0..turned.len()).collect();
                order.rotate_left(turn % turned.len());
                let rows: Vec<Row<'_>> = order
                    .iter()
                    .map(|&k| Row { member: member(k), values: &turned[k], enters: k > 0 })
                    .collect();
                let mut seen = observe(&POLICY, &SEED, &rows).unwrap_or_default();
                seen.sort_by(|a, b| a.member.cmp(&b.member));
                all.extend(past.advance(&seen, &[member(0)].into(), 2).moved);
                cells.push(past.suspects(&everybody(), 2));
            }
            (past, all, cells)
        };
        prop_assert_eq!(advance(0), advance(turn));
    }

    #[test]
    fn deviations_are_at_most_four_long_and_scale_does_not_matter(
        rows in prop::collection::vec(prop::collection::vec(-100_000i32..=100_000, 12), 3..9),
    ) {
        let seen = |rows: &[Vec<i32>]| {
            let of = |(k, values)| Row { member: member(k), values, enters: true };
            let rows: Vec<Row<'_>> = rows.iter().map(Vec::as_slice).enumerate().map(of).collect();
            observe(&POLICY, &SEED, &rows)
        };
        let Some(found) = seen(&rows) else { return Ok(()) };
        for deviation in &found {
            let square: i64 = values(&deviation.sketch).iter().map(|&v| i64::from(v).pow(2)).sum();
            prop_assert!(square as f64 <= (4.01 * UNIT as f64).powi(2), "{square}");
        }
        let scaled: Vec<Vec<i32>> =
            rows.iter().map(|row| row.iter().map(|value| value * 64).collect()).collect();
        for (a, b) in found.iter().zip(seen(&scaled).expect("as far apart")) {
            let pairs = values(&a.sketch).into_iter().zip(values(&b.sketch));
            for (one, other) in pairs {
                prop_assert!((i32::from(one) - i32::from(other)).abs() <= 8, "{one} {other}");
            }
        }
    }

    #[test]
    fn the_projection_keeps_lengths(seed in any::<u64>()) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut rows: Vec<Vec<i32>> = Vec::new();
        for _ in 0..3 {
            rows.push((0..2_000).map(|_| random.gen_range(-1_000..1_000)).collect());
        }
        // Two opposite rows and a third one: the median row is close to the middle.
        let policy = HistoryPolicy { sketch_width: 1_024, ..POLICY };
        let of = |(k, values)| Row { member: member(k), values, enters: true };
        let given: Vec<Row<'_>> = rows.iter().map(Vec::as_slice).enumerate().map(of).collect();
        let found = observe(&policy, &SEED, &given).expect("rows differ");
        prop_assert_eq!(found.len(), 3);
        for deviation in &found {
            let square: f64 =
                values(&deviation.sketch).iter().map(|&v| f64::from(v).powi(2)).sum();
            let length = square.sqrt() / UNIT as f64;
            prop_assert!((0.7..1.4).contains(&length), "{length}");
        }
    }

    #[test]
    fn the_median_is_in_the_middle(mut list in prop::collection::vec(-1_000i64..1_000, 1..20)) {
        let median = median_i64(list.clone());
        list.sort_unstable();
        let (lower, upper) = (list[(list.len() - 1) / 2], list[list.len() / 2]);
        prop_assert!((2 * median - lower - upper).abs() <= 1);
    }
}
