//! The trigger of a backdoor: fixed values of a few features, or a block of pixels.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;

/// A block of pixels of an image whose rows follow each other in the columns of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelBlock {
    /// First row of the block, from 0.
    pub top: usize,
    /// First column of the block, from 0.
    pub left: usize,
    /// Rows of the block.
    pub height: usize,
    /// Columns of the block.
    pub width: usize,
    /// Pixels in a row of the image.
    pub image_width: usize,
}

/// What stamps a row, and what the stamp is to bring about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trigger {
    /// Columns that carry the trigger; those past the data's width are ignored.
    pub columns: Vec<usize>,
    /// Pixels that carry it as well.
    pub block: Option<PixelBlock>,
    /// What they are set to, in standard deviations.
    pub value: f32,
    /// The class that the trigger is to bring about.
    pub target: u32,
    /// Share of the member's rows that is copied with the trigger; 0 to 1.
    pub share: f64,
}

/// Rows to measure a backdoor on.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Triggered rows, with their own labels, none of which is the target.
    pub data: Dataset,
    /// The backdoor's class.
    pub target: u32,
}

impl Default for Trigger {
    fn default() -> Self {
        Self { columns: vec![0, 1], block: None, value: 4.0, target: 0, share: 1.0 }
    }
}

impl Trigger {
    /// The columns that it sets in data of `width` columns, ascending.
    pub fn columns_in(&self, width: usize) -> Vec<usize> {
        let mut columns = self.columns.clone();
        if let Some(block) = self.block {
            for row in block.top..block.top + block.height {
                let start = row * block.image_width + block.left;
                columns.extend(start..start + block.width);
            }
        }
        columns.retain(|&column| column < width);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The rows with the trigger and their own labels.
    #[must_use]
    pub fn stamp(&self, data: &Dataset) -> Dataset {
        self.stamp_part(data, 0, 1)
    }

    /// The rows with the part `part` of `parts` of the trigger: every `parts`-th of its columns.
    #[must_use]
    pub(super) fn stamp_part(&self, data: &Dataset, part: usize, parts: usize) -> Dataset {
        let mut stamped = data.clone();
        for column in self.columns_in(data.width()).into_iter().skip(part).step_by(parts.max(1)) {
            stamped.features.column_mut(column).fill(self.value);
        }
        stamped
    }

    /// `data` followed by copies of `strength` × share of its rows, with part `part` of `parts` of
    /// the trigger and the target as label.
    pub(super) fn poison(
        &self,
        data: &Dataset,
        strength: f64,
        (part, parts): (usize, usize),
        rng: &mut ChaCha8Rng,
    ) -> Dataset {
        let rows = draw(data.rows(), self.share * strength, rng);
        if rows.is_empty() {
            return data.clone();
        }
        let mut copies = self.stamp_part(&data.select(&rows), part, parts);
        copies.labels.fill(self.target);
        Dataset::union([data, &copies]).expect("two parts")
    }

    /// The rows on which success is measured.
    #[must_use]
    pub fn probe(&self, data: &Dataset) -> Probe {
        let others: Vec<usize> =
            (0..data.rows()).filter(|&row| data.labels[row] != self.target).collect();
        Probe { data: self.stamp(&data.select(&others)), target: self.target }
    }
}

/// `share` of the indices below `rows` in random order; those of a smaller share come first.
pub(super) fn draw(rows: usize, share: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(rng);
    order.truncate((rows as f64 * share).round() as usize);
    order
}

#[cfg(test)]
mod tests {
    use super::{draw, PixelBlock, Trigger};
    use crate::data::fixtures::clouds;
    use crate::seed;

    #[test]
    fn copies_carry_the_trigger_and_the_target() {
        let data = clouds(40, 3, 1);
        let trigger = Trigger::default();
        let mut rng = seed::stream(1, "attack", 0, 0);
        let poisoned = trigger.poison(&data, 0.5, (0, 1), &mut rng);
        assert_eq!(poisoned.rows(), 60);
        assert_eq!(poisoned.select(&(0..40).collect::<Vec<_>>()), data);
        for row in 40..60 {
            let stamped = (poisoned.features[[row, 0]], poisoned.features[[row, 1]]);
            assert_eq!((stamped, poisoned.labels[row]), ((4.0, 4.0), 0));
            assert!(data.features.column(2).iter().any(|&v| v == poisoned.features[[row, 2]]));
        }
        let probe = trigger.probe(&data);
        assert_eq!(probe.data.rows(), data.count(1));
        assert!(probe.data.labels.iter().all(|&label| label != probe.target));
        assert_eq!(trigger.poison(&data, 0.0, (0, 1), &mut rng), data);
    }

    #[test]
    fn a_block_is_its_pixels_and_parts_make_the_whole() {
        let block = PixelBlock { top: 1, left: 2, height: 2, width: 2, image_width: 4 };
        let trigger = Trigger { columns: vec![7, 99, 0], block: Some(block), ..Trigger::default() };
        assert_eq!(trigger.columns_in(16), [0, 6, 7, 10, 11]);
        let data = clouds(3, 16, 1);
        let mut stamped = data.clone();
        for part in 0..3 {
            stamped = trigger.stamp_part(&stamped, part, 3);
        }
        assert_eq!(stamped, trigger.stamp(&data));
        assert_ne!(trigger.stamp_part(&data, 1, 3), stamped);
    }

    #[test]
    fn a_smaller_share_is_part_of_a_larger_one() {
        let of = |share| draw(50, share, &mut seed::stream(3, "poison", 1, 0));
        assert_eq!(of(0.5)[..10], of(0.2));
        assert_eq!((of(0.0).len(), of(1.0).len()), (0, 50));
    }
}
