//! Proposals, votes and block parts.

use bytes::Bytes;
use fedledger_ledger::ids::Digest;
use malachitebft_core_types as core;
use malachitebft_core_types::{NilOrVal, Round, SignedExtension, VoteType};

use super::{Address, BlockRef, Ctx, EngineHeight};
use crate::parts::part_count;

/// A proposer's statement that a block is to be decided at a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The height.
    pub height: EngineHeight,
    /// The consensus round.
    pub round: Round,
    /// The block.
    pub value: BlockRef,
    /// The earlier round in which the block had a quorum of prevotes, or nil.
    pub pol_round: Round,
    /// The proposer.
    pub address: Address,
}

impl core::Proposal<Ctx> for Proposal {
    fn height(&self) -> EngineHeight {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &BlockRef {
        &self.value
    }
    fn take_value(self) -> BlockRef {
        self.value
    }
    fn pol_round(&self) -> Round {
        self.pol_round
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
}

/// A prevote or precommit. Vote extensions are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Prevote or precommit.
    pub vote_type: VoteType,
    /// The height.
    pub height: EngineHeight,
    /// The consensus round.
    pub round: Round,
    /// The block's id, or nil.
    pub value: NilOrVal<Digest>,
    /// The voter.
    pub address: Address,
}

impl core::Vote<Ctx> for Vote {
    fn height(&self) -> EngineHeight {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<Digest> {
        &self.value
    }
    fn take_value(self) -> NilOrVal<Digest> {
        self.value
    }
    fn vote_type(&self) -> VoteType {
        self.vote_type
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
    fn extension(&self) -> Option<&SignedExtension<Ctx>> {
        None
    }
    fn take_extension(&mut self) -> Option<SignedExtension<Ctx>> {
        None
    }
    fn extend(self, _: SignedExtension<Ctx>) -> Self {
        self
    }
}

/// One piece of a block's bytes. Parts are not signed: a signed proposal names the hash of the
/// whole, and nothing is judged before such a proposal is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPart {
    /// The height for which the block is proposed.
    pub height: EngineHeight,
    /// The block that it is a part of.
    pub block: BlockRef,
    /// Its number, from 0.
    pub index: u32,
    /// [`crate::parts::PART_BYTES`] bytes; the last part has what remains.
    pub bytes: Bytes,
}

impl core::ProposalPart<Ctx> for BlockPart {
    fn is_first(&self) -> bool {
        self.index == 0
    }
    fn is_last(&self) -> bool {
        self.index + 1 == part_count(self.block.size)
    }
}
