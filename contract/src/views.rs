//! Answers to questions about the state, for interfaces: plain data that serialises.

use fedledger_ledger::decision::Verdict;
use fedledger_ledger::ids::{Digest, MemberId, Nonce, TaskId};
use fedledger_ledger::state::StateRead;
use fedledger_ledger::task::TaskSpec;
use serde::Serialize;

use crate::records::{
    ChainHead, ChangeRecord, CommitmentRecord, EvaluationRecord, MemberRecord, RoundRecord,
    TaskProgress, TrustRecord,
};
use crate::state::StateView;
use crate::state_key;

/// Where the chain and its log stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainView {
    /// Height, time, ledger and genesis.
    pub head: ChainHead,
    /// Number of entries in the log.
    pub log_size: u64,
    /// Root of the log.
    pub log_root: Digest,
}

/// A member with its counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// The member and its keys.
    pub member: MemberRecord,
    /// The nonce of its next transaction.
    pub next_nonce: Nonce,
    /// Number of its commitments ever accepted.
    pub updates: u64,
    /// Number of verdicts ever given on its updates.
    pub verdicts: VerdictCounts,
}

/// How often each verdict was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct VerdictCounts {
    /// Entered as it was.
    pub accept: u64,
    /// Entered scaled down.
    pub clip: u64,
    /// Entered with less weight.
    pub down_weight: u64,
    /// Did not enter.
    pub reject: u64,
    /// Scored only.
    pub quarantine: u64,
}

/// A task and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// The task as it was created.
    pub spec: TaskSpec,
    /// How far it has come.
    pub progress: TaskProgress,
}

/// The open round of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoundView {
    /// The task.
    pub task: TaskId,
    /// Phase, deadline, base model, candidates.
    pub round: RoundRecord,
    /// Commitments by member id.
    pub commitments: Vec<(MemberId, CommitmentRecord)>,
    /// Evaluations by member id.
    pub evaluations: Vec<(MemberId, EvaluationRecord)>,
}

/// One member's trust in one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrustView {
    /// The member.
    pub member: MemberId,
    /// Its trust and standing.
    pub trust: TrustRecord,
}

/// Where the chain and its log stand; nothing before genesis.
pub fn chain(state: &dyn StateRead) -> Option<ChainView> {
    let view = StateView::new(state);
    let frontier = view.log_frontier();
    let (log_size, log_root) = (frontier.size(), frontier.root());
    view.chain_head().map(|head| ChainView { head, log_size, log_root })
}

/// Every member ever admitted, by id.
pub fn members(state: &dyn StateRead) -> Vec<MemberView> {
    let view = StateView::new(state);
    view.members().into_iter().map(|member| member_view(&view, member)).collect()
}

/// One member.
pub fn member(state: &dyn StateRead, id: &MemberId) -> Option<MemberView> {
    let view = StateView::new(state);
    view.member(id).map(|member| member_view(&view, member))
}

fn member_view(view: &StateView<'_>, member: MemberRecord) -> MemberView {
    let id = &member.spec.id;
    let count = |verdict| view.counter(&state_key::verdict_kind_count(id, verdict));
    MemberView {
        next_nonce: view.nonce(id).next(),
        updates: view.counter(&state_key::update_count(id)),
        verdicts: VerdictCounts {
            accept: count(Verdict::Accept),
            clip: count(Verdict::Clip),
            down_weight: count(Verdict::DownWeight),
            reject: count(Verdict::Reject),
            quarantine: count(Verdict::Quarantine),
        },
        member,
    }
}

/// Every task, by id.
pub fn tasks(state: &dyn StateRead) -> Vec<TaskView> {
    let ids = StateView::new(state).tasks();
    ids.iter().filter_map(|id| task(state, id)).collect()
}

/// One task.
pub fn task(state: &dyn StateRead, id: &TaskId) -> Option<TaskView> {
    let view = StateView::new(state);
    Some(TaskView { spec: view.task_spec(id)?, progress: view.task_progress(id)? })
}

/// The open round of a task; nothing when it is not running. Rounds that are over are in the log.
pub fn round(state: &dyn StateRead, task: &TaskId) -> Option<RoundView> {
    let view = StateView::new(state);
    let round = view.round(task)?;
    let evaluations = view.members().into_iter().map(|member| member.spec.id);
    let evaluations = evaluations
        .filter_map(|id| view.evaluation(task, &id).map(|record| (id, record)))
        .collect();
    let commitments = view.commitments(task);
    Some(RoundView { task: task.clone(), round, commitments, evaluations })
}

/// The trust of every member in a task, by member id.
pub fn trust(state: &dyn StateRead, task: &TaskId) -> Vec<TrustView> {
    let view = StateView::new(state);
    let members = view.members().into_iter().map(|member| member.spec.id);
    members.map(|member| TrustView { trust: view.trust(task, &member), member }).collect()
}

/// The changes that wait for approval, with their digests, by digest.
pub fn changes(state: &dyn StateRead) -> Vec<(Digest, ChangeRecord)> {
    let view = StateView::new(state);
    let digests = view.changes().into_iter();
    digests.filter_map(|d| view.get(&state_key::change(&d)).map(|record| (d, record))).collect()
}
