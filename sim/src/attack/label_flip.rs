//! Label flip: trains honestly on rows whose labels were changed: inverted, y ← C − 1 − y (Biggio,
//! Nelson and Laskov, ICML 2012), one class to another (Tolpegin et al., ESORICS 2020,
//! arXiv:2007.08432), or drawn at random among the other classes.
//!
//! Strength: the share of rows. With a ramp, more rows turn from round to round, and none turns
//! back.

use std::borrow::Cow;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::trigger::draw;
use super::{Hostile, Lesson};
use crate::data::Dataset;

/// What a label becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// C − 1 − y; with two classes the other one. The middle one of an odd number stays.
    #[default]
    Invert,
    /// Another class, each with the same probability.
    Random,
}

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelFlip {
    /// Share of the rows whose label is changed, drawn at random; 0 to 1.
    pub share: f64,
    /// Only rows of this class are changed; of all when absent.
    pub source: Option<u32>,
    /// The class that they get; see `flip` when absent.
    pub target: Option<u32>,
    /// What a label becomes when there is no `target`.
    pub flip: Flip,
}

impl Default for LabelFlip {
    fn default() -> Self {
        Self { share: 1.0, source: None, target: None, flip: Flip::Invert }
    }
}

impl LabelFlip {
    pub(super) fn poison_rows(
        &self,
        data: &Dataset,
        strength: f64,
        rng: &mut ChaCha8Rng,
    ) -> Dataset {
        let chosen = |label: u32| self.source.is_none_or(|source| source == label);
        let rows: Vec<usize> = (0..data.rows()).filter(|&row| chosen(data.labels[row])).collect();
        let classes = data.class_names.len().max(2) as u32;
        let mut poisoned = data.clone();
        for k in draw(rows.len(), self.share * strength, rng) {
            let label = &mut poisoned.labels[rows[k]];
            *label = match (self.target, self.flip) {
                (Some(target), _) => target.min(classes - 1),
                (None, Flip::Invert) => classes - 1 - (*label).min(classes - 1),
                (None, Flip::Random) => (*label + rng.gen_range(1..classes)) % classes,
            };
        }
        poisoned
    }

    pub(super) fn describe_short(&self) -> String {
        let which = self.source.map_or(String::new(), |source| format!(" of class {source}"));
        let what = match (self.target, self.flip) {
            (Some(target), _) => format!("turned to class {target}"),
            (None, Flip::Invert) => "inverted".to_owned(),
            (None, Flip::Random) => "drawn at random".to_owned(),
        };
        format!("{:.0} % of labels{which} {what}", self.share * 100.0)
    }
}

impl Hostile for LabelFlip {
    fn describe(&self) -> String {
        format!("trains with {}", self.describe_short())
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        Cow::Owned(self.poison_rows(lesson.data, lesson.strength, rng))
    }

    fn grades_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Flip, LabelFlip};
    use crate::data::fixtures::clouds;
    use crate::seed;

    #[test]
    fn the_stated_share_of_the_stated_class_is_inverted() {
        let data = clouds(90, 3, 1);
        let flipped = |attack: LabelFlip, strength| {
            let mut rng = seed::stream(1, "attack", 0, 0);
            let poisoned = attack.poison_rows(&data, strength, &mut rng);
            assert_eq!(poisoned.features, data.features);
            let mut turned = [0, 0];
            for (&before, &after) in data.labels.iter().zip(&poisoned.labels) {
                assert!(after <= 1);
                turned[before as usize] += usize::from(before != after);
            }
            turned
        };
        let all = LabelFlip::default();
        assert_eq!(flipped(all, 1.0), [60, 30]);
        assert_eq!(flipped(LabelFlip { share: 0.5, source: Some(1), ..all }, 1.0), [0, 15]);
        assert_eq!(flipped(LabelFlip { source: Some(1), ..all }, 0.2), [0, 6]);
        assert_eq!(flipped(LabelFlip { share: 0.0, ..all }, 1.0), [0, 0]);
        assert_eq!(flipped(LabelFlip { flip: Flip::Random, ..all }, 1.0), [60, 30]);
        assert_eq!(flipped(LabelFlip { target: Some(0), ..all }, 1.0), [0, 30]);
        let half = flipped(LabelFlip { share: 0.5, ..all }, 1.0);
        assert_eq!(half[0] + half[1], 45);
    }

    #[test]
    fn many_classes_are_mirrored_or_drawn() {
        let mut data = clouds(90, 2, 1);
        data.class_names = (0..5).map(|k| k.to_string()).collect();
        for row in 0..90 {
            data.labels[row] = row as u32 % 5;
        }
        let poison = |attack: LabelFlip| {
            attack.poison_rows(&data, 1.0, &mut seed::stream(1, "attack", 0, 0)).labels
        };
        assert_eq!(poison(LabelFlip::default()), data.labels.mapv(|label| 4 - label));
        let random = poison(LabelFlip { flip: Flip::Random, ..LabelFlip::default() });
        assert!(random.iter().zip(&data.labels).all(|(after, before)| after != before));
        assert!((0..5).all(|class| random.iter().any(|&label| label == class)));
    }
}
