//! Which class of rows is harmed: evidence for whoever reads a verdict.
//!
//! Where a task names classes, each evaluator also reports its loss on the rows of each. For a class,
//! the evaluators are those that count for the whole loss and hold an example of it. Among them its
//! harm is estimated as that of the whole: [`super::measure`] for a suspected cell,
//! [`super::measure_return`] for a return, without the limit of the latter, since nothing adds up.
//! Where fewer than 2f + 1 hold the class there is no estimate.

use std::cmp::Reverse;

use fedledger_ledger::decision::HarmedClass;

use super::{greatest_share, harms, least_median, Evaluation};
use crate::records::ClassHarm;

/// The losses of candidate 0 and of another on the rows of one class, one pair for each evaluator that
/// holds some.
type Pairs = Vec<(u64, u64)>;

/// For each class the losses of candidate 0 and of candidate `at`; none where the task has none.
fn pairs_by_class(evaluations: &[&Evaluation], at: usize) -> Vec<Pairs> {
    let all = evaluations.iter().filter_map(|one| one.classes.first()).map(Vec::len).max();
    (0..all.unwrap_or(0)).map(|class| pairs_of(evaluations, at, class)).collect()
}

/// The same for one class.
pub(super) fn pairs_of(evaluations: &[&Evaluation], at: usize, class: usize) -> Pairs {
    let pairs = evaluations.iter().filter_map(|one| {
        let (own, other) = (one.classes.first()?.get(class)?, one.classes.get(at)?.get(class)?);
        (own.num_examples > 0).then_some((own.loss_micro, other.loss_micro))
    });
    pairs.collect()
}

/// The harm of a cell on each class: candidate `at` is the model without it.
pub(super) fn harm_by_class(evaluations: &[&Evaluation], at: usize, f: usize) -> Vec<ClassHarm> {
    pairs_by_class(evaluations, at).into_iter().map(|pairs| class_harm(&pairs, f)).collect()
}

/// The harm of a return on each class: candidate `at` is the model with these members.
pub(super) fn return_by_class(evaluations: &[&Evaluation], at: usize, f: usize) -> Vec<ClassHarm> {
    pairs_by_class(evaluations, at).into_iter().map(|pairs| class_return(&pairs, f)).collect()
}

/// The harm of a cell on one class: `losses` has, for each evaluator, the loss with and without it, in
/// millionths.
pub fn class_harm(losses: &[(u64, u64)], f: usize) -> ClassHarm {
    let harms = harms(losses.iter().copied());
    of_class(&harms, least_median(&harms, f))
}

/// The harm of a return on one class: `losses` has, for each evaluator, the loss without and with these
/// members, in millionths.
pub fn class_return(losses: &[(u64, u64)], f: usize) -> ClassHarm {
    let harms = harms(losses.iter().map(|&(out, with)| (with, out)));
    of_class(&harms, greatest_share(&harms, losses, f))
}

fn of_class(harms: &[i64], estimate: Option<i64>) -> ClassHarm {
    ClassHarm {
        harm_micro: estimate.unwrap_or(0),
        agreeing: harms.iter().filter(|&&harm| harm > 0).count() as u32,
        evaluators: harms.len() as u32,
    }
}

/// The class that is harmed most, the earlier among equals; none when no class is found harmed. `names`
/// are the task's classes.
///
/// It takes an estimate above zero and more than f evaluators that measured harm on the class. So one
/// of these is honest, and f liars name no class that no honest evaluator finds harmed. For a cell the
/// second follows from the first; the estimate for a return errs upwards and does not.
pub fn most_harmed(classes: &[ClassHarm], names: &[String], f: usize) -> Option<HarmedClass> {
    let found = |(_, one): &(&String, &ClassHarm)| one.harm_micro > 0 && one.agreeing as usize > f;
    let harmed = names.iter().zip(classes).filter(found);
    harmed.min_by_key(|(_, one)| Reverse(one.harm_micro)).map(|(class, one)| HarmedClass {
        class: class.clone(),
        harm_micro: one.harm_micro.unsigned_abs(),
        agreeing: one.agreeing,
        evaluators: one.evaluators,
    })
}

#[cfg(test)]
mod tests;
