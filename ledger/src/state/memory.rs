//! A state in memory with its history, for proofs and tests.

use std::collections::BTreeMap;

use jmt::storage::{HasPreimage, LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue};

use super::trie::EMPTY_ROOT;
use super::{tree, StateError, StateRead, Writes};
use crate::ids::Digest;

/// Nodes, values of all kept versions and key preimages.
#[derive(Debug, Clone, Default)]
struct Kept {
    tree: BTreeMap<NodeKey, Node>,
    values: BTreeMap<(KeyHash, u64), Option<OwnedValue>>,
    preimages: BTreeMap<KeyHash, Vec<u8>>,
}

impl TreeReader for Kept {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.tree.get(key).cloned())
    }

    fn get_value_option(&self, version: u64, key: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        let latest = self.values.range((key, 0)..=(key, version)).next_back();
        Ok(latest.and_then(|(_, value)| value.clone()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("only a tree that is being restored is asked for its rightmost leaf")
    }
}

impl HasPreimage for Kept {
    fn preimage(&self, key: KeyHash) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.preimages.get(&key).cloned())
    }
}

/// A state whose values, nodes and history are in memory.
#[derive(Debug, Clone)]
pub struct MemoryState {
    current: BTreeMap<Vec<u8>, Vec<u8>>,
    kept: Kept,
    version: Option<u64>,
    root: Digest,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryState {
    /// An empty state that keeps every version, for proofs and reads at any height.
    pub fn new() -> Self {
        Self { current: BTreeMap::new(), kept: Kept::default(), version: None, root: EMPTY_ROOT }
    }

    /// Applies a version's writes and returns the new root. The first version is 0 (genesis); each
    /// one after is its predecessor's plus one. On an error nothing is changed.
    ///
    /// # Errors
    /// When the version does not follow, or a key or value has a length that is not allowed.
    pub fn apply(&mut self, version: u64, writes: &Writes) -> Result<Digest, StateError> {
        if version != self.version.map_or(0, |version| version + 1) {
            return Err(StateError::UnknownVersion { version: version.saturating_sub(1) });
        }
        let (root, batch) = tree::apply(&self.kept, version, writes)?;
        self.kept.tree.extend(batch.nodes);
        self.kept.preimages.extend(batch.preimages);
        let values = batch.values.into_iter();
        self.kept.values.extend(values.map(|(key, value)| ((key, version), value)));
        for (key, value) in writes {
            match value {
                Some(value) => drop(self.current.insert(key.clone(), value.clone())),
                None => drop(self.current.remove(key)),
            }
        }
        (self.version, self.root) = (Some(version), root);
        Ok(root)
    }

    /// The latest root; that of the empty tree before anything is applied.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The root that `writes` would lead to as the next version, without applying them.
    ///
    /// # Errors
    /// When a key or value has a length that is not allowed.
    pub fn root_after(&self, writes: &Writes) -> Result<Digest, StateError> {
        let next = self.version.map_or(0, |version| version + 1);
        tree::apply(&self.kept, next, writes).map(|(root, _)| root)
    }

    /// The latest version, if any was applied.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// All current keys and values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.current.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The value under `key` at a version.
    ///
    /// # Errors
    /// When that version is not kept.
    pub fn get_at(&self, version: u64, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        tree::value_at(&self.kept, key, version)
    }

    /// The root at a version.
    ///
    /// # Errors
    /// When that version is not kept.
    pub fn root_at(&self, version: u64) -> Result<Digest, StateError> {
        tree::root_at(&self.kept, version)
    }

    /// The value under `key` at a version with its proof of presence, or the proof of its absence.
    ///
    /// # Errors
    /// When that version is not kept or is empty.
    pub fn prove(
        &self,
        key: &[u8],
        version: u64,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), StateError> {
        tree::prove(&self.kept, key, version)
    }
}

impl StateRead for MemoryState {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.current.get(key).cloned()
    }
}
