//! The part of the report about an adaptive attacker's search.

use super::svg::{escape, ticks, Anchor, Svg};
use super::words;
use crate::lab::redteam::{Goal, Hunt};

/// What was searched, what was found, and how the search went.
pub(super) fn section(hunt: &Hunt) -> String {
    let goal = match hunt.search.goal {
        Goal::Accuracy => "accuracy lost",
        Goal::Recall => "sick patients no longer found",
        Goal::Underestimation => "risk of the sick underestimated",
    };
    let unseen = if hunt.search.unseen {
        " Only attacks that nobody was quarantined for counted."
    } else {
        ""
    };
    let (caught, all) = hunt.caught_fresh;
    let mut text = format!(
        "<h2>The worst that an adaptive attacker found</h2>\n<p>An attacker who knows the contract \
         ({}) and holds {} of {} memberships tried {} attacks against a copy of it, each time \
         drawing the next ones around the best so far.{unseen} On data and random numbers that the \
         search had not seen, the worst it found cost <strong>{}</strong> ({goal}); the contract \
         put {caught} of {all} attackers in quarantine. Under plain averaging the same attack cost \
         {}. This is a lower bound of what can be done: another attacker may search longer or \
         elsewhere.</p>\n",
        escape(&hunt.contract),
        hunt.hostile,
        hunt.members,
        hunt.trials.len(),
        words::interval(hunt.harm_fresh),
        words::interval(hunt.harm_plain),
    );
    text += &format!(
        "<dl><dt>Worst attack</dt><dd>{}</dd><dt>Harm in the search</dt><dd>{} (best of {}, so too \
         high)</dd></dl>\n<figure>{}</figure>\n",
        escape(&hunt.worst_attack),
        words::percent(hunt.harm_searched),
        hunt.trials.len(),
        picture(hunt, goal),
    );
    text += "<h3>The ten worst</h3>\n<table><tr><th class=\"n\">trial</th><th>attack</th>\
             <th class=\"n\">harm</th><th class=\"n\">caught</th></tr>\n";
    let mut order: Vec<usize> = (0..hunt.trials.len()).collect();
    order.sort_by(|&a, &b| hunt.trials[b].harm.total_cmp(&hunt.trials[a].harm));
    for &k in order.iter().take(10) {
        let trial = &hunt.trials[k];
        text += &format!(
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
            trial.number,
            escape(&trial.attack),
            words::percent(trial.harm),
            trial.caught,
        );
    }
    text + "</table>\n"
}

/// A dot for each trial and the worst so far.
fn picture(hunt: &Hunt, goal: &str) -> String {
    let (width, height, left, right, top, bottom) = (860.0, 280.0, 62.0, 20.0, 34.0, 46.0);
    let mut svg = Svg::new(width, height);
    let count = hunt.trials.len().max(2) as f64;
    let harms = || hunt.trials.iter().map(|trial| trial.harm);
    let low = harms().fold(0.0, f64::min).max(-0.1);
    let high = harms().fold(0.01, f64::max) * 1.08;
    let x = |number: f64| left + (number - 1.0) / (count - 1.0) * (width - left - right);
    let y = |harm: f64| {
        height - bottom - (harm - low).max(0.0) / (high - low) * (height - top - bottom)
    };
    svg.text(
        (left, 18.0),
        Anchor::Start,
        "title",
        &format!("Harm of each trial, and the worst so far: {goal}"),
    );
    for tick in ticks(low, high, 5) {
        svg.line((left, y(tick)), (width - right, y(tick)), "grid");
        svg.text((left - 6.0, y(tick) + 4.0), Anchor::End, "tick", &words::percent(tick));
    }
    for tick in ticks(1.0, count, 10).into_iter().filter(|t| t.fract() == 0.0 && *t >= 1.0) {
        svg.text((x(tick), height - bottom + 17.0), Anchor::Middle, "tick", &format!("{tick}"));
    }
    svg.line((left, height - bottom), (width - right, height - bottom), "axis");
    svg.text((width / 2.0, height - 8.0), Anchor::Middle, "label", "trial");
    let mut worst = f64::MIN;
    let mut line = Vec::new();
    for trial in &hunt.trials {
        let class = if trial.caught > 0 { "dot plain" } else { "dot caught" };
        svg.circle((x(trial.number as f64), y(trial.harm)), 2.6, class);
        if trial.harm > worst {
            line.push((x(trial.number as f64), y(worst.max(low))));
            worst = trial.harm;
            line.push((x(trial.number as f64), y(worst)));
        }
    }
    line.push((x(count), y(worst)));
    svg.polyline(&line, "curve absent");
    svg.text(
        (width - right, 18.0),
        Anchor::End,
        "note",
        "filled: nobody caught; open: somebody caught",
    );
    svg.finish("Harm of each trial of the search, with the worst so far as a line")
}
