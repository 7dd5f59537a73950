//! The part of the report about one scenario.

use super::chart::{Chart, Series};
use super::svg::escape;
use super::{members, words};
use crate::data::{Change, SiteShift, Skew};
use crate::lab::contract::ContractChoice;
use crate::lab::file::{ChangeGroup, ModelChoice};
use crate::lab::results::{Bracket, MeasureName, RunResult, SeedResult};
use crate::lab::stats::{mean, Mean};
use crate::lab::store::Outcome;
use crate::lab::sweep::describe_knobs;

/// Verdict, what was tried, what it did to the model, who was found.
pub(super) fn section(outcome: &Outcome) -> String {
    let attacked = outcome.summary.hostile > 0;
    let mut text = verdict(outcome, attacked);
    text += &checks(outcome);
    text += "<h2>What was tried</h2>\n";
    text += &tried(outcome);
    text += if attacked { "<h2>What it did to the model</h2>\n" } else { "<h2>The model</h2>\n" };
    text += &model(outcome, attacked);
    text += "<h2>Whom the contract found</h2>\n";
    text += &found(outcome, attacked);
    text
}

fn verdict(outcome: &Outcome, attacked: bool) -> String {
    let class = match (outcome.scenario.acceptance.asks(), outcome.verdict.pass) {
        (false, _) => "none",
        (true, true) => "pass",
        (true, false) => "fail",
    };
    let mark = match class {
        "pass" => "✓ ",
        "fail" => "✗ ",
        _ => "",
    };
    let headline =
        if attacked { words::headline(outcome) } else { words::headline_of_control(outcome) };
    let story: String = words::story(outcome)
        .iter()
        .map(|sentence| format!("<li>{}</li>\n", unbroken(&escape(sentence))))
        .collect();
    format!(
        "<div class=\"verdict {class}\"><strong>{mark}{headline}</strong>\n<ul>\n{story}</ul></div>\n"
    )
}

/// A number stays on one line with its sign.
fn unbroken(text: &str) -> String {
    text.replace(" %", "&nbsp;%")
}

fn checks(outcome: &Outcome) -> String {
    if outcome.verdict.checks.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<table><tr><th>asked</th><th class=\"n\">measured</th><th class=\"n\">allowed</th>\
         <th>verdict</th></tr>\n",
    );
    for check in &outcome.verdict.checks {
        let (class, word) =
            if check.holds { ("holds", "✓ holds") } else { ("fails", "✗ fails") };
        text += &format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"{class}\">{word}</td></tr>\n",
            escape(&check.question),
            words::measured(check),
            words::limit(check),
        );
    }
    text + "</table>\n"
}

fn tried(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let mut text = String::new();
    if !scenario.description.trim().is_empty() {
        text += &format!("<p>{}</p>\n", escape(scenario.description.trim()));
    }
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.push(("Data", scenario.data.describe()));
    let members = outcome.seeds.first().map_or(0, |seed| seed.attacked.members.len());
    let split = match &scenario.split {
        Some(split) => format!("{members} members; the data are divided {}", divided(*split)),
        None if scenario.data.has_sites() || scenario.data.is_generated() => {
            format!("{members} members, each with its own data")
        }
        None => format!("{members} members; the data are divided at random into equal parts"),
    };
    rows.push(("Members", split));
    if scenario.shift != SiteShift::default() {
        let SiteShift { feature, concept } = scenario.shift;
        let shift = format!("features shifted by {feature}, concept by {concept}");
        rows.push(("Sites differ", shift));
    }
    for group in &scenario.attackers {
        let who = match group.count {
            0 => group.members.join(", "),
            1 => "one member, drawn by lot".to_owned(),
            count => format!("{count} members, drawn by lot"),
        };
        let knobs = describe_knobs(&group.attack);
        let what = group.attack.describe();
        rows.push(("Attackers", format!("{who}: {what} ({knobs})")));
        let told =
            if group.announced { ", announced to the contract as a change of data" } else { "" };
        rows.push(("When", when(&group.schedule) + told));
        let knows = match group.knowledge {
            crate::attack::Knowledge::Colluders => {
                "their own data and the public ledger, all that commit and reveal leave them"
            }
            crate::attack::Knowledge::Omniscient => {
                "also the honest updates of the same round: more than the ledger lets anybody see"
            }
        };
        rows.push(("They know", knows.to_owned()));
    }
    for group in &scenario.changes {
        rows.push(("Honest change", change(group)));
    }
    if scenario.attackers.is_empty() {
        rows.push(("Attackers", "none".to_owned()));
    }
    rows.push(("Contract", contract(&scenario.contract)));
    let model = match scenario.model {
        ModelChoice::Logistic => "logistic regression".to_owned(),
        ModelChoice::Mlp { hidden } => format!("a network with {hidden} hidden units"),
        ModelChoice::Cnn { filters } => format!("a convolutional network with {filters} filters"),
    };
    let epochs = scenario.training.epochs;
    let passes = if epochs == 1 { "one pass".to_owned() } else { format!("{epochs} passes") };
    rows.push(("Training", format!("{model}, {} rounds of {passes}", scenario.rounds)));
    rows.push(("Repeated", format!("{} times with other random numbers", outcome.seeds.len())));
    text += "<dl>\n";
    for (name, value) in rows {
        text += &format!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value));
    }
    text + "</dl>\n"
}

fn change(group: &ChangeGroup) -> String {
    let who = match group.count {
        0 => group.members.join(", "),
        1 => "one honest member, drawn by lot".to_owned(),
        count => format!("{count} honest members, drawn by lot"),
    };
    let what = match group.change {
        Change::Scanner { gain, offset } => {
            format!("another device: measured values become {gain} times as large, plus {offset} standard deviations")
        }
        Change::Prevalence { share } => {
            format!("other referrals: {:.0} % of the cases are of class 1", share * 100.0)
        }
    };
    let told = if group.announced { ", announced to the contract" } else { "" };
    format!("{who}, from round {} on{told}: {what}", group.round)
}

fn contract(contract: &ContractChoice) -> String {
    let mut text = if *contract == ContractChoice::default() {
        "the balanced profile: admission by norm, a rule that withstands f, trust, and quarantine for \
         members that are far off or leave their own past together"
            .to_owned()
    } else {
        contract.describe()
    };
    if let Some(f) = contract.byzantine {
        text += &format!("; f = {f}");
    }
    text
}

fn divided(split: Skew) -> String {
    match split {
        Skew::Iid => "at random into equal parts".to_owned(),
        Skew::Size { exponent } => {
            format!("at random into parts of unequal size (power law, exponent {exponent})")
        }
        Skew::Label { alpha } => {
            format!(
                "so that case mixes differ (Dirichlet proportions of each class, alpha {alpha})"
            )
        }
        Skew::Within => "each of the data's own sites into members of its own".to_owned(),
    }
}

fn when(schedule: &crate::attack::Schedule) -> String {
    let mut words = vec![match (schedule.from, schedule.until) {
        (1, None) => "in every round".to_owned(),
        (from, None) => format!("from round {from} on"),
        (from, Some(until)) => format!("in rounds {from} to {until}"),
    }];
    if schedule.ramp > 1 {
        words.push(format!("growing over {} rounds", schedule.ramp));
    }
    if schedule.period > 1 && schedule.duty < 1.0 {
        let share = schedule.duty * 100.0;
        words.push(format!("{share:.0} % of each {} rounds", schedule.period));
    }
    if schedule.peak < 1.0 {
        words.push(format!("at strength {}", schedule.peak));
    }
    if schedule.stagger > 0 {
        words.push(format!("each further attacker {} rounds later", schedule.stagger));
    }
    words.join(", ")
}

fn model(outcome: &Outcome, attacked: bool) -> String {
    let onset = outcome.seeds.first().and_then(|seed| seed.onset);
    let changed = outcome.seeds.first().and_then(|seed| seed.changed);
    let marks: Vec<(f64, &'static str)> = [(onset, "attack begins"), (changed, "honest change")]
        .into_iter()
        .filter_map(|(round, word)| Some((round.filter(|round| *round > 1)? as f64, word)))
        .collect();
    let (title_contract, title_plain) = if attacked {
        ("under attack, this contract", "under attack, plain averaging")
    } else {
        ("this contract", "plain averaging")
    };
    let mut text = if attacked {
        legend(&[
            ("absent", "attackers absent, this contract"),
            ("attacked", title_contract),
            ("plain", title_plain),
        ])
    } else {
        legend(&[("attacked", title_contract), ("plain", title_plain)])
    };
    text += "<div class=\"charts\">\n";
    let (recall, risk) = if outcome.scenario.data.has_patients() {
        ("Recall: sick patients found", "Risk given to the sick")
    } else {
        ("Recall: cases of class 1 found", "Probability given to cases of class 1")
    };
    for (measure, title, label) in [
        (MeasureName::Accuracy, "Accuracy", "held-out cases classified as labelled"),
        (MeasureName::Recall, recall, "share of class 1 found"),
        (MeasureName::PositiveProbability, risk, "mean probability of class 1"),
        (MeasureName::AttackSuccess, "The attackers' goal", "share of target cases"),
        (MeasureName::WorstSiteAccuracy, "Accuracy at the worst honest site", "held-out cases"),
    ] {
        let line = |name: &str, class, bracket| Series {
            name: name.to_owned(),
            class,
            points: curve(&outcome.seeds, bracket, measure),
        };
        let mut series = vec![
            line(title_plain, "plain", Bracket::Plain),
            line("attackers absent, this contract", "absent", Bracket::Absent),
            line(title_contract, "attacked", Bracket::Attacked),
        ];
        if !attacked {
            series.remove(1);
        }
        series.retain(|series| !series.points.is_empty());
        if series.is_empty() {
            continue;
        }
        let y_label = label.to_owned();
        let marks = marks.clone();
        let chart = Chart { title: title.to_owned(), y_label, percent: true, series, marks };
        text += &format!("<figure>{}</figure>\n", chart.draw());
    }
    text += "</div>\n<p class=\"note\">Lines are means over the repetitions, bands their 95 % \
             intervals (Student's t; with fewer than four repetitions, their range). Measured on the \
             honest members' held-out cases.</p>\n";
    text + &ends(outcome, attacked)
}

/// Line samples with their meaning.
fn legend(entries: &[(&str, &str)]) -> String {
    let mut text = String::from("<div class=\"legend\">\n");
    for (class, name) in entries {
        text += &format!(
            "<span><svg viewBox=\"0 0 52 14\" aria-hidden=\"true\"><line class=\"curve {class}\" \
             x1=\"1\" y1=\"7\" x2=\"51\" y2=\"7\"/><circle class=\"dot {class}\" cx=\"26\" \
             cy=\"7\" r=\"3.6\"/></svg>{name}</span>\n"
        );
    }
    text + "</div>\n"
}

/// Round, mean and interval of a measure over seeds.
fn curve(
    seeds: &[SeedResult],
    bracket: Bracket,
    measure: MeasureName,
) -> Vec<(f64, f64, f64, f64)> {
    let runs: Vec<&RunResult> = seeds.iter().map(|seed| seed.run(bracket)).collect();
    let mut rounds: Vec<u64> =
        runs.iter().flat_map(|run| run.rounds.iter().map(|round| round.round)).collect();
    rounds.sort_unstable();
    rounds.dedup();
    // The untrained model of round 0 would only stretch the axis.
    rounds.retain(|round| *round > 0);
    // A run that froze keeps its last model.
    let value = |run: &&RunResult, round: u64| {
        let past = run.rounds.iter().take_while(|result| result.round <= round).last()?;
        past.quality.get(measure)
    };
    rounds
        .into_iter()
        .filter_map(|round| {
            let values: Vec<f64> = runs.iter().filter_map(|run| value(run, round)).collect();
            mean(&values).map(|mean| with_interval(round, mean))
        })
        .collect()
}

fn with_interval(round: u64, mean: Mean) -> (f64, f64, f64, f64) {
    let (low, high) = mean.band();
    (round as f64, mean.mean, low.max(0.0), high.min(1.0))
}

/// The end of training in numbers.
fn ends(outcome: &Outcome, attacked: bool) -> String {
    let mut text = String::from("<h3>At the end of training</h3>\n<table><tr><th></th>");
    if attacked {
        text += "<th class=\"n\">attackers absent,<br>this contract</th><th class=\"n\">under \
                 attack,<br>this contract</th><th class=\"n\">under attack,<br>plain averaging</th>\
                 <th class=\"n\">lost under<br>this contract</th><th class=\"n\">lost under<br>plain \
                 averaging</th></tr>\n";
    } else {
        text += "<th class=\"n\">this contract</th><th class=\"n\">plain averaging</th></tr>\n";
    }
    let (recall, risk) = if outcome.scenario.data.has_patients() {
        ("recall (sick patients found)", "mean risk given to the sick")
    } else {
        ("recall of class 1", "mean probability given to class 1")
    };
    for (measure, name) in [
        (MeasureName::Accuracy, "accuracy"),
        (MeasureName::Recall, recall),
        (MeasureName::Auc, "area under the ROC curve"),
        (MeasureName::PositiveProbability, risk),
        (MeasureName::WorstSiteAccuracy, "accuracy at the worst honest site"),
        (MeasureName::AttackSuccess, "attackers' goal reached"),
    ] {
        let of = outcome.summary.measure(measure);
        if of.attacked.is_none() {
            continue;
        }
        let columns = if attacked {
            vec![of.absent, of.attacked, of.plain, of.loss, of.plain_loss]
        } else {
            vec![of.absent, of.plain_absent]
        };
        text += &format!("<tr><td>{name}</td>");
        for (k, column) in columns.into_iter().enumerate() {
            // The goal is a gain for the attackers: its "loss" is told with its sign turned.
            let gain = measure == MeasureName::AttackSuccess && k >= 3;
            let column = column.map(|mean| if gain { mean.negated() } else { mean });
            let prefix = if gain { "gained " } else { "" };
            let told = words::interval(column);
            let (mean, ends) = told.split_once(" (").map_or((told.as_str(), ""), |told| told);
            let ends = match ends {
                "" => String::new(),
                ends => format!("<span class=\"ends\">({ends}</span>"),
            };
            text += &format!("<td class=\"n\">{prefix}{mean}{ends}</td>");
        }
        text += "</tr>\n";
    }
    text + "</table>\n<p class=\"note\">Means over the repetitions; in parentheses the 95 % interval by \
             bootstrap over them (of two or three, their range). With few repetitions it is too narrow: \
             with five it holds in about 83 of 100 cases.</p>\n"
}

fn found(outcome: &Outcome, attacked: bool) -> String {
    let mut text = String::new();
    if attacked {
        let charts = [trust_means(&outcome.seeds), members::delays(&outcome.seeds)];
        text += &legend(&[("honest", "honest members"), ("hostile", "attackers")]);
        text += "<div class=\"charts\">\n";
        for chart in charts {
            text += &format!("<figure>{chart}</figure>\n");
        }
        text += "</div>\n";
    }
    let joined: String = outcome.seeds.iter().take(4).map(joined).collect();
    if !joined.is_empty() {
        text += &format!("<div class=\"charts\">\n{joined}</div>\n");
    }
    if let Some(seed) = outcome.seeds.first() {
        text += &format!(
            "<figure class=\"wide\"><h3>Trust of each member by round, seed {}</h3>{}<figcaption>The \
             darker, the more trusted (half at the start). Hatched: in quarantine. A white dot: the \
             round counted against the member.</figcaption></figure>\n",
            seed.seed,
            members::trust(seed)
        );
    }
    text + &reasons(outcome)
}

fn joined(seed: &SeedResult) -> String {
    let graph = members::coordination(seed);
    if graph.is_empty() {
        return String::new();
    }
    let attacked = seed.attacked.members.iter().any(|member| member.hostile);
    let triangles = if attacked { "triangles are attackers; " } else { "" };
    format!(
        "<figure>{graph}<figcaption>Seed {}: {triangles}a line joins members that the contract found \
         moving together, the thicker the more rounds.</figcaption></figure>\n",
        seed.seed
    )
}

/// Mean trust of attackers and of honest members.
fn trust_means(seeds: &[SeedResult]) -> String {
    let of = |hostile: bool| -> Vec<(f64, f64, f64, f64)> {
        let tracks: Vec<&[u32]> = seeds
            .iter()
            .flat_map(|seed| &seed.attacked.members)
            .filter(|member| member.hostile == hostile)
            .map(|member| member.trust_micro.as_slice())
            .collect();
        let rounds = tracks.iter().map(|track| track.len()).max().unwrap_or(0);
        (0..rounds)
            .filter_map(|round| {
                let values: Vec<f64> = tracks
                    .iter()
                    .filter_map(|track| track.get(round.min(track.len().saturating_sub(1))))
                    .map(|micro| f64::from(*micro) / 1e6)
                    .collect();
                mean(&values).map(|mean| (round as f64 + 1.0, mean.mean, mean.min, mean.max))
            })
            .collect()
    };
    let series =
        |name: &str, class, hostile| Series { name: name.to_owned(), class, points: of(hostile) };
    let onset = seeds.first().and_then(|seed| seed.onset).filter(|onset| *onset > 1);
    let chart = Chart {
        title: "Trust: mean, and range over members and seeds".to_owned(),
        y_label: "trust on the ledger".to_owned(),
        percent: false,
        series: vec![
            series("attackers", "hostile", true),
            series("honest members", "honest", false),
        ],
        marks: onset.map(|onset| (onset as f64, "attack begins")).into_iter().collect(),
    };
    chart.draw()
}

/// Everybody who was in quarantine, over all seeds.
fn reasons(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (run, note) in [(Bracket::Attacked, ""), (Bracket::Absent, ", attackers absent")] {
        if run == Bracket::Absent && outcome.summary.hostile == 0 {
            // The same run once more.
            continue;
        }
        for seed in &outcome.seeds {
            for member in &seed.run(run).members {
                let Some(round) = member.quarantined else { continue };
                if member.hostile {
                    continue;
                }
                let reason = member.reason.as_deref().unwrap_or("").replace('_', " ");
                text += &format!(
                    "<tr><td>{}{note}</td><td>{}</td><td class=\"n\">{round}</td><td>{}</td></tr>\n",
                    seed.seed,
                    escape(&member.member),
                    escape(&reason),
                );
            }
        }
    }
    if text.is_empty() {
        return String::new();
    }
    format!(
        "<h3>Honest members that were in quarantine</h3>\n<table class=\"long\"><tr><th>seed</th><th>member</th>\
         <th class=\"n\">round</th><th>for</th></tr>\n{text}</table>\n"
    )
}

/// How to check all of it.
pub(super) fn appendix(outcome: &Outcome) -> String {
    let seeds: Vec<String> = outcome.scenario.seeds.iter().map(u64::to_string).collect();
    format!(
        "<h2>How to repeat it</h2>\n<p>The same scenario and seeds give the same numbers to the last \
         byte of <code>results.json</code>, on any number of cores. <code>scenario.toml</code>, \
         <code>rounds.csv</code>, <code>members.csv</code> and <code>summary.csv</code> lie beside \
         this file.</p>\n<pre>fedledger sim run scenario.toml --out results</pre>\n<dl><dt>Scenario</dt>\
         <dd>{}, SHA-256 {}</dd><dt>Seeds</dt><dd>{}</dd></dl>\n<h3>Words</h3>\n<dl>\
         <dt>Plain averaging</dt><dd>FedAvg: the mean of all updates, weighed by the number of cases. \
         No defence.</dd><dt>Attackers absent</dt><dd>The same consortium without its hostile members: \
         what a perfect defence would reach.</dd><dt>Quarantine</dt><dd>A member's updates no longer \
         enter the model; they are still scored, and it can come back.</dd><dt>Recall</dt><dd>Of the \
         patients of class 1 (malignant, diseased), the share that the model finds.</dd></dl>\n",
        escape(&outcome.name),
        escape(&outcome.digest),
        escape(&seeds.join(", ")),
    )
}
