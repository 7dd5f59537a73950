//! The `.npz` format: a zip archive of `.npy` arrays, stored or deflated.
//!
//! What an entry unpacks to is counted as it is unpacked. The sizes in the archive's directory are
//! an attacker's claim and decide nothing.

use std::io::{Cursor, Read as _, Write as _};
use std::path::Path;

use fedledger_ledger::limits::{PARAMETERS_MAX, TENSORS_MAX};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{elements_of, npy, FileError, NamedTensor};

/// Longest unpacked array in bytes beyond its elements: magic, version and header.
const HEADER_BYTES_MAX: u64 = 16 << 10;

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<NamedTensor>, FileError> {
    let mut archive = open(path, bytes)?;
    let mut elements_left = PARAMETERS_MAX;
    (0..archive.len())
        .map(|index| {
            let tensor = read_entry(path, &mut archive, index, elements_left)?;
            elements_left -= elements_of(&tensor.values) as u64;
            Ok(tensor)
        })
        .collect()
}

/// The tensors as an archive of arrays that are stored as they are, the same bytes at any time.
pub(super) fn serialize(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for tensor in tensors {
        archive
            .start_file(format!("{}.npy", tensor.name), stored)
            .expect("names of tensors are short and differ");
        let bytes = npy::array(&tensor.shape, &tensor.values);
        archive.write_all(&bytes).expect("writing to memory cannot fail");
    }
    archive.finish().expect("writing to memory cannot fail").into_inner()
}

/// Reads the array called `array`, or the only one.
pub(super) fn parse_one(
    path: &Path,
    bytes: &[u8],
    array: Option<&str>,
    elements_max: u64,
) -> Result<NamedTensor, FileError> {
    let mut archive = open(path, bytes)?;
    let malformed =
        |reason: String| FileError::Malformed { path: path.into(), format: "npz", reason };
    let names: Vec<String> =
        archive.file_names().map(|name| name.trim_end_matches(".npy").to_owned()).collect();
    let index = match array {
        Some(array) => names.iter().position(|name| name == array).ok_or_else(|| {
            malformed(format!("holds no array `{array}`; it holds {}", names.join(", ")))
        })?,
        None if names.len() == 1 => 0,
        None => {
            return Err(malformed(format!(
                "holds {} arrays; say which is the matrix: {}",
                names.len(),
                names.join(", ")
            )))
        }
    };
    read_entry(path, &mut archive, index, elements_max)
}

fn open<'a>(path: &Path, bytes: &'a [u8]) -> Result<Archive<'a>, FileError> {
    let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| FileError::Malformed {
        path: path.into(),
        format: "npz",
        reason: error.to_string(),
    })?;
    if archive.is_empty() || archive.len() > TENSORS_MAX {
        return Err(FileError::TensorCount {
            path: path.into(),
            found: archive.len(),
            max: TENSORS_MAX,
        });
    }
    Ok(archive)
}

fn read_entry(
    path: &Path,
    archive: &mut Archive<'_>,
    index: usize,
    elements_max: u64,
) -> Result<NamedTensor, FileError> {
    let listed = archive.name_for_index(index).unwrap_or("").to_owned();
    let fault =
        |reason: String| FileError::Tensor { path: path.into(), tensor: listed.clone(), reason };
    let entry = archive.by_index(index).map_err(|error| fault(error.to_string()))?;
    let name = listed
        .strip_suffix(".npy")
        .ok_or_else(|| fault("every entry's name must end in .npy".into()))?;
    let bytes_max = elements_max * 8 + HEADER_BYTES_MAX;
    let mut unpacked = Vec::new();
    entry
        .take(bytes_max + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| fault(format!("cannot be unpacked: {error}")))?;
    if unpacked.len() as u64 > bytes_max {
        return Err(FileError::TooLong {
            path: path.into(),
            what: format!("tensor `{name}`, unpacked,"),
            max: bytes_max,
        });
    }
    npy::parse(path, name, &unpacked, elements_max)
}
