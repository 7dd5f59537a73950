//! One hidden layer of rectified linear units: logit = v · max(0, W x + b) + c.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::log_loss;

/// Views of the flat model: `hidden.bias` b, `hidden.weight` W (hidden × features), `output.bias`
/// c, `output.weight` v.
struct Parts<'a> {
    hidden_bias: ArrayView1<'a, f32>,
    hidden_weight: ArrayView2<'a, f32>,
    output_bias: f32,
    output_weight: ArrayView1<'a, f32>,
}

impl<'a> Parts<'a> {
    fn of(hidden: usize, model: &'a [f32], features: usize) -> Self {
        let (hidden_bias, rest) = model.split_at(hidden);
        let (hidden_weight, rest) = rest.split_at(hidden * features);
        Self {
            hidden_bias: ArrayView1::from(hidden_bias),
            hidden_weight: ArrayView2::from_shape((hidden, features), hidden_weight)
                .expect("the slice has hidden × features values"),
            output_bias: rest[0],
            output_weight: ArrayView1::from(&rest[1..]),
        }
    }

    /// max(0, W x + b), rows × hidden.
    fn activations(&self, features: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut sums = features.dot(&self.hidden_weight.t());
        sums += &self.hidden_bias;
        sums.mapv_inplace(|sum| sum.max(0.0));
        sums
    }

    fn logits(&self, activations: &Array2<f32>) -> Vec<f32> {
        let logits = activations.dot(&self.output_weight) + self.output_bias;
        logits.to_vec()
    }
}

pub(super) fn logits(hidden: usize, model: &[f32], features: ArrayView2<'_, f32>) -> Vec<f32> {
    let parts = Parts::of(hidden, model, features.ncols());
    parts.logits(&parts.activations(features))
}

/// Backpropagation; a unit at exactly 0 counts as inactive.
pub(super) fn gradient(
    hidden: usize,
    model: &[f32],
    features: ArrayView2<'_, f32>,
    labels: &[u32],
) -> (f64, Vec<f32>) {
    let parts = Parts::of(hidden, model, features.ncols());
    let activations = parts.activations(features);
    let rows = labels.len() as f32;
    let mut total = 0.0;
    let slopes: Vec<f32> = parts
        .logits(&activations)
        .into_iter()
        .zip(labels)
        .map(|(logit, &label)| {
            let (loss, slope) = log_loss(logit, label);
            total += loss;
            slope / rows
        })
        .collect();
    let slopes = ArrayView1::from(&slopes);
    // ∂ loss / ∂ pre-activation, rows × hidden.
    let mut back = slopes.insert_axis(Axis(1)).dot(&parts.output_weight.insert_axis(Axis(0)));
    back.zip_mut_with(&activations, |slope, &activation| {
        if activation <= 0.0 {
            *slope = 0.0;
        }
    });
    let mut gradient = Vec::with_capacity(model.len());
    gradient.extend(back.sum_axis(Axis(0)));
    gradient.extend(back.t().dot(&features).iter());
    gradient.push(slopes.sum());
    gradient.extend(activations.t().dot(&slopes));
    (total / f64::from(rows), gradient)
}
