//! Who changes from one round to the next together.

use std::collections::{BTreeMap, BTreeSet};

use fedledger_ledger::ids::MemberId;
use fedledger_ledger::task::SwingPolicy;

use super::cells::{closest, mean_of, STANDING_MIN};
use super::sketch::{self, median_i64};
use super::track::MemberHistory;
use super::{Past, UNIT};
use crate::integer::isqrt_u128;

/// A member that swung together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwingFinding {
    /// Who.
    pub member: MemberId,
    /// Mean correlation of its swings with those of the members closest to it, in thousandths.
    pub correlation_milli: u64,
    /// The limit that the correlation is over.
    pub limit_milli: u64,
    /// Root mean square of the swings that it has in common with them, as far as the smaller ones go, in
    /// thousandths of a median deviation.
    pub amplitude_milli: u64,
    /// Rounds in a row in which that was so.
    pub rounds: u32,
    /// Those closest to it, closest first, f − 1 of them.
    pub together_with: Vec<MemberId>,
}

/// The members that swing together after this round, whether for long or not.
pub(super) fn search(
    past: &Past,
    policy: &SwingPolicy,
    standing: &BTreeSet<MemberId>,
    f: usize,
) -> BTreeMap<MemberId, SwingFinding> {
    let mut found = BTreeMap::new();
    let width = past.members.values().map(|history| history.baseline.len()).max().unwrap_or(0);
    let full = (policy.window_rounds as usize + 1) * 2 * width;
    let known: Vec<(&MemberId, &MemberHistory)> =
        past.members.iter().filter(|(_, history)| history.latest.len() == full).collect();
    let standing: Vec<usize> =
        (0..known.len()).filter(|&at| standing.contains(known[at].0)).collect();
    if f < 2 || width == 0 || standing.len() < STANDING_MIN || known.len() < f {
        return found;
    }
    let mut swings: Vec<Vec<i64>> =
        known.iter().map(|(_, history)| differences(&history.latest, width)).collect();
    for at in 0..swings[0].len() {
        let centre = median_i64(standing.iter().map(|&member| swings[member][at]).collect());
        swings.iter_mut().for_each(|swing| swing[at] -= centre);
    }
    let products: Vec<Vec<i128>> =
        swings.iter().map(|a| swings.iter().map(|b| common(a, b, width)).collect()).collect();
    for (at, (id, _)) in known.iter().enumerate() {
        let row: Vec<i128> = (0..known.len()).map(|b| correlation(&products, at, b)).collect();
        let others = closest(&row, at, f - 1);
        let correlation = mean_of(others.iter().map(|&other| row[other])).max(0).unsigned_abs();
        // Of two members the one that changes less says by how much they change together: nobody swings
        // with others for the size of its own changes.
        let shared = |&other: &usize| row[other] * products[at][at].min(products[other][other]);
        let shared = mean_of(others.iter().map(shared)).max(0);
        let unit = u128::from(policy.window_rounds - 1) * (UNIT as u128).pow(2);
        let amplitude_milli = isqrt_u128(shared.unsigned_abs() * 1_000 / unit);
        let correlation_milli = correlation as u64;
        let over = |&&(correlation, amplitude): &&(u32, u32)| {
            correlation_milli > u64::from(correlation) && amplitude_milli > u64::from(amplitude)
        };
        let limits = [
            (policy.correlation_milli, policy.amplitude_milli),
            (policy.copy_correlation_milli, policy.copy_amplitude_milli),
        ];
        let Some(&(limit, _)) = limits.iter().find(over) else { continue };
        let finding = SwingFinding {
            member: (*id).clone(),
            correlation_milli,
            limit_milli: u64::from(limit),
            amplitude_milli,
            rounds: 0,
            together_with: others.iter().map(|&other| known[other].0.clone()).collect(),
        };
        found.insert((*id).clone(), finding);
    }
    found
}

/// What each deviation differs from the one before it, one after the other.
fn differences(latest: &[u8], width: usize) -> Vec<i64> {
    let values = sketch::values(latest);
    let later = values.iter().skip(width);
    later.zip(&values).map(|(&now, &before)| i64::from(now) - i64::from(before)).collect()
}

/// `⟨dᵢ, dⱼ⟩` summed over the rounds but the one in which it is greatest: a single step is no swing.
///
/// Differences less their centre are below 2^17 and there are at most 100 times 1024 of them, so that
/// sums stay below 2^51.
fn common(a: &[i64], b: &[i64], width: usize) -> i128 {
    let rounds = a.chunks(width).zip(b.chunks(width));
    let round = |(a, b): (&[i64], &[i64])| a.iter().zip(b).map(|(x, y)| x * y).sum::<i64>();
    let (sum, most) = rounds
        .map(round)
        .fold((0, i64::MIN), |(sum, most), product| (sum + product, most.max(product)));
    i128::from(sum - most)
}

/// In thousandths, rounded towards zero; 0 where either does not change.
fn correlation(products: &[Vec<i128>], a: usize, b: usize) -> i128 {
    let lengths = isqrt_u128((products[a][a] * products[b][b]).unsigned_abs());
    products[a][b] * 1000 / i128::from(lengths).max(1)
}

#[cfg(test)]
mod tests;
