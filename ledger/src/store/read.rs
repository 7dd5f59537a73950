//! What is read from the store, and proofs made from it.

use std::ops::Range;

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::error::{Damage, StoreError};
use super::{layout, LedgerStore};
use crate::block::{Block, CommitCertificate, ValidatorSet};
use crate::codec::from_canonical;
use crate::genesis::Genesis;
use crate::ids::{Digest, Height};
use crate::limits::GENESIS_BYTES_MAX;
use crate::log::{consistency_path, inclusion_path, LogHead, LOG_HEAD_KEY};
use crate::state;

/// A state key with its value.
pub type StatePair = (Vec<u8>, Vec<u8>);

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct TransactionPlace {
    /// The block.
    #[n(0)]
    pub height: Height,
    /// Its position in the block's body.
    #[n(1)]
    pub index: u32,
}

impl LedgerStore {
    /// The genesis document.
    ///
    /// # Errors
    /// When there is none or it is damaged.
    pub fn genesis(&self) -> Result<Genesis, StoreError> {
        self.decoded(layout::GENESIS, "genesis document", GENESIS_BYTES_MAX)
    }

    fn record(&self, key: &[u8], what: &str, height: Height) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = self.db.get(key)? {
            return Ok(bytes);
        }
        let tip = self.tip()?.height;
        if height > tip || height.0 == 0 {
            return Err(StoreError::UnknownHeight { height, tip });
        }
        Err(self.db.damaged(Damage::Missing { record: format!("{what} of height {height}") }))
    }

    /// The block of a height.
    ///
    /// # Errors
    /// When the height is not stored or the record is damaged.
    pub fn block(&self, height: Height) -> Result<Block, StoreError> {
        let bytes = self.record(&layout::block(height), "block", height)?;
        Block::from_bytes(&bytes)
            .map_err(|error| self.unreadable(format!("block of height {height}"), error))
    }

    /// The certificate of a height, as this node has it.
    ///
    /// # Errors
    /// When the height is not stored or the record is damaged.
    pub fn certificate(&self, height: Height) -> Result<CommitCertificate, StoreError> {
        let bytes = self.record(&layout::certificate(height), "certificate", height)?;
        CommitCertificate::from_bytes(&bytes)
            .map_err(|error| self.unreadable(format!("certificate of height {height}"), error))
    }

    /// The validators that decide a height: from 1 to the one after the tip.
    ///
    /// # Errors
    /// When the height is not known or the record is damaged.
    pub fn validators(&self, height: Height) -> Result<ValidatorSet, StoreError> {
        let bytes = self.record(&layout::validators(height), "validator set", height)?;
        ValidatorSet::from_bytes(&bytes)
            .map_err(|error| self.unreadable(format!("validator set of height {height}"), error))
    }

    /// The canonical bytes of an entry.
    ///
    /// # Errors
    /// When the log is shorter or the record is damaged.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        let size = self.tip()?.log_size;
        if index >= size {
            return Err(StoreError::UnknownEntry { index, size });
        }
        self.db
            .get(&layout::entry(index))?
            .ok_or_else(|| self.db.damaged(Damage::Missing { record: format!("entry {index}") }))
    }

    /// The canonical bytes of entries, in order; what lies beyond the end of the log is left out.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
        let end = range.end.min(self.tip()?.log_size);
        (range.start..end).map(|index| self.entry(index)).collect()
    }

    /// The leaf hashes of entries, in order; what lies beyond the end of the log is left out.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Digest>, StoreError> {
        let end = range.end.min(self.tip()?.log_size);
        (range.start..end).map(|index| self.leaf_hash(index)).collect()
    }

    pub(super) fn leaf_hash(&self, index: u64) -> Result<Digest, StoreError> {
        let record = || format!("leaf hash {index}");
        let bytes = self
            .db
            .get(&layout::log_node(0, index))?
            .ok_or_else(|| self.db.damaged(Damage::Missing { record: record() }))?;
        bytes
            .try_into()
            .map(Digest)
            .map_err(|_| self.unreadable(record(), "it is not 32 bytes long"))
    }

    /// The inclusion proof of an entry in the first `size` entries.
    ///
    /// # Errors
    /// When the log is shorter, the entry is not among them, or a record is damaged.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>, StoreError> {
        let stored = self.tip()?.log_size;
        if size > stored || index >= size {
            return Err(StoreError::UnknownEntry { index, size: size.min(stored) });
        }
        inclusion_path(&self.db, index, size).map_err(|missing| self.missing_node(&missing))
    }

    /// The consistency proof from the first `first` to the first `second` entries.
    ///
    /// # Errors
    /// When the log is shorter, the sizes are not in order, or a record is damaged.
    pub fn prove_consistency(&self, first: u64, second: u64) -> Result<Vec<Digest>, StoreError> {
        let size = self.tip()?.log_size;
        if first > second || second > size {
            return Err(StoreError::UnknownSizes { first, second, size });
        }
        consistency_path(&self.db, first, second).map_err(|missing| self.missing_node(&missing))
    }

    fn missing_node(&self, missing: &crate::log::MissingNode) -> StoreError {
        let (level, index) = (missing.level, missing.index);
        self.db.damaged(Damage::Missing { record: format!("log node {index} on level {level}") })
    }

    /// The value under `key` after a height.
    ///
    /// # Errors
    /// When the height is not stored or a record is damaged.
    pub fn state_at(&self, height: Height, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_stored(height)?;
        Ok(state::value_at(&self.db, key, height.0)?)
    }

    /// The value under `key` after a height, with the ICS23 proof of its presence or absence
    /// against that height's `app_hash`.
    ///
    /// # Errors
    /// When the height is not stored or a record is damaged.
    pub fn prove_state(
        &self,
        key: &[u8],
        height: Height,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), StoreError> {
        self.check_stored(height)?;
        Ok(state::prove(&self.db, key, height.0)?)
    }

    /// The state root after a height.
    ///
    /// # Errors
    /// When the height is not stored or a record is damaged.
    pub fn app_hash(&self, height: Height) -> Result<Digest, StoreError> {
        self.check_stored(height)?;
        Ok(state::root_at(&self.db, height.0)?)
    }

    /// The head of the log after a height.
    ///
    /// # Errors
    /// When the height is not stored or a record is damaged.
    pub fn log_head_at(&self, height: Height) -> Result<LogHead, StoreError> {
        let record = || format!("log head of height {height}");
        let bytes = self
            .state_at(height, LOG_HEAD_KEY)?
            .ok_or_else(|| self.db.damaged(Damage::Missing { record: record() }))?;
        LogHead::from_bytes(&bytes).map_err(|error| self.unreadable(record(), error))
    }

    /// Where a transaction is, if it is in a block.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn transaction(&self, digest: &Digest) -> Result<Option<TransactionPlace>, StoreError> {
        let Some(bytes) = self.db.get(&layout::transaction(digest))? else { return Ok(None) };
        from_canonical("place of a transaction", &bytes, 64)
            .map(Some)
            .map_err(|error| self.unreadable(format!("place of transaction {digest}"), error))
    }

    /// All current state keys that begin with `prefix`, with their values, in key order.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn state_scan(&self, prefix: &[u8]) -> Result<Vec<StatePair>, StoreError> {
        self.db
            .scan(&layout::state(prefix))
            .map(|item| item.map(|(key, value)| (key[1..].to_vec(), value)))
            .collect()
    }

    /// The undecided blocks of a consensus round by id, as they were put.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn undecided(
        &self,
        height: Height,
        round: u32,
    ) -> Result<Vec<(Digest, Vec<u8>)>, StoreError> {
        let records = self.undecided_under(&layout::undecided_round(height, round))?;
        Ok(records.into_iter().map(|(_, id, bytes)| (id, bytes)).collect())
    }

    /// All undecided blocks of a height: consensus round, id and bytes.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn undecided_of_height(
        &self,
        height: Height,
    ) -> Result<Vec<(u32, Digest, Vec<u8>)>, StoreError> {
        self.undecided_under(&layout::undecided_height(height))
    }

    fn undecided_under(&self, prefix: &[u8]) -> Result<Vec<(u32, Digest, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        for item in self.db.scan(prefix) {
            let (key, bytes) = item?;
            let parts = key
                .get(9..13)
                .and_then(|round| round.try_into().ok())
                .zip(key.get(13..).and_then(|id| id.try_into().ok()));
            let (round, id) =
                parts.ok_or_else(|| self.unreadable("undecided block", "its key is too short"))?;
            found.push((u32::from_be_bytes(round), Digest(id), bytes));
        }
        Ok(found)
    }

    fn check_stored(&self, height: Height) -> Result<(), StoreError> {
        let tip = self.tip()?.height;
        if height > tip {
            return Err(StoreError::UnknownHeight { height, tip });
        }
        Ok(())
    }
}
