//! The task that a consortium gets unless it asks for another, chosen by measurement.
//!
//! `cargo run --release -p fedledger-sim --example heart_defaults` prints what the choice rests on.

use fedledger_ledger::ids::{byzantine_max, Digest, TaskId};
use fedledger_ledger::task::{
    AggregationRule, NormBand, TaskSpec, TensorSpec, TrustPolicy, Weighting,
};

use crate::model::Training;

/// The aggregation rule: centered clipping around the previous aggregate, three iterations, radius
/// equal to the median distance.
pub const RULE: AggregationRule =
    AggregationRule::CenteredClipping { iterations: 3, radius_milli: 1000 };

/// Updates over twice the usual norm are scaled down to it, over six times refused.
pub const NORM_BAND: NormBand = NormBand { low_milli: 50, clip_milli: 2000, high_milli: 6000 };

/// An update further than 1.8 times the median distance is a strike.
pub const TRUST: TrustPolicy =
    TrustPolicy { outlier_milli: 1800, strikes_to_quarantine: 3, clean_rounds_to_return: 10 };

/// How members train in a round: two passes, batches of 32, no momentum, and classes as they come.
pub const TRAINING: Training = Training {
    epochs: 2,
    batch_size: 32,
    learning_rate: 0.05,
    l2: 1e-3,
    momentum: 0.0,
    class_balanced: false,
};

/// Rounds that small tabular tasks take.
pub const ROUNDS: u64 = 30;

/// The default task for `members` members: f = ⌊(n − 1)/3⌋, [`RULE`], [`NORM_BAND`], [`TRUST`], no
/// evaluation phase, and windows of a minute.
pub fn task(
    id: TaskId,
    description: impl Into<String>,
    members: usize,
    tensors: Vec<TensorSpec>,
    initial_model: Digest,
    rounds: u64,
) -> TaskSpec {
    let byzantine = byzantine_max(members) as u32;
    TaskSpec {
        id,
        description: description.into(),
        tensors,
        initial_model,
        rounds,
        rule: RULE,
        byzantine,
        weighting: Weighting::Uniform,
        norm_band: Some(NORM_BAND),
        trust: Some(TRUST),
        evaluation: None,
        updates_min: members as u32 - byzantine,
        commit_window_ms: 60_000,
        reveal_window_ms: 60_000,
        decide_window_ms: 60_000,
    }
}
