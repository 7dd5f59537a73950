//! Checking ICS23 proofs against a state root.

use ics23::{CommitmentProof, HostFunctionsManager};
use prost::Message as _;
use thiserror::Error;

use crate::ids::Digest;

/// Longest proof that is looked at, in bytes: two existence proofs of depth 64 with the longest
/// values that a neighbour can have.
const STATE_PROOF_BYTES_MAX: usize = 2 * super::STATE_VALUE_BYTES_MAX + (64 << 10);

/// Why a state proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateProofError {
    /// The bytes are not one ICS23 commitment proof.
    #[error("the state proof cannot be decoded: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// The proof does not show this value under this key at this root.
    #[error("the proof does not show this value under `{key}` at state root {root}")]
    NotMember {
        /// The key, with what is not printable escaped.
        key: String,
        /// The root.
        root: Digest,
    },
    /// The proof does not show that the key is absent at this root.
    #[error("the proof does not show that `{key}` is absent at state root {root}")]
    NotAbsent {
        /// The key, with what is not printable escaped.
        key: String,
        /// The root.
        root: Digest,
    },
}

fn decode(proof: &[u8]) -> Result<CommitmentProof, StateProofError> {
    let malformed = |reason: &str| StateProofError::Malformed { reason: reason.to_owned() };
    if proof.len() > STATE_PROOF_BYTES_MAX {
        return Err(malformed("longer than any proof of a state can be"));
    }
    let decoded = CommitmentProof::decode(proof).map_err(|error| malformed(&error.to_string()))?;
    // Protobuf has many encodings of one message; ours is the one that encoding gives.
    if decoded.encode_to_vec() != proof {
        return Err(malformed("not the encoding that its content has"));
    }
    // Batches prove several keys at once and are never made here.
    match &decoded.proof {
        Some(
            ics23::commitment_proof::Proof::Exist(_) | ics23::commitment_proof::Proof::Nonexist(_),
        ) => Ok(decoded),
        _ => Err(malformed("neither a proof of existence nor of absence")),
    }
}

/// Whether the proof says that it is about `key`. ICS23 leaves the key that a proof of absence names
/// unchecked; refusing another one leaves no byte of a proof that can be changed.
fn names_key(proof: &CommitmentProof, key: &[u8]) -> bool {
    match &proof.proof {
        Some(ics23::commitment_proof::Proof::Exist(exist)) => exist.key == key,
        Some(ics23::commitment_proof::Proof::Nonexist(nonexist)) => nonexist.key == key,
        _ => false,
    }
}

/// Checks that `value` is under `key` in the state with this root.
///
/// # Errors
/// See [`StateProofError`].
pub fn verify_membership(
    root: &Digest,
    key: &[u8],
    value: &[u8],
    proof: &[u8],
) -> Result<(), StateProofError> {
    let proof = decode(proof)?;
    let root_bytes = root.0.to_vec();
    let shown = names_key(&proof, key)
        && ics23::verify_membership::<HostFunctionsManager>(
            &proof,
            &jmt::ics23_spec(),
            &root_bytes,
            key,
            value,
        );
    if shown {
        Ok(())
    } else {
        Err(StateProofError::NotMember { key: key.escape_ascii().to_string(), root: *root })
    }
}

/// Checks that nothing is under `key` in the state with this root.
///
/// # Errors
/// See [`StateProofError`].
pub fn verify_absence(root: &Digest, key: &[u8], proof: &[u8]) -> Result<(), StateProofError> {
    let proof = decode(proof)?;
    let root_bytes = root.0.to_vec();
    let shown = names_key(&proof, key)
        && ics23::verify_non_membership::<HostFunctionsManager>(
            &proof,
            &jmt::ics23_spec(),
            &root_bytes,
            key,
        );
    if shown {
        Ok(())
    } else {
        Err(StateProofError::NotAbsent { key: key.escape_ascii().to_string(), root: *root })
    }
}
