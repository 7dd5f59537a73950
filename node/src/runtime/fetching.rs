//! Fetching blobs that the ledger names and this node does not hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use fedledger_ledger::ids::{Digest, MemberId};
use tokio::sync::Semaphore;

use super::Node;

/// Most blobs that are fetched at once. Each has several pieces in flight.
const FETCHES_MAX: usize = 4;

/// The blobs that are being fetched.
#[derive(Debug, Clone)]
pub(super) struct Fetching {
    going: Arc<Mutex<BTreeSet<Digest>>>,
    slots: Arc<Semaphore>,
}

impl Default for Fetching {
    fn default() -> Self {
        Self { going: Arc::default(), slots: Arc::new(Semaphore::new(FETCHES_MAX)) }
    }
}

/// Takes a digest off the list when its fetch ends, however it ends.
struct Going<'a>(&'a Fetching, Digest);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.going.lock().expect("no panic under this lock").remove(&self.1);
    }
}

impl Node {
    /// Starts to fetch a blob unless it is here or on its way. When it has arrived, the chain and
    /// the other members are told; when nobody serves it, the next announcement or the next round
    /// of work tries again.
    pub(super) fn fetch(
        self: &Arc<Self>,
        digest: Digest,
        length: Option<u64>,
        from: Vec<MemberId>,
    ) {
        match self.blobs().has(&digest) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => return self.fail(error),
        }
        if from.is_empty() {
            return;
        }
        let new = self.fetching.going.lock().expect("no panic under this lock").insert(digest);
        if !new {
            return;
        }
        let node = Arc::clone(self);
        tokio::spawn(async move {
            let _going = Going(&node.fetching, digest);
            let _slot = node.fetching.slots.acquire().await.expect("it is never closed");
            match node.network.fetch_blob(digest, length, &from).await {
                Ok(()) => {
                    tracing::debug!(%digest, "a blob has arrived");
                    node.announce(&[digest]).await;
                    node.chain.blob_arrived();
                    node.work.notify_one();
                }
                Err(error) => tracing::debug!(%digest, %error, "a blob could not be fetched yet"),
            }
        });
    }

    /// Tells the others that this node holds these blobs, and notes it for itself.
    pub(super) async fn announce(&self, digests: &[Digest]) {
        if let Some(member) = self.member_id() {
            self.chain.note_held(member, digests);
        }
        if let Err(error) = self.network.announce_blobs(digests).await {
            tracing::debug!(%error, "an announcement waits for members to connect");
        }
    }
}
