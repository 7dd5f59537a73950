//! Who votes: the active members, each with power 1.

use fedledger_ledger::block::ValidatorSet;

use crate::state::StateView;

/// The validators of the height after the state's.
///
/// # Panics
/// When no member is active, which genesis and governance refuse.
pub fn validator_set(state: &StateView<'_>) -> ValidatorSet {
    let keys = state.active_members().into_iter().map(|member| member.spec.keys.validator);
    ValidatorSet::of_equals(keys)
        .expect("genesis and governance keep one active member at least, with distinct usable keys")
}
