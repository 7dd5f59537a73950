//! When an attack acts, and how hard: a strength from 0 to 1 for each round.
//!
//! Every attack takes its strength from here, so that a ramp, an on-off pattern or a strike after a
//! long honest record is a schedule and no attack of its own. At strength 0 a hostile member submits
//! what it would submit if it were honest.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The schedule of a coalition.
///
/// Strength is `peak` × the ramp's share, 0 outside `from` to `until` and in the quiet part of each
/// period. Trust-then-strike is a late `from` without a ramp; a silent drift is a long `ramp`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// First hostile round, from 1. All rounds before it build trust.
    pub from: u64,
    /// Rounds in which the strength rises in equal steps to its peak, the first step in `from`; 0
    /// and 1 begin at the peak.
    pub ramp: u64,
    /// Last hostile round; the end of the task when absent.
    pub until: Option<u64>,
    /// Length of an on-off period in rounds, counted from `from`; 0 and 1 are always on.
    pub period: u64,
    /// Share of each period that is hostile, at its beginning, rounded up to rounds; above 0 to 1.
    pub duty: f64,
    /// Strength once the ramp is over; above 0 to 1.
    pub peak: f64,
    /// Rounds by which each further member of the coalition begins later than the one before: the
    /// rate at which sybils join.
    pub stagger: u64,
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum ScheduleError {
    /// Rounds are counted from 1.
    #[error("`from` is 0: expected the number of a round, from 1")]
    From,
    /// It ends before it begins.
    #[error("`until` is {until}: expected at least `from`, which is {from}")]
    Until {
        /// First hostile round.
        from: u64,
        /// Last hostile round.
        until: u64,
    },
    /// A share that is none.
    #[error("`{field}` is {found}: expected above 0 and at most 1")]
    Share {
        /// `duty` or `peak`.
        field: &'static str,
        /// Value given.
        found: f64,
    },
}

impl Default for Schedule {
    fn default() -> Self {
        Self { from: 1, ramp: 0, until: None, period: 0, duty: 1.0, peak: 1.0, stagger: 0 }
    }
}

impl Schedule {
    /// Strength, 0 to 1, of the member with `rank` in its coalition (from 0) in `round` (from 1).
    pub fn strength(&self, round: u64, rank: usize) -> f64 {
        let from = self.from.saturating_add(self.stagger.saturating_mul(rank as u64));
        if round < from || self.until.is_some_and(|until| round > until) {
            return 0.0;
        }
        let past = round - from;
        if self.period > 1 {
            let on = (self.period as f64 * self.duty).ceil() as u64;
            if past % self.period >= on {
                return 0.0;
            }
        }
        let share = if past + 1 >= self.ramp { 1.0 } else { (past + 1) as f64 / self.ramp as f64 };
        self.peak * share
    }

    /// Refuses a schedule that cannot be meant.
    ///
    /// # Errors
    /// When a share is out of range, or it ends before it begins.
    pub fn check(&self) -> Result<(), ScheduleError> {
        if self.from == 0 {
            return Err(ScheduleError::From);
        }
        if let Some(until) = self.until.filter(|&until| until < self.from) {
            return Err(ScheduleError::Until { from: self.from, until });
        }
        for (field, found) in [("duty", self.duty), ("peak", self.peak)] {
            if !(found > 0.0 && found <= 1.0) {
                return Err(ScheduleError::Share { field, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Schedule, ScheduleError};

    fn strengths(schedule: Schedule, rounds: u64, rank: usize) -> Vec<f64> {
        (1..=rounds).map(|round| schedule.strength(round, rank)).collect()
    }

    #[test]
    fn rounds_have_the_strength_that_the_fields_say() {
        let always = Schedule::default();
        assert_eq!(strengths(always, 3, 2), [1.0, 1.0, 1.0]);
        let ramp = Schedule { from: 3, ramp: 4, until: Some(7), peak: 0.5, ..always };
        assert_eq!(strengths(ramp, 8, 0), [0.0, 0.0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.0]);
        let on_off = Schedule { from: 2, period: 4, duty: 0.3, ..always };
        assert_eq!(strengths(on_off, 8, 0), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        let joining = Schedule { from: 2, stagger: 2, ..always };
        assert_eq!(strengths(joining, 5, 1), [0.0, 0.0, 0.0, 1.0, 1.0]);
        // Nothing overflows at the ends of the range.
        let late = Schedule { from: u64::MAX, stagger: u64::MAX, ramp: u64::MAX, ..always };
        assert_eq!(late.strength(u64::MAX - 1, usize::MAX), 0.0);
    }

    #[test]
    fn impossible_schedules_are_refused() {
        let good = Schedule::default();
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Schedule { from: 0, ..good }.check(), Err(ScheduleError::From));
        let backwards = Schedule { from: 5, until: Some(4), ..good };
        assert_eq!(backwards.check(), Err(ScheduleError::Until { from: 5, until: 4 }));
        for duty in [0.0, -0.1, 1.01, f64::NAN] {
            let error = Schedule { duty, ..good }.check().expect_err("no share");
            assert!(error.to_string().starts_with("`duty` is "), "{error}");
        }
        assert!(Schedule { peak: 0.0, ..good }.check().is_err());
    }
}
