//! `fedledger update`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};

use super::context::Context;
use super::words::{
    advice_words, measure, notice_words, reason_words, return_words, suspected_class_words,
    verdict_word,
};
use crate::api::types::{NodeStatus, RoundView, SubmittedUpdate, UpdateView};
use crate::exit::{Exit, Failure};
use crate::files::{read_tensors, Format};
use crate::output::{fields, micro, Unit};

#[derive(Debug, Subcommand)]
pub(super) enum UpdateCommand {
    /// Hand an update (new weights minus base model) to this node, which commits to it.
    Submit(SubmitArgs),
    /// What became of a member's update.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// The update: a .safetensors or .npz file of float32 or float64 tensors.
    file: PathBuf,
    /// The task.
    #[arg(long)]
    task: TaskId,
    /// Number of examples trained on.
    #[arg(long, value_name = "N")]
    num_examples: u64,
    /// The round [default: the open one]. Give it in scripts: an update for a round that has passed
    /// is refused then, rather than committed to the next.
    #[arg(long)]
    round: Option<RoundNumber>,
    /// Claimed differential privacy ε, in thousandths.
    #[arg(long, requires = "delta_neg_log10_milli", requires = "clip_micro")]
    epsilon_milli: Option<u64>,
    /// Claimed differential privacy δ, as -log10 δ in thousandths.
    #[arg(long, requires = "epsilon_milli")]
    delta_neg_log10_milli: Option<u64>,
    /// Claimed clipping norm, in millionths.
    #[arg(long, requires = "epsilon_milli")]
    clip_micro: Option<u64>,
    /// Digest of an attestation document kept off the ledger.
    #[arg(long)]
    attestation: Option<Digest>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The task.
    #[arg(long)]
    task: TaskId,
    /// The round [default: the open one, or the last].
    #[arg(long)]
    round: Option<RoundNumber>,
    /// Whose update [default: this node's member].
    #[arg(long)]
    member: Option<MemberId>,
}

pub(super) fn run(context: &Context, command: &UpdateCommand) -> Result<Exit, Failure> {
    match command {
        UpdateCommand::Submit(args) => submit(context, args),
        UpdateCommand::Show(args) => show(context, args),
    }
}

fn submit(context: &Context, args: &SubmitArgs) -> Result<Exit, Failure> {
    let format = Format::of_path(&args.file)?;
    // Read here first: what is wrong with the file is said with its name, and nothing is sent.
    read_tensors(&args.file)?;
    let client = context.client()?;
    let io = |error: std::io::Error| Failure::usage(format!("{}: {error}", args.file.display()));
    let file = std::fs::File::open(&args.file).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let bar = context.output.progress(length, "uploading", Unit::Bytes);
    let submitted: SubmittedUpdate = client.post_bytes(
        &submit_path(args),
        format.content_type(),
        bar.wrap_read(file),
        length,
    )?;
    bar.finish_and_clear();
    context.output.print(&submitted, |submitted| {
        fields(&[
            ("committed to", format!("round {} of {}", submitted.round, args.task)),
            ("update", submitted.update.to_string()),
            ("commitment", submitted.commitment.to_string()),
            ("transaction", submitted.transaction.to_string()),
        ])
    })?;
    Ok(Exit::Ok)
}

fn submit_path(args: &SubmitArgs) -> String {
    let round = args.round.map_or("open".into(), |round| round.to_string());
    let mut path =
        format!("/v1/tasks/{}/rounds/{round}/update?num_examples={}", args.task, args.num_examples);
    for (name, value) in [
        ("epsilon_milli", args.epsilon_milli),
        ("delta_neg_log10_milli", args.delta_neg_log10_milli),
        ("clip_micro", args.clip_micro),
    ] {
        if let Some(value) = value {
            path += &format!("&{name}={value}");
        }
    }
    if let Some(attestation) = args.attestation {
        path += &format!("&attestation={attestation}");
    }
    path
}

fn show(context: &Context, args: &ShowArgs) -> Result<Exit, Failure> {
    let client = context.client()?;
    let member = match &args.member {
        Some(member) => member.clone(),
        None => client.get::<NodeStatus>("/v1/status")?.member.ok_or_else(|| {
            Failure::usage("this node follows without a member").hint("give --member ID")
        })?,
    };
    let round = args.round.map_or_else(|| super::round::present(&client, &args.task), Ok)?;
    let view: RoundView = client.get(&format!("/v1/tasks/{}/rounds/{round}", args.task))?;
    let update =
        view.updates.into_iter().find(|update| update.member == member).ok_or_else(|| {
            let message = format!("`{member}` has no update in round {round} of `{}`", args.task);
            Failure::new(Exit::Refused, message)
        })?;
    context.output.print(&update, |update| show_text(&args.task, update))?;
    Ok(Exit::Ok)
}

fn show_text(task: &TaskId, update: &UpdateView) -> String {
    use fedledger_ledger::decision::Measure;
    let mut rows = vec![
        ("member", update.member.to_string()),
        ("commitment", update.commitment.to_string()),
        ("update", update.update.map_or("not revealed".into(), |update| update.to_string())),
        ("examples", update.num_examples.to_string()),
    ];
    match &update.verdict {
        None => rows.push(("verdict", "none yet".into())),
        Some(verdict) => {
            rows.push(("verdict", verdict_word(verdict.verdict).into()));
            rows.push(("reason", reason_words(verdict)));
            rows.extend(advice_words(task, verdict).map(|advice| ("what to do", advice)));
            rows.push(("weight", micro(verdict.weight_micro.into(), 3)));
            rows.push(("strike", if verdict.strike { "yes" } else { "no" }.into()));
            if let Some(sum) = measure(verdict, Measure::HarmSumMilli) {
                rows.push(("harm so far", micro(sum.saturating_mul(1000), 3)));
            }
            rows.extend(suspected_class_words(verdict).map(|words| ("class harmed", words)));
            rows.extend(return_words(verdict).map(|words| ("return", words)));
            rows.extend(notice_words(verdict).map(|words| ("data change", words)));
            for (name, kind) in [
                ("norm", Measure::Norm),
                ("distance", Measure::Distance),
                ("median distance", Measure::MedianDistance),
            ] {
                if let Some(value) = measure(verdict, kind) {
                    rows.push((name, value.to_string()));
                }
            }
        }
    }
    fields(&rows)
}
