//! Labels from the gradient of the output layer's bias, which is mean(p − y): negative only for the
//! label, when there is one row (iDLG: Zhao, Mopuri and Bilen 2020, arXiv:2001.02610); with several
//! rows, their counts by class once the mean probability is guessed (after Wainakh et al., PoPETs
//! 2022, arXiv:2105.09369).

use ndarray::ArrayView2;

use super::Observation;

/// The output layer's bias gradient, one for each class; with one output, those of class 0 and 1.
fn output_slopes(seen: &Observation<'_>) -> Vec<f32> {
    let tensors = seen.spec.named(&seen.gradient());
    let bias = tensors.into_iter().rfind(|tensor| tensor.name.ends_with("bias"));
    let bias = bias.expect("every model has a bias").values;
    match bias[..] {
        [positive] => vec![-positive, positive],
        _ => bias,
    }
}

/// The label of the only row of an update of one step.
///
/// # Panics
/// As [`Observation::gradient`].
pub fn single_label(seen: &Observation<'_>) -> u32 {
    let slopes = output_slopes(seen);
    (1..slopes.len()).fold(0, |best, k| if slopes[k] < slopes[best] { k } else { best }) as u32
}

/// Expected number of rows of each class in an update of one step on `rows` rows:
/// `rows`·(p̄ − slope), at least 0, with p̄ the model's mean probability on rows like them.
///
/// # Panics
/// As [`Observation::gradient`], or when `reference` has no rows or another width.
pub fn class_counts(
    seen: &Observation<'_>,
    rows: usize,
    reference: ArrayView2<'_, f32>,
) -> Vec<f64> {
    let probabilities = seen.spec.class_probabilities(seen.base, reference);
    let classes = seen.spec.classes();
    assert!(reference.nrows() > 0, "there are rows to guess from");
    let slopes = output_slopes(seen);
    let count = |class: usize| {
        let mean = probabilities.iter().skip(class).step_by(classes).map(|&p| f64::from(p));
        let mean = mean.sum::<f64>() / reference.nrows() as f64;
        (rows as f64 * (mean - f64::from(slopes[class]))).max(0.0)
    };
    (0..classes).map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::{class_counts, single_label};
    use crate::data::digits;
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;
    use crate::privacy::fixtures::{observed, ONE_STEP};
    use crate::privacy::Observation;

    #[test]
    fn the_label_of_every_single_row_is_found() {
        let clouds = clouds(60, 6, 1);
        let mut digits = digits::load();
        digits.features.mapv_inplace(|pixel| pixel / 16.0);
        for (data, spec) in [
            (&clouds, ModelSpec::linear(6, 2)),
            (&clouds, ModelSpec::network(6, 5, 2)),
            (&digits, ModelSpec::network(64, 12, 10)),
        ] {
            for row in 0..25 {
                let (base, update) = observed(spec, data, &[row]);
                let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
                assert_eq!(single_label(&seen), data.labels[row], "{spec:?} {row}");
            }
        }
    }

    #[test]
    fn counts_of_a_batch_are_close() {
        let mut data = digits::load();
        data.features.mapv_inplace(|pixel| pixel / 16.0);
        let spec = ModelSpec::linear(64, 10);
        let rows: Vec<usize> = (0..40).collect();
        let (base, update) = observed(spec, &data, &rows);
        let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
        let batch = data.select(&rows);
        let reference: Vec<usize> = (500..900).collect();
        let reference = data.select(&reference);
        let counts = class_counts(&seen, 40, reference.features.view());
        let wrong: f64 =
            counts.iter().zip(0..10).map(|(c, class)| (c - batch.count(class) as f64).abs()).sum();
        assert!(wrong < 8.0, "{counts:?}");
    }
}
