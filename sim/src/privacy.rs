//! What an update gives away: attacks on the confidentiality of training rows by whoever reads the
//! recorded updates, with the measures that say how much of a row came back.
//!
//! The reader knows what the ledger shows: the model that the round started from, the update, and how
//! members train ([`Observation`]). Reconstruction works on updates of one step; local training in many
//! steps on many rows blurs the gradient, and a result on it is a lower bound of what a cleverer reader
//! finds.

pub mod analytic;
pub mod gradient_match;
pub mod labels;
pub mod measures;
pub mod membership;
pub mod tabular;

use crate::model::{ModelSpec, Training};

/// An update as its reader sees it.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The model.
    pub spec: ModelSpec,
    /// The flat model that the round started from.
    pub base: &'a [f32],
    /// The flat update: trained − base.
    pub update: &'a [f32],
    /// How the member trained.
    pub training: &'a Training,
}

impl Observation<'_> {
    /// The gradient of the mean loss that a single step of this update was made of, weight decay
    /// taken out: −update/η − λ·w. For an update of several steps, the sum of their gradients, nearly.
    ///
    /// # Panics
    /// When lengths differ or the learning rate is 0.
    pub fn gradient(&self) -> Vec<f32> {
        assert_eq!(self.base.len(), self.update.len(), "an update of this model");
        assert!(self.training.learning_rate != 0.0, "a step has a length");
        let mut gradient = Vec::with_capacity(self.base.len());
        for (name, shape) in self.spec.layout() {
            let decay = if name.ends_with("bias") { 0.0 } else { self.training.l2 };
            for _ in 0..shape.iter().product::<usize>() {
                let k = gradient.len();
                let step = -self.update[k] / self.training.learning_rate;
                gradient.push(step - decay * self.base[k]);
            }
        }
        gradient
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    use crate::data::Dataset;
    use crate::model::{train, ModelSpec, Training};
    use crate::seed;

    /// One step over all rows at once.
    pub const ONE_STEP: Training = Training {
        epochs: 1,
        batch_size: 1 << 20,
        learning_rate: 0.1,
        l2: 1e-2,
        momentum: 0.0,
        class_balanced: false,
    };

    /// A model that has seen `data` a little, and its update of one step on `rows` of it.
    pub fn observed(spec: ModelSpec, data: &Dataset, rows: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let warm_up = Training { batch_size: 32, ..ONE_STEP };
        let start = spec.initial(1);
        let step = train(&spec, &start, data, &warm_up, &mut seed::stream(1, "w", 0, 0));
        let base: Vec<f32> = start.iter().zip(step).map(|(a, b)| a + b).collect();
        let mut rng = seed::stream(1, "t", 0, 0);
        let update = train(&spec, &base, &data.select(rows), &ONE_STEP, &mut rng);
        (base, update)
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{observed, ONE_STEP};
    use super::Observation;
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;

    #[test]
    fn the_gradient_of_a_step_comes_back() {
        let data = clouds(40, 4, 1);
        for spec in [ModelSpec::linear(4, 2), ModelSpec::network(4, 5, 2)] {
            let (base, update) = observed(spec, &data, &[3, 8]);
            let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
            let rows = data.select(&[3, 8]);
            let labels = rows.labels.to_vec();
            let (_, true_gradient) = spec.gradient(&base, rows.features.view(), &labels);
            let found = seen.gradient();
            let far = found.iter().zip(&true_gradient).map(|(a, b)| (a - b).abs());
            assert!(far.fold(0.0, f32::max) < 1e-4, "{spec:?}");
        }
    }
}
