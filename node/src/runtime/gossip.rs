//! What other members gossip, and what this node repeats.

use std::sync::Arc;

use fedledger_consensus::chain::{MempoolError, SubmitError};
use fedledger_contract::state::StateView;
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::Digest;
use fedledger_ledger::transaction::{Action, Transaction};
use tokio::sync::mpsc;

use super::Node;
use crate::network::{GossipVerdict, NetworkEvent, BLOB_ANNOUNCEMENT_DIGESTS_MAX};

impl Node {
    /// Takes in what the network tells until it stops.
    pub(super) async fn listen(self: Arc<Self>, mut events: mpsc::Receiver<NetworkEvent>) {
        while let Some(event) = events.recv().await {
            match event {
                NetworkEvent::Transaction { bytes, verdict, publisher } => {
                    self.judge_transaction(&bytes, verdict, &publisher);
                }
                NetworkEvent::BlobsHeld { member, digests } => {
                    if !self.chain.note_held(&member, &digests).is_empty() {
                        self.work.notify_one();
                    }
                }
                NetworkEvent::MemberConnected(member) => {
                    tracing::info!(%member, "a member is connected");
                    // It has not heard what was announced before.
                    self.announced.lock().expect("no panic under this lock").clear();
                    self.work.notify_one();
                }
                NetworkEvent::MemberDisconnected(member) => {
                    tracing::info!(%member, "a member is out of reach");
                }
            }
        }
    }

    fn judge_transaction(
        &self,
        bytes: &[u8],
        verdict: GossipVerdict,
        publisher: &fedledger_ledger::ids::MemberId,
    ) {
        let transaction = match Transaction::from_bytes(bytes) {
            Ok(transaction) => transaction,
            Err(error) => {
                tracing::warn!(%publisher, %error, "a member gossips what is no transaction");
                return verdict.reject();
            }
        };
        let reveals = matches!(transaction.body.action, Action::RevealUpdate { .. });
        match self.chain.submit(transaction) {
            Ok(true) => {
                verdict.accept();
                if reveals {
                    // It says which blob to fetch.
                    self.work.notify_one();
                }
            }
            Ok(false) | Err(SubmitError::Mempool(MempoolError::Stale { .. })) => verdict.ignore(),
            Err(error) => {
                // It may be valid elsewhere: this node may be behind.
                tracing::debug!(%publisher, %error, "a gossiped transaction is not taken");
                verdict.ignore();
            }
        }
    }

    /// Says again what may have been lost: this member's waiting transactions, and what this node
    /// holds of rounds that are being revealed.
    pub(super) async fn repeat_gossip(&self) {
        let Some(member) = self.member_id() else { return };
        for transaction in self.chain.waiting() {
            if transaction.body.member != *member {
                continue;
            }
            if let Err(error) = self.network.publish_transaction(transaction.to_bytes()).await {
                tracing::debug!(%error, "a waiting transaction cannot be repeated now");
                return;
            }
        }
        let view = StateView::new(self.store());
        for task in view.tasks() {
            if view.round(&task).is_some_and(|round| round.phase == Phase::Reveal) {
                self.announced.lock().expect("no panic under this lock").clear();
            }
        }
    }

    /// Those of `held` that this node has not announced lately; they count as announced from here.
    pub(super) fn unannounced(&self, held: Vec<Digest>) -> Vec<Digest> {
        let mut announced = self.announced.lock().expect("no panic under this lock");
        let mut fresh: Vec<Digest> =
            held.into_iter().filter(|digest| !announced.contains(digest)).collect();
        fresh.truncate(BLOB_ANNOUNCEMENT_DIGESTS_MAX);
        announced.extend(&fresh);
        fresh
    }
}
