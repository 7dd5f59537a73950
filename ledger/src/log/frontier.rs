//! The right edge of the log: what it takes to append.

use minicbor::{Decode, Decoder, Encode};
use serde::{Deserialize, Serialize};

use super::{empty_root, node_hash};
use crate::codec::{from_canonical, to_canonical, CodecError};
use crate::ids::Digest;

/// Longest canonical [`LogHead`] in bytes: 64 hashes of 34 bytes and the rest, rounded up.
const LOG_HEAD_BYTES_MAX: usize = 4_096;

/// The hashes of the perfect subtrees that a log of `size` leaves falls into, left (largest) to
/// right: one for each 1-bit of `size`, so at most 64.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(try_from = "Parts")]
pub struct Frontier {
    #[n(0)]
    size: u64,
    #[n(1)]
    hashes: Vec<Digest>,
}

/// A frontier before it is checked.
#[derive(Decode, Deserialize)]
#[cbor(map)]
struct Parts {
    #[n(0)]
    size: u64,
    #[n(1)]
    hashes: Vec<Digest>,
}

impl TryFrom<Parts> for Frontier {
    type Error = String;
    fn try_from(parts: Parts) -> Result<Self, String> {
        Frontier::from_parts(parts.size, parts.hashes).ok_or_else(|| {
            format!("a frontier of size {} has one hash for each 1-bit of its size", parts.size)
        })
    }
}

impl Frontier {
    /// A frontier from its parts, or nothing when the number of hashes is not that of the 1-bits
    /// of `size`.
    pub fn from_parts(size: u64, hashes: Vec<Digest>) -> Option<Self> {
        (hashes.len() == size.count_ones() as usize).then_some(Self { size, hashes })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the perfect subtrees, left to right.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf_hash: Digest) {
        self.push_with(leaf_hash, |_, _, _| ());
    }

    /// Appends a leaf by its hash and tells `node` each perfect subtree that this completes: its
    /// level (0 for the leaf itself), its index on that level, and its hash.
    ///
    /// # Panics
    /// When the log holds 2^64 - 1 entries.
    pub fn push_with(&mut self, leaf_hash: Digest, mut node: impl FnMut(u32, u64, Digest)) {
        let mut hash = leaf_hash;
        node(0, self.size, hash);
        for level in 0..self.size.trailing_ones() {
            let left = self.hashes.pop().expect("one hash stands for each 1-bit of the size");
            hash = node_hash(&left, &hash);
            node(level + 1, self.size >> (level + 1), hash);
        }
        self.hashes.push(hash);
        self.size = self.size.checked_add(1).expect("a counter of 64 bits does not run out");
    }

    /// The root of the whole log.
    pub fn root(&self) -> Digest {
        let mut hashes = self.hashes.iter().rev();
        let Some(last) = hashes.next() else { return empty_root() };
        hashes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Size, root and frontier together: what the state keeps.
    pub fn head(&self) -> LogHead {
        LogHead { size: self.size, root: self.root(), frontier: self.clone() }
    }
}

impl<'b, C> Decode<'b, C> for Frontier {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        Parts::decode(d, ctx)?.try_into().map_err(minicbor::decode::Error::message)
    }
}

/// The head of the log, kept in the state under [`super::LOG_HEAD_KEY`], so that the state root,
/// and with it every commit certificate, covers every entry. Size and root stand beside the
/// frontier so that a verifier of a state proof reads them without computing anything.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Serialize)]
#[cbor(map)]
pub struct LogHead {
    #[n(0)]
    size: u64,
    #[n(1)]
    root: Digest,
    #[n(2)]
    frontier: Frontier,
}

/// A head before it is checked.
#[derive(Decode)]
#[cbor(map)]
struct HeadParts {
    #[n(0)]
    size: u64,
    #[n(1)]
    root: Digest,
    #[n(2)]
    frontier: Frontier,
}

impl LogHead {
    /// Number of entries in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the log.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The right edge, to append to.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The canonical bytes: the value in the state.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads a head from its canonical bytes and checks that root and size are the frontier's.
    ///
    /// # Errors
    /// When the bytes are malformed, not canonical, or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical("log head", bytes, LOG_HEAD_BYTES_MAX)
    }
}

impl<'b, C> Decode<'b, C> for LogHead {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let parts = HeadParts::decode(d, ctx)?;
        let head = parts.frontier.head();
        if (head.size, head.root) != (parts.size, parts.root) {
            return Err(minicbor::decode::Error::message(
                "size and root of the log head are not those of its frontier",
            ));
        }
        Ok(head)
    }
}
