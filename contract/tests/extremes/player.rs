//! A ledger of one task whose members send what they are told to.

use std::collections::BTreeMap;

use fedledger_contract::canonical::Schema;
use fedledger_contract::{decide, pending, BlockEffects, StateView};
use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::decision::Decision;
use fedledger_ledger::entry::{Entry, EntryBody, Phase, Receipt, Rejection};
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::task::TaskSpec;
use fedledger_ledger::transaction::{Action, CandidateScore, ClassLoss};

use crate::consortium::{chain_id, member_id, Consortium};
use crate::extreme_row;

/// The ledger.
pub struct Player {
    pub consortium: Consortium,
    pub task: TaskId,
    pub entries: Vec<Entry>,
    schema: Schema,
    blobs: BTreeMap<Digest, Vec<u8>>,
    members: usize,
}

impl Player {
    pub fn new(members: usize, task: TaskSpec) -> Self {
        let schema = Schema::of(&task).expect("the schema was checked");
        let zero = schema.encode(&schema.zero_model()).expect("zeros are in range");
        let task = TaskSpec { initial_model: Digest::of(&zero), ..task };
        Self {
            task: task.id.clone(),
            consortium: Consortium::new(members, vec![task]),
            entries: Vec::new(),
            schema,
            blobs: BTreeMap::from([(Digest::of(&zero), zero)]),
            members,
        }
    }

    /// Carries out a block `after_ms` later, with what these members do, and says what came of it.
    pub fn block(&mut self, after_ms: u64, acts: Vec<(usize, Action)>) -> BlockEffects {
        let transactions =
            acts.into_iter().map(|(member, action)| self.consortium.sign(member, action)).collect();
        self.carry_out(after_ms, transactions, Vec::new())
    }

    /// What one member's transaction in a block of its own is refused for.
    pub fn refusal(&mut self, member: usize, action: Action) -> Option<Rejection> {
        let effects = self.block(1, vec![(member, action)]);
        match effects.receipts.into_iter().next().expect("one transaction has one receipt") {
            Receipt::Accepted => None,
            Receipt::Refused { rejection } => Some(rejection),
        }
    }

    /// Plays rounds until this many are over, or the task is.
    pub fn play(&mut self, rounds: usize) {
        while self.outcomes() < rounds && self.phase().is_some() {
            self.step();
        }
    }

    /// Number of rounds that are over.
    pub fn outcomes(&self) -> usize {
        let is_outcome = |entry: &&Entry| matches!(entry.body, EntryBody::RoundOutcome { .. });
        self.entries.iter().filter(is_outcome).count()
    }

    pub fn view(&self) -> StateView<'_> {
        StateView::new(&self.consortium.state)
    }

    fn phase(&self) -> Option<Phase> {
        self.view().round(&self.task).map(|open| open.phase)
    }

    /// One block: a decision that is waited for, what the members send in this phase, or nothing at
    /// the deadline.
    pub fn step(&mut self) {
        let open = self.view().round(&self.task).expect("the task is running");
        let now = self.consortium.time.0;
        let decisions = self.decisions();
        let acts: Vec<(usize, Action)> = (0..self.members)
            .filter(|_| decisions.is_empty())
            .filter_map(|member| Some((member, self.act(member)?)))
            .collect();
        let sent_before = match open.phase {
            Phase::Commit => open.commitments > 0,
            Phase::Reveal => open.reveals > 0,
            Phase::Evaluate => open.evaluations > 0,
            Phase::Propose | Phase::Decide => true,
        };
        let (after_ms, acts) = if sent_before && decisions.is_empty() {
            (open.deadline.0 - now, Vec::new())
        } else {
            (1, acts)
        };
        let transactions =
            acts.into_iter().map(|(member, action)| self.consortium.sign(member, action)).collect();
        self.carry_out(after_ms, transactions, decisions);
    }

    fn carry_out(
        &mut self,
        after_ms: u64,
        transactions: Vec<fedledger_ledger::transaction::Transaction>,
        decisions: Vec<Decision>,
    ) -> BlockEffects {
        let effects = self.consortium.block(after_ms, transactions, decisions);
        self.entries.extend(effects.entries.iter().cloned());
        effects
    }

    fn decisions(&mut self) -> Vec<Decision> {
        let waiting = pending(&self.consortium.state);
        let decide = |pending: &fedledger_contract::Pending| {
            decide(&self.consortium.state, &pending.task, &self.blobs)
                .expect("every blob is at hand")
        };
        let made: Vec<_> = waiting.iter().map(decide).collect();
        made.into_iter()
            .map(|made| {
                self.blobs.extend(made.blobs);
                made.decision
            })
            .collect()
    }

    /// What a member sends in the open phase. Declarations and losses are at their limits in turn.
    fn act(&mut self, member: usize) -> Option<Action> {
        let open = self.view().round(&self.task)?;
        let (task, round) = (self.task.clone(), open.round);
        let num_examples = if member % 2 == 0 { NUM_EXAMPLES_MAX } else { 1 };
        Some(match open.phase {
            Phase::Commit => {
                let update = self.publish(member, round);
                Action::CommitUpdate {
                    task,
                    round,
                    base_model: open.base_model,
                    commitment: self.opening(member, round, update).commitment(),
                    num_examples,
                    byte_length: self.schema.byte_length(),
                    claims: None,
                    attestation: None,
                }
            }
            Phase::Reveal => {
                let update = self.publish(member, round);
                let UpdateOpening { salt, .. } = self.opening(member, round, update);
                Action::RevealUpdate { task, round, update, salt }
            }
            Phase::Evaluate => {
                let of = |(at, candidate): (usize, &fedledger_ledger::decision::Candidate)| {
                    let high = (member + at + round.0 as usize) % 3 == 0;
                    CandidateScore {
                        candidate: candidate.model,
                        loss_micro: if high { LOSS_MICRO_MAX } else { 0 },
                        num_examples,
                        classes: self.classes(num_examples, high),
                    }
                };
                let scores = open.candidates.iter().enumerate().map(of).collect();
                Action::SubmitEvaluation { task, round, scores }
            }
            Phase::Propose | Phase::Decide => return None,
        })
    }

    /// Losses by class as extreme as that of the whole: the first has all examples but one, the last
    /// that one, where the task names classes.
    fn classes(&self, num_examples: u64, high: bool) -> Vec<ClassLoss> {
        let spec = self.view().task_spec(&self.task).expect("the task is running");
        let count = spec.classes().len();
        let class = |at: usize| {
            let first = if at == 0 { num_examples - 1 } else { 0 };
            let num_examples = first + u64::from(at + 1 == count);
            let loss_micro = if high && num_examples > 0 { LOSS_MICRO_MAX } else { 0 };
            ClassLoss { loss_micro, num_examples }
        };
        (0..count).map(class).collect()
    }

    /// The member's update of a round, published.
    fn publish(&mut self, member: usize, round: RoundNumber) -> Digest {
        let kind = member + 3 * round.0 as usize;
        let values = extreme_row(kind, self.schema.parameters());
        let bytes = self.schema.encode(&values).expect("the values are in range");
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    fn opening(&self, member: usize, round: RoundNumber, update: Digest) -> UpdateOpening {
        UpdateOpening {
            chain_id: chain_id(),
            task: self.task.clone(),
            round,
            member: member_id(member),
            update,
            salt: Salt([member as u8; 32]),
        }
    }
}
