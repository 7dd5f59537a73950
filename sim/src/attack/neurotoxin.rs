//! Neurotoxin: teaches a trigger only through the parameters that the others hardly move, so that
//! honest training does not wash it out: the gradient is zeroed on the share of coordinates in which
//! the last aggregate was largest (Zhang et al., "Neurotoxin: durable backdoors in federated
//! learning", ICML 2022, arXiv:2206.10341).
//!
//! Strength: fewer triggered copies, and a factor between 1 and γ.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Hostile, Lesson, Situation, Trigger};
use crate::data::Dataset;
use crate::model::Step;

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Neurotoxin {
    /// What stamps a row, and the class it brings about.
    pub trigger: Trigger,
    /// Share k of the coordinates that it leaves alone; 0 to below 1.
    pub spared: f64,
    /// γ: by how much the update is scaled.
    pub boost: f32,
}

impl Default for Neurotoxin {
    fn default() -> Self {
        Self { trigger: Trigger::default(), spared: 0.05, boost: 2.0 }
    }
}

/// Zeroes the gradient where the mask says so.
struct Masked {
    spared: Vec<bool>,
}

impl Step for Masked {
    fn gradient(&mut self, _model: &[f32], gradient: &mut [f32]) {
        for (slope, &spared) in gradient.iter_mut().zip(&self.spared) {
            if spared {
                *slope = 0.0;
            }
        }
    }
}

/// Whether a coordinate is among the `share` with the largest |movement|, the first of equals first.
fn largest(movement: &[f32], share: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..movement.len()).collect();
    order.sort_by(|&a, &b| movement[b].abs().total_cmp(&movement[a].abs()).then(a.cmp(&b)));
    let mut spared = vec![false; movement.len()];
    for &k in order.iter().take((movement.len() as f64 * share).ceil() as usize) {
        spared[k] = true;
    }
    spared
}

impl Hostile for Neurotoxin {
    fn describe(&self) -> String {
        "teaches a trigger through parameters that the others hardly move".to_owned()
    }

    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        // Before the first aggregate there is nothing to spare.
        match lesson.record.movement() {
            Some(movement) => {
                let spared = largest(&movement, self.spared);
                lesson.train(poisoned, rng, &mut Masked { spared })
            }
            None => lesson.train(poisoned, rng, &mut ()),
        }
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
    use super::{Hostile, Neurotoxin};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::PublicRecord;
    use crate::seed;

    #[test]
    fn the_most_moved_coordinates_do_not_move() {
        let scene = Scene::new(&updates(9, 5, 1));
        let mut record = PublicRecord::new(vec![0.0; 5]);
        let attack = Neurotoxin { spared: 0.4, ..Neurotoxin::default() };
        let update = |record: &PublicRecord| {
            let lesson = scene.lesson(record);
            let poisoned = attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
            attack.train(&lesson, &poisoned, &mut seed::stream(1, "train", 0, 0))
        };
        assert!(update(&record).iter().all(|&value| value != 0.0));
        record.close_round(Vec::new(), vec![0.1, -3.0, 0.2, 0.0, 2.0]);
        let spared: Vec<bool> = update(&record).iter().map(|&value| value == 0.0).collect();
        assert_eq!(spared, [false, true, false, false, true]);
    }
}
