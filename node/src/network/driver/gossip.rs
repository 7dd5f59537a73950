//! Transactions and announcements of blobs.

use std::collections::BTreeMap;
use std::time::Instant;

use fedledger_ledger::ids::Digest;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};
use libp2p::PeerId;

use super::super::behaviour::Topic;
use super::super::event::{GossipVerdict, NetworkEvent};
use super::super::limits::{
    BLOB_ANNOUNCEMENT_DIGESTS_MAX, GOSSIP_BURST, GOSSIP_PER_SECOND, GOSSIP_TRANSACTION_BYTES_MAX,
    NODE_EVENTS_MAX,
};
use super::super::rate::Rate;
use super::super::PublishError;
use super::Driver;

const DIGEST_BYTES: usize = 32;

/// How fast each member gossips.
#[derive(Debug, Default)]
pub(super) struct GossipRates(BTreeMap<PeerId, Rate>);

impl GossipRates {
    fn passes(&mut self, source: PeerId, now: Instant) -> bool {
        let rate = self.0.entry(source);
        rate.or_insert_with(|| Rate::new(GOSSIP_PER_SECOND, GOSSIP_BURST, now)).try_take(now)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&PeerId) -> bool) {
        self.0.retain(|peer, _| keep(peer));
    }
}

impl Driver {
    pub(super) fn publish(&mut self, topic: Topic, bytes: Vec<u8>) -> Result<(), PublishError> {
        match self.swarm.behaviour_mut().gossip.publish(topic.ident(), bytes) {
            Ok(_) => Ok(()),
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => Err(PublishError::NoPeers),
            Err(error) => Err(PublishError::Refused { reason: error.to_string() }),
        }
    }

    pub(super) fn judged(
        &mut self,
        message: &MessageId,
        source: &PeerId,
        acceptance: MessageAcceptance,
    ) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        if !gossip.report_message_validation_result(message, source, acceptance) {
            tracing::debug!(%message, "judged too late: gossip has forgotten it");
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source, message_id, message } = event else {
            return;
        };
        let verdict =
            GossipVerdict::new(self.shared.sender.clone(), message_id, propagation_source);
        let members = self.shared.hub.members();
        // Signed by its source, which gossipsub has verified.
        let source = message.source.filter(|source| members.contains(source));
        let Some((source, publisher)) = source.and_then(|s| Some((s, members.member(&s)?))) else {
            tracing::debug!(source = ?message.source, "gossip of somebody who is not a member");
            return verdict.reject();
        };
        if !self.rates.passes(source, Instant::now()) || !self.shared.node.has_room(NODE_EVENTS_MAX)
        {
            tracing::debug!(member = %publisher, "too much gossip at once");
            return verdict.ignore();
        }
        let publisher = publisher.clone();
        if message.topic == Topic::Transactions.ident().hash() {
            if message.data.len() > GOSSIP_TRANSACTION_BYTES_MAX {
                return verdict.reject();
            }
            let bytes = message.data;
            self.shared.node.push(NetworkEvent::Transaction { publisher, bytes, verdict });
        } else if let Some(digests) = decode_digests(&message.data) {
            self.shared.node.push(NetworkEvent::BlobsHeld { member: publisher, digests });
            verdict.accept();
        } else {
            verdict.reject();
        }
    }
}

/// The bytes of an announcement: the digests, one after the other.
pub(in super::super) fn encode_digests(digests: &[Digest]) -> Vec<u8> {
    digests.iter().flat_map(|digest| digest.0).collect()
}

fn decode_digests(bytes: &[u8]) -> Option<Vec<Digest>> {
    let fits = !bytes.is_empty()
        && bytes.len().is_multiple_of(DIGEST_BYTES)
        && bytes.len() / DIGEST_BYTES <= BLOB_ANNOUNCEMENT_DIGESTS_MAX;
    let digest = |bytes: &[u8]| Digest(bytes.try_into().expect("chunks have their exact length"));
    fits.then(|| bytes.chunks_exact(DIGEST_BYTES).map(digest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_survive_and_bad_ones_are_refused() {
        let digests = vec![Digest::of(b"a"); BLOB_ANNOUNCEMENT_DIGESTS_MAX];
        let bytes = encode_digests(&digests);
        assert_eq!(decode_digests(&bytes), Some(digests));
        assert_eq!(decode_digests(&[]), None);
        assert_eq!(decode_digests(&bytes[1..]), None);
        assert_eq!(decode_digests(&[&bytes[..], &[0; 32]].concat()), None);
    }
}
