//! A chart of lines over rounds, each with the interval it lies in.

use super::svg::{ticks, Anchor, Svg};

/// One line.
pub(super) struct Series {
    /// What it is, as in the legend.
    pub(super) name: String,
    /// Class of line, band and marks: `absent`, `attacked`, `plain`, `honest` or `hostile`.
    pub(super) class: &'static str,
    /// Round, mean, and the interval's ends.
    pub(super) points: Vec<(f64, f64, f64, f64)>,
}

/// A chart before it is drawn.
pub(super) struct Chart {
    /// What is shown.
    pub(super) title: String,
    /// Name of the vertical axis with its unit.
    pub(super) y_label: String,
    /// Whether values are shares, labelled in percent.
    pub(super) percent: bool,
    /// Lines, drawn in this order.
    pub(super) series: Vec<Series>,
    /// Rounds to mark with a word.
    pub(super) marks: Vec<(f64, &'static str)>,
}

const WIDTH: f64 = 540.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 62.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
/// Least distance between the labels at the lines' ends.
const LABEL_GAP: f64 = 14.0;

struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.y.0) / (self.y.1 - self.y.0);
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart {
    /// The chart as a figure.
    pub(super) fn draw(&self) -> String {
        let Some(frame) = self.frame() else { return String::new() };
        let mut svg = Svg::new(WIDTH, HEIGHT);
        svg.text((LEFT, 18.0), Anchor::Start, "title", &self.title);
        self.axes(&mut svg, &frame);
        let inside = self.marks.iter().filter(|(round, _)| *round > frame.x.0);
        for (k, &(round, word)) in inside.enumerate() {
            let x = frame.x(round);
            svg.line((x, TOP), (x, HEIGHT - BOTTOM), "mark");
            let right = x < WIDTH * 0.7;
            let (x, anchor) = if right { (x + 4.0, Anchor::Start) } else { (x - 4.0, Anchor::End) };
            svg.text((x, HEIGHT - BOTTOM - 6.0 - 14.0 * k as f64), anchor, "note", word);
        }
        for series in &self.series {
            let upper = series.points.iter().map(|p| (frame.x(p.0), frame.y(p.3)));
            let lower = series.points.iter().rev().map(|p| (frame.x(p.0), frame.y(p.2)));
            let band: Vec<(f64, f64)> = upper.chain(lower).collect();
            svg.polygon(&band, &format!("band {}", series.class));
        }
        for series in &self.series {
            let line: Vec<(f64, f64)> =
                series.points.iter().map(|p| (frame.x(p.0), frame.y(p.1))).collect();
            svg.polyline(&line, &format!("curve {}", series.class));
            let every = line.len().div_ceil(6).max(1);
            for &point in line.iter().skip(every / 2).step_by(every) {
                svg.circle(point, 3.2, &format!("dot {}", series.class));
            }
        }
        self.end_labels(&mut svg, &frame);
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        svg.finish(&format!("{}, by round: {}", self.title, names.join("; ")))
    }

    fn frame(&self) -> Option<Frame> {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let first = all().map(|p| p.0).fold(f64::INFINITY, f64::min);
        let last = all().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        // The span of the means, with room for a good part of the intervals.
        let low = all().map(|p| p.1.min(p.1 * 0.5 + p.2 * 0.5)).fold(f64::INFINITY, f64::min);
        let high = all().map(|p| p.1.max(p.1 * 0.5 + p.3 * 0.5)).fold(f64::NEG_INFINITY, f64::max);
        if !(first.is_finite() && low.is_finite()) {
            return None;
        }
        let room = ((high - low) * 0.08).max(0.01);
        let mut y = (low - room, high + room);
        if self.percent {
            y = (y.0.max(0.0), y.1.min(1.0));
        }
        Some(Frame { x: (first, last.max(first + 1.0)), y })
    }

    fn label(&self, value: f64, digits: usize) -> String {
        if self.percent {
            format!("{:.digits$} %", value * 100.0)
        } else {
            format!("{value:.2}")
        }
    }

    fn axes(&self, svg: &mut Svg, frame: &Frame) {
        let fine = self.percent && frame.y.1 - frame.y.0 < 0.05;
        for tick in ticks(frame.y.0, frame.y.1, 5) {
            let y = frame.y(tick);
            svg.line((LEFT, y), (WIDTH - RIGHT, y), "grid");
            let text = self.label(tick, usize::from(fine));
            svg.text((LEFT - 6.0, y + 4.0), Anchor::End, "tick", &text);
        }
        for tick in ticks(frame.x.0, frame.x.1, 7).into_iter().filter(|t| t.fract() == 0.0) {
            let x = frame.x(tick);
            svg.line((x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 4.0), "axis");
            svg.text((x, HEIGHT - BOTTOM + 17.0), Anchor::Middle, "tick", &format!("{tick}"));
        }
        svg.line((LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM), "axis");
        svg.text(
            (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 8.0),
            Anchor::Middle,
            "label",
            "round",
        );
        svg.text_upwards((14.0, f64::midpoint(TOP, HEIGHT - BOTTOM)), "label", &self.y_label);
    }

    /// The last value of each line at its end, moved apart where they would overlap.
    fn end_labels(&self, svg: &mut Svg, frame: &Frame) {
        let mut labels: Vec<(f64, f64, &'static str)> = self
            .series
            .iter()
            .filter_map(|series| series.points.last().map(|p| (frame.y(p.1), p.1, series.class)))
            .collect();
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        for k in 1..labels.len() {
            labels[k].0 = labels[k].0.max(labels[k - 1].0 + LABEL_GAP);
        }
        let overflow = labels.last().map_or(0.0, |last| (last.0 - (HEIGHT - BOTTOM)).max(0.0));
        for (y, value, class) in labels {
            let place = (WIDTH - RIGHT + 6.0, y - overflow + 4.0);
            svg.text(place, Anchor::Start, &format!("end {class}"), &self.label(value, 1));
        }
    }
}
