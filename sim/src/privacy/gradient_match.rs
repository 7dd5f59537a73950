//! Inversion by gradient matching: rows are invented and moved until their gradient is the one seen
//! (deep leakage from gradients, DLG: Zhu, Liu and Han, NeurIPS 2019, arXiv:1906.08935), by squared
//! distance, or by 1 − cosine with total variation for images (Geiping et al., NeurIPS 2020,
//! arXiv:2003.14053).
//!
//! Deviations: labels are given, from [`super::labels`] or by guess; the slope of the objective by each
//! value is a central difference, which costs one gradient a value and serves models of this size; Adam
//! in place of L-BFGS.

use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::Observation;

/// Half the width of the central difference.
const STEP: f32 = 1e-2;

/// How well an invented gradient fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// Squared distance over the squared norm of the gradient seen.
    Squared,
    /// 1 − cosine, plus `variation` × the mean absolute difference of neighbouring pixels of images
    /// of this width (one channel).
    Cosine {
        /// Weight of the total variation; 0 for tables.
        variation: f64,
        /// Pixels in a row of the image; 1 or more.
        image_width: usize,
    },
}

/// How long and how fast rows are moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// What is minimised.
    pub objective: Objective,
    /// Steps of Adam.
    pub steps: usize,
    /// Their length at the beginning; it falls to a tenth.
    pub learning_rate: f32,
}

/// Rows that were found, and how well they fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// rows × features.
    pub rows: Array2<f32>,
    /// Value of the objective, 0 for a perfect fit.
    pub misfit: f64,
}

/// Value of the objective for invented rows.
fn misfit(
    seen: &Observation<'_>,
    target: &[f32],
    rows: ArrayView2<'_, f32>,
    labels: &[u32],
    objective: Objective,
) -> f64 {
    let (_, gradient) = seen.spec.gradient(seen.base, rows, labels);
    let (mut dot, mut own, mut all, mut apart) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for (&a, &b) in gradient.iter().zip(target) {
        let (a, b) = (f64::from(a), f64::from(b));
        dot += a * b;
        own += a * a;
        all += b * b;
        apart += (a - b) * (a - b);
    }
    let all = all.max(f64::MIN_POSITIVE);
    match objective {
        Objective::Squared => apart / all,
        Objective::Cosine { variation, image_width } => {
            let cosine = dot / (own.max(f64::MIN_POSITIVE) * all).sqrt();
            1.0 - cosine + variation * total_variation(rows, image_width)
        }
    }
}

/// Mean absolute difference of horizontal and vertical neighbours.
fn total_variation(rows: ArrayView2<'_, f32>, width: usize) -> f64 {
    let width = width.max(1);
    let (mut sum, mut count) = (0.0, 0usize);
    for image in rows.rows() {
        for k in 0..image.len() {
            let right = ((k + 1) % width != 0 && k + 1 < image.len()).then_some(k + 1);
            let below = (width > 1 && k + width < image.len()).then_some(k + width);
            for other in right.into_iter().chain(below) {
                sum += f64::from(image[k] - image[other]).abs();
                count += 1;
            }
        }
    }
    sum / count.max(1) as f64
}

/// Looks for `labels.len()` rows whose mean gradient is that of the update, from standard normal rows
/// drawn from `rng`.
///
/// # Panics
/// As [`Observation::gradient`], or when `labels` is empty or has a label that is no class.
pub fn match_gradient(
    seen: &Observation<'_>,
    labels: &[u32],
    search: &Search,
    rng: &mut ChaCha8Rng,
) -> Found {
    let target = seen.gradient();
    let shape = (labels.len(), seen.spec.features());
    let mut rows: Array2<f32> = Array2::from_shape_simple_fn(shape, || rng.sample(StandardNormal));
    let mut best = Found { rows: rows.clone(), misfit: f64::INFINITY };
    let (mut first, mut second) = (vec![0.0f32; rows.len()], vec![0.0f32; rows.len()]);
    let value = |rows: &Array2<f32>| misfit(seen, &target, rows.view(), labels, search.objective);
    for step in 0..search.steps {
        let now = value(&rows);
        if now < best.misfit {
            best = Found { rows: rows.clone(), misfit: now };
        }
        let slopes = slopes(&mut rows, &value);
        let done = step as f32 / search.steps as f32;
        let length = search.learning_rate * 0.1f32.powf(done);
        let (a, b) = (1.0 - 0.9f32.powi(step as i32 + 1), 1.0 - 0.999f32.powi(step as i32 + 1));
        for (k, place) in rows.iter_mut().enumerate() {
            first[k] = 0.9 * first[k] + 0.1 * slopes[k];
            second[k] = 0.999 * second[k] + 0.001 * slopes[k] * slopes[k];
            *place -= length * (first[k] / a) / ((second[k] / b).sqrt() + 1e-8);
        }
    }
    let last = value(&rows);
    if last < best.misfit {
        best = Found { rows, misfit: last };
    }
    best
}

/// Central differences of `value` by each element of `rows`, which is left as it was.
fn slopes(rows: &mut Array2<f32>, value: &impl Fn(&Array2<f32>) -> f64) -> Vec<f32> {
    let width = rows.ncols();
    let mut slopes = Vec::with_capacity(rows.len());
    for k in 0..rows.len() {
        let place = [k / width, k % width];
        let at = rows[place];
        rows[place] = at + STEP;
        let up = value(rows);
        rows[place] = at - STEP;
        let down = value(rows);
        rows[place] = at;
        slopes.push(((up - down) / (2.0 * f64::from(STEP))) as f32);
    }
    slopes
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::{match_gradient, total_variation, Objective, Search};
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;
    use crate::privacy::fixtures::{observed, ONE_STEP};
    use crate::privacy::measures::psnr;
    use crate::privacy::Observation;
    use crate::seed;

    #[test]
    fn one_row_is_reconstructed_through_a_network() {
        let data = clouds(60, 5, 1);
        let spec = ModelSpec::network(5, 12, 2);
        let (base, update) = observed(spec, &data, &[4]);
        let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
        let row = data.features.row(4).to_vec();
        for objective in [Objective::Squared, Objective::Cosine { variation: 0.0, image_width: 1 }]
        {
            let search = Search { objective, steps: 400, learning_rate: 0.1 };
            let tries = (0..3).map(|k| {
                let mut rng = seed::stream(2, "match", k, 0);
                match_gradient(&seen, &[data.labels[4]], &search, &mut rng)
            });
            let best = tries.min_by(|a, b| a.misfit.total_cmp(&b.misfit)).expect("three tries");
            let quality = psnr(&row, &best.rows.row(0).to_vec(), 6.0);
            assert!(quality > 25.0, "{objective:?}: {quality} dB, misfit {}", best.misfit);
        }
    }

    #[test]
    fn variation_is_between_neighbours() {
        // Two rows of two pixels: right 1 and 2, below 3 and 2.
        let image = array![[0.0f32, 1.0, 3.0, 1.0]];
        let expected = (1.0 + 2.0 + 3.0 + 0.0) / 4.0;
        assert!((total_variation(image.view(), 2) - expected).abs() < 1e-9);
        assert_eq!(total_variation(array![[2.0f32, 2.0]].view(), 1), 0.0);
    }
}
