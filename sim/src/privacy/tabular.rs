//! Reconstruction of tables in the manner of TabLeak: several searches from different beginnings,
//! their rows matched to each other and pooled by the median, columns of few values snapped to one of
//! them, and how far the searches agree as the confidence in each value (Vero, Balunović, Dimitrov and
//! Vechev, ICML 2023, arXiv:2210.01785).
//!
//! Deviations: the paper relaxes categorical columns by a softmax inside the search; here they are
//! searched as numbers and snapped at the end. Confidence is the spread of the searches for all columns
//! (the paper's is entropy for categorical ones). Rows are matched greedily.

use ndarray::Array2;
use rayon::prelude::*;

use super::gradient_match::{match_gradient, Found, Search};
use super::Observation;
use crate::seed;

/// Values that a column can have; any for an empty list.
pub type Admissible = Vec<f32>;

/// A pooled reconstruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruction {
    /// rows × features.
    pub rows: Array2<f32>,
    /// Of each value, the mean absolute distance of the searches from it: small is sure.
    pub spread: Array2<f32>,
    /// Least misfit of a search.
    pub misfit: f64,
}

/// Reconstructs `labels.len()` rows by `searches` searches; `admissible` has one entry for each
/// column. The number of threads changes no bit.
///
/// # Panics
/// As [`match_gradient`], or when `searches` is 0 or `admissible` has another length.
pub fn reconstruct(
    seen: &Observation<'_>,
    labels: &[u32],
    admissible: &[Admissible],
    (search, searches): (&Search, u64),
    seed: u64,
) -> Reconstruction {
    assert!(searches > 0, "there is a search");
    assert_eq!(admissible.len(), seen.spec.features(), "one list for each column");
    let mut found: Vec<Found> = (0..searches)
        .into_par_iter()
        .map(|k| match_gradient(seen, labels, search, &mut seed::stream(seed, "tabular", k, 0)))
        .collect();
    found.sort_by(|a, b| a.misfit.total_cmp(&b.misfit));
    // The better half speaks.
    found.truncate(found.len().div_ceil(2));
    let best = found[0].clone();
    let aligned: Vec<Array2<f32>> =
        found.iter().map(|one| aligned(&best.rows, &one.rows, labels)).collect();
    let pooled = |row: usize, column: usize| -> (f32, f32) {
        let mut values: Vec<f32> = aligned.iter().map(|rows| rows[[row, column]]).collect();
        values.sort_by(f32::total_cmp);
        let middle = f32::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        let away = values.iter().map(|value| (value - middle).abs()).sum::<f32>();
        let nearest = |a: &&f32, b: &&f32| (**a - middle).abs().total_cmp(&(**b - middle).abs());
        let snapped = admissible[column].iter().min_by(nearest).copied();
        (snapped.unwrap_or(middle), away / values.len() as f32)
    };
    let shape = best.rows.dim();
    Reconstruction {
        rows: Array2::from_shape_fn(shape, |(row, column)| pooled(row, column).0),
        spread: Array2::from_shape_fn(shape, |(row, column)| pooled(row, column).1),
        misfit: best.misfit,
    }
}

/// `rows` in the order in which they resemble those of `best`, each among rows of the same label.
fn aligned(best: &Array2<f32>, rows: &Array2<f32>, labels: &[u32]) -> Array2<f32> {
    let mut free: Vec<usize> = (0..rows.nrows()).collect();
    let mut order = Vec::with_capacity(rows.nrows());
    for (row, label) in best.rows().into_iter().zip(labels) {
        let distance = |k: usize| (&rows.row(k) - &row).mapv(|x| x * x).sum();
        let same = free.iter().copied().filter(|&k| labels[k] == *label);
        let nearest = same.min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        let nearest = nearest.expect("as many rows of a label on both sides");
        free.retain(|&k| k != nearest);
        order.push(nearest);
    }
    rows.select(ndarray::Axis(0), &order)
}

#[cfg(test)]
mod tests {
    use rayon::ThreadPoolBuilder;

    use super::{reconstruct, Admissible};
    use crate::data::fixtures::clouds;
    use crate::model::ModelSpec;
    use crate::privacy::fixtures::{observed, ONE_STEP};
    use crate::privacy::gradient_match::{Objective, Search};
    use crate::privacy::measures::feature_accuracy;
    use crate::privacy::Observation;

    #[test]
    fn rows_of_a_small_batch_come_back_with_their_categories() {
        let mut data = clouds(60, 4, 1);
        data.features.column_mut(3).mapv_inplace(|x| if x > 0.0 { 1.0 } else { -1.0 });
        let spec = ModelSpec::network(4, 48, 2);
        let rows = [3, 4];
        let (base, update) = observed(spec, &data, &rows);
        let seen = Observation { spec, base: &base, update: &update, training: &ONE_STEP };
        let batch = data.select(&rows);
        let admissible: Vec<Admissible> = vec![vec![], vec![], vec![], vec![-1.0, 1.0]];
        let search = Search { objective: Objective::Squared, steps: 600, learning_rate: 0.1 };
        let found = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                reconstruct(&seen, &batch.labels.to_vec(), &admissible, (&search, 8), 1)
            })
        };
        let reconstruction = found(1);
        assert_eq!(reconstruction, found(2));
        let mean = data.features.mean_axis(ndarray::Axis(0)).expect("rows").to_vec();
        let (mut found, mut guessed) = (0.0, 0.0);
        for (row, guess) in batch.features.rows().into_iter().zip(reconstruction.rows.rows()) {
            found += feature_accuracy(&row.to_vec(), &guess.to_vec(), 0.3) / 2.0;
            guessed += feature_accuracy(&row.to_vec(), &mean, 0.3) / 2.0;
            assert_eq!(row[3], guess[3]);
        }
        let misfit = reconstruction.misfit;
        assert!(found >= 0.75 && found > guessed + 0.3, "{found} {guessed}, misfit {misfit}");
    }
}
