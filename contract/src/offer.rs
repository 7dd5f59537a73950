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
    /// The members in quarantine whose updates were mixed in, by member id.
    pub with: Option<Vec<MemberId>>,
    /// `d` integers.
    pub aggregate: Vec<i32>,
}

/// The aggregates of the task's rules, its own first, and, where the task has harm measured, that of
/// its own rule without the suspected cell, and of its own rule with members in quarantine whose return
/// is measured. A further one that cannot be made of what was admitted is left out. With a suspected
/// cell, `admission` is without it afterwards.
///
/// # Errors
/// When the task's own rule cannot work on what was admitted.
pub fn offers(spec: &TaskSpec, admission: &mut Admission) -> Result<Vec<Offer>, RoundFailure> {
    let mut offered = Vec::new();
    let offer = |rule: &AggregationRule, aggregate| Offer {
        rule: rule.clone(),
        without: None,
        with: None,
        aggregate,
    };
    for (at, rule) in rules_offered(spec).into_iter().enumerate() {
        match admission.aggregate(rule) {
            Ok(aggregation) => offered.push(offer(rule, aggregation.values)),
            Err(failure) if at == 0 => return Err(failure),
            Err(_) => {}
        }
    }
    let measured = spec.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
    // Mixed now, while nobody is left out, and listed last.
    let mixed = measured.and_then(|_| admission.returning()).map(|cell| {
        let aggregate = admission.mixed(&offered[0].aggregate, &cell);
        Offer { with: Some(cell), ..offer(&spec.rule, aggregate) }
    });
    if let Some(cell) = measured.and_then(|_| admission.suspects()) {
        admission.leave_out(&cell);
        if let Ok(aggregation) = admission.aggregate(&spec.rule) {
            let without = Some(cell);
            offered.push(Offer { without, ..offer(&spec.rule, aggregation.values) });
        }
    }
    offered.extend(mixed);
    Ok(offered)
}

#[cfg(test)]
mod tests;
