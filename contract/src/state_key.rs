//! The text keys under which the state holds its records. `docs/spec/contract.md` lists them.
//!
//! Ids hold only `a-z`, `0-9` and `-`, so that `/` separates unambiguously.

use fedledger_ledger::decision::Verdict;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};
use fedledger_ledger::keys::PublicKey;

/// [`crate::records::ChainHead`]: height and time of the latest block.
pub const CHAIN_HEAD: &str = "chain/head";
/// `Vec<MemberId>`: every member ever admitted, by id.
pub const MEMBERS: &str = "members";
/// `Vec<TaskId>`: every task ever created, by id.
pub const TASKS: &str = "tasks";
/// `Vec<TaskId>`: the tasks that are running, by id.
pub const TASKS_RUNNING: &str = "tasks/running";
/// `Vec<Digest>`: the changes that wait for approval, by digest.
pub const CHANGES: &str = "changes";

/// [`crate::records::MemberRecord`].
pub fn member(member: &MemberId) -> String {
    format!("member/{member}")
}

/// `Nonce`: the last one that the member used.
pub fn nonce(member: &MemberId) -> String {
    format!("nonce/{member}")
}

/// [`crate::records::KeyUse`]: who has ever used this public key. Keys are never reused.
pub fn public_key(key: &PublicKey) -> String {
    format!("key/{key}")
}

/// `TaskSpec`.
pub fn task_spec(task: &TaskId) -> String {
    format!("task/{task}/spec")
}

/// [`crate::records::TaskProgress`].
pub fn task_progress(task: &TaskId) -> String {
    format!("task/{task}/progress")
}

/// [`crate::records::RoundRecord`] of the open round.
pub fn round(task: &TaskId) -> String {
    format!("task/{task}/round")
}

/// `Vec<RoundNumber>`: the latest rounds that led to a model and can be replayed, in order.
pub fn past_rounds(task: &TaskId) -> String {
    format!("task/{task}/past")
}

/// [`crate::records::PastRound`] of one of them.
pub fn past_round(task: &TaskId, round: RoundNumber) -> String {
    format!("task/{task}/past/{round}")
}

/// [`crate::records::ReplayPlan`], while rounds are being replayed.
pub fn replay_plan(task: &TaskId) -> String {
    format!("task/{task}/replay")
}

/// [`crate::records::CommitmentRecord`] of the open round.
pub fn commitment(task: &TaskId, member: &MemberId) -> String {
    format!("task/{task}/commitment/{member}")
}

/// [`crate::records::EvaluationRecord`] of the open round.
pub fn evaluation(task: &TaskId, member: &MemberId) -> String {
    format!("task/{task}/evaluation/{member}")
}

/// [`crate::records::TrustRecord`].
pub fn trust(task: &TaskId, member: &MemberId) -> String {
    format!("task/{task}/trust/{member}")
}

/// [`crate::history::MemberHistory`].
pub fn history(task: &TaskId, member: &MemberId) -> String {
    format!("task/{task}/history/{member}")
}

/// `Vec<MemberId>`: those released from quarantine since the open round's roster was written, by id.
pub fn released(task: &TaskId) -> String {
    format!("task/{task}/released")
}

/// `RoundNumber`: the round in which the member last announced a change of its data.
pub fn notice(task: &TaskId, member: &MemberId) -> String {
    format!("task/{task}/notice/{member}")
}

/// [`crate::records::ChangeRecord`] of a change that waits for approval.
pub fn change(digest: &Digest) -> String {
    format!("change/{digest}")
}

/// `u64`: number of the member's commitments that were ever accepted, over all tasks.
pub fn update_count(member: &MemberId) -> String {
    format!("idx/update/{member}/n")
}

/// `u64`: position in the log of the member's `k`-th accepted commitment, from 1.
pub fn update_at(member: &MemberId, k: u64) -> String {
    format!("idx/update/{member}/{k}")
}

/// `u64`: number of verdicts ever given on the member's updates, over all tasks.
pub fn verdict_count(member: &MemberId) -> String {
    format!("idx/verdict/{member}/n")
}

/// `u64`: position in the log of the `k`-th verdict on the member's updates, from 1.
pub fn verdict_at(member: &MemberId, k: u64) -> String {
    format!("idx/verdict/{member}/{k}")
}

/// `u64`: number of the member's updates that were given this verdict.
pub fn verdict_kind_count(member: &MemberId, verdict: Verdict) -> String {
    let kind = match verdict {
        Verdict::Accept => "accept",
        Verdict::Clip => "clip",
        Verdict::DownWeight => "down_weight",
        Verdict::Reject => "reject",
        Verdict::Quarantine => "quarantine",
    };
    format!("idx/verdict/{member}/{kind}")
}
