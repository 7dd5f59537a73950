//! Verification of a chain of blocks from genesis, as an outsider does it.
//!
//! What is checked here rests on signatures and hashes alone: that each block follows its parent
//! and that more than two thirds of the validators its parent named decided it. That its
//! `app_hash` is what its transactions lead to is checked by executing it, in the contract.

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::block::{Block, BlockError, CertificateError, CommitCertificate, ValidatorSet};
use crate::genesis::Genesis;
use crate::ids::{ChainId, Digest, Height, TimeMs};

/// Why a block does not extend a verified chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The block is of another chain.
    #[error("block {height}: chain_id is `{found}`, expected `{expected}`")]
    ChainId {
        /// Height that the block says it has.
        height: Height,
        /// The chain that is verified.
        expected: ChainId,
        /// The chain that the block names.
        found: ChainId,
    },
    /// The block is not the next one.
    #[error("block {found} was given where block {expected} follows")]
    Height {
        /// Height that follows.
        expected: Height,
        /// Height found.
        found: Height,
    },
    /// The block itself is not well-formed, or its body is not the one that its header names.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The block names another parent.
    #[error("block {height}: last_block_id is {}, expected {}", or_none(*found), or_none(*expected))]
    LastBlockId {
        /// The block's height.
        height: Height,
        /// Hash of the verified parent, if there is one.
        expected: Option<Digest>,
        /// Parent that the block names.
        found: Option<Digest>,
    },
    /// The block's time is not later than its parent's.
    #[error("block {height}: time is {found}, expected later than {parent}")]
    Time {
        /// The block's height.
        height: Height,
        /// The parent's time, or genesis'.
        parent: TimeMs,
        /// The block's time.
        found: TimeMs,
    },
    /// A hash in the header is not what it has to be.
    #[error("block {height}: {field} is {found}, expected {expected}")]
    HeaderHash {
        /// The block's height.
        height: Height,
        /// The header's field.
        field: &'static str,
        /// What it has to be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The block's proposer is not a validator.
    #[error("block {height}: proposer {proposer} is not a validator")]
    Proposer {
        /// The block's height.
        height: Height,
        /// Who is named.
        proposer: crate::block::ValidatorAddress,
    },
    /// The certificate is for another height or block.
    #[error("block {height}: its certificate is for block {found} of height {found_height}, expected {expected}")]
    CertificateSubject {
        /// The block's height.
        height: Height,
        /// The block's hash.
        expected: Digest,
        /// Height in the certificate.
        found_height: Height,
        /// Block in the certificate.
        found: Digest,
    },
    /// The certificate does not make the block final.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

fn or_none(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

/// What is known of a block once it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedBlock {
    /// Its height.
    pub height: Height,
    /// Its id.
    pub hash: Digest,
    /// Its time.
    pub time: TimeMs,
    /// The state root after it, vouched for by the certificate.
    pub app_hash: Digest,
}

/// A block of which it is verified that a quorum decided it after the blocks before it.
#[derive(Debug)]
pub struct DecidedBlock<'b> {
    block: &'b Block,
    hash: Digest,
}

/// Verifies blocks one after the other.
#[derive(Debug, Clone)]
pub struct ChainVerifier {
    chain_id: ChainId,
    validators: ValidatorSet,
    height: Height,
    time: TimeMs,
    last: Option<Digest>,
}

impl ChainVerifier {
    /// Begins at genesis with the validators that follow from it.
    pub fn new(genesis: &Genesis, initial: ValidatorSet) -> Self {
        Self {
            chain_id: genesis.chain_id.clone(),
            validators: initial,
            height: Height(0),
            time: genesis.time,
            last: None,
        }
    }

    /// Begins after a block that was verified before, with the validators that decide the next.
    pub fn resume(chain_id: ChainId, after: &VerifiedBlock, next_validators: ValidatorSet) -> Self {
        Self {
            chain_id,
            validators: next_validators,
            height: after.height,
            time: after.time,
            last: Some(after.hash),
        }
    }

    /// The height that was verified last; 0 for genesis.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The validators that decide the next block.
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// Verifies the next block with its certificate; `next_validators` decide the block after it.
    /// On an error nothing changes.
    ///
    /// # Errors
    /// The first thing that does not hold; see [`VerifyError`].
    pub fn push(
        &mut self,
        block: &Block,
        certificate: &CommitCertificate,
        next_validators: &ValidatorSet,
    ) -> Result<VerifiedBlock, VerifyError> {
        let decided = self.verify(block, certificate)?;
        self.advance(decided, next_validators)
    }

    /// Verifies that the next block was decided, before anybody knows what follows from it: all that
    /// [`ChainVerifier::push`] verifies but the validators after it. So nothing is carried out that
    /// a quorum did not sign.
    ///
    /// # Errors
    /// The first thing that does not hold; see [`VerifyError`].
    pub fn verify<'b>(
        &self,
        block: &'b Block,
        certificate: &CommitCertificate,
    ) -> Result<DecidedBlock<'b>, VerifyError> {
        let hash = self.check_block(block)?;
        let height = block.header.height;
        if (certificate.height, certificate.block) != (height, hash) {
            return Err(VerifyError::CertificateSubject {
                height,
                expected: hash,
                found_height: certificate.height,
                found: certificate.block,
            });
        }
        certificate.verify(&self.chain_id, &self.validators)?;
        Ok(DecidedBlock { block, hash })
    }

    /// Takes a decided block for the latest one; `next_validators` decide the block after it. On an
    /// error nothing changes.
    ///
    /// # Errors
    /// When the block names other validators, or is not the one that follows.
    pub fn advance(
        &mut self,
        decided: DecidedBlock<'_>,
        next_validators: &ValidatorSet,
    ) -> Result<VerifiedBlock, VerifyError> {
        let DecidedBlock { block, hash } = decided;
        let header = &block.header;
        let height = header.height;
        if (height, header.last_block_id) != (self.height.next(), self.last) {
            return Err(VerifyError::Height { expected: self.height.next(), found: height });
        }
        let (found, expected) = (header.next_validators_hash, next_validators.hash());
        if found != expected {
            let field = "next_validators_hash";
            return Err(VerifyError::HeaderHash { height, field, expected, found });
        }
        self.height = height;
        self.time = header.time;
        self.last = Some(hash);
        if self.validators != *next_validators {
            self.validators = next_validators.clone();
        }
        Ok(VerifiedBlock { height, hash, time: self.time, app_hash: header.app_hash })
    }

    /// Checks the block's place in the chain and returns its hash.
    fn check_block(&self, block: &Block) -> Result<Digest, VerifyError> {
        let header = &block.header;
        let height = header.height;
        if header.chain_id != self.chain_id {
            let (expected, found) = (self.chain_id.clone(), header.chain_id.clone());
            return Err(VerifyError::ChainId { height, expected, found });
        }
        if height != self.height.next() {
            return Err(VerifyError::Height { expected: self.height.next(), found: height });
        }
        if header.last_block_id != self.last {
            let (expected, found) = (self.last, header.last_block_id);
            return Err(VerifyError::LastBlockId { height, expected, found });
        }
        block.check_consistency()?;
        if header.time <= self.time {
            return Err(VerifyError::Time { height, parent: self.time, found: header.time });
        }
        let (found, expected) = (header.validators_hash, self.validators.hash());
        if found != expected {
            let field = "validators_hash";
            return Err(VerifyError::HeaderHash { height, field, expected, found });
        }
        if self.validators.get(&header.proposer).is_none() {
            return Err(VerifyError::Proposer { height, proposer: header.proposer });
        }
        Ok(block.hash())
    }
}
