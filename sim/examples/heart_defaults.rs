//! Measures what the contract's balanced profile rests on for few members: each of the six attacks, loud
//! and quiet, at each hospital of the Heart Disease data and on Breast Cancer Wisconsin, under the
//! default rule and the others, as area lost against the same consortium without its attackers.
//!
//! Data are found as `fedledger_sim::data::reference_data` says.
//!
//! `cargo run --release -p fedledger-sim --example heart_defaults -- [SEEDS]`

use std::error::Error;

use fedledger_contract::task_check::check_task;
use fedledger_ledger::task::{AggregationRule, TaskSpec, TrustPolicy};
use fedledger_sim::comparison::{
    attacks_measured, compare, default_task, heart, heart_random_split, mean_task, pooled_model,
    Comparison, TaskOf, TriggerSuccess,
};
use fedledger_sim::data::{reference_data, Skew};
use fedledger_sim::federation::FederationError;
use fedledger_sim::scenario::{wdbc, Scenario};
use fedledger_sim::{attack::Attack, attack::Knowledge};
use rayon::prelude::*;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    match reference_data("fed_heart_disease/tidy_flamby") {
        Some(path) => {
            let scenarios: Vec<Scenario> =
                (0..seeds).map(|seed| heart(&path, seed)).collect::<Result<_, _>>()?;
            baselines(&scenarios)?;
            let attacked = |scenarios: &[Scenario]| -> Vec<Scenario> {
                let each = |s: &Scenario| (0..4).map(|k| s.clone().with_hostile(&[k])).collect();
                scenarios.iter().flat_map(|s| -> Vec<Scenario> { each(s) }).collect()
            };
            table("Heart Disease, 1 of 4 hostile, at each hospital", &attacked(&scenarios))?;
            let fresh: Vec<Scenario> = (0..seeds)
                .map(|seed| heart_random_split(&path, 1000 + seed))
                .collect::<Result<_, _>>()?;
            baselines(&fresh)?;
            table("The same, random held-out parts", &attacked(&fresh))?;
        }
        None => println!("Heart Disease skipped: no folder with fed_heart_disease was found\n"),
    }
    for (n, f, skew) in [(7, 2, Skew::Iid), (7, 2, Skew::Label { alpha: 1.0 }), (13, 4, Skew::Iid)]
    {
        let scenarios: Vec<Scenario> = (0..seeds)
            .map(|seed| wdbc(n, skew, f, Attack::all()[0].clone(), seed))
            .collect::<Result<_, _>>()?;
        table(&format!("Breast Cancer Wisconsin, {f} of {n} hostile, {skew:?}"), &scenarios)?;
    }
    Ok(())
}

/// Pooled training and plain federated averaging, nobody hostile.
fn baselines(scenarios: &[Scenario]) -> Outcome<()> {
    println!("Heart Disease, nobody hostile: AUC on the union of held-out parts, by seed");
    let print = |name: &str, areas: Vec<Option<f64>>| {
        let areas: Vec<String> =
            areas.into_iter().map(|area| format!("{:.3}", area.unwrap_or(f64::NAN))).collect();
        println!("  {name:28} {}", areas.join(" "));
    };
    let pooled = |s: &Scenario| s.evaluate_all(&pooled_model(s, 200)).auc;
    print("pooled", scenarios.iter().map(pooled).collect());
    let tasks: [(&str, TaskOf<'_>, bool); 4] = [
        ("mean by examples (FedAvg)", &mean_task, false),
        ("default rule", &default_task, false),
        ("FedAvg, classes balanced", &mean_task, true),
        ("default, classes balanced", &default_task, true),
    ];
    for (name, task_of, class_balanced) in tasks {
        let areas: Vec<Option<f64>> = scenarios
            .iter()
            .map(|scenario| {
                let task = task_of(scenario)?;
                let mut scenario = scenario.clone();
                scenario.training.class_balanced = class_balanced;
                let mut federation = scenario.federation(task, Knowledge::Colluders)?;
                federation.run()?;
                Ok(scenario.evaluate_all(&federation.model()).auc)
            })
            .collect::<Result<_, FederationError>>()?;
        print(name, areas);
    }
    println!();
    Ok(())
}

type OwnedTask = Box<dyn Fn(&Scenario) -> Result<TaskSpec, FederationError> + Sync>;

/// The rules that are compared, by name; the default first.
fn tasks() -> Vec<(&'static str, OwnedTask)> {
    fn with(rule: AggregationRule) -> OwnedTask {
        Box::new(move |scenario| Ok(TaskSpec { rule: rule.clone(), ..default_task(scenario)? }))
    }
    vec![
        ("default", Box::new(default_task)),
        ("distance", Box::new(by_distance_alone)),
        ("no trust", Box::new(|s| Ok(TaskSpec { trust: None, history: None, ..default_task(s)? }))),
        (
            "clipping",
            with(AggregationRule::CenteredClipping { iterations: 3, radius_milli: 1_000 }),
        ),
        ("filtered", with(AggregationRule::FilteredTrimmedMean { iterations: 32 })),
        ("rfa", with(AggregationRule::GeometricMedian { iterations: 16 })),
        ("median", with(AggregationRule::Median)),
        ("trimmed", with(AggregationRule::TrimmedMean)),
        ("m-krum", with(AggregationRule::MultiKrum { neighbours: Some(1), selected: None })),
        ("fedavg", Box::new(mean_task)),
    ]
}

/// The default task, whose outliers are struck for their distance wherever they point.
fn by_distance_alone(scenario: &Scenario) -> Result<TaskSpec, FederationError> {
    let task = default_task(scenario)?;
    let trust = task.trust.map(|policy| TrustPolicy { outlier_cosine_milli: None, ..policy });
    Ok(TaskSpec { trust, ..task })
}

/// Of the runs under one task: `hostile caught of all / honest caught, frozen`.
fn caught(scenarios: &[Scenario], runs: &[Comparison]) -> String {
    let sum = |of: &dyn Fn(&Comparison) -> usize| runs.iter().map(of).sum::<usize>();
    format!(
        "  {}/{} / {}, {}",
        sum(&|run| run.hostile_quarantined),
        scenarios.iter().map(|scenario| scenario.hostile.len()).sum::<usize>(),
        sum(&|run| run.honest_quarantined),
        sum(&|run| usize::from(run.frozen.is_some())),
    )
}

/// How often the trigger works, on average over runs: defended, nobody hostile, averaged.
fn triggers(runs: &[Comparison]) -> String {
    let found: Vec<TriggerSuccess> = runs.iter().filter_map(|run| run.trigger).collect();
    if found.is_empty() {
        return String::new();
    }
    let mean = |of: &dyn Fn(&TriggerSuccess) -> f64| {
        found.iter().map(of).sum::<f64>() / found.len() as f64
    };
    format!(
        "; trigger works: default {:.2}, attackers absent {:.2}, fedavg {:.2}",
        mean(&|t| t.attacked),
        mean(&|t| t.absent),
        mean(&|t| t.attacked_mean),
    )
}

/// One line an attack, one column a rule: the worst loss over the scenarios; for the default, and
/// for it by distance alone, also who was quarantined and how often the task froze.
fn table(title: &str, scenarios: &[Scenario]) -> Outcome<()> {
    let tasks = tasks();
    println!("{title}: worst AUC lost over {} runs", scenarios.len());
    print!("{:32}", "");
    for (name, _) in &tasks {
        print!("{name:>9}");
    }
    println!("  default: hostile / honest quarantined, frozen");
    for (name, attack, knowledge) in attacks_measured() {
        print!("{name:32}");
        let mut summary = String::new();
        for (k, (_, task_of)) in tasks.iter().enumerate() {
            let of_first = task_of(&scenarios[0])?;
            if check_task(&of_first, scenarios[0].sites.len()).is_err() {
                print!("{:>9}", "refused");
                continue;
            }
            let runs: Vec<Comparison> = scenarios
                .par_iter()
                .map(|scenario| {
                    let scenario = Scenario { attack: attack.clone(), ..scenario.clone() };
                    compare(&scenario, knowledge, task_of.as_ref())
                })
                .collect::<Result<_, _>>()?;
            let worst = runs.iter().map(Comparison::loss).fold(f64::MIN, f64::max);
            print!("{worst:9.3}");
            match k {
                0 => summary = format!("{}{}", caught(scenarios, &runs), triggers(&runs)),
                1 => summary += &format!("; by distance alone{}", caught(scenarios, &runs)),
                _ => {}
            }
        }
        println!("{summary}");
    }
    println!();
    Ok(())
}
