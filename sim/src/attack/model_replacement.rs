//! Model replacement: trains a backdoored model X to its end and submits n/f·(X − w), so that plain
//! averaging replaces the model by X in one round (Bagdasaryan et al., "How to backdoor federated
//! learning", AISTATS 2020, arXiv:1807.00459). Meant for a schedule with a late `from` and `until` in
//! the same round.
//!
//! Strength: fewer triggered copies, and a factor between 1 and n/f.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Hostile, Lesson, Situation, Trigger};
use crate::data::Dataset;
use crate::model::{train, Training};

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelReplacement {
    /// What stamps a row, and the class it brings about.
    pub trigger: Trigger,
    /// γ; n/f when absent.
    pub boost: Option<f32>,
    /// How many times as many epochs it trains as an honest member.
    pub epochs_factor: usize,
}

impl Default for ModelReplacement {
    fn default() -> Self {
        Self { trigger: Trigger::default(), boost: None, epochs_factor: 5 }
    }
}

impl Hostile for ModelReplacement {
    fn describe(&self) -> String {
        "replaces the averaged model by one that obeys a trigger".to_owned()
    }

    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let epochs = lesson.training.epochs * self.epochs_factor.max(1);
        let training = Training { epochs, ..*lesson.training };
        train(&lesson.spec, lesson.base, poisoned, &training, rng)
    }

    fn boost(&self, situation: &Situation<'_>) -> f32 {
        let whole = situation.members as f32 / situation.hostile.len() as f32;
        self.boost.unwrap_or(whole)
    }

    fn trigger(&self) -> Option<&Trigger> {
        Some(&self.trigger)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, ModelReplacement};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::seed;

    #[test]
    fn averaging_the_coalition_with_zeros_gives_the_backdoored_model() {
        let mut scene = Scene::new(&updates(9, 5, 1));
        scene.own = vec![1.0, -2.0, 3.0, 0.5, 0.0];
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = ModelReplacement::default();
        let sum: Vec<f32> = (0..4)
            .map(|rank| attack.craft(&scene.at(rank), &mut rng))
            .fold(vec![0.0; 5], |sum, update| sum.iter().zip(update).map(|(a, b)| a + b).collect());
        let average: Vec<f32> = sum.iter().map(|value| value / 13.0).collect();
        assert!(average.iter().zip(&scene.own).all(|(a, b)| (a - b).abs() < 1e-6), "{average:?}");
    }
}
