//! Measures what the defaults of `fedledger_sim::defaults` rest on: each of the six attacks, loud
//! and quiet, at each hospital of the Heart Disease data and on Breast Cancer Wisconsin, under the
//! default rule and the others, as area lost against the same consortium without its attackers.
//!
//! `FEDLEDGER_DATA=… cargo run --release -p fedledger-sim --example heart_defaults -- [SEEDS]`

use std::error::Error;

use fedledger_ledger::task::{AggregationRule, TaskSpec};
use fedledger_sim::comparison::{
    attacks_measured, compare, default_task, heart, mean_task, pooled_model, Comparison, TaskOf,
};
use fedledger_sim::data::{reference_data, Skew};
use fedledger_sim::federation::FederationError;
use fedledger_sim::scenario::{wdbc, Scenario};
use fedledger_sim::{attack::Attack, attack::Knowledge, defaults};
use rayon::prelude::*;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    match reference_data("fed_heart_disease/tidy_flamby") {
        Some(path) => {
            let scenarios: Vec<Scenario> =
                (0..seeds).map(|seed| heart(&path, seed)).collect::<Result<_, _>>()?;
            baselines(&scenarios)?;
            let attacked: Vec<Scenario> = scenarios
                .iter()
                .flat_map(|scenario| (0..4).map(|k| scenario.clone().with_hostile(&[k])))
                .collect();
            table("Heart Disease, 1 of 4 hostile, at each hospital", &attacked)?;
        }
        None => println!("Heart Disease skipped: FEDLEDGER_DATA names no fed_heart_disease\n"),
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
    let tasks: [(&str, TaskOf<'_>); 2] =
        [("mean by examples (FedAvg)", &mean_task), ("default rule", &default_task)];
    for (name, task_of) in tasks {
        let areas: Vec<Option<f64>> = scenarios
            .iter()
            .map(|scenario| {
                let task = task_of(scenario)?;
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

/// The rules that are compared, by name; the default first.
fn tasks() -> Vec<(&'static str, Box<dyn Fn(&Scenario) -> Result<TaskSpec, FederationError> + Sync>)>
{
    fn with(
        rule: AggregationRule,
    ) -> Box<dyn Fn(&Scenario) -> Result<TaskSpec, FederationError> + Sync> {
        Box::new(move |scenario| Ok(TaskSpec { rule: rule.clone(), ..default_task(scenario)? }))
    }
    vec![
        ("default", with(defaults::RULE)),
        ("no trust", Box::new(|s| Ok(TaskSpec { trust: None, ..default_task(s)? }))),
        ("rfa", with(AggregationRule::GeometricMedian { iterations: 16 })),
        ("median", with(AggregationRule::Median)),
        ("trimmed", with(AggregationRule::TrimmedMean)),
        ("m-krum", with(AggregationRule::MultiKrum { neighbours: Some(1), selected: None })),
        ("fedavg", Box::new(mean_task)),
    ]
}

/// One line an attack, one column a rule: the worst loss over the scenarios; for the default rule
/// also who was quarantined and how often the task froze.
fn table(title: &str, scenarios: &[Scenario]) -> Outcome<()> {
    let tasks = tasks();
    println!("{title}: worst AUC lost over {} runs", scenarios.len());
    print!("{:32}", "");
    tasks.iter().for_each(|(name, _)| print!("{name:>9}"));
    println!("  default: hostile / honest quarantined, frozen");
    for (name, attack, knowledge) in attacks_measured() {
        print!("{name:32}");
        let mut summary = String::new();
        for (k, (_, task_of)) in tasks.iter().enumerate() {
            let runs: Vec<Comparison> = scenarios
                .par_iter()
                .map(|scenario| {
                    let scenario = Scenario { attack: attack.clone(), ..scenario.clone() };
                    compare(&scenario, knowledge, task_of.as_ref())
                })
                .collect::<Result<_, _>>()?;
            let worst = runs.iter().map(Comparison::loss).fold(f64::MIN, f64::max);
            print!("{worst:9.3}");
            if k == 0 {
                let sum = |of: &dyn Fn(&Comparison) -> usize| runs.iter().map(of).sum::<usize>();
                summary = format!(
                    "  {}/{} / {}, {}",
                    sum(&|run| run.hostile_quarantined),
                    scenarios.iter().map(|scenario| scenario.hostile.len()).sum::<usize>(),
                    sum(&|run| run.honest_quarantined),
                    sum(&|run| usize::from(run.frozen.is_some())),
                );
            }
        }
        println!("{summary}");
    }
    println!();
    Ok(())
}
