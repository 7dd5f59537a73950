//! Exact scaling, and ratios for people.

use crate::integer::isqrt_u128;

/// Scales `row`, whose sum of squares is `square`, so that its norm is at most `limit`: each value
/// becomes `value · limit / ⌈norm⌉` rounded towards zero, so that rounding never lengthens it.
///
/// Values are below 2^23 in magnitude and norms below 2^37, so products stay below 2^60.
pub(super) fn clip(row: &mut [i32], square: u128, limit: u64) {
    let floor = isqrt_u128(square);
    let norm = floor + u64::from(u128::from(floor) * u128::from(floor) != square);
    if norm <= limit {
        return;
    }
    let (limit, norm) = (limit as i64, norm as i64);
    for value in row {
        *value = (i64::from(*value) * limit / norm) as i32;
    }
}

/// `value / reference` in thousandths, rounded down; the reference is taken as one when it is zero.
pub(super) fn ratio_milli(value: u64, reference: u64) -> u64 {
    let ratio = u128::from(value) * 1000 / u128::from(reference.max(1));
    u64::try_from(ratio).unwrap_or(u64::MAX)
}

/// Whether `value` is over `milli` thousandths of `reference`, exactly.
pub(super) fn is_over(value: u64, milli: u32, reference: u64) -> bool {
    u128::from(value) * 1000 > u128::from(milli) * u128::from(reference)
}
