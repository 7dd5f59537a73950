//! The root of a state from its hashed pairs, kept up to date.
//!
//! It is the root of the Jellyfish Merkle tree, which depends on the current pairs alone: an empty
//! subtree is the placeholder, a subtree of one leaf is that leaf, any other is the hash of its two
//! halves by the next bit of the key's hash. Where no version but the latest is asked for, this
//! computes one hash a level for each write, where the tree of sixteen-fold nodes computes fifteen.

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

/// The root of a state without keys.
pub(super) const EMPTY_ROOT: Digest = Digest(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");

fn sha(parts: [&[u8]; 3]) -> Digest {
    let hasher = parts.into_iter().fold(Sha256::new(), Sha256::chain_update);
    Digest(hasher.finalize().into())
}

/// A subtree that is not empty. An inner node has two leaves under it at least.
#[derive(Debug, Clone)]
enum Node {
    Leaf {
        key: Digest,
        hash: Digest,
    },
    /// `hash` is nothing since a leaf below it changed.
    Inner {
        halves: [Subtree; 2],
        hash: Option<Digest>,
    },
}

type Subtree = Option<Box<Node>>;

/// All pairs of a state by their hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Trie {
    root: Subtree,
}

impl Trie {
    /// Sets the value under a key, or removes the key.
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key = Digest::of(key);
        match value {
            Some(value) => {
                let hash = sha([b"JMT::LeafNode", &key.0, &Digest::of(value).0]);
                insert(&mut self.root, 0, key, hash);
            }
            None => remove(&mut self.root, 0, &key),
        }
    }

    /// The root.
    pub fn root(&mut self) -> Digest {
        hash_of(&mut self.root)
    }
}

fn bit(key: &Digest, depth: usize) -> usize {
    usize::from(key.0[depth / 8] >> (7 - depth % 8) & 1)
}

fn insert(subtree: &mut Subtree, depth: usize, key: Digest, hash: Digest) {
    match subtree.as_deref_mut() {
        None => *subtree = Some(Box::new(Node::Leaf { key, hash })),
        Some(Node::Leaf { key: present, hash: old }) if *present == key => *old = hash,
        Some(Node::Leaf { key: present, .. }) => {
            let side = bit(present, depth);
            let mut halves = [None, None];
            halves[side] = subtree.take();
            insert(&mut halves[bit(&key, depth)], depth + 1, key, hash);
            *subtree = Some(Box::new(Node::Inner { halves, hash: None }));
        }
        Some(Node::Inner { halves, hash: known }) => {
            *known = None;
            insert(&mut halves[bit(&key, depth)], depth + 1, key, hash);
        }
    }
}

fn remove(subtree: &mut Subtree, depth: usize, key: &Digest) {
    match subtree.as_deref_mut() {
        Some(Node::Leaf { key: present, .. }) if present == key => *subtree = None,
        Some(Node::Leaf { .. }) | None => {}
        Some(Node::Inner { halves, hash }) => {
            *hash = None;
            remove(&mut halves[bit(key, depth)], depth + 1, key);
            let alone = match halves {
                [one, None] | [None, one] => {
                    matches!(one.as_deref(), Some(Node::Leaf { .. })).then(|| one.take()).flatten()
                }
                [Some(_), Some(_)] => None,
            };
            // A leaf that is left alone moves up.
            if alone.is_some() {
                *subtree = alone;
            }
        }
    }
}

fn hash_of(subtree: &mut Subtree) -> Digest {
    match subtree.as_deref_mut() {
        None => EMPTY_ROOT,
        Some(Node::Leaf { hash, .. }) => *hash,
        Some(Node::Inner { halves: [left, right], hash }) => *hash.get_or_insert_with(|| {
            // The spelling is that of the `jmt` package.
            sha([b"JMT::IntrnalNode", &hash_of(left).0, &hash_of(right).0])
        }),
    }
}
