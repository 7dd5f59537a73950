//! Means over seeds with their intervals.

use serde::{Deserialize, Serialize};

/// Student's t, two-sided 95 %, for 1 to 30 degrees of freedom; 1.96 beyond.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the width of its 95 % interval (Student's t over seeds); `None` from a single seed.
    pub half_width: Option<f64>,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Number of values.
    pub count: usize,
}

/// From this number of values on an interval is told rather than the range.
pub const INTERVAL_MIN: usize = 4;

impl Mean {
    /// The ends of the 95 % interval; with fewer than [`INTERVAL_MIN`] values, where it says little,
    /// the least and the greatest value.
    pub fn band(&self) -> (f64, f64) {
        match self.half_width {
            Some(width) if self.count >= INTERVAL_MIN => (self.mean - width, self.mean + width),
            _ => (self.min, self.max),
        }
    }
}

/// The mean of `values`; `None` of none.
pub fn mean(values: &[f64]) -> Option<Mean> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let half_width = (count > 1).then(|| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (count - 1) as f64).sqrt();
        T_95.get(count - 2).copied().unwrap_or(1.96) * deviation / (count as f64).sqrt()
    });
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(Mean { mean, half_width, min, max, count })
}

/// The mean of the values that exist; `None` when none does.
pub fn mean_of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Mean> {
    mean(&values.into_iter().flatten().collect::<Vec<_>>())
}

/// The lower median; `None` counts as later than every number, and is what is returned when half of
/// them or more are.
pub fn median_delay(delays: &[Option<u64>]) -> Option<u64> {
    let mut ranked: Vec<u64> = delays.iter().map(|delay| delay.unwrap_or(u64::MAX)).collect();
    ranked.sort_unstable();
    let middle = *ranked.get(ranked.len() / 2)?;
    (middle != u64::MAX).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::{mean, mean_of, median_delay};

    #[test]
    fn intervals_are_those_of_the_table() {
        let of = mean(&[1.0, 2.0, 3.0]).expect("three values");
        // s = 1, t(2) = 4.303: ±4.303/√3.
        assert!(
            (of.mean - 2.0).abs() < 1e-12 && (of.half_width.expect("three") - 2.484).abs() < 1e-3
        );
        assert_eq!((of.min, of.max, of.count), (1.0, 3.0, 3));
        assert_eq!(of.band(), (1.0, 3.0));
        let (low, high) = mean(&[1.0, 2.0, 2.0, 3.0]).expect("four values").band();
        assert!((low - 0.701).abs() < 1e-3 && (high - 3.299).abs() < 1e-3, "{low} {high}");
        assert_eq!(mean(&[5.0]).expect("one").half_width, None);
        assert_eq!(mean(&[]), None);
        assert_eq!(mean_of([None, Some(4.0)]).expect("one").count, 1);
    }

    #[test]
    fn those_never_caught_come_last() {
        assert_eq!(median_delay(&[Some(3), None, Some(1)]), Some(3));
        assert_eq!(median_delay(&[Some(3), None, None]), None);
        assert_eq!(median_delay(&[Some(3), None]), None);
        assert_eq!(median_delay(&[]), None);
    }
}
