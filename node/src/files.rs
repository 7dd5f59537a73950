//! Updates and models in files that trainers write and read: safetensors, `.npz`, `.npy`.
//!
//! Everything read here came from outside. A file is refused with its name, the tensor at fault
//! and what was expected; nothing is allocated on the word of a header alone.
//!
//! Elements are IEEE 754 binary32 or binary64, kept as their bits, so that the one rounding is that
//! to the task's grid. Every other element type is refused by name: a trainer that writes half
//! precision should say how it wants to be widened.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use fedledger_ledger::limits::{
    BLOB_BYTES_MAX, PARAMETERS_MAX, TENSORS_MAX, TENSOR_DIMENSIONS_MAX, TENSOR_NAME_BYTES_MAX,
};
use thiserror::Error;

mod npy;
mod npz;
mod safetensors;

pub use fedledger_contract::canonical::{FloatBits, NamedTensor};
pub use npy::{read_matrix, write_matrix, Matrix};

/// Longest tensor file in bytes: the largest update in binary64, with its headers.
pub const FILE_BYTES_MAX: u64 = 2 * BLOB_BYTES_MAX;
/// Longest matrix file in bytes: a hundred updates of five million parameters in binary32.
pub const MATRIX_BYTES_MAX: u64 = 2 << 30;

/// The formats of tensor files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// <https://huggingface.co/docs/safetensors>
    Safetensors,
    /// A zip archive of `.npy` entries, one a tensor, as `numpy.savez` writes.
    Npz,
    /// One array, as `numpy.save` writes: a tensor named after nothing, here `update`.
    Npy,
}

impl Format {
    /// The format that a file name's ending says.
    ///
    /// # Errors
    /// When it is none of `.safetensors`, `.npz`, `.npy`.
    pub fn of_path(path: &Path) -> Result<Self, FileError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npz") => Ok(Self::Npz),
            Some("npy") => Ok(Self::Npy),
            _ => Err(FileError::UnknownFormat { path: path.into() }),
        }
    }

    /// The format that an HTTP `Content-Type` says.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/vnd.safetensors"
            | "application/x-safetensors"
            | "application/octet-stream" => Some(Self::Safetensors),
            "application/x-npz" | "application/zip" => Some(Self::Npz),
            "application/x-npy" => Some(Self::Npy),
            _ => None,
        }
    }

    /// The `Content-Type` under which the command line sends it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Safetensors => "application/vnd.safetensors",
            Self::Npz => "application/x-npz",
            Self::Npy => "application/x-npy",
        }
    }
}

/// Why a tensor file was not read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A file that must not be overwritten exists.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The ending says nothing.
    #[error("{}: expected a name ending in .safetensors, .npz or .npy", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file, or what it unpacks to, is too long.
    #[error("{}: {what} is longer than {max} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The part that is too long.
        what: String,
        /// Longest length allowed in bytes.
        max: u64,
    },
    /// The file as a whole does not follow its format.
    #[error("{}: not a readable {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format expected.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// One tensor does not follow the format or a limit.
    #[error("{}: tensor `{tensor}`: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// Elements of a type that is not accepted.
    #[error(
        "{}: tensor `{tensor}` has elements of type {dtype}; expected float32 or float64",
        path.display()
    )]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type found, as the format names it.
        dtype: String,
    },
    /// Too many tensors, or none.
    #[error("{}: holds {found} tensors; expected 1 to {max}", path.display())]
    TensorCount {
        /// The file.
        path: PathBuf,
        /// Number found.
        found: usize,
        /// Largest number allowed.
        max: usize,
    },
}

impl FileError {
    /// The tensor at fault, when it is one.
    pub fn tensor(&self) -> Option<&str> {
        match self {
            Self::Tensor { tensor, .. } | Self::ElementType { tensor, .. } => Some(tensor),
            _ => None,
        }
    }
}

/// Reads a file of tensors, in the order of their names.
///
/// # Errors
/// See [`FileError`].
pub fn read_tensors(path: &Path) -> Result<Vec<NamedTensor>, FileError> {
    let format = Format::of_path(path)?;
    let bytes = read_bounded(path, FILE_BYTES_MAX)?;
    parse_tensors(format, path, &bytes)
}

/// Reads tensors from bytes in memory, in the order of their names. `path` is where they came from,
/// for messages.
///
/// # Errors
/// See [`FileError`].
pub fn parse_tensors(
    format: Format,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<NamedTensor>, FileError> {
    let mut tensors = match format {
        Format::Safetensors => safetensors::parse(path, bytes)?,
        Format::Npz => npz::parse(path, bytes)?,
        Format::Npy => vec![npy::parse(path, "update", bytes, PARAMETERS_MAX)?],
    };
    if tensors.is_empty() || tensors.len() > TENSORS_MAX {
        return Err(FileError::TensorCount {
            path: path.into(),
            found: tensors.len(),
            max: TENSORS_MAX,
        });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(FileError::Tensor {
            path: path.into(),
            tensor: pair[0].name.clone(),
            reason: "appears twice".into(),
        });
    }
    Ok(tensors)
}

/// The tensors as a safetensors file, each with its own element type.
pub fn to_safetensors(tensors: &[NamedTensor]) -> Vec<u8> {
    safetensors::serialize(tensors)
}

/// The tensors as an npz file, each with its own element type.
pub fn to_npz(tensors: &[NamedTensor]) -> Vec<u8> {
    npz::serialize(tensors)
}

/// Writes `bytes` to a new file, complete or not at all: to a temporary name in the same folder,
/// synced to disk, then linked to its name.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let io = |source| FileError::Io { path: path.into(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    make_readable(file.as_file()).map_err(io)?;
    file.persist_noclobber(path).map_err(|error| {
        if error.error.kind() == std::io::ErrorKind::AlreadyExists {
            FileError::Exists { path: path.into() }
        } else {
            io(error.error)
        }
    })?;
    Ok(())
}

/// Temporary files are made for their owner alone; results are for whoever the folder is for.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}
#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Reads a whole file of at most `bytes_max` bytes.
fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let io = |source| FileError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::TooLong {
            path: path.into(),
            what: "the file".into(),
            max: bytes_max,
        });
    }
    Ok(bytes)
}

/// Checks a tensor's name and shape and returns its number of elements.
fn check_shape(
    path: &Path,
    name: &str,
    shape: &[u64],
    elements_max: u64,
) -> Result<u64, FileError> {
    let fault = |reason: String| FileError::Tensor {
        path: path.into(),
        tensor: name.chars().take(TENSOR_NAME_BYTES_MAX).collect(),
        reason,
    };
    if name.is_empty() || name.len() > TENSOR_NAME_BYTES_MAX {
        return Err(fault(format!(
            "its name is {} bytes long, expected 1 to {TENSOR_NAME_BYTES_MAX}",
            name.len()
        )));
    }
    if shape.len() > TENSOR_DIMENSIONS_MAX {
        return Err(fault(format!(
            "has {} dimensions, at most {TENSOR_DIMENSIONS_MAX} are allowed",
            shape.len()
        )));
    }
    let elements = shape.iter().try_fold(1u64, |product, &length| product.checked_mul(length));
    match elements {
        Some(0) => Err(fault(format!("has no elements: shape {shape:?}"))),
        Some(elements) if elements <= elements_max => Ok(elements),
        _ => Err(fault(format!("shape {shape:?} has more than {elements_max} elements"))),
    }
}

/// The elements of little-endian binary32 bytes.
fn f32_of_le(bytes: &[u8]) -> FloatBits {
    let words = bytes.chunks_exact(4);
    let bits = words.map(|word| u32::from_le_bytes(word.try_into().expect("chunks of four")));
    FloatBits::F32(bits.collect())
}

/// The elements of little-endian binary64 bytes.
fn f64_of_le(bytes: &[u8]) -> FloatBits {
    let words = bytes.chunks_exact(8);
    let bits = words.map(|word| u64::from_le_bytes(word.try_into().expect("chunks of eight")));
    FloatBits::F64(bits.collect())
}

/// Number of elements.
fn elements_of(values: &FloatBits) -> usize {
    match values {
        FloatBits::F32(bits) => bits.len(),
        FloatBits::F64(bits) => bits.len(),
    }
}

#[cfg(test)]
mod tests;
