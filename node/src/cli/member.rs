//! `fedledger member`.

use clap::Subcommand;

use super::context::Context;
use super::words::standing_word;
use crate::api::types::MemberView;
use crate::exit::{Exit, Failure};
use crate::output::{micro, table};

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Every member ever admitted, with its trust in each task.
    #[command(alias = "ls")]
    List,
}

pub(super) fn run(context: &Context, command: &MemberCommand) -> Result<Exit, Failure> {
    let MemberCommand::List = command;
    let members: Vec<MemberView> = context.client()?.get("/v1/members")?;
    context.output.print(&members, |members| text(members))?;
    Ok(Exit::Ok)
}

fn text(members: &[MemberView]) -> String {
    let rows: Vec<Vec<String>> = members
        .iter()
        .map(|view| {
            let trust = view.trust.iter().map(|trust| {
                let standing = standing_word(trust.standing);
                format!("{} {} ({standing})", trust.task, micro(trust.trust_micro.into(), 3))
            });
            vec![
                view.member.id.to_string(),
                view.member.name.clone(),
                if view.active { "active" } else { "suspended" }.into(),
                view.transactions.to_string(),
                trust.collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    table(&["member", "name", "status", "transactions", "trust"], &rows)
}
