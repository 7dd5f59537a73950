//! From IEEE 754 bits to scaled integers and back, in integer arithmetic alone.
//!
//! A finite float is m · 2^e with an integer m; its integer on the grid of step 2^-scale_bits is
//! m · 2^(e + scale_bits), rounded half to even. No float operation takes part, so that every
//! machine gives the same integer.

use thiserror::Error;

/// Magnitudes of canonical integers are below this, so that a float32 holds each of them exactly.
pub const VALUE_LIMIT: i32 = 1 << 23;

/// Why a float has no canonical integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuantiseFault {
    /// Not a number.
    #[error("value is not a number")]
    NaN,
    /// Positive or negative infinity.
    #[error("value is infinite")]
    Infinite,
    /// Rounded to the grid its magnitude is 2^23 or more.
    #[error("value is out of range")]
    OutOfRange,
}

/// The integer of a float32 given by its bits, on the grid of step 2^-scale_bits.
///
/// Rounds half to even; both zeros give 0.
///
/// # Errors
/// For NaN, infinities, and values whose integer would not be below 2^23 in magnitude.
pub fn quantise_f32_bits(bits: u32, scale_bits: i8) -> Result<i32, QuantiseFault> {
    let field = (bits >> 23) & 0xff;
    let fraction = u64::from(bits & 0x7f_ffff);
    let negative = bits >> 31 == 1;
    match field {
        0xff if fraction != 0 => Err(QuantiseFault::NaN),
        0xff => Err(QuantiseFault::Infinite),
        0 => on_grid(negative, fraction, -149 + i32::from(scale_bits)),
        _ => on_grid(negative, fraction | 1 << 23, field as i32 - 150 + i32::from(scale_bits)),
    }
}

/// The integer of a float64 given by its bits; see [`quantise_f32_bits`].
///
/// # Errors
/// For NaN, infinities, and values whose integer would not be below 2^23 in magnitude.
pub fn quantise_f64_bits(bits: u64, scale_bits: i8) -> Result<i32, QuantiseFault> {
    let field = (bits >> 52) & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    let negative = bits >> 63 == 1;
    match field {
        0x7ff if fraction != 0 => Err(QuantiseFault::NaN),
        0x7ff => Err(QuantiseFault::Infinite),
        0 => on_grid(negative, fraction, -1074 + i32::from(scale_bits)),
        _ => on_grid(negative, fraction | 1 << 52, field as i32 - 1075 + i32::from(scale_bits)),
    }
}

/// `± mantissa · 2^exponent` rounded half to even, for mantissas below 2^53.
fn on_grid(negative: bool, mantissa: u64, exponent: i32) -> Result<i32, QuantiseFault> {
    let magnitude = if mantissa == 0 {
        0
    } else if exponent >= 23 {
        return Err(QuantiseFault::OutOfRange);
    } else if exponent >= 0 {
        // Below 2^53 · 2^22: a wide type holds it, and the check below refuses it.
        u128::from(mantissa) << exponent
    } else if exponent <= -54 {
        // Below 2^53 / 2^54, which is less than a half.
        0
    } else {
        let shift = exponent.unsigned_abs();
        let floor = mantissa >> shift;
        let rest = mantissa & ((1 << shift) - 1);
        let half = 1u64 << (shift - 1);
        let up = rest > half || (rest == half && floor & 1 == 1);
        u128::from(floor + u64::from(up))
    };
    match i32::try_from(magnitude) {
        Ok(magnitude) if magnitude < VALUE_LIMIT => {
            Ok(if negative { -magnitude } else { magnitude })
        }
        _ => Err(QuantiseFault::OutOfRange),
    }
}

/// The bits of the float32 nearest to `q / 2^scale_bits`.
///
/// Exact for canonical integers and every scale that a task may use. Outside of those the result
/// rounds half to even, becomes subnormal below 2^-126, and is an infinity above the largest float.
pub fn to_f32_bits(q: i32, scale_bits: i8) -> u32 {
    let sign = if q < 0 { 1u32 << 31 } else { 0 };
    let magnitude = u64::from(q.unsigned_abs());
    if magnitude == 0 {
        return 0;
    }
    // The value is magnitude · 2^-scale_bits, its leading bit 2^top.
    let top = magnitude.ilog2() as i32 - i32::from(scale_bits);
    // The last place of the result: 23 bits below the leading one, at least 2^-149.
    let place = (top - 23).max(-149);
    let shift = place + i32::from(scale_bits);
    let units = if shift <= 0 {
        magnitude << shift.unsigned_abs()
    } else if shift > 33 {
        0
    } else {
        let floor = magnitude >> shift;
        let rest = magnitude & ((1 << shift) - 1);
        let half = 1u64 << (shift - 1);
        floor + u64::from(rest > half || (rest == half && floor & 1 == 1))
    };
    // Adding the units to the exponent field lets a carry out of the fraction raise the exponent.
    let field = (place + 149) as u64;
    let bits = (field << 23) + units;
    sign | u32::try_from(bits.min(0xff << 23)).expect("at most the bits of infinity")
}
