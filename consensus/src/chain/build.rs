//! Building a block: what is ready, in the order in which the contract carries it out.

use std::time::Duration;

use fedledger_contract::check::select_transactions;
use fedledger_contract::decide::pending;
use fedledger_contract::round::update_revealed;
use fedledger_contract::state::StateView;
use fedledger_ledger::block::{Block, BlockBody, Parent};
use fedledger_ledger::decision::Decision;
use fedledger_ledger::ids::{quorum, Height, TimeMs};
use fedledger_ledger::limits::BLOCK_BYTES_MAX;
use fedledger_ledger::transaction::Transaction;

use super::{fatal, Chain, DecisionKey, Shared};
use crate::application::{Application as _, Fatal, ProposedBlock};

/// Bytes of a block that decisions may take at most is the whole; transactions fill what is left
/// up to this share, so that blocks stay small enough to travel within a consensus round.
const TRANSACTION_BYTES_TARGET: usize = BLOCK_BYTES_MAX / 4;

impl Chain {
    /// The decisions that the state waits for and this node has computed.
    pub(super) fn decisions_ready(&self, shared: &Shared) -> Vec<Decision> {
        if shared.computed.is_empty() {
            return Vec::new();
        }
        pending(&self.store)
            .iter()
            .filter_map(|wanted| shared.computed.get(&DecisionKey::of_pending(wanted)))
            .map(|decided| decided.decision.clone())
            .collect()
    }

    /// The waiting transactions that may stand in the next block. A reveal waits until a quorum of
    /// members has announced the blob, so that validators rarely have to say *not now*. One that
    /// the contract would refuse does not wait for anything: nobody needs its blob.
    pub(super) fn transactions_ready(&self, shared: &Shared) -> Vec<Transaction> {
        let view = StateView::new(&self.store);
        let needed = quorum(shared.validators.len());
        let sequences = shared.mempool.ready(|member| view.nonce(member));
        let mut candidates = Vec::new();
        for sequence in sequences {
            for waiting in sequence {
                if let Some(update) = update_revealed(&self.store, &waiting.transaction) {
                    // A disk that cannot say is treated as not holding it; judging will stop.
                    let held = self.blobs.has(&update).unwrap_or(false);
                    let holders = shared.availability.holders(&update).count() + usize::from(held);
                    if !held || holders < needed {
                        break;
                    }
                }
                candidates.push(waiting.transaction);
            }
        }
        let mut cache = self.cache();
        select_transactions(&mut cache, &self.store, &candidates, TRANSACTION_BYTES_TARGET)
    }

    /// Builds the block of a consensus round, or gives the one already built for it. With nothing
    /// ready it waits for work as long as `patience` allows, and then proposes an empty block, for
    /// which nobody votes: the next proposer may know more.
    pub(super) async fn build(
        &self,
        height: Height,
        consensus_round: u32,
        patience: Duration,
    ) -> Result<ProposedBlock, Fatal> {
        if let Some(built) = self.shared().built.get(&consensus_round) {
            return Ok(built.clone());
        }
        let _timed_out = tokio::time::timeout(patience, self.wanted()).await;
        let block = self.assemble(height)?;
        let proposed = ProposedBlock { id: block.hash(), bytes: block.to_bytes().into() };
        let mut shared = self.shared();
        if shared.height.next() == height {
            shared.built.insert(consensus_round, proposed.clone());
        }
        Ok(proposed)
    }

    fn assemble(&self, height: Height) -> Result<Block, Fatal> {
        let mut shared = self.shared();
        if height != shared.height.next() {
            return Err(Fatal(format!(
                "asked to build block {height} on top of block {}",
                shared.height
            )));
        }
        let time = TimeMs((self.clock)().0.max(shared.time.0 + 1));
        let decisions = self.decisions_ready(&shared);
        let transactions = self.transactions_ready(&shared);
        let body = BlockBody { transactions, decisions };
        let parent = Parent {
            chain_id: &self.genesis.chain_id,
            height: shared.height,
            id: shared.tip_id,
            validators: &shared.validators,
        };
        let follow = |body, root, next: &_| parent.block(time, self.proposer, body, root, next);
        match self.execute(height, time, &body) {
            Ok(execution) => {
                let block = follow(body, execution.root, &execution.effects.validators);
                shared.executions.insert(block.hash(), execution);
                Ok(block)
            }
            Err(super::execute::ExecuteError::Block(
                fedledger_contract::block::BlockError::Nothing,
            )) => Ok(follow(body, shared.root, &shared.validators)),
            Err(error) => Err(fatal(format!("a block of selected contents fails: {error}"))),
        }
    }
}
