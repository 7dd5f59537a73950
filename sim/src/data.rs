//! Data sets: what one institution holds, and how a whole is divided among several.

pub mod csv_folder;
pub mod digits;
mod error;
pub mod npz_images;
pub mod shift;
pub mod split;
pub mod standardize;
pub mod synthetic;
pub mod wdbc;

use ndarray::{Array1, Array2, Axis};

pub use csv_folder::{load_csv_folder, reference_data, CsvOptions, SiteColumn};
pub use error::DataError;
pub use npz_images::{load_npz_images, NpzImages, NpzOptions};
pub use shift::{Change, SiteShift};
pub use split::{hospitals, train_test, train_test_grouped, within, Skew};
pub use standardize::{standardize_sites, FeatureSums, Standardizer};
pub use synthetic::{Synthetic, Truth};

/// Rows of numbers with a class each.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// rows × features; NaN where a value is missing.
    pub features: Array2<f32>,
    /// Class of each row, an index into `class_names`.
    pub labels: Array1<u32>,
    /// One name for each column.
    pub feature_names: Vec<String>,
    /// One name for each class.
    pub class_names: Vec<String>,
}

impl Dataset {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.features.ncols()
    }

    /// Number of rows of class `class`.
    pub fn count(&self, class: u32) -> usize {
        self.labels.iter().filter(|&&label| label == class).count()
    }

    /// The rows with the given indices, in the order given; an index may repeat.
    ///
    /// # Panics
    /// When an index is not below [`Dataset::rows`].
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.select(Axis(0), rows),
            labels: self.labels.select(Axis(0), rows),
            feature_names: self.feature_names.clone(),
            class_names: self.class_names.clone(),
        }
    }

    /// One data set after another; `None` of none.
    ///
    /// # Panics
    /// When the parts have different numbers of features.
    pub fn union<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let parts: Vec<&Self> = parts.into_iter().collect();
        let first = *parts.first()?;
        let features: Vec<_> = parts.iter().map(|part| part.features.view()).collect();
        let labels: Vec<_> = parts.iter().map(|part| part.labels.view()).collect();
        Some(Self {
            features: ndarray::concatenate(Axis(0), &features)
                .expect("parts of one federation have the same columns"),
            labels: ndarray::concatenate(Axis(0), &labels).expect("labels are one-dimensional"),
            feature_names: first.feature_names.clone(),
            class_names: first.class_names.clone(),
        })
    }
}

/// One institution's data, divided into what it trains on and what it measures on.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Name of the institution: a file's stem, or one of [`split::hospital_name`].
    pub name: String,
    /// Training part.
    pub train: Dataset,
    /// Held-out part.
    pub test: Dataset,
}

#[cfg(test)]
pub(crate) mod fixtures {
    use ndarray::{Array1, Array2};
    use rand::Rng;
    use rand_distr::StandardNormal;

    use super::Dataset;
    use crate::seed;

    /// Two overlapping Gaussian clouds in `width` dimensions; one row in three is positive.
    pub fn clouds(rows: usize, width: usize, seed: u64) -> Dataset {
        let mut rng = seed::stream(seed, "clouds", 0, 0);
        let labels = Array1::from_shape_fn(rows, |row| u32::from(row % 3 == 0));
        let features = Array2::from_shape_fn((rows, width), |(row, column)| {
            let noise: f32 = rng.sample(StandardNormal);
            let shift = if column % 2 == 0 { 0.9 } else { -0.6 };
            noise + if labels[row] == 1 { shift } else { -shift }
        });
        Dataset {
            features,
            labels,
            feature_names: (0..width).map(|column| format!("x{column}")).collect(),
            class_names: vec!["negative".into(), "positive".into()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{fixtures::clouds, Dataset};

    #[test]
    fn union_undoes_a_partition() {
        let whole = clouds(30, 4, 1);
        let head = whole.select(&(0..11).collect::<Vec<_>>());
        let tail = whole.select(&(11..30).collect::<Vec<_>>());
        assert_eq!(Dataset::union([&head, &tail]), Some(whole));
        assert_eq!(Dataset::union([]), None);
    }
}
