//! The engine's view of the ledger's types: Malachite's `Context`.
//!
//! The value that consensus carries is a [`BlockRef`], 36 bytes; the block travels beside it in
//! parts, and everything that is signed or written ahead names its hash. A proposer is chosen
//! round-robin: validator number `(height + consensus round) mod n` of the ledger's ordered set.
//! All members have the same power, so nothing is weighted, and a silent proposer costs one round.

mod messages;
mod validators;

use fedledger_ledger::block::ValidatorAddress;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::keys::{PublicKey, Signature};
use malachitebft_core_types as core;
use malachitebft_core_types::{LinearTimeouts, NilOrVal, Round, VoteType};

pub use messages::{BlockPart, Proposal, Vote};
pub use validators::{Validator, ValidatorSet};

/// The types and rules that the engine runs with.
#[derive(Debug, Clone, Copy)]
pub struct Ctx;

/// A height as the engine counts it; the same number as the ledger's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EngineHeight(pub u64);

impl std::fmt::Display for EngineHeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
impl From<Height> for EngineHeight {
    fn from(height: Height) -> Self {
        Self(height.0)
    }
}
impl From<EngineHeight> for Height {
    fn from(height: EngineHeight) -> Self {
        Self(height.0)
    }
}
impl core::Height for EngineHeight {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        // A peer chooses the heights in its messages: never panic on them.
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A validator's address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub ValidatorAddress);

impl Address {
    /// The address under which a node without a vote runs the engine. No key hashes to it, so the
    /// engine never takes this node for a validator.
    pub const OBSERVER: Self = Self(ValidatorAddress([0; 20]));
}
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl core::Address for Address {}

/// What consensus decides on: which block, and how long its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The block's id, the hash of its header.
    pub id: Digest,
    /// Length of its canonical bytes.
    pub size: u32,
}
impl core::Value for BlockRef {
    type Id = Digest;

    fn id(&self) -> Digest {
        self.id
    }
}

/// Ed25519 by the ledger's strict rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme;

impl core::SigningScheme for Scheme {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = ed25519_dalek::SigningKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, &'static str> {
        bytes.try_into().map(Signature).map_err(|_| "a signature has 64 bytes")
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, &'static str> {
        bytes.try_into().map(PublicKey).map_err(|_| "a public key has 32 bytes")
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}

impl core::Context for Ctx {
    type Address = Address;
    type Height = EngineHeight;
    type ProposalPart = BlockPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = LinearTimeouts;
    type Value = BlockRef;
    type Vote = Vote;
    type Extension = bytes::Bytes;
    type SigningScheme = Scheme;

    fn select_proposer<'a>(
        &self,
        set: &'a ValidatorSet,
        height: EngineHeight,
        round: Round,
    ) -> &'a Validator {
        set.proposer(height.0, round.as_u32().unwrap_or(0))
    }

    fn new_proposal(
        &self,
        height: EngineHeight,
        round: Round,
        value: BlockRef,
        pol_round: Round,
        address: Address,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, address }
    }

    fn new_prevote(
        &self,
        height: EngineHeight,
        round: Round,
        value: NilOrVal<Digest>,
        address: Address,
    ) -> Vote {
        Vote { vote_type: VoteType::Prevote, height, round, value, address }
    }

    fn new_precommit(
        &self,
        height: EngineHeight,
        round: Round,
        value: NilOrVal<Digest>,
        address: Address,
    ) -> Vote {
        Vote { vote_type: VoteType::Precommit, height, round, value, address }
    }
}
