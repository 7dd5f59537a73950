//! Min-Sum: μ + γ·p with the largest γ for which the sum of squared distances to the honest updates
//! is no larger than that of any honest update to the others (Shejwalkar and Houmansadr,
//! "Manipulating the Byzantine", NDSS 2021).
//!
//! Deviation: γ is exact, as in [`super::min_max`].

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::min_max::{moved, root, slope, Direction};
use super::rules::distance;
use super::vector::{distance_squared, mean, norm};
use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinSum {
    /// Where the perturbation points.
    pub direction: Direction,
}

impl Hostile for MinSum {
    fn describe(&self) -> String {
        "is no further from the others in sum than the oddest honest update".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let honest = situation.honest;
        let mean = mean(honest);
        let direction = self.direction.of(honest, &mean);
        let sums = honest.iter().map(|a| honest.iter().map(|b| distance(a, b)).sum::<f64>());
        let largest = sums.fold(0.0, f64::max);
        let a = honest.len() as f64 * norm(&direction).powi(2);
        let b: f64 = honest.iter().map(|x| 2.0 * slope(&direction, &mean, x)).sum();
        let c: f64 = honest.iter().map(|x| distance_squared(&mean, x)).sum::<f64>() - largest;
        moved(&mean, &direction, root(a, b, c))
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Hostile, MinSum};
    use crate::attack::min_max::MinMax;
    use crate::attack::rules::distance;
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::seed;

    #[test]
    fn the_sum_lies_on_the_bound_and_is_tighter_than_min_max() {
        let scene = Scene::new(&updates(9, 12, 4));
        let mut rng = seed::stream(1, "attack", 0, 0);
        let sum =
            |update: &[f32]| -> f64 { scene.honest.iter().map(|x| distance(x, update)).sum() };
        let largest = scene.honest.iter().map(|x| sum(x)).fold(0.0, f64::max);
        for direction in [Direction::Mean, Direction::Deviation, Direction::Sign] {
            let update = MinSum { direction }.craft(&scene.at(0), &mut rng);
            assert!((sum(&update) - largest).abs() < 1e-3 * largest, "{direction:?}");
            let looser = MinMax { direction }.craft(&scene.at(0), &mut rng);
            assert!(sum(&looser) >= sum(&update) * 0.999, "{direction:?}");
        }
    }
}
