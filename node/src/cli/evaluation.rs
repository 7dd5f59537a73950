//! `fedledger evaluation`.

mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::limits::BLOB_BYTES_MAX;

use super::context::Context;
use super::round::{path, present};
use super::settle::settle;
use super::words::candidate_words;
use crate::api::types::{EvaluationBody, NodeStatus, RoundView, Submitted, TaskView};
use crate::client::Client;
use crate::config::ModelFormat;
use crate::evaluation::{
    AnswerError, EvaluationAnswer, EvaluationRequest, RequestedCandidate, ANSWER_BYTES_MAX,
};
use crate::exit::{Exit, Failure};
use crate::files::write_new;
use crate::output::{fields, table, utc};

#[derive(Debug, Subcommand)]
pub(super) enum EvaluationCommand {
    /// Wait until a round's candidates wait for this member's scores, and name them.
    Wait(WaitArgs),
    /// Sign this member's scores of the open round's candidates.
    Submit(SubmitArgs),
    /// What each member scored.
    Show {
        /// The task.
        task: TaskId,
        /// The round [default: the open one, or the last].
        round: Option<RoundNumber>,
    },
}

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The task.
    task: TaskId,
    /// Write the candidates into this folder, which is made when it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The form of their files.
    #[arg(long, value_enum, default_value_t = ModelFormat::Npz, requires = "out")]
    format: ModelFormat,
    /// Longest wait in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    timeout: u64,
}

#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// The task.
    task: TaskId,
    /// The answer of an evaluator, in JSON; `-` for standard input.
    #[arg(value_name = "FILE", required_unless_present = "losses", conflicts_with = "losses")]
    file: Option<PathBuf>,
    /// In place of a file: the mean losses, in the order in which the candidates are listed.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    #[arg(requires = "num_examples", requires = "round")]
    losses: Option<Vec<f64>>,
    /// Number of held-out rows, with --losses.
    #[arg(long, value_name = "N", requires = "losses")]
    num_examples: Option<u64>,
    /// The round; with --losses it has to be named, for a list says nothing of whose losses it has.
    #[arg(long)]
    round: Option<RoundNumber>,
}

pub(super) fn run(context: &Context, command: &EvaluationCommand) -> Result<Exit, Failure> {
    match command {
        EvaluationCommand::Wait(args) => wait(context, args),
        EvaluationCommand::Submit(args) => submit(context, args),
        EvaluationCommand::Show { task, round } => {
            let client = context.client()?;
            let round = round.map_or_else(|| present(&client, task), Ok)?;
            let view: RoundView = client.get(&path(task, round))?;
            let classes = classes_of(&client, task)?;
            context.output.print(&view, |view| show::show_text(view, &classes))?;
            Ok(Exit::Ok)
        }
    }
}

fn member_of(client: &Client) -> Result<MemberId, Failure> {
    client.get::<NodeStatus>("/v1/status")?.member.ok_or_else(|| {
        Failure::usage("this node follows without a member, so nothing waits for its scores")
    })
}

/// The classes for which a task asks for a loss too.
fn classes_of(client: &Client, task: &TaskId) -> Result<Vec<String>, Failure> {
    let task: TaskView = client.get(&format!("/v1/tasks/{task}"))?;
    Ok(task.task.classes().to_vec())
}

fn wait(context: &Context, args: &WaitArgs) -> Result<Exit, Failure> {
    let client = context.client()?;
    let member = member_of(&client)?;
    let (mut found, mut over) = (None::<RoundView>, None::<String>);
    client.follow_entries(Duration::from_secs(args.timeout), || {
        let task: TaskView = client.get(&format!("/v1/tasks/{}", args.task))?;
        if task.task.evaluation.is_none() {
            over = Some("has no evaluation phase".into());
        } else if task.status != "running" {
            over = Some(format!("is {}", task.status));
        } else if task.phase == Some(Phase::Evaluate) {
            let open: RoundView = client.get(&path(&args.task, task.round))?;
            let scored = open.evaluations.iter().any(|one| one.member == member);
            found = Some(open).filter(|open| open.phase == "evaluate" && !scored);
        }
        Ok(found.is_some() || over.is_some())
    })?;
    if let Some(over) = over {
        return Err(Failure::new(Exit::Refused, format!("task `{}` {over}", args.task)));
    }
    let view = found.expect("following ends without an error once a round waits");
    let request = request(&client, args, member, &view)?;
    let classes = classes_of(&client, &args.task)?;
    let request = EvaluationRequest { classes, ..request };
    context.output.print(&request, |request| request_text(request, &view))?;
    Ok(Exit::Ok)
}

/// What is asked, with the candidates in files when a folder is named.
fn request(
    client: &Client,
    args: &WaitArgs,
    member: MemberId,
    view: &RoundView,
) -> Result<EvaluationRequest, Failure> {
    let folder = args.out.as_deref().map(made).transpose()?;
    let mut candidates = Vec::new();
    for (at, candidate) in view.candidates.iter().enumerate() {
        let model = candidate.model;
        let file = match &folder {
            None => None,
            Some(folder) => {
                let name = format!("{}-{}-candidate-{at}", view.task, view.round);
                let file = folder.join(format!("{name}.{}", args.format.name()));
                pull(client, &model, args.format, &file)?;
                Some(file)
            }
        };
        candidates.push(RequestedCandidate { model, file });
    }
    let deadline = view.deadline.unwrap_or(TimeMs(0));
    Ok(EvaluationRequest {
        task: view.task.clone(),
        round: view.round,
        member,
        deadline,
        candidates,
        classes: Vec::new(),
    })
}

fn made(folder: &Path) -> Result<PathBuf, Failure> {
    let fault = |error: std::io::Error| Failure::usage(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(fault)?;
    folder.canonicalize().map_err(fault)
}

/// Writes a candidate, in place of what an earlier wait for the same round wrote.
fn pull(client: &Client, model: &Digest, format: ModelFormat, file: &Path) -> Result<(), Failure> {
    let from = format!("/v1/models/{model}?format={}", format.name());
    let bytes = client.get_bytes(&from, BLOB_BYTES_MAX)?.ok_or_else(|| {
        let message = format!("this node does not hold the candidate {model} yet");
        Failure::new(Exit::Incomplete, message).hint("it fetches it from the others; try again")
    })?;
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::usage(format!("{}: {error}", file.display())))
        }
        _ => {}
    }
    Ok(write_new(file, &bytes)?)
}

fn request_text(request: &EvaluationRequest, view: &RoundView) -> String {
    let classes = &request.classes;
    let head = fields(&[
        ("task", request.task.to_string()),
        ("round", request.round.to_string()),
        ("member", request.member.to_string()),
        ("waits until", utc(request.deadline.0)),
        ("classes", if classes.is_empty() { "none".into() } else { classes.join(", ") }),
    ]);
    let rows: Vec<Vec<String>> = request
        .candidates
        .iter()
        .zip(&view.candidates)
        .enumerate()
        .map(|(at, (asked, candidate))| {
            let file = asked.file.as_ref().map_or("-".into(), |file| file.display().to_string());
            vec![at.to_string(), asked.model.to_string(), candidate_words(candidate), file]
        })
        .collect();
    head + "\n" + &table(&["candidate", "model", "made by", "file"], &rows)
}

fn submit(context: &Context, args: &SubmitArgs) -> Result<Exit, Failure> {
    let given = match &args.file {
        Some(file) => Some(read_answer(file)?),
        None => None,
    };
    let client = context.client()?;
    let round = args.round.map_or_else(|| Ok(present(&client, &args.task)?), Ok::<_, Failure>)?;
    let view: RoundView = client.get(&path(&args.task, round))?;
    if view.candidates.is_empty() {
        let message = format!(
            "round {round} of `{}` is in its {} phase and lists no candidates",
            args.task, view.phase
        );
        let hint = format!("wait for them with: fedledger evaluation wait {}", args.task);
        return Err(Failure::new(Exit::Refused, message).hint(hint));
    }
    let classes = classes_of(&client, &args.task)?;
    let answer = match given {
        Some(answer) => answer,
        None if classes.is_empty() => of_list(args, &view)?,
        None => {
            let (task, names) = (&args.task, classes.join(", "));
            let message = format!("`{task}` asks for losses by class ({names}): a list has none");
            let hint = "hand in a file with `losses_by_class` and `num_examples_by_class`";
            return Err(Failure::usage(message).hint(hint).field(Some("losses".into())));
        }
    };
    let scores = answer.scores(&view.candidates, &classes).map_err(|error| {
        let hint = matches!(error, AnswerError::Unknown { .. } | AnswerError::Missing { .. });
        let failure = Failure::usage(format!("round {round} of `{}`: {error}", args.task));
        if hint {
            failure.hint("the losses may be those of another round's candidates")
        } else {
            failure
        }
    })?;
    let body = EvaluationBody { scores };
    let submitted: Submitted =
        client.post(&format!("{}/evaluation", path(&args.task, round)), &body)?;
    let note = settle(&client, submitted.transaction)?;
    context.output.print(&submitted, |submitted| {
        let count = body.scores.len();
        format!(
            "Scores of {count} candidates of round {round} are signed, by transaction {}.{note}",
            submitted.transaction
        )
    })?;
    Ok(Exit::Ok)
}

fn read_answer(file: &Path) -> Result<EvaluationAnswer, Failure> {
    use std::io::Read as _;
    let fault =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
    let from: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|error| fault(&error))?)
    };
    let mut bytes = Vec::new();
    from.take(ANSWER_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fault(&error))?;
    EvaluationAnswer::parse(&bytes).map_err(|error| fault(&error))
}

fn of_list(args: &SubmitArgs, view: &RoundView) -> Result<EvaluationAnswer, Failure> {
    let losses = args.losses.as_deref().unwrap_or_default();
    let num_examples = args.num_examples.unwrap_or_default();
    EvaluationAnswer::of_list(losses, num_examples, &view.candidates).map_err(|expected| {
        let found = losses.len();
        let message = format!("--losses has {found} losses, the round lists {expected} candidates");
        Failure::usage(message).field(Some("losses".into()))
    })
}
