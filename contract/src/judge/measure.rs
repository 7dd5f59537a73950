//! Exact scaling, and ratios for people.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::aggregate::simd;
use crate::integer::isqrt_u128;

/// Values that one thread scales in one go.
const CHUNK: usize = 1 << 14;

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
    let factor = ((u128::from(limit) << FACTOR_BITS) / u128::from(norm)) as u64;
    let scale = |values: &mut [i32]| simd::run(Scale { values, limit, norm, factor });
    row.par_chunks_mut(CHUNK).for_each(scale);
}

/// Binary digits of the quotient that values are multiplied by.
const FACTOR_BITS: u32 = 40;

/// `value · limit / norm` for a limit below the norm.
///
/// The factor ⌊2^40 · limit / norm⌋ is less than one short, and values are below 2^23, so a product
/// is less than 2^23 short of 2^40 times the quotient. Where its last 40 digits leave that much room
/// the digits before them are the quotient; else, once in 2^17 values, it is divided.
struct Scale<'a> {
    values: &'a mut [i32],
    limit: u64,
    norm: u64,
    factor: u64,
}

impl WithSimd for Scale<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "what is not inlined is compiled without vectors")]
    fn with_simd<S: Simd>(self, _: S) {
        const FRACTION: u64 = (1 << FACTOR_BITS) - 1;
        const CLOSE: u64 = FRACTION - (1 << 23);
        let Self { values, limit, norm, factor } = self;
        let mut scaled = [0i32; 64];
        for values in values.chunks_mut(scaled.len()) {
            let mut close = 0u64;
            for (scaled, &value) in scaled.iter_mut().zip(&*values) {
                let product = u64::from(value.unsigned_abs()).wrapping_mul(factor);
                close |= u64::from(product & FRACTION > CLOSE);
                let (quotient, sign) = ((product >> FACTOR_BITS) as i32, value >> 31);
                *scaled = (quotient ^ sign).wrapping_sub(sign);
            }
            if close == 0 {
                values.copy_from_slice(&scaled[..values.len()]);
            } else {
                for value in values {
                    *value = (i64::from(*value) * limit as i64 / norm as i64) as i32;
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn every_value_is_the_quotient_rounded_towards_zero() {
        const LIMIT: i64 = (1 << 23) - 1;
        let values: Vec<i32> = (0..3_000i64)
            .flat_map(|at| [at, 3 * at, LIMIT - at, (at * 2_796_203) % LIMIT, 1 << (at % 23)])
            .flat_map(|value| [value as i32, -value as i32])
            .collect();
        let square: u128 = values.iter().map(|&q| u128::from(q.unsigned_abs()).pow(2)).sum();
        let norm = square.isqrt() as u64 + u64::from(square.isqrt().pow(2) != square);
        // A third and its neighbours: products of multiples of three end just below a whole number.
        for limit in [0, 1, norm / 3 - 1, norm / 3, norm / 3 + 1, norm / 2, norm - 2, norm - 1] {
            let mut clipped = values.clone();
            clip(&mut clipped, square, limit);
            for (&before, &after) in values.iter().zip(&clipped) {
                let exact = i128::from(before) * i128::from(limit) / i128::from(norm);
                assert_eq!(i128::from(after), exact, "{before} · {limit} / {norm}");
            }
        }
    }
}
