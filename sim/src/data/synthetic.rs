//! A seeded generator of tabular data for 4 to 100 institutions whose truth is known.
//!
//! Rows are Gaussian with a common correlation; the probability of class 1 is a logistic function of a
//! linear score, or of one with products of features, so that an ideal predictor can be measured. Sites
//! differ by how many rows they have, where their features lie, how often class 1 is met, and what
//! the score means there.

use ndarray::{Array1, Array2, ArrayView1};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::split::hospital_name;
use super::{train_test, DataError, Dataset, Site};
use crate::seed;

/// Correlation of neighbouring features.
const CORRELATION: f64 = 0.3;
/// Rows on which the intercept of the score is set.
const CALIBRATION_ROWS: usize = 4_000;

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synthetic {
    /// Institutions, 1 to 128.
    pub sites: usize,
    /// Mean number of rows of a site, 8 to 100000.
    pub rows: usize,
    /// Features, 2 to 1000.
    pub features: usize,
    /// Share of class 1 over all sites, between 0 and 1.
    pub prevalence: f64,
    /// Standard deviation of the score: 1 is a hard task, 4 an easy one.
    pub signal: f64,
    /// Whether the score has products of features, which a linear model cannot learn.
    pub nonlinear: bool,
    /// Sizes of sites follow (k + 1)^−exponent; 0 makes them equal, at most 4.
    pub size_exponent: f64,
    /// Standard deviation of a site's mean of each feature: feature shift.
    pub feature_shift: f64,
    /// Standard deviation of a site's intercept of the score: prevalence differs between sites.
    pub prevalence_shift: f64,
    /// Length of a site's own part of the score's weights, relative to the common ones: concept
    /// shift.
    pub concept_shift: f64,
    /// Share of each site's rows that is held out.
    pub test_share: f64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            sites: 13,
            rows: 200,
            features: 30,
            prevalence: 0.4,
            signal: 4.0,
            nonlinear: false,
            size_exponent: 0.0,
            feature_shift: 0.0,
            prevalence_shift: 0.0,
            concept_shift: 0.0,
            test_share: 0.3,
        }
    }
}

/// How classes come about.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Weight of each feature in the common score.
    pub weights: Vec<f64>,
    /// Intercept of the common score.
    pub intercept: f64,
    /// Weight of x₀·x₁, x₂·x₃, …; empty when the score is linear.
    pub products: Vec<f64>,
    /// Of each site, its own part of the weights.
    pub site_weights: Vec<Vec<f64>>,
    /// Of each site, its own part of the intercept.
    pub site_intercepts: Vec<f64>,
}

impl Truth {
    /// Probability of class 1 for a row of site `site`: what an ideal predictor would say.
    ///
    /// # Panics
    /// When the row has another width or there is no such site.
    pub fn probability(&self, site: usize, row: ArrayView1<'_, f32>) -> f64 {
        let own = &self.site_weights[site];
        assert_eq!(row.len(), own.len(), "a row of these features");
        let score = self.intercept + self.site_intercepts[site] + self.common(row);
        let own: f64 = own.iter().zip(row).map(|(w, &x)| w * f64::from(x)).sum();
        1.0 / (1.0 + (-score - own).exp())
    }

    /// The common score without its intercept.
    fn common(&self, row: ArrayView1<'_, f32>) -> f64 {
        let linear: f64 = self.weights.iter().zip(row).map(|(w, &x)| w * f64::from(x)).sum();
        let product = |(k, w): (usize, &f64)| w * f64::from(row[2 * k]) * f64::from(row[2 * k + 1]);
        linear + self.products.iter().enumerate().map(product).sum::<f64>()
    }
}

impl Synthetic {
    /// The institutions' data and the truth behind them. The truth, and each site's, depend on the
    /// seed and not on the number of rows.
    ///
    /// # Errors
    /// When a knob is out of its range.
    pub fn generate(&self, seed: u64) -> Result<(Vec<Site>, Truth), DataError> {
        self.check()?;
        let truth = self.truth(seed);
        let weights: Vec<f64> =
            (1..=self.sites).map(|k| (k as f64).powf(-self.size_exponent)).collect();
        let whole: f64 = weights.iter().sum();
        let mut sites = Vec::with_capacity(self.sites);
        for (site, weight) in weights.into_iter().enumerate() {
            let rows = (self.rows * self.sites) as f64 * weight / whole;
            let mut rng = seed::stream(seed, "synthetic-rows", site as u64, 0);
            let data = self.rows_of(site, (rows.round() as usize).max(8), &truth, &mut rng);
            let (train, test) = train_test(&data, self.test_share, seed ^ (site as u64) << 32)?;
            sites.push(Site { name: hospital_name(site), train, test });
        }
        Ok((sites, truth))
    }

    fn check(&self) -> Result<(), DataError> {
        let shift = "0 to 10";
        for (name, found, low, high, expected) in [
            ("sites", self.sites as f64, 1.0, 128.0, "1 to 128"),
            ("rows", self.rows as f64, 8.0, 1e5, "8 to 100000"),
            ("features", self.features as f64, 2.0, 1e3, "2 to 1000"),
            ("prevalence", self.prevalence, 0.01, 0.99, "0.01 to 0.99"),
            ("signal", self.signal, 0.0, 100.0, "0 to 100"),
            ("size_exponent", self.size_exponent, 0.0, 4.0, "0 to 4"),
            ("feature_shift", self.feature_shift, 0.0, 10.0, shift),
            ("prevalence_shift", self.prevalence_shift, 0.0, 10.0, shift),
            ("concept_shift", self.concept_shift, 0.0, 10.0, shift),
        ] {
            if !(low..=high).contains(&found) {
                return Err(DataError::Parameter { name, found, expected });
            }
        }
        Ok(())
    }

    fn truth(&self, seed: u64) -> Truth {
        let mut rng = seed::stream(seed, "synthetic-truth", 0, 0);
        let mut normal = |deviation: f64| deviation * rng.sample::<f64, _>(StandardNormal);
        let each = self.signal / (self.features as f64).sqrt();
        let pairs = if self.nonlinear { self.features / 2 } else { 0 };
        let mut truth = Truth {
            weights: (0..self.features).map(|_| normal(each)).collect(),
            intercept: 0.0,
            products: (0..pairs).map(|_| normal(each * 2f64.sqrt())).collect(),
            site_weights: Vec::new(),
            site_intercepts: Vec::new(),
        };
        for _ in 0..self.sites {
            let own = (0..self.features).map(|_| normal(self.concept_shift * each)).collect();
            truth.site_weights.push(own);
            truth.site_intercepts.push(normal(self.prevalence_shift));
        }
        truth.intercept = self.calibrated(&truth, seed);
        truth
    }

    /// The intercept that gives the stated prevalence where nothing is shifted, by bisection.
    fn calibrated(&self, truth: &Truth, seed: u64) -> f64 {
        let mut rng = seed::stream(seed, "synthetic-calibration", 0, 0);
        let centre = vec![0.0; self.features];
        let scores: Vec<f64> = (0..CALIBRATION_ROWS)
            .map(|_| truth.common(ArrayView1::from(&self.row(&centre, &mut rng))))
            .collect();
        let share = |intercept: f64| {
            let sum: f64 = scores.iter().map(|s| 1.0 / (1.0 + (-s - intercept).exp())).sum();
            sum / CALIBRATION_ROWS as f64
        };
        let (mut low, mut high) = (-1e3, 1e3);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if share(middle) < self.prevalence {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// One row around `centre`: unit variance, neighbours correlated (a first-order chain).
    fn row(&self, centre: &[f64], rng: &mut ChaCha8Rng) -> Vec<f32> {
        let fresh = (1.0 - CORRELATION * CORRELATION).sqrt();
        let mut last = rng.sample::<f64, _>(StandardNormal);
        let value = |(k, centre): (usize, &f64)| {
            if k > 0 {
                last = CORRELATION * last + fresh * rng.sample::<f64, _>(StandardNormal);
            }
            (centre + last) as f32
        };
        centre.iter().enumerate().map(value).collect()
    }

    fn rows_of(&self, site: usize, rows: usize, truth: &Truth, rng: &mut ChaCha8Rng) -> Dataset {
        let centre: Vec<f64> = (0..self.features)
            .map(|_| self.feature_shift * rng.sample::<f64, _>(StandardNormal))
            .collect();
        let mut values = Vec::with_capacity(rows * self.features);
        let mut labels = Vec::with_capacity(rows);
        for _ in 0..rows {
            let row = self.row(&centre, rng);
            let probability = truth.probability(site, ArrayView1::from(&row));
            labels.push(u32::from(rng.gen_bool(probability.clamp(0.0, 1.0))));
            values.extend(row);
        }
        Dataset {
            features: Array2::from_shape_vec((rows, self.features), values)
                .expect("one value a row and feature"),
            labels: Array1::from(labels),
            feature_names: (0..self.features).map(|k| format!("x{k}")).collect(),
            class_names: vec!["benign".to_owned(), "malignant".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Synthetic;
    use crate::data::{DataError, Dataset};
    use crate::metrics::auc;
    use crate::model::{train, ModelSpec, Training};
    use crate::seed;

    const TRAINING: Training = Training {
        epochs: 30,
        batch_size: 32,
        learning_rate: 0.05,
        l2: 1e-3,
        momentum: 0.5,
        class_balanced: false,
    };

    fn areas(knobs: Synthetic, spec: ModelSpec) -> (f64, f64) {
        let (sites, truth) = knobs.generate(3).expect("good knobs");
        let train_rows = Dataset::union(sites.iter().map(|site| &site.train)).expect("sites");
        let mut rng = seed::stream(1, "t", 0, 0);
        let base = spec.initial(1);
        let step = train(&spec, &base, &train_rows, &TRAINING, &mut rng);
        let model: Vec<f32> = base.iter().zip(step).map(|(b, s)| b + s).collect();
        let (mut learned, mut ideal, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (k, site) in sites.iter().enumerate() {
            learned.extend(spec.probabilities(&model, site.test.features.view()));
            let rows = site.test.features.rows().into_iter();
            ideal.extend(rows.map(|row| truth.probability(k, row) as f32));
            labels.extend(site.test.labels.iter().copied());
        }
        (auc(&learned, &labels).expect("both"), auc(&ideal, &labels).expect("both"))
    }

    #[test]
    fn the_truth_can_be_learned_by_the_model_it_is_made_for() {
        let linear = Synthetic { features: 10, rows: 400, ..Synthetic::default() };
        let logistic = ModelSpec::Logistic { features: 10 };
        let (learned, ideal) = areas(linear, logistic);
        assert!(ideal > 0.9 && ideal - learned < 0.01, "{learned} {ideal}");
        let bent = Synthetic { nonlinear: true, ..linear };
        let (line, ideal) = areas(bent, logistic);
        let (network, _) = areas(bent, ModelSpec::Mlp { features: 10, hidden: 32 });
        assert!(ideal - line > 0.05 && network > line + 0.02, "{line} {network} {ideal}");
    }

    #[test]
    fn knobs_do_what_they_say() {
        let plain = Synthetic { sites: 20, rows: 300, features: 6, ..Synthetic::default() };
        let spread = |knobs: Synthetic| -> (f64, f64, usize) {
            let (sites, _) = knobs.generate(5).expect("good knobs");
            let deviation = |values: Vec<f64>| {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
                (squares / values.len() as f64).sqrt()
            };
            let means = sites.iter().map(|s| f64::from(s.train.features.column(0).sum()));
            let rows = |k: usize| sites[k].train.rows();
            let means = means.enumerate().map(|(k, sum)| sum / rows(k) as f64).collect();
            let share = |k: usize| sites[k].train.count(1) as f64 / rows(k) as f64;
            (deviation(means), deviation((0..20).map(share).collect()), rows(0) - rows(19))
        };
        let (means, shares, sizes) = spread(plain);
        assert!(means < 0.15 && shares < 0.06 && sizes == 0, "{means} {shares} {sizes}");
        assert!(spread(Synthetic { feature_shift: 1.0, ..plain }).0 > 0.6);
        assert!(spread(Synthetic { prevalence_shift: 3.0, ..plain }).1 > 0.12);
        assert!(spread(Synthetic { size_exponent: 1.0, ..plain }).2 > 500);
        let (_, ideal) = areas(plain, ModelSpec::Logistic { features: 6 });
        let shifted = Synthetic { concept_shift: 1.5, ..plain };
        let (learned, own) = areas(shifted, ModelSpec::Logistic { features: 6 });
        assert!(own - learned > 0.05 && ideal > 0.9, "{own} {learned} {ideal}");
    }

    #[test]
    fn it_repeats_and_refuses() {
        let knobs = Synthetic { sites: 4, rows: 20, ..Synthetic::default() };
        assert_eq!(knobs.generate(1).expect("good"), knobs.generate(1).expect("good"));
        assert_ne!(knobs.generate(1).expect("good").0, knobs.generate(2).expect("good").0);
        let share: f64 = {
            let many = Synthetic { rows: 2_000, ..knobs };
            let (sites, _) = many.generate(1).expect("good");
            sites.iter().map(|s| s.train.count(1) as f64 / s.train.rows() as f64).sum::<f64>() / 4.0
        };
        assert!((share - 0.4).abs() < 0.03, "{share}");
        let wrong = Synthetic { sites: 0, ..knobs }.generate(1).expect_err("no sites");
        assert!(matches!(wrong, DataError::Parameter { name: "sites", .. }), "{wrong}");
    }
}
