//! `fedledger demo`: hospitals on this machine, some of them hostile, training together.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::Args;
use fedledger_contract::profile::Profile;
use fedledger_sim::attack::Attack;
use fedledger_sim::data::CsvOptions;

use super::context::Context;
use crate::demo::DemoOptions;
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Number of hospitals [default: 7, or one for each file of --data].
    #[arg(long, value_name = "N", conflicts_with = "data")]
    institutions: Option<usize>,
    /// Number of hostile ones.
    #[arg(long, value_name = "F", default_value_t = 2)]
    attackers: usize,
    /// What they do.
    #[arg(long, default_value = "sign-flip", value_parser = PossibleValuesParser::new(Attack::NAMES))]
    attack: String,
    /// Number of training rounds [default: 5, or 18 with --profile].
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// Contract settings of a profile in place of the defaults: evaluated has the hospitals score
    /// what suspects do to the model.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// Folder with one CSV file for each institution, in place of the built-in data.
    #[arg(long, value_name = "DIR", requires = "label")]
    data: Option<PathBuf>,
    /// The column of --data with the class, 0 or 1.
    #[arg(long, value_name = "COLUMN", requires = "data")]
    label: Option<String>,
    /// Columns of --data that are no features; separated by commas.
    #[arg(long, value_name = "COLUMNS", requires = "data", value_delimiter = ',')]
    drop: Vec<String>,
    /// The column of --data that says `train` or `test`.
    #[arg(long, value_name = "COLUMN", requires = "data")]
    split_column: Option<String>,
    /// Leave out rows of --data whose label is -1 or missing.
    #[arg(long, requires = "data")]
    drop_indeterminate: bool,
    /// Keep the nodes' folders here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Seed of split, training and attackers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A profile by the name that task files have for it.
fn profile(name: &str) -> Result<Profile, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// Rounds without a profile, and with one, whose history begins to judge after 17.
const ROUNDS: (u64, u64) = (5, 18);

pub(super) fn run(_: &Context, args: &DemoArgs) -> Result<Exit, Failure> {
    let attack: Attack = args.attack.parse().map_err(Failure::usage)?;
    let data = args.data.clone().zip(args.label.clone()).map(|(dir, label)| {
        let options = CsvOptions {
            drop: args.drop.clone(),
            split_column: args.split_column.clone(),
            drop_indeterminate: args.drop_indeterminate,
            seed: args.seed,
            ..CsvOptions::new(label)
        };
        (dir, options)
    });
    let options = DemoOptions {
        institutions: args.institutions,
        attackers: args.attackers,
        attack,
        rounds: args.rounds.unwrap_or(if args.profile.is_some() { ROUNDS.1 } else { ROUNDS.0 }),
        profile: args.profile,
        data,
        keep: args.keep.clone(),
        seed: args.seed,
    };
    let demonstration =
        crate::demo::prepare(&options).map_err(|error| Failure::usage(format!("{error:#}")))?;
    let verified = crate::demo::run(demonstration)?;
    Ok(if verified { Exit::Ok } else { Exit::Invalid })
}
