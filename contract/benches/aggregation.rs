//! Time of every rule beside the speed at which this machine reads the same updates.
//!
//! `cargo bench -p fedledger-contract` prints, for each size, first `read`: the sum of all values,
//! which is the memory bandwidth that a rule can at best have, then the rules. All of them report
//! bytes of input per second, so that the ratio of two lines is the ratio to the hardware. The
//! number of threads is rayon's (`RAYON_NUM_THREADS`).
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use fedledger_contract::aggregate::{aggregate, norms_squared, pairwise_distances_squared};
use fedledger_ledger::task::AggregationRule;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Members, parameters, f.
const SIZES: [(usize, usize, usize); 3] =
    [(10, 100_000, 1), (25, 1_000_000, 5), (50, 1_000_000, 11)];

fn rules() -> Vec<(&'static str, AggregationRule)> {
    vec![
        ("mean", AggregationRule::Mean),
        ("median", AggregationRule::Median),
        ("trimmed_mean", AggregationRule::TrimmedMean),
        ("krum", AggregationRule::Krum { neighbours: None }),
        ("multi_krum", AggregationRule::MultiKrum { neighbours: None, selected: None }),
        ("bulyan", AggregationRule::Bulyan),
        ("geometric_median_8", AggregationRule::GeometricMedian { iterations: 8 }),
        (
            "centered_clipping_1",
            AggregationRule::CenteredClipping { iterations: 1, radius_milli: 1000 },
        ),
        (
            "centered_clipping_3",
            AggregationRule::CenteredClipping { iterations: 3, radius_milli: 1000 },
        ),
    ]
}

fn bench(criterion: &mut Criterion) {
    for (n, d, f) in SIZES {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let updates = Array2::from_shape_simple_fn((n, d), || rng.gen_range(-(1 << 20)..(1 << 20)));
        let values = updates.as_slice().expect("a fresh array is contiguous");
        let uniform = vec![1u64; n];
        let weights: Vec<u64> = (0..n as u64).map(|member| 1_000 + 17 * member).collect();

        let mut group = criterion.benchmark_group(format!("n{n}_d{d}"));
        group.throughput(Throughput::Bytes(4 * values.len() as u64));
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        group.warm_up_time(Duration::from_millis(300));
        group.bench_function("read", |bencher| {
            bencher.iter(|| {
                let sum = |part: &[i32]| part.iter().fold(0i32, |sum, &q| sum.wrapping_add(q));
                black_box(values).par_chunks(1 << 16).map(sum).reduce(|| 0, i32::wrapping_add)
            });
        });
        for (name, rule) in rules() {
            group.bench_function(name, |bencher| {
                bencher.iter(|| aggregate(&rule, f, black_box(updates.view()), &uniform, None));
            });
        }
        group.bench_function("mean_weighted", |bencher| {
            let rule = AggregationRule::Mean;
            bencher.iter(|| aggregate(&rule, f, black_box(updates.view()), &weights, None));
        });
        group.bench_function("norms", |bencher| {
            bencher.iter(|| norms_squared(black_box(updates.view())));
        });
        group.bench_function("pairwise_distances", |bencher| {
            bencher.iter(|| pairwise_distances_squared(black_box(updates.view())));
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
