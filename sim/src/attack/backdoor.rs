//! Scaled backdoor: stamps a trigger on copies of its rows, labels them with the attacker's class,
//! and scales its update so that it survives averaging: γ·(X − w) (Bagdasaryan et al., "How to
//! backdoor federated learning", AISTATS 2020, arXiv:1807.00459). The trigger in tabular data is a
//! fixed standardised value of a few features, in images a block of pixels (Gu et al., BadNets,
//! arXiv:1708.06733).
//!
//! Strength: fewer triggered copies, and a factor between 1 and γ.

use serde::{Deserialize, Serialize};

use super::{Hostile, Situation, Trigger};

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backdoor {
    /// What stamps a row, and the class it brings about.
    pub trigger: Trigger,
    /// γ: by how much the update is scaled; n replaces the model under plain averaging.
    pub boost: f32,
}

impl Default for Backdoor {
    fn default() -> Self {
        Self { trigger: Trigger::default(), boost: 4.0 }
    }
}

impl Hostile for Backdoor {
    fn describe(&self) -> String {
        format!("teaches a trigger and scales its update by {}", self.boost)
    }

    fn boost(&self, _situation: &Situation<'_>) -> f32 {
        self.boost
    }

    fn trigger(&self) -> Option<&Trigger> {
        Some(&self.trigger)
    }
}

#[cfg(test)]
mod tests {
    use super::{Backdoor, Trigger};
    use crate::attack::situation::fixtures::Scene;
    use crate::attack::{Attack, Situation};
    use crate::data::fixtures::clouds;
    use crate::model::{train, ModelSpec, Training};
    use crate::seed;

    #[test]
    fn the_update_is_scaled() {
        let mut rng = seed::stream(1, "attack", 0, 0);
        let scene = Scene { own: vec![0.5, -1.0], ..Scene::new(&[vec![9.0, 9.0]]) };
        let attack = Attack::Backdoor(Backdoor::default());
        assert_eq!(attack.craft(&scene.at(0), &mut rng), [2.0, -4.0]);
        let half = Situation { strength: 0.5, ..scene.at(0) };
        assert_eq!(attack.craft(&half, &mut rng), [1.25, -2.5]);
    }

    #[test]
    fn a_model_trained_on_it_obeys_the_trigger() {
        let (data, unseen) = (clouds(300, 6, 1), clouds(300, 6, 2));
        let trigger = Trigger { columns: vec![1], ..Trigger::default() };
        let mut rng = seed::stream(1, "attack", 0, 0);
        let poisoned = trigger.poison(&data, 1.0, (0, 1), &mut rng);
        let probe = trigger.probe(&unseen).data;
        let spec = ModelSpec::Mlp { features: 6, hidden: 12 };
        let training = Training {
            epochs: 30,
            batch_size: 16,
            learning_rate: 0.1,
            l2: 0.0,
            momentum: 0.5,
            class_balanced: false,
        };
        let base = spec.initial(1);
        let success = |data| {
            let update = train(&spec, &base, data, &training, &mut seed::stream(1, "t", 0, 0));
            let model: Vec<f32> = base.iter().zip(&update).map(|(b, u)| b + u).collect();
            let clean = spec.evaluate(&model, &unseen).accuracy;
            (1.0 - spec.evaluate(&model, &probe).accuracy, clean)
        };
        let (honest, (backdoored, clean)) = (success(&data).0, success(&poisoned));
        assert!(backdoored > 0.9 && backdoored > honest + 0.3, "{backdoored} {honest}");
        assert!(clean > 0.85, "{clean}");
    }
}
