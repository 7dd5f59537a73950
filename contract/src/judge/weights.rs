//! How much each admitted update counts.

use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::{AggregationRule, Weighting};

use crate::records::{TrustRecord, TRUST_MICRO_ONE};

/// The whole, in the unit of weights.
pub const SHARE_MICRO_ONE: u64 = 1_000_000;

/// A member on probation counts a quarter of what it would otherwise.
pub(super) const PROBATION_DIVISOR: u64 = 4;

/// Whether the rule's aggregate depends on weights.
pub(super) fn weighs(rule: &AggregationRule) -> bool {
    match rule {
        AggregationRule::Mean
        | AggregationRule::MultiKrum { .. }
        | AggregationRule::GeometricMedian { .. }
        | AggregationRule::CenteredClipping { .. }
        | AggregationRule::DivideAndConquer { .. } => true,
        AggregationRule::Median
        | AggregationRule::TrimmedMean
        | AggregationRule::Krum { .. }
        | AggregationRule::FilteredTrimmedMean { .. }
        | AggregationRule::Bulyan => false,
        AggregationRule::PreAggregated { rule, .. } => weighs(rule),
    }
}

/// The largest share of any of `n` members, in millionths: 1.5/n of the whole, rounded down.
pub fn share_micro_max(n: usize) -> u64 {
    SHARE_MICRO_ONE * 3 / (2 * n as u64)
}

/// Weights in millionths of the whole, one for each `(num_examples, trust)`.
///
/// The claim of a member is its number of examples (or one, when weighting is uniform), times its
/// trust when `by_trust`, and a quarter of that on probation. Shares are proportional to claims,
/// but none is over 1.5/n: what a member claims beyond that is distributed over the others in
/// proportion to their claims, again and again until nobody is over (at most n times, because a
/// member once at its limit stays there). Shares are rounded down, and at least one millionth.
///
/// The weights add up to the whole but for this rounding, less than one millionth a member.
pub fn weights_micro(
    members: &[(u64, TrustRecord)],
    weighting: Weighting,
    by_trust: bool,
) -> Vec<u32> {
    let n = members.len() as u128;
    let claims: Vec<u128> = members
        .iter()
        .map(|(examples, trust)| claim(*examples, *trust, weighting, by_trust))
        .collect();
    let mut limited = vec![false; claims.len()];
    let free_of = |limited: &[bool]| -> u128 {
        claims.iter().zip(limited).filter(|(_, limited)| !**limited).map(|(claim, _)| claim).sum()
    };
    // What is left for the free ones is (2n − 3·limited) / 2n of the whole. With two or more
    // members it stays positive: if all free ones were over 1.5/n each, they would share more than
    // what is left.
    loop {
        let rest = 2 * n - 3 * limited.iter().filter(|limited| **limited).count() as u128;
        let free = free_of(&limited);
        let over: Vec<usize> = (0..claims.len())
            .filter(|&at| !limited[at] && n > 1 && claims[at] * rest > 3 * free)
            .collect();
        if over.is_empty() {
            let share = |at: usize| {
                if limited[at] {
                    return u128::from(share_micro_max(claims.len()));
                }
                claims[at] * rest * u128::from(SHARE_MICRO_ONE) / (2 * n * free)
            };
            return (0..claims.len()).map(|at| share(at).max(1) as u32).collect();
        }
        for at in over {
            limited[at] = true;
        }
    }
}

/// Examples are at most 2^40 and trust at most 2^20, so that a claim is below 2^62 and sums and
/// products with n stay below 2^100.
fn claim(examples: u64, trust: TrustRecord, weighting: Weighting, by_trust: bool) -> u128 {
    let examples = match weighting {
        Weighting::Uniform => 1,
        Weighting::Examples => u128::from(examples.max(1)),
    };
    let trust_micro = if by_trust { trust.trust_micro.max(1) } else { TRUST_MICRO_ONE };
    let claim = examples * u128::from(trust_micro) * u128::from(PROBATION_DIVISOR);
    match trust.standing {
        Standing::Active => claim,
        Standing::Probation | Standing::Quarantine => claim / u128::from(PROBATION_DIVISOR),
    }
}
