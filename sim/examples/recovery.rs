//! What going back buys: recall of positives that silent drift cost, and how much of it is back
//! after the consortium has voted the culprits out and gone back to the round before they began.
//!
//! `cargo run --release -p fedledger-sim --example recovery -- [first seed] [seeds]` plays the scenario
//! `silent-drift` under plain averaging and under the profile `balanced`, then goes back, with and
//! without deciding the later rounds again, and trains five rounds more.

use std::error::Error;

use fedledger_sim::federation::Federation;
use fedledger_sim::lab::build::{build, Built};
use fedledger_sim::lab::contract::{ContractChoice, Profile};
use fedledger_sim::lab::{library, Source};
use rayon::prelude::*;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rounds that are trained after going back.
const MORE: usize = 5;

/// Recall of positives at the honest members.
#[derive(Debug, Clone, Copy)]
struct Run {
    absent: f64,
    spoiled: f64,
    back: f64,
    back_trained: f64,
    replayed: f64,
    replayed_trained: f64,
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, other| args.get(at).map_or(Ok(other), |word| word.parse::<u64>());
    let (first, seeds) = (number(0, 1)?, number(1, 5)?);
    println!(
        "{:10} {:>7} {:>8} {:>12} {:>9} {:>12} {:>9}   of the loss back after {MORE} rounds",
        "recall", "absent", "spoiled", "gone back", "+ rounds", "replayed", "+ rounds"
    );
    for profile in [Profile::Plain, Profile::Balanced] {
        let mut source = library::get("silent-drift").expect("the library has it");
        source.scenario.contract = ContractChoice { profile, ..ContractChoice::default() };
        let runs: Vec<Run> = (first..first + seeds)
            .into_par_iter()
            .map(|seed| run(&source, seed))
            .collect::<Outcome<_>>()?;
        let mean = |of: fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        let (absent, spoiled) = (mean(|run| run.absent), mean(|run| run.spoiled));
        // Of less than a point, a share says nothing.
        let share = |after: f64| {
            let lost = absent - spoiled;
            let share = format!("{:.0} %", 100.0 * (after - spoiled) / lost);
            if lost < 0.01 {
                "nothing lost".to_owned()
            } else {
                share
            }
        };
        let (back, replayed) = (mean(|run| run.back_trained), mean(|run| run.replayed_trained));
        println!(
            "{:10} {absent:>7.3} {spoiled:>8.3} {:>12.3} {back:>9.3} {:>12.3} {replayed:>9.3}   \
             {} gone back, {} replayed",
            format!("{profile:?}").to_lowercase(),
            mean(|run| run.back),
            mean(|run| run.replayed),
            share(back),
            share(replayed),
        );
    }
    Ok(())
}

fn run(source: &Source, seed: u64) -> Outcome<Run> {
    let built = build(source, seed)?;
    let absent = built.attackers_absent();
    let rounds = source.scenario.rounds;
    let recall = |federation: &Federation| {
        let honest = built.scenario.honest();
        built.scenario.evaluate(&federation.model(), &honest).recall.unwrap_or(0.0)
    };
    let play = |built: &Built, left: usize| -> Outcome<Federation> {
        let mut federation =
            built.federation(source.scenario.contract.task(&built.scenario, left)?)?;
        federation.keep_rounds();
        for _ in 0..rounds {
            federation.step()?;
        }
        Ok(federation)
    };
    let spoiled = play(&built, 0)?;
    let last_good = built.onset().expect("somebody attacks") - 1;
    let after = |replay: bool| -> Outcome<(f64, f64)> {
        let mut federation = spoiled.clone();
        federation.roll_back(last_good, &built.scenario.hostile, replay)?;
        let at_once = recall(&federation);
        for _ in 0..MORE {
            federation.step()?;
        }
        Ok((at_once, recall(&federation)))
    };
    let (back, back_trained) = after(false)?;
    let (replayed, replayed_trained) = after(true)?;
    let absent = recall(&play(&absent, built.scenario.hostile.len())?);
    let spoiled = recall(&spoiled);
    Ok(Run { absent, spoiled, back, back_trained, replayed, replayed_trained })
}
