//! A grid for updates that come without a task.

use fedledger_contract::canonical::VALUE_LIMIT;
use fedledger_ledger::task::TensorSpec;

use super::input::Input;
use crate::files::{FloatBits, NamedTensor};

/// How far beyond the median update's largest value the grid reaches. Updates beyond it are refused
/// as out of range: one hostile update cannot make the grid coarse for all.
const REACH: f64 = 64.0;
const SCALE_BITS_MIN: i32 = -32;
const SCALE_BITS_MAX: i32 = 48;

/// The tensors of the updates, each on the finest grid that fits it, or on that of `scale_bits`.
/// Names and shapes are those that most updates have, the first of these when there are several.
pub(super) fn tensors_for(input: &Input, scale_bits: Option<i8>) -> Vec<TensorSpec> {
    let layout = |tensors: &[NamedTensor]| -> Vec<(String, Vec<u64>)> {
        tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect()
    };
    let layouts: Vec<_> = input.updates.iter().map(|update| layout(&update.tensors)).collect();
    let count =
        |wanted: &Vec<(String, Vec<u64>)>| layouts.iter().filter(|it| *it == wanted).count();
    // The last of equal maxima is taken by `max_by_key`: reversed, that is the first update's.
    let common = layouts.iter().rev().max_by_key(|layout| count(layout));
    let common = common.cloned().unwrap_or_default();
    let with_layout: Vec<&[NamedTensor]> = input
        .updates
        .iter()
        .zip(&layouts)
        .filter(|(_, layout)| **layout == common)
        .map(|(update, _)| update.tensors.as_slice())
        .collect();
    common
        .into_iter()
        .enumerate()
        .map(|(position, (name, shape))| {
            let magnitudes = with_layout.iter().map(|tensors| magnitude(&tensors[position].values));
            let scale_bits = scale_bits.unwrap_or_else(|| scale_for(magnitudes.collect()));
            TensorSpec { name, shape, scale_bits }
        })
        .collect()
}

/// The largest finite magnitude.
fn magnitude(values: &FloatBits) -> f64 {
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|value| value.is_finite()).fold(0.0f64, |largest, it| largest.max(it.abs()))
    };
    match values {
        FloatBits::F32(bits) => {
            largest(&mut bits.iter().map(|&bits| f64::from(f32::from_bits(bits))))
        }
        FloatBits::F64(bits) => largest(&mut bits.iter().map(|&bits| f64::from_bits(bits))),
    }
}

/// The finest scale on which every magnitude within [`REACH`] of the median one is in range.
pub(super) fn scale_for(mut magnitudes: Vec<f64>) -> i8 {
    magnitudes.sort_by(f64::total_cmp);
    let median = magnitudes.get(magnitudes.len() / 2).copied().unwrap_or(0.0);
    let within = |magnitude: &&f64| **magnitude <= median * REACH;
    let largest = magnitudes.iter().rev().find(within).copied().unwrap_or(0.0);
    if largest == 0.0 {
        return 0;
    }
    let limit = f64::from(VALUE_LIMIT);
    // Rounding to the grid may lift the largest value to the limit, which is out of range already.
    let fits = |bits: &i32| (largest * 2f64.powi(*bits)).round_ties_even() < limit;
    let bits = (SCALE_BITS_MIN..=SCALE_BITS_MAX).rev().find(fits).unwrap_or(SCALE_BITS_MIN);
    i8::try_from(bits).expect("-32 to 48 fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_the_finest_that_holds_the_largest_value() {
        for (largest, bits) in
            [(1.0, 22), (0.999_999, 23), (8_388_607.0, 0), (8_388_608.0, -1), (1e-30, 48)]
        {
            assert_eq!(scale_for(vec![largest]), bits, "{largest}");
        }
        assert_eq!(scale_for(vec![]), 0);
        assert_eq!(scale_for(vec![0.0, 0.0]), 0);
        assert_eq!(scale_for(vec![f64::MAX]), -32);
        // Just under a power of two: rounding half to even would reach the limit.
        assert_eq!(scale_for(vec![1.0 - f64::EPSILON]), 22);
    }

    #[test]
    fn a_hostile_update_does_not_make_the_grid_coarse() {
        assert_eq!(scale_for(vec![0.5, 0.5, 0.5, 1e30]), scale_for(vec![0.5]));
        assert_eq!(scale_for(vec![0.5, 0.5, 0.5, 16.0]), scale_for(vec![16.0]));
    }
}
