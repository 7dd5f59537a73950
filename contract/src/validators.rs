//! Who votes: the active members, each with power 1.

use fedledger_ledger::block::ValidatorSet;
use fedledger_ledger::keys::PublicKey;

use crate::state::StateView;

/// The keys of the validators of the height after the state's, by member id.
pub(crate) fn validator_keys(state: &StateView<'_>) -> Vec<PublicKey> {
    let members = state.members_shared();
    members.iter().filter(|one| one.is_active()).map(|one| one.spec.keys.validator).collect()
}

/// The validators of the height after the state's.
///
/// # Panics
/// When no member is active, which genesis and governance refuse.
pub fn validator_set(state: &StateView<'_>) -> ValidatorSet {
    ValidatorSet::of_equals(validator_keys(state))
        .expect("genesis and governance keep one active member at least, with distinct usable keys")
}
