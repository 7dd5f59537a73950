//! Small models with hand-written gradients, their parameters as named tensors.
//!
//! Everywhere in this crate a model or an update is one flat slice of `f32`: the tensors in the
//! order of their names, each in row-major order, as on the ledger. A model's values are multiples
//! of 2^−[`SCALE_BITS`]; an update is the difference of a trained model to the one it began from.

mod conv;
mod dense;
mod kernel;
mod network;
pub mod train;

use fedledger_ledger::task::TensorSpec;
use ndarray::ArrayView2;
use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use train::{train, train_with, Step, Training};

use crate::data::Dataset;
use crate::metrics::{evaluate, evaluate_classes, Metrics};
use crate::seed;
use conv::Conv;
use dense::Dense;
use network::Network;

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

/// Which model, and how wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelSpec {
    /// Logistic regression for two classes: `bias` (1), `weight` (features).
    Logistic {
        /// Number of features.
        features: usize,
    },
    /// One hidden layer of rectified linear units for two classes: `hidden.bias` (hidden),
    /// `hidden.weight` (hidden × features), `output.bias` (1), `output.weight` (hidden).
    Mlp {
        /// Number of features.
        features: usize,
        /// Number of hidden units.
        hidden: usize,
    },
    /// Softmax regression for any number of classes: `bias` (classes), `weight` (classes ×
    /// features).
    Softmax {
        /// Number of features.
        features: usize,
        /// Number of classes, at least 2.
        classes: usize,
    },
    /// One hidden layer of rectified linear units under a softmax: `hidden.bias` (hidden),
    /// `hidden.weight` (hidden × features), `output.bias` (classes), `output.weight` (classes ×
    /// hidden).
    SoftmaxMlp {
        /// Number of features.
        features: usize,
        /// Number of hidden units.
        hidden: usize,
        /// Number of classes, at least 2.
        classes: usize,
    },
    /// A small convolutional network for images: filters of 3 × 3 without padding, rectified and
    /// averaged over squares of 2 × 2, then a linear layer: `conv.bias` (filters), `conv.weight`
    /// (filters × channels × 3 × 3), `output.bias` (1 for two classes, else classes),
    /// `output.weight` (as many × filters·⌊(height − 2)/2⌋·⌊(width − 2)/2⌋).
    Cnn {
        /// Rows of pixels, at least 4.
        height: usize,
        /// Pixels in a row, at least 4.
        width: usize,
        /// Values of a pixel, which follow each other in a row of data.
        channels: usize,
        /// Number of filters.
        filters: usize,
        /// Number of classes, at least 2.
        classes: usize,
    },
}

impl ModelSpec {
    /// The linear model for data of this kind: [`ModelSpec::Logistic`] for two classes, else
    /// [`ModelSpec::Softmax`].
    pub fn linear(features: usize, classes: usize) -> Self {
        if classes <= 2 {
            Self::Logistic { features }
        } else {
            Self::Softmax { features, classes }
        }
    }

    /// The network for data of this kind: [`ModelSpec::Mlp`] for two classes, else
    /// [`ModelSpec::SoftmaxMlp`].
    pub fn network(features: usize, hidden: usize, classes: usize) -> Self {
        if classes <= 2 {
            Self::Mlp { features, hidden }
        } else {
            Self::SoftmaxMlp { features, hidden, classes }
        }
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.layers().features()
    }

    /// Number of classes that it tells apart.
    pub fn classes(&self) -> usize {
        self.layers().outputs().max(2)
    }

    fn layers(&self) -> Network {
        let of_classes = |classes: usize| if classes <= 2 { 1 } else { classes };
        match *self {
            Self::Logistic { features } => {
                Network::Dense(Dense { features, hidden: 0, outputs: 1 })
            }
            Self::Mlp { features, hidden } => {
                Network::Dense(Dense { features, hidden, outputs: 1 })
            }
            Self::Softmax { features, classes } => {
                Network::Dense(Dense { features, hidden: 0, outputs: classes })
            }
            Self::SoftmaxMlp { features, hidden, classes } => {
                Network::Dense(Dense { features, hidden, outputs: classes })
            }
            Self::Cnn { height, width, channels, filters, classes } => {
                let outputs = of_classes(classes);
                Network::Conv(Conv { height, width, channels, filters, outputs })
            }
        }
    }

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
            Self::Softmax { features, classes } => {
                vec![("bias", vec![classes]), ("weight", vec![classes, features])]
            }
            Self::SoftmaxMlp { features, hidden, classes } => vec![
                ("hidden.bias", vec![hidden]),
                ("hidden.weight", vec![hidden, features]),
                ("output.bias", vec![classes]),
                ("output.weight", vec![classes, hidden]),
            ],
            Self::Cnn { channels, filters, .. } => {
                let network = self.layers();
                let taken = filters * (1 + channels * conv::SIDE * conv::SIDE);
                let outputs = network.outputs();
                let pooled = (network.parameters() - taken) / outputs - 1;
                vec![
                    ("conv.bias", vec![filters]),
                    ("conv.weight", vec![filters, channels, conv::SIDE, conv::SIDE]),
                    ("output.bias", vec![outputs]),
                    ("output.weight", vec![outputs, pooled]),
                ]
            }
        }
    }

    /// d: number of parameters.
    pub fn parameters(&self) -> usize {
        self.layers().parameters()
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

    /// Where training starts: zeros for linear models; for networks He's uniform distribution (He et
    /// al. 2015) on weights and zeros on biases, on the canonical grid.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut rng = seed::stream(seed, "initial-model", 0, 0);
        let mut values = Vec::with_capacity(self.parameters());
        for (name, shape) in self.layout() {
            let random = !self.layers().is_linear() && name.ends_with("weight");
            let inputs: usize =
                if shape.len() > 1 { shape[1..].iter().product() } else { shape[0] }.max(1);
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
        let all = self.outputs(model, features);
        match self.layers().outputs() {
            1 => all,
            outputs => all.chunks_exact(outputs).map(|row| row[1]).collect(),
        }
    }

    /// Probability of each class for each row of `features`: rows × [`ModelSpec::classes`], row by
    /// row.
    ///
    /// # Panics
    /// When `model` or `features` has another width.
    pub fn class_probabilities(&self, model: &[f32], features: ArrayView2<'_, f32>) -> Vec<f32> {
        let all = self.outputs(model, features);
        match self.layers().outputs() {
            1 => all.into_iter().flat_map(|positive| [1.0 - positive, positive]).collect(),
            _ => all,
        }
    }

    /// The class of each row of `features` (rows × features): 1 from probability ½ on for two
    /// classes, else the most probable, the first of equals.
    ///
    /// # Panics
    /// When `model` or `features` has another width.
    pub fn predict(&self, model: &[f32], features: ArrayView2<'_, f32>) -> Vec<u32> {
        let all = self.outputs(model, features);
        match self.layers().outputs() {
            1 => all.into_iter().map(|positive| u32::from(positive >= 0.5)).collect(),
            outputs => all.chunks_exact(outputs).map(most_probable).collect(),
        }
    }

    /// Probabilities, one for each output.
    fn outputs(&self, model: &[f32], features: ArrayView2<'_, f32>) -> Vec<f32> {
        let network = self.layers();
        assert_eq!(features.ncols(), network.features(), "the model is for these features");
        let features = features.as_standard_layout();
        let rows = features.as_slice().expect("standard layout is contiguous");
        let mut outputs = network.logits(model, rows);
        outputs.chunks_exact_mut(network.outputs()).for_each(dense::probabilities);
        outputs
    }

    /// Mean log loss over the rows and its gradient, flat.
    ///
    /// # Panics
    /// When a width differs, there are no rows, or a label is none of the model's classes.
    pub fn gradient(
        &self,
        model: &[f32],
        features: ArrayView2<'_, f32>,
        labels: &[u32],
    ) -> (f64, Vec<f32>) {
        assert!(!labels.is_empty() && labels.len() == features.nrows(), "one label for each row");
        let network = self.layers();
        assert_eq!(features.ncols(), network.features(), "the model is for these features");
        let features = features.as_standard_layout();
        let rows = features.as_slice().expect("standard layout is contiguous");
        let mut gradient = vec![0.0; network.parameters()];
        let (mut room, mut total) = (network.room(), 0.0);
        let scale = 1.0 / labels.len() as f32;
        for (row, &label) in rows.chunks_exact(network.features()).zip(labels) {
            let how = (scale, true);
            total += network.add_gradient(model, (row, label), how, &mut room, &mut gradient);
        }
        (total / labels.len() as f64, gradient)
    }

    /// Measures `model` on `data`.
    ///
    /// # Panics
    /// When `data` has no rows or another width.
    pub fn evaluate(&self, model: &[f32], data: &Dataset) -> Metrics {
        let labels = data.labels.to_vec();
        if self.layers().outputs() == 1 {
            return evaluate(&self.probabilities(model, data.features.view()), &labels);
        }
        let probabilities = self.class_probabilities(model, data.features.view());
        evaluate_classes(&probabilities, &labels, self.classes())
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

/// Index of the greatest value, the first of equals.
fn most_probable(values: &[f32]) -> u32 {
    let better = |best: usize, k: usize| if values[k] > values[best] { k } else { best };
    (1..values.len()).fold(0, better) as u32
}

#[cfg(test)]
mod tests;
