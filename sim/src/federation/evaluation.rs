//! The evaluation phase: each member scores the round's candidates on rows that it holds back from
//! training, and hostile ones may lie about it.

use std::sync::Arc;

use fedledger_contract::canonical::add_to_model;
use fedledger_contract::evaluation::{conclude, Conclusion, Evaluation};
use fedledger_contract::judge::{admit, RoundInputs, RoundJudgement};
use fedledger_contract::offer::offers;
use fedledger_contract::records::{HarmRecord, ReturnRecord};
use fedledger_ledger::decision::{Candidate, RoundFailure};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::limits::LOSS_MICRO_MAX;
use fedledger_ledger::transaction::ClassLoss;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{to_floats, Federation, FederationError};
use crate::data::{train_test, Dataset};
use crate::model::ModelSpec;
use crate::trainer::{Coalition, Trainer};

/// Share of each member's training rows that it holds back to score candidates on.
pub const EVALUATION_SHARE: f64 = 0.25;

/// What hostile members report of the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluations {
    /// What they measure.
    #[default]
    Honest,
    /// What they measure, turned round: the best candidate is called the worst.
    Inverted,
    /// That a cell with none of them does as much harm as can be said, and that one with any of them
    /// is of as much use, be it suspected or in quarantine.
    Framing,
}

/// One member's held-out rows: those before its data change, and from a round on those after.
#[derive(Debug, Clone)]
pub struct HeldOut {
    rows: Arc<Dataset>,
    later: Option<(u64, Arc<Dataset>)>,
}

/// What came of a round's evaluations.
#[derive(Debug, Clone, Default)]
pub(super) struct Scored {
    /// Those that counted, by member id.
    pub evaluations: Vec<Evaluation>,
    /// What they say of a suspected cell.
    pub harm: Option<HarmRecord>,
    /// What they say of the return of members in quarantine.
    pub returning: Option<ReturnRecord>,
}

/// Takes each trainer's held-out rows from what it trains on; none of one with a single row.
pub fn hold_out(trainers: &mut [Trainer]) -> Vec<Option<HeldOut>> {
    let held = trainers.iter_mut().map(|trainer| {
        let seed = trainer.seed.wrapping_add(trainer.member as u64);
        let part = |data: &Dataset| {
            let (train, held) = train_test(data, EVALUATION_SHARE, seed).ok()?;
            Some((Arc::new(train), Arc::new(held)))
        };
        let (train, rows) = part(&trainer.data)?;
        trainer.data = train;
        let mut later = None;
        if let Some((round, data)) = &mut trainer.later {
            let (train, held) = part(data)?;
            *data = train;
            later = Some((*round, held));
        }
        Some(HeldOut { rows, later })
    });
    held.collect()
}

/// A loss as it is submitted: millionths, rounded, within the contract's limit.
pub fn loss_micro(loss: f64) -> u64 {
    ((loss * 1e6).round() as u64).min(LOSS_MICRO_MAX)
}

impl Federation {
    /// Judges a round with an evaluation phase, as the state machine does: candidates, scores, choice,
    /// outcome; with what the evaluators measured of a suspected cell.
    pub(super) fn judge_evaluated(
        &self,
        inputs: RoundInputs,
    ) -> Result<(RoundJudgement, Scored), FederationError> {
        let mut admission = admit(inputs.clone());
        let offered = match offers(&self.task, &mut admission) {
            Ok(offered) => offered,
            Err(failure) => return Ok((admission.fail(failure), Scored::default())),
        };
        let (mut candidates, mut models) = (Vec::<Candidate>::new(), Vec::new());
        for (at, offer) in offered.into_iter().enumerate() {
            let Ok(model) = add_to_model(&self.model, &offer.aggregate) else {
                if at > 0 {
                    continue;
                }
                let judgement = admit(inputs).fail(RoundFailure::ModelOutOfRange);
                return Ok((judgement, Scored::default()));
            };
            let (rule, without, with) = (offer.rule, offer.without, offer.with);
            let aggregate = self.schema.digest_of(&offer.aggregate)?;
            let digest = self.schema.digest_of(&model)?;
            let candidate = Candidate { rule, aggregate, model: digest, without, with };
            if candidates.iter().all(|other| other.model != candidate.model) {
                candidates.push(candidate);
                models.push(to_floats(&self.schema, &model));
            }
        }
        let evaluations = self.score(&candidates, &models);
        let (f, protected) = (self.task.byzantine as usize, self.task.protected_class());
        let Conclusion { chosen, harm, returning } =
            conclude(&candidates, &evaluations, self.past.as_ref(), f, protected);
        let mut admission = admit(inputs);
        if let Some(cell) = &candidates[chosen].without {
            admission.leave_out(cell);
        }
        admission.heed(harm.clone(), returning.clone(), self.task.classes());
        let scored = Scored { evaluations, harm, returning };
        Ok((admission.judge(&candidates[chosen].rule), scored))
    }

    /// The evaluations that count, by member: of those that are not in quarantine and hold rows back.
    fn score(&self, candidates: &[Candidate], models: &[Vec<f32>]) -> Vec<Evaluation> {
        let members = (0..self.members.len()).into_par_iter();
        let standing =
            members.filter(|&member| self.trust[member].standing != Standing::Quarantine);
        let scored = standing.filter_map(|member| {
            let rows = self.held_out.get(member)?.as_ref()?.rows_in(self.round);
            let measured = Evaluation {
                member: self.members[member].clone(),
                losses: losses(&self.spec, models, rows),
                classes: losses_by_class(&self.spec, models, rows, self.task.classes().len()),
            };
            let trainer = &self.trainers[member];
            Some(reported(trainer, &self.members, candidates, measured))
        });
        scored.collect()
    }
}

/// The loss of each model over all rows.
pub fn losses(spec: &ModelSpec, models: &[Vec<f32>], rows: &Dataset) -> Vec<u64> {
    models.iter().map(|model| loss_micro(spec.evaluate(model, rows).log_loss)).collect()
}

/// For each model its losses over the rows of each of `classes` classes; none where they are none.
pub fn losses_by_class(
    spec: &ModelSpec,
    models: &[Vec<f32>],
    rows: &Dataset,
    classes: usize,
) -> Vec<Vec<ClassLoss>> {
    if classes == 0 {
        return Vec::new();
    }
    let of_class = |class: usize| {
        let labels = rows.labels.iter().enumerate();
        let of_it = labels.filter(|(_, &label)| label as usize == class).map(|(row, _)| row);
        rows.select(&of_it.collect::<Vec<_>>())
    };
    let parts: Vec<Dataset> = (0..classes).map(of_class).collect();
    let loss = |model: &[f32], part: &Dataset| {
        let num_examples = part.rows() as u64;
        let loss_micro = match num_examples {
            0 => 0,
            _ => loss_micro(spec.evaluate(model, part).log_loss),
        };
        ClassLoss { loss_micro, num_examples }
    };
    models.iter().map(|model| parts.iter().map(|part| loss(model, part)).collect()).collect()
}

/// What a member reports when it has `measured` a round's candidates: that, unless it is hostile and
/// lies, of each class as of the whole. `members` are all members by id.
pub fn reported(
    trainer: &Trainer,
    members: &[MemberId],
    candidates: &[Candidate],
    measured: Evaluation,
) -> Evaluation {
    let Some(coalition) = &trainer.coalition else { return measured };
    let lie = |losses| lie(coalition, members, candidates, losses);
    let Evaluation { member, losses, mut classes } = measured;
    for class in 0..classes.first().map_or(0, Vec::len) {
        let told = lie(classes.iter().map(|one| one[class].loss_micro).collect());
        let held = classes.iter_mut().map(|one| &mut one[class]).zip(told);
        held.filter(|(one, _)| one.num_examples > 0).for_each(|(one, told)| one.loss_micro = told);
    }
    Evaluation { member, losses: lie(losses), classes }
}

/// What a hostile member says that its losses of the candidates are.
fn lie(
    coalition: &Coalition,
    members: &[MemberId],
    candidates: &[Candidate],
    losses: Vec<u64>,
) -> Vec<u64> {
    let hostile =
        |id: &MemberId| coalition.hostile.iter().any(|(hostile, _)| members[*hostile] == *id);
    match coalition.evaluations {
        Evaluations::Honest => losses,
        Evaluations::Inverted => {
            let ends = losses.iter().min().zip(losses.iter().max());
            let sum = ends.map_or(0, |(least, most)| least + most);
            losses.into_iter().map(|loss| sum - loss).collect()
        }
        Evaluations::Framing => {
            let said = |praised| if praised { 0 } else { LOSS_MICRO_MAX };
            let mut all = losses;
            if let Some(at) = candidates.iter().position(|one| one.without.is_some()) {
                let ours = candidates[at].without.iter().flatten().any(hostile);
                all = (0..all.len()).map(|k| said((k == at) != ours)).collect();
            }
            // Nobody asks whether the model with members in quarantine is the best.
            if let Some(at) = candidates.iter().position(|one| one.with.is_some()) {
                all[at] = said(candidates[at].with.iter().flatten().any(hostile));
            }
            all
        }
    }
}

impl HeldOut {
    /// The rows to score a round's candidates on.
    pub fn rows_in(&self, round: u64) -> &Dataset {
        match &self.later {
            Some((from, later)) if round >= *from => later,
            _ => &self.rows,
        }
    }
}
