//! One member's local training, honest or hostile: what a hospital runs beside its node.

use std::sync::Arc;

use rand::Rng;

use crate::attack::{Attack, Situation};
use crate::data::Dataset;
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

/// The hostile members and what they agreed on. They share their data with each other.
#[derive(Debug, Clone)]
pub struct Coalition {
    /// What they do.
    pub attack: Attack,
    /// n: members of the consortium.
    pub members: usize,
    /// Index and training rows of each hostile member, the leader first.
    pub hostile: Vec<(usize, Arc<Dataset>)>,
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
    /// Seed of the whole run.
    pub seed: u64,
    /// Its coalition, if it is hostile.
    pub coalition: Option<Arc<Coalition>>,
}

impl Trainer {
    /// What the member submits in `round`, from what it can know on the ledger; see
    /// [`crate::attack::Knowledge::Colluders`].
    ///
    /// # Panics
    /// When `base` has another number of parameters than the model.
    pub fn train(&self, round: u64, base: &[f32]) -> LocalUpdate {
        let values = match &self.coalition {
            None => self.clean_update(round, base),
            Some(coalition) => {
                let estimate = self.estimate(coalition, round, base);
                self.hostile_update(coalition, round, base, &estimate)
            }
        };
        self.submission(values)
    }

    /// What the member submits if it has seen the honest members' updates of the round; an honest
    /// member does not look. See [`crate::attack::Knowledge::Omniscient`].
    ///
    /// # Panics
    /// When a hostile member is given no honest update.
    pub fn train_knowing(&self, round: u64, base: &[f32], honest: &[Vec<f32>]) -> LocalUpdate {
        let values = match &self.coalition {
            None => self.clean_update(round, base),
            Some(coalition) => self.hostile_update(coalition, round, base, honest),
        };
        self.submission(values)
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
        self.update_on(&self.data, self.member, "train", round, base)
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

    /// Clean updates of the whole coalition, with further ones on bootstrap resamples of its data
    /// when they are too few for a spread.
    fn estimate(&self, coalition: &Coalition, round: u64, base: &[f32]) -> Vec<Vec<f32>> {
        if !coalition.attack.needs_honest_updates() {
            return Vec::new();
        }
        let mut updates: Vec<Vec<f32>> = coalition
            .hostile
            .iter()
            .map(|(member, data)| self.update_on(data, *member, "train", round, base))
            .collect();
        for k in updates.len()..ESTIMATE_MIN {
            let (leader, data) = &coalition.hostile[k % coalition.hostile.len()];
            let mut rng = seed::stream(self.seed, "bootstrap", *leader as u64, k as u64);
            let rows: Vec<usize> =
                (0..data.rows()).map(|_| rng.gen_range(0..data.rows())).collect();
            let resample = data.select(&rows);
            let purpose = format!("bootstrap-{k}");
            updates.push(self.update_on(&resample, *leader, &purpose, round, base));
        }
        updates
    }

    fn poisoned_update(
        &self,
        coalition: &Coalition,
        member: usize,
        data: &Dataset,
        round: u64,
        base: &[f32],
    ) -> Vec<f32> {
        // The same rows are poisoned in every round.
        let mut rng = seed::stream(self.seed, "poison", member as u64, 0);
        let poisoned = coalition.attack.poison_data(data, &mut rng);
        self.update_on(&poisoned, member, "train", round, base)
    }

    fn hostile_update(
        &self,
        coalition: &Coalition,
        round: u64,
        base: &[f32],
        honest: &[Vec<f32>],
    ) -> Vec<f32> {
        let own = self.poisoned_update(coalition, self.member, &self.data, round, base);
        let (leader, data) = &coalition.hostile[0];
        let leader = if *leader == self.member {
            own.clone()
        } else {
            self.poisoned_update(coalition, *leader, data, round, base)
        };
        let situation = Situation {
            members: coalition.members,
            hostile: coalition.hostile.len(),
            honest,
            own: &own,
            leader: &leader,
        };
        let mut rng = seed::stream(self.seed, "craft", self.member as u64, round);
        let mut update = coalition.attack.craft(&situation, &mut rng);
        // A value that no canonical update can hold would only get it refused.
        for value in &mut update {
            *value = value.clamp(-VALUE_MAX, VALUE_MAX);
        }
        update
    }

    fn submission(&self, values: Vec<f32>) -> LocalUpdate {
        LocalUpdate { values, num_examples: self.data.rows() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Coalition, Trainer};
    use crate::attack::{Alie, Attack, InnerProduct, SignFlip, Sybil};
    use crate::data::fixtures::clouds;
    use crate::model::{ModelSpec, Training};

    fn trainers(attack: &Attack, hostile: &[usize]) -> Vec<Trainer> {
        let parts: Vec<_> = (0..5).map(|k| Arc::new(clouds(40, 3, k))).collect();
        let coalition = Arc::new(Coalition {
            attack: attack.clone(),
            members: 5,
            hostile: hostile.iter().map(|&k| (k, Arc::clone(&parts[k]))).collect(),
        });
        let training = Training {
            epochs: 2,
            batch_size: 8,
            learning_rate: 0.1,
            l2: 0.0,
            momentum: 0.0,
            class_balanced: true,
        };
        let trainer = |member: usize| Trainer {
            member,
            spec: ModelSpec::Logistic { features: 3 },
            training,
            data: Arc::clone(&parts[member]),
            seed: 1,
            coalition: hostile.contains(&member).then(|| Arc::clone(&coalition)),
        };
        (0..5).map(trainer).collect()
    }

    #[test]
    fn hostile_members_craft_and_honest_ones_do_not() {
        let attack = Attack::SignFlip(SignFlip { scale: 2.0 });
        let base = [0.0; 4];
        for trainer in trainers(&attack, &[1, 3]) {
            let clean = trainer.clean_update(7, &base);
            let factor = if trainer.coalition.is_some() { -2.0 } else { 1.0 };
            let expected: Vec<f32> = clean.iter().map(|value| factor * value).collect();
            assert_eq!(trainer.train(7, &base).values, expected);
            assert_ne!(trainer.clean_update(8, &base), clean);
            assert_eq!(trainer.train(7, &base).num_examples, 40);
        }
    }

    #[test]
    fn a_coalition_agrees_on_its_copies_without_talking() {
        let base = [0.0; 4];
        for attack in [
            Attack::Sybil(Sybil::default()),
            Attack::InnerProduct(InnerProduct::default()),
            Attack::Alie(Alie::default()),
        ] {
            let submitted: Vec<_> = trainers(&attack, &[0, 2])
                .iter()
                .map(|trainer| trainer.train(1, &base).values)
                .collect();
            assert_eq!(submitted[0], submitted[2], "{}", attack.name());
            assert_ne!(submitted[0], submitted[1], "{}", attack.name());
        }
    }

    #[test]
    fn a_lone_attacker_still_has_a_spread_to_hide_in() {
        let attack = Attack::Alie(Alie { z: Some(1.0) });
        let lone = &trainers(&attack, &[2])[2];
        let update = lone.train(1, &[0.0; 4]).values;
        let clean = lone.clean_update(1, &[0.0; 4]);
        let away: f32 = update.iter().zip(&clean).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(away.sqrt() > 1e-3, "{away}");
    }

    #[test]
    fn knowing_honest_updates_replaces_the_estimate() {
        let attack = Attack::InnerProduct(InnerProduct { epsilon: 1.0 });
        let hostile = &trainers(&attack, &[2])[2];
        let honest = [vec![1.0f32, 2.0, 3.0, 4.0]];
        let update = hostile.train_knowing(1, &[0.0; 4], &honest).values;
        assert_eq!(update, [-1.0, -2.0, -3.0, -4.0]);
    }
}
