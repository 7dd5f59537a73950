//! Label flip: trains honestly on rows whose labels were inverted, y ← 1 − y (Biggio, Nelson and
//! Laskov 2012; Tolpegin et al., ESORICS 2020).

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelFlip {
    /// Share of the rows whose label is inverted, drawn at random; 0 to 1.
    pub share: f64,
    /// Only rows of this class are inverted; of both when absent.
    pub source: Option<u32>,
}

impl Default for LabelFlip {
    fn default() -> Self {
        Self { share: 1.0, source: None }
    }
}

impl LabelFlip {
    pub(super) fn poison_data(&self, data: &Dataset, rng: &mut ChaCha8Rng) -> Dataset {
        let chosen = |label: u32| self.source.is_none_or(|source| source == label);
        let mut rows: Vec<usize> =
            (0..data.rows()).filter(|&row| chosen(data.labels[row])).collect();
        rows.shuffle(rng);
        rows.truncate((rows.len() as f64 * self.share).round() as usize);
        let mut poisoned = data.clone();
        for row in rows {
            poisoned.labels[row] = 1 - poisoned.labels[row].min(1);
        }
        poisoned
    }

    pub(super) fn describe_short(&self) -> String {
        format!("{:.0} % of labels inverted", self.share * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::LabelFlip;
    use crate::data::fixtures::clouds;
    use crate::seed;

    #[test]
    fn the_stated_share_of_the_stated_class_is_inverted() {
        let data = clouds(90, 3, 1);
        let flipped = |attack: LabelFlip| {
            let poisoned = attack.poison_data(&data, &mut seed::stream(1, "attack", 0, 0));
            assert_eq!(poisoned.features, data.features);
            let mut turned = [0, 0];
            for (&before, &after) in data.labels.iter().zip(&poisoned.labels) {
                assert!(after <= 1);
                turned[before as usize] += usize::from(before != after);
            }
            turned
        };
        assert_eq!(flipped(LabelFlip::default()), [60, 30]);
        assert_eq!(flipped(LabelFlip { share: 0.5, source: Some(1) }), [0, 15]);
        assert_eq!(flipped(LabelFlip { share: 0.0, source: None }), [0, 0]);
        let half = flipped(LabelFlip { share: 0.5, source: None });
        assert_eq!(half[0] + half[1], 45);
    }
}
