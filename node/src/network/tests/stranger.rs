//! A stranger that speaks every protocol, with and without identify, gets nothing. The same program
//! under a member's key gets everything, so that the test would notice if it asked wrongly.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use fedledger_consensus::transport::{FrameClass, TransportCommand, TransportEvent};
use fedledger_ledger::ids::Digest;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Message, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{gossipsub, identify, noise, tcp, yamux, Multiaddr, StreamProtocol, SwarmBuilder};

use super::super::behaviour::Topic;
use super::super::exchange::{Bounded, ChunkRequest};
use super::super::frame::Lane;
use super::super::{BlobSource, Network};
use super::fixture::{introduce, key, listed, within, Listen, Node};

#[derive(NetworkBehaviour)]
struct Intruder {
    streams: libp2p_stream::Behaviour,
    gossip: gossipsub::Behaviour,
    sync: request_response::Behaviour<Bounded>,
    blobs: request_response::Behaviour<Bounded>,
    identify: Toggle<identify::Behaviour>,
}

/// What an intruder got.
#[derive(Debug, Default)]
struct Loot {
    ready_bytes: AtomicU64,
    frame_bytes: AtomicU64,
    gossip_messages: AtomicU64,
    subscriptions: AtomicU64,
    sync_bytes: AtomicU64,
    blob_bytes: AtomicU64,
    identified: AtomicU64,
}

impl Loot {
    fn counts(&self) -> [u64; 7] {
        [
            &self.ready_bytes,
            &self.frame_bytes,
            &self.gossip_messages,
            &self.subscriptions,
            &self.sync_bytes,
            &self.blob_bytes,
            &self.identified,
        ]
        .map(|count| count.load(SeqCst))
    }

    /// Everything that a member without identify is given.
    fn is_complete(&self) -> bool {
        self.counts()[..6].iter().all(|count| *count > 0)
    }
}

fn requests(protocol: &'static str) -> request_response::Behaviour<Bounded> {
    let codec = Bounded { request_bytes_max: 1 << 20, response_bytes_max: 16 << 20 };
    let protocols = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
    request_response::Behaviour::with_codec(codec, protocols, request_response::Config::default())
}

fn intruder(key: &SigningKey, with_identify: bool) -> libp2p::Swarm<Intruder> {
    let key = Keypair::ed25519_from_bytes(key.to_bytes()).unwrap();
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|key| {
            let authenticity = gossipsub::MessageAuthenticity::Signed(key.clone());
            let config =
                gossipsub::ConfigBuilder::default().max_transmit_size(1 << 20).build().unwrap();
            let mut gossip = gossipsub::Behaviour::new(authenticity, config).unwrap();
            for topic in Topic::ALL {
                gossip.subscribe(&topic.ident()).unwrap();
            }
            let identify = identify::Config::new("/fedledger/1".to_owned(), key.public());
            Intruder {
                streams: libp2p_stream::Behaviour::new(),
                gossip,
                sync: requests("/fedledger/sync/1"),
                blobs: requests("/fedledger/blob/1"),
                identify: with_identify.then(|| identify::Behaviour::new(identify)).into(),
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

/// Runs the intruder until it has been refused `refusals` times or has got everything.
async fn intrude(
    key: &SigningKey,
    with_identify: bool,
    target: &Multiaddr,
    wanted: Digest,
    refusals: u32,
    loot: &Arc<Loot>,
) {
    let mut swarm = intruder(key, with_identify);
    for lane in Lane::ALL {
        let mut incoming = swarm.behaviour().streams.new_control().accept(lane.protocol()).unwrap();
        let loot = loot.clone();
        tokio::spawn(async move {
            while let Some((_, mut stream)) = incoming.next().await {
                let loot = loot.clone();
                tokio::spawn(async move {
                    let _ = stream.write_all(&[1]).await;
                    let _ = stream.flush().await;
                    let mut buffer = [0; 4_096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        loot.frame_bytes.fetch_add(count as u64, SeqCst);
                    }
                });
            }
        });
    }
    let mut refused = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    swarm.dial(target.clone()).unwrap();
    while refused < refusals && !loot.is_complete() {
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            _ = tick.tick() => continue,
        };
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                for lane in Lane::ALL {
                    let mut control = swarm.behaviour().streams.new_control();
                    let loot = loot.clone();
                    tokio::spawn(async move {
                        let Ok(mut stream) = control.open_stream(peer_id, lane.protocol()).await
                        else {
                            return;
                        };
                        let mut ready = [0];
                        if stream.read_exact(&mut ready).await.is_ok() {
                            loot.ready_bytes.fetch_add(1, SeqCst);
                        }
                    });
                }
                let behaviour = swarm.behaviour_mut();
                behaviour.sync.send_request(&peer_id, Bytes::from_static(b"blocks, please"));
                let request = ChunkRequest { digest: wanted, offset: 0, length: 1_000 };
                behaviour.blobs.send_request(&peer_id, request.encode());
            }
            SwarmEvent::ConnectionClosed { num_established: 0, .. }
            | SwarmEvent::OutgoingConnectionError { .. } => {
                refused += 1;
                swarm.dial(target.clone()).unwrap();
            }
            SwarmEvent::Behaviour(event) => take(loot, event),
            _ => {}
        }
    }
}

fn take(loot: &Loot, event: IntruderEvent) {
    let responded = |event| match event {
        request_response::Event::Message {
            message: Message::Response { response, .. }, ..
        } => {
            let response: Bytes = response;
            response.len() as u64
        }
        _ => 0,
    };
    match event {
        IntruderEvent::Gossip(gossipsub::Event::Message { .. }) => {
            loot.gossip_messages.fetch_add(1, SeqCst);
        }
        IntruderEvent::Gossip(gossipsub::Event::Subscribed { .. }) => {
            loot.subscriptions.fetch_add(1, SeqCst);
        }
        IntruderEvent::Sync(event) => {
            loot.sync_bytes.fetch_add(responded(event), SeqCst);
        }
        IntruderEvent::Blobs(event) => {
            loot.blob_bytes.fetch_add(responded(event), SeqCst);
        }
        IntruderEvent::Identify(identify::Event::Received { .. }) => {
            loot.identified.fetch_add(1, SeqCst);
        }
        _ => {}
    }
}

/// Serves one blob to whoever gets this far.
struct Generous;

impl BlobSource for Generous {
    fn chunk(&self, _: &Digest, _: u64, _: u32) -> Option<(u64, Vec<u8>)> {
        Some((5, b"hello".to_vec()))
    }
}

/// Keeps a node busy: it broadcasts, gossips, and answers every sync request.
async fn babble(network: Network, mut transport: fedledger_consensus::transport::Transport) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            _ = tick.tick() => {
                for class in [FrameClass::Control, FrameClass::Bulk, FrameClass::Status] {
                    let bytes = Bytes::from_static(b"a secret of the consortium");
                    transport.commands.send(TransportCommand::Broadcast { class, bytes }).unwrap();
                }
                network.publish_transaction(b"a secret transaction".to_vec()).await.unwrap();
            }
            event = transport.events.recv() => {
                if let Some(TransportEvent::SyncRequest { inbound, .. }) = event {
                    let bytes = Some(Bytes::from_static(b"blocks"));
                    transport.commands.send(TransportCommand::SyncRespond { inbound, bytes }).unwrap();
                }
            }
        }
    }
}

async fn check(listen: Listen) {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Node::start_with(1, listen, Arc::new(Generous), folder).await;
    let mut friend = Node::start(2, Listen::Nowhere).await;
    introduce(&mut [&mut victim, &mut friend]).await;
    within("gossip to know the friend", async {
        while victim.network.publish_transaction(b"x".to_vec()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let insider = key(3);
    let list = vec![victim.listed(), friend.listed(), listed(&insider, &[])];
    victim.network.set_members(list).await;
    let target = victim.network.listen_addresses()[0].clone();
    let wanted = Digest::of(b"hello");
    let Node { network, transport, .. } = victim;
    let busy = tokio::spawn(babble(network, transport));
    for with_identify in [false, true] {
        let stranger = key(66);
        let loot = Arc::new(Loot::default());
        within("refusals", intrude(&stranger, with_identify, &target, wanted, 5, &loot)).await;
        assert_eq!(loot.counts(), [0; 7], "a stranger got something: {loot:?}");
        let loot = Arc::new(Loot::default());
        let limit = Duration::from_secs(60);
        let inside = intrude(&insider, with_identify, &target, wanted, u32::MAX, &loot);
        let _ = tokio::time::timeout(limit, inside).await;
        assert!(loot.is_complete(), "the control got too little: {loot:?}");
    }
    assert!(!busy.is_finished(), "the node kept talking");
    // The friend heard it all the while.
    friend.frame(FrameClass::Control).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_over_tcp() {
    check(Listen::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_over_quic() {
    check(Listen::Quic).await;
}
