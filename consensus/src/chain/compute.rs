//! Computing decisions beside the vote path.

use std::sync::Arc;

use fedledger_contract::decide::{decide, pending, BlobRead, DecideError, Pending, PendingKind};
use fedledger_ledger::decision::Decision;
use fedledger_ledger::ids::{Digest, MemberId, TaskId};

use super::{Chain, DecisionKey};

impl DecisionKey {
    pub(super) fn of_pending(pending: &Pending) -> Self {
        Self {
            task: pending.task.clone(),
            round: pending.round,
            candidates: pending.kind == PendingKind::Candidates,
        }
    }

    pub(super) fn of_decision(decision: &Decision) -> Self {
        let (task, round) = decision.subject();
        let candidates = matches!(decision, Decision::Candidates { .. });
        Self { task: task.clone(), round, candidates }
    }
}

/// The node's blobs as the contract reads them.
struct Held<'a>(&'a Chain);

impl BlobRead for Held<'_> {
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.0.blobs.get(digest).ok().flatten()
    }
}

impl Chain {
    /// The decisions that the state waits for, that this node has not computed yet.
    pub fn uncomputed(&self) -> Vec<Pending> {
        let wanted = pending(&self.store);
        let shared = self.shared();
        wanted
            .into_iter()
            .filter(|one| !shared.computed.contains_key(&DecisionKey::of_pending(one)))
            .collect()
    }

    /// Computes the decision that a task's state waits for. It may take long: call it off the
    /// asynchronous threads. Nothing happens when a blob is missing: its digest is returned, and
    /// the call is to be repeated once it is here.
    pub fn compute(&self, wanted: &Pending) -> Option<Digest> {
        let task: &TaskId = &wanted.task;
        let decided = match decide(&self.store, task, &Held(self)) {
            Ok(decided) => decided,
            Err(DecideError::MissingBlob { digest }) => return Some(digest),
            // A block came in between; what is pending now is computed next.
            Err(DecideError::NotPending { .. }) => return None,
        };
        // The state was read while blocks may have been committed. What a decision rests on does
        // not change while the state waits for it; so if the state still waits for the same, it
        // was read whole.
        if !pending(&self.store).contains(wanted) {
            return None;
        }
        let key = DecisionKey::of_pending(wanted);
        self.shared().computed.insert(key, Arc::new(decided));
        self.work.notify_waiters();
        None
    }

    /// Notes that a member announced blobs. Returns those that are news.
    pub fn note_held(&self, member: &MemberId, digests: &[Digest]) -> Vec<Digest> {
        let mut shared = self.shared();
        let news = digests
            .iter()
            .filter(|digest| shared.availability.note(**digest, member.clone()))
            .copied()
            .collect();
        drop(shared);
        self.work.notify_waiters();
        news
    }

    /// The members that announced a blob.
    pub fn holders(&self, digest: &Digest) -> Vec<MemberId> {
        self.shared().availability.holders(digest).cloned().collect()
    }

    /// Says that a blob arrived: something may have become decidable.
    pub fn blob_arrived(&self) {
        self.work.notify_waiters();
    }
}
