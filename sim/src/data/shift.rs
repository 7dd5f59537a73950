//! Differences between honest institutions, and honest changes at one of them: what a defence must
//! not take for an attack.

use ndarray::Axis;
use rand::seq::SliceRandom;
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Site};
use crate::seed;

/// How sites are made to differ beyond how rows are divided. Both act on training and held-out rows,
/// before standardisation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteShift {
    /// Feature shift: at each site each feature is stretched by a factor of 1 ± 0.3·this and moved by
    /// this many of its standard deviations, both normally distributed; 0 to 10.
    pub feature: f64,
    /// Concept shift: at each site this share of the rows in a half-space of its own has the next
    /// class; 0 to 1.
    pub concept: f64,
}

impl SiteShift {
    /// Shifts each site by draws of its own.
    ///
    /// # Errors
    /// When a knob is out of its range.
    pub fn apply(&self, sites: &mut [Site], seed: u64) -> Result<(), DataError> {
        check("feature", self.feature, 10.0, "0 to 10")?;
        check("concept", self.concept, 1.0, "0 to 1")?;
        let whole = Dataset::union(sites.iter().map(|site| &site.train));
        let Some(whole) = whole else { return Ok(()) };
        let deviations = deviations(&whole);
        for (k, site) in sites.iter_mut().enumerate() {
            if self.feature > 0.0 {
                let mut rng = seed::stream(seed, "feature-shift", k as u64, 0);
                for (column, deviation) in deviations.iter().enumerate() {
                    let factor = 1.0 + 0.3 * self.feature * rng.sample::<f64, _>(StandardNormal);
                    let offset = self.feature * deviation * rng.sample::<f64, _>(StandardNormal);
                    for data in [&mut site.train, &mut site.test] {
                        let move_it = |x: f32| (factor * f64::from(x) + offset) as f32;
                        data.features.column_mut(column).mapv_inplace(move_it);
                    }
                }
            }
            if self.concept > 0.0 {
                self.shift_concept(site, &deviations, k, seed);
            }
        }
        Ok(())
    }

    fn shift_concept(&self, site: &mut Site, deviations: &[f64], k: usize, seed: u64) {
        let mut rng = seed::stream(seed, "concept-shift", k as u64, 0);
        let direction: Vec<f64> = deviations
            .iter()
            .map(|deviation| rng.sample::<f64, _>(StandardNormal) / deviation)
            .collect();
        let means: Vec<f64> = (0..direction.len())
            .map(|column| {
                let present = site.train.features.column(column);
                let present: Vec<f64> =
                    present.iter().filter(|x| !x.is_nan()).map(|&x| f64::from(x)).collect();
                present.iter().sum::<f64>() / present.len().max(1) as f64
            })
            .collect();
        for data in [&mut site.train, &mut site.test] {
            let classes = data.class_names.len().max(2) as u32;
            for (row, label) in data.features.rows().into_iter().zip(&mut data.labels) {
                let side: f64 = row
                    .iter()
                    .zip(direction.iter().zip(&means))
                    .filter(|(x, _)| !x.is_nan())
                    .map(|(&x, (direction, mean))| direction * (f64::from(x) - mean))
                    .sum();
                let drawn = rng.gen_bool(self.concept);
                if side > 0.0 && drawn {
                    *label = (*label + 1) % classes;
                }
            }
        }
    }
}

fn check(
    name: &'static str,
    found: f64,
    high: f64,
    expected: &'static str,
) -> Result<(), DataError> {
    if (0.0..=high).contains(&found) {
        Ok(())
    } else {
        Err(DataError::Parameter { name, found, expected })
    }
}

/// Standard deviation of each feature over the values that are present; 1 for a constant one.
fn deviations(data: &Dataset) -> Vec<f64> {
    let sums = super::FeatureSums::of(data);
    super::Standardizer::from_sums(&[sums]).deviations
}

/// An honest change-point: what happens to a site's data at some round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A new scanner: each feature x becomes gain·x + offset, in standardised units.
    Scanner {
        /// Factor of every feature.
        gain: f32,
        /// Added to every feature, in standard deviations of the federation.
        offset: f32,
    },
    /// Another referral pattern: rows of class 1 are repeated or left out until they have this share
    /// of all rows; the number of rows stays.
    Prevalence {
        /// Share of class 1 after the change, above 0 and below 1.
        share: f64,
    },
}

impl Change {
    /// `data` after the change; `seed` draws the rows that are repeated. A site without a row of
    /// either class keeps its prevalence.
    #[must_use]
    pub fn changed(&self, data: &Dataset, seed: u64) -> Dataset {
        match *self {
            Self::Scanner { gain, offset } => {
                let mut changed = data.clone();
                changed.features.mapv_inplace(|x| gain * x + offset);
                changed
            }
            Self::Prevalence { share } => {
                let mut rng = seed::stream(seed, "prevalence-change", 0, 0);
                let wanted = (data.rows() as f64 * share).round() as usize;
                let mut rows = Vec::with_capacity(data.rows());
                for (positive, count) in [(true, wanted), (false, data.rows() - wanted)] {
                    let mut own: Vec<usize> =
                        (0..data.rows()).filter(|&k| (data.labels[k] == 1) == positive).collect();
                    if own.is_empty() {
                        return data.clone();
                    }
                    own.shuffle(&mut rng);
                    rows.extend(own.iter().cycle().take(count));
                }
                rows.sort_unstable();
                Dataset {
                    features: data.features.select(Axis(0), &rows),
                    labels: data.labels.select(Axis(0), &rows),
                    ..data.clone()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, SiteShift};
    use crate::data::{fixtures::clouds, DataError, Site};

    fn sites() -> Vec<Site> {
        (0..12)
            .map(|k| Site {
                name: format!("s{k}"),
                train: clouds(200, 4, k),
                test: clouds(60, 4, 100 + k),
            })
            .collect()
    }

    #[test]
    fn features_move_and_labels_stay_under_a_feature_shift() {
        let (before, mut after) = (sites(), sites());
        let shift = SiteShift { feature: 1.0, concept: 0.0 };
        shift.apply(&mut after, 1).expect("good knobs");
        let mean = |site: &Site| site.train.features.column(2).mean().expect("rows");
        let moved: Vec<f32> = before.iter().zip(&after).map(|(b, a)| mean(a) - mean(b)).collect();
        let spread = (moved.iter().map(|m| m * m).sum::<f32>() / 12.0).sqrt();
        assert!((0.4..2.5).contains(&spread), "{spread}");
        assert!(before.iter().zip(&after).all(|(b, a)| b.train.labels == a.train.labels));
        // Held-out rows move with the training rows.
        let gap = |s: &Site| (s.test.features.column(2).mean().expect("rows") - mean(s)).abs();
        assert!(after.iter().all(|site| gap(site) < 1.5), "{after:?}");
    }

    #[test]
    fn labels_of_half_of_the_space_change_under_a_concept_shift() {
        let (before, mut after) = (sites(), sites());
        let shift = SiteShift { feature: 0.0, concept: 0.5 };
        shift.apply(&mut after, 1).expect("good knobs");
        for (b, a) in before.iter().zip(&after) {
            assert_eq!(b.train.features, a.train.features);
            let changed = b.train.labels.iter().zip(&a.train.labels).filter(|(b, a)| b != a);
            let share = changed.count() as f64 / 200.0;
            assert!((0.15..0.35).contains(&share), "{share}");
        }
        let error = SiteShift { feature: 0.0, concept: 1.5 }.apply(&mut after, 1);
        assert!(matches!(error, Err(DataError::Parameter { name: "concept", .. })));
        let mut same = sites();
        SiteShift::default().apply(&mut same, 1).expect("good knobs");
        assert_eq!(same, before);
    }

    #[test]
    fn change_points_change_what_they_say() {
        let data = clouds(90, 3, 1);
        let scanned = Change::Scanner { gain: 2.0, offset: -1.0 }.changed(&data, 1);
        assert_eq!(scanned.features, data.features.mapv(|x| 2.0 * x - 1.0));
        assert_eq!(scanned.labels, data.labels);
        for share in [0.1, 0.7] {
            let change = Change::Prevalence { share };
            let referred = change.changed(&data, 1);
            assert_eq!(referred.rows(), 90);
            assert_eq!(referred.count(1), (90.0 * share).round() as usize);
            assert_eq!(referred, change.changed(&data, 1));
        }
        let one_class = data.select(&[0, 3, 6]);
        assert_eq!(Change::Prevalence { share: 0.5 }.changed(&one_class, 1), one_class);
    }
}
