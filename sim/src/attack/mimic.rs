//! Mimic: the whole coalition copies one honest member, so that its odd data count many times
//! (Karimireddy, He and Jaggi, "Byzantine-robust learning on heterogeneous datasets via bucketing",
//! ICLR 2022, arXiv:2006.09365).
//!
//! The member is the one furthest out along the direction in which updates vary most.
//! Deviations: the paper follows that direction by Oja's rule through a warm-up and then stays with
//! one member; here the direction is found anew from the last round's revealed updates, unless a
//! `victim` is named. On the ledger nobody sees an update of the round before its commit phase has
//! ended, so there the copy is of the round before.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sybil::jittered;
use super::vector::{dot, mean, norm, scaled_to, wide};
use super::{Hostile, Knowledge, Situation};

/// Steps of the power iteration.
const STEPS: usize = 30;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mimic {
    /// Index of the member that is copied; the one furthest out when absent.
    pub victim: Option<usize>,
    /// Gaussian noise on each coordinate in units of the copy's root mean square.
    pub jitter: f32,
}

impl Default for Mimic {
    fn default() -> Self {
        Self { victim: None, jitter: 0.01 }
    }
}

/// Index of the update with the greatest |⟨z, x − μ⟩|, z the first principal direction.
fn furthest(updates: &[&[f32]]) -> usize {
    let owned: Vec<Vec<f32>> = updates.iter().map(|update| update.to_vec()).collect();
    let mean = mean(&owned);
    let centred: Vec<Vec<f64>> = updates
        .iter()
        .map(|update| wide(update).iter().zip(&mean).map(|(x, m)| x - m).collect())
        .collect();
    let longest = centred.iter().max_by(|a, b| norm(a).total_cmp(&norm(b)));
    let mut direction = longest.cloned().unwrap_or_default();
    for _ in 0..STEPS {
        let mut next = vec![0.0; direction.len()];
        for row in &centred {
            let along = dot(row, &direction);
            next.iter_mut().zip(row).for_each(|(sum, value)| *sum += along * value);
        }
        direction = scaled_to(next, 1.0);
    }
    let along = centred.iter().map(|row| dot(row, &direction).abs()).enumerate();
    along.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map_or(0, |(k, _)| k)
}

/// Index and update of each honest member: of this round if it is known, else as last revealed.
fn visible<'a>(situation: &Situation<'a>) -> Vec<(usize, &'a [f32])> {
    let honest = (0..situation.members).filter(|k| !situation.hostile.contains(k));
    match situation.knowledge {
        Knowledge::Omniscient => honest.zip(situation.honest.iter().map(Vec::as_slice)).collect(),
        Knowledge::Colluders => honest
            .filter_map(|k| Some((k, situation.record.updates.get(k)?.as_slice())))
            .filter(|(_, update)| update.len() == situation.clean.len())
            .collect(),
    }
}

impl Hostile for Mimic {
    fn describe(&self) -> String {
        match self.victim {
            Some(victim) => format!("copies member {victim}"),
            None => "copies the oddest honest member".to_owned(),
        }
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let visible = visible(situation);
        let named = visible.iter().find(|(k, _)| Some(*k) == self.victim);
        let copied = match (named, visible.is_empty()) {
            (Some((_, update)), _) => *update,
            // Nobody has revealed anything yet.
            (None, true) => return situation.clean.to_vec(),
            (None, false) => {
                let updates: Vec<&[f32]> = visible.iter().map(|(_, update)| *update).collect();
                updates[furthest(&updates)]
            }
        };
        jittered(copied, self.jitter, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Mimic};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::{Knowledge, Situation};
    use crate::seed;

    #[test]
    fn the_oddest_honest_member_is_copied() {
        let mut honest = updates(9, 6, 2);
        honest[5][3] += 40.0;
        let scene = Scene::new(&honest);
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = Mimic { victim: None, jitter: 0.0 };
        assert_eq!(attack.craft(&scene.at(1), &mut rng), honest[5]);
        // Honest members are 4 to 12.
        let named = Mimic { victim: Some(6), jitter: 0.0 };
        assert_eq!(named.craft(&scene.at(1), &mut rng), honest[2]);
    }

    #[test]
    fn on_the_ledger_it_copies_the_round_before() {
        let mut scene = Scene::new(&updates(9, 6, 2));
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = Mimic { victim: Some(7), jitter: 0.0 };
        let craft = |scene: &Scene, rng: &mut _| {
            attack.craft(&Situation { knowledge: Knowledge::Colluders, ..scene.at(0) }, rng)
        };
        assert_eq!(craft(&scene, &mut rng), scene.clean);
        scene.record.close_round(updates(13, 6, 8), vec![0.0; 6]);
        assert_eq!(craft(&scene, &mut rng), scene.record.updates[7]);
        let jittered = Mimic { victim: Some(7), jitter: 0.01 };
        assert_ne!(jittered.craft(&scene.at(0), &mut rng), scene.record.updates[7]);
    }
}
