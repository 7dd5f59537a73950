//! Bytes of the write-ahead log, of the frames between members, and of sync: canonical CBOR.
//!
//! Every decoder is bounded and total, and accepts only the one encoding of what it returns (see
//! [`fedledger_ledger::codec`]). The shapes on the wire are this module's own, so that a change in
//! the engine's types is a compile error here and not a silent change of the bytes.

mod frame;
mod sync;
mod wal;
mod wire;

use fedledger_ledger::codec::CodecError;
use thiserror::Error;

use crate::transport::FrameClass;

pub use frame::{decode_frame, encode_frame, Frame};
pub(crate) use sync::{engine_certificate, ledger_certificate, SYNC_BLOCKS_MAX};

/// Longest entry of the write-ahead log, and longest control frame: a certificate in which each of
/// 128 members signed twice is under 30 KiB.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Why bytes are not a message of consensus.
#[derive(Debug, Error)]
pub enum WireError {
    /// The bytes are not canonical CBOR of the expected shape.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A count is over its limit.
    #[error("{found} {what}, at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Number found.
        found: usize,
        /// Largest number allowed.
        max: usize,
    },
    /// A message has no consensus round; such messages are never sent or logged.
    #[error("a {what} of no consensus round is never sent")]
    NoRound {
        /// The kind of message.
        what: &'static str,
    },
    /// A frame came in a queue that is not its own.
    #[error("a frame of class {found:?} came in class {expected:?}")]
    WrongClass {
        /// How the frame was queued.
        expected: FrameClass,
        /// How it has to be queued.
        found: FrameClass,
    },
    /// The peer id of a status is not one.
    #[error("a status names no valid peer")]
    Peer,
}

/// The engine's codec for its log and for sync.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireCodec;

#[cfg(test)]
mod tests;
