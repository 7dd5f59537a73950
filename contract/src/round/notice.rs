//! A member's notice that its data have changed: a new scanner, another population.
//!
//! The member says so before it commits. Its history begins anew, so that the change is not held
//! against it, and it is on probation until it has had the usual number of clean rounds, so that a
//! notice is no way to shed a history and go on at full weight. Until the new baseline is complete
//! the task's promise about drift holds for it as little as for a new member; therefore a notice
//! counts once in [`NOTICE_BASELINES`] baselines.

use fedledger_ledger::entry::{Phase, Rejection, Standing, TrustCause};
use fedledger_ledger::ids::{MemberId, RoundNumber, TaskId};

use super::finish::write_trust;
use super::submit::{in_phase, open_round};
use crate::context::Context;
use crate::history::MemberHistory;
use crate::state_key;
use crate::trust::after_notice;

/// From one notice to the next a member's baseline could have been made this many times.
pub const NOTICE_BASELINES: u64 = 4;

/// Carries out a notice of an active member.
pub(crate) fn announce(
    context: &mut Context<'_>,
    member: &MemberId,
    task: &TaskId,
    round: RoundNumber,
) -> Result<(), Rejection> {
    let open = open_round(context, task, round)?;
    // Decisions rest on histories, which therefore stand still from the first reveal on.
    in_phase(&open, Phase::Commit)?;
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    let Some(policy) = spec.history else { return Err(Rejection::NoHistory) };
    let before = context.state.trust(task, member);
    if before.standing == Standing::Quarantine {
        return Err(Rejection::InQuarantine);
    }
    let wait = NOTICE_BASELINES * u64::from(policy.settle_rounds + policy.baseline_rounds);
    if let Some(last) = context.state.notice(task, member) {
        if round.0 < last.0 + wait {
            return Err(Rejection::AnnouncedTooSoon { from: RoundNumber(last.0 + wait) });
        }
    }
    context.state.put(&state_key::notice(task, member), &round);
    let key = state_key::history(task, member);
    match context.state.get::<MemberHistory>(&key).and_then(|history| history.anew()) {
        Some(anew) => context.state.put(&key, &anew),
        None => context.state.remove(&key),
    }
    let after = after_notice(before);
    write_trust(context, (task, round), member, (before, after), TrustCause::DataChanged);
    Ok(())
}

#[cfg(test)]
mod tests;
