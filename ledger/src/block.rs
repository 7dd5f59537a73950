//! Blocks: CometBFT headers over CBOR bodies.
//!
//! A block's id is its header's hash as CometBFT computes it, so that light clients of CometBFT
//! chains (`tendermint-light-client-verifier`, IBC) can follow this one. Fields that this ledger
//! fills in its own way are listed at [`BlockHeader`].

mod certificate;
mod convert;
#[cfg(test)]
pub(crate) mod tests;
mod validators;
mod vote;

use minicbor::{Decode, Decoder, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{from_canonical, to_canonical, CodecError};
use crate::decision::Decision;
use crate::ids::{ChainId, Digest, Height, TimeMs};
use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_DECISIONS_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX,
};
use crate::log::{leaf_hash, root_of, Frontier};
use crate::transaction::Transaction;

pub use certificate::{CertificateError, CommitCertificate};
pub use convert::{signed_header, RangeError};
pub use validators::{
    Validator, ValidatorAddress, ValidatorSet, ValidatorSetError, POWER_TOTAL_MAX,
};
pub use vote::{vote_sign_bytes, VoteType};

/// The last millisecond that a CometBFT time can hold: the end of the year 9999.
pub const BLOCK_TIME_MAX: TimeMs = TimeMs(253_402_300_799_999);
/// Longest canonical header in bytes, rounded up.
pub const BLOCK_HEADER_BYTES_MAX: usize = 1_024;

/// `consensus_hash` of every header: the SHA-256 of `fedledger/consensus-params/v1`. CometBFT puts
/// the hash of its consensus parameters here; ours are part of the state and so of `app_hash`.
pub fn consensus_hash() -> Digest {
    Digest::of(b"fedledger/consensus-params/v1")
}

/// What a block's hash covers. All fields of a CometBFT header (version: block 11, app 1) are
/// hashed; those not listed are constants.
///
/// Deviations from CometBFT: `app_hash` is the state root *after* this block (a proposer executes
/// before it proposes; CometBFT has the previous block's), so a certificate for height h proves the
/// state at h. `last_commit_hash`, `last_results_hash` and `evidence_hash` are the hash of the empty
/// list, because receipts and equivocation are entries of the log and certificates of one block
/// differ from node to node. `consensus_hash` is [`consensus_hash()`]. A block id's part set is one
/// part with the block's own hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(try_from = "HeaderParts")]
pub struct BlockHeader {
    /// The ledger it belongs to.
    #[n(0)]
    pub chain_id: ChainId,
    /// Its position, from 1.
    #[n(1)]
    pub height: Height,
    /// The proposer's time; later than the parent's (or genesis'), at most [`BLOCK_TIME_MAX`].
    #[n(2)]
    pub time: TimeMs,
    /// Hash of the parent; nothing at height 1 only.
    #[n(3)]
    pub last_block_id: Option<Digest>,
    /// [`BlockBody::data_hash`] of the body.
    #[n(4)]
    pub data_hash: Digest,
    /// [`ValidatorSet::hash`] of the set that decides this block.
    #[n(5)]
    pub validators_hash: Digest,
    /// [`ValidatorSet::hash`] of the set that decides the next block.
    #[n(6)]
    pub next_validators_hash: Digest,
    /// The state root after this block.
    #[n(7)]
    pub app_hash: Digest,
    /// Who proposed it.
    #[n(8)]
    pub proposer: ValidatorAddress,
}

/// A header before its ranges are checked.
#[derive(Decode, Deserialize)]
#[cbor(map)]
struct HeaderParts {
    #[n(0)]
    chain_id: ChainId,
    #[n(1)]
    height: Height,
    #[n(2)]
    time: TimeMs,
    #[n(3)]
    last_block_id: Option<Digest>,
    #[n(4)]
    data_hash: Digest,
    #[n(5)]
    validators_hash: Digest,
    #[n(6)]
    next_validators_hash: Digest,
    #[n(7)]
    app_hash: Digest,
    #[n(8)]
    proposer: ValidatorAddress,
}

impl TryFrom<HeaderParts> for BlockHeader {
    type Error = RangeError;
    fn try_from(parts: HeaderParts) -> Result<Self, RangeError> {
        let header = Self {
            chain_id: parts.chain_id,
            height: parts.height,
            time: parts.time,
            last_block_id: parts.last_block_id,
            data_hash: parts.data_hash,
            validators_hash: parts.validators_hash,
            next_validators_hash: parts.next_validators_hash,
            app_hash: parts.app_hash,
            proposer: parts.proposer,
        };
        header.check_ranges()?;
        Ok(header)
    }
}

impl<'b, C> Decode<'b, C> for BlockHeader {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        HeaderParts::decode(d, ctx)?
            .try_into()
            .map_err(|error: RangeError| minicbor::decode::Error::message(error.to_string()))
    }
}

/// What a new block follows.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The ledger.
    pub chain_id: &'a ChainId,
    /// Height of the parent; 0 before the first block.
    pub height: Height,
    /// Its id; nothing before the first block.
    pub id: Option<Digest>,
    /// Who decides the new block.
    pub validators: &'a ValidatorSet,
}

impl Parent<'_> {
    /// The block that follows, where its contents lead to the state root `app_hash` and to
    /// `next_validators`.
    pub fn block(
        &self,
        time: TimeMs,
        proposer: ValidatorAddress,
        body: BlockBody,
        app_hash: Digest,
        next_validators: &ValidatorSet,
    ) -> Block {
        let header = BlockHeader {
            chain_id: self.chain_id.clone(),
            height: self.height.next(),
            time,
            last_block_id: self.id,
            data_hash: body.data_hash(),
            validators_hash: self.validators.hash(),
            next_validators_hash: next_validators.hash(),
            app_hash,
            proposer,
        };
        Block { header, body }
    }
}

impl BlockHeader {
    /// The block's id: the header's hash as CometBFT computes it.
    ///
    /// # Panics
    /// When height or time is outside [`BlockHeader::check_ranges`], which decoding ensures.
    pub fn hash(&self) -> Digest {
        convert::header_hash(self)
    }

    /// Checks what a CometBFT header can hold: height 1 to 2^63 - 1, time up to
    /// [`BLOCK_TIME_MAX`], and a parent except at height 1. Decoding does this.
    ///
    /// # Errors
    /// When one of them is out of its range.
    pub fn check_ranges(&self) -> Result<(), RangeError> {
        if self.height.0 == 0 || i64::try_from(self.height.0).is_err() {
            return Err(RangeError { what: "block height", value: self.height.0 });
        }
        if self.time > BLOCK_TIME_MAX {
            return Err(RangeError { what: "block time", value: self.time.0 });
        }
        if self.last_block_id.is_none() != (self.height.0 == 1) {
            return Err(RangeError {
                what: "height for a header's last block id",
                value: self.height.0,
            });
        }
        Ok(())
    }
}

/// What a block does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct BlockBody {
    /// Members' transactions, in the order in which they are applied.
    #[n(0)]
    pub transactions: Vec<Transaction>,
    /// The proposer's decisions, applied before the transactions.
    #[n(1)]
    pub decisions: Vec<Decision>,
}

impl BlockBody {
    /// The body's hash in the header: the RFC 6962 root whose leaves are the SHA-256 of each item's
    /// canonical bytes, transactions first, as CometBFT hashes its transactions. The bytes of a
    /// transaction (a map) never are those of a decision (an array), so the split is fixed too.
    pub fn data_hash(&self) -> Digest {
        let transactions = self.transactions.iter().map(|one| item_hash(&one.to_bytes()));
        let decisions = self.decisions.iter().map(|decision| item_hash(&to_canonical(decision)));
        root_of(transactions.chain(decisions))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty() && self.decisions.is_empty()
    }
}

/// Why a block is not one that can be voted on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// The bytes are too long, malformed or not canonical.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Too many items, or one too long.
    #[error("block {height} has {found} {what}, at most {max} are allowed")]
    TooMany {
        /// The block's height.
        height: Height,
        /// What there is too much of.
        what: &'static str,
        /// Number found.
        found: usize,
        /// Largest number allowed.
        max: usize,
    },
    /// The header's `data_hash` is not the body's.
    #[error("block {height} says data_hash {found}, its body has {expected}")]
    DataHash {
        /// The block's height.
        height: Height,
        /// Hash of the body.
        expected: Digest,
        /// Hash in the header.
        found: Digest,
    },
    /// The header's fields are outside what a CometBFT header can hold.
    #[error(transparent)]
    Range(#[from] RangeError),
}

/// A header with its body.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Block {
    /// What is hashed and voted on.
    #[n(0)]
    pub header: BlockHeader,
    /// What the header's `data_hash` covers.
    #[n(1)]
    pub body: BlockBody,
}

impl Block {
    /// The block's id: the header's hash.
    pub fn hash(&self) -> Digest {
        self.header.hash()
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads a block from its canonical bytes, within all limits. Whether header and body belong
    /// together is [`Block::check_consistency`]'s to say.
    ///
    /// # Errors
    /// When the bytes are too long, malformed or not canonical, or a limit is passed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BlockError> {
        let block: Self = from_canonical("block", bytes, BLOCK_HEADER_BYTES_MAX + BLOCK_BYTES_MAX)?;
        block.check_limits()?;
        Ok(block)
    }

    /// Checks the limits, the ranges of the header, and that `data_hash` is the body's.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn check_consistency(&self) -> Result<(), BlockError> {
        self.header.check_ranges()?;
        let expected = self.check_limits()?;
        if self.header.data_hash != expected {
            return Err(BlockError::DataHash {
                height: self.header.height,
                expected,
                found: self.header.data_hash,
            });
        }
        Ok(())
    }

    /// Checks the limits and returns the body's hash: both look at the bytes of every item.
    fn check_limits(&self) -> Result<Digest, BlockError> {
        let body = &self.body;
        let (mut longest, mut length, mut frontier) = (0, 0, Frontier::default());
        for transaction in &body.transactions {
            let bytes = transaction.to_bytes();
            longest = longest.max(bytes.len());
            length += bytes.len();
            frontier.push(item_hash(&bytes));
        }
        for decision in &body.decisions {
            let bytes = to_canonical(decision);
            length += bytes.len();
            frontier.push(item_hash(&bytes));
        }
        let heads = 3 + head_length(body.transactions.len()) + head_length(body.decisions.len());
        for (what, found, max) in [
            ("transactions", body.transactions.len(), BLOCK_TRANSACTIONS_MAX),
            ("decisions", body.decisions.len(), BLOCK_DECISIONS_MAX),
            ("bytes of body", length + heads, BLOCK_BYTES_MAX),
            ("bytes in one transaction", longest, TRANSACTION_BYTES_MAX),
        ] {
            if found > max {
                return Err(BlockError::TooMany { height: self.header.height, what, found, max });
            }
        }
        Ok(frontier.root())
    }
}

/// The leaf that stands for an item of a body in its hash.
fn item_hash(bytes: &[u8]) -> Digest {
    leaf_hash(&Digest::of(bytes).0)
}

/// Bytes before the items of a CBOR array: its type with its length.
fn head_length(items: usize) -> usize {
    match items {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}
