//! `fedledger model`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedledger_ledger::decision::OutcomeResult;
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use crate::api::types::{ImportedModel, RoundView, TaskView};
use crate::exit::{Exit, Failure};
use crate::files::write_new;
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// The models of a task, one for each round that led to one.
    #[command(alias = "ls")]
    List {
        /// The task.
        task: TaskId,
    },
    /// Write a model to a file.
    Pull(PullArgs),
    /// Give this node a model in canonical bytes, such as the first one of a new task.
    Import {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// Task whose latest model is wanted, or the digest of a model.
    #[arg(value_name = "TASK|DIGEST")]
    model: String,
    /// Where the model goes: NAME.safetensors, NAME.npz, or any other name for the canonical bytes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct ModelLine {
    round: RoundNumber,
    model: Digest,
}

pub(super) fn run(context: &Context, command: &ModelCommand) -> Result<Exit, Failure> {
    match command {
        ModelCommand::List { task } => list(context, task),
        ModelCommand::Pull(args) => pull(context, args),
        ModelCommand::Import { file } => import(context, file),
    }
}

fn list(context: &Context, task: &TaskId) -> Result<Exit, Failure> {
    let client = context.client()?;
    let view: TaskView = client.get(&format!("/v1/tasks/{task}"))?;
    let mut lines = vec![ModelLine { round: RoundNumber(0), model: view.task.initial_model }];
    let mut from = RoundNumber(1);
    loop {
        let page: Vec<RoundView> = client.get(&format!("/v1/tasks/{task}/rounds?from={from}"))?;
        let Some(last) = page.last() else { break };
        from = last.round.next();
        lines.extend(page.iter().filter_map(|round| match &round.result {
            Some(OutcomeResult::Aggregated { chosen, .. }) => {
                Some(ModelLine { round: round.round, model: chosen.model })
            }
            _ => None,
        }));
    }
    context.output.print(&lines, |lines| {
        let rows: Vec<Vec<String>> =
            lines.iter().map(|line| vec![line.round.to_string(), line.model.to_string()]).collect();
        table(&["round", "model"], &rows)
    })?;
    Ok(Exit::Ok)
}

fn pull(context: &Context, args: &PullArgs) -> Result<Exit, Failure> {
    let client = context.client()?;
    let digest: Digest = match args.model.parse() {
        Ok(digest) => digest,
        Err(_) => {
            let task = TaskId::new(args.model.as_str())
                .map_err(|error| Failure::usage(format!("neither a digest nor a task: {error}")))?;
            client.get::<TaskView>(&format!("/v1/tasks/{task}"))?.model
        }
    };
    let format = match args.out.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => "safetensors",
        Some("npz") => "npz",
        _ => "canonical",
    };
    let path = format!("/v1/models/{digest}?format={format}");
    let bytes = client.get_bytes(&path, BLOB_BYTES_MAX)?.ok_or_else(|| {
        Failure::new(Exit::Incomplete, format!("this node does not hold model {digest}"))
    })?;
    if format == "canonical" && Digest::of(&bytes) != digest {
        let message = format!("the node sent something else than model {digest}");
        return Err(Failure::new(Exit::Invalid, message));
    }
    write_new(&args.out, &bytes)?;
    let document = json!({ "model": digest, "file": args.out, "format": format });
    context.output.print(&document, |_| {
        format!("Model {digest} is in {} ({} bytes).", args.out.display(), bytes.len())
    })?;
    Ok(Exit::Ok)
}

fn import(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let io = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    let opened = std::fs::File::open(file).map_err(io)?;
    let length = opened.metadata().map_err(io)?.len();
    let kind = "application/octet-stream";
    let imported: ImportedModel =
        context.client()?.post_bytes("/v1/models", kind, opened, length)?;
    context
        .output
        .print(&imported, |imported| format!("The node keeps model {}.", imported.model))?;
    Ok(Exit::Ok)
}
