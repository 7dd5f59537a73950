//! The smallest ledger that consensus can run on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use fedledger_ledger::block::{
    consensus_hash, Block, BlockBody, Parent, ValidatorAddress, ValidatorSet,
};
use fedledger_ledger::ids::{ChainId, Digest, Height, TimeMs};
use tokio::sync::watch;

use crate::application::{
    Application, DecidedBlock, Equivocation, Fatal, Judgement, ProposedBlock, Tip,
};

#[derive(Default)]
struct State {
    decided: Vec<DecidedBlock>,
    undecided: BTreeMap<(Height, u32, Digest), ProposedBlock>,
    evidence: Vec<Equivocation>,
    judgement: Option<Judgement>,
}

/// Decides empty blocks up to the height that was asked for with [`Self::want`], in memory. A clone
/// is the same ledger, so that it survives the engine that runs on it.
#[derive(Clone)]
pub struct EmptyApplication {
    chain_id: ChainId,
    validators: ValidatorSet,
    proposer: ValidatorAddress,
    state: Arc<Mutex<State>>,
    wanted: watch::Sender<Height>,
    tip: watch::Sender<Height>,
}

impl EmptyApplication {
    /// An empty ledger of the member that proposes as `proposer`.
    pub fn new(chain_id: ChainId, validators: ValidatorSet, proposer: ValidatorAddress) -> Self {
        Self {
            chain_id,
            validators,
            proposer,
            state: Arc::default(),
            wanted: watch::Sender::default(),
            tip: watch::Sender::default(),
        }
    }

    /// Asks for blocks until this height is decided.
    pub fn want(&self, height: Height) {
        self.wanted.send_replace(height);
    }

    /// Answers every judgement from now on like this; `None` for judging blocks as they are.
    pub fn judge_as(&self, judgement: Option<Judgement>) {
        self.state().judgement = judgement;
    }

    /// Waits until this height is decided.
    pub async fn reached(&self, height: Height) {
        let mut tip = self.tip.subscribe();
        tip.wait_for(|tip| *tip >= height).await.expect("this ledger holds the sender");
    }

    /// All decided blocks, from height 1.
    pub fn chain(&self) -> Vec<DecidedBlock> {
        self.state().decided.clone()
    }

    /// Forgets all blocks above `height`, as a store that lost its tail.
    pub fn lose_tail(&self, height: Height) {
        self.state().decided.truncate(height.0 as usize);
        self.tip.send_replace(height);
    }

    /// What was reported with [`Application::evidence`].
    pub fn evidence_seen(&self) -> Vec<Equivocation> {
        self.state().evidence.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    fn parent(&self) -> Option<Digest> {
        self.state().decided.last().map(|decided| decided.block.id)
    }

    fn block(&self, height: Height, round: u32) -> ProposedBlock {
        let body = BlockBody::default();
        let parent = Parent {
            chain_id: &self.chain_id,
            height: Height(height.0 - 1),
            id: self.parent(),
            validators: &self.validators,
        };
        // Any increasing time will do; the round makes blocks of different rounds differ.
        let time = TimeMs(height.0 * 1_000 + u64::from(round));
        let block = parent.block(time, self.proposer, body, consensus_hash(), &self.validators);
        ProposedBlock { id: block.hash(), bytes: block.to_bytes().into() }
    }
}

#[async_trait]
impl Application for EmptyApplication {
    fn tip(&self) -> Tip {
        Tip { height: *self.tip.borrow(), validators: self.validators.clone() }
    }

    fn first_height(&self) -> Height {
        Height(1)
    }

    async fn propose(
        &self,
        height: Height,
        consensus_round: u32,
        _: Duration,
    ) -> Result<ProposedBlock, Fatal> {
        Ok(self.block(height, consensus_round))
    }

    async fn judge(&self, _: Height, block: &ProposedBlock) -> Result<Judgement, Fatal> {
        if let Some(judgement) = self.state().judgement.clone() {
            return Ok(judgement);
        }
        let header = Block::from_bytes(&block.bytes).map(|block| block.header);
        let follows = header.is_ok_and(|header| header.last_block_id == self.parent());
        Ok(if follows { Judgement::Valid } else { Judgement::Invalid("wrong parent".to_owned()) })
    }

    async fn commit(&self, decided: DecidedBlock) -> Result<Tip, Fatal> {
        let height = decided.certificate.height;
        decided
            .certificate
            .verify(&self.chain_id, &self.validators)
            .map_err(|error| Fatal(error.to_string()))?;
        {
            let mut state = self.state();
            if state.decided.len() as u64 + 1 != height.0 {
                return Err(Fatal(format!("height {height} does not follow the tip")));
            }
            state.decided.push(decided);
            state.undecided.retain(|(at, ..), _| *at > height);
        }
        self.tip.send_replace(height);
        Ok(self.tip())
    }

    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal> {
        let index = height.0.checked_sub(1).map(|index| index as usize);
        Ok(index.and_then(|index| self.state().decided.get(index).cloned()))
    }

    fn keep_undecided(
        &self,
        height: Height,
        consensus_round: u32,
        block: &ProposedBlock,
    ) -> Result<(), Fatal> {
        self.state().undecided.insert((height, consensus_round, block.id), block.clone());
        Ok(())
    }

    fn undecided(&self, height: Height) -> Result<Vec<(u32, ProposedBlock)>, Fatal> {
        let state = self.state();
        let here = state.undecided.iter().filter(|((at, ..), _)| *at == height);
        Ok(here.map(|((_, round, _), block)| (*round, block.clone())).collect())
    }

    fn evidence(&self, seen: Vec<Equivocation>) {
        self.state().evidence.extend(seen);
    }

    async fn wanted(&self) {
        let mut wanted = self.wanted.subscribe();
        let mut tip = self.tip.subscribe();
        loop {
            if *wanted.borrow_and_update() > *tip.borrow_and_update() {
                return;
            }
            let changed = tokio::select! {
                changed = wanted.changed() => changed,
                changed = tip.changed() => changed,
            };
            changed.expect("this ledger holds the senders");
        }
    }
}
