//! What a transaction must satisfy to stand in a block at all, refused or not.

use std::collections::{BTreeMap, BTreeSet};

use fedledger_ledger::ids::{ChainId, Digest, MemberId, Nonce};
use fedledger_ledger::keys::{KeyCache, PublicKey};
use fedledger_ledger::limits::{
    BLOCK_TRANSACTIONS_MAX, SIGNATURES_REMEMBERED_MAX, TRANSACTION_BYTES_MAX,
};
use fedledger_ledger::state::StateRead;
use fedledger_ledger::transaction::Transaction;
use thiserror::Error;

use crate::block::ExecutionCache;
use crate::state::StateView;

/// Why a transaction may not stand in a block: it says nothing that its member can be held to, so
/// no receipt is kept of it. A block with such a transaction is invalid as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransactionFault {
    /// It is for another ledger.
    #[error("the transaction is for the ledger `{found}`, this is `{expected}`")]
    WrongChain {
        /// This ledger.
        expected: ChainId,
        /// The one it names.
        found: ChainId,
    },
    /// Nobody by that name was ever admitted.
    #[error("`{member}` is not a member")]
    UnknownMember {
        /// The name given.
        member: MemberId,
    },
    /// It is longer than a transaction may be.
    #[error("the transaction is {found} bytes long, at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The member's present key did not sign it.
    #[error("the signature is not one of the present member key of `{member}`")]
    BadSignature {
        /// The member it names.
        member: MemberId,
    },
    /// It is out of sequence. Checked last: a later nonce than expected may have its turn later.
    #[error("the next nonce of `{member}` is {expected}, found {found}")]
    WrongNonce {
        /// The member.
        member: MemberId,
        /// The nonce that follows the last one used.
        expected: Nonce,
        /// The nonce given.
        found: Nonce,
    },
}

/// Keys that were decoded before and, if it remembers, transactions whose signature was found valid
/// before. Both follow from the bytes alone, by which they are looked up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signatures {
    keys: KeyCache,
    valid: Option<BTreeSet<(PublicKey, Digest)>>,
}

impl Signatures {
    /// For a node, which sees a transaction when it arrives, when it is proposed and when it is
    /// decided.
    pub(crate) fn remembering() -> Self {
        Self { keys: KeyCache::default(), valid: Some(BTreeSet::new()) }
    }

    /// Whether `key` signed `transaction`, whose canonical bytes are `bytes`.
    fn is_valid(&mut self, key: &PublicKey, transaction: &Transaction, bytes: &[u8]) -> bool {
        let name = self.valid.is_some().then(|| (*key, Digest::of(bytes)));
        if let (Some(valid), Some(name)) = (&self.valid, &name) {
            if valid.contains(name) {
                return true;
            }
        }
        let key = self.keys.decode(key);
        let is_valid = key.is_some_and(|key| transaction.is_signed_by_decoded(&key));
        if let (Some(valid), Some(name), true) = (&mut self.valid, name, is_valid) {
            if valid.len() >= SIGNATURES_REMEMBERED_MAX {
                valid.clear();
            }
            valid.insert(name);
        }
        is_valid
    }
}

/// Checks that a transaction may be the next one after `state`: chain, member, length, signature
/// and nonce. A mempool keeps one whose only fault is a later nonce than expected.
///
/// # Errors
/// See [`TransactionFault`].
///
/// # Panics
/// When the state has no genesis.
pub fn check_transaction(
    state: &dyn StateRead,
    transaction: &Transaction,
) -> Result<(), TransactionFault> {
    check_transaction_with(&mut ExecutionCache::default(), state, transaction)
}

/// As [`check_transaction`], for whoever checks many.
///
/// # Errors
/// As [`check_transaction`].
///
/// # Panics
/// As [`check_transaction`].
pub fn check_transaction_with(
    cache: &mut ExecutionCache,
    state: &dyn StateRead,
    transaction: &Transaction,
) -> Result<(), TransactionFault> {
    check_in(&StateView::new(state), &mut cache.signatures, transaction)
}

pub(crate) fn check_in(
    state: &StateView<'_>,
    signatures: &mut Signatures,
    transaction: &Transaction,
) -> Result<(), TransactionFault> {
    let body = &transaction.body;
    let chain_id = state.chain_head().expect("a chain starts from its genesis").chain_id;
    if body.chain_id != chain_id {
        let found = body.chain_id.clone();
        return Err(TransactionFault::WrongChain { expected: chain_id, found });
    }
    let Some(member) = state.member_shared(&body.member) else {
        return Err(TransactionFault::UnknownMember { member: body.member.clone() });
    };
    let bytes = transaction.to_bytes();
    let found = bytes.len();
    if found > TRANSACTION_BYTES_MAX {
        return Err(TransactionFault::TooLong { found, max: TRANSACTION_BYTES_MAX });
    }
    if !signatures.is_valid(&member.spec.keys.member, transaction, &bytes) {
        return Err(TransactionFault::BadSignature { member: body.member.clone() });
    }
    check_nonce(body.nonce, state.nonce(&body.member).next(), &body.member)
}

fn check_nonce(found: Nonce, expected: Nonce, member: &MemberId) -> Result<(), TransactionFault> {
    if found == expected {
        return Ok(());
    }
    Err(TransactionFault::WrongNonce { member: member.clone(), expected, found })
}

/// The transactions that may stand in the next block in this order, out of those that wait: valid
/// in themselves, each member's in sequence, at most a block's number and `bytes_max` bytes of
/// them. What waits for a predecessor further back in the list is left for a later block.
///
/// # Panics
/// When the state has no genesis.
pub fn select_transactions<'t>(
    cache: &mut ExecutionCache,
    state: &dyn StateRead,
    waiting: impl IntoIterator<Item = &'t Transaction>,
    bytes_max: usize,
) -> Vec<Transaction> {
    let view = StateView::new(state);
    let mut next: BTreeMap<MemberId, Nonce> = BTreeMap::new();
    let mut bytes = 0usize;
    let mut selected = Vec::new();
    for transaction in waiting {
        if selected.len() == BLOCK_TRANSACTIONS_MAX {
            break;
        }
        let body = &transaction.body;
        let expected =
            next.get(&body.member).copied().unwrap_or_else(|| view.nonce(&body.member).next());
        let length = transaction.to_bytes().len();
        if body.nonce != expected || length > bytes_max.saturating_sub(bytes) {
            continue;
        }
        match check_in(&view, &mut cache.signatures, transaction) {
            Ok(()) | Err(TransactionFault::WrongNonce { .. }) => {}
            Err(_) => continue,
        }
        bytes += length;
        next.insert(body.member.clone(), expected.next());
        selected.push(transaction.clone());
    }
    selected
}
