//! Drawing: the few shapes that the report's pictures are made of.

/// A picture under construction. Coordinates are in units of the view box, y downwards.
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// `text` with what HTML gives a meaning to replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// A coordinate with one decimal, without a needless one.
fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.body += &format!(
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
            at(from.0),
            at(from.1),
            at(to.0),
            at(to.1),
        );
    }

    /// A rectangle from its upper left corner; `style` is further attributes.
    pub(super) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str, style: &str) {
        self.body += &format!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {style}/>\n",
            at(corner.0),
            at(corner.1),
            at(size.0),
            at(size.1),
        );
    }

    pub(super) fn text(&mut self, place: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.body += &format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
            at(place.0),
            at(place.1),
            escape(text),
        );
    }

    /// A text that reads upwards, centred on `place`.
    pub(super) fn text_upwards(&mut self, place: (f64, f64), class: &str, text: &str) {
        self.body += &format!(
            "<text class=\"{class}\" text-anchor=\"middle\" \
             transform=\"translate({} {}) rotate(-90)\">{}</text>\n",
            at(place.0),
            at(place.1),
            escape(text),
        );
    }

    /// A text that rises to the right from `place`.
    pub(super) fn text_slanted(&mut self, place: (f64, f64), class: &str, text: &str) {
        self.body += &format!(
            "<text class=\"{class}\" transform=\"translate({} {}) rotate(-40)\">{}</text>\n",
            at(place.0),
            at(place.1),
            escape(text),
        );
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points = list(points);
        self.body += &format!("<polyline class=\"{class}\" points=\"{points}\"/>\n");
    }

    pub(super) fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        let points = list(points);
        self.body += &format!("<polygon class=\"{class}\" points=\"{points}\"/>\n");
    }

    pub(super) fn circle(&mut self, centre: (f64, f64), radius: f64, class: &str) {
        self.body += &format!(
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>\n",
            at(centre.0),
            at(centre.1),
            at(radius),
        );
    }

    /// A line of `width`, for graphs.
    pub(super) fn edge(&mut self, from: (f64, f64), to: (f64, f64), width: f64) {
        self.body += &format!(
            "<line class=\"edge\" stroke-width=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
            at(width),
            at(from.0),
            at(from.1),
            at(to.0),
            at(to.1),
        );
    }

    /// The picture, with what it shows for those who do not see it.
    pub(super) fn finish(self, description: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            at(self.width),
            at(self.height),
            escape(description),
            self.body,
        )
    }
}

fn list(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", at(*x), at(*y))).collect::<Vec<_>>().join(" ")
}

/// Round values that divide `low` to `high` into about `wanted` steps.
pub(super) fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let raw = (high - low).max(1e-9) / wanted.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw * 0.999);
    let step = step.unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::{escape, ticks, Anchor, Svg};

    #[test]
    fn ticks_are_round_and_inside() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        };
        close(ticks(0.0, 1.0, 5), &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        close(ticks(1.0, 63.0, 6), &[20.0, 40.0, 60.0]);
        close(ticks(0.71, 0.99, 4), &[0.8, 0.9]);
    }

    #[test]
    fn texts_cannot_break_out() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
        let mut svg = Svg::new(10.0, 5.5);
        svg.text((1.0, 2.25), Anchor::Middle, "c", "a<b");
        let picture = svg.finish("say \"hi\"");
        assert!(picture.contains("viewBox=\"0 0 10 5.5\"") && picture.contains(">a&lt;b</text>"));
        assert!(picture.contains("aria-label=\"say &quot;hi&quot;\""), "{picture}");
    }
}
