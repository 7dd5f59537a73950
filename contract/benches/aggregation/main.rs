//! Every rule beside this machine's own limits, measured in the same run.
//!
//! `cargo bench -p fedledger-contract --bench aggregation` prints rule × n × d. *limit* is the least
//! time that the hardware allows: the bytes that must be read and written ÷ the measured read
//! bandwidth over the same matrix, or the multiply-adds ÷ the measured peak of the vector units,
//! whichever is longer. *memory* is the most that a rule had allocated at one time beyond its result,
//! as a share of the updates. Sizes that do not fit half of the free memory are left out and named.
//! Times are the least of several runs, on rayon's threads (`RAYON_NUM_THREADS`).
//!
//! Arguments, each a list with commas: `--members N`, `--parameters D`, `--rules NAME`; `--bits B`
//! draws values below 2^(B-1) in magnitude (21 without it; 12 are small); `--json` prints one line of
//! JSON for each row.
#![allow(clippy::disallowed_types, reason = "a bench measures time and prints ratios")]
#![allow(clippy::inline_always, reason = "what is not inlined is compiled without vectors")]

mod cases;
mod machine;

use std::hint::black_box;

use fedledger_contract::aggregate::{
    aggregate, norms_squared, pairwise_distances_squared, Aggregation,
};
use fedledger_ledger::task::AggregationRule;
use ndarray::Array2;
use peak_alloc::PeakAlloc;
use rayon::prelude::*;

use cases::{rules, History, Work, PAIRS, PASS};
use machine::least_of;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

struct Arguments {
    members: Vec<usize>,
    parameters: Vec<usize>,
    rules: Option<Vec<String>>,
    bits: u32,
    json: bool,
}

impl Arguments {
    fn read() -> Self {
        let all: Vec<String> = std::env::args().collect();
        let list = |name: &str| -> Option<Vec<String>> {
            let at = all.iter().position(|argument| argument == name)?;
            let values = all.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value"));
            Some(values.split(',').map(str::to_owned).collect())
        };
        let numbers = |name: &str| -> Option<Vec<usize>> {
            let parse = |value: &String| {
                value.parse().unwrap_or_else(|_| panic!("{name}: {value:?} is no number"))
            };
            list(name).map(|values| values.iter().map(parse).collect())
        };
        let bits = numbers("--bits").map_or(21, |bits| bits[0] as u32);
        assert!((2..=24).contains(&bits), "--bits is 2 to 24, found {bits}");
        Self {
            members: numbers("--members").unwrap_or_else(|| vec![10, 25, 50]),
            parameters: numbers("--parameters")
                .unwrap_or_else(|| vec![100_000, 1_000_000, 10_000_000]),
            rules: list("--rules"),
            bits,
            json: all.iter().any(|argument| argument == "--json"),
        }
    }

    fn wants(&self, rule: &str) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.iter().any(|wanted| wanted == rule))
    }
}

/// Values that a sorting network cannot foresee; made in parallel, as 2 GB take a while.
/// `scripts/bench_peers.py` makes the same.
fn updates(n: usize, d: usize, bits: u32) -> Array2<i32> {
    let mut values = vec![0i32; n * d];
    values.par_chunks_mut(1 << 16).enumerate().for_each(|(chunk, values)| {
        let mut state = chunk as u32 ^ 0x9E37_79B9;
        for value in values {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = (state >> (32 - bits)) as i32 - (1 << (bits - 1));
            // The least value of this many bits has no counterpart.
            *value += i32::from(*value == -(1 << (bits - 1)));
        }
    });
    Array2::from_shape_vec((n, d), values).expect("n · d values")
}

/// One size, with what its rows are measured by.
struct Size<'a> {
    arguments: &'a Arguments,
    updates: &'a Array2<i32>,
    /// Seconds to read the updates once.
    read: f64,
    /// Multiply-adds a second.
    peak: f64,
}

impl Size<'_> {
    fn bytes(&self) -> usize {
        4 * self.updates.len()
    }

    fn limit(&self, work: Work) -> f64 {
        let (n, d) = self.updates.dim();
        let memory = work.passes * self.read + self.read / n as f64;
        memory.max(work.squares * (n * n) as f64 * d as f64 / self.peak)
    }

    /// Times something and prints its row.
    fn row<T>(&self, name: &str, limit: f64, result_bytes: usize, mut run: impl FnMut() -> T) {
        self.row_of(name, limit, result_bytes, || (), |()| run());
    }

    /// The same for what needs something of its own each time, which is not timed; its time.
    fn row_of<I, T>(
        &self,
        name: &str,
        limit: f64,
        result_bytes: usize,
        input: impl Fn() -> I,
        mut run: impl FnMut(I) -> T,
    ) -> f64 {
        if !self.arguments.wants(name) {
            return f64::NAN;
        }
        let first = input();
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        black_box(run(first));
        let most = ALLOCATOR.peak_usage().saturating_sub(before);
        let extra = most.saturating_sub(result_bytes) as f64 / self.bytes() as f64;
        let time = least_of(self.bytes(), input, run);
        self.print(name, time, limit, extra);
        time
    }

    fn print(&self, name: &str, time: f64, limit: f64, extra: f64) {
        let (n, d) = self.updates.dim();
        let (ms, limit_ms, ratio, percent) = (1e3 * time, 1e3 * limit, time / limit, 1e2 * extra);
        if self.arguments.json {
            println!(
                "{{\"n\":{n},\"d\":{d},\"rule\":\"{name}\",\"ms\":{ms:.4},\"limit_ms\":{limit_ms:.4},\
                 \"memory_percent\":{percent:.2}}}"
            );
        } else {
            println!(
                "{n:>4} {d:>10} {name:<22} {ms:>10.3} {limit_ms:>10.3} {ratio:>7.2} {percent:>8.2}"
            );
        }
    }
}

fn bench(arguments: &Arguments, n: usize, d: usize, peak: f64) {
    let f = (n - 3) / 4;
    let updates = updates(n, d, arguments.bits);
    let read = machine::read_seconds(updates.as_slice().expect("a fresh array is contiguous"));
    let size = Size { arguments, updates: &updates, read, peak };
    if arguments.json {
        // By which another program knows that it made the same values.
        let sum: i64 = updates.iter().map(|&value| i64::from(value)).sum();
        println!("{{\"n\":{n},\"d\":{d},\"sum\":{sum}}}");
    }
    size.print("read", read, read, 0.0);
    let run = |rule: &AggregationRule, weights: &[u64]| -> Aggregation {
        aggregate(rule, f, black_box(updates.view()), weights, None).expect("the rule is defined")
    };
    let equal = vec![1u64; n];
    for (name, rule, work) in rules() {
        size.row(name, size.limit(work), 4 * d, || run(&rule, &equal));
    }
    let uneven: Vec<u64> = (0..n as u64).map(|member| 1_000 + 17 * member).collect();
    size.row("mean_weighted", size.limit(PASS), 4 * d, || run(&AggregationRule::Mean, &uneven));
    size.row("norms", size.limit(PASS), 0, || norms_squared(black_box(updates.view())));
    let pairs = || pairwise_distances_squared(black_box(updates.view()));
    size.row("pairwise_distances", size.limit(PAIRS), 0, pairs);
    let history = History::of(updates.view());
    let observing = || history.observe(black_box(updates.view()));
    size.row("history_observe", size.limit(PASS), 0, observing);
    let deviations = history.observe(updates.view());
    let advancing = || history.advanced(black_box(&deviations));
    size.row("history_advance", size.limit(PASS), 0, advancing);
    // Norms, distances between all, the rule, distances to the aggregate.
    let limit = size.limit(Work { passes: 4.0, ..PAIRS });
    let decision = |name: &str, remembered: bool| {
        let deciding = |values| history.decide(values, f, remembered);
        size.row_of(name, limit, 4 * d, || updates.clone(), deciding)
    };
    let (without, with) = (decision("decision", false), decision("decision_with_history", true));
    let share = with / without - 1.0;
    if !arguments.json && share.is_finite() {
        println!("{n:>4} {d:>10} the history adds {:.1} % to a decision", 1e2 * share);
    }
}

fn main() {
    let arguments = Arguments::read();
    let (peak, threads) = (machine::peak(), rayon::current_num_threads());
    if arguments.json {
        println!(
            "{{\"threads\":{threads},\"vectors\":\"{}\",\"multiply_adds\":{peak:.4e}}}",
            machine::vectors()
        );
    } else {
        println!(
            "{threads} threads, {} vectors, {:.1} billion float32 multiply-adds a second, values of {} bits",
            machine::vectors(),
            peak / 1e9,
            arguments.bits
        );
        println!("   n          d rule                      time ms   limit ms   ratio memory %");
    }
    for &d in &arguments.parameters {
        for &n in &arguments.members {
            if 8 * n * d > machine::bytes_free() {
                eprintln!("n = {n}, d = {d} does not fit half of the free memory: left out");
                continue;
            }
            bench(&arguments, n, d, peak);
        }
    }
}
