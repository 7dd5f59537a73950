//! Min-Max: μ + γ·p with the largest γ for which the update is no further from any honest update
//! than the two honest ones that are furthest apart (Shejwalkar and Houmansadr, "Manipulating the
//! Byzantine", NDSS 2021).
//!
//! Deviation: the paper halves γ until the bound holds; here γ is the root of the quadratic that the
//! bound is, for each honest update, and so exact.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::rules::distance;
use super::vector::{deviation, distance_squared, mean, norm, scaled_to, wide};
use super::{Hostile, Situation};

/// The direction p of the perturbation, of length 1 before γ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// −μ.
    Mean,
    /// −σ, coordinate by coordinate; the paper's strongest.
    #[default]
    Deviation,
    /// −sign(μ).
    Sign,
}

impl Direction {
    /// The direction for honest updates with this mean.
    pub(super) fn of(self, honest: &[Vec<f32>], mean: &[f64]) -> Vec<f64> {
        let raw: Vec<f64> = match self {
            Self::Mean => mean.iter().map(|value| -value).collect(),
            Self::Deviation => deviation(honest, mean, 0).into_iter().map(|value| -value).collect(),
            Self::Sign => mean.iter().map(|value| -value.signum()).collect(),
        };
        scaled_to(raw, 1.0)
    }
}

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinMax {
    /// Where the perturbation points.
    pub direction: Direction,
}

/// Largest γ ≥ 0 with a·γ² + b·γ + c ≤ 0, for a > 0 and c ≤ 0.
pub(super) fn root(a: f64, b: f64, c: f64) -> f64 {
    if a <= 0.0 {
        return 0.0;
    }
    ((-b + (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a)).max(0.0)
}

/// Σ p·(μ − x).
pub(super) fn slope(direction: &[f64], mean: &[f64], update: &[f32]) -> f64 {
    direction.iter().zip(mean).zip(wide(update)).map(|((p, m), x)| p * (m - x)).sum()
}

/// μ + γ·p.
pub(super) fn moved(mean: &[f64], direction: &[f64], gamma: f64) -> Vec<f32> {
    mean.iter().zip(direction).map(|(mean, p)| (mean + gamma * p) as f32).collect()
}

impl Hostile for MinMax {
    fn describe(&self) -> String {
        "goes as far from the mean as two honest updates are apart".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let honest = situation.honest;
        let mean = mean(honest);
        let direction = self.direction.of(honest, &mean);
        let pairs = honest.iter().flat_map(|a| honest.iter().map(|b| distance(a, b)));
        let widest = pairs.fold(0.0, f64::max);
        let length = norm(&direction).powi(2);
        let bound = |update: &Vec<f32>| {
            let rest = distance_squared(&mean, update) - widest;
            root(length, 2.0 * slope(&direction, &mean, update), rest)
        };
        let gamma = honest.iter().map(bound).fold(f64::INFINITY, f64::min);
        moved(&mean, &direction, gamma)
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Hostile, MinMax};
    use crate::attack::rules::distance;
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::seed;

    #[test]
    fn the_update_lies_on_the_bound() {
        let scene = Scene::new(&updates(9, 12, 4));
        let mut rng = seed::stream(1, "attack", 0, 0);
        let honest = &scene.honest;
        let pairs = honest.iter().flat_map(|a| honest.iter().map(|b| distance(a, b)));
        let widest = pairs.fold(0.0, f64::max);
        for direction in [Direction::Mean, Direction::Deviation, Direction::Sign] {
            let update = MinMax { direction }.craft(&scene.at(0), &mut rng);
            let far = honest.iter().map(|x| distance(x, &update)).fold(0.0, f64::max);
            assert!((far - widest).abs() < 1e-3 * widest, "{direction:?}: {far} {widest}");
        }
    }

    #[test]
    fn equal_updates_leave_no_room() {
        let scene = Scene::new(&[vec![1.0, 2.0], vec![1.0, 2.0]]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = MinMax { direction: Direction::Mean };
        assert_eq!(attack.craft(&scene.at(0), &mut rng), [1.0, 2.0]);
    }
}
