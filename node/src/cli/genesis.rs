//! `fedledger genesis`: the document that a ledger starts from.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::governance::MemberSpec;
use fedledger_ledger::ids::{byzantine_max, ChainId, TimeMs};
use serde_json::json;

use super::context::Context;
use super::task_file;
use crate::config::{read_genesis, ConfigError};
use crate::exit::{Exit, Failure};
use crate::files::write_new;
use crate::output::fields;

#[derive(Debug, Subcommand)]
pub(super) enum GenesisCommand {
    /// Assemble a genesis document from the entries that members made with `init`.
    Create(CreateArgs),
    /// Check a genesis document and print its digest.
    Show {
        /// The document.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Name of the ledger, part of all that is signed.
    #[arg(long, value_name = "ID")]
    chain_id: ChainId,
    /// A member's entry; repeat for each.
    #[arg(long = "member", value_name = "FILE", required = true)]
    members: Vec<PathBuf>,
    /// A task that runs from the beginning; repeat for more.
    #[arg(long = "task", value_name = "FILE")]
    tasks: Vec<PathBuf>,
    /// When the ledger begins, in milliseconds since 1970 [default: now].
    #[arg(long, value_name = "MS")]
    time_ms: Option<u64>,
    /// Where the document goes.
    #[arg(long, value_name = "FILE", default_value = "genesis.json")]
    out: PathBuf,
}

pub(super) fn run(context: &Context, command: &GenesisCommand) -> Result<Exit, Failure> {
    match command {
        GenesisCommand::Create(args) => create(context, args),
        GenesisCommand::Show { file } => {
            let genesis = read_genesis(file)?;
            report(context, &genesis, &file.display().to_string())
        }
    }
}

fn create(context: &Context, args: &CreateArgs) -> Result<Exit, Failure> {
    let mut members = args
        .members
        .iter()
        .map(|path| {
            let text = read_input(path)?;
            serde_json::from_str::<MemberSpec>(&text)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    members.sort_by(|a, b| a.id.cmp(&b.id));
    let mut tasks = Vec::new();
    let mut models = Vec::new();
    for path in &args.tasks {
        let parsed = task_file::read(path)?;
        models.push((parsed.spec.id.clone(), parsed.initial_model_bytes));
        tasks.push(parsed.spec);
    }
    let now = || fedledger_consensus::chain::system_clock();
    let time = args.time_ms.map_or_else(now, TimeMs);
    let genesis = Genesis { chain_id: args.chain_id.clone(), time, members, tasks };
    check(&genesis)?;
    let text = serde_json::to_string_pretty(&genesis).expect("genesis is plain data");
    write_new(&args.out, format!("{text}\n").as_bytes())?;
    for (task, bytes) in models {
        let path = args.out.with_file_name(format!("{task}.model"));
        write_new(&path, &bytes)?;
        let line = format!("The first model of `{task}` is in {}.", path.display());
        super::say(context, &line)?;
    }
    report(context, &genesis, &args.out.display().to_string())
}

fn check(genesis: &Genesis) -> Result<(), Failure> {
    fedledger_contract::genesis(genesis).map(drop).map_err(Failure::usage)
}

fn report(context: &Context, genesis: &Genesis, file: &str) -> Result<Exit, Failure> {
    check(genesis)?;
    let n = genesis.members.len();
    let document = json!({
        "file": file,
        "chain_id": genesis.chain_id,
        "digest": genesis.digest(),
        "members": genesis.members.iter().map(|member| &member.id).collect::<Vec<_>>(),
        "tasks": genesis.tasks.iter().map(|task| &task.id).collect::<Vec<_>>(),
        "byzantine_tolerated": byzantine_max(n),
        "guarantee": crate::runtime::guarantee(n),
    });
    context.output.print(&document, |_| {
        let names = |names: Vec<String>| names.join(", ");
        let members = genesis.members.iter().map(|member| member.id.to_string()).collect();
        let tasks = genesis.tasks.iter().map(|task| task.id.to_string()).collect();
        fields(&[
            ("file", file.to_owned()),
            ("chain id", genesis.chain_id.to_string()),
            ("members", names(members)),
            ("tasks", names(tasks)),
            ("guarantee", crate::runtime::guarantee(n)),
            ("digest", genesis.digest().to_string()),
        ]) + "\nEvery member compares this digest with the others by another channel, puts the file \
              into\nits node's home as genesis.json, and starts the node with `fedledger run`."
    })?;
    Ok(Exit::Ok)
}

/// A text file that a person wrote.
pub(super) fn read_input(path: &std::path::Path) -> Result<String, Failure> {
    let missing =
        || ConfigError::Io { path: path.into(), source: std::io::ErrorKind::NotFound.into() };
    Ok(crate::config::read_text(path, 8 << 20)?.ok_or_else(missing)?)
}
