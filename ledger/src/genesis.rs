//! The document from which every node and every auditor starts.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec::to_canonical;
use crate::governance::MemberSpec;
use crate::ids::{ChainId, Digest, TimeMs};
use crate::task::TaskSpec;

/// Who begins, when, and with which tasks. Everybody starts from the same document; its digest is
/// the first entry of the log. Whether its contents can work (unique ids and keys, task
/// preconditions) is checked by the contract when the first state is made from it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The ledger's name, part of all that is signed.
    #[n(0)]
    pub chain_id: ChainId,
    /// When it begins.
    #[n(1)]
    pub time: TimeMs,
    /// The founding members.
    #[n(2)]
    pub members: Vec<MemberSpec>,
    /// Tasks that run from the beginning.
    #[n(3)]
    #[serde(default)]
    pub tasks: Vec<TaskSpec>,
}

impl Genesis {
    /// The digest of the canonical encoding: an auditor's root of trust.
    pub fn digest(&self) -> Digest {
        Digest::of(&to_canonical(self))
    }
}
