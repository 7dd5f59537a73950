//! The log: one append-only Merkle tree over all entries of the chain, hashed as RFC 9162 §2.1
//! says, so that any verifier of Certificate Transparency or C2SP logs can check it.
//!
//! `leaf = SHA-256(0x00 ‖ bytes)`, `node = SHA-256(0x01 ‖ left ‖ right)`, the empty tree is
//! SHA-256 of nothing, and a tree of n > 1 leaves splits at the largest power of two below n. The
//! state keeps only the right edge ([`LogHead`]); proofs are made from stored nodes ([`LogNodes`])
//! and checked by [`verify_inclusion`] and [`verify_consistency`].

mod frontier;
mod proof;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

pub use frontier::{Frontier, LogHead};
pub use proof::{
    consistency_path, inclusion_path, verify_consistency, verify_inclusion, LogNodes, MissingNode,
    ProofError, LOG_SIZE_MAX,
};

/// The state key under which the contract keeps the [`LogHead`] in its canonical bytes.
pub const LOG_HEAD_KEY: &[u8] = b"log/head";

/// The hash of a leaf: `SHA-256(0x00 ‖ bytes)`.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0x00]).chain_update(bytes).finalize().into())
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([0x01])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The root of a log without entries.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// The root over leaf hashes in order, for callers that hold all of them.
pub fn root_of(leaf_hashes: impl IntoIterator<Item = Digest>) -> Digest {
    let mut frontier = Frontier::default();
    leaf_hashes.into_iter().for_each(|leaf| frontier.push(leaf));
    frontier.root()
}
