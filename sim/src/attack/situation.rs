//! What an attacker sees: the ledger's public record, and what its coalition knows.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::model::{train_with, ModelSpec, Step, Training};
use crate::seed;

/// Which honest updates an attacker builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowledge {
    /// The clean updates of the coalition itself, and when these are fewer than three, further ones
    /// trained on bootstrap resamples of its data. This is all that commit and reveal leave.
    Colluders,
    /// The honest members' updates of the same round. Only in process: on the ledger it would take
    /// a broken hash.
    Omniscient,
}

/// What every member can read on the ledger before a round: all models so far, and the last round's
/// updates, which were revealed when its commit phase had ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PublicRecord {
    /// Flat models that the rounds started from, oldest first; the last is the one that the coming
    /// round starts from. Empty when nobody kept them.
    pub models: Vec<Vec<f32>>,
    /// Flat updates of the last round in the order of members, empty for one that sent none; empty
    /// before the second round.
    pub updates: Vec<Vec<f32>>,
}

impl PublicRecord {
    /// The record before round 1.
    pub fn new(initial: Vec<f32>) -> Self {
        Self { models: vec![initial], updates: Vec::new() }
    }

    /// Adds a decided round: the updates that were revealed in it and the model it led to.
    pub fn close_round(&mut self, updates: Vec<Vec<f32>>, model: Vec<f32>) {
        self.updates = updates;
        self.models.push(model);
    }

    /// How the last round moved the model; `None` before the second round.
    pub fn movement(&self) -> Option<Vec<f32>> {
        let [.., before, now] = self.models.as_slice() else { return None };
        Some(now.iter().zip(before).map(|(now, before)| now - before).collect())
    }
}

/// What a hostile member has before it trains.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// The model.
    pub spec: ModelSpec,
    /// How an honest member trains.
    pub training: &'a Training,
    /// The member's own rows.
    pub data: &'a Dataset,
    /// The flat model that the round starts from.
    pub base: &'a [f32],
    /// The ledger's public record.
    pub record: &'a PublicRecord,
    /// Strength of the attack, above 0 to 1.
    pub strength: f64,
    /// n: members that submit.
    pub members: usize,
    /// f: members of the coalition.
    pub hostile: usize,
    /// Rank of the member in its coalition, from 0.
    pub rank: usize,
}

impl Lesson<'_> {
    /// Trains on `data`, with `step` in every step's way; trained − base.
    pub fn train(&self, data: &Dataset, rng: &mut ChaCha8Rng, step: &mut impl Step) -> Vec<f32> {
        train_with(&self.spec, self.base, data, self.training, rng, step)
    }
}

/// What an attacker knows when it makes its update. All updates are flat and of the same length.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Number of the round, from 1.
    pub round: u64,
    /// Strength of the attack in this round, above 0 to 1; see [`super::Schedule`].
    pub strength: f64,
    /// What the coalition draws its common random numbers from; see [`Situation::common`].
    pub seed: u64,
    /// n: members that submit.
    pub members: usize,
    /// Indices of the coalition's members in the consortium, the leader first; f of them.
    pub hostile: &'a [usize],
    /// Rank of this member in the coalition, from 0.
    pub rank: usize,
    /// The flat model that the round starts from.
    pub base: &'a [f32],
    /// The ledger's public record.
    pub record: &'a PublicRecord,
    /// What `honest` is.
    pub knowledge: Knowledge,
    /// Honest updates, or the coalition's estimate of them. At least one for an attack that asks
    /// for them ([`super::Attack::needs_honest_updates`]), else perhaps none.
    pub honest: &'a [Vec<f32>],
    /// What this member would submit if it were honest.
    pub clean: &'a [f32],
    /// What this member trained on its poisoned rows.
    pub own: &'a [f32],
    /// What the coalition's first member trained on its poisoned rows.
    pub leader: &'a [f32],
    /// The model.
    pub spec: ModelSpec,
    /// How an honest member trains.
    pub training: &'a Training,
    /// The training rows of all members of the coalition, in the order of rank.
    pub pooled: &'a Dataset,
}

impl Situation<'_> {
    /// Index of this member in the consortium.
    pub fn member(&self) -> usize {
        self.hostile[self.rank]
    }

    /// A stream of random numbers that every member of the coalition draws alike, without talking:
    /// the same in all rounds when `round` is 0.
    pub fn common(&self, purpose: &str, round: u64) -> ChaCha8Rng {
        seed::stream(self.seed, purpose, self.hostile[0] as u64, round)
    }

    /// How the last round moved the model; zeros before the second round.
    pub fn movement(&self) -> Vec<f32> {
        self.record.movement().unwrap_or_else(|| vec![0.0; self.base.len()])
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    use ndarray::Array2;

    use super::{Knowledge, Lesson, PublicRecord, Situation};
    use crate::data::{fixtures::clouds, Dataset};
    use crate::model::{ModelSpec, Training};

    /// Everything that a [`Situation`] borrows. Updates are of `d` values.
    pub struct Scene {
        pub honest: Vec<Vec<f32>>,
        pub clean: Vec<f32>,
        pub own: Vec<f32>,
        pub base: Vec<f32>,
        pub record: PublicRecord,
        pub hostile: Vec<usize>,
        pub members: usize,
        pub training: Training,
        pub pooled: Dataset,
        pub spec: ModelSpec,
    }

    impl Scene {
        /// Thirteen members, the first four hostile, with these honest updates.
        pub fn new(honest: &[Vec<f32>]) -> Self {
            let d = honest.first().map_or(1, Vec::len);
            let features = d.saturating_sub(1).max(1);
            Self {
                honest: honest.to_vec(),
                clean: honest.first().cloned().unwrap_or_default(),
                own: honest.first().cloned().unwrap_or_default(),
                base: vec![0.0; d],
                record: PublicRecord::new(vec![0.0; d]),
                hostile: vec![0, 1, 2, 3],
                members: 13,
                training: TRAINING,
                pooled: clouds(60, features, 1),
                spec: ModelSpec::Logistic { features },
            }
        }

        /// The lesson of the coalition's leader on the pooled rows.
        pub fn lesson<'a>(&'a self, record: &'a PublicRecord) -> Lesson<'a> {
            Lesson {
                spec: self.spec,
                training: &self.training,
                data: &self.pooled,
                base: &self.base,
                record,
                strength: 1.0,
                members: self.members,
                hostile: self.hostile.len(),
                rank: 0,
            }
        }

        /// The situation of the member with `rank` at full strength.
        pub fn at(&self, rank: usize) -> Situation<'_> {
            Situation {
                round: self.record.models.len().max(1) as u64,
                strength: 1.0,
                seed: 1,
                members: self.members,
                hostile: &self.hostile,
                rank,
                base: &self.base,
                record: &self.record,
                knowledge: Knowledge::Omniscient,
                honest: &self.honest,
                clean: &self.clean,
                own: &self.own,
                leader: &self.own,
                spec: self.spec,
                training: &self.training,
                pooled: &self.pooled,
            }
        }
    }

    pub const TRAINING: Training = Training {
        epochs: 2,
        batch_size: 16,
        learning_rate: 0.1,
        l2: 0.0,
        momentum: 0.0,
        class_balanced: false,
    };

    /// `rows` updates of `d` values: a common direction of slope 1 and unit noise.
    pub fn updates(rows: usize, d: usize, seed: u64) -> Vec<Vec<f32>> {
        let cloud: Array2<f32> = clouds(rows, d, seed).features;
        cloud.rows().into_iter().map(|row| row.iter().map(|v| v + 1.0).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::{fixtures::Scene, PublicRecord};

    #[test]
    fn movement_is_between_the_last_two_models() {
        let mut record = PublicRecord::new(vec![1.0, 2.0]);
        assert_eq!(record.movement(), None);
        record.close_round(vec![vec![0.5, 0.5]], vec![1.5, 1.0]);
        record.close_round(Vec::new(), vec![1.5, 4.0]);
        assert_eq!(record.movement(), Some(vec![0.0, 3.0]));
        assert!(record.updates.is_empty());
    }

    #[test]
    fn members_of_a_coalition_draw_common_numbers() {
        let scene = Scene::new(&[vec![1.0, 2.0]]);
        let (first, second) = (scene.at(0), scene.at(2));
        assert_eq!(first.common("d", 0).next_u64(), second.common("d", 0).next_u64());
        assert_ne!(first.common("d", 0).next_u64(), second.common("d", 1).next_u64());
        assert_eq!((second.member(), second.movement()), (2, vec![0.0, 0.0]));
    }
}
