//! Validator sets, ordered and hashed as CometBFT's.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Decoder, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{bytes_codec, from_canonical, to_canonical, CodecError};
use crate::ids::{Digest, IdError};
use crate::keys::{DecodedKey, PublicKey};
use crate::limits::MEMBERS_MAX;
use crate::log::{leaf_hash, root_of};

/// Largest total power of a set: CometBFT's limit.
pub const POWER_TOTAL_MAX: u64 = (i64::MAX / 8) as u64;

/// Names a validator: the first 20 bytes of the SHA-256 of its public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ValidatorAddress(pub [u8; 20]);
bytes_codec!(ValidatorAddress, 20);

impl ValidatorAddress {
    /// The address of a validator key.
    pub fn of(key: &PublicKey) -> Self {
        let mut address = [0; 20];
        address.copy_from_slice(&Digest::of(&key.0).0[..20]);
        Self(address)
    }
}
impl fmt::Display for ValidatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}
impl fmt::Debug for ValidatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex::encode(&self.0[..4]))
    }
}
impl FromStr for ValidatorAddress {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0u8; 20];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Hex {
            what: "validator address",
            expected: 40,
            text: text.to_owned(),
        })?;
        Ok(Self(bytes))
    }
}
impl TryFrom<String> for ValidatorAddress {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}
impl From<ValidatorAddress> for String {
    fn from(address: ValidatorAddress) -> String {
        hex::encode(address.0)
    }
}

/// One validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Validator {
    /// Its name, which follows from the key.
    pub address: ValidatorAddress,
    /// The key that signs its votes.
    pub key: PublicKey,
    /// Its voting power, at least 1.
    pub power: u64,
}

impl Validator {
    /// CometBFT's `SimpleValidator` in protobuf: `{1: {1: key}, 2: power}`. Written by hand, for the
    /// types of the `tendermint` crate decode the key again; a test holds the two together.
    fn hashed_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x0a, 0x22, 0x0a, 0x20];
        bytes.extend(self.key.0);
        bytes.push(0x10);
        let mut rest = self.power;
        while rest >= 0x80 {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    }
}

/// Why keys and powers do not make a validator set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValidatorSetError {
    /// There is no validator, or there are too many.
    #[error("a validator set has 1 to {max} validators, found {found}")]
    Count {
        /// Number found.
        found: usize,
        /// Largest number allowed.
        max: usize,
    },
    /// A key is not a point that strict verification accepts.
    #[error("validator key {key} cannot be used")]
    UnusableKey {
        /// The key.
        key: PublicKey,
    },
    /// Two validators have the same key.
    #[error("validator {address} is in the set twice")]
    Duplicate {
        /// The address.
        address: ValidatorAddress,
    },
    /// A power is zero, or the total is over the limit.
    #[error("validator {address} with power {power} leaves the range of 1 to a total of {max}")]
    Power {
        /// The validator at which the range is left.
        address: ValidatorAddress,
        /// Its power.
        power: u64,
        /// Largest total allowed.
        max: u64,
    },
    /// Encoded validators are not ordered by power (descending), then address.
    #[error("the validators are not in order")]
    Order,
}

/// The validators that decide a block: ordered by power (descending), then by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Parts>", into = "Vec<Validator>")]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    /// The key of each, decoded.
    keys: Vec<DecodedKey>,
    hash: Digest,
}

/// A validator as it is encoded: the address follows from the key.
#[derive(Encode, Decode, Deserialize)]
#[cbor(map)]
struct Parts {
    #[n(0)]
    key: PublicKey,
    #[n(1)]
    power: u64,
}

impl ValidatorSet {
    /// A set from keys with their powers, in any order.
    ///
    /// # Errors
    /// When it is empty or too large, a key is unusable or there twice, or a power is out of range.
    pub fn new(
        keys: impl IntoIterator<Item = (PublicKey, u64)>,
    ) -> Result<Self, ValidatorSetError> {
        let mut validators: Vec<_> = keys
            .into_iter()
            .map(|(key, power)| Validator { address: ValidatorAddress::of(&key), key, power })
            .collect();
        if validators.is_empty() || validators.len() > MEMBERS_MAX {
            return Err(ValidatorSetError::Count { found: validators.len(), max: MEMBERS_MAX });
        }
        let mut total = 0u64;
        for validator in &validators {
            let Validator { address, power, .. } = *validator;
            total = total.saturating_add(power);
            if power == 0 || total > POWER_TOTAL_MAX {
                return Err(ValidatorSetError::Power { address, power, max: POWER_TOTAL_MAX });
            }
        }
        validators.sort_by_key(|validator| validator.address);
        if let Some(pair) = validators.windows(2).find(|pair| pair[0].address == pair[1].address) {
            return Err(ValidatorSetError::Duplicate { address: pair[0].address });
        }
        validators.sort_by_key(|validator| (Reverse(validator.power), validator.address));
        let decoded = validators.iter().map(|&Validator { key, .. }| {
            let decoded = key.decode().filter(DecodedKey::is_usable);
            decoded.ok_or(ValidatorSetError::UnusableKey { key })
        });
        let keys = decoded.collect::<Result<Vec<_>, _>>()?;
        let hash = root_of(validators.iter().map(|one| leaf_hash(&one.hashed_bytes())));
        Ok(Self { validators, keys, hash })
    }

    /// A set in which every key has power 1, as a consortium of equals has.
    ///
    /// # Errors
    /// As [`ValidatorSet::new`].
    pub fn of_equals(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, ValidatorSetError> {
        Self::new(keys.into_iter().map(|key| (key, 1)))
    }

    /// CometBFT's `validators_hash`: the RFC 6962 root over the protobuf of each key and power.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The validators in order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Number of validators, at least 1.
    #[allow(clippy::len_without_is_empty)] // A set is never empty.
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// The sum of all powers.
    pub fn total_power(&self) -> u64 {
        self.validators.iter().map(|validator| validator.power).sum()
    }

    /// The validator with this address.
    pub fn get(&self, address: &ValidatorAddress) -> Option<&Validator> {
        self.validators.iter().find(|validator| validator.address == *address)
    }

    /// The validator with this address and its key, decoded.
    pub(super) fn signer(&self, address: &ValidatorAddress) -> Option<(&Validator, &DecodedKey)> {
        let mut signers = self.validators.iter().zip(&self.keys);
        signers.find(|(validator, _)| validator.address == *address)
    }

    /// Whether `power` is a quorum: more than two thirds of the total.
    pub fn is_quorum(&self, power: u64) -> bool {
        u128::from(power) * 3 > u128::from(self.total_power()) * 2
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads a set from its canonical bytes.
    ///
    /// # Errors
    /// When the bytes are malformed or not canonical, or are not a set in order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical("validator set", bytes, MEMBERS_MAX * 64)
    }
}

impl From<ValidatorSet> for Vec<Validator> {
    fn from(set: ValidatorSet) -> Self {
        set.validators
    }
}

impl TryFrom<Vec<Parts>> for ValidatorSet {
    type Error = ValidatorSetError;
    fn try_from(parts: Vec<Parts>) -> Result<Self, ValidatorSetError> {
        let keys: Vec<_> = parts.iter().map(|parts| (parts.key, parts.power)).collect();
        let set = Self::new(keys.iter().copied())?;
        let in_order = set.validators.iter().map(|v| (v.key, v.power)).eq(keys);
        if in_order {
            Ok(set)
        } else {
            Err(ValidatorSetError::Order)
        }
    }
}

impl<C> Encode<C> for ValidatorSet {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let parts: Vec<_> =
            self.validators.iter().map(|v| Parts { key: v.key, power: v.power }).collect();
        parts.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for ValidatorSet {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let parts = Vec::<Parts>::decode(d, ctx)?;
        parts
            .try_into()
            .map_err(|error: ValidatorSetError| minicbor::decode::Error::message(error.to_string()))
    }
}
