//! Starting and stopping the consensus engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use fedledger_ledger::ids::{ChainId, Height};
use malachitebft_core_types::LinearTimeouts;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::application::Application;
use crate::driver::{Driver, Ends};
use crate::failure::EngineFailure;
use crate::guard::Guard;
use crate::limits::INCOMING_MAX;
use crate::network::{announce_status, pump, Hub};
use crate::transport::Transport;

/// How consensus runs. All validators of a ledger should have the same timeouts.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The ledger.
    pub chain_id: ChainId,
    /// Folder of the engine's log and of the double-sign guard. One engine at a time.
    pub folder: PathBuf,
    /// How long validators wait for a proposal in round 0.
    pub propose_timeout: Duration,
    /// How long they wait for more prevotes once a quorum disagrees, in round 0.
    pub prevote_timeout: Duration,
    /// The same for precommits.
    pub precommit_timeout: Duration,
    /// What each further round adds to these three.
    pub timeout_step: Duration,
    /// Shortest time from the start of one height to the next; none for as fast as it goes.
    pub height_pause: Option<Duration>,
    /// How long a node that waits for the others to go first looks on while they cannot go on
    /// without it; see [`crate::rejoin`].
    pub rejoin_patience: Duration,
}

impl EngineConfig {
    /// The defaults for a ledger: 1 s for proposals, 0.5 s for votes, and 0.5 s more each round.
    pub fn new(chain_id: ChainId, folder: impl Into<PathBuf>) -> Self {
        Self {
            chain_id,
            folder: folder.into(),
            propose_timeout: Duration::from_secs(1),
            prevote_timeout: Duration::from_millis(500),
            precommit_timeout: Duration::from_millis(500),
            timeout_step: Duration::from_millis(500),
            height_pause: None,
            rejoin_patience: Duration::from_secs(10),
        }
    }

    pub(crate) fn timeouts(&self) -> LinearTimeouts {
        LinearTimeouts {
            propose: self.propose_timeout,
            propose_delta: self.timeout_step,
            prevote: self.prevote_timeout,
            prevote_delta: self.timeout_step,
            precommit: self.precommit_timeout,
            precommit_delta: self.timeout_step,
            rebroadcast: self.propose_timeout + self.prevote_timeout + self.precommit_timeout,
            max_timeout: Duration::from_secs(60),
        }
    }
}

/// What the engine does, for status pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStatus {
    /// The height at work, or the one that would come next.
    pub height: Height,
    /// Its consensus round.
    pub consensus_round: u32,
    /// Whether nothing is to be decided, so that no height is at work.
    pub idle: bool,
    /// Whether the node signs when it is a validator; see [`crate::rejoin`].
    pub signing: bool,
    /// The highest tip that a connected peer claims.
    pub peers_tip: Height,
}

/// A running engine. Dropping it stops the engine too, without waiting.
#[derive(Debug)]
pub struct EngineHandle {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), EngineFailure>>,
    status: watch::Receiver<EngineStatus>,
}

impl EngineHandle {
    /// Follows what the engine does.
    pub fn status(&self) -> watch::Receiver<EngineStatus> {
        self.status.clone()
    }

    /// Resolves when any part of the engine has died. The node must stop then. Cancel-safe; it must
    /// not be called again once it has resolved.
    pub async fn failed(&mut self) -> EngineFailure {
        match (&mut self.task).await {
            Ok(Err(failure)) => failure,
            Ok(Ok(())) => ended("driver", "it was stopped"),
            Err(error) => ended("driver", error),
        }
    }

    /// Stops the engine and waits until nothing of it runs and its files are closed.
    ///
    /// # Errors
    /// When a part had died before.
    pub async fn shutdown(mut self) -> Result<(), EngineFailure> {
        drop(self.stop.take());
        (&mut self.task).await.unwrap_or_else(|error| Err(ended("driver", error)))
    }
}

pub(crate) fn ended(task: &'static str, reason: impl ToString) -> EngineFailure {
    EngineFailure::TaskEnded { task, reason: reason.to_string() }
}

/// Starts consensus on top of `application` over `transport`. Without a key the node observes: it
/// follows, checks and serves the chain. With a key it also signs at the heights at which the
/// application's validators hold that key, once [`crate::rejoin`] allows it.
///
/// # Errors
/// When the double-sign guard cannot be used or the application cannot read its blocks. What fails
/// later is [`EngineHandle::failed`]'s to say.
pub fn start(
    config: EngineConfig,
    key: Option<SigningKey>,
    application: Arc<dyn Application>,
    transport: Transport,
) -> Result<EngineHandle, EngineFailure> {
    std::fs::create_dir_all(&config.folder).map_err(|error| EngineFailure::Start {
        part: "folder",
        reason: format!("{}: {error}", config.folder.display()),
    })?;
    let guard = key.is_some().then(|| Guard::open(config.folder.join("guard.cbor"))).transpose()?;
    let hub = Hub::new(application.clone(), transport.commands);
    let (sender, incoming) = mpsc::channel(INCOMING_MAX);
    let pump = tokio::spawn(pump(hub.clone(), transport.events, sender));
    let announcer = tokio::spawn(announce_status(hub.clone()));
    let (publish, status) = watch::channel(EngineStatus::default());
    let (stop, stopped) = oneshot::channel();
    let ends = Ends { incoming, pump, announcer, stopped, publish };
    let signer = key.zip(guard.map(Arc::new));
    let driver = Driver::new(config, signer, application, hub, ends)?;
    Ok(EngineHandle { stop: Some(stop), task: tokio::spawn(driver.run()), status })
}
