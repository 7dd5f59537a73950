//! Thresholds that a user states, and whether a scenario's outcome keeps to them.

use serde::{Deserialize, Serialize};

use super::results::{Bracket, MeasureName, SeedResult};
use super::shape::{Field, Shape};
use super::stats::{mean_of, median_delay, Mean};

/// What the outcome must not exceed. A threshold that is absent is not asked about. Losses are
/// differences to the run with the attackers absent, at the end, as shares (0.02 is two points).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acceptance {
    /// Judge losses by their mean over seeds or by the worst seed.
    pub judge: Judge,
    /// Most accuracy that may be lost.
    pub accuracy_loss_max: Option<f64>,
    /// Most recall of class 1 that may be lost.
    pub recall_loss_max: Option<f64>,
    /// Most area under the ROC curve that may be lost.
    pub auc_loss_max: Option<f64>,
    /// Most that the mean probability given to class 1 may fall, as a share of its value with the
    /// attackers absent.
    pub underestimation_max: Option<f64>,
    /// Most accuracy that may be lost at the honest member where it is lowest.
    pub worst_site_loss_max: Option<f64>,
    /// Highest attack success at the end, less what the model does by itself with the attackers
    /// absent.
    pub attack_success_max: Option<f64>,
    /// Least share of attackers that must have been in quarantine.
    pub caught_min: Option<f64>,
    /// Most rounds from onset to quarantine, for the median attacker; one never caught counts as
    /// infinitely late.
    pub detection_delay_max: Option<u64>,
    /// Most honest members that may ever be in quarantine, over all seeds, under attack and with
    /// the attackers absent.
    pub honest_quarantined_max: Option<usize>,
    /// Most seeds in which the task may be frozen.
    pub frozen_max: Option<usize>,
}

/// How losses are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// By the mean over seeds.
    #[default]
    Mean,
    /// By the seed with the greatest loss.
    Worst,
}

/// One threshold beside what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Field of [`Acceptance`].
    pub threshold: String,
    /// What is asked, in plain words.
    pub question: String,
    /// What was measured; `None` for never (a delay) or where the measure does not exist.
    pub measured: Option<f64>,
    /// The limit.
    pub limit: f64,
    /// Whether values are shares, to be told in percent.
    pub share: bool,
    /// Whether it holds.
    pub holds: bool,
}

/// The answer to "does this configuration withstand that?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether every check holds; true when nothing was asked.
    pub pass: bool,
    /// The checks in the order of [`Acceptance`]'s fields.
    pub checks: Vec<Check>,
}

/// What a scenario led to, over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// For each measure: end values of the four runs, and losses.
    pub measures: Vec<MeasureSummary>,
    /// Share by which the mean probability given to class 1 fell, under the contract.
    pub underestimation: Option<Mean>,
    /// The same under plain averaging.
    pub plain_underestimation: Option<Mean>,
    /// Attackers over all seeds.
    pub hostile: usize,
    /// Of these, in quarantine at some time.
    pub caught: usize,
    /// Honest members over all seeds.
    pub honest: usize,
    /// Of these, in quarantine at some time under attack.
    pub honest_quarantined: usize,
    /// Of these, in quarantine at some time with the attackers absent: the false-positive control.
    pub honest_quarantined_absent: usize,
    /// Seeds in which the task was frozen under attack.
    pub frozen: usize,
    /// Seeds in which it was frozen with the attackers absent.
    pub frozen_absent: usize,
    /// Rounds from onset to quarantine, one for each attacker of each seed; `None` for never.
    pub delays: Vec<Option<u64>>,
    /// Their median; `None` when at least half were never caught.
    pub delay_median: Option<u64>,
}

/// One measure over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureSummary {
    /// Which.
    pub measure: MeasureName,
    /// At the end, attacked under the contract.
    pub attacked: Option<Mean>,
    /// At the end, attackers absent under the contract.
    pub absent: Option<Mean>,
    /// At the end, attacked under plain averaging.
    pub plain: Option<Mean>,
    /// At the end, attackers absent under plain averaging.
    pub plain_absent: Option<Mean>,
    /// `absent` − `attacked`, seed by seed.
    pub loss: Option<Mean>,
    /// `plain_absent` − `plain`, seed by seed.
    pub plain_loss: Option<Mean>,
}

/// Sums up the seeds.
pub fn summarise(seeds: &[SeedResult]) -> Summary {
    let measures = MeasureName::ALL.into_iter().map(|measure| {
        let end = |bracket| mean_of(seeds.iter().map(|seed| seed.run(bracket).end().get(measure)));
        MeasureSummary {
            measure,
            attacked: end(Bracket::Attacked),
            absent: end(Bracket::Absent),
            plain: end(Bracket::Plain),
            plain_absent: end(Bracket::PlainAbsent),
            loss: mean_of(seeds.iter().map(|seed| seed.loss(measure))),
            plain_loss: mean_of(seeds.iter().map(|seed| seed.plain_loss(measure))),
        }
    });
    let fallen = |seed: &SeedResult, before, after| {
        let measure = MeasureName::PositiveProbability;
        let before = seed.run(before).end().get(measure).filter(|before| *before > 0.0)?;
        Some(1.0 - seed.run(after).end().get(measure)? / before)
    };
    let delays: Vec<Option<u64>> = seeds.iter().flat_map(SeedResult::delays).collect();
    let total = |of: &dyn Fn(&SeedResult) -> usize| seeds.iter().map(of).sum::<usize>();
    Summary {
        measures: measures.collect(),
        underestimation: mean_of(
            seeds.iter().map(|seed| fallen(seed, Bracket::Absent, Bracket::Attacked)),
        ),
        plain_underestimation: mean_of(
            seeds.iter().map(|seed| fallen(seed, Bracket::PlainAbsent, Bracket::Plain)),
        ),
        hostile: delays.len(),
        caught: delays.iter().flatten().count(),
        honest: total(&|seed| seed.attacked.members.iter().filter(|m| !m.hostile).count()),
        honest_quarantined: total(&|seed| seed.attacked.honest_quarantined()),
        honest_quarantined_absent: total(&|seed| seed.absent.honest_quarantined()),
        frozen: total(&|seed| usize::from(seed.attacked.frozen.is_some())),
        frozen_absent: total(&|seed| usize::from(seed.absent.frozen.is_some())),
        delay_median: median_delay(&delays),
        delays,
    }
}

impl Summary {
    /// The summary of one measure.
    ///
    /// # Panics
    /// Never: all measures are summed up.
    pub fn measure(&self, measure: MeasureName) -> &MeasureSummary {
        self.measures.iter().find(|of| of.measure == measure).expect("all measures are there")
    }
}

impl Acceptance {
    /// Whether any threshold is stated.
    pub fn asks(&self) -> bool {
        *self != Self { judge: self.judge, ..Self::default() }
    }

    /// Judges the outcome.
    pub fn judge(&self, summary: &Summary) -> Verdict {
        use MeasureName::{Accuracy, AttackSuccess, Auc, Recall, WorstSiteAccuracy};
        let mut checks = Vec::new();
        let by = |mean: Option<Mean>| {
            mean.map(|mean| match self.judge {
                Judge::Mean => mean.mean,
                Judge::Worst => mean.max,
            })
        };
        let loss = |measure| by(summary.measure(measure).loss);
        let mut at_most = |threshold: &str, limit: Option<f64>, question: &str, measured, share| {
            checks.extend(limit.map(|limit| Check {
                threshold: threshold.to_owned(),
                question: question.to_owned(),
                measured,
                limit,
                share,
                // An attack without a target cannot reach it.
                holds: measured.map_or(threshold == "attack_success_max", |m: f64| m <= limit),
            }));
        };
        let (accuracy, recall, auc) = (loss(Accuracy), loss(Recall), loss(Auc));
        at_most("accuracy_loss_max", self.accuracy_loss_max, "accuracy lost", accuracy, true);
        at_most("recall_loss_max", self.recall_loss_max, "cases no longer found", recall, true);
        at_most("auc_loss_max", self.auc_loss_max, "area under the ROC curve lost", auc, true);
        let risk = by(summary.underestimation);
        at_most("underestimation_max", self.underestimation_max, "risk underestimated", risk, true);
        let worst = loss(WorstSiteAccuracy);
        let question = "accuracy lost at the worst honest site";
        at_most("worst_site_loss_max", self.worst_site_loss_max, question, worst, true);
        // The attack's own gain is the loss with its sign turned.
        let gain = summary.measure(AttackSuccess).loss.map(|loss| match self.judge {
            Judge::Mean => -loss.mean,
            Judge::Worst => -loss.min,
        });
        let question = "attacker's goal reached, beyond chance";
        at_most("attack_success_max", self.attack_success_max, question, gain, true);
        let delay = summary.delay_median.map(|delay| delay as f64);
        let limit = self.detection_delay_max.map(|limit| limit as f64);
        at_most(
            "detection_delay_max",
            limit,
            "rounds until the median attacker was out",
            delay,
            false,
        );
        let wronged = summary.honest_quarantined + summary.honest_quarantined_absent;
        let limit = self.honest_quarantined_max.map(|limit| limit as f64);
        let question = "honest members ever put in quarantine, all runs";
        at_most("honest_quarantined_max", limit, question, Some(wronged as f64), false);
        let frozen = (summary.frozen + summary.frozen_absent) as f64;
        let limit = self.frozen_max.map(|limit| limit as f64);
        at_most("frozen_max", limit, "runs in which the task froze", Some(frozen), false);
        checks.extend(self.caught_min.map(|limit| {
            let share =
                (summary.hostile > 0).then(|| summary.caught as f64 / summary.hostile as f64);
            Check {
                threshold: "caught_min".to_owned(),
                question: "attackers put in quarantine, at least".to_owned(),
                measured: share,
                limit,
                share: true,
                holds: share.is_some_and(|share| share >= limit),
            }
        }));
        Verdict { pass: checks.iter().all(|check| check.holds), checks }
    }
}

/// The fields of a scenario's table `acceptance`.
pub fn fields() -> Vec<Field> {
    let absent = "not asked about";
    let share =
        |name, doc| Field::optional(name, Shape::Number { min: -1.0, max: 1.0 }, absent, doc);
    let count = |name, doc| Field::optional(name, Shape::count(0, 1_000_000), absent, doc);
    vec![
        Field::default(
            "judge",
            Shape::Choice(vec!["mean", "worst"]),
            "mean",
            "Judge losses by their mean over seeds, or by the worst seed.",
        ),
        share(
            "accuracy_loss_max",
            "Most accuracy lost against attackers absent; 0.02 is 2 points.",
        ),
        share("recall_loss_max", "Most recall of class 1 lost."),
        share("auc_loss_max", "Most area under the ROC curve lost."),
        share(
            "underestimation_max",
            "Most that the mean probability given to class 1 may fall, as a share of itself.",
        ),
        share("worst_site_loss_max", "Most accuracy lost at the honest member where it is lowest."),
        share(
            "attack_success_max",
            "Highest success of a targeted attack, beyond what it is with the attackers absent.",
        ),
        Field::optional(
            "caught_min",
            Shape::share(),
            absent,
            "Least share of attackers that must have been in quarantine.",
        ),
        count("detection_delay_max", "Most rounds from onset to the median attacker's quarantine."),
        count(
            "honest_quarantined_max",
            "Most honest members ever in quarantine, over all seeds, with and without attackers.",
        ),
        count("frozen_max", "Most runs in which the task froze."),
    ]
}
