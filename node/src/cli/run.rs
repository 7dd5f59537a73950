//! `fedledger run`: the node itself.

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::context::Context;
use crate::config::{Config, LogFormat};
use crate::exit::{Exit, Failure};
use crate::runtime::RunOptions;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// End when standard input closes: for nodes that must not outlive their starter.
    #[arg(long)]
    until_stdin_closes: bool,
}

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<Exit, Failure> {
    let home = context.home()?;
    let config = home.config()?;
    start_log(&config)?;
    let options =
        RunOptions { home: home.path().to_owned(), until_stdin_closes: args.until_stdin_closes };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(crate::runtime::run(options))?;
    Ok(Exit::Ok)
}

/// The consensus engine and the network library tell every step of theirs at `info`: lines by the
/// thousand that an operator cannot act on. They are held to warnings until `debug` is asked for.
fn filter_of(level: &str) -> String {
    match level {
        "info" | "warn" => format!("{level},arc_malachitebft=warn,libp2p=warn"),
        other => other.to_owned(),
    }
}

/// Log lines go to standard error, so that standard output stays free for answers.
fn start_log(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter_of(&config.log.level))
        .map_err(|error| Failure::usage(format!("setting `log.level`: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log.format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.with_ansi(false).try_init(),
    };
    started.map_err(|error| Failure::internal(format!("the log cannot start: {error}")))
}
