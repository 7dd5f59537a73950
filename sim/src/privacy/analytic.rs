//! Analytic inversion of the first layer: of a unit whose bias has the gradient b and whose weights
//! have the gradient w, w/b is the row itself if only one row reached the unit, else a mixture of rows
//! (Phong et al., IEEE TIFS 2018; Geiping et al., NeurIPS 2020, arXiv:2003.14053, proposition 3.1).

use super::Observation;

/// Gradients of a bias below this share of the largest are rounding.
const SHARE_MIN: f32 = 1e-4;

/// One candidate row for each unit of the first layer that was reached at all, in the order of units;
/// none for a convolutional network.
///
/// # Panics
/// As [`Observation::gradient`].
pub fn invert_first_layer(seen: &Observation<'_>) -> Vec<Vec<f32>> {
    let gradient = seen.gradient();
    let tensors = seen.spec.named(&gradient);
    // In the order of names, the first layer's bias and weight come first.
    let (bias, weight) = (&tensors[0].values, &tensors[1].values);
    let features = seen.spec.features();
    let largest = bias.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    // A filter sees each pixel many times: there is nothing to divide.
    if weight.len() != bias.len() * features {
        return Vec::new();
    }
    let reached = bias.iter().zip(weight.chunks_exact(features));
    reached
        .filter(|(slope, _)| largest > 0.0 && slope.abs() > SHARE_MIN * largest)
        .map(|(slope, row)| row.iter().map(|value| value / slope).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::invert_first_layer;
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;
    use crate::privacy::fixtures::{observed, ONE_STEP};
    use crate::privacy::measures::exact_matches;
    use crate::privacy::Observation;

    #[test]
    fn a_single_row_comes_back_whole() {
        let data = clouds(60, 6, 1);
        for spec in [
            ModelSpec::linear(6, 2),
            ModelSpec::network(6, 8, 2),
            ModelSpec::Softmax { features: 6, classes: 3 },
        ] {
            let (base, update) = observed(spec, &data, &[7]);
            let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
            let found = invert_first_layer(&seen);
            let row = data.select(&[7]);
            assert!(!found.is_empty());
            assert_eq!(exact_matches(&row, &found, 1e-2), 1, "{spec:?} {found:?}");
        }
    }

    #[test]
    fn many_rows_mix_in_a_linear_model() {
        let data = clouds(60, 6, 1);
        let spec = ModelSpec::linear(6, 2);
        let rows: Vec<usize> = (0..30).collect();
        let (base, update) = observed(spec, &data, &rows);
        let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
        assert_eq!(exact_matches(&data.select(&rows), &invert_first_layer(&seen), 1e-2), 0);
    }
}
