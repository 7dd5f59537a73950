//! The ledger's validator set as the engine asks for it.

use std::sync::Arc;

use fedledger_ledger::block;
use fedledger_ledger::keys::PublicKey;
use malachitebft_core_types as core;

use super::{Address, Ctx};

/// One validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    address: Address,
    key: PublicKey,
    power: u64,
}

impl core::Validator<Ctx> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }
    fn public_key(&self) -> &PublicKey {
        &self.key
    }
    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// The validators of one height, in the ledger's order. The engine clones it often, so it is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet(Arc<[Validator]>);

impl ValidatorSet {
    /// Who proposes: number `(height + round) mod n`.
    pub fn proposer(&self, height: u64, round: u32) -> &Validator {
        let n = self.0.len() as u64; // A ledger set is never empty.
        &self.0[(height.wrapping_add(u64::from(round)) % n) as usize]
    }
}

impl From<&block::ValidatorSet> for ValidatorSet {
    fn from(set: &block::ValidatorSet) -> Self {
        let view = |v: &block::Validator| Validator {
            address: Address(v.address),
            key: v.key,
            power: v.power,
        };
        Self(set.validators().iter().map(view).collect())
    }
}

impl core::ValidatorSet<Ctx> for ValidatorSet {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total_voting_power(&self) -> u64 {
        self.0.iter().map(|validator| validator.power).sum()
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.0.iter().find(|validator| validator.address == *address)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use malachitebft_core_types::{Validator as _, ValidatorSet as _};

    use super::*;

    #[test]
    fn every_validator_proposes_in_turn_by_height_and_by_round() {
        let keys = (1..=4).map(|i| PublicKey::of(&SigningKey::from_bytes(&[i; 32])));
        let set = ValidatorSet::from(&block::ValidatorSet::of_equals(keys).unwrap());
        for start in [0, 7, u64::MAX - 1] {
            for in_turn in [
                (0..4)
                    .map(|i| *set.proposer(start.wrapping_add(i), 0).address())
                    .collect::<Vec<_>>(),
                (0..4).map(|i| *set.proposer(start, i as u32).address()).collect::<Vec<_>>(),
            ] {
                let mut seen = in_turn.clone();
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), set.count(), "{in_turn:?}");
            }
        }
        assert_eq!(set.proposer(6, 1).address(), set.get_by_index(3).unwrap().address());
    }
}
