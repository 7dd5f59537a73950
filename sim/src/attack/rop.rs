//! Relocated orthogonal perturbation (ROP), made against centered clipping: an update placed near the
//! point that the rule clips around, and perturbed at a right angle to where the model goes, so that
//! clipping takes little of it (Özfatura, Özfatura, Küpçü and Gündüz, "Byzantines can also learn from
//! history: fall of centered clipping in federated learning", IEEE TIFS 2023, arXiv:2208.09894).
//!
//! With m the last aggregate and μ the honest mean: location π·m + (1 − π)·μ, reference
//! λ·m + (1 − λ)·μ, perturbation the part of (1, …, 1) at a right angle to the reference, turned by
//! the angle towards it.
//! Deviation: the paper scales the perturbation to ALIE's z, for momenta of unit scale; here z is in
//! units of the honest updates' median distance from their mean.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vector::{distance_squared, dot, mean, median, norm, scaled_to, wide};
use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rop {
    /// π: 1 places the update at the last aggregate, 0 at the honest mean.
    pub location: f64,
    /// λ: share of the last aggregate in the reference.
    pub reference: f64,
    /// Angle between perturbation and reference in degrees; over 90 it works against the model.
    pub angle: f64,
    /// z: length of the perturbation.
    pub length: f64,
}

impl Default for Rop {
    fn default() -> Self {
        Self { location: 1.0, reference: 0.9, angle: 90.0, length: 1.0 }
    }
}

impl Hostile for Rop {
    fn describe(&self) -> String {
        format!("repeats the last aggregate, perturbed at {}° to it", self.angle)
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let mean = mean(situation.honest);
        // Before there is an aggregate, the honest mean stands for it.
        let last = situation.record.movement().map_or_else(|| mean.clone(), |m| wide(&m));
        let mix = |share: f64| -> Vec<f64> {
            last.iter().zip(&mean).map(|(m, mean)| share * m + (1.0 - share) * mean).collect()
        };
        let reference = scaled_to(mix(self.reference), 1.0);
        let along: f64 = reference.iter().sum();
        let across: Vec<f64> = reference.iter().map(|value| 1.0 - along * value).collect();
        let across = scaled_to(across, 1.0);
        let spread: Vec<f64> =
            situation.honest.iter().map(|x| distance_squared(&mean, x).sqrt()).collect();
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let length = self.length * median(spread);
        let placed = mix(self.location).into_iter().zip(across.iter().zip(&reference));
        debug_assert!(dot(&across, &reference).abs() < 1e-6 || norm(&across) == 0.0);
        placed.map(|(at, (a, r))| (at + length * (sin * a + cos * r)) as f32).collect()
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Rop};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::{distance_squared, dot, mean, median, norm, wide};
    use crate::seed;

    #[test]
    fn the_perturbation_has_the_stated_angle_and_length() {
        let mut scene = Scene::new(&updates(9, 10, 6));
        let movement: Vec<f32> = (0..10).map(|k| k as f32 / 5.0 - 0.7).collect();
        scene.record.close_round(Vec::new(), movement.clone());
        let mut rng = seed::stream(1, "attack", 0, 0);
        let mean = mean(&scene.honest);
        let spread =
            median(scene.honest.iter().map(|x| distance_squared(&mean, x).sqrt()).collect());
        for angle in [90.0f64, 135.0] {
            let attack = Rop { location: 1.0, reference: 1.0, angle, length: 2.0 };
            let update = wide(&attack.craft(&scene.at(0), &mut rng));
            let reference = wide(&movement);
            let moved: Vec<f64> = update.iter().zip(&reference).map(|(u, m)| u - m).collect();
            assert!((norm(&moved) / spread - 2.0).abs() < 1e-4);
            let cosine = dot(&moved, &reference) / norm(&moved) / norm(&reference);
            assert!((cosine - angle.to_radians().cos()).abs() < 1e-4, "{angle} {cosine}");
        }
        // At the honest mean when the location is 0.
        let near = Rop { location: 0.0, length: 0.0, ..Rop::default() };
        let update = near.craft(&scene.at(0), &mut rng);
        assert!(update.iter().zip(&mean).all(|(u, m)| (f64::from(*u) - m).abs() < 1e-6));
    }
}
