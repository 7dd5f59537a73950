//! Gaussian noise: submits its update plus N(0, σ²) on every coordinate, or the noise alone
//! (Blanchard et al., NeurIPS 2017, use noise alone with σ = 200).
//!
//! Deviation: σ is in units of the root mean square of the member's own update, so that one value
//! means the same for every model.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::vector::norm_of;
use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gaussian {
    /// σ in units of the update's root mean square; 1 makes the update √2 times as long.
    pub sigma: f64,
    /// Submit the noise without the update.
    pub alone: bool,
}

impl Default for Gaussian {
    fn default() -> Self {
        Self { sigma: 3.0, alone: false }
    }
}

impl Hostile for Gaussian {
    fn describe(&self) -> String {
        let what = if self.alone { "submits" } else { "adds" };
        format!("{what} noise of {} × its update's size", self.sigma)
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let clean = situation.clean;
        let scale = self.sigma * norm_of(clean) / (clean.len() as f64).sqrt();
        let kept = if self.alone { 0.0 } else { 1.0 };
        let noise = clean.iter().map(|value| {
            let drawn: f64 = rng.sample(StandardNormal);
            kept * value + (scale * drawn) as f32
        });
        noise.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Gaussian, Hostile};
    use crate::attack::situation::fixtures::Scene;
    use crate::attack::vector::norm_of;
    use crate::seed;

    #[test]
    fn the_noise_has_the_stated_size() {
        let scene = Scene::new(&[(0..2_000).map(|k| (k as f32).sin()).collect()]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        let alone = Gaussian { sigma: 2.0, alone: true }.craft(&scene.at(0), &mut rng);
        let ratio = norm_of(&alone) / norm_of(&scene.clean);
        assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
        let added = Gaussian { sigma: 2.0, alone: false }.craft(&scene.at(0), &mut rng);
        let noise: Vec<f32> = added.iter().zip(&scene.clean).map(|(a, c)| a - c).collect();
        assert!((norm_of(&noise) / norm_of(&scene.clean) - 2.0).abs() < 0.1);
    }
}
