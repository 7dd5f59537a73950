//! Going back to an earlier model, and replaying what came after without those who spoiled it.
//!
//! Rounds that led to a model leave a record of what their decision rested on. When the consortium
//! votes to roll a task back ([`Change::RollBack`]), the open round fails, the model of the last
//! good round stands again, and, if the vote says so, the rounds after it are decided once more, in
//! their order and from that model on, on the very updates that were committed to then, less those
//! of the members that the vote names, that are in quarantine by now, or that are suspended. Each
//! is a round of its own, with a number, verdicts and an outcome on the ledger; none moves trust or
//! history, since its updates were judged in their time.
//!
//! Honest updates were trained from models that the culprits had bent, and partly bend back: a
//! replayed model is a start for the rounds that follow, no more. (FedRecover, Cao, Jia, Zhang and
//! Gong, IEEE S&P 2023, estimates what they would have sent; here only what was signed enters.)
//!
//! [`Change::RollBack`]: fedledger_ledger::governance::Change::RollBack

use fedledger_ledger::decision::{OutcomeResult, RoundFailure, UpdateVerdict};
use fedledger_ledger::entry::{EntryBody, Phase, Standing};
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};
use fedledger_ledger::limits::ROUNDS_KEPT_MAX;
use fedledger_ledger::task::TaskSpec;

use super::{fail, finish::median_norm, open};
use crate::change_check::ChangeFault;
use crate::context::Context;
use crate::judge::NORM_ROUNDS;
use crate::records::{PastRound, ReplayPlan, RosterLine, RoundRecord, TaskProgress, TaskStatus};
use crate::state::StateView;
use crate::state_key;

/// Where a task would stand after going back.
struct Earlier {
    model: Digest,
    aggregate: Option<Digest>,
    norms: Vec<u64>,
    /// How many of the task's rounds it had had by then.
    counted: u64,
    /// The rounds after it that led to a model.
    undone: Vec<RoundNumber>,
}

/// Where `task` stood after `round`.
fn earlier(
    state: &StateView<'_>,
    task: &TaskId,
    round: RoundNumber,
) -> Result<Earlier, ChangeFault> {
    let progress =
        state.task_progress(task).ok_or_else(|| ChangeFault::UnknownTask { task: task.clone() })?;
    let kept: Vec<RoundNumber> = state.list(&state_key::past_rounds(task));
    let (before, undone): (Vec<_>, Vec<_>) = kept.iter().partition(|number| **number <= round);
    let (Some(first), Some(next)) = (kept.first(), undone.first()) else {
        return Err(ChangeFault::NothingToUndo { task: task.clone(), round });
    };
    // The model before the first round that is kept is known, the ones before that are not.
    let is_all_kept = progress.aggregated == kept.len() as u64;
    if before.is_empty() && !is_all_kept && round.next() < *first {
        return Err(ChangeFault::RoundNotKept { task: task.clone(), round, first: *first });
    }
    let record = |number: &RoundNumber| {
        state.past_round(task, *number).expect("a listed round has a record")
    };
    let model = record(next).base_model;
    let last = before.last().map(record);
    let from = before.len().saturating_sub(NORM_ROUNDS);
    let norms = before[from..].iter().filter_map(|number| record(number).norm).collect();
    let aggregate = last.as_ref().map(|past| past.aggregate);
    let counted = last.map_or(0, |past| past.counted);
    Ok(Earlier { model, aggregate, norms, counted, undone })
}

/// Checks that a task can go back to where it stood after `round`.
pub(crate) fn check_roll_back(
    state: &StateView<'_>,
    task: &TaskId,
    round: RoundNumber,
    without: &[MemberId],
) -> Result<(), ChangeFault> {
    earlier(state, task, round)?;
    if state.replay_plan(task).is_some() {
        return Err(ChangeFault::ReplayGoesOn { task: task.clone() });
    }
    match without.iter().find(|member| state.member(member).is_none()) {
        Some(member) => Err(ChangeFault::UnknownMember { member: member.clone() }),
        None => Ok(()),
    }
}

/// Takes a task back to where it stood after `round`, and opens the first round from there.
pub(crate) fn roll_back(
    context: &mut Context<'_>,
    task: &TaskId,
    round: RoundNumber,
    without: &[MemberId],
    replay: bool,
) {
    let earlier = earlier(&context.state, task, round).expect("the change was checked");
    let before = context.state.task_progress(task).expect("the change was checked");
    let spec = context.state.task_spec(task).expect("a task has a specification");
    let aggregated = before.aggregated - earlier.undone.len() as u64;
    let progress = TaskProgress {
        status: TaskStatus::Running,
        model: earlier.model,
        aggregate: earlier.aggregate,
        norms: earlier.norms,
        aggregated,
        rounds_added: before.round.0 - earlier.counted,
        ..before.clone()
    };
    if replay {
        let plan = ReplayPlan { rounds: earlier.undone, without: without.to_vec() };
        context.state.put(&state_key::replay_plan(task), &plan);
    } else {
        earlier.undone.iter().for_each(|number| forget(context, task, *number));
    }
    context.state.put(&state_key::task_progress(task), &progress);
    if before.status == TaskStatus::Running {
        let open = context.state.round(task).expect("a running task has an open round");
        fail(context, task, &open, RoundFailure::RolledBack);
    } else {
        context.state.list_insert(state_key::TASKS_RUNNING, task.clone());
        let progress = TaskProgress { round: progress.round.next(), ..progress };
        open(context, &spec, &progress);
    }
}

fn forget(context: &mut Context<'_>, task: &TaskId, round: RoundNumber) {
    context.state.remove(&state_key::past_round(task, round));
    context.state.list_remove(&state_key::past_rounds(task), &round);
}

/// Keeps what the decision of a round rested on, when it led to a model.
pub(super) fn keep(
    context: &mut Context<'_>,
    (task, progress): (&TaskId, &TaskProgress),
    round: &RoundRecord,
    result: &OutcomeResult,
    verdicts: &[UpdateVerdict],
) {
    let OutcomeResult::Aggregated { chosen, .. } = result else { return };
    let past = PastRound {
        base_model: round.base_model,
        aggregate: chosen.aggregate,
        model: chosen.model,
        norm: median_norm(verdicts),
        counted: round.round.0 - progress.rounds_added,
        roster: round.roster.clone(),
    };
    context.state.put(&state_key::past_round(task, round.round), &past);
    let list = state_key::past_rounds(task);
    context.state.list_insert(&list, round.round);
    // What waits to be replayed stays until it was.
    let waiting = context.state.replay_plan(task).map_or_else(Vec::new, |plan| plan.rounds);
    let kept: Vec<RoundNumber> = context.state.list(&list);
    let surplus = kept.len().saturating_sub(ROUNDS_KEPT_MAX);
    let oldest = kept.into_iter().filter(|number| !waiting.contains(number)).take(surplus);
    oldest.collect::<Vec<_>>().into_iter().for_each(|number| forget(context, task, number));
}

/// The next round as a replay of an earlier one, when one waits for it: `round` as it would open
/// for commitments, in the phase in which it is decided. Records which one it replays.
pub(super) fn replayed(
    context: &mut Context<'_>,
    spec: &TaskSpec,
    round: RoundRecord,
) -> RoundRecord {
    let Some(mut plan) = context.state.replay_plan(&spec.id) else { return round };
    let of = plan.rounds.remove(0);
    let past = context.state.past_round(&spec.id, of).expect("what waits is kept");
    forget(context, &spec.id, of);
    let left_out = |line: &RosterLine| {
        let trust = context.state.trust(&spec.id, &line.member);
        let member = context.state.member_shared(&line.member);
        plan.without.contains(&line.member)
            || trust.standing == Standing::Quarantine
            || member.is_none_or(|member| !member.is_active())
    };
    let (without, roster): (Vec<RosterLine>, Vec<RosterLine>) =
        past.roster.into_iter().partition(left_out);
    if plan.rounds.is_empty() {
        context.state.remove(&state_key::replay_plan(&spec.id));
    } else {
        context.state.put(&state_key::replay_plan(&spec.id), &plan);
    }
    context.record(EntryBody::RoundReplayed {
        task: spec.id.clone(),
        round: round.round,
        of,
        without: without.iter().map(|line| line.member.clone()).collect(),
    });
    RoundRecord {
        phase: Phase::Decide,
        deadline: context.time.after(spec.decide_window_ms),
        quarantined_absent: without.len() as u32,
        roster,
        replays: Some(of),
        ..round
    }
}

#[cfg(test)]
mod tests;
