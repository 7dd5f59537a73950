//! Quantisation from IEEE 754 bits against the machine's own floats.
#![allow(clippy::disallowed_types, reason = "the reference that the integer code is held to")]
#![allow(missing_docs)]

use fedledger_contract::canonical::{
    quantise_f32_bits, quantise_f64_bits, to_f32_bits, QuantiseFault,
};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `value · 2^scale_bits` rounded half to even. The product with a power of two is exact in f64
/// unless it leaves its range at either end, where the outcome is the same.
fn reference(value: f64, scale_bits: i8) -> Result<i32, QuantiseFault> {
    if value.is_nan() {
        return Err(QuantiseFault::NaN);
    }
    if value.is_infinite() {
        return Err(QuantiseFault::Infinite);
    }
    let rounded = (value * 2f64.powi(i32::from(scale_bits))).round_ties_even();
    if rounded.abs() < 8_388_608.0 {
        Ok(rounded as i32)
    } else {
        Err(QuantiseFault::OutOfRange)
    }
}

fn check(bits: u32, scale_bits: i8) {
    let value = f32::from_bits(bits);
    let expected = reference(f64::from(value), scale_bits);
    assert_eq!(quantise_f32_bits(bits, scale_bits), expected, "{value:e}, {scale_bits}");
}

fn check_wide(bits: u64, scale_bits: i8) {
    let value = f64::from_bits(bits);
    assert_eq!(
        quantise_f64_bits(bits, scale_bits),
        reference(value, scale_bits),
        "{value:e}, {scale_bits}"
    );
}

#[test]
fn any_bits_at_any_scale() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..2_000_000 {
        check(rng.next_u32(), rng.gen());
        check_wide(rng.next_u64(), rng.gen());
    }
}

#[test]
fn values_on_and_around_the_grid_and_its_ties() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..2_000_000 {
        let scale_bits = rng.gen_range(-32i8..=48);
        let digits = rng.gen_range(0..26);
        // Halves of the grid: every other one is a tie. Then a few floats to either side.
        let halves = rng.gen_range(-(1i32 << digits)..=1 << digits);
        let value = f64::from(halves) * 0.5 * 2f64.powi(-i32::from(scale_bits));
        let bits = (value as f32).to_bits();
        let wide = value.to_bits();
        for step in -2i32..=2 {
            check(bits.wrapping_add_signed(step), scale_bits);
            check_wide(wide.wrapping_add_signed(i64::from(step)), scale_bits);
        }
    }
}

#[test]
fn subnormals_zeros_and_the_ends_of_the_range() {
    for scale_bits in i8::MIN..=i8::MAX {
        for sign in [0, 1u32 << 31] {
            for magnitude in [0, 1, 2, 3, 0x7f_ffff, 0x80_0000, 0x7f7f_ffff, 0x7f80_0000] {
                check(sign | magnitude, scale_bits);
            }
            // The largest subnormals and the smallest normals, where the exponent changes meaning.
            for magnitude in 0x7f_ff00..0x80_0100 {
                check(sign | magnitude, scale_bits);
            }
        }
        // Around 2^23 quanta, where values leave the range; 8388607.5 rounds to 2^23.
        let edge = 8_388_607.5 * 2f64.powi(-i32::from(scale_bits));
        for step in -3i64..=3 {
            check_wide(edge.to_bits().wrapping_add_signed(step), scale_bits);
        }
        let edge = (8_388_608.0 * 2f64.powi(-i32::from(scale_bits))) as f32;
        for step in -3i32..=3 {
            check(edge.to_bits().wrapping_add_signed(step), scale_bits);
        }
    }
}

#[test]
fn floats_of_integers_are_the_nearest_and_come_back() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for case in 0..2_000_000u32 {
        let q = if case % 4 == 0 { rng.gen() } else { rng.gen_range(-8_388_607..=8_388_607) };
        let scale_bits: i8 = rng.gen();
        let expected = (f64::from(q) * 2f64.powi(-i32::from(scale_bits))) as f32;
        let bits = to_f32_bits(q, scale_bits);
        assert_eq!(bits, expected.to_bits(), "{q}, {scale_bits}");
        if q.abs() < 8_388_608 && (-32..=48).contains(&scale_bits) {
            assert_eq!(quantise_f32_bits(bits, scale_bits), Ok(q), "{q}, {scale_bits}");
        }
    }
}
