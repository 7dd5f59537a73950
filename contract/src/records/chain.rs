//! Records about the chain, its members and its tasks.

use fedledger_ledger::governance::{Change, KeyRole, MemberSpec};
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, RoundNumber, TimeMs};
use fedledger_ledger::keys::PublicKey;
use minicbor::{Decode, Encode};
use serde::Serialize;

/// Where the chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct ChainHead {
    /// The ledger's name.
    #[n(0)]
    pub chain_id: ChainId,
    /// Digest of the genesis document.
    #[n(1)]
    pub genesis: Digest,
    /// Height of the latest block; 0 before the first.
    #[n(2)]
    pub height: Height,
    /// Time of the latest block, or of genesis.
    #[n(3)]
    pub time: TimeMs,
}

/// Whether a member takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum MemberStatus {
    /// Votes, submits and evaluates.
    #[n(0)]
    Active,
    /// Does nothing until it is reinstated by vote.
    #[n(1)]
    Suspended,
}

/// One key that a member has or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct KeyRecord {
    /// What it is for.
    #[n(0)]
    pub role: KeyRole,
    /// The key.
    #[n(1)]
    pub key: PublicKey,
    /// First height at which it counts.
    #[n(2)]
    pub valid_from: Height,
    /// Last height at which it counts, once it was replaced.
    #[n(3)]
    pub valid_until: Option<Height>,
}

/// A member with its present keys and all it ever had.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MemberRecord {
    /// The member with the keys that count now.
    #[n(0)]
    pub spec: MemberSpec,
    /// Whether it takes part.
    #[n(1)]
    pub status: MemberStatus,
    /// The block that admitted it; 0 for a founder.
    #[n(2)]
    pub admitted: Height,
    /// Every key, in the order in which they came.
    #[n(3)]
    pub keys: Vec<KeyRecord>,
}

impl MemberRecord {
    /// Whether the member takes part.
    pub fn is_active(&self) -> bool {
        self.status == MemberStatus::Active
    }
}

/// Who uses or used a public key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct KeyUse {
    /// The member.
    #[n(0)]
    pub member: MemberId,
    /// For what.
    #[n(1)]
    pub role: KeyRole,
}

/// Whether a task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum TaskStatus {
    /// A round is open.
    #[n(0)]
    Running,
    /// All of its rounds are over.
    #[n(1)]
    Completed,
    /// More members than f became suspect; the last model stands.
    #[n(2)]
    Frozen,
}

/// How far a task has come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct TaskProgress {
    /// Whether it goes on.
    #[n(0)]
    pub status: TaskStatus,
    /// The round that is open, or the last one.
    #[n(1)]
    pub round: RoundNumber,
    /// Digest of the latest model.
    #[n(2)]
    pub model: Digest,
    /// Digest of the aggregate that led to it; none before the first.
    #[n(3)]
    pub aggregate: Option<Digest>,
    /// Number of rounds that led to a new model.
    #[n(4)]
    pub aggregated: u64,
    /// Median norms of the admitted updates of the latest rounds with a new model, oldest first,
    /// at most [`crate::judge::NORM_ROUNDS`].
    #[n(5)]
    pub norms: Vec<u64>,
    /// By how many rounds the task takes longer because it was rolled back.
    #[n(6)]
    pub rounds_added: u64,
}

/// A change that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct ChangeRecord {
    /// The change.
    #[n(0)]
    pub change: Change,
    /// Who proposed it.
    #[n(1)]
    pub proposer: MemberId,
    /// The block it was proposed in.
    #[n(2)]
    pub proposed: Height,
    /// From this time on it cannot be approved any more.
    #[n(3)]
    pub expires: TimeMs,
    /// Who approved, by id.
    #[n(4)]
    pub approvals: Vec<MemberId>,
}
