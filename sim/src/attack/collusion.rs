//! Colluding cells with private noise: the coalition carries out another attack, split into cells that
//! each make a variant of their own, and every member hides its copy under noise at a right angle to
//! it. What a test for copies and near-copies then sees is no closer than honest updates are (the
//! evasion that Fung, Yoon and Beschastnikh, RAID 2020, name for their own defence).

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::silent_drift::across;
use super::vector::{narrow, norm, scaled_to, wide};
use super::{Alie, Attack, Hostile, Lesson, Probe, Situation};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collusion {
    /// The attack that is hidden.
    pub attack: Box<Attack>,
    /// Members of a cell, by rank; 0 makes the coalition one cell.
    pub cell: usize,
    /// Length of the noise that a cell shares, in units of the update's norm.
    pub cell_noise: f64,
    /// Length of each member's own noise, in units of the update's norm.
    pub private_noise: f64,
}

impl Default for Collusion {
    fn default() -> Self {
        let attack = Box::new(Attack::Alie(Alie::default()));
        Self { attack, cell: 2, cell_noise: 0.3, private_noise: 0.5 }
    }
}

impl Hostile for Collusion {
    fn describe(&self) -> String {
        format!("{}, in cells and under private noise", self.attack.describe())
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        self.attack.poison_data(lesson, rng)
    }

    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        self.attack.train(lesson, poisoned, rng)
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let update = wide(&self.attack.craft(situation, rng));
        let length = norm(&update) * situation.strength;
        let axis = scaled_to(update.clone(), 1.0);
        let cell = situation.rank.checked_div(self.cell).unwrap_or(0);
        let mut shared = situation.common(&format!("cell-{cell}"), situation.round);
        let common = across(&axis, self.cell_noise * length, &mut shared);
        let own = across(&axis, self.private_noise * length, rng);
        let noisy = update.iter().zip(common.iter().zip(&own)).map(|(u, (c, o))| u + c + o);
        narrow(&noisy.collect::<Vec<f64>>())
    }

    fn grades_itself(&self) -> bool {
        true
    }

    fn needs_honest_updates(&self) -> bool {
        self.attack.needs_honest_updates()
    }

    fn probe(&self, data: &Dataset) -> Option<Probe> {
        self.attack.probe(data)
    }
}

#[cfg(test)]
mod tests {
    use super::{Collusion, Hostile};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::{dot, norm, wide};
    use crate::attack::{Attack, InnerProduct};
    use crate::seed;

    #[test]
    fn cells_resemble_each_other_less_than_themselves() {
        let scene = Scene::new(&updates(9, 200, 1));
        let attack = Collusion {
            attack: Box::new(Attack::InnerProduct(InnerProduct::default())),
            cell: 2,
            cell_noise: 1.0,
            private_noise: 0.5,
        };
        let hidden = attack.attack.craft(&scene.at(0), &mut seed::stream(1, "craft", 0, 0));
        let submitted: Vec<Vec<f64>> = (0..4)
            .map(|rank| {
                let mut rng = seed::stream(1, "craft", rank, 0);
                wide(&attack.craft(&scene.at(rank as usize), &mut rng))
            })
            .collect();
        let cosine = |a: &[f64], b: &[f64]| dot(a, b) / norm(a) / norm(b);
        for update in &submitted {
            // The hidden attack is all there along its own direction: 1/√(1 + 1 + ¼).
            assert!((cosine(update, &wide(&hidden)) - 2.0 / 3.0).abs() < 0.05);
        }
        let (within, between) =
            (cosine(&submitted[0], &submitted[1]), cosine(&submitted[0], &submitted[2]));
        assert!(within > 0.75 && between < 0.6 && within < 0.99, "{within} {between}");
    }

    #[test]
    fn the_hidden_attack_keeps_its_probe_and_its_needs() {
        let scene = Scene::new(&updates(9, 4, 1));
        for hidden in ["backdoor", "alie", "sign-flip"] {
            let inner: Attack = hidden.parse().expect("a known attack");
            let attack = Collusion { attack: Box::new(inner.clone()), ..Collusion::default() };
            assert_eq!(attack.probe(&scene.pooled), inner.probe(&scene.pooled));
            assert_eq!(attack.needs_honest_updates(), inner.needs_honest_updates());
        }
    }
}
