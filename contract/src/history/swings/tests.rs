//! The twin here is in floating point, which only the tests are allowed.
#![allow(clippy::disallowed_types, clippy::float_arithmetic)]

use std::collections::BTreeSet;

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::task::{HistoryPolicy, SwingPolicy};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::tests::{member, POLICY, SEED};
use super::super::{Past, SwingFinding, UNIT};
use super::search;
use crate::profile;

const WIDTH: usize = 16;
const MEMBERS: usize = 13;
const F: usize = 4;

const SWINGS: SwingPolicy = SwingPolicy { window_rounds: 6, rounds_in_a_row: 3, ..profile::SWINGS };

fn policy() -> HistoryPolicy {
    HistoryPolicy { swings: Some(SWINGS), ..POLICY }
}

/// Noise of a tenth of a deviation in each number around an offset of each member's own, and
/// `push(round, member)` deviations along the first number; nothing from who sends nothing.
fn rounds(
    seed: u64,
    count: usize,
    push: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<Vec<Deviation>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut number = move |most: f64| random.gen_range(-most..most);
    let offsets: Vec<Vec<f64>> =
        (0..MEMBERS).map(|_| (0..WIDTH).map(|_| number(0.3)).collect()).collect();
    let mut round = |round| {
        let rows = (0..MEMBERS).map(|k| {
            let mut row: Vec<f64> = offsets[k].iter().map(|base| base + number(0.1)).collect();
            let pushed = push(round, k);
            row[0] += pushed.unwrap_or(0.0);
            let numbers = row.iter().map(|value| (value * UNIT as f64).round() as i16);
            let sketch = numbers.flat_map(i16::to_le_bytes).collect();
            pushed.map(|_| Deviation { member: member(k), sketch })
        });
        rows.flatten().collect()
    };
    (0..count).map(&mut round).collect()
}

/// The past after these rounds, and everybody who was found in any.
fn played(rounds: &[Vec<Deviation>]) -> (Past, Vec<SwingFinding>) {
    let mut past = Past::new(policy(), SEED);
    let nobody = BTreeSet::new();
    let found = rounds.iter().flat_map(|round| past.advance(round, &nobody, F).swung).collect();
    (past, found)
}

fn who(found: &[SwingFinding]) -> BTreeSet<MemberId> {
    found.iter().map(|finding| finding.member.clone()).collect()
}

fn cell() -> BTreeSet<MemberId> {
    (0..F).map(member).collect()
}

#[test]
fn those_that_are_on_and_off_together_are_found_and_nobody_else() {
    for seed in 0..5 {
        for period in [2, 4] {
            let on = |round: usize, k: usize| k < F && round % period < period / 2;
            let push = |round, k| Some(if on(round, k) { 1.5 } else { 0.0 });
            let (_, found) = played(&rounds(seed, 30, push));
            assert_eq!(who(&found), cell(), "seed {seed}, {period} rounds");
            let first = &found[0];
            assert_eq!(first.rounds, SWINGS.rounds_in_a_row);
            assert_eq!(first.limit_milli, u64::from(SWINGS.correlation_milli));
            let others: BTreeSet<MemberId> = first.together_with.iter().cloned().collect();
            let mut all = cell();
            all.remove(&first.member);
            assert_eq!(others, all, "closest are those that swing too");
        }
    }
}

#[test]
fn neither_a_step_nor_a_constant_push_nor_one_that_swings_alone_is_found() {
    for seed in 0..5 {
        let step = |round, k| Some(if k < F && round >= 12 { 3.0 } else { 0.0 });
        assert_eq!(who(&played(&rounds(seed, 30, step)).1), BTreeSet::new(), "a step, {seed}");
        let constant = |_, k| Some(if k < F { 3.0 } else { 0.0 });
        assert_eq!(who(&played(&rounds(seed, 30, constant)).1), BTreeSet::new(), "always, {seed}");
        let alone = |round, k| Some(if k == 5 && round % 2 == 0 { 1.5 } else { 0.0 });
        assert_eq!(who(&played(&rounds(seed, 30, alone)).1), BTreeSet::new(), "alone, {seed}");
        assert_eq!(who(&played(&rounds(seed, 30, |_, _| Some(0.0))).1), BTreeSet::new(), "{seed}");
    }
}

/// A step of the whole consortium is the median member's too.
#[test]
fn what_everybody_does_is_no_swing() {
    let all = |round, _| Some(if round % 2 == 0 { 1.5 } else { 0.0 });
    assert_eq!(who(&played(&rounds(1, 30, all)).1), BTreeSet::new());
}

/// Near copies are found by what little changes, others that change as little are not.
#[test]
fn near_copies_need_no_great_amplitude() {
    let mut all = rounds(3, 30, |_, _| Some(0.0));
    for round in &mut all {
        let first = round[0].sketch.clone();
        round[1..F].iter_mut().for_each(|one| one.sketch.clone_from(&first));
    }
    let (_, found) = played(&all);
    assert_eq!(who(&found), cell());
    assert_eq!(found[0].limit_milli, u64::from(SWINGS.copy_correlation_milli));
}

/// A round without an update is as if it had been the last again, so that to stay away now and then
/// neither hides a swing nor makes one.
#[test]
fn a_round_without_an_update_repeats_the_one_before() {
    let absent = |round: usize, k: usize| k < F && round % 7 == 3;
    let push = |round: usize, k: usize| {
        let on = k < F && round % 2 == 0;
        (!absent(round, k)).then_some(if on { 1.5 } else { 0.0 })
    };
    let all = rounds(2, 40, push);
    assert_eq!(who(&played(&all).1), cell());
    // Nobody is found in a round in which it sends nothing: there is no verdict to say it in.
    let mut past = Past::new(policy(), SEED);
    for round in &all {
        let sent: BTreeSet<MemberId> = round.iter().map(|one| one.member.clone()).collect();
        let found = who(&past.advance(round, &BTreeSet::new(), F).swung);
        assert!(found.is_subset(&sent), "{found:?} of {sent:?}");
    }
    let (past, found) = played(&rounds(2, 40, |round, k| (!absent(round, k)).then_some(0.0)));
    assert_eq!(who(&found), BTreeSet::new());
    let kept = (SWINGS.window_rounds as usize + 1) * 2 * WIDTH;
    assert!(past.members.values().all(|history| history.latest.len() == kept));
}

#[test]
fn correlations_and_amplitudes_are_those_of_their_twin() {
    for seed in 0..20 {
        let push = |round: usize, k: usize| {
            Some(if k % 3 == 0 && round % 3 == 0 { 0.1 * k as f64 } else { 0.0 })
        };
        let (past, _) = played(&rounds(seed, 12, push));
        let standing: BTreeSet<MemberId> = (0..MEMBERS).map(member).collect();
        let everybody = SwingPolicy { correlation_milli: 0, amplitude_milli: 0, ..SWINGS };
        let found = search(&past, &everybody, &standing, F);
        let twin = twin(&past);
        for (k, &(correlation, amplitude)) in twin.iter().enumerate() {
            let Some(finding) = found.get(&member(k)) else {
                assert!(correlation < 0.002 || amplitude < 0.002, "seed {seed}, member {k}");
                continue;
            };
            let close = |milli: u64, exact: f64| (milli as f64 / 1e3 - exact).abs() < 2e-3;
            assert!(close(finding.correlation_milli, correlation), "{finding:?} {correlation}");
            assert!(close(finding.amplitude_milli, amplitude), "{finding:?} {amplitude}");
        }
    }
}

/// For each member the correlation and the amplitude, as the head of `history` defines them.
fn twin(past: &Past) -> Vec<(f64, f64)> {
    let window = SWINGS.window_rounds as usize;
    let values = |bytes: &[u8]| -> Vec<f64> {
        let number = |two: &[u8]| f64::from(i16::from_le_bytes([two[0], two[1]])) / UNIT as f64;
        bytes.chunks(2).map(number).collect()
    };
    let mut swings: Vec<Vec<f64>> = (0..MEMBERS)
        .map(|k| {
            let latest = values(&past.members[&member(k)].latest);
            (0..window * WIDTH).map(|at| latest[at + WIDTH] - latest[at]).collect()
        })
        .collect();
    for at in 0..window * WIDTH {
        let mut column: Vec<f64> = swings.iter().map(|swing| swing[at]).collect();
        column.sort_by(f64::total_cmp);
        swings.iter_mut().for_each(|swing| swing[at] -= column[MEMBERS / 2]);
    }
    let product = |a: &[f64], b: &[f64]| {
        let of_round = |round: usize| {
            (round * WIDTH..(round + 1) * WIDTH).map(|at| a[at] * b[at]).sum::<f64>()
        };
        let mut rounds: Vec<f64> = (0..window).map(of_round).collect();
        rounds.sort_by(f64::total_cmp);
        rounds[..window - 1].iter().sum::<f64>()
    };
    let of = |i: usize| {
        let mut others: Vec<(f64, f64)> = (0..MEMBERS)
            .filter(|&j| j != i)
            .map(|j| {
                let common = product(&swings[i], &swings[j]);
                let lengths = product(&swings[i], &swings[i]) * product(&swings[j], &swings[j]);
                let smaller = product(&swings[i], &swings[i]).min(product(&swings[j], &swings[j]));
                let correlation = common / lengths.sqrt();
                (correlation, correlation * smaller)
            })
            .collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mean = |of: fn(&(f64, f64)) -> f64| {
            others[..F - 1].iter().map(of).sum::<f64>() / (F - 1) as f64
        };
        (mean(|pair| pair.0), (mean(|pair| pair.1).max(0.0) / (window - 1) as f64).sqrt())
    };
    (0..MEMBERS).map(of).collect()
}

/// Three that follow a little of what one member does do not make it swing with them.
#[test]
fn nobody_swings_with_others_for_the_size_of_its_own_changes() {
    let push = |round: usize, k: usize| {
        let on = round % 2 == 0;
        Some(match k {
            5 if on => 6.0,
            0..=2 if on => 0.2,
            _ => 0.0,
        })
    };
    for seed in 0..5 {
        assert_eq!(who(&played(&rounds(seed, 30, push)).1), BTreeSet::new(), "seed {seed}");
    }
}
