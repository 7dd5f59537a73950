//! What the consensus engine needs of the ledger: propose a block, judge one, make one durable.

use async_trait::async_trait;
use bytes::Bytes;
use fedledger_ledger::block::{CommitCertificate, ValidatorAddress, ValidatorSet};
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::keys::Signature;

/// A block as consensus carries it: its identity (the header's hash) and its canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedBlock {
    /// Hash of the CometBFT header: what votes sign.
    pub id: Digest,
    /// Canonical bytes of the whole block.
    pub bytes: Bytes,
}

/// What a validator thinks of a proposed block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Valid: prevote for it.
    Valid,
    /// Not valid now: prevote nil. The text says why, for the log. A block may be valid later (a
    /// blob arrives, a computation ends), so this is never remembered against the proposer.
    NotNow(String),
    /// Wrong whatever happens: prevote nil.
    Invalid(String),
}

/// A decided block as it is kept and served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedBlock {
    /// The block.
    pub block: ProposedBlock,
    /// Who decided it.
    pub certificate: CommitCertificate,
}

/// Where the chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The last decided height; 0 when there is only genesis.
    pub height: Height,
    /// The validators of the next height.
    pub validators: ValidatorSet,
}

/// Two signed messages of one validator for the same height, consensus round and step. Each side is
/// the signed bytes with their signature, so that anybody can check it: votes are CometBFT's
/// canonical vote bytes, proposals the bytes of [`crate::signing::proposal_bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equivocation {
    /// Who signed both.
    pub validator: ValidatorAddress,
    /// The height.
    pub height: Height,
    /// The consensus round.
    pub consensus_round: u32,
    /// What was signed first, as far as this node saw.
    pub first: (Vec<u8>, Signature),
    /// What contradicts it.
    pub second: (Vec<u8>, Signature),
}

/// The disk or an invariant failed: the node stops. It is never logged and passed over.
#[derive(Debug, thiserror::Error)]
#[error("the node stops: {0}")]
pub struct Fatal(pub String);

/// The ledger under the engine. [`Self::propose`], [`Self::judge`], [`Self::keep_undecided`] and
/// [`Self::commit`] come from one task, one at a time, and may take their time; they are never
/// cancelled. The rest reads, may be called at any time from anywhere, and must be quick.
#[async_trait]
pub trait Application: Send + Sync + 'static {
    /// Where the chain stands.
    fn tip(&self) -> Tip;

    /// The first height whose block is kept.
    fn first_height(&self) -> Height;

    /// Builds a block for `height` on the current tip, or the one already built for it in this
    /// consensus round. It answers within `patience`, with a smaller block rather than late.
    async fn propose(
        &self,
        height: Height,
        consensus_round: u32,
        patience: std::time::Duration,
    ) -> Result<ProposedBlock, Fatal>;

    /// Judges a block proposed for `height`, which follows the tip.
    async fn judge(&self, height: Height, block: &ProposedBlock) -> Result<Judgement, Fatal>;

    /// Makes a decided block durable and moves the tip. When this returns, the block survives a
    /// loss of power.
    async fn commit(&self, decided: DecidedBlock) -> Result<Tip, Fatal>;

    /// A decided block, if it is kept.
    ///
    /// # Errors
    /// When the disk fails.
    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal>;

    /// Keeps a proposed block of an undecided height durably, so that after a crash the write-ahead
    /// log, which holds identities only, finds its block. Blocks of decided heights are dropped.
    ///
    /// # Errors
    /// When the disk fails.
    fn keep_undecided(
        &self,
        height: Height,
        consensus_round: u32,
        block: &ProposedBlock,
    ) -> Result<(), Fatal>;

    /// The undecided blocks kept for `height`.
    ///
    /// # Errors
    /// When the disk fails.
    fn undecided(&self, height: Height) -> Result<Vec<(u32, ProposedBlock)>, Fatal>;

    /// Validators were seen to sign two different messages for one step. It is called between
    /// decisions and must not wait for anything.
    fn evidence(&self, seen: Vec<Equivocation>) {
        let _ = seen;
    }

    /// Resolves when there is something to decide: a transaction, a finished computation, a
    /// deadline that has passed. Cancel-safe.
    async fn wanted(&self);
}
