//! Heat maps of a sweep: contracts by attacks.

use super::svg::{Anchor, Svg};
use crate::lab::results::MeasureName;
use crate::lab::sweep::{Cell, Grid};

const LEFT: f64 = 230.0;
const CELL_WIDTH: f64 = 74.0;
const CELL_HEIGHT: f64 = 30.0;
const TOP: f64 = 150.0;

/// One map for each number of attackers and each split.
pub(super) fn maps(grid: &Grid) -> Vec<(String, String)> {
    let mut planes: Vec<(usize, String)> = Vec::new();
    for cell in &grid.cells {
        let plane = (cell.hostile, cell.split.clone());
        if !planes.contains(&plane) {
            planes.push(plane);
        }
    }
    planes
        .into_iter()
        .map(|(hostile, split)| {
            let cells: Vec<&Cell> = grid
                .cells
                .iter()
                .filter(|cell| cell.hostile == hostile && cell.split == split)
                .collect();
            (format!("{hostile} attackers, data split {split}"), map(&cells))
        })
        .collect()
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

fn map(cells: &[&Cell]) -> String {
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
            one(&mut svg, corner, found.copied());
        }
    }
    svg.finish("Accuracy lost in points, contracts in rows, attacks in columns")
}

fn one(svg: &mut Svg, corner: (f64, f64), cell: Option<&Cell>) {
    let size = (CELL_WIDTH - 2.0, CELL_HEIGHT - 2.0);
    let summary = cell.and_then(|cell| cell.summary.as_ref());
    let loss = summary.and_then(|summary| summary.measure(MeasureName::Accuracy).loss);
    let middle = (corner.0 + size.0 / 2.0, corner.1 + 18.5);
    let Some(loss) = loss else {
        svg.rect(corner, size, "cell", "fill=\"#eee\"");
        svg.text(middle, Anchor::Middle, "note", "refused");
        return;
    };
    let share = (loss.mean / 0.20).clamp(0.0, 1.0);
    svg.rect(corner, size, "cell", &format!("fill=\"{}\"", warm(share)));
    let class = if share > 0.55 { "value light" } else { "value" };
    svg.text(middle, Anchor::Middle, class, &format!("{:.1}", loss.mean * 100.0));
}

/// White at no loss to a dark red at 20 points.
fn warm(share: f64) -> String {
    let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(255.0, 150.0), mix(255.0, 30.0), mix(255.0, 10.0))
}
