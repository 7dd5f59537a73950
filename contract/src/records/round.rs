//! Records about the open round of a task.

use fedledger_ledger::decision::Candidate;
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TimeMs};
use fedledger_ledger::transaction::{CandidateScore, ClassLoss};
use minicbor::{Decode, Encode};
use serde::Serialize;

use super::TrustRecord;

/// The open round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct RoundRecord {
    /// Its number.
    #[n(0)]
    pub round: RoundNumber,
    /// The phase it is in.
    #[n(1)]
    pub phase: Phase,
    /// When it opened for commitments.
    #[n(2)]
    pub opened: TimeMs,
    /// When the phase it is in ends at the latest.
    #[n(3)]
    pub deadline: TimeMs,
    /// The model that the updates are trained from.
    #[n(4)]
    pub base_model: Digest,
    /// Number of commitments.
    #[n(5)]
    pub commitments: u32,
    /// Number of reveals.
    #[n(6)]
    pub reveals: u32,
    /// Number of evaluations.
    #[n(7)]
    pub evaluations: u32,
    /// One line for each commitment, by member id, written when the reveal phase closes: what the
    /// decision rests on cannot change while it is computed.
    #[n(8)]
    pub roster: Vec<RosterLine>,
    /// Number of active members that are in quarantine and made no commitment, written with the
    /// roster.
    #[n(9)]
    pub quarantined_absent: u32,
    /// The candidates that are being scored, the task's own rule first.
    #[n(10)]
    pub candidates: Vec<Candidate>,
    /// Which of them the evaluations chose, from 0, once they are closed.
    #[n(11)]
    pub chosen: Option<u32>,
    /// The earlier round whose updates it decides again, when it does.
    #[n(12)]
    pub replays: Option<RoundNumber>,
    /// What the evaluations say of the suspected cell, once they are closed and when they are enough.
    #[n(13)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<HarmRecord>,
    /// What they say of the return of members in quarantine, likewise.
    #[n(14)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning: Option<ReturnRecord>,
}

/// What the evaluators outside of a suspected cell measured of it in one round; definitions in
/// [`crate::evaluation`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct HarmRecord {
    /// The cell, by member id.
    #[n(0)]
    pub cell: Vec<MemberId>,
    /// By how much it raises the loss, in millionths; negative where it helps.
    #[n(1)]
    pub harm_micro: i64,
    /// That in thousandths of the spread among the evaluators, limited both ways.
    #[n(2)]
    pub score_milli: i64,
    /// How many of the evaluators measured harm.
    #[n(3)]
    pub agreeing: u32,
    /// How many there were.
    #[n(4)]
    pub evaluators: u32,
    /// The same on each class of the task, in its order; none where it asks for none.
    #[n(5)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassHarm>,
}

/// What evaluators measured of a cell, or of a return, on the rows of one class: evidence, and no part
/// of any decision. Definitions in [`crate::evaluation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct ClassHarm {
    /// By how much the loss on this class rises, in the unit of the record that holds this, without a
    /// limit; 0 where too few evaluators hold examples of it.
    #[n(0)]
    pub harm_micro: i64,
    /// How many of the evaluators measured that it rises.
    #[n(1)]
    pub agreeing: u32,
    /// How many evaluators hold examples of it.
    #[n(2)]
    pub evaluators: u32,
}

/// What the evaluators measured in one round of the return of members in quarantine; definitions in
/// [`crate::evaluation`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct ReturnRecord {
    /// These members, by id.
    #[n(0)]
    pub cell: Vec<MemberId>,
    /// By how much their updates raise the loss, in millionths of it; negative where they lower it.
    /// Limited both ways.
    #[n(1)]
    pub harm_micro: i64,
    /// How many evaluators there were.
    #[n(2)]
    pub evaluators: u32,
    /// The same on each class of the task, in its order, in millionths of the loss on that class; none
    /// where it asks for none.
    #[n(3)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassHarm>,
}

/// What the decision of a round that led to a model rested on, kept for
/// [`ROUNDS_KEPT_MAX`](fedledger_ledger::limits::ROUNDS_KEPT_MAX) rounds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct PastRound {
    /// The model that the updates were added to.
    #[n(0)]
    pub base_model: Digest,
    /// The aggregate.
    #[n(1)]
    pub aggregate: Digest,
    /// The model that followed.
    #[n(2)]
    pub model: Digest,
    /// Median norm of the admitted updates.
    #[n(3)]
    pub norm: Option<u64>,
    /// How many of the task's rounds were over with it; not counting those that were rolled back.
    #[n(4)]
    pub counted: u64,
    /// The commitments, by member id.
    #[n(5)]
    pub roster: Vec<RosterLine>,
}

/// The rounds that are still to be decided again after a vote to roll back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct ReplayPlan {
    /// Their numbers, in order; never empty.
    #[n(0)]
    pub rounds: Vec<RoundNumber>,
    /// Whose updates the vote leaves out.
    #[n(1)]
    pub without: Vec<MemberId>,
}

/// One member's commitment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct CommitmentRecord {
    /// The round it is for.
    #[n(0)]
    pub round: RoundNumber,
    /// The commitment to the update.
    #[n(1)]
    pub commitment: Digest,
    /// Digest of the transaction that committed.
    #[n(2)]
    pub transaction: Digest,
    /// Position of that transaction in the log.
    #[n(3)]
    pub log_index: u64,
    /// Number of examples trained on, as declared.
    #[n(4)]
    pub num_examples: u64,
    /// Length of the update in bytes, as declared.
    #[n(5)]
    pub byte_length: u64,
    /// Digest of the update, once the commitment was opened.
    #[n(6)]
    pub update: Option<Digest>,
    /// Digest of the transaction with which the member contradicted itself, if it did.
    #[n(7)]
    pub contradiction: Option<Digest>,
}

/// Why an update takes no part in its round, whatever its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Exclusion {
    /// It was not revealed in time.
    #[n(0)]
    NotRevealed,
    /// The member made another commitment too.
    #[n(1)]
    Equivocation,
    /// The member was suspended.
    #[n(2)]
    Suspended,
}

/// What the decision of a round knows about one commitment, apart from the bytes of the update.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct RosterLine {
    /// Whose it is.
    #[n(0)]
    pub member: MemberId,
    /// Digest of the update, if the commitment was opened.
    #[n(1)]
    pub update: Option<Digest>,
    /// Position of the commitment in the log.
    #[n(2)]
    pub log_index: u64,
    /// Number of examples trained on, as declared.
    #[n(3)]
    pub num_examples: u64,
    /// Length of the update in bytes, as declared.
    #[n(4)]
    pub byte_length: u64,
    /// Why it takes no part, if it does not.
    #[n(5)]
    pub exclusion: Option<Exclusion>,
    /// The member's trust in this task when the reveal phase closed.
    #[n(6)]
    pub trust: TrustRecord,
}

/// One member's scores of the candidates.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct EvaluationRecord {
    /// The round it is for.
    #[n(0)]
    pub round: RoundNumber,
    /// Loss of each candidate in millionths, in the order of the candidates.
    #[n(1)]
    pub losses_micro: Vec<u64>,
    /// Number of held-out examples for each candidate.
    #[n(2)]
    pub num_examples: Vec<u64>,
    /// Digest of the transaction.
    #[n(3)]
    pub transaction: Digest,
    /// For each candidate the losses by class, in the task's order; none where it asks for none.
    #[n(4)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Vec<ClassLoss>>,
}

impl EvaluationRecord {
    /// The record of scores that were checked.
    pub fn of(round: RoundNumber, scores: &[CandidateScore], transaction: Digest) -> Self {
        let by_class = scores.iter().map(|score| score.classes.clone());
        Self {
            round,
            losses_micro: scores.iter().map(|score| score.loss_micro).collect(),
            num_examples: scores.iter().map(|score| score.num_examples).collect(),
            transaction,
            classes: by_class.filter(|classes| !classes.is_empty()).collect(),
        }
    }

    /// The scores of these candidates.
    pub fn scores(&self, candidates: &[Candidate]) -> Vec<CandidateScore> {
        let told = candidates.iter().zip(&self.losses_micro).zip(&self.num_examples).enumerate();
        told.map(|(at, ((candidate, &loss_micro), &num_examples))| CandidateScore {
            candidate: candidate.model,
            loss_micro,
            num_examples,
            classes: self.classes.get(at).cloned().unwrap_or_default(),
        })
        .collect()
    }
}
