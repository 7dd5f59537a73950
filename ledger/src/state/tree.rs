//! The Jellyfish Merkle tree, over whatever keeps its nodes.

use jmt::storage::{HasPreimage, Node, NodeKey, StaleNodeIndex, TreeReader};
use jmt::{KeyHash, Sha256Jmt};
use prost::Message as _;
use sha2::Sha256;
use thiserror::Error;

use super::Writes;
use crate::ids::Digest;

/// Longest key in bytes: a few ids with their separators.
pub const STATE_KEY_BYTES_MAX: usize = 256;
/// Longest value in bytes. The largest, a task with a thousand tensors, stays below.
pub const STATE_VALUE_BYTES_MAX: usize = 8 << 20;

/// What keeps the nodes: the two reading traits of `jmt`.
pub trait NodeStore: TreeReader + HasPreimage {}
impl<S: TreeReader + HasPreimage> NodeStore for S {}

/// Why the state tree could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// A key is empty or too long. ICS23 cannot prove the absence of an empty key.
    #[error("state key of {found} bytes: 1 to {max} are allowed")]
    KeyLength {
        /// Length found.
        found: usize,
        /// Longest length allowed.
        max: usize,
    },
    /// A value is empty or too long. ICS23 cannot prove an empty value.
    #[error("state value of {found} bytes under `{key}`: 1 to {max} are allowed")]
    ValueLength {
        /// The key, with what is not printable escaped.
        key: String,
        /// Length found.
        found: usize,
        /// Longest length allowed.
        max: usize,
    },
    /// The version has no tree: it is in the future, was pruned, or follows a gap.
    #[error("the state has no version {version}")]
    UnknownVersion {
        /// The version asked for.
        version: u64,
    },
    /// A proof was asked of a state without any key.
    #[error("the state is empty at version {version}: there is nothing to prove against")]
    Empty {
        /// The version asked for.
        version: u64,
    },
    /// The storage failed, or a node that must exist does not.
    #[error("the state tree cannot be read: {reason}")]
    Storage {
        /// What the storage says.
        reason: String,
    },
}

impl StateError {
    pub(super) fn storage(error: impl std::fmt::Display) -> Self {
        Self::Storage { reason: format!("{error:#}") }
    }
}

/// What one version adds to the storage. All of it is written or none.
#[derive(Debug, Clone, Default)]
pub struct StateBatch {
    /// New nodes.
    pub nodes: Vec<(NodeKey, Node)>,
    /// The values of this version by the hash of their key; nothing where the key was removed.
    pub values: Vec<(KeyHash, Option<Vec<u8>>)>,
    /// Keys by their hash, which proofs of absence need.
    pub preimages: Vec<(KeyHash, Vec<u8>)>,
    /// Nodes that later versions no longer reach.
    pub stale: Vec<NodeKey>,
}

fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash::with::<Sha256>(key)
}

pub(super) fn check_lengths(writes: &Writes) -> Result<(), StateError> {
    for (key, value) in writes {
        if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX {
            return Err(StateError::KeyLength { found: key.len(), max: STATE_KEY_BYTES_MAX });
        }
        let Some(value) = value else { continue };
        if value.is_empty() || value.len() > STATE_VALUE_BYTES_MAX {
            return Err(StateError::ValueLength {
                key: key.escape_ascii().to_string(),
                found: value.len(),
                max: STATE_VALUE_BYTES_MAX,
            });
        }
    }
    Ok(())
}

/// The root that follows from `writes` on top of `version - 1` (or of nothing, for version 0), and
/// what has to be stored for it. Removing a key that does not exist changes nothing.
///
/// # Errors
/// When a key or value has a length that is not allowed, the version before does not exist, or the
/// storage fails.
pub fn apply<S: NodeStore>(
    store: &S,
    version: u64,
    writes: &Writes,
) -> Result<(Digest, StateBatch), StateError> {
    check_lengths(writes)?;
    if version > 0 {
        root_at(store, version - 1)?;
    }
    let set: Vec<_> = writes.iter().map(|(key, value)| (key_hash(key), value.clone())).collect();
    let (root, update) =
        Sha256Jmt::new(store).put_value_set(set, version).map_err(StateError::storage)?;
    let batch = StateBatch {
        nodes: update.node_batch.nodes().iter().map(|(k, n)| (k.clone(), n.clone())).collect(),
        values: update.node_batch.values().iter().map(|((_, k), v)| (*k, v.clone())).collect(),
        preimages: writes.keys().map(|key| (key_hash(key), key.clone())).collect(),
        stale: update
            .stale_node_index_batch
            .into_iter()
            .map(|StaleNodeIndex { node_key, .. }| node_key)
            .collect(),
    };
    Ok((Digest(root.0), batch))
}

/// The root at a version.
///
/// # Errors
/// When there is no such version or the storage fails.
pub fn root_at<S: NodeStore>(store: &S, version: u64) -> Result<Digest, StateError> {
    Sha256Jmt::new(store)
        .get_root_hash_option(version)
        .map_err(StateError::storage)?
        .map(|root| Digest(root.0))
        .ok_or(StateError::UnknownVersion { version })
}

/// The value under `key` at a version, read through the tree.
///
/// # Errors
/// When there is no such version or the storage fails.
pub fn value_at<S: NodeStore>(
    store: &S,
    key: &[u8],
    version: u64,
) -> Result<Option<Vec<u8>>, StateError> {
    root_at(store, version)?;
    Sha256Jmt::new(store).get(key_hash(key), version).map_err(StateError::storage)
}

/// The value under `key` at a version, with the ICS23 `CommitmentProof` (protobuf) of its presence
/// or, when there is none, of its absence.
///
/// # Errors
/// When there is no such version, the state is empty, or the storage fails.
pub fn prove<S: NodeStore>(
    store: &S,
    key: &[u8],
    version: u64,
) -> Result<(Option<Vec<u8>>, Vec<u8>), StateError> {
    if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX {
        return Err(StateError::KeyLength { found: key.len(), max: STATE_KEY_BYTES_MAX });
    }
    root_at(store, version)?;
    let tree = Sha256Jmt::new(store);
    if tree.get_leaf_count(version).map_err(StateError::storage)? == 0 {
        return Err(StateError::Empty { version });
    }
    let (value, proof) =
        tree.get_with_ics23_proof(key.to_vec(), version).map_err(StateError::storage)?;
    Ok((value, proof.encode_to_vec()))
}
