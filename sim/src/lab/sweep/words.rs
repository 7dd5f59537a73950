//! Combinations of a sweep in the words of its tables.

use serde_json::{Map, Value};

use crate::attack::{Attack, Knowledge, Schedule};
use crate::data::Skew;
use crate::federation::Evaluations;
use crate::lab::file::{AttackerGroup, ModelChoice, ScenarioFile};

/// The attack of the first group with the knobs that differ from its defaults.
pub fn describe_attack(scenario: &ScenarioFile) -> String {
    let group = scenario.attackers.first();
    group.map_or_else(|| "no attack".to_owned(), |group| describe_knobs(&group.attack))
}

/// What the attackers know; nothing when nobody attacks.
pub fn describe_knowledge(scenario: &ScenarioFile) -> String {
    let group = scenario.attackers.first();
    let word = group.map_or("", |group| match group.knowledge {
        Knowledge::Colluders => "colluders",
        Knowledge::Omniscient => "omniscient",
    });
    word.to_owned()
}

/// What the attackers report of candidates; nothing when nobody attacks.
pub fn describe_reports(scenario: &ScenarioFile) -> String {
    let group = scenario.attackers.first();
    let word = group.map_or("", |group| match group.evaluations {
        Evaluations::Honest => "honest",
        Evaluations::Inverted => "inverted",
        Evaluations::Framing => "framing",
    });
    word.to_owned()
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

/// When the first group attacks; nothing when nobody does.
pub fn describe_schedule(scenario: &ScenarioFile) -> String {
    let word = |group: &AttackerGroup| {
        let told = if group.announced { ", announced" } else { "" };
        when(&group.schedule) + told
    };
    scenario.attackers.first().map_or_else(String::new, word)
}

fn when(schedule: &Schedule) -> String {
    let Schedule { from, ramp, until, period, duty, peak, stagger } = *schedule;
    let mut words = vec![format!("from {from}")];
    if ramp > 1 {
        words.push(format!("ramp {ramp}"));
    }
    words.extend(until.map(|until| format!("until {until}")));
    if period > 1 && duty < 1.0 {
        words.push(format!("on for {duty} of every {period}"));
    }
    if peak < 1.0 {
        words.push(format!("peak {peak}"));
    }
    if stagger > 0 {
        words.push(format!("staggered by {stagger}"));
    }
    words.join(", ")
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

/// A model in words.
pub fn describe_model(model: ModelChoice) -> String {
    match model {
        ModelChoice::Logistic => "logistic regression".to_owned(),
        ModelChoice::Mlp { hidden } => format!("network, {hidden} hidden units"),
        ModelChoice::Cnn { filters } => format!("convolutions, {filters} filters"),
    }
}
