//! Arithmetic on flat updates that the attacks share. Sums are in double precision.

/// Mean of each coordinate of `updates`.
///
/// # Panics
/// When there are none.
pub(super) fn mean(updates: &[Vec<f32>]) -> Vec<f64> {
    let mut mean = vec![0.0f64; updates[0].len()];
    for update in updates {
        for (sum, &value) in mean.iter_mut().zip(update) {
            *sum += f64::from(value);
        }
    }
    for sum in &mut mean {
        *sum /= updates.len() as f64;
    }
    mean
}

/// Standard deviation of each coordinate, over `updates.len() − freedom`.
pub(super) fn deviation(updates: &[Vec<f32>], mean: &[f64], freedom: usize) -> Vec<f64> {
    let mut squares = vec![0.0f64; mean.len()];
    for update in updates {
        for ((sum, &value), &mean) in squares.iter_mut().zip(update).zip(mean) {
            *sum += (f64::from(value) - mean).powi(2);
        }
    }
    let count = updates.len().saturating_sub(freedom).max(1) as f64;
    squares.into_iter().map(|sum| (sum / count).sqrt()).collect()
}

/// Σ a·b.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Euclidean norm.
pub(super) fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}

/// Euclidean norm of an update.
pub(super) fn norm_of(update: &[f32]) -> f64 {
    update.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// ‖a − b‖².
pub(super) fn distance_squared(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, &b)| (a - f64::from(b)).powi(2)).sum()
}

/// The median; the mean of the middle two of an even number. 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// Median of the norms of `updates`.
pub(super) fn median_norm(updates: &[Vec<f32>]) -> f64 {
    median(updates.iter().map(|update| norm_of(update)).collect())
}

/// To double precision.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// To single precision.
pub(super) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// from + share · (to − from); exactly `to` at share 1.
pub(super) fn blend(from: &[f32], to: Vec<f32>, share: f64) -> Vec<f32> {
    if share >= 1.0 {
        return to;
    }
    let share = share as f32;
    from.iter().zip(to).map(|(from, to)| from + share * (to - from)).collect()
}

/// Scales `values` to the norm `length`; leaves zeros alone.
pub(super) fn scaled_to(mut values: Vec<f64>, length: f64) -> Vec<f64> {
    let norm = norm(&values);
    if norm > 0.0 {
        values.iter_mut().for_each(|value| *value *= length / norm);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::{blend, deviation, mean, median, median_norm, norm, scaled_to};

    #[test]
    fn values_of_small_cases() {
        let updates = [vec![3.0f32, 4.0], vec![1.0, 0.0], vec![2.0, 2.0]];
        let mean = mean(&updates);
        assert_eq!(mean, [2.0, 2.0]);
        assert_eq!(deviation(&updates, &mean, 1), [1.0, 2.0]);
        assert!((deviation(&updates, &mean, 0)[1] - (8.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(
            (median(vec![5.0, 1.0, 2.0]), median(vec![4.0, 2.0]), median(vec![])),
            (2.0, 3.0, 0.0)
        );
        assert!((median_norm(&updates) - 8f64.sqrt()).abs() < 1e-12);
        assert_eq!(blend(&[0.0, 2.0], vec![4.0, 4.0], 0.25), [1.0, 2.5]);
        assert_eq!(blend(&[0.1], vec![0.3], 1.0), [0.3]);
        assert!((norm(&scaled_to(vec![1.0, 2.0], 7.0)) - 7.0).abs() < 1e-12);
        assert_eq!(scaled_to(vec![0.0], 7.0), [0.0]);
    }
}
