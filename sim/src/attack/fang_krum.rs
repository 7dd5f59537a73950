//! Fang's attack on Krum: every member submits −λ·s, with s the signs of the honest mean, and λ
//! halved until Krum, run on what the coalition knows or expects, selects it (Fang et al., USENIX
//! Security 2020, arXiv:1911.11815).
//!
//! λ starts at the paper's bound: the least sum of distances of an honest update to its nearest, over
//! (n − 2f − 1)·√d, plus the greatest honest norm over √d.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::rules::{distance, expected_honest, krum};
use super::sybil::jittered;
use super::vector::{mean, norm_of};
use super::{Hostile, Situation};

/// Halvings after which it gives up: λ is then under a thousandth of its bound.
const HALVINGS_MAX: u32 = 20;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FangKrum {
    /// Noise of every member but the leader, in units of the update's root mean square, so that the
    /// copies differ.
    pub jitter: f32,
}

impl Default for FangKrum {
    fn default() -> Self {
        Self { jitter: 0.01 }
    }
}

/// The paper's upper bound of λ.
fn bound(honest: &[Vec<f32>], members: usize, hostile: usize) -> f64 {
    let d = honest[0].len() as f64;
    let nearest = members.saturating_sub(hostile + 2).clamp(1, honest.len().max(2) - 1);
    let score = |x: &Vec<f32>| -> f64 {
        let mut distances: Vec<f64> = honest.iter().map(|y| distance(x, y).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        distances.iter().skip(1).take(nearest).sum()
    };
    let least = honest.iter().map(score).fold(f64::INFINITY, f64::min);
    let longest = honest.iter().map(|x| norm_of(x)).fold(0.0, f64::max);
    let others = members.saturating_sub(2 * hostile + 1).max(1) as f64;
    least / (others * d.sqrt()) + longest / d.sqrt()
}

impl Hostile for FangKrum {
    fn describe(&self) -> String {
        "turns the model's direction round, as far as Krum would still select it".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let honest = expected_honest(situation);
        let hostile = situation.hostile.len();
        let signs: Vec<f32> = mean(&honest).into_iter().map(|m| m.signum() as f32).collect();
        let mut lambda = bound(&honest, situation.members, hostile);
        let mut update = Vec::new();
        for _ in 0..HALVINGS_MAX {
            update = signs.iter().map(|sign| -(lambda as f32) * sign).collect::<Vec<f32>>();
            let copies = std::iter::repeat_n(update.as_slice(), hostile);
            let all: Vec<&[f32]> = honest.iter().map(Vec::as_slice).chain(copies).collect();
            if krum(&all, hostile) >= honest.len() {
                break;
            }
            lambda /= 2.0;
        }
        jittered(&update, if situation.rank == 0 { 0.0 } else { self.jitter }, rng)
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{FangKrum, Hostile};
    use crate::attack::rules::krum;
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::seed;

    #[test]
    fn krum_selects_the_opposite_of_the_mean() {
        let scene = Scene::new(&updates(9, 12, 5));
        let attack = FangKrum::default();
        let submitted: Vec<Vec<f32>> = (0..4)
            .map(|rank| {
                let mut rng = seed::stream(1, "attack", rank, 0);
                attack.craft(&scene.at(rank as usize), &mut rng)
            })
            .collect();
        let all: Vec<&[f32]> = scene.honest.iter().chain(&submitted).map(Vec::as_slice).collect();
        assert!(krum(&all, 4) >= 9);
        assert_ne!(submitted[0], submitted[1]);
        let mean: Vec<f32> =
            (0..12).map(|k| scene.honest.iter().map(|x| x[k]).sum::<f32>()).collect();
        assert!(mean.iter().zip(&submitted[0]).all(|(mean, update)| mean * update < 0.0));
    }
}
