//! The round's aggregate as it would be with members in quarantine back.

use std::collections::BTreeSet;

use fedledger_ledger::ids::MemberId;
use rayon::prelude::*;

use super::admission::{Admission, Place};
use crate::integer::div_half_even;

/// Columns that one thread works on at a time.
const COLUMNS: usize = 1 << 14;

impl Admission {
    /// The members in quarantine whose return the evaluators are to measure; see
    /// [`Past::returning`](crate::history::Past::returning). Of those only whose update is scored.
    pub fn returning(&self) -> Option<Vec<MemberId>> {
        let scored = self.lines.iter().filter(|line| line.place == Place::Shadow);
        let quarantined: BTreeSet<MemberId> =
            scored.map(|line| line.submission.member.clone()).collect();
        self.past.as_ref()?.returning(&quarantined)
    }

    /// `(n·own + Σ q)/(n + k)`, each value rounded half to even: the aggregate `own` of the n updates
    /// that enter, mixed with those q of the k members of `cell`, scaled down to the usual norm, as if
    /// they entered at their share.
    ///
    /// The rule itself is not asked. It may leave the cell out, and then its answer would be the same
    /// with and without it, in this round and not in a later one.
    ///
    /// # Panics
    /// When `own` is not of the updates' length.
    pub fn mixed(&self, own: &[i32], cell: &[MemberId]) -> Vec<i32> {
        assert_eq!(own.len(), self.values.ncols(), "an aggregate is as long as an update");
        let of_cell = self.lines.iter().filter(|line| cell.contains(&line.submission.member));
        let rows: Vec<&[i32]> =
            of_cell.filter_map(|line| line.row).map(|row| self.row(row)).collect();
        let entering = self.admitted() as i64;
        let whole = i128::from(entering + rows.len() as i64).max(1);
        // At most 128 members and values below 2^23: a sum is below 2^30.
        let value = |column: usize| {
            let sum: i64 = rows.iter().map(|row| i64::from(row[column])).sum();
            let mean = div_half_even(i128::from(entering * i64::from(own[column]) + sum), whole);
            i32::try_from(mean).expect("a mean lies between what it averages")
        };
        let columns = (0..own.len()).into_par_iter().with_min_len(COLUMNS);
        columns.map(value).collect()
    }
}

#[cfg(test)]
mod tests;
