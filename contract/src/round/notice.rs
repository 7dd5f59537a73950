//! A member's notice that its data have changed: a new scanner, another population.
//!
//! The member says so before it commits. From then on it is excused: to leave its baseline together with
//! others is no strike, and once as many rounds have passed as a baseline takes, its baseline moves to
//! where it is. Meanwhile it is on probation for the usual clean rounds, and where it does move
//! together with others, which is what an honest group with the same new scanner and four colluders who
//! say that they have one have in common, it is held there, at reduced weight, until it has not for as
//! long, or until the consortium releases it by vote. So a notice is no way to shed a history and go on
//! at full weight. Still, what a member does alone is not compared with its old baseline meanwhile;
//! therefore a notice counts once in [`NOTICE_BASELINES`] baselines. A member whose first baseline is
//! not complete begins anew.

use fedledger_ledger::entry::{Phase, Rejection, Standing, TrustCause};
use fedledger_ledger::ids::{MemberId, RoundNumber, TaskId};

use super::finish::write_trust;
use super::submit::{in_phase, open_round};
use crate::context::Context;
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
    let history = context.state.history(task, member);
    match history.and_then(|history| history.after_notice(&policy)) {
        Some(after) => context.state.put(&key, &after),
        None => context.state.remove(&key),
    }
    let after = after_notice(before);
    write_trust(context, (task, round), member, (before, after), TrustCause::DataChanged);
    Ok(())
}

#[cfg(test)]
mod tests;
