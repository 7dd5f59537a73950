//! A ledger of empty blocks and a network in memory, for tests and benches of the engine.

mod application;
mod blocks;
mod network;

pub use application::EmptyApplication;
pub use blocks::block_of;
pub use network::MemoryNetwork;

use ed25519_dalek::SigningKey;
use fedledger_ledger::block::ValidatorSet;
use fedledger_ledger::keys::PublicKey;

/// `n` validator keys, the same ones every time.
pub fn keys(n: u8) -> Vec<SigningKey> {
    (1..=n).map(|i| SigningKey::from_bytes(&[i; 32])).collect()
}

/// The set of equals that holds these keys.
///
/// # Panics
/// When there is no key or one is there twice.
pub fn validators(keys: &[SigningKey]) -> ValidatorSet {
    ValidatorSet::of_equals(keys.iter().map(PublicKey::of)).expect("made-up keys are usable")
}
