//! A task's schema: which tensors, in which order, on which grid.

use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::ids::Digest;
use fedledger_ledger::limits::{
    PARAMETERS_MAX, TENSORS_MAX, TENSOR_DIMENSIONS_MAX, TENSOR_NAME_BYTES_MAX,
};
use fedledger_ledger::task::{TaskSpec, TensorSpec};

use super::quantise::{quantise_f32_bits, quantise_f64_bits, to_f32_bits};
use super::schema_error::{QuantiseError, SchemaError};
use super::{first_out_of_range, CanonicalError, HEADER_BYTES, MAGIC};

/// Least and greatest number of binary digits behind the point.
const SCALE_BITS: std::ops::RangeInclusive<i8> = -32..=48;
/// What is hashed before the tensors, so that a schema's digest means nothing else.
const SCHEMA_DOMAIN: &[u8] = b"fedledger/schema/v1\0";

/// The values of a tensor as the bits of IEEE 754 floats, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloatBits {
    /// Bits of float32 values.
    F32(Vec<u32>),
    /// Bits of float64 values.
    F64(Vec<u64>),
}

impl FloatBits {
    fn len(&self) -> usize {
        match self {
            Self::F32(bits) => bits.len(),
            Self::F64(bits) => bits.len(),
        }
    }
}

/// A tensor of floats as it comes from or goes to a training framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTensor {
    /// Name.
    pub name: String,
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// The values.
    pub values: FloatBits,
}

/// The checked schema of a task. All tensors together have d = [`Schema::parameters`] elements,
/// laid out one tensor after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    tensors: Vec<TensorSpec>,
    /// Offset of each tensor's first element, and d at the end.
    offsets: Vec<usize>,
    digest: Digest,
}

impl QuantiseError {
    /// The tensor at fault.
    pub fn tensor(&self) -> &str {
        match self {
            Self::MissingTensor { tensor, .. }
            | Self::ExtraTensor { tensor, .. }
            | Self::DuplicateTensor { tensor, .. }
            | Self::WrongShape { tensor, .. }
            | Self::WrongLength { tensor, .. }
            | Self::Value { tensor, .. } => tensor,
        }
    }
}

impl Schema {
    /// The schema of a task.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn of(task: &TaskSpec) -> Result<Self, SchemaError> {
        Self::of_tensors(&task.tensors)
    }

    /// The schema of a list of tensors.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn of_tensors(tensors: &[TensorSpec]) -> Result<Self, SchemaError> {
        if tensors.is_empty() {
            return Err(SchemaError::NoTensors);
        }
        if tensors.len() > TENSORS_MAX {
            return Err(SchemaError::TooManyTensors { max: TENSORS_MAX, found: tensors.len() });
        }
        let mut offsets = vec![0];
        let mut total = 0u64;
        for (position, tensor) in tensors.iter().enumerate() {
            check_tensor(position, tensor)?;
            if let Some(previous) = position.checked_sub(1).map(|before| &tensors[before]) {
                if previous.name.as_bytes() >= tensor.name.as_bytes() {
                    return Err(SchemaError::NotSorted {
                        name: tensor.name.clone(),
                        previous: previous.name.clone(),
                    });
                }
            }
            total = tensor
                .elements()
                .and_then(|elements| total.checked_add(elements))
                .filter(|&sum| sum <= PARAMETERS_MAX)
                .ok_or_else(|| SchemaError::TooManyParameters {
                    tensor: tensor.name.clone(),
                    max: PARAMETERS_MAX,
                })?;
            offsets.push(usize::try_from(total).expect("50 million fit a usize of 32 bits"));
        }
        let tensors = tensors.to_vec();
        let digest = Digest::of(&[SCHEMA_DOMAIN, &to_canonical(&tensors)].concat());
        Ok(Self { tensors, offsets, digest })
    }

    /// d: the number of parameters over all tensors.
    pub fn parameters(&self) -> usize {
        *self.offsets.last().expect("offsets end with the number of parameters")
    }

    /// Length of the canonical bytes.
    pub fn byte_length(&self) -> u64 {
        (HEADER_BYTES + 4 * self.parameters()) as u64
    }

    /// The digest that canonical bytes carry: SHA-256 of `fedledger/schema/v1`, a zero byte, and
    /// the canonical CBOR of the tensors.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The tensors, in name order.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.tensors
    }

    /// The tensor that parameter `index` belongs to, and the element's index in it.
    pub fn locate(&self, index: usize) -> Option<(&TensorSpec, u64)> {
        if index >= self.parameters() {
            return None;
        }
        let position = self.offsets.partition_point(|&offset| offset <= index) - 1;
        Some((&self.tensors[position], (index - self.offsets[position]) as u64))
    }

    /// The model of zeros.
    pub fn zero_model(&self) -> Vec<i32> {
        vec![0; self.parameters()]
    }

    /// The canonical bytes of d values.
    ///
    /// # Errors
    /// When there are not d values, or one is out of range.
    pub fn encode(&self, values: &[i32]) -> Result<Vec<u8>, CanonicalError> {
        if values.len() != self.parameters() {
            return Err(CanonicalError::WrongCount {
                expected: self.parameters(),
                found: values.len(),
            });
        }
        self.check_range(values)?;
        let mut bytes = vec![0; HEADER_BYTES + 4 * values.len()];
        let (header, body) = bytes.split_at_mut(HEADER_BYTES);
        header[..MAGIC.len()].copy_from_slice(&MAGIC);
        header[MAGIC.len()..].copy_from_slice(self.digest.as_bytes());
        for (chunk, value) in body.chunks_exact_mut(4).zip(values) {
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        Ok(bytes)
    }

    /// The digest of the canonical bytes of d values, by which the ledger names them.
    ///
    /// # Errors
    /// When there are not d values, or one is out of range.
    pub fn digest_of(&self, values: &[i32]) -> Result<Digest, CanonicalError> {
        self.encode(values).map(|bytes| Digest::of(&bytes))
    }

    /// The d values of canonical bytes.
    ///
    /// # Errors
    /// For any bytes that [`Schema::encode`] does not give.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<i32>, CanonicalError> {
        // The length is checked before anything is allocated.
        self.check_header(bytes)?;
        let mut values = self.zero_model();
        self.decode_into(bytes, &mut values)?;
        Ok(values)
    }

    /// Decodes into d values that are there already, as a row of an n × d matrix is.
    ///
    /// # Errors
    /// For any bytes that [`Schema::encode`] does not give, or when there is no room for exactly d
    /// values. After an error the values are unspecified.
    pub fn decode_into(&self, bytes: &[u8], values: &mut [i32]) -> Result<(), CanonicalError> {
        self.check_header(bytes)?;
        if values.len() != self.parameters() {
            return Err(CanonicalError::WrongCount {
                expected: self.parameters(),
                found: values.len(),
            });
        }
        for (chunk, value) in bytes[HEADER_BYTES..].chunks_exact(4).zip(values.iter_mut()) {
            *value = i32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        self.check_range(values)
    }

    fn check_header(&self, bytes: &[u8]) -> Result<(), CanonicalError> {
        if bytes.len() as u64 != self.byte_length() {
            return Err(CanonicalError::WrongLength {
                expected: self.byte_length(),
                found: bytes.len() as u64,
            });
        }
        let (magic, rest) = bytes.split_first_chunk::<8>().expect("the length includes the header");
        if *magic != MAGIC {
            return Err(CanonicalError::WrongMagic { expected: MAGIC, found: *magic });
        }
        let (schema, _) = rest.split_first_chunk::<32>().expect("the length includes the header");
        if schema != self.digest.as_bytes() {
            return Err(CanonicalError::WrongSchema {
                expected: self.digest,
                found: Digest(*schema),
            });
        }
        Ok(())
    }

    fn check_range(&self, values: &[i32]) -> Result<(), CanonicalError> {
        let Some(at) = first_out_of_range(values) else { return Ok(()) };
        let (tensor, index) = self.locate(at).expect("there are d values");
        Err(CanonicalError::ValueOutOfRange {
            tensor: tensor.name.clone(),
            index,
            found: values[at],
        })
    }

    /// Brings floats onto the grid: d integers, tensors in name order. The tensors may be given in
    /// any order.
    ///
    /// # Errors
    /// When a tensor is missing, unknown, repeated, or of another shape, or a value is not finite
    /// or out of range. The tensor and the element are named.
    pub fn quantise(&self, given: &[NamedTensor]) -> Result<Vec<i32>, QuantiseError> {
        let mut by_name: Vec<&NamedTensor> = given.iter().collect();
        by_name.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        if let Some(pair) = by_name.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(QuantiseError::DuplicateTensor { tensor: pair[0].name.clone() });
        }
        let has = |name: &str| self.tensors.binary_search_by(|spec| spec.name.as_str().cmp(name));
        if let Some(extra) = by_name.iter().find(|tensor| has(&tensor.name).is_err()) {
            return Err(QuantiseError::ExtraTensor { tensor: extra.name.clone() });
        }
        let mut values = Vec::with_capacity(self.parameters());
        for spec in &self.tensors {
            let found = by_name.binary_search_by(|tensor| tensor.name.as_str().cmp(&spec.name));
            let position =
                found.map_err(|_| QuantiseError::MissingTensor { tensor: spec.name.clone() })?;
            quantise_tensor(spec, by_name[position], &mut values)?;
        }
        Ok(values)
    }

    /// The float32 tensors that d canonical values stand for, exactly, in name order.
    ///
    /// # Errors
    /// When there are not d values, or one is out of range.
    pub fn dequantise(&self, values: &[i32]) -> Result<Vec<NamedTensor>, CanonicalError> {
        if values.len() != self.parameters() {
            return Err(CanonicalError::WrongCount {
                expected: self.parameters(),
                found: values.len(),
            });
        }
        self.check_range(values)?;
        let ranges = self.offsets.windows(2).map(|pair| pair[0]..pair[1]);
        Ok(self
            .tensors
            .iter()
            .zip(ranges)
            .map(|(spec, range)| NamedTensor {
                name: spec.name.clone(),
                shape: spec.shape.clone(),
                values: FloatBits::F32(
                    values[range].iter().map(|&q| to_f32_bits(q, spec.scale_bits)).collect(),
                ),
            })
            .collect())
    }
}

fn check_tensor(position: usize, tensor: &TensorSpec) -> Result<(), SchemaError> {
    let name_bytes = tensor.name.len();
    if !(1..=TENSOR_NAME_BYTES_MAX).contains(&name_bytes) {
        return Err(SchemaError::NameLength {
            position,
            max: TENSOR_NAME_BYTES_MAX,
            found: name_bytes,
        });
    }
    let name = || tensor.name.clone();
    if tensor.shape.len() > TENSOR_DIMENSIONS_MAX {
        return Err(SchemaError::TooManyDimensions {
            tensor: name(),
            max: TENSOR_DIMENSIONS_MAX,
            found: tensor.shape.len(),
        });
    }
    if let Some(dimension) = tensor.shape.iter().position(|&length| length == 0) {
        return Err(SchemaError::ZeroDimension { tensor: name(), dimension });
    }
    if !SCALE_BITS.contains(&tensor.scale_bits) {
        return Err(SchemaError::ScaleOutOfRange { tensor: name(), found: tensor.scale_bits });
    }
    Ok(())
}

fn quantise_tensor(
    spec: &TensorSpec,
    given: &NamedTensor,
    values: &mut Vec<i32>,
) -> Result<(), QuantiseError> {
    if given.shape != spec.shape {
        return Err(QuantiseError::WrongShape {
            tensor: spec.name.clone(),
            expected: spec.shape.clone(),
            found: given.shape.clone(),
        });
    }
    let expected = spec.elements().expect("a schema's tensors are within the limits");
    if given.values.len() as u64 != expected {
        return Err(QuantiseError::WrongLength {
            tensor: spec.name.clone(),
            shape: spec.shape.clone(),
            expected,
            found: given.values.len() as u64,
        });
    }
    let fail = |index: usize, bits: u64| {
        move |fault| QuantiseError::Value {
            tensor: spec.name.clone(),
            index: index as u64,
            fault,
            bits,
            scale_bits: spec.scale_bits,
        }
    };
    match &given.values {
        FloatBits::F32(all) => {
            for (index, &bits) in all.iter().enumerate() {
                let q = quantise_f32_bits(bits, spec.scale_bits);
                values.push(q.map_err(fail(index, u64::from(bits)))?);
            }
        }
        FloatBits::F64(all) => {
            for (index, &bits) in all.iter().enumerate() {
                let q = quantise_f64_bits(bits, spec.scale_bits);
                values.push(q.map_err(fail(index, bits))?);
            }
        }
    }
    Ok(())
}
