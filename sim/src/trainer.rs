//! One member's local training, honest or hostile: what a hospital runs beside its node.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use rayon::prelude::*;

use crate::attack::{Attack, Knowledge, Lesson, PublicRecord, Schedule, Situation};
use crate::data::Dataset;
use crate::federation::Evaluations;
use crate::model::{train, ModelSpec, Tensor, Training, VALUE_MAX};
use crate::seed;

/// Fewest updates from which a coalition estimates mean and spread of the honest ones.
const ESTIMATE_MIN: usize = 3;

/// What a member hands to its node for one round.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalUpdate {
    /// Trained − base, flat.
    pub values: Vec<f32>,
    /// Number of rows it declares.
    pub num_examples: u64,
}

/// A round as a member sees it when it begins to train.
#[derive(Debug, Clone, Copy)]
pub struct RoundView<'a> {
    /// Number of the round, from 1.
    pub round: u64,
    /// The flat model that it starts from.
    pub base: &'a [f32],
    /// What is public on the ledger.
    pub record: &'a PublicRecord,
    /// The honest members' updates of this very round, for an attacker that is granted them; see
    /// [`Knowledge::Omniscient`].
    pub honest: Option<&'a [Vec<f32>]>,
}

impl<'a> RoundView<'a> {
    /// What a member sees on the ledger.
    pub fn new(round: u64, base: &'a [f32], record: &'a PublicRecord) -> Self {
        Self { round, base, record, honest: None }
    }
}

/// The hostile members and what they agreed on. They share their data with each other.
#[derive(Debug, Clone)]
pub struct Coalition {
    /// What they do.
    pub attack: Attack,
    /// When and how hard they do it.
    pub schedule: Schedule,
    /// n: members of the consortium.
    pub members: usize,
    /// Index and training rows of each hostile member, the leader first.
    pub hostile: Vec<(usize, Arc<Dataset>)>,
    /// What they report of a round's candidates.
    pub evaluations: Evaluations,
    indices: Vec<usize>,
    pooled: Dataset,
}

impl Coalition {
    /// A coalition among `members`; `hostile` has index and training rows of each of its members,
    /// the leader first.
    ///
    /// # Panics
    /// When `hostile` is empty or its data have different widths.
    pub fn new(
        attack: Attack,
        schedule: Schedule,
        members: usize,
        hostile: Vec<(usize, Arc<Dataset>)>,
    ) -> Self {
        let pooled = Dataset::union(hostile.iter().map(|(_, data)| data.as_ref()));
        let pooled = pooled.expect("a coalition has members");
        let indices = hostile.iter().map(|(member, _)| *member).collect();
        let evaluations = Evaluations::Honest;
        Self { attack, schedule, members, hostile, evaluations, indices, pooled }
    }

    /// The same with other reports on candidates than honest ones.
    #[must_use]
    pub fn reporting(self, evaluations: Evaluations) -> Self {
        Self { evaluations, ..self }
    }
}

/// What a coalition computes once in a round, whoever of its members asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Briefing {
    /// By rank: what the member would submit if it were honest.
    clean: Vec<Vec<f32>>,
    /// By rank: what it trained on its poisoned rows.
    poisoned: Vec<Vec<f32>>,
    /// An estimate of the honest updates; empty when the attack needs none or is told them.
    estimate: Vec<Vec<f32>>,
}

/// Trains one member.
#[derive(Debug, Clone)]
pub struct Trainer {
    /// Index of the member; with the seed and the round it fixes the order of rows.
    pub member: usize,
    /// The model.
    pub spec: ModelSpec,
    /// How it trains.
    pub training: Training,
    /// Its training rows, standardised.
    pub data: Arc<Dataset>,
    /// Rows that replace `data` from a round on: an honest change-point.
    pub later: Option<(u64, Arc<Dataset>)>,
    /// Round in which it announces that its data change, if it does.
    pub announces: Option<u64>,
    /// Seed of the whole run.
    pub seed: u64,
    /// Its coalition, if it is hostile.
    pub coalition: Option<Arc<Coalition>>,
}

/// What every member submits in one round, in the order of `trainers`; each coalition's common work
/// is done once. The number of threads changes no bit.
///
/// # Panics
/// When `view.base` has another number of parameters than the model.
pub fn train_round(
    trainers: &[Trainer],
    view: &RoundView<'_>,
    knowledge: Knowledge,
) -> Vec<LocalUpdate> {
    let honest: Vec<Vec<f32>> = trainers
        .par_iter()
        .filter(|trainer| trainer.coalition.is_none())
        .map(|trainer| trainer.clean_update(view.round, view.base))
        .collect();
    let round = view.round;
    let told = Some(honest.as_slice()).filter(|_| knowledge == Knowledge::Omniscient);
    let view = RoundView { honest: told, ..*view };
    // One briefing for each coalition, by its leader.
    let mut briefings: BTreeMap<usize, Briefing> = BTreeMap::new();
    for trainer in trainers {
        if let Some(coalition) = &trainer.coalition {
            briefings
                .entry(coalition.indices[0])
                .or_insert_with(|| trainer.brief(coalition, &view));
        }
    }
    let hostile: Vec<Vec<f32>> = trainers
        .par_iter()
        .filter_map(|trainer| Some((trainer, trainer.coalition.as_ref()?)))
        .map(|(trainer, coalition)| {
            trainer.hostile_update(coalition, &view, &briefings[&coalition.indices[0]])
        })
        .collect();
    let (mut honest, mut hostile) = (honest.into_iter(), hostile.into_iter());
    let next = |trainer: &Trainer| {
        let values = if trainer.coalition.is_none() { honest.next() } else { hostile.next() };
        trainer.submission(round, values.expect("one update for each member"))
    };
    trainers.iter().map(next).collect()
}

impl Trainer {
    /// What the member submits in `round`, from what it can know on the ledger without having kept
    /// anything of earlier rounds; see [`Trainer::train_in`].
    ///
    /// # Panics
    /// When `base` has another number of parameters than the model.
    pub fn train(&self, round: u64, base: &[f32]) -> LocalUpdate {
        self.train_in(&RoundView::new(round, base, &PublicRecord::default()))
    }

    /// What the member submits in a round. An honest member looks at nothing but number and base.
    ///
    /// # Panics
    /// When `view.base` has another number of parameters than the model, or a hostile member is
    /// told honest updates and there are none.
    pub fn train_in(&self, view: &RoundView<'_>) -> LocalUpdate {
        let values = match &self.coalition {
            None => self.clean_update(view.round, view.base),
            Some(coalition) => {
                let briefing = self.brief(coalition, view);
                self.hostile_update(coalition, view, &briefing)
            }
        };
        self.submission(view.round, values)
    }

    /// [`Trainer::train`] with named tensors on both sides, as they travel to and from a node.
    ///
    /// # Errors
    /// When `base` is not the model's.
    pub fn train_named(
        &self,
        round: u64,
        base: &[Tensor],
    ) -> Result<(Vec<Tensor>, u64), crate::model::ModelError> {
        let update = self.train(round, &self.spec.flat(base)?);
        Ok((self.spec.named(&update.values), update.num_examples))
    }

    /// The update that the member would submit if it were honest.
    ///
    /// # Panics
    /// When `base` has another number of parameters than the model.
    pub fn clean_update(&self, round: u64, base: &[f32]) -> Vec<f32> {
        self.update_on(self.data_in(round), self.member, "train", round, base)
    }

    /// The rows that an honest member trains on in `round`.
    pub fn data_in(&self, round: u64) -> &Dataset {
        match &self.later {
            Some((from, later)) if round >= *from => later,
            _ => &self.data,
        }
    }

    fn update_on(
        &self,
        data: &Dataset,
        member: usize,
        purpose: &str,
        round: u64,
        base: &[f32],
    ) -> Vec<f32> {
        let mut rng = seed::stream(self.seed, purpose, member as u64, round);
        train(&self.spec, base, data, &self.training, &mut rng)
    }

    /// What the coalition computes for the round; every member finds the same.
    fn brief(&self, coalition: &Coalition, view: &RoundView<'_>) -> Briefing {
        let pairs: Vec<(Vec<f32>, Vec<f32>)> = (0..coalition.hostile.len())
            .into_par_iter()
            .map(|rank| self.clean_and_poisoned(coalition, rank, view))
            .collect();
        let (clean, poisoned): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let estimated = coalition.attack.needs_honest_updates() && view.honest.is_none();
        let estimate = if estimated { self.estimate(coalition, &clean, view) } else { Vec::new() };
        Briefing { clean, poisoned, estimate }
    }

    fn clean_and_poisoned(
        &self,
        coalition: &Coalition,
        rank: usize,
        view: &RoundView<'_>,
    ) -> (Vec<f32>, Vec<f32>) {
        let (member, data) = &coalition.hostile[rank];
        let clean = self.update_on(data, *member, "train", view.round, view.base);
        let strength = coalition.schedule.strength(view.round, rank);
        if strength == 0.0 {
            return (clean.clone(), clean);
        }
        let lesson = Lesson {
            spec: self.spec,
            training: &self.training,
            data,
            base: view.base,
            record: view.record,
            strength,
            members: coalition.members,
            hostile: coalition.hostile.len(),
            rank,
        };
        // The same rows are poisoned in every round.
        let mut rng = seed::stream(self.seed, "poison", *member as u64, 0);
        let poisoned: Cow<'_, Dataset> = coalition.attack.poison_data(&lesson, &mut rng);
        let mut rng = seed::stream(self.seed, "train", *member as u64, view.round);
        let poisoned = coalition.attack.train(&lesson, &poisoned, &mut rng);
        (clean, poisoned)
    }

    /// Clean updates of the whole coalition, with further ones on bootstrap resamples of its data
    /// when they are too few for a spread.
    fn estimate(
        &self,
        coalition: &Coalition,
        clean: &[Vec<f32>],
        view: &RoundView<'_>,
    ) -> Vec<Vec<f32>> {
        let mut updates = clean.to_vec();
        for k in updates.len()..ESTIMATE_MIN {
            let (leader, data) = &coalition.hostile[k % coalition.hostile.len()];
            let mut rng = seed::stream(self.seed, "bootstrap", *leader as u64, k as u64);
            let rows: Vec<usize> =
                (0..data.rows()).map(|_| rng.gen_range(0..data.rows())).collect();
            let resample = data.select(&rows);
            let purpose = format!("bootstrap-{k}");
            updates.push(self.update_on(&resample, *leader, &purpose, view.round, view.base));
        }
        updates
    }

    fn hostile_update(
        &self,
        coalition: &Coalition,
        view: &RoundView<'_>,
        briefing: &Briefing,
    ) -> Vec<f32> {
        let rank = coalition.indices.iter().position(|&member| member == self.member);
        let rank = rank.expect("a hostile member is in its coalition");
        let strength = coalition.schedule.strength(view.round, rank);
        if strength == 0.0 {
            return briefing.clean[rank].clone();
        }
        let situation = Situation {
            round: view.round,
            strength,
            seed: self.seed,
            members: coalition.members,
            hostile: &coalition.indices,
            rank,
            base: view.base,
            record: view.record,
            knowledge: match view.honest {
                Some(_) => Knowledge::Omniscient,
                None => Knowledge::Colluders,
            },
            honest: view.honest.unwrap_or(&briefing.estimate),
            clean: &briefing.clean[rank],
            own: &briefing.poisoned[rank],
            leader: &briefing.poisoned[0],
            spec: self.spec,
            training: &self.training,
            pooled: &coalition.pooled,
        };
        let mut rng = seed::stream(self.seed, "craft", self.member as u64, view.round);
        coalition.attack.craft(&situation, &mut rng)
    }

    /// What can be submitted of an update. A value that no canonical update can hold, from an attacker
    /// or from honest training on a model that an attack has blown up, goes as far as the grid does; the
    /// whole would only be refused.
    fn submission(&self, round: u64, mut values: Vec<f32>) -> LocalUpdate {
        for value in &mut values {
            let held = value.clamp(-VALUE_MAX, VALUE_MAX);
            *value = if held.is_nan() { 0.0 } else { held };
        }
        LocalUpdate { values, num_examples: self.data_in(round).rows() as u64 }
    }
}

#[cfg(test)]
mod tests;
