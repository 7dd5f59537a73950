//! What a sweep varies, and the scenarios that come of it.

use serde::{Deserialize, Serialize};

use crate::attack::{Attack, Knowledge, Schedule};
use crate::data::{SiteShift, Skew};
use crate::federation::Evaluations;
use crate::lab::contract::{self, ContractChoice};
use crate::lab::data::{self, DataChoice};
use crate::lab::fields::{self, attack_variants};
use crate::lab::file::{ChangeGroup, ModelChoice, ScenarioFile};
use crate::lab::shape::{Field, Shape};
use crate::model::Training;

/// What varies. An axis without values has the one value of the scenario.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Axes {
    /// Contracts, each in place of the scenario's.
    pub contracts: Vec<ContractChoice>,
    /// Attacks, each in place of that of every group of attackers.
    pub attacks: Vec<AttackEntry>,
    /// Schedules, each in place of that of every group; not of an attack that names its own.
    pub schedules: Vec<Schedule>,
    /// Numbers of attackers, each in place of the first group's.
    pub hostile: Vec<usize>,
    /// What changes at honest members, in place of the scenario's.
    pub changes: Vec<ChangesEntry>,
    /// Data, with what belongs to them.
    pub data: Vec<DataEntry>,
    /// Splits of the data.
    pub splits: Vec<Skew>,
    /// Models, each in place of the scenario's.
    pub models: Vec<ModelChoice>,
}

/// An attack of a sweep: by itself, or with what else is different for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttackEntry {
    /// What the attackers do; the rest as in the scenario.
    Plain(Attack),
    /// What the attackers do, when, and what else is not as in the scenario.
    With(Box<AttackWith>),
}

/// An attack with what else is different for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackWith {
    /// What they do.
    pub attack: Attack,
    /// When, and how hard; the axis `schedules` does not vary it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knowledge: Option<Knowledge>,
    /// What they report of a round's candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations: Option<Evaluations>,
    /// Whether they announce, when they begin, that their data change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<bool>,
    /// How many of the first group they are; the axis `hostile` does not vary it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

impl From<Attack> for AttackEntry {
    fn from(attack: Attack) -> Self {
        Self::Plain(attack)
    }
}

/// Data of a sweep with what belongs to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataEntry {
    /// What tables call them; what they are in words when absent.
    #[serde(default)]
    pub title: Option<String>,
    /// The data.
    pub data: DataChoice,
    /// Number of members; the scenario's for data without sites of their own when absent.
    #[serde(default)]
    pub members: Option<usize>,
    /// Number of attackers, in place of the first group's; not of an attack that names its own.
    #[serde(default)]
    pub hostile: Option<usize>,
    /// How they are divided.
    #[serde(default)]
    pub split: Option<Skew>,
    /// How sites are made to differ beyond that.
    #[serde(default)]
    pub shift: SiteShift,
    /// The model; the scenario's when absent.
    #[serde(default)]
    pub model: Option<ModelChoice>,
    /// How members train; as in the scenario when absent.
    #[serde(default)]
    pub training: Option<Training>,
}

/// Honest changes of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesEntry {
    /// What tables call them.
    pub title: String,
    /// Who changes, when and how; nobody when empty.
    #[serde(default)]
    pub changes: Vec<ChangeGroup>,
}

/// One combination: a scenario, and what of it is called by a name of the sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// What is run.
    pub scenario: ScenarioFile,
    /// Title of its data, where the sweep gives one.
    pub data_title: Option<String>,
    /// Title of its honest changes, where the sweep gives one.
    pub changes_title: Option<String>,
    /// Whether the sweep names its data, so that it may be left out where they are not at hand.
    pub data_named: bool,
    schedule_named: bool,
    count_named: bool,
}

impl DataEntry {
    /// Puts these data in place of the scenario's.
    pub(in crate::lab) fn put_into(&self, file: &mut ScenarioFile) {
        let divided = !self.data.has_sites() || self.split.is_some();
        file.members = self.members.unwrap_or(if divided { file.members } else { 0 });
        file.data = self.data.clone();
        file.split = self.split;
        file.shift = self.shift;
        file.model = self.model.unwrap_or(file.model);
        file.training = self.training.unwrap_or(file.training);
    }
}

impl AttackEntry {
    /// The attack by itself.
    pub fn attack(&self) -> &Attack {
        match self {
            Self::Plain(attack) => attack,
            Self::With(with) => &with.attack,
        }
    }

    fn put_into(&self, combination: &mut Combination) {
        let file = &mut combination.scenario;
        for group in &mut file.attackers {
            group.attack = self.attack().clone();
        }
        let Self::With(with) = self else { return };
        for group in &mut file.attackers {
            group.schedule = with.schedule.unwrap_or(group.schedule);
            group.knowledge = with.knowledge.unwrap_or(group.knowledge);
            group.evaluations = with.evaluations.unwrap_or(group.evaluations);
            group.announced = with.announced.unwrap_or(group.announced);
        }
        // Of nobody's attack there is one, whenever it is.
        combination.schedule_named = with.schedule.is_some() || with.count == Some(0);
        if let Some(count) = with.count {
            attacked_by(file, count);
            combination.count_named = true;
        }
    }
}

/// So many attackers in the first group; nobody attacks when it is 0.
fn attacked_by(file: &mut ScenarioFile, count: usize) {
    if let Some(group) = file.attackers.first_mut() {
        group.count = count;
        group.members.clear();
    }
    if count == 0 {
        file.attackers.clear();
    }
}

/// The scenarios of a sweep in the order of its cells: contracts slowest, then attacks, schedules,
/// numbers of attackers, honest changes, data, splits, models.
pub fn combinations(scenario: &ScenarioFile) -> Vec<Combination> {
    let axes = &scenario.sweep;
    let mut all = vec![Combination {
        scenario: scenario.clone(),
        data_title: None,
        changes_title: None,
        data_named: false,
        schedule_named: false,
        count_named: false,
    }];
    let always = |_: &Combination| true;
    all = vary(all, &axes.contracts, always, |to, contract| {
        to.scenario.contract = contract.clone();
    });
    all = vary(all, &axes.attacks, always, |to, entry| entry.put_into(to));
    all = vary(
        all,
        &axes.schedules,
        |of| !of.schedule_named,
        |to, schedule| {
            to.scenario.attackers.iter_mut().for_each(|group| group.schedule = *schedule);
        },
    );
    all = vary(
        all,
        &axes.hostile,
        |of| !of.count_named,
        |to, &count| {
            attacked_by(&mut to.scenario, count);
        },
    );
    all = vary(all, &axes.changes, always, |to, entry| {
        to.scenario.changes.clone_from(&entry.changes);
        to.changes_title = Some(entry.title.clone());
    });
    all = vary(all, &axes.data, always, |to, entry| {
        entry.put_into(&mut to.scenario);
        if let Some(count) = entry.hostile.filter(|_| !to.count_named) {
            attacked_by(&mut to.scenario, count);
        }
        to.data_title.clone_from(&entry.title);
        to.data_named = true;
    });
    all = vary(all, &axes.splits, always, |to, split| to.scenario.split = Some(*split));
    all = vary(all, &axes.models, always, |to, model| to.scenario.model = *model);
    for combination in &mut all {
        combination.scenario.sweep = Axes::default();
    }
    all
}

/// Each of `before` with each of `values`; those that are not `varied` as they are.
fn vary<T>(
    before: Vec<Combination>,
    values: &[T],
    varied: impl Fn(&Combination) -> bool,
    set: impl Fn(&mut Combination, &T),
) -> Vec<Combination> {
    if values.is_empty() {
        return before;
    }
    let mut after = Vec::with_capacity(before.len() * values.len());
    for one in before {
        if !varied(&one) {
            after.push(one);
            continue;
        }
        for value in values {
            let mut one = one.clone();
            set(&mut one, value);
            after.push(one);
        }
    }
    after
}

/// The fields of a scenario's table `sweep`.
pub fn fields() -> Vec<Field> {
    let as_scenario = "that of the scenario alone";
    let axis = |name, of, doc| Field::optional(name, Shape::list(of, 1, 1_000), as_scenario, doc);
    vec![
        axis(
            "contracts",
            Shape::Table(contract::fields()),
            "Contracts, each a table like `contract` and in its place.",
        ),
        axis(
            "attacks",
            Shape::Either(vec![Shape::Named(attack_variants()), Shape::Table(attack_with())]),
            "Attacks, each in place of that of every group of attackers: an attack by itself, or a table \
             with the attack and what else is different for it.",
        ),
        axis(
            "schedules",
            Shape::Table(fields::schedule()),
            "Schedules, each a table like `attackers.schedule` and in place of that of every group; not of an \
             attack that names its own.",
        ),
        axis(
            "hostile",
            Shape::count(0, 127),
            "Numbers of attackers, each in place of the first group's; not of an attack that names its \
             own.",
        ),
        axis(
            "changes",
            Shape::Table(vec![
                Field::required("title", Shape::Text, "What tables call them."),
                Field::optional(
                    "changes",
                    Shape::list(Shape::Table(fields::changes()), 1, 16),
                    "nobody changes",
                    "Who changes, when and how.",
                ),
            ]),
            "Honest changes, in place of the scenario's.",
        ),
        axis("data", Shape::Table(data_entry()), "Data with what belongs to them."),
        axis("splits", Shape::Named(data::split_variants()), "Splits of the data."),
        axis("models", fields::model(), "Models, each in place of the scenario's."),
    ]
}

fn attack_with() -> Vec<Field> {
    let as_scenario = "as in the scenario";
    let mut fields =
        vec![Field::required("attack", Shape::Named(attack_variants()), "What the attackers do.")];
    let others = ["schedule", "knowledge", "evaluations", "announced", "count"];
    let groups = fields::attackers().into_iter().filter(|of| others.contains(&of.name.as_str()));
    fields.extend(groups.map(|field| {
        Field::optional(
            &field.name,
            if field.name == "count" { Shape::count(0, 127) } else { field.shape },
            as_scenario,
            &field.doc,
        )
    }));
    fields
}

fn data_entry() -> Vec<Field> {
    let scenario = fields::scenario();
    let of = |name: &str, absent| {
        let field = scenario.iter().find(|field| field.name == name);
        let field = field.expect("the scenario has this field");
        Field::optional(name, field.shape.clone(), absent, &field.doc)
    };
    vec![
        Field::optional("title", Shape::Text, "the data in words", "What tables call them."),
        Field::required("data", Shape::Named(data::variants()), "The data."),
        of("members", "the scenario's; all sites, where the data have their own"),
        Field::optional(
            "hostile",
            Shape::count(0, 127),
            "the scenario's",
            "Number of attackers, in place of the first group's; not of an attack that names its own.",
        ),
        of("split", "divided at random into equal parts, or the data's own sites"),
        of("shift", "sites differ as divided"),
        of("model", "the scenario's"),
        of("training", "as in the scenario"),
    ]
}
