//! Who holds which blob, by their own announcements. Only liveness rests on it: a validator votes
//! for a reveal when it holds the blob itself, whatever anybody announced.

use std::collections::{BTreeMap, BTreeSet};

use fedledger_ledger::ids::{Digest, MemberId};

/// Most digests that are remembered. Each open round has at most one for each member; what is over
/// is forgotten oldest digest first, and announced again by those who hold it.
const DIGESTS_MAX: usize = 16_384;

/// The announcements heard so far.
#[derive(Debug, Default)]
pub struct Availability {
    holders: BTreeMap<Digest, BTreeSet<MemberId>>,
    order: std::collections::VecDeque<Digest>,
}

impl Availability {
    /// Notes that a member announced a blob. Returns whether that is news.
    pub fn note(&mut self, digest: Digest, member: MemberId) -> bool {
        if !self.holders.contains_key(&digest) {
            self.order.push_back(digest);
            if self.order.len() > DIGESTS_MAX {
                let oldest = self.order.pop_front().expect("it is over its limit");
                self.holders.remove(&oldest);
            }
        }
        self.holders.entry(digest).or_default().insert(member)
    }

    /// The members that announced a blob.
    pub fn holders(&self, digest: &Digest) -> impl Iterator<Item = &MemberId> {
        self.holders.get(digest).into_iter().flatten()
    }
}
