//! Results as CSV, for spreadsheets and statistics programs. `docs/laboratory.md` names the columns.

use std::fmt::Write as _;

mod markdown;

pub use markdown::sweep_markdown;

use super::acceptance::Summary;
use super::results::MeasureName::{self, Accuracy, AttackSuccess, Auc, Recall, WorstSiteAccuracy};
use super::results::{Bracket, Quality};
use super::stats::{Interval, Mean};
use super::store::Outcome;
use super::sweep::Grid;

/// One row for each measured round of each run of each seed: `rounds.csv`.
pub fn rounds(outcome: &Outcome) -> String {
    let mut text = String::from(
        "seed,run,round,failure,accuracy,recall,auc,positive_probability,worst_site_accuracy,\
         attack_success,log_loss,model\n",
    );
    for seed in &outcome.seeds {
        for bracket in Bracket::ALL {
            for round in &seed.run(bracket).rounds {
                let mut row = |run: &str, quality: &Quality, model: &str| {
                    let failure = round.failure.as_deref().unwrap_or("");
                    write!(text, "{},{run},{},{failure},", seed.seed, round.round)
                        .expect("writing to a string cannot fail");
                    for measure in MeasureName::ALL {
                        text += &cell(quality.get(measure));
                        text.push(',');
                    }
                    text += &format!("{},{model}\n", quality.log_loss);
                };
                row(bracket.name(), &round.quality, &round.model);
                if let Some(quality) = &round.same_updates_averaged {
                    row("same_updates_averaged", quality, "");
                }
            }
        }
    }
    text
}

/// One row for each member of each run of each seed: `members.csv`.
pub fn members(outcome: &Outcome) -> String {
    let mut text = String::from(
        "seed,run,member,hostile,changed_round,examples,quarantined_round,reason,strikes,trust_end_micro,\
         standing_end\n",
    );
    for seed in &outcome.seeds {
        for bracket in [Bracket::Attacked, Bracket::Absent] {
            for member in &seed.run(bracket).members {
                let round = member.quarantined.map_or_else(String::new, |round| round.to_string());
                let changed = member.changed.map_or_else(String::new, |round| round.to_string());
                text += &format!(
                    "{},{},{},{},{changed},{},{round},{},{},{},{}\n",
                    seed.seed,
                    bracket.name(),
                    member.member,
                    member.hostile,
                    member.examples,
                    member.reason.as_deref().unwrap_or(""),
                    member.strike.matches('x').count(),
                    member.trust_micro.last().map_or_else(String::new, u32::to_string),
                    member.standing.chars().last().map_or_else(String::new, String::from),
                );
            }
        }
    }
    text
}

/// Means over seeds: `summary.csv`.
pub fn summary(outcome: &Outcome) -> String {
    let mut text = String::from(
        "measure,of,mean,half_width_95,bootstrap_low_95,bootstrap_high_95,min,max,seeds\n",
    );
    for measure in &outcome.summary.measures {
        for (of, mean) in [
            ("attacked", measure.attacked),
            ("absent", measure.absent),
            ("plain", measure.plain),
            ("plain_absent", measure.plain_absent),
            ("loss", measure.loss),
            ("plain_loss", measure.plain_loss),
            ("cost", measure.cost),
        ] {
            if let Some(Mean { mean, half_width, bootstrap, min, max, count }) = mean {
                let name = measure.measure.name();
                let (half_width, (low, high)) = (cell(half_width), ends(bootstrap));
                text +=
                    &format!("{name},{of},{mean},{half_width},{low},{high},{min},{max},{count}\n");
            }
        }
    }
    text
}

/// One row for each cell of a sweep: `sweep.csv`.
pub fn grid(grid: &Grid) -> String {
    let mut text =
        String::from("contract,attack,schedule,knowledge,reports,hostile,changes,data,split,model,rounds,refused");
    for (name, _) in COLUMNS {
        text.push(',');
        text += name;
    }
    text.push('\n');
    for row in &grid.cells {
        let quote = |word: &str| format!("\"{}\"", word.replace('"', "'"));
        text += &format!(
            "{},{},{},{},{},{},{},{},{},{},{},{}",
            quote(&row.contract),
            quote(&row.attack),
            quote(&row.schedule),
            quote(&row.knowledge),
            quote(&row.reports),
            row.hostile,
            quote(&row.changes),
            quote(&row.data),
            quote(&row.split),
            quote(&row.model),
            row.rounds,
            row.refused.as_deref().map_or_else(String::new, quote),
        );
        for (_, column) in COLUMNS {
            text.push(',');
            text += &row.summary.as_ref().map_or_else(String::new, column);
        }
        text.push('\n');
    }
    text
}

type Column = (&'static str, fn(&Summary) -> String);

/// What `sweep.csv` says of each combination that was run. Ends are those of the bootstrap.
const COLUMNS: &[Column] = &[
    ("accuracy", |of| average(of.measure(Accuracy).attacked)),
    ("accuracy_absent", |of| average(of.measure(Accuracy).absent)),
    ("accuracy_plain", |of| average(of.measure(Accuracy).plain)),
    ("accuracy_loss", |of| average(of.measure(Accuracy).loss)),
    ("accuracy_loss_low_95", |of| low(of.measure(Accuracy).loss)),
    ("accuracy_loss_high_95", |of| high(of.measure(Accuracy).loss)),
    ("accuracy_plain_loss", |of| average(of.measure(Accuracy).plain_loss)),
    ("accuracy_plain_loss_low_95", |of| low(of.measure(Accuracy).plain_loss)),
    ("accuracy_plain_loss_high_95", |of| high(of.measure(Accuracy).plain_loss)),
    ("accuracy_cost", |of| average(of.measure(Accuracy).cost)),
    ("accuracy_cost_low_95", |of| low(of.measure(Accuracy).cost)),
    ("accuracy_cost_high_95", |of| high(of.measure(Accuracy).cost)),
    ("recall", |of| average(of.measure(Recall).attacked)),
    ("recall_absent", |of| average(of.measure(Recall).absent)),
    ("recall_plain", |of| average(of.measure(Recall).plain)),
    ("recall_loss", |of| average(of.measure(Recall).loss)),
    ("recall_loss_low_95", |of| low(of.measure(Recall).loss)),
    ("recall_loss_high_95", |of| high(of.measure(Recall).loss)),
    ("recall_plain_loss", |of| average(of.measure(Recall).plain_loss)),
    ("recall_plain_loss_low_95", |of| low(of.measure(Recall).plain_loss)),
    ("recall_plain_loss_high_95", |of| high(of.measure(Recall).plain_loss)),
    ("auc_loss", |of| average(of.measure(Auc).loss)),
    ("auc_loss_low_95", |of| low(of.measure(Auc).loss)),
    ("auc_loss_high_95", |of| high(of.measure(Auc).loss)),
    ("worst_site_accuracy", |of| average(of.measure(WorstSiteAccuracy).attacked)),
    ("worst_site_absent", |of| average(of.measure(WorstSiteAccuracy).absent)),
    ("worst_site_plain", |of| average(of.measure(WorstSiteAccuracy).plain)),
    ("worst_site_loss", |of| average(of.measure(WorstSiteAccuracy).loss)),
    ("worst_site_loss_low_95", |of| low(of.measure(WorstSiteAccuracy).loss)),
    ("worst_site_loss_high_95", |of| high(of.measure(WorstSiteAccuracy).loss)),
    ("underestimation", |of| average(of.underestimation)),
    ("underestimation_low_95", |of| low(of.underestimation)),
    ("underestimation_high_95", |of| high(of.underestimation)),
    ("underestimation_plain", |of| average(of.plain_underestimation)),
    ("attack_success", |of| average(of.measure(AttackSuccess).attacked)),
    ("attack_success_clean", |of| average(of.measure(AttackSuccess).absent)),
    ("attack_success_plain", |of| average(of.measure(AttackSuccess).plain)),
    ("attack_success_gain", |of| average(gain(of))),
    ("attack_success_gain_low_95", |of| low(gain(of))),
    ("attack_success_gain_high_95", |of| high(gain(of))),
    ("caught", |of| of.caught.to_string()),
    ("attackers", |of| of.hostile.to_string()),
    ("caught_share_low_95", |of| ends(of.caught_share.bootstrap).0),
    ("caught_share_high_95", |of| ends(of.caught_share.bootstrap).1),
    ("caught_in_20", |of| of.caught_within(20).count.to_string()),
    ("caught_in_25", |of| of.caught_soon.count.to_string()),
    ("caught_in_25_share_low_95", |of| ends(of.caught_soon.bootstrap).0),
    ("caught_in_25_share_high_95", |of| ends(of.caught_soon.bootstrap).1),
    ("caught_in_30", |of| of.caught_within(30).count.to_string()),
    ("delay_median", |of| whole(of.delay_median)),
    ("delay_median_low_95", |of| ends(of.delay_interval).0),
    ("delay_median_high_95", |of| ends(of.delay_interval).1),
    ("delay_p90", |of| whole(of.delay_p90)),
    ("honest_quarantined", |of| of.honest_quarantined.to_string()),
    ("honest_quarantined_absent", |of| of.honest_quarantined_absent.to_string()),
    ("honest", |of| of.wronged_share.of.to_string()),
    ("honest_share_low_95", |of| ends(of.wronged_share.bootstrap).0),
    ("honest_share_high_95", |of| ends(of.wronged_share.bootstrap).1),
    ("honest_stay", |of| whole(of.honest_stay)),
    ("frozen", |of| of.frozen.to_string()),
    ("frozen_absent", |of| of.frozen_absent.to_string()),
    ("seeds", |of| of.seeds.to_string()),
];

/// Success of a targeted attack beyond what it is with the attackers absent.
fn gain(of: &Summary) -> Option<Mean> {
    of.measure(AttackSuccess).loss.map(Mean::negated)
}

fn average(mean: Option<Mean>) -> String {
    cell(mean.map(|mean| mean.mean))
}

fn low(mean: Option<Mean>) -> String {
    ends(mean.and_then(|mean| mean.bootstrap)).0
}

fn high(mean: Option<Mean>) -> String {
    ends(mean.and_then(|mean| mean.bootstrap)).1
}

/// Rounds; nothing for never.
fn whole(rounds: Option<u64>) -> String {
    rounds.map_or_else(String::new, |rounds| rounds.to_string())
}

/// Lower and upper end; nothing where there is none.
fn ends(interval: Option<Interval>) -> (String, String) {
    let end = |of: fn(Interval) -> Option<f64>| cell(interval.and_then(of));
    (end(|interval| interval.low), end(|interval| interval.high))
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
