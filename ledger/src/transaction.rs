//! What members say: signed actions.

use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec::{from_canonical, to_canonical, CodecError};
use crate::commitment::Salt;
use crate::governance::Change;
use crate::ids::{ChainId, Digest, MemberId, Nonce, RoundNumber, TaskId};
use crate::keys::{sign, DecodedKey, Domain, PublicKey, Signature};
use crate::limits::TRANSACTION_BYTES_MAX;

/// What a member states about how it trained. The ledger records it; it proves nothing by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct TrainingClaims {
    /// Differential privacy ε in thousandths.
    #[n(0)]
    pub epsilon_milli: u64,
    /// Differential privacy δ as -log10 δ in thousandths.
    #[n(1)]
    pub delta_neg_log10_milli: u64,
    /// Clipping norm in millionths.
    #[n(2)]
    pub clip_micro: u64,
}

/// One evaluator's loss of one candidate on its held-out examples of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct ClassLoss {
    /// Mean loss over these examples, in millionths; 0 where there are none.
    #[n(0)]
    pub loss_micro: u64,
    /// Number of these examples.
    #[n(1)]
    pub num_examples: u64,
}

/// One evaluator's score of one candidate on private held-out data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
#[serde(deny_unknown_fields)]
pub struct CandidateScore {
    /// Digest of the candidate model that was scored.
    #[n(0)]
    pub candidate: Digest,
    /// Mean loss over the held-out examples, in millionths. Lower is better.
    #[n(1)]
    pub loss_micro: u64,
    /// Number of held-out examples.
    #[n(2)]
    pub num_examples: u64,
    /// The same for each class of the task, in the task's order; none where it asks for none.
    #[n(3)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassLoss>,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a task is large, and few of them are alive at once")]
pub enum Action {
    /// Binds the member to an update before anybody has seen any update of the round.
    #[n(0)]
    CommitUpdate {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// Digest of the model that the member trained from.
        #[n(2)]
        base_model: Digest,
        /// [`UpdateOpening::commitment`](crate::commitment::UpdateOpening::commitment) to the
        /// canonical update.
        #[n(3)]
        commitment: Digest,
        /// Number of examples trained on.
        #[n(4)]
        num_examples: u64,
        /// Length of the canonical update in bytes.
        #[n(5)]
        byte_length: u64,
        /// Training claims, if any.
        #[n(6)]
        claims: Option<TrainingClaims>,
        /// Digest of an attestation document kept off the chain, if any.
        #[n(7)]
        attestation: Option<Digest>,
    },
    /// Opens the member's commitment, and says that the update can be fetched by its digest.
    #[n(1)]
    RevealUpdate {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// Digest of the canonical update.
        #[n(2)]
        update: Digest,
        /// What hid the digest in the commitment.
        #[n(3)]
        salt: Salt,
    },
    /// Scores the round's candidates.
    #[n(2)]
    SubmitEvaluation {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// One score for each candidate, in the order in which the contract listed them.
        #[n(2)]
        scores: Vec<CandidateScore>,
    },
    /// Puts a change to the vote; the proposer approves it thereby.
    #[n(3)]
    ProposeChange {
        /// The change.
        #[n(0)]
        change: Change,
    },
    /// Approves a proposed change.
    #[n(4)]
    Approve {
        /// Digest of the change.
        #[n(0)]
        change: Digest,
    },
    /// Says that the member's data have changed, before it commits in this round: what the task
    /// remembers of it begins anew, at reduced weight.
    #[n(5)]
    AnnounceDataChange {
        /// The task.
        #[n(0)]
        task: TaskId,
        /// The round.
        #[n(1)]
        round: RoundNumber,
        /// What has changed, for people.
        #[n(2)]
        reason: String,
    },
}

/// A transaction without its signature: the signed bytes are its canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct TransactionBody {
    /// The ledger it is for.
    #[n(0)]
    pub chain_id: ChainId,
    /// Who says it.
    #[n(1)]
    pub member: MemberId,
    /// Counts this member's transactions.
    #[n(2)]
    pub nonce: Nonce,
    /// What is done.
    #[n(3)]
    pub action: Action,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Transaction {
    /// What is signed.
    #[n(0)]
    pub body: TransactionBody,
    /// The member key's signature over the canonical body in [`Domain::Transaction`].
    #[n(1)]
    pub signature: Signature,
}

impl Transaction {
    /// Signs a body with the member key.
    pub fn sign(body: TransactionBody, key: &SigningKey) -> Self {
        let signature = sign(key, Domain::Transaction, &to_canonical(&body));
        Self { body, signature }
    }

    /// Reads a transaction from its canonical bytes. The signature is not checked here.
    ///
    /// # Errors
    /// When the bytes are too long, malformed or not canonical.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical("transaction", bytes, TRANSACTION_BYTES_MAX)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// The digest of the canonical bytes, by which receipts name the transaction.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Whether `key` signed this transaction.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.decode().is_some_and(|key| self.is_signed_by_decoded(&key))
    }

    /// As [`Transaction::is_signed_by`], with a key that was decoded before.
    pub fn is_signed_by_decoded(&self, key: &DecodedKey) -> bool {
        key.verifies(Domain::Transaction, &to_canonical(&self.body), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Transaction {
        let key = SigningKey::from_bytes(&[3; 32]);
        let body = TransactionBody {
            chain_id: ChainId::new("test-1").unwrap(),
            member: MemberId::new("a").unwrap(),
            nonce: Nonce(1),
            action: Action::CommitUpdate {
                task: TaskId::new("t").unwrap(),
                round: RoundNumber(1),
                base_model: Digest::of(b"m"),
                commitment: Digest::of(b"c"),
                num_examples: 10,
                byte_length: 100,
                claims: None,
                attestation: None,
            },
        };
        Transaction::sign(body, &key)
    }

    #[test]
    fn bytes_round_trip_and_every_bent_byte_is_refused() {
        let transaction = example();
        let key = PublicKey::of(&SigningKey::from_bytes(&[3; 32]));
        let bytes = transaction.to_bytes();
        assert_eq!(Transaction::from_bytes(&bytes).unwrap(), transaction);
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let accepted = Transaction::from_bytes(&bent).is_ok_and(|bent| bent.is_signed_by(&key));
            assert!(!accepted, "byte {at} can be changed");
        }
    }

    #[test]
    fn trailing_and_unknown_bytes_are_refused() {
        let mut bytes = example().to_bytes();
        bytes.push(0);
        assert!(matches!(Transaction::from_bytes(&bytes), Err(CodecError::NotCanonical { .. })));
        // An unknown key 9 in the outer map: decoders skip it, the canonical form does not have it.
        let mut bytes = example().to_bytes();
        assert_eq!(bytes[0], 0xa2);
        bytes[0] = 0xa3;
        bytes.extend([0x09, 0x00]);
        assert!(matches!(Transaction::from_bytes(&bytes), Err(CodecError::NotCanonical { .. })));
    }
}
