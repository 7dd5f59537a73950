//! One block: from a state and a block's contents to the next state, entries and receipts.

use fedledger_ledger::block::{Block, BlockBody, ValidatorSet, BLOCK_TIME_MAX};
use fedledger_ledger::decision::Decision;
use fedledger_ledger::entry::{Entry, EntryBody, Receipt, Rejection};
use fedledger_ledger::ids::{Height, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::BLOCK_TRANSACTIONS_MAX;
use fedledger_ledger::state::{StateRead, Writes};
use fedledger_ledger::transaction::{Action, Transaction};
use thiserror::Error;

use crate::check::{check_in, Signatures, TransactionFault};
use crate::context::Context;
use crate::governance;
use crate::outcome::{self, DecisionFault};
use crate::records::ChainHead;
use crate::round;
use crate::state::StateView;
use crate::state_key;
use crate::validators::{validator_keys, validator_set};

/// What a block says, apart from its header's links.
#[derive(Debug, Clone, Copy)]
pub struct BlockInput<'a> {
    /// Its height.
    pub height: Height,
    /// Its time, as the proposer said and the validators accepted.
    pub time: TimeMs,
    /// Its transactions, in order.
    pub transactions: &'a [Transaction],
    /// Its decisions, in order.
    pub decisions: &'a [Decision],
}

impl<'a> BlockInput<'a> {
    /// What a block of these contents says at this height and time.
    pub fn new(height: Height, time: TimeMs, body: &'a BlockBody) -> Self {
        Self { height, time, transactions: &body.transactions, decisions: &body.decisions }
    }

    /// What a block says.
    pub fn of(block: &'a Block) -> Self {
        Self::new(block.header.height, block.header.time, &block.body)
    }
}

/// What follows from a block.
#[derive(Debug, Clone)]
pub struct BlockEffects {
    /// What changes in the state.
    pub writes: Writes,
    /// What is appended to the log, in order.
    pub entries: Vec<Entry>,
    /// What became of each transaction, in their order.
    pub receipts: Vec<Receipt>,
    /// Who votes on the next block.
    pub validators: ValidatorSet,
}

/// Why a block cannot follow a state. An honest proposer makes no such block and an honest
/// validator votes for none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// The state is not one that the contract made.
    #[error("the state has no genesis")]
    NoGenesis,
    /// The height does not follow.
    #[error("the block's height is {found}, expected {expected}")]
    WrongHeight {
        /// The height that follows the state's.
        expected: Height,
        /// The block's.
        found: Height,
    },
    /// Time does not move on.
    #[error("the block's time is {found} ms, it must be after {previous} ms")]
    TimeNotAfter {
        /// Time of the previous block.
        previous: TimeMs,
        /// The block's.
        found: TimeMs,
    },
    /// It is later than any block can be.
    #[error("the block's time is {found} ms, the latest that a block can have is {max} ms")]
    TimeTooLate {
        /// The latest time of a block.
        max: TimeMs,
        /// The block's.
        found: TimeMs,
    },
    /// It holds too many transactions.
    #[error("the block holds {found} transactions, at most {max} are allowed")]
    TooManyTransactions {
        /// Their number.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// It holds nothing, and no deadline is due at its time.
    #[error("the block holds nothing and no deadline is due before it")]
    Nothing,
    /// A transaction may not stand in it.
    #[error("transaction {index} of the block: {fault}")]
    Transaction {
        /// Its place in the block, from 0.
        index: usize,
        /// What is wrong with it.
        fault: TransactionFault,
    },
    /// A decision is not one that the state waits for.
    #[error("decision {index} of the block, on round {round} of `{task}`: {fault}")]
    Decision {
        /// Its place in the block, from 0.
        index: usize,
        /// The task it is about.
        task: TaskId,
        /// The round it is about.
        round: RoundNumber,
        /// What is wrong with it.
        fault: DecisionFault,
    },
}

/// Carries out a block: first its decisions, then the deadlines that are due at its time, then its
/// transactions, then the phases that have nothing left to wait for, then approved changes. So a
/// decision that the state waits for is valid in the next block whatever that block's time, and a
/// transaction after a deadline is late whoever proposes the block.
///
/// A decision is checked for its shape only (see [`DecisionFault`]): who validates compares it with
/// what [`crate::decide::decide`] gives.
///
/// # Errors
/// When the block cannot follow the state; see [`BlockError`].
pub fn apply_block(
    state: &dyn StateRead,
    input: &BlockInput<'_>,
) -> Result<BlockEffects, BlockError> {
    apply_block_with(&mut ExecutionCache::default(), state, input)
}

/// What an executor worked out in one block and may use again in the next: keys as points, the
/// validator set of a list of keys and, if it remembers, valid signatures. It is looked up by what it follows from, so no cache, old or
/// from another ledger, changes what a block leads to.
#[derive(Debug, Clone, Default)]
pub struct ExecutionCache {
    pub(crate) signatures: Signatures,
    validators: Option<(Vec<PublicKey>, ValidatorSet)>,
}

impl ExecutionCache {
    /// A cache that also remembers which transactions have a valid signature: for a node, which
    /// checks each one when it arrives, when it is proposed and when it is carried out.
    pub fn remembering() -> Self {
        Self { signatures: Signatures::remembering(), validators: None }
    }

    /// The validators of the height after the state's.
    fn validators(&mut self, state: &StateView<'_>) -> ValidatorSet {
        let keys = validator_keys(state);
        match &self.validators {
            Some((known, set)) if *known == keys => set.clone(),
            _ => {
                let set = validator_set(state);
                self.validators = Some((keys, set.clone()));
                set
            }
        }
    }
}

/// As [`apply_block`], for whoever carries out many blocks.
///
/// # Errors
/// As [`apply_block`].
pub fn apply_block_with(
    cache: &mut ExecutionCache,
    state: &dyn StateRead,
    input: &BlockInput<'_>,
) -> Result<BlockEffects, BlockError> {
    let head = StateView::new(state).chain_head().ok_or(BlockError::NoGenesis)?;
    check_header(state, &head, input)?;
    let mut context = Context::new(state, head.chain_id.clone(), input.height, input.time);
    for (index, decision) in input.decisions.iter().enumerate() {
        outcome::apply_decision(&mut context, decision).map_err(|fault| {
            let (task, round) = decision.subject();
            BlockError::Decision { index, task: task.clone(), round, fault }
        })?;
    }
    round::advance(&mut context);
    let mut receipts = Vec::with_capacity(input.transactions.len());
    for (index, transaction) in input.transactions.iter().enumerate() {
        check_in(&context.state, &mut cache.signatures, transaction)
            .map_err(|fault| BlockError::Transaction { index, fault })?;
        receipts.push(apply_transaction(&mut context, transaction));
    }
    round::advance(&mut context);
    governance::apply_approved(&mut context);
    context
        .state
        .put(state_key::CHAIN_HEAD, &ChainHead { height: input.height, time: input.time, ..head });
    let validators = cache.validators(&context.state);
    let (writes, entries) = context.finish();
    Ok(BlockEffects { writes, entries, receipts, validators })
}

fn check_header(
    state: &dyn StateRead,
    head: &ChainHead,
    input: &BlockInput<'_>,
) -> Result<(), BlockError> {
    if input.height != head.height.next() {
        return Err(BlockError::WrongHeight { expected: head.height.next(), found: input.height });
    }
    if input.time <= head.time {
        return Err(BlockError::TimeNotAfter { previous: head.time, found: input.time });
    }
    // At the end of time no deadline would lie ahead, and rounds would fail one after the other.
    if input.time > BLOCK_TIME_MAX {
        return Err(BlockError::TimeTooLate { max: BLOCK_TIME_MAX, found: input.time });
    }
    let found = input.transactions.len();
    if found > BLOCK_TRANSACTIONS_MAX {
        return Err(BlockError::TooManyTransactions { found, max: BLOCK_TRANSACTIONS_MAX });
    }
    let empty = input.transactions.is_empty() && input.decisions.is_empty();
    if empty && round::next_deadline(state).is_none_or(|deadline| input.time < deadline) {
        return Err(BlockError::Nothing);
    }
    Ok(())
}

/// Carries out one transaction that [`check_in`] let pass, and records it with its receipt.
fn apply_transaction(context: &mut Context<'_>, transaction: &Transaction) -> Receipt {
    let body = &transaction.body;
    context.state.put(&state_key::nonce(&body.member), &body.nonce);
    let result = match context.state.member_shared(&body.member) {
        Some(member) if member.is_active() => apply_action(context, transaction),
        _ => Err(Rejection::MemberSuspended),
    };
    let receipt = match &result {
        Ok(()) => Receipt::Accepted,
        Err(rejection) => Receipt::Refused { rejection: rejection.clone() },
    };
    context.record(EntryBody::Transaction {
        transaction: transaction.clone(),
        receipt: receipt.clone(),
    });
    if matches!(result, Err(Rejection::Equivocation { .. })) {
        round::record_equivocation(context, transaction);
    }
    receipt
}

fn apply_action(context: &mut Context<'_>, transaction: &Transaction) -> Result<(), Rejection> {
    match &transaction.body.action {
        Action::CommitUpdate { .. }
        | Action::RevealUpdate { .. }
        | Action::SubmitEvaluation { .. }
        | Action::AnnounceDataChange { .. } => round::apply_submission(context, transaction),
        Action::ProposeChange { change } => {
            governance::propose(context, &transaction.body.member, change)
        }
        Action::Approve { change } => {
            governance::approve(context, &transaction.body.member, change)
        }
    }
}

#[cfg(test)]
mod tests;
