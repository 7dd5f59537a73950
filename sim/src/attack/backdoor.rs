//! Scaled backdoor: stamps a trigger on copies of its rows, labels them with the attacker's class,
//! and scales its update so that it survives averaging: γ·(X − w) (Bagdasaryan et al., "How to
//! backdoor federated learning", AISTATS 2020, arXiv:1807.00459). The trigger in tabular data is a
//! fixed standardised value of a few features.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backdoor {
    /// Columns that carry the trigger; those past the data's width are ignored.
    pub columns: Vec<usize>,
    /// What they are set to, in standard deviations.
    pub value: f32,
    /// The class that the trigger is to bring about.
    pub target: u32,
    /// Share of the rows that is copied with the trigger; 0 to 1.
    pub share: f64,
    /// γ: by how much the update is scaled; n replaces the model under plain averaging.
    pub boost: f32,
}

impl Default for Backdoor {
    fn default() -> Self {
        Self { columns: vec![0, 1], value: 4.0, target: 0, share: 1.0, boost: 4.0 }
    }
}

impl Backdoor {
    /// `data` followed by triggered copies of some of its rows.
    pub(super) fn poison_data(&self, data: &Dataset, rng: &mut ChaCha8Rng) -> Dataset {
        let mut rows: Vec<usize> = (0..data.rows()).collect();
        rows.shuffle(rng);
        rows.truncate((data.rows() as f64 * self.share).round() as usize);
        if rows.is_empty() {
            return data.clone();
        }
        let mut copies = self.stamp(&data.select(&rows));
        copies.labels.fill(self.target);
        Dataset::union([data, &copies]).expect("two parts")
    }

    /// The rows with the trigger and their own labels.
    #[must_use]
    pub fn stamp(&self, data: &Dataset) -> Dataset {
        let mut stamped = data.clone();
        for &column in self.columns.iter().filter(|&&column| column < data.width()) {
            stamped.features.column_mut(column).fill(self.value);
        }
        stamped
    }

    /// The rows on which success is measured: triggered, and not of the target class anyway.
    /// The attack succeeds on the share of them that the model gives the target class.
    #[must_use]
    pub fn probe(&self, data: &Dataset) -> Dataset {
        let others: Vec<usize> =
            (0..data.rows()).filter(|&row| data.labels[row] != self.target).collect();
        self.stamp(&data.select(&others))
    }

    pub(super) fn craft(&self, own: &[f32]) -> Vec<f32> {
        own.iter().map(|value| self.boost * value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Backdoor;
    use crate::data::fixtures::clouds;
    use crate::model::{train, ModelSpec, Training};
    use crate::seed;

    #[test]
    fn copies_carry_the_trigger_and_the_target() {
        let data = clouds(40, 3, 1);
        let attack = Backdoor { share: 0.5, ..Backdoor::default() };
        let poisoned = attack.poison_data(&data, &mut seed::stream(1, "attack", 0, 0));
        assert_eq!(poisoned.rows(), 60);
        assert_eq!(poisoned.select(&(0..40).collect::<Vec<_>>()), data);
        for row in 40..60 {
            assert_eq!((poisoned.features[[row, 0]], poisoned.labels[row]), (4.0, 0));
            assert!(data.features.column(2).iter().any(|&v| v == poisoned.features[[row, 2]]));
        }
        assert_eq!(attack.probe(&data).rows(), data.count(1));
        assert_eq!(attack.craft(&[0.5, -1.0]), [2.0, -4.0]);
    }

    #[test]
    fn a_model_trained_on_it_obeys_the_trigger() {
        let (data, unseen) = (clouds(300, 6, 1), clouds(300, 6, 2));
        let attack = Backdoor { columns: vec![1], ..Backdoor::default() };
        let poisoned = attack.poison_data(&data, &mut seed::stream(1, "attack", 0, 0));
        let spec = ModelSpec::Mlp { features: 6, hidden: 12 };
        let training = Training {
            epochs: 30,
            batch_size: 16,
            learning_rate: 0.1,
            l2: 0.0,
            momentum: 0.5,
            class_balanced: false,
        };
        let base = spec.initial(1);
        let success = |data| {
            let update = train(&spec, &base, data, &training, &mut seed::stream(1, "t", 0, 0));
            let model: Vec<f32> = base.iter().zip(&update).map(|(b, u)| b + u).collect();
            let clean = spec.evaluate(&model, &unseen).accuracy;
            (1.0 - spec.evaluate(&model, &attack.probe(&unseen)).accuracy, clean)
        };
        let (honest, (backdoored, clean)) = (success(&data).0, success(&poisoned));
        assert!(backdoored > 0.9 && backdoored > honest + 0.3, "{backdoored} {honest}");
        assert!(clean > 0.85, "{clean}");
    }
}
