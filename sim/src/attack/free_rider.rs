//! Free rider: does not train, and submits what the model did last, c·(wₜ − wₜ₋₁), disguised with
//! N(0, σ²·t^−2γ) (Fraboni, Vidal and Lorenzi, AISTATS 2021, arXiv:2006.11901).
//!
//! Deviations: σ is in units of the root mean square of the last movement; before there is one, in
//! units of [`FIRST_SCALE`].

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::vector::norm_of;
use super::{Hostile, Situation};

/// Scale of the noise in the first round, when nothing has moved yet.
pub const FIRST_SCALE: f64 = 1e-2;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FreeRider {
    /// c.
    pub factor: f32,
    /// σ; 0 submits the bare movement, which is provably a copy.
    pub sigma: f64,
    /// γ: how fast the noise fades.
    pub decay: f64,
}

impl Default for FreeRider {
    fn default() -> Self {
        Self { factor: 1.0, sigma: 0.5, decay: 0.5 }
    }
}

impl Hostile for FreeRider {
    fn describe(&self) -> String {
        format!("does not train: submits {} × the last movement with noise", self.factor)
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let movement = situation.movement();
        let size = norm_of(&movement) / (movement.len() as f64).sqrt();
        let size = if size > 0.0 { size } else { FIRST_SCALE };
        let scale = self.sigma * size * (situation.round as f64).powf(-self.decay);
        let ridden = movement.iter().map(|value| {
            let drawn: f64 = rng.sample(StandardNormal);
            self.factor * value + (scale * drawn) as f32
        });
        ridden.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{FreeRider, Hostile};
    use crate::attack::situation::fixtures::Scene;
    use crate::attack::vector::norm_of;
    use crate::seed;

    #[test]
    fn the_last_movement_comes_back_with_fading_noise() {
        let d = 2_000;
        let mut scene = Scene::new(&[vec![9.0; d]]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        let bare = FreeRider { factor: 2.0, sigma: 0.0, decay: 0.5 };
        assert_eq!(bare.craft(&scene.at(0), &mut rng), vec![0.0; d]);
        scene.record.close_round(Vec::new(), vec![0.5; d]);
        assert_eq!(bare.craft(&scene.at(0), &mut rng), vec![1.0; d]);
        // In round 4, noise of σ/2.
        scene.record.close_round(Vec::new(), vec![0.5; d]);
        scene.record.close_round(Vec::new(), vec![0.9; d]);
        let noisy = FreeRider { sigma: 1.0, ..bare }.craft(&scene.at(0), &mut rng);
        let noise: Vec<f32> = noisy.iter().map(|value| value - 0.8).collect();
        let ratio = norm_of(&noise) / (0.4 * (d as f64).sqrt());
        assert!((ratio - 0.5).abs() < 0.05, "{ratio}");
    }
}
