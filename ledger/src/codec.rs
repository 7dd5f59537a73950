//! Canonical CBOR (RFC 8949 §4.2 with the stricter profile of `docs/spec/encoding.md`).
//!
//! Bytes are trusted only after [`from_canonical`]: the input is bounded, nothing is left over, and
//! encoding the decoded value again gives the very same bytes. That one comparison refuses
//! indefinite lengths, long integers, duplicate, unknown or unsorted keys, and anything else that
//! would let two different byte strings mean the same thing.

use minicbor::{Decode, Encode};
use thiserror::Error;

/// Why bytes were not accepted as the canonical encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The input is longer than the limit of its kind.
    #[error("{what} is {found} bytes long, at most {max} are allowed")]
    TooLong {
        /// The kind of value that was expected.
        what: &'static str,
        /// Length of the input in bytes.
        found: usize,
        /// Longest length allowed in bytes.
        max: usize,
    },
    /// The input is not CBOR of the expected shape, or a field is out of its range.
    #[error("{what} cannot be decoded: {reason}")]
    Malformed {
        /// The kind of value that was expected.
        what: &'static str,
        /// What the decoder found wrong, with its position.
        reason: String,
    },
    /// The input decodes, but it is not the one canonical encoding of what it says.
    #[error("{what} is not canonically encoded: byte {offset} differs from the canonical form")]
    NotCanonical {
        /// The kind of value that was expected.
        what: &'static str,
        /// First offset at which the canonical encoding differs.
        offset: usize,
    },
}

/// Encodes a value. Writing to memory cannot fail.
pub fn to_canonical<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("encoding into a vector is infallible")
}

/// Decodes a value of kind `what` from at most `bytes_max` bytes, and only from its canonical form.
///
/// # Errors
/// See [`CodecError`].
pub fn from_canonical<T>(
    what: &'static str,
    bytes: &[u8],
    bytes_max: usize,
) -> Result<T, CodecError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() > bytes_max {
        return Err(CodecError::TooLong { what, found: bytes.len(), max: bytes_max });
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder
        .decode()
        .map_err(|error| CodecError::Malformed { what, reason: error.to_string() })?;
    let again = to_canonical(&value);
    if again != bytes {
        let offset = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(CodecError::NotCanonical { what, offset });
    }
    Ok(value)
}

/// Implements `Encode` and `Decode` for a checked newtype over text, through `TryFrom<String>`.
macro_rules! text_codec {
    ($type:ty) => {
        impl<C> minicbor::Encode<C> for $type {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(self.as_str())?.ok()
            }
        }
        impl<'b, C> minicbor::Decode<'b, C> for $type {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let text = d.str()?;
                Self::try_from(text.to_owned())
                    .map_err(|error| minicbor::decode::Error::message(error.to_string()))
            }
        }
    };
}
pub(crate) use text_codec;

/// Implements `Encode` and `Decode` for a newtype over `[u8; N]`, as a CBOR byte string.
macro_rules! bytes_codec {
    ($type:ident, $len:expr) => {
        impl<C> minicbor::Encode<C> for $type {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }
        impl<'b, C> minicbor::Decode<'b, C> for $type {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let found = d.bytes()?;
                <[u8; $len]>::try_from(found).map($type).map_err(|_| {
                    minicbor::decode::Error::message(format!(
                        "{} must be {} bytes, found {}",
                        stringify!($type),
                        $len,
                        found.len()
                    ))
                })
            }
        }
    };
}
pub(crate) use bytes_codec;
