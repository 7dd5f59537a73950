//! `fedledger task`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::{MemberId, TaskId};
use fedledger_ledger::task::EvaluationSpec;
use serde_json::json;

use super::context::Context;
use super::settle::settle;
use super::task_file;
use super::words::rule_words;
use crate::api::types::{
    phase_word, DataChangeBody, ImportedModel, MemberView, OnsetView, ProposeChangeBody, Submitted,
    TaskView,
};
use crate::exit::{Exit, Failure};
use crate::output::{fields, table, utc};

#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// Put a new task to the vote.
    Create(CreateArgs),
    /// Every task ever created.
    #[command(alias = "ls")]
    List,
    /// One task with its open round.
    Show {
        /// The task.
        task: TaskId,
    },
    /// Estimate since when members have moved together, to know where a task could go back to.
    Onset {
        /// The task.
        task: TaskId,
        /// The members, separated by commas [default: those in quarantine].
        #[arg(long, value_name = "MEMBERS", value_delimiter = ',')]
        members: Vec<MemberId>,
    },
    /// Say that this member's data have changed, before it hands in the round's update: what the
    /// task remembers of it begins anew, at reduced weight.
    AnnounceDataChange {
        /// The task.
        task: TaskId,
        /// What has changed, for people.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The task in TOML; see docs/cli.md.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Initial model (safetensors or npz), in place of the one that the file names.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Check the file and print the task without sending anything.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, command: &TaskCommand) -> Result<Exit, Failure> {
    match command {
        TaskCommand::Create(args) => create(context, args),
        TaskCommand::List => {
            let tasks: Vec<TaskView> = context.client()?.get("/v1/tasks")?;
            context.output.print(&tasks, |tasks| list_text(tasks))?;
            Ok(Exit::Ok)
        }
        TaskCommand::Show { task } => {
            let view: TaskView = context.client()?.get(&format!("/v1/tasks/{task}"))?;
            context.output.print(&view, show_text)?;
            Ok(Exit::Ok)
        }
        TaskCommand::Onset { task, members } => {
            let names: Vec<String> = members.iter().map(ToString::to_string).collect();
            let query = if names.is_empty() {
                String::new()
            } else {
                format!("?members={}", names.join(","))
            };
            let view: OnsetView =
                context.client()?.get(&format!("/v1/tasks/{task}/onset{query}"))?;
            context.output.print(&view, |view| onset_text(task, view))?;
            Ok(Exit::Ok)
        }
        TaskCommand::AnnounceDataChange { task, reason } => {
            let body = DataChangeBody { reason: reason.clone() };
            let path = format!("/v1/tasks/{task}/data-change");
            let client = context.client()?;
            let submitted: Submitted = client.post(&path, &body)?;
            let note = settle(&client, submitted.transaction)?;
            context.output.print(&submitted, |submitted| {
                format!("Announced by transaction {}.{note}", submitted.transaction)
            })?;
            Ok(Exit::Ok)
        }
    }
}

fn create(context: &Context, args: &CreateArgs) -> Result<Exit, Failure> {
    let parsed = task_file::read_with_model(&args.file, args.model.as_deref())?;
    // The rule's precondition is checked for as many members as it needs; the ledger checks it for
    // as many as there are.
    let members = parsed.spec.updates_min.max(1) as usize;
    fedledger_contract::check_task(&parsed.spec, members)
        .map_err(|fault| Failure::usage(format!("{}: {fault}", args.file.display())))?;
    if args.dry_run {
        context.output.print(&parsed.spec, |spec| {
            serde_json::to_string_pretty(spec).expect("a task is plain data")
        })?;
        return Ok(Exit::Ok);
    }
    let client = context.client()?;
    let bytes = &parsed.initial_model_bytes;
    let imported: ImportedModel = client.post_bytes(
        "/v1/models",
        "application/octet-stream",
        bytes.as_slice(),
        bytes.len() as u64,
    )?;
    let members: Vec<MemberView> = client.get("/v1/members")?;
    let active = members.iter().filter(|one| one.active).count();
    let bounds = fedledger_contract::profile::bounds(&parsed.spec, active);
    let task = parsed.spec.id.clone();
    let body = ProposeChangeBody { change: Change::CreateTask { task: parsed.spec } };
    let submitted: Submitted = client.post("/v1/changes", &body)?;
    let change = submitted.change.expect("the node names the change that it proposed");
    let note = settle(&client, submitted.transaction)?;
    let document = json!({
        "task": task,
        "change": change,
        "transaction": submitted.transaction,
        "initial_model": imported.model,
        "bounds": bounds,
    });
    context.output.print(&document, |_| {
        format!(
            "Task `{task}` is up for approval as change {change}.{note}\n\
             The other members approve it with: fedledger change approve {change}\n\n\
             What its settings come to with {active} members:\n- {}",
            bounds.join("\n- ")
        )
    })?;
    Ok(Exit::Ok)
}

fn onset_text(task: &TaskId, view: &OnsetView) -> String {
    let names: Vec<String> = view.members.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    match (view.onset, view.last_good) {
        _ if view.members.is_empty() => {
            "Nobody is in quarantine: name the members with --members.".to_owned()
        }
        (Some(onset), Some(last_good)) => format!(
            "{names} had begun to move together by round {onset}.\n\
             The task can be put to the vote to go back with: fedledger change roll-back {task} \
             --to {last_good} --without {} --reason WHY",
            names.replace(", ", ",")
        ),
        _ => format!("The ledger does not show that {names} began to move together."),
    }
}

fn list_text(tasks: &[TaskView]) -> String {
    let rows: Vec<Vec<String>> = tasks
        .iter()
        .map(|view| {
            vec![
                view.task.id.to_string(),
                view.status.clone(),
                format!("{}/{}", view.round, view.last_round),
                view.phase.map_or("-", phase_word).into(),
                view.parameters.to_string(),
                view.task.description.clone(),
            ]
        })
        .collect();
    table(&["task", "status", "round", "phase", "parameters", "description"], &rows)
}

fn show_text(view: &TaskView) -> String {
    let task = &view.task;
    let json_of = |value: serde_json::Value| value.to_string();
    fields(&[
        ("task", task.id.to_string()),
        ("description", task.description.clone()),
        ("status", view.status.clone()),
        ("round", format!("{} of {}", view.round, view.last_round)),
        ("phase", view.phase.map_or("-", phase_word).into()),
        ("phase ends", view.deadline.map_or("-".into(), |deadline| utc(deadline.0))),
        ("parameters", format!("{} in {} tensors", view.parameters, task.tensors.len())),
        ("rule", json_of(json!(task.rule))),
        ("withstands", format!("{} of at least {} updates", task.byzantine, task.updates_min)),
        ("weighting", json_of(json!(task.weighting))),
        ("evaluation", evaluation_words(task.evaluation.as_ref())),
        ("model", view.model.to_string()),
    ])
}

fn evaluation_words(evaluation: Option<&EvaluationSpec>) -> String {
    let Some(evaluation) = evaluation else { return "none".into() };
    let others = evaluation.candidates.iter().map(rule_words);
    let harm = evaluation.harm.map(|_| "the model without a suspected cell".to_owned());
    let returns = evaluation.harm.and_then(|policy| policy.return_micro);
    let returns =
        returns.map(|_| "its own with members in quarantine, for their return".to_owned());
    let offered: Vec<String> = others.chain(harm).chain(returns).collect();
    let seconds = evaluation.window_ms.div_ceil(1_000);
    let classes = match evaluation.classes.as_slice() {
        [] => String::new(),
        classes => format!("; with losses by class: {}", classes.join(", ")),
    };
    format!(
        "members have {seconds} s to score, beside its own model: {}{classes}",
        offered.join("; ")
    )
}
