//! When a node may sign after a start.
//!
//! The guard file knows what was signed last, unless it was itself restored from a backup together
//! with the store and the engine's log. Then only the other members know. So a node that starts
//! signs nothing until it has heard where the others stand:
//!
//! 1. It waits for the tips of so many members that with itself they are a quorum. Without them
//!    nothing can be decided anyway. A sole validator waits for nobody.
//! 2. If none of these tips is above both its own (at the start) and the height that the guard file
//!    names, it signs from the next height on: this is a fresh network or an ordinary restart, and
//!    costs one exchange of messages.
//! 3. If one is above, it follows without signing until its own tip is *above* the highest tip that
//!    it heard while it was waiting: it has caught up, and the others decided one height more
//!    without its vote. Where they cannot (with fewer than four validators every vote is needed),
//!    it is enough to have caught up.
//! 4. Whatever the others say, it signs nothing at a height below the one that the guard file names,
//!    and nothing at that height either if the height is not the next one (the store lost its tail).
//!
//! **What this guarantees.** Let `s` be the highest height for which this key has signed. With the
//! guard file intact, the node contradicts none of its signatures. With file, store and log
//! all restored from an older image, the same holds with four validators or more when some member
//! that it heard has a tip of at least `s` - 1, above the image's tip and guard. Every honest member
//! that took part in deciding `s` - 1 gets there without us. An image less than one decided height
//! old cannot be told from an ordinary restart by anybody, and with fewer than four validators
//! nobody else can go first: do not restore images of a running validator.
//!
//! **Liveness.** A member that lies about its tip, or an outage among the others, could make rule 3
//! wait for ever. So when at most f members claim to be ahead, the others ask for votes at the
//! next height, and yet nothing was decided for `patience`, the node signs: the others evidently
//! cannot decide without it.

use std::collections::BTreeMap;

use fedledger_ledger::ids::{byzantine_max, quorum, Height};
use malachitebft_peer::PeerId;

/// What a node may do with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Too few members have said where they stand: follow, and listen.
    Listening,
    /// Follow without signing until the tip has reached this height.
    Following {
        /// The tip from which on the node signs.
        until: Height,
    },
    /// Sign.
    Validating,
}

/// Decides when a node may sign; see the module's text.
#[derive(Debug)]
pub struct RejoinGate {
    /// Own tip or height named by the guard file at the start, whichever is higher.
    known: Height,
    /// The tip that must be reached because of what the guard file says.
    guard_floor: Height,
    /// Tips heard, the highest from each peer, until enough were heard.
    heard: BTreeMap<PeerId, Height>,
    /// The tip that must be reached because of what the others said; none before enough said so.
    peers_floor: Option<Height>,
}

impl RejoinGate {
    /// A gate for a node whose chain stands at `tip` and whose guard file last names `signed`.
    pub fn new(tip: Height, signed: Option<Height>) -> Self {
        let known = tip.max(signed.unwrap_or_default());
        let guard_floor = signed.filter(|signed| *signed > tip.next()).unwrap_or_default();
        Self { known, guard_floor, heard: BTreeMap::new(), peers_floor: None }
    }

    /// A member says that its chain stands at `tip`. Members that said so and left again count:
    /// what they said stays true.
    pub fn hear(&mut self, peer: PeerId, tip: Height) {
        if self.peers_floor.is_none() {
            let known = self.heard.entry(peer).or_default();
            *known = (*known).max(tip);
        }
    }

    /// The guard refused a message at `height`: this height is left to the others.
    pub fn refuse(&mut self, height: Height) {
        self.guard_floor = self.guard_floor.max(height);
    }

    /// Rule of liveness: nothing was decided for the whole patience although the others ask for
    /// votes. `ahead` members claim a higher tip; true when the wait is over.
    pub fn lose_patience(&mut self, validators: usize, ahead: usize) -> bool {
        let waits = self.peers_floor.is_some_and(|floor| floor > Height::default());
        if waits && ahead <= byzantine_max(validators) {
            self.peers_floor = Some(Height::default());
            return true;
        }
        false
    }

    /// What a node at `tip` may do in a set of `validators`.
    pub fn standing(&mut self, tip: Height, validators: usize) -> Standing {
        if self.peers_floor.is_none() && self.heard.len() + 1 >= quorum(validators) {
            let highest = self.heard.values().max().copied().unwrap_or_default();
            let without_us = byzantine_max(validators) > 0;
            self.peers_floor = Some(match highest {
                highest if highest <= self.known => Height::default(),
                highest if without_us => Height(highest.0.saturating_add(1)),
                highest => highest,
            });
        }
        let Some(peers_floor) = self.peers_floor else {
            return Standing::Listening;
        };
        let until = peers_floor.max(self.guard_floor);
        if tip >= until {
            Standing::Validating
        } else {
            Standing::Following { until }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Vec<PeerId> {
        // Identity multihashes of made-up keys.
        (0..3u8).map(|i| PeerId::from_bytes(&[0, 1, i]).unwrap()).collect()
    }

    fn gate(tip: u64, signed: Option<u64>) -> RejoinGate {
        RejoinGate::new(Height(tip), signed.map(Height))
    }

    #[test]
    fn a_fresh_network_signs_once_a_quorum_is_there() {
        let (mut gate, peers) = (gate(0, None), peers());
        assert_eq!(gate.standing(Height(0), 4), Standing::Listening);
        gate.hear(peers[0], Height(0));
        assert_eq!(gate.standing(Height(0), 4), Standing::Listening);
        gate.hear(peers[1], Height(0));
        assert_eq!(gate.standing(Height(0), 4), Standing::Validating);
        // What is said later changes nothing.
        gate.hear(peers[2], Height(99));
        assert_eq!(gate.standing(Height(0), 4), Standing::Validating);
    }

    #[test]
    fn a_crash_between_voting_and_committing_costs_no_wait() {
        let (mut gate, peers) = (gate(5, Some(6)), peers());
        gate.hear(peers[0], Height(6));
        gate.hear(peers[1], Height(6));
        assert_eq!(gate.standing(Height(5), 4), Standing::Validating);
    }

    #[test]
    fn catching_up_while_listening_is_not_enough() {
        let (mut gate, peers) = (gate(5, None), peers());
        gate.hear(peers[0], Height(9));
        assert_eq!(gate.standing(Height(9), 4), Standing::Listening);
        gate.hear(peers[1], Height(9));
        assert_eq!(gate.standing(Height(9), 4), Standing::Following { until: Height(10) });
    }

    #[test]
    fn three_validators_cannot_go_on_without_us_so_catching_up_is_enough() {
        let (mut gate, peers) = (gate(5, None), peers());
        gate.hear(peers[0], Height(9));
        gate.hear(peers[1], Height(9));
        assert_eq!(gate.standing(Height(5), 3), Standing::Following { until: Height(9) });
        assert_eq!(gate.standing(Height(9), 3), Standing::Validating);
    }

    #[test]
    fn a_sole_validator_waits_for_nobody() {
        assert_eq!(gate(5, Some(6)).standing(Height(5), 1), Standing::Validating);
    }

    #[test]
    fn who_is_behind_signs_after_one_height_more_than_it_heard() {
        let (mut gate, peers) = (gate(5, Some(6)), peers());
        gate.hear(peers[0], Height(9));
        gate.hear(peers[1], Height(8));
        let waiting = Standing::Following { until: Height(10) };
        for tip in [5, 8, 9] {
            assert_eq!(gate.standing(Height(tip), 4), waiting, "tip {tip}");
        }
        assert_eq!(gate.standing(Height(10), 4), Standing::Validating);
    }

    #[test]
    fn a_store_that_lost_its_tail_passes_what_the_guard_names() {
        // The next height is 6, the guard signed at 8: heights 6 and 7 were decided, 8 perhaps not.
        let (mut gate, peers) = (gate(5, Some(8)), peers());
        gate.hear(peers[0], Height(5));
        gate.hear(peers[1], Height(5));
        assert_eq!(gate.standing(Height(7), 4), Standing::Following { until: Height(8) });
        assert_eq!(gate.standing(Height(8), 4), Standing::Validating);
        // A crash in the middle of the next height is not such a loss.
        assert_eq!(RejoinGate::new(Height(5), Some(Height(6))).guard_floor, Height(0));
    }

    #[test]
    fn a_refusal_leaves_that_height_to_the_others() {
        let mut gate = gate(5, None);
        assert_eq!(gate.standing(Height(5), 1), Standing::Validating);
        gate.refuse(Height(6));
        assert_eq!(gate.standing(Height(5), 1), Standing::Following { until: Height(6) });
        assert_eq!(gate.standing(Height(6), 1), Standing::Validating);
        // Patience is for what others say, never for what the guard says.
        gate.refuse(Height(7));
        assert!(!gate.lose_patience(1, 0));
        assert_eq!(gate.standing(Height(6), 1), Standing::Following { until: Height(7) });
    }

    #[test]
    fn one_liar_delays_and_two_members_ahead_are_believed() {
        let (mut gate, peers) = (gate(5, None), peers());
        gate.hear(peers[0], Height(u64::MAX - 1));
        gate.hear(peers[1], Height(5));
        assert!(matches!(gate.standing(Height(5), 4), Standing::Following { .. }));
        assert!(!gate.lose_patience(4, 2));
        assert!(gate.lose_patience(4, 1));
        assert_eq!(gate.standing(Height(5), 4), Standing::Validating);
    }
}
