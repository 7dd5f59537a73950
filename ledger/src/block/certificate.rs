//! Commit certificates: what makes a block final.

use minicbor::{Decode, Decoder, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{vote_sign_bytes, ValidatorAddress, ValidatorSet, VoteType};
use crate::codec::{from_canonical, to_canonical, CodecError};
use crate::ids::{ChainId, Digest, Height};
use crate::keys::Signature;
use crate::limits::MEMBERS_MAX;

/// Longest canonical certificate in bytes: an address and a signature for each member.
const CERTIFICATE_BYTES_MAX: usize = 128 + MEMBERS_MAX * 96;

/// Why a certificate does not make its block final.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The signatures are not strictly ascending by address, so one may be there twice.
    #[error("certificate of height {height}: signer {address} is out of order or there twice")]
    Order {
        /// Height of the certificate.
        height: Height,
        /// The signer.
        address: ValidatorAddress,
    },
    /// A signer is not in the validator set.
    #[error("certificate of height {height}: signer {address} is not a validator")]
    UnknownSigner {
        /// Height of the certificate.
        height: Height,
        /// The signer.
        address: ValidatorAddress,
    },
    /// A signature is not the validator's over the precommit.
    #[error("certificate of height {height}: the signature of {address} does not verify")]
    WrongSignature {
        /// Height of the certificate.
        height: Height,
        /// The signer.
        address: ValidatorAddress,
    },
    /// The signers do not have more than two thirds of the power.
    #[error(
        "certificate of height {height}: power {signed} of {total} is not more than two thirds"
    )]
    NotEnoughPower {
        /// Height of the certificate.
        height: Height,
        /// Power of the signers.
        signed: u64,
        /// Power of all validators.
        total: u64,
    },
}

/// Precommits of more than two thirds of the power for one block in one consensus round. Nodes may
/// hold different subsets of the votes, so a certificate is never hashed into anything.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(try_from = "Parts")]
pub struct CommitCertificate {
    /// The block's height.
    #[n(0)]
    pub height: Height,
    /// The consensus round in which it was decided, below 2^31.
    #[n(1)]
    pub round: u32,
    /// The block's id.
    #[n(2)]
    pub block: Digest,
    /// The signers with their signatures, strictly ascending by address.
    #[n(3)]
    pub signatures: Vec<(ValidatorAddress, Signature)>,
}

/// A certificate before it is checked.
#[derive(Decode, Deserialize)]
#[cbor(map)]
struct Parts {
    #[n(0)]
    height: Height,
    #[n(1)]
    round: u32,
    #[n(2)]
    block: Digest,
    #[n(3)]
    signatures: Vec<(ValidatorAddress, Signature)>,
}

impl TryFrom<Parts> for CommitCertificate {
    type Error = String;
    fn try_from(parts: Parts) -> Result<Self, String> {
        let Parts { height, round, block, signatures } = parts;
        if i64::try_from(height.0).is_err() || i32::try_from(round).is_err() {
            return Err(format!("height {height} or round {round} is out of range"));
        }
        if signatures.len() > MEMBERS_MAX {
            return Err(format!("{} signatures, at most {MEMBERS_MAX}", signatures.len()));
        }
        let certificate = Self { height, round, block, signatures };
        certificate.check_order().map_err(|error| error.to_string())?;
        Ok(certificate)
    }
}

impl<'b, C> Decode<'b, C> for CommitCertificate {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        Parts::decode(d, ctx)?.try_into().map_err(minicbor::decode::Error::message)
    }
}

impl CommitCertificate {
    /// A certificate from signatures in any order.
    pub fn new(
        height: Height,
        round: u32,
        block: Digest,
        signatures: impl IntoIterator<Item = (ValidatorAddress, Signature)>,
    ) -> Self {
        let mut signatures: Vec<_> = signatures.into_iter().collect();
        signatures.sort_unstable();
        Self { height, round, block, signatures }
    }

    /// Checks that validators of `set` with more than two thirds of its power signed a precommit
    /// for this block on this chain.
    ///
    /// # Errors
    /// The first thing that does not hold; see [`CertificateError`].
    pub fn verify(&self, chain_id: &ChainId, set: &ValidatorSet) -> Result<(), CertificateError> {
        self.check_order()?;
        let height = self.height;
        let message =
            vote_sign_bytes(chain_id, VoteType::Precommit, height, self.round, Some(self.block));
        let mut signed = 0u64;
        for (address, signature) in &self.signatures {
            let address = *address;
            let (validator, key) =
                set.signer(&address).ok_or(CertificateError::UnknownSigner { height, address })?;
            if !key.verifies_raw(&message, signature) {
                return Err(CertificateError::WrongSignature { height, address });
            }
            signed += validator.power;
        }
        if set.is_quorum(signed) {
            Ok(())
        } else {
            Err(CertificateError::NotEnoughPower { height, signed, total: set.total_power() })
        }
    }

    fn check_order(&self) -> Result<(), CertificateError> {
        match self.signatures.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            None => Ok(()),
            Some(pair) => Err(CertificateError::Order { height: self.height, address: pair[1].0 }),
        }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads a certificate from its canonical bytes. Its signatures are not checked here.
    ///
    /// # Errors
    /// When the bytes are too long, malformed or not canonical, or the signers are not in order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical("commit certificate", bytes, CERTIFICATE_BYTES_MAX)
    }
}
