//! What an attack costs under a task, against the same consortium without its attackers.

use std::path::Path;

use fedledger_contract::profile::{apply, Profile};
use fedledger_ledger::ids::{IdError, TaskId};
use fedledger_ledger::task::TaskSpec;

use crate::attack::{Alie, Attack, Backdoor, InnerProduct, Knowledge, LabelFlip, SignFlip, Sybil};
use crate::data::{CsvOptions, Dataset};
use crate::federation::{Federation, FederationError};
use crate::metrics::attack_success;
use crate::model::{train, Training};
use crate::scenario::{folder, Scenario, ScenarioError};
use crate::seed;

/// One attacked run beside its references. Areas are under the ROC curve on the union of the honest
/// members' held-out parts; NaN when it has one class only.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// With the attackers, under the task.
    pub attacked: f64,
    /// Without the attackers, under the same task (with f for the smaller consortium).
    pub absent: f64,
    /// Without the attackers, plain averaging by examples.
    pub absent_mean: f64,
    /// With the attackers, plain averaging by examples from start to end.
    pub attacked_mean: f64,
    /// For a backdoor, how often its trigger works.
    pub trigger: Option<TriggerSuccess>,
    /// Hostile members that were in quarantine at some time.
    pub hostile_quarantined: usize,
    /// Honest members that were in quarantine at some time. With f hostile ones caught it stays 0
    /// whatever happens: the task freezes instead, see `frozen`.
    pub honest_quarantined: usize,
    /// The round in which the task was frozen, if it was: more than f members were suspected, so at
    /// least one honest one.
    pub frozen: Option<u64>,
}

/// Share of the honest members' held-out rows of the other class that a model gives the backdoor's
/// class once they carry the trigger. Without attackers it is what the trigger's values do by
/// themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TriggerSuccess {
    /// With the attackers, under the task.
    pub attacked: f64,
    /// Without the attackers, under the same task.
    pub absent: f64,
    /// With the attackers, plain averaging by examples.
    pub attacked_mean: f64,
}

impl Comparison {
    /// How much the attack costs against the better of the two references.
    pub fn loss(&self) -> f64 {
        self.absent.max(self.absent_mean) - self.attacked
    }
}

/// A task, given its scenario.
pub type TaskOf<'a> = &'a (dyn Fn(&Scenario) -> Result<TaskSpec, FederationError> + Sync);

/// The default task of a scenario.
///
/// # Errors
/// When the model makes no schema.
pub fn default_task(scenario: &Scenario) -> Result<TaskSpec, FederationError> {
    scenario.task(task_id()?)
}

/// Plain averaging by examples: the contract's profile `plain`.
///
/// # Errors
/// When the model makes no schema.
pub fn mean_task(scenario: &Scenario) -> Result<TaskSpec, FederationError> {
    Ok(apply(Profile::Plain, default_task(scenario)?, scenario.sites.len()))
}

fn task_id() -> Result<TaskId, IdError> {
    TaskId::new("comparison")
}

/// Runs `scenario` with and without its hostile members.
///
/// # Errors
/// When a federation cannot run.
pub fn compare(
    scenario: &Scenario,
    knowledge: Knowledge,
    task_of: TaskOf<'_>,
) -> Result<Comparison, FederationError> {
    let honest = scenario.honest();
    let area = |model: &[f32]| scenario.evaluate(model, &honest).auc.unwrap_or(f64::NAN);
    let absent = scenario.attackers_absent();
    let run = |scenario: &Scenario, task: TaskSpec| -> Result<_, FederationError> {
        let mut federation: Federation = scenario.federation(task, knowledge)?;
        let reports = federation.run()?;
        Ok((federation.model(), reports))
    };
    let (model, reports) = run(scenario, task_of(scenario)?)?;
    let quarantined = |hostile: bool| {
        (0..scenario.sites.len())
            .filter(|k| scenario.hostile.contains(k) == hostile)
            .filter(|k| reports.iter().any(|report| report.quarantined().contains(k)))
            .count()
    };
    let (absent_model, _) = run(&absent, task_of(&absent)?)?;
    let (mean_model, _) = run(scenario, mean_task(scenario)?)?;
    let frozen = reports.last().filter(|_| (reports.len() as u64) < scenario.rounds);
    Ok(Comparison {
        attacked: area(&model),
        absent: area(&absent_model),
        absent_mean: area(&run(&absent, mean_task(&absent)?)?.0),
        attacked_mean: area(&mean_model),
        trigger: trigger_success(scenario, [&model, &absent_model, &mean_model]),
        hostile_quarantined: quarantined(true),
        honest_quarantined: quarantined(false),
        frozen: frozen.map(|report| report.round),
    })
}

/// Of the attacked, the attackers-absent and the plainly averaged model.
fn trigger_success(scenario: &Scenario, models: [&Vec<f32>; 3]) -> Option<TriggerSuccess> {
    let honest = scenario.honest();
    let union = Dataset::union(honest.iter().map(|&k| &scenario.sites[k].test))?;
    let probe = scenario.attack.probe(&union)?;
    let [attacked, absent, attacked_mean] =
        models.map(|model| attack_success(&scenario.spec, model, &probe));
    Some(TriggerSuccess { attacked: attacked?, absent: absent?, attacked_mean: attacked_mean? })
}

/// One model trained on all members' rows together, by the same code: what a federation is measured
/// against.
pub fn pooled_model(scenario: &Scenario, epochs: usize) -> Vec<f32> {
    let union = Dataset::union(scenario.sites.iter().map(|site| &site.train))
        .expect("a scenario has members");
    let base = scenario.initial_model();
    let training = Training { epochs, ..scenario.training };
    let mut rng = seed::stream(scenario.seed, "pooled", 0, 0);
    let update = train(&scenario.spec, &base, &union, &training, &mut rng);
    base.iter().zip(update).map(|(start, step)| start + step).collect()
}

/// The six attacks with the knobs that they are measured with, loud and quiet, and what they know.
pub fn attacks_measured() -> Vec<(&'static str, Attack, Knowledge)> {
    use Knowledge::{Colluders, Omniscient};
    let backdoor = |boost| Attack::Backdoor(Backdoor { boost, ..Backdoor::default() });
    let inner_product = |epsilon| Attack::InnerProduct(InnerProduct { epsilon });
    let sybil = |jitter| Attack::Sybil(Sybil { jitter, ..Sybil::default() });
    vec![
        ("sign flip, scale 4", Attack::SignFlip(SignFlip { scale: 4.0 }), Colluders),
        ("sign flip, scale 1", Attack::SignFlip(SignFlip { scale: 1.0 }), Colluders),
        ("label flip", Attack::LabelFlip(LabelFlip::default()), Colluders),
        ("inner product, 1", inner_product(1.0), Colluders),
        ("inner product, 0.5", inner_product(0.5), Colluders),
        ("inner product, 1, omniscient", inner_product(1.0), Omniscient),
        ("inner product, 0.5, omniscient", inner_product(0.5), Omniscient),
        ("alie", Attack::Alie(Alie::default()), Colluders),
        ("alie, omniscient", Attack::Alie(Alie::default()), Omniscient),
        ("backdoor, boost 4", backdoor(4.0), Colluders),
        ("backdoor, boost 1", backdoor(1.0), Colluders),
        ("sybil, copies", sybil(0.0), Colluders),
        ("sybil, jitter 0.02", sybil(0.02), Colluders),
    ]
}

/// The same hospitals with held-out parts drawn by `seed` rather than FLamby's.
///
/// # Errors
/// When the files are not those.
pub fn heart_random_split(path: &Path, seed: u64) -> Result<Scenario, ScenarioError> {
    let drop = ["num", "source_row", "split"].map(str::to_owned).to_vec();
    let options = CsvOptions { drop, seed: seed << 8, ..CsvOptions::new("label") };
    folder(path, &options, 0, Attack::SignFlip(SignFlip::default()), seed)
}

/// The four hospitals of the UCI Heart Disease data in FLamby's split, from the folder
/// `tidy_flamby` of the reference data, nobody hostile.
///
/// # Errors
/// When the files are not those.
pub fn heart(path: &Path, seed: u64) -> Result<Scenario, ScenarioError> {
    let options = CsvOptions {
        drop: vec!["num".to_owned(), "source_row".to_owned()],
        split_column: Some("split".to_owned()),
        ..CsvOptions::new("label")
    };
    folder(path, &options, 0, Attack::SignFlip(SignFlip::default()), seed)
}
