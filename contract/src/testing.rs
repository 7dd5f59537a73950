//! A ledger in memory for tests: members with keys, blocks applied one after the other.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use fedledger_ledger::block::{
    vote_sign_bytes, Block, BlockBody, CommitCertificate, Parent, ValidatorAddress, ValidatorSet,
    VoteType,
};
use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::decision::{Decision, OutcomeResult, UpdateVerdict};
use fedledger_ledger::entry::{Entry, EntryBody, Receipt, Rejection};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::{MemberKeys, MemberSpec};
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, Nonce, TaskId, TimeMs};
use fedledger_ledger::keys::{sign_raw, PublicKey};
use fedledger_ledger::state::LatestState;
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, NormBand, TaskSpec, TensorSpec, TrustPolicy, Weighting,
};
use fedledger_ledger::transaction::{Action, Transaction, TransactionBody};

use crate::block::{apply_block, BlockEffects, BlockError, BlockInput};
use crate::canonical::Schema;
use crate::decide::{decide, pending, BlobRead};
use crate::genesis::genesis;
use crate::records::{RoundRecord, TrustRecord};
use crate::replay::{ReplayError, Replayer};
use crate::state::StateView;

/// Windows of the test task, in milliseconds.
pub(crate) const COMMIT_MS: u64 = 1_000;
pub(crate) const REVEAL_MS: u64 = 2_000;
pub(crate) const DECIDE_MS: u64 = 4_000;
pub(crate) const EVALUATE_MS: u64 = 3_000;

/// A phase in which `candidates` are scored beside the task's own rule, and nothing else is asked.
pub(crate) fn evaluation(candidates: Vec<AggregationRule>) -> EvaluationSpec {
    EvaluationSpec {
        candidates,
        window_ms: EVALUATE_MS,
        harm: None,
        classes: Vec::new(),
        protected_class: None,
    }
}

/// Parameters of the test task.
pub(crate) const D: usize = 3;

pub(crate) fn member_id(at: usize) -> MemberId {
    MemberId::new(format!("m{at:03}")).unwrap()
}

pub(crate) fn task_id() -> TaskId {
    TaskId::new("t").unwrap()
}

/// Three keys for a seed, distinct from those of every other seed.
pub(crate) fn keys_of(seed: u16) -> [SigningKey; 3] {
    [1u8, 2, 3].map(|role| {
        let mut bytes = [role; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        SigningKey::from_bytes(&bytes)
    })
}

pub(crate) fn member_spec(at: usize) -> MemberSpec {
    let [member, validator, network] = keys_of(at as u16).map(|key| PublicKey::of(&key));
    MemberSpec {
        id: member_id(at),
        name: format!("Hospital {at}"),
        keys: MemberKeys { member, validator, network },
        addresses: Vec::new(),
    }
}

/// A task of three parameters over one tensor, ten rounds, by the trimmed mean with trust.
pub(crate) fn task(byzantine: u32, updates_min: u32) -> TaskSpec {
    let tensors = vec![TensorSpec { name: "w".into(), shape: vec![D as u64], scale_bits: 10 }];
    let schema = Schema::of_tensors(&tensors).unwrap();
    TaskSpec {
        id: task_id(),
        description: "test".into(),
        tensors,
        initial_model: schema.digest_of(&schema.zero_model()).unwrap(),
        rounds: 10,
        rule: AggregationRule::TrimmedMean,
        byzantine,
        weighting: Weighting::Uniform,
        norm_band: Some(NormBand { low_milli: 50, clip_milli: 1_500, high_milli: 4_000 }),
        trust: Some(TrustPolicy {
            outlier_milli: 3_000,
            strikes_to_quarantine: 2,
            clean_rounds_to_return: 2,
            outlier_cosine_milli: None,
            outlier_as_sent: false,
        }),
        evaluation: None,
        updates_min,
        commit_window_ms: COMMIT_MS,
        reveal_window_ms: REVEAL_MS,
        decide_window_ms: DECIDE_MS,
        history: None,
    }
}

/// A ledger in the making.
pub(crate) struct Ledger {
    pub document: Genesis,
    pub keys: BTreeMap<MemberId, SigningKey>,
    pub validator_keys: Vec<SigningKey>,
    pub validators: ValidatorSet,
    pub state: LatestState,
    pub height: Height,
    pub time: TimeMs,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub entries: Vec<Entry>,
    pub chain: Vec<(Block, CommitCertificate)>,
    pub schema: Schema,
}

impl Ledger {
    pub fn new(members: usize, tasks: Vec<TaskSpec>) -> Self {
        let schema = Schema::of(tasks.first().unwrap_or(&task(0, 1))).unwrap();
        let document = Genesis {
            chain_id: ChainId::new("test-1").unwrap(),
            time: TimeMs(1_000_000),
            members: (0..members).map(member_spec).collect(),
            tasks,
        };
        let effects = genesis(&document).unwrap();
        let mut state = LatestState::new();
        state.apply(0, &effects.writes).unwrap();
        let keys = (0..members).map(|at| (member_id(at), keys_of(at as u16)[0].clone()));
        let zero = schema.encode(&schema.zero_model()).unwrap();
        Self {
            keys: keys.collect(),
            validator_keys: (0..members).map(|at| keys_of(at as u16)[1].clone()).collect(),
            validators: effects.validators,
            state,
            height: Height(0),
            time: document.time,
            blobs: BTreeMap::from([(Digest::of(&zero), zero)]),
            entries: effects.entries,
            chain: Vec::new(),
            document,
            schema,
        }
    }

    pub fn view(&self) -> StateView<'_> {
        StateView::new(&self.state)
    }

    pub fn round(&self) -> RoundRecord {
        self.view().round(&task_id()).unwrap()
    }

    pub fn trust(&self, at: usize) -> TrustRecord {
        self.view().trust(&task_id(), &member_id(at))
    }

    /// Signs an action with the member's next nonce, `ahead` further on.
    pub fn sign_ahead(&self, at: usize, ahead: u64, action: Action) -> Transaction {
        let member = member_id(at);
        let nonce = Nonce(self.view().nonce(&member).0 + 1 + ahead);
        let key = &self.keys[&member];
        let chain_id = self.document.chain_id.clone();
        Transaction::sign(TransactionBody { chain_id, member, nonce, action }, key)
    }

    pub fn sign(&self, at: usize, action: Action) -> Transaction {
        self.sign_ahead(at, 0, action)
    }

    /// Keeps an update's canonical bytes and returns their digest.
    pub fn blob(&mut self, values: [i32; D]) -> Digest {
        let bytes = self.schema.encode(&values).unwrap();
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    /// What a member opens its commitment to an update with in the open round.
    pub fn opening(&self, at: usize, update: Digest) -> UpdateOpening {
        UpdateOpening {
            chain_id: self.document.chain_id.clone(),
            task: task_id(),
            round: self.round().round,
            member: member_id(at),
            update,
            salt: Salt(*Digest::of(&[&[at as u8], &update.0[..]].concat()).as_bytes()),
        }
    }

    pub fn commit_action(&self, at: usize, update: Digest) -> Action {
        Action::CommitUpdate {
            task: task_id(),
            round: self.round().round,
            base_model: self.round().base_model,
            commitment: self.opening(at, update).commitment(),
            num_examples: 100,
            byte_length: self.schema.byte_length(),
            claims: None,
            attestation: None,
        }
    }

    pub fn reveal_action(&self, at: usize, update: Digest) -> Action {
        let UpdateOpening { task, round, update, salt, .. } = self.opening(at, update);
        Action::RevealUpdate { task, round, update, salt }
    }

    /// The update among the blobs that a member has committed to in the open round.
    pub fn committed_update(&self, at: usize) -> Option<Digest> {
        let committed = self.view().commitment(&task_id(), &member_id(at))?.commitment;
        let opens = |update: &&Digest| self.opening(at, **update).commitment() == committed;
        self.blobs.keys().find(opens).copied()
    }

    /// What a block `after_ms` later would lead to.
    pub fn try_block(
        &self,
        after_ms: u64,
        transactions: &[Transaction],
        decisions: &[Decision],
    ) -> Result<BlockEffects, BlockError> {
        let (height, time) = (self.height.next(), self.time.after(after_ms));
        apply_block(&self.state, &BlockInput { height, time, transactions, decisions })
    }

    /// Applies a block `after_ms` later, certified by every validator.
    pub fn block(
        &mut self,
        after_ms: u64,
        transactions: Vec<Transaction>,
        decisions: Vec<Decision>,
    ) -> BlockEffects {
        let effects = self.try_block(after_ms, &transactions, &decisions).unwrap();
        let parent = Parent {
            chain_id: &self.document.chain_id,
            height: self.height,
            id: self.chain.last().map(|(block, _)| block.hash()),
            validators: &self.validators,
        };
        let time = self.time.after(after_ms);
        let proposer = self.validators.validators()[0].address;
        let height = self.height.next();
        let app_hash = self
            .state
            .apply(height.0, &effects.writes)
            .expect("what the contract writes fits the state");
        let body = BlockBody { transactions, decisions };
        let block = parent.block(time, proposer, body, app_hash, &effects.validators);
        (self.height, self.time) = (height, time);
        let certificate = self.certify(&block);
        self.chain.push((block, certificate));
        self.validators = effects.validators.clone();
        self.entries.extend(effects.entries.clone());
        effects
    }

    /// A certificate with the vote of every validator of the present set whose key is at hand.
    pub fn certify(&self, block: &Block) -> CommitCertificate {
        let (height, hash) = (block.header.height, block.hash());
        let chain_id = &block.header.chain_id;
        let message = vote_sign_bytes(chain_id, VoteType::Precommit, height, 0, Some(hash));
        let signers = self
            .validator_keys
            .iter()
            .map(|key| (ValidatorAddress::of(&PublicKey::of(key)), sign_raw(key, &message)));
        let signers = signers.filter(|(address, _)| self.validators.get(address).is_some());
        CommitCertificate::new(height, 0, hash, signers)
    }

    /// Replays a chain of this ledger from its genesis, with blobs recomputing each decision.
    pub fn replay(
        &self,
        chain: &[(Block, CommitCertificate)],
        blobs: Option<&dyn BlobRead>,
    ) -> Result<Replayer, ReplayError> {
        let mut replayer = Replayer::new(&self.document)?;
        for (block, certificate) in chain {
            replayer.push(block, certificate, blobs)?;
        }
        Ok(replayer)
    }

    /// Applies a block with one transaction and returns what became of it.
    pub fn send(&mut self, at: usize, action: Action) -> Result<(), Rejection> {
        let transaction = self.sign(at, action);
        match self.block(1, vec![transaction], vec![]).receipts.remove(0) {
            Receipt::Accepted => Ok(()),
            Receipt::Refused { rejection } => Err(rejection),
        }
    }

    /// Commits one update for each `(member, values)` in one block.
    pub fn commit_all(&mut self, updates: &[(usize, [i32; D])]) -> BlockEffects {
        let actions: Vec<(usize, Action)> = updates
            .iter()
            .map(|&(at, values)| {
                let digest = self.blob(values);
                (at, self.commit_action(at, digest))
            })
            .collect();
        let transactions = actions.into_iter().map(|(at, action)| self.sign(at, action)).collect();
        self.block(1, transactions, vec![])
    }

    /// Reveals what these members committed to in one block.
    pub fn reveal_all(&mut self, members: impl IntoIterator<Item = usize>) -> BlockEffects {
        let transactions = members
            .into_iter()
            .map(|at| {
                let update = self.committed_update(at).unwrap();
                self.sign(at, self.reveal_action(at, update))
            })
            .collect();
        self.block(1, transactions, vec![])
    }

    /// Computes the pending decision, keeps its blobs, and returns it without applying it.
    pub fn decide(&mut self) -> Decision {
        let decided = decide(&self.state, &task_id(), &self.blobs).unwrap();
        self.blobs.extend(decided.blobs);
        decided.decision
    }

    /// Computes and applies the pending decision.
    pub fn decide_block(&mut self) -> BlockEffects {
        assert_eq!(pending(&self.state).len(), 1);
        let decision = self.decide();
        self.block(1, vec![], vec![decision])
    }

    /// Plays a round in which each `(member, values)` commits and reveals, and returns its outcome
    /// with its verdicts.
    pub fn play(&mut self, updates: &[(usize, [i32; D])]) -> (OutcomeResult, Vec<UpdateVerdict>) {
        self.commit_all(updates);
        if self.round().phase == fedledger_ledger::entry::Phase::Commit {
            self.block(COMMIT_MS, vec![], vec![]);
        }
        self.reveal_all(updates.iter().map(|(at, _)| *at));
        outcome(&self.decide_block().entries)
    }
}

/// The outcome among a block's entries, and the verdicts.
pub(crate) fn outcome(entries: &[Entry]) -> (OutcomeResult, Vec<UpdateVerdict>) {
    let mut result = None;
    let mut verdicts = Vec::new();
    for entry in entries {
        match &entry.body {
            EntryBody::RoundOutcome { result: found, .. } => result = Some(found.clone()),
            EntryBody::UpdateVerdict { verdict, .. } => verdicts.push(verdict.clone()),
            _ => {}
        }
    }
    (result.expect("the block ended a round"), verdicts)
}

/// Whether some entry is of a kind.
pub(crate) fn has(entries: &[Entry], kind: impl Fn(&EntryBody) -> bool) -> bool {
    entries.iter().any(|entry| kind(&entry.body))
}
