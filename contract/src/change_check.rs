//! Whether a change can be made to a state.

use std::collections::BTreeSet;

use fedledger_ledger::entry::Standing;
use fedledger_ledger::governance::{Change, MemberKeys, MemberSpec};
use fedledger_ledger::ids::{MemberId, RoundNumber, TaskId};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::{
    ADDRESSES_MAX, ADDRESS_BYTES_MAX, MEMBERS_MAX, TASKS_RUNNING_MAX, TEXT_BYTES_MAX,
};
use thiserror::Error;

use crate::records::{MemberRecord, MemberStatus};
use crate::round::check_roll_back;
use crate::state::StateView;
use crate::state_key;
use crate::task_check::{check_task, TaskFault};

/// Why a change cannot be made. Its text is what the receipt of a refused proposal says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeFault {
    /// The member id is or was in use.
    #[error("the member id `{member}` is taken; ids are never reused")]
    MemberTaken {
        /// The id.
        member: MemberId,
    },
    /// Nobody by that name was ever admitted.
    #[error("`{member}` is not a member")]
    UnknownMember {
        /// The name given.
        member: MemberId,
    },
    /// The member is in that status already.
    #[error("`{member}` is {status:?} already")]
    AlreadyInStatus {
        /// The member.
        member: MemberId,
        /// Its status.
        status: MemberStatus,
    },
    /// Nobody would be left to vote.
    #[error("without `{member}` no validator would be left")]
    LastValidator {
        /// The member.
        member: MemberId,
    },
    /// There would be too many members.
    #[error("there are {max} active members, the most that are allowed")]
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// A key is not one that strict verification accepts.
    #[error("{key} is not a usable Ed25519 public key")]
    UnusableKey {
        /// The key.
        key: PublicKey,
    },
    /// A key is or was in use, by anybody and for anything.
    #[error("the key {key} is taken; keys are never reused")]
    KeyTaken {
        /// The key.
        key: PublicKey,
    },
    /// A text is empty or too long.
    #[error("{what} has {found} bytes, expected {min} to {max}")]
    TextLength {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        found: usize,
        /// Least length allowed.
        min: usize,
        /// Greatest length allowed.
        max: usize,
    },
    /// There are too many network addresses.
    #[error("a member has at most {max} addresses, found {found}")]
    TooManyAddresses {
        /// Their number.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The task id is or was in use.
    #[error("the task id `{task}` is taken; ids are never reused")]
    TaskTaken {
        /// The id.
        task: TaskId,
    },
    /// No such task.
    #[error("there is no task `{task}`")]
    UnknownTask {
        /// The name given.
        task: TaskId,
    },
    /// Too many tasks run at once.
    #[error("{max} tasks are running, the most that are allowed")]
    TooManyTasks {
        /// The limit.
        max: usize,
    },
    /// The task cannot work.
    #[error(transparent)]
    Task(#[from] TaskFault),
    /// The member is not in quarantine, and no notice of it waits for a new baseline.
    #[error("`{member}` is neither in quarantine in `{task}` nor excused by a notice")]
    NotQuarantined {
        /// The task.
        task: TaskId,
        /// The member.
        member: MemberId,
    },
    /// No round after the one named led to a model that is still there.
    #[error("no round of `{task}` after round {round} led to a model: there is nothing to undo")]
    NothingToUndo {
        /// The task.
        task: TaskId,
        /// The round named.
        round: RoundNumber,
    },
    /// What the rounds after it rested on is no longer kept.
    #[error(
        "`{task}` can go back to round {first} less one at the earliest, not to round {round}"
    )]
    RoundNotKept {
        /// The task.
        task: TaskId,
        /// The round named.
        round: RoundNumber,
        /// The first round that is kept.
        first: RoundNumber,
    },
    /// Rounds are being replayed.
    #[error("rounds of `{task}` are being replayed; wait until they are over")]
    ReplayGoesOn {
        /// The task.
        task: TaskId,
    },
    /// The proposer has too many changes waiting.
    #[error("the proposer has {max} changes waiting for approval, the most that are allowed")]
    TooManyOpen {
        /// The limit.
        max: usize,
    },
}

/// Checks that a change can be made now.
pub(crate) fn check_change(state: &StateView<'_>, change: &Change) -> Result<(), ChangeFault> {
    match change {
        Change::AdmitMember { member } => {
            check_room(state)?;
            check_member(state, member)
        }
        Change::SuspendMember { member, reason } => {
            check_text("the reason", reason, 0)?;
            known_other_than(state, member, MemberStatus::Suspended)?;
            if state.active_members().len() == 1 {
                return Err(ChangeFault::LastValidator { member: member.clone() });
            }
            Ok(())
        }
        Change::ReinstateMember { member, reason } => {
            check_text("the reason", reason, 0)?;
            check_room(state)?;
            known_other_than(state, member, MemberStatus::Active)
        }
        Change::RotateKey { member, key, .. } => {
            known(state, member)?;
            check_key(state, *key)
        }
        Change::CreateTask { task } => {
            if state.task_progress(&task.id).is_some() {
                return Err(ChangeFault::TaskTaken { task: task.id.clone() });
            }
            if state.tasks_running().len() >= TASKS_RUNNING_MAX {
                return Err(ChangeFault::TooManyTasks { max: TASKS_RUNNING_MAX });
            }
            Ok(check_task(task, state.active_members().len())?)
        }
        Change::ReleaseQuarantine { task, member, reason } => {
            check_text("the reason", reason, 0)?;
            if state.task_progress(task).is_none() {
                return Err(ChangeFault::UnknownTask { task: task.clone() });
            }
            known(state, member)?;
            let in_quarantine = state.trust(task, member).standing == Standing::Quarantine;
            let history = state.history(task, member);
            let excused = history.is_some_and(|history| history.excused.is_some());
            if !in_quarantine && !excused {
                let (task, member) = (task.clone(), member.clone());
                return Err(ChangeFault::NotQuarantined { task, member });
            }
            Ok(())
        }
        Change::RollBack { task, round, without, reason, .. } => {
            check_text("the reason", reason, 0)?;
            let is_running = state.tasks_running().contains(task);
            if !is_running && state.tasks_running().len() >= TASKS_RUNNING_MAX {
                return Err(ChangeFault::TooManyTasks { max: TASKS_RUNNING_MAX });
            }
            check_roll_back(state, task, *round, without)
        }
    }
}

/// Checks that a member can be admitted: a new id, new usable keys, texts within their limits.
pub(crate) fn check_member(state: &StateView<'_>, spec: &MemberSpec) -> Result<(), ChangeFault> {
    if state.member(&spec.id).is_some() {
        return Err(ChangeFault::MemberTaken { member: spec.id.clone() });
    }
    check_text("the member's name", &spec.name, 1)?;
    let found = spec.addresses.len();
    if found > ADDRESSES_MAX {
        return Err(ChangeFault::TooManyAddresses { found, max: ADDRESSES_MAX });
    }
    for address in &spec.addresses {
        check_length("an address", address, 1, ADDRESS_BYTES_MAX)?;
    }
    let MemberKeys { member, validator, network } = spec.keys;
    let mut seen = BTreeSet::new();
    for key in [member, validator, network] {
        check_key(state, key)?;
        if !seen.insert(key) {
            return Err(ChangeFault::KeyTaken { key });
        }
    }
    Ok(())
}

fn check_room(state: &StateView<'_>) -> Result<(), ChangeFault> {
    if state.active_members().len() >= MEMBERS_MAX {
        return Err(ChangeFault::TooManyMembers { max: MEMBERS_MAX });
    }
    Ok(())
}

fn check_key(state: &StateView<'_>, key: PublicKey) -> Result<(), ChangeFault> {
    if !key.is_usable() {
        return Err(ChangeFault::UnusableKey { key });
    }
    if state.get::<crate::records::KeyUse>(&state_key::public_key(&key)).is_some() {
        return Err(ChangeFault::KeyTaken { key });
    }
    Ok(())
}

fn check_text(what: &'static str, text: &str, min: usize) -> Result<(), ChangeFault> {
    check_length(what, text, min, TEXT_BYTES_MAX)
}

fn check_length(what: &'static str, text: &str, min: usize, max: usize) -> Result<(), ChangeFault> {
    if (min..=max).contains(&text.len()) {
        return Ok(());
    }
    Err(ChangeFault::TextLength { what, found: text.len(), min, max })
}

fn known(state: &StateView<'_>, member: &MemberId) -> Result<MemberRecord, ChangeFault> {
    state.member(member).ok_or_else(|| ChangeFault::UnknownMember { member: member.clone() })
}

fn known_other_than(
    state: &StateView<'_>,
    member: &MemberId,
    status: MemberStatus,
) -> Result<(), ChangeFault> {
    if known(state, member)?.status == status {
        return Err(ChangeFault::AlreadyInStatus { member: member.clone(), status });
    }
    Ok(())
}
