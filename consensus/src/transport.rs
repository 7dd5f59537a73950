//! What the engine asks of the network, and what the network tells the engine. Bytes only: the
//! node's one libp2p swarm carries them and knows nothing about consensus; this crate encodes and
//! decodes them and knows nothing about sockets.

use bytes::Bytes;
pub use malachitebft_peer::PeerId;
use tokio::sync::mpsc;

/// How a broadcast frame is queued. Frames of one class arrive in the order in which they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameClass {
    /// Votes, proposals, liveness messages: small and urgent. Relayed one hop to members that the
    /// sender cannot reach directly.
    Control,
    /// Proposal parts: up to [`BULK_FRAME_BYTES_MAX`]. Relayed likewise.
    Bulk,
    /// Status of the sender's chain: small, only for direct peers, never relayed.
    Status,
}

/// Longest control or status frame: a certificate of 100 signatures is about 15 KiB.
pub const CONTROL_FRAME_BYTES_MAX: usize = 256 << 10;
/// Longest bulk frame.
pub const BULK_FRAME_BYTES_MAX: usize = 1 << 20;
/// Longest sync request.
pub const SYNC_REQUEST_BYTES_MAX: usize = 64 << 10;
/// Longest sync response: a few blocks of the greatest size with their certificates.
pub const SYNC_RESPONSE_BYTES_MAX: usize = 10 << 20;

/// What the engine asks the network to do. None of it is answered; lost frames are the engine's to
/// repeat.
#[derive(Debug)]
pub enum TransportCommand {
    /// Sends a frame to every connected member (not to ourselves).
    Broadcast {
        /// How it is queued.
        class: FrameClass,
        /// The frame.
        bytes: Bytes,
    },
    /// Sends a sync request. Exactly one [`TransportEvent::SyncResponse`] or
    /// [`TransportEvent::SyncRequestFailed`] with the same `request` follows.
    SyncRequest {
        /// To whom.
        peer: PeerId,
        /// Chosen by the sender, unique in this process.
        request: u64,
        /// The request.
        bytes: Bytes,
    },
    /// Answers a [`TransportEvent::SyncRequest`].
    SyncRespond {
        /// The `inbound` of the request.
        inbound: u64,
        /// The response; `None` drops the request unanswered.
        bytes: Option<Bytes>,
    },
}

/// What the network tells the engine.
#[derive(Debug, Clone)]
pub enum TransportEvent {
    /// The network works, and enough members are connected for a first proposal not to be lost
    /// (or the wait for them has run out). Sent once.
    Ready,
    /// Frames can be exchanged with this member now.
    PeerUp(PeerId),
    /// This member is out of reach.
    PeerDown(PeerId),
    /// A frame from a member. `from` is who sent or relayed it.
    Frame {
        /// Who sent or relayed it.
        from: PeerId,
        /// How it was queued.
        class: FrameClass,
        /// The frame.
        bytes: Bytes,
    },
    /// A member asks for decided blocks.
    SyncRequest {
        /// Who asks.
        from: PeerId,
        /// Names the request in [`TransportCommand::SyncRespond`]; unique in this process.
        inbound: u64,
        /// The request.
        bytes: Bytes,
    },
    /// The answer to our request.
    SyncResponse {
        /// Who answered.
        from: PeerId,
        /// The request's number.
        request: u64,
        /// The response.
        bytes: Bytes,
    },
    /// Our request will not be answered.
    SyncRequestFailed {
        /// Who was asked.
        peer: PeerId,
        /// The request's number.
        request: u64,
        /// Why, for the log.
        reason: String,
    },
}

/// Both ends that the engine holds. The channel to the network is bounded by the network's own
/// queues, which drop for one slow peer rather than wait; the channel from it is bounded, so that a
/// flood from the network waits in the sockets.
#[derive(Debug)]
pub struct Transport {
    /// This node's peer id.
    pub local: PeerId,
    /// To the network.
    pub commands: mpsc::UnboundedSender<TransportCommand>,
    /// From the network.
    pub events: mpsc::Receiver<TransportEvent>,
}
