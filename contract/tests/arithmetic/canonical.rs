//! Canonical integers: quantisation, and sums of models and aggregates.
#![allow(clippy::disallowed_types, reason = "the reference that the integer code is held to")]

use fedledger_contract::canonical::{
    add_to_model, quantise_f32_bits, quantise_f64_bits, to_f32_bits, QuantiseFault, VALUE_LIMIT,
};
use proptest::prelude::*;

use crate::is_half_even;

/// `mantissa · 2^exponent` on the grid, by the definition: with the exact quotient where it is no
/// integer, and out of range from 2^23 on.
fn is_on_grid(mantissa: i128, exponent: i32, found: Result<i32, QuantiseFault>) -> bool {
    let exact = |q: i32| match exponent {
        // Mantissas are below 2^53: what is shifted further left is out of range unless it is zero.
        64.. => mantissa == 0 && q == 0,
        0.. => mantissa << exponent == i128::from(q),
        // And what is shifted right by more than 60 bits rounds to zero.
        -60..=-1 => is_half_even(mantissa, 1 << -exponent, i128::from(q)),
        _ => q == 0,
    };
    match found {
        Ok(q) => q.abs() < VALUE_LIMIT && exact(q),
        Err(QuantiseFault::OutOfRange) => {
            // Half a quantum below 2^23 rounds to it, since 2^23 is even.
            let limit = 2 * i128::from(VALUE_LIMIT) - 1;
            match exponent {
                64.. => mantissa != 0,
                0.. => 2 * (mantissa.abs() << exponent) >= limit,
                -60..=-1 => 2 * mantissa.abs() >= limit << -exponent,
                _ => false,
            }
        }
        Err(_) => false,
    }
}

proptest! {
    #[test]
    fn float32_comes_to_the_nearest_integer(bits: u32, scale_bits: i8, near: bool, q: i32) {
        // Half of the cases near the grid, the others anywhere.
        let scale_bits = if near { scale_bits.rem_euclid(81) - 32 } else { scale_bits };
        let bits = if near {
            let value = f64::from(q >> 7) / 2f64.powi(i32::from(scale_bits) + 1);
            (value as f32).to_bits().wrapping_add(bits % 5).wrapping_sub(2)
        } else {
            bits
        };
        let value = f32::from_bits(bits);
        let found = quantise_f32_bits(bits, scale_bits);
        if value.is_nan() {
            prop_assert_eq!(found, Err(QuantiseFault::NaN));
        } else if value.is_infinite() {
            prop_assert_eq!(found, Err(QuantiseFault::Infinite));
        } else {
            let (field, fraction) = ((bits >> 23 & 0xff) as i32, i128::from(bits & 0x7f_ffff));
            let mantissa = if field == 0 { fraction } else { fraction | 1 << 23 };
            let mantissa = if bits >> 31 == 1 { -mantissa } else { mantissa };
            let exponent = field.max(1) - 150 + i32::from(scale_bits);
            prop_assert!(is_on_grid(mantissa, exponent, found), "{:e} {} {:?}", value, scale_bits, found);
        }
    }

    #[test]
    fn float64_comes_to_the_nearest_integer(bits: u64, scale_bits: i8, near: bool, q: i64) {
        let scale_bits = if near { scale_bits.rem_euclid(81) - 32 } else { scale_bits };
        let bits = if near {
            let value = (q >> 36) as f64 / 2f64.powi(i32::from(scale_bits) + 3);
            value.to_bits().wrapping_add(bits % 5).wrapping_sub(2)
        } else {
            bits
        };
        let value = f64::from_bits(bits);
        let found = quantise_f64_bits(bits, scale_bits);
        if value.is_nan() {
            prop_assert_eq!(found, Err(QuantiseFault::NaN));
        } else if value.is_infinite() {
            prop_assert_eq!(found, Err(QuantiseFault::Infinite));
        } else {
            let (field, fraction) = ((bits >> 52 & 0x7ff) as i32, i128::from(bits & ((1 << 52) - 1)));
            let mantissa = if field == 0 { fraction } else { fraction | 1 << 52 };
            let mantissa = if bits >> 63 == 1 { -mantissa } else { mantissa };
            let exponent = field.max(1) - 1075 + i32::from(scale_bits);
            prop_assert!(is_on_grid(mantissa, exponent, found), "{:e} {} {:?}", value, scale_bits, found);
        }
    }

    #[test]
    fn a_canonical_integer_survives_as_a_float32(q: i32, scale_bits in -32i8..=48) {
        let q = q >> 8;
        prop_assume!(q > -VALUE_LIMIT);
        prop_assert_eq!(quantise_f32_bits(to_f32_bits(q, scale_bits), scale_bits), Ok(q));
    }

    #[test]
    fn a_model_is_the_sum_or_the_parameter_is_named(
        model in prop::collection::vec(any::<i32>(), 1..6), aggregate: i32, any_bits: bool,
    ) {
        let shift = if any_bits { 0 } else { 9 };
        let model: Vec<i32> = model.iter().map(|value| value >> shift).collect();
        let aggregate: Vec<i32> =
            model.iter().map(|value| aggregate.wrapping_mul(value | 1) >> shift).collect();
        let sums: Vec<i64> =
            model.iter().zip(&aggregate).map(|(&a, &b)| i64::from(a) + i64::from(b)).collect();
        let outside = sums.iter().position(|sum| sum.abs() >= i64::from(VALUE_LIMIT));
        match add_to_model(&model, &aggregate) {
            Ok(found) => {
                prop_assert_eq!(outside, None);
                prop_assert!(found.iter().map(|&sum| i64::from(sum)).eq(sums));
            }
            Err(error) => {
                let named = format!("parameter {}:", outside.expect("a sum leaves the range"));
                prop_assert!(error.to_string().starts_with(&named), "{}", error);
            }
        }
    }
}
