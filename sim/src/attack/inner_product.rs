//! Inner-product manipulation: submits −ε × the mean of honest updates, so that the aggregate's
//! inner product with the true direction turns negative (Xie, Koyejo and Gupta, "Fall of Empires",
//! UAI 2019, arXiv:1903.03936).

use serde::{Deserialize, Serialize};

use super::mean;

/// Knobs of the attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InnerProduct {
    /// ε. Small values (0.1 to 1) slip past distance-based rules; large ones turn a mean around.
    pub epsilon: f32,
}

impl Default for InnerProduct {
    fn default() -> Self {
        Self { epsilon: 1.0 }
    }
}

impl InnerProduct {
    pub(super) fn craft(self, honest: &[Vec<f32>]) -> Vec<f32> {
        mean(honest).into_iter().map(|value| (f64::from(-self.epsilon) * value) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::InnerProduct;

    #[test]
    fn the_mean_is_turned_and_scaled() {
        let honest = [vec![1.0, 2.0, -4.0], vec![3.0, -2.0, -2.0]];
        assert_eq!(InnerProduct { epsilon: 0.5 }.craft(&honest), [-1.0, 0.0, 1.5]);
    }
}
