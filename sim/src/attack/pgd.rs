//! Backdoor by projected gradient descent: after each step of training on triggered rows, the model
//! is put back into the ball of radius δ around the one that the round started from, so that no norm
//! check sees it; the result may be scaled up afterwards (Wang et al., "Attack of the tails", NeurIPS
//! 2020, arXiv:2007.05084).
//!
//! Strength: fewer triggered copies, and a factor between 1 and γ.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vector::norm_of;
use super::{Hostile, Lesson, Situation, Trigger};
use crate::data::Dataset;
use crate::model::Step;

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pgd {
    /// What stamps a row, and the class it brings about.
    pub trigger: Trigger,
    /// δ, in units of the norm of the member's own honest update.
    pub radius: f64,
    /// γ: by how much the update is scaled.
    pub boost: f32,
}

impl Default for Pgd {
    fn default() -> Self {
        Self { trigger: Trigger::default(), radius: 1.0, boost: 1.0 }
    }
}

/// Projects the model into a ball after each step.
struct Ball<'a> {
    centre: &'a [f32],
    radius: f64,
}

impl Step for Ball<'_> {
    fn model(&mut self, model: &mut [f32]) {
        let squares = model.iter().zip(self.centre).map(|(m, c)| f64::from(m - c).powi(2));
        let distance = squares.sum::<f64>().sqrt();
        if distance > self.radius {
            let share = (self.radius / distance) as f32;
            for (value, centre) in model.iter_mut().zip(self.centre) {
                *value = centre + share * (*value - centre);
            }
        }
    }
}

/// Trains on `poisoned` within `radius` × the norm of what the member's own rows lead to.
pub(super) fn train_in_ball(
    lesson: &Lesson<'_>,
    poisoned: &Dataset,
    radius: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<f32> {
    let clean = lesson.train(lesson.data, &mut rng.clone(), &mut ());
    let radius = radius * norm_of(&clean);
    lesson.train(poisoned, rng, &mut Ball { centre: lesson.base, radius })
}

impl Hostile for Pgd {
    fn describe(&self) -> String {
        format!("teaches a trigger within {} × its honest norm", self.radius)
    }

    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        train_in_ball(lesson, poisoned, self.radius, rng)
    }

    fn boost(&self, _situation: &Situation<'_>) -> f32 {
        self.boost
    }

    fn trigger(&self) -> Option<&Trigger> {
        Some(&self.trigger)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Pgd};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::norm_of;
    use crate::attack::PublicRecord;
    use crate::seed;

    #[test]
    fn the_update_stays_in_the_ball() {
        let scene = Scene::new(&updates(9, 5, 1));
        let record = PublicRecord::default();
        let lesson = scene.lesson(&record);
        let rng = || seed::stream(1, "train", 0, 0);
        let clean = norm_of(&lesson.train(lesson.data, &mut rng(), &mut ()));
        let trained = |radius| {
            let attack = Pgd { radius, ..Pgd::default() };
            let poisoned = attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
            norm_of(&attack.train(&lesson, &poisoned, &mut rng()))
        };
        assert!(trained(0.4) <= 0.4001 * clean);
        assert!(trained(100.0) > 0.6 * clean);
    }
}
