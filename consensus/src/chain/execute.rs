//! Executing a block, once, and making it durable when it is decided.

use std::sync::Arc;

use fedledger_contract::block::{apply_block_with, BlockEffects, BlockError, BlockInput};
use fedledger_contract::decide::pending;
use fedledger_contract::state::StateView;
use fedledger_ledger::block::{Block, BlockBody};
use fedledger_ledger::decision::{Decision, OutcomeResult};
use fedledger_ledger::entry::Entry;
use fedledger_ledger::ids::{Digest, Height, TimeMs};
use thiserror::Error;

use super::{fatal, Chain, DecisionKey};
use crate::application::{DecidedBlock, Fatal, Tip};

/// What a block leads to.
pub(super) struct Execution {
    pub(super) effects: BlockEffects,
    /// The state root after it.
    pub(super) root: Digest,
}

/// Why a block could not be executed.
#[derive(Debug, Error)]
pub(super) enum ExecuteError {
    /// It cannot follow the state.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Fatal),
}

impl Chain {
    /// Executes a block's contents on the tip.
    pub(super) fn execute(
        &self,
        height: Height,
        time: TimeMs,
        body: &BlockBody,
    ) -> Result<Arc<Execution>, ExecuteError> {
        let input = BlockInput::new(height, time, body);
        let effects = apply_block_with(&mut self.cache(), &self.store, &input)?;
        let root = self.store.root_after(&effects.writes).map_err(fatal)?;
        Ok(Arc::new(Execution { effects, root }))
    }

    /// Makes a decided block durable, then moves the tip. A block that a quorum certified and that
    /// does not execute to its own `app_hash` means that this node, or more than a third of the
    /// others, is broken: it stops rather than keep a state nobody agreed on.
    pub(super) fn commit_block(&self, decided: &DecidedBlock) -> Result<Tip, Fatal> {
        let block = Block::from_bytes(&decided.block.bytes).map_err(fatal)?;
        block.check_consistency().map_err(fatal)?;
        let height = block.header.height;
        let id = block.hash();
        let mut shared = self.shared();
        let execution = match shared.executions.get(&id) {
            Some(execution) => Arc::clone(execution),
            None => self.execute(height, block.header.time, &block.body).map_err(fatal)?,
        };
        if execution.root != block.header.app_hash {
            return Err(Fatal(format!(
                "block {height} was decided with app_hash {}, here it leads to {}",
                block.header.app_hash, execution.root
            )));
        }
        self.keep_results(&shared, &block)?;
        let effects = &execution.effects;
        let entries: Vec<Vec<u8>> = effects.entries.iter().map(Entry::to_bytes).collect();
        // When this returns the block is on the disk; nothing has been said about it before.
        self.store
            .commit_block(
                &block,
                &decided.certificate,
                &effects.validators,
                &entries,
                &effects.writes,
            )
            .map_err(fatal)?;
        shared.tip_id = Some(id);
        shared.height = height;
        shared.time = block.header.time;
        shared.root = execution.root;
        shared.validators = effects.validators.clone();
        shared.executions.clear();
        shared.built.clear();
        let view = StateView::new(&self.store);
        shared.mempool.prune(|member| view.nonce(member));
        let still: Vec<DecisionKey> =
            pending(&self.store).iter().map(DecisionKey::of_pending).collect();
        shared.computed.retain(|key, _| still.contains(key));
        let tip = Tip { height, validators: shared.validators.clone() };
        drop(shared);
        tell(&block, entries.len());
        self.heights.send_replace(height);
        self.work.notify_waiters();
        Ok(tip)
    }

    /// Writes the aggregates and models of the block's decisions, as far as this node computed
    /// them. A crash after this leaves blobs that nothing names yet: they are harmless.
    fn keep_results(&self, shared: &super::Shared, block: &Block) -> Result<(), Fatal> {
        for decision in &block.body.decisions {
            let Some(decided) = shared.computed.get(&DecisionKey::of_decision(decision)) else {
                continue;
            };
            if decided.decision == *decision {
                for (digest, bytes) in &decided.blobs {
                    let stored = self.blobs.put(bytes).map_err(fatal)?;
                    assert_eq!(stored, *digest, "a computed blob is named by its digest");
                }
            }
        }
        Ok(())
    }
}

/// Says in the log what a block brought.
fn tell(block: &Block, entries: usize) {
    let (height, transactions) = (block.header.height, block.body.transactions.len());
    tracing::info!(%height, transactions, entries, "block decided");
    for decision in &block.body.decisions {
        if let Decision::Outcome { task, round, result, .. } = decision {
            match result {
                OutcomeResult::Aggregated { chosen, .. } => {
                    tracing::info!(%task, %round, model = %chosen.model, "round decided");
                }
                OutcomeResult::Failed { failure } => {
                    tracing::warn!(%task, %round, ?failure, "round ended without a model");
                }
            }
        }
    }
}
