//! What is said about each update once the round has an aggregate, or none.
//!
//! A verdict says what became of the update: it entered as it was, clipped or with less weight, or
//! it did not. The reason says what was wrong, and `strike` whether that counts against the member.
//! So an outlier that a coordinate-wise rule used in some coordinates is *accepted* (it entered),
//! for reason *outlier*, with a strike.

use fedledger_ledger::decision::{Measure, Reason, RoundFailure, UpdateVerdict, Verdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::TrustPolicy;

use super::admission::{rows_to, Admission, Line, Place};
use super::measure::{is_over, ratio_milli};
use super::probation::is_on_probation;
use super::remember::remember;
use super::round_aggregate::RoundAggregate;
use super::RoundJudgement;
use crate::aggregate::{bearings, UpdateUse};
use crate::integer::{div_half_even, isqrt_u128, median_u64};
use crate::trust::{after_round_all, mark_of};

/// What was measured about every scored row.
struct Scores<'a> {
    aggregate: &'a RoundAggregate,
    distances: Vec<u64>,
    /// Cosine to the aggregate in millionths, as [`Bearing`](crate::aggregate::Bearing) has it.
    cosines_micro: Vec<i64>,
    median_distance: u64,
    nearest: Option<Vec<u64>>,
}

pub(super) fn conclude(admission: &Admission, aggregate: RoundAggregate) -> RoundJudgement {
    let scores = score(admission, &aggregate);
    let mut verdicts: Vec<UpdateVerdict> =
        admission.lines.iter().map(|line| of_line(admission, line, &scores)).collect();
    let deviations = remember(admission, &mut verdicts);
    let aggregate = if too_many_suspects(admission, &verdicts) {
        Err(RoundFailure::TooManySuspects)
    } else {
        Ok(aggregate.values)
    };
    RoundJudgement { aggregate, verdicts, deviations }
}

pub(super) fn fail(admission: &Admission, failure: RoundFailure) -> RoundJudgement {
    let verdicts: Vec<UpdateVerdict> = admission
        .lines
        .iter()
        .map(|line| match line.place {
            Place::Refused { .. } => of_refused(admission, line),
            Place::Admitted | Place::LeftOut | Place::Shadow => {
                blank(admission, line, Verdict::Reject, Reason::RoundFailed)
            }
        })
        .collect();
    let suspects = too_many_suspects(admission, &verdicts);
    let failure = if suspects { RoundFailure::TooManySuspects } else { failure };
    RoundJudgement { aggregate: Err(failure), verdicts, deviations: None }
}

fn score<'a>(admission: &Admission, aggregate: &'a RoundAggregate) -> Scores<'a> {
    let scored = admission.scored();
    let rows = rows_to(&admission.values, scored);
    let (bearings, aggregate_square) = bearings(rows, &aggregate.values);
    let cosines_micro: Vec<i64> = bearings.iter().map(|one| one.cosine_micro).collect();
    let mut distances: Vec<u64> =
        bearings.iter().map(|one| isqrt_u128(one.distance_squared)).collect();
    measure_as_sent(admission, aggregate_square, &cosines_micro, &mut distances);
    let median_distance = median_u64(&distances[..admission.admitted()]).unwrap_or(0);
    let nearest = admission.measures_nearest().then(|| {
        let squares = admission.distances_between(&(0..scored).collect::<Vec<usize>>());
        let squares = squares.expect("values of an update are in range");
        let others = |i: usize| (0..scored).filter(move |&j| j != i);
        (0..scored)
            .map(|i| others(i).map(|j| squares[i * scored + j]).min().map_or(0, isqrt_u128))
            .collect()
    });
    Scores { aggregate, distances, cosines_micro, median_distance, nearest }
}

/// Where the policy asks for it, what was scaled down is measured as it was sent: the norm band
/// limits what an update weighs, and must not hide how far it went.
fn measure_as_sent(
    admission: &Admission,
    aggregate_square: u128,
    cosines_micro: &[i64],
    distances: &mut [u64],
) {
    if !admission.terms.trust.is_some_and(|policy| policy.outlier_as_sent) {
        return;
    }
    let clipped = admission.lines.iter().filter(|line| line.clipped_milli.is_some());
    for (row, norm) in clipped.filter_map(|line| line.row.zip(line.norm)) {
        distances[row] = distance_as_sent(norm, aggregate_square, cosines_micro[row]);
    }
}

/// How far an update of norm `norm`, at that cosine to the aggregate, is from it by the law of
/// cosines; the aggregate's squared norm is `square`. Scaling moves a direction by less than a
/// quantum in each coordinate, so that this is the distance as it was sent but for that.
///
/// Norms are below 2^37, so that twice the product with a cosine stays below 2^95.
fn distance_as_sent(norm: u64, square: u128, cosine_micro: i64) -> u64 {
    let product = u128::from(norm) * u128::from(isqrt_u128(square));
    let twice = div_half_even(2 * product as i128 * i128::from(cosine_micro), 1_000_000);
    let sum = (u128::from(norm).pow(2) + square) as i128;
    isqrt_u128((sum - twice).max(0).unsigned_abs())
}

/// A verdict with the measures of admission and nothing else.
fn blank(admission: &Admission, line: &Line, verdict: Verdict, reason: Reason) -> UpdateVerdict {
    let mut measures = Vec::new();
    if let Some(norm) = line.norm {
        measures.push((Measure::Norm, norm));
        measures.extend(admission.reference_norm.map(|norm| (Measure::ReferenceNorm, norm)));
    }
    UpdateVerdict {
        member: line.submission.member.clone(),
        update: line.submission.update,
        verdict,
        reason,
        value: 0,
        threshold: 0,
        weight_micro: 0,
        strike: false,
        measures,
        together_with: None,
        harmed_class: None,
        return_harmed_class: None,
    }
}

fn of_refused(admission: &Admission, line: &Line) -> UpdateVerdict {
    let Place::Refused { reason, value, threshold } = line.place else {
        unreachable!("only what was refused comes here")
    };
    // What a member signed or published itself, and what would bend the model by its size alone.
    let strike = matches!(
        reason,
        Reason::Equivocation
            | Reason::SchemaMismatch
            | Reason::LengthMismatch
            | Reason::NormTooLarge
    );
    let in_quarantine = line.submission.trust.standing == Standing::Quarantine;
    let verdict =
        if in_quarantine && line.norm.is_some() { Verdict::Quarantine } else { Verdict::Reject };
    UpdateVerdict { value, threshold, strike, ..blank(admission, line, verdict, reason) }
}

fn of_line(admission: &Admission, line: &Line, scores: &Scores<'_>) -> UpdateVerdict {
    let Some(row) = line.row else { return of_refused(admission, line) };
    let distance = scores.distances[row];
    let outlier = admission.terms.trust.filter(|policy| is_outlier(row, policy, scores));
    // The admitted rows come first, so those after them have no use.
    let used = scores.aggregate.uses.get(row);
    let mut verdict = match used {
        _ if line.place == Place::LeftOut => {
            blank(admission, line, Verdict::Reject, Reason::CellLeftOut)
        }
        None => blank(admission, line, Verdict::Quarantine, Reason::MemberQuarantined),
        Some(used) if !used.selected => {
            let verdict = blank(admission, line, Verdict::Reject, Reason::NotSelected);
            let value = used.score.unwrap_or(0);
            UpdateVerdict { value, threshold: scores.aggregate.selected_score_max, ..verdict }
        }
        Some(_) => entered(admission, line, row, scores),
    };
    // Who was left out on suspicion is far from what was made without it.
    if let Some(policy) = outlier.filter(|_| line.place != Place::LeftOut) {
        verdict.reason = Reason::Outlier;
        verdict.value = ratio_milli(distance, scores.median_distance);
        verdict.threshold = u64::from(policy.outlier_milli);
        verdict.strike = true;
    }
    add_measures(row, used, scores, &mut verdict);
    verdict
}

/// Whether a row is too far from the aggregate, and on the wrong side of it where the task asks for
/// that too: among few members the rest's median distance is small, and an honest institution with
/// other patients is far from it in many rounds in a row, but seldom against it.
fn is_outlier(row: usize, policy: &TrustPolicy, scores: &Scores<'_>) -> bool {
    let is_away = |cosine_milli: i32| scores.cosines_micro[row] < i64::from(cosine_milli) * 1000;
    is_over(scores.distances[row], policy.outlier_milli, scores.median_distance.max(1))
        && policy.outlier_cosine_milli.is_none_or(is_away)
}

/// The verdict on an update that the rule used, before anything is said about its distance.
fn entered(admission: &Admission, line: &Line, row: usize, scores: &Scores<'_>) -> UpdateVerdict {
    let weight_micro = scores.aggregate.weights_micro[row];
    let (verdict, reason, value, threshold) = match (line.clipped_milli, admission.terms.norm_band)
    {
        (Some(value), Some(band)) => {
            (Verdict::Clip, Reason::NormClipped, value, u64::from(band.clip_milli))
        }
        _ if is_on_probation(line) && scores.aggregate.probation_weighs => {
            let equal = scores.aggregate.equal_micro;
            (Verdict::DownWeight, Reason::MemberOnProbation, u64::from(weight_micro), equal)
        }
        _ => (Verdict::Accept, Reason::Clean, 0, 0),
    };
    let blank = blank(admission, line, verdict, reason);
    UpdateVerdict { value, threshold, weight_micro, ..blank }
}

/// Adds what was measured against the aggregate, in the order of the measures.
fn add_measures(
    row: usize,
    used: Option<&UpdateUse>,
    scores: &Scores<'_>,
    verdict: &mut UpdateVerdict,
) {
    let cosine = scores.cosines_micro[row] + 1_000_000;
    let measures = &mut verdict.measures;
    measures.push((Measure::Distance, scores.distances[row]));
    measures.push((Measure::MedianDistance, scores.median_distance));
    measures.extend(used.and_then(|used| used.score).map(|score| (Measure::RuleScore, score)));
    measures.push((Measure::CosineMicro, u64::try_from(cosine).unwrap_or(0)));
    measures
        .extend(scores.nearest.as_ref().map(|nearest| (Measure::NearestDistance, nearest[row])));
    let share = used.map(|used| (Measure::UsedShareMicro, u64::from(used.used_share_micro)));
    measures.extend(share);
}

/// Whether more than f members would be in quarantine after these verdicts.
fn too_many_suspects(admission: &Admission, verdicts: &[UpdateVerdict]) -> bool {
    let Some(policy) = admission.terms.trust else { return false };
    let taking_part = admission.lines.iter().zip(verdicts);
    let members: Vec<_> = taking_part
        .filter(|(_, verdict)| verdict.reason != Reason::MemberSuspended)
        .map(|(line, verdict)| {
            let contradicted = verdict.reason == Reason::Equivocation;
            (line.submission.trust, mark_of(verdict, contradicted))
        })
        .collect();
    let (f, others) = (admission.terms.byzantine, admission.quarantined_absent);
    after_round_all(&members, &policy, f, others).1
}
