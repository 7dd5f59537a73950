//! A blob to three members at once, beside raw TCP on loopback.
//!
//! `cargo bench -p fedledger-tests --bench blobs` has three members fetch a blob of 64 MiB from a
//! fourth over the node's network: encrypted, in verified pieces, hashed and synced to the disk. In
//! turn with it, three plain TCP connections on loopback carry the same bytes to readers that throw
//! them away, as the limit; and the same with the two things that no verified transfer goes without,
//! SHA-256 and a synced file, at each reader. The aim is at least 0.5 of raw TCP.
#![allow(clippy::disallowed_types, clippy::float_arithmetic, reason = "a bench measures time")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::BlobStore;
use fedledger_node::network::{BlobSource, MemberAddress, Network, NetworkConfig};
use sha2::{Digest as _, Sha256};

const BYTES: usize = 64 << 20;
const READERS: usize = 3;
const TURNS: usize = 5;

struct Serve(Arc<BlobStore>);

impl BlobSource for Serve {
    fn chunk(&self, digest: &Digest, offset: u64, length: u32) -> Option<(u64, Vec<u8>)> {
        let total = self.0.len(digest).ok()??;
        Some((total, self.0.get_chunk(digest, offset, length as usize).ok()??))
    }
}

fn member(node: usize) -> MemberId {
    MemberId::new(format!("hospital-{}", node + 1)).expect("a short slug is an id")
}

struct Member {
    network: Network,
    store: Arc<BlobStore>,
    _folder: tempfile::TempDir,
}

async fn members() -> Vec<Member> {
    let key = |node: usize| SigningKey::from_bytes(&[30 + node as u8; 32]);
    let mut members = Vec::new();
    for node in 0..=READERS {
        let folder = tempfile::tempdir().expect("the temporary folder works");
        let store = BlobStore::open(&folder.path().join("blobs"), BLOB_BYTES_MAX);
        let store = Arc::new(store.expect("an empty folder opens"));
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")];
        let config = NetworkConfig { key: key(node), listen, members: Vec::new() };
        let source = Arc::new(Serve(Arc::clone(&store)));
        let started = Network::start(config, source, Arc::clone(&store)).await;
        let (network, transport, mut events) = started.expect("loopback works");
        tokio::spawn(async move {
            let _transport = transport;
            while events.recv().await.is_some() {}
        });
        members.push(Member { network, store, _folder: folder });
    }
    let listed: Vec<MemberAddress> = members
        .iter()
        .enumerate()
        .map(|(node, one)| MemberAddress {
            member: member(node),
            key: PublicKey::of(&key(node)),
            addresses: one.network.listen_addresses().to_vec(),
        })
        .collect();
    for one in &members {
        one.network.set_members(listed.clone()).await;
    }
    members
}

/// Seconds until all members but the first hold a fresh blob of the first.
async fn through_the_network(members: &[Member], turn: u8) -> f64 {
    let mut bytes = vec![0x5a; BYTES];
    bytes[0] = turn;
    let digest = members[0].store.put(&bytes).expect("the disk works");
    let begin = Instant::now();
    let fetches = members[1..].iter().map(|one| {
        let network = one.network.clone();
        tokio::spawn(async move {
            // A member that is not connected yet is asked again.
            while network.fetch_blob(digest, Some(BYTES as u64), &[member(0)]).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
    });
    let fetches: Vec<_> = fetches.collect();
    for fetch in fetches {
        fetch.await.expect("the fetch ends");
    }
    let seconds = begin.elapsed().as_secs_f64();
    for one in members {
        one.store.delete(&digest).expect("the disk works");
    }
    seconds
}

/// Seconds until three readers have had the bytes over plain TCP. `take` does something with each
/// piece and returns when the reader is done with all.
fn through_tcp(take: impl Fn(TcpStream) + Send + Sync) -> f64 {
    let bytes = vec![0x5a; BYTES];
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let address = listener.local_addr().expect("it is bound");
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| take(TcpStream::connect(address).expect("loopback works")));
            let (mut stream, _) = listener.accept().expect("loopback works");
            let bytes = &bytes;
            scope.spawn(move || stream.write_all(bytes).expect("the reader reads"));
        }
    });
    begin.elapsed().as_secs_f64()
}

fn read_all(mut stream: TcpStream, mut each: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let count = stream.read(&mut buffer).expect("the writer writes");
        if count == 0 {
            break;
        }
        total += count;
        each(&buffer[..count]);
    }
    assert_eq!(total, BYTES);
}

fn read_hash_and_sync(stream: TcpStream) {
    let mut file = tempfile::tempfile().expect("the temporary folder works");
    let mut hash = Sha256::new();
    read_all(stream, |piece| {
        hash.update(piece);
        file.write_all(piece).expect("the disk works");
    });
    file.sync_data().expect("the disk works");
    std::hint::black_box(hash.finalize());
}

fn best(of: impl Iterator<Item = f64>) -> f64 {
    of.fold(f64::INFINITY, f64::min)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let members = runtime.block_on(members());
    // The first connects them.
    runtime.block_on(through_the_network(&members, 255));
    let mut seconds = [const { Vec::new() }; 3];
    for turn in 0..TURNS {
        seconds[0].push(runtime.block_on(through_the_network(&members, turn as u8)));
        seconds[1].push(through_tcp(|stream| read_all(stream, |_| {})));
        seconds[2].push(through_tcp(read_hash_and_sync));
    }
    let [network, raw, verified] = seconds.map(|times| best(times.into_iter()));
    let rate = |seconds: f64| READERS as f64 * BYTES as f64 / seconds / 1e6;
    println!("{} MiB to {READERS} members at once, best of {TURNS}", BYTES >> 20);
    println!("      fetch_blob: {:7.0} MB/s together", rate(network));
    println!("         raw TCP: {:7.0} MB/s, ratio {:.2}", rate(raw), raw / network);
    println!("TCP, hash, fsync: {:7.0} MB/s, ratio {:.2}", rate(verified), verified / network);
    runtime.block_on(async {
        for one in &members {
            one.network.shutdown().await;
        }
    });
}
