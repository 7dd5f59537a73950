//! Verifying a ledger as an outsider does: from genesis, trusting nobody who hands it over.
//!
//! Three things are checked at each height. That more than two thirds of the validators decided the
//! block (signatures and hashes alone). That the contract, carried out again, leads to the state
//! root that they decided: so every receipt, verdict's effect and entry follows from what members
//! signed. And, with the blobs at hand, that each decision in the block is, bit for bit, what the
//! contract computes from the updates themselves.

use fedledger_contract::decide::BlobRead;
use fedledger_contract::replay::{ReplayError, Replayer};
use fedledger_contract::state::StateView;
use fedledger_ledger::block::{Block, CommitCertificate};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, RoundNumber, TaskId, TimeMs};
use serde::Serialize;
use thiserror::Error;

mod export;
mod source;
#[cfg(test)]
mod tests;

pub use export::{export, ExportFile};
pub use source::{DataDir, NodeSource};

/// Where an auditor gets a ledger from. Nothing that it gives is believed.
pub trait LedgerSource {
    /// The genesis document.
    ///
    /// # Errors
    /// When it cannot be had.
    fn genesis(&self) -> Result<Genesis, SourceError>;

    /// Height of the last block that it has.
    ///
    /// # Errors
    /// When it cannot be had.
    fn height(&self) -> Result<Height, SourceError>;

    /// The block of a height with its certificate.
    ///
    /// # Errors
    /// When it cannot be had.
    fn block(&self, height: Height) -> Result<(Block, CommitCertificate), SourceError>;

    /// A blob, when it has it. The bytes are checked against the digest by whoever uses them.
    ///
    /// # Errors
    /// When it cannot be read.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, SourceError>;
}

/// Why something could not be had from a source.
#[derive(Debug, Error)]
pub enum SourceError {
    /// No node answers, or nothing is there.
    #[error("{reason}")]
    Unavailable {
        /// What was tried and what happened.
        reason: String,
    },
    /// What is there cannot be read, or is not what it says.
    #[error("{what}: {reason}")]
    Damaged {
        /// The record.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a ledger does not verify. The first thing that is wrong ends the verification.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The genesis document is not the one expected.
    #[error("the ledger begins with genesis {found}, expected {expected}")]
    OtherGenesis {
        /// Digest that the auditor knows.
        expected: Digest,
        /// Digest of the document found.
        found: Digest,
    },
    /// Something in the ledger does not hold.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The ledger could not be read on.
    #[error("{what}: {source}")]
    Source {
        /// What was wanted.
        what: String,
        /// What happened.
        source: SourceError,
    },
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The ledger's name.
    pub chain_id: String,
    /// Digest of genesis: what all of this rests on.
    pub genesis: Digest,
    /// Height of the last block verified.
    pub height: Height,
    /// Its time, in milliseconds since 1970 (UTC).
    pub time: TimeMs,
    /// The state root after it.
    pub state_root: Digest,
    /// Number of entries in the log.
    pub log_size: u64,
    /// RFC 9162 root of the log.
    pub log_root: Digest,
    /// Transactions in all blocks.
    pub transactions: u64,
    /// Decisions in all blocks.
    pub decisions: u64,
    /// Decisions that were computed again from the blobs and are the same bit for bit.
    pub recomputed: u64,
    /// Decisions that could not be computed again, because a blob is not there.
    pub incomplete: Vec<MissingBlob>,
}

/// A decision that could not be computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingBlob {
    /// The block with the decision.
    pub height: Height,
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: RoundNumber,
    /// The first blob that is missing.
    pub blob: Digest,
}

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Blocks, certificates, and the contract carried out again.
    Verify,
    /// The same, and every decision computed again from the blobs.
    Replay,
}

/// Verifies a ledger from genesis to the last block that the source has. `expected` is the genesis
/// digest that the auditor knows from elsewhere, if any; `progress` is told each height.
///
/// # Errors
/// The first thing that does not hold; see [`AuditError`].
pub fn audit(
    source: &dyn LedgerSource,
    expected: Option<Digest>,
    depth: Depth,
    mut progress: impl FnMut(Height),
) -> Result<AuditReport, AuditError> {
    let wanted = |what: String| move |source| AuditError::Source { what, source };
    let document = source.genesis().map_err(wanted("genesis".into()))?;
    let found = document.digest();
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(AuditError::OtherGenesis { expected, found });
    }
    let last = source.height().map_err(wanted("the last height".into()))?;
    let mut replayer = Replayer::new(&document)?;
    let mut report = AuditReport {
        chain_id: document.chain_id.to_string(),
        genesis: found,
        height: Height(0),
        time: document.time,
        state_root: replayer.state().root(),
        log_size: 0,
        log_root: fedledger_ledger::log::empty_root(),
        transactions: 0,
        decisions: 0,
        recomputed: 0,
        incomplete: Vec::new(),
    };
    let blobs = Blobs(source);
    let blobs = (depth == Depth::Replay).then_some(&blobs as &dyn BlobRead);
    for height in (1..=last.0).map(Height) {
        let (block, certificate) =
            source.block(height).map_err(wanted(format!("block {height}")))?;
        let replayed = replayer.push(&block, &certificate, blobs)?;
        (report.height, report.time) = (replayed.verified.height, replayed.verified.time);
        report.state_root = replayed.verified.app_hash;
        report.transactions += block.body.transactions.len() as u64;
        report.decisions += block.body.decisions.len() as u64;
        report.recomputed += replayed.recomputed.len() as u64;
        report.incomplete.extend(replayed.missing.into_iter().map(|missing| MissingBlob {
            height,
            task: missing.task,
            round: missing.round,
            blob: missing.blob,
        }));
        progress(height);
    }
    let log = StateView::new(replayer.state()).log_frontier();
    (report.log_size, report.log_root) = (log.size(), log.root());
    Ok(report)
}

/// The blobs of a source, as the contract reads them. What cannot be read counts as missing.
struct Blobs<'a>(&'a dyn LedgerSource);

impl BlobRead for Blobs<'_> {
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = self.0.blob(digest).ok().flatten()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }
}
