//! When to dial whom. The smaller peer id dials, the other steps in late; everyone dials at once at
//! the start; a member that nobody can dial always dials. Time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedledger_ledger::ids::Digest;
use libp2p::{Multiaddr, PeerId};

use super::limits::{REDIAL_MAX, REDIAL_MIN};
use super::members::Members;

/// The members that can be dialled and when each is due.
#[derive(Debug)]
pub(super) struct DialPlan {
    local: PeerId,
    /// Whether others can dial us.
    listening: bool,
    targets: BTreeMap<PeerId, Target>,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    failures: u32,
    /// `None` while a connection stands or is being tried.
    due: Option<Instant>,
}

impl DialPlan {
    pub(super) fn new(local: PeerId, listening: bool) -> Self {
        Self { local, listening, targets: BTreeMap::new() }
    }

    /// Follows a new list of members. New ones, and those at a new address, are due at once.
    pub(super) fn set_members(
        &mut self,
        members: &Members,
        connected: impl Fn(&PeerId) -> bool,
        now: Instant,
    ) {
        self.targets.retain(|peer, _| members.contains(peer));
        for (peer, member) in members.iter() {
            if member.addresses.is_empty() {
                self.targets.remove(peer);
                continue;
            }
            let known = self.targets.get_mut(peer).filter(|target| {
                target.addresses.len() == member.addresses.len()
                    && member.addresses.iter().all(|address| target.addresses.contains(address))
            });
            if known.is_none() {
                let due = (!connected(peer)).then_some(now);
                let addresses = member.addresses.clone();
                self.targets.insert(*peer, Target { addresses, failures: 0, due });
            }
        }
    }

    /// Takes the members that are due, with their addresses, the one that worked last first.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let due =
            self.targets.iter_mut().filter(|(_, target)| target.due.is_some_and(|t| t <= now));
        due.map(|(peer, target)| {
            target.due = None;
            (*peer, target.addresses.clone())
        })
        .collect()
    }

    /// When the next member is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.targets.values().filter_map(|target| target.due).min()
    }

    /// A dial failed and no connection stands.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.failures = target.failures.saturating_add(1);
        }
        self.schedule(peer, now);
    }

    /// A connection stands; `dialled` is the address, if it was we who dialled.
    pub(super) fn connected(&mut self, peer: &PeerId, dialled: Option<&Multiaddr>) {
        let Some(target) = self.targets.get_mut(peer) else { return };
        target.failures = 0;
        target.due = None;
        let same = |address: &Multiaddr| dialled.is_some_and(|d| is_same(d, address));
        target.addresses.sort_by_key(|address| !same(address));
    }

    /// The last connection is gone.
    pub(super) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        self.schedule(peer, now);
    }

    fn schedule(&mut self, peer: &PeerId, now: Instant) {
        let ours = !self.listening || self.local < *peer;
        let Some(target) = self.targets.get_mut(peer) else { return };
        let wait = if ours {
            REDIAL_MIN.saturating_mul(1 << target.failures.min(10)).min(REDIAL_MAX)
        } else {
            REDIAL_MAX
        };
        target.due = Some(now + jittered(wait, &self.local, peer));
    }
}

/// Between three quarters of `wait` and the whole, different for each pair of peers, so that the
/// members do not all knock at a restarted node in the same instant.
fn jittered(wait: Duration, local: &PeerId, peer: &PeerId) -> Duration {
    let digest = Digest::of(&[local.to_bytes(), peer.to_bytes()].concat());
    wait.saturating_sub(wait / 4 * u32::from(digest.0[0]) / 256)
}

/// Whether `dialled`, which may end in the peer's id, is `address`.
fn is_same(dialled: &Multiaddr, address: &Multiaddr) -> bool {
    let bare = |address: &Multiaddr| -> Multiaddr {
        address.iter().filter(|part| !matches!(part, libp2p::multiaddr::Protocol::P2p(_))).collect()
    };
    bare(dialled) == bare(address)
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::ids::MemberId;
    use fedledger_ledger::keys::PublicKey;

    use super::super::members::{peer_id, MemberAddress};
    use super::*;

    fn member(seed: u8, addresses: &[&str]) -> MemberAddress {
        MemberAddress {
            member: MemberId::new(format!("m{seed}")).unwrap(),
            key: PublicKey::of(&ed25519_dalek::SigningKey::from_bytes(&[seed; 32])),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    fn plan(listening: bool) -> (DialPlan, PeerId, PeerId) {
        let members = [member(1, &["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/udp/1/quic-v1"])];
        let [a, b] = [1, 2].map(|seed| peer_id(&member(seed, &[]).key).unwrap());
        let mut plan = DialPlan::new(b, listening);
        plan.set_members(&Members::new(b, members.into()), |_| false, Instant::now());
        (plan, b, a)
    }

    #[test]
    fn everyone_dials_at_once_then_backs_off_to_the_limit() {
        let (mut plan, _, peer) = plan(false);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(plan.take_due(now).len(), 1);
            assert!(plan.take_due(now).is_empty(), "it is being dialled");
            plan.failed(&peer, now);
            let due = plan.next_due().unwrap();
            waits.push(due - now);
            now = due;
        }
        assert!(waits[0] < Duration::from_millis(250), "{waits:?}");
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= REDIAL_MAX), "{waits:?}");
    }

    #[test]
    fn the_greater_id_leaves_redialling_to_the_smaller_when_both_listen() {
        let (mut plan, local, peer) = plan(true);
        let now = Instant::now();
        plan.take_due(now);
        plan.connected(&peer, None);
        assert_eq!(plan.next_due(), None);
        plan.disconnected(&peer, now);
        let wait = plan.next_due().unwrap() - now;
        assert_eq!(wait < Duration::from_secs(1), local < peer, "{wait:?}");
    }

    #[test]
    fn the_address_that_worked_comes_first() {
        let (mut plan, _, peer) = plan(false);
        let quic: Multiaddr = "/ip4/10.0.0.1/udp/1/quic-v1".parse().unwrap();
        let dialled = quic.clone().with(libp2p::multiaddr::Protocol::P2p(peer));
        plan.connected(&peer, Some(&dialled));
        plan.disconnected(&peer, Instant::now());
        let due = plan.take_due(Instant::now() + REDIAL_MAX);
        assert_eq!(due[0].1[0], quic);
        assert_eq!(due[0].1.len(), 2);
    }

    #[test]
    fn members_without_address_and_former_members_are_not_dialled() {
        let (mut plan, local, _) = plan(false);
        let dial_only = Members::new(local, vec![member(1, &[])]);
        plan.set_members(&dial_only, |_| false, Instant::now());
        assert_eq!(plan.next_due(), None);
    }
}
