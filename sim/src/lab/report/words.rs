//! What the numbers say, in sentences for somebody who decides and does not compute.

use crate::lab::acceptance::{Check, Summary};
use crate::lab::results::{MeasureName, MemberTrack, SeedResult};
use crate::lab::stats::{Interval, Mean, Share, INTERVAL_MIN};
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

/// A mean with its interval: by bootstrap `97.4 % (96.9 to 97.8)`, by Student's t `97.4 % ± 0.5`, of
/// few values without either their range.
pub(super) fn interval(mean: Option<Mean>) -> String {
    let Some(of) = mean else { return "–".to_owned() };
    if let Some(Interval { low: Some(low), high: Some(high) }) = of.bootstrap {
        let end = |value: f64| percent(value).replace(" %", "");
        return if high - low < 5e-4 {
            percent(of.mean)
        } else {
            format!("{} ({} to {})", percent(of.mean), end(low), end(high))
        };
    }
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
        None if check.threshold == "honest_return_max" => "never back".to_owned(),
        None => "nothing to measure".to_owned(),
        Some(value) => {
            let tell = |value: f64| if check.share { percent(value) } else { format!("{value}") };
            tell(value) + &check.interval.map_or(String::new(), |ends| between(ends, tell))
        }
    }
}

/// ` (0.1 to 0.7 %)`; nothing when both ends are told alike.
fn between(interval: Interval, tell: impl Fn(f64) -> String) -> String {
    let end = |value: Option<f64>| value.map_or("never".to_owned(), &tell);
    let (low, high) = (end(interval.low), end(interval.high));
    if low == high {
        return String::new();
    }
    format!(" ({} to {high})", low.trim_end_matches(" %"))
}

/// A share with its interval: `79 of 80 (98.8 %, 96.2 to 100.0)`.
pub(super) fn share(of: &Share) -> String {
    let Some(share) = of.share() else { return "none".to_owned() };
    let ends = of.bootstrap.map_or(String::new(), |ends| {
        let text = between(ends, percent).replace(['(', ')'], "").replace(" %", "");
        if text.is_empty() {
            text
        } else {
            format!(",{text}")
        }
    });
    format!("{} of {} ({}{ends})", of.count, of.of, percent(share))
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

/// The outcome in a few sentences.
pub(super) fn story(outcome: &Outcome) -> Vec<String> {
    let summary = &outcome.summary;
    let mut sentences = Vec::new();
    let Some(seed) = outcome.seeds.first() else { return sentences };
    let members = seed.attacked.members.len();
    let hostile = seed.attacked.members.iter().filter(|member| member.hostile).count();
    if hostile == 0 {
        sentences.extend(control(outcome, members));
        sentences.extend(worst_site(summary));
    } else {
        sentences.push(harm(summary, hostile, members));
        if outcome.scenario.data.has_patients() {
            sentences.extend(recall(summary));
        }
        sentences.extend(worst_site(summary));
        sentences.extend(plain(outcome));
        sentences.push(caught(summary, outcome.seeds.len()));
        sentences.extend(target(summary));
    }
    sentences.extend(changes(outcome));
    sentences.push(wronged(outcome));
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

fn plain(outcome: &Outcome) -> Option<String> {
    let summary = &outcome.summary;
    let loss = summary.measure(MeasureName::Accuracy).plain_loss?.mean;
    let mut sentence = if loss < 5e-4 {
        "Plain averaging, which has no defence, would have lost no accuracy".to_owned()
    } else {
        format!(
            "Plain averaging, which has no defence, would have lost {} of accuracy",
            points(loss)
        )
    };
    let fall = summary.plain_underestimation.filter(|fall| fall.mean > 1e-2);
    if let Some(fall) = fall.filter(|_| outcome.scenario.data.has_patients()) {
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
        _ => {
            let caught = share(&summary.caught_share);
            format!("In {runs} the contract put attackers in quarantine: {caught}")
        }
    };
    if let Some(delay) = summary.delay_median {
        let rounds = |value: f64| format!("{value}");
        let ends = summary.delay_interval.map_or(String::new(), |ends| between(ends, rounds));
        sentence += &format!(
            "; the median one {delay} round{}{ends} after the attack began",
            if delay == 1 { "" } else { "s" }
        );
    }
    sentence + "."
}

fn target(summary: &Summary) -> Option<String> {
    let success = summary.measure(MeasureName::AttackSuccess);
    let (attacked, absent) = (success.attacked?.mean, success.absent?.mean);
    let gained = |gain: f64| match gain {
        gain if gain < 5e-4 => "no more than".to_owned(),
        gain => format!("{} above", points(gain)),
    };
    let plain = success.plain.zip(success.plain_absent).map_or(String::new(), |(plain, clean)| {
        format!(
            " Under plain averaging it works on {}, {} the {} of a clean model.",
            percent(plain.mean),
            gained(plain.mean - clean.mean),
            percent(clean.mean)
        )
    });
    Some(format!(
        "What the attackers were after works on {} of the cases, {} the {} that a model without \
         attackers gives by itself.{plain}",
        percent(attacked),
        gained(attacked - absent),
        percent(absent)
    ))
}

/// Accuracy at the honest member where it is lowest.
fn worst_site(summary: &Summary) -> Option<String> {
    let worst = summary.measure(MeasureName::WorstSiteAccuracy);
    let attacked = percent(worst.attacked?.mean);
    if summary.hostile == 0 {
        return Some(format!("At the honest member where it is worst it is right in {attacked}."));
    }
    let absent = percent(worst.absent?.mean);
    Some(if attacked == absent {
        format!(
            "At the honest member where it is worst it is right in {attacked}, as without the \
             attackers."
        )
    } else {
        format!(
            "At the honest member where it is worst it is right in {attacked}; without the attackers \
             in {absent}."
        )
    })
}

fn wronged(outcome: &Outcome) -> String {
    let summary = &outcome.summary;
    let (under, without) = (summary.honest_quarantined, summary.honest_quarantined_absent);
    let frozen = summary.frozen + summary.frozen_absent;
    let with = if summary.hostile > 0 { ", with or without the attack" } else { "" };
    let mut sentence = match under + without {
        0 => format!(
            "No honest member was ever put in quarantine{with} (0 of {})",
            summary.wronged_share.of
        ),
        _ => format!(
            "Honest members were wrongly put in quarantine: {}",
            share(&summary.wronged_share)
        ),
    };
    if summary.hostile > 0 && without > 0 {
        sentence += &format!("; {without} of them although nobody attacked");
    }
    if under + without > 0 {
        sentence += &match summary.honest_stay {
            Some(1) => "; all were back after one round".to_owned(),
            Some(rounds) => format!("; all were back after at most {rounds} rounds"),
            None => "; not all of them came back".to_owned(),
        };
    }
    if frozen > 0 {
        let runs = summary.seeds * if summary.hostile > 0 { 2 } else { 1 };
        sentence += &format!(
            "; in {frozen} of {runs} runs the task was frozen because more members were suspect \
             than the contract may exclude"
        );
    }
    sentence + "."
}

/// What changed at honest members, where something did.
fn changes(outcome: &Outcome) -> Option<String> {
    let seed = outcome.seeds.first()?;
    let (round, changed) = (seed.changed?, |m: &&MemberTrack| m.changed.is_some());
    let count = seed.attacked.members.iter().filter(changed).count();
    let wronged: usize = outcome
        .seeds
        .iter()
        .map(|seed| {
            let members = seed.attacked.members.iter().filter(changed);
            members.filter(|member| member.quarantined.is_some()).count()
        })
        .sum();
    let all = count * outcome.seeds.len();
    let members =
        if count == 1 { "one honest member".to_owned() } else { format!("{count} honest members") };
    let fate = match wronged {
        0 => "none of them was put in quarantine for it".to_owned(),
        wronged => format!("{wronged} of {all} of them were put in quarantine at some time"),
    };
    Some(format!("From round {round} on the data of {members} change, as happens; {fate}."))
}

#[cfg(test)]
mod tests {
    use super::{between, interval, percent, points, share};
    use crate::lab::stats::{mean, Interval, Mean, Share};

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
        let three = Mean::bootstrapped([0.5, 0.6, 0.7].map(Some));
        assert_eq!(interval(three), "60.0 % (50.0 to 70.0)");
        assert_eq!(share(&Share::over(&[(3, 4), (4, 4)])), "7 of 8 (87.5 %, 75.0 to 100.0)");
        assert_eq!(share(&Share::over(&[(4, 4), (4, 4)])), "8 of 8 (100.0 %)");
        let open = Interval { low: Some(4.0), high: None };
        assert_eq!(between(open, |value| format!("{value}")), " (4 to never)");
    }
}
