//! What a run leaves behind: numbers by round for the attacked consortium and for the three runs
//! that it is measured against. `docs/laboratory.md` describes the files.

use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;

/// Version of the files. Raised when a field changes its meaning.
pub const FORMAT: &str = "fedledger-laboratory/1";

/// The four runs that every seed makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bracket {
    /// The attackers, under the contract that the scenario names.
    Attacked,
    /// The same without the attackers: what the contract costs by itself, and whom it wrongs.
    Absent,
    /// The attackers, under plain averaging by examples from start to end.
    Plain,
    /// Plain averaging without the attackers.
    PlainAbsent,
}

impl Bracket {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Attacked, Self::Absent, Self::Plain, Self::PlainAbsent];

    /// Its name in the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attacked => "attacked",
            Self::Absent => "absent",
            Self::Plain => "plain",
            Self::PlainAbsent => "plain_absent",
        }
    }

    /// What it is, for a reader of the report.
    pub fn title(self) -> &'static str {
        match self {
            Self::Attacked => "under attack, this contract",
            Self::Absent => "attackers absent, this contract",
            Self::Plain => "under attack, plain averaging",
            Self::PlainAbsent => "attackers absent, plain averaging",
        }
    }
}

/// How good one model is on the honest members' held-out rows. Shares are 0 to 1; `None` where a
/// class is absent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Share of rows classified as they are labelled.
    pub accuracy: f64,
    /// Share of the rows of class 1 (malignant, diseased) that were found.
    pub recall: Option<f64>,
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// Mean probability given to the rows of class 1: what an attacker who lets risks be
    /// underestimated drives down.
    pub positive_probability: Option<f64>,
    /// Mean log loss.
    pub log_loss: f64,
    /// Accuracy at the honest member where it is lowest.
    pub worst_site_accuracy: f64,
    /// Share of the attack's probe rows that the model classifies as the attacker wants; only for
    /// attacks with a target.
    pub attack_success: Option<f64>,
}

impl Quality {
    /// From the measures of all rows together, of the worst site, and of the attack's probe.
    pub fn new(all: &Metrics, worst_site_accuracy: f64, attack_success: Option<f64>) -> Self {
        Self {
            accuracy: rounded(all.accuracy),
            recall: all.recall.map(rounded),
            auc: all.auc.map(rounded),
            positive_probability: all.positive_probability.map(rounded),
            log_loss: rounded(all.log_loss),
            worst_site_accuracy: rounded(worst_site_accuracy),
            attack_success: attack_success.map(rounded),
        }
    }

    /// A measure by its name in the files; `None` where it does not exist.
    pub fn get(&self, measure: MeasureName) -> Option<f64> {
        match measure {
            MeasureName::Accuracy => Some(self.accuracy),
            MeasureName::Recall => self.recall,
            MeasureName::Auc => self.auc,
            MeasureName::PositiveProbability => self.positive_probability,
            MeasureName::WorstSiteAccuracy => Some(self.worst_site_accuracy),
            MeasureName::AttackSuccess => self.attack_success,
        }
    }
}

/// To nine decimals: more than any measure means, and few enough that every JSON reader gets the
/// very same number back.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

/// A measure that charts and thresholds refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureName {
    /// [`Quality::accuracy`].
    Accuracy,
    /// [`Quality::recall`].
    Recall,
    /// [`Quality::auc`].
    Auc,
    /// [`Quality::positive_probability`].
    PositiveProbability,
    /// [`Quality::worst_site_accuracy`].
    WorstSiteAccuracy,
    /// [`Quality::attack_success`].
    AttackSuccess,
}

impl MeasureName {
    /// All of them, in the order of the columns of `rounds.csv`.
    pub const ALL: [Self; 6] = [
        Self::Accuracy,
        Self::Recall,
        Self::Auc,
        Self::PositiveProbability,
        Self::WorstSiteAccuracy,
        Self::AttackSuccess,
    ];

    /// Its name in the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Recall => "recall",
            Self::Auc => "auc",
            Self::PositiveProbability => "positive_probability",
            Self::WorstSiteAccuracy => "worst_site_accuracy",
            Self::AttackSuccess => "attack_success",
        }
    }
}

/// The state of the model after a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundResult {
    /// Number of the round, from 1.
    pub round: u64,
    /// SHA-256 of the model in canonical bytes, in hexadecimal.
    pub model: String,
    /// Why the round led to no new model, when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How good the model is.
    pub quality: Quality,
    /// How good the model is that plain averaging would have made of the very same updates; only in
    /// the attacked run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_updates_averaged: Option<Quality>,
}

/// One member through all rounds. Texts have one letter for each round played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberTrack {
    /// The member's id.
    pub member: String,
    /// Whether it is one of the attackers.
    pub hostile: bool,
    /// The round from which on its data are others, though it is honest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// Training rows.
    pub examples: usize,
    /// Trust after each round, in millionths.
    pub trust_micro: Vec<u32>,
    /// Standing after each round: `a`ctive, `p`robation, `q`uarantine.
    pub standing: String,
    /// Verdict in each round: `a`ccept, `c`lip, `d`own-weight, `r`eject, `q`uarantine.
    pub verdict: String,
    /// Rounds in which its update counted against its trust: `x`, else `.`.
    pub strike: String,
    /// First round after which it was in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<u64>,
    /// What led to that, in the contract's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl MemberTrack {
    /// Longest stay in quarantine in rounds, 0 when it was never there; `None` when it is there at
    /// the end.
    pub fn stay(&self) -> Option<u64> {
        if self.standing.ends_with('q') {
            return None;
        }
        let stays = self.standing.split(|letter| letter != 'q').map(str::len);
        Some(stays.max().unwrap_or(0) as u64)
    }
}

/// One of the four runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The model after the rounds that were measured; the first is round 0, before any training,
    /// the last is the end.
    pub rounds: Vec<RoundResult>,
    /// The members in the order of their ids.
    pub members: Vec<MemberTrack>,
    /// The round in which the task was frozen because more than f members were suspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<u64>,
    /// Members that the contract found moving together, if it looks for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coordination: Vec<Edge>,
}

impl RunResult {
    /// How good the last model is.
    ///
    /// # Panics
    /// When the run has no rounds, which no run has.
    pub fn end(&self) -> &Quality {
        &self.rounds.last().expect("round 0 is always measured").quality
    }

    /// Honest members that were in quarantine at some time.
    pub fn honest_quarantined(&self) -> usize {
        self.members.iter().filter(|m| !m.hostile && m.quarantined.is_some()).count()
    }

    /// Longest stay of an honest member in quarantine in rounds, 0 when none was there; `None` when
    /// one is there at the end.
    pub fn honest_stay(&self) -> Option<u64> {
        let honest = self.members.iter().filter(|member| !member.hostile);
        honest.map(MemberTrack::stay).try_fold(0, |longest, stay| Some(longest.max(stay?)))
    }
}

/// All runs of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// First round in which somebody attacks; `None` when nobody does.
    pub onset: Option<u64>,
    /// First round in which an honest member's data are others; `None` when they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// Rows that models were measured on at the end: the honest members' held-out parts.
    pub test_rows: usize,
    /// Of these, rows of class 1.
    pub test_positives: usize,
    /// How many rounds of the attacked run real nodes played, each the same as in process bit for
    /// bit; absent when it was played in process alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_nodes: Option<u64>,
    /// The attackers under the scenario's contract.
    pub attacked: RunResult,
    /// Nobody hostile, the same contract.
    pub absent: RunResult,
    /// The attackers under plain averaging.
    pub plain: RunResult,
    /// Nobody hostile, plain averaging.
    pub plain_absent: RunResult,
}

/// How often the contract found two members moving together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// One member's id.
    pub from: String,
    /// The other's.
    pub to: String,
    /// Rounds in which it did, as a share of those of the pair that was found most often.
    pub strength: f64,
}

impl SeedResult {
    /// One of the four runs.
    pub fn run(&self, bracket: Bracket) -> &RunResult {
        match bracket {
            Bracket::Attacked => &self.attacked,
            Bracket::Absent => &self.absent,
            Bracket::Plain => &self.plain,
            Bracket::PlainAbsent => &self.plain_absent,
        }
    }

    /// Rounds from the attack's onset until each attacker was in quarantine, in the order of their
    /// ids; `None` for one that never was.
    pub fn delays(&self) -> Vec<Option<u64>> {
        let onset = self.onset.unwrap_or(1);
        let hostile = self.attacked.members.iter().filter(|member| member.hostile);
        hostile.map(|m| m.quarantined.map(|round| round.saturating_sub(onset) + 1)).collect()
    }

    /// Attackers in quarantine at most `rounds` rounds after the onset, and their number.
    pub fn caught_within(&self, rounds: u64) -> (usize, usize) {
        let delays = self.delays();
        let soon = delays.iter().flatten().filter(|delay| **delay <= rounds);
        (soon.count(), delays.len())
    }

    /// Honest members ever in quarantine, under attack and with the attackers absent, and their
    /// number. Where nobody attacks both runs are the same, and count once.
    pub fn honest_wronged(&self) -> (usize, usize) {
        let honest = |run: &RunResult| run.members.iter().filter(|m| !m.hostile).count();
        let (attacked, absent) = (&self.attacked, &self.absent);
        if attacked.members.iter().any(|member| member.hostile) {
            let wronged = attacked.honest_quarantined() + absent.honest_quarantined();
            return (wronged, honest(attacked) + honest(absent));
        }
        (attacked.honest_quarantined(), honest(attacked))
    }

    /// How much lower `measure` is at the end under attack than with the attackers absent, under the
    /// scenario's contract.
    pub fn loss(&self, measure: MeasureName) -> Option<f64> {
        Some(self.absent.end().get(measure)? - self.attacked.end().get(measure)?)
    }

    /// How much lower `measure` is at the end under the scenario's contract than under plain averaging,
    /// both with the attackers absent.
    pub fn cost(&self, measure: MeasureName) -> Option<f64> {
        Some(self.plain_absent.end().get(measure)? - self.absent.end().get(measure)?)
    }

    /// The same as [`SeedResult::loss`] under plain averaging.
    pub fn plain_loss(&self, measure: MeasureName) -> Option<f64> {
        Some(self.plain_absent.end().get(measure)? - self.plain.end().get(measure)?)
    }
}
