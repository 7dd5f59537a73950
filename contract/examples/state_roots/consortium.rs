//! A consortium in one process: members with fixed keys, and blocks carried out, hashed and
//! certified as nodes do it.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use fedledger_contract::{apply_block, genesis, BlockEffects, BlockInput};
use fedledger_ledger::block::{
    vote_sign_bytes, Block, BlockBody, CommitCertificate, Parent, ValidatorAddress, ValidatorSet,
    VoteType,
};
use fedledger_ledger::decision::Decision;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::{MemberKeys, MemberSpec};
use fedledger_ledger::ids::{ChainId, Height, MemberId, Nonce, TimeMs};
use fedledger_ledger::keys::{sign_raw, PublicKey};
use fedledger_ledger::state::LatestState;
use fedledger_ledger::task::TaskSpec;
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};

/// The ledger of one consortium, with every member's keys at hand.
pub struct Consortium {
    /// What it began from.
    pub document: Genesis,
    /// The state after the latest block.
    pub state: LatestState,
    /// The latest block's height.
    pub height: Height,
    /// The latest block's time.
    pub time: TimeMs,
    /// All blocks with a certificate that every validator signed.
    pub chain: Vec<(Block, CommitCertificate)>,
    validators: ValidatorSet,
    member_keys: Vec<SigningKey>,
    validator_keys: BTreeMap<ValidatorAddress, SigningKey>,
    nonces: Vec<Nonce>,
}

/// The key of a member in a role: the same in every run.
pub fn signing_key(member: usize, role: u8) -> SigningKey {
    let mut seed = [role; 32];
    seed[0] = u8::try_from(member).expect("a consortium here has fewer than 256 members");
    SigningKey::from_bytes(&seed)
}

/// The ledger's name.
pub fn chain_id() -> ChainId {
    ChainId::new("determinism-1").expect("a short slug is an id")
}

/// The id of a member.
pub fn member_id(at: usize) -> MemberId {
    MemberId::new(format!("hospital-{at}")).expect("a short slug is an id")
}

fn member_spec(at: usize) -> MemberSpec {
    let [member, validator, network] = [1, 2, 3].map(|role| PublicKey::of(&signing_key(at, role)));
    MemberSpec {
        id: member_id(at),
        name: format!("Hospital {at}"),
        keys: MemberKeys { member, validator, network },
        addresses: Vec::new(),
    }
}

impl Consortium {
    /// The ledger after genesis.
    pub fn new(members: usize, tasks: Vec<TaskSpec>) -> Self {
        let document = Genesis {
            chain_id: chain_id(),
            time: TimeMs(1_700_000_000_000),
            members: (0..members).map(member_spec).collect(),
            tasks,
        };
        let effects = genesis(&document).expect("the genesis document can work");
        let mut state = LatestState::new();
        state.apply(0, &effects.writes).expect("genesis fits an empty state");
        let mut consortium = Self {
            height: Height(0),
            time: document.time,
            chain: Vec::new(),
            validators: effects.validators,
            member_keys: (0..members).map(|at| signing_key(at, 1)).collect(),
            validator_keys: BTreeMap::new(),
            nonces: vec![Nonce(0); members],
            document,
            state,
        };
        for at in 0..members {
            consortium.keep_validator_key(signing_key(at, 2));
        }
        consortium
    }

    /// Keeps a key that a validator has or will have, to sign certificates with.
    pub fn keep_validator_key(&mut self, key: SigningKey) {
        self.validator_keys.insert(ValidatorAddress::of(&PublicKey::of(&key)), key);
    }

    /// Signs an action with the member's next nonce.
    pub fn sign(&mut self, at: usize, action: Action) -> Transaction {
        self.nonces[at] = self.nonces[at].next();
        let (chain_id, nonce) = (self.document.chain_id.clone(), self.nonces[at]);
        let body = TransactionBody { chain_id, member: member_id(at), nonce, action };
        Transaction::sign(body, &self.member_keys[at])
    }

    /// Carries out a block `after_ms` later than the latest one and appends it to the chain.
    pub fn block(
        &mut self,
        after_ms: u64,
        transactions: Vec<Transaction>,
        decisions: Vec<Decision>,
    ) -> BlockEffects {
        let parent = Parent {
            chain_id: &self.document.chain_id,
            height: self.height,
            id: self.chain.last().map(|(block, _)| block.hash()),
            validators: &self.validators,
        };
        (self.height, self.time) = (self.height.next(), self.time.after(after_ms));
        let body = BlockBody { transactions, decisions };
        let input = BlockInput::new(self.height, self.time, &body);
        let effects = apply_block(&self.state, &input).expect("the block can follow the state");
        let app_hash =
            self.state.apply(self.height.0, &effects.writes).expect("the writes fit the state");
        let proposer = self.validators.validators()[0].address;
        let block = parent.block(self.time, proposer, body, app_hash, &effects.validators);
        let certificate = self.certify(&block);
        self.chain.push((block, certificate));
        self.validators = effects.validators.clone();
        effects
    }

    fn certify(&self, block: &Block) -> CommitCertificate {
        let (height, hash) = (block.header.height, block.hash());
        let chain_id = &block.header.chain_id;
        let message = vote_sign_bytes(chain_id, VoteType::Precommit, height, 0, Some(hash));
        let signers = self.validators.validators().iter().map(|validator| validator.address);
        let signed = signers
            .map(|address| (address, sign_raw(&self.validator_keys[&address], &message)))
            .collect::<Vec<_>>();
        CommitCertificate::new(height, 0, hash, signed)
    }
}
