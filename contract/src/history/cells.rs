//! Who moved together.

use std::collections::{BTreeMap, BTreeSet};

use fedledger_ledger::ids::MemberId;

use super::sketch::median_i64;
use super::track::{median_spread, shifts, MemberHistory, Shift, SCALES};
use super::Past;
use crate::integer::{div_half_even, isqrt_u128};

/// Fewest members with complete baselines whose medians say what is usual.
pub(super) const STANDING_MIN: usize = 4;

/// Rounds after its baseline before a member is judged: means of one or two rounds have no more
/// than their noise.
const ROUNDS_MIN: u32 = 3;

/// Added to the spread of all bonds, in thousandths: where nobody moves at all, spread is rounding.
const SPREAD_MILLI_LEAST: i128 = 50;

/// A member whose deviations scattered more than so many times as widely as the median member's while its
/// baseline was made, in variance, is unsteady. See ADR 14.
const UNSTEADY_TIMES: u64 = 24;

/// A member that moved together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who.
    pub member: MemberId,
    /// Its bond with those closest to it, in thousandths of the spread of all bonds.
    pub bond_milli: u64,
    /// How much further it left its baseline than the median member, in thousandths of noise.
    pub lead_milli: u64,
    /// Rounds in a row in a cell.
    pub rounds: u32,
    /// Those closest to it, closest first, f − 1 of them.
    pub together_with: Vec<MemberId>,
}

/// The members in cells after this round, at the scale where their bond is greatest.
///
/// A member is compared with those whose baselines stand at least half as long: one that began anew has
/// left its baseline by next to nothing, and beside many of these whoever stayed would seem to have
/// moved. With fewer than [`STANDING_MIN`] or f of them it is compared with all.
pub(super) fn search(
    past: &Past,
    standing: &BTreeSet<MemberId>,
    f: usize,
) -> BTreeMap<MemberId, Finding> {
    let mut found: BTreeMap<MemberId, Finding> = BTreeMap::new();
    let enrolled: Vec<Enrolled<'_>> = past
        .members
        .iter()
        .filter_map(|(id, history)| {
            let rounds = history.rounds_judged(&past.policy)?;
            Some(Enrolled { id, history, rounds, stands: standing.contains(id) })
        })
        .collect();
    let stand = |among: &[usize]| among.iter().filter(|&&at| enrolled[at].stands).count();
    let all: Vec<usize> = (0..enrolled.len()).collect();
    if f < 2 || stand(&all) < STANDING_MIN || enrolled.len() < f {
        return found;
    }
    let mut judged: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for at in all.iter().copied().filter(|&at| enrolled[at].rounds >= ROUNDS_MIN) {
        let as_long = |other: &usize| enrolled[*other].rounds >= enrolled[at].rounds.div_ceil(2);
        let peers: Vec<usize> = all.iter().copied().filter(as_long).collect();
        let enough = stand(&peers) >= STANDING_MIN && peers.len() >= f;
        let peers = if enough { peers } else { all.clone() };
        judged.entry(peers).or_default().push(at);
    }
    for (peers, members) in judged {
        for scale in 0..SCALES.len() {
            for finding in search_at(past, &enrolled, (&peers, &members), (scale, f)) {
                let stronger = found
                    .get(&finding.member)
                    .is_some_and(|other| other.bond_milli >= finding.bond_milli);
                if !stronger {
                    found.insert(finding.member.clone(), finding);
                }
            }
        }
    }
    found
}

/// A member with a complete baseline.
struct Enrolled<'a> {
    id: &'a MemberId,
    history: &'a MemberHistory,
    /// For how many rounds it has been judged.
    rounds: u32,
    /// Whether it is observed and not in quarantine.
    stands: bool,
}

/// Those of `members` that are in a cell at scale `scale`, compared with `peers`.
fn search_at(
    past: &Past,
    enrolled: &[Enrolled<'_>],
    (peers, members): (&[usize], &[usize]),
    (scale, f): (usize, usize),
) -> Vec<Finding> {
    let histories: Vec<&MemberHistory> = enrolled.iter().map(|one| one.history).collect();
    let standing: Vec<usize> = peers.iter().copied().filter(|&at| enrolled[at].stands).collect();
    let shifts = shifts(&histories, &standing, &past.policy, scale);
    // Whose noise is far above the others' has no shift and no bonds to speak of, and several of these
    // would make what honest members have in common look unusual.
    let steady = steady(&histories, &standing);
    let of = |among: &[usize]| -> Vec<usize> {
        among.iter().copied().filter(|&at| steady(at)).collect()
    };
    let leads = leads_milli(&shifts, &of(&standing));
    let bonds = bonds_milli(&shifts);
    let (middle, spread) = usual(&bonds, &of(peers));
    let least = i128::from(past.policy.shift_milli).pow(2) / 1000;
    let finding = |&at: &usize| {
        let closest = closest_of(peers, &bonds[at], at, f - 1);
        let mean = mean_of(closest.iter().map(|&other| bonds[at][other]));
        let together =
            mean_of(closest.iter().map(|&other| bounded_milli(&shifts[at], &shifts[other])));
        let bond = div_half_even((mean - middle) * 1000, spread);
        let in_cell = bond > i128::from(past.policy.bond_milli)
            && together > least
            && leads[at] > i64::from(past.policy.lead_milli);
        in_cell.then(|| Finding {
            member: enrolled[at].id.clone(),
            bond_milli: u64::try_from(bond).unwrap_or(u64::MAX),
            lead_milli: leads[at].unsigned_abs(),
            rounds: 0,
            together_with: closest.iter().map(|&other| enrolled[other].id.clone()).collect(),
        })
    };
    members.iter().filter_map(finding).collect()
}

/// Whether a member is not unsteady beside those standing; all are where fewer than [`STANDING_MIN`] of
/// those would be.
fn steady<'a>(histories: &'a [&MemberHistory], standing: &[usize]) -> impl Fn(usize) -> bool + 'a {
    let most = median_spread(histories, standing).saturating_mul(UNSTEADY_TIMES);
    let is_steady = move |at: usize| histories[at].spread <= most;
    let enough = standing.iter().filter(|&&at| is_steady(at)).count() >= STANDING_MIN;
    move |at| !enough || is_steady(at)
}

/// How much longer each shift is than the median one of `usual`, in thousandths of noise.
fn leads_milli(shifts: &[Shift], usual: &[usize]) -> Vec<i64> {
    let lengths: Vec<i64> = shifts.iter().map(length_milli).collect();
    let median = median_i64(usual.iter().map(|&at| lengths[at]).collect());
    lengths.into_iter().map(|length| length - median).collect()
}

/// Squares are below 2^10 · 2^46 and noise is at least 1, so that a length is below 2^40.
fn length_milli(shift: &Shift) -> i64 {
    isqrt_u128((shift.square * 1_000_000 / shift.noise).unsigned_abs()) as i64
}

/// `⟨eᵢ, eⱼ⟩ / (sᵢ·sⱼ)` in thousandths, for every pair; a member's bond with itself is not used.
fn bonds_milli(shifts: &[Shift]) -> Vec<Vec<i128>> {
    let bond = |a: &Shift, b: &Shift| {
        let noise = isqrt_u128((a.noise * b.noise).unsigned_abs()).max(1);
        div_half_even(inner(a, b) * 1000, i128::from(noise))
    };
    shifts.iter().map(|a| shifts.iter().map(|b| bond(a, b)).collect()).collect()
}

/// The bond that two members would have if both had moved by the smaller of their shifts, in
/// thousandths: a member is not close to another for the other's size.
fn bounded_milli(a: &Shift, b: &Shift) -> i128 {
    let lengths = isqrt_u128((a.square * b.square).unsigned_abs()).max(1);
    let cosine_micro = div_half_even(inner(a, b) * 1_000_000, i128::from(lengths));
    let smaller = i128::from(length_milli(a).min(length_milli(b)));
    div_half_even(cosine_micro * smaller * smaller, 1_000_000_000)
}

fn inner(a: &Shift, b: &Shift) -> i128 {
    let products = a.values.iter().zip(&b.values).map(|(&x, &y)| i128::from(x) * i128::from(y));
    products.sum()
}

/// The median of the bonds between `peers` and their spread, both in thousandths.
fn usual(bonds: &[Vec<i128>], peers: &[usize]) -> (i128, i128) {
    let with_later = peers.iter().enumerate().map(|(k, &one)| (one, &peers[k + 1..]));
    let pairs: Vec<i128> = with_later
        .flat_map(|(one, later)| later.iter().map(move |&other| bonds[one][other]))
        .collect();
    let middle = median_i128(pairs.clone());
    let away = pairs.into_iter().map(|bond| (bond - middle).abs()).collect();
    (middle, div_half_even(median_i128(away) * 14_826, 10_000) + SPREAD_MILLI_LEAST)
}

fn median_i128(mut values: Vec<i128>) -> i128 {
    values.sort_unstable();
    div_half_even(values[(values.len() - 1) / 2] + values[values.len() / 2], 2)
}

/// The `count` members with the greatest bonds with `at`, the earlier ones among equals.
pub(super) fn closest(bonds: &[i128], at: usize, count: usize) -> Vec<usize> {
    let all: Vec<usize> = (0..bonds.len()).collect();
    closest_of(&all, bonds, at, count)
}

/// The same among `others`.
fn closest_of(others: &[usize], bonds: &[i128], at: usize, count: usize) -> Vec<usize> {
    let mut others: Vec<usize> = others.iter().copied().filter(|&other| other != at).collect();
    others.sort_by_key(|&other| (std::cmp::Reverse(bonds[other]), other));
    others.truncate(count);
    others
}

pub(super) fn mean_of(values: impl ExactSizeIterator<Item = i128>) -> i128 {
    let count = values.len().max(1) as i128;
    div_half_even(values.sum(), count)
}
