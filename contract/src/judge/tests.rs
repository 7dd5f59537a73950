use std::collections::BTreeMap;

use fedledger_ledger::decision::{Measure, Verdict};
use fedledger_ledger::entry::Standing;
use proptest::prelude::*;

use super::*;
use crate::integer::isqrt_u128;
use crate::records::TRUST_MICRO_INITIAL;

const POLICY: TrustPolicy = TrustPolicy {
    outlier_milli: 3_000,
    strikes_to_quarantine: 2,
    clean_rounds_to_return: 2,
    outlier_cosine_milli: None,
    outlier_as_sent: false,
};
const BAND: NormBand = NormBand { low_milli: 50, clip_milli: 1_500, high_milli: 4_000 };

pub(super) fn terms(byzantine: usize, updates_min: usize) -> Terms {
    Terms {
        byzantine,
        updates_min,
        weighting: Weighting::Uniform,
        norm_band: None,
        trust: Some(POLICY),
    }
}

fn member(at: usize) -> MemberId {
    MemberId::new(format!("m{at:03}")).unwrap()
}

fn digest(values: &[i32]) -> Digest {
    Digest::of(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// Inputs in which every member is trusted alike and revealed its row.
pub(super) fn inputs(terms: Terms, rows: &[Vec<i32>]) -> RoundInputs {
    let submissions = rows.iter().enumerate().map(|(at, row)| Submission {
        member: member(at),
        update: Some(digest(row)),
        order: at as u64,
        num_examples: 100,
        trust: TrustRecord::default(),
        content: Content::Row(at),
    });
    let d = rows[0].len();
    RoundInputs {
        terms,
        submissions: submissions.collect(),
        values: Array2::from_shape_vec((rows.len(), d), rows.concat()).unwrap(),
        norm_history: Vec::new(),
        start: None,
        quarantined_absent: 0,
        past: None,
    }
}

fn rows(rows: &[[i32; 2]]) -> Vec<Vec<i32>> {
    rows.iter().map(|row| row.to_vec()).collect()
}

/// Seven members around (100, 100).
fn around() -> Vec<Vec<i32>> {
    rows(&[[100, 100], [104, 98], [97, 103], [101, 95], [95, 99], [99, 106], [103, 102]])
}

pub(super) fn with_standing(mut inputs: RoundInputs, at: usize, standing: Standing) -> RoundInputs {
    inputs.submissions[at].trust.standing = standing;
    inputs
}

pub(super) fn said(judgement: &RoundJudgement, at: usize) -> (Verdict, Reason, bool) {
    let verdict = &judgement.verdicts[at];
    (verdict.verdict, verdict.reason, verdict.strike)
}

pub(super) fn measure(judgement: &RoundJudgement, at: usize, measure: Measure) -> Option<u64> {
    let measures = &judgement.verdicts[at].measures;
    measures.iter().find(|(found, _)| *found == measure).map(|(_, value)| *value)
}

#[test]
fn a_clean_round_accepts_everybody_with_equal_weight() {
    let judgement = judge(&AggregationRule::Mean, inputs(terms(2, 5), &around()));
    assert_eq!(judgement.aggregate, Ok(vec![100, 100]));
    for (at, verdict) in judgement.verdicts.iter().enumerate() {
        assert_eq!(said(&judgement, at), (Verdict::Accept, Reason::Clean, false));
        assert_eq!(verdict.weight_micro, 142_857);
        assert!(verdict.measures.windows(2).all(|two| two[0].0 < two[1].0));
        let norm = around()[at].iter().map(|&q| u128::from(q.unsigned_abs()).pow(2)).sum();
        assert_eq!(measure(&judgement, at, Measure::Norm), Some(isqrt_u128(norm)));
    }
    assert_eq!(measure(&judgement, 0, Measure::CosineMicro), Some(2_000_000));
    assert_eq!(measure(&judgement, 0, Measure::Distance), Some(0));
    // (103, 102) is the nearest to (100, 100).
    assert_eq!(measure(&judgement, 0, Measure::NearestDistance), Some(3));
}

#[test]
fn what_was_refused_before_keeps_its_reason_and_its_numbers() {
    let cases = [
        (Reason::NotRevealed, false),
        (Reason::Equivocation, true),
        (Reason::MemberSuspended, false),
        (Reason::SchemaMismatch, true),
        (Reason::LengthMismatch, true),
    ];
    for (reason, strike) in cases {
        let mut inputs = inputs(terms(2, 5), &around());
        inputs.submissions[3].content = Content::Refused { reason, value: 8, threshold: 9 };
        let judgement = judge(&AggregationRule::Median, inputs);
        assert_eq!(said(&judgement, 3), (Verdict::Reject, reason, strike));
        let verdict = &judgement.verdicts[3];
        assert_eq!((verdict.value, verdict.threshold, verdict.weight_micro), (8, 9, 0));
        assert!(judgement.aggregate.is_ok());
    }
}

#[test]
fn of_copies_the_first_committed_stands_and_no_trust_is_lost() {
    let mut rows = around();
    rows[2] = rows[5].clone();
    rows[0] = rows[5].clone();
    let mut inputs = inputs(terms(2, 5), &rows);
    inputs.submissions[2].order = 0;
    inputs.submissions[0].order = 2;
    let judgement = judge(&AggregationRule::Mean, inputs);
    assert_eq!(said(&judgement, 2), (Verdict::Accept, Reason::Clean, false));
    for at in [0, 5] {
        assert_eq!(said(&judgement, at), (Verdict::Reject, Reason::Duplicate, false));
    }
    let once: Vec<Vec<i32>> = (1..5).chain([6]).map(|at| rows[at].clone()).collect();
    let alone = judge(&AggregationRule::Mean, self::inputs(terms(0, 1), &once));
    assert_eq!(judgement.aggregate, alone.aggregate);
}

#[test]
fn copies_of_little_content_are_refused_without_taking_anybody_for_hostile() {
    // Values of 8 binary digits: 16 of them are 128 digits, the least that is telling.
    for (length, value, told) in [(40, 0, 0), (15, 255, 0), (16, -128, 1), (40, 255, 1)] {
        let mut rows: Vec<Vec<i32>> = (0..7).map(|at| vec![100 + at; length]).collect();
        for at in [2, 5] {
            rows[at] = vec![value; length];
        }
        let admission = admit(inputs(terms(2, 5), &rows));
        assert_eq!(admission.byzantine(), 2 - told, "{length} times {value}");
        let judgement = admission.judge(&AggregationRule::Mean);
        let (bits, copy) = (i64::from(value).unsigned_abs(), &judgement.verdicts[5]);
        let bits = length as u64 * u64::from(u64::BITS - bits.leading_zeros());
        assert_eq!((copy.reason, copy.value, copy.threshold), (Reason::Duplicate, bits, 128));
        assert!(!copy.strike);
        assert_ne!(judgement.verdicts[2].reason, Reason::Duplicate);
    }
}

#[test]
fn norms_outside_the_band_are_refused_or_clipped() {
    let mut rows = around();
    rows[1] = vec![1_000, 0];
    rows[2] = vec![0, 300];
    rows[3] = vec![3, 0];
    let terms = Terms { norm_band: Some(BAND), trust: None, ..terms(1, 3) };
    let mut inputs = inputs(terms, &rows);
    inputs.norm_history = vec![90, 100, 110, 95, 105];
    let judgement = judge(&AggregationRule::Mean, inputs);
    let numbers = |at: usize| (judgement.verdicts[at].value, judgement.verdicts[at].threshold);
    assert_eq!(said(&judgement, 1), (Verdict::Reject, Reason::NormTooLarge, true));
    assert_eq!(numbers(1), (10_000, 4_000));
    assert_eq!(said(&judgement, 2), (Verdict::Clip, Reason::NormClipped, false));
    assert_eq!(numbers(2), (3_000, 1_500));
    assert_eq!(said(&judgement, 3), (Verdict::Reject, Reason::NormTooSmall, false));
    assert_eq!(numbers(3), (30, 50));
    assert_eq!(measure(&judgement, 2, Measure::Norm), Some(300));
    assert_eq!(measure(&judgement, 2, Measure::ReferenceNorm), Some(100));
    // (0, 300) entered as (0, 150).
    let sum = [100 + 95 + 99 + 103, 100 + 150 + 99 + 106 + 102];
    assert_eq!(judgement.aggregate, Ok(vec![(sum[0] + 2) / 5, (sum[1] + 2) / 5]));
}

#[test]
fn a_history_that_training_has_left_behind_is_not_the_reference() {
    let terms = Terms { norm_band: Some(BAND), trust: None, ..terms(2, 5) };
    for history in [1, 1_000_000] {
        let mut inputs = inputs(terms.clone(), &around());
        inputs.norm_history = vec![history; NORM_ROUNDS];
        let judgement = judge(&AggregationRule::Median, inputs);
        assert!(judgement.aggregate.is_ok(), "history {history}");
        assert_eq!(measure(&judgement, 0, Measure::ReferenceNorm), Some(141));
    }
    // But two of seven cannot move it.
    let mut rows = around();
    rows[5] = vec![2_000, 0];
    rows[6] = vec![0, 2_000];
    let mut inputs = inputs(terms, &rows);
    inputs.norm_history = vec![200; NORM_ROUNDS];
    let judgement = judge(&AggregationRule::Median, inputs);
    assert_eq!(measure(&judgement, 0, Measure::ReferenceNorm), Some(200));
    assert_eq!(said(&judgement, 5), (Verdict::Reject, Reason::NormTooLarge, true));
}

#[test]
fn outliers_are_struck_whether_the_rule_used_them_or_not() {
    let mut rows = around();
    rows[6] = vec![-100, -100];
    let judgement = judge(&AggregationRule::Mean, inputs(terms(2, 5), &rows));
    assert_eq!(said(&judgement, 6), (Verdict::Accept, Reason::Outlier, true));
    assert_eq!(judgement.verdicts[6].threshold, 3_000);
    assert!(judgement.verdicts[6].value > 3_000);
    let judgement = judge(&AggregationRule::Krum { neighbours: None }, inputs(terms(2, 7), &rows));
    assert_eq!(said(&judgement, 6), (Verdict::Reject, Reason::Outlier, true));
    assert_eq!(measure(&judgement, 6, Measure::UsedShareMicro), Some(0));
    // Without a trust policy nobody is an outlier.
    let lenient = Terms { trust: None, ..terms(2, 5) };
    let judgement = judge(&AggregationRule::Mean, inputs(lenient, &rows));
    assert_eq!(said(&judgement, 6), (Verdict::Accept, Reason::Clean, false));
}

#[test]
fn distance_is_no_strike_where_the_update_must_point_away_too() {
    // What is said about an update among six around (100, 100), and its cosine in millionths.
    let judged = |outlier_cosine_milli: Option<i32>, row: [i32; 2]| {
        let mut rows = around();
        rows[6] = row.to_vec();
        let policy = TrustPolicy { outlier_cosine_milli, ..POLICY };
        let terms = Terms { trust: Some(policy), ..terms(2, 5) };
        let judgement = judge(&AggregationRule::Median, inputs(terms, &rows));
        let cosine = measure(&judgement, 6, Measure::CosineMicro).unwrap() as i64 - 1_000_000;
        let (_, reason, strike) = said(&judgement, 6);
        assert_eq!(strike, reason == Reason::Outlier);
        (strike, cosine)
    };
    let (aside, against, near) = ([600, 100], [-300, -300], [102, 99]);
    for (cosine_milli, row, strike) in [
        (None, aside, true),
        (Some(1_000), aside, true),
        (Some(0), aside, false),
        (None, against, true),
        (Some(0), against, true),
        (Some(-990), against, true),
        // Nothing is below -1.
        (Some(-1_000), against, false),
        // What is near is no outlier whichever way it points.
        (Some(1_000), near, false),
    ] {
        assert_eq!(judged(cosine_milli, row).0, strike, "{cosine_milli:?} {row:?}");
    }
    // What is recorded is what was compared.
    let oblique = [-600, 500];
    let floor_milli = i32::try_from(judged(None, oblique).1.div_euclid(1_000)).unwrap();
    assert!(!judged(Some(floor_milli), oblique).0);
    assert!(judged(Some(floor_milli + 1), oblique).0);
}

#[test]
fn a_long_update_is_near_once_scaled_down_and_far_as_it_was_sent() {
    let judged = |outlier_as_sent: bool| {
        let rows = [[300, 100], [104, -298], [-97, 303], [-301, 95], [295, -99], [99, -306]];
        let mut rows: Vec<Vec<i32>> = rows.iter().map(|row| row.to_vec()).collect();
        rows.push(vec![1_100, 0]);
        let policy = TrustPolicy { outlier_as_sent, ..POLICY };
        let terms = Terms { trust: Some(policy), norm_band: Some(BAND), ..terms(2, 5) };
        let judgement = judge(&AggregationRule::Median, inputs(terms, &rows));
        let distance = measure(&judgement, 6, Measure::Distance);
        (said(&judgement, 6), distance)
    };
    let ((verdict, _, strike), near) = judged(false);
    assert_eq!((verdict, strike), (Verdict::Clip, false));
    let ((verdict, reason, strike), far) = judged(true);
    // It enters scaled down all the same.
    assert_eq!((verdict, reason, strike), (Verdict::Clip, Reason::Outlier, true));
    assert!(near < Some(500) && far > Some(950), "{near:?} {far:?}");
}

#[test]
fn what_a_selecting_rule_leaves_out_is_rejected_without_a_strike() {
    let judgement =
        judge(&AggregationRule::Krum { neighbours: None }, inputs(terms(2, 7), &around()));
    let chosen: Vec<usize> = (0..7)
        .filter(|&at| said(&judgement, at) == (Verdict::Accept, Reason::Clean, false))
        .collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(judgement.verdicts[chosen[0]].weight_micro, 1_000_000);
    assert_eq!(judgement.aggregate, Ok(around()[chosen[0]].clone()));
    for at in (0..7).filter(|at| *at != chosen[0]) {
        assert_eq!(said(&judgement, at), (Verdict::Reject, Reason::NotSelected, false));
        let verdict = &judgement.verdicts[at];
        assert!(verdict.value >= verdict.threshold && verdict.weight_micro == 0, "{verdict:?}");
    }
}

#[test]
fn members_on_probation_weigh_a_quarter() {
    // Member 0 is the median in both coordinates, so that every rule here uses its update.
    let inputs = || with_standing(inputs(terms(2, 5), &around()), 0, Standing::Probation);
    let judgement = judge(&AggregationRule::Mean, inputs());
    let down = (Verdict::DownWeight, Reason::MemberOnProbation, false);
    assert_eq!(said(&judgement, 0), down);
    let weights: Vec<u32> = judgement.verdicts.iter().map(|v| v.weight_micro).collect();
    assert_eq!((weights[0], weights[1]), (40_000, 160_000));
    let verdict = &judgement.verdicts[0];
    assert_eq!((verdict.value, verdict.threshold), (40_000, 142_857));
    // The median does not weigh. That of all is member 0's update alone, a quarter of the aggregate;
    // three quarters are that of the six others, whose middle two have a member's value each.
    let judgement = judge(&AggregationRule::Median, inputs());
    assert_eq!(said(&judgement, 0), down);
    let verdict = &judgement.verdicts[0];
    assert_eq!((verdict.weight_micro, verdict.value), (250_000, 250_000));
    assert_eq!(verdict.threshold, 1_000_000);
    assert_eq!(measure(&judgement, 0, Measure::UsedShareMicro), Some(250_000));
    let weights: u32 = judgement.verdicts.iter().map(|verdict| verdict.weight_micro).sum();
    assert!((999_993..=1_000_000).contains(&weights), "{weights}");
}

#[test]
fn the_quarantined_are_scored_and_do_not_enter() {
    let mut rows = around();
    rows[0] = vec![-100, -100];
    let quarantined = with_standing(inputs(terms(2, 5), &rows), 0, Standing::Quarantine);
    let judgement = judge(&AggregationRule::Mean, quarantined);
    assert_eq!(said(&judgement, 0), (Verdict::Quarantine, Reason::Outlier, true));
    assert_eq!(judgement.verdicts[0].weight_micro, 0);
    let without = judge(&AggregationRule::Mean, inputs(terms(0, 1), &rows[1..]));
    assert_eq!(judgement.aggregate, without.aggregate);
    let clean = with_standing(inputs(terms(2, 5), &around()), 3, Standing::Quarantine);
    let judgement = judge(&AggregationRule::Mean, clean);
    let scored = (Verdict::Quarantine, Reason::MemberQuarantined, false);
    assert_eq!(said(&judgement, 3), scored);
    assert!(measure(&judgement, 3, Measure::Distance).is_some());
    let mut inputs = with_standing(inputs(terms(2, 5), &rows), 0, Standing::Quarantine);
    inputs.terms.norm_band = Some(NormBand { low_milli: 0, clip_milli: 1_000, high_milli: 1_000 });
    inputs.values.row_mut(0).fill(1_000);
    let judgement = judge(&AggregationRule::Mean, inputs);
    assert_eq!(said(&judgement, 0), (Verdict::Quarantine, Reason::NormTooLarge, true));
}

#[test]
fn those_of_the_f_that_are_known_are_not_withstood_twice() {
    // Krum needs 2f + 3: seven for f = 2. Five are left without two that are known.
    let krum = AggregationRule::Krum { neighbours: None };
    for known in [Reason::Equivocation, Reason::SchemaMismatch, Reason::LengthMismatch] {
        let mut inputs = inputs(terms(2, 7), &around());
        inputs.submissions[0].content = Content::refused(known);
        inputs.submissions[1].trust.standing = Standing::Quarantine;
        let admission = admit(inputs);
        assert_eq!((admission.admitted(), admission.byzantine()), (5, 0));
        assert!(admission.judge(&krum).aggregate.is_ok());
    }
    // Absent for no proved reason, they may be honest: f stands, and five are too few.
    for unknown in [Reason::NotRevealed, Reason::MemberSuspended] {
        let mut inputs = inputs(terms(2, 7), &around());
        for at in [0, 1] {
            inputs.submissions[at].content = Content::refused(unknown);
        }
        let judgement = judge(&krum, inputs);
        assert_eq!(judgement.aggregate, Err(RoundFailure::TooFewUpdates));
        assert_eq!(said(&judgement, 5), (Verdict::Reject, Reason::RoundFailed, false));
        assert_eq!(said(&judgement, 0).1, unknown);
    }
}

#[test]
fn a_round_without_any_update_fails() {
    let mut inputs = inputs(terms(2, 1), &around());
    for submission in &mut inputs.submissions {
        submission.content = Content::refused(Reason::NotRevealed);
    }
    let judgement = judge(&AggregationRule::Mean, inputs);
    assert_eq!(judgement.aggregate, Err(RoundFailure::TooFewUpdates));
}

#[test]
fn more_suspects_than_f_leave_no_aggregate() {
    let mut rows = around();
    rows[5] = vec![-100, 100];
    rows[6] = vec![100, -100];
    let strike_due = |f: usize, absent: usize| {
        let mut inputs = inputs(terms(f, 2 * f + 1), &rows);
        for at in [5, 6] {
            inputs.submissions[at].trust.strikes = 1;
        }
        inputs.quarantined_absent = absent;
        judge(&AggregationRule::Median, inputs).aggregate
    };
    assert!(strike_due(2, 0).is_ok());
    assert_eq!(strike_due(1, 0), Err(RoundFailure::TooManySuspects));
    assert_eq!(strike_due(2, 1), Err(RoundFailure::TooManySuspects));
}

#[test]
fn updates_outside_a_ledger_are_judged_by_the_same_code() {
    let rows = around();
    let updates = rows.iter().enumerate().map(|(at, row)| (member(at), digest(row), 100));
    let values = Array2::from_shape_vec((7, 2), rows.concat()).unwrap();
    let rule = AggregationRule::TrimmedMean;
    let offline = judge_updates(&rule, terms(2, 5), updates.collect(), values);
    assert_eq!(offline, judge(&rule, inputs(terms(2, 5), &rows)));
}

/// Shares in units of 10^-12 by filling, slowly: what is left is given to everybody below the
/// limit in proportion to the claims, cut off at the limit, again and again.
fn shares_by_filling(claims: &[u128]) -> Vec<u128> {
    const ONE: u128 = 1_000_000_000_000;
    let limit = ONE * 3 / (2 * claims.len() as u128);
    let mut shares = vec![0; claims.len()];
    for _ in 0..64 {
        let rest = ONE - shares.iter().sum::<u128>();
        let with_shares = claims.iter().zip(&shares);
        let open: u128 =
            with_shares.filter(|(_, share)| **share < limit).map(|(claim, _)| claim).sum();
        for (share, claim) in shares.iter_mut().zip(claims) {
            if *share < limit {
                *share = (*share + rest * claim / open).min(limit);
            }
        }
    }
    shares
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against the distance of the very update, which the contract has no more once it is scaled: a
    /// cosine is off by at most half a millionth, and by what a quantum moves a direction.
    #[test]
    fn a_distance_as_sent_is_that_of_the_update_before_it_was_scaled(
        long in proptest::collection::vec(-200_000i32..200_000, 8),
    ) {
        let mut rows: Vec<Vec<i32>> =
            (0..6).map(|at| vec![40_000 + 17 * at, -9_000, 70, 5_000, 1, -3, 30_000, at]).collect();
        rows.push(long.clone());
        let policy = TrustPolicy { outlier_as_sent: true, ..POLICY };
        let band = NormBand { low_milli: 0, clip_milli: 1_000, high_milli: 1_000_000 };
        let terms = Terms { trust: Some(policy), norm_band: Some(band), ..terms(2, 5) };
        let judgement = judge(&AggregationRule::Median, inputs(terms, &rows));
        let aggregate = judgement.aggregate.clone().expect("seven updates are enough for f = 2");
        let square = |values: &mut dyn Iterator<Item = i64>| values.map(|v| v * v).sum::<i64>();
        let exact = square(&mut long.iter().zip(&aggregate).map(|(x, a)| i64::from(x - a)));
        let found = measure(&judgement, 6, Measure::Distance);
        let found = found.expect("what was admitted has a distance") as i64;
        let norm = square(&mut long.iter().map(|&x| i64::from(x))).isqrt();
        let length = square(&mut aggregate.iter().map(|&a| i64::from(a))).isqrt();
        // 2NA times what the cosine is off by, and what the roots are rounded by.
        let allowed = 2 * norm * length / 10_000 + 4 * (norm + length) + 4;
        prop_assert!((found * found - exact).abs() <= allowed, "{found}² {exact} {allowed}");
    }

    #[test]
    fn no_declaration_and_no_trust_buys_more_than_one_and_a_half_shares(
        members in proptest::collection::vec((1u64..1 << 40, 1u32..=1_000_000, 0..2u8), 2..40),
    ) {
        let members: Vec<(u64, TrustRecord)> = members
            .into_iter()
            .map(|(examples, trust_micro, probation)| {
                let standing =
                    if probation == 1 { Standing::Probation } else { Standing::Active };
                (examples, TrustRecord { trust_micro, standing, ..TrustRecord::default() })
            })
            .collect();
        let n = members.len();
        let weights = weights_micro(&members, Weighting::Examples, true);
        let claims: Vec<u128> = members
            .iter()
            .map(|(examples, trust)| {
                let quarters = if trust.standing == Standing::Probation { 1 } else { 4 };
                u128::from(*examples) * u128::from(trust.trust_micro) * quarters
            })
            .collect();
        for (weight, share) in weights.iter().zip(shares_by_filling(&claims)) {
            prop_assert!(u64::from(*weight) <= share_micro_max(n));
            // The slow way stops short by what it has not given out yet.
            let share_micro = share / 1_000_000;
            prop_assert!(u128::from(*weight).abs_diff(share_micro) < 20, "{} {}", weight, share);
        }
        let whole: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        prop_assert!(whole.abs_diff(SHARE_MICRO_ONE) <= n as u64);
    }

    #[test]
    fn clipping_never_lengthens_and_keeps_the_direction(
        row in proptest::collection::vec(-8_388_607i32..=8_388_607, 1..50),
        limit in 0u64..1 << 30,
    ) {
        let square = |row: &[i32]| -> u128 {
            row.iter().map(|&q| u128::from(q.unsigned_abs()).pow(2)).sum()
        };
        let mut clipped = row.clone();
        measure::clip(&mut clipped, square(&row), limit);
        if square(&row) <= u128::from(limit).pow(2) {
            prop_assert_eq!(&clipped, &row);
        }
        prop_assert!(square(&clipped) <= u128::from(limit).pow(2));
        for (after, before) in clipped.iter().zip(&row) {
            prop_assert!(after.signum() * before.signum() >= 0 && after.abs() <= before.abs());
        }
    }

    /// Rows are moved in place; a twin gathers them into a new matrix.
    #[test]
    fn rows_end_where_their_members_are(
        kinds in proptest::collection::vec(0..4u8, 1..16),
        seed in any::<u32>(),
    ) {
        let m = kinds.len();
        let rows: Vec<Vec<i32>> =
            (0..m).map(|at| vec![at as i32 + 1, (seed % 97) as i32 + 1]).collect();
        let mut inputs = inputs(Terms { trust: None, ..terms(0, 1) }, &rows);
        // Rows lie in another order than members.
        let shift = seed as usize % m;
        for (at, values) in rows.iter().enumerate() {
            let row = (at + shift) % m;
            inputs.submissions[at].content = Content::Row(row);
            inputs.values.row_mut(row).assign(&ndarray::ArrayView1::from(values));
        }
        let mut expected: BTreeMap<u8, Vec<i32>> = BTreeMap::new();
        for (at, kind) in kinds.iter().enumerate() {
            match kind {
                0 => inputs.submissions[at].content = Content::refused(Reason::NotRevealed),
                1 => inputs.submissions[at].trust.standing = Standing::Quarantine,
                _ => {}
            }
            if *kind > 0 {
                expected.entry(u8::from(*kind == 1)).or_default().extend(&rows[at]);
            }
        }
        let admission = admit(inputs);
        let expected: Vec<i32> = expected.into_values().flatten().collect();
        let found: Vec<i32> = admission.values.iter().copied().take(expected.len()).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(admission.admitted(), kinds.iter().filter(|kind| **kind > 1).count());
    }
}

#[test]
fn a_newcomer_and_a_veteran_differ_by_their_trust_alone() {
    let veteran = TrustRecord { trust_micro: 1_000_000, ..TrustRecord::default() };
    let newcomer = TrustRecord::default();
    assert_eq!(newcomer.trust_micro, TRUST_MICRO_INITIAL);
    let members = [(100, veteran), (100, newcomer), (100, veteran), (100, veteran)];
    let by_trust = weights_micro(&members, Weighting::Uniform, true);
    assert_eq!(by_trust, [285_714, 142_857, 285_714, 285_714]);
    assert_eq!(weights_micro(&members, Weighting::Uniform, false), [250_000; 4]);
}
