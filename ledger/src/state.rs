//! The state: keys and values under one root, the `app_hash` of each block.
//!
//! The tree is a Jellyfish Merkle tree (the `jmt` crate) over SHA-256, its proofs are ICS23
//! `CommitmentProof`s in protobuf. Versions are block heights, genesis being 0, and each version
//! follows its predecessor. A root is a function of the key-value pairs alone: neither the order of
//! writing nor the history enters it. Keys are hashed, so there are no range proofs; counters kept
//! in the state make "these are all" provable.

mod latest;
mod memory;
mod proof;
#[cfg(test)]
mod tests;
mod tree;
mod trie;

use std::collections::BTreeMap;

pub use latest::LatestState;
pub use memory::MemoryState;
pub use proof::{verify_absence, verify_membership, StateProofError};
pub use tree::{
    apply, prove, root_at, value_at, NodeStore, StateBatch, StateError, STATE_KEY_BYTES_MAX,
    STATE_VALUE_BYTES_MAX,
};

/// Reading the current state.
pub trait StateRead {
    /// The value under `key`, if there is one.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
}

/// What a block changes: each key with its new value, or nothing where the key is removed.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A state with writes on top that are not applied yet.
impl<S: StateRead> StateRead for (&S, &Writes) {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.1.get(key).cloned().unwrap_or_else(|| self.0.get(key))
    }
}

/// Plain key-value pairs are a state too, for tests and tools.
impl StateRead for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        BTreeMap::get(self, key).cloned()
    }
}
