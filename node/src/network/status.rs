//! What the network knows about each member, for people and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedledger_ledger::ids::MemberId;
use libp2p::{Multiaddr, PeerId};

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled us.
    Inbound,
    /// We dialled the peer.
    Outbound,
}

/// One member as the network sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who it is.
    pub member: MemberId,
    /// Its network identity.
    pub peer: PeerId,
    /// Whether frames can be exchanged with it directly.
    pub connected: bool,
    /// Who opened the newest connection.
    pub direction: Option<Direction>,
    /// The remote address of the newest connection.
    pub address: Option<Multiaddr>,
    /// The last ping's round trip.
    pub round_trip: Option<Duration>,
    /// Frames queued for it.
    pub frames_sent: u64,
    /// Bytes of these frames.
    pub frame_bytes_sent: u64,
    /// Frames received from it.
    pub frames_received: u64,
    /// Bytes of these frames.
    pub frame_bytes_received: u64,
    /// Frames lost because its queue was full.
    pub frames_dropped: u64,
    /// Bytes of blobs served to it.
    pub blob_bytes_sent: u64,
    /// Bytes of blobs fetched from it.
    pub blob_bytes_received: u64,
}

/// Counts the traffic with one peer, over all of its connections.
#[derive(Debug, Default)]
pub(super) struct Counters {
    frames_sent: AtomicU64,
    frame_bytes_sent: AtomicU64,
    frames_received: AtomicU64,
    frame_bytes_received: AtomicU64,
    frames_dropped: AtomicU64,
    blob_bytes_sent: AtomicU64,
    blob_bytes_received: AtomicU64,
}

impl Counters {
    pub(super) fn sent(&self, bytes: usize) {
        self.frames_sent.fetch_add(1, Relaxed);
        self.frame_bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.frames_received.fetch_add(1, Relaxed);
        self.frame_bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.frames_dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn blob_sent(&self, bytes: usize) {
        self.blob_bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn blob_received(&self, bytes: usize) {
        self.blob_bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    /// A status with these counts and no connection.
    pub(super) fn status(&self, member: MemberId, peer: PeerId) -> PeerStatus {
        PeerStatus {
            member,
            peer,
            connected: false,
            direction: None,
            address: None,
            round_trip: None,
            frames_sent: self.frames_sent.load(Relaxed),
            frame_bytes_sent: self.frame_bytes_sent.load(Relaxed),
            frames_received: self.frames_received.load(Relaxed),
            frame_bytes_received: self.frame_bytes_received.load(Relaxed),
            frames_dropped: self.frames_dropped.load(Relaxed),
            blob_bytes_sent: self.blob_bytes_sent.load(Relaxed),
            blob_bytes_received: self.blob_bytes_received.load(Relaxed),
        }
    }
}

/// The counters of every peer that was ever a member; there are few of them.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<BTreeMap<PeerId, Arc<Counters>>>);

impl Traffic {
    pub(super) fn of(&self, peer: PeerId) -> Arc<Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default().clone()
    }
}
