//! PoisonedFL: one random sign vector s for the whole run, so that small pushes add up over rounds,
//! needing no honest update (Xie, Fang and Gong, "Model poisoning attacks to federated learning via
//! multi-round consistency", CVPR 2025, arXiv:2404.15611).
//!
//! Update: λ·‖h‖·(v ∘ s)/‖v‖ with h the last movement of the model, v = |h − g·‖h‖/‖g‖| coordinate by
//! coordinate and g the member's last hostile update. λ starts at `factor` and is multiplied by
//! [`SHRINK`] at the end of each window of `window` rounds in which the model's movement did not agree
//! with s in significantly (1 %) more than half of the coordinates, while it stays at least
//! [`FACTOR_MIN`].
//! Deviations: λ follows from the public models, so that no state has to be kept; before there are a
//! movement and a last update, the member submits its honest update, as the authors' code does.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sybil::jittered;
use super::vector::{norm, norm_of, wide};
use super::{Hostile, Situation};

/// By how much λ shrinks after a window without success.
pub const SHRINK: f64 = 0.7;
/// Least λ.
pub const FACTOR_MIN: f64 = 0.5;
/// 99 % of a standard normal distribution lie under this.
const ONE_PERCENT: f64 = 2.326;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoisonedFl {
    /// λ at the beginning.
    pub factor: f64,
    /// Rounds after which success is tested; the paper's 50.
    pub window: usize,
    /// Gaussian noise of every member but the leader, in units of the update's root mean square.
    pub jitter: f32,
}

impl Default for PoisonedFl {
    fn default() -> Self {
        Self { factor: 8.0, window: 50, jitter: 0.01 }
    }
}

impl PoisonedFl {
    /// λ after the rounds whose models are `models`.
    fn factor_after(&self, models: &[Vec<f32>], signs: &[f64]) -> f64 {
        let d = signs.len() as f64;
        let needed = 0.5 * d + ONE_PERCENT * 0.5 * d.sqrt();
        let ends = models.iter().step_by(self.window.max(1));
        let windows = ends.clone().zip(ends.skip(1));
        windows.fold(self.factor, |factor, (start, end)| {
            let moves = end.iter().zip(start).zip(signs);
            let agreed = moves.filter(|((e, s), sign)| f64::from(*e - *s) * **sign > 0.0).count();
            let smaller = factor * SHRINK;
            if (agreed as f64) < needed && smaller >= FACTOR_MIN {
                smaller
            } else {
                factor
            }
        })
    }
}

impl Hostile for PoisonedFl {
    fn describe(&self) -> String {
        "pushes along one random sign vector in all rounds".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let last = situation.record.updates.get(situation.member());
        let (Some(movement), Some(last)) = (situation.record.movement(), last) else {
            return situation.clean.to_vec();
        };
        let mut common = situation.common("poisoned-fl", 0);
        let signs: Vec<f64> =
            situation.base.iter().map(|_| if common.gen() { 1.0 } else { -1.0 }).collect();
        let length = norm_of(&movement);
        let ratio = length / norm_of(last).max(f64::MIN_POSITIVE);
        let size: Vec<f64> = wide(&movement)
            .iter()
            .zip(wide(last))
            .map(|(movement, last)| (movement - ratio * last).abs())
            .collect();
        let factor = self.factor_after(&situation.record.models, &signs);
        let scale = factor * length / norm(&size).max(f64::MIN_POSITIVE);
        let update: Vec<f32> =
            size.iter().zip(&signs).map(|(size, sign)| (scale * size * sign) as f32).collect();
        jittered(&update, if situation.rank == 0 { 0.0 } else { self.jitter }, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, PoisonedFl};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::norm_of;
    use crate::seed;

    #[test]
    fn signs_stay_and_the_length_is_that_of_the_movement() {
        let d = 40;
        let mut scene = Scene::new(&updates(9, d, 1));
        let attack = PoisonedFl { factor: 3.0, ..PoisonedFl::default() };
        let mut rng = seed::stream(1, "attack", 0, 0);
        assert_eq!(attack.craft(&scene.at(0), &mut rng), scene.clean);
        let mut before: Option<Vec<f32>> = None;
        for round in 0..5 {
            let model: Vec<f32> = (0..d).map(|k| ((k + round) as f32).sin()).collect();
            scene.record.close_round(updates(13, d, round as u64), model);
            let update = attack.craft(&scene.at(0), &mut rng);
            let movement = scene.record.movement().expect("two models");
            assert!((norm_of(&update) / norm_of(&movement) - 3.0).abs() < 1e-3);
            if let Some(before) = before {
                assert!(update.iter().zip(&before).all(|(a, b)| a * b >= 0.0));
            }
            before = Some(update);
        }
    }

    #[test]
    fn the_factor_shrinks_while_the_model_does_not_follow() {
        let attack = PoisonedFl { window: 2, ..PoisonedFl::default() };
        let signs = [1.0; 50];
        let walk = |steps: &[f32]| -> Vec<Vec<f32>> {
            let mut at = 0.0;
            let mut models = vec![vec![0.0; 50]];
            for step in steps {
                at += step;
                models.push(vec![at; 50]);
            }
            models
        };
        let factor = |steps: &[f32]| attack.factor_after(&walk(steps), &signs);
        assert_eq!(factor(&[]), 8.0);
        assert_eq!(factor(&[1.0, 1.0, 1.0]), 8.0);
        assert!((factor(&[-1.0, -1.0, 1.0, 1.0]) - 5.6).abs() < 1e-12);
        assert!(factor(&[-1.0; 60]) >= super::FACTOR_MIN);
    }
}
