//! Sybil copies: the whole coalition submits one member's poisoned update, so that a rule which
//! rewards closeness takes the crowd for the truth (Fung, Yoon and Beschastnikh, "The limitations
//! of federated learning in sybil settings", RAID 2020). The copied update is trained on flipped
//! labels. With one hostile member it is a label flip. A flood of identities that join one after
//! another is a large coalition whose schedule has a `stagger`.
//!
//! Strength: the share of flipped labels, and from the member's own honest update to the copy.

use std::borrow::Cow;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{Hostile, LabelFlip, Lesson, Situation};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sybil {
    /// How the copied update is poisoned.
    pub label_flip: LabelFlip,
    /// Gaussian noise on each coordinate in units of the update's root mean square: 0 gives equal
    /// bytes, 0.01 hides from a test for them.
    pub jitter: f32,
}

/// `update` with Gaussian noise of `share` of its root mean square on each coordinate.
pub(super) fn jittered(update: &[f32], share: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    if share == 0.0 {
        return update.to_vec();
    }
    let squares: f32 = update.iter().map(|value| value * value).sum();
    let scale = share * (squares / update.len() as f32).sqrt();
    update.iter().map(|value| value + scale * rng.sample::<f32, _>(StandardNormal)).collect()
}

impl Hostile for Sybil {
    fn describe(&self) -> String {
        format!("many members, one update: {}", self.label_flip.describe_short())
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        Cow::Owned(self.label_flip.poison_rows(lesson.data, lesson.strength, rng))
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        jittered(situation.leader, self.jitter, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Sybil};
    use crate::attack::situation::fixtures::Scene;
    use crate::attack::Situation;
    use crate::seed;

    #[test]
    fn all_submit_the_leaders_update_up_to_jitter() {
        let leader: Vec<f32> = (0..400).map(|k| (k as f32).sin()).collect();
        let mut rng = seed::stream(1, "attack", 0, 0);
        let scene = Scene::new(&[vec![0.0; 400]]);
        let situation = Situation { leader: &leader, ..scene.at(2) };
        assert_eq!(Sybil::default().craft(&situation, &mut rng), leader);
        let jittered = Sybil { jitter: 0.01, ..Sybil::default() };
        let (a, b) = (jittered.craft(&situation, &mut rng), jittered.craft(&situation, &mut rng));
        assert_ne!(a, b);
        let distance = |x: &[f32], y: &[f32]| {
            x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt()
        };
        let norm = distance(&leader, &vec![0.0; 400]);
        let ratio = distance(&a, &leader) / norm;
        assert!((ratio - 0.01).abs() < 0.002, "{ratio}");
    }
}
