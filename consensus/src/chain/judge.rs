//! Judging a block that somebody else proposed.

use fedledger_contract::block::BlockError;
use fedledger_contract::round::update_revealed;
use fedledger_ledger::block::Block;
use fedledger_ledger::ids::Height;

use super::execute::ExecuteError;
use super::{fatal, Chain, DecisionKey, Shared, CLOCK_AHEAD_MAX_MS};
use crate::application::{Fatal, Judgement, ProposedBlock};

impl Chain {
    /// A validator's judgement: links, time, held blobs, recomputed decisions, execution, root.
    pub(super) fn judge_block(
        &self,
        height: Height,
        proposed: &ProposedBlock,
    ) -> Result<Judgement, Fatal> {
        let block = match Block::from_bytes(&proposed.bytes) {
            Ok(block) => block,
            Err(error) => return Ok(Judgement::Invalid(error.to_string())),
        };
        if let Err(error) = block.check_consistency() {
            return Ok(Judgement::Invalid(error.to_string()));
        }
        let mut shared = self.shared();
        if let Some(judgement) = self.judge_links(&shared, height, &block, proposed) {
            return Ok(judgement);
        }
        if shared.executions.contains_key(&proposed.id) {
            return Ok(Judgement::Valid);
        }
        if let Some(judgement) = self.judge_contents(&shared, &block)? {
            return Ok(judgement);
        }
        let execution = match self.execute(height, block.header.time, &block.body) {
            Ok(execution) => execution,
            Err(ExecuteError::Block(BlockError::Nothing)) => {
                return Ok(Judgement::NotNow("the block decides nothing".to_owned()))
            }
            Err(ExecuteError::Block(error)) => return Ok(Judgement::Invalid(error.to_string())),
            Err(ExecuteError::Store(error)) => return Err(error),
        };
        let header = &block.header;
        if header.app_hash != execution.root {
            return Ok(Judgement::Invalid(format!(
                "app_hash is {}, executing the block gives {}",
                header.app_hash, execution.root
            )));
        }
        let next = execution.effects.validators.hash();
        if header.next_validators_hash != next {
            return Ok(Judgement::Invalid(format!(
                "next_validators_hash is {}, executing the block gives {next}",
                header.next_validators_hash
            )));
        }
        shared.executions.insert(proposed.id, execution);
        Ok(Judgement::Valid)
    }

    fn judge_links(
        &self,
        shared: &Shared,
        height: Height,
        block: &Block,
        proposed: &ProposedBlock,
    ) -> Option<Judgement> {
        let header = &block.header;
        let wrong = |what: &str| Some(Judgement::Invalid(format!("{what} does not fit the tip")));
        if block.hash() != proposed.id {
            return wrong("the block's id");
        }
        if header.chain_id != self.genesis.chain_id {
            return wrong("chain_id");
        }
        if header.height != height || height != shared.height.next() {
            return wrong("height");
        }
        if header.last_block_id != shared.tip_id {
            return wrong("last_block_id");
        }
        if header.validators_hash != shared.validators.hash() {
            return wrong("validators_hash");
        }
        if shared.validators.get(&header.proposer).is_none() {
            return wrong("proposer");
        }
        let now = (self.clock)();
        if header.time > now.after(CLOCK_AHEAD_MAX_MS) {
            return Some(Judgement::NotNow(format!(
                "its time is {} ms ahead of this node's clock, at most {CLOCK_AHEAD_MAX_MS} are \
                 allowed",
                header.time.0 - now.0
            )));
        }
        None
    }

    /// Reveals that the contract would accept need the blob here; decisions need to be what this
    /// node computed.
    fn judge_contents(&self, shared: &Shared, block: &Block) -> Result<Option<Judgement>, Fatal> {
        for transaction in &block.body.transactions {
            if let Some(update) = update_revealed(&self.store, transaction) {
                if !self.blobs.has(&update).map_err(fatal)? {
                    return Ok(Some(Judgement::NotNow(format!(
                        "the revealed update {update} of {} is not here yet",
                        transaction.body.member
                    ))));
                }
            }
        }
        for decision in &block.body.decisions {
            match shared.computed.get(&DecisionKey::of_decision(decision)) {
                None => {
                    let (task, round) = decision.subject();
                    return Ok(Some(Judgement::NotNow(format!(
                        "the decision on round {round} of {task} is not computed here yet"
                    ))));
                }
                Some(own) if own.decision != *decision => {
                    let (task, round) = decision.subject();
                    return Ok(Some(Judgement::Invalid(format!(
                        "the decision on round {round} of {task} differs from the one computed here"
                    ))));
                }
                Some(_) => {}
            }
        }
        Ok(None)
    }
}
