//! What can be wrong with data, said so that its owner can mend it.

use std::path::PathBuf;

use thiserror::Error;

/// Why data cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// The folder or a file of it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The folder holds no file that ends in `.csv`.
    #[error("no .csv file in {}: expected one for each institution", path.display())]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// More files than a consortium has members.
    #[error("{found} .csv files in {}: expected at most {max}", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// Number of files.
        found: usize,
        /// Most files allowed.
        max: usize,
    },
    /// Longer than a file may be.
    #[error("{} is {found} bytes long: expected at most {max}", path.display())]
    FileTooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// Longest length allowed.
        max: u64,
    },
    /// More columns or rows than allowed.
    #[error("{} has more than {max} {what}", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// `rows` or `columns`.
        what: &'static str,
        /// Most allowed.
        max: usize,
    },
    /// Not even a header.
    #[error("{} is empty: expected a header line with column names", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// A header and nothing that can be used under it.
    #[error("{} has no usable row under its header", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Every row of the split column says the same.
    #[error("{} has no row for {part} in column `{column}`", path.display())]
    EmptyPart {
        /// The file.
        path: PathBuf,
        /// The split column.
        column: String,
        /// `train` or `test`.
        part: &'static str,
    },
    /// A column without a name, or a name twice.
    #[error("{} line 1: column {position} is named `{name}`: expected {expected}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Position of the column, from 1.
        position: usize,
        /// Its name.
        name: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A column that was asked for is not there.
    #[error("{} has no column `{column}` for the {role}; it has: {found}", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        column: String,
        /// What it was to be used for.
        role: &'static str,
        /// The columns that are there, separated by commas.
        found: String,
    },
    /// Two files of one folder have different feature columns.
    #[error("{} {problem} column `{column}`, unlike {}", path.display(), first.display())]
    OtherColumns {
        /// The file.
        path: PathBuf,
        /// `lacks` or `has the additional`.
        problem: &'static str,
        /// The column.
        column: String,
        /// The file it was compared with.
        first: PathBuf,
    },
    /// Nothing is left to learn from.
    #[error("{} has no feature column beside the label and the dropped ones", path.display())]
    NoFeatures {
        /// The file.
        path: PathBuf,
    },
    /// A row with more or fewer fields than the header.
    #[error("{} line {line}: {found} fields, expected {expected} as in the header", path.display())]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Line of the row.
        line: u64,
        /// Number of fields of the row.
        found: usize,
        /// Number of columns.
        expected: usize,
    },
    /// A field that cannot be used.
    #[error("{} line {line}, column `{column}`: `{value}` is not {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Line of the row.
        line: u64,
        /// Name of the column.
        column: String,
        /// The field, cut to 40 characters.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// An array of an npz file that cannot be used.
    #[error("{}, array `{array}`: found {found}, expected {expected}", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// Name of the array.
        array: String,
        /// What is there.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A column that names too few institutions, or too many.
    #[error(
        "{}: {found} sites by column `{column}` have {rows_min} rows or more and {} of each class, \
         expected {}",
        path.display(),
        super::csv_folder::SITE_CLASS_ROWS_MIN,
        between(*least, *most)
    )]
    Sites {
        /// The folder.
        path: PathBuf,
        /// The column.
        column: String,
        /// Fewest rows of a site.
        rows_min: usize,
        /// Sites that have enough rows.
        found: usize,
        /// Fewest that are needed.
        least: usize,
        /// Most that a consortium takes; no limit where some are drawn.
        most: usize,
    },
    /// Only one class in all training rows.
    #[error("all {rows} training rows are of class {class}: expected two classes")]
    OneClass {
        /// The class.
        class: u32,
        /// Number of rows.
        rows: usize,
    },
    /// A split that cannot be made.
    #[error("{rows} rows cannot be split over {sites} sites with at least {minimum} each")]
    TooFewRows {
        /// Rows there are.
        rows: usize,
        /// Sites asked for.
        sites: usize,
        /// Least rows asked for at each site.
        minimum: usize,
    },
    /// A parameter outside its range.
    #[error("{name} must be {expected}, found {found}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Value given.
        found: f64,
        /// Range allowed.
        expected: &'static str,
    },
}

impl DataError {
    /// Whether a file or folder is not there at all.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

fn between(least: usize, most: usize) -> String {
    if most == usize::MAX {
        format!("at least {least}")
    } else {
        format!("{least} to {most}, or `members` of them drawn")
    }
}
