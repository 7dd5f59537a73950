//! The task that a consortium gets unless it asks for another, chosen by measurement.
//!
//! `cargo run --release -p fedledger-sim --example heart_defaults` prints what the choice rests on.

use fedledger_contract::profile::{apply, Profile};
use fedledger_ledger::ids::{Digest, TaskId};
use fedledger_ledger::task::{AggregationRule, TaskSpec, TensorSpec, Weighting};

use crate::model::Training;

/// How members train in a round: one pass in batches of 32, no momentum, classes as they come.
///
/// Short rounds keep honest members close to each other. Balancing classes is not the default: on the
/// four hospitals of the Heart Disease data, where the prevalence of a site is information, it costs
/// plain averaging 0.005 to 0.02 of AUC and the default rule up to 0.01 (the example prints both).
pub const TRAINING: Training = Training {
    epochs: 1,
    batch_size: 32,
    learning_rate: 0.05,
    l2: 1e-3,
    momentum: 0.0,
    class_balanced: false,
};

/// Rounds that small tabular tasks take.
pub const ROUNDS: u64 = 30;

/// The default task for `members` members: the contract's balanced profile, which see, f = ⌊(n − 1)/3⌋
/// and windows of a minute.
pub fn task(
    id: TaskId,
    description: impl Into<String>,
    members: usize,
    tensors: Vec<TensorSpec>,
    initial_model: Digest,
    rounds: u64,
) -> TaskSpec {
    let task = TaskSpec {
        id,
        description: description.into(),
        tensors,
        initial_model,
        rounds,
        rule: AggregationRule::Mean,
        byzantine: 0,
        weighting: Weighting::Uniform,
        norm_band: None,
        trust: None,
        evaluation: None,
        updates_min: 1,
        commit_window_ms: 60_000,
        reveal_window_ms: 60_000,
        decide_window_ms: 60_000,
        history: None,
    };
    apply(Profile::Balanced, task, members)
}

#[cfg(test)]
mod tests {
    use fedledger_contract::task_check::check_task;
    use fedledger_ledger::ids::{Digest, TaskId};

    use super::task;
    use crate::model::ModelSpec;

    #[test]
    fn the_contract_accepts_the_default_task_at_every_size() {
        let tensors = ModelSpec::Mlp { features: 30, hidden: 16 }.tensor_specs();
        for members in 1..=128 {
            let id = TaskId::new("task").expect("a good id");
            let task = task(id, "any", members, tensors.clone(), Digest([0; 32]), 30);
            assert_eq!(check_task(&task, members), Ok(()), "{members}");
            assert_eq!(task.byzantine as usize, (members - 1) / 3);
        }
    }
}
