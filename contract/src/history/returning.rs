//! Whether members in quarantine may come back although they have not gone back.
//!
//! Honest hospitals that change alike at once leave their baselines together and stay where they
//! are; so do colluders, and nothing in their updates tells one from the other. What their return
//! would do to the model can: evaluators score it with these members' updates mixed in
//! ([`crate::evaluation`]). As long as the mean of that harm is at most the task's `return_micro`, to
//! move together is no strike in quarantine, the usual clean rounds lead out of it, and with the
//! return the member's baseline moves to where it is. From there its history goes on: who drifts
//! further is found again at once.
//!
//! The question is not whether there is any harm, which few samples cannot tell from none, but
//! whether it is of consequence: what is under the limit may come back, hostile or not.

use std::collections::BTreeSet;

use fedledger_ledger::ids::MemberId;
use minicbor::{Decode, Encode};
use serde::Serialize;

use super::track::MemberHistory;
use super::Past;
use crate::integer::div_half_even;
use crate::records::ReturnRecord;

/// The latest round weighs one part in so many in the mean, once there were as many; until then all
/// weigh the same.
pub const RETURN_MEAN: u32 = 10;

/// Rounds with a measurement before it says anything. The third is the first clean one, and with ten
/// of them the member is back after twelve.
pub const RETURN_ROUNDS_MIN: u32 = 3;

/// A round's harm counts for at most so many times the limit either way, so that one of much use does
/// not hide ten of harm.
const ROUND_LIMITS: i64 = 5;

/// The least limit of which a round can count so many times, in millionths.
const LIMIT_LEAST: u32 = 1_000;

/// What evaluators measured of a member's return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct ReturnHarm {
    /// In how many rounds.
    #[n(0)]
    pub rounds: u32,
    /// The mean, in millionths of the loss.
    #[n(1)]
    pub mean_micro: i64,
}

impl ReturnHarm {
    /// Adds a round's.
    fn add(&mut self, harm_micro: i64) {
        self.rounds = self.rounds.saturating_add(1);
        let parts = i128::from(self.rounds.min(RETURN_MEAN));
        // Both are within the limit of a record, and a mean lies between what it averages.
        let step = div_half_even(i128::from(harm_micro) - i128::from(self.mean_micro), parts);
        self.mean_micro += step as i64;
    }
}

impl Past {
    /// Of the members in quarantine those whose return evaluators are to measure, by id: those that
    /// the history finds and no harm of theirs keeps there. Nothing when the task does not ask for it
    /// or there is none.
    pub fn returning(&self, quarantined: &BTreeSet<MemberId>) -> Option<Vec<MemberId>> {
        let policy = self.harm.filter(|policy| policy.return_micro.is_some())?;
        let kept = |history: &MemberHistory| {
            history.in_cell < self.policy.rounds_in_a_row
                || history.harm_milli.unwrap_or(0) >= policy.limit_milli / 2
        };
        let known = |id: &&MemberId| self.members.get(*id).is_some_and(|history| !kept(history));
        let cell: Vec<MemberId> = quarantined.iter().filter(known).cloned().collect();
        (!cell.is_empty()).then_some(cell)
    }

    /// Lets what was measured of a return count for its members, once the round was added by
    /// [`Past::advance`]; whoever is not in quarantine begins anew.
    pub fn weigh_return(
        &mut self,
        measured: Option<&ReturnRecord>,
        quarantined: &BTreeSet<MemberId>,
    ) {
        let limit = self.harm.and_then(|policy| policy.return_micro).unwrap_or(0);
        let most = ROUND_LIMITS * i64::from(limit.max(LIMIT_LEAST));
        for (id, history) in &mut self.members {
            if !quarantined.contains(id) {
                history.returning = None;
            } else if let Some(record) = measured.filter(|record| record.cell.contains(id)) {
                let harm_micro = record.harm_micro.clamp(-most, most);
                history.returning.get_or_insert_default().add(harm_micro);
            }
        }
    }

    /// Whether a member's return was measured in enough rounds and is of no consequence.
    pub fn may_return(&self, member: &MemberId) -> bool {
        let limit = self.harm.and_then(|policy| policy.return_micro);
        let measured = self.members.get(member).and_then(|history| history.returning);
        limit.zip(measured).is_some_and(|(limit, measured)| {
            measured.rounds >= RETURN_ROUNDS_MIN && measured.mean_micro <= i64::from(limit)
        })
    }

    /// Moves the baselines of `returned`, members that left quarantine with this round, to where they
    /// are, when that is what they were let back for. `quarantined` are those that were in it.
    pub fn rebase(&mut self, returned: &BTreeSet<MemberId>, quarantined: &BTreeSet<MemberId>) {
        let moved: Vec<MemberId> =
            returned.iter().filter(|id| self.may_return(id)).cloned().collect();
        let Some(centre) = self.centre(quarantined, 0).filter(|_| !moved.is_empty()) else {
            return;
        };
        for id in &moved {
            let history = self.members.get_mut(id).expect("who may return has a history");
            history.rebase(&centre);
            history.returning = None;
        }
    }
}

#[cfg(test)]
mod tests;
