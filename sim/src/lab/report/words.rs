//! What the numbers say, in sentences for somebody who decides and does not compute.

use crate::lab::acceptance::{Check, Summary};
use crate::lab::results::{MeasureName, SeedResult};
use crate::lab::stats::{Mean, INTERVAL_MIN};
use crate::lab::store::Outcome;

/// A share as percent with one decimal: `97.4 %`.
pub(super) fn percent(share: f64) -> String {
    let value = format!("{:.1}", share * 100.0);
    // No "-0.0".
    format!("{} %", if value == "-0.0" { "0.0" } else { &value })
}

/// A difference of shares as points: `1.2 points`.
pub(super) fn points(share: f64) -> String {
    let value = format!("{:.1}", share.abs() * 100.0);
    format!("{value} point{}", if value == "1.0" { "" } else { "s" })
}

/// A mean with its interval, `97.4 % ± 0.5`; of few values with their range, `97.4 % (96.1 to 98.0)`.
pub(super) fn interval(mean: Option<Mean>) -> String {
    let Some(of) = mean else { return "–".to_owned() };
    match of.half_width {
        None => percent(of.mean),
        Some(width) if of.count >= INTERVAL_MIN => {
            format!("{} ± {:.1}", percent(of.mean), width * 100.0)
        }
        Some(_) if of.max - of.min < 5e-4 => percent(of.mean),
        Some(_) => {
            let end = |value: f64| percent(value).replace(" %", "");
            format!("{} ({} to {})", percent(of.mean), end(of.min), end(of.max))
        }
    }
}

/// What a threshold allows.
pub(super) fn limit(check: &Check) -> String {
    let value = if check.share { percent(check.limit) } else { format!("{}", check.limit) };
    if check.threshold == "caught_min" {
        format!("at least {value}")
    } else {
        format!("at most {value}")
    }
}

/// What was measured against a threshold.
pub(super) fn measured(check: &Check) -> String {
    match check.measured {
        None if check.threshold == "detection_delay_max" => "never".to_owned(),
        None => "nothing to measure".to_owned(),
        Some(value) if check.share => percent(value),
        Some(value) => format!("{value}"),
    }
}

/// The headline of the verdict.
pub(super) fn headline(outcome: &Outcome) -> &'static str {
    match (outcome.scenario.acceptance.asks(), outcome.verdict.pass) {
        (false, _) => "No threshold was stated, so nothing was judged",
        (true, true) => "Passed: this configuration withstood the attack",
        (true, false) => "Not passed: this configuration does not keep to the thresholds",
    }
}

/// The headline where nobody attacks.
pub(super) fn headline_of_control(outcome: &Outcome) -> &'static str {
    match (outcome.scenario.acceptance.asks(), outcome.verdict.pass) {
        (false, _) => "No threshold was stated, so nothing was judged",
        (true, true) => "Passed: honest members are left alone",
        (true, false) => "Not passed: honest members pay for the defence",
    }
}

/// The outcome in three or four sentences.
pub(super) fn story(outcome: &Outcome) -> Vec<String> {
    let summary = &outcome.summary;
    let mut sentences = Vec::new();
    let Some(seed) = outcome.seeds.first() else { return sentences };
    let members = seed.attacked.members.len();
    let hostile = seed.attacked.members.iter().filter(|member| member.hostile).count();
    if hostile == 0 {
        sentences.extend(control(outcome, members));
    } else {
        sentences.push(harm(summary, hostile, members));
        sentences.extend(recall(summary));
        sentences.extend(plain(summary));
        sentences.push(caught(summary, outcome.seeds.len()));
        sentences.extend(target(summary));
    }
    sentences.push(wronged(summary, &outcome.seeds));
    sentences.extend(on_nodes(&outcome.seeds, members));
    sentences
}

/// What is to be said when real nodes played the rounds.
fn on_nodes(seeds: &[SeedResult], members: usize) -> Option<String> {
    let rounds: Vec<u64> = seeds.iter().filter_map(|seed| seed.on_nodes).collect();
    if rounds.len() < seeds.len() {
        return None;
    }
    Some(format!(
        "Every member was a real node with keys, disk and sockets of its own: {} rounds, {members} \
         members, and every model, verdict and trust record the same as in process, bit for bit.",
        rounds.iter().sum::<u64>()
    ))
}

fn control(outcome: &Outcome, members: usize) -> Option<String> {
    let accuracy = outcome.summary.measure(MeasureName::Accuracy);
    let (contract, plain) = (accuracy.absent?.mean, accuracy.plain_absent?.mean);
    let difference = plain - contract;
    let versus = if difference.abs() < 5e-4 {
        "the same as plain averaging".to_owned()
    } else {
        let word = if difference > 0.0 { "less" } else { "more" };
        format!("{} {word} than plain averaging", points(difference))
    };
    Some(format!(
        "Nobody attacks. The model of these {members} honest members classifies {} of the held-out \
         cases as they are labelled, {versus}.",
        percent(contract)
    ))
}

fn harm(summary: &Summary, hostile: usize, members: usize) -> String {
    let accuracy = summary.measure(MeasureName::Accuracy);
    let (Some(attacked), Some(absent), Some(loss)) =
        (accuracy.attacked, accuracy.absent, accuracy.loss)
    else {
        return String::new();
    };
    let change = if loss.mean < 5e-4 {
        "no less than".to_owned()
    } else {
        format!("{} less than", points(loss.mean))
    };
    format!(
        "With {hostile} of {members} members hostile, the consortium's model classifies {} of the \
         held-out cases as they are labelled: {change} the {} that it would have reached without \
         them.",
        percent(attacked.mean),
        percent(absent.mean)
    )
}

fn recall(summary: &Summary) -> Option<String> {
    let recall = summary.measure(MeasureName::Recall);
    let (attacked, absent) = (recall.attacked?.mean, recall.absent?.mean);
    let (with, without) = (format!("{:.0}", attacked * 100.0), format!("{:.0}", absent * 100.0));
    let mut sentence = if with == without {
        format!("Of 100 sick patients it finds {with}, as many as without the attackers.")
    } else {
        format!(
            "Of 100 sick patients it finds {with}; without the attackers it would find {without}."
        )
    };
    if let Some(fall) = summary.underestimation.filter(|fall| fall.mean > 1e-2) {
        sentence += &format!(" It gives them {} too little risk.", percent(fall.mean));
    }
    Some(sentence)
}

fn plain(summary: &Summary) -> Option<String> {
    let loss = summary.measure(MeasureName::Accuracy).plain_loss?.mean;
    let mut sentence = if loss < 5e-4 {
        "Plain averaging, which has no defence, would have lost no accuracy".to_owned()
    } else {
        format!(
            "Plain averaging, which has no defence, would have lost {} of accuracy",
            points(loss)
        )
    };
    if let Some(fall) = summary.plain_underestimation.filter(|fall| fall.mean > 1e-2) {
        sentence += &format!(" and underestimated the risk of the sick by {}", percent(fall.mean));
    }
    Some(sentence + ".")
}

fn caught(summary: &Summary, seeds: usize) -> String {
    let runs = if seeds == 1 { "one run".to_owned() } else { format!("{seeds} runs") };
    let mut sentence = match (summary.caught, summary.hostile) {
        (0, _) => format!("In {runs} the contract put none of the attackers in quarantine"),
        (caught, all) if caught == all => {
            format!("In {runs} the contract put every attacker in quarantine")
        }
        (caught, all) => {
            format!("In {runs} the contract put {caught} of {all} attackers in quarantine")
        }
    };
    if let Some(delay) = summary.delay_median {
        sentence += &format!(
            ", the median one {delay} round{} after the attack began",
            if delay == 1 { "" } else { "s" }
        );
    }
    sentence + "."
}

fn target(summary: &Summary) -> Option<String> {
    let success = summary.measure(MeasureName::AttackSuccess);
    let (attacked, absent) = (success.attacked?.mean, success.absent?.mean);
    let plain = success.plain.map_or(String::new(), |plain| {
        format!("; under plain averaging it would be {}", percent(plain.mean))
    });
    Some(format!(
        "What the attackers were after works on {} of the cases (without them {}){plain}.",
        percent(attacked),
        percent(absent)
    ))
}

fn wronged(summary: &Summary, seeds: &[SeedResult]) -> String {
    let (under, without) = (summary.honest_quarantined, summary.honest_quarantined_absent);
    let frozen = summary.frozen + summary.frozen_absent;
    let mut sentence = match under + without {
        0 => "No honest member was ever put in quarantine, with or without the attack".to_owned(),
        1 => "One honest member was wrongly put in quarantine".to_owned(),
        more => format!("Honest members were wrongly put in quarantine {more} times"),
    };
    if under + without > 0 && without > 0 {
        sentence += &format!(" ({without} of them although nobody attacked)");
    }
    if frozen > 0 {
        let runs = 2 * seeds.len();
        sentence += &format!(
            "; in {frozen} of {runs} runs the task was frozen because more members were suspect \
             than the contract may exclude"
        );
    }
    sentence + "."
}

#[cfg(test)]
mod tests {
    use super::{interval, percent, points};
    use crate::lab::stats::mean;

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(0.9744), "97.4 %");
        assert_eq!(percent(-0.0002), "0.0 %");
        assert_eq!(points(0.01), "1.0 point");
        assert_eq!(points(-0.112), "11.2 points");
        assert_eq!(interval(mean(&[0.5])), "50.0 %");
        assert_eq!(interval(None), "–");
        assert_eq!(interval(mean(&[0.5, 0.5])), "50.0 %");
        assert_eq!(interval(mean(&[0.5, 0.6])), "55.0 % (50.0 to 60.0)");
        assert_eq!(interval(mean(&[0.5, 0.5, 0.5, 0.5])), "50.0 % ± 0.0");
    }
}
