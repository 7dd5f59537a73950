//! What evaluations decide: which candidate enters, and whether a suspected cell does harm.
//!
//! Each evaluator reports the loss of each candidate on its own held-out data. Losses of different
//! hospitals cannot be compared, the differences that one hospital finds between two models can: so
//! everything here rests on differences to candidate 0, the task's own rule on everybody's updates.
//!
//! *Harm.* The last candidate may be the same rule without a suspected cell ([`crate::history`]).
//! The harm that an evaluator outside of the cell measures is the loss of candidate 0 less that of
//! the one without the cell. Of e such evaluators f may lie. An accusation has to be high, so the
//! harm that counts is the median of the e − f least: not above the median of the honest, whatever
//! f liars say. Its unit is the spread among the evaluators,
//! `s = 1.25 · mean(min(|x − median|, 3·MAD))`, MAD the median absolute deviation; the limit of
//! three keeps a single liar from hiding a cell behind one absurd loss. Both ends have
//! [`FLOOR_MICRO`] added. The score is harm / s in thousandths, at most [`SCORE_MILLI_MAX`] either
//! way, so that no round decides alone. Where the loss on a protected class tells harm (below), a task
//! can limit it to the score by the loss on all rows plus [`all_rows_milli`][all]: an honest cell whose
//! patients are of other kinds can be in the way of one class, but all rows show that it is of use.
//!
//! [all]: fedledger_ledger::task::HarmPolicy::all_rows_milli
//!
//! *Return.* One more candidate may be candidate 0 with the updates of members in quarantine mixed in.
//! It is the mirror of the above: what is to be shown is that there is no harm of consequence, so the
//! harm that counts is the median of the e − f *greatest* differences, not below the median of the
//! honest, whatever f liars say. It is a share of candidate 0's loss, for which the median of the
//! e − f least stands, so that no liar makes it look small by a great loss; in millionths, at most
//! [`RETURN_MICRO_MAX`] either way.
//!
//! Where a task asks for losses by class, both say besides which class is harmed (`classes`). That
//! decides nothing, unless the task names one of them as protected: then its loss takes the place of
//! the loss on all rows in both, among the evaluators that hold an example of it. Turning a model along
//! the trade-off between two classes hardly changes the loss on all rows near its least, and changes
//! that on either class at once.

mod classes;

use fedledger_ledger::decision::Candidate;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::transaction::{CandidateScore, ClassLoss};

use crate::history::{median_i64, Past};
use crate::integer::{div_half_even, median_u64};
use crate::records::{HarmRecord, ReturnRecord};

pub use classes::{class_harm, class_return, most_harmed};

/// Differences of loss below this many millionths are rounding.
pub const FLOOR_MICRO: i64 = 20;

/// Most that one round's harm scores, in thousandths of the spread.
pub const SCORE_MILLI_MAX: i64 = 3_000;

/// Most that one round's harm of a return comes to, in millionths of the loss.
pub const RETURN_MICRO_MAX: i64 = 30_000;

/// What one evaluator that counts reported of a round's candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Who.
    pub member: MemberId,
    /// Its loss of each candidate, in millionths.
    pub losses: Vec<u64>,
    /// For each candidate its losses by class, in the task's order; none where the task asks for none.
    pub classes: Vec<Vec<ClassLoss>>,
}

impl Evaluation {
    /// What a member's scores say.
    pub fn of(member: MemberId, scores: &[CandidateScore]) -> Self {
        let classes = scores.iter().map(|score| score.classes.clone());
        Self {
            member,
            losses: scores.iter().map(|score| score.loss_micro).collect(),
            classes: classes.filter(|classes| !classes.is_empty()).collect(),
        }
    }
}

/// What a round's evaluations come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The candidate that is chosen.
    pub chosen: usize,
    /// What they say of the suspected cell.
    pub harm: Option<HarmRecord>,
    /// What they say of the return of members in quarantine.
    pub returning: Option<ReturnRecord>,
}

/// Concludes a round's evaluations.
///
/// `evaluations` are those that count, by member id, with one loss for each of `candidates`. The model
/// without the cell is up for choice only where `past` says that the harm of each of its
/// members has added up to half of the limit: honest hospitals with other patients often are in each
/// other's way, and a model that goes on without them moves away from them, which makes them more so.
/// `protected` is the class whose loss tells harm, where it is not that on all rows.
pub fn conclude(
    candidates: &[Candidate],
    evaluations: &[Evaluation],
    past: Option<&Past>,
    f: usize,
    protected: Option<usize>,
) -> Conclusion {
    let suspected = candidates.iter().position(|candidate| candidate.without.is_some());
    let harm = suspected.and_then(|at| {
        let cell = candidates[at].without.as_deref().unwrap_or_default();
        let (outside, pairs) = outside_of(cell, evaluations, at, protected);
        let mut measured = measure(&pairs, f)?;
        let allowed =
            past.and_then(|past| past.harm?.all_rows_milli).filter(|_| protected.is_some());
        if let Some(more) = allowed {
            let (_, pairs) = outside_of(cell, evaluations, at, None);
            let most = measure(&pairs, f)?.score_milli + i64::from(more);
            measured.score_milli = measured.score_milli.min(most);
        }
        let (cell, classes) = (cell.to_vec(), classes::harm_by_class(&outside, at, f));
        Some(HarmRecord { cell, classes, ..measured })
    });
    let told = |harm: &HarmRecord| past.is_some_and(|past| past.is_half_way(&harm.cell));
    let harmful = harm.as_ref().is_some_and(told);
    // The one without a cell is the last that is up for choice, and the one with members in
    // quarantine after it never is.
    let mixed = candidates.iter().position(|candidate| candidate.with.is_some());
    let count = suspected.filter(|_| !harmful).or(mixed).unwrap_or(candidates.len());
    let rows: Vec<Vec<u64>> = evaluations.iter().map(|one| one.losses.clone()).collect();
    let returning = mixed.and_then(|at| {
        let cell = candidates[at].with.clone().unwrap_or_default();
        let (outside, pairs) = outside_of(&cell, evaluations, at, protected);
        let measured = measure_return(&pairs, f)?;
        Some(ReturnRecord { cell, classes: classes::return_by_class(&outside, at, f), ..measured })
    });
    Conclusion { chosen: choose(&rows, count, f), harm, returning }
}

/// The evaluations of members outside of a cell, and the losses of candidates 0 and `at` on the
/// protected class, or on all rows where there is none.
fn outside_of<'a>(
    cell: &[MemberId],
    evaluations: &'a [Evaluation],
    at: usize,
    protected: Option<usize>,
) -> (Vec<&'a Evaluation>, Vec<(u64, u64)>) {
    let outside: Vec<&Evaluation> =
        evaluations.iter().filter(|one| !cell.contains(&one.member)).collect();
    let pairs = match protected {
        Some(class) => classes::pairs_of(&outside, at, class),
        None => outside.iter().map(|one| (one.losses[0], one.losses[at])).collect(),
    };
    (outside, pairs)
}

/// The candidate whose loss exceeds candidate 0's least, by the median over evaluators; the earlier
/// one among equals, and candidate 0 when none is below it.
///
/// `losses` has one row for each evaluator, with the loss of each candidate in millionths; the first
/// `candidates` are up for choice. With at most `f` hostile evaluators among 2f + 1 or more, the
/// median lies between two honest differences: a model that every honest evaluator finds worse than
/// the task's own is not chosen. With fewer evaluators the task's own rule, candidate 0, stands.
pub fn choose(losses: &[Vec<u64>], candidates: usize, f: usize) -> usize {
    if losses.len() < 2 * f + 1 {
        return 0;
    }
    let median = |candidate: usize| {
        median_i64(losses.iter().map(|row| difference(row[candidate], row[0])).collect())
    };
    (0..candidates).min_by_key(|&candidate| (median(candidate), candidate)).unwrap_or(0)
}

/// Losses are at most [`fedledger_ledger::limits::LOSS_MICRO_MAX`], 10^12.
fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).expect("losses are limited")
}

/// By how much the first of two losses is above the second, for each evaluator, the least first.
fn harms(losses: impl Iterator<Item = (u64, u64)>) -> Vec<i64> {
    let mut harms: Vec<i64> = losses.map(|(with, out)| difference(with, out)).collect();
    harms.sort_unstable();
    harms
}

/// Of e sorted harms the median of the e − f least; nothing with fewer than 2f + 1 of them.
fn least_median(harms: &[i64], f: usize) -> Option<i64> {
    (harms.len() > 2 * f).then(|| median_i64(harms[..harms.len() - f].to_vec()))
}

/// Of e sorted harms the median of the e − f greatest, in millionths of the loss of candidate 0, the
/// first of each pair of `losses`; nothing with fewer than 2f + 1 of them.
fn greatest_share(harms: &[i64], losses: &[(u64, u64)], f: usize) -> Option<i64> {
    let evaluators = harms.len();
    if evaluators <= 2 * f {
        return None;
    }
    let harm = median_i64(harms[f..].to_vec());
    let mut usual: Vec<u64> = losses.iter().map(|&(out, _)| out).collect();
    usual.sort_unstable();
    let usual = median_u64(&usual[..evaluators - f]).unwrap_or(0).max(1);
    let share = div_half_even(i128::from(harm) * 1_000_000, i128::from(usual));
    // At most 10^18: losses are limited to 10^12.
    Some(i64::try_from(share).expect("losses are limited"))
}

/// The harm of a cell: `losses` has, for each evaluator outside of it and not in quarantine, the
/// loss with and without it, in millionths. Nothing with fewer than 2f + 1 of them.
pub fn measure(losses: &[(u64, u64)], f: usize) -> Option<HarmRecord> {
    let harms = harms(losses.iter().copied());
    let harm_micro = least_median(&harms, f)?;
    let evaluators = harms.len();
    let agreeing = harms.iter().filter(|&&harm| harm > 0).count() as u32;
    let middle = median_i64(harms.clone());
    let away: Vec<i64> = harms.iter().map(|harm| (harm - middle).abs()).collect();
    let most = 3 * (median_i64(away.clone()) + FLOOR_MICRO);
    let sum: i128 = away.iter().map(|&away| i128::from(away.min(most))).sum();
    // harm / (5/4 · sum/e + floor) = 4e · harm / (5 · sum + 4e · floor)
    let quarters = 4 * evaluators as i128;
    let spread = 5 * sum + quarters * i128::from(FLOOR_MICRO);
    let score = div_half_even(i128::from(harm_micro) * 1000 * quarters, spread);
    let limit = i128::from(SCORE_MILLI_MAX);
    let score_milli = score.clamp(-limit, limit) as i64;
    let (evaluators, cell, classes) = (evaluators as u32, Vec::new(), Vec::new());
    Some(HarmRecord { cell, harm_micro, score_milli, agreeing, evaluators, classes })
}

/// The harm of a return: `losses` has, for each evaluator that is not in quarantine, the loss without
/// and with these members, in millionths. Nothing with fewer than 2f + 1 of them.
pub fn measure_return(losses: &[(u64, u64)], f: usize) -> Option<ReturnRecord> {
    let harms = harms(losses.iter().map(|&(out, with)| (with, out)));
    let share = greatest_share(&harms, losses, f)?;
    let harm_micro = share.clamp(-RETURN_MICRO_MAX, RETURN_MICRO_MAX);
    let (evaluators, cell, classes) = (losses.len() as u32, Vec::new(), Vec::new());
    Some(ReturnRecord { cell, harm_micro, evaluators, classes })
}

#[cfg(test)]
mod tests;
