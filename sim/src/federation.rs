//! A consortium in one process: the members' trainers, and between them the contract itself.
//!
//! Each round, members train from the model, their updates are brought onto the ledger's integers
//! by [`Schema::quantise`], [`judge`] decides what becomes of them, and trust moves as
//! [`after_round_all`] says: the functions that every node runs, called in the order in which the
//! state machine calls them. Signatures, blocks and deadlines are left out: everybody commits and
//! reveals in time, in the order of member ids.
//!
//! Members train in parallel and their updates are collected in the order of members, so that the
//! number of threads cannot change a bit of the result.

mod counterfactual;
mod evaluation;
mod recovery;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use fedledger_contract::canonical::{
    add_to_model, CanonicalError, FloatBits, NamedTensor, QuantiseError, Schema, SchemaError,
};
use fedledger_contract::evaluation::Evaluation;
use fedledger_contract::history::Past;
use fedledger_contract::judge::{
    judge, Content, RoundInputs, RoundJudgement, Submission, NORM_ROUNDS,
};
use fedledger_contract::records::{HarmRecord, TrustRecord};
use fedledger_contract::round::median_norm;
use fedledger_contract::trust::{after_notice, after_round_all, mark_of};
use fedledger_ledger::decision::{Deviation, RoundFailure, UpdateVerdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{Digest, IdError, MemberId};
use fedledger_ledger::task::TaskSpec;
use ndarray::{Array2, ArrayView1, ArrayView2};
use thiserror::Error;

pub use counterfactual::PlainAverage;
pub use evaluation::{
    hold_out, loss_micro, losses, losses_by_class, reported, Evaluations, HeldOut, EVALUATION_SHARE,
};

use crate::attack::{Knowledge, PublicRecord};
use crate::model::ModelSpec;
use crate::trainer::{train_round, LocalUpdate, RoundView, Trainer};

/// Why a federation cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FederationError {
    /// The task's tensors make no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The initial model is not of the schema.
    #[error("the initial model: {0}")]
    Model(#[from] CanonicalError),
    /// A member's update cannot be brought onto the grid.
    #[error("the update of `{member}`: {source}")]
    Update {
        /// Whose update.
        member: MemberId,
        /// What is wrong with it.
        source: QuantiseError,
    },
    /// The initial model cannot be brought onto the grid.
    #[error("the initial model: {0}")]
    Quantise(#[from] QuantiseError),
    /// A name is no member id.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Names are not in ascending order, or not one for each trainer.
    #[error("member names must be ascending, one for each of {expected} trainers, found {found}")]
    Members {
        /// Number of trainers.
        expected: usize,
        /// Number of names.
        found: usize,
    },
}

/// What happened in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundReport {
    /// Number of the round, from 1.
    pub round: u64,
    /// Why it led to no new model, if it did not.
    pub failure: Option<RoundFailure>,
    /// One verdict for each member, in the order of members.
    pub verdicts: Vec<UpdateVerdict>,
    /// Trust of each member after the round, in the order of members.
    pub trust: Vec<TrustRecord>,
    /// Digest of the model after the round.
    pub model: Digest,
    /// The evaluations that counted, by member id.
    pub evaluations: Vec<Evaluation>,
    /// What the evaluators measured of the suspected cell, where the task has that.
    pub harm: Option<HarmRecord>,
}

/// A consortium that trains one task in process.
#[derive(Debug, Clone)]
pub struct Federation {
    members: Vec<MemberId>,
    trainers: Vec<Trainer>,
    task: TaskSpec,
    schema: Schema,
    knowledge: Knowledge,
    spec: ModelSpec,
    model: Vec<i32>,
    start: Option<Vec<i32>>,
    norms: Vec<u64>,
    trust: Vec<TrustRecord>,
    plain: PlainAverage,
    record: PublicRecord,
    past: Option<Past>,
    /// In the order of members, where the task has an evaluation phase.
    held_out: Vec<Option<HeldOut>>,
    /// Rounds that can be undone, when they are kept.
    kept: Option<Vec<recovery::Kept>>,
    round: u64,
    frozen: bool,
}

impl Federation {
    /// A federation before its first round.
    ///
    /// `names` are the member ids in ascending order, one for each of `trainers`, which share one
    /// model; `initial` is the flat model that round 1 starts from.
    ///
    /// # Errors
    /// When a name, the schema or the initial model cannot be used.
    ///
    /// # Panics
    /// When there is no trainer or `initial` has another number of parameters than the model.
    pub fn new(
        names: &[String],
        mut trainers: Vec<Trainer>,
        task: TaskSpec,
        knowledge: Knowledge,
        initial: &[f32],
    ) -> Result<Self, FederationError> {
        let members: Vec<MemberId> =
            names.iter().map(MemberId::new).collect::<Result<_, IdError>>()?;
        if members.len() != trainers.len() || members.windows(2).any(|two| two[0] >= two[1]) {
            let (expected, found) = (trainers.len(), members.len());
            return Err(FederationError::Members { expected, found });
        }
        let spec = trainers.first().expect("a consortium has members").spec;
        let schema = Schema::of(&task)?;
        let model = schema.quantise(&named_bits(&spec, initial))?;
        let held_out = task.evaluation.as_ref().map_or_else(Vec::new, |_| hold_out(&mut trainers));
        let harm = task.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
        let past = task.history.map(|policy| Past::new(policy, task.initial_model).with_harm(harm));
        Ok(Self {
            held_out,
            trust: vec![TrustRecord::default(); members.len()],
            plain: PlainAverage::new(&model),
            record: PublicRecord::new(to_floats(&schema, &model)),
            members,
            past,
            trainers,
            task,
            schema,
            knowledge,
            spec,
            model,
            start: None,
            norms: Vec::new(),
            kept: None,
            round: 0,
            frozen: false,
        })
    }

    /// The model now, flat.
    pub fn model(&self) -> Vec<f32> {
        to_floats(&self.schema, &self.model)
    }

    /// Digest of the model now, as on the ledger.
    pub fn model_digest(&self) -> Digest {
        self.schema.digest_of(&self.model).expect("models stay canonical")
    }

    /// What plain averaging of the very same updates would have led to by now, flat.
    pub fn plain_average(&self) -> Vec<f32> {
        to_floats(&self.schema, self.plain.model())
    }

    /// Whether the task is frozen because more than f members would be in quarantine.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The members in the order of their ids.
    pub fn members(&self) -> &[MemberId] {
        &self.members
    }

    /// Runs all rounds of the task, or until it is frozen.
    ///
    /// # Errors
    /// When a member's update cannot be brought onto the grid.
    pub fn run(&mut self) -> Result<Vec<RoundReport>, FederationError> {
        let mut reports = Vec::new();
        while self.round < self.task.rounds && !self.frozen {
            reports.push(self.step()?);
        }
        Ok(reports)
    }

    /// Runs one round.
    ///
    /// # Errors
    /// When a member's update cannot be brought onto the grid.
    pub fn step(&mut self) -> Result<RoundReport, FederationError> {
        self.round += 1;
        self.hear_notices();
        let updates = self.train();
        let values = self.quantise(&updates)?;
        let num_examples: Vec<u64> = updates.iter().map(|update| update.num_examples).collect();
        self.plain.add(values.view(), &num_examples);
        let revealed = self.revealed(values.view());
        let kept = self.kept.is_some().then(|| self.present(&values, &num_examples));
        let inputs = self.inputs(values, &num_examples)?;
        let (judgement, scored) = match self.task.evaluation {
            None => (judge(&self.task.rule, inputs), evaluation::Scored::default()),
            Some(_) => self.judge_evaluated(inputs)?,
        };
        let RoundJudgement { aggregate, verdicts, deviations } = judgement;
        let led_to = aggregate.and_then(|aggregate| {
            let model = add_to_model(&self.model, &aggregate);
            model.map(|model| (model, aggregate)).map_err(|_| RoundFailure::ModelOutOfRange)
        });
        let quarantined = self.in_quarantine();
        self.move_trust(&verdicts);
        if led_to.is_ok() {
            self.remember(&deviations.unwrap_or_default(), &scored, &quarantined);
        }
        let failure = led_to.as_ref().err().copied();
        if let Ok((model, aggregate)) = led_to {
            self.model = model;
            self.start = Some(aggregate);
            self.norms.extend(median_norm(&verdicts));
            let surplus = self.norms.len().saturating_sub(NORM_ROUNDS);
            self.norms.drain(..surplus);
            self.kept.iter_mut().for_each(|all| all.extend(kept.clone()));
        }
        if let Some(revealed) = revealed {
            let model = self.model();
            self.record.close_round(revealed, model);
        }
        self.frozen = failure == Some(RoundFailure::TooManySuspects);
        Ok(RoundReport {
            round: self.round,
            failure,
            verdicts,
            trust: self.trust.clone(),
            model: self.schema.digest_of(&self.model)?,
            evaluations: scored.evaluations,
            harm: scored.harm,
        })
    }

    /// Members that say in this round that their data change, true or not, as the contract hears them:
    /// before anybody commits, and not from quarantine.
    fn hear_notices(&mut self) {
        let Some(past) = &mut self.past else { return };
        for (k, trainer) in self.trainers.iter().enumerate() {
            let heard = self.trust[k].standing != Standing::Quarantine;
            if trainer.announces != Some(self.round) || !heard {
                continue;
            }
            let before = past.members.remove(&self.members[k]);
            if let Some(after) = before.and_then(|history| history.after_notice(&past.policy)) {
                past.members.insert(self.members[k].clone(), after);
            }
            self.trust[k] = after_notice(self.trust[k]);
        }
    }

    /// The round as it stands before it is judged.
    fn present(&self, values: &Array2<i32>, num_examples: &[u64]) -> recovery::Kept {
        recovery::Kept {
            round: self.round,
            model: self.model.clone(),
            start: self.start.clone(),
            norms: self.norms.clone(),
            trust: self.trust.clone(),
            values: values.clone(),
            num_examples: num_examples.to_vec(),
        }
    }

    fn train(&self) -> Vec<LocalUpdate> {
        let base = self.model();
        let view = RoundView::new(self.round, &base, &self.record);
        train_round(&self.trainers, &view, self.knowledge)
    }

    /// The updates of a round as the ledger reveals them, where somebody is there to use them.
    fn revealed(&self, values: ArrayView2<'_, i32>) -> Option<Vec<Vec<f32>>> {
        let watched = self.trainers.iter().any(|trainer| trainer.coalition.is_some());
        let row = |row: ArrayView1<'_, i32>| {
            to_floats(&self.schema, row.as_slice().expect("rows of an owned matrix are contiguous"))
        };
        watched.then(|| values.rows().into_iter().map(row).collect())
    }

    /// One row of integers for each member.
    fn quantise(&self, updates: &[LocalUpdate]) -> Result<Array2<i32>, FederationError> {
        let mut values = Vec::with_capacity(updates.len() * self.schema.parameters());
        for (update, member) in updates.iter().zip(&self.members) {
            let row = self.schema.quantise(&named_bits(&self.spec, &update.values));
            let member = || member.clone();
            values.extend(
                row.map_err(|source| FederationError::Update { member: member(), source })?,
            );
        }
        let shape = (updates.len(), self.schema.parameters());
        Ok(Array2::from_shape_vec(shape, values).expect("each row has one value a parameter"))
    }

    fn inputs(
        &self,
        values: Array2<i32>,
        num_examples: &[u64],
    ) -> Result<RoundInputs, FederationError> {
        let mut submissions = Vec::with_capacity(self.members.len());
        for (row, member) in self.members.iter().enumerate() {
            let update = values.row(row);
            let update = update.as_slice().expect("the rows of an owned matrix are contiguous");
            submissions.push(Submission {
                member: member.clone(),
                update: Some(self.schema.digest_of(update)?),
                order: row as u64,
                num_examples: num_examples[row],
                trust: self.trust[row],
                content: Content::Row(row),
            });
        }
        Ok(RoundInputs {
            terms: (&self.task).into(),
            submissions,
            values,
            norm_history: self.norms.clone(),
            start: self.start.clone(),
            quarantined_absent: 0,
            past: self.past.clone(),
        })
    }

    fn in_quarantine(&self) -> BTreeSet<MemberId> {
        let members = self.members.iter().zip(&self.trust);
        let quarantined = members.filter(|(_, trust)| trust.standing == Standing::Quarantine);
        quarantined.map(|(member, _)| member.clone()).collect()
    }

    /// Adds a round to the histories, once trust has moved; `quarantined` are those that were in
    /// quarantine before.
    fn remember(
        &mut self,
        deviations: &[Deviation],
        scored: &evaluation::Scored,
        quarantined: &BTreeSet<MemberId>,
    ) {
        let returned = &(quarantined - &self.in_quarantine());
        let Some(past) = self.past.as_mut().filter(|_| !deviations.is_empty()) else { return };
        past.advance(deviations, quarantined, self.task.byzantine as usize);
        past.weigh(scored.harm.as_ref(), quarantined);
        past.weigh_return(scored.returning.as_ref(), quarantined);
        past.rebase(returned, quarantined);
    }

    fn move_trust(&mut self, verdicts: &[UpdateVerdict]) {
        let Some(policy) = self.task.trust else { return };
        let marked: Vec<_> = self
            .trust
            .iter()
            .zip(verdicts)
            .map(|(&before, verdict)| (before, mark_of(verdict, false)))
            .collect();
        let (after, _) = after_round_all(&marked, &policy, self.task.byzantine as usize, 0);
        self.trust = after.into_iter().map(|(record, _)| record).collect();
    }
}

impl RoundReport {
    /// Indices of the members that are in quarantine after the round.
    pub fn quarantined(&self) -> Vec<usize> {
        let members = self.trust.iter().enumerate();
        members.filter(|(_, t)| t.standing == Standing::Quarantine).map(|(k, _)| k).collect()
    }
}

/// A flat model or update as the tensors that the contract quantises.
pub fn named_bits(spec: &ModelSpec, flat: &[f32]) -> Vec<NamedTensor> {
    let tensors = spec.named(flat).into_iter().map(|tensor| NamedTensor {
        name: tensor.name,
        shape: tensor.shape.into_iter().map(|length| length as u64).collect(),
        values: FloatBits::F32(tensor.values.into_iter().map(f32::to_bits).collect()),
    });
    tensors.collect()
}

/// Canonical integers as the floats they stand for, exactly.
fn to_floats(schema: &Schema, values: &[i32]) -> Vec<f32> {
    let tensors = schema.dequantise(values).expect("models stay canonical");
    tensors
        .into_iter()
        .flat_map(|tensor| match tensor.values {
            FloatBits::F32(bits) => bits,
            FloatBits::F64(_) => unreachable!("canonical tensors come as 32-bit floats"),
        })
        .map(f32::from_bits)
        .collect()
}
