//! Many scenarios from one: every combination of contract, attack, number of attackers and split.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::acceptance::{summarise, Summary};
use super::contract::{self, ContractChoice};
use super::fields::attack_variants;
use super::file::{ScenarioFile, Source};
use super::run::{run_seeds, Cancel, RunError};
use super::shape::{Field, Shape};
use crate::attack::Attack;
use crate::data::Skew;

/// What varies. An axis without values has the one value of the scenario.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Axes {
    /// Contracts, each in place of the scenario's.
    pub contracts: Vec<ContractChoice>,
    /// Attacks, each in place of that of every group of attackers.
    pub attacks: Vec<Attack>,
    /// Numbers of attackers, each in place of the first group's.
    pub hostile: Vec<usize>,
    /// Splits of the data.
    pub splits: Vec<Skew>,
}

/// One combination and what it led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The contract, in words.
    pub contract: String,
    /// The attack, in words.
    pub attack: String,
    /// Number of attackers.
    pub hostile: usize,
    /// The split, in words.
    pub split: String,
    /// Why this combination cannot be run: a rule whose precondition fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// A whole grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// [`super::results::FORMAT`].
    pub format: String,
    /// Name of the scenario.
    pub name: String,
    /// Its headline.
    pub title: String,
    /// The seeds that each cell is the mean over.
    pub seeds: Vec<u64>,
    /// The cells: contracts slowest, then attacks, numbers of attackers, splits.
    pub cells: Vec<Cell>,
}

/// The scenarios of a sweep in the order of its cells.
pub fn combinations(scenario: &ScenarioFile) -> Vec<ScenarioFile> {
    let axes = &scenario.sweep;
    let mut all = vec![scenario.clone()];
    all = vary(all, &axes.contracts, |file, contract| file.contract = contract.clone());
    all = vary(all, &axes.attacks, |file, attack| {
        for group in &mut file.attackers {
            group.attack = attack.clone();
        }
    });
    all = vary(all, &axes.hostile, |file, &count| {
        if let Some(group) = file.attackers.first_mut() {
            group.count = count;
            group.members.clear();
        }
        if count == 0 {
            file.attackers.clear();
        }
    });
    vary(all, &axes.splits, |file, split| file.split = Some(*split))
}

fn vary<T>(
    before: Vec<ScenarioFile>,
    values: &[T],
    set: impl Fn(&mut ScenarioFile, &T),
) -> Vec<ScenarioFile> {
    if values.is_empty() {
        return before;
    }
    let mut after = Vec::with_capacity(before.len() * values.len());
    for file in before {
        for value in values {
            let mut file = file.clone();
            set(&mut file, value);
            after.push(file);
        }
    }
    after
}

/// Runs every combination over the scenario's seeds. `done` is called after each with its number
/// from 1.
///
/// # Errors
/// When data cannot be read, or it was cancelled. A contract that refuses its task is no error but
/// a refused cell.
pub fn sweep(
    source: &Source,
    cancel: &Cancel,
    mut done: impl FnMut(usize, usize),
) -> Result<Grid, RunError> {
    let combinations = combinations(&source.scenario);
    let total = combinations.len();
    let mut cells = Vec::with_capacity(total);
    for (k, scenario) in combinations.into_iter().enumerate() {
        let mut cell = Cell {
            contract: scenario.contract.describe(),
            attack: describe_attack(&scenario),
            hostile: scenario.attackers.iter().map(|g| g.count.max(g.members.len())).sum(),
            split: scenario.split.map_or_else(|| "as the data".to_owned(), |s| describe_split(&s)),
            refused: None,
            summary: None,
        };
        let combination = Source { scenario, ..source.clone() };
        match run_seeds(&combination, cancel, &|_| {}) {
            Ok(seeds) => cell.summary = Some(summarise(&seeds)),
            Err(RunError::Task { source, .. }) => cell.refused = Some(source.to_string()),
            Err(error) => return Err(error),
        }
        cells.push(cell);
        done(k + 1, total);
    }
    Ok(Grid {
        format: super::results::FORMAT.to_owned(),
        name: source.name.clone(),
        title: source.scenario.title.clone(),
        seeds: source.scenario.seeds.clone(),
        cells,
    })
}

/// The attack of the first group with the knobs that differ from its defaults.
pub fn describe_attack(scenario: &ScenarioFile) -> String {
    scenario
        .attackers
        .first()
        .map_or_else(|| "no attack".to_owned(), |group| describe_knobs(&group.attack))
}

/// An attack's name with the knobs that differ from its defaults.
pub fn describe_knobs(attack: &Attack) -> String {
    let default = Attack::all().into_iter().find(|known| known.name() == attack.name());
    let fields = |attack: &Attack| match serde_json::to_value(attack) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let usual = default.as_ref().map(fields).unwrap_or_default();
    let own = fields(attack);
    let differing = own.iter().filter(|(name, value)| usual.get(*name) != Some(value));
    let mut words: Vec<String> =
        differing.map(|(name, value)| format!("{name} {}", in_words(value))).collect();
    words.insert(0, attack.name().to_owned());
    words.join(", ")
}

/// A knob's value without quotes and braces; single precision as people wrote it.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(wide)
                if !number.is_u64() && f64::from(wide as f32).to_bits() == wide.to_bits() =>
            {
                (wide as f32).to_string()
            }
            _ => number.to_string(),
        },
        Value::Object(fields) => {
            let words = fields.iter().filter(|(_, value)| !value.is_null());
            words
                .map(|(key, value)| format!("{key} {}", in_words(value)))
                .collect::<Vec<_>>()
                .join(" ")
        }
        other => other.to_string(),
    }
}

/// A split in words.
pub fn describe_split(split: &Skew) -> String {
    match serde_json::to_value(split) {
        Ok(Value::Object(mut fields)) => {
            let name = fields.remove("name").map_or_else(String::new, |name| in_words(&name));
            format!("{name} {}", in_words(&Value::Object(fields))).trim().to_owned()
        }
        _ => "a split".to_owned(),
    }
}

/// The fields of a scenario's table `sweep`.
pub fn fields() -> Vec<Field> {
    let as_scenario = "that of the scenario alone";
    let axis = |name, of, doc| Field::optional(name, Shape::list(of, 1, 1_000), as_scenario, doc);
    vec![
        axis(
            "contracts",
            Shape::Table(contract::fields()),
            "Contracts, each in place of the scenario's.",
        ),
        axis(
            "attacks",
            Shape::Named(attack_variants()),
            "Attacks, each in place of that of every group of attackers.",
        ),
        axis(
            "hostile",
            Shape::count(0, 127),
            "Numbers of attackers, each in place of the first group's.",
        ),
        axis("splits", Shape::Named(super::data::split_variants()), "Splits of the data."),
    ]
}
