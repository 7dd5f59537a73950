//! What can be wrong with a schema, and with floats that are to follow it.

use thiserror::Error;

use super::quantise::QuantiseFault;

/// Why a task's tensors make no schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// There is nothing to train.
    #[error("a task needs at least one tensor")]
    NoTensors,
    /// More tensors than the limit.
    #[error("a task has at most {max} tensors, found {found}")]
    TooManyTensors {
        /// Most tensors allowed.
        max: usize,
        /// Number found.
        found: usize,
    },
    /// A name is empty or too long.
    #[error("the name of tensor {position} has {found} bytes, expected 1 to {max}")]
    NameLength {
        /// Position in the list, from 0.
        position: usize,
        /// Longest name allowed, in bytes.
        max: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// A tensor is not after the one before it in the byte order of names.
    #[error("tensors are sorted by name without repetition, found {name:?} after {previous:?}")]
    NotSorted {
        /// Name of the tensor.
        name: String,
        /// Name of the tensor before it.
        previous: String,
    },
    /// More dimensions than the limit.
    #[error("tensor {tensor:?} has {found} dimensions, at most {max} are allowed")]
    TooManyDimensions {
        /// Name of the tensor.
        tensor: String,
        /// Most dimensions allowed.
        max: usize,
        /// Number found.
        found: usize,
    },
    /// A dimension is zero.
    #[error("tensor {tensor:?} has length 0 in dimension {dimension}, expected at least 1")]
    ZeroDimension {
        /// Name of the tensor.
        tensor: String,
        /// The dimension, from 0.
        dimension: usize,
    },
    /// The scale is outside its range.
    #[error("tensor {tensor:?} has scale_bits {found}, expected -32 to 48")]
    ScaleOutOfRange {
        /// Name of the tensor.
        tensor: String,
        /// The scale found.
        found: i8,
    },
    /// More parameters than the limit, up to and including this tensor.
    #[error("with tensor {tensor:?} the task has more than {max} parameters")]
    TooManyParameters {
        /// Name of the tensor that crosses the limit.
        tensor: String,
        /// Most parameters allowed.
        max: u64,
    },
}

/// Why floats could not be brought into canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantiseError {
    /// A tensor of the schema was not given.
    #[error("tensor {tensor:?} is missing")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor was given that the schema does not have.
    #[error("tensor {tensor:?} is not in the task's schema")]
    ExtraTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor was given twice.
    #[error("tensor {tensor:?} is given more than once")]
    DuplicateTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor has another shape.
    #[error("tensor {tensor:?} has shape {found:?}, expected {expected:?}")]
    WrongShape {
        /// Its name.
        tensor: String,
        /// Shape in the schema.
        expected: Vec<u64>,
        /// Shape found.
        found: Vec<u64>,
    },
    /// A tensor's number of values is not the product of its shape.
    #[error("tensor {tensor:?} has {found} values, its shape {shape:?} has {expected}")]
    WrongLength {
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Number of elements of the shape.
        expected: u64,
        /// Number of values found.
        found: u64,
    },
    /// A value cannot be represented.
    #[error(
        "tensor {tensor:?}, element {index}: {fault} (bits {bits:#x}), expected a finite value of \
         at most 8388607 / 2^{scale_bits} in magnitude"
    )]
    Value {
        /// Name of the tensor.
        tensor: String,
        /// Index of the element in the tensor, row-major.
        index: u64,
        /// What is wrong with it.
        fault: QuantiseFault,
        /// The float's bits.
        bits: u64,
        /// Binary digits behind the point of this tensor.
        scale_bits: i8,
    },
}
