//! Heat maps of a sweep: contracts by attacks.

use super::members::shade;
use super::svg::{Anchor, Svg};
use crate::lab::results::MeasureName;
use crate::lab::sweep::{Cell, Grid};

const LEFT: f64 = 230.0;
const CELL_WIDTH: f64 = 74.0;
const CELL_HEIGHT: f64 = 30.0;
const TOP: f64 = 150.0;
/// The loss from which on cells are at their darkest.
const LOSS_DARKEST: f64 = 0.20;

/// What a map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Accuracy lost, in points.
    Loss,
    /// How much more often the attackers' goal is reached than by a clean model, in points.
    Goal,
    /// Attackers put in quarantine, in percent.
    Caught,
}

/// What the cells of one map have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Plane<'a> {
    hostile: usize,
    schedule: &'a str,
    knowledge: &'a str,
    reports: &'a str,
    changes: &'a str,
    data: &'a str,
    split: &'a str,
    model: &'a str,
}

impl<'a> Plane<'a> {
    fn of(cell: &'a Cell) -> Self {
        Self {
            hostile: cell.hostile,
            schedule: &cell.schedule,
            knowledge: &cell.knowledge,
            reports: &cell.reports,
            changes: &cell.changes,
            data: &cell.data,
            split: &cell.split,
            model: &cell.model,
        }
    }

    fn title(&self) -> String {
        let mut words = vec![match self.hostile {
            0 => "nobody attacks".to_owned(),
            hostile => format!("{hostile} attackers, {}, {}", self.schedule, self.knowledge),
        }];
        if !["", "honest"].contains(&self.reports) {
            words.push(format!("{} reports", self.reports));
        }
        let others = [self.changes, self.data, self.split, self.model];
        words.extend(others.iter().filter(|word| !word.is_empty()).map(|word| (*word).to_owned()));
        words.join("; ")
    }
}

/// Maps of contracts by attacks for everything else that a sweep varies: what was lost, how far the
/// attackers reached their goal if they had one, and who was caught.
pub(super) fn maps(grid: &Grid) -> Vec<(String, String)> {
    let mut planes: Vec<Plane<'_>> = Vec::new();
    for cell in &grid.cells {
        if !planes.contains(&Plane::of(cell)) {
            planes.push(Plane::of(cell));
        }
    }
    let mut maps = Vec::new();
    for plane in planes {
        let cells: Vec<&Cell> = grid.cells.iter().filter(|cell| Plane::of(cell) == plane).collect();
        let place = plane.title();
        maps.push((format!("Accuracy lost, in points: {place}"), map(&cells, Shown::Loss)));
        let goal = |cell: &&Cell| value_of(cell, Shown::Goal).is_some();
        if cells.iter().any(goal) {
            let title = format!("Attackers' goal, in points beyond a clean model: {place}");
            maps.push((title, map(&cells, Shown::Goal)));
        }
        if plane.hostile > 0 {
            let title = format!("Attackers put in quarantine, in percent: {place}");
            maps.push((title, map(&cells, Shown::Caught)));
        }
    }
    maps
}

fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen
}

fn map(cells: &[&Cell], shown: Shown) -> String {
    let rows = distinct(cells.iter().map(|cell| cell.contract.as_str()));
    let columns = distinct(cells.iter().map(|cell| cell.attack.as_str()));
    let width = LEFT + CELL_WIDTH * columns.len() as f64 + 90.0;
    let height = TOP + CELL_HEIGHT * rows.len() as f64 + 10.0;
    let mut svg = Svg::new(width.max(520.0), height);
    for (k, attack) in columns.iter().enumerate() {
        let x = LEFT + CELL_WIDTH * (k as f64 + 0.5);
        svg.text_slanted((x - 4.0, TOP - 8.0), "tick", attack);
    }
    for (j, contract) in rows.iter().enumerate() {
        let y = TOP + CELL_HEIGHT * j as f64;
        svg.text((LEFT - 10.0, y + 19.0), Anchor::End, "name", contract);
        for (k, attack) in columns.iter().enumerate() {
            let found = cells.iter().find(|c| c.contract == *contract && c.attack == *attack);
            let corner = (LEFT + CELL_WIDTH * k as f64, y);
            one(&mut svg, corner, found.copied(), shown);
        }
    }
    svg.finish(match shown {
        Shown::Loss => "Accuracy lost in points, contracts in rows, attacks in columns",
        Shown::Goal => "Attackers' goal beyond clean models, contracts in rows, attacks in columns",
        Shown::Caught => "Attackers caught in percent, contracts in rows, attacks in columns",
    })
}

fn value_of(cell: &Cell, shown: Shown) -> Option<f64> {
    let summary = cell.summary.as_ref()?;
    match shown {
        Shown::Loss => summary.measure(MeasureName::Accuracy).loss.map(|loss| loss.mean),
        Shown::Goal => summary.measure(MeasureName::AttackSuccess).loss.map(|loss| -loss.mean),
        Shown::Caught => Some(summary.caught as f64 / summary.hostile.max(1) as f64),
    }
}

fn one(svg: &mut Svg, corner: (f64, f64), cell: Option<&Cell>, shown: Shown) {
    let size = (CELL_WIDTH - 2.0, CELL_HEIGHT - 2.0);
    let value = cell.and_then(|cell| value_of(cell, shown));
    let middle = (corner.0 + size.0 / 2.0, corner.1 + 18.5);
    let Some(value) = value else {
        svg.rect(corner, size, "cell", "fill=\"#eee\"");
        let refused = cell.is_none_or(|cell| cell.summary.is_none());
        svg.text(middle, Anchor::Middle, "note", if refused { "refused" } else { "no goal" });
        return;
    };
    let (share, fill, text) = match shown {
        Shown::Loss | Shown::Goal => {
            let share = (value / LOSS_DARKEST).clamp(0.0, 1.0);
            let text = format!("{:.1}", value * 100.0);
            (share, warm(share), if text == "-0.0" { "0.0".to_owned() } else { text })
        }
        Shown::Caught => (value, shade(value), format!("{:.0}", value * 100.0)),
    };
    svg.rect(corner, size, "cell", &format!("fill=\"{fill}\""));
    let class = if share > 0.55 { "value light" } else { "value" };
    svg.text(middle, Anchor::Middle, class, &text);
}

/// White at no loss to a dark red at [`LOSS_DARKEST`].
fn warm(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(255.0, 150.0), mix(255.0, 30.0), mix(255.0, 10.0))
}
