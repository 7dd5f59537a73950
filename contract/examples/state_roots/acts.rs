//! What members send in each round: most of them an honest update, some of them something else.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use fedledger_contract::canonical::Schema;
use fedledger_contract::records::RoundRecord;
use fedledger_contract::{views, StateView};
use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::entry::Phase;
use fedledger_ledger::governance::{Change, KeyRole};
use fedledger_ledger::ids::{Digest, Height, RoundNumber, TaskId};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::state::LatestState;
use fedledger_ledger::transaction::{Action, CandidateScore, ClassLoss};

use super::consortium::{chain_id, member_id, signing_key};
use super::lcg::Lcg;
use super::tasks::{announces, drifts, MEMBERS};

/// One transaction to be, with the blob that its member publishes beside it.
pub struct Act {
    /// Who sends it.
    pub member: usize,
    /// What it does.
    pub action: Action,
    /// What is published with it.
    pub blob: Option<Vec<u8>>,
}

/// Acts whose order is what they are about, so that no shuffle may change it: which of two equal
/// updates is the copy, which of two contradicting commitments stands, and what one member sends
/// again after a refusal. Different strands may arrive interleaved in any way.
pub type Strand = Vec<Act>;

/// The member that does something wrong in every round but the first and the last.
const CULPRIT: usize = 6;

/// The validator key that member 1 rotates to.
pub fn new_validator_key() -> SigningKey {
    signing_key(1, 9)
}

/// Changes on the way, each proposed in one block and approved by all in the next: of the validator
/// set, and back to an earlier model with the rounds since then replayed without one member.
pub fn governance(height: Height) -> Vec<Strand> {
    let key = PublicKey::of(&new_validator_key());
    let rotate = Change::RotateKey { member: member_id(1), role: KeyRole::Validator, key };
    let roll_back = Change::RollBack {
        task: TaskId::new("median").expect("a short slug is an id"),
        round: RoundNumber(2),
        without: vec![member_id(3)],
        replay: true,
        reason: "to see that it comes to the same bits".into(),
    };
    let act = |member, action| vec![Act { member, action, blob: None }];
    let propose = |change| vec![act(0, Action::ProposeChange { change })];
    let approve = |change: Change| {
        let change = change.digest();
        (1..MEMBERS).map(|member| act(member, Action::Approve { change })).collect()
    };
    match height.0 {
        3 => propose(rotate),
        4 => approve(rotate),
        20 => propose(roll_back),
        21 => approve(roll_back),
        _ => Vec::new(),
    }
}

/// What all members send in the phases that the running tasks are in, once for each phase.
pub fn strands(
    state: &LatestState,
    schemas: &BTreeMap<TaskId, Schema>,
    sent: &mut BTreeSet<(TaskId, RoundNumber, Phase)>,
) -> Vec<Strand> {
    let view = StateView::new(state);
    let mut strands = Vec::new();
    for task in view.tasks_running() {
        let open = view.round(&task).expect("a running task has an open round");
        if !sent.insert((task.clone(), open.round, open.phase)) {
            continue;
        }
        let record = views::task(state, &task).expect("a running task has a record");
        let classes = record.spec.classes().len() as u64;
        let desk = Desk { schema: &schemas[&task], task, open, classes };
        strands.extend(match desk.open.phase {
            Phase::Commit => desk.commitments(),
            Phase::Reveal => desk.reveals(&view),
            Phase::Evaluate => desk.evaluations(),
            Phase::Propose | Phase::Decide => Vec::new(),
        });
    }
    strands
}

/// One task's open round.
struct Desk<'a> {
    schema: &'a Schema,
    task: TaskId,
    open: RoundRecord,
    /// How many classes the task names.
    classes: u64,
}

impl Desk<'_> {
    fn seeds(&self, more: &[u64]) -> Lcg {
        let name = self.task.as_str().bytes().map(u64::from);
        let seeds: Vec<u64> = name.chain([self.open.round.0]).chain(more.iter().copied()).collect();
        Lcg::of(&seeds)
    }

    /// A member's values: the round's direction, some noise, times a factor in thousandths.
    fn values(&self, member: usize, factor_milli: i32) -> Vec<i32> {
        let mut direction = self.seeds(&[]);
        let mut noise = self.seeds(&[1 + member as u64]);
        let mut drift = Lcg::of(&[7]);
        // The last two members move in one direction, by less than makes an outlier.
        let drifting = drifts(&self.task, self.open.round.0) == Some(true);
        let drifting = drifting && member + 2 >= MEMBERS;
        let value = |_| {
            let away = if drifting { drift.within(3_000) } else { 0 };
            (direction.within(8_000) + noise.within(2_000)) * factor_milli / 1_000 + away
        };
        (0..self.schema.parameters()).map(value).collect()
    }

    fn blob(&self, member: usize, factor_milli: i32) -> Vec<u8> {
        self.schema.encode(&self.values(member, factor_milli)).expect("the values are in range")
    }

    fn opening(&self, member: usize, update: Digest) -> UpdateOpening {
        let salt = Digest::of(&[&update.0[..], member_id(member).as_str().as_bytes()].concat());
        UpdateOpening {
            chain_id: chain_id(),
            task: self.task.clone(),
            round: self.open.round,
            member: member_id(member),
            update,
            salt: Salt(salt.0),
        }
    }

    fn commit(&self, member: usize, blob: Vec<u8>) -> Act {
        let action = Action::CommitUpdate {
            task: self.task.clone(),
            round: self.open.round,
            base_model: self.open.base_model,
            commitment: self.opening(member, Digest::of(&blob)).commitment(),
            num_examples: 50 + self.seeds(&[77, member as u64]).below(1_000),
            byte_length: self.schema.byte_length(),
            claims: None,
            attestation: None,
        };
        Act { member, action, blob: Some(blob) }
    }

    fn honest(&self, member: usize) -> Strand {
        vec![self.commit(member, self.blob(member, 1_000))]
    }

    fn announced(&self, member: usize) -> Strand {
        let (task, round) = (self.task.clone(), self.open.round);
        let action = Action::AnnounceDataChange { task, round, reason: "another scanner".into() };
        let notice = Act { member, action, blob: None };
        [notice].into_iter().chain(self.honest(member)).collect()
    }

    /// Each round has its own faults; members that are not named in it are honest.
    fn commitments(&self) -> Vec<Strand> {
        let mut strands: BTreeMap<usize, Strand> =
            (0..MEMBERS).map(|member| (member, self.honest(member))).collect();
        let mut replace = |member, strand| drop(strands.insert(member, strand));
        match self.open.round.0 {
            // Drift shows where nothing else is wrong; a member gives notice that its data changed.
            2 if drifts(&self.task, 2).is_some() => replace(3, self.announced(3)),
            round if drifts(&self.task, round).is_some() => {
                let says = |member: &usize| announces(&self.task, round, *member);
                (0..MEMBERS).filter(says).for_each(|k| replace(k, self.announced(k)));
            }
            // A copy, and a commitment that is sent twice.
            2 => {
                let copy = self.commit(CULPRIT, self.blob(5, 1_000));
                replace(5, self.honest(5).into_iter().chain([copy]).collect());
                replace(CULPRIT, Vec::new());
                replace(4, self.honest(4).into_iter().chain(self.honest(4)).collect());
            }
            // The opposite direction many times over, and twice too large.
            3 => {
                replace(CULPRIT, vec![self.commit(CULPRIT, self.blob(CULPRIT, -20_000))]);
                replace(5, vec![self.commit(5, self.blob(5, 2_000))]);
            }
            // Two different commitments, and a wrong length that is put right.
            4 => {
                let other = self.commit(CULPRIT, self.blob(CULPRIT, 900));
                replace(CULPRIT, self.honest(CULPRIT).into_iter().chain([other]).collect());
                let mut wrong = self.commit(3, self.blob(3, 1_000));
                if let Action::CommitUpdate { byte_length, .. } = &mut wrong.action {
                    *byte_length += 4;
                }
                replace(3, [wrong].into_iter().chain(self.honest(3)).collect());
            }
            // Bytes that are no update, and an update from another model, so that the round waits
            // for its deadline.
            5 => {
                let mut blob = self.blob(CULPRIT, 1_000);
                blob[0] ^= 1;
                replace(CULPRIT, vec![self.commit(CULPRIT, blob)]);
                let mut wrong = self.commit(2, self.blob(2, 1_000));
                if let Action::CommitUpdate { base_model, .. } = &mut wrong.action {
                    *base_model = Digest::of(b"another model");
                }
                replace(2, vec![wrong]);
            }
            // Fewer bytes than were committed to, and next to nothing.
            7 => {
                let blob = self.blob(CULPRIT, 1_000);
                replace(CULPRIT, vec![self.commit(CULPRIT, blob[..blob.len() - 4].to_vec())]);
                replace(4, vec![self.commit(4, self.blob(4, 20))]);
            }
            _ => {}
        }
        strands.into_values().filter(|strand| !strand.is_empty()).collect()
    }

    fn reveals(&self, view: &StateView<'_>) -> Vec<Strand> {
        let reveal = |member, update| {
            let UpdateOpening { task, round, update, salt, .. } = self.opening(member, update);
            let action = Action::RevealUpdate { task, round, update, salt };
            Act { member, action, blob: None }
        };
        let mut updates = BTreeMap::new();
        for act in self.commitments().into_iter().flatten() {
            let Some(blob) = act.blob else { continue };
            let update = Digest::of(&blob);
            let committed = view.commitment(&self.task, &member_id(act.member));
            let commitment = self.opening(act.member, update).commitment();
            if committed.is_some_and(|record| record.commitment == commitment) {
                updates.insert(act.member, update);
            }
        }
        let else_ = Digest::of(b"something else");
        (0..MEMBERS)
            .filter_map(|member| match (self.open.round.0, member, updates.get(&member)) {
                // Never revealed.
                (6, CULPRIT, _) => None,
                // Something that was not committed to, then what was.
                (6, 1, Some(update)) => Some(vec![reveal(1, else_), reveal(1, *update)]),
                // Nothing was committed to.
                (5, 2, None) => Some(vec![reveal(2, else_)]),
                (_, _, update) => update.map(|update| vec![reveal(member, *update)]),
            })
            .collect()
    }

    /// Losses under which the median evaluator prefers another candidate in every round, and the
    /// model without a suspected cell to all others; in round 3 one member does not answer.
    fn evaluations(&self) -> Vec<Strand> {
        let loss = |member: usize, at: usize| {
            let favourite = self.open.round.0 as usize % self.open.candidates.len();
            let noise = self.seeds(&[99, member as u64, at as u64]).below(20_000);
            if self.open.candidates[at].without.is_some() {
                return noise + 350_000;
            }
            noise + if at == favourite && member != CULPRIT { 400_000 } else { 430_000 }
        };
        let scores = |member| {
            let candidates = self.open.candidates.iter().enumerate();
            let score = |(at, candidate): (usize, &fedledger_ledger::decision::Candidate)| {
                let loss_micro = loss(member, at);
                // Forty rows, more of the first class than of the second.
                let of_class = |class: u64| ClassLoss {
                    loss_micro: loss_micro + 1_000 * class * at as u64,
                    num_examples: 25 - 10 * class,
                };
                let classes = (0..self.classes).map(of_class).collect();
                CandidateScore { candidate: candidate.model, loss_micro, num_examples: 40, classes }
            };
            candidates.map(score).collect()
        };
        (0..MEMBERS)
            .filter(|&member| (self.open.round.0, member) != (3, 0))
            .map(|member| {
                let (task, round) = (self.task.clone(), self.open.round);
                let action = Action::SubmitEvaluation { task, round, scores: scores(member) };
                vec![Act { member, action, blob: None }]
            })
            .collect()
    }
}
