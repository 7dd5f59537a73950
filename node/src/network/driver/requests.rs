//! Requests and answers: the engine's sync, and pieces of blobs.

use std::collections::BTreeMap;

use bytes::Bytes;
use fedledger_consensus::transport::TransportEvent;
use libp2p::request_response::{
    Event, InboundRequestId, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use libp2p::PeerId;
use tokio::sync::oneshot;

use super::super::exchange::{ChunkRequest, ChunkResponse};
use super::super::hub::engine_peer;
use super::super::limits::{
    BLOB_SERVING_MAX, BLOB_SERVING_PER_PEER_MAX, SYNC_INBOUND_PER_PEER_MAX,
};
use super::super::ChunkError;
use super::{Driver, Input};

type Done = oneshot::Sender<Result<ChunkResponse, ChunkError>>;

/// Requests that wait for their answer.
#[derive(Default)]
pub(super) struct Requests {
    next_inbound: u64,
    sync_out: BTreeMap<OutboundRequestId, u64>,
    sync_in: BTreeMap<u64, (PeerId, ResponseChannel<Bytes>)>,
    chunks_out: BTreeMap<OutboundRequestId, Done>,
    /// Chunks that are being read for a peer, by a number of ours.
    chunks_read: BTreeMap<u64, (PeerId, InboundRequestId, ResponseChannel<Bytes>)>,
    /// Chunks that are being read for a peer or sent to it.
    serving: BTreeMap<InboundRequestId, PeerId>,
}

impl Requests {
    fn next_inbound(&mut self) -> u64 {
        self.next_inbound += 1;
        self.next_inbound
    }
}

impl Driver {
    pub(super) fn sync_request(&mut self, peer: PeerId, request: u64, bytes: Bytes) {
        if self.peers.contains_key(&peer) {
            let id = self.swarm.behaviour_mut().sync.send_request(&peer, bytes);
            self.requests.sync_out.insert(id, request);
        } else {
            let reason = "the member is not connected".to_owned();
            let peer = engine_peer(peer);
            self.shared.engine.push(TransportEvent::SyncRequestFailed { peer, request, reason });
        }
    }

    pub(super) fn sync_respond(&mut self, inbound: u64, bytes: Option<Bytes>) {
        // A dropped channel ends the request on the other side.
        let Some((peer, channel)) = self.requests.sync_in.remove(&inbound) else { return };
        let Some(bytes) = bytes else { return };
        if self.swarm.behaviour_mut().sync.send_response(channel, bytes).is_err() {
            tracing::debug!(%peer, "a member did not wait for its sync response");
        }
    }

    pub(super) fn on_sync(&mut self, event: Event<Bytes, Bytes>) {
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_sync_request(peer, request, channel);
            }
            Event::Message {
                peer, message: Message::Response { request_id, response }, ..
            } => {
                if let Some(request) = self.requests.sync_out.remove(&request_id) {
                    let from = engine_peer(peer);
                    let event = TransportEvent::SyncResponse { from, request, bytes: response };
                    self.shared.engine.push(event);
                }
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                if let Some(request) = self.requests.sync_out.remove(&request_id) {
                    let (peer, reason) = (engine_peer(peer), error.to_string());
                    let event = TransportEvent::SyncRequestFailed { peer, request, reason };
                    self.shared.engine.push(event);
                }
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    fn on_sync_request(&mut self, peer: PeerId, bytes: Bytes, channel: ResponseChannel<Bytes>) {
        let waiting = &mut self.requests.sync_in;
        waiting.retain(|_, (_, channel)| channel.is_open());
        let of_peer = waiting.values().filter(|(asker, _)| *asker == peer).count();
        if of_peer >= SYNC_INBOUND_PER_PEER_MAX {
            tracing::debug!(%peer, "too many sync requests at once");
            return;
        }
        let inbound = self.requests.next_inbound();
        self.requests.sync_in.insert(inbound, (peer, channel));
        let from = engine_peer(peer);
        self.shared.engine.push(TransportEvent::SyncRequest { from, inbound, bytes });
    }

    pub(super) fn request_chunk(&mut self, peer: PeerId, request: ChunkRequest, done: Done) {
        if self.peers.contains_key(&peer) {
            let id = self.swarm.behaviour_mut().blobs.send_request(&peer, request.encode());
            self.requests.chunks_out.insert(id, done);
        } else {
            // The fetch may have been given up.
            let _ = done.send(Err(ChunkError::NotConnected));
        }
    }

    pub(super) fn on_blobs(&mut self, event: Event<Bytes, Bytes>) {
        match event {
            Event::Message {
                peer,
                message: Message::Request { request_id, request, channel },
                ..
            } => self.on_chunk_request(peer, request_id, &request, channel),
            Event::Message {
                peer, message: Message::Response { request_id, response }, ..
            } => {
                let Some(done) = self.requests.chunks_out.remove(&request_id) else { return };
                self.shared.hub.counters(peer).blob_received(response.len());
                let response = ChunkResponse::decode(&response).ok_or(ChunkError::Malformed);
                // The fetch may have been given up.
                let _ = done.send(response);
            }
            Event::OutboundFailure { request_id, error, .. } => {
                let Some(done) = self.requests.chunks_out.remove(&request_id) else { return };
                let error = match error {
                    OutboundFailure::Timeout => ChunkError::Timeout,
                    error => ChunkError::Failed { reason: error.to_string() },
                };
                // The fetch may have been given up.
                let _ = done.send(Err(error));
            }
            Event::InboundFailure { request_id, .. } | Event::ResponseSent { request_id, .. } => {
                self.requests.serving.remove(&request_id);
            }
        }
    }

    fn on_chunk_request(
        &mut self,
        peer: PeerId,
        id: InboundRequestId,
        bytes: &[u8],
        channel: ResponseChannel<Bytes>,
    ) {
        let Some(request) = ChunkRequest::decode(bytes) else {
            tracing::warn!(%peer, "a member sent a malformed blob request");
            return;
        };
        let serving = &self.requests.serving;
        let of_peer = serving.values().filter(|asker| **asker == peer).count();
        let busy = of_peer >= BLOB_SERVING_PER_PEER_MAX || serving.len() >= BLOB_SERVING_MAX;
        let key = self.requests.next_inbound();
        self.requests.serving.insert(id, peer);
        self.requests.chunks_read.insert(key, (peer, id, channel));
        if busy {
            return self.send_chunk(key, &ChunkResponse::Busy);
        }
        let (source, driver) = (self.shared.source.clone(), self.shared.sender.clone());
        self.shared.tasks.transient("blob reader", async move {
            let read = move || source.chunk(&request.digest, request.offset, request.length);
            let chunk = tokio::task::spawn_blocking(read).await;
            let response = match chunk.expect("reading a blob does not panic") {
                Some((total, bytes)) => ChunkResponse::Found { total, bytes: bytes.into() },
                None => ChunkResponse::NotServed,
            };
            // A network that is shut down serves nothing.
            let _ = driver.send(Input::ChunkRead { key, response });
        });
    }

    pub(super) fn send_chunk(&mut self, key: u64, response: &ChunkResponse) {
        let Some((peer, id, channel)) = self.requests.chunks_read.remove(&key) else { return };
        let bytes = response.encode();
        let length = bytes.len();
        if self.swarm.behaviour_mut().blobs.send_response(channel, bytes).is_ok() {
            self.shared.hub.counters(peer).blob_sent(length);
        } else {
            self.requests.serving.remove(&id);
        }
    }
}
