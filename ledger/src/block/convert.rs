//! The same blocks in the types of the `tendermint` crate.

use tendermint::block::signed_header::SignedHeader;
use tendermint::block::{self, parts, Commit, CommitSig, Header};
use tendermint::merkle::MerkleHash;
use tendermint::{account, chain, validator, vote, AppHash, Hash, Time};
use thiserror::Error;

use super::{consensus_hash, BlockHeader, CommitCertificate, ValidatorAddress, ValidatorSet};
use crate::ids::{Digest, Height};
use crate::log::{empty_root, leaf_hash, node_hash};

/// A number that CometBFT's types cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{value} is out of the range of a {what}")]
pub struct RangeError {
    /// What the number is.
    pub what: &'static str,
    /// The number.
    pub value: u64,
}

/// SHA-256 for the generic hashing of the `tendermint` crate.
#[derive(Default)]
struct Sha256;

impl tendermint::crypto::Sha256 for Sha256 {
    fn digest(data: impl AsRef<[u8]>) -> [u8; 32] {
        Digest::of(data.as_ref()).0
    }
}

impl MerkleHash for Sha256 {
    fn empty_hash(&mut self) -> [u8; 32] {
        empty_root().0
    }
    fn leaf_hash(&mut self, bytes: &[u8]) -> [u8; 32] {
        leaf_hash(bytes).0
    }
    fn inner_hash(&mut self, left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
        node_hash(&Digest(left), &Digest(right)).0
    }
}

fn digest(hash: Hash) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_bytes());
    Digest(bytes)
}

fn hash(digest: Digest) -> Hash {
    Hash::Sha256(digest.0)
}

fn block_id(digest: Digest) -> block::Id {
    let part_set_header =
        parts::Header::new(1, hash(digest)).expect("one part with a hash is a part set");
    block::Id { hash: hash(digest), part_set_header }
}

fn address(address: ValidatorAddress) -> account::Id {
    account::Id::new(address.0)
}

fn height(height: Height) -> Result<block::Height, RangeError> {
    height.0.try_into().map_err(|_| RangeError { what: "block height", value: height.0 })
}

pub(super) fn header_hash(header: &BlockHeader) -> Digest {
    let header = header.to_tendermint().expect("a header's ranges are checked before it is hashed");
    digest(header.hash_with::<Sha256>())
}

impl BlockHeader {
    /// The CometBFT header.
    ///
    /// # Errors
    /// When [`BlockHeader::check_ranges`] does not hold.
    pub fn to_tendermint(&self) -> Result<Header, RangeError> {
        self.check_ranges()?;
        let out_of_range = |_| RangeError { what: "block time", value: self.time.0 };
        let empty = Some(hash(empty_root()));
        Ok(Header {
            version: block::header::Version { block: 11, app: 1 },
            chain_id: chain::Id::try_from(self.chain_id.as_str())
                .expect("a chain id here is one there: at most 50 of a-z, 0-9 and -"),
            height: height(self.height)?,
            time: Time::from_unix_timestamp(
                i64::try_from(self.time.0 / 1_000).expect("a 1000th of 64 bits fits 63"),
                u32::try_from(self.time.0 % 1_000).expect("under 1000") * 1_000_000,
            )
            .map_err(out_of_range)?,
            last_block_id: self.last_block_id.map(block_id),
            last_commit_hash: empty,
            data_hash: Some(hash(self.data_hash)),
            validators_hash: hash(self.validators_hash),
            next_validators_hash: hash(self.next_validators_hash),
            consensus_hash: hash(consensus_hash()),
            app_hash: AppHash::try_from(self.app_hash.0.to_vec())
                .expect("any bytes are an app hash"),
            last_results_hash: empty,
            evidence_hash: empty,
            proposer_address: address(self.proposer),
        })
    }
}

impl ValidatorSet {
    /// The CometBFT validator set, without a proposer.
    pub fn to_tendermint(&self) -> validator::Set {
        let validators = self.validators().iter().map(|validator| validator::Info {
            address: address(validator.address),
            pub_key: tendermint::PublicKey::from_raw_ed25519(&validator.key.0)
                .expect("a set holds usable keys only"),
            power: vote::Power::try_from(validator.power).expect("a set's powers fit 60 bits"),
            name: None,
            proposer_priority: validator::ProposerPriority::default(),
        });
        validator::Set::without_proposer(validators.collect())
    }
}

impl CommitCertificate {
    /// The CometBFT commit: one slot for each validator of `set` in order, absent where the
    /// certificate has no signature. Signatures of strangers have no slot and are left out.
    ///
    /// # Errors
    /// When height or round is out of range.
    pub fn to_tendermint(&self, set: &ValidatorSet) -> Result<Commit, RangeError> {
        let slot = |validator: &super::Validator| {
            let at =
                self.signatures.binary_search_by_key(&validator.address, |(signer, _)| *signer);
            let Ok(at) = at else { return CommitSig::BlockIdFlagAbsent };
            CommitSig::BlockIdFlagCommit {
                validator_address: address(validator.address),
                timestamp: Time::unix_epoch(),
                signature: tendermint::Signature::new(self.signatures[at].1 .0)
                    .expect("64 bytes are a signature"),
            }
        };
        Ok(Commit {
            height: height(self.height)?,
            round: self
                .round
                .try_into()
                .map_err(|_| RangeError { what: "round", value: self.round.into() })?,
            block_id: block_id(self.block),
            signatures: set.validators().iter().map(slot).collect(),
        })
    }
}

/// The CometBFT signed header: what light clients take.
///
/// # Errors
/// When a number is out of range, or header and certificate have different heights.
pub fn signed_header(
    header: &BlockHeader,
    certificate: &CommitCertificate,
    set: &ValidatorSet,
) -> Result<SignedHeader, RangeError> {
    SignedHeader::new(header.to_tendermint()?, certificate.to_tendermint(set)?).map_err(|_| {
        RangeError { what: "certificate for this header", value: certificate.height.0 }
    })
}
