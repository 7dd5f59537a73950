//! `fedledger change`.

use std::path::PathBuf;

use clap::Subcommand;
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::Digest;

use super::context::Context;
use crate::api::types::{ChangeView, ProposeChangeBody, Submitted};
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
    /// Approve a change in the name of this node's member.
    Approve {
        /// Digest of the change.
        change: Digest,
    },
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
            let body = ProposeChangeBody { change };
            let submitted: Submitted = context.client()?.post("/v1/changes", &body)?;
            context.output.print(&submitted, |submitted| told(submitted, "is up for approval"))?;
        }
        ChangeCommand::Approve { change } => {
            let path = format!("/v1/changes/{change}/approve");
            let submitted: Submitted = context.client()?.post(&path, &())?;
            context.output.print(&submitted, |submitted| told(submitted, "is approved"))?;
        }
    }
    Ok(Exit::Ok)
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
            format!("release {member} from quarantine in {task}: {reason}")
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
