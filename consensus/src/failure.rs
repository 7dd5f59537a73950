//! Why an engine stopped.

use thiserror::Error;

use crate::application::Fatal;
use crate::guard::GuardError;

/// A part of the engine is gone; the node stops rather than run on without it.
#[derive(Debug, Error)]
pub enum EngineFailure {
    /// The ledger's disk or an invariant of it failed.
    #[error(transparent)]
    Ledger(#[from] Fatal),
    /// The double-sign guard cannot be used.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A part could not be started.
    #[error("the engine's {part} could not be started: {reason}")]
    Start {
        /// Which part.
        part: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// An actor of the engine ended by itself.
    #[error("the engine's {actor} actor stopped; its log says why")]
    ActorStopped {
        /// Which actor.
        actor: &'static str,
    },
    /// A task panicked or ended.
    #[error("the task `{task}` ended: {reason}")]
    TaskEnded {
        /// Which task.
        task: &'static str,
        /// How it ended.
        reason: String,
    },
    /// The network is gone.
    #[error("the network ended")]
    TransportGone,
}
