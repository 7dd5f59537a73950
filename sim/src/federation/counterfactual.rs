//! What plain averaging would have made of the very same updates.

use fedledger_contract::aggregate::aggregate;
use fedledger_contract::canonical::VALUE_LIMIT;
use fedledger_ledger::task::AggregationRule;
use ndarray::ArrayView2;

/// FedAvg (McMahan et al., AISTATS 2017) on a stream of rounds: each round's updates are averaged
/// in proportion to the declared `num_examples`, with no admission, no clipping and no trust, and
/// added up. The updates are those that members sent to the defended task; nobody trained from the
/// averaged model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainAverage {
    model: Vec<i32>,
}

impl PlainAverage {
    /// Starts from the integers of the task's initial model.
    pub fn new(initial: &[i32]) -> Self {
        Self { model: initial.to_vec() }
    }

    /// Adds the mean of one round's updates (n × d, canonical integers). A value that would leave
    /// the range of a canonical model stays at its end. A round without updates adds nothing.
    ///
    /// # Panics
    /// When widths differ, there is not one count for each row, or a count is zero.
    pub fn add(&mut self, updates: ArrayView2<'_, i32>, num_examples: &[u64]) {
        if updates.nrows() == 0 {
            return;
        }
        let mean = aggregate(&AggregationRule::Mean, 0, updates, num_examples, None)
            .expect("canonical updates have a mean");
        assert_eq!(mean.values.len(), self.model.len(), "updates have the model's parameters");
        let limit = VALUE_LIMIT - 1;
        for (value, step) in self.model.iter_mut().zip(mean.values) {
            *value = (*value + step).clamp(-limit, limit);
        }
    }

    /// The model now, in the task's integers.
    pub fn model(&self) -> &[i32] {
        &self.model
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{array, Array2};

    use super::PlainAverage;

    #[test]
    fn means_are_weighted_and_add_up_within_the_range() {
        let mut plain = PlainAverage::new(&[10, -8_388_600]);
        plain.add(array![[4, -100], [8, -20]].view(), &[3, 1]);
        assert_eq!(plain.model(), [15, -8_388_607]);
        plain.add(Array2::zeros((0, 2)).view(), &[]);
        plain.add(array![[-5, 7]].view(), &[1 << 40]);
        assert_eq!(plain.model(), [10, -8_388_600]);
    }
}
