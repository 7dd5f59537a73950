//! The data of a scenario file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::shape::{Field, Shape, Variant};
use crate::data::{
    csv_folder, digits, hospitals, load_csv_folder, load_npz_images, reference_data,
    split::hospital_name, train_test, wdbc, within, CsvOptions, DataError, Dataset, NpzImages,
    NpzOptions, Site, SiteColumn, SiteShift, Skew, Synthetic,
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
    /// Handwritten digits of ten classes, built in.
    Digits {
        /// Share of each member's rows that is held out.
        #[serde(default = "test_share")]
        test_share: f64,
    },
    /// Rows made by the seed, one site for each member.
    Generator(Synthetic),
    /// Images in MedMNIST's layout.
    Npz {
        /// The file: relative to the scenario file, else to the reference data.
        path: PathBuf,
        /// Side of the square of pixels that is averaged to one.
        #[serde(default = "one")]
        pool: usize,
        /// The label that becomes class 1.
        #[serde(default)]
        positive: Option<u32>,
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
        /// The column that says which rows stay together when rows are held out.
        #[serde(default)]
        group: Option<String>,
        /// The column that says which institution of a file a row is of.
        #[serde(default)]
        site: Option<String>,
        /// Fewest rows of an institution that `site` names.
        #[serde(default = "site_rows_min")]
        site_rows_min: usize,
        /// Names of files, without their ending, that are no institution.
        #[serde(default)]
        exclude: Vec<String>,
        /// Leave out rows whose label is −1 or missing.
        #[serde(default)]
        drop_indeterminate: bool,
        /// Share of each institution's rows that is held out.
        #[serde(default = "test_share")]
        test_share: f64,
    },
}

/// Institutions with their data.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// One entry for each institution, not yet standardised.
    pub sites: Vec<Site>,
    /// Size of the images that rows are; `None` where they are none.
    pub image: Option<ImageSize>,
}

/// Size of an image whose pixels follow each other in a row of data, the channels of each together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

fn one() -> usize {
    1
}

fn site_rows_min() -> usize {
    csv_folder::SITE_ROWS_MIN
}

fn test_share() -> f64 {
    TEST_SHARE
}

impl DataChoice {
    /// Whether the data come divided into institutions.
    pub fn has_sites(&self) -> bool {
        matches!(self, Self::Csv { .. })
    }

    /// Whether a column names the institutions, so that some of them can be drawn.
    pub fn has_site_column(&self) -> bool {
        matches!(self, Self::Csv { site: Some(_), .. })
    }

    /// Whether they are made by the seed, site by site.
    pub fn is_generated(&self) -> bool {
        matches!(self, Self::Generator(_))
    }

    /// Whether rows are images.
    pub fn has_images(&self) -> bool {
        matches!(self, Self::Digits { .. } | Self::Npz { .. })
    }

    /// Whether rows of class 1 are patients who have something: malignant, diseased.
    pub fn has_patients(&self) -> bool {
        match self {
            Self::Digits { .. } => false,
            Self::Npz { positive, .. } => positive.is_some(),
            Self::Wdbc { .. } | Self::Generator(_) | Self::Csv { .. } => true,
        }
    }

    /// What it is, for a reader of the report.
    pub fn describe(&self) -> String {
        match self {
            Self::Wdbc { .. } => {
                "Breast Cancer Wisconsin (569 needle biopsies, 30 features)".to_owned()
            }
            Self::Digits { .. } => "handwritten digits (1797 images, ten classes)".to_owned(),
            Self::Generator(made) => format!(
                "made by the seed: {} rows a member on average, {} features, {:.0} % of class 1",
                made.rows,
                made.features,
                made.prevalence * 100.0
            ),
            Self::Npz { path, .. } => format!("the images in {}", path.display()),
            Self::Csv { path, label, site: None, .. } => {
                format!("the institutions' files in {}, label `{label}`", path.display())
            }
            Self::Csv { path, label, site: Some(site), .. } => {
                format!(
                    "the institutions that column `{site}` names in {}, label `{label}`",
                    path.display()
                )
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
    ) -> Result<Drawn, DataError> {
        let mut image = None;
        let (whole, test_share) = match self {
            Self::Wdbc { test_share } => (wdbc::load(), *test_share),
            Self::Digits { test_share } => {
                let side = digits::IMAGE_WIDTH;
                image = Some(ImageSize { height: side, width: side, channels: 1 });
                (digits::load(), *test_share)
            }
            Self::Generator(made) => {
                let made = Synthetic { sites: members, ..*made };
                return Ok(Drawn { sites: made.generate(seed)?.0, image });
            }
            Self::Npz { path, pool, positive, test_share } => {
                let options = NpzOptions { pool: *pool, positive: *positive };
                let images = load_npz_images(&locate(folder, path), &options)?;
                let NpzImages { height, width, channels, .. } = images;
                image = Some(ImageSize { height, width, channels });
                let whole = Dataset::union([&images.train, &images.test]).expect("two parts");
                (whole, *test_share)
            }
            Self::Csv { path, test_share, .. } => {
                let sites =
                    load_csv_folder(&locate(folder, path), &self.options(members, split, seed))?;
                match split {
                    None => return Ok(Drawn { sites, image }),
                    Some(Skew::Within) => {
                        let sites = within(&sites, members, ROWS_MIN, seed)?;
                        return Ok(Drawn { sites, image });
                    }
                    Some(_) => {}
                }
                let parts = sites.iter().flat_map(|site| [&site.train, &site.test]);
                (Dataset::union(parts).expect("a folder has a file"), *test_share)
            }
        };
        let sites = divided(&whole, members, split.unwrap_or(Skew::Iid), test_share, seed)?;
        Ok(Drawn { sites, image })
    }

    /// What the columns of a folder of CSV files mean. Where a column names the institutions and nothing
    /// else divides the rows, `members` of them are drawn.
    fn options(&self, members: usize, split: Option<Skew>, seed: u64) -> CsvOptions {
        let Self::Csv {
            path: _,
            label,
            drop,
            split_column,
            group,
            site,
            site_rows_min,
            exclude,
            drop_indeterminate,
            test_share,
        } = self
        else {
            unreachable!("called for CSV files only")
        };
        let members = if split.is_none() { members } else { 0 };
        let site = site.clone();
        CsvOptions {
            label: label.clone(),
            drop: drop.clone(),
            split_column: split_column.clone(),
            group: group.clone(),
            site: site.map(|column| SiteColumn { column, rows_min: *site_rows_min, members }),
            exclude: exclude.clone(),
            drop_indeterminate: *drop_indeterminate,
            test_share: *test_share,
            seed: seed << 8,
        }
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
    vec![
        Variant {
            name: "wdbc",
            doc: "Breast Cancer Wisconsin (Diagnostic), built in.".to_owned(),
            fields: vec![held_out()],
        },
        Variant {
            name: "digits",
            doc: "Handwritten digits of ten classes, built in.".to_owned(),
            fields: vec![held_out()],
        },
        Variant {
            name: "generator",
            doc: "Rows made by the seed, one site for each member; takes no `split`.".to_owned(),
            fields: generator(),
        },
        Variant {
            name: "npz",
            doc: "Images in MedMNIST's layout, all parts together.".to_owned(),
            fields: vec![
                Field::required(
                    "path",
                    Shape::Text,
                    "The file: relative to the scenario file, else to the reference data.",
                ),
                Field::default(
                    "pool",
                    Shape::count(1, 64),
                    1,
                    "Side of the square of pixels that is averaged to one.",
                ),
                Field::optional(
                    "positive",
                    Shape::count(0, 1_000),
                    "labels stay as they are",
                    "The label that becomes class 1, all others class 0.",
                ),
                held_out(),
            ],
        },
        Variant {
            name: "csv",
            doc: "A folder with one CSV file for each institution, or for each region with a column `site`."
                .to_owned(),
            fields: csv(),
        },
    ]
}

fn held_out() -> Field {
    let shape = Shape::Number { min: 0.01, max: 0.99 };
    Field::default("test_share", shape, TEST_SHARE, "Share of each member's rows held out.")
}

fn csv() -> Vec<Field> {
    let column = || Shape::Text;
    vec![
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
                Field::optional(
                    "group",
                    column(),
                    "rows are held out one by one",
                    "The column, such as a patient number, whose rows stay together.",
                ),
                Field::optional(
                    "site",
                    column(),
                    "each file is one institution",
                    "The column, such as a hospital's number, that names the institutions of each file; \
                     no feature. Without a `split`, `members` of them are drawn by the seed, or all take \
                     part.",
                ),
                Field::default(
                    "site_rows_min",
                    Shape::count(6, 1_000_000),
                    csv_folder::SITE_ROWS_MIN,
                    "Institutions that `site` names are left out when they have fewer rows, or fewer than \
                     3 of a class.",
                ),
                Field::default(
                    "exclude",
                    Shape::list(column(), 0, 4_096),
                    serde_json::json!([]),
                    "Files, without `.csv`, that are no institution.",
                ),
                Field::default(
                    "drop_indeterminate",
                    Shape::Flag,
                    false,
                    "Leave out rows whose label is -1 or missing.",
                ),
                held_out(),
    ]
}

fn generator() -> Vec<Field> {
    let Synthetic {
        rows,
        features,
        prevalence,
        signal,
        nonlinear,
        size_exponent,
        feature_shift,
        prevalence_shift,
        concept_shift,
        test_share,
        ..
    } = Synthetic::default();
    let number = |name, min, max, value: f64, doc| {
        Field::default(name, Shape::Number { min, max }, value, doc)
    };
    vec![
        Field::default("rows", Shape::count(8, 100_000), rows, "Mean number of rows of a site."),
        Field::default("features", Shape::count(2, 1_000), features, "Features."),
        number("prevalence", 0.01, 0.99, prevalence, "Share of class 1 over all sites."),
        number("signal", 0.0, 100.0, signal, "Deviation of the score: 1 is hard, 4 easy."),
        Field::default("nonlinear", Shape::Flag, nonlinear, "Whether the score has products."),
        number("size_exponent", 0.0, 4.0, size_exponent, "Sizes follow (k + 1)^-exponent."),
        number("feature_shift", 0.0, 10.0, feature_shift, "How far sites' features lie apart."),
        number("prevalence_shift", 0.0, 10.0, prevalence_shift, "How prevalence differs."),
        number("concept_shift", 0.0, 10.0, concept_shift, "How what classes mean differs."),
        number("test_share", 0.01, 0.99, test_share, "Share of each member's rows held out."),
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
        variant(
            "within",
            "Each of the data's own sites is cut into members, in proportion to its rows and at least one: \
             they keep their site's device and prevalence, each class dealt out evenly.",
            Vec::new(),
        ),
    ]
}

/// The fields of the table `shift`.
pub fn shift_fields() -> Vec<Field> {
    let SiteShift { feature, concept } = SiteShift::default();
    vec![
        Field::default(
            "feature",
            Shape::Number { min: 0.0, max: 10.0 },
            feature,
            "Each feature of a site is stretched by 1 ± 0.3 times this and moved by this many of its \
             standard deviations, both drawn for the site.",
        ),
        Field::default(
            "concept",
            Shape::share(),
            concept,
            "Share of the rows in a half-space of the site's own that have the next class.",
        ),
    ]
}

/// The tables that the `change` of an honest member may be.
pub fn change_variants() -> Vec<Variant> {
    let number = |min, max| Shape::Number { min, max };
    vec![
        Variant {
            name: "scanner",
            doc: "Another device: every feature x becomes gain * x + offset.".to_owned(),
            fields: vec![
                Field::required("gain", number(0.01, 100.0), "Factor of every feature."),
                Field::required(
                    "offset",
                    number(-100.0, 100.0),
                    "Added to every feature, in standard deviations of the federation.",
                ),
            ],
        },
        Variant {
            name: "prevalence",
            doc: "Other referrals: rows of class 1 are repeated or left out until they have this \
                  share; the number of rows stays."
                .to_owned(),
            fields: vec![Field::required(
                "share",
                number(0.01, 0.99),
                "Share of class 1 from then on.",
            )],
        },
    ]
}
