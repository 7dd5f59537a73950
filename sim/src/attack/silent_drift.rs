//! Silent drift: hostile members keep so close to what is usual that no single round shows them, and
//! push in the same direction round after round, here so that the model underestimates one class.
//! Meant for a schedule with a long `ramp`.
//!
//! Forms: flipped labels of the source class; along v, the direction in which its loss on the
//! coalition's pooled rows rises fastest, by κ deviations; the same with noise of each member's own
//! at a right angle to v, so that the coalition's updates do not resemble each other; and towards a
//! model trained on the pooled rows with the source class relabelled. A deviation here is the median
//! distance of honest updates from their mean. What is submitted can be capped at a multiple of the
//! median honest norm.
//!
//! There is no publication under this name; the nearest are PoisonedFL ([`super::poisoned_fl`]) and
//! the time-coupled attacks of Karimireddy, He and Jaggi, ICML 2021, arXiv:2012.10333.
//! Strength: the share of flipped rows, or the share of κ.

use std::borrow::Cow;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::vector::{
    distance_squared, dot, mean, median, median_norm, narrow, norm_of, scaled_to, wide,
};
use super::{Hostile, LabelFlip, Lesson, Situation};
use crate::data::Dataset;
use crate::model::{train, Training};

/// Length of the private noise of the decorrelated form, in deviations.
pub const PRIVATE_NOISE: f64 = 0.7;
/// Epochs in which the poisoned target is trained.
pub const TARGET_EPOCHS: usize = 30;

/// How the drift is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Flipped labels of the source class.
    #[default]
    Labels,
    /// Along the direction of the source class's rising loss.
    Directed,
    /// The same, with noise of each member's own.
    Decorrelated,
    /// Towards a poisoned model.
    Target,
}

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SilentDrift {
    /// How the drift is made.
    pub form: Form,
    /// The class that is to be underestimated.
    pub source: u32,
    /// The class that its rows are called instead.
    pub target: u32,
    /// Share of the source class's rows whose label is flipped at full strength; 0 to 1.
    pub share: f64,
    /// Length of the push at full strength, in deviations, for the other forms.
    pub kappa: f64,
    /// Longest norm of what is submitted, in units of the median norm of honest updates; unbounded
    /// when absent.
    pub cap: Option<f64>,
}

impl Default for SilentDrift {
    fn default() -> Self {
        Self { form: Form::Labels, source: 1, target: 0, share: 1.0, kappa: 2.0, cap: None }
    }
}

impl SilentDrift {
    /// Unit vector of the steepest rise of the source class's loss on the pooled rows; zeros when the
    /// coalition has no such row.
    fn rise(&self, situation: &Situation<'_>) -> Vec<f64> {
        let pooled = situation.pooled;
        let rows: Vec<usize> =
            (0..pooled.rows()).filter(|&row| pooled.labels[row] == self.source).collect();
        if rows.is_empty() {
            return vec![0.0; situation.base.len()];
        }
        let rows = pooled.select(&rows);
        let labels = rows.labels.to_vec();
        let (_, gradient) = situation.spec.gradient(situation.base, rows.features.view(), &labels);
        scaled_to(wide(&gradient), 1.0)
    }

    /// Unit vector from the model to one trained from the task's first model on the pooled rows with
    /// the source class relabelled, the same in all rounds where the public record is kept.
    fn way_to_target(&self, situation: &Situation<'_>) -> Vec<f64> {
        let start = situation.record.models.first().map_or(situation.base, Vec::as_slice);
        let mut poisoned = situation.pooled.clone();
        for label in poisoned.labels.iter_mut().filter(|label| **label == self.source) {
            *label = self.target;
        }
        let training = Training { epochs: TARGET_EPOCHS, ..*situation.training };
        let mut rng = situation.common("silent-drift", 0);
        let step = train(&situation.spec, start, &poisoned, &training, &mut rng);
        let target = start.iter().zip(step).map(|(start, step)| start + step);
        let way = target.zip(situation.base).map(|(target, base)| f64::from(target - base));
        scaled_to(way.collect(), 1.0)
    }
}

/// A random vector of length `length` at a right angle to the unit vector `axis`.
pub(super) fn across(axis: &[f64], length: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let drawn: Vec<f64> = axis.iter().map(|_| rng.sample(StandardNormal)).collect();
    let along = dot(&drawn, axis);
    scaled_to(drawn.iter().zip(axis).map(|(value, axis)| value - along * axis).collect(), length)
}

impl Hostile for SilentDrift {
    fn describe(&self) -> String {
        let what = match self.form {
            Form::Labels => format!("flips {:.0} % of its labels", self.share * 100.0),
            Form::Directed => format!("pushes by {} deviations", self.kappa),
            Form::Decorrelated => format!("pushes by {} deviations under noise", self.kappa),
            Form::Target => format!("pulls by {} deviations to a poisoned model", self.kappa),
        };
        format!("{what} so that class {} is underestimated", self.source)
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        if self.form != Form::Labels {
            return Cow::Borrowed(lesson.data);
        }
        let flip = LabelFlip {
            share: self.share,
            source: Some(self.source),
            target: Some(self.target),
            ..LabelFlip::default()
        };
        Cow::Owned(flip.poison_rows(lesson.data, lesson.strength, rng))
    }

    fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let mut update = if self.form == Form::Labels {
            situation.own.to_vec()
        } else {
            let axis = match self.form {
                Form::Target => self.way_to_target(situation),
                _ => self.rise(situation),
            };
            let mean = mean(situation.honest);
            let away = situation.honest.iter().map(|x| distance_squared(&mean, x).sqrt());
            let unit = median(away.collect()) * situation.strength;
            let noise = if self.form == Form::Decorrelated { PRIVATE_NOISE * unit } else { 0.0 };
            let noise = across(&axis, noise, rng);
            let push =
                axis.iter().zip(&noise).map(|(axis, noise)| self.kappa * unit * axis + noise);
            narrow(&wide(situation.clean).iter().zip(push).map(|(c, p)| c + p).collect::<Vec<_>>())
        };
        if let Some(cap) = self.cap {
            let longest = cap * median_norm(situation.honest);
            let norm = norm_of(&update);
            if norm > longest {
                update.iter_mut().for_each(|value| *value *= (longest / norm) as f32);
            }
        }
        update
    }

    fn grades_itself(&self) -> bool {
        true
    }

    fn needs_honest_updates(&self) -> bool {
        self.form != Form::Labels || self.cap.is_some()
    }
}

#[cfg(test)]
mod tests;
