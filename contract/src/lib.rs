//! The contract: what every node computes, and nobody has to believe.
//!
//! A pure function of the chain: [`genesis::genesis`] makes the first state, [`block::apply_block`]
//! leads from a state and a block to the next state, entries and receipts, and [`decide::decide`]
//! computes the decisions that the state waits for, outside the vote path. Updates are integers
//! ([`canonical`]), rules are exact ([`aggregate`]), and [`mod@judge`] turns a round's updates into an
//! aggregate and a verdict on each. [`replay`] does all of it again for an outsider.
//!
//! There is no float, clock, randomness or I/O here. Time is the block's. Threads share only
//! independent pieces of exact work, so their number cannot change a bit. `docs/spec/contract.md`
//! has the rules in words and the keys of the state.

pub mod aggregate;
pub mod block;
pub mod canonical;
pub mod check;
pub mod decide;
pub mod genesis;
pub mod history;
pub mod integer;
pub mod judge;
pub mod outcome;
pub mod profile;
pub mod records;
pub mod replay;
pub mod round;
pub mod state;
pub mod state_key;
pub mod task_check;
pub mod trust;
pub mod views;

mod change_check;
mod context;
mod draw;
mod evaluation;
mod governance;
mod validators;

#[cfg(test)]
mod testing;

pub use block::{
    apply_block, apply_block_with, BlockEffects, BlockError, BlockInput, ExecutionCache,
};
pub use change_check::ChangeFault;
pub use check::{check_transaction, check_transaction_with, select_transactions, TransactionFault};
pub use decide::{decide, pending, BlobRead, DecideError, Decided, Pending, PendingKind};
pub use genesis::{genesis, GenesisError};
pub use judge::{judge, judge_updates, RoundInputs, RoundJudgement};
pub use outcome::DecisionFault;
pub use replay::{MissingBlob, Recomputed, ReplayError, ReplayedBlock, Replayer};
pub use round::next_deadline;
pub use state::StateView;
pub use task_check::{check_task, TaskFault};
