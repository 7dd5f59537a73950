//! `fedledger change`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};

use super::context::Context;
use super::settle::settle;
use crate::api::types::{ChangeView, NodeStatus, ProposeChangeBody, Submitted};
use crate::exit::{Exit, Failure};
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum ChangeCommand {
    /// The changes that wait for approval.
    #[command(alias = "ls")]
    List,
    /// Put a change (JSON) to the vote; this node's member approves it thereby.
    Propose {
        /// The change, such as {"kind": "admit_member", "member": {…}}.
        file: PathBuf,
    },
    /// Ask for a member's release in one task, from quarantine or from being held after a notice of
    /// changed data, as in a dispute.
    Release {
        /// The task.
        task: TaskId,
        /// The member [default: this node's].
        #[arg(long)]
        member: Option<MemberId>,
        /// Why, for the others.
        #[arg(long)]
        reason: String,
    },
    /// Take a task back to the model it had after an earlier round.
    RollBack(RollBackArgs),
    /// Approve a change in the name of this node's member.
    Approve {
        /// Digest of the change.
        change: Digest,
    },
}

#[derive(Debug, Args)]
pub(super) struct RollBackArgs {
    /// The task.
    task: TaskId,
    /// The last good round; 0 for the initial model.
    #[arg(long, value_name = "ROUND")]
    to: RoundNumber,
    /// Leave these members' updates out when later rounds are replayed, besides those in quarantine
    /// or suspended; separated by commas.
    #[arg(long, value_name = "MEMBERS", value_delimiter = ',')]
    without: Vec<MemberId>,
    /// Go on from that model without deciding the later rounds again.
    #[arg(long, conflicts_with = "without")]
    no_replay: bool,
    /// Why, for the others.
    #[arg(long)]
    reason: String,
}

pub(super) fn run(context: &Context, command: &ChangeCommand) -> Result<Exit, Failure> {
    match command {
        ChangeCommand::List => {
            let changes: Vec<ChangeView> = context.client()?.get("/v1/changes")?;
            context.output.print(&changes, |changes| list_text(changes))?;
        }
        ChangeCommand::Propose { file } => {
            let text = super::genesis::read_input(file)?;
            let change: Change = serde_json::from_str(&text)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            propose(context, change)?;
        }
        ChangeCommand::Release { task, member, reason } => {
            let own = || -> Result<MemberId, Failure> {
                let status: NodeStatus = context.client()?.get("/v1/status")?;
                status.member.ok_or_else(|| {
                    Failure::usage("this node is no member's: name one with --member")
                })
            };
            let member = member.clone().map_or_else(own, Ok)?;
            let (task, reason) = (task.clone(), reason.clone());
            propose(context, Change::ReleaseQuarantine { task, member, reason })?;
        }
        ChangeCommand::RollBack(args) => {
            let RollBackArgs { task, to, without, no_replay, reason } = args;
            let change = Change::RollBack {
                task: task.clone(),
                round: *to,
                without: without.clone(),
                replay: !no_replay,
                reason: reason.clone(),
            };
            propose(context, change)?;
        }
        ChangeCommand::Approve { change } => {
            let path = format!("/v1/changes/{change}/approve");
            let client = context.client()?;
            let submitted: Submitted = client.post(&path, &())?;
            let note = settle(&client, submitted.transaction)?;
            context.output.print(&submitted, |it| told(it, "is approved") + note)?;
        }
    }
    Ok(Exit::Ok)
}

fn propose(context: &Context, change: Change) -> Result<(), Failure> {
    let body = ProposeChangeBody { change };
    let client = context.client()?;
    let submitted: Submitted = client.post("/v1/changes", &body)?;
    let note = settle(&client, submitted.transaction)?;
    context.output.print(&submitted, |it| told(it, "is up for approval") + note)?;
    Ok(())
}

fn told(submitted: &Submitted, what: &str) -> String {
    let change = submitted.change.map_or_else(String::new, |change| change.to_string());
    format!("Change {change} {what}, by transaction {}.", submitted.transaction)
}

/// What a change does, in a few words.
fn describe(change: &Change) -> String {
    match change {
        Change::AdmitMember { member } => format!("admit {} ({})", member.id, member.name),
        Change::SuspendMember { member, reason } => format!("suspend {member}: {reason}"),
        Change::ReinstateMember { member, reason } => format!("reinstate {member}: {reason}"),
        Change::RotateKey { member, role, .. } => format!("rotate the {role:?} key of {member}"),
        Change::CreateTask { task } => format!("create task {}: {}", task.id, task.description),
        Change::ReleaseQuarantine { task, member, reason } => {
            format!("release {member} in {task}: {reason}")
        }
        Change::RollBack { task, round, without, replay, reason } => {
            let names: Vec<String> = without.iter().map(ToString::to_string).collect();
            let without = match names.as_slice() {
                [] => String::new(),
                names => format!(" without {}", names.join(", ")),
            };
            let what = if *replay { "replay what came after" } else { "go on from there" };
            format!("take {task} back to round {round} and {what}{without}: {reason}")
        }
    }
}

fn list_text(changes: &[ChangeView]) -> String {
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|view| {
            let approvals = view.approvals.iter().map(ToString::to_string).collect::<Vec<_>>();
            vec![
                view.digest.to_string(),
                describe(&view.change),
                format!("{}/{}", view.approvals.len(), view.needed),
                approvals.join(", "),
            ]
        })
        .collect();
    table(&["change", "what it does", "approvals", "by"], &rows)
}
