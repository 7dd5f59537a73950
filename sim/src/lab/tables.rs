//! Results as CSV, for spreadsheets and statistics programs. `docs/laboratory.md` names the columns.

use std::fmt::Write as _;

use super::results::{Bracket, MeasureName, Quality};
use super::stats::Mean;
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
        "seed,run,member,hostile,examples,quarantined_round,reason,strikes,trust_end_micro,\
         standing_end\n",
    );
    for seed in &outcome.seeds {
        for bracket in [Bracket::Attacked, Bracket::Absent] {
            for member in &seed.run(bracket).members {
                let round = member.quarantined.map_or_else(String::new, |round| round.to_string());
                text += &format!(
                    "{},{},{},{},{},{round},{},{},{},{}\n",
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
    let mut text = String::from("measure,of,mean,half_width_95,min,max,seeds\n");
    for measure in &outcome.summary.measures {
        for (of, mean) in [
            ("attacked", measure.attacked),
            ("absent", measure.absent),
            ("plain", measure.plain),
            ("plain_absent", measure.plain_absent),
            ("loss", measure.loss),
            ("plain_loss", measure.plain_loss),
        ] {
            if let Some(Mean { mean, half_width, min, max, count }) = mean {
                let name = measure.measure.name();
                let half_width = cell(half_width);
                text += &format!("{name},{of},{mean},{half_width},{min},{max},{count}\n");
            }
        }
    }
    text
}

/// One row for each cell of a sweep: `sweep.csv`.
pub fn grid(grid: &Grid) -> String {
    let mut text = String::from(
        "contract,attack,hostile,split,refused,accuracy,accuracy_loss,recall_loss,auc_loss,\
         worst_site_loss,underestimation,attack_success_gain,caught,attackers,delay_median,\
         honest_quarantined,honest_quarantined_absent,frozen,seeds\n",
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
            text += ",,,,,,,,,,,,,\n";
            continue;
        };
        let loss = |measure| cell(summary.measure(measure).loss.map(|loss| loss.mean));
        let gain = summary.measure(MeasureName::AttackSuccess).loss.map(|loss| -loss.mean);
        text += &format!(
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
            cell(summary.measure(MeasureName::Accuracy).attacked.map(|accuracy| accuracy.mean)),
            loss(MeasureName::Accuracy),
            loss(MeasureName::Recall),
            loss(MeasureName::Auc),
            loss(MeasureName::WorstSiteAccuracy),
            cell(summary.underestimation.map(|fall| fall.mean)),
            cell(gain),
            summary.caught,
            summary.hostile,
            summary.delay_median.map_or_else(String::new, |delay| delay.to_string()),
            summary.honest_quarantined,
            summary.honest_quarantined_absent,
            summary.frozen,
            grid.seeds.len(),
        );
    }
    text
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
