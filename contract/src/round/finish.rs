//! The end of a round: verdicts, outcome, trust, and what comes next.

use std::collections::BTreeSet;

use fedledger_ledger::decision::{
    Deviation, Measure, OutcomeResult, Reason, RoundFailure, UpdateVerdict, Verdict,
};
use fedledger_ledger::entry::{EntryBody, Standing, TrustCause};
use fedledger_ledger::ids::{MemberId, RoundNumber, TaskId};
use fedledger_ledger::task::{TaskSpec, TrustPolicy};

use super::recovery::keep;
use super::release::{forget_released, released};
use super::{open, running};
use crate::context::Context;
use crate::integer::median_u64;
use crate::judge::NORM_ROUNDS;
use crate::records::{RoundRecord, TaskProgress, TaskStatus, TrustRecord};
use crate::state_key;
use crate::trust::{after_round_all, mark_of};

/// Who ended a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// A decision in a block, which says itself when there are too many suspects, with what it
    /// adds to the members' histories.
    Decision(Option<&'a [Deviation]>),
    /// A deadline.
    Clock,
}

/// Ends the open round with an outcome and one verdict for each commitment, and opens the next one
/// or ends the task.
pub(crate) fn finish(
    context: &mut Context<'_>,
    task: &TaskId,
    result: OutcomeResult,
    verdicts: &[UpdateVerdict],
    origin: Origin<'_>,
) {
    let (spec, progress, round) =
        running(&context.state, task).expect("only an open round is finished");
    // The updates of a round that is replayed were judged in their time.
    let policy = spec.trust.as_ref().filter(|_| round.replays.is_none());
    let moves = policy.map(|policy| trust_moves(context, &spec, policy, verdicts));
    let (moves, too_many) = moves.unwrap_or_default();
    let result = match origin {
        Origin::Clock if too_many => {
            OutcomeResult::Failed { failure: RoundFailure::TooManySuspects }
        }
        _ => result,
    };
    for verdict in verdicts {
        record_verdict(context, task, round.round, verdict);
    }
    context.record(EntryBody::RoundOutcome {
        task: task.clone(),
        round: round.round,
        result: result.clone(),
    });
    let is_back = |one: &&TrustMove| one.3 == TrustCause::Returned;
    let returned = moves.iter().filter(is_back).map(|one| one.0.clone()).collect();
    for (member, before, after, cause) in moves {
        write_trust(context, (task, round.round), &member, (before, after), cause);
    }
    if let Origin::Decision(Some(deviations)) = origin {
        remember(context, &spec, &round, deviations, &returned);
    }
    forget_released(context, task);
    keep(context, (task, &progress), &round, &result, verdicts);
    clear_round(context, task);
    let progress = after_outcome(progress, &result, verdicts);
    go_on(context, &spec, progress, &result);
}

fn record_verdict(
    context: &mut Context<'_>,
    task: &TaskId,
    round: RoundNumber,
    verdict: &UpdateVerdict,
) {
    let log_index = context.record(EntryBody::UpdateVerdict {
        task: task.clone(),
        round,
        verdict: verdict.clone(),
    });
    let state = &mut context.state;
    let k = state.count_up(&state_key::verdict_count(&verdict.member));
    state.put(&state_key::verdict_at(&verdict.member, k), &log_index);
    state.count_up(&state_key::verdict_kind_count(&verdict.member, verdict.verdict));
}

type TrustMove = (MemberId, TrustRecord, TrustRecord, TrustCause);

/// How the verdicts move trust, and whether too many members would be in quarantine. Who was released
/// since the roster was written stands as the vote left it.
fn trust_moves(
    context: &Context<'_>,
    spec: &TaskSpec,
    policy: &TrustPolicy,
    verdicts: &[UpdateVerdict],
) -> (Vec<TrustMove>, bool) {
    let state = &context.state;
    let released = released(context, &spec.id);
    let verdicts = || verdicts.iter().filter(|verdict| !released.contains(&verdict.member));
    let marked: Vec<_> = verdicts()
        .map(|verdict| {
            let commitment = state.commitment(&spec.id, &verdict.member);
            let contradicted = commitment.is_some_and(|record| record.contradiction.is_some());
            (state.trust(&spec.id, &verdict.member), mark_of(verdict, contradicted))
        })
        .collect();
    let judged = |id: &MemberId| verdicts().any(|verdict| verdict.member == *id);
    let others = state
        .active_members()
        .iter()
        .map(|member| &member.spec.id)
        .filter(|id| !judged(id) && state.trust(&spec.id, id).standing == Standing::Quarantine)
        .count();
    let f = spec.byzantine as usize;
    let (after, too_many) = after_round_all(&marked, policy, f, others);
    let moves = verdicts().zip(marked).zip(after);
    let moves = moves.map(|((verdict, (before, _)), (after, cause))| {
        (verdict.member.clone(), before, after, cause)
    });
    (moves.collect(), too_many)
}

/// Writes a trust record, and an entry when trust or standing moved.
pub(super) fn write_trust(
    context: &mut Context<'_>,
    (task, round): (&TaskId, RoundNumber),
    member: &MemberId,
    (before, after): (TrustRecord, TrustRecord),
    cause: TrustCause,
) {
    context.state.put(&state_key::trust(task, member), &after);
    if (before.trust_micro, before.standing) == (after.trust_micro, after.standing) {
        return;
    }
    context.record(EntryBody::TrustChanged {
        task: task.clone(),
        round,
        member: member.clone(),
        old_micro: before.trust_micro,
        new_micro: after.trust_micro,
        old_standing: before.standing,
        new_standing: after.standing,
        cause,
    });
}

/// Adds a round to the members' histories. Who is struck for them stands in the verdicts already;
/// `returned` are those that left quarantine with it.
fn remember(
    context: &mut Context<'_>,
    spec: &TaskSpec,
    round: &RoundRecord,
    deviations: &[Deviation],
    returned: &BTreeSet<MemberId>,
) {
    let Some(mut past) = context.state.past(spec) else { return };
    let lines = round.roster.iter();
    let in_quarantine = lines
        .filter(|line| line.trust.standing == Standing::Quarantine)
        .map(|line| line.member.clone())
        .collect();
    let before = past.members.clone();
    past.advance(deviations, &in_quarantine, spec.byzantine as usize);
    past.weigh(round.harm.as_ref(), &in_quarantine);
    past.weigh_return(round.returning.as_ref(), &in_quarantine);
    past.rebase(returned, &in_quarantine);
    let moved = past.members.iter().filter(|(id, history)| before.get(*id) != Some(*history));
    for (member, history) in moved {
        context.state.put(&state_key::history(&spec.id, member), history);
    }
}

fn clear_round(context: &mut Context<'_>, task: &TaskId) {
    for id in context.state.member_ids().iter() {
        if context.state.commitment(task, id).is_some() {
            context.state.remove(&state_key::commitment(task, id));
        }
        if context.state.evaluation(task, id).is_some() {
            context.state.remove(&state_key::evaluation(task, id));
        }
    }
}

fn after_outcome(
    progress: TaskProgress,
    result: &OutcomeResult,
    verdicts: &[UpdateVerdict],
) -> TaskProgress {
    let OutcomeResult::Aggregated { chosen, .. } = result else { return progress };
    let mut norms = progress.norms;
    norms.extend(median_norm(verdicts));
    let surplus = norms.len().saturating_sub(NORM_ROUNDS);
    norms.drain(..surplus);
    TaskProgress {
        model: chosen.model,
        aggregate: Some(chosen.aggregate),
        aggregated: progress.aggregated + 1,
        norms,
        ..progress
    }
}

/// The median of the norms of the updates that were admitted, as their members sent them.
pub fn median_norm(verdicts: &[UpdateVerdict]) -> Option<u64> {
    let admitted = |verdict: &&UpdateVerdict| {
        verdict.verdict != Verdict::Quarantine
            && !matches!(verdict.reason, Reason::NormTooLarge | Reason::NormTooSmall)
    };
    let norm_of = |verdict: &UpdateVerdict| {
        verdict
            .measures
            .iter()
            .find(|(measure, _)| *measure == Measure::Norm)
            .map(|(_, norm)| *norm)
    };
    let norms: Vec<u64> = verdicts.iter().filter(admitted).filter_map(norm_of).collect();
    median_u64(&norms)
}

/// Opens the next round, or ends the task.
fn go_on(
    context: &mut Context<'_>,
    spec: &TaskSpec,
    progress: TaskProgress,
    result: &OutcomeResult,
) {
    let frozen = *result == OutcomeResult::Failed { failure: RoundFailure::TooManySuspects };
    if !frozen && progress.round.0 < spec.rounds.saturating_add(progress.rounds_added) {
        let progress = TaskProgress { round: progress.round.next(), ..progress };
        open(context, spec, &progress);
        return;
    }
    let status = if frozen { TaskStatus::Frozen } else { TaskStatus::Completed };
    let progress = TaskProgress { status, ..progress };
    context.state.put(&state_key::task_progress(&spec.id), &progress);
    context.state.remove(&state_key::round(&spec.id));
    context.state.list_remove(state_key::TASKS_RUNNING, &spec.id);
    context.record(EntryBody::TaskEnded { task: spec.id.clone(), model: progress.model, frozen });
}
