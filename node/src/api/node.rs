//! The running node behind the API.

use async_trait::async_trait;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, MemberId, RoundNumber, TaskId};
use fedledger_ledger::store::{BlobStore, LedgerStore};
use fedledger_ledger::transaction::{Action, CandidateScore, Transaction};
use tokio::sync::watch;

use super::types::{NodeStatus, SubmitError, SubmitUpdate, SubmittedUpdate, TransactionStatus};
use super::Backend;
use crate::runtime::Node;

#[async_trait]
impl Backend for Node {
    fn store(&self) -> &LedgerStore {
        self.store()
    }
    fn blobs(&self) -> &BlobStore {
        self.blobs()
    }
    fn genesis(&self) -> &Genesis {
        self.genesis()
    }
    fn member_id(&self) -> Option<&MemberId> {
        self.member_id()
    }
    fn status(&self) -> NodeStatus {
        self.status()
    }
    fn is_ready(&self) -> bool {
        self.is_ready()
    }
    fn is_published(&self, digest: &Digest) -> bool {
        self.is_published(digest)
    }
    fn subscribe(&self) -> watch::Receiver<Height> {
        self.subscribe()
    }
    async fn transaction_status(&self, digest: &Digest) -> TransactionStatus {
        self.transaction_status(digest)
    }
    async fn submit_action(&self, action: Action) -> Result<Digest, SubmitError> {
        self.submit_action(action).await
    }
    async fn submit_signed(&self, transaction: Transaction) -> Result<Digest, SubmitError> {
        self.submit_signed(transaction).await
    }
    async fn submit_update(&self, update: SubmitUpdate) -> Result<SubmittedUpdate, SubmitError> {
        self.submit_update(update).await
    }
    async fn submit_evaluation(
        &self,
        task: TaskId,
        round: RoundNumber,
        scores: Vec<CandidateScore>,
    ) -> Result<Digest, SubmitError> {
        self.submit_evaluation(task, round, scores).await
    }
}
