//! What validators sign, and the signer that asks the guard first.
//!
//! Votes sign CometBFT's canonical bytes with a constant time, so the engine's commit certificate is
//! a CometBFT commit. Proposals sign canonical CBOR under a domain string of their own.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use fedledger_ledger::block::{self, vote_sign_bytes, ValidatorAddress};
use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::ids::{ChainId, Digest};
use fedledger_ledger::keys::{sign_raw, Domain, PublicKey, Signature};
use malachitebft_core_types::{
    NilOrVal, SignedMessage, ValidatorProof, VoteExtensionScope, VoteType,
};
use malachitebft_signing::{Error, Signer, VerificationResult, Verifier};
use minicbor::Encode;

use crate::context::{Address, Ctx, Proposal, Vote};
use crate::guard::{Guard, Intent, Step};

/// A message without a consensus round, or of a kind that this ledger does not use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NotSigned {
    #[error("a message of no consensus round is never signed")]
    NoRound,
    #[error("vote extensions and validator proofs are not used on this ledger")]
    Unused,
}

/// What a proposal signs.
#[derive(Encode)]
struct ProposalBytes<'a> {
    #[n(0)]
    chain_id: &'a ChainId,
    #[n(1)]
    height: u64,
    #[n(2)]
    round: u32,
    #[n(3)]
    block: Digest,
    #[n(4)]
    size: u32,
    #[n(5)]
    proposer: ValidatorAddress,
    #[n(6)]
    pol_round: Option<u32>,
}

/// The bytes that `vote` signs; nothing when it has no round.
pub fn vote_bytes(chain_id: &ChainId, vote: &Vote) -> Option<Vec<u8>> {
    let round = vote.round.as_u32()?;
    let vote_type = match vote.vote_type {
        VoteType::Prevote => block::VoteType::Prevote,
        VoteType::Precommit => block::VoteType::Precommit,
    };
    let height = vote.height.into();
    Some(vote_sign_bytes(chain_id, vote_type, height, round, named(&vote.value)))
}

/// The bytes that `proposal` signs, with their domain; nothing when it has no round.
pub fn proposal_bytes(chain_id: &ChainId, proposal: &Proposal) -> Option<Vec<u8>> {
    let fields = ProposalBytes {
        chain_id,
        height: proposal.height.0,
        round: proposal.round.as_u32()?,
        block: proposal.value.id,
        size: proposal.value.size,
        proposer: proposal.address.0,
        pol_round: proposal.pol_round.as_u32(),
    };
    Some(Domain::Proposal.message(&to_canonical(&fields)))
}

fn named(value: &NilOrVal<Digest>) -> Option<Digest> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(*id),
    }
}

/// Checks signatures.
#[derive(Debug, Clone)]
pub struct LedgerVerifier {
    chain_id: ChainId,
}

impl LedgerVerifier {
    /// A verifier for one ledger.
    pub fn new(chain_id: ChainId) -> Self {
        Self { chain_id }
    }

    /// Whether `signature` is `key`'s over `proposal`.
    pub fn proposal_verifies(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        key: &PublicKey,
    ) -> bool {
        proposal_bytes(&self.chain_id, proposal).is_some_and(|b| key.verifies_raw(&b, signature))
    }
}

#[async_trait]
impl Verifier<Ctx> for LedgerVerifier {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        let bytes = vote_bytes(&self.chain_id, vote);
        Ok(VerificationResult::from_bool(bytes.is_some_and(|b| key.verifies_raw(&b, signature))))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.proposal_verifies(proposal, signature, key)))
    }

    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<Ctx>,
        _: &Bytes,
        _: &Signature,
        _: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(
        &self,
        _: &ValidatorProof<Ctx>,
    ) -> Result<VerificationResult, Error> {
        // The ledger's list of members says which key belongs to which peer.
        Ok(VerificationResult::Invalid)
    }
}

/// Names what this validator signs, for the guard.
#[derive(Debug, Clone)]
pub struct Intents {
    chain_id: ChainId,
    address: Address,
}

impl Intents {
    /// For the validator with this key on this ledger.
    pub fn new(chain_id: ChainId, key: &SigningKey) -> Self {
        let address = Address(ValidatorAddress::of(&PublicKey::of(key)));
        Self { chain_id, address }
    }

    /// The validator.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The intent behind a vote of this validator; nothing for votes of others.
    pub fn of_vote(&self, vote: &Vote) -> Option<Intent> {
        let step = match vote.vote_type {
            VoteType::Prevote => Step::Prevote,
            VoteType::Precommit => Step::Precommit,
        };
        let message = Digest::of(&vote_bytes(&self.chain_id, vote)?);
        (vote.address == self.address).then_some(Intent {
            height: vote.height.into(),
            round: vote.round.as_u32()?,
            step,
            block: named(&vote.value),
            message,
        })
    }

    /// The intent behind a proposal of this validator; nothing for proposals of others.
    pub fn of_proposal(&self, proposal: &Proposal) -> Option<Intent> {
        let message = Digest::of(&proposal_bytes(&self.chain_id, proposal)?);
        (proposal.address == self.address).then_some(Intent {
            height: proposal.height.into(),
            round: proposal.round.as_u32()?,
            step: Step::Proposal,
            block: Some(proposal.value.id),
            message,
        })
    }
}

/// Signs what the guard admits. An error stops the engine; the driver then sees the refusal and
/// starts it again without a signer.
#[derive(Debug, Clone)]
pub struct GuardedSigner {
    key: SigningKey,
    intents: Intents,
    guard: Arc<Guard>,
}

impl GuardedSigner {
    /// A signer for one ledger.
    pub fn new(key: SigningKey, intents: Intents, guard: Arc<Guard>) -> Self {
        Self { key, intents, guard }
    }

    fn sign(&self, intent: Option<Intent>, bytes: Option<Vec<u8>>) -> Result<Signature, Error> {
        let (Some(intent), Some(bytes)) = (intent, bytes) else {
            return Err(Error::from_source(NotSigned::NoRound));
        };
        self.guard.admit(&intent).map_err(|refusal| {
            tracing::error!(%refusal, "the double-sign guard refuses to sign");
            Error::from_source(refusal)
        })?;
        Ok(sign_raw(&self.key, &bytes))
    }
}

#[async_trait]
impl Signer<Ctx> for GuardedSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Ctx, Vote>, Error> {
        let bytes = vote_bytes(&self.intents.chain_id, &vote);
        let signature = self.sign(self.intents.of_vote(&vote), bytes)?;
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<Ctx, Proposal>, Error> {
        let bytes = proposal_bytes(&self.intents.chain_id, &proposal);
        let signature = self.sign(self.intents.of_proposal(&proposal), bytes)?;
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _: VoteExtensionScope<Ctx>,
        _: Bytes,
    ) -> Result<SignedMessage<Ctx, Bytes>, Error> {
        Err(Error::from_source(NotSigned::Unused))
    }

    async fn sign_validator_proof(
        &self,
        _: Vec<u8>,
        _: Vec<u8>,
    ) -> Result<ValidatorProof<Ctx>, Error> {
        Err(Error::from_source(NotSigned::Unused))
    }
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::ids::Height;
    use malachitebft_core_types::{Context as _, Round};

    use super::*;
    use crate::context::EngineHeight;

    fn signer(folder: &std::path::Path) -> GuardedSigner {
        let key = SigningKey::from_bytes(&[3; 32]);
        let intents = Intents::new(ChainId::new("test").unwrap(), &key);
        GuardedSigner::new(key, intents, Arc::new(Guard::open(folder.join("guard")).unwrap()))
    }

    #[tokio::test]
    async fn an_engine_precommit_is_a_ledger_commit() {
        let folder = tempfile::tempdir().unwrap();
        let signer = signer(folder.path());
        let id = Digest::of(b"block");
        let address = signer.intents.address();
        let vote = Ctx.new_precommit(EngineHeight(7), Round::new(2), NilOrVal::Val(id), address);
        let signed = signer.sign_vote(vote).await.unwrap();
        let key = PublicKey::of(&signer.key);
        let set = block::ValidatorSet::of_equals([key]).unwrap();
        let chain_id = ChainId::new("test").unwrap();
        let certificate =
            block::CommitCertificate::new(Height(7), 2, id, [(address.0, signed.signature)]);
        certificate.verify(&chain_id, &set).unwrap();
        let other = ChainId::new("other").unwrap();
        assert!(certificate.verify(&other, &set).is_err());
    }

    #[tokio::test]
    async fn a_conflicting_vote_gets_no_signature() {
        let folder = tempfile::tempdir().unwrap();
        let signer = signer(folder.path());
        let vote = |value| {
            Ctx.new_prevote(EngineHeight(1), Round::new(0), value, signer.intents.address())
        };
        signer.sign_vote(vote(NilOrVal::Nil)).await.unwrap();
        signer.sign_vote(vote(NilOrVal::Nil)).await.unwrap();
        assert!(signer.sign_vote(vote(NilOrVal::Val(Digest::of(b"x")))).await.is_err());
        assert_eq!(signer.guard.take_refusal(), Some(Height(1)));
    }
}
