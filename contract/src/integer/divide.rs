//! Division by the same number many times: the means of a million coordinates.
//!
//! Both dividers bias the sum so that it is not negative, multiply by a reciprocal, and round by
//! the remainder. The bias is an even multiple (2^23) of the divisor, so parity, and with it the
//! half-to-even rule, is that of the true quotient.

#![allow(clippy::inline_always, reason = "what is not inlined is compiled without vectors")]

/// Values are below 2^23 in magnitude: the bias that makes any mean of them non-negative.
const BIAS_BITS: u32 = 23;

/// Largest total weight that [`WeightDivider`] divides by: `total · 2^24` stays below 2^63.
pub const WEIGHT_TOTAL_FAST_MAX: u64 = (1 << 39) - 1;

/// Divides sums of `count` values, each below 2^23 in magnitude, by their count.
#[derive(Debug, Clone, Copy)]
pub struct CountDivider {
    count: u32,
    multiplier: u64,
    shift: u32,
}

impl CountDivider {
    /// A divider for 1 to 128 values.
    ///
    /// # Panics
    /// When `count` is outside that range.
    pub fn new(count: usize) -> Self {
        assert!((1..=128).contains(&count), "1 to 128 values can be averaged, found {count}");
        let count = count as u32;
        let ceil_log2 = count.next_power_of_two().trailing_zeros();
        // With M = ⌊2^s / c⌋ + 1 the error M·c − 2^s is at most c, and the biased sum u is below
        // c · 2^24, so u · error < c² · 2^24 ≤ 2^s and ⌊u·M / 2^s⌋ = ⌊u / c⌋ exactly. M is below
        // 2^32, so that the product of two 32-bit numbers is all that is needed.
        let shift = 24 + 2 * ceil_log2;
        Self { count, multiplier: (1u64 << shift) / u64::from(count) + 1, shift }
    }

    /// `sum / count`, rounded half to even.
    #[inline(always)]
    pub fn divide(self, sum: i32) -> i32 {
        let biased = (sum as u32).wrapping_add(self.count << BIAS_BITS);
        let floor = (u64::from(biased).wrapping_mul(self.multiplier) >> self.shift) as u32;
        let twice_rest = biased.wrapping_sub(floor.wrapping_mul(self.count)).wrapping_mul(2);
        // An odd floor turns "more than half" into "half or more".
        let up = u32::from(twice_rest.wrapping_add(floor & 1) > self.count);
        (floor.wrapping_add(up) as i32).wrapping_sub(1 << BIAS_BITS)
    }
}

/// Divides weighted sums of values below 2^23 in magnitude by the total weight.
#[derive(Debug, Clone, Copy)]
pub struct WeightDivider {
    total: u64,
    reciprocal: u32,
    /// Binary digits that the biased sum loses before it is multiplied.
    lost: u32,
    shift: u32,
}

impl WeightDivider {
    /// A divider for a total weight of 1 to [`WEIGHT_TOTAL_FAST_MAX`].
    ///
    /// # Panics
    /// When `total` is outside that range.
    pub fn new(total: u64) -> Self {
        assert!((1..=WEIGHT_TOTAL_FAST_MAX).contains(&total), "total weight {total} out of range");
        // With total < 2^k the biased sum u is below 2^(k + 24). What it loses, less than 2^(k − 8),
        // is less than 2^-7 of the total; the reciprocal ⌊(2^(k + 31) − 1) / total⌋, below 2^32, is
        // short by at most one, which makes less than 2^-7 of a quotient below 2^24. So the estimate
        // is the quotient or one less, and takes one product of two 32-bit numbers.
        let length = u64::BITS - total.leading_zeros();
        let lost = length.saturating_sub(8);
        let reciprocal = (((1u128 << (length + 31)) - 1) / u128::from(total)) as u32;
        Self { total, reciprocal, lost, shift: length + 31 - lost }
    }

    /// `sum / total`, rounded half to even.
    #[inline(always)]
    pub fn divide(self, sum: i64) -> i32 {
        const HALF: u64 = u32::MAX as u64;
        let biased = (sum as u64).wrapping_add(self.total << BIAS_BITS);
        let upper = (biased >> self.lost) & HALF;
        let estimate = upper.wrapping_mul(u64::from(self.reciprocal)) >> self.shift;
        // Below 2^25, as the compiler should know.
        let rest = biased.wrapping_sub((estimate & HALF).wrapping_mul(self.total));
        // All below 2^63, and signed numbers are compared faster.
        let short = u64::from(rest as i64 >= self.total as i64);
        let floor = estimate.wrapping_add(short);
        let twice_rest = rest.wrapping_sub(short.wrapping_mul(self.total)).wrapping_mul(2);
        let up = u64::from(twice_rest.wrapping_add(floor & 1) as i64 > self.total as i64);
        (floor.wrapping_add(up) as i64).wrapping_sub(1 << BIAS_BITS) as i32
    }
}
