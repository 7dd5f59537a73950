//! Verifying a ledger as an outsider does: from genesis, trusting nobody who hands it over.
//!
//! Three things are checked at each height. That more than two thirds of the validators decided the
//! block (signatures and hashes alone). That the contract, carried out again, leads to the state
//! root that they decided: so every receipt, verdict's effect and entry follows from what members
//! signed. And, with the blobs at hand, that each decision in the block is, bit for bit, what the
//! contract computes from the updates themselves.

use std::collections::BTreeMap;

use fedledger_contract::block::{apply_block, BlockError, BlockInput};
use fedledger_contract::decide::{decide, BlobRead, DecideError};
use fedledger_contract::genesis::{genesis, GenesisError};
use fedledger_ledger::block::{Block, CommitCertificate};
use fedledger_ledger::decision::Decision;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::log::{LogHead, LOG_HEAD_KEY};
use fedledger_ledger::state::{MemoryState, StateError, StateRead as _};
use fedledger_ledger::verify::{ChainVerifier, VerifyError};
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
    /// Nothing can begin from the genesis document.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// A block or its certificate does not verify.
    #[error(transparent)]
    Chain(#[from] VerifyError),
    /// A block cannot follow the state.
    #[error("block {height}: {source}")]
    Execution {
        /// The height.
        height: Height,
        /// What the contract says.
        source: BlockError,
    },
    /// The state cannot take a block's writes.
    #[error("block {height}: {source}")]
    State {
        /// The height.
        height: Height,
        /// What is wrong.
        source: StateError,
    },
    /// The contract leads to another state than the one that was decided.
    #[error("block {height}: carrying it out leads to state root {found}, it says {expected}")]
    StateRoot {
        /// The height.
        height: Height,
        /// Root in the block's header.
        expected: Digest,
        /// Root computed.
        found: Digest,
    },
    /// A decision is not what the contract computes from the blobs.
    #[error("block {height}: the decision on round {round} of `{task}` is not what follows from the updates: {detail}")]
    Decision {
        /// The height.
        height: Height,
        /// The task.
        task: TaskId,
        /// The round.
        round: RoundNumber,
        /// Where the two differ.
        detail: String,
    },
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
    let mut run = Run::begin(&document, depth)?;
    for height in (1..=last.0).map(Height) {
        let (block, certificate) =
            source.block(height).map_err(wanted(format!("block {height}")))?;
        run.step(source, &block, &certificate)?;
        progress(height);
    }
    Ok(run.report)
}

/// A verification in progress.
struct Run {
    depth: Depth,
    verifier: ChainVerifier,
    state: MemoryState,
    report: AuditReport,
}

impl Run {
    fn begin(document: &Genesis, depth: Depth) -> Result<Self, AuditError> {
        let effects = genesis(document)?;
        let mut state = MemoryState::latest_only();
        let state_root = state
            .apply(0, &effects.writes)
            .map_err(|source| AuditError::State { height: Height(0), source })?;
        let mut report = AuditReport {
            chain_id: document.chain_id.to_string(),
            genesis: document.digest(),
            height: Height(0),
            time: document.time,
            state_root,
            log_size: 0,
            log_root: fedledger_ledger::log::empty_root(),
            transactions: 0,
            decisions: 0,
            recomputed: 0,
            incomplete: Vec::new(),
        };
        note_log(&state, &mut report);
        Ok(Self {
            depth,
            verifier: ChainVerifier::new(document, effects.validators),
            state,
            report,
        })
    }

    fn step(
        &mut self,
        source: &dyn LedgerSource,
        block: &Block,
        certificate: &CommitCertificate,
    ) -> Result<(), AuditError> {
        let height = self.report.height.next();
        let input = BlockInput {
            height: block.header.height,
            time: block.header.time,
            transactions: &block.body.transactions,
            decisions: &block.body.decisions,
        };
        let effects = apply_block(&self.state, &input)
            .map_err(|source| AuditError::Execution { height, source })?;
        // Signatures before what is costly: nobody computes for a block that nobody decided.
        self.verifier.push(block, certificate, &effects.validators)?;
        if self.depth == Depth::Replay {
            for decision in &block.body.decisions {
                self.recompute(source, height, decision)?;
            }
        }
        let found = self
            .state
            .apply(height.0, &effects.writes)
            .map_err(|source| AuditError::State { height, source })?;
        let expected = block.header.app_hash;
        if found != expected {
            return Err(AuditError::StateRoot { height, expected, found });
        }
        self.report.height = height;
        self.report.time = block.header.time;
        self.report.state_root = found;
        self.report.transactions += block.body.transactions.len() as u64;
        self.report.decisions += block.body.decisions.len() as u64;
        note_log(&self.state, &mut self.report);
        Ok(())
    }

    /// Computes a decision again from the state before its block and the blobs.
    fn recompute(
        &mut self,
        source: &dyn LedgerSource,
        height: Height,
        decision: &Decision,
    ) -> Result<(), AuditError> {
        let (task, round) = decision.subject();
        match decide(&self.state, task, &Blobs(source)) {
            Ok(decided) if decided.decision == *decision => {
                self.report.recomputed += 1;
                Ok(())
            }
            Ok(decided) => Err(AuditError::Decision {
                height,
                task: task.clone(),
                round,
                detail: difference(decision, &decided.decision),
            }),
            Err(DecideError::MissingBlob { digest }) => {
                self.report.incomplete.push(MissingBlob {
                    height,
                    task: task.clone(),
                    round,
                    blob: digest,
                });
                Ok(())
            }
            Err(error @ DecideError::NotPending { .. }) => Err(AuditError::Decision {
                height,
                task: task.clone(),
                round,
                detail: error.to_string(),
            }),
        }
    }
}

/// The blobs of a source, as the contract reads them. What cannot be read counts as missing.
struct Blobs<'a>(&'a dyn LedgerSource);

impl BlobRead for Blobs<'_> {
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = self.0.blob(digest).ok().flatten()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }
}

fn note_log(state: &MemoryState, report: &mut AuditReport) {
    let bytes = state.get(LOG_HEAD_KEY).expect("the contract writes the head of the log");
    let head = LogHead::from_bytes(&bytes).expect("the contract writes it canonically");
    report.log_size = head.size();
    report.log_root = head.root();
}

/// Where two decisions differ, for people.
fn difference(recorded: &Decision, computed: &Decision) -> String {
    let (
        Decision::Outcome { result: a, verdicts: recorded_verdicts, .. },
        Decision::Outcome { result: b, verdicts: computed_verdicts, .. },
    ) = (recorded, computed)
    else {
        return format!("recorded {recorded:?}, computed {computed:?}");
    };
    if a != b {
        return format!("recorded {a:?}, computed {b:?}");
    }
    let by_member: BTreeMap<_, _> =
        computed_verdicts.iter().map(|verdict| (&verdict.member, verdict)).collect();
    recorded_verdicts
        .iter()
        .find(|verdict| by_member.get(&verdict.member) != Some(verdict))
        .map_or_else(
            || "the verdicts are not on the same updates".into(),
            |verdict| {
                let other = by_member.get(&verdict.member);
                format!("verdict on `{}`: recorded {verdict:?}, computed {other:?}", verdict.member)
            },
        )
}
