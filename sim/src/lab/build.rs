//! From a scenario file and a seed to members with data, trainers and coalitions.

use std::sync::Arc;

use fedledger_ledger::ids::Digest;
use fedledger_ledger::task::TaskSpec;
use rand::seq::SliceRandom;

use super::check::CheckError;
use super::data::{Drawn, ImageSize};
use super::file::{AttackerGroup, ModelChoice, Source};
use super::run::RunError;
use crate::attack::{Attack, Knowledge, Probe, Schedule};
use crate::data::Dataset;
use crate::federation::{Evaluations, Federation, FederationError};
use crate::metrics::attack_success;
use crate::model::ModelSpec;
use crate::scenario::{Scenario, ScenarioError};
use crate::seed;
use crate::trainer::{Coalition, Trainer};

/// Members that attack together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Their indices, ascending; the first leads. Empty where the attackers are absent.
    pub hostile: Vec<usize>,
    /// What they do.
    pub attack: Attack,
    /// When, and how hard.
    pub schedule: Schedule,
    /// What they report of a round's candidates.
    pub evaluations: Evaluations,
    /// Whether they announce, when they begin, that their data change.
    pub announced: bool,
}

/// A scenario for one seed.
#[derive(Debug, Clone)]
pub struct Built {
    /// Members, data, model. Its `hostile` are those of all groups; its own attack is unused.
    pub scenario: Scenario,
    /// Who attacks how.
    pub groups: Vec<Group>,
    /// What all attackers know.
    pub knowledge: Knowledge,
}

/// Rows that an attack is measured on, and when it succeeds.
pub struct TargetProbe(Probe);

impl TargetProbe {
    /// Share of the rows that `model` classifies as the attacker wants.
    pub fn success(&self, spec: &ModelSpec, model: &[f32]) -> Option<f64> {
        attack_success(spec, model, &self.0)
    }
}

/// Reads and divides the data, and draws the attackers.
///
/// # Errors
/// When data cannot be used, or the attackers are more than there are, or unknown.
pub fn build(source: &Source, seed: u64) -> Result<Built, RunError> {
    with_parts(source, consortium(source, seed)?)
}

/// Members with their data and their model, before anybody has a part: what scenarios that differ in
/// their attackers, changes and contract have in common.
///
/// # Errors
/// When data cannot be used.
pub fn consortium(source: &Source, seed: u64) -> Result<Scenario, RunError> {
    let file = &source.scenario;
    let Drawn { mut sites, image } = file
        .data
        .sites(&source.folder, file.members, file.split, seed)
        .map_err(ScenarioError::Data)?;
    file.shift.apply(&mut sites, seed).map_err(ScenarioError::Data)?;
    let nobody = Attack::all().swap_remove(0);
    let mut scenario = Scenario::new(sites, 0, nobody, seed)?;
    scenario.rounds = file.rounds;
    scenario.training = file.training;
    let train = &scenario.sites[0].train;
    let (features, classes) = (train.width(), train.class_names.len());
    scenario.spec = match file.model {
        ModelChoice::Logistic => ModelSpec::linear(features, classes),
        ModelChoice::Mlp { hidden } => ModelSpec::network(features, hidden, classes),
        ModelChoice::Cnn { filters } => {
            let image = image.expect("the file was checked: its data are images");
            convolutional(source, image, filters, classes)?
        }
    };
    Ok(scenario)
}

/// Draws who attacks and who changes in a [`consortium`].
///
/// # Errors
/// When they are more than there are, or unknown.
pub fn with_parts(source: &Source, mut scenario: Scenario) -> Result<Built, RunError> {
    if let Some((found, allowed)) = source.scenario.contract.classes_fault(&scenario) {
        return Err(source.fault("contract.classes", found, &allowed).into());
    }
    let groups = draw_groups(source, &scenario)?;
    scenario.hostile = groups.iter().flat_map(|group| group.hostile.clone()).collect();
    scenario.hostile.sort_unstable();
    let scenario = with_changes(source, scenario)?;
    let knowledge =
        source.scenario.attackers.first().map_or(Knowledge::Colluders, |first| first.knowledge);
    Ok(Built { scenario, groups, knowledge })
}

/// SHA-256 of the members' data and of who is hostile.
pub fn fingerprint(scenario: &Scenario) -> Digest {
    let mut bytes = Vec::new();
    for (name, site) in scenario.names.iter().zip(&scenario.sites) {
        bytes.extend(name.as_bytes());
        for part in [&site.train, &site.test] {
            bytes.extend((part.rows() as u64).to_le_bytes());
            bytes.extend(part.features.iter().flat_map(|value| value.to_le_bytes()));
            bytes.extend(part.labels.iter().flat_map(|label| label.to_le_bytes()));
        }
    }
    bytes.extend(scenario.hostile.iter().flat_map(|&k| (k as u64).to_le_bytes()));
    Digest::of(&bytes)
}

/// Least side of an image that a convolutional network takes.
const IMAGE_SIDE_MIN: usize = 4;

fn convolutional(
    source: &Source,
    image: ImageSize,
    filters: usize,
    classes: usize,
) -> Result<ModelSpec, CheckError> {
    let ImageSize { height, width, channels } = image;
    if height.min(width) < IMAGE_SIDE_MIN {
        let found = format!("a convolutional network on images of {height} × {width} pixels");
        return Err(source.fault("model", found, "images of 4 × 4 pixels or more"));
    }
    Ok(ModelSpec::Cnn { height, width, channels, filters, classes })
}

/// Index of the member called `name`, unless it is in `taken` already.
fn member_called(
    source: &Source,
    scenario: &Scenario,
    name: &str,
    field: &str,
    taken: &[usize],
) -> Result<usize, CheckError> {
    let index = scenario.names.iter().position(|known| known == name);
    let found = match index {
        Some(index) if taken.contains(&index) => format!("`{name}` is in a group already"),
        Some(index) => return Ok(index),
        None => format!("no member is called `{name}`"),
    };
    Err(source.fault(field, found, &scenario.names.join(", ")))
}

/// The scenario with its honest changes: named members first, then the others by lot. None of them is
/// hostile.
fn with_changes(source: &Source, mut scenario: Scenario) -> Result<Scenario, RunError> {
    let groups = &source.scenario.changes;
    let mut taken = scenario.hostile.clone();
    let mut named: Vec<Vec<usize>> = Vec::new();
    for (k, group) in groups.iter().enumerate() {
        let mut members = Vec::new();
        for (j, name) in group.members.iter().enumerate() {
            let field = format!("changes[{k}].members[{j}]");
            members.push(member_called(source, &scenario, name, &field, &taken)?);
            taken.extend(members.last());
        }
        named.push(members);
    }
    let mut lot: Vec<usize> = (0..scenario.names.len()).collect();
    lot.shuffle(&mut seed::stream(scenario.seed, "honest-change", 0, 0));
    lot.retain(|index| !taken.contains(index));
    let wanted: usize = groups.iter().map(|group| group.count).sum();
    if wanted > lot.len() {
        let found = format!("{wanted} honest members to draw of {}", lot.len());
        return Err(source.fault("changes", found, "no more than there are honest ones").into());
    }
    let mut rest = lot.into_iter();
    for (group, mut members) in groups.iter().zip(named) {
        members.extend(rest.by_ref().take(group.count));
        members.sort_unstable();
        for member in members {
            scenario = scenario.with_change(member, group.round, &group.change);
            let change = scenario.changes.last_mut().expect("one was added");
            change.announced = group.announced;
        }
    }
    Ok(scenario)
}

/// Named members first, then the others by lot, without those that are named as honest ones.
fn draw_groups(source: &Source, scenario: &Scenario) -> Result<Vec<Group>, RunError> {
    let attackers = &source.scenario.attackers;
    let institutions = scenario.names.len();
    let mut taken: Vec<usize> = Vec::new();
    let mut named: Vec<Vec<usize>> = Vec::new();
    for (k, group) in attackers.iter().enumerate() {
        let mut hostile = Vec::new();
        for (j, name) in group.members.iter().enumerate() {
            let field = format!("attackers[{k}].members[{j}]");
            let index = member_called(source, scenario, name, &field, &taken)?;
            taken.push(index);
            hostile.push(index);
        }
        named.push(hostile);
    }
    let mut lot: Vec<usize> = (0..institutions).collect();
    lot.shuffle(&mut seed::stream(scenario.seed, "hostile", 0, 0));
    let honest = source.scenario.changes.iter().flat_map(|group| &group.members);
    let honest: Vec<&String> = honest.collect();
    lot.retain(|&index| !taken.contains(&index) && !honest.contains(&&scenario.names[index]));
    let drawn: usize = attackers.iter().map(|group| group.count).sum();
    if !honest.is_empty() && drawn > lot.len() {
        let found = format!("{drawn} attackers to draw of {}", lot.len());
        let allowed = "no more than there are members without another part";
        return Err(source.fault("attackers", found, allowed).into());
    }
    let mut rest = lot.into_iter();
    let mut groups = Vec::with_capacity(attackers.len());
    for (group, mut hostile) in attackers.iter().zip(named) {
        hostile.extend(rest.by_ref().take(group.count));
        hostile.sort_unstable();
        let AttackerGroup { attack, schedule, evaluations, announced, .. } = group.clone();
        groups.push(Group { hostile, attack, schedule, evaluations, announced });
    }
    let wanted: usize = attackers.iter().map(|group| group.count.max(group.members.len())).sum();
    if wanted >= institutions {
        let found = format!("{wanted} attackers of {institutions} members");
        return Err(source.fault("attackers", found, "fewer than there are members").into());
    }
    Ok(groups)
}

impl Built {
    /// The same consortium without its attackers.
    #[must_use]
    pub fn attackers_absent(&self) -> Self {
        let groups = self.groups.iter().cloned();
        Self {
            scenario: self.scenario.attackers_absent(),
            groups: groups.map(|group| Group { hostile: Vec::new(), ..group }).collect(),
            knowledge: self.knowledge,
        }
    }

    /// One trainer for each member, in their order.
    pub fn trainers(&self) -> Vec<Trainer> {
        let mut trainers = Scenario { hostile: Vec::new(), ..self.scenario.clone() }.trainers();
        let members = trainers.len();
        for group in self.groups.iter().filter(|group| !group.hostile.is_empty()) {
            let rows = group.hostile.iter().map(|&k| (k, Arc::clone(&trainers[k].data)));
            let coalition =
                Coalition::new(group.attack.clone(), group.schedule, members, rows.collect());
            let coalition = Arc::new(coalition.reporting(group.evaluations));
            for &k in &group.hostile {
                trainers[k].coalition = Some(Arc::clone(&coalition));
                trainers[k].announces = group.announced.then_some(group.schedule.from);
            }
        }
        trainers
    }

    /// The consortium in process, under `task`.
    ///
    /// # Errors
    /// When the task's schema is not the model's.
    pub fn federation(&self, task: TaskSpec) -> Result<Federation, FederationError> {
        let (names, initial) = (&self.scenario.names, self.scenario.initial_model());
        Federation::new(names, self.trainers(), task, self.knowledge, &initial)
    }

    /// SHA-256 of the members' data and of who is hostile, so that kept results are not mistaken for
    /// those of data that have changed since.
    pub fn fingerprint(&self) -> Digest {
        fingerprint(&self.scenario)
    }

    /// First round in which somebody is to attack; `None` when nobody is.
    pub fn onset(&self) -> Option<u64> {
        let active = self.groups.iter().filter(|group| !group.hostile.is_empty());
        active.map(|group| group.schedule.from).min()
    }

    /// Held-out rows of the honest members as they are in `round`.
    pub fn test_union(&self, round: u64) -> Dataset {
        let honest = self.scenario.honest();
        Dataset::union(honest.iter().map(|&k| self.scenario.test_in(k, round)))
            .expect("there is an honest member")
    }

    /// First round in which an honest member's data are others; `None` when they stay.
    pub fn first_change(&self) -> Option<u64> {
        self.scenario.changes.iter().map(|change| change.round).min()
    }

    /// What the attacks' targets are measured on, among `rows`.
    pub fn probes(&self, rows: &Dataset) -> Vec<TargetProbe> {
        self.groups.iter().filter_map(|group| group.attack.probe(rows)).map(TargetProbe).collect()
    }
}

#[cfg(test)]
mod tests;
