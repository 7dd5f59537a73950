//! The integer arithmetic against the definitions, written out in wider numbers: what `integer` has,
//! and what the contract makes of it. `PROPTEST_CASES` says how many cases each property gets;
//! `scripts/arithmetic.sh` asks for a million.
#![allow(missing_docs)]

mod canonical;
mod steps;
mod sums;

use fedledger_contract::integer::{
    div_half_even, gcd, isqrt_u128, median_u128, wide_mul, CountDivider, WeightDivider,
    WEIGHT_TOTAL_FAST_MAX,
};
use proptest::prelude::*;

/// Integers of every length, not only long ones.
fn any_length(bits: u32) -> impl Strategy<Value = u128> {
    (any::<u128>(), 0..=bits)
        .prop_map(|(value, length)| if length == 0 { 0 } else { value >> (128 - length) })
}

/// `quotient` is `numerator / denominator` rounded half to even, by the definition: at most half a
/// unit away, and even when it is exactly that.
fn is_half_even(numerator: i128, denominator: i128, quotient: i128) -> bool {
    let twice_error = 2 * (numerator - quotient * denominator);
    twice_error.abs() < denominator || (twice_error.abs() == denominator && quotient % 2 == 0)
}

proptest! {
    #[test]
    fn division_rounds_half_to_even(
        n in any_length(120), negative: bool, d in any_length(120), tie: bool,
    ) {
        let denominator = (d as i128).max(1);
        let mut numerator = if negative { -(n as i128) } else { n as i128 };
        if tie && d < 1 << 60 {
            // Half an odd multiple.
            let odd = i128::from(n as u32) * 2 + 1;
            numerator = odd * denominator / 2;
        }
        let quotient = div_half_even(numerator, denominator);
        prop_assert!(is_half_even(numerator, denominator, quotient));
        // Symmetric about zero, as truncation and flooring are not.
        prop_assert_eq!(div_half_even(-numerator, denominator), -quotient);
    }

    #[test]
    fn means_of_counts_are_exact(count in 1usize..=128, share in 0u64..=u64::MAX, near: bool) {
        let limit = count as i64 * ((1 << 23) - 1);
        let mut sum = ((i128::from(share) * (2 * limit as i128 + 1)) >> 64) as i64 - limit;
        if near {
            // To a multiple of half the count, where rounding turns.
            sum = (2 * sum / count as i64) * count as i64 / 2;
        }
        let mean = CountDivider::new(count).divide(sum as i32);
        prop_assert!(is_half_even(i128::from(sum), count as i128, i128::from(mean)));
    }

    #[test]
    fn weighted_means_are_exact(total in any_length(39), share: u64, near: bool) {
        let total = (total as u64).clamp(1, WEIGHT_TOTAL_FAST_MAX);
        let limit = i128::from(total) * ((1 << 23) - 1);
        let mut sum = ((i128::from(share) * (2 * limit + 1)) >> 64) - limit;
        if near {
            sum = (2 * sum / i128::from(total)) * i128::from(total) / 2;
        }
        let mean = WeightDivider::new(total).divide(sum as i64);
        prop_assert!(is_half_even(sum, i128::from(total), i128::from(mean)));
    }

    #[test]
    fn roots_are_the_greatest_whose_square_fits(value in any_length(128), square: bool) {
        let value = if square { (value >> 64).pow(2) } else { value };
        for value in [value, value.saturating_add(1), value.saturating_sub(1)] {
            let root = u128::from(isqrt_u128(value));
            prop_assert!(root * root <= value);
            prop_assert!((root + 1).checked_mul(root + 1).is_none_or(|above| above > value));
        }
    }

    #[test]
    fn wide_products_are_exact(a in any_length(128), b in any_length(128)) {
        let (high, low) = wide_mul(a, b);
        prop_assert_eq!(low, a.wrapping_mul(b));
        // (a·b) mod (2^127 − 1) by parts, which the high half takes part in.
        let m = (1u128 << 127) - 1;
        let add = |x: u128, y: u128| (x % m + y % m) % m;
        let double = |x: u128| add(x, x);
        let mut product = 0;
        for bit in (0..128).rev() {
            product = double(product);
            if b >> bit & 1 == 1 {
                product = add(product, a);
            }
        }
        // 2^128 is 2 modulo 2^127 − 1.
        prop_assert_eq!(add(double(high), low), product);
    }

    #[test]
    fn medians_leave_half_on_each_side(values in prop::collection::vec(any_length(128), 1..40)) {
        let median = median_u128(&values).expect("there are values");
        let half = values.len().div_ceil(2);
        prop_assert!(values.iter().filter(|&&value| value <= median).count() >= half
            || values.len() % 2 == 0);
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let (low, high) = (sorted[(values.len() - 1) / 2], sorted[values.len() / 2]);
        prop_assert!((low..=high).contains(&median));
        // Twice the distance to both ends differs by at most the one that rounding moves.
        let (below, above) = (median - low, high - median);
        prop_assert!(below.abs_diff(above) <= 1);
        prop_assert!(below == above || median % 2 == 0);
    }

    #[test]
    fn greatest_common_divisors_divide_and_are_greatest(a: u64, b: u64, common in 1u64..1000) {
        let (a, b) = (a / 1000 * common, b / 1000 * common);
        let divisor = gcd(a, b);
        if a == 0 && b == 0 {
            prop_assert_eq!(divisor, 0);
        } else {
            prop_assert!(a % divisor == 0 && b % divisor == 0);
            prop_assert_eq!(gcd(a / divisor, b / divisor), 1);
            prop_assert_eq!(divisor % common, 0);
        }
    }
}
