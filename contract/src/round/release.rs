//! Release from quarantine, by a vote of the consortium.
//!
//! The vote says that what was held against the member is settled: its history begins anew, as after
//! a notice, and what evaluators measured of its cells is forgotten too. Otherwise the next round
//! would find the same departure from the same baseline. A decision that is being computed
//! rests on histories that stand still, so during one the release waits for the round's end, and
//! that round, whose roster was written before the vote, moves no trust of the member.

use fedledger_ledger::entry::{Phase, TrustCause};
use fedledger_ledger::ids::{MemberId, RoundNumber, TaskId};

use super::finish::write_trust;
use crate::context::Context;
use crate::state_key;
use crate::trust;

/// Carries out an approved release.
pub(crate) fn release(context: &mut Context<'_>, task: &TaskId, member: &MemberId) {
    let before = context.state.trust(task, member);
    let after = trust::after_release(before);
    let round = context.state.task_progress(task).map_or(RoundNumber(0), |task| task.round);
    write_trust(context, (task, round), member, (before, after), TrustCause::Released);
    if context.state.round(task).is_some_and(|open| open.phase != Phase::Commit) {
        context.state.list_insert(&state_key::released(task), member.clone());
    } else {
        context.state.remove(&state_key::history(task, member));
    }
}

/// The members that were released since the open round's roster was written, by id.
pub(super) fn released(context: &Context<'_>, task: &TaskId) -> Vec<MemberId> {
    context.state.list(&state_key::released(task))
}

/// Lets those members' histories begin anew, at the end of the round.
pub(super) fn forget_released(context: &mut Context<'_>, task: &TaskId) {
    let members = released(context, task);
    if members.is_empty() {
        return;
    }
    for member in &members {
        context.state.remove(&state_key::history(task, member));
    }
    context.state.remove(&state_key::released(task));
}

#[cfg(test)]
mod tests;
