//! A task as people write it: TOML with defaults.
//!
//! The tensors are listed, or taken from a file with the initial model. Without one, training starts
//! from a model of zeros.

use std::path::{Path, PathBuf};

use fedledger_contract::aggregate::check_precondition;
use fedledger_contract::canonical::{NamedTensor, Schema};
use fedledger_contract::profile::{self, Profile};
use fedledger_ledger::ids::{Digest, TaskId};
use fedledger_ledger::limits::MEMBERS_MAX;
use fedledger_ledger::task::{
    AggregationRule, EvaluationSpec, HistoryPolicy, NormBand, TaskSpec, TensorSpec, TrustPolicy,
    Weighting,
};
use serde::Deserialize;

use crate::exit::Failure;
use crate::files::read_tensors;

/// Digits behind the binary point when the file does not say: values to ±128 in steps of 1/65536.
const SCALE_BITS_DEFAULT: i8 = 16;
/// Length of a phase when the file does not say: an hour.
const WINDOW_MS_DEFAULT: u64 = 3_600_000;
/// The file's fields. Unknown ones are refused with their line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    id: TaskId,
    #[serde(default)]
    description: String,
    rounds: u64,
    byzantine: u32,
    /// Settings that belong together, for all that the file does not set itself.
    #[serde(default = "balanced")]
    profile: Profile,
    rule: Option<AggregationRule>,
    weighting: Option<Weighting>,
    norm_band: Option<NormBand>,
    #[serde(default = "yes")]
    trust_enabled: bool,
    trust: Option<TrustPolicy>,
    evaluation: Option<EvaluationSpec>,
    /// Classes whose losses are asked for too, where the evaluation is the profile's.
    #[serde(default)]
    classes: Vec<String>,
    /// The one of these whose loss tells harm.
    protected_class: Option<String>,
    updates_min: Option<u32>,
    #[serde(default = "window_default")]
    commit_window_ms: u64,
    #[serde(default = "window_default")]
    reveal_window_ms: u64,
    #[serde(default = "window_default")]
    decide_window_ms: u64,
    history: Option<HistoryPolicy>,
    /// Scale of tensors that are taken from the model or listed without one.
    #[serde(default = "scale_default")]
    scale_bits: i8,
    /// File with the initial model, relative to the task file.
    model: Option<PathBuf>,
    #[serde(default)]
    tensors: Vec<TensorLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorLine {
    name: String,
    shape: Vec<u64>,
    scale_bits: Option<i8>,
}

fn window_default() -> u64 {
    WINDOW_MS_DEFAULT
}
fn scale_default() -> i8 {
    SCALE_BITS_DEFAULT
}
fn balanced() -> Profile {
    Profile::Balanced
}
fn yes() -> bool {
    true
}

/// A task with the model that it starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedTask {
    /// The task; its `initial_model` is the digest of the bytes.
    pub spec: TaskSpec,
    /// The canonical bytes of the initial model.
    pub initial_model_bytes: Vec<u8>,
}

/// Reads a task file, and the model that it names.
///
/// # Errors
/// When a file cannot be read, a field is wrong (with its line), or the tensors do not fit.
pub fn read(path: &Path) -> Result<ParsedTask, Failure> {
    read_with_model(path, None)
}

/// The same, with the initial model from another file than the one that the task names.
///
/// # Errors
/// See [`read`].
pub fn read_with_model(path: &Path, model: Option<&Path>) -> Result<ParsedTask, Failure> {
    let text = super::genesis::read_input(path)?;
    let file = parse_file(path, &text)?;
    let beside = |name: &PathBuf| path.parent().unwrap_or(Path::new("")).join(name);
    let model = model.map(Path::to_owned).or_else(|| file.model.as_ref().map(beside));
    let tensors = model.as_deref().map(read_tensors).transpose()?;
    finish(path, file, tensors.as_deref())
}

/// Reads a task from text. `path` is where it came from, for messages; `model` the tensors of the
/// initial model, if there is one.
///
/// # Errors
/// See [`read`].
pub fn parse(
    path: &Path,
    text: &str,
    model: Option<&[NamedTensor]>,
) -> Result<ParsedTask, Failure> {
    finish(path, parse_file(path, text)?, model)
}

fn parse_file(path: &Path, text: &str) -> Result<TaskFile, Failure> {
    toml::from_str(text).map_err(|error| {
        Failure::usage(format!("{}: {}", path.display(), error.to_string().trim()))
    })
}

fn finish(
    path: &Path,
    file: TaskFile,
    model: Option<&[NamedTensor]>,
) -> Result<ParsedTask, Failure> {
    let fault = |message: String| Failure::usage(format!("{}: {message}", path.display()));
    if !file.trust_enabled && file.trust.is_some() {
        return Err(fault("`trust` is set although `trust_enabled` is false".into()));
    }
    let tensors = tensor_specs(&file, model).map_err(fault)?;
    let schema = Schema::of_tensors(&tensors).map_err(|error| fault(error.to_string()))?;
    let values = match model {
        Some(model) => schema.quantise(model).map_err(|error| fault(error.to_string()))?,
        None => schema.zero_model(),
    };
    let initial_model_bytes = schema.encode(&values).expect("quantised values are in range");
    let bare = TaskSpec {
        id: file.id,
        description: file.description,
        tensors,
        initial_model: Digest::of(&initial_model_bytes),
        rounds: file.rounds,
        rule: AggregationRule::Mean,
        byzantine: file.byzantine,
        weighting: Weighting::Examples,
        norm_band: None,
        trust: None,
        evaluation: None,
        updates_min: 0,
        commit_window_ms: file.commit_window_ms,
        reveal_window_ms: file.reveal_window_ms,
        decide_window_ms: file.decide_window_ms,
        history: None,
    };
    // For the 3f + 1 members that f asks for.
    let filled = profile::apply(file.profile, bare, 3 * file.byzantine as usize + 1);
    let trust = if file.trust_enabled { file.trust.or(filled.trust) } else { None };
    // What history shows moves trust; without trust there is nothing to move. Harm is measured of
    // cells that the history suspects.
    let history = file.history.or_else(|| filled.history.filter(|_| trust.is_some()));
    let own = file.evaluation.is_some();
    let evaluation =
        file.evaluation.or_else(|| filled.evaluation.clone().filter(|_| history.is_some()));
    let evaluation =
        with_classes(evaluation, own, file.classes, file.protected_class).map_err(fault)?;
    let rule = file.rule.unwrap_or(filled.rule);
    let updates_min = file.updates_min.unwrap_or_else(|| updates_least(&rule, file.byzantine));
    let spec = TaskSpec {
        rule,
        byzantine: file.byzantine,
        weighting: file.weighting.unwrap_or(filled.weighting),
        norm_band: file.norm_band.or(filled.norm_band),
        trust,
        evaluation,
        updates_min,
        history,
        ..filled
    };
    Ok(ParsedTask { spec, initial_model_bytes })
}

/// The profile's evaluation with the classes that the file names beside it; `own` says that the file
/// has an evaluation of its own.
fn with_classes(
    evaluation: Option<EvaluationSpec>,
    own: bool,
    classes: Vec<String>,
    protected_class: Option<String>,
) -> Result<Option<EvaluationSpec>, String> {
    if classes.is_empty() && protected_class.is_none() {
        return Ok(evaluation);
    }
    if own {
        return Err("`classes` and `protected_class` stand beside a profile that evaluates; with \
                    a table `evaluation` they belong into it"
            .into());
    }
    match evaluation {
        None => Err("`classes` is set, and members score nothing: set `evaluation`, or a profile \
                     that does"
            .into()),
        Some(evaluation) => Ok(Some(profile::with_classes(evaluation, classes, protected_class))),
    }
}

/// The honest ones of 3f + 1 members, or more where the rule is not defined for so few.
fn updates_least(rule: &AggregationRule, byzantine: u32) -> u32 {
    let least = byzantine.saturating_mul(2).saturating_add(1);
    let most = byzantine.saturating_mul(4).saturating_add(3).min(MEMBERS_MAX as u32);
    let defined = |n: &u32| check_precondition(rule, *n as usize, byzantine as usize).is_ok();
    (least..=most).find(defined).unwrap_or(least)
}

/// The tensors that are listed, or those of the model; by name.
fn tensor_specs(file: &TaskFile, model: Option<&[NamedTensor]>) -> Result<Vec<TensorSpec>, String> {
    let mut tensors: Vec<TensorSpec> = match (file.tensors.is_empty(), model) {
        (false, _) => file
            .tensors
            .iter()
            .map(|line| TensorSpec {
                name: line.name.clone(),
                shape: line.shape.clone(),
                scale_bits: line.scale_bits.unwrap_or(file.scale_bits),
            })
            .collect(),
        (true, Some(model)) => model
            .iter()
            .map(|tensor| TensorSpec {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                scale_bits: file.scale_bits,
            })
            .collect(),
        (true, None) => {
            return Err("lists no [[tensors]] and names no `model` to take them from".into())
        }
    };
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}
