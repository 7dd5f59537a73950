//! When the engine may begin: a proposal made before a quorum listens is lost.

use std::time::Instant;

use super::limits::{READY_GRACE, READY_WAIT_MAX};
use super::members::Members;

/// Ready once everyone is linked, or some grace after a quorum is, or when waiting no longer helps.
#[derive(Debug)]
pub(super) struct Readiness {
    started: Instant,
    quorum_since: Option<Instant>,
    done: bool,
}

impl Readiness {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, quorum_since: None, done: false }
    }

    /// Whether this is the moment; true once.
    pub(super) fn check(&mut self, linked: usize, members: &Members, now: Instant) -> bool {
        if self.done {
            return false;
        }
        let listed = !members.is_empty();
        if listed && linked >= members.links_for_quorum() {
            self.quorum_since.get_or_insert(now);
        } else {
            self.quorum_since = None;
        }
        let all = listed && linked >= members.others();
        self.done = all || self.due().is_some_and(|due| due <= now);
        self.done
    }

    /// When to check again at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        let cap = self.started + READY_WAIT_MAX;
        (!self.done).then(|| self.quorum_since.map_or(cap, |since| cap.min(since + READY_GRACE)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fedledger_ledger::ids::MemberId;
    use fedledger_ledger::keys::PublicKey;

    use super::super::members::{peer_id, MemberAddress};
    use super::*;

    /// `n` members, ourselves the first of them.
    fn members(n: u8) -> Members {
        let key = |seed| PublicKey::of(&ed25519_dalek::SigningKey::from_bytes(&[seed; 32]));
        let member = |seed| MemberAddress {
            member: MemberId::new(format!("m{seed}")).unwrap(),
            key: key(seed),
            addresses: Vec::new(),
        };
        Members::new(peer_id(&key(1)).unwrap(), (1..=n).map(member).collect())
    }

    #[test]
    fn it_waits_for_all_or_a_quorum_and_grace_or_the_limit() {
        let start = Instant::now();
        let seven = members(7);
        let mut readiness = Readiness::new(start);
        assert!(!readiness.check(3, &seven, start));
        assert_eq!(readiness.due(), Some(start + READY_WAIT_MAX));
        let quorum_at = start + Duration::from_secs(1);
        assert!(!readiness.check(4, &seven, quorum_at), "five of seven with ourselves");
        assert!(!readiness.check(3, &seven, quorum_at + READY_GRACE), "one left again");
        assert!(!readiness.check(4, &seven, quorum_at + READY_GRACE));
        assert!(readiness.check(4, &seven, quorum_at + 2 * READY_GRACE));
        assert!(!readiness.check(6, &seven, quorum_at + 3 * READY_GRACE), "said once");
        assert_eq!(readiness.due(), None);

        assert!(Readiness::new(start).check(6, &seven, start), "all are there");
        assert!(Readiness::new(start).check(0, &seven, start + READY_WAIT_MAX), "nobody came");
        assert!(Readiness::new(start).check(0, &members(1), start), "alone");
        assert!(!Readiness::new(start).check(0, &members(0), start), "the list is to come");
    }
}
