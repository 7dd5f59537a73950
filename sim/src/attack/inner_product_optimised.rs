//! Optimised inner-product manipulation: −ε × the mean of honest updates with the ε that draws an
//! assumed rule's aggregate furthest from that mean, found by line search over the updates that the
//! coalition knows or expects (Xie et al., UAI 2019, optimised as in ByzFL).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::rules::{most_damaging, Against};
use super::vector::mean;
use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InnerProductOptimised {
    /// The rule that it assumes.
    pub against: Against,
    /// Values of ε that it tries, at least 2.
    pub evaluations: usize,
}

impl Default for InnerProductOptimised {
    fn default() -> Self {
        Self { against: Against::TrimmedMean, evaluations: 20 }
    }
}

impl Hostile for InnerProductOptimised {
    fn describe(&self) -> String {
        format!("turns the mean of honest updates round, as far as pays against {:?}", self.against)
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        most_damaging(situation, self.against, self.evaluations, |honest, epsilon| {
            mean(honest).iter().map(|value| (-epsilon * value) as f32).collect()
        })
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, InnerProductOptimised};
    use crate::attack::rules::{damage, Against};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::{mean, narrow};
    use crate::seed;

    #[test]
    fn it_points_against_the_mean_and_does_most_damage() {
        let scene = Scene::new(&updates(9, 20, 3));
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = InnerProductOptimised { against: Against::Median, evaluations: 30 };
        let update = attack.craft(&scene.at(0), &mut rng);
        let mean = narrow(&mean(&scene.honest));
        let ratio = update[0] / mean[0];
        assert!(ratio < 0.0);
        assert!(update.iter().zip(&mean).all(|(u, m)| (u - ratio * m).abs() < 1e-4 * u.abs()));
        let of = |update: &[f32]| damage(Against::Median, &scene.honest, update, 4);
        for epsilon in [0.0, 0.1, 0.5, 1.0, 2.0, 10.0f32] {
            let fixed: Vec<f32> = mean.iter().map(|m| -epsilon * m).collect();
            assert!(of(&update) >= 0.99 * of(&fixed), "{epsilon}");
        }
    }
}
