//! Who trains what, and who is hostile: everything that a run in process or on real nodes starts
//! from.

mod names;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use fedledger_contract::canonical::Schema;
use fedledger_ledger::ids::{Digest, TaskId};
use fedledger_ledger::task::TaskSpec;
use rand::seq::SliceRandom;
use thiserror::Error;

use crate::attack::{Attack, Knowledge, Schedule};
use crate::data::{
    hospitals, load_csv_folder, standardize_sites, train_test, wdbc, Change, CsvOptions, DataError,
    Dataset, Site, Skew,
};
use crate::defaults;
use crate::federation::{named_bits, Evaluations, Federation, FederationError};
use crate::metrics::Metrics;
use crate::model::{ModelSpec, Training};
use crate::seed;
use crate::trainer::{Coalition, Trainer};

/// Fewest rows of a hospital when one data set is divided.
pub const ROWS_MIN: usize = 12;
/// Share of each hospital's rows that is held out when one data set is divided.
pub const TEST_SHARE: f64 = 0.3;

/// Rounds of the demonstration.
pub const DEMO_ROUNDS: u64 = 10;
/// Passes over the rows in a round of the demonstration: its hospitals have 57 rows to train on, and
/// it is to learn in few rounds.
pub const DEMO_EPOCHS: usize = 3;

/// Why a scenario cannot be set up.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// More attackers than there may be.
    #[error("{attackers} attackers of {institutions} institutions: at least one must be honest")]
    Attackers {
        /// Number of attackers asked for.
        attackers: usize,
        /// Number of institutions.
        institutions: usize,
    },
}

/// Institutions with their data, the model they train, and the hostile ones with their attack.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Member ids in ascending order, one for each site.
    pub names: Vec<String>,
    /// Standardised and imputed data, in the order of `names`.
    pub sites: Vec<Site>,
    /// Indices of the hostile members, ascending; the first leads the coalition.
    pub hostile: Vec<usize>,
    /// What they do.
    pub attack: Attack,
    /// When and how hard they do it.
    pub schedule: Schedule,
    /// What they report of a round's candidates.
    pub evaluations: Evaluations,
    /// Honest change-points; at most one for each member.
    pub changes: Vec<ChangePoint>,
    /// The model.
    pub spec: ModelSpec,
    /// How members train.
    pub training: Training,
    /// Rounds of the task.
    pub rounds: u64,
    /// Seed of everything random.
    pub seed: u64,
}

/// The demonstration: Breast Cancer Wisconsin divided at random over `institutions` hospitals, of
/// which `attackers` are hostile, drawn by `seed`.
///
/// # Errors
/// When there are too few rows for so many hospitals, or no honest one is left.
pub fn demo(
    institutions: usize,
    attackers: usize,
    attack: Attack,
    seed: u64,
) -> Result<Scenario, ScenarioError> {
    let mut scenario = wdbc(institutions, Skew::Iid, attackers, attack, seed)?;
    scenario.rounds = DEMO_ROUNDS;
    scenario.training.epochs = DEMO_EPOCHS;
    Ok(scenario)
}

/// Breast Cancer Wisconsin divided over `institutions` hospitals by `skew`.
///
/// # Errors
/// When there are too few rows for so many hospitals, or no honest one is left.
pub fn wdbc(
    institutions: usize,
    skew: Skew,
    attackers: usize,
    attack: Attack,
    seed: u64,
) -> Result<Scenario, ScenarioError> {
    let parts = hospitals(&wdbc::load(), institutions, skew, ROWS_MIN, seed)?;
    let mut sites = Vec::with_capacity(parts.len());
    for (k, part) in parts.iter().enumerate() {
        let (train, test) = train_test(part, TEST_SHARE, seed.wrapping_add(k as u64))?;
        sites.push(Site { name: crate::data::split::hospital_name(k), train, test });
    }
    Scenario::new(sites, attackers, attack, seed)
}

/// A folder of CSV files, one for each institution.
///
/// # Errors
/// When the data cannot be used, or no honest institution is left.
pub fn folder(
    folder: &Path,
    options: &CsvOptions,
    attackers: usize,
    attack: Attack,
    seed: u64,
) -> Result<Scenario, ScenarioError> {
    Scenario::new(load_csv_folder(folder, options)?, attackers, attack, seed)
}

/// What becomes of an honest member's data, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangePoint {
    /// Index of the member.
    pub member: usize,
    /// First round on the changed data.
    pub round: u64,
    /// Whether the member says so to the contract before it commits.
    pub announced: bool,
    /// What it trains on from then on, standardised as before.
    pub train: Arc<Dataset>,
    /// What it is measured on from then on.
    pub test: Arc<Dataset>,
}

impl Scenario {
    /// Standardises `sites` with the federation's sums, names the members and draws the hostile
    /// ones; logistic regression with the default training.
    ///
    /// # Errors
    /// When no honest institution would be left.
    pub fn new(
        mut sites: Vec<Site>,
        attackers: usize,
        attack: Attack,
        seed: u64,
    ) -> Result<Self, ScenarioError> {
        let institutions = sites.len();
        if attackers >= institutions {
            return Err(ScenarioError::Attackers { attackers, institutions });
        }
        let names = names::order_by_member_id(&mut sites);
        standardize_sites(&mut sites);
        let mut hostile: Vec<usize> = (0..institutions).collect();
        hostile.shuffle(&mut seed::stream(seed, "hostile", 0, 0));
        hostile.truncate(attackers);
        hostile.sort_unstable();
        let features = sites[0].train.width();
        Ok(Self {
            names,
            sites,
            hostile,
            attack,
            schedule: Schedule::default(),
            evaluations: Evaluations::Honest,
            changes: Vec::new(),
            spec: ModelSpec::Logistic { features },
            training: defaults::TRAINING,
            rounds: defaults::ROUNDS,
            seed,
        })
    }

    /// The same with other hostile members.
    ///
    /// # Panics
    /// When an index is out of range.
    #[must_use]
    pub fn with_hostile(mut self, hostile: &[usize]) -> Self {
        assert!(hostile.iter().all(|&k| k < self.sites.len()), "hostile members are members");
        self.hostile = hostile.to_vec();
        self.hostile.sort_unstable();
        self.hostile.dedup();
        self
    }

    /// The same without the hostile members: what a defence is measured against. Data stay
    /// standardised as they were.
    #[must_use]
    pub fn attackers_absent(&self) -> Self {
        let honest = self.honest();
        let changes = self.changes.iter().filter_map(|change| {
            let member = honest.iter().position(|k| *k == change.member)?;
            Some(ChangePoint { member, ..change.clone() })
        });
        Self {
            changes: changes.collect(),
            names: honest.iter().map(|&k| self.names[k].clone()).collect(),
            sites: honest.iter().map(|&k| self.sites[k].clone()).collect(),
            hostile: Vec::new(),
            ..self.clone()
        }
    }

    /// The same with an honest change at `member` from `round` on, in what it trains on and in what
    /// it is measured on.
    ///
    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn with_change(mut self, member: usize, round: u64, change: &Change) -> Self {
        let seed = self.seed.wrapping_add(member as u64);
        let site = &self.sites[member];
        let train = Arc::new(change.changed(&site.train, seed));
        let test = Arc::new(change.changed(&site.test, seed));
        self.changes.push(ChangePoint { member, round, announced: false, train, test });
        self
    }

    fn change_of(&self, member: usize) -> Option<&ChangePoint> {
        self.changes.iter().find(|change| change.member == member)
    }

    /// The held-out rows of `member` as they are in `round`.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn test_in(&self, member: usize, round: u64) -> &Dataset {
        match self.change_of(member) {
            Some(change) if round >= change.round => &change.test,
            _ => &self.sites[member].test,
        }
    }

    /// Indices of the honest members.
    pub fn honest(&self) -> Vec<usize> {
        (0..self.sites.len()).filter(|k| !self.hostile.contains(k)).collect()
    }

    /// The flat model that round 1 starts from.
    pub fn initial_model(&self) -> Vec<f32> {
        self.spec.initial(self.seed)
    }

    /// One trainer for each member, in their order.
    pub fn trainers(&self) -> Vec<Trainer> {
        let data: Vec<Arc<Dataset>> =
            self.sites.iter().map(|site| Arc::new(site.train.clone())).collect();
        let coalition = (!self.hostile.is_empty()).then(|| {
            let rows = self.hostile.iter().map(|&k| (k, Arc::clone(&data[k]))).collect();
            let (attack, members) = (self.attack.clone(), self.sites.len());
            let coalition = Coalition::new(attack, self.schedule, members, rows);
            Arc::new(coalition.reporting(self.evaluations))
        });
        let trainers = data.into_iter().enumerate().map(|(member, data)| Trainer {
            member,
            spec: self.spec,
            training: self.training,
            data,
            later: self.change_of(member).map(|change| (change.round, Arc::clone(&change.train))),
            announces: self
                .change_of(member)
                .filter(|change| change.announced)
                .map(|change| change.round),
            seed: self.seed,
            coalition: coalition.clone().filter(|_| self.hostile.contains(&member)),
        });
        trainers.collect()
    }

    /// The default task for this scenario.
    ///
    /// # Errors
    /// When the model makes no schema.
    pub fn task(&self, id: TaskId) -> Result<TaskSpec, FederationError> {
        let description = format!("{} institutions, {:?}", self.sites.len(), self.spec);
        let none = Digest([0; 32]);
        let (members, tensors) = (self.sites.len(), self.spec.tensor_specs());
        let task = defaults::task(id, description, members, tensors, none, self.rounds);
        let schema = Schema::of(&task)?;
        let initial = schema.quantise(&named_bits(&self.spec, &self.initial_model()))?;
        Ok(TaskSpec { initial_model: schema.digest_of(&initial)?, ..task })
    }

    /// The scenario in process, under `task`.
    ///
    /// # Errors
    /// When the task's schema is not the model's, or a name is no member id.
    pub fn federation(
        &self,
        task: TaskSpec,
        knowledge: Knowledge,
    ) -> Result<Federation, FederationError> {
        Federation::new(&self.names, self.trainers(), task, knowledge, &self.initial_model())
    }

    /// Measures a flat model on the union of the held-out parts of the members in `which`, as they are
    /// at the end.
    ///
    /// # Panics
    /// When `which` is empty or the model is another's.
    pub fn evaluate(&self, model: &[f32], which: &[usize]) -> Metrics {
        let parts = which.iter().map(|&k| self.test_in(k, u64::MAX));
        let union = Dataset::union(parts).expect("there are members to measure on");
        self.spec.evaluate(model, &union)
    }

    /// Measures a flat model on every member's held-out part.
    ///
    /// # Panics
    /// When the model is another's.
    pub fn evaluate_all(&self, model: &[f32]) -> Metrics {
        self.evaluate(model, &(0..self.sites.len()).collect::<Vec<_>>())
    }
}
