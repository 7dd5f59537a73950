//! The node's one libp2p swarm. It carries consensus frames, sync, transactions and blobs, over
//! QUIC and TCP, and talks only to members whose network keys the ledger lists.
//!
//! ```text
//! engine ──commands──► hub ──bounded queues──► a writer per peer and lane ══stream══► member
//! engine ◄──events──── hub ◄───────────────── a reader per stream        ◄══stream══ member
//! node   ◄──events──── driver (owns the swarm: dialling, allow-list, gossip, requests)
//! node   ──fetch_blob─► fetch ──chunk requests──► driver
//! ```
//!
//! Architecture invariant: the allow-list is the swarm's first behaviour, so that a stranger is cut
//! off after the handshake and before any protocol has seen its connection.
//!
//! Architecture invariant: the driver never waits for the engine, the node, a disk or a peer. What
//! it hands out goes through queues; what floods those is refused at the source.

mod behaviour;
mod dial;
mod driver;
mod event;
mod exchange;
mod fetch;
mod frame;
mod hub;
mod limits;
mod members;
mod outbox;
mod queue;
mod rate;
mod readiness;
mod status;
mod streams;
mod tasks;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use fedledger_consensus::transport::{Transport, TransportCommand};
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::store::BlobStore;
use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use self::behaviour::{Behaviour, Topic};
use self::driver::{Board, Driver, Input, Shared};
use self::fetch::Fetcher;
use self::frame::Lane;
use self::hub::{engine_peer, Hub};
use self::members::Members;
use self::outbox::Outbox;
use self::streams::Readers;
use self::tasks::Tasks;

pub use self::event::{GossipVerdict, NetworkEvent};
pub use self::fetch::FetchError;
pub use self::limits::{
    BLOB_ANNOUNCEMENT_DIGESTS_MAX, BLOB_CHUNK_BYTES_MAX, GOSSIP_TRANSACTION_BYTES_MAX,
};
pub use self::members::{peer_id, MemberAddress};
pub use self::status::{Direction, PeerStatus};

/// How long binding a listening socket may take.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a network needs to start.
pub struct NetworkConfig {
    /// This node's network key: who it is to other members.
    pub key: SigningKey,
    /// Where to listen, such as `/ip4/0.0.0.0/udp/4001/quic-v1` and `/ip4/0.0.0.0/tcp/4001`; port 0
    /// takes a free one. Empty for a node that only dials out.
    pub listen: Vec<Multiaddr>,
    /// The members that the ledger lists now; this node may be among them.
    pub members: Vec<MemberAddress>,
}

/// Serves blobs to members. The node decides which are published: an update that is committed but
/// not revealed yet must not be served.
pub trait BlobSource: Send + Sync + 'static {
    /// At most `length` bytes of the blob from `offset` on, fewer only at its end, and the length
    /// of the whole blob; `None` when it is not held or not published. May block on the disk.
    fn chunk(&self, digest: &Digest, offset: u64, length: u32) -> Option<(u64, Vec<u8>)>;
}

/// Why a network does not start.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// A socket cannot be bound.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// The encrypted transport cannot be set up.
    #[error("cannot set up the network transport: {reason}")]
    Transport {
        /// What libp2p said.
        reason: String,
    },
    /// Gossip cannot be set up.
    #[error("cannot set up gossip: {reason}")]
    Gossip {
        /// What libp2p said.
        reason: String,
    },
}

/// Why something was not gossiped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// No member is connected yet. Publish it again later.
    #[error("no member is connected that could receive it")]
    NoPeers,
    /// Longer than other members would accept.
    #[error("{found} {what} are too many to publish at once: at most {max}")]
    TooLong {
        /// What is counted.
        what: &'static str,
        /// Most allowed.
        max: usize,
        /// How many were given.
        found: usize,
    },
    /// Gossip refused it, for instance because every queue is full.
    #[error("gossip refused the message: {reason}")]
    Refused {
        /// What gossip said.
        reason: String,
    },
    /// The network has been shut down.
    #[error("the network has been shut down")]
    Stopped,
}

/// Why a peer did not answer a request for a piece of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ChunkError {
    #[error("the member is not connected")]
    NotConnected,
    #[error("the member did not answer in time")]
    Timeout,
    #[error("the member's answer is malformed")]
    Malformed,
    #[error("the request failed: {reason}")]
    Failed { reason: String },
    #[error("the network has been shut down")]
    Stopped,
}

/// The network died. The node stops: without its network it can only do harm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct NetworkFailure {
    /// Which task died and how.
    pub reason: String,
}

/// A running network. Clones share it; it ends with [`Network::shutdown`] or its last clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    local: PeerId,
    listening: Vec<Multiaddr>,
    driver: mpsc::UnboundedSender<Input>,
    hub: Arc<Hub>,
    board: Arc<Board>,
    tasks: Arc<Tasks>,
    fetcher: Fetcher,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl Network {
    /// Binds the sockets and starts to connect to the members.
    ///
    /// Returns the handle, the engine's transport and what the network tells the node. Fetched
    /// blobs go to `store`; `source` serves blobs to others.
    ///
    /// # Errors
    /// When a socket cannot be bound or the transport cannot be set up.
    pub async fn start(
        config: NetworkConfig,
        source: Arc<dyn BlobSource>,
        store: Arc<BlobStore>,
    ) -> Result<(Self, Transport, mpsc::Receiver<NetworkEvent>), NetworkError> {
        let key = Keypair::ed25519_from_bytes(config.key.to_bytes())
            .map_err(|error| NetworkError::Transport { reason: error.to_string() })?;
        let mut swarm = behaviour::swarm(&key)?;
        let local = *swarm.local_peer_id();
        let listening = listen(&mut swarm, &config.listen).await?;

        let (engine_sender, engine_events) = mpsc::channel(limits::ENGINE_EVENTS_MAX);
        let (node_sender, node_events) = mpsc::channel(limits::NODE_EVENTS_MAX);
        let (command_sender, commands) = mpsc::unbounded_channel();
        let (driver, inputs) = mpsc::unbounded_channel();
        // The swarm's task is the essential one: the others end when it does, and not before.
        let tasks = Arc::new(Tasks::default());
        // The driver sets the true list before it does anything else.
        let nobody = Arc::new(Members::default());
        let hub = Arc::new(Hub::new(nobody, engine_sender.clone()));
        let (engine, forward) = Outbox::new(engine_sender);
        tasks.transient("engine events", forward);
        let (node, forward) = Outbox::new(node_sender);
        tasks.transient("node events", forward);

        let readers = Arc::new(Readers::default());
        accept_streams(&swarm, &hub, &readers, &tasks);
        tasks.transient("engine commands", carry_commands(commands, hub.clone(), driver.clone()));
        let board = Arc::new(Board::default());
        let shared = Shared {
            hub: hub.clone(),
            tasks: tasks.clone(),
            readers,
            board: board.clone(),
            source,
            engine,
            node,
            sender: driver.clone(),
        };
        let task = Driver::new(swarm, shared, inputs, !listening.is_empty());
        tasks.essential("swarm", task.run(config.members));

        let fetcher = Fetcher::new(local, driver.clone(), hub.clone(), store);
        let inner = Inner { local, listening, driver, hub, board, tasks, fetcher };
        let local = engine_peer(local);
        let transport = Transport { local, commands: command_sender, events: engine_events };
        Ok((Self(Arc::new(inner)), transport, node_events))
    }

    /// This node's peer id.
    pub fn local_peer(&self) -> PeerId {
        self.0.local
    }

    /// The addresses on which the node listens, with their true ports.
    pub fn listen_addresses(&self) -> &[Multiaddr] {
        &self.0.listening
    }

    /// Gossips a transaction. Publishing the same bytes again sends them again: that is how a
    /// transaction reaches members that were away.
    ///
    /// # Errors
    /// When it is too long, nobody is connected, or gossip is overloaded.
    pub async fn publish_transaction(&self, bytes: Vec<u8>) -> Result<(), PublishError> {
        check_length("bytes", bytes.len(), GOSSIP_TRANSACTION_BYTES_MAX)?;
        self.publish(Topic::Transactions, bytes).await
    }

    /// Tells every member that this node holds these blobs.
    ///
    /// # Errors
    /// When there are too many, nobody is connected, or gossip is overloaded.
    pub async fn announce_blobs(&self, digests: &[Digest]) -> Result<(), PublishError> {
        if digests.is_empty() {
            return Ok(());
        }
        check_length("digests", digests.len(), BLOB_ANNOUNCEMENT_DIGESTS_MAX)?;
        self.publish(Topic::BlobsHeld, driver::encode_digests(digests)).await
    }

    async fn publish(&self, topic: Topic, bytes: Vec<u8>) -> Result<(), PublishError> {
        self.ask(|done| Input::Publish { topic, bytes, done }).await.ok_or(PublishError::Stopped)?
    }

    /// Fetches a blob into the store from whichever of `holders` serves it, continuing a partial
    /// one, and verifies it. Returns at once when the store has it. `length`, when known, is
    /// that of the whole blob in bytes. Dropping the future keeps what has arrived.
    ///
    /// # Errors
    /// When no holder served the true bytes, or the store failed.
    pub async fn fetch_blob(
        &self,
        digest: Digest,
        length: Option<u64>,
        holders: &[MemberId],
    ) -> Result<(), FetchError> {
        self.0.fetcher.fetch(digest, length, holders).await
    }

    /// Follows the ledger's list of members: new ones are let in and dialled, removed ones are cut
    /// off at once.
    pub async fn set_members(&self, members: Vec<MemberAddress>) {
        // A network that has been shut down talks to nobody anyway.
        let _ = self.ask(|done| Input::SetMembers { members, done }).await;
    }

    /// Every member other than this node, as the network sees it now, by peer id.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let members = self.0.hub.members();
        let status = |(peer, member): (&PeerId, &MemberAddress)| {
            let link = self.0.board.link(peer);
            PeerStatus {
                connected: link.up,
                direction: link.direction,
                address: link.address,
                round_trip: link.round_trip,
                ..self.0.hub.counters(*peer).status(member.member.clone(), *peer)
            }
        };
        members.iter().map(status).collect()
    }

    /// Resolves when a task of the network has died; never after a shutdown.
    pub fn failed(&self) -> impl Future<Output = NetworkFailure> + Send + 'static {
        let failed = self.0.tasks.failed();
        async move { NetworkFailure { reason: failed.await } }
    }

    /// Closes every connection and gives up the sockets. Later calls do nothing.
    pub async fn shutdown(&self) {
        // When nobody answers, it is down already.
        let _ = self.ask(|done| Input::Shutdown { done }).await;
        self.0.tasks.abort();
    }

    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Option<T> {
        let (done, answer) = oneshot::channel();
        self.0.driver.send(input(done)).ok()?;
        answer.await.ok()
    }
}

fn check_length(what: &'static str, found: usize, max: usize) -> Result<(), PublishError> {
    if found > max {
        return Err(PublishError::TooLong { what, max, found });
    }
    Ok(())
}

/// Binds the sockets and waits until the system has named their ports.
async fn listen(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
) -> Result<Vec<Multiaddr>, NetworkError> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |reason: String| NetworkError::Listen { address: address.clone(), reason };
        check_free(address).map_err(|error| failed(error.to_string()))?;
        let listener = swarm.listen_on(address.clone()).map_err(|e| failed(e.to_string()))?;
        let named = async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { listener_id, address } => {
                        bound.push(address);
                        if listener_id == listener {
                            return Ok(());
                        }
                    }
                    SwarmEvent::ListenerClosed { listener_id, reason, .. }
                        if listener_id == listener =>
                    {
                        let reason = reason.err().map(|error| error.to_string());
                        return Err(failed(reason.unwrap_or_else(|| "it was closed".to_owned())));
                    }
                    _ => {}
                }
            }
        };
        match tokio::time::timeout(LISTEN_TIMEOUT, named).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(failed("the system did not name the socket's port".to_owned())),
        }
    }
    Ok(bound)
}

/// Refuses a port that another process listens on: libp2p binds TCP sockets so that two processes
/// may share a port, and each would get some of the other's connections.
fn check_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => std::net::TcpListener::bind((ip, port)).map(drop),
        Some(Protocol::Udp(port)) => std::net::UdpSocket::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn accept_streams(
    swarm: &Swarm<Behaviour>,
    hub: &Arc<Hub>,
    readers: &Arc<Readers>,
    tasks: &Arc<Tasks>,
) {
    let mut control = swarm.behaviour().streams.new_control();
    for lane in Lane::ALL {
        let incoming = control.accept(lane.protocol()).expect("each lane is registered once");
        let accept = streams::accept(incoming, lane, hub.clone(), readers.clone(), tasks.clone());
        tasks.transient("acceptor", accept);
    }
}

/// Carries the engine's commands until the engine is gone.
async fn carry_commands(
    mut commands: mpsc::UnboundedReceiver<TransportCommand>,
    hub: Arc<Hub>,
    driver: mpsc::UnboundedSender<Input>,
) {
    while let Some(command) = commands.recv().await {
        let input = match command {
            TransportCommand::Broadcast { class, bytes } => {
                hub.broadcast(class, &bytes);
                continue;
            }
            TransportCommand::SyncRequest { peer, request, bytes } => {
                let peer = PeerId::from_bytes(&peer.to_bytes());
                let peer = peer.expect("both types hold the same multihash");
                Input::SyncRequest { peer, request, bytes }
            }
            TransportCommand::SyncRespond { inbound, bytes } => {
                Input::SyncRespond { inbound, bytes }
            }
        };
        if driver.send(input).is_err() {
            return;
        }
    }
}
