//! Inner-product manipulation: submits −ε × the mean of honest updates, so that the aggregate's
//! inner product with the true direction turns negative (Xie, Koyejo and Gupta, "Fall of Empires",
//! UAI 2019, arXiv:1903.03936).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vector::mean;
use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InnerProduct {
    /// ε. Small values (0.1 to 1) slip past distance-based rules; large ones turn a mean around.
    pub epsilon: f32,
}

impl Default for InnerProduct {
    fn default() -> Self {
        Self { epsilon: 1.0 }
    }
}

impl Hostile for InnerProduct {
    fn describe(&self) -> String {
        format!("submits −{} × the mean of honest updates", self.epsilon)
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let mean = mean(situation.honest);
        mean.into_iter().map(|value| (f64::from(-self.epsilon) * value) as f32).collect()
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, InnerProduct};
    use crate::attack::situation::fixtures::Scene;
    use crate::seed;

    #[test]
    fn the_mean_is_turned_and_scaled() {
        let scene = Scene::new(&[vec![1.0, 2.0, -4.0], vec![3.0, -2.0, -2.0]]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = InnerProduct { epsilon: 0.5 };
        assert_eq!(attack.craft(&scene.at(0), &mut rng), [-1.0, 0.0, 1.5]);
    }
}
