//! Framing: the coalition submits harmful updates that carry the direction of one honest member's last
//! revealed update, so that a detector of coordination or of copies takes the victim for one of them
//! and the consortium loses an honest member (the abuse that detectors built on similarity allow; see
//! Karimireddy, He and Jaggi, ICLR 2022, arXiv:2006.09365, for mimicry as an attack).
//!
//! Update: ‖own‖·((1 − share)·own/‖own‖ + share·victim/‖victim‖) under a member's own jitter, where
//! own is trained on flipped labels. Before anybody has revealed anything, own alone.

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sybil::jittered;
use super::vector::{narrow, norm_of, scaled_to, wide};
use super::{Hostile, LabelFlip, Lesson, Situation};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Framing {
    /// Index of the honest member that is framed; the first honest one when absent.
    pub victim: Option<usize>,
    /// Share of the victim's direction; 0 to 1.
    pub share: f64,
    /// Gaussian noise on each coordinate in units of the update's root mean square.
    pub jitter: f32,
    /// How the coalition's own part is poisoned.
    pub label_flip: LabelFlip,
}

impl Default for Framing {
    fn default() -> Self {
        Self { victim: None, share: 0.7, jitter: 0.05, label_flip: LabelFlip::default() }
    }
}

impl Framing {
    /// Index of the victim, if any member is honest.
    pub fn victim_among(&self, members: usize, hostile: &[usize]) -> Option<usize> {
        self.victim.or_else(|| (0..members).find(|member| !hostile.contains(member)))
    }
}

impl Hostile for Framing {
    fn describe(&self) -> String {
        match self.victim {
            Some(victim) => format!("does harm in a way that looks like member {victim}"),
            None => "does harm in a way that looks like an honest member".to_owned(),
        }
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        Cow::Owned(self.label_flip.poison_rows(lesson.data, lesson.strength, rng))
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let victim = self.victim_among(situation.members, situation.hostile);
        let revealed = victim.and_then(|victim| situation.record.updates.get(victim));
        let length = norm_of(situation.own);
        let mixed = match revealed.filter(|update| norm_of(update) > 0.0) {
            Some(update) => {
                let share = self.share * situation.strength;
                let copied = scaled_to(wide(update), share * length);
                let own = wide(situation.own).into_iter().map(|value| (1.0 - share) * value);
                narrow(&own.zip(copied).map(|(own, copied)| own + copied).collect::<Vec<_>>())
            }
            None => situation.own.to_vec(),
        };
        jittered(&mixed, self.jitter * situation.strength as f32, rng)
    }

    fn grades_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Framing, Hostile};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::vector::{dot, norm, norm_of, wide};
    use crate::seed;

    #[test]
    fn updates_resemble_the_victims_last_one() {
        let d = 100;
        let mut scene = Scene::new(&updates(9, d, 1));
        let mut rng = seed::stream(1, "attack", 0, 0);
        let attack = Framing { jitter: 0.0, ..Framing::default() };
        assert_eq!(attack.craft(&scene.at(0), &mut rng), scene.own);
        scene.record.close_round(updates(13, d, 7), vec![0.0; d]);
        let cosine = |a: &[f32], b: &[f32]| {
            let (a, b) = (wide(a), wide(b));
            dot(&a, &b) / norm(&a) / norm(&b)
        };
        assert_eq!(attack.victim_among(13, &scene.hostile), Some(4));
        let victim = scene.record.updates[4].clone();
        let update = attack.craft(&scene.at(0), &mut rng);
        assert!(cosine(&update, &victim) > cosine(&scene.own, &victim) + 0.2);
        let whole = Framing { share: 1.0, ..attack }.craft(&scene.at(0), &mut rng);
        assert!((cosine(&whole, &victim) - 1.0).abs() < 1e-5);
        assert!((norm_of(&whole) / norm_of(&scene.own) - 1.0).abs() < 1e-5);
    }
}
