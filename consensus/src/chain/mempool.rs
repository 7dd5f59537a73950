//! Transactions that wait for a block: bounded, one sequence for each member.

use std::collections::BTreeMap;

use fedledger_ledger::ids::{Digest, MemberId, Nonce};
use fedledger_ledger::transaction::Transaction;
use thiserror::Error;

/// Most waiting transactions of one member. A member has a handful of actions in a round.
pub const MEMBER_TRANSACTIONS_MAX: usize = 64;
/// Most bytes of waiting transactions of one member.
pub const MEMBER_BYTES_MAX: usize = 512 << 10;

/// Why a transaction does not wait here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MempoolError {
    /// Its nonce is used up.
    #[error("nonce {nonce} of {member} is used up: the ledger is at {used}")]
    Stale {
        /// Whose transaction.
        member: MemberId,
        /// Its nonce.
        nonce: Nonce,
        /// The last nonce on the ledger.
        used: Nonce,
    },
    /// Its nonce is too far ahead of the ledger.
    #[error("nonce {nonce} of {member} is too far ahead: the ledger is at {used}, {MEMBER_TRANSACTIONS_MAX} may wait")]
    TooFarAhead {
        /// Whose transaction.
        member: MemberId,
        /// Its nonce.
        nonce: Nonce,
        /// The last nonce on the ledger.
        used: Nonce,
    },
    /// Another transaction with this nonce waits already.
    #[error("another transaction of {member} with nonce {nonce} waits already")]
    NonceTaken {
        /// Whose transaction.
        member: MemberId,
        /// Its nonce.
        nonce: Nonce,
    },
    /// The member's share is full.
    #[error("{member} has {MEMBER_BYTES_MAX} bytes of transactions waiting: no more are taken")]
    Full {
        /// Whose share.
        member: MemberId,
    },
}

/// A transaction with what is asked of it again and again.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The transaction.
    pub transaction: Transaction,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub bytes: usize,
}

/// The waiting transactions, by member and nonce. Callers check signatures before they insert.
#[derive(Debug, Default)]
pub struct Mempool {
    members: BTreeMap<MemberId, BTreeMap<Nonce, Waiting>>,
}

impl Mempool {
    /// Takes a transaction whose signature is good. `used` is its member's last nonce on the
    /// ledger. Returns whether it is new.
    ///
    /// # Errors
    /// See [`MempoolError`].
    pub fn insert(&mut self, transaction: Transaction, used: Nonce) -> Result<bool, MempoolError> {
        let member = transaction.body.member.clone();
        let nonce = transaction.body.nonce;
        if nonce <= used {
            return Err(MempoolError::Stale { member, nonce, used });
        }
        if nonce.0 - used.0 > MEMBER_TRANSACTIONS_MAX as u64 {
            return Err(MempoolError::TooFarAhead { member, nonce, used });
        }
        let bytes = transaction.to_bytes();
        let waiting = Waiting { digest: Digest::of(&bytes), bytes: bytes.len(), transaction };
        let queue = self.members.entry(member.clone()).or_default();
        if let Some(present) = queue.get(&nonce) {
            if present.digest == waiting.digest {
                return Ok(false);
            }
            return Err(MempoolError::NonceTaken { member, nonce });
        }
        let held: usize = queue.values().map(|one| one.bytes).sum();
        if held + waiting.bytes > MEMBER_BYTES_MAX {
            return Err(MempoolError::Full { member });
        }
        queue.insert(nonce, waiting);
        Ok(true)
    }

    /// Whether a transaction waits here.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.all().any(|waiting| waiting.digest == *digest)
    }

    /// The highest nonce that waits for a member.
    pub fn highest_nonce(&self, member: &MemberId) -> Option<Nonce> {
        self.members.get(member)?.last_key_value().map(|(nonce, _)| *nonce)
    }

    /// All waiting transactions, by member and nonce.
    pub fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.members.values().flat_map(BTreeMap::values)
    }

    /// For each member, the transactions that follow its last nonce without a gap. `used` gives the
    /// last nonce on the ledger.
    pub fn ready(&self, used: impl Fn(&MemberId) -> Nonce) -> Vec<Vec<Waiting>> {
        let mut sequences = Vec::new();
        for (member, queue) in &self.members {
            let mut expected = used(member).next();
            let mut sequence = Vec::new();
            for (nonce, waiting) in queue.range(expected..) {
                if *nonce != expected {
                    break;
                }
                sequence.push(waiting.clone());
                expected = expected.next();
            }
            if !sequence.is_empty() {
                sequences.push(sequence);
            }
        }
        sequences
    }

    /// Drops what the ledger has passed. `used` gives the last nonce on the ledger.
    pub fn prune(&mut self, used: impl Fn(&MemberId) -> Nonce) {
        for (member, queue) in &mut self.members {
            *queue = queue.split_off(&used(member).next());
        }
        self.members.retain(|_, queue| !queue.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use fedledger_ledger::ids::ChainId;
    use fedledger_ledger::transaction::{Action, TransactionBody};

    use super::*;

    fn transaction(member: &str, nonce: u64, salt: u8) -> Transaction {
        let body = TransactionBody {
            chain_id: ChainId::new("test").unwrap(),
            member: MemberId::new(member).unwrap(),
            nonce: Nonce(nonce),
            action: Action::Approve { change: Digest::of(&[salt]) },
        };
        Transaction::sign(body, &SigningKey::from_bytes(&[1; 32]))
    }

    #[test]
    fn only_sequences_without_a_gap_are_ready() {
        let mut pool = Mempool::default();
        for nonce in [2, 3, 5] {
            assert!(pool.insert(transaction("a", nonce, 0), Nonce(0)).unwrap());
        }
        assert!(pool.ready(|_| Nonce(0)).is_empty(), "nonce 1 is missing");
        let ready = pool.ready(|_| Nonce(1));
        let nonces: Vec<u64> = ready[0].iter().map(|w| w.transaction.body.nonce.0).collect();
        assert_eq!(nonces, [2, 3]);
        pool.prune(|_| Nonce(3));
        assert_eq!(pool.all().count(), 1);
    }

    #[test]
    fn limits_and_conflicts_are_named() {
        let mut pool = Mempool::default();
        let member = MemberId::new("a").unwrap();
        assert!(matches!(
            pool.insert(transaction("a", 4, 0), Nonce(4)),
            Err(MempoolError::Stale { .. })
        ));
        assert!(matches!(
            pool.insert(transaction("a", 65, 0), Nonce(0)),
            Err(MempoolError::TooFarAhead { .. })
        ));
        assert!(pool.insert(transaction("a", 1, 0), Nonce(0)).unwrap());
        assert!(!pool.insert(transaction("a", 1, 0), Nonce(0)).unwrap(), "the same again");
        assert_eq!(
            pool.insert(transaction("a", 1, 1), Nonce(0)),
            Err(MempoolError::NonceTaken { member, nonce: Nonce(1) })
        );
    }
}
