//! Whether a task can work: its schema, its windows, and the rule's precondition at every number of
//! updates that a round may aggregate.

use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::limits::{
    CANDIDATES_MAX, CLASSES_MAX, CLASSES_MIN, CLASS_NAME_BYTES_MAX, ROUNDS_MAX, TASK_BYTES_MAX,
    TEXT_BYTES_MAX, WINDOW_MS_MAX,
};
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, HarmPolicy, HistoryPolicy, NormBand, SwingPolicy, TaskSpec,
    TrustPolicy,
};
use thiserror::Error;

use crate::aggregate::{check_precondition, PreconditionError};
use crate::canonical::{Schema, SchemaError, HEADER_BYTES};
use crate::evaluation::{RETURN_MICRO_MAX, SCORE_MILLI_MAX};

/// Why a task cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TaskFault {
    /// It is longer than a proposal can carry.
    #[error("the task is {found} bytes long, at most {max} are allowed")]
    TooLong {
        /// Its canonical length in bytes.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A number is out of its range.
    #[error("{what} is {found}, expected {min} to {max}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
    },
    /// The tensors make no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// f members can be a majority of the fewest updates that a round aggregates.
    #[error(
        "updates_min is {updates_min}: with f = {byzantine} it must be at least {needed} (2f + 1)"
    )]
    UpdatesMinTooSmall {
        /// The task's `updates_min`.
        updates_min: u32,
        /// The task's f.
        byzantine: u32,
        /// 2f + 1.
        needed: u64,
    },
    /// A rule does not hold at a number of updates that a round may aggregate.
    #[error("with {n} updates and f = {f}: {source}")]
    Precondition {
        /// Number of updates.
        n: usize,
        /// How many of them the rule is to withstand.
        f: usize,
        /// Which precondition fails.
        source: PreconditionError,
    },
    /// The limits of the norm band are not in order.
    #[error(
        "the norm band is {low_milli}, {clip_milli}, {high_milli}: expected \
         low < 1000 <= clip <= high"
    )]
    NormBandOrder {
        /// Its lower limit, in thousandths of the reference.
        low_milli: u32,
        /// Its clipping limit.
        clip_milli: u32,
        /// Its upper limit.
        high_milli: u32,
    },
    /// No cosine can be compared with this.
    #[error("outlier_cosine_milli is {found}, expected -1000 to 1000")]
    OutlierCosine {
        /// Its value.
        found: i32,
    },
    /// A history moves trust, so it needs a trust policy.
    #[error("a history without a trust policy has no effect: give both or neither")]
    HistoryWithoutTrust,
    /// A cell is suspected for what the history keeps.
    #[error("harm is measured of cells that the history suspects: give a history too")]
    HarmWithoutHistory,
    /// Nobody moves together alone.
    #[error("a history finds members that moved together: with f = {byzantine} there are no two")]
    HistoryTooFew {
        /// The task's f.
        byzantine: u32,
    },
    /// Losses by class are asked for one class, or for too many.
    #[error(
        "evaluation.classes has {found} names, expected {CLASSES_MIN} to {CLASSES_MAX}, or none"
    )]
    ClassCount {
        /// Number of names.
        found: usize,
    },
    /// A class has no name, or too long a one.
    #[error(
        "evaluation.classes: name {position} is {found} bytes long, expected 1 to \
         {CLASS_NAME_BYTES_MAX}"
    )]
    ClassNameLength {
        /// Which, from 1.
        position: usize,
        /// Its length in bytes.
        found: usize,
    },
    /// A class's name cannot stand in a sentence.
    #[error("evaluation.classes: name {position} has a control character")]
    ClassNameControl {
        /// Which, from 1.
        position: usize,
    },
    /// Two classes have one name.
    #[error("evaluation.classes has `{name}` twice")]
    RepeatedClass {
        /// The name.
        name: String,
    },
    /// The protected class is none of the classes.
    #[error("evaluation.protected_class is `{name}`, expected one of evaluation.classes")]
    ProtectedClass {
        /// The name.
        name: String,
    },
    /// No harm is measured, so that none can be told by a class.
    #[error("evaluation.protected_class says what tells harm: give evaluation.harm too")]
    ProtectedClassWithoutHarm,
    /// A rule is offered twice.
    #[error("a rule is offered twice as a candidate")]
    RepeatedCandidate,
}

/// Length in bytes of the canonical updates and models of a task whose schema was checked.
pub(crate) fn update_bytes(spec: &TaskSpec) -> u64 {
    let parameters = spec.parameters().expect("the schema was checked when the task was made");
    HEADER_BYTES as u64 + 4 * parameters
}

/// Checks a task for a consortium of `members` active members.
///
/// # Errors
/// The first thing that cannot work; see [`TaskFault`].
pub fn check_task(spec: &TaskSpec, members: usize) -> Result<(), TaskFault> {
    let found = to_canonical(spec).len();
    if found > TASK_BYTES_MAX {
        return Err(TaskFault::TooLong { found, max: TASK_BYTES_MAX });
    }
    in_range("length of the description", spec.description.len() as u64, 0, TEXT_BYTES_MAX as u64)?;
    Schema::of(spec)?;
    in_range("rounds", spec.rounds, 1, ROUNDS_MAX)?;
    in_range("updates_min", u64::from(spec.updates_min), 1, members as u64)?;
    for (what, window_ms) in [
        ("commit_window_ms", spec.commit_window_ms),
        ("reveal_window_ms", spec.reveal_window_ms),
        ("decide_window_ms", spec.decide_window_ms),
    ] {
        in_range(what, window_ms, 1, WINDOW_MS_MAX)?;
    }
    spec.norm_band.as_ref().map_or(Ok(()), check_norm_band)?;
    spec.trust.as_ref().map_or(Ok(()), check_trust)?;
    spec.history.as_ref().map_or(Ok(()), |policy| check_history(spec, policy))?;
    check_rules(spec, members)
}

fn in_range(what: &'static str, found: u64, min: u64, max: u64) -> Result<(), TaskFault> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(TaskFault::OutOfRange { what, found, min, max })
}

fn check_norm_band(band: &NormBand) -> Result<(), TaskFault> {
    let NormBand { low_milli, clip_milli, high_milli } = *band;
    if low_milli < 1000 && 1000 <= clip_milli && clip_milli <= high_milli {
        return Ok(());
    }
    Err(TaskFault::NormBandOrder { low_milli, clip_milli, high_milli })
}

fn check_trust(policy: &TrustPolicy) -> Result<(), TaskFault> {
    // At or under the median distance itself, half of the members would be outliers every round.
    in_range("outlier_milli", u64::from(policy.outlier_milli), 1001, u64::from(u32::MAX))?;
    in_range("strikes_to_quarantine", u64::from(policy.strikes_to_quarantine), 1, 1_000)?;
    in_range("clean_rounds_to_return", u64::from(policy.clean_rounds_to_return), 1, 1_000)?;
    match policy.outlier_cosine_milli {
        Some(found) if !(-1000..=1000).contains(&found) => Err(TaskFault::OutlierCosine { found }),
        _ => Ok(()),
    }
}

fn check_history(spec: &TaskSpec, policy: &HistoryPolicy) -> Result<(), TaskFault> {
    if spec.trust.is_none() {
        return Err(TaskFault::HistoryWithoutTrust);
    }
    if spec.byzantine < 2 {
        return Err(TaskFault::HistoryTooFew { byzantine: spec.byzantine });
    }
    in_range("sketch_width", u64::from(policy.sketch_width), 16, 1_024)?;
    in_range("settle_rounds", u64::from(policy.settle_rounds), 0, 1_000)?;
    in_range("baseline_rounds", u64::from(policy.baseline_rounds), 4, 1_000)?;
    let judged_from = u64::from(policy.settle_rounds) + u64::from(policy.baseline_rounds);
    in_range("rounds", spec.rounds, judged_from + 1, ROUNDS_MAX)?;
    in_range("bond_milli", u64::from(policy.bond_milli), 1_000, 1_000_000)?;
    in_range("shift_milli", u64::from(policy.shift_milli), 1, 1_000_000)?;
    in_range("lead_milli", u64::from(policy.lead_milli), 0, 1_000_000)?;
    in_range("rounds_in_a_row", u64::from(policy.rounds_in_a_row), 1, 1_000)?;
    policy.swings.as_ref().map_or(Ok(()), check_swings)
}

fn check_swings(policy: &SwingPolicy) -> Result<(), TaskFault> {
    in_range("window_rounds", u64::from(policy.window_rounds), 3, 100)?;
    let (correlation, copies) = (policy.correlation_milli, policy.copy_correlation_milli);
    in_range("correlation_milli", u64::from(correlation), 1, 999)?;
    in_range("copy_correlation_milli", u64::from(copies), u64::from(correlation), 999)?;
    let (amplitude, copied) = (policy.amplitude_milli, policy.copy_amplitude_milli);
    in_range("amplitude_milli", u64::from(amplitude), 1, 1_000_000)?;
    in_range("copy_amplitude_milli", u64::from(copied), 1, u64::from(amplitude))?;
    in_range("rounds_in_a_row of the swings", u64::from(policy.rounds_in_a_row), 1, 1_000)
}

fn check_harm(spec: &TaskSpec, policy: &HarmPolicy) -> Result<(), TaskFault> {
    if spec.history.is_none() {
        return Err(TaskFault::HarmWithoutHistory);
    }
    // The first round's update is not counted among what a member usually sends.
    in_range("observed_rounds", u64::from(policy.observed_rounds), 2, 1_000)?;
    in_range("cosine_milli", u64::from(policy.cosine_milli), 1, 1_000)?;
    in_range("allowance_milli", u64::from(policy.allowance_milli), 0, SCORE_MILLI_MAX as u64)?;
    in_range("limit_milli", u64::from(policy.limit_milli), 1, 1_000_000)?;
    let limit = policy.return_micro.map_or(0, u64::from);
    in_range("return_micro", limit, 0, RETURN_MICRO_MAX as u64)?;
    let more = policy.all_rows_milli.map_or(0, u64::from);
    in_range("all_rows_milli", more, 0, 2 * SCORE_MILLI_MAX as u64)
}

/// Checks the names of the classes for which evaluators are to report a loss too.
///
/// # Errors
/// When they are too few, too many, alike, or cannot be read in a sentence.
pub fn check_classes(classes: &[String]) -> Result<(), TaskFault> {
    let found = classes.len();
    if found != 0 && !(CLASSES_MIN..=CLASSES_MAX).contains(&found) {
        return Err(TaskFault::ClassCount { found });
    }
    for (at, name) in classes.iter().enumerate() {
        let (position, found) = (at + 1, name.len());
        if !(1..=CLASS_NAME_BYTES_MAX).contains(&found) {
            return Err(TaskFault::ClassNameLength { position, found });
        }
        if name.chars().any(char::is_control) {
            return Err(TaskFault::ClassNameControl { position });
        }
        if classes[..at].contains(name) {
            return Err(TaskFault::RepeatedClass { name: name.clone() });
        }
    }
    Ok(())
}

fn check_protected_class(evaluation: &EvaluationSpec) -> Result<(), TaskFault> {
    let Some(name) = &evaluation.protected_class else { return Ok(()) };
    if !evaluation.classes.contains(name) {
        return Err(TaskFault::ProtectedClass { name: name.clone() });
    }
    evaluation.harm.map(|_| ()).ok_or(TaskFault::ProtectedClassWithoutHarm)
}

fn check_rules(spec: &TaskSpec, members: usize) -> Result<(), TaskFault> {
    let needed = 2 * u64::from(spec.byzantine) + 1;
    if u64::from(spec.updates_min) < needed {
        let (updates_min, byzantine) = (spec.updates_min, spec.byzantine);
        return Err(TaskFault::UpdatesMinTooSmall { updates_min, byzantine, needed });
    }
    let mut rules: Vec<&AggregationRule> = vec![&spec.rule];
    if let Some(evaluation) = &spec.evaluation {
        in_range("window_ms of the evaluation", evaluation.window_ms, 1, WINDOW_MS_MAX)?;
        rules.extend(&evaluation.candidates);
        evaluation.harm.as_ref().map_or(Ok(()), |policy| check_harm(spec, policy))?;
        check_classes(&evaluation.classes)?;
        check_protected_class(evaluation)?;
        // The model without the suspected cell is one more, that with members in quarantine another.
        let returns = evaluation.harm.and_then(|policy| policy.return_micro);
        let more = usize::from(evaluation.harm.is_some()) + usize::from(returns.is_some());
        let candidates = rules.len() + more;
        in_range("number of candidates", candidates as u64, 1, CANDIDATES_MAX as u64)?;
    }
    for (at, rule) in rules.iter().enumerate() {
        if rules[..at].contains(rule) {
            return Err(TaskFault::RepeatedCandidate);
        }
        let f = spec.byzantine as usize;
        let least = spec.updates_min as usize;
        // Up to f members may be known and left out; then there are fewer updates and fewer to
        // withstand.
        let with_suspects = (1..=f).map(|known| (least - known, f - known));
        for (n, f) in (least..=members).map(|n| (n, f)).chain(with_suspects) {
            check_precondition(rule, n, f).map_err(|source| TaskFault::Precondition {
                n,
                f,
                source,
            })?;
        }
    }
    Ok(())
}
