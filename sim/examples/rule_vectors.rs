//! Update matrices of attacked rounds with the aggregate that each rule of the contract makes of
//! them, as JSON for `scripts/compare_byzfl.py`, which makes ByzFL aggregate the same matrices.
//! `cargo run --release -p fedledger-sim --example rule_vectors > vectors.json`

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use fedledger_contract::aggregate::aggregate;
use fedledger_ledger::task::AggregationRule;
use fedledger_sim::attack::PublicRecord;
use fedledger_sim::lab::build::build;
use fedledger_sim::lab::Source;
use fedledger_sim::model::{to_grid, SCALE_BITS};
use fedledger_sim::trainer::{train_round, RoundView};
use ndarray::Array2;
use serde_json::json;

/// Members, and hostile ones among them.
const MEMBERS: usize = 13;
const HOSTILE: usize = 4;
/// Rounds whose matrices are written.
const ROUNDS: [u64; 3] = [1, 5, 20];

fn main() -> Result<(), Box<dyn Error>> {
    let mut cases = Vec::new();
    for attack in [
        "{ name = \"sign-flip\" }",
        "{ name = \"label-flip\" }",
        "{ name = \"inner-product\", epsilon = 0.5 }",
        "{ name = \"alie\", z = 1.5 }",
    ] {
        for seed in [1, 2] {
            cases.extend(rounds(attack, seed)?);
        }
    }
    let document = json!({ "scale_bits": SCALE_BITS, "f": HOSTILE, "cases": cases });
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// The matrices of one attack: every rule sees the same ones; the model goes on with the mean.
fn rounds(attack: &str, seed: u64) -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
    let text = format!(
        "title = \"vectors\"\nmembers = {MEMBERS}\nrounds = 20\n[data]\nname = \"wdbc\"\n[split]\n\
         name = \"label\"\nalpha = 1.0\n[[attackers]]\ncount = {HOSTILE}\nknowledge = \
         \"omniscient\"\nattack = {attack}\n"
    );
    let source = Source::parse("vectors", "vectors", text, PathBuf::from("."))?;
    let built = build(&source, seed)?;
    let trainers = built.trainers();
    let mut model = built.scenario.initial_model();
    let mut record = PublicRecord::new(model.clone());
    let mut cases = Vec::new();
    for round in 1..=20 {
        let view = RoundView::new(round, &model, &record);
        let updates = train_round(&trainers, &view, built.knowledge);
        let quanta = f64::from(1u32 << SCALE_BITS);
        let flat: Vec<i32> = updates
            .iter()
            .flat_map(|update| &update.values)
            .map(|&value| (f64::from(to_grid(value)) * quanta) as i32)
            .collect();
        let matrix = Array2::from_shape_vec((MEMBERS, model.len()), flat)?;
        let mut mean = Vec::new();
        let mut aggregates = serde_json::Map::new();
        for (name, rule) in rules() {
            let result = aggregate(&rule, HOSTILE, matrix.view(), &[1; MEMBERS], None)?;
            if name == "mean" {
                mean.clone_from(&result.values);
            }
            aggregates.insert(name.to_owned(), json!(result.values));
        }
        if ROUNDS.contains(&round) {
            let rows: Vec<Vec<i32>> = matrix.rows().into_iter().map(|row| row.to_vec()).collect();
            cases.push(json!({
                "attack": attack,
                "seed": seed,
                "round": round,
                "updates": rows,
                "aggregates": aggregates,
            }));
        }
        for (value, step) in model.iter_mut().zip(mean) {
            *value += step as f32 / quanta as f32;
        }
        record.close_round(updates.into_iter().map(|u| u.values).collect(), model.clone());
    }
    Ok(cases)
}

/// The rules that both have, with ByzFL's parameters where they differ: its Krum scores n − f − 1
/// neighbours.
fn rules() -> Vec<(&'static str, AggregationRule)> {
    let neighbours = Some((MEMBERS - HOSTILE - 1) as u32);
    vec![
        ("mean", AggregationRule::Mean),
        ("median", AggregationRule::Median),
        ("trimmed_mean", AggregationRule::TrimmedMean),
        ("krum", AggregationRule::Krum { neighbours }),
        ("geometric_median", AggregationRule::GeometricMedian { iterations: 64 }),
    ]
}
