//! Membership inference: was this row in the training data? Scores are higher for members; see
//! [`super::measures::separation`] for what they are worth.
//!
//! Three readers: one that looks at the loss of a model (Yeom et al., CSF 2018, arXiv:1709.01604), one
//! that trains shadow models without the row and asks how unusual the model's confidence is among
//! theirs (offline LiRA: Carlini et al., IEEE S&P 2022, arXiv:2112.03570), and one that looks at the
//! angle between an update and the row's own gradient (after Li, Li and Ribeiro, "Effective passive
//! membership inference attacks in federated learning against overparameterized models", ICLR 2023).

use ndarray::Axis;

use super::Observation;
use crate::data::Dataset;
use crate::model::ModelSpec;

/// −loss of each row.
///
/// # Panics
/// When the model or the data have another width.
pub fn loss_scores(spec: &ModelSpec, model: &[f32], data: &Dataset) -> Vec<f64> {
    confidences(spec, model, data).into_iter().map(|p| p.max(1e-7).ln()).collect()
}

/// Probability that `model` gives to each row's own class.
fn confidences(spec: &ModelSpec, model: &[f32], data: &Dataset) -> Vec<f64> {
    let all = spec.class_probabilities(model, data.features.view());
    let rows = all.chunks_exact(spec.classes()).zip(&data.labels);
    rows.map(|(row, &label)| f64::from(row[label as usize])).collect()
}

/// How far the logit of the model's confidence lies above the mean of shadow models that have not seen
/// the row, in their standard deviations.
///
/// # Panics
/// When there are fewer than two shadow models, or one has another width.
pub fn shadow_scores(
    spec: &ModelSpec,
    model: &[f32],
    shadows: &[Vec<f32>],
    data: &Dataset,
) -> Vec<f64> {
    assert!(shadows.len() > 1, "a spread takes two shadow models");
    let logits = |model: &[f32]| -> Vec<f64> {
        let bounded = confidences(spec, model, data).into_iter().map(|p| p.clamp(1e-6, 1.0 - 1e-6));
        bounded.map(|p| (p / (1.0 - p)).ln()).collect()
    };
    let theirs: Vec<Vec<f64>> = shadows.iter().map(|shadow| logits(shadow)).collect();
    let count = shadows.len() as f64;
    let score = |(row, own): (usize, f64)| {
        let mean = theirs.iter().map(|shadow| shadow[row]).sum::<f64>() / count;
        let squares = theirs.iter().map(|shadow| (shadow[row] - mean).powi(2)).sum::<f64>();
        (own - mean) / (squares / (count - 1.0)).sqrt().max(1e-6)
    };
    logits(model).into_iter().enumerate().map(score).collect()
}

/// Cosine of the update's gradient and each row's own gradient at the model that the round started
/// from.
///
/// # Panics
/// As [`Observation::gradient`], or when the data have another width.
pub fn gradient_scores(seen: &Observation<'_>, data: &Dataset) -> Vec<f64> {
    let observed = seen.gradient();
    let norm = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let length = norm(&observed);
    let score = |row: usize| {
        let features = data.features.select(Axis(0), &[row]);
        let (_, own) = seen.spec.gradient(seen.base, features.view(), &[data.labels[row]]);
        let dot: f64 = own.iter().zip(&observed).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        dot / (length * norm(&own)).max(f64::MIN_POSITIVE)
    };
    (0..data.rows()).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::{gradient_scores, loss_scores, shadow_scores};
    use crate::data::fixtures::clouds;
    use crate::model::{train, ModelSpec, Training};
    use crate::privacy::fixtures::{observed, ONE_STEP};
    use crate::privacy::measures::separation;
    use crate::privacy::Observation;
    use crate::seed;

    #[test]
    fn an_overfitted_model_gives_its_members_away() {
        let spec = ModelSpec::network(20, 32, 2);
        // Labels are noise to half, so that only memory can explain them.
        let noisy = |rows: usize, k: u64| {
            let mut data = clouds(rows, 20, k);
            for row in (0..rows).step_by(2) {
                data.labels[row] = u32::from((row / 2 + k as usize) % 2 == 0);
            }
            data
        };
        let training = Training {
            epochs: 150,
            batch_size: 8,
            learning_rate: 0.1,
            l2: 0.0,
            momentum: 0.5,
            class_balanced: false,
        };
        let fitted = |data: &_, k: u64| -> Vec<f32> {
            let base = spec.initial(k);
            let step = train(&spec, &base, data, &training, &mut seed::stream(k, "t", 0, 0));
            base.iter().zip(step).map(|(a, b)| a + b).collect()
        };
        let (members, others) = (noisy(60, 1), noisy(60, 2));
        let model = fitted(&members, 1);
        let by_loss =
            separation(&loss_scores(&spec, &model, &members), &loss_scores(&spec, &model, &others));
        assert!(by_loss.auc > 0.7 && by_loss.advantage > 0.3, "{by_loss:?}");
        let shadows: Vec<Vec<f32>> = (10..18).map(|k| fitted(&noisy(60, k), k)).collect();
        let by_shadow = separation(
            &shadow_scores(&spec, &model, &shadows, &members),
            &shadow_scores(&spec, &model, &shadows, &others),
        );
        assert!(by_shadow.auc > 0.75, "{by_shadow:?}");
    }

    #[test]
    fn the_rows_of_a_small_step_align_with_it() {
        let data = clouds(200, 10, 1);
        let spec = ModelSpec::network(10, 16, 2);
        let rows: Vec<usize> = (0..4).collect();
        let (base, update) = observed(spec, &data, &rows);
        let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
        let scores = gradient_scores(&seen, &data);
        let found = separation(&scores[..4], &scores[4..]);
        assert!(found.auc > 0.7, "{found:?}");
    }
}
