//! Standardisation and imputation from per-site sums: no row leaves its institution.
//!
//! Each site sends count, sum and sum of squares of every feature over the values it has; the sums
//! add up to the mean and deviation of the union. Standardising each site by its own mean instead
//! costs points of accuracy where populations differ, because it hides the difference.

use super::{Dataset, Site};

/// One feature's sums over the values that are present.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FeatureSums {
    /// Number of values that are present.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
}

impl FeatureSums {
    /// One entry for each feature of `data`; NaN counts as missing.
    pub fn of(data: &Dataset) -> Vec<Self> {
        let mut sums = vec![Self::default(); data.width()];
        for row in data.features.rows() {
            for (sum, &value) in sums.iter_mut().zip(row) {
                if !value.is_nan() {
                    let value = f64::from(value);
                    sum.count += 1;
                    sum.sum += value;
                    sum.sum_of_squares += value * value;
                }
            }
        }
        sums
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
    }
}

/// Mean and standard deviation of each feature over the whole federation.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardizer {
    /// Mean of each feature; 0 for one that nobody has a value of.
    pub means: Vec<f64>,
    /// Population standard deviation of each feature; 1 for a constant one.
    pub deviations: Vec<f64>,
}

/// Variances below this share of the mean square are rounding, not information.
const VARIANCE_SHARE_MIN: f64 = 1e-12;

impl Standardizer {
    /// Adds up the sites' sums, in the order given.
    ///
    /// # Panics
    /// When the sites have different numbers of features.
    pub fn from_sums(sites: &[Vec<FeatureSums>]) -> Self {
        let width = sites.first().map_or(0, Vec::len);
        let mut totals = vec![FeatureSums::default(); width];
        for site in sites {
            assert_eq!(site.len(), width, "sites of one federation have the same features");
            totals.iter_mut().zip(site).for_each(|(total, sums)| total.add(sums));
        }
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for total in &totals {
            let count = total.count.max(1) as f64;
            let mean = total.sum / count;
            let mean_square = total.sum_of_squares / count;
            let variance = mean_square - mean * mean;
            let constant = variance <= VARIANCE_SHARE_MIN * mean_square.max(f64::MIN_POSITIVE);
            means.push(mean);
            deviations.push(if constant { 1.0 } else { variance.sqrt() });
        }
        Self { means, deviations }
    }

    /// Replaces each value by its distance to the mean in deviations; a missing one becomes 0,
    /// which is the mean.
    ///
    /// # Panics
    /// When `data` has another number of features.
    pub fn apply(&self, data: &mut Dataset) {
        assert_eq!(data.width(), self.means.len(), "the same features as were summed");
        for mut row in data.features.rows_mut() {
            for (column, value) in row.iter_mut().enumerate() {
                let centred = f64::from(*value) - self.means[column];
                *value =
                    if value.is_nan() { 0.0 } else { (centred / self.deviations[column]) as f32 };
            }
        }
    }
}

/// Standardises and imputes training and held-out parts with the sums of the training parts.
pub fn standardize_sites(sites: &mut [Site]) -> Standardizer {
    let sums: Vec<_> = sites.iter().map(|site| FeatureSums::of(&site.train)).collect();
    let standardizer = Standardizer::from_sums(&sums);
    for site in sites {
        standardizer.apply(&mut site.train);
        standardizer.apply(&mut site.test);
    }
    standardizer
}

#[cfg(test)]
mod tests {
    use super::{standardize_sites, FeatureSums, Standardizer};
    use crate::data::{fixtures::clouds, Dataset, Site};

    #[test]
    fn sums_of_sites_are_those_of_the_union() {
        let (left, right) = (clouds(31, 3, 1), clouds(57, 3, 2));
        let union = Dataset::union([&left, &right]).expect("two parts");
        let federated = Standardizer::from_sums(&[FeatureSums::of(&left), FeatureSums::of(&right)]);
        for column in 0..3 {
            let values: Vec<f64> =
                union.features.column(column).iter().map(|&v| v.into()).collect();
            let mean = values.iter().sum::<f64>() / 88.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 88.0;
            assert!((federated.means[column] - mean).abs() < 1e-9);
            assert!((federated.deviations[column] - variance.sqrt()).abs() < 1e-9);
        }
    }

    #[test]
    fn missing_and_constant_features_stay_finite() {
        let mut data = clouds(40, 4, 3);
        data.features[[5, 0]] = f32::NAN;
        data.features.column_mut(1).fill(7.7);
        data.features.column_mut(2).fill(f32::NAN);
        let site = Site { name: "a".into(), train: data.clone(), test: data };
        let mut sites = [site];
        let standardizer = standardize_sites(&mut sites);
        let train = &sites[0].train.features;
        assert!(train.iter().all(|value| value.is_finite()));
        assert_eq!(train[[5, 0]], 0.0);
        assert!(train.column(1).iter().all(|value| value.abs() < 1e-5));
        assert_eq!(standardizer.deviations[1..3], [1.0, 1.0]);
        assert!((train.column(3).iter().map(|v| v * v).sum::<f32>() / 40.0 - 1.0).abs() < 1e-4);
    }
}
