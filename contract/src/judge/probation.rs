//! What members on probation weigh where the rule does not weigh.
//!
//! Rules that take ranks or choose ignore weights. With these the aggregate is `(3·S + A)/4`, each value
//! rounded half to even: A is the rule's over all updates that enter, S the rule's over those of
//! members that are not on probation. Were the rule the mean, an update on probation would weigh a
//! quarter of its share. A withstands f. S withstands f less the members it leaves out that were struck
//! when they were last judged, which are likely to be some of the f, and at least half of f, since a
//! strike is no proof. Were it all of f, S could rest on a single one of those that are left.
//!
//! Where those that are not on probation are too few for the rule, A stands, and probation is in
//! the record alone.

use fedledger_ledger::entry::Standing;
use fedledger_ledger::task::AggregationRule;
use rayon::prelude::*;

use super::admission::{Admission, Line, Place};
use super::round_aggregate::RoundAggregate;
use super::weights::{weighs, PROBATION_DIVISOR};
use crate::aggregate::{check_precondition, Terms};
use crate::integer::div_half_even;

/// Columns that one thread works on at a time.
const COLUMNS: usize = 1 << 14;

/// Of so many parts all but one are those of the members that are not on probation.
const QUARTERS: i64 = PROBATION_DIVISOR as i64;

impl Admission {
    /// Whether the aggregate leans towards that of the members that are not on probation.
    fn leans(&self, rule: &AggregationRule) -> bool {
        let standing = self.standing().count();
        !weighs(rule)
            && standing < self.admitted()
            && check_precondition(rule, standing, self.byzantine_standing()).is_ok()
    }

    /// How many of the members that are not on probation the rule is to withstand: f less those on
    /// probation that were just struck, at least half of f.
    fn byzantine_standing(&self) -> usize {
        let f = self.byzantine();
        let admitted = self.lines.iter().filter(|line| line.place == Place::Admitted);
        let struck = admitted.filter(|line| is_on_probation(line) && was_struck(line));
        f.saturating_sub(struck.count()).max(f.div_ceil(2))
    }

    /// Leans `all`, the rule's aggregate of all updates that enter.
    pub(super) fn lean(&self, rule: &AggregationRule, all: &mut RoundAggregate, seed: u64) {
        if !self.leans(rule) {
            return;
        }
        let rows: Vec<usize> = self.standing().collect();
        let weights = vec![1; rows.len()];
        let terms = Terms { f: self.byzantine_standing(), weights: &weights, start: None, seed };
        let standing = self.aggregate_some(rule, &rows, &terms);
        let standing = standing.expect("precondition, weights and ranges were checked");
        let standing = RoundAggregate::new(standing, &weights, false);
        lean_values(&mut all.values, &standing.values);
        lean_record(all, &rows, &standing);
        all.probation_weighs = true;
    }

    /// The rows that enter of members that are not on probation, by member id.
    fn standing(&self) -> impl Iterator<Item = usize> + '_ {
        let lines = self.lines.iter().filter(|line| line.place == Place::Admitted);
        lines
            .filter(|line| !is_on_probation(line))
            .map(|line| line.row.expect("what is admitted has a row"))
    }
}

fn lean_values(all: &mut [i32], standing: &[i32]) {
    let pairs = all.par_iter_mut().zip(standing).with_min_len(COLUMNS);
    pairs.for_each(|(all, &standing)| {
        let mean = div_half_even(i128::from(quarters(standing, *all)), i128::from(QUARTERS));
        *all = i32::try_from(mean).expect("a mean lies between what it averages");
    });
}

/// An update was used as far as the two parts of the aggregate used it, and weighs as in both
/// together; the score stays the one among all. `rows` are those of `standing`.
fn lean_record(all: &mut RoundAggregate, rows: &[usize], standing: &RoundAggregate) {
    let mut of_standing = rows.iter().zip(standing.uses.iter().zip(&standing.weights_micro));
    let mut next = of_standing.next();
    let records = all.uses.iter_mut().zip(&mut all.weights_micro);
    for (row, (used, weight_micro)) in records.enumerate() {
        let (selected, share, weight) = match next {
            Some((&at, (used, &weight))) if at == row => {
                next = of_standing.next();
                (used.selected, used.used_share_micro, weight)
            }
            _ => (false, 0, 0),
        };
        used.selected |= selected;
        let share = quarters(share, used.used_share_micro);
        used.used_share_micro = div_half_even(i128::from(share), i128::from(QUARTERS)) as u32;
        *weight_micro = (quarters(weight, *weight_micro) / QUARTERS) as u32;
    }
}

/// `3·standing + all`.
fn quarters(standing: impl Into<i64>, all: impl Into<i64>) -> i64 {
    (QUARTERS - 1) * standing.into() + all.into()
}

pub(super) fn is_on_probation(line: &Line) -> bool {
    line.submission.trust.standing == Standing::Probation
}

fn was_struck(line: &Line) -> bool {
    line.submission.trust.strikes > 0
}

#[cfg(test)]
mod tests;
