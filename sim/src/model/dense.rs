//! Linear models and networks with one hidden layer: outputs = V·max(0, W·x + b) + c, or V·x + c.
//!
//! One output stands for the logit of class 1 (logistic loss), several for one logit a class (softmax
//! and cross entropy). The flat model is b, W (hidden × features), c, V (outputs × hidden); without a
//! hidden layer c, V (outputs × features).

use super::kernel::{add_scaled, dot};
use super::sigmoid;

/// Lengths of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dense {
    pub(super) features: usize,
    /// 0 without a hidden layer.
    pub(super) hidden: usize,
    pub(super) outputs: usize,
}

/// A flat model, or its gradient, cut into its parts.
struct Parts<T> {
    hidden_bias: T,
    hidden_weight: T,
    output_bias: T,
    output_weight: T,
}

/// Room for one row's way through the network, so that training allocates nothing in its loops.
#[derive(Debug, Clone)]
pub(super) struct Room {
    hidden: Vec<f32>,
    back: Vec<f32>,
    outputs: Vec<f32>,
}

impl Dense {
    pub(super) fn parameters(self) -> usize {
        let inner = if self.hidden > 0 { self.hidden } else { self.features };
        self.hidden * (self.features + 1) + self.outputs * (inner + 1)
    }

    pub(super) fn room(self) -> Room {
        Room {
            hidden: vec![0.0; self.hidden],
            back: vec![0.0; self.hidden],
            outputs: vec![0.0; self.outputs],
        }
    }

    fn parts(self, model: &[f32]) -> Parts<&[f32]> {
        assert_eq!(model.len(), self.parameters(), "one value for each parameter");
        let (hidden_bias, rest) = model.split_at(self.hidden);
        let (hidden_weight, rest) = rest.split_at(self.hidden * self.features);
        let (output_bias, output_weight) = rest.split_at(self.outputs);
        Parts { hidden_bias, hidden_weight, output_bias, output_weight }
    }

    fn parts_mut(self, gradient: &mut [f32]) -> Parts<&mut [f32]> {
        assert_eq!(gradient.len(), self.parameters(), "one value for each parameter");
        let (hidden_bias, rest) = gradient.split_at_mut(self.hidden);
        let (hidden_weight, rest) = rest.split_at_mut(self.hidden * self.features);
        let (output_bias, output_weight) = rest.split_at_mut(self.outputs);
        Parts { hidden_bias, hidden_weight, output_bias, output_weight }
    }

    /// Leaves activations and logits of `row` in `room`.
    fn forward(self, parts: &Parts<&[f32]>, row: &[f32], room: &mut Room) {
        let weights = parts.hidden_weight.chunks_exact(self.features.max(1));
        for ((unit, weight), bias) in room.hidden.iter_mut().zip(weights).zip(parts.hidden_bias) {
            *unit = (dot(weight, row) + bias).max(0.0);
        }
        let inner: &[f32] = if self.hidden > 0 { &room.hidden } else { row };
        let weights = parts.output_weight.chunks_exact(inner.len().max(1));
        for ((output, weight), bias) in room.outputs.iter_mut().zip(weights).zip(parts.output_bias)
        {
            *output = dot(weight, inner) + bias;
        }
    }

    /// Logits of each row of `rows` (row-major), row by row.
    pub(super) fn logits(self, model: &[f32], rows: &[f32]) -> Vec<f32> {
        let parts = self.parts(model);
        let mut room = self.room();
        let mut logits = Vec::with_capacity(rows.len() / self.features.max(1) * self.outputs);
        for row in rows.chunks_exact(self.features.max(1)) {
            self.forward(&parts, row, &mut room);
            logits.extend_from_slice(&room.outputs);
        }
        logits
    }

    /// Adds `scale` × the gradient of one row's loss to `gradient`, and returns the loss when it is
    /// `wanted`, else 0. A unit at exactly 0 counts as inactive.
    pub(super) fn add_gradient(
        self,
        model: &[f32],
        (row, label): (&[f32], u32),
        (scale, wanted): (f32, bool),
        room: &mut Room,
        gradient: &mut [f32],
    ) -> f64 {
        let parts = self.parts(model);
        self.forward(&parts, row, room);
        let loss = if wanted { loss(&room.outputs, label) } else { 0.0 };
        slopes(&mut room.outputs, label);
        let Parts { hidden_bias, hidden_weight, output_bias, output_weight } =
            self.parts_mut(gradient);
        let inner: &[f32] = if self.hidden > 0 { &room.hidden } else { row };
        room.back.fill(0.0);
        let outputs = room.outputs.iter().zip(output_bias);
        let weights = output_weight.chunks_exact_mut(inner.len().max(1));
        for (k, ((slope, bias), weight)) in outputs.zip(weights).enumerate() {
            let slope = scale * slope;
            *bias += slope;
            add_scaled(weight, slope, inner);
            if self.hidden > 0 {
                let own = &parts.output_weight[k * self.hidden..(k + 1) * self.hidden];
                add_scaled(&mut room.back, slope, own);
            }
        }
        let units = room.back.iter().zip(&room.hidden).zip(hidden_bias);
        for (((slope, activation), bias), weight) in
            units.zip(hidden_weight.chunks_exact_mut(self.features.max(1)))
        {
            if *activation > 0.0 {
                *bias += slope;
                add_scaled(weight, *slope, row);
            }
        }
        loss
    }
}

/// −ln of the probability that logits give to `label`; one logit is that of class 1.
pub(super) fn loss(logits: &[f32], label: u32) -> f64 {
    if let [logit] = logits {
        let x = f64::from(*logit);
        // ln(1 + e^x) without overflow.
        let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
        return softplus - x * f64::from(label);
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    sum.ln() + f64::from(largest) - f64::from(logits[label as usize])
}

/// Turns logits into probabilities, one a logit.
pub(super) fn probabilities(logits: &mut [f32]) {
    if let [logit] = logits {
        *logit = sigmoid(*logit);
        return;
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    logits.iter_mut().for_each(|value| *value /= sum);
}

/// Turns logits into derivatives of the loss by them: probability − 1 for the label, else
/// probability.
pub(super) fn slopes(logits: &mut [f32], label: u32) {
    probabilities(logits);
    if let [probability] = logits {
        *probability -= label as f32;
    } else {
        logits[label as usize] -= 1.0;
    }
}
