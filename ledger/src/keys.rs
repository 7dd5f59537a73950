//! Ed25519 keys and signatures, strict, each use under a domain string of its own.
//!
//! Only `verify_strict` is ever called: lax verifiers accept small-order keys and non-canonical
//! encodings, and two verifiers that differ on such a case would fork the ledger.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::codec::bytes_codec;
use crate::ids::IdError;
use crate::limits::KEYS_CACHED_MAX;

/// What a signature is for. The string is part of the signed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A member's transaction.
    Transaction,
    /// A consensus proposal; votes sign the CometBFT bytes, which carry their own type and chain id.
    Proposal,
    /// A checkpoint or another statement of a node about what it holds.
    Statement,
}

impl Domain {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Transaction => b"fedledger/transaction/v1\0",
            Self::Proposal => b"fedledger/proposal/v1\0",
            Self::Statement => b"fedledger/statement/v1\0",
        }
    }

    /// The bytes that are signed: the domain string, then the message.
    pub fn message(self, message: &[u8]) -> Vec<u8> {
        [self.prefix(), message].concat()
    }
}

/// An Ed25519 public key. It is checked to be a point when it verifies, not when it is read, so
/// that a record of a bad key can still be shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub [u8; 32]);
bytes_codec!(PublicKey, 32);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(pub [u8; 64]);
bytes_codec!(Signature, 64);

impl PublicKey {
    /// The public half of a signing key.
    pub fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }

    /// Whether these bytes are a usable key: a canonical point that is not of small order.
    pub fn is_usable(&self) -> bool {
        self.decode().is_some_and(|key| key.is_usable())
    }

    /// Whether `signature` is this key's over `message` in `domain`, by the strict rules.
    pub fn verifies(&self, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        self.verifies_raw(&domain.message(message), signature)
    }

    /// Whether `signature` is this key's over exactly `bytes`, by the strict rules. Only for bytes
    /// that carry a domain of their own, such as CometBFT votes.
    pub fn verifies_raw(&self, bytes: &[u8], signature: &Signature) -> bool {
        self.decode().is_some_and(|key| key.verifies_raw(bytes, signature))
    }

    /// The point that these bytes are, for whoever verifies with the key more than once; nothing
    /// when they are none.
    pub fn decode(&self) -> Option<DecodedKey> {
        VerifyingKey::from_bytes(&self.0).ok().map(DecodedKey)
    }
}

/// A public key as the point that it is. Decoding costs a tenth of a verification.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DecodedKey(VerifyingKey);

impl DecodedKey {
    /// As [`PublicKey::is_usable`].
    pub fn is_usable(&self) -> bool {
        !self.0.is_weak()
    }

    /// As [`PublicKey::verifies`].
    pub fn verifies(&self, domain: Domain, message: &[u8], signature: &Signature) -> bool {
        self.verifies_raw(&domain.message(message), signature)
    }

    /// As [`PublicKey::verifies_raw`].
    pub fn verifies_raw(&self, bytes: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(bytes, &signature).is_ok()
    }
}

impl fmt::Debug for DecodedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PublicKey(self.0.to_bytes()).fmt(f)
    }
}

/// Public keys that were decoded before. What is asked of it follows from the key's bytes alone, so
/// it can be kept as long as one likes.
#[derive(Debug, Clone, Default)]
pub struct KeyCache {
    keys: BTreeMap<PublicKey, Option<DecodedKey>>,
}

impl KeyCache {
    /// The point that a key is; nothing when it is none. With [`KEYS_CACHED_MAX`] keys in it, it
    /// starts anew.
    pub fn decode(&mut self, key: &PublicKey) -> Option<DecodedKey> {
        if let Some(known) = self.keys.get(key) {
            return *known;
        }
        if self.keys.len() >= KEYS_CACHED_MAX {
            self.keys.clear();
        }
        let decoded = key.decode();
        self.keys.insert(*key, decoded);
        decoded
    }
}

/// Signs `message` in `domain`.
pub fn sign(key: &SigningKey, domain: Domain, message: &[u8]) -> Signature {
    sign_raw(key, &domain.message(message))
}

/// Signs exactly `bytes`; see [`PublicKey::verifies_raw`].
pub fn sign_raw(key: &SigningKey, bytes: &[u8]) -> Signature {
    Signature(key.sign(bytes).to_bytes())
}

/// Text as hexadecimal digits, and the shorter debug form, for a newtype over `[u8; N]`.
macro_rules! hex_text {
    ($type:ident, $what:literal, $len:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", hex::encode(&self.0[..4]))
            }
        }
        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0u8; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Hex {
                    what: $what,
                    expected: $len * 2,
                    text: text.to_owned(),
                })?;
                Ok(Self(bytes))
            }
        }
        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                hex::encode(value.0)
            }
        }
    };
}
pub(crate) use hex_text;
hex_text!(PublicKey, "public key", 32);
hex_text!(Signature, "signature", 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_and_message_only() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::of(&key);
        let signature = sign(&key, Domain::Transaction, b"m");
        assert!(public.verifies(Domain::Transaction, b"m", &signature));
        assert!(!public.verifies(Domain::Proposal, b"m", &signature));
        assert!(!public.verifies(Domain::Transaction, b"n", &signature));
        let mut bent = signature;
        bent.0[40] ^= 1;
        assert!(!public.verifies(Domain::Transaction, b"m", &bent));
    }

    #[test]
    fn a_cache_answers_as_the_key_itself_also_once_it_is_full() {
        let mut cache = KeyCache::default();
        let bad = PublicKey([2; 32]);
        assert_eq!(bad.decode(), None, "these bytes are no point");
        let keys = (0..=KEYS_CACHED_MAX as u16).map(|seed| {
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&seed.to_be_bytes());
            SigningKey::from_bytes(&bytes)
        });
        for key in keys {
            let (public, signature) = (PublicKey::of(&key), sign(&key, Domain::Statement, b"m"));
            for _ in 0..2 {
                let decoded = cache.decode(&public).unwrap();
                assert!(decoded.verifies(Domain::Statement, b"m", &signature));
                assert!(!decoded.verifies(Domain::Proposal, b"m", &signature));
                assert_eq!(cache.decode(&bad), None);
            }
            assert!(cache.keys.len() <= KEYS_CACHED_MAX);
        }
    }

    #[test]
    fn small_order_keys_are_not_usable_and_verify_nothing() {
        // The identity point: with R = identity and s = 0, lax verifiers accept any message.
        let mut identity = [0u8; 32];
        identity[0] = 1;
        let key = PublicKey(identity);
        let mut signature = [0u8; 64];
        signature[0] = 1;
        assert!(!key.is_usable());
        assert!(!key.verifies(Domain::Transaction, b"anything", &Signature(signature)));
    }
}
