//! Whom to ask the evaluators about: the members that always pull the same way.

use std::collections::BTreeSet;

use fedledger_ledger::ids::MemberId;
use fedledger_ledger::task::HarmPolicy;

use super::Past;
use crate::integer::isqrt_u128;

/// The members that are most bound by what they usually send, at least two and at most `most` of
/// `standing`, by id; nothing when no two are.
///
/// A group begins with each member in turn and takes in, one after the other, the member with the
/// greatest sum of inner products with those in it, as long as its mean cosine with them is at least
/// `cosine_milli`. Of these groups the one with the greatest sum of inner products over its pairs is
/// the cell: the one that pulls hardest together. The earlier of equals, so that the order of
/// members alone breaks ties.
pub(super) fn cell(
    past: &Past,
    policy: &HarmPolicy,
    standing: &BTreeSet<MemberId>,
    most: usize,
) -> Option<Vec<MemberId>> {
    let enough = |at: &&MemberId| past.members[*at].observed >= policy.observed_rounds;
    let known = |id: &&MemberId| past.members.contains_key(*id);
    let members: Vec<&MemberId> = standing.iter().filter(known).filter(enough).collect();
    if most < 2 || members.len() < 2 {
        return None;
    }
    let rows: Vec<&[i32]> =
        members.iter().map(|id| past.members[*id].usual.as_deref().unwrap_or(&[])).collect();
    let products: Vec<Vec<i128>> =
        rows.iter().map(|a| rows.iter().map(|b| inner(a, b)).collect()).collect();
    let mut best: Option<(i128, Vec<usize>)> = None;
    for seed in 0..members.len() {
        let (sum, group) = grow(&products, seed, most, policy.cosine_milli);
        if group.len() > 1 && best.as_ref().is_none_or(|(greatest, _)| sum > *greatest) {
            best = Some((sum, group));
        }
    }
    let (_, mut group) = best?;
    group.sort_unstable();
    Some(group.into_iter().map(|at| members[at].clone()).collect())
}

/// Values are below 2^23 and there are at most 1024 of them, so that sums stay below 2^56.
fn inner(a: &[i32], b: &[i32]) -> i128 {
    a.iter().zip(b).map(|(&x, &y)| i128::from(x) * i128::from(y)).sum()
}

/// The group that begins with `seed`, with the sum of its pairs' inner products.
fn grow(products: &[Vec<i128>], seed: usize, most: usize, cosine_milli: u32) -> (i128, Vec<usize>) {
    let mut group = vec![seed];
    let mut sums = products[seed].clone();
    let mut cosines: Vec<i128> = (0..sums.len()).map(|at| cosine(products, at, seed)).collect();
    let mut total = 0;
    while group.len() < most {
        let free = (0..sums.len()).filter(|at| !group.contains(at));
        let Some(next) = free.max_by_key(|&at| (sums[at], std::cmp::Reverse(at))) else { break };
        // The mean over the group, without a division.
        if cosines[next] < i128::from(cosine_milli) * group.len() as i128 {
            break;
        }
        total += sums[next];
        group.push(next);
        for at in 0..sums.len() {
            sums[at] += products[at][next];
            cosines[at] += cosine(products, at, next);
        }
    }
    (total, group)
}

/// In thousandths, rounded towards zero; 0 where either vector is zero.
fn cosine(products: &[Vec<i128>], a: usize, b: usize) -> i128 {
    let lengths = isqrt_u128((products[a][a] * products[b][b]).unsigned_abs());
    products[a][b] * 1000 / i128::from(lengths).max(1)
}
