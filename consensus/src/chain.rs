//! The ledger as the engine's application: builds blocks, judges them, makes them durable.
//!
//! The vote path is short. A block is executed once, when it is built or first judged, and the
//! execution is kept until the height is decided. Whatever needs the updates themselves, the
//! decisions of the contract, is computed beside the vote path (see [`Chain::compute`]): a proposer
//! includes a decision when it has it, and a validator that has none yet says *not now*.

mod availability;
mod build;
mod compute;
mod execute;
mod judge;
mod mempool;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use fedledger_contract::block::ExecutionCache;
use fedledger_contract::decide::Decided;
use fedledger_contract::round::next_deadline;
use fedledger_contract::state::StateView;
use fedledger_ledger::block::{ValidatorAddress, ValidatorSet};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, Nonce, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::store::{BlobStore, LedgerStore};
use fedledger_ledger::transaction::Transaction;
use tokio::sync::{watch, Notify};

use self::availability::Availability;
use self::execute::Execution;
use self::mempool::Mempool;
pub use self::mempool::{MempoolError, MEMBER_TRANSACTIONS_MAX};
use crate::application::{
    Application, DecidedBlock, Equivocation, Fatal, Judgement, ProposedBlock, Tip,
};

/// How far a block's time may be ahead of a validator's own clock. A proposer that drags deadlines
/// forward is refused beyond this; honest hospital clocks (NTP) differ by far less.
pub const CLOCK_AHEAD_MAX_MS: u64 = 3_000;

/// Names a decision that the state waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DecisionKey {
    task: TaskId,
    round: RoundNumber,
    /// Whether it lists candidates; otherwise it is the outcome.
    candidates: bool,
}

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It could not stand in any block.
    #[error(transparent)]
    Fault(#[from] fedledger_contract::check::TransactionFault),
    /// There is no room for it, or it is out of sequence.
    #[error(transparent)]
    Mempool(#[from] MempoolError),
}

/// What changes with every block and in between.
struct Shared {
    /// Hash of the last block; nothing before the first.
    tip_id: Option<Digest>,
    height: Height,
    time: TimeMs,
    root: Digest,
    validators: ValidatorSet,
    mempool: Mempool,
    availability: Availability,
    /// Decisions that this node computed and that are not on the ledger yet.
    computed: BTreeMap<DecisionKey, Arc<Decided>>,
    /// Executions of blocks of the next height, by block id.
    executions: BTreeMap<Digest, Arc<Execution>>,
    /// The block built for a consensus round of the next height.
    built: BTreeMap<u32, ProposedBlock>,
}

/// The ledger of one node: the store, what waits for a block, and what has been computed.
pub struct Chain {
    genesis: Genesis,
    store: LedgerStore,
    blobs: Arc<BlobStore>,
    /// The address under which this node proposes; an observer has none.
    proposer: ValidatorAddress,
    clock: fn() -> TimeMs,
    shared: Mutex<Shared>,
    /// What executing and checking worked out before. Taken after `shared`, if both are.
    cache: Mutex<ExecutionCache>,
    /// Something may have become decidable.
    work: Notify,
    heights: watch::Sender<Height>,
}

/// The wall clock in milliseconds: what a proposer writes and a validator compares with.
pub fn system_clock() -> TimeMs {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is past 1970");
    TimeMs(u64::try_from(since.as_millis()).expect("the clock is before the year 500 million"))
}

impl Chain {
    /// Opens the chain on a store that holds at least genesis.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        genesis: Genesis,
        store: LedgerStore,
        blobs: Arc<BlobStore>,
        proposer: ValidatorAddress,
        clock: fn() -> TimeMs,
    ) -> Result<Arc<Self>, Fatal> {
        let tip = store.tip().map_err(fatal)?;
        let shared = Shared {
            tip_id: tip.hash,
            height: tip.height,
            time: tip.time,
            root: tip.app_hash,
            validators: store.validators(tip.height.next()).map_err(fatal)?,
            mempool: Mempool::default(),
            availability: Availability::default(),
            computed: BTreeMap::new(),
            executions: BTreeMap::new(),
            built: BTreeMap::new(),
        };
        let (heights, _) = watch::channel(shared.height);
        Ok(Arc::new(Self {
            genesis,
            store,
            blobs,
            proposer,
            clock,
            shared: Mutex::new(shared),
            cache: Mutex::new(ExecutionCache::remembering()),
            work: Notify::new(),
            heights,
        }))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no thread panics while it holds this lock")
    }

    fn cache(&self) -> MutexGuard<'_, ExecutionCache> {
        self.cache.lock().expect("no thread panics while it holds this lock")
    }

    /// The store under the chain.
    pub fn store(&self) -> &LedgerStore {
        &self.store
    }

    /// The blobs that this node holds.
    pub fn blobs(&self) -> &Arc<BlobStore> {
        &self.blobs
    }

    /// The document that the chain began with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The decided heights, as they come.
    pub fn subscribe(&self) -> watch::Receiver<Height> {
        self.heights.subscribe()
    }

    /// Takes a transaction into the mempool. Returns whether it is new.
    ///
    /// # Errors
    /// When it could not stand in any block, or there is no room for it.
    pub fn submit(&self, transaction: Transaction) -> Result<bool, SubmitError> {
        use fedledger_contract::check::{check_transaction_with, TransactionFault};
        let mut shared = self.shared();
        match check_transaction_with(&mut self.cache(), &self.store, &transaction) {
            Ok(()) | Err(TransactionFault::WrongNonce { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        let used = StateView::new(&self.store).nonce(&transaction.body.member);
        let new = shared.mempool.insert(transaction, used)?;
        drop(shared);
        if new {
            self.work.notify_waiters();
        }
        Ok(new)
    }

    /// Whether a transaction waits for a block here.
    pub fn is_waiting(&self, transaction: &Digest) -> bool {
        self.shared().mempool.contains(transaction)
    }

    /// The transactions that wait here, for handing them to a member that was away.
    pub fn waiting(&self) -> Vec<Transaction> {
        self.shared().mempool.all().map(|waiting| waiting.transaction.clone()).collect()
    }

    /// How many transactions of a member wait here.
    pub fn waiting_of(&self, member: &fedledger_ledger::ids::MemberId) -> usize {
        let shared = self.shared();
        shared.mempool.all().filter(|waiting| waiting.transaction.body.member == *member).count()
    }

    /// The nonce that a member's next transaction should carry: after the ledger's and after those
    /// that wait.
    pub fn next_nonce(&self, member: &fedledger_ledger::ids::MemberId) -> Nonce {
        let used = StateView::new(&self.store).nonce(member);
        self.shared().mempool.highest_nonce(member).map_or(used, |highest| highest.max(used)).next()
    }

    /// Whether a block could be made now that is worth making.
    fn has_work(&self) -> bool {
        let now = (self.clock)();
        if next_deadline(&self.store).is_some_and(|deadline| deadline <= now) {
            return true;
        }
        let shared = self.shared();
        !self.decisions_ready(&shared).is_empty() || !self.transactions_ready(&shared).is_empty()
    }
}

/// Turns an error of the store into a stop of the node.
fn fatal(error: impl std::fmt::Display) -> Fatal {
    Fatal(error.to_string())
}

#[async_trait]
impl Application for Chain {
    fn tip(&self) -> Tip {
        let shared = self.shared();
        Tip { height: shared.height, validators: shared.validators.clone() }
    }

    fn first_height(&self) -> Height {
        Height(1)
    }

    async fn propose(
        &self,
        height: Height,
        consensus_round: u32,
        patience: Duration,
    ) -> Result<ProposedBlock, Fatal> {
        self.build(height, consensus_round, patience).await
    }

    async fn judge(&self, height: Height, block: &ProposedBlock) -> Result<Judgement, Fatal> {
        self.judge_block(height, block)
    }

    async fn commit(&self, decided: DecidedBlock) -> Result<Tip, Fatal> {
        self.commit_block(&decided)
    }

    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal> {
        if height.0 == 0 || height > self.shared().height {
            return Ok(None);
        }
        let block = self.store.block(height).map_err(fatal)?;
        let certificate = self.store.certificate(height).map_err(fatal)?;
        let block = ProposedBlock { id: block.hash(), bytes: block.to_bytes().into() };
        Ok(Some(DecidedBlock { block, certificate }))
    }

    fn keep_undecided(
        &self,
        height: Height,
        consensus_round: u32,
        block: &ProposedBlock,
    ) -> Result<(), Fatal> {
        self.store.put_undecided(height, consensus_round, &block.id, &block.bytes).map_err(fatal)
    }

    fn undecided(&self, height: Height) -> Result<Vec<(u32, ProposedBlock)>, Fatal> {
        let kept = self.store.undecided_of_height(height).map_err(fatal)?;
        Ok(kept
            .into_iter()
            .map(|(round, id, bytes)| (round, ProposedBlock { id, bytes: bytes.into() }))
            .collect())
    }

    fn evidence(&self, seen: Vec<Equivocation>) {
        for one in seen {
            tracing::error!(
                validator = %one.validator,
                height = %one.height,
                consensus_round = one.consensus_round,
                "equivocation: a validator signed two different messages for one step"
            );
        }
    }

    async fn wanted(&self) {
        loop {
            let notified = self.work.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.has_work() {
                return;
            }
            let wait = next_deadline(&self.store)
                .map(|deadline| Duration::from_millis(deadline.0.saturating_sub((self.clock)().0)));
            match wait {
                // The next deadline is itself work: no event announces it, so a timer does.
                Some(wait) => {
                    tokio::select! {
                        () = &mut notified => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                None => notified.await,
            }
        }
    }
}
