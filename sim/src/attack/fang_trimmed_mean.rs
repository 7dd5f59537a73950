//! Fang's attack on the trimmed mean and the median: coordinate by coordinate, a value just beyond
//! the honest ones on the side against the direction in which the model would move (Fang, Cao, Jia
//! and Gong, "Local model poisoning attacks to Byzantine-robust federated learning", USENIX Security
//! 2020, arXiv:1911.11815).
//!
//! With knowledge of the honest updates, between the extreme and the extreme stretched away from
//! zero's side by b; without, uniformly 3 to 4 deviations from the coalition's own mean (the paper's
//! partial knowledge). Each member draws for itself.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vector::{deviation, mean};
use super::{Hostile, Knowledge, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FangTrimmedMean {
    /// b: how far beyond the extreme, as a factor above 1.
    pub factor: f64,
}

impl Default for FangTrimmedMean {
    fn default() -> Self {
        Self { factor: 2.0 }
    }
}

impl Hostile for FangTrimmedMean {
    fn describe(&self) -> String {
        "goes just beyond the honest extremes, against the model's direction".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let mean = mean(situation.honest);
        if situation.knowledge == Knowledge::Colluders {
            let deviation = deviation(situation.honest, &mean, 1);
            let beyond = mean.iter().zip(deviation).map(|(&mean, deviation)| {
                (mean - mean.signum() * rng.gen_range(3.0..4.0) * deviation) as f32
            });
            return beyond.collect();
        }
        let at = |k: usize| {
            let values = situation.honest.iter().map(|update| f64::from(update[k]));
            let up = mean[k] > 0.0;
            // Against an upward move, below the least; otherwise above the greatest.
            let extreme = if up {
                values.fold(f64::INFINITY, f64::min)
            } else {
                values.fold(f64::NEG_INFINITY, f64::max)
            };
            let stretched =
                if (extreme > 0.0) == up { extreme / self.factor } else { extreme * self.factor };
            (extreme + rng.gen_range(0.0..=1.0) * (stretched - extreme)) as f32
        };
        (0..mean.len()).map(at).collect()
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{FangTrimmedMean, Hostile};
    use crate::attack::situation::fixtures::Scene;
    use crate::attack::{Knowledge, Situation};
    use crate::seed;

    #[test]
    fn values_lie_beyond_the_extreme_on_the_other_side() {
        let scene = Scene::new(&[vec![1.0, -1.0, -2.0, 0.0], vec![3.0, 5.0, -4.0, 0.0]]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        for _ in 0..50 {
            let update = FangTrimmedMean::default().craft(&scene.at(0), &mut rng);
            assert!((0.5..=1.0).contains(&update[0]), "{update:?}");
            assert!((-2.0..=-1.0).contains(&update[1]), "{update:?}");
            assert!((-2.0..=-1.0).contains(&update[2]), "{update:?}");
            assert_eq!(update[3], 0.0);
        }
    }

    #[test]
    fn without_knowledge_it_keeps_three_deviations_away() {
        let scene = Scene::new(&[vec![1.0, -1.0], vec![3.0, -3.0]]);
        let situation = Situation { knowledge: Knowledge::Colluders, ..scene.at(0) };
        let mut rng = seed::stream(1, "attack", 0, 0);
        let update = FangTrimmedMean::default().craft(&situation, &mut rng);
        let away = (2.0 - update[0]) / 2f32.sqrt();
        assert!((3.0..4.0).contains(&away) && update[1] > 0.0, "{update:?}");
    }
}
