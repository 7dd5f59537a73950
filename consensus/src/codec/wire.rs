//! The shapes on the wire, and how they map to the engine's types.

use fedledger_ledger::block::ValidatorAddress;
use fedledger_ledger::ids::Digest;
use fedledger_ledger::keys::Signature;
use fedledger_ledger::limits::MEMBERS_MAX;
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_core_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType,
    RoundSignature, SignedMessage, SignedProposal, SignedVote, VoteType,
};
use minicbor::{Decode, Encode};

use super::WireError;
use crate::context::{Address, BlockRef, Ctx, EngineHeight, Proposal, Vote};

/// The number of a consensus round.
pub(super) fn number(what: &'static str, round: Round) -> Result<u32, WireError> {
    round.as_u32().ok_or(WireError::NoRound { what })
}

pub(super) fn check_count(what: &'static str, found: usize, max: usize) -> Result<(), WireError> {
    if found > max {
        return Err(WireError::TooMany { what, found, max });
    }
    Ok(())
}

fn named(value: &NilOrVal<Digest>) -> Option<Digest> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(*id),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(super) struct WireRef {
    #[n(0)]
    pub(super) id: Digest,
    #[n(1)]
    pub(super) size: u32,
}

impl From<BlockRef> for WireRef {
    fn from(block: BlockRef) -> Self {
        Self { id: block.id, size: block.size }
    }
}
impl From<WireRef> for BlockRef {
    fn from(block: WireRef) -> Self {
        Self { id: block.id, size: block.size }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct WireVote {
    #[n(0)]
    precommit: bool,
    #[n(1)]
    height: u64,
    #[n(2)]
    round: u32,
    #[n(3)]
    address: ValidatorAddress,
    #[n(4)]
    signature: Signature,
    #[n(5)]
    block: Option<Digest>,
}

impl WireVote {
    pub(super) fn of(vote: &SignedVote<Ctx>) -> Result<Self, WireError> {
        let Vote { vote_type, height, round, value, address } = &vote.message;
        Ok(Self {
            precommit: *vote_type == VoteType::Precommit,
            height: height.0,
            round: number("vote", *round)?,
            address: address.0,
            signature: vote.signature,
            block: named(value),
        })
    }
}

impl From<WireVote> for SignedVote<Ctx> {
    fn from(wire: WireVote) -> Self {
        let vote = Vote {
            vote_type: if wire.precommit { VoteType::Precommit } else { VoteType::Prevote },
            height: EngineHeight(wire.height),
            round: Round::new(wire.round),
            value: wire.block.map_or(NilOrVal::Nil, NilOrVal::Val),
            address: Address(wire.address),
        };
        SignedMessage::new(vote, wire.signature)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct WireProposal {
    #[n(0)]
    height: u64,
    #[n(1)]
    round: u32,
    #[n(2)]
    block: WireRef,
    #[n(3)]
    address: ValidatorAddress,
    #[n(4)]
    signature: Signature,
    #[n(5)]
    pol_round: Option<u32>,
}

impl WireProposal {
    pub(super) fn of(proposal: &SignedProposal<Ctx>) -> Result<Self, WireError> {
        let Proposal { height, round, value, pol_round, address } = &proposal.message;
        Ok(Self {
            height: height.0,
            round: number("proposal", *round)?,
            block: (*value).into(),
            address: address.0,
            signature: proposal.signature,
            pol_round: pol_round.as_u32(),
        })
    }
}

impl From<WireProposal> for SignedProposal<Ctx> {
    fn from(wire: WireProposal) -> Self {
        let proposal = Proposal {
            height: EngineHeight(wire.height),
            round: Round::new(wire.round),
            value: wire.block.into(),
            pol_round: Round::from(wire.pol_round),
            address: Address(wire.address),
        };
        SignedMessage::new(proposal, wire.signature)
    }
}

/// A vote or a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) enum WireMessage {
    #[n(0)]
    Vote(#[n(0)] WireVote),
    #[n(1)]
    Proposal(#[n(0)] WireProposal),
}

impl WireMessage {
    pub(super) fn of(message: &SignedConsensusMsg<Ctx>) -> Result<Self, WireError> {
        Ok(match message {
            SignedConsensusMsg::Vote(vote) => Self::Vote(WireVote::of(vote)?),
            SignedConsensusMsg::Proposal(proposal) => Self::Proposal(WireProposal::of(proposal)?),
        })
    }
}

impl From<WireMessage> for SignedConsensusMsg<Ctx> {
    fn from(wire: WireMessage) -> Self {
        match wire {
            WireMessage::Vote(vote) => Self::Vote(vote.into()),
            WireMessage::Proposal(proposal) => Self::Proposal(proposal.into()),
        }
    }
}

/// A quorum of prevotes for one block.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct WirePolka {
    #[n(0)]
    height: u64,
    #[n(1)]
    round: u32,
    #[n(2)]
    block: Digest,
    #[n(3)]
    signatures: Vec<(ValidatorAddress, Signature)>,
}

impl WirePolka {
    pub(super) fn of(polka: &PolkaCertificate<Ctx>) -> Result<Self, WireError> {
        Ok(Self {
            height: polka.height.0,
            round: number("polka certificate", polka.round)?,
            block: polka.value_id,
            signatures: polka.polka_signatures.iter().map(|s| (s.address.0, s.signature)).collect(),
        })
    }
}

impl TryFrom<WirePolka> for PolkaCertificate<Ctx> {
    type Error = WireError;
    fn try_from(wire: WirePolka) -> Result<Self, WireError> {
        check_count("signatures in a polka certificate", wire.signatures.len(), MEMBERS_MAX)?;
        let signature = |(address, signature)| PolkaSignature::new(Address(address), signature);
        Ok(Self {
            height: EngineHeight(wire.height),
            round: Round::new(wire.round),
            value_id: wire.block,
            polka_signatures: wire.signatures.into_iter().map(signature).collect(),
        })
    }
}

/// One vote of a round certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct WireRoundVote {
    #[n(0)]
    precommit: bool,
    #[n(1)]
    address: ValidatorAddress,
    #[n(2)]
    signature: Signature,
    #[n(3)]
    block: Option<Digest>,
}

/// The votes that let a node enter a round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct WireRound {
    #[n(0)]
    skip: bool,
    #[n(1)]
    height: u64,
    #[n(2)]
    round: u32,
    #[n(3)]
    votes: Vec<WireRoundVote>,
}

impl WireRound {
    pub(super) fn of(certificate: &RoundCertificate<Ctx>) -> Result<Self, WireError> {
        let vote = |s: &RoundSignature<Ctx>| WireRoundVote {
            precommit: s.vote_type == VoteType::Precommit,
            address: s.address.0,
            signature: s.signature,
            block: named(&s.value_id),
        };
        Ok(Self {
            skip: certificate.cert_type == RoundCertificateType::Skip,
            height: certificate.height.0,
            round: number("round certificate", certificate.round)?,
            votes: certificate.round_signatures.iter().map(vote).collect(),
        })
    }
}

impl TryFrom<WireRound> for RoundCertificate<Ctx> {
    type Error = WireError;
    fn try_from(wire: WireRound) -> Result<Self, WireError> {
        // A member may be there with its prevote and with its precommit.
        check_count("votes in a round certificate", wire.votes.len(), 2 * MEMBERS_MAX)?;
        let vote = |v: WireRoundVote| {
            let vote_type = if v.precommit { VoteType::Precommit } else { VoteType::Prevote };
            let value = v.block.map_or(NilOrVal::Nil, NilOrVal::Val);
            RoundSignature::new(vote_type, value, Address(v.address), v.signature)
        };
        Ok(Self {
            height: EngineHeight(wire.height),
            round: Round::new(wire.round),
            cert_type: if wire.skip {
                RoundCertificateType::Skip
            } else {
                RoundCertificateType::Precommit
            },
            round_signatures: wire.votes.into_iter().map(vote).collect(),
        })
    }
}
