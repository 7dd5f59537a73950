//! A small ledger made by hand, and everything that can be bent in it.

use std::collections::BTreeMap;
use std::path::Path;

use ed25519_dalek::SigningKey;
use fedledger_contract::canonical::Schema;
use fedledger_contract::state::StateView;
use fedledger_contract::{apply_block, decide, genesis, BlockInput};
use fedledger_ledger::block::{
    vote_sign_bytes, BlockBody, Parent, ValidatorAddress, ValidatorSet, VoteType,
};
use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::decision::{Decision, OutcomeResult};
use fedledger_ledger::governance::{MemberKeys, MemberSpec};
use fedledger_ledger::ids::{ChainId, MemberId, Nonce};
use fedledger_ledger::keys::{sign_raw, PublicKey};
use fedledger_ledger::state::LatestState;
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};

use super::*;
use crate::cli::task_file;

const TASK: &str = "id = 't'\nrounds = 2\nbyzantine = 1\nrule = { name = 'median' }\n\
    updates_min = 3\n[[tensors]]\nname = 'w'\nshape = [2]\nscale_bits = 0\n";

/// A ledger of four members in memory, and a source of it.
struct Ledger {
    genesis: Genesis,
    state: LatestState,
    validators: ValidatorSet,
    chain: Vec<(Block, CommitCertificate)>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

fn key(member: u8, role: u8) -> SigningKey {
    SigningKey::from_bytes(&[10 * member + role; 32])
}

fn id(member: u8) -> MemberId {
    MemberId::new(format!("m-{member}")).unwrap()
}

fn task() -> TaskId {
    TaskId::new("t").unwrap()
}

impl LedgerSource for Ledger {
    fn genesis(&self) -> Result<Genesis, SourceError> {
        Ok(self.genesis.clone())
    }
    fn height(&self) -> Result<Height, SourceError> {
        Ok(Height(self.chain.len() as u64))
    }
    fn block(&self, height: Height) -> Result<(Block, CommitCertificate), SourceError> {
        Ok(self.chain[height.0 as usize - 1].clone())
    }
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.blobs.get(digest).cloned())
    }
}

impl Ledger {
    /// A ledger with one round played to its end: three honest updates and a hostile one.
    fn with_a_round() -> Self {
        let mut ledger = Self::new();
        let schema = Schema::of(&ledger.genesis.tasks[0]).unwrap();
        let base_model = ledger.genesis.tasks[0].initial_model;
        let round = RoundNumber(1);
        let updates: Vec<Digest> = [[1, 2], [2, 2], [3, 2], [900, -900]]
            .iter()
            .map(|values| ledger.keep(schema.encode(values).unwrap()))
            .collect();
        let sign = |ledger: &Self, action: &dyn Fn(UpdateOpening) -> Action| {
            let openings = (1u8..).zip(&updates).map(|(k, update)| (k, ledger.opening(k, *update)));
            openings.map(|(k, opening)| ledger.sign(k, action(opening))).collect()
        };
        let byte_length = schema.byte_length();
        let commits = sign(&ledger, &|opening| Action::CommitUpdate {
            task: task(),
            round,
            base_model,
            commitment: opening.commitment(),
            num_examples: 10,
            byte_length,
            claims: None,
            attestation: None,
        });
        ledger.append(commits, vec![]);
        let reveals = sign(&ledger, &|UpdateOpening { task, round, update, salt, .. }| {
            Action::RevealUpdate { task, round, update, salt }
        });
        ledger.append(reveals, vec![]);
        let decided = decide(&ledger.state, &task(), &ledger.blobs).unwrap();
        ledger.blobs.extend(decided.blobs);
        ledger.append(vec![], vec![decided.decision]);
        ledger
    }

    fn new() -> Self {
        let member = |k: u8| {
            let key = |role| PublicKey::of(&key(k, role));
            let keys = MemberKeys { member: key(0), validator: key(1), network: key(2) };
            MemberSpec { id: id(k), name: "A hospital".into(), keys, addresses: Vec::new() }
        };
        let task = task_file::parse(Path::new("task.toml"), TASK, None).unwrap();
        let document = Genesis {
            chain_id: ChainId::new("audit-1").unwrap(),
            time: TimeMs(1_000),
            members: (1..=4).map(member).collect(),
            tasks: vec![task.spec],
        };
        let effects = genesis(&document).unwrap();
        let mut state = LatestState::new();
        state.apply(0, &effects.writes).unwrap();
        let mut ledger = Self {
            genesis: document,
            state,
            validators: effects.validators,
            chain: Vec::new(),
            blobs: BTreeMap::new(),
        };
        ledger.keep(task.initial_model_bytes);
        ledger
    }

    fn opening(&self, member: u8, update: Digest) -> UpdateOpening {
        UpdateOpening {
            chain_id: self.genesis.chain_id.clone(),
            task: task(),
            round: RoundNumber(1),
            member: id(member),
            update,
            salt: Salt([member; 32]),
        }
    }

    fn keep(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    fn sign(&self, member: u8, action: Action) -> Transaction {
        let nonce = Nonce(StateView::new(&self.state).nonce(&id(member)).0 + 1);
        let chain_id = self.genesis.chain_id.clone();
        let body = TransactionBody { chain_id, member: id(member), nonce, action };
        Transaction::sign(body, &key(member, 0))
    }

    /// Appends a block that every validator signs.
    fn append(&mut self, transactions: Vec<Transaction>, decisions: Vec<Decision>) {
        let height = Height(self.chain.len() as u64 + 1);
        let time = TimeMs(1_000 + height.0);
        let body = BlockBody { transactions, decisions };
        let effects = apply_block(&self.state, &BlockInput::new(height, time, &body))
            .expect("the block follows the state");
        let app_hash = self
            .state
            .apply(height.0, &effects.writes)
            .expect("what the contract writes fits the state");
        let parent = Parent {
            chain_id: &self.genesis.chain_id,
            height: Height(height.0 - 1),
            id: self.chain.last().map(|(block, _)| block.hash()),
            validators: &self.validators,
        };
        let proposer = self.validators.validators()[0].address;
        let block = parent.block(time, proposer, body, app_hash, &effects.validators);
        let certificate = certify(&block, &[1, 2, 3, 4]);
        self.chain.push((block, certificate));
        self.validators = effects.validators;
    }

    fn audit(&self, depth: Depth) -> Result<AuditReport, AuditError> {
        audit(self, Some(self.genesis.digest()), depth, |_| {})
    }

    /// Bends the last block and has all validators sign what came of it.
    fn collude(&mut self, bend: impl FnOnce(&mut Block)) {
        let (block, certificate) = self.chain.last_mut().unwrap();
        bend(block);
        block.header.data_hash = block.body.data_hash();
        *certificate = certify(block, &[1, 2, 3, 4]);
    }
}

fn certify(block: &Block, members: &[u8]) -> CommitCertificate {
    let (height, hash) = (block.header.height, block.hash());
    let message =
        vote_sign_bytes(&block.header.chain_id, VoteType::Precommit, height, 0, Some(hash));
    let vote = |member: &u8| {
        let key = key(*member, 1);
        (ValidatorAddress::of(&PublicKey::of(&key)), sign_raw(&key, &message))
    };
    CommitCertificate::new(height, 0, hash, members.iter().map(vote))
}

#[test]
fn an_honest_ledger_verifies_and_replays() {
    let ledger = Ledger::with_a_round();
    let mut heights = Vec::new();
    let report = audit(&ledger, None, Depth::Replay, |height| heights.push(height.0)).unwrap();
    assert_eq!(heights, [1, 2, 3]);
    assert_eq!((report.transactions, report.decisions, report.recomputed), (8, 1, 1));
    assert_eq!(report.state_root, ledger.state.root());
    assert!(report.incomplete.is_empty());
    let verified = ledger.audit(Depth::Verify).unwrap();
    assert_eq!(verified, AuditReport { recomputed: 0, ..report });
}

#[test]
fn another_genesis_is_refused() {
    let ledger = Ledger::with_a_round();
    let known = Digest::of(b"the one that I know");
    let result = audit(&ledger, Some(known), Depth::Verify, |_| {});
    assert!(matches!(result, Err(AuditError::OtherGenesis { .. })));
}

/// What is bent, in words, and how.
type Bend = (&'static str, fn(&mut Ledger));

#[test]
fn what_was_bent_after_the_votes_is_named_with_its_height() {
    let bends: [Bend; 6] = [
        ("a signature", |it| it.chain[1].1.signatures[0].1 .0[40] ^= 1),
        ("too few votes", |it| it.chain[1].1 = certify(&it.chain[1].0, &[1, 2])),
        ("a transaction left out", |it| drop(it.chain[1].0.body.transactions.pop())),
        ("the order of transactions", |it| it.chain[1].0.body.transactions.swap(0, 1)),
        ("the state root", |it| it.chain[1].0.header.app_hash.0[0] ^= 1),
        ("the time", |it| it.chain[1].0.header.time = TimeMs(1_500)),
    ];
    for (what, bend) in bends {
        let mut ledger = Ledger::with_a_round();
        bend(&mut ledger);
        let error = ledger.audit(Depth::Verify).expect_err(what).to_string();
        assert!(
            error.contains("block 2") || error.contains("height 2"),
            "{what}: `{error}` does not name height 2"
        );
    }
}

#[test]
fn validators_that_collude_cannot_make_a_state_that_does_not_follow() {
    let mut ledger = Ledger::with_a_round();
    ledger.collude(|block| block.header.app_hash.0[0] ^= 1);
    let result = ledger.audit(Depth::Verify);
    let root = ReplayError::AppHash {
        height: Height(3),
        expected: ledger.state.root(),
        found: ledger.chain[2].0.header.app_hash,
    };
    assert_eq!(result.unwrap_err().to_string(), root.to_string());
}

#[test]
fn validators_that_collude_on_an_outcome_are_found_by_replaying() {
    let honest = Ledger::with_a_round();
    let mut ledger = Ledger::with_a_round();
    // The same ledger up to the decision, which names another model and all sign: everything that
    // rests on signatures and hashes holds.
    ledger.chain.pop();
    let mut state = LatestState::new();
    state.apply(0, &genesis(&ledger.genesis).unwrap().writes).unwrap();
    for (block, _) in &ledger.chain {
        let effects =
            apply_block(&state, &BlockInput::of(block)).expect("the block follows the state");
        state.apply(block.header.height.0, &effects.writes).unwrap();
    }
    ledger.state = state;
    let mut decision = honest.chain[2].0.body.decisions[0].clone();
    let Decision::Outcome { result: OutcomeResult::Aggregated { chosen, .. }, .. } = &mut decision
    else {
        panic!("the round led to a model")
    };
    chosen.model = Digest::of(b"a model that nobody trained");
    ledger.append(vec![], vec![decision]);
    ledger.audit(Depth::Verify).expect("signatures and hashes hold");
    match ledger.audit(Depth::Replay) {
        Err(AuditError::Replay(ReplayError::Decision { height, round, .. })) => {
            assert_eq!((height, round), (Height(3), RoundNumber(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_or_damaged_blob_makes_a_replay_incomplete_and_not_wrong() {
    let mut ledger = Ledger::with_a_round();
    let Action::RevealUpdate { update, .. } = ledger.chain[1].0.body.transactions[3].body.action
    else {
        panic!("the second block holds reveals")
    };
    ledger.blobs.get_mut(&update).unwrap()[44] ^= 1;
    let damaged = ledger.audit(Depth::Replay).unwrap();
    ledger.blobs.remove(&update);
    let missing = ledger.audit(Depth::Replay).unwrap();
    assert_eq!(missing, damaged);
    assert_eq!((missing.recomputed, missing.incomplete.len()), (0, 1));
    assert_eq!(missing.incomplete[0].blob, update);
}
