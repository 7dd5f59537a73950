//! Logistic regression: logit = weight · x + bias.

use ndarray::{ArrayView1, ArrayView2};

use super::log_loss;

/// The flat model is the bias, then the weights.
pub(super) fn logits(model: &[f32], features: ArrayView2<'_, f32>) -> Vec<f32> {
    let weight = ArrayView1::from(&model[1..]);
    features.rows().into_iter().map(|row| row.dot(&weight) + model[0]).collect()
}

/// ∂ mean loss / ∂ weight = mean of (p − y)·x, / ∂ bias = mean of (p − y).
pub(super) fn gradient(
    model: &[f32],
    features: ArrayView2<'_, f32>,
    labels: &[u32],
) -> (f64, Vec<f32>) {
    let mut gradient = vec![0.0f32; model.len()];
    let mut total = 0.0;
    for ((logit, row), &label) in
        logits(model, features).into_iter().zip(features.rows()).zip(labels)
    {
        let (loss, slope) = log_loss(logit, label);
        total += loss;
        gradient[0] += slope;
        for (sum, &value) in gradient[1..].iter_mut().zip(row) {
            *sum += slope * value;
        }
    }
    let rows = labels.len() as f32;
    for sum in &mut gradient {
        *sum /= rows;
    }
    (total / f64::from(rows), gradient)
}
