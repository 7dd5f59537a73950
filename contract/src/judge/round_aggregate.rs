//! The aggregate of a round, with what it made of each update that entered.

use crate::aggregate::{Aggregation, UpdateUse};

use super::weights::SHARE_MICRO_ONE;

/// The aggregate of the updates that enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundAggregate {
    /// The d values, each below 2^23 in magnitude.
    pub values: Vec<i32>,
    /// What each update was used for, by row.
    pub(super) uses: Vec<UpdateUse>,
    /// What each update weighs among those that were used, in millionths, rounded down; by row.
    pub(super) weights_micro: Vec<u32>,
    /// What each would weigh were all that the rule used weighed alike, in millionths.
    pub(super) equal_micro: u64,
    /// Whether members on probation weigh less than the others.
    pub(super) probation_weighs: bool,
    /// Greatest score of an update that the rule selected; 0 where it has no scores.
    pub(super) selected_score_max: u64,
}

impl RoundAggregate {
    /// What the rule made of updates with these weights, one for each row and 1 for each where it does
    /// not weigh.
    pub(super) fn new(aggregation: Aggregation, weights: &[u64], rule_weighs: bool) -> Self {
        let Aggregation { values, per_update: uses } = aggregation;
        let selected = || uses.iter().zip(weights).filter(|(used, _)| used.selected);
        let whole = selected().map(|(_, weight)| weight).sum::<u64>().max(1);
        let share = |used: &UpdateUse, weight: u64| {
            if used.selected {
                (weight * SHARE_MICRO_ONE / whole) as u32
            } else {
                0
            }
        };
        let shares = uses.iter().zip(weights).map(|(used, &weight)| share(used, weight));
        Self {
            weights_micro: shares.collect(),
            probation_weighs: rule_weighs,
            equal_micro: SHARE_MICRO_ONE / selected().count().max(1) as u64,
            selected_score_max: selected().filter_map(|(used, _)| used.score).max().unwrap_or(0),
            values,
            uses,
        }
    }
}
