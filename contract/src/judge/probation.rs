//! What members on probation weigh where the rule does not weigh.
//!
//! Rules that take ranks or choose ignore weights. With these the aggregate is `(3·S + A)/4`, each value
//! rounded half to even: A is the rule's over all updates that enter, S the rule's over those of
//! members that are not on probation. Both withstand the same f, so that what lies between them does
//! as well; and were the rule the mean, an update on probation would weigh a quarter of its share.
//!
//! Where those that are not on probation are too few for the rule, A stands, and probation is in
//! the record alone.

use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::AggregationRule;
use rayon::prelude::*;

use super::admission::{Admission, Line, Place};
use super::weights::{weighs, PROBATION_DIVISOR};
use crate::aggregate::{aggregate_rows, check_precondition, Terms};
use crate::integer::div_half_even;

/// Columns that one thread works on at a time.
const COLUMNS: usize = 1 << 14;

impl Admission {
    /// What an admitted update counts for beside the others, in the unit of the round's whole.
    pub(super) fn part(&self, rule: &AggregationRule, line: &Line) -> u64 {
        if weighs(rule) {
            u64::from(line.weight_micro)
        } else if self.leans(rule) && !is_on_probation(line) {
            PROBATION_DIVISOR
        } else {
            1
        }
    }

    /// Whether members on probation weigh less than the others.
    pub(super) fn probation_weighs(&self, rule: &AggregationRule) -> bool {
        weighs(rule) || self.leans(rule)
    }

    /// Whether the aggregate leans towards that of the members that are not on probation.
    fn leans(&self, rule: &AggregationRule) -> bool {
        let standing = self.standing().count();
        !weighs(rule)
            && standing < self.admitted()
            && check_precondition(rule, standing, self.byzantine()).is_ok()
    }

    /// Leans `values`, the rule's aggregate of all updates that enter.
    pub(super) fn lean(&self, rule: &AggregationRule, values: &mut [i32], seed: u64) {
        if !self.leans(rule) {
            return;
        }
        let rows: Vec<&[i32]> = self.standing().collect();
        let weights = vec![1; rows.len()];
        let terms = Terms { f: self.byzantine(), weights: &weights, start: None, seed };
        let standing = aggregate_rows(rule, rows, &terms);
        let standing = standing.expect("precondition, weights and ranges were checked").values;
        let divisor = PROBATION_DIVISOR as i64;
        let pairs = values.par_iter_mut().zip(&standing).with_min_len(COLUMNS);
        pairs.for_each(|(all, &standing)| {
            let sum = (divisor - 1) * i64::from(standing) + i64::from(*all);
            let mean = div_half_even(i128::from(sum), i128::from(divisor));
            *all = i32::try_from(mean).expect("a mean lies between what it averages");
        });
    }

    /// The rows that enter of members that are not on probation, by member id.
    fn standing(&self) -> impl Iterator<Item = &[i32]> {
        let lines = self.lines.iter().filter(|line| line.place == Place::Admitted);
        lines.filter(|line| !is_on_probation(line)).map(|line| {
            let row = self.values.row(line.row.expect("what is admitted has a row"));
            row.to_slice().expect("the rows of an owned matrix are contiguous")
        })
    }
}

pub(super) fn is_on_probation(line: &Line) -> bool {
    line.submission.trust.standing == Standing::Probation
}

#[cfg(test)]
mod tests;
