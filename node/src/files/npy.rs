//! The `.npy` format: one array of NumPy, in C or Fortran order, of either byte order.

use std::path::Path;

use npyz::{AutoSerialize, DType, NpyFile, Order, TypeChar, WriterBuilder as _};

use super::MATRIX_BYTES_MAX;
use super::{check_shape, npz, read_bounded, write_new, FileError, FloatBits, Format, NamedTensor};

/// Longest array header in bytes. NumPy itself refuses more than 10,000 without being asked twice.
const HEADER_BYTES_MAX: u64 = 10_000;
/// Most elements in a matrix: what [`MATRIX_BYTES_MAX`] holds in binary32.
const MATRIX_ELEMENTS_MAX: u64 = MATRIX_BYTES_MAX / 4;

/// A matrix of updates, one row a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// n: number of rows.
    pub rows: usize,
    /// d: number of columns.
    pub columns: usize,
    /// The elements, row by row.
    pub values: FloatBits,
}

/// Reads an n × d matrix from an `.npy` file, or from an `.npz` file: the array of that name, or
/// the only one.
///
/// # Errors
/// See [`FileError`].
pub fn read_matrix(path: &Path, array: Option<&str>) -> Result<Matrix, FileError> {
    let bytes = read_bounded(path, MATRIX_BYTES_MAX)?;
    let tensor = match Format::of_path(path)? {
        Format::Npy => parse(path, "matrix", &bytes, MATRIX_ELEMENTS_MAX)?,
        Format::Npz => npz::parse_one(path, &bytes, array, MATRIX_ELEMENTS_MAX)?,
        Format::Safetensors => return Err(FileError::UnknownFormat { path: path.into() }),
    };
    let &[rows, columns] = tensor.shape.as_slice() else {
        return Err(FileError::Tensor {
            path: path.into(),
            tensor: tensor.name,
            reason: format!(
                "has shape {:?}; expected a matrix n × d, one row for each update",
                tensor.shape
            ),
        });
    };
    Ok(Matrix { rows: rows as usize, columns: columns as usize, values: tensor.values })
}

/// Writes a matrix as a new `.npy` file of its element type; one row makes a vector.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_matrix(path: &Path, matrix: &Matrix) -> Result<(), FileError> {
    let shape = [matrix.rows as u64, matrix.columns as u64];
    let shape = if matrix.rows == 1 { &shape[1..] } else { &shape[..] };
    write_new(path, &array(shape, &matrix.values))
}

/// An array of its element type, in C order.
pub(super) fn array(shape: &[u64], values: &FloatBits) -> Vec<u8> {
    match values {
        FloatBits::F32(bits) => npy_bytes(shape, bits.iter().map(|&bits| f32::from_bits(bits))),
        FloatBits::F64(bits) => npy_bytes(shape, bits.iter().map(|&bits| f64::from_bits(bits))),
    }
}

fn npy_bytes<T: AutoSerialize>(shape: &[u64], values: impl Iterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()
        .expect("an array of floats has a header");
    writer.extend(values).and_then(|()| writer.finish()).expect("writing to memory cannot fail");
    bytes
}

/// Reads one array of at most `elements_max` elements as a tensor called `name`.
pub(super) fn parse(
    path: &Path,
    name: &str,
    bytes: &[u8],
    elements_max: u64,
) -> Result<NamedTensor, FileError> {
    let fault =
        |reason: String| FileError::Tensor { path: path.into(), tensor: name.into(), reason };
    let text_end = check_header_length(bytes).map_err(fault)?;
    check_header_text(&bytes[..text_end]).map_err(|reason| fault(reason.into()))?;
    let mut body = bytes;
    let file = NpyFile::new(&mut body).map_err(|error| fault(format!("bad header: {error}")))?;
    let (shape, order, dtype) = (file.shape().to_vec(), file.order(), file.dtype());
    let elements = check_shape(path, name, &shape, elements_max)?;
    let width = element_width(&dtype).ok_or_else(|| FileError::ElementType {
        path: path.into(),
        tensor: name.into(),
        dtype: dtype.descr(),
    })?;
    // The header is checked against the bytes that are there before anything of its size is made.
    let expected = elements * width;
    let found = bytes.len() as u64 - header_length(bytes).expect("checked above");
    if found != expected {
        return Err(fault(format!("its data are {found} bytes, shape {shape:?} needs {expected}")));
    }
    let read = |error: std::io::Error| fault(error.to_string());
    let values = if width == 4 {
        let values = file.into_vec::<f32>().map_err(read)?;
        let bits: Vec<u32> = values.into_iter().map(f32::to_bits).collect();
        FloatBits::F32(in_row_major(order, &shape, bits))
    } else {
        let values = file.into_vec::<f64>().map_err(read)?;
        let bits: Vec<u64> = values.into_iter().map(f64::to_bits).collect();
        FloatBits::F64(in_row_major(order, &shape, bits))
    };
    Ok(NamedTensor { name: name.into(), shape, values })
}

/// Bytes of one element, when it is a float of 32 or 64 bits.
fn element_width(dtype: &DType) -> Option<u64> {
    match dtype {
        DType::Plain(plain) if plain.type_char() == TypeChar::Float => {
            Some(plain.size_field()).filter(|width| matches!(width, 4 | 8))
        }
        _ => None,
    }
}

/// Length of magic, version, length field and header text, as the file says.
fn header_length(bytes: &[u8]) -> Option<u64> {
    if bytes.get(..6)? != b"\x93NUMPY" {
        return None;
    }
    if *bytes.get(6)? == 1 {
        let length = bytes.get(8..10)?;
        Some(10 + u64::from(u16::from_le_bytes(length.try_into().ok()?)))
    } else {
        let length = bytes.get(8..12)?;
        Some(12 + u64::from(u32::from_le_bytes(length.try_into().ok()?)))
    }
}

/// Where the header ends.
fn check_header_length(bytes: &[u8]) -> Result<usize, String> {
    match header_length(bytes) {
        None => Err("not an .npy array: its magic bytes are missing".into()),
        Some(length) if length > HEADER_BYTES_MAX => {
            Err(format!("its header claims {length} bytes, at most {HEADER_BYTES_MAX} are allowed"))
        }
        Some(length) if length > bytes.len() as u64 => {
            Err(format!("is cut off inside its header, after {} bytes", bytes.len()))
        }
        Some(length) => Ok(length as usize),
    }
}

/// Refuses headers that NumPy does not write for an array of floats, before the parser sees them:
/// it recurses as deep as brackets nest, and multiplies whatever lengths it is given.
fn check_header_text(header: &[u8]) -> Result<(), &'static str> {
    const DEPTH_MAX: usize = 4;
    const PRODUCT_MAX: u64 = 1 << 50;
    let text = &header[header.iter().position(|&byte| byte == b'{').unwrap_or(0)..];
    let (mut quoted, mut depth, mut product, mut number) = (false, 0usize, 1u64, None::<u64>);
    for &byte in text {
        match byte {
            b'\'' => quoted = !quoted,
            b'\\' | b'"' => return Err("its header has a character that is not allowed"),
            b'{' | b'(' | b'[' if !quoted => depth += 1,
            b'}' | b')' | b']' if !quoted => depth = depth.saturating_sub(1),
            b'0'..=b'9' if !quoted => {
                let digit = u64::from(byte - b'0');
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                continue;
            }
            _ => {}
        }
        product = product.saturating_mul(number.take().unwrap_or(1).max(1));
        if depth > DEPTH_MAX {
            return Err("its header nests brackets too deeply");
        }
        if product > PRODUCT_MAX {
            return Err("its shape has too many elements");
        }
    }
    Ok(())
}

/// Elements in C order (last index fastest), from whichever order they are stored in.
fn in_row_major<T: Copy>(order: Order, shape: &[u64], stored: Vec<T>) -> Vec<T> {
    if order == Order::C {
        return stored;
    }
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1usize;
    for &length in shape {
        strides.push(stride);
        stride *= length as usize;
    }
    let mut index = vec![0u64; shape.len()];
    let mut offset = 0usize;
    let mut ordered = Vec::with_capacity(stored.len());
    for _ in 0..stored.len() {
        ordered.push(stored[offset]);
        // Step the index in C order, like an odometer, and the Fortran offset with it.
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            offset += strides[dimension];
            if index[dimension] < shape[dimension] {
                break;
            }
            offset -= strides[dimension] * shape[dimension] as usize;
            index[dimension] = 0;
        }
    }
    ordered
}
