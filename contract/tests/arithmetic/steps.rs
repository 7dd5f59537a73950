//! What moves from round to round: weights, trust, histories, and the harm that evaluators measure.

use std::collections::{BTreeMap, BTreeSet};

use fedledger_contract::evaluation::{choose, measure, FLOOR_MICRO, SCORE_MILLI_MAX};
use fedledger_contract::history::{observe, MemberHistory, Past, Row, SCALES, UNIT, USUAL};
use fedledger_contract::judge::{share_micro_max, weights_micro, SHARE_MICRO_ONE};
use fedledger_contract::records::{TrustRecord, TRUST_MICRO_ONE};
use fedledger_contract::trust::{after_equivocation, after_round, RoundMark};
use fedledger_ledger::decision::Deviation;
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::task::{HarmPolicy, HistoryPolicy, SwingPolicy, TrustPolicy, Weighting};
use proptest::prelude::*;

use crate::is_half_even;

fn id(at: usize) -> MemberId {
    MemberId::new(format!("m{at}")).expect("a letter and a digit are an id")
}

fn policy(baseline_rounds: u32) -> HistoryPolicy {
    HistoryPolicy {
        sketch_width: 16,
        settle_rounds: 0,
        baseline_rounds,
        bond_milli: 1_000,
        shift_milli: 1,
        lead_milli: 0,
        rounds_in_a_row: 1,
        swings: None,
    }
}

const HARM: HarmPolicy = HarmPolicy {
    observed_rounds: 2,
    cosine_milli: 1,
    allowance_milli: 0,
    limit_milli: 1,
    return_micro: None,
    all_rows_milli: None,
};

fn deviation(values: &[i16]) -> Vec<Deviation> {
    let sketch = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    vec![Deviation { member: id(0), sketch }]
}

/// Numbers of every length up to 31 bits, and no longer than `limit`.
fn up_to(limit: i32) -> impl Strategy<Value = i32> {
    (any::<i32>(), 0u32..=31).prop_map(move |(value, shift)| (value >> shift).clamp(-limit, limit))
}

/// For each pair of five members the sum over three rounds of the products of their differences less the
/// median member's, less the greatest.
fn products_of_differences(rounds: &[Vec<[i16; 2]>]) -> Vec<Vec<i128>> {
    let difference = |round: usize, at: usize, column: usize| {
        i128::from(rounds[round + 1][at][column]) - i128::from(rounds[round][at][column])
    };
    let median = |round: usize, column: usize| {
        let mut all: Vec<i128> = (0..5).map(|at| difference(round, at, column)).collect();
        all.sort_unstable();
        all[2]
    };
    let swing = |round, at, column| difference(round, at, column) - median(round, column);
    let product = |a: usize, b: usize| {
        let of_round = |round| -> i128 {
            (0..2).map(|column| swing(round, a, column) * swing(round, b, column)).sum()
        };
        let rounds: Vec<i128> = (0..3).map(of_round).collect();
        rounds.iter().sum::<i128>() - rounds.iter().max().expect("there are three")
    };
    (0..5).map(|a| (0..5).map(|b| product(a, b)).collect()).collect()
}

fn claims() -> impl Strategy<Value = Vec<(u64, u32, bool)>> {
    let examples = (any::<u64>(), 24u32..=63).prop_map(|(value, shift)| (value >> shift).max(1));
    let trust = (any::<u32>(), 0u32..=31)
        .prop_map(|(value, shift)| (value >> shift).clamp(1, TRUST_MICRO_ONE));
    prop::collection::vec((examples, trust, any::<bool>()), 1..=9)
}

/// The sorted middle, twice.
fn twice_median(values: &[i128]) -> i128 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]
}

/// Half of an integer, to even.
fn half(twice: i128) -> i128 {
    let floor = twice.div_euclid(2);
    floor + i128::from(twice.rem_euclid(2) == 1 && floor % 2 != 0)
}

proptest! {
    /// Shares are proportional to claims, rounded down, at least one and at most 1.5/n.
    #[test]
    fn weights_are_proportional_up_to_their_limit(claims in claims(), by_trust: bool) {
        let n = claims.len();
        let record = |trust_micro, probation| TrustRecord {
            trust_micro,
            standing: if probation { Standing::Probation } else { Standing::Active },
            ..TrustRecord::default()
        };
        let members: Vec<(u64, TrustRecord)> = claims
            .iter()
            .map(|&(examples, trust, probation)| {
                (examples.min(NUM_EXAMPLES_MAX), record(trust, probation))
            })
            .collect();
        let claim = |at: usize| {
            let (examples, trust) = members[at];
            let trust_micro = if by_trust { trust.trust_micro } else { TRUST_MICRO_ONE };
            let parts = if trust.standing == Standing::Probation { 1 } else { 4 };
            i128::from(examples) * i128::from(trust_micro) * parts
        };
        let weights = weights_micro(&members, Weighting::Examples, by_trust);
        let most = if n == 1 { SHARE_MICRO_ONE } else { share_micro_max(n) };
        let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        prop_assert!(whole <= SHARE_MICRO_ONE + n as u64);
        prop_assert!(whole + n as u64 >= SHARE_MICRO_ONE);
        let weight = |at: usize| i128::from(weights[at]);
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            prop_assert!(u64::from(weights[i]) <= most && weights[i] >= 1);
            prop_assert!(claim(i) < claim(j) || weight(i) >= weight(j));
            let free = |at: usize| weight(at) > 1 && u64::from(weights[at]) < most;
            if free(i) && free(j) {
                // With w = kc − e and 0 ≤ e < 1 for both.
                let apart = weight(i) * claim(j) - weight(j) * claim(i);
                prop_assert!(-claim(j) < apart && apart < claim(i));
            }
        }
    }

    #[test]
    fn trust_moves_by_its_definition(trust in 1u32..=TRUST_MICRO_ONE, strikes: u32, fallen: bool) {
        let policy = TrustPolicy {
            outlier_milli: 3_000,
            outlier_cosine_milli: None,
            outlier_as_sent: false,
            strikes_to_quarantine: 5,
            clean_rounds_to_return: 10,
        };
        let before = TrustRecord { trust_micro: trust, strikes, ..TrustRecord::default() };
        let clean = after_round(before, RoundMark::Clean, &policy, true).0;
        prop_assert_eq!(clean.trust_micro - trust, (TRUST_MICRO_ONE - trust) / 64);
        let mark = RoundMark::Strike { already_fallen: fallen, decisive: None };
        let struck = after_round(before, mark, &policy, true).0;
        prop_assert_eq!(struck.trust_micro, if fallen { trust } else { (trust / 2).max(1) });
        prop_assert_eq!(struck.strikes, strikes.saturating_add(1));
        prop_assert_eq!(after_equivocation(before).trust_micro, (trust / 8).max(1));
    }

    /// The exponentially weighted means of a member that is judged: e ← e + λ(g − b − e), and what
    /// it usually sends, u ← u + (g − u)/20. The baseline and the means are where they can get to.
    #[test]
    fn means_take_half_even_steps(
        deviations in prop::collection::vec(any::<i16>(), 2),
        baseline in prop::collection::vec(up_to(1 << 23), 2),
        shifts in prop::collection::vec(prop::collection::vec(up_to(1 << 24), 2), 3),
        usual in prop::collection::vec(up_to(1 << 23), 2),
        observed in 4u32..100,
    ) {
        let mut past = Past::new(policy(4), Digest::of(b"")).with_harm(Some(HARM));
        let history = MemberHistory {
            observed,
            baseline: baseline.clone(),
            spread: 1,
            shifts: shifts.clone(),
            in_cell: 0,
            usual: Some(usual.clone()),
            harm_milli: None,
            returning: None,
            latest: Vec::new(),
            swinging: None,
            excused: None,
            rebased: None,
        };
        past.members = BTreeMap::from([(id(0), history)]);
        past.advance(&deviation(&deviations), &BTreeSet::new(), 2);
        let after = &past.members[&id(0)];
        prop_assert_eq!((after.observed, &after.baseline), (observed + 1, &baseline));
        for (column, &g) in deviations.iter().enumerate() {
            let g = i128::from(g) * 256;
            for (scale, (part, whole)) in SCALES.into_iter().enumerate() {
                let (old, new) = (shifts[scale][column], after.shifts[scale][column]);
                let away = g - i128::from(baseline[column]) - i128::from(old);
                let step = i128::from(new) - i128::from(old);
                prop_assert!(is_half_even(away * i128::from(part), i128::from(whole), step));
            }
            let new = after.usual.as_ref().expect("harm is measured")[column];
            let away = g - i128::from(usual[column]);
            let step = i128::from(new) - i128::from(usual[column]);
            prop_assert!(is_half_even(away, i128::from(observed.min(USUAL)), step));
        }
    }

    /// Swings of five members over three rounds, f = 2: correlations are rounded towards zero, amplitudes
    /// are roots rounded down, and the round that says most is left out.
    #[test]
    fn swings_are_products_of_differences(
        rounds in prop::collection::vec(prop::collection::vec(any::<[i16; 2]>(), 5), 4),
    ) {
        let least = SwingPolicy {
            window_rounds: 3,
            correlation_milli: 1,
            amplitude_milli: 1,
            copy_correlation_milli: 1,
            copy_amplitude_milli: 1,
            rounds_in_a_row: 1,
        };
        let policy = HistoryPolicy { swings: Some(least), ..policy(4) };
        let mut past = Past::new(policy, Digest::of(b""));
        let mut found = Vec::new();
        for values in &rounds {
            let sketch = |values: &[i16; 2]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let row = |(at, values)| Deviation { member: id(at), sketch: sketch(values) };
            let deviations: Vec<Deviation> = values.iter().enumerate().map(row).collect();
            found = past.advance(&deviations, &BTreeSet::new(), 2).swung;
        }
        let products = products_of_differences(&rounds);
        for at in 0..5 {
            let correlation = |other: usize| {
                let lengths = (products[at][at] * products[other][other]).unsigned_abs().isqrt();
                products[at][other] * 1000 / (lengths as i128).max(1)
            };
            let others = (0..5).filter(|&other| other != at);
            let closest = others.min_by_key(|&other| (std::cmp::Reverse(correlation(other)), other));
            let closest = closest.expect("there are four others");
            let smaller = products[at][at].min(products[closest][closest]);
            let shared = (correlation(closest) * smaller).max(0);
            let square = (shared * 1_000 / (2 * 4096 * 4096)) as u128;
            let over = correlation(closest) > 1 && square >= 4;
            let finding = found.iter().find(|finding| finding.member == id(at));
            prop_assert_eq!(finding.is_some(), over, "member {}", at);
            let Some(finding) = finding else { continue };
            prop_assert_eq!(i128::from(finding.correlation_milli), correlation(closest));
            let root = u128::from(finding.amplitude_milli);
            prop_assert!(root * root <= square && square < (root + 1) * (root + 1));
            prop_assert_eq!(&finding.together_with, &vec![id(closest)]);
        }
    }

    /// A baseline is the mean of its rounds, and its spread their variance, each half to even.
    #[test]
    fn baselines_are_means_and_variances(
        rounds in prop::collection::vec(prop::collection::vec(any::<i16>(), 2), 4..12),
    ) {
        let n = rounds.len() as i128;
        let mut past = Past::new(policy(rounds.len() as u32), Digest::of(b""));
        for values in &rounds {
            past.advance(&deviation(values), &BTreeSet::new(), 2);
        }
        let history = &past.members[&id(0)];
        let sums: Vec<i128> = (0..2)
            .map(|column| rounds.iter().map(|values| i128::from(values[column])).sum())
            .collect();
        for (&sum, &mean) in sums.iter().zip(&history.baseline) {
            prop_assert!(is_half_even(sum * 256, n, i128::from(mean)));
        }
        let squares: i128 = rounds.iter().flatten().map(|&value| i128::from(value).pow(2)).sum();
        let between: i128 = sums.iter().map(|sum| sum * sum).sum();
        // One of the two integers next to Σs²/n is the half-even one.
        let floor = between.div_euclid(n);
        let between = if is_half_even(between, n, floor) { floor } else { floor + 1 };
        let within = (squares - between).max(0);
        prop_assert!(is_half_even(within, n - 1, i128::from(history.spread)));
    }

    /// Deviations: less the median, in units of the median length or a fourth of the own.
    #[test]
    fn deviations_are_half_even(
        rows in prop::collection::vec(prop::collection::vec(up_to((1 << 23) - 1), 3), 3..7),
    ) {
        let entering: Vec<Row<'_>> = rows
            .iter()
            .enumerate()
            .map(|(at, values)| Row { member: id(at), values, enters: true })
            .collect();
        let centre: Vec<i128> = (0..3)
            .map(|column| {
                let values: Vec<i128> = rows.iter().map(|row| i128::from(row[column])).collect();
                half(twice_median(&values))
            })
            .collect();
        let away = |row: &[i32]| -> Vec<i128> {
            row.iter().zip(&centre).map(|(&value, centre)| i128::from(value) - centre).collect()
        };
        let norm = |away: &[i128]| away.iter().map(|x| x.unsigned_abs().pow(2)).sum::<u128>().isqrt();
        let norms: Vec<i128> = rows.iter().map(|row| norm(&away(row)) as i128).collect();
        let median = half(twice_median(&norms));
        match observe(&policy(4), &Digest::of(b""), &entering) {
            None => prop_assert_eq!(median, 0),
            Some(found) => {
                for ((row, one), norm) in rows.iter().zip(&found).zip(norms) {
                    let unit = median.max((norm + 3) / 4);
                    let numbers = one.sketch.chunks_exact(2);
                    for (number, value) in numbers.zip(away(row)) {
                        let number = i128::from(i16::from_le_bytes([number[0], number[1]]));
                        prop_assert!(is_half_even(value * i128::from(UNIT), unit, number));
                    }
                }
            }
        }
    }

    /// Of three members the two that are suspected pull together as hard as the task asks, by inner
    /// products of what they usually send.
    #[test]
    fn suspects_are_bound_by_their_inner_product(
        usual in prop::collection::vec(prop::collection::vec(up_to(1 << 23), 3), 3),
        cosine_milli in 1u32..=1_000,
    ) {
        let harm = HarmPolicy { cosine_milli, ..HARM };
        let mut past = Past::new(policy(4), Digest::of(b"")).with_harm(Some(harm));
        for (at, usual) in usual.iter().enumerate() {
            let history = MemberHistory {
                observed: 9,
                usual: Some(usual.clone()),
                ..MemberHistory::default()
            };
            past.members.insert(id(at), history);
        }
        let inner = |a: usize, b: usize| -> i128 {
            let pairs = usual[a].iter().zip(&usual[b]);
            pairs.map(|(&x, &y)| i128::from(x) * i128::from(y)).sum()
        };
        let is_bound = |a: usize, b: usize| {
            let lengths = (inner(a, a) * inner(b, b)).unsigned_abs().isqrt() as i128;
            inner(a, b) * 1_000 / lengths.max(1) >= i128::from(cosine_milli)
        };
        // A member asks for the one that pulls hardest with it, and takes it when it is bound.
        let asked = |a: usize| {
            let others = (0..3).filter(|&b| b != a);
            others.max_by_key(|&b| (inner(a, b), std::cmp::Reverse(b))).expect("there are two")
        };
        let groups = (0..3).map(|a| (a, asked(a))).filter(|&(a, b)| is_bound(a, b));
        let hardest = groups.clone().map(|(a, b)| inner(a, b)).max();
        let first = groups.clone().find(|&(a, b)| Some(inner(a, b)) == hardest);
        let expected = first.map(|(a, b)| vec![id(a.min(b)), id(a.max(b))]);
        let everybody = (0..3).map(id).collect();
        prop_assert_eq!(past.suspects(&everybody, 2), expected);
    }

    /// harm / (1.25 · mean(min(|x − median|, 3·MAD)) + floor), in thousandths, half to even.
    #[test]
    fn harm_is_scored_by_its_definition(
        losses in prop::collection::vec((0..=LOSS_MICRO_MAX, 0..=LOSS_MICRO_MAX, 0u32..40), 1..8),
        f in 0usize..3,
    ) {
        let losses: Vec<(u64, u64)> = losses
            .into_iter()
            // Close together in many cases, as they are between honest evaluators.
            .map(|(with, out, shift)| (with >> shift, out >> shift))
            .collect();
        let found = measure(&losses, f);
        let e = losses.len();
        prop_assert_eq!(found.is_some(), e > 2 * f);
        let Some(found) = found else { return Ok(()) };
        let mut harms: Vec<i128> =
            losses.iter().map(|&(with, out)| i128::from(with) - i128::from(out)).collect();
        harms.sort_unstable();
        let harm = half(twice_median(&harms[..e - f]));
        let middle = half(twice_median(&harms));
        let away: Vec<i128> = harms.iter().map(|harm| (harm - middle).abs()).collect();
        let most = 3 * (half(twice_median(&away)) + i128::from(FLOOR_MICRO));
        let sum: i128 = away.iter().map(|&away| away.min(most)).sum();
        let quarters = 4 * e as i128;
        let (top, bottom) = (harm * 1_000 * quarters, 5 * sum + quarters * i128::from(FLOOR_MICRO));
        prop_assert_eq!(i128::from(found.harm_micro), harm);
        let (score, limit) = (i128::from(found.score_milli), i128::from(SCORE_MILLI_MAX));
        if score.abs() < limit {
            prop_assert!(is_half_even(top, bottom, score));
        } else {
            prop_assert_eq!(score.abs(), limit);
            prop_assert!(2 * top.abs() >= (2 * limit - 1) * bottom && (top < 0) == (score < 0));
        }
    }

    /// The candidate of least median difference to the first, the earlier of equals.
    #[test]
    fn the_chosen_candidate_has_the_least_median(
        losses in prop::collection::vec(prop::collection::vec(0..=LOSS_MICRO_MAX, 4), 1..8),
        shift in 0u32..40, f in 0usize..3,
    ) {
        let losses: Vec<Vec<u64>> =
            losses.iter().map(|row| row.iter().map(|loss| loss >> shift).collect()).collect();
        let chosen = choose(&losses, 4, f);
        let median = |candidate: usize| {
            let differences: Vec<i128> = losses
                .iter()
                .map(|row| i128::from(row[candidate]) - i128::from(row[0]))
                .collect();
            half(twice_median(&differences))
        };
        if losses.len() < 2 * f + 1 {
            prop_assert_eq!(chosen, 0);
        } else {
            prop_assert!((0..chosen).all(|earlier| median(earlier) > median(chosen)));
            prop_assert!((chosen..4).all(|later| median(later) >= median(chosen)));
        }
    }
}
