//! What the recorded updates of one hospital give away, on Breast Cancer Wisconsin divided over seven:
//! rows reconstructed from one step on few rows, and membership from a round of ordinary training.
//!
//! `cargo run --release -p fedledger-sim --example privacy_leakage`

use fedledger_sim::attack::Attack;
use fedledger_sim::data::Dataset;
use fedledger_sim::model::{train, ModelSpec, Training};
use fedledger_sim::privacy::analytic::invert_first_layer;
use fedledger_sim::privacy::gradient_match::{Objective, Search};
use fedledger_sim::privacy::labels::single_label;
use fedledger_sim::privacy::measures::{exact_matches, feature_accuracy, separation};
use fedledger_sim::privacy::membership::{gradient_scores, loss_scores, shadow_scores};
use fedledger_sim::privacy::tabular::reconstruct;
use fedledger_sim::privacy::Observation;
use fedledger_sim::scenario::{demo, Scenario, ScenarioError};
use fedledger_sim::seed;

/// A feature within this many standard deviations counts as found.
const TOLERANCE: f32 = 0.1;
/// Rounds of honest training before the update that is looked at.
const ROUNDS_BEFORE: u64 = 5;

fn main() -> Result<(), ScenarioError> {
    let scenario = demo(7, 0, Attack::all()[0].clone(), 1)?;
    let features = scenario.sites[0].train.width();
    let specs = [ModelSpec::linear(features, 2), ModelSpec::network(features, 32, 2)];
    println!(
        "One step of one hospital on `rows` rows; a feature counts within {TOLERANCE} deviations."
    );
    println!("Features found: by pooled gradient matching, beside the guess of the mean row.");
    println!("model     rows  exact, analytic  exact, matching  features  by guess  labels");
    for spec in specs {
        let base = warm(&scenario, spec);
        for rows in [1, 2, 4] {
            one_step(&scenario, spec, &base, rows);
        }
    }
    println!("\nMembership in a hospital, members against held-out rows: AUC, advantage, TPR at 0.1 % FPR");
    for spec in specs {
        membership(&scenario, spec);
    }
    Ok(())
}

fn name(spec: ModelSpec) -> &'static str {
    if matches!(spec, ModelSpec::Logistic { .. }) {
        "logistic"
    } else {
        "mlp"
    }
}

/// A model after some rounds of plain averaging by hand.
fn warm(scenario: &Scenario, spec: ModelSpec) -> Vec<f32> {
    let mut model = spec.initial(scenario.seed);
    for round in 1..=ROUNDS_BEFORE {
        let count = scenario.sites.len() as f32;
        let updates = scenario.sites.iter().enumerate().map(|(member, site)| {
            let mut rng = seed::stream(1, "warm", member as u64, round);
            train(&spec, &model, &site.train, &scenario.training, &mut rng)
        });
        let updates: Vec<Vec<f32>> = updates.collect();
        for (k, value) in model.iter_mut().enumerate() {
            *value += updates.iter().map(|update| update[k]).sum::<f32>() / count;
        }
    }
    model
}

fn one_step(scenario: &Scenario, spec: ModelSpec, base: &[f32], rows: usize) {
    let site = &scenario.sites[0].train;
    let batch = site.select(&(0..rows).collect::<Vec<_>>());
    let training = Training { epochs: 1, batch_size: rows, ..scenario.training };
    let update = train(&spec, base, &batch, &training, &mut seed::stream(1, "step", 0, 0));
    let seen = Observation { spec, base, update: &update, training: &training };
    let analytic = exact_matches(&batch, &invert_first_layer(&seen), TOLERANCE);
    let objective = Objective::Cosine { variation: 0.0, image_width: 1 };
    let search = Search { objective, steps: 400, learning_rate: 0.1 };
    let any = vec![Vec::new(); spec.features()];
    let found = reconstruct(&seen, &batch.labels.to_vec(), &any, (&search, 4), 1);
    let guesses: Vec<Vec<f32>> = found.rows.rows().into_iter().map(|row| row.to_vec()).collect();
    let mean = vec![0.0; spec.features()];
    let accuracy = |guess: &dyn Fn(usize) -> Vec<f32>| {
        let each = batch.features.rows().into_iter().enumerate();
        let sum: f64 =
            each.map(|(k, row)| feature_accuracy(&row.to_vec(), &guess(k), TOLERANCE)).sum();
        sum / rows as f64
    };
    let labels = if rows == 1 {
        if single_label(&seen) == batch.labels[0] {
            "found"
        } else {
            "missed"
        }
    } else {
        "-"
    };
    println!(
        "{:8} {rows:5} {analytic:16} {:16} {:9.2} {:9.2}  {labels}",
        name(spec),
        exact_matches(&batch, &guesses, TOLERANCE),
        accuracy(&|k| guesses[k].clone()),
        accuracy(&|_| mean.clone()),
    );
}

/// One round of ordinary training, and thirty times as much.
fn membership(scenario: &Scenario, spec: ModelSpec) {
    let base = warm(scenario, spec);
    let site = &scenario.sites[0];
    for epochs in [scenario.training.epochs, 30 * scenario.training.epochs] {
        let training = Training { epochs, ..scenario.training };
        let fitted = |data: &Dataset, k: u64| -> Vec<f32> {
            let mut rng = seed::stream(1, "member", k, 0);
            train(&spec, &base, data, &training, &mut rng)
        };
        let moved = |update: &[f32]| -> Vec<f32> {
            base.iter().zip(update).map(|(base, step)| base + step).collect()
        };
        let update = fitted(&site.train, 0);
        let model = moved(&update);
        let others = scenario.sites[1..].iter().enumerate();
        let shadows: Vec<Vec<f32>> =
            others.map(|(k, other)| moved(&fitted(&other.train, k as u64 + 1))).collect();
        let seen = Observation { spec, base: &base, update: &update, training: &training };
        for (reader, scores) in [
            ("loss", [&site.train, &site.test].map(|data| loss_scores(&spec, &model, data))),
            (
                "shadow models",
                [&site.train, &site.test].map(|data| shadow_scores(&spec, &model, &shadows, data)),
            ),
            ("angle", [&site.train, &site.test].map(|data| gradient_scores(&seen, data))),
        ] {
            let found = separation(&scores[0], &scores[1]);
            println!(
                "{:8} {epochs:3} epochs, {reader:13} {:.2}  {:.2}  {:.2}",
                name(spec),
                found.auc,
                found.advantage,
                found.low_rate
            );
        }
    }
}
