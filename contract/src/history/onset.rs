//! When members began to move together.
//!
//! Who moved is found by [`super::cells`] some rounds after it began. How many is asked here, of
//! the deviations in the ledger's decisions: what the members have in common now gives a direction,
//! each round's common deviation along it a number, and Page's cumulative sum (E. S. Page,
//! "Continuous inspection schemes", Biometrika 1954) over those numbers, with the standard
//! deviation of the baseline as its reference value, is above zero from the onset on: the round
//! after it was last at zero is the estimate. While a drift is within one standard
//! deviation it is not seen: one that begins slowly began before it.

use fedledger_ledger::decision::Deviation;
use fedledger_ledger::ids::{MemberId, RoundNumber};
use fedledger_ledger::task::HistoryPolicy;

use super::sketch;
use crate::integer::{div_half_even, isqrt_u128};

/// Rounds whose mean says where the members have come to.
const LATEST: usize = 10;

/// The first round in which `members` had begun to move in the direction that they have in common
/// in the end; nothing when none of them was observed in more rounds than a baseline takes, or they
/// have no direction in common.
///
/// `rounds` are a task's decided rounds with their deviations, in order.
pub fn onset(
    policy: &HistoryPolicy,
    rounds: &[(RoundNumber, Vec<Deviation>)],
    members: &[MemberId],
) -> Option<RoundNumber> {
    let observed: Vec<(RoundNumber, Vec<i64>)> = rounds
        .iter()
        .filter_map(|(round, deviations)| Some((*round, common(deviations, members)?)))
        .skip(policy.settle_rounds as usize)
        .collect();
    let baseline = policy.baseline_rounds as usize;
    if observed.len() <= baseline {
        return None;
    }
    let before = mean(observed[..baseline].iter().map(|(_, value)| value))?;
    let from = observed.len().saturating_sub(LATEST).max(baseline);
    let now = mean(observed[from..].iter().map(|(_, value)| value))?;
    let direction: Vec<i64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
    let length = isqrt_u128(direction.iter().map(|&x| u128::from(x.unsigned_abs()).pow(2)).sum());
    if length == 0 {
        return None;
    }
    // Along the direction, in the unit of deviations: at most 128 rows of length 4 units each.
    let along = |value: &[i64]| {
        let away = value.iter().zip(&before).map(|(value, before)| i128::from(value - before));
        let product = away.zip(&direction).map(|(away, &along)| away * i128::from(along)).sum();
        div_half_even(product, i128::from(length))
    };
    let numbers: Vec<i128> = observed.iter().map(|(_, value)| along(value)).collect();
    let square: u128 = numbers[..baseline].iter().map(|number| number.unsigned_abs().pow(2)).sum();
    let deviation = i128::from(isqrt_u128(square / (baseline as u128 - 1).max(1)));
    let mut sum = 0;
    let mut first = baseline;
    for (at, number) in numbers.iter().enumerate().skip(baseline) {
        sum = (sum + number - deviation).max(0);
        if sum == 0 {
            first = at + 1;
        }
    }
    observed.get(first).map(|(round, _)| *round)
}

/// The sum of the members' deviations in a round; nothing when none was observed.
fn common(deviations: &[Deviation], members: &[MemberId]) -> Option<Vec<i64>> {
    let own = deviations.iter().filter(|one| members.contains(&one.member));
    own.map(|one| sketch::values(&one.sketch).into_iter().map(i64::from).collect())
        .reduce(|sum: Vec<i64>, one: Vec<i64>| sum.iter().zip(&one).map(|(a, b)| a + b).collect())
}

/// The mean of vectors of one length, each number rounded half to even.
fn mean<'a>(values: impl ExactSizeIterator<Item = &'a Vec<i64>>) -> Option<Vec<i64>> {
    let count = values.len() as i128;
    let sum = values.fold(Vec::new(), |sum: Vec<i64>, value| {
        if sum.is_empty() {
            return value.clone();
        }
        sum.iter().zip(value).map(|(a, b)| a + b).collect()
    });
    let part = |total: &i64| div_half_even(i128::from(*total), count) as i64;
    (count > 0).then(|| sum.iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::decision::Deviation;
    use fedledger_ledger::ids::{MemberId, RoundNumber};
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::onset;
    use crate::profile::HISTORY_BALANCED;

    const WIDTH: usize = 16;

    fn id(at: usize) -> MemberId {
        MemberId::new(format!("m{at:02}")).expect("a member id")
    }

    /// Seven members with noise; from round `from` on the first two add `step` more each round, up
    /// to `most`, to one number.
    fn rounds(seed: u64, from: u64, step: i64, most: i64) -> Vec<(RoundNumber, Vec<Deviation>)> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut deviation = |round: u64, at: usize| {
            let drift = if at < 2 && round >= from {
                (step * (round - from + 1) as i64).min(most)
            } else {
                0
            };
            let numbers = (0..WIDTH).map(|column| {
                let noise: i64 = (0..4).map(|_| random.gen_range(-500..=500)).sum();
                (noise + if column == 3 { drift } else { 0 }) as i16
            });
            let sketch = numbers.flat_map(i16::to_le_bytes).collect();
            Deviation { member: id(at), sketch }
        };
        let round = |number| {
            (RoundNumber(number), (0..7).map(|at| deviation(number, at)).collect::<Vec<_>>())
        };
        (1..=60).map(round).collect()
    }

    #[test]
    fn the_round_is_found_in_which_two_began() {
        // Noise before the onset can make it seem earlier; in nine of ten cases by few rounds.
        let found = |step, most| {
            let of =
                |seed| onset(&HISTORY_BALANCED, &rounds(seed, 31, step, most), &[id(0), id(1)]);
            let mut found: Vec<u64> = (0..40).map(|seed| of(seed).expect("they moved").0).collect();
            found.sort_unstable();
            (found[4], found[20], found[39])
        };
        let (early, middle, last) = found(9_000, 3_000);
        assert!(
            early >= 24 && (29..=31).contains(&middle) && last == 31,
            "{early} {middle} {last}"
        );
        let (early, middle, last) = found(200, 4_000);
        assert!(
            early >= 24 && (29..=35).contains(&middle) && last <= 38,
            "{early} {middle} {last}"
        );
    }

    #[test]
    fn nothing_follows_from_too_little() {
        let all = rounds(1, 31, 9_000, 3_000);
        assert_eq!(onset(&HISTORY_BALANCED, &all, &[]), None);
        assert_eq!(onset(&HISTORY_BALANCED, &all, &[id(9)]), None);
        assert_eq!(onset(&HISTORY_BALANCED, &all[..17], &[id(0)]), None);
        assert_eq!(onset(&HISTORY_BALANCED, &[], &[id(0)]), None);
    }
}
