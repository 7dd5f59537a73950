//! Thresholds that a user states, and whether a scenario's outcome keeps to them.

use serde::{Deserialize, Serialize};

use super::results::{Bracket, MeasureName, RunResult, SeedResult};
use super::shape::{Field, Shape};
use super::stats::{delay_interval, delay_rank, median_delay, Interval, Mean, Share};

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
    /// Most accuracy that the contract itself may cost: against plain averaging, both with the attackers
    /// absent.
    pub contract_cost_max: Option<f64>,
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
    /// Rounds from onset within which `caught_min` asks for it; any when absent.
    pub caught_within: Option<u64>,
    /// Most rounds from onset to quarantine, for the median attacker; one never caught counts as
    /// infinitely late.
    pub detection_delay_max: Option<u64>,
    /// Most honest members that may ever be in quarantine, over all seeds, under attack and with
    /// the attackers absent.
    pub honest_quarantined_max: Option<usize>,
    /// The same as a share of all honest members of these runs.
    pub honest_quarantined_share_max: Option<f64>,
    /// Most rounds in a row that an honest member may be in quarantine; one that is there at the end
    /// never came back.
    pub honest_return_max: Option<u64>,
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
    /// 95 % interval of what was measured, by bootstrap over seeds, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
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
    /// Number of seeds.
    pub seeds: usize,
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
    /// Of these, in quarantine at some time under attack; none where nobody attacks.
    pub honest_quarantined: usize,
    /// Of these, in quarantine at some time with the attackers absent: the false-positive control.
    pub honest_quarantined_absent: usize,
    /// Seeds in which the task was frozen under attack; none where nobody attacks.
    pub frozen: usize,
    /// Seeds in which it was frozen with the attackers absent.
    pub frozen_absent: usize,
    /// Attackers ever in quarantine, as a share.
    pub caught_share: Share,
    /// Honest members ever in quarantine, with and without attackers, as a share of the honest members
    /// of these runs.
    pub wronged_share: Share,
    /// Longest stay of an honest member in quarantine in rounds, over all these runs; `None` when one
    /// is there at the end.
    pub honest_stay: Option<u64>,
    /// Rounds from onset to quarantine, one for each attacker of each seed; `None` for never.
    pub delays: Vec<Option<u64>>,
    /// Their median; `None` when at least half were never caught.
    pub delay_median: Option<u64>,
    /// 95 % interval of that by bootstrap over seeds; an absent end is never.
    pub delay_interval: Option<Interval>,
    /// Rounds after which nine in ten attackers were in quarantine; `None` when fewer ever were.
    #[serde(default)]
    pub delay_p90: Option<u64>,
    /// Attackers in quarantine within [`SOON`] rounds of the onset.
    #[serde(default)]
    pub caught_soon: Share,
}

/// Rounds from the onset within which a slow attack is to be found.
pub const SOON: u64 = 25;

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
    /// `plain_absent` − `absent`, seed by seed: what the contract costs where nobody attacks.
    pub cost: Option<Mean>,
}

/// Sums up the seeds.
pub fn summarise(seeds: &[SeedResult]) -> Summary {
    let measures = MeasureName::ALL.into_iter().map(|measure| {
        let over =
            |of: &dyn Fn(&SeedResult) -> Option<f64>| Mean::bootstrapped(seeds.iter().map(of));
        let end = |bracket| over(&|seed: &SeedResult| seed.run(bracket).end().get(measure));
        MeasureSummary {
            measure,
            attacked: end(Bracket::Attacked),
            absent: end(Bracket::Absent),
            plain: end(Bracket::Plain),
            plain_absent: end(Bracket::PlainAbsent),
            loss: over(&|seed| seed.loss(measure)),
            plain_loss: over(&|seed| seed.plain_loss(measure)),
            cost: over(&|seed| seed.cost(measure)),
        }
    });
    let fallen = |before, after| {
        let measure = MeasureName::PositiveProbability;
        Mean::bootstrapped(seeds.iter().map(|seed| {
            let before = seed.run(before).end().get(measure).filter(|before| *before > 0.0)?;
            Some(1.0 - seed.run(after).end().get(measure)? / before)
        }))
    };
    let delays: Vec<Vec<Option<u64>>> = seeds.iter().map(SeedResult::delays).collect();
    let all: Vec<Option<u64>> = delays.concat();
    let total = |of: &dyn Fn(&SeedResult) -> usize| seeds.iter().map(of).sum::<usize>();
    // Where nobody attacks the attacked run is the control itself.
    let attacked = |seed: &&SeedResult| seed.attacked.members.iter().any(|m| m.hostile);
    let under = |of: &dyn Fn(&RunResult) -> usize| {
        seeds.iter().filter(attacked).map(|seed| of(&seed.attacked)).sum::<usize>()
    };
    let share = |of: &dyn Fn(&SeedResult) -> (usize, usize)| {
        Share::over(&seeds.iter().map(of).collect::<Vec<_>>())
    };
    let runs = seeds.iter().flat_map(|seed| [&seed.attacked, &seed.absent]);
    Summary {
        seeds: seeds.len(),
        measures: measures.collect(),
        underestimation: fallen(Bracket::Absent, Bracket::Attacked),
        plain_underestimation: fallen(Bracket::PlainAbsent, Bracket::Plain),
        hostile: all.len(),
        caught: all.iter().flatten().count(),
        honest: total(&|seed| seed.attacked.members.iter().filter(|m| !m.hostile).count()),
        honest_quarantined: under(&RunResult::honest_quarantined),
        honest_quarantined_absent: total(&|seed| seed.absent.honest_quarantined()),
        frozen: under(&|run| usize::from(run.frozen.is_some())),
        frozen_absent: total(&|seed| usize::from(seed.absent.frozen.is_some())),
        caught_share: share(&|seed| seed.caught_within(u64::MAX)),
        wronged_share: share(&SeedResult::honest_wronged),
        honest_stay: runs
            .map(RunResult::honest_stay)
            .try_fold(0, |longest, stay| Some(longest.max(stay?))),
        delay_median: median_delay(&all),
        delay_interval: delay_interval(&delays),
        delay_p90: delay_rank(&all, 0.9),
        caught_soon: share(&|seed| seed.caught_within(SOON)),
        delays: all,
    }
}

impl Summary {
    /// Attackers in quarantine at most `rounds` rounds after the onset.
    pub fn caught_within(&self, rounds: u64) -> Share {
        let each = (self.delays.len() / self.seeds.max(1)).max(1);
        let seeds = self.delays.chunks(each).map(|delays| {
            (delays.iter().flatten().filter(|delay| **delay <= rounds).count(), delays.len())
        });
        Share::over(&seeds.collect::<Vec<_>>())
    }

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
        let mut checks = self.losses(summary);
        checks.extend(self.members(summary));
        Verdict { pass: checks.iter().all(|check| check.holds), checks }
    }

    /// A mean over seeds, or the worst seed.
    fn over_seeds(&self, mean: Option<Mean>) -> (Option<f64>, Option<Interval>) {
        let Some(mean) = mean else { return (None, None) };
        match self.judge {
            Judge::Mean => (Some(mean.mean), mean.bootstrap),
            Judge::Worst => (Some(mean.max), None),
        }
    }

    /// What was done to the model.
    fn losses(&self, summary: &Summary) -> Vec<Check> {
        use MeasureName::{Accuracy, AttackSuccess, Auc, Recall, WorstSiteAccuracy};
        let loss = |measure| summary.measure(measure).loss;
        // The attack's own gain is the loss with its sign turned.
        let gain = loss(AttackSuccess).map(Mean::negated);
        let asked = [
            ("accuracy_loss_max", self.accuracy_loss_max, "accuracy lost", loss(Accuracy)),
            ("recall_loss_max", self.recall_loss_max, "cases no longer found", loss(Recall)),
            ("auc_loss_max", self.auc_loss_max, "area under the ROC curve lost", loss(Auc)),
            (
                "contract_cost_max",
                self.contract_cost_max,
                "accuracy that the contract costs where nobody attacks",
                summary.measure(Accuracy).cost,
            ),
            (
                "underestimation_max",
                self.underestimation_max,
                "risk underestimated",
                summary.underestimation,
            ),
            (
                "worst_site_loss_max",
                self.worst_site_loss_max,
                "accuracy lost at the worst honest site",
                loss(WorstSiteAccuracy),
            ),
            (
                "attack_success_max",
                self.attack_success_max,
                "attacker's goal reached, beyond what clean models do",
                gain,
            ),
        ];
        let checks = asked.into_iter().filter_map(|(threshold, limit, question, mean)| {
            let (measured, interval) = self.over_seeds(mean);
            let check = Check::at_most(threshold, question, limit?, measured, true);
            // An attack without a target cannot reach it.
            let holds = check.holds || (threshold == "attack_success_max" && measured.is_none());
            Some(Check { interval, holds, ..check })
        });
        checks.collect()
    }

    /// What became of members.
    fn members(&self, summary: &Summary) -> Vec<Check> {
        let count = |limit: Option<usize>| limit.map(|limit| limit as f64);
        let rounds = |rounds: Option<u64>| rounds.map(|rounds| rounds as f64);
        let mut checks = Vec::new();
        let mut ask = |threshold, question: &str, limit: Option<f64>, measured, share, interval| {
            checks.extend(limit.map(|limit| {
                let check = Check::at_most(threshold, question, limit, measured, share);
                Check { interval, ..check }
            }));
        };
        let question = "rounds until the median attacker was out";
        let (delay, interval) = (rounds(summary.delay_median), summary.delay_interval);
        ask(
            "detection_delay_max",
            question,
            rounds(self.detection_delay_max),
            delay,
            false,
            interval,
        );
        let question = "honest members ever put in quarantine, all runs";
        let wronged = &summary.wronged_share;
        let (limit, found) = (count(self.honest_quarantined_max), Some(wronged.count as f64));
        ask("honest_quarantined_max", question, limit, found, false, None);
        let question = "share of honest members ever put in quarantine";
        let (limit, found) = (self.honest_quarantined_share_max, wronged.share().or(Some(0.0)));
        ask("honest_quarantined_share_max", question, limit, found, true, wronged.bootstrap);
        let question = "rounds until the last honest member was back from quarantine";
        let (limit, stay) = (rounds(self.honest_return_max), rounds(summary.honest_stay));
        ask("honest_return_max", question, limit, stay, false, None);
        let frozen = Some((summary.frozen + summary.frozen_absent) as f64);
        ask(
            "frozen_max",
            "runs in which the task froze",
            count(self.frozen_max),
            frozen,
            false,
            None,
        );
        checks.extend(self.caught_min.map(|limit| self.caught(summary, limit)));
        checks
    }

    fn caught(&self, summary: &Summary, limit: f64) -> Check {
        let within = self.caught_within.unwrap_or(u64::MAX);
        let caught = summary.caught_within(within);
        let share = caught.share();
        let within = self
            .caught_within
            .map_or_else(String::new, |rounds| format!(" within {rounds} rounds"));
        Check {
            threshold: "caught_min".to_owned(),
            question: format!("attackers put in quarantine{within}, at least"),
            measured: share,
            interval: caught.bootstrap,
            limit,
            share: true,
            holds: share.is_some_and(|share| share >= limit),
        }
    }
}

impl Check {
    /// Whether `measured` is at most `limit`; what could not be measured is not.
    fn at_most(
        threshold: &str,
        question: &str,
        limit: f64,
        measured: Option<f64>,
        share: bool,
    ) -> Self {
        Self {
            threshold: threshold.to_owned(),
            question: question.to_owned(),
            measured,
            interval: None,
            limit,
            share,
            holds: measured.is_some_and(|measured| measured <= limit),
        }
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
            "contract_cost_max",
            "Most accuracy that the contract itself costs: against plain averaging, both with the \
             attackers absent.",
        ),
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
        Field::optional(
            "caught_within",
            Shape::count(1, 1_000_000),
            "any number",
            "Rounds from onset within which `caught_min` asks for it.",
        ),
        count("detection_delay_max", "Most rounds from onset to the median attacker's quarantine."),
        count(
            "honest_quarantined_max",
            "Most honest members ever in quarantine, over all seeds, with and without attackers.",
        ),
        Field::optional(
            "honest_quarantined_share_max",
            Shape::share(),
            absent,
            "The same as a share of all honest members of these runs.",
        ),
        count(
            "honest_return_max",
            "Most rounds in a row that an honest member may be in quarantine; one that is there at the \
             end never came back.",
        ),
        count("frozen_max", "Most runs in which the task froze."),
    ]
}

#[cfg(test)]
mod tests;
