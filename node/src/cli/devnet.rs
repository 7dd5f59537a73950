//! `fedledger devnet`: a consortium on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use fedledger_ledger::ids::ChainId;
use serde_json::json;

use super::context::Context;
use crate::devnet::{this_program, Devnet, Plan};
use crate::exit::{Exit, Failure};
use crate::output::table;

/// How long nodes may take to come up or to end.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(super) enum DevnetCommand {
    /// Make the folder when it is not there, and start its nodes in the background.
    Up {
        /// Folder of the devnet.
        #[arg(long, value_name = "DIR", default_value = "fedledger-devnet")]
        dir: PathBuf,
        /// Number of institutions, when the folder is made.
        #[arg(long, value_name = "N", default_value_t = 4)]
        institutions: usize,
        /// Name of the ledger, when the folder is made.
        #[arg(long, value_name = "ID", default_value = "devnet")]
        chain_id: ChainId,
    },
    /// Stop its nodes. The folder stays.
    Down {
        /// Folder of the devnet.
        #[arg(long, value_name = "DIR", default_value = "fedledger-devnet")]
        dir: PathBuf,
    },
    /// Which of its nodes run, and where.
    Status {
        /// Folder of the devnet.
        #[arg(long, value_name = "DIR", default_value = "fedledger-devnet")]
        dir: PathBuf,
    },
}

pub(super) fn run(context: &Context, command: &DevnetCommand) -> Result<Exit, Failure> {
    match command {
        DevnetCommand::Up { dir, institutions, chain_id } => {
            let mut devnet = match Devnet::open(dir) {
                Ok(devnet) => devnet,
                Err(_) => {
                    let plan = Plan::of_hospitals(chain_id.clone(), *institutions)
                        .map_err(|error| Failure::usage(format!("{error:#}")))?;
                    Devnet::create(dir, &plan)
                        .map_err(|error| Failure::usage(format!("{error:#}")))?
                }
            };
            devnet.up(&this_program()?, PATIENCE)?;
            report(context, &devnet)
        }
        DevnetCommand::Down { dir } => {
            let stopped = open(dir)?.down(PATIENCE)?;
            context.output.print(&json!({ "stopped": stopped }), |_| {
                format!("{stopped} nodes stopped; {} stays as it is.", dir.display())
            })?;
            Ok(Exit::Ok)
        }
        DevnetCommand::Status { dir } => report(context, &open(dir)?),
    }
}

fn open(dir: &std::path::Path) -> Result<Devnet, Failure> {
    Devnet::open(dir).map_err(|error| {
        Failure::usage(format!("{error:#}")).hint("make one with `fedledger devnet up --dir DIR`")
    })
}

fn report(context: &Context, devnet: &Devnet) -> Result<Exit, Failure> {
    let nodes: Vec<serde_json::Value> = devnet
        .nodes
        .iter()
        .map(|node| {
            json!({
                "member": node.member,
                "home": node.home,
                "http": node.http.as_ref().map(|address| format!("http://{address}")),
                "pid": node.pid,
                "running": node.is_running(),
            })
        })
        .collect();
    let document = json!({ "chain_id": devnet.chain_id, "dir": devnet.dir, "nodes": nodes });
    context.output.print(&document, |_| {
        let rows: Vec<Vec<String>> = devnet
            .nodes
            .iter()
            .map(|node| {
                let http = node.http.as_ref().map_or("-".into(), |it| format!("http://{it}"));
                let state = if node.is_running() { "running" } else { "stopped" };
                vec![node.member.to_string(), state.into(), http, node.home.display().to_string()]
            })
            .collect();
        table(&["member", "node", "http", "home"], &rows)
    })?;
    Ok(Exit::Ok)
}
