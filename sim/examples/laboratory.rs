//! The laboratory without the node's program around it: quicker to build while working on attacks
//! or the contract. `cargo run --release -p fedledger-sim --example laboratory -- run silent-drift`
//!
//! Verbs: `run SCENARIO|FILE [SEEDS]`, `sweep SCENARIO|FILE [SEEDS]`, `redteam SCENARIO|FILE
//! EVALUATIONS`, `report FOLDER`; results go to `target/laboratory/NAME`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fedledger_sim::lab::publish::publish;
use fedledger_sim::lab::redteam::{hunt, Goal, Search};
use fedledger_sim::lab::report::story;
use fedledger_sim::lab::store::{self, make_folder, write_json, Keep};
use fedledger_sim::lab::sweep::sweep;
use fedledger_sim::lab::{library, Cancel, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, what, rest @ ..] = arguments.as_slice() else {
        return Err("expected a verb and a scenario".into());
    };
    let started = Instant::now();
    if verb == "report" {
        println!("{}", publish(Path::new(what))?.display());
        return Ok(());
    }
    let mut source = match library::get(what) {
        Some(source) => source,
        None => Source::read(Path::new(what))?,
    };
    if let Some(count) = rest.first().filter(|_| verb != "redteam") {
        source.scenario.seeds = (1..=count.parse()?).collect();
    }
    let folder = PathBuf::from("target/laboratory").join(&source.name);
    make_folder(&folder)?;
    let cancel = Cancel::default();
    match verb.as_str() {
        "run" => {
            let keep = Keep { folder: Some(folder.clone()), program: String::new(), fresh: true };
            let outcome = store::run(&source, &keep, &cancel, &|_| {})?;
            for check in &outcome.verdict.checks {
                let mark = if check.holds { "holds" } else { "FAILS" };
                let measured = check.measured.map_or("never".to_owned(), |m| format!("{m:.4}"));
                println!("{mark}  {} {measured} (limit {})", check.threshold, check.limit);
            }
            let summary = &outcome.summary;
            for sentence in story(&outcome) {
                println!("{sentence}");
            }
            for of in &summary.measures {
                let end = |mean: Option<fedledger_sim::lab::stats::Mean>| {
                    mean.map_or("-".to_owned(), |mean| format!("{:.4}", mean.mean))
                };
                println!(
                    "{:22} attacked {} absent {} plain {} plain absent {}",
                    of.measure.name(),
                    end(of.attacked),
                    end(of.absent),
                    end(of.plain),
                    end(of.plain_absent)
                );
            }
            let fall = summary.plain_underestimation.map_or(0.0, |fall| fall.mean);
            println!("plain averaging underestimates class 1 by {:.1} %", fall * 100.0);
        }
        "sweep" => {
            let grid = sweep(&source, &cancel, |done, of| eprint!("\r{done}/{of}"))?;
            write_json(&folder.join("sweep.json"), &grid)?;
        }
        "redteam" => {
            let search = Search {
                goal: Goal::Accuracy,
                evaluations: rest.first().map_or(Ok(100), |count| count.parse())?,
                unseen: false,
                seed: 1,
                attacks: Vec::new(),
            };
            let found = hunt(&source, &search, &cancel, |done, harm| {
                eprintln!("{done}: {harm:.4}");
            })?;
            println!("{} {:?}", found.worst_attack, found.harm_fresh);
            write_json(&folder.join("redteam.json"), &found)?;
        }
        verb => return Err(format!("no verb `{verb}`").into()),
    }
    println!("{} in {:.1?}", publish(&folder)?.display(), started.elapsed());
    Ok(())
}
