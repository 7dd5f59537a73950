//! Inclusion and consistency proofs, RFC 9162 §2.1.3 and §2.1.4.
//!
//! Which nodes make up a proof is asked of the `ct-merkle` crate; checking a proof is the two short
//! routines here, which take leaf hashes (the crate takes leaf contents only) and are tested
//! against it and against the RFC's recursive definitions.

use thiserror::Error;

use super::{empty_root, node_hash};
use crate::ids::Digest;

/// Largest log that proofs are made for: node indices of `ct-merkle` are twice the leaf's.
pub const LOG_SIZE_MAX: u64 = 1 << 62;

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The leaf index is not below the tree size.
    #[error("leaf index {index} is outside a log of {size} entries")]
    IndexOutOfRange {
        /// The index asked for.
        index: u64,
        /// Number of entries.
        size: u64,
    },
    /// The older tree is larger than the newer one, or a tree is larger than [`LOG_SIZE_MAX`].
    #[error("a log of {first} entries cannot be the beginning of one of {second}")]
    SizesOutOfOrder {
        /// Size of the older tree.
        first: u64,
        /// Size of the newer tree.
        second: u64,
    },
    /// The path has the wrong number of hashes for the sizes given.
    #[error("the proof has {found} hashes, expected {expected}")]
    PathLength {
        /// Number that the sizes call for.
        expected: usize,
        /// Number found.
        found: usize,
    },
    /// The path leads to another root.
    #[error("the proof leads to root {found}, expected {expected}")]
    WrongRoot {
        /// The root that was to be shown.
        expected: Digest,
        /// The root that the path leads to.
        found: Digest,
    },
}

/// A node that a proof needs is not in the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("node {index} on level {level} of the log is not stored")]
pub struct MissingNode {
    /// Level; leaf hashes are level 0.
    pub level: u32,
    /// Index on that level.
    pub index: u64,
}

/// Stored hashes of perfect subtrees. Node `(level, index)` covers the leaves from `index · 2^level`
/// on, 2^level of them; it never changes once those leaves exist.
pub trait LogNodes {
    /// The hash of a perfect subtree, if all of its leaves exist.
    fn node(&self, level: u32, index: u64) -> Option<Digest>;
}

/// Leaf hashes alone suffice, at the price of hashing them again for each proof.
impl LogNodes for [Digest] {
    fn node(&self, level: u32, index: u64) -> Option<Digest> {
        if level == 0 {
            return self.get(usize::try_from(index).ok()?).copied();
        }
        let right = self.node(level - 1, index.checked_mul(2)?.checked_add(1)?)?;
        Some(node_hash(&self.node(level - 1, index * 2)?, &right))
    }
}

impl LogNodes for Vec<Digest> {
    fn node(&self, level: u32, index: u64) -> Option<Digest> {
        self.as_slice().node(level, index)
    }
}

/// The hash over leaves `start..end`; `start` is a multiple of a power of two that is at least the
/// range's length, which holds for every node of a tree.
fn range_hash<N: LogNodes + ?Sized>(
    nodes: &N,
    start: u64,
    end: u64,
) -> Result<Digest, MissingNode> {
    let length = end - start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        let index = start >> level;
        return nodes.node(level, index).ok_or(MissingNode { level, index });
    }
    let split = start + (1 << length.ilog2());
    Ok(node_hash(&range_hash(nodes, start, split)?, &range_hash(nodes, split, end)?))
}

/// The hash at `index` in the in-order numbering of `ct-merkle` (RFC 9420 Appendix C): a node with
/// k trailing 1-bits is on level k.
fn in_order_node<N: LogNodes + ?Sized>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Digest, MissingNode> {
    let level = index.trailing_ones();
    let start = (index >> (level + 1)) << level;
    range_hash(nodes, start, size.min(start + (1 << level)))
}

/// The inclusion proof of leaf `index` in the first `size` leaves: the hashes from the leaf's
/// sibling up to the root's child, `PATH(index, D[size])` of RFC 9162 §2.1.3.1.
///
/// # Errors
/// When a node is not stored.
///
/// # Panics
/// When `index` is not below `size`, or `size` is over [`LOG_SIZE_MAX`].
pub fn inclusion_path<N: LogNodes + ?Sized>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, MissingNode> {
    assert!(index < size && size <= LOG_SIZE_MAX, "leaf {index} of {size} has no proof");
    ct_merkle::indices_for_inclusion_proof(size, index)
        .into_iter()
        .map(|node| in_order_node(nodes, node, size))
        .collect()
}

/// The consistency proof between the first `first` and the first `second` leaves,
/// `PROOF(first, D[second])` of RFC 9162 §2.1.4.1. It is empty when the sizes are equal or the
/// older log is empty.
///
/// # Errors
/// When a node is not stored.
///
/// # Panics
/// When `first` is above `second`, or `second` over [`LOG_SIZE_MAX`].
pub fn consistency_path<N: LogNodes + ?Sized>(
    nodes: &N,
    first: u64,
    second: u64,
) -> Result<Vec<Digest>, MissingNode> {
    assert!(first <= second && second <= LOG_SIZE_MAX, "{first} of {second} has no proof");
    if first == 0 || first == second {
        return Ok(Vec::new());
    }
    ct_merkle::indices_for_consistency_proof(first, second - first)
        .into_iter()
        .map(|node| in_order_node(nodes, node, second))
        .collect()
}

/// Checks that the leaf with this hash is at `index` in a log of `size` entries with this root
/// (RFC 9162 §2.1.3.2). `size` and `root` must come from one head: a path may fit several sizes.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_inclusion(
    leaf_hash: &Digest,
    index: u64,
    size: u64,
    root: &Digest,
    path: &[Digest],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf_hash);
    let expected = inclusion_length(index, size);
    if path.len() != expected {
        return Err(ProofError::PathLength { expected, found: path.len() });
    }
    for sibling in path {
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    check_root(root, hash)
}

/// Number of hashes in an inclusion proof: levels on which leaf and last leaf part ways, and from
/// there on one for each time the path comes from the right.
fn inclusion_length(index: u64, size: u64) -> usize {
    let apart = 64 - (index ^ (size - 1)).leading_zeros();
    (apart + index.checked_shr(apart).unwrap_or(0).count_ones()) as usize
}

/// Checks that a log of `first` entries with `first_root` is the beginning of one of `second`
/// entries with `second_root` (RFC 9162 §2.1.4.2). An empty log is the beginning of every log, by
/// an empty proof, as long as its root is the empty one.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: &Digest,
    second_root: &Digest,
    path: &[Digest],
) -> Result<(), ProofError> {
    if first > second {
        return Err(ProofError::SizesOutOfOrder { first, second });
    }
    if first == 0 || first == second {
        if !path.is_empty() {
            return Err(ProofError::PathLength { expected: 0, found: path.len() });
        }
        let expected = if first == second { *second_root } else { empty_root() };
        check_root(&expected, *first_root)?;
        return if second == 0 { check_root(&empty_root(), *second_root) } else { Ok(()) };
    }
    // The proof begins at the largest perfect subtree that ends the older log; when that is the
    // whole older log, its hash is the older root and is left out of the path.
    let level = first.trailing_zeros();
    let (mut node, mut last) = ((first - 1) >> level, (second - 1) >> level);
    let whole = first.is_power_of_two();
    let expected = inclusion_length(node, last + 1) + usize::from(!whole);
    if path.len() != expected {
        return Err(ProofError::PathLength { expected, found: path.len() });
    }
    let (seed, rest) = if whole { (*first_root, path) } else { (path[0], &path[1..]) };
    let (mut first_hash, mut second_hash) = (seed, seed);
    for sibling in rest {
        if node & 1 == 1 || node == last {
            first_hash = node_hash(sibling, &first_hash);
            second_hash = node_hash(sibling, &second_hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            second_hash = node_hash(&second_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    check_root(first_root, first_hash)?;
    check_root(second_root, second_hash)
}

fn check_root(expected: &Digest, found: Digest) -> Result<(), ProofError> {
    if *expected == found {
        Ok(())
    } else {
        Err(ProofError::WrongRoot { expected: *expected, found })
    }
}
