//! What a hostile member signs with its own key, past its own node.

use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::entry::Receipt;
use fedledger_ledger::ids::{Digest, Nonce, RoundNumber};
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::BlobStore;
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};
use fedledger_node::keys::NodeKeys;

use super::{until, Consortium};

/// A commitment in the making: an update with what is claimed about it.
#[derive(Debug, Clone)]
pub struct Forged {
    pub update: Digest,
    pub base_model: Digest,
    pub byte_length: u64,
    pub salt: Salt,
}

impl Consortium {
    /// The canonical bytes of the update that `seed` stands for.
    pub fn canonical(&self, seed: usize, round: RoundNumber) -> Vec<u8> {
        let values = self.schema.quantise(&self.tensors(seed, round)).unwrap();
        self.schema.encode(&values).unwrap()
    }

    /// A commitment to `bytes` with nothing wrong about it yet.
    pub fn forge(&self, bytes: &[u8]) -> Forged {
        let update = Digest::of(bytes);
        let salt = Salt(Digest::of(&update.0).0);
        let byte_length = self.canonical(0, RoundNumber(1)).len() as u64;
        Forged { update, base_model: self.task_view(0).model, byte_length, salt }
    }

    /// Puts a blob where the member's node serves it from.
    pub fn plant_blob(&self, member: usize, bytes: &[u8]) {
        let blobs = BlobStore::open(&self.data(member).join("blobs"), BLOB_BYTES_MAX).unwrap();
        blobs.put(bytes).unwrap();
    }

    /// Signs a commitment with the member's key, hands it to another node, and returns what the
    /// ledger made of it.
    pub fn commit_by_hand(&self, member: usize, round: RoundNumber, forged: &Forged) -> Receipt {
        let opening = UpdateOpening {
            chain_id: self.devnet.chain_id.clone(),
            task: self.task.clone(),
            round,
            member: self.devnet.nodes[member].member.clone(),
            update: forged.update,
            salt: forged.salt,
        };
        let transaction = self.send_signed(
            member,
            Action::CommitUpdate {
                task: self.task.clone(),
                round,
                base_model: forged.base_model,
                commitment: opening.commitment(),
                num_examples: 10,
                byte_length: forged.byte_length,
                claims: None,
                attestation: None,
            },
        );
        until("the commitment to be in a block", || self.receipt(&transaction))
    }

    /// Waits for the reveal phase and signs the reveal with the member's key. It may never get into
    /// a block.
    pub fn reveal_by_hand(&self, member: usize, round: RoundNumber, forged: &Forged) {
        until("the reveal phase", || {
            let view = self.round_view(0, round)?;
            (view.phase == "reveal").then_some(())
        });
        let (task, update, salt) = (self.task.clone(), forged.update, forged.salt);
        self.send_signed(member, Action::RevealUpdate { task, round, update, salt });
    }

    /// Signs an action with a member's key and hands it to node 0.
    fn send_signed(&self, member: usize, action: Action) -> Digest {
        let keys = NodeKeys::load(self.home(member).path()).unwrap();
        let member = self.devnet.nodes[member].member.clone();
        let body = TransactionBody {
            chain_id: self.devnet.chain_id.clone(),
            nonce: Nonce(self.transactions_of(0, &member) + 1),
            member,
            action,
        };
        let transaction = Transaction::sign(body, &keys.member);
        let bytes = transaction.to_bytes();
        let length = bytes.len() as u64;
        let _: serde_json::Value = self
            .client(0)
            .post_bytes("/v1/transactions", "application/cbor", bytes.as_slice(), length)
            .unwrap();
        transaction.digest()
    }

    /// What the ledger made of a transaction, once it is in a block.
    fn receipt(&self, transaction: &Digest) -> Option<Receipt> {
        let path = format!("/v1/transactions/{transaction}");
        let status: serde_json::Value = self.client(0).get(&path).unwrap();
        serde_json::from_value(status["receipt"].clone()).ok()
    }
}
