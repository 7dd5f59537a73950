//! Results as CSV, for spreadsheets and statistics programs. `docs/laboratory.md` names the columns.

use std::fmt::Write as _;

use super::acceptance::Summary;
use super::results::{Bracket, MeasureName, Quality};
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
    let mut text = String::from(
        "contract,attack,hostile,split,refused,accuracy,accuracy_loss,accuracy_loss_low_95,\
         accuracy_loss_high_95,recall_loss,recall_loss_low_95,recall_loss_high_95,auc_loss,\
         worst_site_accuracy,worst_site_loss,underestimation,attack_success_clean,\
         attack_success_gain,attack_success_gain_low_95,attack_success_gain_high_95,caught,\
         attackers,caught_share_low_95,caught_share_high_95,delay_median,honest_quarantined,\
         honest_quarantined_absent,honest,frozen,seeds\n",
    );
    for row in &grid.cells {
        let quote = |word: &str| format!("\"{}\"", word.replace('"', "'"));
        text += &format!(
            "{},{},{},{},{},",
            quote(&row.contract),
            quote(&row.attack),
            row.hostile,
            quote(&row.split),
            row.refused.as_deref().map_or_else(String::new, quote),
        );
        let Some(summary) = &row.summary else {
            text += &format!("{}\n", ",".repeat(GRID_NUMBERS - 1));
            continue;
        };
        text += &format!("{}\n", numbers(summary).join(","));
    }
    text
}

/// Columns of `sweep.csv` that a refused combination has not.
const GRID_NUMBERS: usize = 25;

fn numbers(summary: &Summary) -> [String; GRID_NUMBERS] {
    use MeasureName::{Accuracy, AttackSuccess, Auc, Recall, WorstSiteAccuracy};
    let of = |measure| summary.measure(measure);
    let mean = |mean: Option<Mean>| cell(mean.map(|mean| mean.mean));
    let both = |mean: Option<Mean>| ends(mean.and_then(|mean| mean.bootstrap));
    let gain = of(AttackSuccess).loss.map(Mean::negated);
    let (accuracy, recall) = (both(of(Accuracy).loss), both(of(Recall).loss));
    let (success, caught) = (both(gain), ends(summary.caught_share.bootstrap));
    [
        mean(of(Accuracy).attacked),
        mean(of(Accuracy).loss),
        accuracy.0,
        accuracy.1,
        mean(of(Recall).loss),
        recall.0,
        recall.1,
        mean(of(Auc).loss),
        mean(of(WorstSiteAccuracy).attacked),
        mean(of(WorstSiteAccuracy).loss),
        mean(summary.underestimation),
        mean(of(AttackSuccess).absent),
        mean(gain),
        success.0,
        success.1,
        summary.caught.to_string(),
        summary.hostile.to_string(),
        caught.0,
        caught.1,
        summary.delay_median.map_or_else(String::new, |delay| delay.to_string()),
        summary.honest_quarantined.to_string(),
        summary.honest_quarantined_absent.to_string(),
        summary.wronged_share.of.to_string(),
        summary.frozen.to_string(),
        summary.seeds.to_string(),
    ]
}

/// Lower and upper end; nothing where there is none.
fn ends(interval: Option<Interval>) -> (String, String) {
    let end = |of: fn(Interval) -> Option<f64>| cell(interval.and_then(of));
    (end(|interval| interval.low), end(|interval| interval.high))
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
