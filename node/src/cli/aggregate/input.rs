//! The updates that are given, whatever files they come in.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use crate::exit::Failure;
use crate::files::{read_matrix, read_tensors, FloatBits, Format, Matrix, NamedTensor};

/// One update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    /// Its file, or its row.
    pub label: String,
    /// Its tensors.
    pub tensors: Vec<NamedTensor>,
}

/// All updates, in the order in which ties break: that of the file names, or of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub updates: Vec<Update>,
}

impl Input {
    /// Reads a folder or several files of one update each, or one file with a matrix.
    pub fn read(
        paths: &[PathBuf],
        array: Option<&str>,
        bar: &ProgressBar,
    ) -> Result<Self, Failure> {
        if let [path] = paths {
            if path.is_file() {
                return of_single(path, array);
            }
        }
        if array.is_some() {
            return Err(Failure::usage("--array is for one .npz file with a matrix"));
        }
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                files.extend(files_in(path)?);
            } else {
                files.push(path.clone());
            }
        }
        bar.set_length(files.len() as u64);
        let read = files.iter().map(|path| {
            bar.inc(1);
            let label = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            Ok(Update { label, tensors: read_tensors(path)? })
        });
        Ok(Self { updates: read.collect::<Result<_, Failure>>()? })
    }
}

/// One file is a matrix, unless it is of the one format that has none.
fn of_single(path: &Path, array: Option<&str>) -> Result<Input, Failure> {
    if Format::of_path(path)? == Format::Safetensors {
        let message = format!("{} is a single update", path.display());
        return Err(Failure::usage(message).hint("give a folder, several files, or a matrix"));
    }
    Ok(Input { updates: rows_of(read_matrix(path, array)?) })
}

fn rows_of(matrix: Matrix) -> Vec<Update> {
    let columns = matrix.columns;
    let width = matrix.rows.saturating_sub(1).to_string().len();
    let row_bits = |row: usize| row * columns..(row + 1) * columns;
    (0..matrix.rows)
        .map(|row| {
            let values = match &matrix.values {
                FloatBits::F32(bits) => FloatBits::F32(bits[row_bits(row)].to_vec()),
                FloatBits::F64(bits) => FloatBits::F64(bits[row_bits(row)].to_vec()),
            };
            let tensor = NamedTensor { name: "update".into(), shape: vec![columns as u64], values };
            Update { label: format!("row {row:width$}"), tensors: vec![tensor] }
        })
        .collect()
}

/// The tensor files of a folder, by name.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let io = |error: std::io::Error| Failure::usage(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() && Format::of_path(&path).is_ok() {
            files.push(path);
        }
    }
    if files.is_empty() {
        let message = format!("{} holds no .safetensors, .npz or .npy files", folder.display());
        return Err(Failure::usage(message));
    }
    files.sort();
    Ok(files)
}
