//! A little is enough (ALIE): every hostile member submits μ − z·σ, coordinate by coordinate, with
//! μ and σ of the honest updates and z so small that some honest updates lie further out (Baruch,
//! Baruch and Goldberg, NeurIPS 2019, arXiv:1902.06156).
//!
//! z = Φ⁻¹((n − f − s)/(n − f)) with s = ⌊n/2 + 1⌋ − f, the honest members that must be drawn to the
//! coalition's side for a majority.
//! Deviations: with n = 4, f = 1 the formula gives a negative z (and with f = 2 of 7 one near 0),
//! which would help the model; z is kept at least [`Z_MIN`]. σ is the population deviation.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::vector::{deviation, mean};
use super::{Hostile, Situation};

/// Least z: well inside the range of three honest updates, whose extremes lie 0.85 σ from the mean
/// on average.
pub const Z_MIN: f64 = 0.85;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alie {
    /// z; from n and f when absent.
    pub z: Option<f64>,
}

/// μ − z·σ of `honest`, with σ over their number less `freedom`.
pub(super) fn little(honest: &[Vec<f32>], z: f64, freedom: usize) -> Vec<f32> {
    let mean = mean(honest);
    let deviation = deviation(honest, &mean, freedom);
    mean.iter().zip(deviation).map(|(mean, deviation)| (mean - z * deviation) as f32).collect()
}

impl Hostile for Alie {
    fn describe(&self) -> String {
        "hides inside the spread of honest updates".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let least = z_max(situation.members, situation.hostile.len()).max(Z_MIN);
        little(situation.honest, self.z.unwrap_or(least), 0)
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

/// The paper's z for n members of which f are hostile; 0 when f is a majority.
pub fn z_max(members: usize, hostile: usize) -> f64 {
    let supporters = (members / 2 + 1).saturating_sub(hostile);
    let honest = members.saturating_sub(hostile);
    if supporters == 0 || honest <= supporters {
        return 0.0;
    }
    normal_quantile((honest - supporters) as f64 / honest as f64)
}

/// Φ⁻¹ by Newton's method on Φ; exact to 1e-12 for shares from 0.001 to 0.999.
pub(super) fn normal_quantile(share: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (0..60).fold(0.0, |x, _| {
        let step = (normal_share(x) - share) / density(x);
        x - step.clamp(-0.5, 0.5)
    })
}

/// Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/15 + …), which converges for every x.
fn normal_share(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for k in 1..200 {
        term *= x * x / f64::from(2 * k + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{normal_quantile, z_max, Alie, Hostile};
    use crate::attack::situation::fixtures::Scene;
    use crate::seed;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (share, z) in [(0.5, 0.0), (0.975, 1.959_963_984_540), (0.001, -3.090_232_306_168)] {
            assert!((normal_quantile(share) - z).abs() < 1e-9, "{share}");
        }
        // The paper's setting: 50 workers, 24 of them corrupt.
        assert!((z_max(50, 24) - normal_quantile(24.0 / 26.0)).abs() < 1e-12);
        assert!((z_max(13, 4) - 0.4307).abs() < 1e-4);
        assert!(z_max(4, 1) < 0.0);
        assert_eq!(z_max(4, 3), 0.0);
    }

    #[test]
    fn the_update_lies_z_deviations_under_the_mean() {
        let mut scene = Scene::new(&[vec![1.0, 5.0], vec![3.0, 5.0]]);
        (scene.members, scene.hostile) = (4, vec![0]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        let craft = |attack: Alie, rng: &mut _| attack.craft(&scene.at(0), rng);
        assert_eq!(craft(Alie { z: Some(1.5) }, &mut rng), [0.5, 5.0]);
        let kept = craft(Alie::default(), &mut rng);
        assert!((kept[0] - 1.15).abs() < 1e-6, "{kept:?}");
    }
}
