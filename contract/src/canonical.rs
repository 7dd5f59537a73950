//! Canonical updates and models: the one byte string that a set of tensors has.
//!
//! Bytes: an 8-byte magic with the version, the schema's digest, then every value as a 32-bit
//! little-endian integer, tensors in name order and elements in row-major order;
//! `docs/spec/canonical-update.md` has them exactly. A model is held in the same form on the same
//! grid, so that "model + aggregate" is exact.

pub mod quantise;
mod schema;
mod schema_error;
#[cfg(test)]
mod tests;

use fedledger_ledger::ids::Digest;
use thiserror::Error;

pub use quantise::{quantise_f32_bits, quantise_f64_bits, to_f32_bits, QuantiseFault, VALUE_LIMIT};
pub use schema::{FloatBits, NamedTensor, Schema};
pub use schema_error::{QuantiseError, SchemaError};

/// First bytes of every canonical update and model: a name, and version 1 as little-endian u16.
pub const MAGIC: [u8; 8] = *b"FEDLUP\x01\x00";
/// Length of what precedes the values: the magic and the schema's digest.
pub const HEADER_BYTES: usize = MAGIC.len() + 32;

/// Why bytes are not a canonical update or model of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CanonicalError {
    /// The length is not the one that the schema gives.
    #[error("a canonical update of this schema is {expected} bytes long, found {found}")]
    WrongLength {
        /// Length that the schema gives, in bytes.
        expected: u64,
        /// Length found, in bytes.
        found: u64,
    },
    /// The first eight bytes are not the magic of a version that this code reads.
    #[error("a canonical update starts with {expected:02x?}, found {found:02x?}")]
    WrongMagic {
        /// The magic.
        expected: [u8; 8],
        /// What stands there.
        found: [u8; 8],
    },
    /// The bytes were made for another schema.
    #[error("the update is for schema {found}, expected schema {expected}")]
    WrongSchema {
        /// Digest of this schema.
        expected: Digest,
        /// Digest in the bytes.
        found: Digest,
    },
    /// A value has a magnitude of 2^23 or more.
    #[error("tensor {tensor:?}, element {index}: {found} is out of range, expected |q| < 2^23")]
    ValueOutOfRange {
        /// Name of the tensor.
        tensor: String,
        /// Index of the element in the tensor, row-major.
        index: u64,
        /// The value found.
        found: i32,
    },
    /// The number of values is not the schema's number of parameters.
    #[error("the schema has {expected} parameters, found {found} values")]
    WrongCount {
        /// Number of parameters of the schema.
        expected: usize,
        /// Number of values found.
        found: usize,
    },
}

/// Why a model and an aggregate have no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ModelRangeError {
    /// They do not have the same number of parameters.
    #[error("the model has {model} parameters and the aggregate {aggregate}")]
    WrongLength {
        /// Number of parameters of the model.
        model: usize,
        /// Number of parameters of the aggregate.
        aggregate: usize,
    },
    /// A sum has a magnitude of 2^23 or more, which no canonical model can hold.
    #[error("parameter {index}: {model} + {aggregate} leaves the range |q| < 2^23 of a model")]
    OutOfRange {
        /// Index of the first such parameter over all tensors; `Schema::locate` names its tensor.
        index: usize,
        /// The model's value.
        model: i32,
        /// The aggregate's value.
        aggregate: i32,
    },
}

/// The model that follows from an aggregate, value by value and exactly.
///
/// # Errors
/// When the lengths differ, or a sum has a magnitude of 2^23 or more.
pub fn add_to_model(model: &[i32], aggregate: &[i32]) -> Result<Vec<i32>, ModelRangeError> {
    if model.len() != aggregate.len() {
        return Err(ModelRangeError::WrongLength {
            model: model.len(),
            aggregate: aggregate.len(),
        });
    }
    let sums = model.iter().zip(aggregate).enumerate();
    sums.map(|(index, (&model, &aggregate))| {
        model
            .checked_add(aggregate)
            .filter(|sum| is_in_range(*sum))
            .ok_or(ModelRangeError::OutOfRange { index, model, aggregate })
    })
    .collect()
}

/// Whether a value's magnitude is below 2^23.
pub(crate) fn is_in_range(value: i32) -> bool {
    value.unsigned_abs() < VALUE_LIMIT.unsigned_abs()
}

/// Index of the first value whose magnitude is 2^23 or more. Chunks are tested without a branch.
pub(crate) fn first_out_of_range(values: &[i32]) -> Option<usize> {
    const CHUNK: usize = 1024;
    values.chunks(CHUNK).enumerate().find_map(|(chunk, values)| {
        // Shifted by the limit − 1, the values in range are 0 to 2^24 − 2.
        let any = values
            .iter()
            .map(|&value| (value as u32).wrapping_add(VALUE_LIMIT as u32 - 1))
            .fold(0u32, |any, shifted| any | u32::from(shifted > 0xff_fffe));
        if any == 0 {
            return None;
        }
        let inside = values.iter().position(|&value| !is_in_range(value))?;
        Some(chunk * CHUNK + inside)
    })
}
