//! Generator-based poisoning: fits a density to each class of the member's rows, draws new rows from
//! it, and gives them a wrong label (the role of the generator in Zhang et al., "PoisonGAN", IEEE IoT
//! Journal 2021, with a density instead of a network, which suits tables of some hundred rows).
//!
//! The density is a Gaussian kernel around each row of the class, its bandwidth by Silverman's rule for
//! each feature: σ·(4/((m + 2)·k))^(1/(m + 4)) for k rows and m features.
//! Strength: the number of drawn rows.

use std::borrow::Cow;

use ndarray::{Array1, Array2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::vector::{deviation, mean};
use super::{Hostile, Lesson};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratedRows {
    /// Drawn rows for each row that the member has.
    pub share: f64,
    /// Only this class is drawn from; each in turn when absent.
    pub source: Option<u32>,
    /// The label that drawn rows get; the next class, cyclically, when absent.
    pub target: Option<u32>,
}

impl Default for GeneratedRows {
    fn default() -> Self {
        Self { share: 1.0, source: None, target: None }
    }
}

/// The kernel density of one class.
struct Density {
    rows: Vec<Vec<f32>>,
    bandwidth: Vec<f64>,
}

impl Density {
    /// `None` for a class without rows.
    fn of(data: &Dataset, class: u32) -> Option<Self> {
        let rows: Vec<Vec<f32>> = (0..data.rows())
            .filter(|&row| data.labels[row] == class)
            .map(|row| data.features.row(row).to_vec())
            .collect();
        let width = data.width() as f64;
        let mean = if rows.is_empty() { return None } else { mean(&rows) };
        let shrink = (4.0 / ((width + 2.0) * rows.len() as f64)).powf(1.0 / (width + 4.0));
        let bandwidth =
            deviation(&rows, &mean, 1).into_iter().map(|spread| spread * shrink).collect();
        Some(Self { rows, bandwidth })
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let row = &self.rows[rng.gen_range(0..self.rows.len())];
        let drawn = row.iter().zip(&self.bandwidth).map(|(value, bandwidth)| {
            let noise: f64 = rng.sample(StandardNormal);
            value + (bandwidth * noise) as f32
        });
        drawn.collect()
    }
}

impl Hostile for GeneratedRows {
    fn describe(&self) -> String {
        format!("adds {:.0} % invented rows with wrong labels", self.share * 100.0)
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        let data = lesson.data;
        let classes = data.class_names.len().max(2) as u32;
        let wanted = (0..classes).filter(|&class| self.source.is_none_or(|s| s == class));
        let densities: Vec<(u32, Density)> =
            wanted.filter_map(|class| Some((class, Density::of(data, class)?))).collect();
        let count = (data.rows() as f64 * self.share * lesson.strength).round() as usize;
        if densities.is_empty() || count == 0 {
            return Cow::Borrowed(data);
        }
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for k in 0..count {
            let (class, density) = &densities[k % densities.len()];
            values.extend(density.draw(rng));
            labels.push(self.target.unwrap_or((class + 1) % classes).min(classes - 1));
        }
        let invented = Dataset {
            features: Array2::from_shape_vec((count, data.width()), values)
                .expect("one row a label"),
            labels: Array1::from(labels),
            feature_names: data.feature_names.clone(),
            class_names: data.class_names.clone(),
        };
        Cow::Owned(Dataset::union([data, &invented]).expect("two parts"))
    }

    fn grades_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{GeneratedRows, Hostile};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::{Lesson, PublicRecord};
    use crate::seed;

    #[test]
    fn invented_rows_look_like_one_class_and_are_called_another() {
        let scene = Scene::new(&updates(9, 3, 1));
        let record = PublicRecord::default();
        let lesson = scene.lesson(&record);
        let attack = GeneratedRows { share: 5.0, source: Some(1), target: Some(0) };
        let poisoned = attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
        assert_eq!(poisoned.rows(), 60 + 300);
        assert!((60..360).all(|row| poisoned.labels[row] == 0));
        let mean = |rows: std::ops::Range<usize>| {
            let of_class = |row: &usize| *row >= 60 || lesson.data.labels[*row] == 1;
            let rows: Vec<usize> = rows.filter(of_class).collect();
            rows.iter().map(|&row| poisoned.features[[row, 0]]).sum::<f32>() / rows.len() as f32
        };
        assert!((mean(60..360) - mean(0..60)).abs() < 0.2);
        let half = Lesson { strength: 0.5, ..lesson };
        let both = GeneratedRows::default();
        let rng = &mut seed::stream(1, "poison", 0, 0);
        assert_eq!(both.poison(&half, rng).rows(), 90);
    }
}
