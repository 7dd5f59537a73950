//! What the network tells the node.

use std::fmt;

use fedledger_ledger::ids::{Digest, MemberId};
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::driver::Input;

/// What the network tells the node. What concerns the engine goes to the engine.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A transaction, not yet judged.
    Transaction {
        /// Who gossiped it first; not necessarily its author.
        publisher: MemberId,
        /// Its bytes, at most [`super::GOSSIP_TRANSACTION_BYTES_MAX`].
        bytes: Vec<u8>,
        /// Whether it is to be passed on. Judge soon: gossip forgets it after some seconds.
        verdict: GossipVerdict,
    },
    /// A member says that it holds these blobs.
    BlobsHeld {
        /// Who says so; the announcement is signed with its network key.
        member: MemberId,
        /// At most [`super::BLOB_ANNOUNCEMENT_DIGESTS_MAX`].
        digests: Vec<Digest>,
    },
    /// A member can be reached directly now. It has not heard earlier gossip.
    MemberConnected(MemberId),
    /// A member cannot be reached directly any more.
    MemberDisconnected(MemberId),
}

/// Says whether a gossiped transaction is passed on. Dropped without a word, it is not.
pub struct GossipVerdict {
    driver: mpsc::UnboundedSender<Input>,
    message: Option<(MessageId, PeerId)>,
}

impl GossipVerdict {
    pub(super) fn new(
        driver: mpsc::UnboundedSender<Input>,
        message: MessageId,
        propagation_source: PeerId,
    ) -> Self {
        Self { driver, message: Some((message, propagation_source)) }
    }

    /// It is valid: pass it on.
    pub fn accept(mut self) {
        self.report(MessageAcceptance::Accept);
    }

    /// It can never be valid: do not pass it on.
    pub fn reject(mut self) {
        self.report(MessageAcceptance::Reject);
    }

    /// It is known, or cannot be judged now: do not pass it on.
    pub fn ignore(self) {}

    fn report(&mut self, acceptance: MessageAcceptance) {
        if let Some((message, source)) = self.message.take() {
            // A network that has been shut down passes nothing on anyway.
            let _ = self.driver.send(Input::GossipJudged { message, source, acceptance });
        }
    }
}

impl Drop for GossipVerdict {
    fn drop(&mut self) {
        self.report(MessageAcceptance::Ignore);
    }
}

impl fmt::Debug for GossipVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GossipVerdict").field("message", &self.message).finish_non_exhaustive()
    }
}
