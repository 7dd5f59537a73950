//! Replay: everything a ledger says, checked from genesis by somebody who trusts none of its nodes.
//!
//! Links, validator sets and commit certificates by `fedledger_ledger::verify`; every transaction
//! and every consequence by executing each block again and comparing the state root with the
//! header's `app_hash`; and, where the blobs are at hand, every decision by computing it again.

mod difference;
#[cfg(test)]
mod tests;

use fedledger_ledger::block::{Block, CommitCertificate};
use fedledger_ledger::entry::{Entry, Receipt};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, RoundNumber, TaskId};
use fedledger_ledger::state::{LatestState, StateError};
use fedledger_ledger::verify::{ChainVerifier, VerifiedBlock, VerifyError};
use thiserror::Error;

use crate::block::{apply_block_with, BlockError, BlockInput, ExecutionCache};
use crate::decide::{decide, BlobRead, DecideError};
use crate::genesis::{genesis, GenesisError};
use difference::{first_difference, Difference};

/// What stands after a block was replayed.
#[derive(Debug, Clone)]
pub struct ReplayedBlock {
    /// What its certificate vouches for.
    pub verified: VerifiedBlock,
    /// The entries it appended, in order.
    pub entries: Vec<Entry>,
    /// What became of its transactions.
    pub receipts: Vec<Receipt>,
    /// The decisions that were computed again and found the same, with the models they led to.
    pub recomputed: Vec<Recomputed>,
    /// The decisions that could not be computed again, because a blob is not at hand.
    pub missing: Vec<MissingBlob>,
}

/// A decision that cannot be computed again here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingBlob {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: RoundNumber,
    /// The first blob that is not at hand, or whose bytes are not those of its digest.
    pub blob: Digest,
}

/// A decision that was computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recomputed {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: RoundNumber,
    /// The blobs that it makes, aggregates and models, by which later rounds can be replayed.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// Why a ledger is not what it says. After any of these the replay cannot go on.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// Nothing can begin from the genesis document.
    #[error(transparent)]
    Genesis(Box<GenesisError>),
    /// A link, a hash, a validator set or a certificate does not hold.
    #[error(transparent)]
    Chain(#[from] VerifyError),
    /// A block's contents cannot follow the state before it.
    #[error("block {height}: {source}")]
    Contents {
        /// The block's height.
        height: Height,
        /// What is wrong with them.
        source: Box<BlockError>,
    },
    /// The contents lead to another state than the header says.
    #[error("block {height}: app_hash is {found}, its contents lead to {expected}")]
    AppHash {
        /// The block's height.
        height: Height,
        /// The root that execution leads to.
        expected: Digest,
        /// The root in the header.
        found: Digest,
    },
    /// The state could not be written.
    #[error("block {height}: {source}")]
    State {
        /// The block's height.
        height: Height,
        /// What is wrong.
        source: StateError,
    },
    /// A decision is not what its inputs lead to.
    #[error(
        "block {height}: {field} of the decision on round {round} of `{task}` is {found}, its \
         inputs lead to {expected}"
    )]
    Decision {
        /// The block's height.
        height: Height,
        /// The task.
        task: TaskId,
        /// The round.
        round: RoundNumber,
        /// The first part of it that differs.
        field: String,
        /// What its inputs lead to.
        expected: String,
        /// What the ledger says.
        found: String,
    },
}

/// Replays a ledger block by block.
#[derive(Debug)]
pub struct Replayer {
    chain: ChainVerifier,
    state: LatestState,
    cache: ExecutionCache,
    genesis_entries: Vec<Entry>,
}

impl Replayer {
    /// Begins at a genesis document that the caller trusts.
    ///
    /// # Errors
    /// When nothing can begin from it.
    ///
    /// # Panics
    /// Never: an empty state takes the writes of a genesis that was checked.
    pub fn new(document: &Genesis) -> Result<Self, ReplayError> {
        let effects = genesis(document).map_err(|error| ReplayError::Genesis(Box::new(error)))?;
        let mut state = LatestState::new();
        state
            .apply(0, &effects.writes)
            .map_err(|source| ReplayError::State { height: Height(0), source })?;
        let chain = ChainVerifier::new(document, effects.validators);
        let cache = ExecutionCache::default();
        Ok(Self { chain, state, cache, genesis_entries: effects.entries })
    }

    /// The entries of genesis.
    pub fn genesis_entries(&self) -> &[Entry] {
        &self.genesis_entries
    }

    /// The state after the latest block.
    pub fn state(&self) -> &LatestState {
        &self.state
    }

    /// The height replayed last; 0 for genesis.
    pub fn height(&self) -> Height {
        self.chain.height()
    }

    /// Replays the next block. With `blobs` every decision in it is computed again.
    ///
    /// # Errors
    /// The first thing that does not hold, with height, field, and what was expected and found; see
    /// [`ReplayError`]. The replayer is of no further use then.
    pub fn push(
        &mut self,
        block: &Block,
        certificate: &CommitCertificate,
        blobs: Option<&dyn BlobRead>,
    ) -> Result<ReplayedBlock, ReplayError> {
        let height = block.header.height;
        // Signatures before what is costly: nothing is carried out that nobody decided.
        let decided = self.chain.verify(block, certificate)?;
        let effects = apply_block_with(&mut self.cache, &self.state, &BlockInput::of(block))
            .map_err(|source| ReplayError::Contents { height, source: Box::new(source) })?;
        let verified = self.chain.advance(decided, &effects.validators)?;
        let (recomputed, missing) = match blobs {
            Some(blobs) => self.recompute(block, blobs)?,
            None => (Vec::new(), Vec::new()),
        };
        let expected = self
            .state
            .apply(height.0, &effects.writes)
            .map_err(|source| ReplayError::State { height, source })?;
        if expected != block.header.app_hash {
            let found = block.header.app_hash;
            return Err(ReplayError::AppHash { height, expected, found });
        }
        let (entries, receipts) = (effects.entries, effects.receipts);
        Ok(ReplayedBlock { verified, entries, receipts, recomputed, missing })
    }

    fn recompute(
        &self,
        block: &Block,
        blobs: &dyn BlobRead,
    ) -> Result<(Vec<Recomputed>, Vec<MissingBlob>), ReplayError> {
        let height = block.header.height;
        let (mut recomputed, mut missing) = (Vec::new(), Vec::new());
        for decision in &block.body.decisions {
            let (task, round) = decision.subject();
            let task = task.clone();
            let decided = match decide(&self.state, &task, blobs) {
                Ok(decided) => decided,
                Err(DecideError::MissingBlob { digest: blob }) => {
                    missing.push(MissingBlob { task, round, blob });
                    continue;
                }
                Err(DecideError::NotPending { .. }) => {
                    unreachable!("the block was carried out, so the state waits for its decisions")
                }
            };
            if let Some(difference) = first_difference(&decided.decision, decision) {
                let Difference { field, expected, found } = difference;
                return Err(ReplayError::Decision { height, task, round, field, expected, found });
            }
            recomputed.push(Recomputed { task, round, blobs: decided.blobs });
        }
        Ok((recomputed, missing))
    }
}
