//! Entries: what the ledger keeps for ever, one leaf of the log each.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec::{from_canonical, to_canonical, CodecError};
use crate::decision::{Candidate, OutcomeResult, UpdateVerdict};
use crate::governance::Change;
use crate::ids::{ChainId, Digest, Height, MemberId, RoundNumber, TaskId, TimeMs};
use crate::limits::ENTRY_BYTES_MAX;
use crate::transaction::Transaction;

/// Why the contract refused a transaction that was well-formed, signed and in sequence.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Rejection {
    /// No such task.
    #[n(0)]
    UnknownTask,
    /// The task has ended or is frozen.
    #[n(1)]
    TaskNotRunning,
    /// Another round is open.
    #[n(2)]
    WrongRound {
        /// The round that is open.
        #[n(0)]
        expected: RoundNumber,
    },
    /// The round is in another phase.
    #[n(3)]
    WrongPhase {
        /// The phase the round is in.
        #[n(0)]
        phase: Phase,
    },
    /// The update was trained from another model.
    #[n(4)]
    WrongBaseModel {
        /// The round's base model.
        #[n(0)]
        expected: Digest,
    },
    /// The canonical update of this task has another length.
    #[n(5)]
    WrongLength {
        /// Length of this task's canonical updates in bytes.
        #[n(0)]
        expected: u64,
    },
    /// `num_examples` is zero or over the limit.
    #[n(6)]
    NumExamplesOutOfRange {
        /// Largest number allowed.
        #[n(0)]
        max: u64,
    },
    /// The member made this very commitment already.
    #[n(7)]
    AlreadyCommitted,
    /// The member made another commitment in this round: both are recorded as equivocation.
    #[n(8)]
    Equivocation {
        /// The commitment that came first.
        #[n(0)]
        committed: Digest,
    },
    /// The member made no commitment in this round.
    #[n(9)]
    NotCommitted,
    /// The update is revealed already.
    #[n(10)]
    AlreadyRevealed,
    /// The scores are not one for each candidate in order.
    #[n(11)]
    WrongCandidates,
    /// The member has already submitted its evaluation.
    #[n(12)]
    AlreadyEvaluated,
    /// The member is suspended.
    #[n(13)]
    MemberSuspended,
    /// The change cannot be made; the text says what is wrong with it.
    #[n(14)]
    InvalidChange {
        /// What is wrong and what is allowed.
        #[n(0)]
        detail: String,
    },
    /// No such change is up for approval.
    #[n(15)]
    UnknownChange,
    /// The member has approved this change already.
    #[n(16)]
    AlreadyApproved,
    /// The change is up for approval already.
    #[n(17)]
    AlreadyProposed,
    /// A score's loss is over the limit.
    #[n(18)]
    LossOutOfRange {
        /// Largest loss allowed, in millionths.
        #[n(0)]
        max: u64,
    },
    /// Update and salt do not open the member's commitment in this round.
    #[n(19)]
    WrongOpening {
        /// The commitment that is to be opened.
        #[n(0)]
        committed: Digest,
    },
    /// The task remembers nothing of its members, so there is nothing to begin anew.
    #[n(20)]
    NoHistory,
    /// The member is in quarantine, which only clean rounds or a vote end.
    #[n(21)]
    InQuarantine,
    /// The member announced a change of its data not long ago.
    #[n(22)]
    AnnouncedTooSoon {
        /// The first round in which it may do so again.
        #[n(0)]
        from: RoundNumber,
    },
    /// A text is longer than is allowed.
    #[n(23)]
    TextTooLong {
        /// Greatest length in bytes.
        #[n(0)]
        max: u64,
    },
    /// A score has not one loss for each class of the task.
    #[n(24)]
    WrongClasses {
        /// Number of the task's classes; 0 where it asks for none.
        #[n(0)]
        expected: u64,
    },
    /// The examples of a score's classes do not add up to its `num_examples`.
    #[n(25)]
    ClassExamplesSum {
        /// The score's `num_examples`.
        #[n(0)]
        num_examples: u64,
    },
    /// A score has a loss on a class of which it has no example.
    #[n(26)]
    ClassWithoutExamples {
        /// The class.
        #[n(0)]
        class: String,
    },
    /// The number of examples of a class is not the same for each candidate.
    #[n(27)]
    ClassExamplesDiffer {
        /// The class.
        #[n(0)]
        class: String,
    },
}

/// What became of a transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Receipt {
    /// It did what it says.
    #[n(0)]
    Accepted,
    /// It did nothing but use up its nonce.
    #[n(1)]
    Refused {
        /// Why.
        #[n(0)]
        rejection: Rejection,
    },
}

/// The phase of a round.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Phase {
    /// Members commit to updates that nobody else may see yet.
    #[n(0)]
    Commit,
    /// Members open their commitments and publish the updates.
    #[n(1)]
    Reveal,
    /// The candidates are being computed for evaluation.
    #[n(2)]
    Propose,
    /// Members score the candidates.
    #[n(3)]
    Evaluate,
    /// The outcome is being computed.
    #[n(4)]
    Decide,
}

/// A member's standing in one task.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Standing {
    /// Full weight.
    #[n(0)]
    Active,
    /// A quarter of the weight, with rules that weigh.
    #[n(1)]
    Probation,
    /// No weight; still scored.
    #[n(2)]
    Quarantine,
}

/// Why trust moved.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum TrustCause {
    /// A round without a strike.
    #[n(0)]
    CleanRound,
    /// A strike in the round's verdict.
    #[n(1)]
    Strike,
    /// Proof of equivocation.
    #[n(2)]
    Equivocation,
    /// Strikes in a row reached the task's limit.
    #[n(3)]
    StrikesInARow,
    /// Clean rounds in a row reached the task's number.
    #[n(4)]
    Returned,
    /// Released by vote.
    #[n(5)]
    Released,
    /// Probation ended.
    #[n(6)]
    ProbationEnded,
    /// The members' histories show that it moved together with others.
    #[n(7)]
    MovedTogether,
    /// The evaluators found the cell that it is in harmful over many rounds.
    #[n(8)]
    HarmfulTogether,
    /// It announced a change of its data.
    #[n(9)]
    DataChanged,
    /// The members' histories show that it changed from round to round together with others.
    #[n(10)]
    SwungTogether,
}

/// What an entry records.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EntryBody {
    /// The chain begins.
    #[n(0)]
    Genesis {
        /// Digest of the canonical genesis document.
        #[n(0)]
        genesis: Digest,
    },
    /// A transaction with its receipt.
    #[n(1)]
    Transaction {
        /// The transaction, whole.
        #[n(0)]
        transaction: Transaction,
        /// What became of it.
        #[n(1)]
        receipt: Receipt,
    },
    /// A round opened for commitments.
    #[n(2)]
    RoundOpened {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// The model to train from.
        #[n(2)]
        base_model: Digest,
        /// When the commit window closes at the latest.
        #[n(3)]
        commit_deadline: TimeMs,
    },
    /// A round moved to another phase.
    #[n(3)]
    RoundAdvanced {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// The phase it is in now.
        #[n(2)]
        phase: Phase,
        /// When this phase ends at the latest.
        #[n(3)]
        deadline: TimeMs,
        /// Commitments so far.
        #[n(4)]
        commitments: u32,
        /// Reveals so far.
        #[n(5)]
        reveals: u32,
    },
    /// The candidates that are up for evaluation.
    #[n(4)]
    CandidatesListed {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// The candidates.
        #[n(2)]
        candidates: Vec<Candidate>,
    },
    /// The verdict on one update.
    #[n(5)]
    UpdateVerdict {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// The verdict.
        #[n(2)]
        verdict: UpdateVerdict,
    },
    /// The round ended.
    #[n(6)]
    RoundOutcome {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// New model or none.
        #[n(2)]
        result: OutcomeResult,
    },
    /// A member's trust or standing moved.
    #[n(7)]
    TrustChanged {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round after which it moved.
        #[n(1)]
        round: RoundNumber,
        /// The member.
        #[n(2)]
        member: MemberId,
        /// Trust before, in millionths.
        #[n(3)]
        old_micro: u32,
        /// Trust after, in millionths.
        #[n(4)]
        new_micro: u32,
        /// Standing before.
        #[n(5)]
        old_standing: Standing,
        /// Standing after.
        #[n(6)]
        new_standing: Standing,
        /// Why.
        #[n(7)]
        cause: TrustCause,
    },
    /// An approved change took effect.
    #[n(8)]
    ChangeApplied {
        /// The change.
        #[n(0)]
        change: Change,
        /// Its digest.
        #[n(1)]
        digest: Digest,
        /// Who approved, by id.
        #[n(2)]
        approvals: Vec<MemberId>,
    },
    /// A member signed two different commitments for one round. Both transactions are in the log.
    #[n(9)]
    EquivocationProved {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// The member.
        #[n(2)]
        member: MemberId,
        /// Digest of the transaction that committed first.
        #[n(3)]
        first: Digest,
        /// Digest of the transaction that contradicts it.
        #[n(4)]
        second: Digest,
    },
    /// A task came to its end.
    #[n(10)]
    TaskEnded {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The last model.
        #[n(1)]
        model: Digest,
        /// Whether it was frozen because its assumption on f broke, rather than completed.
        #[n(2)]
        frozen: bool,
    },
    /// A change was dropped: it was not approved in time, or could not be made any more at the end
    /// of the block that approved it, because another change of that block came first.
    #[n(11)]
    ChangeDropped {
        /// Digest of the change.
        #[n(0)]
        digest: Digest,
        /// What is wrong with it now.
        #[n(1)]
        detail: String,
    },
    /// The round that just opened decides the updates of an earlier one again, by a vote to roll
    /// the task back.
    #[n(12)]
    RoundReplayed {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round that opened.
        #[n(1)]
        round: RoundNumber,
        /// The round whose updates it decides.
        #[n(2)]
        of: RoundNumber,
        /// The members whose updates of that round are left out, by id.
        #[n(3)]
        without: Vec<MemberId>,
    },
}

/// One leaf of the log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Entry {
    /// Version of this layout: [`Entry::VERSION`].
    #[n(0)]
    pub version: u8,
    /// The ledger it belongs to.
    #[n(1)]
    pub chain_id: ChainId,
    /// The block that made it; 0 for genesis.
    #[n(2)]
    pub height: Height,
    /// Its position among the entries of that block.
    #[n(3)]
    pub index: u32,
    /// The block's time.
    #[n(4)]
    pub time: TimeMs,
    /// What it records.
    #[n(5)]
    pub body: EntryBody,
}

impl Entry {
    /// The version of the layout that this code writes.
    pub const VERSION: u8 = 1;

    /// The canonical bytes: the leaf's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads an entry from its canonical bytes.
    ///
    /// # Errors
    /// When the bytes are too long, malformed or not canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical("entry", bytes, ENTRY_BYTES_MAX)
    }
}
