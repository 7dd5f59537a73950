//! `fedledger audit`: verification from genesis, of a folder or of a node that answers.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fedledger_ledger::ids::Digest;

use super::context::Context;
use crate::audit::{
    audit, export, AuditError, AuditReport, DataDir, Depth, ExportFile, LedgerSource, NodeSource,
    SourceError,
};
use crate::config::{read_genesis, Home};
use crate::exit::{Exit, Failure};
use crate::output::{fields, utc, Unit};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check every signature and hash from genesis, and carry the contract out again.
    Verify(AuditArgs),
    /// The same, and compute every verdict and aggregate again from the updates themselves.
    Replay(AuditArgs),
    /// Write the ledger and the blobs that replaying takes to one file, for an auditor without a
    /// node.
    Export {
        #[command(flatten)]
        args: AuditArgs,
        /// Where it goes.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Home of a node that does not run, or an exported file [default: ask the node of --node or
    /// --home].
    #[arg(value_name = "DIR|FILE")]
    from: Option<PathBuf>,
    /// Genesis document to start from [default: the source's own].
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Digest of genesis that you know from elsewhere: without it, or --genesis, whoever gave you
    /// the ledger chose where it starts.
    #[arg(long, value_name = "DIGEST", conflicts_with = "genesis")]
    genesis_digest: Option<Digest>,
}

pub(super) fn run(context: &Context, command: &AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Verify(args) => check(context, args, Depth::Verify),
        AuditCommand::Replay(args) => check(context, args, Depth::Replay),
        AuditCommand::Export { args, out } => write_export(context, args, out),
    }
}

/// Opens what is to be verified, with the genesis digest that the auditor knows, if any.
fn open(
    context: &Context,
    args: &AuditArgs,
) -> Result<(Box<dyn LedgerSource>, Option<Digest>), Failure> {
    let known = args.genesis.as_deref().map(read_genesis).transpose()?;
    let expected = known.as_ref().map(fedledger_ledger::genesis::Genesis::digest);
    let expected = expected.or(args.genesis_digest);
    let source: Box<dyn LedgerSource> = match &args.from {
        None => Box::new(NodeSource::new(context.client()?)),
        Some(file) if file.is_file() => {
            Box::new(ExportFile::open(file).map_err(|error| of_source(&error))?)
        }
        Some(dir) => {
            let home = Home::new(dir);
            let config = home.config()?;
            let genesis = known.map_or_else(|| home.genesis(), Ok)?;
            let opened = DataDir::open(&home.data_dir(&config), &genesis);
            Box::new(opened.map_err(|error| of_source(&error))?)
        }
    };
    Ok((source, expected))
}

fn check(context: &Context, args: &AuditArgs, depth: Depth) -> Result<Exit, Failure> {
    let (source, expected) = open(context, args)?;
    let height = source.height().map_err(|error| of_source(&error))?;
    let bar = context.output.progress(height.0, "verifying blocks", Unit::Things);
    let report = audit(source.as_ref(), expected, depth, |height| bar.set_position(height.0));
    bar.finish_and_clear();
    let report = report.map_err(|error| of_audit(&error))?;
    context.output.print(&report, |report| text(report, depth, expected.is_some()))?;
    Ok(if report.incomplete.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

fn write_export(context: &Context, args: &AuditArgs, out: &Path) -> Result<Exit, Failure> {
    let (source, _) = open(context, args)?;
    let height = source.height().map_err(|error| of_source(&error))?;
    let bar = context.output.progress(height.0, "exporting blocks", Unit::Things);
    let written = export(source.as_ref(), out, |height| bar.set_position(height.0));
    bar.finish_and_clear();
    let (blocks, blobs) = written.map_err(|error| of_source(&error))?;
    let document = serde_json::json!({ "file": out, "blocks": blocks, "blobs": blobs });
    context.output.print(&document, |_| {
        format!(
            "{} holds {blocks} blocks and {blobs} blobs. Anybody verifies it with: fedledger audit \
             replay {}",
            out.display(),
            out.display()
        )
    })?;
    Ok(Exit::Ok)
}

fn of_source(error: &SourceError) -> Failure {
    match error {
        SourceError::Unavailable { .. } => Failure::new(Exit::Unreachable, error),
        SourceError::Damaged { .. } => Failure::new(Exit::Invalid, error),
    }
}

fn of_audit(error: &AuditError) -> Failure {
    match error {
        AuditError::Source { source, .. } => {
            Failure { message: error.to_string(), ..of_source(source) }
        }
        _ => Failure::new(Exit::Invalid, format!("the ledger does not verify: {error}")),
    }
}

fn text(report: &AuditReport, depth: Depth, anchored: bool) -> String {
    let mut rows = vec![
        ("chain id", report.chain_id.clone()),
        ("genesis", report.genesis.to_string()),
        ("height", format!("{} at {}", report.height, utc(report.time.0))),
        ("transactions", report.transactions.to_string()),
        ("log", format!("{} entries, root {}", report.log_size, report.log_root)),
        ("state root", report.state_root.to_string()),
    ];
    if depth == Depth::Replay {
        let of = format!("{} of {} decisions", report.recomputed, report.decisions);
        rows.push(("recomputed", format!("{of}, the same bit for bit")));
    }
    let mut told = fields(&rows);
    for missing in &report.incomplete {
        told += &format!(
            "incomplete: round {} of `{}` (block {}) needs blob {}, which is not there\n",
            missing.round, missing.task, missing.height, missing.blob
        );
    }
    told += "\nEvery block, certificate and state root verifies from genesis.";
    if !anchored {
        told +=
            "\nCompare the genesis digest with one that you know from elsewhere, or give it with \
                 --genesis-digest.";
    }
    told
}
