//! Local training: stochastic gradient descent with momentum on one institution's rows.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::ModelSpec;
use crate::data::Dataset;
use crate::defaults;

/// How an institution trains in one round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows in a step; the last batch of a pass may be shorter.
    pub batch_size: usize,
    /// Step length.
    pub learning_rate: f32,
    /// Weight decay λ: λ·w is added to the gradient of every weight, not to biases'.
    pub l2: f32,
    /// Share of the last step that is kept, 0 to below 1; starts anew each round.
    pub momentum: f32,
    /// Repeat rows of the rarer classes until all classes that a site has have the same number in a
    /// pass. It makes institutions of different prevalence more alike, which is what robust rules
    /// live on.
    pub class_balanced: bool,
}

impl Default for Training {
    /// [`defaults::TRAINING`].
    fn default() -> Self {
        defaults::TRAINING
    }
}

/// What may be changed in each step of training: nothing, for an honest member.
pub trait Step {
    /// Sees the gradient, weight decay included, before momentum and step; `model` is the flat model
    /// that it was taken at.
    fn gradient(&mut self, _model: &[f32], _gradient: &mut [f32]) {}

    /// Sees the flat model after the step.
    fn model(&mut self, _model: &mut [f32]) {}
}

impl Step for () {}

/// Trains from `base` on `data` and returns trained − base.
///
/// # Panics
/// When widths differ, or `data`, `epochs` or `batch_size` is empty or zero.
pub fn train(
    spec: &ModelSpec,
    base: &[f32],
    data: &Dataset,
    training: &Training,
    rng: &mut impl Rng,
) -> Vec<f32> {
    train_with(spec, base, data, training, rng, &mut ())
}

/// [`train`] with `step` in every step's way.
///
/// # Panics
/// As [`train`].
pub fn train_with(
    spec: &ModelSpec,
    base: &[f32],
    data: &Dataset,
    training: &Training,
    rng: &mut impl Rng,
    step: &mut impl Step,
) -> Vec<f32> {
    assert!(data.rows() > 0 && training.batch_size > 0, "there are rows and batches to train on");
    let network = spec.layers();
    let width = network.features();
    assert_eq!(data.width(), width, "the model is for these features");
    assert_eq!(base.len(), network.parameters(), "one value for each parameter");
    let features = data.features.as_standard_layout();
    let features = features.as_slice().expect("standard layout is contiguous");
    let row = |k: usize| (&features[k * width..(k + 1) * width], data.labels[k]);
    let decay: Vec<f32> =
        spec.biases().into_iter().map(|bias| if bias { 0.0 } else { training.l2 }).collect();
    let mut model = base.to_vec();
    let mut velocity = vec![0.0f32; model.len()];
    let mut gradient = vec![0.0f32; model.len()];
    let mut room = network.room();
    for _ in 0..training.epochs {
        let order = pass(data, training.class_balanced, rng);
        for batch in order.chunks(training.batch_size) {
            for ((slope, decay), value) in gradient.iter_mut().zip(&decay).zip(&model) {
                *slope = decay * value;
            }
            let scale = 1.0 / batch.len() as f32;
            for &k in batch {
                network.add_gradient(&model, row(k), (scale, false), &mut room, &mut gradient);
            }
            step.gradient(&model, &mut gradient);
            for ((value, speed), slope) in model.iter_mut().zip(&mut velocity).zip(&gradient) {
                *speed = training.momentum * *speed + slope;
                *value -= training.learning_rate * *speed;
            }
            step.model(&mut model);
        }
    }
    model.iter().zip(base).map(|(trained, start)| trained - start).collect()
}

/// The rows of one pass in random order.
fn pass(data: &Dataset, class_balanced: bool, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..data.rows()).collect();
    order.shuffle(rng);
    if class_balanced {
        let mut by_class: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for &row in &order {
            by_class.entry(data.labels[row]).or_default().push(row);
        }
        let largest = by_class.values().map(Vec::len).max().unwrap_or(0);
        // A class that the site has no row of cannot be repeated.
        for rows in by_class.values() {
            order.extend(rows.iter().cycle().take(largest - rows.len()));
        }
        order.shuffle(rng);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::{pass, train, Training};
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;
    use crate::seed;

    const TRAINING: Training = Training {
        epochs: 20,
        batch_size: 16,
        learning_rate: 0.1,
        l2: 1e-3,
        momentum: 0.5,
        class_balanced: false,
    };

    #[test]
    fn training_learns_and_repeats() {
        let (data, unseen) = (clouds(300, 6, 1), clouds(300, 6, 2));
        for spec in [ModelSpec::Logistic { features: 6 }, ModelSpec::Mlp { features: 6, hidden: 8 }]
        {
            let base = spec.initial(1);
            let update = || train(&spec, &base, &data, &TRAINING, &mut seed::stream(1, "t", 0, 0));
            assert_eq!(update(), update());
            let model: Vec<f32> = base.iter().zip(update()).map(|(b, u)| b + u).collect();
            let metrics = spec.evaluate(&model, &unseen);
            assert!(metrics.auc.expect("both classes") > 0.95, "{spec:?} {metrics:?}");
        }
    }

    #[test]
    fn decay_shrinks_weights_and_spares_the_bias() {
        let data = clouds(60, 2, 1);
        let spec = ModelSpec::Logistic { features: 2 };
        let norm = |l2| {
            let training = Training { l2, ..TRAINING };
            let mut rng = seed::stream(1, "t", 0, 0);
            let update = train(&spec, &[0.0; 3], &data, &training, &mut rng);
            (update[1].hypot(update[2]), update[0].abs())
        };
        let (free, decayed) = (norm(0.0), norm(1.0));
        assert!(decayed.0 < free.0 / 2.0 && decayed.1 > 0.1, "{free:?} {decayed:?}");
    }

    #[test]
    fn a_balanced_pass_has_as_many_of_each_class() {
        let mut data = clouds(31, 2, 1);
        let mut rng = seed::stream(1, "t", 0, 0);
        let order = pass(&data, true, &mut rng);
        let positives = order.iter().filter(|&&row| data.labels[row] == 1).count();
        assert_eq!((positives, order.len()), (20, 40));
        assert!((0..31).all(|row| order.contains(&row)));
        data.labels.fill(1);
        assert_eq!(pass(&data, true, &mut rng).len(), 31);
        for row in 0..10 {
            data.labels[row] = [0, 3][row % 2];
        }
        let order = pass(&data, true, &mut rng);
        for class in [0, 1, 3] {
            assert_eq!(order.iter().filter(|&&row| data.labels[row] == class).count(), 21);
        }
    }
}
