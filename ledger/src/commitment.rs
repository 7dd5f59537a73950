//! How a member binds itself to an update before anybody may see it.
//!
//! In the commit phase a member signs [`UpdateOpening::commitment`], a hash of the update's digest
//! and 32 bytes that nobody else knows; in the reveal phase it gives both. The commitment is
//! *binding*: another update or another salt for the same value would be a collision of SHA-256.
//! It is *hiding* as long as the salt is secret and random: whoever guesses the update still cannot
//! tell. It names ledger, task, round and member, so a commitment that is copied from another
//! member, round or ledger cannot be opened by whoever copied it, not even with the salt.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec::{bytes_codec, from_canonical, to_canonical, CodecError};
use crate::ids::{ChainId, Digest, IdError, MemberId, RoundNumber, TaskId};
use crate::keys::hex_text;
use crate::limits::OPENING_BYTES_MAX;

/// What commitments begin with under the hash, so that no other hashed bytes can be one.
const DOMAIN: &[u8] = b"fedledger/commitment/v1\0";

/// The 32 random bytes of a commitment. Each is used once, kept until the reveal, and then public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(pub [u8; 32]);
bytes_codec!(Salt, 32);
hex_text!(Salt, "salt", 32);

/// All that a commitment binds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct UpdateOpening {
    /// The ledger.
    #[n(0)]
    pub chain_id: ChainId,
    /// The task.
    #[n(1)]
    pub task: TaskId,
    /// The round.
    #[n(2)]
    pub round: RoundNumber,
    /// The member that commits.
    #[n(3)]
    pub member: MemberId,
    /// Digest of the canonical update.
    #[n(4)]
    pub update: Digest,
    /// What hides the digest.
    #[n(5)]
    pub salt: Salt,
}

impl UpdateOpening {
    /// The commitment: SHA-256 over the domain string and the canonical bytes.
    pub fn commitment(&self) -> Digest {
        Digest::of(&[DOMAIN, &to_canonical(self)].concat())
    }

    /// The canonical bytes, as its owner keeps them.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Reads an opening from its canonical bytes.
    ///
    /// # Errors
    /// When the bytes are too long, malformed or not canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical("opening", bytes, OPENING_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> UpdateOpening {
        UpdateOpening {
            chain_id: ChainId::new("test-1").unwrap(),
            task: TaskId::new("t").unwrap(),
            round: RoundNumber(1),
            member: MemberId::new("a").unwrap(),
            update: Digest::of(b"update"),
            salt: Salt([7; 32]),
        }
    }

    #[test]
    fn a_commitment_is_bound_to_everything_that_it_names() {
        let good = opening();
        let others = [
            UpdateOpening { chain_id: ChainId::new("test-2").unwrap(), ..opening() },
            UpdateOpening { task: TaskId::new("u").unwrap(), ..opening() },
            UpdateOpening { round: RoundNumber(2), ..opening() },
            UpdateOpening { member: MemberId::new("b").unwrap(), ..opening() },
            UpdateOpening { update: Digest::of(b"another"), ..opening() },
            UpdateOpening { salt: Salt([8; 32]), ..opening() },
        ];
        for other in others {
            assert_ne!(other.commitment(), good.commitment(), "{other:?}");
        }
        assert_ne!(good.commitment(), Digest::of(&good.to_bytes()), "it has a domain of its own");
    }

    #[test]
    fn bytes_round_trip_at_the_longest() {
        let longest = UpdateOpening {
            chain_id: ChainId::new("x".repeat(50)).unwrap(),
            task: TaskId::new("t".repeat(32)).unwrap(),
            round: RoundNumber(u64::MAX),
            member: MemberId::new("m".repeat(32)).unwrap(),
            ..opening()
        };
        for one in [opening(), longest] {
            let mut bytes = one.to_bytes();
            assert_eq!(UpdateOpening::from_bytes(&bytes), Ok(one));
            bytes.push(0);
            assert!(UpdateOpening::from_bytes(&bytes).is_err());
        }
    }
}
