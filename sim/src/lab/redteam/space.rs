//! What the adaptive attacker may choose: for each attack its knobs with their ranges, and for all of
//! them when and how hard.

use serde_json::{json, Value};

use crate::attack::{Attack, Schedule};
use crate::lab::file::{AttackerGroup, ScenarioFile};

/// One knob and its range.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Knob {
    /// Path in the attack's table; parts separated by dots.
    path: &'static str,
    /// Least value.
    low: f64,
    /// Greatest value.
    high: f64,
    /// How the unit interval is laid over the range.
    scale: Scale,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Even,
    /// Equal factors in equal steps.
    Log,
    /// Off below the middle, on above: a flag, or a class that is absent or 1.
    Switch(&'static str),
}

/// The knobs of each attack that is searched. Attacks not listed are searched over their schedule
/// alone, with their default knobs.
const KNOBS: &[(&str, &[Knob])] = &[
    ("sign-flip", &[log("scale", 0.1, 4.0)]),
    ("label-flip", &[even("share", 0.1, 1.0), switch("source", "one")]),
    ("inner-product", &[log("epsilon", 0.05, 4.0)]),
    ("alie", &[log("z", 0.1, 4.0)]),
    ("sybil", &[log("jitter", 1e-3, 1.0), even("label_flip.share", 0.1, 1.0)]),
    ("gaussian", &[log("sigma", 0.1, 10.0)]),
    ("scaling", &[log("factor", 0.1, 10.0)]),
    ("fang-trimmed-mean", &[even("factor", 1.0, 4.0)]),
    ("fang-krum", &[log("jitter", 1e-4, 0.1)]),
    ("mimic", &[log("jitter", 1e-4, 0.5)]),
    (
        "rop",
        &[
            even("location", 0.0, 1.0),
            even("reference", 0.0, 1.0),
            even("angle", 30.0, 180.0),
            log("length", 0.3, 5.0),
        ],
    ),
    ("poisoned-fl", &[log("factor", 0.5, 16.0), log("jitter", 1e-3, 0.5)]),
    ("inverted-loss", &[even("share", 0.1, 1.0)]),
    ("hyperdimensional", &[even("share", 0.1, 1.0), even("turned", 0.1, 1.0)]),
    ("generated-rows", &[even("share", 0.1, 2.0)]),
    ("silent-drift", &[even("share", 0.1, 1.0), log("kappa", 0.3, 16.0)]),
    ("framing", &[even("share", 0.0, 1.0), log("jitter", 1e-3, 0.5)]),
];

const fn even(path: &'static str, low: f64, high: f64) -> Knob {
    Knob { path, low, high, scale: Scale::Even }
}

const fn log(path: &'static str, low: f64, high: f64) -> Knob {
    Knob { path, low, high, scale: Scale::Log }
}

const fn switch(path: &'static str, on: &'static str) -> Knob {
    Knob { path, low: 0.0, high: 1.0, scale: Scale::Switch(on) }
}

/// One attack with everything about it that may be chosen.
pub struct Arm {
    attack: Attack,
    knobs: &'static [Knob],
    rounds: u64,
}

/// Strength, first round, ramp, duty: what every attack may choose.
const SCHEDULE_DIMENSIONS: usize = 4;

/// The attacks of `names`, all when empty, for tasks of `rounds` rounds. Backdoors are not searched:
/// their harm is not what the model loses.
pub fn arms(names: &[String], rounds: u64) -> Vec<Arm> {
    let wanted = |attack: &Attack| {
        if names.is_empty() {
            KNOBS.iter().any(|(name, _)| *name == attack.name())
                || ["min-max", "min-sum", "alie-optimised", "inner-product-optimised"]
                    .contains(&attack.name())
        } else {
            names.iter().any(|name| name == attack.name())
        }
    };
    let all = Attack::all().into_iter().filter(wanted);
    all.map(|attack| {
        let knobs = KNOBS.iter().find(|(name, _)| *name == attack.name());
        Arm { knobs: knobs.map_or(&[][..], |(_, knobs)| *knobs), attack, rounds }
    })
    .collect()
}

impl Arm {
    /// Number of coordinates of a point.
    pub fn dimensions(&self) -> usize {
        SCHEDULE_DIMENSIONS + self.knobs.len()
    }

    /// The scenario's first group of attackers, attacking as `point` of the unit cube says.
    ///
    /// # Panics
    /// When `point` has another number of coordinates.
    pub fn group(&self, point: &[f64], scenario: &ScenarioFile) -> AttackerGroup {
        assert_eq!(point.len(), self.dimensions(), "one coordinate for each choice");
        let mut value = serde_json::to_value(&self.attack).expect("knobs are plain values");
        for (knob, &at) in self.knobs.iter().zip(&point[SCHEDULE_DIMENSIONS..]) {
            set(&mut value, knob.path, knob.value(at));
        }
        let attack = serde_json::from_value(value).unwrap_or_else(|_| self.attack.clone());
        let mut group = scenario.attackers.first().expect("a hunt has attackers").clone();
        group.attack = attack;
        group.schedule = self.schedule(&point[..SCHEDULE_DIMENSIONS]);
        group
    }

    fn schedule(&self, at: &[f64]) -> Schedule {
        let rounds = self.rounds as f64;
        // The lower half of each timing is "from the start", "at once" and "always".
        let upper = |share: f64| ((share - 0.5) * 2.0).max(0.0);
        let from = 1 + (upper(at[1]) * rounds * 0.6) as u64;
        let ramp = (upper(at[2]) * rounds * 0.7) as u64;
        let duty = 1.0 - 0.8 * upper(at[3]);
        let round_to = |value: f64| (value * 1e3).round() / 1e3;
        Schedule {
            from,
            ramp,
            period: if duty < 1.0 { 5 } else { 0 },
            duty: round_to(duty),
            peak: round_to((0.1 + 1.4 * at[0]).min(1.0)),
            ..Schedule::default()
        }
    }
}

impl Knob {
    fn value(&self, at: f64) -> Value {
        let value = match self.scale {
            Scale::Even => self.low + (self.high - self.low) * at,
            Scale::Log => self.low * (self.high / self.low).powf(at),
            Scale::Switch(_) if at < 0.5 => return Value::Null,
            Scale::Switch(_) => return json!(1),
        };
        // Four digits are enough, and read better.
        let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
        let factor = 10f64.powi(digits);
        json!((value * factor).round() / factor)
    }
}

fn set(value: &mut Value, path: &str, to: Value) {
    let mut here = value;
    for part in path.split('.') {
        here = &mut here[part];
    }
    *here = to;
}

#[cfg(test)]
mod tests {
    use super::{arms, KNOBS};
    use crate::attack::Attack;
    use crate::lab::library;

    #[test]
    fn every_corner_of_every_attack_is_an_attack() {
        let scenario = library::get("attack-sign-flip").expect("it is there").scenario;
        let all = arms(&[], 40);
        assert!(all.len() >= 10);
        for arm in &all {
            for corner in [0.0, 0.3, 0.7, 1.0] {
                let group = arm.group(&vec![corner; arm.dimensions()], &scenario);
                assert_eq!(group.schedule.check(), Ok(()), "{}", arm.attack.name());
                assert_eq!(group.attack.name(), arm.attack.name());
                let turned = group.attack != arm.attack || arm.knobs.is_empty();
                assert!(turned || corner > 0.0, "{}: no knob turns", arm.attack.name());
            }
        }
    }

    #[test]
    fn the_table_names_attacks_and_knobs_that_there_are() {
        for (name, knobs) in KNOBS {
            let attack: Attack = name.parse().expect("an attack");
            let value = serde_json::to_value(attack).expect("plain values");
            for knob in *knobs {
                let pointer = format!("/{}", knob.path.replace('.', "/"));
                assert!(value.pointer(&pointer).is_some(), "{name} has no knob {}", knob.path);
            }
        }
    }
}
