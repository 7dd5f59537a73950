//! `fedledger aggregate`: a rule over files, with no network, by the code that the ledger runs.
//!
//! Updates come as a folder or a list of files, one update each (safetensors, npz, npy), or as one
//! n × d matrix (npy, npz), one row an update. They are put on the grid that a task fixes
//! (`--task`), or on one that fits them (see `scale_for` in `grid`), and judged as a round is.

use std::path::PathBuf;

use clap::Args;
use fedledger_contract::aggregate::check_precondition;
use fedledger_contract::canonical::Schema;
use fedledger_contract::judge::{judge, Content, RoundInputs, RoundJudgement, Submission, Terms};
use fedledger_contract::records::TrustRecord;
use fedledger_ledger::decision::{Measure, Reason, RoundFailure, UpdateVerdict};
use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::limits::MEMBERS_MAX;
use fedledger_ledger::task::{AggregationRule, TensorSpec, Weighting};
use ndarray::Array2;
use serde::Serialize;

mod grid;
mod input;
mod rule;

use super::context::Context;
use super::task_file;
use super::words::{failure_words, measure, reason_words, verdict_word};
use crate::exit::{Exit, Failure};
use crate::files::{to_safetensors, write_matrix, write_new, Format, Matrix};
use crate::output::{micro, table, Unit};
use input::Input;
use rule::RuleArgs;

#[derive(Debug, Args)]
pub(super) struct AggregateArgs {
    /// A folder of updates, the updates themselves, or one n × d matrix.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    rule: RuleArgs,
    /// f: how many of the updates the rule is to withstand.
    #[arg(long, value_name = "F", required_unless_present = "task")]
    byzantine: Option<u32>,
    /// Take rule, f, tensors, scales and thresholds from a task file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rule", "before", "byzantine", "scale_bits"])]
    task: Option<PathBuf>,
    /// Binary digits behind the point of the grid [default: the finest that fits the updates].
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    scale_bits: Option<i8>,
    /// Which array of an .npz file is the matrix, when it holds several.
    #[arg(long, value_name = "NAME")]
    array: Option<String>,
    /// Write the aggregate: NAME.safetensors, or NAME.npy for one vector.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is applied: from a task, or from the options.
struct Plan {
    rule: AggregationRule,
    terms: Terms,
    tensors: Vec<TensorSpec>,
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Line {
    /// File, or row of the matrix.
    update: String,
    verdict: &'static str,
    reason: Reason,
    /// The reason in words.
    explanation: String,
    weight_micro: u32,
    value: u64,
    threshold: u64,
    measures: Vec<(Measure, u64)>,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    rule: AggregationRule,
    byzantine: usize,
    parameters: usize,
    tensors: Vec<TensorSpec>,
    updates: Vec<Line>,
    /// Digest of the aggregate in canonical bytes; absent when there is none.
    aggregate: Option<Digest>,
    /// Why there is none.
    failure: Option<RoundFailure>,
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &AggregateArgs) -> Result<Exit, Failure> {
    if let Some(out) = &args.out {
        Format::of_path(out)?;
    }
    let bar = context.output.progress(args.paths.len() as u64, "reading", Unit::Things);
    let input = Input::read(&args.paths, args.array.as_deref(), &bar)?;
    bar.finish_and_clear();
    let n = input.updates.len();
    if n > MEMBERS_MAX {
        let message = format!("{n} updates were given, at most {MEMBERS_MAX} can be aggregated");
        return Err(Failure::usage(message));
    }
    let plan = plan(args, &input)?;
    check_precondition(&plan.rule, n, plan.terms.byzantine).map_err(Failure::usage)?;
    let schema = Schema::of_tensors(&plan.tensors).map_err(Failure::usage)?;
    let (judgement, faults) = judge_input(&plan, &schema, &input);
    let answer = answer(args, &plan, &schema, &input, &judgement, &faults)?;
    context.output.print(&answer, text)?;
    Ok(if answer.failure.is_some() { Exit::Refused } else { Exit::Ok })
}

fn plan(args: &AggregateArgs, input: &Input) -> Result<Plan, Failure> {
    if let Some(path) = &args.task {
        let spec = task_file::read(path)?.spec;
        let terms = Terms::from(&spec);
        return Ok(Plan { rule: spec.rule, terms, tensors: spec.tensors });
    }
    let rule = args.rule.rule().expect("clap requires it without a task");
    let terms = Terms {
        byzantine: args.byzantine.expect("clap requires it without a task") as usize,
        updates_min: 1,
        weighting: Weighting::Uniform,
        norm_band: None,
        trust: Some(fedledger_contract::profile::TRUST),
    };
    Ok(Plan { rule, terms, tensors: grid::tensors_for(input, args.scale_bits) })
}

/// Puts every update on the grid and judges them. What is not on it is refused by the contract as
/// it is in a round; why is told beside.
fn judge_input(
    plan: &Plan,
    schema: &Schema,
    input: &Input,
) -> (RoundJudgement, Vec<Option<String>>) {
    let mut rows: Vec<i32> = Vec::new();
    let mut submissions = Vec::new();
    let mut faults = Vec::new();
    let mut free_row = 0;
    for (order, update) in input.updates.iter().enumerate() {
        let (content, digest, fault) = match schema.quantise(&update.tensors) {
            Ok(values) => {
                let digest = schema.digest_of(&values).expect("quantised values are canonical");
                rows.extend(values);
                free_row += 1;
                (Content::Row(free_row - 1), Some(digest), None)
            }
            Err(error) => (Content::refused(Reason::SchemaMismatch), None, Some(error.to_string())),
        };
        faults.push(fault);
        submissions.push(Submission {
            // Ties break on the order in which the updates are given, as they do on member ids.
            member: MemberId::new(format!("row-{order:04}")).expect("a valid id"),
            update: digest,
            order: order as u64,
            num_examples: 1,
            trust: TrustRecord::default(),
            content,
        });
    }
    let values = Array2::from_shape_vec((free_row, schema.parameters()), rows)
        .expect("each quantised update has one value a parameter");
    let inputs = RoundInputs {
        terms: plan.terms.clone(),
        submissions,
        values,
        norm_history: Vec::new(),
        start: None,
        quarantined_absent: 0,
        past: None,
    };
    (judge(&plan.rule, inputs), faults)
}

fn answer(
    args: &AggregateArgs,
    plan: &Plan,
    schema: &Schema,
    input: &Input,
    judgement: &RoundJudgement,
    faults: &[Option<String>],
) -> Result<Answer, Failure> {
    let lines = judgement.verdicts.iter().zip(&input.updates).zip(faults);
    let updates = lines
        .map(|((verdict, update), fault)| line(&update.label, verdict, fault.as_deref()))
        .collect();
    let mut answer = Answer {
        rule: plan.rule.clone(),
        byzantine: plan.terms.byzantine,
        parameters: schema.parameters(),
        tensors: plan.tensors.clone(),
        updates,
        aggregate: None,
        failure: None,
        out: None,
    };
    match &judgement.aggregate {
        Err(failure) => answer.failure = Some(*failure),
        Ok(values) => {
            let canonical = "an aggregate of canonical updates is canonical";
            answer.aggregate = Some(schema.digest_of(values).expect(canonical));
            if let Some(out) = &args.out {
                let tensors = schema.dequantise(values).expect(canonical);
                write_out(out, tensors)?;
                answer.out = Some(out.clone());
            }
        }
    }
    Ok(answer)
}

fn write_out(
    out: &std::path::Path,
    mut tensors: Vec<crate::files::NamedTensor>,
) -> Result<(), Failure> {
    match Format::of_path(out)? {
        Format::Safetensors => write_new(out, &to_safetensors(&tensors))?,
        Format::Npy if tensors.len() == 1 => {
            let tensor = tensors.remove(0);
            let columns = tensor.shape.iter().product::<u64>() as usize;
            write_matrix(out, &Matrix { rows: 1, columns, values: tensor.values })?;
        }
        Format::Npy | Format::Npz => {
            let message = format!("{}: expected a name ending in .safetensors", out.display());
            return Err(Failure::usage(message).hint(".npy is for updates that are one vector"));
        }
    }
    Ok(())
}

fn line(label: &str, verdict: &UpdateVerdict, fault: Option<&str>) -> Line {
    Line {
        update: label.to_owned(),
        verdict: verdict_word(verdict.verdict),
        reason: verdict.reason,
        explanation: fault.map_or_else(|| reason_words(verdict), str::to_owned),
        weight_micro: verdict.weight_micro,
        value: verdict.value,
        threshold: verdict.threshold,
        measures: [Measure::Norm, Measure::Distance, Measure::RuleScore, Measure::CosineMicro]
            .into_iter()
            .filter_map(|kind| Some((kind, measure(verdict, kind)?)))
            .collect(),
    }
}

fn text(answer: &Answer) -> String {
    let rows: Vec<Vec<String>> = answer
        .updates
        .iter()
        .map(|line| {
            let distance = line.measures.iter().find(|(kind, _)| *kind == Measure::Distance);
            vec![
                line.update.clone(),
                line.verdict.into(),
                micro(line.weight_micro.into(), 4),
                distance.map_or("-".into(), |(_, distance)| distance.to_string()),
                line.explanation.clone(),
            ]
        })
        .collect();
    let mut told = table(&["update", "verdict", "weight", "distance", "reason"], &rows);
    told += &format!(
        "\n{} updates of {} parameters, withstanding {}. Distances are in units of the grid.\n",
        answer.updates.len(),
        answer.parameters,
        answer.byzantine
    );
    if let Some(failure) = answer.failure {
        told += &format!("No aggregate: {}.\n", failure_words(failure));
    }
    if let Some(aggregate) = answer.aggregate {
        told += &format!("Aggregate {aggregate}\n");
    }
    if let Some(out) = &answer.out {
        told += &format!("written to {}\n", out.display());
    }
    told
}
