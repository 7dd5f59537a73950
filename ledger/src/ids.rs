//! Identifiers and quantities, each a type of its own with a checked constructor.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::codec::{bytes_codec, text_codec};
use crate::limits::{CHAIN_ID_BYTES_MAX, ID_BYTES_MAX};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// The length is outside 1 to the kind's limit.
    #[error("{what} must be 1 to {max} characters long, found {found}")]
    Length {
        /// Kind of identifier.
        what: &'static str,
        /// Longest length allowed.
        max: usize,
        /// Length found.
        found: usize,
    },
    /// A character outside `a-z`, `0-9` and inner `-`.
    #[error("{what} `{text}` may hold only a-z, 0-9 and, inside, '-'")]
    Character {
        /// Kind of identifier.
        what: &'static str,
        /// The text as given.
        text: String,
    },
    /// Not the hexadecimal form of the expected number of bytes.
    #[error("{what} must be {expected} hexadecimal digits, found `{text}`")]
    Hex {
        /// Kind of identifier.
        what: &'static str,
        /// Number of digits expected.
        expected: usize,
        /// The text as given.
        text: String,
    },
}

fn check_slug(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length { what, max, found: text.len() });
    }
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !inner || text.starts_with('-') || text.ends_with('-') {
        return Err(IdError::Character { what, text: text.to_owned() });
    }
    Ok(())
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Checks that the text is a ", $what, ".")]
            ///
            /// # Errors
            /// When the length or a character is not allowed; see [`IdError`].
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check_slug($what, &text, $max)?;
                Ok(Self(text))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        text_codec!($name);
    };
}

slug!(
    /// An institution in the consortium. It is chosen at admission, never reused, and does not
    /// depend on any key, so that rotating a key keeps the identity.
    MemberId, "member id", ID_BYTES_MAX
);
slug!(
    /// One federated training task.
    TaskId, "task id", ID_BYTES_MAX
);
slug!(
    /// One ledger. It is part of every signed byte string, so that nothing signed for one ledger
    /// can be replayed on another.
    ChainId, "chain id", CHAIN_ID_BYTES_MAX
);

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);
bytes_codec!(Digest, 32);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for tables that people read.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}
impl FromStr for Digest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Hex {
            what: "digest",
            expected: 64,
            text: text.to_owned(),
        })?;
        Ok(Self(bytes))
    }
}
impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}
impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        hex::encode(digest.0)
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
            Encode, Decode,
        )]
        #[serde(transparent)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $inner);

        impl $name {
            /// The quantity that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a counter of 64 bits does not run out"))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

quantity!(
    /// Position of a block in the chain; genesis is 0 and has no block.
    Height(u64)
);
quantity!(
    /// One federated training round of a task; the first is 1.
    RoundNumber(u64)
);
quantity!(
    /// Milliseconds since 1970-01-01T00:00:00Z, as a block's proposer said and a quorum accepted.
    TimeMs(u64)
);
quantity!(
    /// Counts one member's transactions; the first is 1 and each follows its predecessor.
    Nonce(u64)
);

impl TimeMs {
    /// This time moved `ms` milliseconds later, at most to the end of time.
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Number of Byzantine members that `n` members tolerate: the largest f with n ≥ 3f + 1.
pub fn byzantine_max(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// Votes that decide among `n` members of equal power: more than two thirds.
pub fn quorum(n: usize) -> usize {
    n * 2 / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        for good in ["a", "hospital-3", "0x"] {
            assert_eq!(MemberId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "ü", "a b", &"x".repeat(33)] {
            assert!(MemberId::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn bounds_are_those_of_the_field() {
        for (n, f, q) in [(1, 0, 1), (3, 0, 3), (4, 1, 3), (7, 2, 5), (13, 4, 9), (100, 33, 67)] {
            assert_eq!((byzantine_max(n), quorum(n)), (f, q), "n = {n}");
        }
    }

    #[test]
    fn digests_print_and_parse() {
        let digest = Digest::of(b"fedledger");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("00".parse::<Digest>().is_err());
    }
}
