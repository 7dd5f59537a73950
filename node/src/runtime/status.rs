//! What the node says about itself.

use fedledger_contract::state::StateView;
use fedledger_ledger::ids::{byzantine_max, quorum};

use super::Node;
use crate::api::types::{NodeStatus, PeerStatus};

impl Node {
    /// Whether the node follows the chain's tip and can serve its member.
    pub fn is_ready(&self) -> bool {
        let status = self.status();
        let connected = status.peers.iter().filter(|peer| peer.connected).count() + 1;
        !status.syncing && connected >= quorum(status.validators)
    }

    /// Whether others have blocks that this node is still fetching.
    pub(super) fn is_syncing(&self) -> bool {
        let tip = self.store().tip().unwrap_or_else(|error| panic!("{error}"));
        self.engine.borrow().peers_tip > tip.height.next()
    }

    /// Where the node and its chain stand.
    pub fn status(&self) -> NodeStatus {
        let store = self.store();
        let tip = store.tip().unwrap_or_else(|error| panic!("{error}"));
        let head = store.log_head().unwrap_or_else(|error| panic!("{error}"));
        let validators = StateView::new(store).active_members().len();
        let engine = *self.engine.borrow();
        let mut peers: Vec<PeerStatus> = self
            .network
            .peers()
            .into_iter()
            .map(|peer| PeerStatus {
                member: peer.member,
                peer_id: peer.peer.to_string(),
                connected: peer.connected,
                address: peer.address.map(|address| address.to_string()),
                height: None,
            })
            .collect();
        peers.sort_by(|one, other| one.member.cmp(&other.member));
        NodeStatus {
            chain_id: self.genesis().chain_id.clone(),
            member: self.member_id().cloned(),
            height: tip.height,
            tip_time: tip.time,
            block_id: tip.hash,
            state_root: tip.app_hash,
            log_size: head.size(),
            log_root: head.root(),
            peers,
            validators,
            byzantine_tolerated: byzantine_max(validators),
            guarantee: guarantee(validators),
            syncing: engine.peers_tip > tip.height.next(),
            signing: engine.signing,
            evaluation: self.evaluation_status(),
        }
    }
}

/// What `n` validators promise, in a sentence.
pub fn guarantee(n: usize) -> String {
    match byzantine_max(n) {
        0 => format!(
            "{n} members: the ledger is tamper-evident, but one faulty member can halt it or, with \
             others, rewrite it; fault tolerance needs at least 4"
        ),
        f => format!(
            "{n} members: the ledger is safe and goes on with up to {f} of them faulty or hostile"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_four_members_are_told_what_they_do_not_get() {
        assert!(guarantee(3).contains("tamper-evident"));
        assert!(guarantee(4).contains("up to 1 "));
        assert!(guarantee(13).contains("up to 4 "));
    }
}
