//! Small models with hand-written gradients, their parameters as named tensors.
//!
//! Everywhere in this crate a model or an update is one flat slice of `f32`: the tensors in the
//! order of their names, each in row-major order, as on the ledger. A model's values are multiples
//! of 2^−[`SCALE_BITS`]; an update is the difference of a trained model to the one it began from.

mod logistic;
mod mlp;
pub mod train;

use fedledger_ledger::task::TensorSpec;
use ndarray::ArrayView2;
use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use train::{train, train_with, Step, Training};

use crate::data::Dataset;
use crate::metrics::{evaluate, Metrics};
use crate::seed;

/// Binary digits behind the point of every parameter.
///
/// With |q| < 2^23 values reach ±128 in steps of 1.5e-5. Over standardised features, weights stay
/// under 20 and a step of one quantum moves a logit by less than 1e-3 over 30 features, far below
/// what an accuracy or an AUC can show (`quantum_is_too_small_to_matter` checks that).
pub const SCALE_BITS: i8 = 16;

/// Most negative and most positive value that a canonical tensor holds.
pub const VALUE_MAX: f32 = ((1 << 23) - 1) as f32 / (1u32 << SCALE_BITS) as f32;

/// A named tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name, as in the task's schema.
    pub name: String,
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Vec<f32>,
}

/// Why tensors are not those of a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// Another number of tensors.
    #[error("{found} tensors, expected {expected}")]
    Count {
        /// Number the model has.
        expected: usize,
        /// Number given.
        found: usize,
    },
    /// Another name, or tensors out of order.
    #[error("tensor {position} is named `{found}`, expected `{expected}`")]
    Name {
        /// Position from 0, in the order of names.
        position: usize,
        /// Name in the model.
        expected: String,
        /// Name given.
        found: String,
    },
    /// Another shape.
    #[error("tensor `{name}` has shape {found:?} and {values} values, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the model.
        expected: Vec<usize>,
        /// Shape given.
        found: Vec<usize>,
        /// Number of values given.
        values: usize,
    },
}

/// Which model, and how wide. All predict the probability of class 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelSpec {
    /// Logistic regression: `bias` (1), `weight` (features).
    Logistic {
        /// Number of features.
        features: usize,
    },
    /// One hidden layer of rectified linear units: `hidden.bias` (hidden), `hidden.weight`
    /// (hidden × features), `output.bias` (1), `output.weight` (hidden).
    Mlp {
        /// Number of features.
        features: usize,
        /// Number of hidden units.
        hidden: usize,
    },
}

impl ModelSpec {
    /// Names and shapes in the order of names.
    pub fn layout(&self) -> Vec<(&'static str, Vec<usize>)> {
        match *self {
            Self::Logistic { features } => vec![("bias", vec![1]), ("weight", vec![features])],
            Self::Mlp { features, hidden } => vec![
                ("hidden.bias", vec![hidden]),
                ("hidden.weight", vec![hidden, features]),
                ("output.bias", vec![1]),
                ("output.weight", vec![hidden]),
            ],
        }
    }

    /// d: number of parameters.
    pub fn parameters(&self) -> usize {
        self.layout().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// The schema for a task on the ledger.
    pub fn tensor_specs(&self) -> Vec<TensorSpec> {
        let specs = self.layout().into_iter().map(|(name, shape)| TensorSpec {
            name: name.to_owned(),
            shape: shape.into_iter().map(|length| length as u64).collect(),
            scale_bits: SCALE_BITS,
        });
        specs.collect()
    }

    /// Where training starts: zeros for logistic regression; for the network He's uniform
    /// distribution (He et al. 2015) on weights and zeros on biases, on the canonical grid.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut rng = seed::stream(seed, "initial-model", 0, 0);
        let mut values = Vec::with_capacity(self.parameters());
        for (name, shape) in self.layout() {
            let random = matches!(self, Self::Mlp { .. }) && name.ends_with("weight");
            let inputs = shape.last().copied().unwrap_or(1).max(1);
            let bound = (6.0 / inputs as f32).sqrt();
            for _ in 0..shape.iter().product() {
                values.push(if random { to_grid(rng.gen_range(-bound..bound)) } else { 0.0 });
            }
        }
        values
    }

    /// Cuts a flat model or update into named tensors.
    ///
    /// # Panics
    /// When `flat` has not [`ModelSpec::parameters`] values.
    pub fn named(&self, flat: &[f32]) -> Vec<Tensor> {
        assert_eq!(flat.len(), self.parameters(), "one value for each parameter");
        let mut rest = flat;
        let tensors = self.layout().into_iter().map(|(name, shape)| {
            let (values, tail) = rest.split_at(shape.iter().product());
            rest = tail;
            Tensor { name: name.to_owned(), shape, values: values.to_vec() }
        });
        tensors.collect()
    }

    /// Joins named tensors to a flat slice: the inverse of [`ModelSpec::named`].
    ///
    /// # Errors
    /// When names, order or shapes are not the model's.
    pub fn flat(&self, tensors: &[Tensor]) -> Result<Vec<f32>, ModelError> {
        let layout = self.layout();
        if layout.len() != tensors.len() {
            return Err(ModelError::Count { expected: layout.len(), found: tensors.len() });
        }
        let mut flat = Vec::with_capacity(self.parameters());
        for (position, ((name, shape), tensor)) in layout.into_iter().zip(tensors).enumerate() {
            if name != tensor.name {
                let (expected, found) = (name.to_owned(), tensor.name.clone());
                return Err(ModelError::Name { position, expected, found });
            }
            if shape != tensor.shape || shape.iter().product::<usize>() != tensor.values.len() {
                return Err(ModelError::Shape {
                    name: tensor.name.clone(),
                    expected: shape,
                    found: tensor.shape.clone(),
                    values: tensor.values.len(),
                });
            }
            flat.extend_from_slice(&tensor.values);
        }
        Ok(flat)
    }

    /// Probability of class 1 for each row of `features` (rows × features).
    ///
    /// # Panics
    /// When `model` or `features` has another width.
    pub fn probabilities(&self, model: &[f32], features: ArrayView2<'_, f32>) -> Vec<f32> {
        let logits = match *self {
            Self::Logistic { .. } => logistic::logits(model, features),
            Self::Mlp { hidden, .. } => mlp::logits(hidden, model, features),
        };
        logits.into_iter().map(sigmoid).collect()
    }

    /// The class of each row of `features` (rows × features): 1 from probability ½ on.
    ///
    /// # Panics
    /// When `model` or `features` has another width.
    pub fn predict(&self, model: &[f32], features: ArrayView2<'_, f32>) -> Vec<u32> {
        let positive = |probability: f32| u32::from(probability >= 0.5);
        self.probabilities(model, features).into_iter().map(positive).collect()
    }

    /// Mean log loss over the rows and its gradient, flat.
    ///
    /// # Panics
    /// When a width differs or there are no rows.
    pub fn gradient(
        &self,
        model: &[f32],
        features: ArrayView2<'_, f32>,
        labels: &[u32],
    ) -> (f64, Vec<f32>) {
        assert!(!labels.is_empty() && labels.len() == features.nrows(), "one label for each row");
        match *self {
            Self::Logistic { .. } => logistic::gradient(model, features, labels),
            Self::Mlp { hidden, .. } => mlp::gradient(hidden, model, features, labels),
        }
    }

    /// Measures `model` on `data`.
    ///
    /// # Panics
    /// When `data` has no rows or another width.
    pub fn evaluate(&self, model: &[f32], data: &Dataset) -> Metrics {
        let probabilities = self.probabilities(model, data.features.view());
        evaluate(&probabilities, &data.labels.to_vec())
    }

    /// Whether parameter `index` of the flat model is a bias, which L2 leaves alone.
    fn biases(&self) -> Vec<bool> {
        let layout = self.layout().into_iter();
        layout
            .flat_map(|(name, shape)| {
                std::iter::repeat_n(name.ends_with("bias"), shape.iter().product())
            })
            .collect()
    }
}

/// The nearest multiple of the quantum, ties to even, kept within the range.
pub fn to_grid(value: f32) -> f32 {
    let quanta = f64::from(1u32 << SCALE_BITS);
    let rounded = (f64::from(value) * quanta).round_ties_even() / quanta;
    (rounded as f32).clamp(-VALUE_MAX, VALUE_MAX)
}

/// 1 / (1 + e^−x).
fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// −ln of the probability that `logit` gives to `label`, and the derivative by the logit.
fn log_loss(logit: f32, label: u32) -> (f64, f32) {
    let x = f64::from(logit);
    // ln(1 + e^x) without overflow.
    let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
    (softplus - x * f64::from(label), sigmoid(logit) - label as f32)
}

#[cfg(test)]
mod tests;
