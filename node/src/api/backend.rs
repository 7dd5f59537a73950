//! What the HTTP API needs from a running node. The node implements it, and so does the stand-in
//! of the tests.

use async_trait::async_trait;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, MemberId, RoundNumber, TaskId};
use fedledger_ledger::store::{BlobStore, LedgerStore};
use fedledger_ledger::transaction::{Action, CandidateScore, Transaction};
use tokio::sync::watch;

use super::types::{NodeStatus, SubmitError, SubmitUpdate, SubmittedUpdate, TransactionStatus};

/// A node, as its HTTP API sees it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The ledger on disk.
    fn store(&self) -> &LedgerStore;

    /// The blobs on disk, published or not.
    fn blobs(&self) -> &BlobStore;

    /// The document that the ledger starts from.
    fn genesis(&self) -> &Genesis;

    /// The member whose keys this node has, if any.
    fn member_id(&self) -> Option<&MemberId>;

    /// What the node knows about itself and the chain.
    fn status(&self) -> NodeStatus;

    /// Whether the node has caught up and takes part.
    fn is_ready(&self) -> bool;

    /// Whether a blob may be given to anybody: a model or aggregate on the ledger, or an update that
    /// has been revealed. An update that is only committed to is its member's secret.
    fn is_published(&self, digest: &Digest) -> bool;

    /// Tells each new height, once it is durable.
    fn subscribe(&self) -> watch::Receiver<Height>;

    /// What has become of a transaction.
    async fn transaction_status(&self, digest: &Digest) -> TransactionStatus;

    /// Signs an action, makes it durable and offers it to proposers. Returns the transaction's
    /// digest.
    ///
    /// # Errors
    /// See [`SubmitError`].
    async fn submit_action(&self, action: Action) -> Result<Digest, SubmitError>;

    /// Offers proposers a transaction that was signed elsewhere, such as on a machine that has the
    /// member key and no network. Returns its digest.
    ///
    /// # Errors
    /// See [`SubmitError`].
    async fn submit_signed(&self, transaction: Transaction) -> Result<Digest, SubmitError>;

    /// Makes an update canonical, keeps it, and commits to its digest.
    ///
    /// # Errors
    /// See [`SubmitError`].
    async fn submit_update(&self, update: SubmitUpdate) -> Result<SubmittedUpdate, SubmitError>;

    /// Signs the member's scores of a round's candidates and offers them to proposers. Returns the
    /// transaction's digest.
    ///
    /// # Errors
    /// See [`SubmitError`].
    async fn submit_evaluation(
        &self,
        task: TaskId,
        round: RoundNumber,
        scores: Vec<CandidateScore>,
    ) -> Result<Digest, SubmitError>;
}
