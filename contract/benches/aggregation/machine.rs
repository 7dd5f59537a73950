//! What the machine can do at most: reading a matrix, and multiplying and adding.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Vectors that are computed side by side, to hide the latency of one.
const CHAINS: usize = 12;
const ROUNDS: usize = 200_000;

/// The least time of a few runs over `bytes`, in seconds, after one that does not count.
pub fn least<T>(bytes: usize, mut run: impl FnMut() -> T) -> f64 {
    least_of(bytes, || (), |()| run())
}

/// The same for what needs something of its own each time, which is not timed.
pub fn least_of<I, T>(bytes: usize, input: impl Fn() -> I, mut run: impl FnMut(I) -> T) -> f64 {
    let runs = (2_000_000_000 / bytes.max(1)).clamp(3, 15);
    black_box(run(input()));
    let time = |_| {
        let input = input();
        let start = Instant::now();
        black_box(run(input));
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(time).fold(f64::INFINITY, f64::min)
}

/// Seconds to read all values once, on all threads.
pub fn read_seconds(values: &[i32]) -> f64 {
    let arch = Arch::new();
    least(4 * values.len(), || {
        let parts = black_box(values).par_chunks(1 << 16);
        parts.map(|part| arch.dispatch(Read(part))).reduce(|| 0, i32::wrapping_add)
    })
}

/// Multiply-adds of float32 a second, on all threads.
pub fn peak() -> f64 {
    let threads = rayon::current_num_threads();
    let arch = Arch::new();
    let each = (CHAINS * ROUNDS * arch.dispatch(Lanes)) as f64;
    let time = least(100_000_000, || {
        (0..threads).into_par_iter().map(|_| arch.dispatch(Peak(black_box(0.999)))).sum::<f32>()
    });
    each * threads as f64 / time
}

/// The widest vectors that are used, by name.
pub fn vectors() -> String {
    format!("{:?}", Arch::new()).split('(').next().unwrap_or_default().to_lowercase()
}

/// Memory that can be had, in bytes.
pub fn bytes_free() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.map_or(2 << 30, |kilobytes| kilobytes << 10)
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
