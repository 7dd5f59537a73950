//! A network with everything around it that a node would have.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use fedledger_consensus::transport::{FrameClass, Transport, TransportCommand, TransportEvent};
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::BlobStore;
use libp2p::Multiaddr;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::{BlobSource, MemberAddress, Network, NetworkConfig, NetworkEvent};

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listen {
    Tcp,
    Quic,
    Both,
    Nowhere,
}

impl Listen {
    fn addresses(self) -> Vec<Multiaddr> {
        let tcp = || "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        let quic = || "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
        match self {
            Self::Tcp => vec![tcp()],
            Self::Quic => vec![quic()],
            Self::Both => vec![quic(), tcp()],
            Self::Nowhere => Vec::new(),
        }
    }
}

/// Serves nothing.
pub(super) struct Nothing;

impl BlobSource for Nothing {
    fn chunk(&self, _: &Digest, _: u64, _: u32) -> Option<(u64, Vec<u8>)> {
        None
    }
}

pub(super) struct Node {
    pub(super) key: SigningKey,
    pub(super) network: Network,
    pub(super) transport: Transport,
    pub(super) events: mpsc::Receiver<NetworkEvent>,
    pub(super) store: Arc<BlobStore>,
    pub(super) folder: TempDir,
}

/// Ends a test that waits for what never comes.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(90);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

pub(super) fn member(seed: u8) -> MemberId {
    MemberId::new(format!("hospital-{seed}")).unwrap()
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A member as the ledger lists it.
pub(super) fn listed(key: &SigningKey, addresses: &[Multiaddr]) -> MemberAddress {
    let member = member(key.to_bytes()[0]);
    MemberAddress { member, key: PublicKey::of(key), addresses: addresses.to_vec() }
}

impl Node {
    pub(super) async fn start(seed: u8, listen: Listen) -> Self {
        Self::start_with(seed, listen, Arc::new(Nothing), tempfile::tempdir().unwrap()).await
    }

    pub(super) async fn start_with(
        seed: u8,
        listen: Listen,
        source: Arc<dyn BlobSource>,
        folder: TempDir,
    ) -> Self {
        let key = key(seed);
        let store = Arc::new(open_store(folder.path()));
        let config =
            NetworkConfig { key: key.clone(), listen: listen.addresses(), members: Vec::new() };
        let (network, transport, events) =
            Network::start(config, source, store.clone()).await.unwrap();
        Self { key, network, transport, events, store, folder }
    }

    pub(super) fn member(&self) -> MemberId {
        member(self.key.to_bytes()[0])
    }

    pub(super) fn listed(&self) -> MemberAddress {
        listed(&self.key, self.network.listen_addresses())
    }

    pub(super) fn broadcast(&self, class: FrameClass, bytes: impl Into<Bytes>) {
        let command = TransportCommand::Broadcast { class, bytes: bytes.into() };
        self.transport.commands.send(command).unwrap();
    }

    /// The next event of the engine that `pick` wants; others are passed over.
    pub(super) async fn engine_event<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(TransportEvent) -> Option<T>,
    ) -> T {
        within(what, async {
            loop {
                let event = self.transport.events.recv().await.expect("the network runs");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
    }

    /// The next event of the node that `pick` wants; others are passed over.
    pub(super) async fn node_event<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(NetworkEvent) -> Option<T>,
    ) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
    }

    /// The next frame of this class.
    pub(super) async fn frame(&mut self, wanted: FrameClass) -> Bytes {
        self.engine_event("a frame", |event| match event {
            TransportEvent::Frame { class, bytes, .. } if class == wanted => Some(bytes),
            _ => None,
        })
        .await
    }

    /// Waits until every one of `others` is connected.
    pub(super) async fn connected_to(&mut self, others: &[MemberId]) {
        let mut missing: BTreeSet<MemberId> = others.iter().cloned().collect();
        while !missing.is_empty() {
            let who = self
                .node_event("a member to connect", |event| match event {
                    NetworkEvent::MemberConnected(member) => Some(member),
                    _ => None,
                })
                .await;
            missing.remove(&who);
        }
    }
}

/// Lists all of them at each of them and waits for the links that can be: all but those between two
/// that listen nowhere.
pub(super) async fn introduce(nodes: &mut [&mut Node]) {
    let all: Vec<MemberAddress> = nodes.iter().map(|node| node.listed()).collect();
    for node in nodes.iter() {
        node.network.set_members(all.clone()).await;
    }
    for node in nodes.iter_mut() {
        let (own, dial_only) = (node.member(), node.network.listen_addresses().is_empty());
        let reachable = all
            .iter()
            .filter(|other| other.member != own && !(dial_only && other.addresses.is_empty()));
        let reachable: Vec<MemberId> = reachable.map(|other| other.member.clone()).collect();
        node.connected_to(&reachable).await;
    }
}

pub(super) fn open_store(folder: &Path) -> BlobStore {
    BlobStore::open(folder, BLOB_BYTES_MAX).unwrap()
}
