//! Attacks on federated learning: what hostile members do to their data, to their training or to
//! their updates, each in a file of its own with definition, knobs and source.
//!
//! An attack acts at up to three places: on the rows that a hostile member trains on, on how it
//! trains, and on what becomes of the trained update ([`Attack::craft`]). When and how hard it acts
//! is its coalition's [`Schedule`]. What it can know is in [`Situation`]: on the ledger nobody sees an
//! update of the round before everybody has committed, so an attacker there works with the public
//! record and with what its coalition knows ([`Knowledge::Colluders`]); the laboratory also grants it
//! the honest members' updates of the same round ([`Knowledge::Omniscient`]), which the literature
//! usually assumes and which bounds what a cleverer guess could reach.

pub mod alie;
pub mod alie_optimised;
pub mod backdoor;
pub mod collusion;
pub mod constrain_and_scale;
pub mod dba;
pub mod edge_case;
pub mod fang_krum;
pub mod fang_trimmed_mean;
pub mod framing;
pub mod free_rider;
pub mod gaussian;
pub mod generated_rows;
pub mod hyperdimensional;
pub mod inner_product;
pub mod inner_product_optimised;
pub mod inverted_loss;
pub mod label_flip;
pub mod mimic;
pub mod min_max;
pub mod min_sum;
pub mod model_replacement;
pub mod neurotoxin;
pub mod pgd;
pub mod poisoned_fl;
pub mod rop;
pub mod rules;
pub mod scaling;
pub mod schedule;
pub mod sign_flip;
pub mod silent_drift;
pub mod situation;
pub mod sybil;
pub mod trigger;
mod vector;
pub mod zero;

use std::borrow::Cow;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use alie::Alie;
pub use alie_optimised::AlieOptimised;
pub use backdoor::Backdoor;
pub use collusion::Collusion;
pub use constrain_and_scale::ConstrainAndScale;
pub use dba::Dba;
pub use edge_case::EdgeCase;
pub use fang_krum::FangKrum;
pub use fang_trimmed_mean::FangTrimmedMean;
pub use framing::Framing;
pub use free_rider::FreeRider;
pub use gaussian::Gaussian;
pub use generated_rows::GeneratedRows;
pub use hyperdimensional::Hyperdimensional;
pub use inner_product::InnerProduct;
pub use inner_product_optimised::InnerProductOptimised;
pub use inverted_loss::InvertedLoss;
pub use label_flip::{Flip, LabelFlip};
pub use mimic::Mimic;
pub use min_max::{Direction, MinMax};
pub use min_sum::MinSum;
pub use model_replacement::ModelReplacement;
pub use neurotoxin::Neurotoxin;
pub use pgd::Pgd;
pub use poisoned_fl::PoisonedFl;
pub use rop::Rop;
pub use rules::Against;
pub use scaling::Scaling;
pub use schedule::{Schedule, ScheduleError};
pub use sign_flip::SignFlip;
pub use silent_drift::{Form, SilentDrift};
pub use situation::{Knowledge, Lesson, PublicRecord, Situation};
pub use sybil::Sybil;
pub use trigger::{PixelBlock, Probe, Trigger};
pub use zero::Zero;

use crate::data::Dataset;

/// What one attack does. Everything that it leaves alone is honest.
trait Hostile {
    /// What it does with these knobs, in a few words for a person.
    fn describe(&self) -> String;

    /// What a backdoor stamps on rows, and the class that this brings about; none for other attacks.
    /// Given one, the rows to train on and to measure on follow from it.
    fn trigger(&self) -> Option<&Trigger> {
        None
    }

    /// γ: by how much the update is scaled at full strength, beyond what `craft` does otherwise.
    fn boost(&self, _situation: &Situation<'_>) -> f32 {
        1.0
    }

    /// The rows that the member trains on. `rng` is the same in every round, so that the same rows
    /// are poisoned; at a smaller strength, fewer of them.
    fn poison<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        match self.trigger() {
            Some(trigger) => Cow::Owned(trigger.poison(lesson.data, lesson.strength, (0, 1), rng)),
            None => Cow::Borrowed(lesson.data),
        }
    }

    /// What the member trains on `poisoned` rows: trained − base.
    fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        lesson.train(poisoned, rng, &mut ())
    }

    /// The update that is submitted at full strength, or at `situation.strength` for an attack that
    /// [`Hostile::grades_itself`].
    fn craft(&self, situation: &Situation<'_>, _rng: &mut ChaCha8Rng) -> Vec<f32> {
        let factor = 1.0 + (self.boost(situation) - 1.0) * situation.strength as f32;
        situation.own.iter().map(|value| factor * value).collect()
    }

    /// Whether `poison`, `train` and `craft` heed the strength by themselves. Otherwise what is
    /// submitted is clean + strength · (crafted − clean).
    fn grades_itself(&self) -> bool {
        self.trigger().is_some()
    }

    /// Whether `craft` needs honest updates or an estimate of them.
    fn needs_honest_updates(&self) -> bool {
        false
    }

    /// The rows of `data` on which a backdoor's success is measured.
    fn probe(&self, data: &Dataset) -> Option<Probe> {
        self.trigger().map(|trigger| trigger.probe(data))
    }
}

/// Declares [`Attack`] with its names, so that no list of attacks can miss one.
macro_rules! attacks {
    ($($module:ident :: $kind:ident = $name:tt,)+) => {
        /// An attack with its knobs.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name")]
        pub enum Attack {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                #[serde(rename = $name)]
                $kind($module::$kind),
            )+
        }

        impl Attack {
            /// The names that [`Attack::from_str`] and a scenario's `name` know.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// Every attack with its default knobs.
            pub fn all() -> Vec<Self> {
                vec![$(Self::$kind($module::$kind::default())),+]
            }

            /// Its name, one of [`Attack::NAMES`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)+
                }
            }

            fn behaviour(&self) -> &dyn Hostile {
                match self {
                    $(Self::$kind(attack) => attack,)+
                }
            }
        }
    };
}

attacks! {
    sign_flip::SignFlip = "sign-flip",
    label_flip::LabelFlip = "label-flip",
    inner_product::InnerProduct = "inner-product",
    alie::Alie = "alie",
    backdoor::Backdoor = "backdoor",
    sybil::Sybil = "sybil",
    gaussian::Gaussian = "gaussian",
    scaling::Scaling = "scaling",
    zero::Zero = "zero",
    free_rider::FreeRider = "free-rider",
    alie_optimised::AlieOptimised = "alie-optimised",
    inner_product_optimised::InnerProductOptimised = "inner-product-optimised",
    min_max::MinMax = "min-max",
    min_sum::MinSum = "min-sum",
    fang_trimmed_mean::FangTrimmedMean = "fang-trimmed-mean",
    fang_krum::FangKrum = "fang-krum",
    mimic::Mimic = "mimic",
    rop::Rop = "rop",
    poisoned_fl::PoisonedFl = "poisoned-fl",
    model_replacement::ModelReplacement = "model-replacement",
    constrain_and_scale::ConstrainAndScale = "constrain-and-scale",
    pgd::Pgd = "pgd",
    dba::Dba = "dba",
    edge_case::EdgeCase = "edge-case",
    neurotoxin::Neurotoxin = "neurotoxin",
    inverted_loss::InvertedLoss = "inverted-loss",
    hyperdimensional::Hyperdimensional = "hyperdimensional",
    generated_rows::GeneratedRows = "generated-rows",
    silent_drift::SilentDrift = "silent-drift",
    collusion::Collusion = "collusion",
    framing::Framing = "framing",
}

/// No attack has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no attack is named `{found}`; there are: {}", Attack::NAMES.join(", "))]
pub struct UnknownAttack {
    /// The name given.
    pub found: String,
}

impl Attack {
    /// What it does, in a few words for a person.
    pub fn describe(&self) -> String {
        self.behaviour().describe()
    }

    /// The rows that a hostile member trains on. `rng` decides which are poisoned; given the same
    /// stream, those of a smaller strength are among those of a larger one.
    pub fn poison_data<'a>(&self, lesson: &Lesson<'a>, rng: &mut ChaCha8Rng) -> Cow<'a, Dataset> {
        self.behaviour().poison(lesson, rng)
    }

    /// What a hostile member trains on its `poisoned` rows: trained − base.
    ///
    /// # Panics
    /// When widths differ or there are no rows.
    pub fn train(&self, lesson: &Lesson<'_>, poisoned: &Dataset, rng: &mut ChaCha8Rng) -> Vec<f32> {
        self.behaviour().train(lesson, poisoned, rng)
    }

    /// The update that a hostile member submits at `situation.strength`.
    ///
    /// # Panics
    /// When the attack needs honest updates and `situation.honest` is empty, or lengths differ.
    pub fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let behaviour = self.behaviour();
        let crafted = behaviour.craft(situation, rng);
        if behaviour.grades_itself() {
            return crafted;
        }
        vector::blend(situation.clean, crafted, situation.strength)
    }

    /// Whether it needs an estimate of the honest updates.
    pub fn needs_honest_updates(&self) -> bool {
        self.behaviour().needs_honest_updates()
    }

    /// For a backdoor, rows of `data` that are not of its target class, with the whole trigger: it
    /// succeeds on the share of them that a model gives the target class
    /// ([`crate::metrics::attack_success`]). `None` for an attack that is no backdoor.
    pub fn probe(&self, data: &Dataset) -> Option<Probe> {
        self.behaviour().probe(data)
    }
}

impl FromStr for Attack {
    type Err = UnknownAttack;

    /// An attack with its default knobs by name.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::all().into_iter().find(|attack| attack.name() == name);
        known.ok_or_else(|| UnknownAttack { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests;
