//! The latest version of a state in memory, for replay: values and root, no history, no proofs.

use std::collections::BTreeMap;

use super::trie::{Trie, EMPTY_ROOT};
use super::{tree, StateError, StateRead, Writes};
use crate::ids::Digest;

/// A state of which only the latest version is kept, so that its size does not grow with the number
/// of versions. Its roots are those of [`MemoryState`](super::MemoryState).
#[derive(Debug, Clone)]
pub struct LatestState {
    current: BTreeMap<Vec<u8>, Vec<u8>>,
    trie: Trie,
    version: Option<u64>,
    root: Digest,
}

impl Default for LatestState {
    fn default() -> Self {
        Self::new()
    }
}

impl LatestState {
    /// An empty state.
    pub fn new() -> Self {
        Self { current: BTreeMap::new(), trie: Trie::default(), version: None, root: EMPTY_ROOT }
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
        tree::check_lengths(writes)?;
        for (key, value) in writes {
            // What is written again as it was costs no hash.
            if self.current.get(key) == value.as_ref() {
                continue;
            }
            self.trie.set(key, value.as_deref());
            match value {
                Some(value) => drop(self.current.insert(key.clone(), value.clone())),
                None => drop(self.current.remove(key)),
            }
        }
        (self.version, self.root) = (Some(version), self.trie.root());
        Ok(self.root)
    }

    /// The latest root; that of the empty tree before anything is applied.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The latest version, if any was applied.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// All keys and values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.current.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl StateRead for LatestState {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.current.get(key).cloned()
    }
}
