//! The one swarm: transports and protocols.

use std::num::NonZeroU8;
use std::time::Duration;

use fedledger_consensus::transport::{SYNC_REQUEST_BYTES_MAX, SYNC_RESPONSE_BYTES_MAX};
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageId, WhitelistSubscriptionFilter};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{self, NetworkBehaviour};
use libp2p::{dns, noise, ping, quic, tcp, yamux, PeerId, StreamProtocol, Swarm, Transport};
use sha2::{Digest as _, Sha256};

use super::exchange::Bounded;
use super::limits::{
    BLOB_REQUEST_BYTES_MAX, BLOB_RESPONSE_BYTES_MAX, BLOB_TIMEOUT, CONNECTIONS_MAX,
    CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_MAX, CONNECTION_TIMEOUT, GOSSIP_BYTES_MAX,
    IDLE_CONNECTION_TIMEOUT, PING_INTERVAL, PING_TIMEOUT, REQUEST_STREAMS_MAX, SYNC_TIMEOUT,
};
use super::NetworkError;

pub(super) type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

/// The protocols. Their order is a security property: the derive asks each field in turn when a
/// connection is established and gives up at the first refusal, so that a stranger is cut off
/// before any later protocol has a handler on the connection. There is no identify: it would tell
/// strangers nothing that we want them to know, and members are dialled at the ledger's addresses.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    pub(super) streams: libp2p_stream::Behaviour,
    pub(super) gossip: Gossip,
    ping: ping::Behaviour,
    pub(super) sync: request_response::Behaviour<Bounded>,
    pub(super) blobs: request_response::Behaviour<Bounded>,
}

/// What members gossip about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Transactions.
    Transactions,
    /// Digests of the blobs that the signing member holds.
    BlobsHeld,
}

impl Topic {
    pub(super) const ALL: [Self; 2] = [Self::Transactions, Self::BlobsHeld];

    pub(super) fn ident(self) -> IdentTopic {
        IdentTopic::new(match self {
            Self::Transactions => "/fedledger/tx/1",
            Self::BlobsHeld => "/fedledger/have/1",
        })
    }
}

fn gossip(key: &Keypair) -> Result<Gossip, NetworkError> {
    let failed = |reason: String| NetworkError::Gossip { reason };
    let config = gossipsub::ConfigBuilder::default()
        .max_transmit_size(GOSSIP_BYTES_MAX)
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .flood_publish(true)
        .message_id_fn(message_id)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let topics = Topic::ALL.map(|topic| topic.ident().hash()).into();
    let authenticity = gossipsub::MessageAuthenticity::Signed(key.clone());
    let filter = WhitelistSubscriptionFilter(topics);
    let mut gossip = Gossip::new_with_subscription_filter(authenticity, config, filter)
        .map_err(|error| failed(error.to_owned()))?;
    for topic in Topic::ALL {
        gossip.subscribe(&topic.ident()).map_err(|error| failed(error.to_string()))?;
    }
    Ok(gossip)
}

/// Source, sequence and content: publishing the same bytes again is a new message.
fn message_id(message: &gossipsub::Message) -> MessageId {
    let source = message.source.map(PeerId::to_bytes).unwrap_or_default();
    let sequence = message.sequence_number.unwrap_or_default().to_be_bytes();
    let hash =
        Sha256::new().chain_update(source).chain_update(sequence).chain_update(&message.data);
    MessageId::from(hash.finalize().to_vec())
}

fn exchange(
    protocol: &'static str,
    codec: Bounded,
    timeout: Duration,
) -> request_response::Behaviour<Bounded> {
    let config = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(REQUEST_STREAMS_MAX);
    let protocols = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
    request_response::Behaviour::with_codec(codec, protocols, config)
}

fn behaviour(key: &Keypair) -> Result<Behaviour, NetworkError> {
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
    let sync = Bounded {
        request_bytes_max: SYNC_REQUEST_BYTES_MAX,
        response_bytes_max: SYNC_RESPONSE_BYTES_MAX,
    };
    let blobs = Bounded {
        request_bytes_max: BLOB_REQUEST_BYTES_MAX,
        response_bytes_max: BLOB_RESPONSE_BYTES_MAX,
    };
    let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT);
    Ok(Behaviour {
        allowed: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(limits),
        streams: libp2p_stream::Behaviour::new(),
        gossip: gossip(key)?,
        ping: ping::Behaviour::new(ping),
        sync: exchange("/fedledger/sync/1", sync, SYNC_TIMEOUT),
        blobs: exchange("/fedledger/blob/1", blobs, BLOB_TIMEOUT),
    })
}

/// TCP with noise and yamux, and QUIC.
fn transport(key: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetworkError> {
    let noise = noise::Config::new(key)
        .map_err(|error| NetworkError::Transport { reason: error.to_string() })?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = quic::tokio::Transport::new(quic::Config::new(key))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed())
}

/// Adds host names. The system's resolver is asked; where there is none, only addresses of numbers
/// can be dialled.
fn with_names(key: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetworkError> {
    match dns::tokio::Transport::system(transport(key)?) {
        Ok(transport) => Ok(transport.boxed()),
        Err(error) => {
            tracing::warn!(%error, "no resolver: host names in addresses cannot be dialled");
            let nobody = dns::ResolverConfig::new();
            let options = dns::ResolverOpts::default();
            Ok(dns::tokio::Transport::custom(transport(key)?, nobody, options).boxed())
        }
    }
}

/// Builds the swarm. A member's addresses are tried one after the other, so that a dialler holds
/// one connection and a second one inbound means that the first is dead.
pub(super) fn swarm(key: &Keypair) -> Result<Swarm<Behaviour>, NetworkError> {
    let transport = TransportTimeout::new(with_names(key)?, CONNECTION_TIMEOUT).boxed();
    let one = NonZeroU8::new(1).expect("one is not zero");
    let config = swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_CONNECTION_TIMEOUT)
        .with_dial_concurrency_factor(one);
    Ok(Swarm::new(transport, behaviour(key)?, key.public().to_peer_id(), config))
}
