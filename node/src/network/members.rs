//! Who may connect: the members that the ledger lists, by their network keys.

use std::collections::BTreeMap;

use fedledger_ledger::ids::MemberId;
use fedledger_ledger::keys::PublicKey;
use libp2p::identity::{ed25519, PublicKey as Libp2pKey};
use libp2p::{Multiaddr, PeerId};

/// A member as the network needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddress {
    /// Who it is.
    pub member: MemberId,
    /// Its network key. Only the holder of this key is let in under the member's name.
    pub key: PublicKey,
    /// Where it listens, best first; empty when it can only dial out.
    pub addresses: Vec<Multiaddr>,
}

/// The peer id of a network key; `None` when the bytes are not a key.
pub fn peer_id(key: &PublicKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(Libp2pKey::from(key).to_peer_id())
}

/// The members by peer id, without ourselves.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_peer: BTreeMap<PeerId, MemberAddress>,
    by_member: BTreeMap<MemberId, PeerId>,
    by_key: BTreeMap<PublicKey, PeerId>,
    local_key: Option<PublicKey>,
}

impl Members {
    /// Indexes `members`. Unusable keys are left out: nobody can hold them.
    pub(super) fn new(local: PeerId, members: Vec<MemberAddress>) -> Self {
        let mut table = Self::default();
        for member in members {
            let Some(peer) = peer_id(&member.key) else {
                tracing::warn!(member = %member.member, "the member's network key is not a key");
                continue;
            };
            if peer == local {
                table.local_key = Some(member.key);
                continue;
            }
            table.by_member.insert(member.member.clone(), peer);
            table.by_key.insert(member.key, peer);
            table.by_peer.insert(peer, member);
        }
        table
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.by_peer.contains_key(peer)
    }

    pub(super) fn member(&self, peer: &PeerId) -> Option<&MemberId> {
        self.by_peer.get(peer).map(|member| &member.member)
    }

    pub(super) fn key(&self, peer: &PeerId) -> Option<&PublicKey> {
        self.by_peer.get(peer).map(|member| &member.key)
    }

    pub(super) fn peer(&self, member: &MemberId) -> Option<PeerId> {
        self.by_member.get(member).copied()
    }

    pub(super) fn peer_of_key(&self, key: &PublicKey) -> Option<PeerId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &MemberAddress)> + Clone {
        self.by_peer.iter()
    }

    /// Number of members other than ourselves.
    pub(super) fn others(&self) -> usize {
        self.by_peer.len()
    }

    /// Whether nobody is listed, not even ourselves: a list that is still to come.
    pub(super) fn is_empty(&self) -> bool {
        self.by_peer.is_empty() && self.local_key.is_none()
    }

    /// Links that make a quorum: with ourselves, if we are a member.
    pub(super) fn links_for_quorum(&self) -> usize {
        let own = usize::from(self.local_key.is_some());
        fedledger_ledger::ids::quorum(self.others() + own).saturating_sub(own).min(self.others())
    }
}
