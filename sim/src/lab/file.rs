//! Scenario files: who trains what on which data, who attacks how and when, under which contract,
//! and what the outcome must not exceed. The schema is in [`super::fields`].

use std::fs;
use std::path::{Path, PathBuf};

use fedledger_ledger::ids::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::acceptance::Acceptance;
use super::check::{check, place, CheckError, Fault};
use super::contract::ContractChoice;
use super::data::DataChoice;
use super::fields;
use super::sweep::{combinations, AttackEntry, Axes};
use crate::attack::{Attack, Knowledge, Schedule};
use crate::data::{Change, SiteShift, Skew};
use crate::federation::Evaluations;
use crate::model::Training;

/// Longest scenario file in bytes, so that a wrong path fails soon.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// A scenario as its file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// A headline.
    pub title: String,
    /// What it is to show, in sentences.
    #[serde(default)]
    pub description: String,
    /// Number of members; 0 for as many as the data have sites.
    #[serde(default)]
    pub members: usize,
    /// Rounds of training.
    pub rounds: u64,
    /// One run of everything for each seed.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// The model is measured after every so many rounds; 0 for as often as 200 points allow.
    #[serde(default)]
    pub measure_every: u64,
    /// The data.
    pub data: DataChoice,
    /// How they are divided over the members; their own sites when absent.
    #[serde(default)]
    pub split: Option<Skew>,
    /// How sites are made to differ beyond that.
    #[serde(default)]
    pub shift: SiteShift,
    /// The model.
    #[serde(default)]
    pub model: ModelChoice,
    /// How members train.
    #[serde(default)]
    pub training: Training,
    /// What changes at honest members.
    #[serde(default)]
    pub changes: Vec<ChangeGroup>,
    /// Who attacks.
    #[serde(default)]
    pub attackers: Vec<AttackerGroup>,
    /// The contract's settings.
    #[serde(default)]
    pub contract: ContractChoice,
    /// What the outcome must not exceed.
    #[serde(default)]
    pub acceptance: Acceptance,
    /// What `sim sweep` varies.
    #[serde(default)]
    pub sweep: Axes,
}

fn default_seeds() -> Vec<u64> {
    vec![1, 2, 3, 4, 5]
}

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelChoice {
    /// Logistic regression; for more than two classes, softmax regression.
    #[default]
    Logistic,
    /// One hidden layer of rectified linear units.
    Mlp {
        /// Number of hidden units.
        hidden: usize,
    },
    /// A small convolutional network, for images.
    Cnn {
        /// Number of filters of 3 × 3.
        filters: usize,
    },
}

/// Members that attack together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackerGroup {
    /// How many, drawn by the seed.
    #[serde(default)]
    pub count: usize,
    /// Who, by member id, instead of `count`.
    #[serde(default)]
    pub members: Vec<String>,
    /// What they know.
    #[serde(default = "colluders")]
    pub knowledge: Knowledge,
    /// What they do.
    pub attack: Attack,
    /// When, and how hard.
    #[serde(default)]
    pub schedule: Schedule,
    /// What they report of a round's candidates.
    #[serde(default)]
    pub evaluations: Evaluations,
    /// Whether they announce, when they begin, that their data change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
}

/// Honest members at which the same thing changes in the same round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeGroup {
    /// How many, drawn by the seed.
    #[serde(default)]
    pub count: usize,
    /// Who, by member id, instead of `count`.
    #[serde(default)]
    pub members: Vec<String>,
    /// The first round that is trained on the changed data.
    pub round: u64,
    /// Whether the members announce it to the contract.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
    /// What changes.
    pub change: Change,
}

fn colluders() -> Knowledge {
    Knowledge::Colluders
}

/// Why a scenario file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is longer than a scenario can be.
    #[error("{} is {found} bytes long: a scenario has at most {max}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// Longest length allowed.
        max: u64,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// A scenario with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Name for people and folders: the file's stem, or the name in the library.
    pub name: String,
    /// What errors call the file.
    pub file: String,
    /// The text as it stands in the file.
    pub text: String,
    /// The folder that relative paths in it start from.
    pub folder: PathBuf,
    /// What it says.
    pub scenario: ScenarioFile,
}

impl Source {
    /// Reads a scenario from a file.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let read = |source| FileError::Read { path: path.to_owned(), source };
        let found = fs::metadata(path).map_err(read)?.len();
        if found > FILE_BYTES_MAX {
            return Err(FileError::TooLong { path: path.to_owned(), found, max: FILE_BYTES_MAX });
        }
        let text = fs::read_to_string(path).map_err(read)?;
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        Ok(Self::parse(&name, &path.display().to_string(), text, folder)?)
    }

    /// Parses a scenario whose text is at hand.
    ///
    /// # Errors
    /// When it is wrong: every fault with line, field, what was found and what is allowed.
    pub fn parse(
        name: &str,
        file: &str,
        text: String,
        folder: PathBuf,
    ) -> Result<Self, CheckError> {
        let value = check(file, &text, &fields::root())?;
        let scenario: ScenarioFile = serde_json::from_value(value.clone()).map_err(|error| {
            let allowed = "what docs/laboratory.md says of it";
            let (field, error) = blame(&value).unwrap_or((String::new(), error));
            one_fault(file, &text, &field, error.to_string(), allowed)
        })?;
        let source = Self { name: name.to_owned(), file: file.to_owned(), text, folder, scenario };
        source.check_whole()?;
        Ok(source)
    }

    /// A fault of this file, at the place of `field`.
    pub fn fault(&self, field: &str, found: impl Into<String>, allowed: &str) -> CheckError {
        one_fault(&self.file, &self.text, field, found.into(), allowed)
    }

    /// What only shows once all fields are known.
    fn check_whole(&self) -> Result<(), CheckError> {
        let scenario = &self.scenario;
        if let Some((field, found, allowed)) = scenario.division_fault() {
            return Err(self.fault(field, found, allowed));
        }
        for (k, group) in scenario.attackers.iter().enumerate() {
            if (group.count == 0) == group.members.is_empty() {
                let found = "both or neither of `count` and `members`";
                return Err(self.fault(&format!("attackers[{k}]"), found, "one of the two"));
            }
            if group.knowledge != scenario.attackers[0].knowledge {
                let field = format!("attackers[{k}].knowledge");
                return Err(self.fault(&field, "other than the first group's", "the same for all"));
            }
            group.schedule.check().map_err(|error| {
                self.fault(&format!("attackers[{k}].schedule"), error.to_string(), "see above")
            })?;
        }
        if let Some((field, found, allowed)) = scenario.model_fault() {
            return Err(self.fault(field, found, allowed));
        }
        self.check_changes("changes", &scenario.changes)?;
        self.check_sweep()?;
        if scenario.acceptance.caught_within.is_some() && scenario.acceptance.caught_min.is_none() {
            let found = "it stands without `caught_min`";
            let allowed = "beside the share that is to be caught by then";
            return Err(self.fault("acceptance.caught_within", found, allowed));
        }
        let mut seeds = scenario.seeds.clone();
        seeds.sort_unstable();
        if seeds.windows(2).any(|two| two[0] == two[1]) {
            return Err(self.fault("seeds", "a seed twice", "each seed once"));
        }
        Ok(())
    }

    /// What groups of honest members that change must be.
    fn check_changes(&self, field: &str, changes: &[ChangeGroup]) -> Result<(), CheckError> {
        for (k, group) in changes.iter().enumerate() {
            if (group.count == 0) == group.members.is_empty() {
                let found = "both or neither of `count` and `members`";
                return Err(self.fault(&format!("{field}[{k}]"), found, "one of the two"));
            }
            if group.round > self.scenario.rounds {
                let found = format!("round {} of {}", group.round, self.scenario.rounds);
                let allowed = "a round of the scenario, from 2";
                return Err(self.fault(&format!("{field}[{k}].round"), found, allowed));
            }
        }
        Ok(())
    }

    /// What the combinations of a sweep must be.
    fn check_sweep(&self) -> Result<(), CheckError> {
        let axes = &self.scenario.sweep;
        let schedule = |field: String, schedule: &Schedule| {
            schedule.check().map_err(|error| self.fault(&field, error.to_string(), "see above"))
        };
        for (k, each) in axes.schedules.iter().enumerate() {
            schedule(format!("sweep.schedules[{k}]"), each)?;
        }
        for (k, entry) in axes.attacks.iter().enumerate() {
            let AttackEntry::With(with) = entry else { continue };
            if let Some(each) = &with.schedule {
                schedule(format!("sweep.attacks[{k}].schedule"), each)?;
            }
        }
        if !axes.attacks.is_empty() && self.scenario.attackers.is_empty() {
            let found = "attacks without a group of attackers";
            return Err(self.fault("sweep.attacks", found, "an `[[attackers]]` table beside them"));
        }
        for (k, entry) in axes.changes.iter().enumerate() {
            self.check_changes(&format!("sweep.changes[{k}].changes"), &entry.changes)?;
        }
        for (k, entry) in axes.data.iter().enumerate() {
            let mut one = self.scenario.clone();
            entry.put_into(&mut one);
            if let Some((field, found, allowed)) = one.division_fault().or(one.model_fault()) {
                let field = format!("sweep.data[{k}].{field}");
                return Err(self.fault(&field, found, allowed));
            }
        }
        for combination in combinations(&self.scenario) {
            let one = combination.scenario;
            if let Some((field, found, allowed)) = one.division_fault().or(one.model_fault()) {
                let axis = if field == "model" { "sweep.models" } else { "sweep.splits" };
                return Err(self.fault(axis, found, allowed));
            }
        }
        Ok(())
    }

    /// SHA-256 of all that decides what one seed leads to: neither words nor thresholds nor the
    /// other seeds.
    pub fn digest(&self) -> Digest {
        let decisive = ScenarioFile {
            title: String::new(),
            description: String::new(),
            seeds: Vec::new(),
            acceptance: Acceptance::default(),
            sweep: Axes::default(),
            ..self.scenario.clone()
        };
        let json = serde_json::to_vec(&decisive).expect("a scenario has text keys only");
        Digest::of(&json)
    }
}

impl ScenarioFile {
    /// What is wrong with how data, split and number of members go together: the field, what was
    /// found, what is allowed.
    fn division_fault(&self) -> Option<(&'static str, String, &'static str)> {
        let divided = !self.data.has_sites() || self.split.is_some();
        let members = self.members;
        if divided && members < 2 {
            let found = format!("{members} members");
            return Some(("members", found, "2 or more, for data without own sites"));
        }
        if self.data.is_generated() && self.split.is_some() {
            let found = "a split of generated data".to_owned();
            return Some(("split", found, "no `split`: see the generator's fields"));
        }
        if self.split == Some(Skew::Within) && !self.data.has_sites() {
            let found = "`within` of data without sites of their own".to_owned();
            return Some(("split", found, "`iid`, `size` or `label`"));
        }
        if !divided && members != 0 && !self.data.has_site_column() {
            let found = format!("{members} members of data with sites of their own");
            return Some(("members", found, "no `members`, or a `split`"));
        }
        None
    }

    /// What is wrong with how data, shift and model go together.
    fn model_fault(&self) -> Option<(&'static str, String, &'static str)> {
        if matches!(self.model, ModelChoice::Cnn { .. }) && !self.data.has_images() {
            let found = "a convolutional network on data that are no images".to_owned();
            return Some(("model", found, "data `digits` or `npz`, or another model"));
        }
        if self.shift != SiteShift::default() && self.data.is_generated() {
            let found = "a shift of generated data".to_owned();
            return Some(("shift", found, "no `shift`: see the generator's fields"));
        }
        None
    }

    /// The scenario as a file, without what it leaves to its defaults.
    pub fn to_toml(&self) -> String {
        let mut value = serde_json::to_value(self).expect("a scenario has text keys only");
        prune(&mut value);
        toml::to_string(&value).expect("what is left is tables of plain values")
    }
}

/// Takes out what is absent: nulls, empty lists and tables, and zeros that stand for absence.
fn prune(value: &mut Value) {
    let Value::Object(fields) = value else {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(prune);
        }
        return;
    };
    fields.values_mut().for_each(|value| {
        prune(value);
        // Single precision as people write it: 0.05, not 0.05000000074505806.
        let narrow = value
            .as_f64()
            .filter(|wide| value.is_f64() && f64::from(*wide as f32).to_bits() == wide.to_bits());
        if let Some(short) = narrow.and_then(|wide| (wide as f32).to_string().parse::<f64>().ok()) {
            *value = short.into();
        }
    });
    fields.retain(|name, value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        // The number of members says it.
        Value::Number(_) if name == "sites" => false,
        Value::Number(number) if number.as_u64() == Some(0) => {
            !["members", "count", "measure_every"].contains(&name.as_str())
        }
        _ => true,
    });
}

/// Which attack it is that cannot be read, and why: their knobs know more than their shapes say.
fn blame(value: &Value) -> Option<(String, serde_json::Error)> {
    let fault = |field: String, attack: &Value| {
        Attack::deserialize(attack).err().map(|error| (field, error))
    };
    let groups = value["attackers"].as_array().into_iter().flatten().enumerate();
    let swept = value["sweep"]["attacks"].as_array().into_iter().flatten().enumerate();
    let swept = swept.filter_map(|(k, entry)| match entry.get("attack") {
        Some(attack) => fault(format!("sweep.attacks[{k}].attack"), attack),
        None => fault(format!("sweep.attacks[{k}]"), entry),
    });
    groups
        .filter_map(|(k, group)| fault(format!("attackers[{k}].attack"), &group["attack"]))
        .chain(swept)
        .next()
}

fn one_fault(file: &str, text: &str, field: &str, found: String, allowed: &str) -> CheckError {
    let (line, column) = place(text, field);
    let (field, allowed) = (field.to_owned(), allowed.to_owned());
    CheckError {
        file: file.to_owned(),
        faults: vec![Fault { line, column, field, found, allowed }],
    }
}
