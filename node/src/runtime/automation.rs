//! What the node does by itself as rounds go on: it shows its member's update once the commit phase
//! is over, fetches what others showed, and computes what the ledger waits for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fedledger_contract::state::StateView;
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::{Digest, MemberId, TaskId};
use fedledger_ledger::transaction::Action;

use super::{addresses, Node};

/// How often the node looks again without being told: for announcements that were lost and members
/// that came back. The period is a back-stop; what matters comes by notification.
const LOOK_AGAIN: Duration = Duration::from_millis(1_500);

impl Node {
    /// Works until the node stops.
    pub(super) async fn automate(self: Arc<Self>) {
        let mut heights = self.subscribe();
        let mut members = addresses(self.store());
        loop {
            // Seen before looking, so that a block in between is looked at next.
            heights.borrow_and_update();
            let now = addresses(self.store());
            if now != members {
                self.network.set_members(now.clone()).await;
                members = now;
            }
            if let Err(reason) = self.work_on_rounds().await {
                return self.fail(reason);
            }
            tokio::select! {
                changed = heights.changed() => if changed.is_err() { return },
                () = self.work.notified() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => self.repeat_gossip().await,
            }
        }
    }

    async fn work_on_rounds(self: &Arc<Self>) -> Result<(), String> {
        let view = StateView::new(self.store());
        if let Some(signing) = &self.member {
            let used = view.nonce(&signing.id);
            let outbox = signing.outbox.lock().await;
            outbox.prune(used).map_err(|error| error.to_string())?;
        }
        for task in view.tasks() {
            let Some(progress) = view.task_progress(&task) else { continue };
            // The latest model has to be here for whoever trains next, and for the next decision.
            self.fetch(progress.model, None, self.everyone());
            let Some(round) = view.round(&task) else { continue };
            if round.phase != Phase::Commit {
                self.work_on_reveals(&view, &task).await?;
            }
        }
        self.compute_decisions();
        Ok(())
    }

    async fn work_on_reveals(
        self: &Arc<Self>,
        view: &StateView<'_>,
        task: &TaskId,
    ) -> Result<(), String> {
        let Some(round) = view.round(task) else { return Ok(()) };
        let mut held = Vec::new();
        for (member, commitment) in view.commitments(task) {
            if commitment.round != round.round {
                continue;
            }
            if Some(&member) == self.member_id() {
                self.held_back.release(&commitment.update).map_err(|error| error.to_string())?;
                if round.phase == Phase::Reveal && !commitment.revealed {
                    self.reveal(task, round.round, commitment.update).await;
                }
            }
            if self.blobs().has(&commitment.update).map_err(|error| error.to_string())? {
                held.push(commitment.update);
            } else {
                let mut from: BTreeSet<MemberId> =
                    self.chain.holders(&commitment.update).into_iter().collect();
                from.insert(member);
                let from = from.into_iter().collect();
                self.fetch(commitment.update, Some(commitment.byte_length), from);
            }
        }
        let fresh = self.unannounced(held);
        if !fresh.is_empty() {
            self.announce(&fresh).await;
        }
        Ok(())
    }

    /// Signs the reveal of this member's update, once.
    async fn reveal(&self, task: &TaskId, round: fedledger_ledger::ids::RoundNumber, update: Digest) {
        let waits = self.chain.waiting().into_iter().any(|transaction| {
            Some(&transaction.body.member) == self.member_id()
                && matches!(&transaction.body.action,
                    Action::RevealUpdate { update: its, .. } if *its == update)
        });
        if waits {
            return;
        }
        let action = Action::RevealUpdate { task: task.clone(), round, update };
        if let Err(error) = self.submit_action(action).await {
            tracing::warn!(%error, %update, "the reveal could not be signed yet");
        }
    }

    /// Computes in the background what the ledger waits for, one decision at a time.
    fn compute_decisions(self: &Arc<Self>) {
        let Ok(turn) = Arc::clone(&self.computing).try_lock_owned() else { return };
        let wanted = self.chain.uncomputed();
        if wanted.is_empty() {
            return;
        }
        let node = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            for one in &wanted {
                if let Some(missing) = node.chain.compute(one) {
                    tracing::debug!(%missing, "a decision waits for a blob");
                    let from = node.everyone();
                    node.fetch(missing, None, from);
                }
            }
            drop(turn);
            // A block may have come in between, with more to compute.
            node.work.notify_one();
        });
    }

    /// Every other active member.
    pub(super) fn everyone(&self) -> Vec<MemberId> {
        let members = StateView::new(self.store()).active_members().into_iter();
        members.map(|record| record.spec.id).filter(|id| Some(id) != self.member_id()).collect()
    }
}
