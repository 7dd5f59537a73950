//! What rules add up, on small matrices of values up to the limit, against 128-bit sums.

use fedledger_contract::aggregate::{
    aggregate_on, bearings, cosine_micro, norms_squared, pairwise_distances_squared, Terms,
};
use fedledger_contract::integer::wide_mul;
use fedledger_contract::judge::{judge, Content, RoundInputs, Submission};
use fedledger_contract::records::TrustRecord;
use fedledger_ledger::decision::{Measure, Reason};
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::task::{AggregationRule, NormBand, PreAggregation, Weighting};
use ndarray::Array2;
use proptest::prelude::*;

use crate::is_half_even;

const VALUE_MAX: i32 = (1 << 23) - 1;

/// Canonical values of every length, often the longest.
fn value() -> impl Strategy<Value = i32> {
    (any::<i32>(), 8u32..=31, 0u8..8).prop_map(|(value, shift, kind)| match kind {
        0 => VALUE_MAX,
        1 => -VALUE_MAX,
        _ => (value >> shift).max(-VALUE_MAX),
    })
}

/// n × d for n up to 6 and d up to 3.
fn rows() -> impl Strategy<Value = Vec<Vec<i32>>> {
    (1usize..=6, 1usize..=3)
        .prop_flat_map(|(n, d)| prop::collection::vec(prop::collection::vec(value(), d), n))
}

fn matrix(rows: &[Vec<i32>]) -> Array2<i32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

fn aggregate(rule: &AggregationRule, rows: &[Vec<i32>], weights: &[u64]) -> Vec<i32> {
    let terms = Terms { f: 0, weights, start: None, seed: 0 };
    aggregate_on(rule, matrix(rows).view(), &terms).expect("the inputs are in range").values
}

fn square_of(a: &[i32], b: &[i32]) -> u128 {
    a.iter().zip(b).map(|(&a, &b)| u128::from(a.abs_diff(b)).pow(2)).sum()
}

proptest! {
    #[test]
    fn means_are_half_even_for_any_weights(
        rows in rows(), weights in prop::collection::vec(any::<u64>(), 6), shift in 0u32..64,
    ) {
        let n = rows.len();
        // Their sum has to fit 64 bits: three bits are left for at most six of them.
        let weights: Vec<u64> = weights[..n].iter().map(|w| (w >> 3 >> shift).max(1)).collect();
        let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
        let found = aggregate(&AggregationRule::Mean, &rows, &weights);
        for (column, &mean) in found.iter().enumerate() {
            let terms = rows.iter().zip(&weights);
            let sum: i128 =
                terms.map(|(row, &weight)| i128::from(row[column]) * i128::from(weight)).sum();
            prop_assert!(is_half_even(sum, total, i128::from(mean)), "{} / {} = {}", sum, total, mean);
        }
    }

    #[test]
    fn medians_and_trimmed_means_are_half_even(rows in rows(), f in 0usize..3) {
        let n = rows.len();
        let f = f.min((n - 1) / 2);
        let terms = Terms { f, weights: &vec![1; n], start: None, seed: 0 };
        let of = |rule| aggregate_on(&rule, matrix(&rows).view(), &terms).expect("in range").values;
        let (median, trimmed) = (of(AggregationRule::Median), of(AggregationRule::TrimmedMean));
        for (column, (&median, &trimmed)) in median.iter().zip(&trimmed).enumerate() {
            let mut values: Vec<i128> = rows.iter().map(|row| i128::from(row[column])).collect();
            values.sort_unstable();
            let middle = values[(n - 1) / 2] + values[n / 2];
            prop_assert!(is_half_even(middle, 2, i128::from(median)));
            let (sum, count) = (values[f..n - f].iter().sum(), (n - 2 * f) as i128);
            prop_assert!(is_half_even(sum, count, i128::from(trimmed)));
        }
    }

    #[test]
    fn squares_are_exact(rows in rows()) {
        let (n, zero) = (rows.len(), vec![0; rows[0].len()]);
        let updates = matrix(&rows);
        let norms: Vec<u128> = rows.iter().map(|row| square_of(row, &zero)).collect();
        prop_assert_eq!(&norms_squared(updates.view()), &norms);
        let to_last: Vec<u128> = rows.iter().map(|row| square_of(row, &rows[n - 1])).collect();
        let (found, square_of_last) = bearings(updates.view(), &rows[n - 1]);
        prop_assert_eq!(square_of_last, norms[n - 1]);
        for ((one, row), distance) in found.iter().zip(&rows).zip(to_last) {
            prop_assert_eq!(one.distance_squared, distance);
            prop_assert_eq!(one.cosine_micro, cosine_micro(row, &rows[n - 1]));
        }
        let pairs: Vec<u128> =
            (0..n * n).map(|at| square_of(&rows[at / n], &rows[at % n])).collect();
        prop_assert_eq!(pairwise_distances_squared(updates.view()), pairs);
    }

    /// c = `cosine_micro`: |c| is the greatest with c²·‖a‖²·‖b‖² ≤ 10^12·⟨a, b⟩².
    #[test]
    fn cosines_are_rounded_toward_zero(rows in rows()) {
        let (a, b) = (&rows[0], &rows[rows.len() - 1]);
        let zero = vec![0; a.len()];
        let (a_square, b_square) = (square_of(a, &zero), square_of(b, &zero));
        let product: i128 = a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum();
        let found = cosine_micro(a, b);
        if a_square == 0 || b_square == 0 {
            prop_assert_eq!(found, 0);
        } else {
            let magnitude = product.unsigned_abs();
            let right = wide_mul(magnitude * 1_000_000_000_000, magnitude);
            let left = |c: u64| wide_mul(u128::from(c).pow(2) * a_square, b_square);
            prop_assert!(left(found.unsigned_abs()) <= right);
            prop_assert!(left(found.unsigned_abs() + 1) > right);
            prop_assert!(found == 0 || (found < 0) == (product < 0));
        }
    }

    /// Clipping before aggregation: the longest row is scaled to the longest of the others, by a
    /// factor with 30 binary digits.
    #[test]
    fn scaled_rows_are_half_even(rows in rows(), long in value()) {
        let d = rows[0].len();
        let mut all = rows[..rows.len().min(2)].to_vec();
        all.push(vec![long; d]);
        let (n, f) = (all.len(), (all.len() - 1) / 2);
        let rule = AggregationRule::PreAggregated {
            stages: vec![PreAggregation::AdaptiveClipping],
            rule: Box::new(AggregationRule::Mean),
        };
        let weights = vec![1; n];
        let terms = Terms { f, weights: &weights, start: None, seed: 0 };
        let found = aggregate_on(&rule, matrix(&all).view(), &terms).expect("in range").values;
        let zero = vec![0; d];
        let norms: Vec<u128> =
            all.iter().map(|row| (square_of(row, &zero) << 38).isqrt()).collect();
        let mut sorted = norms.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let threshold = sorted[2 * f * (n - f) / n];
        for (column, &mean) in found.iter().enumerate() {
            let scaled = all.iter().zip(&norms).map(|(row, &norm)| {
                let q = i128::from(row[column]);
                if norm <= threshold {
                    return q;
                }
                let product = q * ((threshold << 30) / norm) as i128;
                // The two integers next to the quotient, of which one is half-even.
                let floor = product.div_euclid(1 << 30);
                if is_half_even(product, 1 << 30, floor) { floor } else { floor + 1 }
            });
            prop_assert!(is_half_even(scaled.sum(), n as i128, i128::from(mean)));
        }
    }

    /// A clipped update is no longer than the limit, and each of its values is rounded toward zero.
    #[test]
    fn clipped_updates_are_within_the_limit(
        row in prop::collection::vec(value(), 1..4), reference: u64, shift in 0u32..64,
    ) {
        let reference = (reference >> shift).max(1);
        let rows = vec![row.clone()];
        let band = NormBand { low_milli: 0, clip_milli: 1_000, high_milli: u32::MAX };
        let judged = judge(&AggregationRule::Mean, clip_inputs(&rows, band, reference));
        let square = square_of(&row, &vec![0; row.len()]);
        let norm = square.isqrt();
        let verdict = &judged.verdicts[0];
        prop_assert_eq!(verdict.measures[0], (Measure::Norm, norm as u64));
        // The history counts unless the round's own median is outside the band around it.
        let usable = norm * 1_000 <= u128::from(u32::MAX) * u128::from(reference);
        let limit = if usable { u128::from(reference) } else { norm };
        if norm == 0 || norm <= limit {
            prop_assert_eq!(judged.aggregate, Ok(row));
            prop_assert_ne!(verdict.reason, Reason::NormClipped);
        } else {
            let found = judged.aggregate.expect("one update is enough");
            let up = norm + u128::from(norm * norm != square);
            for (&sent, &kept) in row.iter().zip(&found) {
                let exact = u128::from(sent.unsigned_abs()) * limit / up;
                prop_assert_eq!(u128::from(kept.unsigned_abs()), exact);
                prop_assert!(kept == 0 || (kept < 0) == (sent < 0));
            }
            prop_assert!(square_of(&found, &vec![0; row.len()]) <= limit * limit);
            prop_assert_eq!(verdict.reason, Reason::NormClipped);
        }
    }
}

fn clip_inputs(rows: &[Vec<i32>], band: NormBand, reference: u64) -> RoundInputs {
    let submission = Submission {
        member: MemberId::new("m").expect("a letter is an id"),
        update: Some(Digest::of(b"update")),
        order: 0,
        num_examples: 1,
        trust: TrustRecord::default(),
        content: Content::Row(0),
    };
    RoundInputs {
        terms: fedledger_contract::judge::Terms {
            byzantine: 0,
            updates_min: 1,
            weighting: Weighting::Uniform,
            norm_band: Some(band),
            trust: None,
        },
        submissions: vec![submission],
        values: matrix(rows),
        norm_history: vec![reference],
        start: None,
        quarantined_absent: 0,
        past: None,
    }
}
