//! Who belongs to the consortium, and how that changes: by votes, at a height.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec::to_canonical;
use crate::ids::{Digest, MemberId};
use crate::keys::PublicKey;
use crate::task::TaskSpec;

/// The three keys of a member. They differ so that each can be kept where its work is, and
/// rotated alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct MemberKeys {
    /// Signs transactions.
    #[n(0)]
    pub member: PublicKey,
    /// Signs consensus votes and proposals.
    #[n(1)]
    pub validator: PublicKey,
    /// Proves the node's identity on the network (its libp2p peer id is derived from it).
    #[n(2)]
    pub network: PublicKey,
}

/// A member as it is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// Identifier, never reused.
    #[n(0)]
    pub id: MemberId,
    /// Name of the institution, for people.
    #[n(1)]
    pub name: String,
    /// Its keys.
    #[n(2)]
    pub keys: MemberKeys,
    /// Network addresses (multiaddr text) at which others may dial it; empty for a node that only
    /// dials out.
    #[n(3)]
    pub addresses: Vec<String>,
}

/// Which of a member's keys is replaced.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum KeyRole {
    /// Signs transactions.
    #[n(0)]
    Member,
    /// Signs votes.
    #[n(1)]
    Validator,
    /// Proves identity on the network.
    #[n(2)]
    Network,
}

/// A change that takes effect when a quorum of active members has approved it. Its digest names it
/// in approvals.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a task is large, and few of them are alive at once")]
pub enum Change {
    /// Admits a new member, from the next height on.
    #[n(0)]
    AdmitMember {
        /// The member.
        #[n(0)]
        member: MemberSpec,
    },
    /// Takes a member's votes, submissions and network access away. Its history stays.
    #[n(1)]
    SuspendMember {
        /// The member.
        #[n(0)]
        member: MemberId,
        /// Why, for people.
        #[n(1)]
        reason: String,
    },
    /// Gives a suspended member its rights back.
    #[n(2)]
    ReinstateMember {
        /// The member.
        #[n(0)]
        member: MemberId,
        /// Why, for people.
        #[n(1)]
        reason: String,
    },
    /// Replaces one key of a member; the old one is valid up to the height of the change.
    #[n(3)]
    RotateKey {
        /// The member.
        #[n(0)]
        member: MemberId,
        /// Which key.
        #[n(1)]
        role: KeyRole,
        /// The new key.
        #[n(2)]
        key: PublicKey,
    },
    /// Creates a task, whose first round opens at once.
    #[n(4)]
    CreateTask {
        /// The task.
        #[n(0)]
        task: TaskSpec,
    },
    /// Releases a member in one task from quarantine, or from being held on probation after a notice of
    /// changed data, as the outcome of a dispute.
    #[n(5)]
    ReleaseQuarantine {
        /// The task.
        #[n(0)]
        task: crate::ids::TaskId,
        /// The member.
        #[n(1)]
        member: MemberId,
        /// Why, for people.
        #[n(2)]
        reason: String,
    },
    /// Takes a task back to the model it had after an earlier round, and goes on from there.
    #[n(6)]
    RollBack {
        /// The task.
        #[n(0)]
        task: crate::ids::TaskId,
        /// The last good round; 0 for the initial model.
        #[n(1)]
        round: crate::ids::RoundNumber,
        /// Members whose updates are left out when later rounds are replayed, besides those in
        /// quarantine or suspended by then.
        #[n(2)]
        without: Vec<MemberId>,
        /// Whether the rounds after it are decided again on the updates that were submitted then.
        #[n(3)]
        replay: bool,
        /// Why, for people.
        #[n(4)]
        reason: String,
    },
}

impl Change {
    /// Names the change in approvals: the digest of its canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&to_canonical(self))
    }
}
