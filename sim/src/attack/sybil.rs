//! Sybil copies: the whole coalition submits one member's poisoned update, so that a rule which
//! rewards closeness takes the crowd for the truth (Fung, Yoon and Beschastnikh, "The limitations
//! of federated learning in sybil settings", RAID 2020). The copied update is trained on inverted
//! labels. With one hostile member it is a label flip.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::LabelFlip;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sybil {
    /// How the copied update is poisoned.
    pub label_flip: LabelFlip,
    /// Gaussian noise on each coordinate in units of the update's root mean square: 0 gives equal
    /// bytes, 0.01 hides from a test for them.
    pub jitter: f32,
}

impl Sybil {
    pub(super) fn craft(&self, leader: &[f32], rng: &mut ChaCha8Rng) -> Vec<f32> {
        if self.jitter == 0.0 {
            return leader.to_vec();
        }
        let squares: f32 = leader.iter().map(|value| value * value).sum();
        let scale = self.jitter * (squares / leader.len() as f32).sqrt();
        let noisy = leader.iter().map(|value| value + scale * rng.sample::<f32, _>(StandardNormal));
        noisy.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Sybil;
    use crate::seed;

    #[test]
    fn all_submit_the_leaders_update_up_to_jitter() {
        let leader: Vec<f32> = (0..400).map(|k| (k as f32).sin()).collect();
        let mut rng = seed::stream(1, "attack", 0, 0);
        assert_eq!(Sybil::default().craft(&leader, &mut rng), leader);
        let jittered = Sybil { jitter: 0.01, ..Sybil::default() };
        let (a, b) = (jittered.craft(&leader, &mut rng), jittered.craft(&leader, &mut rng));
        assert_ne!(a, b);
        let distance = |x: &[f32], y: &[f32]| {
            x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt()
        };
        let norm = distance(&leader, &vec![0.0; 400]);
        let ratio = distance(&a, &leader) / norm;
        assert!((ratio - 0.01).abs() < 0.002, "{ratio}");
    }
}
