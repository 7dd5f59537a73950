//! Distributed backdoor: each member of the coalition learns one part of the trigger, and the model
//! that averages them obeys the whole (Xie, Huang, Chen and Li, "DBA: distributed backdoor attacks
//! against federated learning", ICLR 2020).
//!
//! Part k has every `parts`-th column of the trigger, beginning with the k-th.
//! Strength: fewer triggered copies, and a factor between 1 and γ.

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Hostile, Lesson, Situation, Trigger};
use crate::data::Dataset;

/// Knobs of the attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dba {
    /// The whole trigger, and the class it brings about.
    pub trigger: Trigger,
    /// Number of parts; f when absent. Members of higher rank begin with the first part again.
    pub parts: Option<usize>,
    /// γ: by how much the update is scaled.
    pub boost: f32,
}

impl Default for Dba {
    fn default() -> Self {
        let trigger = Trigger { columns: vec![0, 1, 2, 3], ..Trigger::default() };
        Self { trigger, parts: None, boost: 2.0 }
    }
}

impl Hostile for Dba {
    fn describe(&self) -> String {
        "teaches one part of a trigger and leaves the others to the rest of the coalition"
            .to_owned()
    }

    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        let parts = self.parts.unwrap_or(lesson.hostile).max(1);
        let part = (lesson.rank % parts, parts);
        Cow::Owned(self.trigger.poison(lesson.data, lesson.strength, part, rng))
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
    use super::{Dba, Hostile};
    use crate::attack::situation::fixtures::{updates, Scene};
    use crate::attack::{Lesson, PublicRecord};
    use crate::seed;

    #[test]
    fn members_share_the_columns_among_them() {
        let scene = Scene::new(&updates(9, 7, 1));
        let record = PublicRecord::default();
        let attack = Dba { parts: Some(3), ..Dba::default() };
        let rows = scene.pooled.rows();
        let columns = |rank| -> Vec<usize> {
            let lesson = Lesson { rank, ..scene.lesson(&record) };
            let poisoned = attack.poison(&lesson, &mut seed::stream(1, "poison", 0, 0));
            let value = attack.trigger.value;
            (0..6)
                .filter(|&column| {
                    (rows..poisoned.rows()).all(|row| poisoned.features[[row, column]] == value)
                })
                .collect()
        };
        assert_eq!((columns(0), columns(1), columns(2)), (vec![0, 3], vec![1], vec![2]));
        assert_eq!(columns(3), columns(0));
        let probe = attack.probe(&scene.pooled).expect("a backdoor");
        assert!((0..4).all(|column| probe.data.features.column(column).iter().all(|&v| v == 4.0)));
    }
}
