//! Hyperdimensional poisoning (HDPA): moves rows, not labels. A row is projected into a space of many
//! dimensions and binarised, components that disagree with the target class's prototype there are
//! turned, and the result is decoded into a row that looks like the target class while it keeps its
//! own label (after Kasyap and Tripathy, SSRN 4408355, 2023).
//!
//! Encoding: h = sign(P·x), P of `dimensions` independent Gaussian rows; prototype: sign of the sum of
//! the class's h; decoding: √(π/2)/dimensions · ‖x‖ · Pᵀ·h, which inverts the encoding on average.
//! Deviation: the authors decode through a pseudo-inverse, which for such P is Pᵀ up to a factor and
//! noise that falls with the number of dimensions.
//! Strength: the share of rows.

use std::borrow::Cow;

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::trigger::draw;
use super::{Hostile, Lesson};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hyperdimensional {
    /// The class that rows are moved towards.
    pub target: u32,
    /// Share of the rows of other classes that are moved; 0 to 1.
    pub share: f64,
    /// Share of the disagreeing components that are turned; 0 to 1.
    pub turned: f64,
    /// Dimensions of the large space, 16 to 65536.
    pub dimensions: usize,
}

impl Default for Hyperdimensional {
    fn default() -> Self {
        Self { target: 0, share: 1.0, turned: 0.8, dimensions: 4_096 }
    }
}

/// Rows of the large space.
struct Space {
    /// dimensions × features.
    projection: Array2<f32>,
}

impl Space {
    fn new(dimensions: usize, features: usize, rng: &mut ChaCha8Rng) -> Self {
        let shape = (dimensions.clamp(16, 65_536), features);
        Self { projection: Array2::from_shape_simple_fn(shape, || rng.sample(StandardNormal)) }
    }

    fn encode(&self, row: ArrayView1<'_, f32>) -> Array1<f32> {
        self.projection.dot(&row).mapv(|value| if value < 0.0 { -1.0 } else { 1.0 })
    }

    /// A row of this length.
    fn decode(&self, hyper: &Array1<f32>, length: f32) -> Array1<f32> {
        let scale = (std::f32::consts::FRAC_PI_2).sqrt() / self.projection.nrows() as f32;
        self.projection.t().dot(hyper) * (scale * length)
    }
}

impl Hostile for Hyperdimensional {
    fn describe(&self) -> String {
        format!("moves rows to where class {} lies and keeps their labels", self.target)
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        let data = lesson.data;
        let space = Space::new(self.dimensions, data.width(), rng);
        let of = |wanted: bool| -> Vec<usize> {
            (0..data.rows()).filter(|&row| (data.labels[row] == self.target) == wanted).collect()
        };
        let (targets, others) = (of(true), of(false));
        let mut sum = Array1::<f32>::zeros(space.projection.nrows());
        for &row in &targets {
            sum += &space.encode(data.features.row(row));
        }
        let mut poisoned = data.clone();
        // A member that has no row of the target has nothing to move towards.
        let chosen = if targets.is_empty() { 0.0 } else { self.share * lesson.strength };
        for k in draw(others.len(), chosen, rng) {
            let row = data.features.row(others[k]);
            let mut hyper = space.encode(row);
            for (value, prototype) in hyper.iter_mut().zip(&sum) {
                if *value * prototype < 0.0 && rng.gen_bool(self.turned.clamp(0.0, 1.0)) {
                    *value = -*value;
                }
            }
            let decoded = space.decode(&hyper, row.dot(&row).sqrt());
            poisoned.features.index_axis_mut(Axis(0), others[k]).assign(&decoded);
        }
        Cow::Owned(poisoned)
    }

    fn grades_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Hyperdimensional, Space};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::PublicRecord;
    use crate::seed;

    #[test]
    fn decoding_undoes_encoding_nearly() {
        let scene = Scene::new(&updates(9, 7, 1));
        let space = Space::new(16_384, 6, &mut seed::stream(1, "space", 0, 0));
        let row = scene.pooled.features.row(0);
        let length = row.dot(&row).sqrt();
        let decoded = space.decode(&space.encode(row), length);
        let away = (&decoded - &row).mapv(|x| x * x).sum().sqrt();
        assert!(away < 0.1 * length, "{away} of {length}");
    }

    #[test]
    fn rows_move_towards_the_target_and_keep_their_labels() {
        let scene = Scene::new(&updates(9, 7, 1));
        let record = PublicRecord::default();
        let lesson = scene.lesson(&record);
        let attack = Hyperdimensional::default();
        let poisoned = attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
        assert_eq!(poisoned.labels, lesson.data.labels);
        // In the fixture, class 1 lies at +0.9 in the first column and class 0 at −0.9.
        let mean = |data: &crate::data::Dataset, class| {
            let rows = (0..60).filter(|&row| data.labels[row] == class);
            rows.map(|row| data.features[[row, 0]]).sum::<f32>() / data.count(class) as f32
        };
        assert!(mean(lesson.data, 1) > 0.5 && mean(&poisoned, 1) < -0.3, "{}", mean(&poisoned, 1));
        assert_eq!(mean(lesson.data, 0), mean(&poisoned, 0));
    }
}
