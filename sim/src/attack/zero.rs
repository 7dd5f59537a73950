//! Zero: submits nothing but zeros, which slows learning and drags medians down (one of the crash
//! faults that Byzantine rules must bear; Blanchard et al., NeurIPS 2017).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Hostile, Situation};

/// The attack has no knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zero {}

impl Hostile for Zero {
    fn describe(&self) -> String {
        "submits zeros".to_owned()
    }

    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        vec![0.0; situation.clean.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::{Hostile, Zero};
    use crate::attack::situation::fixtures::Scene;
    use crate::seed;

    #[test]
    fn nothing_is_left() {
        let scene = Scene::new(&[vec![1.0, -0.5]]);
        let mut rng = seed::stream(1, "attack", 0, 0);
        assert_eq!(Zero {}.craft(&scene.at(0), &mut rng), [0.0, 0.0]);
    }
}
