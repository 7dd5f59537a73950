//! Checks of what is on the disk: a quick one on opening, and one of everything.

use std::collections::BTreeMap;

use super::error::{Damage, StoreError};
use super::{layout, Edge, LedgerStore, Tip, META_BYTES_MAX};
use crate::block::Block;
use crate::ids::{Digest, Height};
use crate::log::{leaf_hash, Frontier, LogHead, LogNodes as _, LOG_HEAD_KEY};
use crate::state::{self, LatestState};
use crate::verify::ChainVerifier;

/// What a check of everything went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeepCheck {
    /// Blocks with their certificates.
    pub blocks: u64,
    /// Entries of the log.
    pub entries: u64,
    /// Keys of the current state.
    pub state_keys: u64,
}

impl LedgerStore {
    fn expect<T: PartialEq + ToString>(
        &self,
        what: impl Into<String>,
        expected: T,
        found: T,
    ) -> Result<(), StoreError> {
        if expected == found {
            return Ok(());
        }
        Err(self.db.damaged(Damage::mismatch(what, expected, found)))
    }

    fn missing(&self, record: impl Into<String>) -> StoreError {
        self.db.damaged(Damage::Missing { record: record.into() })
    }

    /// The check on opening. Nothing when there is no genesis yet.
    pub(super) fn check_open(&self) -> Result<Option<Edge>, StoreError> {
        if self.db.get(layout::TIP)?.is_none() {
            // The tip is written with everything else: without it there is nothing else.
            return match self.db.get(layout::GENESIS)? {
                None => Ok(None),
                Some(_) => Err(self.missing("the tip")),
            };
        }
        let tip: Tip = self.decoded(layout::TIP, "tip", META_BYTES_MAX)?;
        self.expect("the genesis document's digest", self.genesis, self.genesis()?.digest())?;
        let frontier = self.check_leaves(&tip)?;
        let next = tip.height.next();
        let validators = self
            .db
            .get(&layout::validators(next))?
            .ok_or_else(|| self.missing(format!("validator set of height {next}")))?;
        let validators = crate::block::ValidatorSet::from_bytes(&validators)
            .map_err(|error| self.unreadable(format!("validator set of height {next}"), error))?;
        let edge = Edge { tip, frontier, validators };
        *self.lock() = Some(edge.clone());
        self.check_tip(&edge)?;
        if self.db.get(&layout::block(next))?.is_some() {
            return Err(self.db.damaged(Damage::mismatch(
                "the tip",
                format!("at least {next}, whose block is stored"),
                tip.height,
            )));
        }
        Ok(Some(edge))
    }

    /// Leaf hashes against the log head in the state.
    fn check_leaves(&self, tip: &Tip) -> Result<Frontier, StoreError> {
        let mut frontier = Frontier::default();
        for index in 0..tip.log_size {
            frontier.push(self.leaf_hash(index)?);
        }
        let bytes =
            self.state(LOG_HEAD_KEY)?.ok_or_else(|| self.missing("`log/head` in the state"))?;
        let head = LogHead::from_bytes(&bytes)
            .map_err(|error| self.unreadable("`log/head` in the state", error))?;
        self.expect("the size of the log in the state", tip.log_size, head.size())?;
        self.expect("the root over the stored leaf hashes", head.root(), frontier.root())?;
        Ok(frontier)
    }

    /// The tip's block, certificate, link, validators and state root.
    fn check_tip(&self, edge: &Edge) -> Result<(), StoreError> {
        let Tip { height, hash, time, app_hash, .. } = edge.tip;
        let root = state::root_at(&self.db, height.0)
            .map_err(|error| self.unreadable(format!("state root of height {height}"), error))?;
        self.expect(format!("the state root of height {height}"), app_hash, root)?;
        let Some(hash) = hash else {
            return self.expect("the tip's height without a block", Height(0), height);
        };
        let (block, certificate) = (self.block(height)?, self.certificate(height)?);
        self.expect(format!("the hash of block {height}"), hash, block.hash())?;
        self.expect(format!("the time of block {height}"), block.header.time, time)?;
        self.expect("the tip's app_hash", block.header.app_hash, app_hash)?;
        let next = edge.validators.hash();
        self.expect("the next validators' hash", block.header.next_validators_hash, next)?;
        let mut verifier = self.verifier_before(&block)?;
        verifier
            .push(&block, &certificate, &edge.validators)
            .map_err(|error| self.db.damaged(Damage::Chain(error)))?;
        Ok(())
    }

    /// A verifier that expects the block after the stored parent of `block`.
    fn verifier_before(&self, block: &Block) -> Result<ChainVerifier, StoreError> {
        let height = block.header.height;
        let validators = self.validators(height)?;
        if height.0 == 1 {
            return Ok(ChainVerifier::new(&self.genesis()?, validators));
        }
        let parent = self.block(Height(height.0 - 1))?;
        let after = crate::verify::VerifiedBlock {
            height: parent.header.height,
            hash: parent.hash(),
            time: parent.header.time,
            app_hash: parent.header.app_hash,
        };
        Ok(ChainVerifier::resume(self.chain_id.clone(), &after, validators))
    }

    /// Checks everything that is stored: the chain from genesis with all certificates, all entries
    /// against the leaf hashes and these against every block's log head, all nodes of the log, the
    /// place of every transaction, the state root of every height, and the current state against
    /// the tip's root. `progress` is told each height that is done. It takes about as long as
    /// verifying all signatures.
    ///
    /// # Errors
    /// The first thing that is wrong, by name.
    pub fn check_deep(&self, mut progress: impl FnMut(Height)) -> Result<DeepCheck, StoreError> {
        let tip = self.tip()?;
        let genesis = self.genesis()?;
        self.expect("the genesis document's digest", self.genesis, genesis.digest())?;
        let mut verifier = ChainVerifier::new(&genesis, self.validators(Height(1))?);
        let mut frontier = Frontier::default();
        self.check_entries_to(&mut frontier, Height(0))?;
        for number in 1..=tip.height.0 {
            let height = Height(number);
            let (block, certificate) = (self.block(height)?, self.certificate(height)?);
            verifier
                .push(&block, &certificate, &self.validators(height.next())?)
                .map_err(|error| self.db.damaged(Damage::Chain(error)))?;
            let root = self.app_hash(height)?;
            self.expect(format!("the state root of height {height}"), block.header.app_hash, root)?;
            self.check_entries_to(&mut frontier, height)?;
            for (index, transaction) in (0u32..).zip(&block.body.transactions) {
                let digest = transaction.digest();
                let place = self.transaction(&digest)?;
                if place != Some(super::TransactionPlace { height, index }) {
                    return Err(self.missing(format!("place of transaction {digest}")));
                }
            }
            progress(height);
        }
        self.expect("the number of entries", tip.log_size, frontier.size())?;
        let state_keys = self.check_state(&tip)?;
        Ok(DeepCheck { blocks: tip.height.0, entries: tip.log_size, state_keys })
    }

    /// Appends stored entries up to the log head of `height`, checking each.
    fn check_entries_to(&self, frontier: &mut Frontier, height: Height) -> Result<(), StoreError> {
        let head = self.log_head_at(height)?;
        for index in frontier.size()..head.size() {
            let entry = self.entry(index)?;
            self.expect(format!("leaf hash {index}"), leaf_hash(&entry), self.leaf_hash(index)?)?;
            let mut wrong = None;
            frontier.push_with(leaf_hash(&entry), |level, index, hash| {
                if self.db.node(level, index) != Some(hash) {
                    wrong.get_or_insert((level, index));
                }
            });
            if let Some((level, index)) = wrong {
                let reason = "it is missing or not the hash of its leaves";
                return Err(self.unreadable(format!("log node {index} on level {level}"), reason));
            }
        }
        self.expect(format!("the log root of height {height}"), head.root(), frontier.root())
    }

    /// Rebuilds the state tree from the current keys and values alone.
    fn check_state(&self, tip: &Tip) -> Result<u64, StoreError> {
        let current: BTreeMap<_, _> =
            self.state_scan(b"")?.into_iter().map(|(key, value)| (key, Some(value))).collect();
        for (key, value) in &current {
            let in_tree = state::value_at(&self.db, key, tip.height.0)?;
            let shown = |value: &Option<Vec<u8>>| {
                value.as_ref().map_or("nothing".to_owned(), |value| Digest::of(value).to_string())
            };
            let what = format!("the value of state key `{}`", key.escape_ascii());
            self.expect(what, shown(&in_tree), shown(value))?;
        }
        let root = LatestState::new().apply(0, &current)?;
        self.expect("the root of the current state", tip.app_hash, root)?;
        Ok(current.len() as u64)
    }
}
