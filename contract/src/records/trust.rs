//! The record of one member's trust in one task.

use fedledger_ledger::entry::Standing;
use minicbor::{Decode, Encode};
use serde::Serialize;

/// Full trust.
pub const TRUST_MICRO_ONE: u32 = 1_000_000;
/// Trust of a member before its first round: half, so that a newcomer weighs at most as much as
/// anybody and can both gain and lose.
pub const TRUST_MICRO_INITIAL: u32 = 500_000;

/// One member's trust in one task. A member without a record has the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct TrustRecord {
    /// Trust in millionths, 1 to [`TRUST_MICRO_ONE`].
    #[n(0)]
    pub trust_micro: u32,
    /// Standing.
    #[n(1)]
    pub standing: Standing,
    /// Rounds in a row with a strike.
    #[n(2)]
    pub strikes: u32,
    /// Scored rounds in a row without a strike since the standing last changed.
    #[n(3)]
    pub clean_rounds: u32,
}

impl Default for TrustRecord {
    fn default() -> Self {
        Self {
            trust_micro: TRUST_MICRO_INITIAL,
            standing: Standing::Active,
            strikes: 0,
            clean_rounds: 0,
        }
    }
}
