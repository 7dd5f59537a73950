//! The ledger on disk: blocks, entries, state and what is being voted on, in one sled database.
//!
//! Each block is one atomic batch over everything that it changes, flushed and synced before
//! [`LedgerStore::commit_block`] returns. What is stored was verified before; what is read is
//! checked against a checksum; opening checks the tip against the chain's own hashes. Damage is
//! refused by name and never repaired here: the ledger can be fetched from peers again.

pub mod blobs;
mod check;
mod db;
mod error;
mod layout;
mod mark;
mod nodes;
mod read;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use minicbor::{Decode, Encode};

use crate::block::{Block, CommitCertificate, ValidatorSet};
use crate::codec::{from_canonical, to_canonical};
use crate::genesis::Genesis;
use crate::ids::{ChainId, Digest, Height, TimeMs};
use crate::limits::{ENTRY_BYTES_MAX, GENESIS_BYTES_MAX};
use crate::log::{Frontier, LogHead, LOG_HEAD_KEY};
use crate::state::{self, Writes};
use crate::verify::{ChainVerifier, VerifiedBlock};

pub use blobs::{BlobError, BlobStore};
pub use check::DeepCheck;
use db::{Changes, Db};
pub use error::{Damage, StoreError};
use mark::Mark;
pub use read::{StatePair, TransactionPlace};

/// Whose store it is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Meta {
    #[n(0)]
    schema: u64,
    #[n(1)]
    chain_id: ChainId,
    #[n(2)]
    genesis: Digest,
}

/// The last block that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tip {
    /// Its height; 0 when only genesis is stored.
    #[n(0)]
    pub height: Height,
    /// Its hash; nothing at height 0.
    #[n(1)]
    pub hash: Option<Digest>,
    /// Its time, or genesis'.
    #[n(2)]
    pub time: TimeMs,
    /// The state root after it.
    #[n(3)]
    pub app_hash: Digest,
    /// Number of entries after it.
    #[n(4)]
    pub log_size: u64,
}

/// Longest metadata record in bytes.
const META_BYTES_MAX: usize = 512;

/// The database holds less than was acknowledged.
fn lost_tail(reached: Height, tip: Option<Height>) -> Damage {
    let found = tip.map_or("missing".to_owned(), |tip| tip.to_string());
    Damage::mismatch("the tip", format!("at least {reached}, which was stored before"), found)
}

/// The tip with what is needed to extend it.
#[derive(Debug, Clone)]
struct Edge {
    tip: Tip,
    frontier: Frontier,
    /// The validators that decide the next height.
    validators: ValidatorSet,
}

/// One ledger on disk. Reads may come from any thread; blocks are committed one at a time.
pub struct LedgerStore {
    db: Db,
    chain_id: ChainId,
    genesis: Digest,
    edge: Mutex<Option<Edge>>,
    mark: Mutex<Mark>,
}

impl LedgerStore {
    /// Opens the ledger in `dir`, or creates an empty one there. A ledger that exists is checked:
    /// schema, identity, the tip with its certificate, all leaf hashes against the log head in the
    /// state, and the state root against the tip.
    ///
    /// # Errors
    /// When another process has it open, it is another ledger's, the disk fails, or a check does.
    pub fn open(dir: &Path, chain_id: &ChainId, genesis: Digest) -> Result<Self, StoreError> {
        let db = Db::open(dir)?;
        let (mark, reached) = Mark::open(dir)?;
        if let (true, Some(height)) = (db.is_empty(), reached) {
            return Err(db.damaged(lost_tail(height, None)));
        }
        if db.is_empty() {
            let meta = Meta { schema: layout::SCHEMA, chain_id: chain_id.clone(), genesis };
            let mut changes = Changes::default();
            changes.insert(layout::META.to_vec(), to_canonical(&meta));
            db.commit(changes)?;
        }
        let store = Self {
            db,
            chain_id: chain_id.clone(),
            genesis,
            edge: Mutex::new(None),
            mark: Mutex::new(mark),
        };
        store.check_identity()?;
        let edge = store.check_open()?;
        let tip = edge.as_ref().map(|edge| edge.tip.height);
        if let Some(height) = reached.filter(|height| tip.is_none_or(|tip| tip < *height)) {
            return Err(store.db.damaged(lost_tail(height, tip)));
        }
        *store.lock() = edge;
        if let Some(tip) = tip {
            store.set_mark(tip)?;
        }
        Ok(store)
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        let dir = || self.db.dir().to_owned();
        let meta: Meta = self.decoded(layout::META, "store metadata", META_BYTES_MAX)?;
        if meta.schema != layout::SCHEMA {
            let (expected, found) = (layout::SCHEMA, meta.schema);
            return Err(StoreError::Schema { dir: dir(), expected, found });
        }
        if meta.chain_id != self.chain_id {
            let (expected, found) = (self.chain_id.clone(), meta.chain_id);
            return Err(StoreError::OtherChain { dir: dir(), expected, found });
        }
        if meta.genesis != self.genesis {
            let (expected, found) = (self.genesis, meta.genesis);
            return Err(StoreError::OtherGenesis { dir: dir(), expected, found });
        }
        Ok(())
    }

    fn set_mark(&self, height: Height) -> Result<(), StoreError> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).set(height)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Edge>> {
        // A panic while the lock was held came before the edge was replaced, which is one move.
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn edge(&self) -> Result<Edge, StoreError> {
        self.lock().clone().ok_or_else(|| StoreError::Empty { dir: self.db.dir().to_owned() })
    }

    fn decoded<T>(&self, key: &[u8], what: &'static str, max: usize) -> Result<T, StoreError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let missing = || self.db.damaged(Damage::Missing { record: what.to_owned() });
        let bytes = self.db.get(key)?.ok_or_else(missing)?;
        from_canonical(what, &bytes, max).map_err(|error| self.unreadable(what, error))
    }

    fn unreadable(&self, record: impl Into<String>, error: impl ToString) -> StoreError {
        self.db.damaged(Damage::Unreadable { record: record.into(), reason: error.to_string() })
    }

    /// Stores genesis: the document, the first validators, the first entries, and the first state,
    /// as version 0. Returns the state root.
    ///
    /// # Errors
    /// When there is a genesis already, the document is not the one that the store was opened for,
    /// entries and writes do not belong together, or the disk fails.
    pub fn init_genesis(
        &self,
        genesis: &Genesis,
        validators: &ValidatorSet,
        entries: &[Vec<u8>],
        writes: &Writes,
    ) -> Result<Digest, StoreError> {
        let mut edge = self.lock();
        if edge.is_some() {
            return Err(StoreError::NotEmpty { dir: self.db.dir().to_owned() });
        }
        if genesis.digest() != self.genesis {
            return Err(StoreError::OtherGenesis {
                dir: self.db.dir().to_owned(),
                expected: self.genesis,
                found: genesis.digest(),
            });
        }
        let mut changes = Changes::default();
        let height = Height(0);
        let bytes = to_canonical(genesis);
        assert!(bytes.len() <= GENESIS_BYTES_MAX, "a genesis document is checked when it is read");
        changes.insert(layout::GENESIS.to_vec(), bytes);
        changes.insert(layout::validators(height.next()), validators.to_bytes());
        let frontier =
            self.put_entries(&mut changes, height, Frontier::default(), entries, writes)?;
        let app_hash = self.put_state(&mut changes, height, writes)?;
        let tip =
            Tip { height, hash: None, time: genesis.time, app_hash, log_size: frontier.size() };
        changes.insert(layout::TIP.to_vec(), to_canonical(&tip));
        self.db.commit(changes)?;
        // Crash here: genesis is stored without a mark; the next opening makes it.
        self.set_mark(height)?;
        *edge = Some(Edge { tip, frontier, validators: validators.clone() });
        Ok(app_hash)
    }

    /// Stores a decided block with all that follows from it, in one atomic batch, and returns when
    /// it is on the disk: the block, its certificate, the validators of the next height, its entries
    /// (canonical bytes, in order), its state writes, and the place of each transaction. Undecided
    /// blocks of this height and below are dropped.
    ///
    /// Everything is checked before anything is written: the block extends the tip and is final by
    /// its certificate, the writes lead to the header's `app_hash`, and the entries to the
    /// `log/head` in the state.
    ///
    /// # Errors
    /// When a check fails (nothing is written) or the disk does (the node must stop).
    pub fn commit_block(
        &self,
        block: &Block,
        certificate: &CommitCertificate,
        next_validators: &ValidatorSet,
        entries: &[Vec<u8>],
        writes: &Writes,
    ) -> Result<(), StoreError> {
        let mut guard = self.lock();
        let edge =
            guard.as_ref().ok_or_else(|| StoreError::Empty { dir: self.db.dir().to_owned() })?;
        let verified = self.verifier(edge)?.push(block, certificate, next_validators)?;
        let height = verified.height;
        let mut changes = Changes::default();
        let frontier =
            self.put_entries(&mut changes, height, edge.frontier.clone(), entries, writes)?;
        let found = self.put_state(&mut changes, height, writes)?;
        let expected = block.header.app_hash;
        if found != expected {
            return Err(StoreError::StateRoot { height, expected, found });
        }
        changes.insert(layout::block(height), block.to_bytes());
        changes.insert(layout::certificate(height), certificate.to_bytes());
        changes.insert(layout::validators(height.next()), next_validators.to_bytes());
        for (index, transaction) in (0u32..).zip(&block.body.transactions) {
            let place = TransactionPlace { height, index };
            changes.replace(layout::transaction(&transaction.digest()), to_canonical(&place));
        }
        self.remove_undecided(&mut changes, height)?;
        let tip = Tip {
            height,
            hash: Some(verified.hash),
            time: verified.time,
            app_hash: found,
            log_size: frontier.size(),
        };
        changes.replace(layout::TIP.to_vec(), to_canonical(&tip));
        self.db.commit(changes)?;
        // Crash here: the mark is one behind the tip, which is harmless.
        self.set_mark(height)?;
        *guard = Some(Edge { tip, frontier, validators: next_validators.clone() });
        Ok(())
    }

    /// A verifier that expects the block after the edge.
    fn verifier(&self, edge: &Edge) -> Result<ChainVerifier, StoreError> {
        let Tip { height, hash, time, app_hash, .. } = edge.tip;
        Ok(match hash {
            Some(hash) => ChainVerifier::resume(
                self.chain_id.clone(),
                &VerifiedBlock { height, hash, time, app_hash },
                edge.validators.clone(),
            ),
            None => ChainVerifier::new(&self.genesis()?, edge.validators.clone()),
        })
    }

    fn put_entries(
        &self,
        changes: &mut Changes,
        height: Height,
        mut frontier: Frontier,
        entries: &[Vec<u8>],
        writes: &Writes,
    ) -> Result<Frontier, StoreError> {
        for (index, entry) in entries.iter().enumerate() {
            if entry.len() > ENTRY_BYTES_MAX {
                let (found, max) = (entry.len(), ENTRY_BYTES_MAX);
                return Err(StoreError::EntryTooLong { height, index, found, max });
            }
            changes.insert(layout::entry(frontier.size()), entry.clone());
            frontier.push_with(crate::log::leaf_hash(entry), |level, index, hash| {
                changes.insert(layout::log_node(level, index), hash.0.to_vec());
            });
        }
        let in_state = match writes.get(LOG_HEAD_KEY) {
            Some(written) => written.clone(),
            None => self.db.get(&layout::state(LOG_HEAD_KEY))?,
        };
        let head = frontier.head();
        if in_state.as_deref() == Some(&head.to_bytes()) {
            return Ok(frontier);
        }
        let show = |head: &LogHead| format!("{} entries with root {}", head.size(), head.root());
        let expected = match in_state.as_deref().map(LogHead::from_bytes) {
            Some(Ok(head)) => show(&head),
            Some(Err(error)) => error.to_string(),
            None => "nothing".to_owned(),
        };
        Err(StoreError::LogHead { height, entries: entries.len(), expected, found: show(&head) })
    }

    fn put_state(
        &self,
        changes: &mut Changes,
        height: Height,
        writes: &Writes,
    ) -> Result<Digest, StoreError> {
        let (root, batch) = state::apply(&self.db, height.0, writes)?;
        nodes::put_state_batch(&self.db, changes, height.0, batch)?;
        for (key, value) in writes {
            match value {
                Some(value) => changes.replace(layout::state(key), value.clone()),
                None => changes.remove(layout::state(key)),
            }
        }
        Ok(root)
    }

    /// The state root that `writes` would lead to in the next block. Nothing is stored.
    ///
    /// # Errors
    /// When there is no genesis yet, or the disk fails.
    pub fn root_after(&self, writes: &Writes) -> Result<Digest, StoreError> {
        let next = self.edge()?.tip.height.next();
        let (root, _) = state::apply(&self.db, next.0, writes)?;
        Ok(root)
    }

    /// Stores a block that is being voted on, as bytes of the caller's choice, and returns when
    /// they are on the disk. The engine's own log keeps only the block's id.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_undecided(
        &self,
        height: Height,
        round: u32,
        id: &Digest,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.replace(layout::undecided(height, round, id), bytes.to_vec());
        self.db.commit(changes)
    }

    /// Drops what is undecided at `height` and below.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn drop_undecided(&self, height: Height) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        self.remove_undecided(&mut changes, height)?;
        self.db.commit(changes)
    }

    fn remove_undecided(&self, changes: &mut Changes, height: Height) -> Result<(), StoreError> {
        let end = layout::undecided_height(height.next());
        for item in self.db.scan(b"u") {
            let (key, _) = item?;
            if key >= end {
                break;
            }
            changes.remove(key);
        }
        Ok(())
    }

    /// Whether genesis is stored.
    pub fn is_initialised(&self) -> bool {
        self.lock().is_some()
    }

    /// The last block that is stored, on disk when this returns.
    ///
    /// # Errors
    /// When there is no genesis yet.
    pub fn tip(&self) -> Result<Tip, StoreError> {
        Ok(self.edge()?.tip)
    }

    /// The value under `key` now, like [`state::StateRead::get`] but with the disk's errors.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn state(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(&layout::state(key))
    }

    /// The head of the log now.
    ///
    /// # Errors
    /// When there is no genesis yet.
    pub fn log_head(&self) -> Result<LogHead, StoreError> {
        Ok(self.edge()?.frontier.head())
    }
}

/// The current state.
///
/// # Panics
/// When the disk fails or lies: nothing that follows from a wrong state may be said to anybody.
impl state::StateRead for LedgerStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.state(key).unwrap_or_else(|error| panic!("{error}"))
    }
}
