//! Rounds: `commit → reveal → (propose → evaluate) → decide`, moved only by what blocks hold and
//! by their time. Every phase has a deadline, and what happens at the deadline leads to the next
//! phase or the next round, so no round waits for ever.

mod advance;
mod finish;
mod notice;
mod recovery;
mod release;
mod scores;
mod submit;
#[cfg(test)]
mod tests;

use fedledger_ledger::entry::{EntryBody, Phase};
use fedledger_ledger::ids::{RoundNumber, TaskId, TimeMs};
use fedledger_ledger::state::StateRead;
use fedledger_ledger::task::TaskSpec;

use crate::context::Context;
use crate::records::{RoundRecord, TaskProgress, TaskStatus};
use crate::state::StateView;
use crate::state_key;

use advance::fail;
pub(crate) use advance::{advance, enter_evaluate};
pub use finish::median_norm;
pub(crate) use finish::{finish, Origin};
pub use notice::NOTICE_BASELINES;
pub(crate) use recovery::{check_roll_back, roll_back};
pub(crate) use release::release;
pub use scores::check_scores;
pub use submit::update_revealed;
pub(crate) use submit::{apply_submission, record_equivocation};

/// When the next phase of any running task ends at the latest, in block time; nothing when no task
/// is running. A block may be empty from then on.
pub fn next_deadline(state: &dyn StateRead) -> Option<TimeMs> {
    let view = StateView::new(state);
    let tasks = view.tasks_running();
    tasks.iter().filter_map(|task| view.round(task)).map(|round| round.deadline).min()
}

/// Adds a task to the state and opens its first round.
pub(crate) fn start_task(context: &mut Context<'_>, spec: &TaskSpec) {
    let progress = TaskProgress {
        status: TaskStatus::Running,
        round: RoundNumber(1),
        model: spec.initial_model,
        aggregate: None,
        aggregated: 0,
        norms: Vec::new(),
        rounds_added: 0,
    };
    context.state.list_insert(state_key::TASKS, spec.id.clone());
    context.state.list_insert(state_key::TASKS_RUNNING, spec.id.clone());
    context.state.put(&state_key::task_spec(&spec.id), spec);
    open(context, spec, &progress);
}

/// Opens the round that `progress` names, and writes `progress`. While rounds wait to be replayed,
/// the round is a replay of the first of them and takes no commitments.
fn open(context: &mut Context<'_>, spec: &TaskSpec, progress: &TaskProgress) {
    let commit_deadline = context.time.after(spec.commit_window_ms);
    let round = RoundRecord {
        round: progress.round,
        phase: Phase::Commit,
        opened: context.time,
        deadline: commit_deadline,
        base_model: progress.model,
        commitments: 0,
        reveals: 0,
        evaluations: 0,
        roster: Vec::new(),
        quarantined_absent: 0,
        candidates: Vec::new(),
        chosen: None,
        harm: None,
        returning: None,
        replays: None,
    };
    context.state.put(&state_key::task_progress(&spec.id), progress);
    context.record(EntryBody::RoundOpened {
        task: spec.id.clone(),
        round: progress.round,
        base_model: progress.model,
        commit_deadline,
    });
    let round = recovery::replayed(context, spec, round);
    context.state.put(&state_key::round(&spec.id), &round);
}

/// Fewest usable updates that a round goes on with: `updates_min`, less those of the f that are
/// known. `suspects` counts the members in quarantine and those proved faulty in this round; they
/// are part of the f that the rule is to withstand, so without them it has fewer to withstand.
pub(crate) fn updates_needed(updates_min: usize, f: usize, suspects: usize) -> usize {
    updates_min.saturating_sub(suspects.min(f))
}

/// A running task with its open round.
pub(crate) fn running(
    state: &StateView<'_>,
    task: &TaskId,
) -> Option<(TaskSpec, TaskProgress, RoundRecord)> {
    let round = state.round(task)?;
    let spec = state.task_spec(task).expect("a running task has a specification");
    let progress = state.task_progress(task).expect("a running task has made some way");
    Some((spec, progress, round))
}
