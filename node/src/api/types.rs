//! What passes between the running node and whoever asks it: the HTTP handlers, the command line
//! and other programs. The JSON form of these types is part of the API under `/v1`.

mod refusal;

use fedledger_ledger::decision::{OutcomeResult, UpdateVerdict};
use fedledger_ledger::entry::{Entry, Phase, Receipt, Standing};
use fedledger_ledger::governance::{Change, MemberSpec};
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::task::TaskSpec;
use fedledger_ledger::transaction::{CandidateScore, TrainingClaims};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::files::NamedTensor;

pub use refusal::{describe_rejection, phase_word, SubmitError};

/// What one node knows about itself and the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// The ledger's name.
    #[schema(value_type = String, example = "heart-2026")]
    pub chain_id: ChainId,
    /// The institution that runs this node; absent on a node that only follows.
    #[schema(value_type = Option<String>)]
    pub member: Option<MemberId>,
    /// Height of the last decided block; 0 before the first.
    #[schema(value_type = u64)]
    pub height: Height,
    /// That block's time, in milliseconds since 1970 (UTC).
    #[schema(value_type = u64)]
    pub tip_time: TimeMs,
    /// Its block id; absent at height 0.
    #[schema(value_type = Option<String>)]
    pub block_id: Option<Digest>,
    /// Root of the state tree (`app_hash`) after it.
    #[schema(value_type = String)]
    pub state_root: Digest,
    /// Number of entries in the log.
    pub log_size: u64,
    /// RFC 9162 root of the log.
    #[schema(value_type = String)]
    pub log_root: Digest,
    /// The other members' nodes, in order of member id.
    pub peers: Vec<PeerStatus>,
    /// Number of validators.
    pub validators: usize,
    /// f: how many of them may be Byzantine at once.
    pub byzantine_tolerated: usize,
    /// What these numbers promise, in a sentence for people.
    pub guarantee: String,
    /// Whether the node is still fetching blocks that others have.
    pub syncing: bool,
    /// Whether the node signs consensus votes. It does not while it cannot rule out that it signed
    /// something else before.
    pub signing: bool,
    /// What its member's evaluations are at.
    #[serde(default)]
    pub evaluation: EvaluationStatus,
}

/// What a member's evaluations are at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct EvaluationStatus {
    /// Program and arguments that the node runs to score candidates; empty when it runs none.
    pub command: Vec<String>,
    /// The rounds that wait for this member's scores, by task.
    pub due: Vec<EvaluationDue>,
    /// How the last run of that program went, by task.
    pub runs: Vec<EvaluatorRun>,
}

/// A round that waits for this member's scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationDue {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// The round.
    #[schema(value_type = u64)]
    pub round: RoundNumber,
    /// When it stops waiting, in milliseconds since 1970 (UTC).
    #[schema(value_type = u64)]
    pub deadline: TimeMs,
}

/// How a run of the evaluator went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvaluatorRun {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// The round.
    #[schema(value_type = u64)]
    pub round: RoundNumber,
    /// How often it was run for this round so far.
    pub runs: u32,
    /// Where the last of them is.
    pub state: EvaluatorState,
    /// Why it came to nothing, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Where a run of the evaluator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatorState {
    /// It runs.
    Running,
    /// Its scores were signed.
    Scored,
    /// It came to nothing, and is run again when its time has come.
    Failed,
    /// It was stopped: the round no longer waits for this member.
    Stopped,
}

impl EvaluatorState {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Scored => "scored",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// Another member's node, as seen from this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerStatus {
    /// The member.
    #[schema(value_type = String)]
    pub member: MemberId,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// Whether a connection is open.
    pub connected: bool,
    /// Address of the open connection, or of the last one.
    pub address: Option<String>,
    /// Height that it last announced.
    #[schema(value_type = Option<u64>)]
    pub height: Option<Height>,
}

/// An update that a trainer hands to its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitUpdate {
    /// The task.
    pub task: TaskId,
    /// The round; the one that is open when absent.
    pub round: Option<RoundNumber>,
    /// The tensors of the update: new weights minus base model.
    pub tensors: Vec<NamedTensor>,
    /// Number of examples trained on.
    pub num_examples: u64,
    /// Training claims, if any.
    pub claims: Option<TrainingClaims>,
    /// Digest of an attestation document, if any.
    pub attestation: Option<Digest>,
}

/// What a node answers once the signed commitment to an update is durable and on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmittedUpdate {
    /// Digest of the `CommitUpdate` transaction.
    #[schema(value_type = String)]
    pub transaction: Digest,
    /// Digest of the canonical update. Nobody else knows it before the reveal phase.
    #[schema(value_type = String)]
    pub update: Digest,
    /// What the ledger holds of it until then.
    #[schema(value_type = String)]
    pub commitment: Digest,
    /// The round it was committed to.
    #[schema(value_type = u64)]
    pub round: RoundNumber,
}

/// What has become of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TransactionStatus {
    /// This node holds it and offers it to proposers; no block has it yet.
    Pending,
    /// A decided block has it.
    Included {
        /// The block.
        #[schema(value_type = u64)]
        height: Height,
        /// Index of its entry in the log.
        index: u64,
        /// What the contract made of it.
        #[schema(value_type = Object)]
        receipt: Receipt,
    },
    /// This node has never seen it, or has dropped it.
    Unknown,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// Stable code for programs, in `snake_case`.
    #[schema(example = "bad_update")]
    pub code: String,
    /// What was wrong, where, and what was expected, for people.
    pub message: String,
    /// The field, tensor or parameter at fault, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// One member with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// As it was admitted, with its present keys.
    #[schema(value_type = Object)]
    pub member: MemberSpec,
    /// Whether it may vote and submit.
    pub active: bool,
    /// Nonce of its last transaction, 0 before the first: also how many the ledger holds.
    pub transactions: u64,
    /// Its trust in each task, in order of task id.
    pub trust: Vec<TrustView>,
}

/// A member's trust in one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustView {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Trust in millionths, 0 to 1,000,000.
    pub trust_micro: u32,
    /// Its standing.
    #[schema(value_type = String)]
    pub standing: Standing,
}

/// One task with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// The definition, as approved.
    #[schema(value_type = Object)]
    pub task: TaskSpec,
    /// Number of parameters over all tensors.
    pub parameters: u64,
    /// `running`, `completed` or `frozen`.
    #[schema(example = "running")]
    pub status: String,
    /// The open round, or the last one when the task has ended.
    #[schema(value_type = u64)]
    pub round: RoundNumber,
    /// Phase of the open round; absent when the task has ended.
    #[schema(value_type = Option<String>)]
    pub phase: Option<Phase>,
    /// When that phase ends at the latest, in milliseconds since 1970 (UTC).
    #[schema(value_type = Option<u64>)]
    pub deadline: Option<TimeMs>,
    /// Digest of the latest model, which the next update is trained from.
    #[schema(value_type = String)]
    pub model: Digest,
    /// The number of its last round: the task's rounds, and those added by going back.
    #[serde(default)]
    pub last_round: u64,
}

/// One round of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoundView {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// The round.
    #[schema(value_type = u64)]
    pub round: RoundNumber,
    /// `commit`, `reveal`, `propose`, `evaluate`, `decide`, or `ended`.
    #[schema(example = "ended")]
    pub phase: String,
    /// The model that its updates are trained from.
    #[schema(value_type = String)]
    pub base_model: Digest,
    /// When the present phase ends at the latest; absent once ended.
    #[schema(value_type = Option<u64>)]
    pub deadline: Option<TimeMs>,
    /// What was committed, in order of member id.
    pub updates: Vec<UpdateView>,
    /// The candidates up for evaluation, when the task has that phase.
    #[schema(value_type = Vec<Object>)]
    pub candidates: Vec<fedledger_ledger::decision::Candidate>,
    /// The members' scores of them, in order of member id.
    #[serde(default)]
    pub evaluations: Vec<EvaluationView>,
    /// How it ended; absent while it runs.
    #[schema(value_type = Option<Object>)]
    pub result: Option<OutcomeResult>,
    /// Which round's updates it decides again, when the task was taken back; then nobody commits to
    /// anything, and `updates` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayView>,
}

/// One member's scores of a round's candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationView {
    /// Whose.
    #[schema(value_type = String)]
    pub member: MemberId,
    /// One for each candidate, in their order.
    #[schema(value_type = Vec<Object>)]
    pub scores: Vec<CandidateScore>,
}

/// A round that decides an earlier one's updates again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayView {
    /// The earlier round.
    #[schema(value_type = u64)]
    pub of: RoundNumber,
    /// The members whose updates are left out.
    #[schema(value_type = Vec<String>)]
    pub without: Vec<MemberId>,
    /// What became of the other updates, in order of member id, once the round has ended.
    #[schema(value_type = Vec<Object>)]
    pub verdicts: Vec<UpdateVerdict>,
}

/// One update of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateView {
    /// Whose.
    #[schema(value_type = String)]
    pub member: MemberId,
    /// What its member committed to.
    #[schema(value_type = String)]
    pub commitment: Digest,
    /// Its digest, once it has been revealed.
    #[schema(value_type = Option<String>)]
    pub update: Option<Digest>,
    /// Number of examples as declared.
    pub num_examples: u64,
    /// Whether it has been revealed.
    pub revealed: bool,
    /// The verdict, once the round has ended.
    #[schema(value_type = Option<Object>)]
    pub verdict: Option<UpdateVerdict>,
}

/// A change that is up for approval or was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// Its digest, by which it is approved.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// The change.
    #[schema(value_type = Object)]
    pub change: Change,
    /// Who approved it so far, by member id.
    #[schema(value_type = Vec<String>)]
    pub approvals: Vec<MemberId>,
    /// Approvals that make it take effect.
    pub needed: usize,
}

/// One entry of the log with its place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryView {
    /// Index of the leaf, from 0.
    pub leaf_index: u64,
    /// The entry.
    #[schema(value_type = Object)]
    pub entry: Entry,
}

/// A page of entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntriesPage {
    /// The entries, in order.
    pub entries: Vec<EntryView>,
    /// Where the next page starts; absent when this one reaches the end of the log.
    pub next: Option<u64>,
    /// Number of entries in the log when the page was made.
    pub tree_size: u64,
}

/// One entry with the proof that the log holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProvedEntry {
    /// Index of the leaf, from 0.
    pub leaf_index: u64,
    /// The canonical bytes of the entry, hexadecimal: the leaf's content.
    pub bytes: String,
    /// The same, decoded.
    #[schema(value_type = Object)]
    pub entry: Entry,
    /// Number of entries in the tree that the proof is for.
    pub tree_size: u64,
    /// Root of that tree (RFC 9162, SHA-256).
    #[schema(value_type = String)]
    pub root_hash: Digest,
    /// The inclusion proof: sibling hashes, hexadecimal, from the leaf upwards.
    pub inclusion_proof: Vec<String>,
}

/// One decided block in bytes, as an auditor verifies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// Its height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Its block id.
    #[schema(value_type = String)]
    pub block_id: Digest,
    /// Its time, in milliseconds since 1970 (UTC).
    #[schema(value_type = u64)]
    pub time: TimeMs,
    /// The header, canonical CBOR, hexadecimal: the fields of the CometBFT header whose hash the
    /// block id is.
    pub header: String,
    /// The commit certificate, hexadecimal.
    pub certificate: String,
    /// The body, canonical CBOR, hexadecimal.
    pub body: String,
}

/// The value of one state key, or its absence, with an ICS23 proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateView {
    /// The key, hexadecimal.
    pub key: String,
    /// The value, hexadecimal; absent when the state has no such key.
    pub value: Option<String>,
    /// The height whose state this is.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Root of the state tree at that height.
    #[schema(value_type = String)]
    pub state_root: Digest,
    /// ICS23 commitment proof (protobuf), hexadecimal.
    pub proof: String,
}

/// The body of `POST /v1/changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposeChangeBody {
    /// The change.
    #[schema(value_type = Object)]
    pub change: Change,
}

/// The body of `POST /v1/tasks/{task}/rounds/{round}/evaluation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationBody {
    /// One score for each candidate, in the order in which the round lists them; each with a loss for
    /// each class, in `classes`, where the task names classes.
    #[schema(value_type = Vec<Object>)]
    pub scores: Vec<CandidateScore>,
}

/// When members of a task began to move together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnsetView {
    /// The members, by id.
    #[schema(value_type = Vec<String>)]
    pub members: Vec<MemberId>,
    /// The first round in which they had; absent when the ledger shows none.
    #[schema(value_type = Option<u64>)]
    pub onset: Option<RoundNumber>,
    /// The last round before it, to which the task could be taken back.
    #[schema(value_type = Option<u64>)]
    pub last_good: Option<RoundNumber>,
}

/// The body of `POST /v1/tasks/{task}/data-change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataChangeBody {
    /// What has changed, for people; at most 1,024 bytes.
    pub reason: String,
}

/// What a node answers once a transaction is durable and on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// Digest of the transaction, to be asked for at `/v1/transactions/{digest}`.
    #[schema(value_type = String)]
    pub transaction: Digest,
    /// Digest of the change, when the transaction proposes or approves one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub change: Option<Digest>,
}

/// What a node answers once it keeps a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedModel {
    /// Digest of its canonical bytes.
    #[schema(value_type = String)]
    pub model: Digest,
}
