//! Decided blocks per second, and how long one takes, beside the bare engine.
//!
//! `cargo bench -p fedledger-tests --features benches --bench decide` runs four validators in one
//! process over real sockets on loopback, in turn with the ledger (the store, the contract, blocks
//! with a transaction of every member) and with an application that decides empty blocks in memory.
//! Both have the same engine, write-ahead log, double-sign guard and network actor. It prints the
//! medians over several turns and their ratio; the aim is at least 0.8.
#![allow(clippy::disallowed_types, clippy::float_arithmetic, reason = "a bench measures time")]

use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use fedledger_consensus::application::Application;
use fedledger_consensus::chain::{system_clock, Chain};
use fedledger_consensus::engine::{self, EngineConfig, EngineHandle};
use fedledger_consensus::testkit::EmptyApplication;
use fedledger_consensus::transport::Transport;
use fedledger_contract::state::StateView;
use fedledger_ledger::block::{ValidatorAddress, ValidatorSet};
use fedledger_ledger::entry::Entry;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::{MemberKeys, MemberSpec};
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, Nonce, TimeMs};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::{BlobStore, LedgerStore};
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};
use fedledger_node::network::{BlobSource, MemberAddress, Network, NetworkConfig};
use tempfile::TempDir;

const NODES: usize = 4;
/// Heights that a turn decides one after the other as fast as they go.
const HEIGHTS: u64 = 300;
/// Heights whose time is taken one by one.
const SINGLES: u64 = 60;
const TURNS: usize = 3;
/// How many transactions of each member are ahead of the ledger: one is in the block at work, one
/// waits for the next.
const AHEAD: u64 = 2;

struct NoBlobs;

impl BlobSource for NoBlobs {
    fn chunk(&self, _: &Digest, _: u64, _: u32) -> Option<(u64, Vec<u8>)> {
        None
    }
}

/// Three keys of each member: member, validator, network.
fn keys(node: usize) -> [SigningKey; 3] {
    [10, 20, 30].map(|role| SigningKey::from_bytes(&[role + node as u8; 32]))
}

fn member(node: usize) -> MemberId {
    MemberId::new(format!("hospital-{}", node + 1)).expect("a short slug is an id")
}

fn chain_id() -> ChainId {
    ChainId::new("bench-1").expect("a short slug is an id")
}

struct Wire {
    folder: TempDir,
    network: Network,
    transport: Transport,
    blobs: Arc<BlobStore>,
}

/// Four connected networks on loopback.
async fn wires() -> Vec<Wire> {
    let mut wires = Vec::new();
    for node in 0..NODES {
        let folder = tempfile::tempdir().expect("the temporary folder works");
        let blobs = BlobStore::open(&folder.path().join("blobs"), BLOB_BYTES_MAX);
        let blobs = Arc::new(blobs.expect("an empty folder opens"));
        let [_, _, key] = keys(node);
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")];
        let config = NetworkConfig { key, listen, members: Vec::new() };
        let started = Network::start(config, Arc::new(NoBlobs), Arc::clone(&blobs)).await;
        let (network, transport, mut events) = started.expect("loopback works");
        // Nobody gossips here; what the network tells the node is passed over.
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        wires.push(Wire { folder, network, transport, blobs });
    }
    let listed: Vec<MemberAddress> = wires
        .iter()
        .enumerate()
        .map(|(node, wire)| MemberAddress {
            member: member(node),
            key: PublicKey::of(&keys(node)[2]),
            addresses: wire.network.listen_addresses().to_vec(),
        })
        .collect();
    for wire in &wires {
        wire.network.set_members(listed.clone()).await;
    }
    wires
}

fn start_engine(
    node: usize,
    folder: &TempDir,
    application: Arc<dyn Application>,
    transport: Transport,
) -> EngineHandle {
    let config = EngineConfig::new(chain_id(), folder.path().join("consensus"));
    let [_, validator, _] = keys(node);
    engine::start(config, Some(validator), application, transport).expect("the engine starts")
}

/// What one turn took.
struct Turn {
    blocks_per_second: f64,
    /// Of the single heights, in milliseconds, ascending.
    latencies: Vec<f64>,
}

/// Four engines over connected networks.
struct Running {
    engines: Vec<EngineHandle>,
    networks: Vec<Network>,
    /// What the nodes write to, until they are shut down.
    folders: Vec<TempDir>,
}

impl Running {
    /// Starts an engine on each network with the application that `application` makes for it.
    async fn start(mut application: impl FnMut(usize, &Wire) -> Arc<dyn Application>) -> Self {
        let mut running = Self { engines: Vec::new(), networks: Vec::new(), folders: Vec::new() };
        for (node, wire) in wires().await.into_iter().enumerate() {
            let application = application(node, &wire);
            let engine = start_engine(node, &wire.folder, application, wire.transport);
            running.engines.push(engine);
            running.networks.push(wire.network);
            running.folders.push(wire.folder);
        }
        running
    }

    async fn shut_down(self) {
        for engine in self.engines {
            engine.shutdown().await.expect("the engine ran to its end");
        }
        for network in self.networks {
            network.shutdown().await;
        }
        drop(self.folders);
    }
}

async fn bare() -> Turn {
    let validators = (0..NODES).map(|node| PublicKey::of(&keys(node)[1]));
    let validators = ValidatorSet::of_equals(validators).expect("made-up keys are usable");
    let mut ledgers = Vec::new();
    let running = Running::start(|node, _| {
        let proposer = ValidatorAddress::of(&PublicKey::of(&keys(node)[1]));
        let ledger = EmptyApplication::new(chain_id(), validators.clone(), proposer);
        ledgers.push(ledger.clone());
        Arc::new(ledger)
    })
    .await;
    let reach = |height: Height| {
        let ledgers = &ledgers;
        async move {
            for ledger in ledgers {
                ledger.want(height);
            }
            for ledger in ledgers {
                ledger.reached(height).await;
            }
        }
    };
    reach(Height(5)).await;
    let begin = Instant::now();
    reach(Height(5 + HEIGHTS)).await;
    let blocks_per_second = HEIGHTS as f64 / begin.elapsed().as_secs_f64();
    let mut latencies = Vec::new();
    for one in 1..=SINGLES {
        let begin = Instant::now();
        reach(Height(5 + HEIGHTS + one)).await;
        latencies.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    latencies.sort_by(f64::total_cmp);
    running.shut_down().await;
    Turn { blocks_per_second, latencies }
}

fn genesis() -> Genesis {
    let members = (0..NODES).map(|node| {
        let [member_key, validator, network] = keys(node).map(|key| PublicKey::of(&key));
        let keys = MemberKeys { member: member_key, validator, network };
        MemberSpec { id: member(node), name: format!("Hospital {node}"), keys, addresses: vec![] }
    });
    Genesis {
        chain_id: chain_id(),
        time: TimeMs(1_700_000_000_000),
        members: members.collect(),
        tasks: Vec::new(),
    }
}

fn open_chain(node: usize, wire: &Wire) -> Arc<Chain> {
    let genesis = genesis();
    let dir = wire.folder.path().join("ledger");
    let store = LedgerStore::open(&dir, &genesis.chain_id, genesis.digest()).expect("it opens");
    let effects = fedledger_contract::genesis::genesis(&genesis).expect("the document is valid");
    let entries: Vec<Vec<u8>> = effects.entries.iter().map(Entry::to_bytes).collect();
    store
        .init_genesis(&genesis, &effects.validators, &entries, &effects.writes)
        .expect("the disk works");
    let proposer = ValidatorAddress::of(&PublicKey::of(&keys(node)[1]));
    Chain::open(genesis, store, Arc::clone(&wire.blobs), proposer, system_clock).expect("it opens")
}

/// Hands one more transaction of every member to all nodes: a vote on a change that nobody
/// proposed. It is checked, ordered, refused by the contract, and recorded with its reason.
fn feed(chains: &[Arc<Chain>], nonce: Nonce) {
    for node in 0..NODES {
        let body = TransactionBody {
            chain_id: chain_id(),
            member: member(node),
            nonce,
            action: Action::Approve { change: Digest::of(&nonce.0.to_be_bytes()) },
        };
        let transaction = Transaction::sign(body, &keys(node)[0]);
        for chain in chains {
            chain.submit(transaction.clone()).expect("there is room");
        }
    }
}

/// The nonce that every member has used.
fn used(chain: &Chain) -> Nonce {
    let view = StateView::new(chain.store());
    (0..NODES).map(|node| view.nonce(&member(node))).min().expect("there are members")
}

/// Waits until all that was fed is on every ledger, and returns the height.
async fn settle(chains: &[Arc<Chain>], nonce: Nonce) -> u64 {
    let mut highest = 0;
    for chain in chains {
        let mut heights = chain.subscribe();
        while used(chain) < nonce {
            heights.changed().await.expect("the chain lives");
        }
        highest = highest.max(heights.borrow().0);
    }
    for chain in chains {
        let mut heights = chain.subscribe();
        heights.wait_for(|height| height.0 >= highest).await.expect("the chain lives");
    }
    highest
}

async fn ledger() -> Turn {
    let mut chains = Vec::new();
    let running = Running::start(|node, wire| {
        let chain = open_chain(node, wire);
        chains.push(Arc::clone(&chain));
        chain
    })
    .await;
    let reach = |height: Height| {
        let chains = &chains;
        async move {
            for chain in chains {
                let mut heights = chain.subscribe();
                heights.wait_for(|at| *at >= height).await.expect("the chain lives");
            }
        }
    };
    let mut nonce = Nonce(0);
    for _ in 0..5 {
        nonce = nonce.next();
        feed(&chains, nonce);
        settle(&chains, nonce).await;
    }
    let warm = settle(&chains, nonce).await;
    let begin = Instant::now();
    let mut heights = chains[0].subscribe();
    while heights.borrow_and_update().0 < warm + HEIGHTS {
        while nonce.0 < used(&chains[0]).0 + AHEAD {
            nonce = nonce.next();
            feed(&chains, nonce);
        }
        heights.changed().await.expect("the chain lives");
    }
    reach(Height(warm + HEIGHTS)).await;
    let blocks_per_second = HEIGHTS as f64 / begin.elapsed().as_secs_f64();
    let mut height = settle(&chains, nonce).await;
    let mut latencies = Vec::new();
    for _ in 0..SINGLES {
        nonce = nonce.next();
        let begin = Instant::now();
        feed(&chains, nonce);
        reach(Height(height + 1)).await;
        latencies.push(begin.elapsed().as_secs_f64() * 1e3);
        height = settle(&chains, nonce).await;
    }
    latencies.sort_by(f64::total_cmp);
    running.shut_down().await;
    Turn { blocks_per_second, latencies }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let (mut bare_turns, mut ledger_turns) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        bare_turns.push(runtime.block_on(bare()));
        ledger_turns.push(runtime.block_on(ledger()));
    }
    println!("{NODES} validators, {TURNS} turns of {HEIGHTS} heights and {SINGLES} single ones");
    let print = |name: &str, turns: &[Turn]| {
        let rate = median(&turns.iter().map(|turn| turn.blocks_per_second).collect::<Vec<_>>());
        let all: Vec<f64> = turns.iter().flat_map(|turn| turn.latencies.clone()).collect();
        let latency = median(&all);
        println!("{name:>12}: {rate:7.1} blocks/s, one block in {latency:6.2} ms (median)");
        (rate, latency)
    };
    let bare = print("bare engine", &bare_turns);
    let ledger = print("the ledger", &ledger_turns);
    println!(
        "       ratio: {:.2} of the rate, {:.2} of the latency",
        ledger.0 / bare.0,
        ledger.1 / bare.1
    );
}
