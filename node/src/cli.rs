//! The command line: noun first, then verb. `docs/cli.md` describes it for people.
//!
//! Every verb prints a table or sentences, or with `--output json` one JSON document, and ends with
//! a code of [`crate::exit::Exit`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

mod aggregate;
mod audit;
mod change;
mod context;
mod demo;
mod devnet;
mod evaluation;
mod genesis;
mod init;
mod member;
mod model;
mod round;
mod run;
mod settle;
mod sim;
mod status;
mod task;
pub mod task_file;
#[cfg(test)]
mod tests;
mod update;
pub mod words;

use crate::exit::{Exit, Failure};
use crate::output::{print_line, OutputFormat};
use context::Context;

/// The ledger that institutions run together for federated learning.
#[derive(Debug, Parser)]
#[command(name = "fedledger", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// Tables for people, or one JSON document for programs.
    #[arg(long, global = true, value_enum, default_value_t, env = "FEDLEDGER_OUTPUT")]
    output: OutputFormat,
    /// The node's home: settings, keys, genesis, data [default: ~/.fedledger].
    #[arg(long, global = true, value_name = "DIR", env = "FEDLEDGER_HOME")]
    home: Option<PathBuf>,
    /// Address of a node's HTTP API [default: that of the node in --home].
    #[arg(long, global = true, value_name = "URL", env = "FEDLEDGER_NODE")]
    node: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str =
    "Exit codes: 0 ok, 1 verification failed, 2 bad input, 3 no node answers, \
    4 refused, 5 incomplete, 6 timed out, 70 internal. See `fedledger exit-codes`.";

#[derive(Debug, Subcommand)]
enum Command {
    /// See it work: hospitals on this machine, some of them hostile, train and are checked.
    Demo(demo::DemoArgs),
    /// Make keys and settings for a new node, and print the member entry for the others.
    Init(init::InitArgs),
    /// Make the document that a ledger starts from.
    #[command(subcommand)]
    Genesis(genesis::GenesisCommand),
    /// Run the node in --home until it is stopped.
    Run(run::RunArgs),
    /// What the node knows about itself and the chain.
    Status,
    /// The consortium's members.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Training tasks.
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Changes that members vote on.
    #[command(subcommand)]
    Change(change::ChangeCommand),
    /// Training rounds with their verdicts.
    #[command(subcommand)]
    Round(round::RoundCommand),
    /// Updates for the global model.
    #[command(subcommand)]
    Update(update::UpdateCommand),
    /// Global models.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Scores of a round's candidates on held-out rows.
    #[command(subcommand)]
    Evaluation(evaluation::EvaluationCommand),
    /// Verify a ledger from genesis, trusting nobody.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Apply an aggregation rule to files, with no network.
    Aggregate(aggregate::AggregateArgs),
    /// The attack laboratory: what an attack does to a consortium, in process.
    #[command(subcommand)]
    Sim(sim::SimCommand),
    /// A consortium of several nodes on this machine.
    #[command(subcommand)]
    Devnet(devnet::DevnetCommand),
    /// The exit codes and what they mean.
    ExitCodes,
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    run_with(std::env::args_os().collect()).into()
}

/// Runs the program with arguments, the first being its name, and returns how it ended.
pub fn run_with(arguments: Vec<OsString>) -> Exit {
    // Before anything is parsed, so that a program that asked for JSON gets its error as JSON.
    let wants_json = arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
        || arguments.iter().any(|argument| argument == "--output=json");
    let output = if wants_json { OutputFormat::Json } else { OutputFormat::Text };
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, output),
    };
    let output = cli.output;
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            output.print_failure(&failure);
            failure.exit
        }
    }
}

/// Help and version go to standard output and are a success; everything else is bad usage.
fn usage(error: &clap::Error, output: OutputFormat) -> Exit {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked_for || output == OutputFormat::Text {
        // Nothing is left to tell anybody when the terminal is gone.
        let _ = error.print();
    } else {
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ").to_owned();
        output.print_failure(&Failure::usage(message));
    }
    if asked_for {
        Exit::Ok
    } else {
        Exit::Usage
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let context = Context::new(cli.output, cli.home, cli.node);
    match cli.command {
        Command::Demo(args) => demo::run(&context, &args),
        Command::Init(args) => init::run(&context, &args),
        Command::Genesis(command) => genesis::run(&context, &command),
        Command::Run(args) => run::run(&context, &args),
        Command::Status => status::run(&context),
        Command::Member(command) => member::run(&context, &command),
        Command::Task(command) => task::run(&context, &command),
        Command::Change(command) => change::run(&context, &command),
        Command::Round(command) => round::run(&context, &command),
        Command::Update(command) => update::run(&context, &command),
        Command::Model(command) => model::run(&context, &command),
        Command::Evaluation(command) => evaluation::run(&context, &command),
        Command::Audit(command) => audit::run(&context, &command),
        Command::Aggregate(args) => aggregate::run(&context, &args),
        Command::Sim(command) => sim::run(&context, &command),
        Command::Devnet(command) => devnet::run(&context, &command),
        Command::ExitCodes => exit_codes(&context),
    }
}

fn exit_codes(context: &Context) -> Result<Exit, Failure> {
    let codes: Vec<serde_json::Value> = Exit::ALL
        .iter()
        .map(|(exit, name, meaning)| {
            serde_json::json!({ "code": *exit as u8, "name": name, "meaning": meaning })
        })
        .collect();
    context.output.print(&codes, |_| {
        let rows: Vec<Vec<String>> = Exit::ALL
            .iter()
            .map(|(exit, name, meaning)| {
                vec![(*exit as u8).to_string(), (*name).into(), (*meaning).into()]
            })
            .collect();
        crate::output::table(&["code", "name", "meaning"], &rows)
    })?;
    Ok(Exit::Ok)
}

/// The whole command line as clap knows it, for shell completions and documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Prints a sentence for people; programs get everything in the JSON document.
fn say(context: &Context, line: &str) -> Result<(), Failure> {
    match context.output {
        OutputFormat::Text => print_line(line),
        OutputFormat::Json => Ok(()),
    }
}
