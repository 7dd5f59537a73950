//! What the node does by itself as rounds go on: it shows its member's update once the commit phase
//! is over, fetches what others showed, and computes what the ledger waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fedledger_contract::records::{RoundRecord, TaskStatus};
use fedledger_contract::round::update_revealed;
use fedledger_contract::state::StateView;
use fedledger_ledger::commitment::UpdateOpening;
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::{Digest, MemberId, Nonce, TaskId};
use fedledger_ledger::transaction::Action;

use super::{addresses, Node};

/// How often the node looks again without being told: for announcements that were lost and members
/// that came back. The period is a back-stop; what matters comes by notification.
const LOOK_AGAIN: Duration = Duration::from_millis(1_500);

/// What there is to do after a look at the state.
#[derive(Debug, Default)]
struct Work {
    /// The last nonce of this member on the ledger.
    used: Nonce,
    /// This member's commitments whose opening the ledger does not have yet.
    reveals: Vec<UpdateOpening>,
    /// Blobs to fetch: with their length, where it is known, and who may have them.
    missing: Vec<(Digest, Option<u64>, Vec<MemberId>)>,
    /// Updates of open rounds that are here.
    held: Vec<Digest>,
}

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
                self.fail(reason);
                return;
            }
            tokio::select! {
                changed = heights.changed() => if changed.is_err() { return },
                () = self.work.notified() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => self.repeat_gossip().await,
            }
        }
    }

    async fn work_on_rounds(self: &Arc<Self>) -> Result<(), String> {
        let work = self.look_around()?;
        if let Some(signing) = &self.member {
            let outbox = signing.outbox.lock().await;
            outbox.prune(work.used).map_err(|error| error.to_string())?;
        }
        self.release_updates()?;
        for opening in work.reveals {
            self.reveal(opening).await;
        }
        for (digest, length, from) in work.missing {
            self.fetch(digest, length, from);
        }
        let fresh = self.unannounced(work.held);
        if !fresh.is_empty() {
            self.announce(&fresh).await;
        }
        self.compute_decisions();
        Ok(())
    }

    /// Shows this member's updates once the commit phase of their round is over, and forgets how
    /// to open their commitments once nothing can be revealed in it any more.
    fn release_updates(&self) -> Result<(), String> {
        let view = StateView::new(self.store());
        self.held_back.release(|task, round| {
            let open = view.round(task);
            open.is_some_and(|open| open.round == round && open.phase != Phase::Commit)
        });
        let over = |task: &TaskId, round| {
            let progress = view.task_progress(task);
            progress.is_some_and(|at| at.round > round || at.status != TaskStatus::Running)
        };
        self.held_back.prune(over).map_err(|error| error.to_string())
    }

    /// What the state asks of this node now.
    fn look_around(&self) -> Result<Work, String> {
        let view = StateView::new(self.store());
        let mut work = Work::default();
        if let Some(member) = self.member_id() {
            work.used = view.nonce(member);
        }
        for task in view.tasks() {
            let Some(progress) = view.task_progress(&task) else { continue };
            // The latest model has to be here for whoever trains next, and for the next decision.
            if !self.holds(&progress.model)? {
                work.missing.push((progress.model, None, self.everyone()));
            }
            let Some(round) = view.round(&task) else { continue };
            if round.phase != Phase::Commit {
                self.look_at_reveals(&view, &task, &round, &mut work)?;
            }
            if round.phase == Phase::Evaluate && self.member.is_some() {
                self.look_at_candidates(&round, &mut work)?;
            }
        }
        Ok(work)
    }

    /// The models that this node's member is to score are here unless it was away while they were
    /// computed.
    fn look_at_candidates(&self, round: &RoundRecord, work: &mut Work) -> Result<(), String> {
        for candidate in &round.candidates {
            if !self.holds(&candidate.model)? {
                work.missing.push((candidate.model, None, self.everyone()));
            }
        }
        Ok(())
    }

    pub(super) fn holds(&self, digest: &Digest) -> Result<bool, String> {
        self.blobs().has(digest).map_err(|error| error.to_string())
    }

    fn look_at_reveals(
        &self,
        view: &StateView<'_>,
        task: &TaskId,
        round: &RoundRecord,
        work: &mut Work,
    ) -> Result<(), String> {
        let waiting = self.reveals_waiting();
        for (member, commitment) in view.commitments(task) {
            if commitment.round != round.round {
                continue;
            }
            let own = (Some(&member) == self.member_id())
                .then(|| self.held_back.opening(&commitment.commitment))
                .flatten();
            // Known from the ledger, from a reveal on its way to it, or because it is this node's.
            let update = commitment
                .update
                .or_else(|| waiting.get(&(task.clone(), member.clone())).copied())
                .or_else(|| own.as_ref().map(|opening| opening.update));
            let Some(update) = update else { continue };
            if round.phase == Phase::Reveal && commitment.update.is_none() {
                work.reveals.extend(own);
            }
            if self.holds(&update)? {
                work.held.push(update);
            } else {
                let mut from: BTreeSet<MemberId> =
                    self.chain.holders(&update).into_iter().collect();
                from.insert(member);
                let from = from.into_iter().collect();
                work.missing.push((update, Some(commitment.byte_length), from));
            }
        }
        Ok(())
    }

    /// The updates that waiting transactions would reveal. Only what opens its member's commitment
    /// is here, so that nobody makes this node fetch anything else.
    fn reveals_waiting(&self) -> BTreeMap<(TaskId, MemberId), Digest> {
        let mut updates = BTreeMap::new();
        for transaction in self.chain.waiting() {
            let Some(update) = update_revealed(self.store(), &transaction) else { continue };
            if let Action::RevealUpdate { task, .. } = transaction.body.action {
                updates.insert((task, transaction.body.member), update);
            }
        }
        updates
    }

    /// Signs the reveal of this member's update, once.
    async fn reveal(&self, opening: UpdateOpening) {
        let UpdateOpening { task, round, update, salt, .. } = opening;
        let action = Action::RevealUpdate { task, round, update, salt };
        let waits = self.chain.waiting().into_iter().any(|transaction| {
            Some(&transaction.body.member) == self.member_id() && transaction.body.action == action
        });
        if waits {
            return;
        }
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
