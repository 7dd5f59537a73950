//! Which updates enter the aggregation, with which values and weights.

use std::collections::BTreeMap;

use fedledger_ledger::decision::{Reason, RoundFailure};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{AggregationRule, NormBand};
use ndarray::{Array2, ArrayView2, Axis, Slice};
use sha2::{Digest as _, Sha256};

use super::geometry::Geometry;
use super::measure::{clip, is_over, ratio_milli};
use super::round_aggregate::RoundAggregate;
use super::verdict;
use super::weights::{weighs, weights_micro};
use super::{Content, RoundInputs, RoundJudgement, Submission, Terms};
use crate::aggregate::{
    self, aggregate_rows, check_precondition, measures_pairs, norms_squared, AggregateError,
    Aggregation,
};
use crate::history::Past;
use crate::integer::{isqrt_u128, median_u64};
use crate::records::{HarmRecord, ReturnRecord};
use crate::round::updates_needed;

/// Where a submission stands after admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Its row is among those that are aggregated.
    Admitted,
    /// Its row is only scored: the member is in quarantine.
    Shadow,
    /// Its row is only scored: the evaluations chose the model without its member's cell.
    LeftOut,
    /// It does not enter. A member in quarantine keeps that verdict when only the norm is at fault.
    Refused { reason: Reason, value: u64, threshold: u64 },
}

/// One submission after admission.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub submission: Submission,
    pub place: Place,
    /// Row of the values, for what is admitted or scored.
    pub row: Option<usize>,
    /// Norm as sent, for everything that was readable.
    pub norm: Option<u64>,
    /// Norm in thousandths of the reference, when the update was scaled down.
    pub clipped_milli: Option<u64>,
    /// Weight in millionths of the whole, for rules that weigh.
    pub weight_micro: u32,
}

/// A round after admission, ready for any rule.
#[derive(Debug, Clone)]
pub struct Admission {
    pub(super) terms: Terms,
    pub(super) lines: Vec<Line>,
    /// `m × d`: the admitted updates by member id, then those in quarantine by member id.
    pub(super) values: Array2<i32>,
    pub(super) geometry: Geometry,
    pub(super) start: Option<Vec<i32>>,
    pub(super) reference_norm: Option<u64>,
    pub(super) quarantined_absent: usize,
    /// Members known to be among the f: in quarantine, or proved faulty in this round.
    pub(super) suspects: usize,
    /// What is known of past rounds, when the task keeps a history.
    pub(super) past: Option<Past>,
    /// What the evaluators measured of a suspected cell in this round.
    pub(super) harm: Option<HarmRecord>,
    /// What they measured of the return of members in quarantine.
    pub(super) returning: Option<ReturnRecord>,
    /// The classes that these two are about.
    pub(super) classes: Vec<String>,
}

/// Admits the updates of a round; see [the module's documentation](super).
///
/// # Panics
/// When the submissions are not in ascending order of members, or name rows that are not there.
pub fn admit(inputs: RoundInputs) -> Admission {
    let RoundInputs {
        terms,
        submissions,
        mut values,
        norm_history,
        start,
        quarantined_absent,
        past,
    } = inputs;
    let ascending = submissions.windows(2).all(|two| two[0].member < two[1].member);
    assert!(ascending, "submissions are in ascending order of members, one each");
    let mut lines: Vec<Line> = submissions.into_iter().map(line).collect();
    refuse_copies(&mut lines, &values);
    let squares = norms_squared(values.view());
    for line in &mut lines {
        line.norm = line.row.map(|row| isqrt_u128(squares[row]));
    }
    let reference_norm = terms.norm_band.and_then(|band| reference(&lines, &norm_history, band));
    if let (Some(band), Some(reference)) = (terms.norm_band, reference_norm) {
        apply_norm_band(&mut lines, (&mut values, &squares), band, reference);
    }
    arrange(&mut lines, &mut values);
    let suspects = quarantined_absent + lines.iter().filter(|line| is_suspect(line)).count();
    let mut admission = Admission {
        terms,
        lines,
        values,
        geometry: Geometry::default(),
        start,
        reference_norm,
        quarantined_absent,
        suspects,
        past,
        harm: None,
        returning: None,
        classes: Vec::new(),
    };
    admission.weigh();
    admission
}

fn line(submission: Submission) -> Line {
    let (place, row) = match submission.content {
        Content::Refused { reason, value, threshold } => {
            (Place::Refused { reason, value, threshold }, None)
        }
        Content::Row(row) if submission.trust.standing == Standing::Quarantine => {
            (Place::Shadow, Some(row))
        }
        Content::Row(row) => (Place::Admitted, Some(row)),
    };
    Line { submission, place, row, norm: None, clipped_milli: None, weight_micro: 0 }
}

/// Significant bits from which on a copy says that its content was shared; see [`refuse_copies`].
const COPY_BITS_MIN: u64 = 128;

/// Of several updates with one digest, the one committed first stands. The others are measured by
/// their significant bits, the sum over all values q of the binary digits of |q|: what is short can
/// be guessed, or come of honest training on next to nothing; what is long was shared before the
/// commitments, since nobody saw it until all were made.
fn refuse_copies(lines: &mut [Line], values: &Array2<i32>) {
    let mut first: BTreeMap<Option<Digest>, u64> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.row.is_some()) {
        let order = first.entry(line.submission.update).or_insert(line.submission.order);
        *order = line.submission.order.min(*order);
    }
    for line in lines {
        let Some(row) = line.row else { continue };
        if first[&line.submission.update] != line.submission.order {
            let bits =
                |q: &i32| u64::from(q.unsigned_abs().checked_ilog2().map_or(0, |log| log + 1));
            let value = values.row(row).iter().map(bits).sum();
            let (reason, threshold) = (Reason::Duplicate, COPY_BITS_MIN);
            line.place = Place::Refused { reason, value, threshold };
            line.row = None;
        }
    }
}

/// The reference norm: the median of the history, unless it has become useless. When the median of
/// this round's own norms is outside the band, at least half of the members are, more than the f
/// that may be hostile: training has moved on, and the round's own median is the reference, as it
/// is when there is no history. Nothing when that median is zero.
fn reference(lines: &[Line], norm_history: &[u64], band: NormBand) -> Option<u64> {
    let norms = lines.iter().filter(|line| line.place == Place::Admitted).filter_map(|l| l.norm);
    let own = median_u64(&norms.collect::<Vec<_>>())?;
    let inside = |history: &u64| {
        !is_over(own, band.high_milli, *history)
            && u128::from(own) * 1000 >= u128::from(band.low_milli) * u128::from(*history)
    };
    let history = median_u64(norm_history).filter(inside);
    Some(history.unwrap_or(own)).filter(|reference| *reference > 0)
}

/// `squares` are the squared norms of the rows of `values`.
fn apply_norm_band(
    lines: &mut [Line],
    (values, squares): (&mut Array2<i32>, &[u128]),
    band: NormBand,
    reference: u64,
) {
    for line in lines {
        let (Some(row), Some(norm)) = (line.row, line.norm) else { continue };
        let value = ratio_milli(norm, reference);
        let under = u128::from(norm) * 1000 < u128::from(band.low_milli) * u128::from(reference);
        if is_over(norm, band.high_milli, reference) || under {
            let (reason, limit) = if under {
                (Reason::NormTooSmall, band.low_milli)
            } else {
                (Reason::NormTooLarge, band.high_milli)
            };
            line.place = Place::Refused { reason, value, threshold: u64::from(limit) };
            line.row = None;
        } else if is_over(norm, band.clip_milli, reference) {
            let limit = u128::from(reference) * u128::from(band.clip_milli) / 1000;
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            let mut scaled = values.row_mut(row);
            let scaled = scaled.as_slice_mut().expect("an owned matrix has contiguous rows");
            clip(scaled, squares[row], limit);
            line.clipped_milli = Some(value);
        }
    }
}

/// Moves the rows so that those admitted come first, by member id, then those that are only scored.
/// Nothing is copied aside: a matrix can be most of a machine's memory.
fn arrange(lines: &mut [Line], values: &mut Array2<i32>) {
    let mut order: Vec<usize> = Vec::new();
    for place in [Place::Admitted, Place::LeftOut, Place::Shadow] {
        let at = (0..lines.len()).filter(|&at| lines[at].place == place);
        order.extend(at);
    }
    for (target, &at) in order.iter().enumerate() {
        let from = lines[at].row.expect("what is admitted or scored has a row");
        if from == target {
            continue;
        }
        swap_rows(values, from, target);
        // Whoever was there has moved to where this one came from.
        if let Some(other) = lines.iter_mut().find(|line| line.row == Some(target)) {
            other.row = Some(from);
        }
        lines[at].row = Some(target);
    }
}

fn swap_rows(values: &mut Array2<i32>, a: usize, b: usize) {
    let d = values.ncols();
    let all = values.as_slice_mut().expect("an owned matrix is contiguous");
    let (low, high) = (a.min(b), a.max(b));
    let (front, back) = all.split_at_mut(high * d);
    front[low * d..][..d].swap_with_slice(&mut back[..d]);
}

/// Whether a line stands for one of the f: its member is known to be, or, of a telling copy, some
/// member of the group is.
fn is_suspect(line: &Line) -> bool {
    let proved = match line.place {
        Place::Refused { reason: Reason::Duplicate, value, threshold } => value >= threshold,
        Place::Refused { reason, .. } => {
            matches!(reason, Reason::Equivocation | Reason::SchemaMismatch | Reason::LengthMismatch)
        }
        Place::Admitted | Place::LeftOut | Place::Shadow => false,
    };
    let suspended = matches!(line.place, Place::Refused { reason: Reason::MemberSuspended, .. });
    proved || line.submission.trust.standing == Standing::Quarantine && !suspended
}

/// The first `end` rows.
pub(super) fn rows_to(values: &Array2<i32>, end: usize) -> ArrayView2<'_, i32> {
    values.slice_axis(Axis(0), Slice::from(..end))
}

impl Admission {
    fn weigh(&mut self) {
        let admitted: Vec<usize> =
            (0..self.lines.len()).filter(|&at| self.lines[at].place == Place::Admitted).collect();
        let members: Vec<_> = admitted
            .iter()
            .map(|&at| &self.lines[at].submission)
            .map(|submission| (submission.num_examples, submission.trust))
            .collect();
        let by_trust = self.terms.trust.is_some();
        let weights = weights_micro(&members, self.terms.weighting, by_trust);
        for (at, weight_micro) in admitted.into_iter().zip(weights) {
            self.lines[at].weight_micro = weight_micro;
        }
    }

    /// The members whose harm the evaluators are to measure; see [`Past::suspects`]. None when
    /// nobody of the f is left unknown but one.
    pub fn suspects(&self) -> Option<Vec<MemberId>> {
        let admitted = self.lines.iter().filter(|line| line.place == Place::Admitted);
        let standing = admitted.map(|line| line.submission.member.clone()).collect();
        self.past.as_ref()?.suspects(&standing, self.byzantine())
    }

    /// Leaves the updates of a cell out, as if its members were in quarantine.
    pub fn leave_out(&mut self, cell: &[MemberId]) {
        for line in &mut self.lines {
            if line.place == Place::Admitted && cell.contains(&line.submission.member) {
                line.place = Place::LeftOut;
                line.weight_micro = 0;
                self.suspects += 1;
            }
        }
        arrange(&mut self.lines, &mut self.values);
        self.weigh();
    }

    /// Heeds what the evaluators measured in this round of a suspected cell, and of the return of
    /// members in quarantine. `classes` are the task's.
    pub fn heed(
        &mut self,
        harm: Option<HarmRecord>,
        returning: Option<ReturnRecord>,
        classes: &[String],
    ) {
        self.harm = harm;
        self.returning = returning;
        self.classes = classes.to_vec();
    }

    /// Number of updates that enter.
    pub fn admitted(&self) -> usize {
        self.lines.iter().filter(|line| line.place == Place::Admitted).count()
    }

    /// How many of the admitted updates the rule is to withstand: f less those that are known.
    pub fn byzantine(&self) -> usize {
        self.terms.byzantine.saturating_sub(self.suspects)
    }

    /// Aggregates what was admitted.
    ///
    /// # Errors
    /// [`RoundFailure::TooFewUpdates`] when fewer were admitted than the task or the rule needs.
    pub fn aggregate(&self, rule: &AggregationRule) -> Result<RoundAggregate, RoundFailure> {
        let (n, f) = (self.admitted(), self.byzantine());
        let needed = updates_needed(self.terms.updates_min, self.terms.byzantine, self.suspects);
        if n < needed.max(1) || check_precondition(rule, n, f).is_err() {
            return Err(RoundFailure::TooFewUpdates);
        }
        let admitted = self.lines.iter().filter(|line| line.place == Place::Admitted);
        let weighs = weighs(rule);
        let weight = |line: &Line| if weighs { u64::from(line.weight_micro) } else { 1 };
        let weights: Vec<u64> = admitted.map(weight).collect();
        let (start, seed) = (self.start.as_deref(), self.seed());
        let terms = aggregate::Terms { f, weights: &weights, start, seed };
        let aggregation = self.aggregate_some(rule, &(0..n).collect::<Vec<usize>>(), &terms);
        let aggregation =
            aggregation.expect("precondition, weights and ranges were checked on admission");
        let mut aggregate = RoundAggregate::new(aggregation, &weights, weighs);
        self.lean(rule, &mut aggregate, seed);
        Ok(aggregate)
    }

    /// The rule's over some rows.
    pub(super) fn aggregate_some(
        &self,
        rule: &AggregationRule,
        rows: &[usize],
        terms: &aggregate::Terms<'_>,
    ) -> Result<Aggregation, AggregateError> {
        let distances = measures_pairs(rule, self.values.ncols())
            .then(|| self.distances_between(rows))
            .flatten();
        let values = rows.iter().map(|&row| self.row(row)).collect();
        aggregate_rows(rule, values, terms, distances.as_deref())
    }

    /// What rules draw from: the first eight bytes, the least significant first, of the SHA-256 of
    /// the admitted updates' digests by member id. Nobody knew it when the updates were committed
    /// to; a member can only choose to be left out, and is seen to.
    fn seed(&self) -> u64 {
        let mut hash = Sha256::new();
        for line in self.lines.iter().filter(|line| line.place == Place::Admitted) {
            let update = line.submission.update.expect("what was admitted was revealed");
            hash.update(update.as_bytes());
        }
        let hash: [u8; 32] = hash.finalize().into();
        u64::from_le_bytes(hash[..8].try_into().expect("eight bytes"))
    }

    /// Aggregates by a rule and gives the verdicts that follow.
    pub fn judge(&self, rule: &AggregationRule) -> RoundJudgement {
        match self.aggregate(rule) {
            Ok(aggregate) => self.conclude(aggregate),
            Err(failure) => self.fail(failure),
        }
    }

    /// The verdicts that follow from the aggregate of what was admitted.
    pub fn conclude(&self, aggregate: RoundAggregate) -> RoundJudgement {
        verdict::conclude(self, aggregate)
    }

    /// The verdicts of a round that led to no aggregate.
    pub fn fail(&self, failure: RoundFailure) -> RoundJudgement {
        verdict::fail(self, failure)
    }
}
