//! A folder with one CSV file for each institution: the way data arrives from hospitals.
//!
//! The first line names the columns. All columns but the label, the split column and those to be
//! dropped are features and must hold numbers; an empty field, `NA`, `NaN` or `?` is missing.
//! Every refusal names file, line, column, value and what was expected.
//!
//! Where the files are of regions or countries, a column may say which institution a row is of; see
//! [`SiteColumn`].

mod by_column;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use ndarray::{Array1, Array2};

use super::{train_test, train_test_grouped, DataError, Dataset, Site};
pub use by_column::{SiteColumn, SITE_CLASS_ROWS_MIN, SITE_ROWS_MIN};

/// Most files in a folder: most members in a consortium.
pub const FILES_MAX: usize = fedledger_ledger::limits::MEMBERS_MAX;
/// Longest file in bytes, so that a wrong path fails soon and not in swap.
pub const FILE_BYTES_MAX: u64 = 1 << 28;
/// Most columns of a file.
pub const COLUMNS_MAX: usize = 4_096;
/// Most rows of a file.
pub const ROWS_MAX: usize = 4_000_000;
/// Fields that mean "missing".
const MISSING: [&str; 6] = ["", "NA", "NaN", "nan", "?", "null"];

/// What the columns of a folder mean.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvOptions {
    /// The column with the class: 0 or 1.
    pub label: String,
    /// Columns that are no features: identifiers, other outcomes. One that a file lacks is ignored.
    pub drop: Vec<String>,
    /// The column that says `train` or `test`; without it, rows are divided by `test_share`.
    pub split_column: Option<String>,
    /// The column that says which rows belong together, such as a patient's: they are held out
    /// together. It is no feature, and may hold any text.
    pub group: Option<String>,
    /// The column that says which institution of a file a row is of; without it, each file is one. It
    /// is no feature, and may hold any text.
    pub site: Option<SiteColumn>,
    /// Names of files, without their ending, that are no institution.
    pub exclude: Vec<String>,
    /// Leave out rows whose label is −1 (indeterminate) or missing, rather than refuse them.
    pub drop_indeterminate: bool,
    /// Share of each class that is held out where there is no split column.
    pub test_share: f64,
    /// Seed of that division.
    pub seed: u64,
}

impl CsvOptions {
    /// Every column but `label` a feature; 30 % of the rows held out.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            drop: Vec::new(),
            split_column: None,
            group: None,
            site: None,
            exclude: Vec::new(),
            drop_indeterminate: false,
            test_share: 0.3,
            seed: 0,
        }
    }
}

/// The folder of a reference data set, such as `fed_heart_disease/tidy_flamby`: under what the
/// environment variable `FEDLEDGER_DATA` names, else under `data` in the workspace, else under
/// `shared/data` beside it. `None` when it is not there; reference data are not part of the
/// repository.
pub fn reference_data(name: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let roots = match std::env::var_os("FEDLEDGER_DATA") {
        Some(named) => vec![PathBuf::from(named)],
        None => vec![workspace.join("data"), workspace.join("../shared/data")],
    };
    roots.into_iter().map(|root| root.join(name)).find(|found| found.exists())
}

/// Loads every `.csv` file of `folder` as one institution, by file name, or as those that its column
/// [`CsvOptions::site`] names.
///
/// Missing values are NaN; [`super::standardize_sites`] replaces them by the federated mean.
///
/// # Errors
/// When a file cannot be read or used, or all training rows are of one class.
pub fn load_csv_folder(folder: &Path, options: &CsvOptions) -> Result<Vec<Site>, DataError> {
    let mut parts = Vec::new();
    let mut first: Option<(PathBuf, Vec<String>)> = None;
    for path in files_of(folder, &options.exclude)? {
        let columns = first.as_ref().map(|(path, names)| (path.as_path(), names.as_slice()));
        let table = Table::read(&path, options, columns)?;
        if first.is_none() {
            first = Some((path.clone(), table.data.feature_names.clone()));
        }
        let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        match &options.site {
            None => parts.push(Part { name: stem, path, table }),
            Some(site) => parts.extend(site.parts_of(&stem, &path, &table)),
        }
    }
    let mut sites = Vec::new();
    let drawn = match &options.site {
        None => (0..parts.len()).collect(),
        Some(site) => site.draw(folder, parts.len(), options.seed)?,
    };
    for k in drawn {
        sites.push(parts[k].site(options, options.seed.wrapping_add(k as u64))?);
    }
    let classes: BTreeSet<u32> =
        sites.iter().flat_map(|site| site.train.labels.iter().copied()).collect();
    if let (1, Some(&class)) = (classes.len(), classes.first()) {
        let rows = sites.iter().map(|site| site.train.rows()).sum();
        return Err(DataError::OneClass { class, rows });
    }
    Ok(sites)
}

fn files_of(folder: &Path, exclude: &[String]) -> Result<Vec<PathBuf>, DataError> {
    let read_error = |source| DataError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for item in fs::read_dir(folder).map_err(read_error)? {
        let path = item.map_err(read_error)?.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let excluded = stem.is_some_and(|stem| exclude.contains(&stem));
        let is_csv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        if is_csv && !excluded && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(DataError::NoFiles { path: folder.to_owned() });
    }
    if files.len() > FILES_MAX {
        let found = files.len();
        return Err(DataError::TooManyFiles { path: folder.to_owned(), found, max: FILES_MAX });
    }
    Ok(files)
}

/// Positions of the columns of one file.
struct Columns {
    names: Vec<String>,
    label: usize,
    split: Option<usize>,
    group: Option<usize>,
    site: Option<usize>,
    features: Vec<usize>,
}

impl Columns {
    fn find(
        path: &Path,
        names: Vec<String>,
        options: &CsvOptions,
        first: Option<(&Path, &[String])>,
    ) -> Result<Self, DataError> {
        let position = |column: &String, role| {
            names.iter().position(|name| name == column).ok_or_else(|| DataError::NoColumn {
                path: path.to_owned(),
                column: column.clone(),
                role,
                found: names.join(", "),
            })
        };
        let label = position(&options.label, "label")?;
        let split = match &options.split_column {
            Some(column) => Some(position(column, "split")?),
            None => None,
        };
        let group = match &options.group {
            Some(column) => Some(position(column, "group")?),
            None => None,
        };
        let site = match &options.site {
            Some(site) => Some(position(&site.column, "site")?),
            None => None,
        };
        let special = [Some(label), split, group, site];
        let mut features: Vec<usize> = (0..names.len())
            .filter(|&k| !special.contains(&Some(k)) && !options.drop.contains(&names[k]))
            .collect();
        if features.is_empty() {
            return Err(DataError::NoFeatures { path: path.to_owned() });
        }
        if let Some((first, expected)) = first {
            features = same_order(path, &names, &features, first, expected)?;
        }
        Ok(Self { names, label, split, group, site, features })
    }
}

/// The feature columns in the order of the first file's; the same names are demanded.
fn same_order(
    path: &Path,
    names: &[String],
    features: &[usize],
    first: &Path,
    expected: &[String],
) -> Result<Vec<usize>, DataError> {
    let other = |problem, column: &String| DataError::OtherColumns {
        path: path.to_owned(),
        problem,
        column: column.clone(),
        first: first.to_owned(),
    };
    if let Some(&k) = features.iter().find(|&&k| !expected.contains(&names[k])) {
        return Err(other("has the additional", &names[k]));
    }
    expected
        .iter()
        .map(|column| {
            let found = features.iter().copied().find(|&k| &names[k] == column);
            found.ok_or_else(|| other("lacks", column))
        })
        .collect()
}

/// Rows of one file; `held_out` says of each whether the split column puts it into the test part,
/// `groups` which rows belong together, and `sites` which institution each is of.
struct Table {
    data: Dataset,
    held_out: Option<Vec<bool>>,
    groups: Option<Vec<String>>,
    sites: Option<Vec<String>>,
}

/// One institution's rows before they are divided.
struct Part {
    name: String,
    path: PathBuf,
    table: Table,
}

impl Table {
    fn read(
        path: &Path,
        options: &CsvOptions,
        first: Option<(&Path, &[String])>,
    ) -> Result<Self, DataError> {
        let read_error = |source| DataError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let found = file.metadata().map_err(read_error)?.len();
        if found > FILE_BYTES_MAX {
            return Err(DataError::FileTooLong {
                path: path.to_owned(),
                found,
                max: FILE_BYTES_MAX,
            });
        }
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
        let names = header(path, &mut reader)?;
        let columns = Columns::find(path, names, options, first)?;
        let (mut values, mut labels, mut held_out) = (Vec::new(), Vec::new(), Vec::new());
        let (mut groups, mut sites) = (Vec::new(), Vec::new());
        let mut record = ByteRecord::new();
        while next(path, &mut reader, &mut record)? {
            let row = Row { path, columns: &columns, record: &record };
            row.check_width()?;
            let Some(label) = row.label(options.drop_indeterminate)? else { continue };
            if labels.len() == ROWS_MAX {
                let path = path.to_owned();
                return Err(DataError::TooMany { path, what: "rows", max: ROWS_MAX });
            }
            labels.push(label);
            for &column in &columns.features {
                values.push(row.number(column)?);
            }
            if let Some(column) = columns.split {
                held_out.push(row.held_out(column)?);
            }
            if let Some(column) = columns.group {
                groups.push(row.text(column)?.to_owned());
            }
            if let Some(column) = columns.site {
                sites.push(row.site(column)?);
            }
        }
        if labels.is_empty() {
            return Err(DataError::NoRows { path: path.to_owned() });
        }
        let shape = (labels.len(), columns.features.len());
        let data = Dataset {
            features: Array2::from_shape_vec(shape, values).expect("one value a row and feature"),
            labels: Array1::from(labels),
            feature_names: columns.features.iter().map(|&k| columns.names[k].clone()).collect(),
            class_names: vec!["negative".to_owned(), "positive".to_owned()],
        };
        let groups = columns.group.map(|_| groups);
        let sites = columns.site.map(|_| sites);
        Ok(Self { data, held_out: columns.split.map(|_| held_out), groups, sites })
    }

    /// The rows with the given indices, all of one institution.
    fn select(&self, rows: &[usize]) -> Self {
        let texts =
            |of: &Vec<String>| -> Vec<String> { rows.iter().map(|&row| of[row].clone()).collect() };
        Self {
            data: self.data.select(rows),
            held_out: self.held_out.as_ref().map(|of| rows.iter().map(|&row| of[row]).collect()),
            groups: self.groups.as_ref().map(texts),
            sites: None,
        }
    }
}

impl Part {
    /// The institution, its rows divided.
    fn site(&self, options: &CsvOptions, seed: u64) -> Result<Site, DataError> {
        let (name, path) = (self.name.clone(), &self.path);
        let Table { data, held_out, groups, .. } = &self.table;
        let Some(held_out) = held_out else {
            let (train, test) = match groups {
                Some(groups) => train_test_grouped(data, groups, options.test_share, seed)?,
                None => train_test(data, options.test_share, seed)?,
            };
            return Ok(Site { name, train, test });
        };
        let part = |wanted: bool, part| {
            let rows: Vec<usize> =
                (0..held_out.len()).filter(|&row| held_out[row] == wanted).collect();
            if rows.is_empty() {
                let column = options.split_column.clone().unwrap_or_default();
                return Err(DataError::EmptyPart { path: path.to_owned(), column, part });
            }
            Ok(data.select(&rows))
        };
        Ok(Site { name, train: part(false, "train")?, test: part(true, "test")? })
    }
}

fn next(
    path: &Path,
    reader: &mut Reader<File>,
    record: &mut ByteRecord,
) -> Result<bool, DataError> {
    reader.read_byte_record(record).map_err(|error| DataError::Read {
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })
}

fn header(path: &Path, reader: &mut Reader<File>) -> Result<Vec<String>, DataError> {
    let mut record = ByteRecord::new();
    if !next(path, reader, &mut record)? {
        return Err(DataError::NoHeader { path: path.to_owned() });
    }
    if record.len() > COLUMNS_MAX {
        let path = path.to_owned();
        return Err(DataError::TooMany { path, what: "columns", max: COLUMNS_MAX });
    }
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    for (k, field) in record.iter().enumerate() {
        let bad = |expected| DataError::Header {
            path: path.to_owned(),
            position: k + 1,
            name: shown(field),
            expected,
        };
        let name = std::str::from_utf8(field).map_err(|_| bad("a name in UTF-8"))?;
        // Spreadsheets put a byte-order mark before the first name.
        let name = name.trim_start_matches('\u{feff}').trim();
        if name.is_empty() {
            return Err(bad("a name"));
        }
        if names.iter().any(|earlier| earlier == name) {
            return Err(bad("a name that no column before it has"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// One row with what is needed to say where it is.
struct Row<'a> {
    path: &'a Path,
    columns: &'a Columns,
    record: &'a ByteRecord,
}

impl Row<'_> {
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn check_width(&self) -> Result<(), DataError> {
        let (found, expected) = (self.record.len(), self.columns.names.len());
        if found == expected {
            return Ok(());
        }
        Err(DataError::Ragged { path: self.path.to_owned(), line: self.line(), found, expected })
    }

    fn bad(&self, column: usize, expected: &'static str) -> DataError {
        DataError::Value {
            path: self.path.to_owned(),
            line: self.line(),
            column: self.columns.names[column].clone(),
            value: shown(&self.record[column]),
            expected,
        }
    }

    fn text(&self, column: usize) -> Result<&str, DataError> {
        let text = std::str::from_utf8(&self.record[column]);
        text.map(str::trim).map_err(|_| self.bad(column, "text in UTF-8"))
    }

    fn number(&self, column: usize) -> Result<f32, DataError> {
        let text = self.text(column)?;
        if MISSING.contains(&text) {
            return Ok(f32::NAN);
        }
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => Err(self.bad(column, "a finite number")),
            Err(_) => Err(self.bad(column, "a number (drop the column if it is no feature)")),
        }
    }

    fn label(&self, drop_indeterminate: bool) -> Result<Option<u32>, DataError> {
        let column = self.columns.label;
        let text = self.text(column)?;
        let missing = MISSING.contains(&text);
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Some(0)),
            Ok(1.0) => Ok(Some(1)),
            Ok(-1.0) if drop_indeterminate => Ok(None),
            _ if missing && drop_indeterminate => Ok(None),
            Ok(-1.0) => Err(self.bad(column, "a label 0 or 1 (indeterminate rows can be dropped)")),
            _ if missing => {
                Err(self.bad(column, "a label 0 or 1 (unlabelled rows can be dropped)"))
            }
            _ => Err(self.bad(column, "a label 0 or 1")),
        }
    }

    /// The institution that the row is of.
    fn site(&self, column: usize) -> Result<String, DataError> {
        let text = self.text(column)?;
        if MISSING.contains(&text) {
            return Err(self.bad(column, "the name of an institution"));
        }
        Ok(text.to_owned())
    }

    fn held_out(&self, column: usize) -> Result<bool, DataError> {
        match self.text(column)? {
            "train" => Ok(false),
            "test" => Ok(true),
            _ => Err(self.bad(column, "`train` or `test`")),
        }
    }
}

/// At most 40 characters of a field, for a message.
fn shown(field: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(field).chars().take(41).collect();
    if text.chars().count() > 40 {
        return text.chars().take(39).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests;
