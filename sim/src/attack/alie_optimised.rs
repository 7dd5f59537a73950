//! Optimised ALIE: μ − z·σ with the z that draws an assumed rule's aggregate furthest from the
//! honest mean, found by line search over the updates that the coalition knows or expects (Baruch et
//! al., NeurIPS 2019, with the optimisation of Shejwalkar and Houmansadr, NDSS 2021, as in ByzFL).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::alie::little;
use super::rules::{most_damaging, Against};
use super::{Hostile, Situation};

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlieOptimised {
    /// The rule that it assumes.
    pub against: Against,
    /// Values of z that it tries, at least 2.
    pub evaluations: usize,
}

impl Default for AlieOptimised {
    fn default() -> Self {
        Self { against: Against::TrimmedMean, evaluations: 20 }
    }
}

impl Hostile for AlieOptimised {
    fn describe(&self) -> String {
        format!(
            "hides inside the spread of honest updates, as far out as pays against {:?}",
            self.against
        )
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        most_damaging(situation, self.against, self.evaluations, |honest, z| little(honest, z, 0))
    }

    fn needs_honest_updates(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{AlieOptimised, Hostile};
    use crate::attack::alie::Alie;
    use crate::attack::rules::{damage, Against};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::seed;

    #[test]
    fn it_does_more_damage_than_any_fixed_z_of_a_grid() {
        let scene = Scene::new(&updates(9, 20, 3));
        let mut rng = seed::stream(1, "attack", 0, 0);
        for against in [Against::Median, Against::TrimmedMean] {
            let of = |update: &[f32]| damage(against, &scene.honest, update, 4);
            let attack = AlieOptimised { against, evaluations: 30 };
            let best = of(&attack.craft(&scene.at(0), &mut rng));
            for k in 0..30 {
                let fixed = Alie { z: Some(f64::from(k) / 5.0) };
                let found = of(&fixed.craft(&scene.at(0), &mut rng));
                assert!(best >= found * 0.98, "{against:?} {k}: {best} {found}");
            }
        }
    }
}
