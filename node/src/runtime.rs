//! The running node: one chain, one network, one engine, and what the node does by itself.
//!
//! ```text
//! HTTP, command line ──► Node ──► outbox ──► mempool, gossip
//!                          │
//! network events ──► mempool, announcements, fetches
//! new heights ─────► reveal own update · fetch what others revealed · compute decisions
//! ```
//!
//! Architecture invariant: nothing that this node signs is gossiped, and nothing that it received is
//! acknowledged, before it is durable.

mod automation;
mod evaluations;
mod evaluator;
mod fetching;
mod gossip;
mod held_back;
mod outbox;
mod start;
mod status;
mod submit;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use fedledger_consensus::chain::Chain;
use fedledger_consensus::engine::EngineStatus;
use fedledger_contract::state::StateView;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, MemberId};
use fedledger_ledger::store::{BlobStore, LedgerStore};
use tokio::sync::{watch, Notify};

pub use self::start::{run, run_on, RunOptions};
pub use self::status::guarantee;

use self::fetching::Fetching;
use self::held_back::HeldBack;
use self::outbox::Outbox;
use crate::network::{BlobSource, MemberAddress, Network};

/// A running node, as the HTTP handlers and the node's own tasks see it.
pub struct Node {
    chain: Arc<Chain>,
    network: Network,
    engine: watch::Receiver<EngineStatus>,
    member: Option<Signing>,
    held_back: Arc<HeldBack>,
    fetching: Fetching,
    /// What this node has announced since members last came.
    announced: Mutex<BTreeSet<Digest>>,
    /// How the program that scores candidates gets on.
    evaluator: evaluator::Board,
    /// Held while decisions are computed: one computation at a time.
    computing: Arc<tokio::sync::Mutex<()>>,
    /// There is something to look at before the next height.
    work: Notify,
    /// Why the node has to stop, once something that cannot be passed over went wrong.
    failure: watch::Sender<Option<String>>,
}

/// What a member's node needs to speak for it.
struct Signing {
    id: MemberId,
    key: SigningKey,
    /// One transaction at a time takes the next nonce.
    outbox: tokio::sync::Mutex<Outbox>,
}

impl Node {
    /// The ledger on disk.
    pub fn store(&self) -> &LedgerStore {
        self.chain.store()
    }

    /// The blobs on disk.
    pub fn blobs(&self) -> &Arc<BlobStore> {
        self.chain.blobs()
    }

    /// The document that the ledger began with.
    pub fn genesis(&self) -> &Genesis {
        self.chain.genesis()
    }

    /// The institution that runs this node; an observer has none.
    pub fn member_id(&self) -> Option<&MemberId> {
        self.member.as_ref().map(|signing| &signing.id)
    }

    /// The decided heights, as they come.
    pub fn subscribe(&self) -> watch::Receiver<Height> {
        self.chain.subscribe()
    }

    /// Whether a blob may be shown to others: every one but the updates of this node whose round
    /// still takes commitments.
    pub fn is_published(&self, digest: &Digest) -> bool {
        !self.held_back.contains(digest)
    }

    /// Stops the node with a reason: what went wrong cannot be passed over.
    fn fail(&self, reason: impl std::fmt::Display) {
        let reason = reason.to_string();
        tracing::error!(%reason, "the node stops");
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(reason);
            }
            first
        });
    }
}

/// Serves the blobs of this node to other members.
struct Serving {
    blobs: Arc<BlobStore>,
    held_back: Arc<HeldBack>,
}

impl BlobSource for Serving {
    fn chunk(&self, digest: &Digest, offset: u64, length: u32) -> Option<(u64, Vec<u8>)> {
        if self.held_back.contains(digest) {
            return None;
        }
        let whole = self.blobs.len(digest).ok().flatten()?;
        match self.blobs.get_chunk(digest, offset, length as usize) {
            Ok(chunk) => chunk.map(|bytes| (whole, bytes)),
            Err(error) => {
                tracing::warn!(%digest, %error, "a blob cannot be served");
                None
            }
        }
    }
}

/// The members as the network needs them: all that are active on the ledger.
fn addresses(store: &LedgerStore) -> Vec<MemberAddress> {
    StateView::new(store)
        .active_members()
        .into_iter()
        .map(|record| MemberAddress {
            member: record.spec.id,
            key: record.spec.keys.network,
            addresses: record.spec.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        })
        .collect()
}
