//! How much of the rows came back. A reader who knows the population guesses well without any
//! update, so each measure is to be put beside that of such a guess, the mean row.

use crate::data::Dataset;

/// Share of the features of `row` that `guess` has within `tolerance`, 0 to 1.
pub fn feature_accuracy(row: &[f32], guess: &[f32], tolerance: f32) -> f64 {
    let close = row.iter().zip(guess).filter(|(row, guess)| (*row - *guess).abs() <= tolerance);
    close.count() as f64 / row.len().max(1) as f64
}

/// Number of rows of `data` all of whose features some guess has within `tolerance`: the exact-match
/// rate counts people, which a mean over features hides.
pub fn exact_matches(data: &Dataset, guesses: &[Vec<f32>], tolerance: f32) -> usize {
    let rows = data.features.rows().into_iter().map(|row| row.to_vec());
    rows.filter(|row| guesses.iter().any(|guess| feature_accuracy(row, guess, tolerance) >= 1.0))
        .count()
}

/// Peak signal-to-noise ratio in decibels for values in a range of length `range`: 10·log₁₀(range² /
/// mean squared error); infinite for equal rows.
pub fn psnr(row: &[f32], guess: &[f32], range: f64) -> f64 {
    let squares = row.iter().zip(guess).map(|(a, b)| f64::from(a - b).powi(2));
    let error = squares.sum::<f64>() / row.len().max(1) as f64;
    10.0 * (range * range / error).log10()
}

/// What a score separates: members from others. Shares are 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Separation {
    /// Probability that a member scores higher than another, ties one half; ½ is chance.
    pub auc: f64,
    /// Greatest difference of true and false positive rate over all thresholds (Yeom et al. 2018).
    pub advantage: f64,
    /// True positive rate at the highest threshold order with at most 0.1 % false positives (Carlini
    /// et al. 2022); with fewer than 1000 others, with none.
    pub low_rate: f64,
}

/// Measures scores, higher meaning "member".
///
/// # Panics
/// When there are no members or no others.
pub fn separation(members: &[f64], others: &[f64]) -> Separation {
    assert!(!members.is_empty() && !others.is_empty(), "two groups to tell apart");
    let mut all: Vec<(f64, bool)> = members.iter().map(|&score| (score, true)).collect();
    all.extend(others.iter().map(|&score| (score, false)));
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (m, o) = (members.len() as f64, others.len() as f64);
    let (mut hits, mut alarms, mut area, mut advantage, mut low_rate) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let mut start = 0;
    while start < all.len() {
        let tied =
            all[start..].iter().take_while(|(score, _)| *score >= all[start].0).count().max(1);
        let group = &all[start..start + tied];
        let new_hits = group.iter().filter(|(_, member)| *member).count() as f64;
        let new_alarms = tied as f64 - new_hits;
        area += new_alarms * (hits + new_hits / 2.0);
        hits += new_hits;
        alarms += new_alarms;
        advantage = f64::max(advantage, hits / m - alarms / o);
        if alarms / o <= 1e-3 {
            low_rate = hits / m;
        }
        start += tied;
    }
    Separation { auc: area / (m * o), advantage, low_rate }
}

#[cfg(test)]
mod tests {
    use super::{exact_matches, feature_accuracy, psnr, separation};
    use crate::data::fixtures::clouds;

    #[test]
    fn measures_of_small_cases() {
        assert!(
            (feature_accuracy(&[1.0, 2.0, 3.0], &[1.05, 2.5, 3.0], 0.1) - 2.0 / 3.0).abs() < 1e-9
        );
        let data = clouds(5, 2, 1);
        let guesses = [data.features.row(2).to_vec(), vec![99.0, 99.0]];
        assert_eq!(exact_matches(&data, &guesses, 1e-6), 1);
        assert!((psnr(&[0.0, 1.0], &[0.1, 0.9], 1.0) - 20.0).abs() < 1e-4);
        assert!(psnr(&[1.0], &[1.0], 1.0).is_infinite());
    }

    #[test]
    fn separation_counts_pairs_and_thresholds() {
        let perfect = separation(&[3.0, 2.0], &[1.0, 0.0]);
        assert_eq!((perfect.auc, perfect.advantage, perfect.low_rate), (1.0, 1.0, 1.0));
        let mixed = separation(&[3.0, 1.0], &[2.0, 0.0]);
        assert_eq!((mixed.auc, mixed.advantage, mixed.low_rate), (0.75, 0.5, 0.5));
        let equal = separation(&[1.0, 1.0], &[1.0, 1.0]);
        assert_eq!((equal.auc, equal.advantage, equal.low_rate), (0.5, 0.0, 0.0));
    }
}
