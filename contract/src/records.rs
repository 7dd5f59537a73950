//! The records that the state holds, each the canonical CBOR of one type under one text key of
//! [`crate::state_key`].

mod chain;
mod round;
mod trust;

pub use chain::{
    ChainHead, ChangeRecord, KeyRecord, KeyUse, MemberRecord, MemberStatus, TaskProgress,
    TaskStatus,
};
pub use round::{
    ClassHarm, CommitmentRecord, EvaluationRecord, Exclusion, HarmRecord, PastRound, ReplayPlan,
    ReturnRecord, RosterLine, RoundRecord,
};
pub use trust::{TrustRecord, TRUST_MICRO_INITIAL, TRUST_MICRO_ONE};
