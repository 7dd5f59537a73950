//! One member's baseline and how far it has left it.

use fedledger_ledger::task::HistoryPolicy;
use minicbor::{Decode, Encode};
use serde::Serialize;

use super::returning::ReturnHarm;
use super::sketch::median_i64;
use crate::integer::div_half_even;

/// The weights λ of the latest round in the three means, as fractions.
pub const SCALES: [(i64, i64); 3] = [(3, 10), (1, 10), (3, 100)];

/// Shifts are kept in 2^-20 of a median deviation, eight digits finer than deviations, so that a
/// small λ still moves them.
const FINER_BITS: u32 = 8;

/// The latest round weighs one part in so many in what a member usually sends, once it was observed
/// as often; until then all rounds but the first weigh the same.
pub const USUAL: u32 = 20;

/// Which of [`SCALES`] says where a member is now: about the last ten rounds.
const REBASE_SCALE: usize = 1;

/// Most that a number of a baseline is, in 2^-20 of a median deviation: twice the longest deviation.
/// A moved one is short of it unless the others have moved as far the other way.
const BASELINE_MAX: i64 = 1 << 23;

/// One, in the fixed point of the weights of a mean.
const WEIGHT_ONE: u64 = 1 << 30;

/// After this many rounds the oldest weigh nothing in any of the means: 0.97^1000 < 2^-43.
const ROUNDS_FORGOTTEN: u32 = 1000;

/// One member's past in one task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize)]
#[cbor(map)]
pub struct MemberHistory {
    /// Rounds in which its update was observed.
    #[n(0)]
    pub observed: u32,
    /// While the baseline is made, the sum of its deviations in 2^-12 of a median deviation; then
    /// its mean in 2^-20.
    #[n(1)]
    pub baseline: Vec<i32>,
    /// While the baseline is made, the sum of the squared lengths of its deviations; then their
    /// variance. In 2^-24 of a squared median deviation.
    #[n(2)]
    pub spread: u64,
    /// For each of [`SCALES`], how far it has left its baseline, in 2^-20 of a median deviation.
    #[n(3)]
    pub shifts: Vec<Vec<i32>>,
    /// Rounds in a row in which it was in a cell.
    #[n(4)]
    pub in_cell: u32,
    /// What it usually sends, baseline or not: the mean of its deviations since the second round,
    /// later ones weighing [`USUAL`], in 2^-20 of a median deviation. Kept where harm is measured.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<Vec<i32>>,
    /// What the harm of the cells it was in has added up to, in thousandths of the spread among
    /// evaluators. Kept where harm is measured.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm_milli: Option<u32>,
    /// What evaluators measured of its return since it is in quarantine. Kept where that is measured.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning: Option<ReturnHarm>,
    /// Its latest deviations, as decisions have them, the oldest first: one more than swings are looked
    /// at over. A round in which it sends nothing repeats the one before. Kept where swings are.
    #[n(8)]
    #[cbor(with = "minicbor::bytes", default, skip_if = "Vec::is_empty")]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "fedledger_ledger::decision::hex_bytes::serialize"
    )]
    pub latest: Vec<u8>,
    /// Rounds in a row in which it swung together with others. Kept where swings are.
    #[n(9)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swinging: Option<u32>,
    /// Since it announced that its data change, observed rounds until its new baseline is taken: until
    /// then it is not struck for having left the old one together with others, and is held on
    /// probation in rounds in which it has.
    #[n(10)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<u32>,
    /// Rounds in which it had been observed when its baseline was moved, if it was.
    #[n(11)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebased: Option<u32>,
}

impl MemberHistory {
    /// Rounds since the baseline was complete, or was moved; nothing before.
    pub fn rounds_judged(&self, policy: &HistoryPolicy) -> Option<u32> {
        let complete = policy.settle_rounds + policy.baseline_rounds;
        self.observed.checked_sub(complete.max(self.rebased.unwrap_or(0)))
    }

    /// What is left of it when it begins anew: what evaluators measured of its
    /// cells is not shed with the baseline. Nothing when they measured none.
    pub fn anew(&self) -> Option<Self> {
        let sum = self.harm_milli.filter(|&sum| sum > 0)?;
        Some(Self { harm_milli: Some(sum), ..Self::default() })
    }

    /// What is left of it after a notice that the member's data change: all of it, with an excuse, once
    /// it has a baseline; before, as after [`MemberHistory::anew`].
    pub fn after_notice(self, policy: &HistoryPolicy) -> Option<Self> {
        if self.rounds_judged(policy).is_none() {
            return self.anew();
        }
        Some(Self { excused: Some(policy.settle_rounds + policy.baseline_rounds), ..self })
    }

    /// Counts a round of an excuse, from the beginning again where the member was `found` to have moved
    /// together with others. After the last the new baseline is taken, beside `centre`; without that
    /// the excuse goes on.
    pub(super) fn count_excuse(
        &mut self,
        policy: &HistoryPolicy,
        found: bool,
        centre: Option<&[Vec<i32>]>,
    ) {
        let Some(left) = self.excused else { return };
        let whole = policy.settle_rounds + policy.baseline_rounds;
        match (found, left, centre) {
            (true, ..) => self.excused = Some(whole),
            (false, ..=1, Some(centre)) => self.rebase(centre),
            (false, ..) => self.excused = Some(left.saturating_sub(1).max(1)),
        }
    }

    /// Adds one deviation to what the member usually sends.
    pub(super) fn grow_usual(&mut self, deviation: &[i16]) {
        // The first round's update is like no later one.
        let parts = i128::from(self.observed.min(USUAL));
        if parts == 0 {
            return;
        }
        let usual = self.usual.get_or_insert_with(|| vec![0; deviation.len()]);
        for (mean, &value) in usual.iter_mut().zip(deviation) {
            let away = (i64::from(value) << FINER_BITS) - i64::from(*mean);
            let step = div_half_even(i128::from(away), parts);
            *mean += i32::try_from(step).expect("a mean lies between what it averages");
        }
    }

    /// Adds a deviation to the latest, from the end of settling on: one more than `window_rounds` are
    /// kept. A round in which the member sends nothing repeats the one before.
    pub(super) fn keep_latest(&mut self, window_rounds: u32, sketch: Option<&[u8]>) {
        let bytes = 2 * self.baseline.len();
        let repeated = &self.latest[self.latest.len().saturating_sub(bytes)..];
        let sketch = sketch.map_or_else(|| repeated.to_vec(), <[u8]>::to_vec);
        if bytes > 0 {
            self.latest.extend(sketch);
        }
        let surplus = self.latest.len().saturating_sub((window_rounds as usize + 1) * bytes);
        self.latest.drain(..surplus);
    }

    /// Lets a round's harm count; see [`super::Past::weigh`].
    pub(super) fn add_harm(&mut self, step_milli: i64, most_milli: u32) -> u32 {
        let sum = i64::from(self.harm_milli.unwrap_or(0)) + step_milli;
        let sum = sum.clamp(0, i64::from(most_milli)) as u32;
        self.harm_milli = Some(sum);
        sum
    }

    /// Takes where the member is now for its baseline, as if it had always been there: it is as far
    /// from it as `centre`, the median member's shift at each of [`SCALES`], from its own.
    pub(super) fn rebase(&mut self, centre: &[Vec<i32>]) {
        if self.shifts.len() != centre.len() {
            return;
        }
        let (shift, centre_shift) = (&self.shifts[REBASE_SCALE], &centre[REBASE_SCALE]);
        for ((base, shift), centre) in self.baseline.iter_mut().zip(shift).zip(centre_shift) {
            let moved = i64::from(*base) + i64::from(*shift) - i64::from(*centre);
            *base = moved.clamp(-BASELINE_MAX, BASELINE_MAX) as i32;
        }
        self.shifts = centre.to_vec();
        self.in_cell = 0;
        self.rebased = Some(self.observed);
        self.excused = None;
    }

    /// Adds one deviation.
    pub(super) fn observe(&mut self, policy: &HistoryPolicy, deviation: &[i16]) {
        let before = self.observed;
        self.observed = self.observed.saturating_add(1);
        if before < policy.settle_rounds {
            return;
        }
        if self.baseline.len() != deviation.len() {
            self.baseline = vec![0; deviation.len()];
            self.shifts = vec![vec![0; deviation.len()]; SCALES.len()];
        }
        if before < policy.settle_rounds + policy.baseline_rounds {
            self.extend_baseline(deviation);
            if self.rounds_judged(policy) == Some(0) {
                self.close_baseline(i128::from(policy.baseline_rounds));
            }
            return;
        }
        for (shift, (part, whole)) in self.shifts.iter_mut().zip(SCALES) {
            for ((shift, &base), &value) in shift.iter_mut().zip(&self.baseline).zip(deviation) {
                let away = (i64::from(value) << FINER_BITS) - i64::from(base) - i64::from(*shift);
                let step = div_half_even(i128::from(away * part), i128::from(whole));
                *shift += i32::try_from(step).expect("a mean lies between what it averages");
            }
        }
    }

    /// Sums of at most 1000 values below 2^14 stay below 2^24.
    fn extend_baseline(&mut self, deviation: &[i16]) {
        for (sum, &value) in self.baseline.iter_mut().zip(deviation) {
            *sum += i32::from(value);
        }
        let square = |&value: &i16| i64::from(value).pow(2) as u64;
        self.spread += deviation.iter().map(square).sum::<u64>();
    }

    fn close_baseline(&mut self, rounds: i128) {
        let square: i128 = self.baseline.iter().map(|&sum| i128::from(sum).pow(2)).sum();
        let within = i128::from(self.spread) - div_half_even(square, rounds);
        let variance = div_half_even(within.max(0), rounds - 1);
        self.spread = u64::try_from(variance).expect("a variance is at most the mean square");
        for sum in &mut self.baseline {
            let mean = div_half_even(i128::from(*sum) << FINER_BITS, rounds);
            *sum = i32::try_from(mean).expect("a mean is no longer than its longest term");
        }
    }
}

/// A member's shift at one scale, less the median member's, with its noise.
#[derive(Debug, Clone)]
pub(super) struct Shift {
    /// In 2^-20 of a median deviation.
    pub values: Vec<i64>,
    /// Squared length, in 2^-40.
    pub square: i128,
    /// What noise does to the squared length, in 2^-40, at least 1.
    pub noise: i128,
}

/// The median member's variance, of those standing, at least 1.
pub(super) fn median_spread(histories: &[&MemberHistory], standing: &[usize]) -> u64 {
    let spreads = standing.iter().map(|&at| histories[at].spread as i64).collect();
    median_i64(spreads).max(1) as u64
}

/// The shifts at scale `scale` of `histories`, whose baselines are complete; `standing` are those
/// whose median is taken off.
pub(super) fn shifts(
    histories: &[&MemberHistory],
    standing: &[usize],
    policy: &HistoryPolicy,
    scale: usize,
) -> Vec<Shift> {
    let least = median_spread(histories, standing);
    let width = histories.first().map_or(0, |history| history.baseline.len());
    let centre: Vec<i64> = (0..width)
        .map(|column| {
            let of = |&at: &usize| i64::from(histories[at].shifts[scale][column]);
            median_i64(standing.iter().map(of).collect())
        })
        .collect();
    let shift = |history: &&MemberHistory| {
        let values: Vec<i64> = history.shifts[scale]
            .iter()
            .zip(&centre)
            .map(|(&value, centre)| i64::from(value) - centre)
            .collect();
        let square = values.iter().map(|&value| i128::from(value).pow(2)).sum();
        let rounds = history.rounds_judged(policy).unwrap_or(0);
        let share = noise_share(SCALES[scale], rounds, policy.baseline_rounds);
        let noise = (i128::from(history.spread.max(least)) * i128::from(share)) >> 14;
        Shift { values, square, noise: noise.max(1) }
    };
    histories.iter().map(shift).collect()
}

/// `λ/(2−λ)·(1−(1−λ)^2m) + (1−(1−λ)^m)²/N` in 2^-30, each product rounded down.
fn noise_share((part, whole): (i64, i64), rounds: u32, baseline_rounds: u32) -> u64 {
    let (part, whole) = (part as u64, whole as u64);
    let product = |a: u64, b: u64| a * b / WEIGHT_ONE;
    let keep = WEIGHT_ONE * (whole - part) / whole;
    let rounds = rounds.min(ROUNDS_FORGOTTEN);
    let kept = (0..rounds).fold(WEIGHT_ONE, |kept, _| product(kept, keep));
    let recent = (WEIGHT_ONE - product(kept, kept)) * part / (2 * whole - part);
    recent + product(WEIGHT_ONE - kept, WEIGHT_ONE - kept) / u64::from(baseline_rounds)
}
