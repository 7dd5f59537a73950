//! The data of a scenario file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::shape::{Field, Shape, Variant};
use crate::data::{
    hospitals, load_csv_folder, reference_data, split::hospital_name, train_test, wdbc, CsvOptions,
    DataError, Dataset, Site, Skew,
};
use crate::scenario::{ROWS_MIN, TEST_SHARE};

/// Which data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum DataChoice {
    /// Breast Cancer Wisconsin (Diagnostic), built in.
    Wdbc {
        /// Share of each member's rows that is held out.
        #[serde(default = "test_share")]
        test_share: f64,
    },
    /// A folder with one CSV file for each institution.
    Csv {
        /// The folder: relative to the scenario file, else to the reference data.
        path: PathBuf,
        /// The column with the class.
        label: String,
        /// Columns that are no features.
        #[serde(default)]
        drop: Vec<String>,
        /// The column that says `train` or `test`.
        #[serde(default)]
        split_column: Option<String>,
        /// Leave out rows whose label is −1 or missing.
        #[serde(default)]
        drop_indeterminate: bool,
        /// Share of each institution's rows that is held out.
        #[serde(default = "test_share")]
        test_share: f64,
    },
}

fn test_share() -> f64 {
    TEST_SHARE
}

impl DataChoice {
    /// Whether the data come divided into institutions.
    pub fn has_sites(&self) -> bool {
        matches!(self, Self::Csv { .. })
    }

    /// What it is, for a reader of the report.
    pub fn describe(&self) -> String {
        match self {
            Self::Wdbc { .. } => {
                "Breast Cancer Wisconsin (569 needle biopsies, 30 features)".to_owned()
            }
            Self::Csv { path, label, .. } => {
                format!("the institutions' files in {}, label `{label}`", path.display())
            }
        }
    }

    /// The institutions with their data, not yet standardised. Relative paths start from `folder`.
    ///
    /// # Errors
    /// When the data cannot be read or divided.
    pub fn sites(
        &self,
        folder: &Path,
        members: usize,
        split: Option<Skew>,
        seed: u64,
    ) -> Result<Vec<Site>, DataError> {
        let (whole, test_share) = match self {
            Self::Wdbc { test_share } => (wdbc::load(), *test_share),
            Self::Csv { path, label, drop, split_column, drop_indeterminate, test_share } => {
                let options = CsvOptions {
                    drop: drop.clone(),
                    split_column: split_column.clone(),
                    drop_indeterminate: *drop_indeterminate,
                    test_share: *test_share,
                    seed: seed << 8,
                    ..CsvOptions::new(label.clone())
                };
                let sites = load_csv_folder(&locate(folder, path), &options)?;
                if split.is_none() {
                    return Ok(sites);
                }
                let parts = sites.iter().flat_map(|site| [&site.train, &site.test]);
                (Dataset::union(parts).expect("a folder has a file"), *test_share)
            }
        };
        divided(&whole, members, split.unwrap_or(Skew::Iid), test_share, seed)
    }
}

/// `path` in the scenario's folder if it is there, else among the reference data, else as it is.
fn locate(folder: &Path, path: &Path) -> PathBuf {
    let near = folder.join(path);
    if near.exists() {
        return near;
    }
    let found = path.to_str().and_then(reference_data);
    found.unwrap_or(near)
}

fn divided(
    whole: &Dataset,
    members: usize,
    split: Skew,
    test_share: f64,
    seed: u64,
) -> Result<Vec<Site>, DataError> {
    let parts = hospitals(whole, members, split, ROWS_MIN, seed)?;
    let sites = parts.iter().enumerate().map(|(k, part)| {
        let (train, test) = train_test(part, test_share, seed.wrapping_add(k as u64))?;
        Ok(Site { name: hospital_name(k), train, test })
    });
    sites.collect()
}

/// The tables that `data` may be.
pub fn variants() -> Vec<Variant> {
    let held_out = || {
        let shape = Shape::Number { min: 0.01, max: 0.99 };
        Field::default("test_share", shape, TEST_SHARE, "Share of each member's rows held out.")
    };
    let column = || Shape::Text;
    vec![
        Variant {
            name: "wdbc",
            doc: "Breast Cancer Wisconsin (Diagnostic), built in.".to_owned(),
            fields: vec![held_out()],
        },
        Variant {
            name: "csv",
            doc: "A folder with one CSV file for each institution.".to_owned(),
            fields: vec![
                Field::required(
                    "path",
                    Shape::Text,
                    "The folder: relative to the scenario file, else to the reference data.",
                ),
                Field::required("label", column(), "The column with the class, 0 or 1."),
                Field::default(
                    "drop",
                    Shape::list(column(), 0, 4_096),
                    serde_json::json!([]),
                    "Columns that are no features.",
                ),
                Field::optional(
                    "split_column",
                    column(),
                    "rows are held out by `test_share`",
                    "The column that says `train` or `test`.",
                ),
                Field::default(
                    "drop_indeterminate",
                    Shape::Flag,
                    false,
                    "Leave out rows whose label is -1 or missing.",
                ),
                held_out(),
            ],
        },
    ]
}

/// The tables that `split` may be.
pub fn split_variants() -> Vec<Variant> {
    let variant = |name, doc: &str, fields| Variant { name, doc: doc.to_owned(), fields };
    let exponent = Shape::Number { min: 0.0, max: 4.0 };
    let alpha = Shape::Number { min: 0.01, max: 1_000.0 };
    vec![
        variant("iid", "At random into equal parts.", Vec::new()),
        variant(
            "size",
            "At random into parts of unequal size.",
            vec![Field::required("exponent", exponent, "Sizes follow (k + 1)^-exponent.")],
        ),
        variant(
            "label",
            "Each class in Dirichlet proportions.",
            vec![Field::required("alpha", alpha, "Concentration: 0.1 is nearly one class a site.")],
        ),
    ]
}
