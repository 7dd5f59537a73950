//! The report: one HTML file with everything in it, for the screen and for paper. It needs no
//! network and no script.

mod chart;
mod heat;
mod hunt;
mod members;
mod outcome;
mod svg;
#[cfg(test)]
mod tests;
mod words;

use super::acceptance::Check;
use super::redteam::Hunt;
use super::results::MeasureName;
use super::store::Outcome;
use super::sweep::{Cell, Grid};
use svg::escape;

/// What a report can be about; at least one part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'a> {
    /// A scenario's runs.
    pub outcome: Option<&'a Outcome>,
    /// A sweep.
    pub grid: Option<&'a Grid>,
    /// An adaptive attacker's search.
    pub hunt: Option<&'a Hunt>,
}

const STYLE: &str = include_str!("report/style.css");
/// What quarantine is filled with, on screen and on paper.
const PATTERNS: &str = "<svg width=\"0\" height=\"0\" style=\"position:absolute\" \
    aria-hidden=\"true\"><defs><pattern id=\"hatch\" width=\"6\" height=\"6\" \
    patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" \
    height=\"6\" fill=\"#fff\"/><rect width=\"2.2\" height=\"6\" fill=\"#7d3300\"/></pattern></defs></svg>\n";

/// The report as one HTML document.
pub fn html(parts: Parts<'_>) -> String {
    let title = parts
        .outcome
        .map(|outcome| outcome.scenario.title.as_str())
        .or(parts.grid.map(|grid| grid.title.as_str()))
        .or(parts.hunt.map(|hunt| hunt.title.as_str()))
        .unwrap_or("Laboratory report");
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{PATTERNS}<main>\n<p class=\"kind\">fedledger \
         attack laboratory</p>\n<h1>{}</h1>\n",
        escape(title),
        escape(title)
    );
    if let Some(outcome) = parts.outcome {
        page += &outcome::section(outcome);
    }
    if let Some(grid) = parts.grid {
        page += &sweep_section(grid);
    }
    if let Some(hunt) = parts.hunt {
        page += &hunt::section(hunt);
    }
    if let Some(outcome) = parts.outcome {
        page += &outcome::appendix(outcome);
    }
    let on_nodes = |outcome: &Outcome| outcome.seeds.iter().any(|seed| seed.on_nodes.is_some());
    let place = if parts.outcome.is_some_and(on_nodes) { "on real nodes" } else { "in process" };
    page + &format!(
        "<footer>Made by fedledger {} {place}, with the contract that every node runs. A \
         simulation on recorded data: it shows what this configuration does against what was tried, \
         not that nothing else can harm it.</footer>\n</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The outcome in sentences, as the report tells it.
pub fn story(outcome: &Outcome) -> Vec<String> {
    words::story(outcome)
}

/// What was measured against a threshold, and what it allows.
pub fn check_words(check: &Check) -> (String, String) {
    (words::measured(check), words::limit(check))
}

/// One cell of a sweep for a terminal: contract, data with honest changes, attack, when, attackers, losses
/// of accuracy and recall, attackers caught, honest members wronged.
pub fn cell_words(cell: &Cell) -> Vec<String> {
    let mut row = vec![
        cell.contract.clone(),
        data_words(cell),
        cell.attack.clone(),
        when_words(cell),
        cell.hostile.to_string(),
    ];
    match &cell.summary {
        Some(summary) => {
            let lost = |measure| {
                let loss = summary.measure(measure).loss;
                loss.map_or_else(|| "-".to_owned(), |loss| words::percent(loss.mean))
            };
            row.push(lost(MeasureName::Accuracy));
            row.push(lost(MeasureName::Recall));
            row.push(format!("{}/{}", summary.caught, summary.hostile));
            let wronged = summary.honest_quarantined + summary.honest_quarantined_absent;
            row.push(wronged.to_string());
        }
        None => row.extend(["refused", "", "", ""].map(str::to_owned)),
    }
    row
}

/// A cell's data, and what changes at honest members.
fn data_words(cell: &Cell) -> String {
    if cell.changes.is_empty() {
        return cell.data.clone();
    }
    format!("{}; {}", cell.data, cell.changes)
}

/// When attackers act, and what else is not as usual about them.
fn when_words(cell: &Cell) -> String {
    let mut words = cell.schedule.clone();
    if cell.knowledge == "omniscient" {
        words += ", omniscient";
    }
    if !["", "honest"].contains(&cell.reports.as_str()) {
        words += &format!(", {} reports", cell.reports);
    }
    words
}

/// Most pictures of a sweep.
const MAPS_MAX: usize = 24;

fn sweep_section(grid: &Grid) -> String {
    let mut text = String::from("<h2>Contracts against attacks</h2>\n");
    text += &format!(
        "<p>Each cell is the mean over {} seeds. Losses are against the same members without the \
         attackers: white is none, the darkest red 20 points or more. Caught: the darker the more. <em>Refused</em> means that \
         the rule's own precondition rules out so many attackers among so few members, and the \
         contract would not accept such a task.</p>\n",
        grid.seeds.len()
    );
    // Of many planes the table says more than pictures of a cell or two each.
    let maps = heat::maps(grid);
    for (title, map) in maps.iter().filter(|_| maps.len() <= MAPS_MAX) {
        text += &format!(
            "<figure class=\"wide\"><h3>{}</h3><div class=\"scroll\">{map}</div></figure>\n",
            escape(title)
        );
    }
    text +=
        "<h3>In numbers</h3>\n<div class=\"scroll\"><table class=\"long\"><tr><th>contract</th><th>attack</th>\
             <th>when</th><th class=\"n\">attackers</th><th>data</th><th>split</th><th class=\"n\">accuracy lost</th>\
             <th class=\"n\">recall lost</th><th class=\"n\">worst honest site</th><th class=\"n\">\
             caught</th><th class=\"n\">honest quarantined</th></tr>\n";
    for cell in &grid.cells {
        text += &format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td>",
            escape(&cell.contract),
            escape(&cell.attack),
            escape(&when_words(cell)),
            cell.hostile,
            escape(&format!("{}; {}", data_words(cell), cell.model)),
            escape(&cell.split)
        );
        match (&cell.summary, &cell.refused) {
            (Some(summary), _) => {
                let (accuracy, recall) = (MeasureName::Accuracy, MeasureName::Recall);
                let worst = summary.measure(MeasureName::WorstSiteAccuracy).attacked;
                let wronged = &summary.wronged_share;
                text += &format!(
                    "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
                     class=\"n\">{} of {}</td><td class=\"n\">{} of {}</td></tr>\n",
                    words::interval(summary.measure(accuracy).loss),
                    words::interval(summary.measure(recall).loss),
                    worst.map_or_else(String::new, |worst| words::percent(worst.mean)),
                    summary.caught,
                    summary.hostile,
                    wronged.count,
                    wronged.of,
                );
            }
            (None, refused) => {
                let why = refused.as_deref().unwrap_or("not run");
                text += &format!("<td colspan=\"5\">{}</td></tr>\n", escape(why));
            }
        }
    }
    text + "</table></div>\n"
}
