//! Where frames meet: fan-out of our own, delivery of others', and the one-hop relay.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use fedledger_consensus::transport::{FrameClass, TransportEvent};
use fedledger_ledger::keys::PublicKey;
use libp2p::PeerId;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::frame::{self, Frame, Kind, Lane};
use super::limits::{
    RECENT_BULK_FRAMES_MAX, RECENT_BYTES_MAX, RECENT_CONTROL_FRAMES_MAX, RELAYED_REMEMBERED_MAX,
};
use super::members::Members;
use super::queue::{Queue, Share};
use super::status::{Counters, Traffic};

/// The engine's id of a peer.
pub(super) fn engine_peer(peer: PeerId) -> fedledger_consensus::transport::PeerId {
    fedledger_consensus::transport::PeerId::from_bytes(&peer.to_bytes())
        .expect("both types hold the same multihash")
}

/// Shared by the swarm's driver, the readers and the writers.
#[derive(Debug)]
pub(super) struct Hub {
    members: RwLock<Arc<Members>>,
    outgoing: Mutex<Outgoing>,
    relayed: Mutex<Remembered>,
    traffic: Traffic,
    engine: mpsc::Sender<TransportEvent>,
}

/// What fan-out needs, under one lock: a frame is either in `recent` before a link replays it, or
/// it is pushed to that link; never neither.
#[derive(Debug)]
struct Outgoing {
    sequence: u64,
    recent: [Recent; 2],
    links: BTreeMap<PeerId, Link>,
}

/// The way to one connected peer.
#[derive(Debug)]
struct Link {
    generation: u64,
    queues: [Arc<Queue>; 2],
    /// The members that this peer says it cannot reach directly.
    unreached: BTreeSet<PeerId>,
    counters: Arc<Counters>,
}

impl Link {
    fn push(&self, lane: Lane, frame: Bytes, share: Share) {
        let bytes = frame.len();
        if self.queues[lane as usize].push(frame, share) {
            self.counters.sent(bytes);
        } else {
            self.counters.dropped();
        }
    }
}

impl Hub {
    pub(super) fn new(members: Arc<Members>, engine: mpsc::Sender<TransportEvent>) -> Self {
        let recent = [
            Recent::new(RECENT_CONTROL_FRAMES_MAX, RECENT_BYTES_MAX),
            Recent::new(RECENT_BULK_FRAMES_MAX, RECENT_BYTES_MAX),
        ];
        // A restarted node begins elsewhere, so that its frames are not taken for old ones.
        let sequence = rand::random::<u64>() >> 1;
        Self {
            members: RwLock::new(members),
            outgoing: Mutex::new(Outgoing { sequence, recent, links: BTreeMap::new() }),
            relayed: Mutex::default(),
            traffic: Traffic::default(),
            engine,
        }
    }

    pub(super) fn members(&self) -> Arc<Members> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_members(&self, members: Arc<Members>) {
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members;
    }

    pub(super) fn counters(&self, peer: PeerId) -> Arc<Counters> {
        self.traffic.of(peer)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a frame of ours to every linked member.
    pub(super) fn broadcast(&self, class: FrameClass, payload: &[u8]) {
        let kind = Kind::Engine(class);
        if payload.len() > kind.payload_bytes_max() {
            tracing::error!(?class, bytes = payload.len(), "a frame is too long and was not sent");
            return;
        }
        let mut outgoing = self.outgoing();
        let frame = outgoing.frame(kind, payload);
        if kind.is_relayed() {
            outgoing.recent[kind.lane() as usize].keep(frame.clone());
        }
        for link in outgoing.links.values() {
            link.push(kind.lane(), frame.clone(), Share::Own);
        }
    }

    /// Tells `peers` which members we cannot reach directly.
    pub(super) fn tell_unreached(
        &self,
        peers: impl IntoIterator<Item = PeerId>,
        unreached: &[PublicKey],
    ) {
        let payload: Vec<u8> = unreached.iter().flat_map(|key| key.0).collect();
        let mut outgoing = self.outgoing();
        let frame = outgoing.frame(Kind::Unreached, &payload);
        for peer in peers {
            if let Some(link) = outgoing.links.get(&peer) {
                link.push(Lane::Control, frame.clone(), Share::Own);
            }
        }
    }

    /// Opens the queues to a peer that has just been connected.
    pub(super) fn add_link(&self, peer: PeerId, generation: u64) -> [Arc<Queue>; 2] {
        let queues = Lane::ALL.map(|lane| Arc::new(Queue::new(lane)));
        let link = Link {
            generation,
            queues: queues.clone(),
            unreached: BTreeSet::new(),
            counters: self.traffic.of(peer),
        };
        self.outgoing().links.insert(peer, link);
        queues
    }

    /// Whether a peer is connected.
    pub(super) fn is_linked(&self, peer: &PeerId) -> bool {
        self.outgoing().links.contains_key(peer)
    }

    /// Forgets the queues to a peer, unless a newer link has taken their place.
    pub(super) fn remove_link(&self, peer: PeerId, generation: u64) {
        let mut outgoing = self.outgoing();
        if outgoing.links.get(&peer).is_some_and(|link| link.generation == generation) {
            outgoing.links.remove(&peer);
        }
    }

    /// Puts our recent frames before those that wait: what was lost while no stream was open.
    pub(super) fn replay(&self, lane: Lane, queue: &Queue) {
        let outgoing = self.outgoing();
        queue.replay(outgoing.recent[lane as usize].frames.iter());
    }

    /// Takes a frame from a member's stream. Waits while the engine is busy, so that the stream
    /// pushes back. False when it is not a frame.
    pub(super) async fn receive(&self, from: PeerId, lane: Lane, bytes: Bytes) -> bool {
        let Some(frame) = frame::decode(lane, &bytes) else { return false };
        let members = self.members();
        if !members.contains(&from) {
            return false;
        }
        match (frame.kind, frame.origin) {
            (Kind::Unreached, _) => self.set_unreached(&members, from, &frame.payload),
            (Kind::Engine(class), None) => {
                self.relay(&members, from, class, &bytes);
                self.deliver(from, class, frame.payload).await;
            }
            (Kind::Engine(class), Some(origin)) => {
                let known = members.peer_of_key(&origin).is_some();
                if known && self.is_first(&frame, &origin) {
                    self.deliver(from, class, frame.payload).await;
                }
            }
        }
        true
    }

    async fn deliver(&self, from: PeerId, class: FrameClass, bytes: Bytes) {
        // A closed channel means that the engine is gone; the node is stopping.
        let _ =
            self.engine.send(TransportEvent::Frame { from: engine_peer(from), class, bytes }).await;
    }

    fn set_unreached(&self, members: &Members, from: PeerId, keys: &[u8]) {
        let keys = keys.chunks_exact(32).map(|key| PublicKey(key.try_into().expect("32 bytes")));
        let unreached = keys.filter_map(|key| members.peer_of_key(&key)).collect();
        if let Some(link) = self.outgoing().links.get_mut(&from) {
            link.unreached = unreached;
        }
    }

    /// Passes a frame on to the members that its origin cannot reach and we can.
    fn relay(&self, members: &Members, from: PeerId, class: FrameClass, bytes: &Bytes) {
        let kind = Kind::Engine(class);
        if !kind.is_relayed() {
            return;
        }
        let outgoing = self.outgoing();
        let Some(unreached) = outgoing.links.get(&from).map(|link| &link.unreached) else { return };
        let mut links = unreached.iter().filter_map(|peer| outgoing.links.get(peer)).peekable();
        let Some(origin) = members.key(&from).filter(|_| links.peek().is_some()) else { return };
        let passed_on = frame::relayed(bytes, origin);
        for link in links {
            link.push(kind.lane(), passed_on.clone(), Share::Relayed);
        }
    }

    fn is_first(&self, frame: &Frame, origin: &PublicKey) -> bool {
        let key = Sha256::new()
            .chain_update(origin.0)
            .chain_update(frame.sequence.to_be_bytes())
            .chain_update(&frame.payload)
            .finalize();
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into())
    }
}

impl Outgoing {
    fn frame(&mut self, kind: Kind, payload: &[u8]) -> Bytes {
        self.sequence = self.sequence.wrapping_add(1);
        frame::encode(kind, self.sequence, payload)
    }
}

/// The newest frames of one lane, oldest first.
#[derive(Debug)]
struct Recent {
    frames: VecDeque<Bytes>,
    bytes: usize,
    frames_max: usize,
    bytes_max: usize,
}

impl Recent {
    fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, frames_max, bytes_max }
    }

    fn keep(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        while self.frames.len() > self.frames_max || self.bytes > self.bytes_max {
            let oldest = self.frames.pop_front().expect("a frame is what made it too long");
            self.bytes -= oldest.len();
        }
    }
}

/// The relayed frames delivered last, by hash of origin, sequence and payload. The payload is part
/// of it, so that a relay that lies about a sequence cannot suppress the true frame.
#[derive(Debug, Default)]
struct Remembered {
    keys: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Remembered {
    fn insert(&mut self, key: [u8; 32]) -> bool {
        if !self.keys.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > RELAYED_REMEMBERED_MAX {
            let oldest = self.order.pop_front().expect("it is not empty");
            self.keys.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_frames_are_the_newest_within_both_limits() {
        let mut recent = Recent::new(3, 10);
        for length in [4, 4, 4] {
            recent.keep(Bytes::from(vec![0; length]));
        }
        assert_eq!((recent.frames.len(), recent.bytes), (2, 8), "twelve bytes are too many");
        for _ in 0..5 {
            recent.keep(Bytes::from_static(b"x"));
        }
        assert_eq!((recent.frames.len(), recent.bytes), (3, 3));
    }

    #[test]
    fn relayed_frames_are_remembered_for_a_while() {
        let mut remembered = Remembered::default();
        let key = |i: usize| <[u8; 32]>::from(Sha256::digest(i.to_be_bytes()));
        assert!(remembered.insert(key(0)));
        assert!(!remembered.insert(key(0)));
        for i in 1..=RELAYED_REMEMBERED_MAX {
            assert!(remembered.insert(key(i)));
        }
        assert_eq!(remembered.keys.len(), RELAYED_REMEMBERED_MAX);
        assert!(remembered.insert(key(0)), "the oldest was forgotten");
    }
}
