//! Constrain and scale: trains a backdoor under the loss α·class + (1 − α)·anomaly, the anomaly being
//! the squared distance from the model that the round started from, and scales the update up to a
//! norm that passes (Bagdasaryan et al., AISTATS 2020, arXiv:1807.00459).
//!
//! Strength: fewer triggered copies, and a norm between its own and the bound.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vector::{median_norm, norm_of};
use super::{Hostile, Lesson, Situation, Trigger};
use crate::data::Dataset;
use crate::model::Step;

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConstrainAndScale {
    /// What stamps a row, and the class it brings about.
    pub trigger: Trigger,
    /// α: share of the classification loss, above 0 to 1.
    pub alpha: f32,
    /// The norm of what is submitted, in units of the median norm of honest updates.
    pub bound: f64,
}

impl Default for ConstrainAndScale {
    fn default() -> Self {
        Self { trigger: Trigger::default(), alpha: 0.7, bound: 1.0 }
    }
}

/// α·∇class + (1 − α)·2·(w − w₀).
struct Constrained<'a> {
    base: &'a [f32],
    alpha: f32,
}

impl Step for Constrained<'_> {
    fn gradient(&mut self, model: &[f32], gradient: &mut [f32]) {
        let pull = 2.0 * (1.0 - self.alpha);
        for ((slope, value), base) in gradient.iter_mut().zip(model).zip(self.base) {
            *slope = self.alpha * *slope + pull * (value - base);
        }
    }
}

impl Hostile for ConstrainAndScale {
    fn describe(&self) -> String {
        format!("teaches a trigger close to the model, at {} × the usual norm", self.bound)
    }

    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        lesson.train(poisoned, rng, &mut Constrained { base: lesson.base, alpha: self.alpha })
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let own = norm_of(situation.own);
        if own == 0.0 {
            return situation.own.to_vec();
        }
        let factor = self.bound * median_norm(situation.honest) / own;
        let factor = (1.0 + (factor - 1.0) * situation.strength) as f32;
        situation.own.iter().map(|value| factor * value).collect()
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }

    fn trigger(&self) -> Option<&Trigger> {
        Some(&self.trigger)
    }
}

#[cfg(test)]
mod tests {
    use super::{ConstrainAndScale, Hostile};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::{median_norm, norm_of};
    use crate::attack::PublicRecord;
    use crate::seed;

    #[test]
    fn it_stays_close_while_training_and_ends_at_the_bound() {
        let scene = Scene::new(&updates(9, 5, 1));
        let record = PublicRecord::default();
        let trained = |alpha| {
            let attack = ConstrainAndScale { alpha, ..ConstrainAndScale::default() };
            let lesson = scene.lesson(&record);
            let poisoned = attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
            attack.train(&lesson, &poisoned, &mut seed::stream(1, "train", 0, 0))
        };
        assert!(norm_of(&trained(0.3)) < 0.7 * norm_of(&trained(1.0)));
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = ConstrainAndScale { bound: 1.5, ..ConstrainAndScale::default() };
        let ratio = norm_of(&attack.craft(&scene.at(0), &mut rng)) / median_norm(&scene.honest);
        assert!((ratio - 1.5).abs() < 1e-4, "{ratio}");
    }
}
