//! The safetensors format: a length, a JSON header, and the bytes of the tensors.

use std::path::Path;

use fedledger_ledger::limits::PARAMETERS_MAX;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{check_shape, elements_of, f32_of_le, f64_of_le, FileError, FloatBits, NamedTensor};

/// Longest JSON header in bytes: 1,024 tensors with the longest names, and as much metadata.
const HEADER_BYTES_MAX: u64 = 1 << 20;

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<NamedTensor>, FileError> {
    let malformed =
        |reason: String| FileError::Malformed { path: path.into(), format: "safetensors", reason };
    let header_length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    let header_length =
        header_length.ok_or_else(|| malformed(format!("only {} bytes long", bytes.len())))?;
    if header_length > HEADER_BYTES_MAX {
        return Err(malformed(format!(
            "its header claims {header_length} bytes, at most {HEADER_BYTES_MAX} are allowed"
        )));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| malformed(error.to_string()))?;
    let mut elements_left = PARAMETERS_MAX;
    file.tensors()
        .iter()
        .map(|(name, view)| {
            let tensor = read_view(path, name, view, elements_left)?;
            elements_left -= elements_of(&tensor.values) as u64;
            Ok(tensor)
        })
        .collect()
}

fn read_view(
    path: &Path,
    name: &str,
    view: &TensorView<'_>,
    elements_max: u64,
) -> Result<NamedTensor, FileError> {
    let shape: Vec<u64> = view.shape().iter().map(|&length| length as u64).collect();
    check_shape(path, name, &shape, elements_max)?;
    let values = match view.dtype() {
        Dtype::F32 => f32_of_le(view.data()),
        Dtype::F64 => f64_of_le(view.data()),
        other => {
            return Err(FileError::ElementType {
                path: path.into(),
                tensor: name.into(),
                dtype: format!("{other:?}"),
            })
        }
    };
    Ok(NamedTensor { name: name.into(), shape, values })
}

pub(super) fn serialize(tensors: &[NamedTensor]) -> Vec<u8> {
    let data: Vec<(Vec<usize>, Dtype, Vec<u8>)> = tensors
        .iter()
        .map(|tensor| {
            let shape = tensor.shape.iter().map(|&length| length as usize).collect();
            let (kind, bytes) = match &tensor.values {
                FloatBits::F32(bits) => {
                    (Dtype::F32, bits.iter().flat_map(|bits| bits.to_le_bytes()).collect())
                }
                FloatBits::F64(bits) => {
                    (Dtype::F64, bits.iter().flat_map(|bits| bits.to_le_bytes()).collect())
                }
            };
            (shape, kind, bytes)
        })
        .collect();
    let views = tensors.iter().zip(&data).map(|(tensor, (shape, kind, bytes))| {
        let view = TensorView::new(*kind, shape.clone(), bytes)
            .expect("a tensor has as many elements as its shape says");
        (tensor.name.as_str(), view)
    });
    safetensors::serialize(views, &None).expect("writing to memory cannot fail")
}
