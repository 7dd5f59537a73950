//! Attacks on federated learning: what hostile members do to their data or to their updates.
//!
//! An attack acts at up to two places. [`Attack::poison_data`] changes the rows that a hostile
//! member trains on; [`Attack::craft`] turns what it trained into what it submits. On the ledger
//! nobody sees an update of the round before everybody has committed, so an attacker there works
//! with what its coalition knows ([`Knowledge::Colluders`]); the laboratory also grants it the
//! honest members' updates of the same round ([`Knowledge::Omniscient`]), which the literature
//! usually assumes and which bounds what a cleverer guess could reach.

pub mod alie;
pub mod backdoor;
pub mod inner_product;
pub mod label_flip;
pub mod sign_flip;
pub mod sybil;

use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use alie::Alie;
pub use backdoor::Backdoor;
pub use inner_product::InnerProduct;
pub use label_flip::LabelFlip;
pub use sign_flip::SignFlip;
pub use sybil::Sybil;

use crate::data::Dataset;

/// Which honest updates an attacker builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowledge {
    /// The clean updates of the coalition itself, and when these are fewer than three, further ones
    /// trained on bootstrap resamples of its data. This is all that commit and reveal leave.
    Colluders,
    /// The honest members' updates of the same round. Only in process: on the ledger it would take
    /// a broken hash.
    Omniscient,
}

/// What an attacker knows when it makes its update. All updates are flat and of the same length.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// n: members that submit.
    pub members: usize,
    /// f: members of the coalition.
    pub hostile: usize,
    /// Honest updates, or the coalition's estimate of them; at least one.
    pub honest: &'a [Vec<f32>],
    /// What this member trained on its poisoned rows.
    pub own: &'a [f32],
    /// What the coalition's first member trained on its poisoned rows.
    pub leader: &'a [f32],
}

/// An attack with its knobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Attack {
    /// See [`sign_flip`].
    SignFlip(SignFlip),
    /// See [`label_flip`].
    LabelFlip(LabelFlip),
    /// See [`inner_product`].
    InnerProduct(InnerProduct),
    /// See [`alie`].
    Alie(Alie),
    /// See [`backdoor`].
    Backdoor(Backdoor),
    /// See [`sybil`].
    Sybil(Sybil),
}

/// No attack has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no attack is named `{found}`; there are: {}", Attack::NAMES.join(", "))]
pub struct UnknownAttack {
    /// The name given.
    pub found: String,
}

impl Attack {
    /// The names that [`Attack::from_str`] knows.
    pub const NAMES: [&'static str; 6] =
        ["sign-flip", "label-flip", "inner-product", "alie", "backdoor", "sybil"];

    /// Every attack with its default knobs.
    pub fn all() -> Vec<Self> {
        vec![
            Self::SignFlip(SignFlip::default()),
            Self::LabelFlip(LabelFlip::default()),
            Self::InnerProduct(InnerProduct::default()),
            Self::Alie(Alie::default()),
            Self::Backdoor(Backdoor::default()),
            Self::Sybil(Sybil::default()),
        ]
    }

    /// Its name, one of [`Attack::NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::SignFlip(_) => "sign-flip",
            Self::LabelFlip(_) => "label-flip",
            Self::InnerProduct(_) => "inner-product",
            Self::Alie(_) => "alie",
            Self::Backdoor(_) => "backdoor",
            Self::Sybil(_) => "sybil",
        }
    }

    /// What it does, in a few words for a person.
    pub fn describe(&self) -> String {
        match self {
            Self::SignFlip(attack) => format!("submits −{} × its update", attack.scale),
            Self::LabelFlip(attack) => {
                format!("trains with {:.0} % of its labels inverted", attack.share * 100.0)
            }
            Self::InnerProduct(attack) => {
                format!("submits −{} × the mean of honest updates", attack.epsilon)
            }
            Self::Alie(_) => "hides inside the spread of honest updates".to_owned(),
            Self::Backdoor(attack) => {
                format!("teaches a trigger and scales its update by {}", attack.boost)
            }
            Self::Sybil(attack) => {
                format!("many members, one update: {}", attack.label_flip.describe_short())
            }
        }
    }

    /// The rows that a hostile member trains on.
    #[must_use]
    pub fn poison_data(&self, data: &Dataset, rng: &mut ChaCha8Rng) -> Dataset {
        match self {
            Self::LabelFlip(attack) => attack.poison_data(data, rng),
            Self::Backdoor(attack) => attack.poison_data(data, rng),
            Self::Sybil(attack) => attack.label_flip.poison_data(data, rng),
            Self::SignFlip(_) | Self::InnerProduct(_) | Self::Alie(_) => data.clone(),
        }
    }

    /// The update that a hostile member submits.
    ///
    /// # Panics
    /// When `situation.honest` is empty or lengths differ.
    pub fn craft(&self, situation: &Situation<'_>, rng: &mut ChaCha8Rng) -> Vec<f32> {
        match self {
            Self::SignFlip(attack) => attack.craft(situation.own),
            Self::LabelFlip(_) => situation.own.to_vec(),
            Self::InnerProduct(attack) => attack.craft(situation.honest),
            Self::Alie(attack) => attack.craft(situation),
            Self::Backdoor(attack) => attack.craft(situation.own),
            Self::Sybil(attack) => attack.craft(situation.leader, rng),
        }
    }

    /// Whether it needs an estimate of the honest updates.
    pub fn needs_honest_updates(&self) -> bool {
        matches!(self, Self::InnerProduct(_) | Self::Alie(_))
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

/// Mean of each coordinate.
fn mean(updates: &[Vec<f32>]) -> Vec<f64> {
    let mut mean = vec![0.0f64; updates[0].len()];
    for update in updates {
        for (sum, &value) in mean.iter_mut().zip(update) {
            *sum += f64::from(value);
        }
    }
    for sum in &mut mean {
        *sum /= updates.len() as f64;
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::Attack;

    #[test]
    fn names_lead_to_their_attacks() {
        for (name, attack) in Attack::NAMES.into_iter().zip(Attack::all()) {
            assert_eq!(name.parse::<Attack>(), Ok(attack.clone()));
            assert_eq!(attack.name(), name);
        }
        let error = "trust-me".parse::<Attack>().expect_err("unknown");
        assert!(error.to_string().contains("`trust-me`; there are: sign-flip, "), "{error}");
    }
}
