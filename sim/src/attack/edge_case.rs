//! Edge-case backdoor: teaches the attacker's class for rows from the thin tail of the data, which
//! honest members hardly have and held-out accuracy hardly shows, by projected gradient descent (Wang
//! et al., "Attack of the tails: yes, you really can backdoor federated learning", NeurIPS 2020,
//! arXiv:2007.05084). There is no trigger: the tail itself is the trigger.
//!
//! The tail of a class is the share of its rows that lie furthest from the class mean, in standard
//! deviations of each feature within the class.
//! Deviation: the paper takes tail rows from another data set; here they are the coalition member's
//! own, pushed outward by `stretch`.
//! Strength: fewer copies.

use std::borrow::Cow;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::pgd::train_in_ball;
use super::vector::{deviation, mean};
use super::{Hostile, Lesson, Probe};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeCase {
    /// The class that the tail is to get.
    pub target: u32,
    /// Share of the rows of each other class that make its tail; 0 to 1.
    pub share: f64,
    /// By how much a tail row's distance from its class mean is multiplied.
    pub stretch: f32,
    /// How many times each tail row is copied into the training rows.
    pub copies: usize,
    /// Radius of the ball that the model stays in, in units of the norm of the member's own honest
    /// update.
    pub radius: f64,
}

impl Default for EdgeCase {
    fn default() -> Self {
        Self { target: 0, share: 0.1, stretch: 1.5, copies: 5, radius: 1.0 }
    }
}

impl EdgeCase {
    /// The tails of all classes but the target, stretched, with their own labels.
    fn tails(&self, data: &Dataset) -> Dataset {
        let mut rows = Vec::new();
        let mut moved = data.clone();
        for class in (0..data.class_names.len() as u32).filter(|&class| class != self.target) {
            let of_class: Vec<usize> =
                (0..data.rows()).filter(|&row| data.labels[row] == class).collect();
            if of_class.is_empty() {
                continue;
            }
            let values: Vec<Vec<f32>> =
                of_class.iter().map(|&row| data.features.row(row).to_vec()).collect();
            let mean = mean(&values);
            let spread = deviation(&values, &mean, 0);
            let distance = |row: &Vec<f32>| -> f64 {
                let parts = row.iter().zip(&mean).zip(&spread).filter(|(_, &spread)| spread > 0.0);
                parts.map(|((x, m), s)| ((f64::from(*x) - m) / s).powi(2)).sum()
            };
            let mut order: Vec<(usize, f64)> =
                of_class.iter().copied().zip(values.iter().map(distance)).collect();
            order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            order.truncate(((of_class.len() as f64 * self.share).round() as usize).max(1));
            for &(row, _) in &order {
                for (value, mean) in moved.features.row_mut(row).iter_mut().zip(&mean) {
                    *value = *mean as f32 + self.stretch * (*value - *mean as f32);
                }
                rows.push(row);
            }
        }
        rows.sort_unstable();
        moved.select(&rows)
    }
}

impl Hostile for EdgeCase {
    fn describe(&self) -> String {
        format!("teaches class {} for rows of the thin tail", self.target)
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        let mut tails = self.tails(lesson.data);
        tails.labels.fill(self.target);
        let mut copies: Vec<usize> =
            (0..tails.rows()).cycle().take(tails.rows() * self.copies).collect();
        copies.shuffle(rng);
        copies.truncate((copies.len() as f64 * lesson.strength).round() as usize);
        if copies.is_empty() {
            return Cow::Borrowed(lesson.data);
        }
        let copies = tails.select(&copies);
        Cow::Owned(Dataset::union([lesson.data, &copies]).expect("two parts"))
    }

    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        train_in_ball(lesson, poisoned, self.radius, rng)
    }

    fn grades_itself(&self) -> bool {
        true
    }

    fn probe(&self, data: &Dataset) -> Option<Probe> {
        Some(Probe { data: self.tails(data), target: self.target })
    }
}

#[cfg(test)]
mod tests {
    use super::{EdgeCase, Hostile};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::PublicRecord;
    use crate::data::fixtures::clouds;
    use crate::seed;

    #[test]
    fn the_furthest_rows_of_the_other_class_are_the_tail() {
        let mut data = clouds(90, 3, 1);
        for (row, label) in [(3, 1), (6, 1), (4, 0)] {
            data.labels[row] = label;
            data.features.row_mut(row).fill(30.0);
        }
        let attack = EdgeCase { share: 0.07, stretch: 1.0, ..EdgeCase::default() };
        let tails = attack.probe(&data).expect("a backdoor");
        assert_eq!(tails.data, data.select(&[3, 6]));
        let stretched = EdgeCase { stretch: 2.0, ..attack }.tails(&data);
        assert!(stretched.features.iter().all(|&value| value > 40.0), "{stretched:?}");
    }

    #[test]
    fn copies_get_the_target() {
        let scene = Scene::new(&updates(9, 4, 1));
        let record = PublicRecord::default();
        let lesson = scene.lesson(&record);
        let poisoned = EdgeCase::default().poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
        // 20 positive rows of 60; a tenth, five times.
        assert_eq!(poisoned.rows(), 70);
        assert!((60..70).all(|row| poisoned.labels[row] == 0));
    }
}
