//! How fast the laboratory is: the two experiments of `scripts/laboratory_speed.sh`.
//! `cargo run --release -p fedledger-sim --example laboratory_speed`

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use fedledger_sim::lab::build::build;
use fedledger_sim::lab::run::{play_attacked, Cancel};
use fedledger_sim::lab::Source;

/// A hundred members, a thousand rounds of logistic regression.
const HUNDRED: &str = r#"
title = "A hundred members"
members = 100
rounds = 1000
seeds = [1]
[data]
name = "generator"
rows = 60
[[attackers]]
count = 33
attack = { name = "sign-flip" }
"#;

/// Thirteen members, a network, a hundred rounds, four sign flips against a trimmed mean: the
/// experiment that `scripts/laboratory_speed.py` repeats in PyTorch.
const NETWORK: &str = r#"
title = "Thirteen members, a network"
members = 13
rounds = 100
seeds = [1]
[data]
name = "wdbc"
[model]
name = "mlp"
hidden = 64
[training]
epochs = 1
batch_size = 16
[contract]
rule = { name = "trimmed_mean" }
byzantine = 4
norm_band = "none"
trust = "none"
[[attackers]]
count = 4
attack = { name = "sign-flip" }
"#;

fn main() -> Result<(), Box<dyn Error>> {
    for (name, text) in [("hundred", HUNDRED), ("network", NETWORK)] {
        let source = Source::parse(name, name, text.to_owned(), PathBuf::from("."))?;
        let built = build(&source, 1)?;
        let started = Instant::now();
        let run = play_attacked(&source, &built, &Cancel::default())?;
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{name}: {} members, {} rounds in {seconds:.2} s, accuracy {:.3}",
            run.members.len(),
            source.scenario.rounds,
            run.end().accuracy
        );
    }
    Ok(())
}
