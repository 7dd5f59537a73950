//! `fedledger round`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use fedledger_ledger::decision::{OutcomeResult, UpdateVerdict};
use fedledger_ledger::ids::{RoundNumber, TaskId};

use super::context::Context;
use super::words::{candidate_words, failure_words, reason_words, verdict_word};
use crate::api::types::{ReplayView, RoundView, TaskView, UpdateView};
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::output::{fields, micro, table, utc};

#[derive(Debug, Subcommand)]
pub(super) enum RoundCommand {
    /// The rounds of a task.
    #[command(alias = "ls")]
    List {
        /// The task.
        task: TaskId,
        /// First round to list.
        #[arg(long, default_value = "1")]
        from: RoundNumber,
    },
    /// One round with its updates and verdicts.
    Show {
        /// The task.
        task: TaskId,
        /// The round [default: the open one, or the last].
        round: Option<RoundNumber>,
    },
    /// Wait until a round has come to a phase, or has ended.
    Wait(WaitArgs),
}

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The task.
    task: TaskId,
    /// The round [default: the open one].
    round: Option<RoundNumber>,
    /// What to wait for.
    #[arg(long, value_enum, default_value_t = Until::Ended)]
    until: Until,
    /// Longest wait in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Until {
    /// The round is open for commitments.
    Commit,
    /// Members publish their updates.
    Reveal,
    /// Members score the candidates.
    Evaluate,
    /// The outcome is being computed.
    Decide,
    /// The round has an outcome.
    Ended,
}

impl Until {
    fn is_reached(self, round: &RoundView) -> bool {
        let at = match round.phase.as_str() {
            "commit" => Self::Commit,
            "reveal" | "propose" => Self::Reveal,
            "evaluate" => Self::Evaluate,
            "decide" => Self::Decide,
            _ => Self::Ended,
        };
        at >= self
    }
}

pub(super) fn run(context: &Context, command: &RoundCommand) -> Result<Exit, Failure> {
    let client = context.client()?;
    match command {
        RoundCommand::List { task, from } => {
            let mut rounds: Vec<RoundView> = Vec::new();
            let mut from = *from;
            loop {
                let path = format!("/v1/tasks/{task}/rounds?from={from}");
                let page: Vec<RoundView> = client.get(&path)?;
                let Some(last) = page.last() else { break };
                from = last.round.next();
                rounds.extend(page);
            }
            context.output.print(&rounds, |rounds| list_text(rounds))?;
        }
        RoundCommand::Show { task, round } => {
            let round = round.map_or_else(|| present(&client, task), Ok)?;
            let view: RoundView = client.get(&path(task, round))?;
            context.output.print(&view, show_text)?;
        }
        RoundCommand::Wait(args) => wait(context, &client, args)?,
    }
    Ok(Exit::Ok)
}

pub(super) fn path(task: &TaskId, round: RoundNumber) -> String {
    format!("/v1/tasks/{task}/rounds/{round}")
}

/// The open round of a task, or its last.
pub(super) fn present(client: &Client, task: &TaskId) -> Result<RoundNumber, ClientError> {
    let view: TaskView = client.get(&format!("/v1/tasks/{task}"))?;
    Ok(view.round)
}

fn wait(context: &Context, client: &Client, args: &WaitArgs) -> Result<(), Failure> {
    let round = args.round.map_or_else(|| present(client, &args.task), Ok)?;
    let mut reached: Option<RoundView> = None;
    client.follow_entries(Duration::from_secs(args.timeout), || {
        match client.get::<RoundView>(&path(&args.task, round)) {
            Ok(view) if args.until.is_reached(&view) => {
                reached = Some(view);
                Ok(true)
            }
            // A round that has not begun yet may be waited for.
            Err(ClientError::Refused { body, .. }) if body.code == "unknown_round" => Ok(false),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    })?;
    let reached = reached.expect("following ends without an error once the phase is reached");
    context.output.print(&reached, show_text)
}

fn list_text(rounds: &[RoundView]) -> String {
    let rows: Vec<Vec<String>> = rounds
        .iter()
        .map(|view| {
            let replayed = view.replay.iter().flat_map(|replay| &replay.verdicts);
            let verdicts: Vec<&UpdateVerdict> = view
                .updates
                .iter()
                .filter_map(|one| one.verdict.as_ref())
                .chain(replayed)
                .collect();
            let entered = verdicts.iter().filter(|verdict| verdict.weight_micro > 0).count();
            let entered = if view.result.is_some() { entered.to_string() } else { "-".into() };
            let updates = view.replay.as_ref().map_or(view.updates.len(), |_| verdicts.len());
            let replays = view.replay.as_ref().map(|replay| format!("replays {}: ", replay.of));
            vec![
                view.round.to_string(),
                view.phase.clone(),
                updates.to_string(),
                entered,
                replays.unwrap_or_default() + &outcome_text(view),
            ]
        })
        .collect();
    table(&["round", "phase", "updates", "entered", "outcome"], &rows)
}

fn outcome_text(view: &RoundView) -> String {
    match &view.result {
        None => "-".into(),
        Some(OutcomeResult::Aggregated { chosen, .. }) => format!("model {}", chosen.model.short()),
        Some(OutcomeResult::Failed { failure }) => failure_words(*failure).into(),
    }
}

fn replay_text(replay: &ReplayView) -> String {
    let without: Vec<String> = replay.without.iter().map(ToString::to_string).collect();
    let without = if without.is_empty() { "nobody".into() } else { without.join(", ") };
    let said = format!("decides round {} again, without {without}", replay.of);
    let rows: Vec<Vec<String>> = replay
        .verdicts
        .iter()
        .map(|verdict| {
            vec![
                verdict.member.to_string(),
                verdict_word(verdict.verdict).into(),
                micro(verdict.weight_micro.into(), 3),
                reason_words(verdict),
            ]
        })
        .collect();
    said + "\n" + &table(&["member", "verdict", "weight", "reason"], &rows)
}

pub(super) fn show_text(view: &RoundView) -> String {
    let outcome = match &view.result {
        Some(OutcomeResult::Aggregated { chosen, .. }) => format!("model {}", chosen.model),
        _ => outcome_text(view),
    };
    let head = fields(&[
        ("task", view.task.to_string()),
        ("round", view.round.to_string()),
        ("phase", view.phase.clone()),
        ("phase ends", view.deadline.map_or("-".into(), |deadline| utc(deadline.0))),
        ("base model", view.base_model.to_string()),
        ("outcome", outcome),
    ]);
    if let Some(replay) = &view.replay {
        return head + "\n" + &replay_text(replay);
    }
    let head = head + &candidates_text(view);
    if view.updates.is_empty() {
        return head;
    }
    let rows: Vec<Vec<String>> = view
        .updates
        .iter()
        .map(|update| {
            let verdict = update.verdict.as_ref();
            let word = verdict
                .map_or(if update.revealed { "revealed" } else { "committed" }, |it| {
                    verdict_word(it.verdict)
                });
            vec![
                update.member.to_string(),
                update.update.map_or(String::new(), |update| update.short()),
                update.num_examples.to_string(),
                word.into(),
                verdict.map_or("-".into(), |it| micro(it.weight_micro.into(), 3)),
                if verdict.is_some_and(|it| it.strike) { "strike" } else { "" }.into(),
                verdict.map_or_else(String::new, reason_words),
            ]
        })
        .collect();
    let header = ["member", "update", "examples", "verdict", "weight", "trust", "reason"];
    head + "\n" + &table(&header, &rows) + &strikes_text(view)
}

/// The candidates with whoever scored them, and which was chosen; nothing where there are none.
fn candidates_text(view: &RoundView) -> String {
    if view.candidates.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = view
        .candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| {
            let taken = matches!(&view.result, Some(OutcomeResult::Aggregated { chosen, .. })
                if chosen.model == candidate.model);
            let taken = if taken { "chosen" } else { "" };
            vec![at.to_string(), candidate.model.short(), taken.into(), candidate_words(candidate)]
        })
        .collect();
    let (task, round, scored) = (&view.task, view.round, view.evaluations.len());
    let listed = table(&["candidate", "model", "", "made by"], &rows);
    format!("\n{listed}{scored} members scored them: fedledger evaluation show {task} {round}\n")
}

/// Where those that were struck read on.
fn strikes_text(view: &RoundView) -> String {
    let struck = |update: &&UpdateView| update.verdict.as_ref().is_some_and(|it| it.strike);
    let Some(first) = view.updates.iter().find(struck) else { return String::new() };
    let (task, round, member) = (&view.task, view.round, &first.member);
    format!(
        "\nWhat a member that was struck can do, such as {member}:\n  \
         fedledger update show --task {task} --round {round} --member {member}\n"
    )
}
