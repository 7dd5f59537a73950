//! Blobs: large ones, from several holders, from liars, and after a restart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use fedledger_ledger::ids::Digest;
use tokio::sync::mpsc;

use super::super::{BlobSource, FetchError};
use super::fixture::{introduce, within, Listen, Node};

/// Serves what it was given, up to a number of chunks, and notes what was asked for.
struct Shelf {
    blobs: BTreeMap<Digest, Arc<Vec<u8>>>,
    chunks_left: AtomicU64,
    asked: Mutex<Vec<u64>>,
    /// Told of each chunk served.
    served: mpsc::UnboundedSender<u8>,
    seed: u8,
}

type Served = mpsc::UnboundedReceiver<u8>;

impl Shelf {
    fn new(seed: u8, chunks: u64, blobs: &[(Digest, &Arc<Vec<u8>>)]) -> (Arc<Self>, Served) {
        let (served, receiver) = mpsc::unbounded_channel();
        let blobs = blobs.iter().map(|(digest, blob)| (*digest, Arc::clone(blob))).collect();
        let chunks_left = AtomicU64::new(chunks);
        let shelf = Self { blobs, chunks_left, asked: Mutex::default(), served, seed };
        (Arc::new(shelf), receiver)
    }
}

impl BlobSource for Shelf {
    fn chunk(&self, digest: &Digest, offset: u64, length: u32) -> Option<(u64, Vec<u8>)> {
        self.asked.lock().unwrap().push(offset);
        let left = self.chunks_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        left.ok()?;
        let blob = self.blobs.get(digest)?;
        let start = (offset as usize).min(blob.len());
        let end = (start + length as usize).min(blob.len());
        let _ = self.served.send(self.seed);
        Some((blob.len() as u64, blob[start..end].to_vec()))
    }
}

/// Bytes that differ everywhere.
fn blob(length: usize) -> (Digest, Arc<Vec<u8>>) {
    let bytes: Vec<u8> = (0..length.div_ceil(8) as u64)
        .flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .take(length)
        .collect();
    (Digest::of(&bytes), Arc::new(bytes))
}

async fn holder(seed: u8, listen: Listen, shelf: Arc<Shelf>) -> Node {
    Node::start_with(seed, listen, shelf, tempfile::tempdir().unwrap()).await
}

fn assert_held(node: &Node, digest: &Digest, bytes: &[u8]) {
    let held = node.store.get(digest).unwrap().expect("the blob is in the store");
    assert!(held == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_of_every_length_arrive_over_each_transport() {
    for listen in [Listen::Tcp, Listen::Quic] {
        let blobs = [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20].map(blob);
        let shelf: Vec<_> = blobs.iter().map(|(digest, bytes)| (*digest, bytes)).collect();
        let (shelf, _served) = Shelf::new(1, u64::MAX, &shelf);
        let mut a = holder(1, listen, shelf).await;
        let mut b = Node::start(2, Listen::Nowhere).await;
        introduce(&mut [&mut a, &mut b]).await;
        let fetch = blobs.iter().enumerate().map(|(i, (digest, bytes))| {
            let length = (i % 2 == 0).then_some(bytes.len() as u64);
            let (network, holders) = (b.network.clone(), [a.member()]);
            async move { network.fetch_blob(*digest, length, &holders).await }
        });
        for outcome in within("the blobs", futures::future::join_all(fetch)).await {
            outcome.unwrap();
        }
        for (digest, bytes) in &blobs {
            assert_held(&b, digest, bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_survives_the_death_of_its_holder_on_the_way() {
    let (digest, bytes) = blob(64 << 20);
    let (shelf_a, mut served_a) = Shelf::new(1, u64::MAX, &[(digest, &bytes)]);
    let (shelf_b, mut served_b) = Shelf::new(2, u64::MAX, &[(digest, &bytes)]);
    let mut a = holder(1, Listen::Tcp, shelf_a.clone()).await;
    let mut b = holder(2, Listen::Quic, shelf_b.clone()).await;
    let mut c = Node::start(3, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b, &mut c]).await;
    let holders = [a.member(), b.member()];
    let fetch = c.network.fetch_blob(digest, None, &holders);
    let kill = async {
        let mut chunks = 0;
        // Whichever is asked first dies after ten of the 64 chunks.
        let first = loop {
            let seed = tokio::select! {
                Some(seed) = served_a.recv() => seed,
                Some(seed) = served_b.recv() => seed,
            };
            chunks += 1;
            if chunks == 10 {
                break seed;
            }
        };
        let dying = if first == 1 { &a } else { &b };
        dying.network.shutdown().await;
    };
    let (outcome, ()) = within("the blob", async { tokio::join!(fetch, kill) }).await;
    outcome.unwrap();
    assert_held(&c, &digest, &bytes);
    let [asked_a, asked_b] = [shelf_a, shelf_b].map(|shelf| shelf.asked.lock().unwrap().len());
    assert!(asked_a > 0 && asked_b > 0, "{asked_a} and {asked_b} chunks");
    assert!(asked_a + asked_b < 64 + 2 * 16, "it did not begin anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_goes_on_after_a_restart_where_it_stopped() {
    let (digest, bytes) = blob(20 << 20);
    let (few, _served) = Shelf::new(1, 12, &[(digest, &bytes)]);
    let mut a = holder(1, Listen::Tcp, few).await;
    let mut b = Node::start(2, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b]).await;
    let failed = within("the failure", b.network.fetch_blob(digest, None, &[a.member()])).await;
    assert!(matches!(failed, Err(FetchError::NoHolder { .. })), "{failed:?}");
    let partial = b.store.partial_len(&digest).unwrap();
    assert!(partial >= 1 << 20, "{partial} bytes were kept");
    let Node { folder, network, store, .. } = b;
    network.shutdown().await;
    drop((network, store, a));

    let (all, _served) = Shelf::new(3, u64::MAX, &[(digest, &bytes)]);
    let mut a = holder(3, Listen::Tcp, all.clone()).await;
    let mut b =
        Node::start_with(2, Listen::Nowhere, Arc::new(super::fixture::Nothing), folder).await;
    introduce(&mut [&mut a, &mut b]).await;
    within("the rest", b.network.fetch_blob(digest, None, &[a.member()])).await.unwrap();
    assert_held(&b, &digest, &bytes);
    let first = all.asked.lock().unwrap().iter().min().copied();
    assert_eq!(first, Some(partial), "what was kept was not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_refused_and_their_holder_is_remembered() {
    let (digest, bytes) = blob(3 << 20);
    let mut bent = bytes.to_vec();
    bent[2 << 20] ^= 1;
    let bent = Arc::new(bent);
    let (lies, _served) = Shelf::new(1, u64::MAX, &[(digest, &bent)]);
    let (truth, _served) = Shelf::new(2, u64::MAX, &[(digest, &bytes)]);
    let mut liar = holder(1, Listen::Quic, lies.clone()).await;
    let mut honest = holder(2, Listen::Tcp, truth).await;
    let mut c = Node::start(3, Listen::Nowhere).await;
    introduce(&mut [&mut liar, &mut honest, &mut c]).await;
    let only_liar = [liar.member()];
    for again in [false, true] {
        let refused = within("the refusal", c.network.fetch_blob(digest, None, &only_liar)).await;
        let Err(FetchError::NoHolder { tried, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(tried[0].0, liar.member());
        assert_eq!(tried[0].1.contains("before"), again, "{tried:?}");
        assert!(!c.store.has(&digest).unwrap());
        assert_eq!(c.store.partial_len(&digest).unwrap(), 0);
    }
    let asked = lies.asked.lock().unwrap().len();
    let both = [liar.member(), honest.member()];
    within("the blob", c.network.fetch_blob(digest, None, &both)).await.unwrap();
    assert_held(&c, &digest, &bytes);
    assert_eq!(lies.asked.lock().unwrap().len(), asked, "the liar is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_mixed_with_the_truth_costs_a_second_attempt_and_no_more() {
    let (digest, bytes) = blob(8 << 20);
    let mut bent = bytes.to_vec();
    bent[0] ^= 1;
    // The liar begins and falls silent, so that an honest holder completes its lie.
    let (lies, _served) = Shelf::new(1, 5, &[(digest, &Arc::new(bent))]);
    let (truth, _served) = Shelf::new(2, u64::MAX, &[(digest, &bytes)]);
    let mut liar = holder(1, Listen::Tcp, lies).await;
    let mut honest = holder(2, Listen::Tcp, truth).await;
    let mut c = Node::start(3, Listen::Nowhere).await;
    introduce(&mut [&mut liar, &mut honest, &mut c]).await;
    let begun = within("the lie", c.network.fetch_blob(digest, None, &[liar.member()])).await;
    assert!(begun.is_err());
    assert!(c.store.partial_len(&digest).unwrap() > 0);
    let holders = [honest.member()];
    within("the blob", c.network.fetch_blob(digest, None, &holders)).await.unwrap();
    assert_held(&c, &digest, &bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_published_or_has_another_length_is_not_fetched() {
    let (digest, bytes) = blob(2 << 20);
    let (secret, _) = blob(1 << 20);
    let (shelf, _served) = Shelf::new(1, u64::MAX, &[(digest, &bytes)]);
    let mut a = holder(1, Listen::Both, shelf).await;
    let mut b = Node::start(2, Listen::Nowhere).await;
    introduce(&mut [&mut a, &mut b]).await;
    let holders = [a.member()];
    for (digest, length) in [(secret, None), (digest, Some(1)), (digest, Some(u64::MAX))] {
        let refused = within("the refusal", b.network.fetch_blob(digest, length, &holders)).await;
        assert!(refused.is_err(), "{digest} {length:?}");
        assert!(!b.store.has(&digest).unwrap());
    }
    let nobody = b.network.fetch_blob(secret, None, &[super::fixture::member(9)]).await;
    assert!(nobody.unwrap_err().to_string().contains("no holder is a member"));
}
