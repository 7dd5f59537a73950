//! Sign flip: submits −γ × the member's own honest update (Li et al., RSA, AAAI 2019,
//! arXiv:1811.03761).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignFlip {
    /// γ: how far the update is stretched; 1 keeps its norm and passes every norm check.
    pub scale: f32,
}

impl Default for SignFlip {
    fn default() -> Self {
        Self { scale: 4.0 }
    }
}

impl Hostile for SignFlip {
    fn describe(&self) -> String {
        format!("submits −{} × its update", self.scale)
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        situation.clean.iter().map(|value| -self.scale * value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, SignFlip};
    use crate::attack::situation::fixtures::Scene;
    use crate::seed;

    #[test]
    fn every_sign_turns() {
        let scene = Scene { clean: vec![1.0, -0.5, 0.0], ..Scene::new(&[vec![9.0; 3]]) };
        let mut rng = seed::stream(1, "attack", 0, 0);
        assert_eq!(SignFlip { scale: 3.0 }.craft(&scene.at(0), &mut rng), [-3.0, 1.5, 0.0]);
    }
}
