//! What a round's evaluators are asked to score.

use fedledger_ledger::decision::RoundFailure;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::task::{AggregationRule, TaskSpec};

use crate::judge::Admission;
use crate::outcome::rules_offered;

/// One aggregate that may become the round's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The rule that made it.
    pub rule: AggregationRule,
    /// The suspected cell whose updates were left out, by member id.
    pub without: Option<Vec<MemberId>>,
    /// `d` integers.
    pub aggregate: Vec<i32>,
}

/// The aggregates of the task's rules, its own first, and, where the task has harm measured, that of
/// its own rule without the suspected cell. A further one that cannot be made of what was admitted is
/// left out. With a suspected cell, `admission` is without it afterwards.
///
/// # Errors
/// When the task's own rule cannot work on what was admitted.
pub fn offers(spec: &TaskSpec, admission: &mut Admission) -> Result<Vec<Offer>, RoundFailure> {
    let mut offered = Vec::new();
    let offer = |rule: &AggregationRule, without, aggregate| Offer {
        rule: rule.clone(),
        without,
        aggregate,
    };
    for (at, rule) in rules_offered(spec).into_iter().enumerate() {
        match admission.aggregate(rule) {
            Ok(aggregation) => offered.push(offer(rule, None, aggregation.values)),
            Err(failure) if at == 0 => return Err(failure),
            Err(_) => {}
        }
    }
    let measured = spec.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
    if let Some(cell) = measured.and_then(|_| admission.suspects()) {
        admission.leave_out(&cell);
        if let Ok(aggregation) = admission.aggregate(&spec.rule) {
            offered.push(offer(&spec.rule, Some(cell), aggregation.values));
        }
    }
    Ok(offered)
}

#[cfg(test)]
mod tests;
