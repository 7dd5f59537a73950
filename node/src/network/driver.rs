//! The task that owns the swarm: connections, dialling, membership.

mod gossip;
mod requests;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fedledger_consensus::transport::TransportEvent;
use fedledger_ledger::keys::PublicKey;
use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use libp2p::ping;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

pub(super) use self::gossip::encode_digests;
use self::gossip::GossipRates;
use self::requests::Requests;
use super::behaviour::{Behaviour, BehaviourEvent, Topic};
use super::dial::DialPlan;
use super::event::NetworkEvent;
use super::exchange::{ChunkRequest, ChunkResponse};
use super::frame::Lane;
use super::hub::{engine_peer, Hub};
use super::limits::{CONNECTION_TIMEOUT, REACH_DELAY, SHUTDOWN_WAIT};
use super::members::{MemberAddress, Members};
use super::outbox::Outbox;
use super::readiness::Readiness;
use super::status::Direction;
use super::streams::{Readers, Writer};
use super::tasks::Tasks;
use super::{BlobSource, ChunkError, PublishError};

/// What other tasks ask of the driver.
#[derive(Debug)]
pub(super) enum Input {
    /// A control stream to the peer is open.
    LinkUp { peer: PeerId, generation: u64 },
    /// Publishes gossip.
    Publish { topic: Topic, bytes: Vec<u8>, done: oneshot::Sender<Result<(), PublishError>> },
    /// The node has judged a gossiped message.
    GossipJudged { message: MessageId, source: PeerId, acceptance: MessageAcceptance },
    /// The engine asks a peer for blocks.
    SyncRequest { peer: PeerId, request: u64, bytes: Bytes },
    /// The engine answers a peer.
    SyncRespond { inbound: u64, bytes: Option<Bytes> },
    /// Asks a peer for a piece of a blob.
    Chunk {
        peer: PeerId,
        request: ChunkRequest,
        done: oneshot::Sender<Result<ChunkResponse, ChunkError>>,
    },
    /// A piece of a blob has been read for a peer.
    ChunkRead { key: u64, response: ChunkResponse },
    /// The members have changed.
    SetMembers { members: Vec<MemberAddress>, done: oneshot::Sender<()> },
    /// Closes every connection and gives up the sockets.
    Shutdown { done: oneshot::Sender<()> },
}

/// One connected peer.
#[derive(Debug)]
struct Peer {
    generation: u64,
    connections: Vec<Connection>,
    /// Whether the control stream has been open on this link.
    up: bool,
    writers: Vec<AbortHandle>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    inbound: bool,
    since: Instant,
    /// Whether we are closing it.
    closing: bool,
}

/// The connection to a peer, for status reports.
#[derive(Debug, Clone, Default)]
pub(super) struct LinkStatus {
    pub(super) up: bool,
    pub(super) direction: Option<Direction>,
    pub(super) address: Option<Multiaddr>,
    pub(super) round_trip: Option<Duration>,
}

/// What status reports read.
#[derive(Debug, Default)]
pub(super) struct Board {
    links: Mutex<BTreeMap<PeerId, LinkStatus>>,
}

impl Board {
    pub(super) fn link(&self, peer: &PeerId) -> LinkStatus {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(peer).cloned().unwrap_or_default()
    }

    fn update(&self, peer: PeerId, change: impl FnOnce(&mut LinkStatus)) {
        change(self.links.lock().unwrap_or_else(PoisonError::into_inner).entry(peer).or_default());
    }

    fn remove(&self, peer: &PeerId) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }
}

/// What the driver shares with the rest of the network.
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) readers: Arc<Readers>,
    pub(super) board: Arc<Board>,
    pub(super) source: Arc<dyn BlobSource>,
    pub(super) engine: Outbox<TransportEvent>,
    pub(super) node: Outbox<NetworkEvent>,
    pub(super) sender: mpsc::UnboundedSender<Input>,
}

/// The task that owns the swarm. It never waits for anything but the swarm, its inputs and time.
pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    shared: Shared,
    inputs: mpsc::UnboundedReceiver<Input>,
    plan: DialPlan,
    peers: BTreeMap<PeerId, Peer>,
    generation: u64,
    readiness: Readiness,
    /// When to tell the peers whom we cannot reach, if that may have changed.
    reach_due: Option<Instant>,
    rates: GossipRates,
    requests: Requests,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        shared: Shared,
        inputs: mpsc::UnboundedReceiver<Input>,
        listening: bool,
    ) -> Self {
        let plan = DialPlan::new(*swarm.local_peer_id(), listening);
        Self {
            swarm,
            shared,
            inputs,
            plan,
            peers: BTreeMap::new(),
            generation: 0,
            readiness: Readiness::new(Instant::now()),
            reach_due: None,
            rates: GossipRates::default(),
            requests: Requests::default(),
        }
    }

    /// Runs until it is aborted or shut down.
    pub(super) async fn run(mut self, members: Vec<MemberAddress>) {
        self.set_members(members);
        loop {
            self.on_time(Instant::now());
            let due = self.next_due();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                input = self.inputs.recv() => match input {
                    Some(Input::Shutdown { done }) => return self.shut_down(done).await,
                    Some(input) => self.on_input(input),
                    None => return,
                },
                () = sleep_until(due) => {}
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        [self.plan.next_due(), self.readiness.due(), self.reach_due].into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Instant) {
        for (peer, addresses) in self.plan.take_due(now) {
            self.dial(peer, addresses, now);
        }
        if self.reach_due.is_some_and(|due| due <= now) {
            self.reach_due = None;
            self.tell_unreached();
        }
        let linked = self.peers.values().filter(|peer| peer.up).count();
        if self.readiness.check(linked, &self.shared.hub.members(), now) {
            self.shared.engine.push(TransportEvent::Ready);
        }
    }

    fn on_input(&mut self, input: Input) {
        match input {
            Input::LinkUp { peer, generation } => self.on_link_up(peer, generation),
            Input::Publish { topic, bytes, done } => {
                // Whoever asked may have stopped waiting.
                let _ = done.send(self.publish(topic, bytes));
            }
            Input::GossipJudged { message, source, acceptance } => {
                self.judged(&message, &source, acceptance);
            }
            Input::SyncRequest { peer, request, bytes } => self.sync_request(peer, request, bytes),
            Input::SyncRespond { inbound, bytes } => self.sync_respond(inbound, bytes),
            Input::Chunk { peer, request, done } => self.request_chunk(peer, request, done),
            Input::ChunkRead { key, response } => self.send_chunk(key, &response),
            Input::SetMembers { members, done } => {
                self.set_members(members);
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
            Input::Shutdown { .. } => unreachable!("the loop takes it"),
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "a dial failed");
                if !self.peers.contains_key(&peer) {
                    self.plan.failed(&peer, Instant::now());
                }
            }
            SwarmEvent::IncomingConnectionError { peer_id, error, send_back_addr, .. } => {
                tracing::debug!(peer = ?peer_id, address = %send_back_addr, %error, "refused");
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "a listening socket is gone");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.on_sync(event),
            SwarmEvent::Behaviour(BehaviourEvent::Blobs(event)) => self.on_blobs(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event),
            _ => {}
        }
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        // A port of its own: two listening members that dial each other at once from their
        // listening ports would meet in one half-open TCP connection.
        let options = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            // Connected, or being dialled: that attempt's end will set the next date.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "cannot dial");
                self.plan.failed(&peer, now);
            }
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        let inbound = endpoint.is_listener();
        let dialled = endpoint.is_dialer().then(|| endpoint.get_remote_address());
        self.plan.connected(&peer, dialled);
        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        self.shared.board.update(peer, |status| {
            status.direction = Some(direction);
            status.address = Some(endpoint.get_remote_address().clone());
        });
        if !self.peers.contains_key(&peer) {
            self.open_link(peer);
        }
        let link = self.peers.get_mut(&peer).expect("it has just been opened");
        let restarted = inbound && link.connections.iter().any(|old| old.is_dead(now));
        link.connections.push(Connection { id, inbound, since: now, closing: false });
        if restarted {
            // Gossip greets a peer once, on its first connection: with a dead one still standing,
            // or still being closed, it would never greet the restarted peer. So all go, and the
            // peer dials again.
            for connection in &mut link.connections {
                connection.closing = true;
                self.swarm.close_connection(connection.id);
            }
        }
    }

    fn open_link(&mut self, peer: PeerId) {
        self.generation += 1;
        let generation = self.generation;
        let queues = self.shared.hub.add_link(peer, generation);
        let writers = Lane::ALL.into_iter().zip(queues).map(|(lane, queue)| {
            let writer = Writer {
                hub: self.shared.hub.clone(),
                streams: self.swarm.behaviour().streams.new_control(),
                driver: self.shared.sender.clone(),
                peer,
                generation,
                lane,
                queue,
            };
            self.shared.tasks.transient("writer", writer.run())
        });
        let writers = writers.collect();
        let link = Peer { generation, connections: Vec::new(), up: false, writers };
        self.peers.insert(peer, link);
    }

    fn on_link_up(&mut self, peer: PeerId, generation: u64) {
        let link = self.peers.get_mut(&peer).filter(|link| link.generation == generation);
        // The link may have gone while its writer said so.
        let Some(link) = link else { return };
        if std::mem::replace(&mut link.up, true) {
            return;
        }
        self.shared.board.update(peer, |status| status.up = true);
        self.shared.engine.push(TransportEvent::PeerUp(engine_peer(peer)));
        if let Some(member) = self.shared.hub.members().member(&peer) {
            self.shared.node.push(NetworkEvent::MemberConnected(member.clone()));
        }
        self.shared.hub.tell_unreached([peer], &self.unreached());
        self.reach_changed();
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        if let Some(link) = self.peers.get_mut(&peer) {
            link.connections.retain(|connection| connection.id != id);
        }
        // A removed member has no link any more; if it is one again by now, it is due.
        if !self.swarm.is_connected(&peer) {
            let members = self.shared.hub.members();
            self.close_link(peer, &members);
            self.plan.disconnected(&peer, Instant::now());
        }
    }

    /// Ends the tasks of a link. `members` names the peer: it may not be a member any more.
    fn close_link(&mut self, peer: PeerId, members: &Members) {
        let Some(link) = self.peers.remove(&peer) else { return };
        self.shared.hub.remove_link(peer, link.generation);
        self.shared.readers.remove(peer);
        for writer in link.writers {
            writer.abort();
        }
        self.shared.board.remove(&peer);
        if link.up {
            self.shared.engine.push(TransportEvent::PeerDown(engine_peer(peer)));
            if let Some(member) = members.member(&peer) {
                self.shared.node.push(NetworkEvent::MemberDisconnected(member.clone()));
            }
        }
        self.reach_changed();
    }

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(round_trip) if self.peers.contains_key(&event.peer) => {
                self.shared.board.update(event.peer, |status| status.round_trip = Some(round_trip));
            }
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                self.swarm.close_connection(event.connection);
            }
            // A peer without ping is not dead for that.
            Ok(_) | Err(ping::Failure::Unsupported) => {}
        }
    }

    fn set_members(&mut self, members: Vec<MemberAddress>) {
        let old = self.shared.hub.members();
        let new = Arc::new(Members::new(*self.swarm.local_peer_id(), members));
        // First the table, so that what still arrives from a removed peer is refused.
        self.shared.hub.set_members(new.clone());
        let removed = old.iter().filter(|(peer, _)| !new.contains(peer));
        let is_any_removed = removed.clone().next().is_some();
        for (peer, member) in removed {
            tracing::info!(member = %member.member, %peer, "no longer a member");
            self.swarm.behaviour_mut().allowed.disallow_peer(*peer);
            self.close_link(*peer, &old);
        }
        for (peer, _) in new.iter() {
            self.swarm.behaviour_mut().allowed.allow_peer(*peer);
        }
        let peers = &self.peers;
        self.plan.set_members(&new, |peer| peers.contains_key(peer), Instant::now());
        self.rates.retain(|peer| new.contains(peer));
        if is_any_removed {
            // Before anything else that we say, so that nobody passes it on to the removed member.
            self.tell_unreached();
        }
        self.reach_changed();
    }

    fn reach_changed(&mut self) {
        self.reach_due.get_or_insert(Instant::now() + REACH_DELAY);
    }

    fn tell_unreached(&self) {
        self.shared.hub.tell_unreached(self.peers.keys().copied(), &self.unreached());
    }

    fn unreached(&self) -> Vec<PublicKey> {
        let up = |peer: &PeerId| self.peers.get(peer).is_some_and(|link| link.up);
        let members = self.shared.hub.members();
        members.iter().filter(|(peer, _)| !up(peer)).map(|(_, member)| member.key).collect()
    }

    /// Says goodbye to every peer, then gives up the sockets and waits to be aborted.
    async fn shut_down(mut self, done: oneshot::Sender<()>) {
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            // It may have gone by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_WAIT, closed).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
        drop(self);
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
        pending::<()>().await;
    }
}

impl Connection {
    /// Whether it is dead, now that the peer has opened another. A member dials only while it holds
    /// no connection, so an older one that it opened is dead; one that we opened is too, unless
    /// both dialled at the same time. One that we are closing counts until it is gone.
    fn is_dead(&self, now: Instant) -> bool {
        let old = now.duration_since(self.since) > 2 * CONNECTION_TIMEOUT;
        self.closing || self.inbound || old
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => pending().await,
    }
}
