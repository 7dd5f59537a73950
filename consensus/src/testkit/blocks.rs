//! Blocks of any length.

use ed25519_dalek::SigningKey;
use fedledger_ledger::block::{consensus_hash, Block, BlockBody, BlockHeader, ValidatorAddress};
use fedledger_ledger::commitment::Salt;
use fedledger_ledger::ids::{
    ChainId, Digest, Height, MemberId, Nonce, RoundNumber, TaskId, TimeMs,
};
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};

use crate::application::ProposedBlock;

/// A consistent block at `height` with `transactions` transactions of some 240 bytes each. Nothing
/// on a real ledger could execute it.
///
/// # Panics
/// When there are more transactions than a block may hold.
pub fn block_of(height: Height, transactions: u64) -> ProposedBlock {
    let chain_id = ChainId::new("test").expect("a chain id");
    let key = SigningKey::from_bytes(&[9; 32]);
    let transaction = |nonce| {
        let action = Action::RevealUpdate {
            task: TaskId::new("a-task-whose-name-is-rather-long").expect("a task id"),
            round: RoundNumber(1),
            update: Digest::of(b"update"),
            salt: Salt([3; 32]),
        };
        let member = MemberId::new("a-member-whose-name-is-long-too").expect("a member id");
        let body =
            TransactionBody { chain_id: chain_id.clone(), member, nonce: Nonce(nonce), action };
        Transaction::sign(body, &key)
    };
    let body = BlockBody {
        transactions: (1..=transactions).map(transaction).collect(),
        decisions: vec![],
    };
    let header = BlockHeader {
        chain_id: chain_id.clone(),
        height,
        time: TimeMs(height.0),
        last_block_id: (height.0 > 1).then(|| Digest::of(b"parent")),
        data_hash: body.data_hash(),
        validators_hash: Digest::of(b"validators"),
        next_validators_hash: Digest::of(b"validators"),
        app_hash: consensus_hash(),
        proposer: ValidatorAddress([1; 20]),
    };
    let block = Block { header, body };
    block.check_consistency().expect("a block within the limits");
    ProposedBlock { id: block.hash(), bytes: block.to_bytes().into() }
}
