//! Admission, weights and verdicts on numbers at the limits.

use fedledger_contract::aggregate::check_precondition;
use fedledger_contract::judge::{
    judge, share_micro_max, weights_micro, Content, RoundInputs, Submission, Terms, SHARE_MICRO_ONE,
};
use fedledger_contract::records::{TrustRecord, TRUST_MICRO_ONE};
use fedledger_contract::trust::{after_equivocation, after_release, after_round, RoundMark};
use fedledger_ledger::decision::Reason;
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::Digest;
use fedledger_ledger::limits::{MEMBERS_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::task::{AggregationRule, NormBand, TrustPolicy, Weighting};
use ndarray::Array2;

use crate::consortium::member_id;
use crate::extreme_row;

const STANDINGS: [Standing; 3] = [Standing::Active, Standing::Probation, Standing::Quarantine];

fn trust(at: usize) -> TrustRecord {
    TrustRecord {
        trust_micro: [1, 2, TRUST_MICRO_ONE - 1, TRUST_MICRO_ONE][at % 4],
        standing: STANDINGS[at % 3],
        strikes: [0, 1, u32::MAX - 1, u32::MAX][at % 4],
        clean_rounds: [0, 999][at % 2],
    }
}

fn policy(limit: u32) -> TrustPolicy {
    TrustPolicy {
        outlier_milli: limit.max(1_001),
        strikes_to_quarantine: limit.clamp(1, 1_000),
        clean_rounds_to_return: limit.clamp(1, 1_000),
        outlier_cosine_milli: [None, Some(-1_000), Some(1_000)][limit as usize % 3],
        outlier_as_sent: limit % 2 == 0,
    }
}

fn inputs(n: usize, d: usize, limit: u32, norms: u64) -> RoundInputs {
    let rows: Vec<Vec<i32>> = (0..n).map(|row| extreme_row(row, d)).collect();
    let submission = |at: usize| Submission {
        member: member_id(1_000 + at),
        update: Some(Digest::of(&[at as u8 % 100])),
        order: u64::MAX - at as u64,
        num_examples: [1, NUM_EXAMPLES_MAX][at % 2],
        trust: trust(at),
        content: match at % 13 {
            12 => Content::Refused {
                reason: Reason::LengthMismatch,
                value: u64::MAX,
                threshold: u64::MAX,
            },
            _ => Content::Row(at),
        },
    };
    RoundInputs {
        terms: Terms {
            byzantine: (n - 1) / 3,
            updates_min: 1,
            weighting: Weighting::Examples,
            norm_band: Some(NormBand { low_milli: 0, clip_milli: 1_000, high_milli: limit }),
            trust: Some(policy(limit)),
        },
        submissions: (0..n).map(submission).collect(),
        values: Array2::from_shape_fn((n, d), |(row, column)| rows[row][column]),
        norm_history: vec![norms; 5],
        start: Some(extreme_row(1, d)),
        quarantined_absent: n % 3,
        past: None,
    }
}

#[test]
fn a_judgement_takes_numbers_at_the_limits() {
    let rules = [
        AggregationRule::Mean,
        AggregationRule::Median,
        AggregationRule::MultiKrum { neighbours: None, selected: None },
        AggregationRule::GeometricMedian { iterations: 64 },
        AggregationRule::CenteredClipping { iterations: 64, radius_milli: 1_000_000 },
        AggregationRule::FilteredTrimmedMean { iterations: 128 },
    ];
    for (n, d) in [(1, 1), (2, 3), (13, 65), (MEMBERS_MAX, 5)] {
        for limit in [1_000, 1_001, u32::MAX] {
            for norms in [0, 1, 1 << 37, u64::MAX] {
                for rule in &rules {
                    let judged = judge(rule, inputs(n, d, limit, norms));
                    assert_eq!(judged.verdicts.len(), n);
                    let whole: u64 =
                        judged.verdicts.iter().map(|one| u64::from(one.weight_micro)).sum();
                    assert!(whole <= SHARE_MICRO_ONE, "{whole} millionths of the whole");
                    let defined = check_precondition(rule, n, 0).is_ok();
                    assert!(defined || judged.aggregate.is_err());
                }
            }
        }
    }
}

#[test]
fn weights_of_any_claims_are_shares() {
    for n in [1, 2, 3, 4, MEMBERS_MAX - 1, MEMBERS_MAX] {
        for pattern in 0..6usize {
            let claim = |at: usize| {
                let examples = match pattern {
                    0 => 1,
                    1 => NUM_EXAMPLES_MAX,
                    2 if at == 0 => NUM_EXAMPLES_MAX,
                    3 if at > 0 => NUM_EXAMPLES_MAX,
                    4 => 1 << (at % 41),
                    _ => [1, NUM_EXAMPLES_MAX][at % 2],
                };
                (examples, trust(at + pattern))
            };
            let members: Vec<_> = (0..n).map(claim).collect();
            for weighting in [Weighting::Uniform, Weighting::Examples] {
                for by_trust in [false, true] {
                    let weights = weights_micro(&members, weighting, by_trust);
                    let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
                    // Each share of less than a millionth is given one.
                    assert!((1..=SHARE_MICRO_ONE + n as u64).contains(&whole), "{whole}");
                    let most = if n == 1 { SHARE_MICRO_ONE } else { share_micro_max(n) };
                    assert!(weights.iter().all(|&weight| (1..=most).contains(&u64::from(weight))));
                }
            }
        }
    }
}

#[test]
fn trust_stays_in_its_range_whatever_happens() {
    let strike = |already_fallen| RoundMark::Strike { already_fallen, decisive: None };
    let marks = [RoundMark::Clean, RoundMark::Neutral, strike(false), strike(true)];
    for at in 0..12 {
        for limit in [0, 1, 1_000, u32::MAX] {
            let mut record = trust(at);
            for step in 0..3_000usize {
                let mark = marks[(step / (1 + at)) % marks.len()];
                record = after_round(record, mark, &policy(limit), step % 5 > 0).0;
                if step % 701 == 0 {
                    record = after_release(after_equivocation(record));
                }
                assert!((1..=TRUST_MICRO_ONE).contains(&record.trust_micro));
            }
        }
    }
}
