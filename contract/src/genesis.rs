//! The first state.

use std::collections::BTreeMap;

use fedledger_ledger::block::BLOCK_TIME_MAX;
use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::entry::EntryBody;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Height, MemberId, TaskId, TimeMs};
use fedledger_ledger::limits::{GENESIS_BYTES_MAX, MEMBERS_MAX, TASKS_RUNNING_MAX};
use thiserror::Error;

use crate::block::BlockEffects;
use crate::change_check::{check_member, ChangeFault};
use crate::context::Context;
use crate::governance::admit;
use crate::records::ChainHead;
use crate::round::start_task;
use crate::state_key;
use crate::task_check::{check_task, TaskFault};
use crate::validators::validator_set;

/// Why nothing can begin from a genesis document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// It is longer than a genesis document may be.
    #[error("the genesis document is {found} bytes long, at most {max} are allowed")]
    TooLong {
        /// Its canonical length in bytes.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// No block can be later.
    #[error(
        "genesis begins at {found} ms, after which no block can follow: the latest is {max} ms"
    )]
    TimeTooLate {
        /// The latest time of a block.
        max: TimeMs,
        /// When it begins.
        found: TimeMs,
    },
    /// There are no members, or too many.
    #[error("genesis has {found} members, expected 1 to {max}")]
    Members {
        /// Their number.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// There are too many tasks.
    #[error("genesis has {found} tasks, at most {max} are allowed")]
    TooManyTasks {
        /// Their number.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A member cannot be admitted.
    #[error("member `{member}` of genesis: {fault}")]
    Member {
        /// The member.
        member: MemberId,
        /// What is wrong with it.
        fault: ChangeFault,
    },
    /// A task id is there twice.
    #[error("task `{task}` is in genesis twice")]
    RepeatedTask {
        /// The task.
        task: TaskId,
    },
    /// A task cannot work.
    #[error("task `{task}` of genesis: {fault}")]
    Task {
        /// The task.
        task: TaskId,
        /// What is wrong with it.
        fault: TaskFault,
    },
}

/// Makes the first state, version 0: members and tasks, with the first round of each task open.
///
/// # Errors
/// When the document contradicts itself or a task cannot work; see [`GenesisError`].
pub fn genesis(document: &Genesis) -> Result<BlockEffects, GenesisError> {
    let found = to_canonical(document).len();
    if found > GENESIS_BYTES_MAX {
        return Err(GenesisError::TooLong { found, max: GENESIS_BYTES_MAX });
    }
    if document.time >= BLOCK_TIME_MAX {
        return Err(GenesisError::TimeTooLate { max: BLOCK_TIME_MAX, found: document.time });
    }
    let found = document.members.len();
    if found == 0 || found > MEMBERS_MAX {
        return Err(GenesisError::Members { found, max: MEMBERS_MAX });
    }
    let found = document.tasks.len();
    if found > TASKS_RUNNING_MAX {
        return Err(GenesisError::TooManyTasks { found, max: TASKS_RUNNING_MAX });
    }
    let empty: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let chain_id = document.chain_id.clone();
    let mut context = Context::new(&empty, chain_id.clone(), Height(0), document.time);
    context.record(EntryBody::Genesis { genesis: document.digest() });
    for member in &document.members {
        check_member(&context.state, member)
            .map_err(|fault| GenesisError::Member { member: member.id.clone(), fault })?;
        admit(&mut context, member);
    }
    for task in &document.tasks {
        if context.state.task_progress(&task.id).is_some() {
            return Err(GenesisError::RepeatedTask { task: task.id.clone() });
        }
        check_task(task, document.members.len())
            .map_err(|fault| GenesisError::Task { task: task.id.clone(), fault })?;
        start_task(&mut context, task);
    }
    let head =
        ChainHead { chain_id, genesis: document.digest(), height: Height(0), time: document.time };
    context.state.put(state_key::CHAIN_HEAD, &head);
    let validators = validator_set(&context.state);
    let (writes, entries) = context.finish();
    Ok(BlockEffects { writes, entries, receipts: Vec::new(), validators })
}

#[cfg(test)]
mod tests;
