//! From a scenario file and a seed to members with data, trainers and coalitions.

use std::sync::Arc;

use fedledger_ledger::ids::Digest;
use fedledger_ledger::task::TaskSpec;
use rand::seq::SliceRandom;

use super::file::{AttackerGroup, ModelChoice, Source};
use super::run::RunError;
use crate::attack::{Attack, Knowledge, Probe, Schedule};
use crate::data::Dataset;
use crate::federation::{Evaluations, Federation, FederationError};
use crate::metrics::attack_success;
use crate::model::ModelSpec;
use crate::scenario::Scenario;
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
    let file = &source.scenario;
    let sites = file
        .data
        .sites(&source.folder, file.members, file.split, seed)
        .map_err(crate::scenario::ScenarioError::Data)?;
    let nobody = Attack::all().swap_remove(0);
    let mut scenario = Scenario::new(sites, 0, nobody, seed)?;
    scenario.rounds = file.rounds;
    scenario.training = file.training.into();
    let train = &scenario.sites[0].train;
    let (features, classes) = (train.width(), train.class_names.len());
    scenario.spec = match file.model {
        ModelChoice::Logistic => ModelSpec::linear(features, classes),
        ModelChoice::Mlp { hidden } => ModelSpec::network(features, hidden, classes),
    };
    let groups = draw_groups(source, &scenario)?;
    scenario.hostile = groups.iter().flat_map(|group| group.hostile.clone()).collect();
    scenario.hostile.sort_unstable();
    let knowledge =
        file.attackers.first().map_or(Knowledge::Colluders, |attackers| attackers.knowledge);
    Ok(Built { scenario, groups, knowledge })
}

/// Named members first, then the others by lot.
fn draw_groups(source: &Source, scenario: &Scenario) -> Result<Vec<Group>, RunError> {
    let attackers = &source.scenario.attackers;
    let institutions = scenario.names.len();
    let mut taken: Vec<usize> = Vec::new();
    let mut named: Vec<Vec<usize>> = Vec::new();
    for (k, group) in attackers.iter().enumerate() {
        let mut hostile = Vec::new();
        for (j, name) in group.members.iter().enumerate() {
            let index = scenario.names.iter().position(|known| known == name);
            let free = index.filter(|index| !taken.contains(index));
            let Some(index) = free else {
                let found = match index {
                    Some(_) => format!("`{name}` is an attacker already"),
                    None => format!("no member is called `{name}`"),
                };
                let allowed = scenario.names.join(", ");
                return Err(source
                    .fault(&format!("attackers[{k}].members[{j}]"), found, &allowed)
                    .into());
            };
            taken.push(index);
            hostile.push(index);
        }
        named.push(hostile);
    }
    let mut lot: Vec<usize> = (0..institutions).collect();
    lot.shuffle(&mut seed::stream(scenario.seed, "hostile", 0, 0));
    lot.retain(|index| !taken.contains(index));
    let mut rest = lot.into_iter();
    let mut groups = Vec::with_capacity(attackers.len());
    for (group, mut hostile) in attackers.iter().zip(named) {
        hostile.extend(rest.by_ref().take(group.count));
        hostile.sort_unstable();
        let AttackerGroup { attack, schedule, evaluations, .. } = group.clone();
        groups.push(Group { hostile, attack, schedule, evaluations });
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
        let mut bytes = Vec::new();
        for (name, site) in self.scenario.names.iter().zip(&self.scenario.sites) {
            bytes.extend(name.as_bytes());
            for part in [&site.train, &site.test] {
                bytes.extend((part.rows() as u64).to_le_bytes());
                bytes.extend(part.features.iter().flat_map(|value| value.to_le_bytes()));
                bytes.extend(part.labels.iter().flat_map(|label| label.to_le_bytes()));
            }
        }
        bytes.extend(self.scenario.hostile.iter().flat_map(|&k| (k as u64).to_le_bytes()));
        Digest::of(&bytes)
    }

    /// First round in which somebody is to attack; `None` when nobody is.
    pub fn onset(&self) -> Option<u64> {
        let active = self.groups.iter().filter(|group| !group.hostile.is_empty());
        active.map(|group| group.schedule.from).min()
    }

    /// Held-out rows of the honest members.
    pub fn test_union(&self) -> Dataset {
        let honest = self.scenario.honest();
        Dataset::union(honest.iter().map(|&k| &self.scenario.sites[k].test))
            .expect("there is an honest member")
    }

    /// What the attacks' targets are measured on, among `rows`.
    pub fn probes(&self, rows: &Dataset) -> Vec<TargetProbe> {
        self.groups.iter().filter_map(|group| group.attack.probe(rows)).map(TargetProbe).collect()
    }
}
