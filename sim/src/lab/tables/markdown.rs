//! A sweep as tables in Markdown, ready for a document: `table.md`.

use crate::lab::acceptance::{Summary, SOON};
use crate::lab::results::MeasureName;
use crate::lab::stats::{Interval, Mean};
use crate::lab::sweep::{Cell, Grid};

/// One table for each contract: a row for each combination, with what it lost beside what plain averaging
/// lost, who was caught and when, and what it cost the honest. What is the same in all rows is said once,
/// above them.
pub fn sweep_markdown(grid: &Grid) -> String {
    let mut text = format!("{}\n\n{}\n", grid.title, caption(grid));
    let mut contracts: Vec<&str> = Vec::new();
    for cell in &grid.cells {
        if !contracts.contains(&cell.contract.as_str()) {
            contracts.push(&cell.contract);
        }
    }
    for contract in contracts {
        let of_contract = |cell: &&Cell| cell.contract == contract;
        let cells: Vec<&Cell> = grid.cells.iter().filter(of_contract).collect();
        text += &format!("\n### {contract}\n\n{}", table(grid, &cells));
        for cell in cells.iter().filter(|cell| cell.refused.is_some()) {
            let words: Vec<String> = varying(grid).iter().map(|of| (of.word)(cell)).collect();
            let why = cell.refused.as_deref().unwrap_or_default();
            text += &format!("\nNot run: {}: {why}.\n", words.join("; "));
        }
    }
    text
}

/// What tells combinations apart.
struct Axis {
    name: &'static str,
    word: fn(&Cell) -> String,
}

const AXES: [Axis; 10] = [
    Axis { name: "data", word: |cell| cell.data.clone() },
    Axis { name: "split", word: |cell| cell.split.clone() },
    Axis { name: "model", word: |cell| cell.model.clone() },
    Axis { name: "rounds", word: |cell| cell.rounds.to_string() },
    Axis { name: "honest change", word: |cell| cell.changes.clone() },
    Axis { name: "attack", word: |cell| cell.attack.clone() },
    Axis { name: "when", word: |cell| cell.schedule.clone() },
    Axis { name: "knows", word: |cell| cell.knowledge.clone() },
    Axis { name: "reports", word: |cell| cell.reports.clone() },
    Axis { name: "hostile", word: |cell| cell.hostile.to_string() },
];

/// The axes along which this sweep has more than one value. A split that goes with its data says nothing
/// that their title does not.
fn varying(grid: &Grid) -> Vec<&'static Axis> {
    let differs = |axis: &&Axis| {
        let mut words = grid.cells.iter().map(|cell| (axis.word)(cell));
        let first = words.next();
        words.any(|word| Some(&word) != first.as_ref())
    };
    let mut all: Vec<&Axis> = AXES.iter().filter(differs).collect();
    let splits_of = |data: &str| {
        let of_data = grid.cells.iter().filter(|cell| cell.data == data);
        let mut splits: Vec<&String> = of_data.map(|cell| &cell.split).collect();
        splits.sort_unstable();
        splits.dedup();
        splits.len()
    };
    if grid.cells.iter().all(|cell| splits_of(&cell.data) == 1) {
        all.retain(|axis| axis.name != "split");
    }
    all
}

fn caption(grid: &Grid) -> String {
    let varying: Vec<&str> = varying(grid).iter().map(|axis| axis.name).collect();
    let mut same: Vec<String> = Vec::new();
    if let Some(cell) = grid.cells.first() {
        for axis in AXES.iter().filter(|axis| !varying.contains(&axis.name)) {
            let word = (axis.word)(cell);
            let split_of_data = axis.name == "split" && varying.contains(&"data");
            if !word.is_empty() && !split_of_data {
                same.push(format!("{}: {word}", axis.name));
            }
        }
    }
    format!(
        "{}; {}. Points, means over seeds with 95 % bootstrap intervals in brackets. *Lost*: against the \
         attackers absent, under the same contract; *plain averaging*: what it loses of accuracy and \
         recall, and by how much it underestimates the risk of the sick. *Caught*: attackers ever in \
         quarantine; *in {SOON}*: within {SOON} rounds of the onset; *delay*: rounds until the median \
         attacker was there, and nine in ten. *Honest*: honest members ever in quarantine under attack, and \
         with the attackers absent. *Frozen*: runs under attack, and absent. *Worst site*: its accuracy in \
         percent under attack, with the attackers absent, and under plain averaging.",
        seeds(&grid.seeds),
        same.join("; ")
    )
}

fn seeds(seeds: &[u64]) -> String {
    let in_a_row = seeds.windows(2).all(|two| two[1] == two[0].wrapping_add(1));
    match (seeds, in_a_row) {
        ([one], _) => format!("Seed {one}"),
        ([first, .., last], true) => format!("{} seeds ({first} to {last})", seeds.len()),
        _ => {
            let words: Vec<String> = seeds.iter().map(u64::to_string).collect();
            format!("{} seeds ({})", seeds.len(), words.join(", "))
        }
    }
}

fn table(grid: &Grid, cells: &[&Cell]) -> String {
    let axes = varying(grid);
    let run: Vec<(&Cell, &Summary)> =
        cells.iter().filter_map(|cell| Some((*cell, cell.summary.as_ref()?))).collect();
    if run.is_empty() {
        return String::new();
    }
    let attacked = run.iter().any(|(cell, _)| cell.hostile > 0);
    let targeted = run.iter().any(|(_, of)| of.measure(MeasureName::AttackSuccess).loss.is_some());
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|column| column.shown.holds(attacked, targeted)).collect();
    let names = axes.iter().map(|axis| axis.name).chain(columns.iter().map(|column| column.name));
    let names: Vec<&str> = names.collect();
    let mut text = format!("| {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (cell, summary) in run {
        let words = axes.iter().map(|axis| (axis.word)(cell));
        let all: Vec<String> =
            words.chain(columns.iter().map(|column| (column.value)(summary))).collect();
        text += &format!("| {} |\n", all.join(" | ").replace('\n', " "));
    }
    text
}

/// Where a column belongs.
enum Shown {
    Always,
    Attacked,
    Targeted,
    NobodyHostile,
}

impl Shown {
    fn holds(&self, attacked: bool, targeted: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Attacked => attacked,
            Self::Targeted => targeted,
            Self::NobodyHostile => !attacked,
        }
    }
}

struct Column {
    name: &'static str,
    shown: Shown,
    value: fn(&Summary) -> String,
}

const COLUMNS: [Column; 15] = [
    Column {
        name: "accuracy",
        shown: Shown::NobodyHostile,
        value: |of| points(of.measure(MeasureName::Accuracy).absent.map(|mean| mean.mean)),
    },
    Column {
        name: "contract costs",
        shown: Shown::NobodyHostile,
        value: |of| interval(of.measure(MeasureName::Accuracy).cost),
    },
    Column {
        name: "accuracy lost",
        shown: Shown::Attacked,
        value: |of| interval(of.measure(MeasureName::Accuracy).loss),
    },
    Column {
        name: "recall lost",
        shown: Shown::Attacked,
        value: |of| interval(of.measure(MeasureName::Recall).loss),
    },
    Column {
        name: "risk underestimated",
        shown: Shown::Attacked,
        value: |of| interval(of.underestimation),
    },
    Column { name: "plain averaging", shown: Shown::Attacked, value: plain },
    Column { name: "goal beyond clean", shown: Shown::Targeted, value: |of| interval(gain(of)) },
    Column { name: "goal, plain averaging", shown: Shown::Targeted, value: plain_goal },
    Column { name: "caught", shown: Shown::Attacked, value: |of| share(of.caught, of.hostile) },
    Column {
        name: "in 25",
        shown: Shown::Attacked,
        value: |of| {
            with_ends(share(of.caught_soon.count, of.caught_soon.of), of.caught_soon.bootstrap)
        },
    },
    Column { name: "delay", shown: Shown::Attacked, value: delay },
    Column { name: "honest", shown: Shown::Always, value: honest },
    Column {
        name: "longest stay",
        shown: Shown::NobodyHostile,
        value: |of| rounds(of.honest_stay),
    },
    Column {
        name: "frozen",
        shown: Shown::Always,
        value: |of| format!("{}, {}", of.frozen, of.frozen_absent),
    },
    Column { name: "worst site", shown: Shown::Always, value: worst_site },
];

fn gain(of: &Summary) -> Option<Mean> {
    of.measure(MeasureName::AttackSuccess).loss.map(Mean::negated)
}

fn plain_goal(of: &Summary) -> String {
    let loss = of.measure(MeasureName::AttackSuccess).plain_loss;
    points(loss.map(|loss| -loss.mean))
}

fn plain(of: &Summary) -> String {
    let lost = |measure| of.measure(measure).plain_loss.map(|loss| loss.mean);
    format!(
        "{} / {} / {}",
        points(lost(MeasureName::Accuracy)),
        points(lost(MeasureName::Recall)),
        points(of.plain_underestimation.map(|mean| mean.mean))
    )
}

fn delay(of: &Summary) -> String {
    if of.hostile == 0 {
        return "–".to_owned();
    }
    format!("{}, {}", rounds(of.delay_median), rounds(of.delay_p90))
}

/// Honest members under attack, and with the attackers absent; the latter alone where nobody attacks.
fn honest(of: &Summary) -> String {
    let absent = share(of.honest_quarantined_absent, of.honest);
    if of.hostile == 0 {
        return with_ends(absent, of.wronged_share.bootstrap);
    }
    format!("{}, {}", share(of.honest_quarantined, of.honest), of.honest_quarantined_absent)
}

fn worst_site(of: &Summary) -> String {
    let worst = of.measure(MeasureName::WorstSiteAccuracy);
    let (absent, plain) = (worst.absent, worst.plain);
    let ends: Vec<String> = if of.hostile == 0 {
        [absent, plain].iter().map(|mean| points(mean.map(|mean| mean.mean))).collect()
    } else {
        [worst.attacked, absent, plain]
            .iter()
            .map(|mean| points(mean.map(|mean| mean.mean)))
            .collect()
    };
    ends.join(" / ")
}

fn rounds(of: Option<u64>) -> String {
    of.map_or_else(|| "never".to_owned(), |rounds| rounds.to_string())
}

fn share(count: usize, of: usize) -> String {
    if of == 0 {
        "–".to_owned()
    } else {
        format!("{count} of {of}")
    }
}

fn with_ends(text: String, ends: Option<Interval>) -> String {
    match ends {
        Some(Interval { low: Some(low), high: Some(high) }) if high > low => {
            format!("{text} [{} to {} %]", points(Some(low)), points(Some(high)))
        }
        _ => text,
    }
}

/// Points with one decimal, and no minus before a zero.
fn points(share: Option<f64>) -> String {
    let Some(share) = share else { return "–".to_owned() };
    let text = format!("{:.1}", 100.0 * share);
    if text == "-0.0" {
        "0.0".to_owned()
    } else {
        text
    }
}

fn interval(mean: Option<Mean>) -> String {
    let Some(mean) = mean else { return "–".to_owned() };
    let middle = points(Some(mean.mean));
    match mean.bootstrap {
        Some(Interval { low: Some(low), high: Some(high) }) => {
            let (low, high) = (points(Some(low)), points(Some(high)));
            if low == high {
                middle
            } else {
                format!("{middle} [{low} to {high}]")
            }
        }
        _ => middle,
    }
}
