//! Scaling: submits γ × its own honest update, so that under plain averaging its data count γ times
//! (the step that model replacement builds on: Bagdasaryan et al., AISTATS 2020, arXiv:1807.00459).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scaling {
    /// γ.
    pub factor: f32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { factor: 10.0 }
    }
}

impl Hostile for Scaling {
    fn describe(&self) -> String {
        format!("submits {} × its update", self.factor)
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        situation.clean.iter().map(|value| self.factor * value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Scaling};
    use crate::attack::situation::fixtures::Scene;
    use crate::seed;

    #[test]
    fn the_update_is_stretched() {
        let scene = Scene::new(&[vec![1.0, -0.5]]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        assert_eq!(Scaling { factor: 4.0 }.craft(&scene.at(0), &mut rng), [4.0, -2.0]);
    }
}
