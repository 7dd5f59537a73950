//! Exact integer helpers with one pinned rounding.
//!
//! Every division in this crate that has to round does so **half to even**: to the nearest integer,
//! and to the even one of two that are equally near. Square roots are rounded down. Nothing here
//! depends on the platform, and nothing can overflow within the stated ranges.

mod divide;

use std::cmp::Ordering;

pub use divide::{CountDivider, WeightDivider, WEIGHT_TOTAL_FAST_MAX};

/// `numerator / denominator` rounded half to even.
///
/// # Panics
/// When `denominator` is not positive.
pub fn div_half_even(numerator: i128, denominator: i128) -> i128 {
    assert!(denominator > 0, "the denominator must be positive, found {denominator}");
    let floor = numerator.div_euclid(denominator);
    let rest = numerator.rem_euclid(denominator);
    match rest.cmp(&(denominator - rest)) {
        Ordering::Less => floor,
        Ordering::Greater => floor + 1,
        Ordering::Equal => floor + (floor & 1),
    }
}

/// The greatest integer whose square is at most `value`.
pub fn isqrt_u128(value: u128) -> u64 {
    u64::try_from(value.isqrt()).expect("the root of a 128-bit number has at most 64 bits")
}

/// The median: the middle value, or for an even count the mean of the two middle values, rounded
/// half to even. `None` for no values.
pub fn median_u128(values: &[u128]) -> Option<u128> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    // lower + (upper − lower) / 2 cannot overflow; an odd difference leaves a half to round.
    let floor = lower + (upper - lower) / 2;
    Some(floor + ((upper - lower) & 1 & floor))
}

/// The median of 64-bit values; see [`median_u128`].
pub fn median_u64(values: &[u64]) -> Option<u64> {
    let wide: Vec<u128> = values.iter().map(|&value| u128::from(value)).collect();
    median_u128(&wide)
        .map(|median| u64::try_from(median).expect("a median lies between the values"))
}

/// The product of two 128-bit numbers as (high, low) halves, which compare as the product does.
pub fn wide_mul(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a_high, a_low) = (a >> 64, a & LOW);
    let (b_high, b_low) = (b >> 64, b & LOW);
    let low = a_low * b_low;
    // Each partial product is at most (2^64 − 1)², so that two 64-bit carries still fit.
    let middle = a_high * b_low + (low >> 64);
    let cross = a_low * b_high + (middle & LOW);
    (a_high * b_high + (middle >> 64) + (cross >> 64), (cross << 64) | (low & LOW))
}

/// The greatest common divisor; `gcd(0, x) = x`.
pub fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
