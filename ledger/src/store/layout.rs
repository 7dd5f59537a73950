//! Which record is kept under which key. The first byte is the kind, numbers are big-endian, so
//! that keys of one kind sort by number. `k` is taken by the chunks of long records.

use jmt::storage::NodeKey;
use jmt::KeyHash;

use crate::ids::{Digest, Height};

/// Version of this layout and of the records' encodings.
pub(super) const SCHEMA: u64 = 1;

pub(super) const META: &[u8] = b"m/meta";
pub(super) const GENESIS: &[u8] = b"m/genesis";
pub(super) const TIP: &[u8] = b"m/tip";

fn numbered(kind: u8, number: u64) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes()].concat()
}

/// A decided block.
pub(super) fn block(height: Height) -> Vec<u8> {
    numbered(b'b', height.0)
}

/// The certificate of a decided block.
pub(super) fn certificate(height: Height) -> Vec<u8> {
    numbered(b'c', height.0)
}

/// The validators that decide a height.
pub(super) fn validators(height: Height) -> Vec<u8> {
    numbered(b'v', height.0)
}

/// The bytes of an entry.
pub(super) fn entry(index: u64) -> Vec<u8> {
    numbered(b'e', index)
}

/// The hash of a perfect subtree of the log; level 0 has the leaf hashes.
pub(super) fn log_node(level: u32, index: u64) -> Vec<u8> {
    [&[b'n', u8::try_from(level).expect("a log has at most 64 levels")][..], &index.to_be_bytes()]
        .concat()
}

/// The current value of a state key.
pub(super) fn state(key: &[u8]) -> Vec<u8> {
    [b"s", key].concat()
}

/// A node of the state tree.
pub(super) fn state_node(key: &NodeKey) -> Vec<u8> {
    let bytes = borsh::to_vec(key).expect("encoding into a vector is infallible");
    [&[b'j'][..], &bytes].concat()
}

/// The value that a state key got at a version.
pub(super) fn state_value(key: KeyHash, version: u64) -> Vec<u8> {
    [&[b'w'][..], &key.0, &version.to_be_bytes()].concat()
}

/// A state key by its hash.
pub(super) fn preimage(key: KeyHash) -> Vec<u8> {
    [&[b'p'][..], &key.0].concat()
}

/// All undecided blocks of a height.
pub(super) fn undecided_height(height: Height) -> Vec<u8> {
    numbered(b'u', height.0)
}

/// All undecided blocks of a consensus round.
pub(super) fn undecided_round(height: Height, round: u32) -> Vec<u8> {
    [&undecided_height(height)[..], &round.to_be_bytes()].concat()
}

/// One undecided block.
pub(super) fn undecided(height: Height, round: u32, id: &Digest) -> Vec<u8> {
    [&undecided_round(height, round)[..], &id.0].concat()
}

/// Where a transaction is.
pub(super) fn transaction(digest: &Digest) -> Vec<u8> {
    [&[b't'][..], &digest.0].concat()
}
