//! Every rule beside this machine's own limits, measured in the same run.
//!
//! `cargo bench -p fedledger-contract --bench aggregation` prints rule × n × d. *limit* is the least
//! time that the hardware allows: the bytes that must be read and written ÷ the measured read
//! bandwidth over the same matrix, or the multiply-adds ÷ the measured peak of the vector units,
//! whichever is longer. Sizes that do not fit half of the free memory are left out and named. Times
//! are the least of several runs, on rayon's threads (`RAYON_NUM_THREADS`).
//!
//! Arguments: `--json` prints one line of JSON for each row;
//! `--only N,D` runs one size.
#![allow(clippy::disallowed_types, reason = "a bench measures time and prints ratios")]
#![allow(clippy::inline_always, reason = "what is not inlined is compiled without vectors")]

use std::hint::black_box;
use std::time::Instant;

use fedledger_contract::aggregate::{
    aggregate, norms_squared, pairwise_distances_squared, Aggregation,
};
use fedledger_ledger::task::{AggregationRule, PreAggregation};
use ndarray::Array2;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

const MEMBERS: [usize; 3] = [10, 25, 50];
const PARAMETERS: [usize; 3] = [100_000, 1_000_000, 10_000_000];

/// What a rule cannot do without.
#[derive(Clone, Copy)]
struct Work {
    /// Passes over all n rows.
    passes: f64,
    /// Multiply-adds for each column, in units of n².
    squares: f64,
}

const PASS: Work = Work { passes: 1.0, squares: 0.0 };
const TWO_PASSES: Work = Work { passes: 2.0, squares: 0.0 };
/// Distances are half of n × n products.
const PAIRS: Work = Work { passes: 1.0, squares: 0.5 };
const PAIRS_AND_PASS: Work = Work { passes: 2.0, squares: 0.5 };
/// Distances, and n × n for the mixing.
const MIXED: Work = Work { passes: 2.0, squares: 1.5 };

fn rules() -> Vec<(&'static str, AggregationRule, Work)> {
    let clip = |iterations| AggregationRule::CenteredClipping { iterations, radius_milli: 1000 };
    let after =
        |stage, rule| AggregationRule::PreAggregated { stages: vec![stage], rule: Box::new(rule) };
    let (nnm, arc) = (PreAggregation::NearestNeighbours, PreAggregation::AdaptiveClipping);
    let buckets = PreAggregation::Bucketing { size: 2 };
    let multi = AggregationRule::MultiKrum { neighbours: None, selected: None };
    let dnc = AggregationRule::DivideAndConquer {
        coordinates: Some(10_000),
        iterations: 5,
        removed_milli: 1000,
    };
    let plus = AggregationRule::FilteredTrimmedMean { iterations: 16 };
    let rfa = AggregationRule::GeometricMedian { iterations: 8 };
    vec![
        ("mean", AggregationRule::Mean, PASS),
        ("median", AggregationRule::Median, PASS),
        ("trimmed_mean", AggregationRule::TrimmedMean, PASS),
        ("krum", AggregationRule::Krum { neighbours: None }, PAIRS),
        ("multi_krum", multi, PAIRS_AND_PASS),
        ("bulyan", AggregationRule::Bulyan, PAIRS_AND_PASS),
        ("geometric_median_8", rfa, PAIRS_AND_PASS),
        ("centered_clipping_1", clip(1), TWO_PASSES),
        ("centered_clipping_3", clip(3), PAIRS_AND_PASS),
        ("tm_plus_plus", plus, PAIRS_AND_PASS),
        ("dnc", dnc, TWO_PASSES),
        ("nnm_trimmed_mean", after(nnm, AggregationRule::TrimmedMean), MIXED),
        ("arc_trimmed_mean", after(arc, AggregationRule::TrimmedMean), TWO_PASSES),
        ("bucketing_median", after(buckets, AggregationRule::Median), PASS),
    ]
}

/// Reads all values once, as fast as this machine does.
struct Read<'a>(&'a [i32]);

impl WithSimd for Read<'_> {
    type Output = i32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> i32 {
        self.0.iter().fold(0i32, |sum, &q| sum.wrapping_add(q))
    }
}

/// Multiply-adds of float32 that stay in registers; the sum, so that they are made.
struct Peak(f32);

/// Vectors that are computed side by side, to hide the latency of one.
const CHAINS: usize = 12;
const ROUNDS: usize = 200_000;

impl WithSimd for Peak {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (factor, term) = (simd.splat_f32s(self.0), simd.splat_f32s(1e-3));
        let mut sums = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        sums.iter().map(|&sum| simd.reduce_sum_f32s(sum)).sum()
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// The least time of a few runs, in seconds.
fn least<T>(bytes: usize, mut run: impl FnMut() -> T) -> f64 {
    let runs = (2_000_000_000 / bytes.max(1)).clamp(3, 15);
    black_box(run());
    let time = |_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(time).fold(f64::INFINITY, f64::min)
}

/// Multiply-adds a second, on all threads.
fn peak() -> f64 {
    let threads = rayon::current_num_threads();
    let arch = Arch::new();
    let each = (CHAINS * ROUNDS * arch.dispatch(Lanes)) as f64;
    let time = least(100_000_000, || {
        (0..threads).into_par_iter().map(|_| arch.dispatch(Peak(black_box(0.999)))).sum::<f32>()
    });
    each * threads as f64 / time
}

fn bytes_free() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.map_or(2 << 30, |kilobytes| kilobytes << 10)
}

/// Values that a sorting network cannot foresee; made in parallel, as 2 GB take a while.
fn updates(n: usize, d: usize) -> Array2<i32> {
    let mut values = vec![0i32; n * d];
    values.par_chunks_mut(1 << 16).enumerate().for_each(|(chunk, values)| {
        let mut state = chunk as u32 ^ 0x9E37_79B9;
        for value in values {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = (state >> 11) as i32 - (1 << 20);
        }
    });
    Array2::from_shape_vec((n, d), values).expect("n · d values")
}

fn print(json: bool, n: usize, d: usize, rule: &str, time: f64, limit: f64) {
    let (ms, limit_ms, ratio) = (1e3 * time, 1e3 * limit, time / limit);
    if json {
        println!(
            "{{\"n\":{n},\"d\":{d},\"rule\":\"{rule}\",\"ms\":{ms:.4},\"limit_ms\":{limit_ms:.4}}}"
        );
    } else {
        println!("{n:>4} {d:>10} {rule:<22} {ms:>10.3} {limit_ms:>10.3} {ratio:>7.2}");
    }
}

fn bench(json: bool, n: usize, d: usize, peak: f64) {
    let f = (n - 3) / 4;
    let updates = updates(n, d);
    let values = updates.as_slice().expect("a fresh array is contiguous");
    let bytes = 4 * values.len();
    let arch = Arch::new();
    let read = least(bytes, || {
        let parts = black_box(values).par_chunks(1 << 16);
        parts.map(|part| arch.dispatch(Read(part))).reduce(|| 0, i32::wrapping_add)
    });
    print(json, n, d, "read", read, read);
    let limit = |work: Work| {
        let memory = work.passes * read + read / n as f64;
        memory.max(work.squares * (n * n) as f64 * d as f64 / peak)
    };
    let run = |rule: &AggregationRule, weights: &[u64]| -> Aggregation {
        aggregate(rule, f, black_box(updates.view()), weights, None).expect("the rule is defined")
    };
    let equal = vec![1u64; n];
    for (name, rule, work) in rules() {
        print(json, n, d, name, least(bytes, || run(&rule, &equal)), limit(work));
    }
    let uneven: Vec<u64> = (0..n as u64).map(|member| 1_000 + 17 * member).collect();
    let time = least(bytes, || run(&AggregationRule::Mean, &uneven));
    print(json, n, d, "mean_weighted", time, limit(PASS));
    let time = least(bytes, || norms_squared(black_box(updates.view())));
    print(json, n, d, "norms", time, limit(PASS));
    let time = least(bytes, || pairwise_distances_squared(black_box(updates.view())));
    print(json, n, d, "pairwise_distances", time, limit(PAIRS));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let only = arguments.iter().position(|argument| argument == "--only");
    let only: Option<Vec<usize>> = only.map(|at| {
        let size = arguments.get(at + 1).expect("--only N,D");
        size.split(',').map(|part| part.parse().expect("--only N,D")).collect()
    });
    let (peak, threads) = (peak(), rayon::current_num_threads());
    if !json {
        println!("{threads} threads, {:.1} billion float32 multiply-adds a second", peak / 1e9);
        println!("   n          d rule                      time ms   limit ms   ratio");
    }
    for d in PARAMETERS {
        for n in MEMBERS {
            if only.as_ref().is_some_and(|only| *only != [n, d]) {
                continue;
            }
            if 8 * n * d > bytes_free() {
                eprintln!("n = {n}, d = {d} does not fit half of the free memory: left out");
                continue;
            }
            bench(json, n, d, peak);
        }
    }
}
