//! Inverted loss: climbs the loss from the current model, and labels its rows as the model that comes
//! of it would; training on these labels is then as harmful as labels can be (after Gupta et al., "A
//! novel data poisoning attack in federated learning based on inverted loss function", Computers &
//! Security 130, 2023, 103270).
//!
//! Deviation: written from the paper's summary: gradients of the inverted loss decide labels, labels
//! go through ordinary training.
//! Strength: the share of rows with such labels.

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::trigger::draw;
use super::{Hostile, Lesson};
use crate::data::Dataset;
use crate::model::Step;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvertedLoss {
    /// Share of the rows that get such a label; 0 to 1.
    pub share: f64,
    /// Only rows of this class (a targeted attack); of all when absent.
    pub source: Option<u32>,
}

impl Default for InvertedLoss {
    fn default() -> Self {
        Self { share: 1.0, source: None }
    }
}

/// Turns descent into ascent.
struct Ascent;

impl Step for Ascent {
    fn gradient(&mut self, _model: &[f32], gradient: &mut [f32]) {
        gradient.iter_mut().for_each(|slope| *slope = -*slope);
    }
}

impl Hostile for InvertedLoss {
    fn describe(&self) -> String {
        format!("labels {:.0} % of its rows as a model of greatest loss would", self.share * 100.0)
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        let step = lesson.train(lesson.data, &mut rng.clone(), &mut Ascent);
        let worst: Vec<f32> =
            lesson.base.iter().zip(step).map(|(base, step)| base + step).collect();
        let labels = lesson.spec.predict(&worst, lesson.data.features.view());
        let chosen = |row: &usize| self.source.is_none_or(|s| s == lesson.data.labels[*row]);
        let rows: Vec<usize> = (0..lesson.data.rows()).filter(chosen).collect();
        let mut poisoned = lesson.data.clone();
        for k in draw(rows.len(), self.share * lesson.strength, rng) {
            poisoned.labels[rows[k]] = labels[rows[k]];
        }
        Cow::Owned(poisoned)
    }

    fn grades_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, InvertedLoss};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::PublicRecord;
    use crate::seed;

    #[test]
    fn labels_contradict_the_data_and_training_on_them_raises_the_loss() {
        let scene = Scene::new(&updates(9, 5, 1));
        let record = PublicRecord::default();
        let lesson = scene.lesson(&record);
        let poison = |attack: InvertedLoss| {
            attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0)).into_owned()
        };
        let poisoned = poison(InvertedLoss::default());
        let wrong = poisoned.labels.iter().zip(&lesson.data.labels).filter(|(a, b)| a != b).count();
        assert!(wrong > 45, "{wrong} of 60");
        let loss = |data: &_| {
            let update = lesson.train(data, &mut seed::stream(1, "train", 0, 0), &mut ());
            scene.spec.evaluate(&update, lesson.data).log_loss
        };
        assert!(loss(&poisoned) > 2.0 * loss(lesson.data));
        let targeted = poison(InvertedLoss { share: 0.5, source: Some(1) });
        let rows = (0..60).filter(|&row| targeted.labels[row] != lesson.data.labels[row]);
        assert!(rows.clone().count() <= 10 && rows.clone().all(|row| lesson.data.labels[row] == 1));
    }
}
