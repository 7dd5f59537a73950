//! What the contract decides about a round. A proposer puts a decision into its block; every
//! validator recomputes it from the same inputs and votes only for the same bits.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::ids::{Digest, MemberId, RoundNumber, TaskId};
use crate::task::AggregationRule;

/// What became of one update.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Verdict {
    /// Entered the aggregation as it was.
    #[n(0)]
    Accept,
    /// Entered scaled down to the norm limit.
    #[n(1)]
    Clip,
    /// Entered with less weight than others.
    #[n(2)]
    DownWeight,
    /// Did not enter.
    #[n(3)]
    Reject,
    /// Did not enter because its member is in quarantine; it was scored all the same.
    #[n(4)]
    Quarantine,
}

/// Why a verdict was given. The numbers beside it say by how much.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Reason {
    /// Nothing was wrong with it.
    #[n(0)]
    Clean,
    /// The rule left it out: too far from the others.
    #[n(1)]
    NotSelected,
    /// Its distance to the aggregate is far above the round's median distance, and it points away
    /// from the aggregate when the task asks for that too.
    #[n(2)]
    Outlier,
    /// Its norm is over the band's upper limit.
    #[n(3)]
    NormTooLarge,
    /// Its norm is under the band's lower limit.
    #[n(4)]
    NormTooSmall,
    /// Its norm was over the clipping limit.
    #[n(5)]
    NormClipped,
    /// The same bytes as another member's update.
    #[n(6)]
    Duplicate,
    /// The blob does not follow the task's schema or the canonical encoding.
    #[n(7)]
    SchemaMismatch,
    /// Committed but not revealed in time.
    #[n(8)]
    NotRevealed,
    /// The member signed two different commitments for the round.
    #[n(9)]
    Equivocation,
    /// The member is in quarantine.
    #[n(10)]
    MemberQuarantined,
    /// The member is on probation.
    #[n(11)]
    MemberOnProbation,
    /// The revealed blob is longer or shorter than was committed.
    #[n(12)]
    LengthMismatch,
    /// The member was suspended before the reveal phase closed.
    #[n(13)]
    MemberSuspended,
    /// The round ended without an aggregate, so nothing is said about this update.
    #[n(14)]
    RoundFailed,
    /// Over several rounds its member left its baseline together with others, in one direction.
    #[n(15)]
    MovedTogether,
    /// Its member is in a cell whose updates the evaluators found harmful over many rounds.
    #[n(16)]
    HarmfulTogether,
    /// The evaluations chose the model without its member's cell. No fault by itself.
    #[n(17)]
    CellLeftOut,
    /// Over several rounds its member's updates changed from one round to the next together with
    /// others', in one direction.
    #[n(18)]
    SwungTogether,
}

/// A named number that went into a verdict.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Measure {
    /// Euclidean norm of the update, in units of its quantum, rounded down.
    #[n(0)]
    Norm,
    /// Reference norm: the median over the latest decided rounds.
    #[n(1)]
    ReferenceNorm,
    /// Euclidean distance to the aggregate, in units of the quantum, rounded down.
    #[n(2)]
    Distance,
    /// Median distance of the round.
    #[n(3)]
    MedianDistance,
    /// The rule's own score of the update (Krum: sum of squared distances, its integer square root).
    #[n(4)]
    RuleScore,
    /// Cosine to the aggregate plus one, in millionths: 0 is opposite, 1,000,000 orthogonal,
    /// 2,000,000 the same direction.
    #[n(5)]
    CosineMicro,
    /// Smallest distance to any other update of the round.
    #[n(6)]
    NearestDistance,
    /// Share of coordinates in which the rule used the update's value, in millionths. Where those on
    /// probation weigh a quarter: three parts of that among the others, one of that among all.
    #[n(7)]
    UsedShareMicro,
    /// How far the member left its baseline more than the median member did, in thousandths of what
    /// noise does; 0 when less.
    #[n(8)]
    LeadMilli,
    /// The member's bond with those closest to it, in thousandths of the spread of all bonds; 0
    /// when it is under the median bond.
    #[n(9)]
    BondMilli,
    /// Rounds in a row in which the member was in a cell.
    #[n(10)]
    RoundsInCell,
    /// By how much the suspected cell raises the loss, as the evaluators outside of it measured, in
    /// millionths; 0 when it does not. See `fedledger_contract::evaluation`.
    #[n(11)]
    HarmMicro,
    /// How many of these evaluators measured harm.
    #[n(12)]
    HarmAgreeing,
    /// How many evaluators there were.
    #[n(13)]
    HarmEvaluators,
    /// What the harm of the cells that the member was in has added up to over the rounds, in
    /// thousandths of the spread among evaluators.
    #[n(14)]
    HarmSumMilli,
    /// By how much the return of the members in quarantine would raise the loss, in millionths of
    /// it: the mean of what was measured since this one is there; 0 when it would not. See
    /// `fedledger_contract::evaluation`.
    #[n(15)]
    ReturnHarmMicro,
    /// In how many rounds that was measured.
    #[n(16)]
    ReturnRounds,
    /// Mean correlation of the changes in what the member sends with those of the members closest to
    /// it, in thousandths.
    #[n(17)]
    SwingCorrelationMilli,
    /// Root mean square of the changes that it has in common with them, in thousandths of a median
    /// deviation.
    #[n(18)]
    SwingAmplitudeMilli,
    /// Rounds in a row in which that was over the task's limits.
    #[n(19)]
    RoundsSwinging,
    /// Rounds until the member has a new baseline after a notice that its data change, as long as it does
    /// not move together with others. For as long as it does it is held on probation.
    #[n(20)]
    ExcusedRounds,
}

/// The class on which something raises the loss most, as evaluators measured it; how it is found says
/// `fedledger_contract::evaluation`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct HarmedClass {
    /// Its name in the task.
    #[n(0)]
    pub class: String,
    /// By how much, in millionths of the unit that whoever holds this says.
    #[n(1)]
    pub harm_micro: u64,
    /// How many evaluators measured that the loss on it rises.
    #[n(2)]
    pub agreeing: u32,
    /// How many evaluators hold examples of it.
    #[n(3)]
    pub evaluators: u32,
}

/// The verdict on one update with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct UpdateVerdict {
    /// Whose update.
    #[n(0)]
    pub member: MemberId,
    /// Digest of the update; none when its commitment was never opened.
    #[n(1)]
    pub update: Option<Digest>,
    /// The verdict.
    #[n(2)]
    pub verdict: Verdict,
    /// Its reason.
    #[n(3)]
    pub reason: Reason,
    /// The value that was compared, in the unit of the reason (a ratio in thousandths, a count).
    #[n(4)]
    pub value: u64,
    /// The threshold it was compared with, in the same unit.
    #[n(5)]
    pub threshold: u64,
    /// Weight with which the update entered, in millionths of the whole; 0 when it did not.
    #[n(6)]
    pub weight_micro: u32,
    /// Whether this round counts against the member's trust.
    #[n(7)]
    pub strike: bool,
    /// What was measured, ordered by measure.
    #[n(8)]
    pub measures: Vec<(Measure, u64)>,
    /// With whom the member moved together, closest first, when that is the reason.
    #[n(9)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together_with: Option<Vec<MemberId>>,
    /// The class on which the suspected cell that the member is in raises the loss most in this
    /// round, in millionths; none when no class is found harmed or nobody asked.
    #[n(10)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harmed_class: Option<HarmedClass>,
    /// The class on which the member's return from quarantine would raise the loss most in this
    /// round, in millionths of that loss; none likewise.
    #[n(11)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_harmed_class: Option<HarmedClass>,
}

/// What a round adds to the history of one member: its update's deviation from the round's centre,
/// projected and scaled; `fedledger_contract::history` says how.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Deviation {
    /// Whose update.
    #[n(0)]
    pub member: MemberId,
    /// Signed 16-bit values, little-endian; 4096 stands for the round's median deviation.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    #[serde(with = "hex_bytes")]
    pub sketch: Vec<u8>,
}

/// Sketches in text are hexadecimal.
pub mod hex_bytes {
    use serde::{de::Error as _, Deserialize, Deserializer, Serializer};

    /// Writes bytes as hexadecimal digits.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// When the text is not pairs of hexadecimal digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map_err(D::Error::custom)
    }
}

/// Why a round ended without a new model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum RoundFailure {
    /// Fewer commitments than `updates_min` when the commit window closed.
    #[n(0)]
    TooFewCommitments,
    /// Fewer admitted updates than `updates_min`, or than the rule needs, when the reveal window
    /// closed.
    #[n(1)]
    TooFewUpdates,
    /// No decision was agreed on within the decide window.
    #[n(2)]
    NotDecided,
    /// The new model would leave the range that a canonical model can hold.
    #[n(3)]
    ModelOutOfRange,
    /// More members than the task's f would be quarantined: the assumption under which the rule
    /// holds is broken, and the task is frozen at its last model.
    #[n(4)]
    TooManySuspects,
    /// The bytes under the base model's digest are not a canonical model of this task.
    #[n(5)]
    BaseModelInvalid,
    /// The consortium voted to take the task back to an earlier model.
    #[n(6)]
    RolledBack,
}

/// One candidate aggregate that evaluators may score.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Candidate {
    /// The rule that made it.
    #[n(0)]
    pub rule: AggregationRule,
    /// Digest of the canonical aggregate.
    #[n(1)]
    pub aggregate: Digest,
    /// Digest of the model that would follow.
    #[n(2)]
    pub model: Digest,
    /// The suspected cell whose updates were left out of it, by member id; absent where everybody's
    /// entered.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<Vec<MemberId>>,
    /// The members in quarantine whose updates were mixed into it, by member id, so that evaluators
    /// measure what their return would do. It is scored like the others and never chosen.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Vec<MemberId>>,
}

/// The model that a round leads to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OutcomeResult {
    /// A new model.
    #[n(0)]
    Aggregated {
        /// What was aggregated, and how.
        #[n(0)]
        chosen: Candidate,
        /// Digest of the model that the updates were trained from.
        #[n(1)]
        base_model: Digest,
    },
    /// No new model; the next round starts from the same one.
    #[n(1)]
    Failed {
        /// Why.
        #[n(0)]
        failure: RoundFailure,
    },
}

/// A decision about one round of one task.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decision {
    /// The candidates that evaluators are to score.
    #[n(0)]
    Candidates {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// The candidates, the task's own rule first.
        #[n(2)]
        candidates: Vec<Candidate>,
    },
    /// The outcome of the round.
    #[n(1)]
    Outcome {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// New model or none.
        #[n(2)]
        result: OutcomeResult,
        /// One verdict for each commitment, by member id.
        #[n(3)]
        verdicts: Vec<UpdateVerdict>,
        /// What the round adds to the histories, by member id; none when the task keeps none or
        /// nothing could be measured.
        #[n(4)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deviations: Option<Vec<Deviation>>,
    },
}

impl Decision {
    /// The task and round that it is about.
    pub fn subject(&self) -> (&TaskId, RoundNumber) {
        match self {
            Self::Candidates { task, round, .. } | Self::Outcome { task, round, .. } => {
                (task, *round)
            }
        }
    }
}
