//! What can go wrong with the store, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::ids::{ChainId, Digest, Height};
use crate::state::StateError;
use crate::verify::VerifyError;

/// What a check found wrong on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// A record that must exist does not.
    #[error("{record} is missing")]
    Missing {
        /// The record, by its kind and place.
        record: String,
    },
    /// A record's checksum does not match, or its bytes do not decode.
    #[error("{record} is unreadable: {reason}")]
    Unreadable {
        /// The record, by its kind and place.
        record: String,
        /// What is wrong with its bytes.
        reason: String,
    },
    /// Two things that must agree do not.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The stored chain does not verify.
    #[error("the stored chain does not verify: {0}")]
    Chain(VerifyError),
    /// The storage engine cannot read its files.
    #[error("the database files cannot be read: {reason}")]
    Engine {
        /// What the engine says.
        reason: String,
    },
}

impl Damage {
    pub(super) fn mismatch(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Mismatch {
            what: what.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}

/// Why the store refuses.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the ledger in {} is in use by another process; stop that node first, or give this one a folder of its own", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system failed. The node must stop: what it wrote last may not be on disk.
    #[error("cannot {action} {}: {source}", path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage engine failed. The node must stop.
    #[error("the database in {} cannot {action}: {reason}", dir.display())]
    Engine {
        /// The folder.
        dir: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// An earlier write failed; nothing more is written until the store is opened again.
    #[error("the ledger in {} had a failed write; restart the node so that the disk is checked", dir.display())]
    Failed {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder was written by another version of the software.
    #[error("the ledger in {} has store schema {found}, this software reads {expected}; use the version that wrote it, or move the folder away and let the node fetch the ledger from its peers", dir.display())]
    Schema {
        /// The folder.
        dir: PathBuf,
        /// Schema that this code reads.
        expected: u64,
        /// Schema found.
        found: u64,
    },
    /// The folder holds another ledger.
    #[error("the folder {} holds the ledger `{found}`, not `{expected}`; check the folder and the genesis file", dir.display())]
    OtherChain {
        /// The folder.
        dir: PathBuf,
        /// The chain that was asked for.
        expected: ChainId,
        /// The chain that is stored.
        found: ChainId,
    },
    /// The folder holds a ledger of the same name that began otherwise.
    #[error("the ledger in {} began with genesis {found}, not {expected}; check the genesis file", dir.display())]
    OtherGenesis {
        /// The folder.
        dir: PathBuf,
        /// Digest that was asked for.
        expected: Digest,
        /// Digest that is stored.
        found: Digest,
    },
    /// What is on the disk is not what was written. Nothing is repaired.
    #[error("the ledger in {} is damaged: {damage}. Nothing is repaired here: check the disk, move the folder away, and let the node fetch the ledger from its peers (it must not sign until it has caught up)", dir.display())]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// No genesis was stored yet.
    #[error("the ledger in {} has no genesis yet", dir.display())]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// Genesis is stored already.
    #[error("the ledger in {} has its genesis already", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// A block that does not extend the stored chain.
    #[error("the block cannot be stored: {0}")]
    Chain(#[from] VerifyError),
    /// The writes do not lead to the state root that the block names.
    #[error("block {height} cannot be stored: its writes lead to state root {found}, its header says {expected}")]
    StateRoot {
        /// The block's height.
        height: Height,
        /// Root in the header.
        expected: Digest,
        /// Root that the writes lead to.
        found: Digest,
    },
    /// The entries do not lead to the log head that the state holds.
    #[error("block {height} cannot be stored: its {entries} entries lead to a log of {found}, the state's `log/head` says {expected}")]
    LogHead {
        /// The block's height.
        height: Height,
        /// Number of entries given.
        entries: usize,
        /// Size and root in the state.
        expected: String,
        /// Size and root that the entries lead to.
        found: String,
    },
    /// An entry is over its limit.
    #[error("entry {index} of block {height} has {found} bytes, at most {max} are allowed")]
    EntryTooLong {
        /// The block's height.
        height: Height,
        /// The entry's position in the block.
        index: usize,
        /// Its length in bytes.
        found: usize,
        /// Longest length allowed.
        max: usize,
    },
    /// A height that is not stored.
    #[error("height {height} is not stored; the tip is {tip}")]
    UnknownHeight {
        /// The height asked for.
        height: Height,
        /// The tip.
        tip: Height,
    },
    /// Entries that the log does not have.
    #[error("entry {index} is not stored; the log has {size} entries")]
    UnknownEntry {
        /// The index asked for.
        index: u64,
        /// Number of entries.
        size: u64,
    },
    /// Sizes between which there is no consistency proof.
    #[error("there is no consistency proof from {first} to {second} entries; the log has {size}")]
    UnknownSizes {
        /// The older size.
        first: u64,
        /// The newer size.
        second: u64,
        /// Number of entries.
        size: u64,
    },
    /// The state tree refused.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Makes a [`StoreError::Disk`] of an I/O error.
pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Disk { action, path, source }
}
