//! Where a run's rounds come from: a federation in this process, or nodes that were started for it.

use fedledger_ledger::ids::Digest;

use super::run::RunError;
use crate::federation::{Federation, RoundReport};

/// A consortium that plays rounds, one after the other.
pub trait Rounds {
    /// Plays one round.
    ///
    /// # Errors
    /// When it cannot be played.
    fn step(&mut self) -> Result<RoundReport, RunError>;

    /// The model now, flat.
    fn model(&self) -> Vec<f32>;

    /// Digest of the model now, as on the ledger.
    fn model_digest(&self) -> Digest;

    /// What plain averaging of the very same updates would have led to by now, flat.
    fn plain_average(&self) -> Vec<f32>;

    /// Whether the task is frozen because more than f members would be in quarantine.
    fn is_frozen(&self) -> bool;
}

impl Rounds for Federation {
    fn step(&mut self) -> Result<RoundReport, RunError> {
        Ok(Self::step(self)?)
    }

    fn model(&self) -> Vec<f32> {
        Self::model(self)
    }

    fn model_digest(&self) -> Digest {
        Self::model_digest(self)
    }

    fn plain_average(&self) -> Vec<f32> {
        Self::plain_average(self)
    }

    fn is_frozen(&self) -> bool {
        Self::is_frozen(self)
    }
}
