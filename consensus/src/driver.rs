//! The loop between Malachite and the ledger.
//!
//! It answers the engine, gives slow work to the [`Desk`], parks the engine while there is nothing
//! to decide, and starts it again when the node may begin to sign or must leave a height to the
//! others. It is the only place that changes this state; everything reaches it as an [`Event`].

mod heights;
mod rounds;
mod signers;

use std::future::Future;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use fedledger_ledger::ids::Height;
use malachitebft_core_types::HeightParams;
use malachitebft_engine::host::{HostMsg, Next};
use ractor::RpcReplyPort;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, Instant, Interval, MissedTickBehavior};

use crate::actors::Actors;
use crate::application::{Application, Fatal, Tip};
use crate::context::{Ctx, EngineHeight};
use crate::desk::{Desk, Done};
use crate::engine::{ended, EngineConfig, EngineStatus};
use crate::failure::EngineFailure;
use crate::guard::{Guard, GuardError};
use crate::limits::FOLLOW_CHECK;
use crate::network::{Hub, Incoming, Seal, Signals};
use crate::proposals::Proposals;
use crate::rejoin::RejoinGate;
use crate::signing::{Intents, LedgerVerifier};

/// The key with its guard and the names of what it signs.
pub(super) struct OwnKey {
    key: SigningKey,
    seal: Seal,
}

/// Ends of channels and tasks that the driver owns.
pub(crate) struct Ends {
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    pub(crate) pump: JoinHandle<()>,
    pub(crate) announcer: JoinHandle<()>,
    pub(crate) stopped: oneshot::Receiver<()>,
    pub(crate) publish: watch::Sender<EngineStatus>,
}

/// An engine that waits for our word to begin the next height.
enum Waiting {
    /// It has just been started.
    Ready(RpcReplyPort<(EngineHeight, HeightParams<Ctx>)>),
    /// It has finished this height.
    Finalized(Height, RpcReplyPort<Next<Ctx>>),
}

/// What the loop hears.
enum Event {
    Engine(HostMsg<Ctx>),
    Peer(Incoming),
    Desk(Done),
    /// Peers came, went, moved on or became active.
    Signals,
    /// There is something to decide.
    Wanted,
    /// A block that was not valid yet is due again.
    Retry,
    /// Time to see whether the others get on without us.
    FollowCheck,
    ActorStopped(&'static str),
    Failed(EngineFailure),
    Stop,
}

/// How one run of the actors ended.
enum RunEnd {
    /// The actors are to be started in another role.
    Again,
    Stop,
}

pub(crate) struct Driver {
    config: EngineConfig,
    own: Option<OwnKey>,
    application: Arc<dyn Application>,
    hub: Arc<Hub>,
    signals: watch::Receiver<Signals>,
    desk: Desk,
    ends: Ends,
    guard_failures: (mpsc::UnboundedSender<GuardError>, mpsc::UnboundedReceiver<GuardError>),
    read_failures: (mpsc::UnboundedSender<Fatal>, mpsc::UnboundedReceiver<Fatal>),
    verifier: LedgerVerifier,
    gate: RejoinGate,
    proposals: Proposals,
    tip: Tip,
    round: u32,
    waiting: Option<Waiting>,
    committing: bool,
    /// Whether the actors of this run sign.
    signing: bool,
    follow_check: Interval,
    /// Since when the others have asked for votes at the next height while we only follow.
    stalled_since: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        config: EngineConfig,
        signer: Option<(SigningKey, Arc<Guard>)>,
        application: Arc<dyn Application>,
        hub: Arc<Hub>,
        ends: Ends,
    ) -> Result<Self, EngineFailure> {
        let tip = application.tip();
        let own = signer.map(|(key, guard)| {
            let intents = Intents::new(config.chain_id.clone(), &key);
            OwnKey { key, seal: Seal { guard, intents } }
        });
        let last_signed = own.as_ref().and_then(|own| own.seal.guard.last_height());
        let mut proposals = Proposals::default();
        for (_, block) in application.undecided(tip.height.next())? {
            proposals.hold_kept(tip.height.next(), block);
        }
        let mut signals = hub.signals();
        // What was said before anybody followed counts too.
        signals.mark_changed();
        let mut follow_check = interval(FOLLOW_CHECK);
        follow_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            follow_check,
            desk: Desk::start(application.clone(), own.as_ref().map(|own| own.seal.clone())),
            verifier: LedgerVerifier::new(config.chain_id.clone()),
            gate: RejoinGate::new(tip.height, last_signed),
            signals,
            guard_failures: mpsc::unbounded_channel(),
            read_failures: mpsc::unbounded_channel(),
            round: 0,
            waiting: None,
            committing: false,
            signing: false,
            stalled_since: None,
            config,
            own,
            application,
            hub,
            ends,
            proposals,
            tip,
        })
    }

    /// Runs until it is stopped or a part fails. Nothing of the engine runs when it returns.
    pub(crate) async fn run(mut self) -> Result<(), EngineFailure> {
        let end = loop {
            let mut actors = match self.start_actors().await {
                Ok(actors) => actors,
                Err(failure) => break Err(failure),
            };
            self.tell_verdicts(&actors);
            let end = self.drive(&mut actors).await;
            self.waiting = None;
            actors.stop().await;
            match end {
                Ok(RunEnd::Again) => {}
                Ok(RunEnd::Stop) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        self.ends.pump.abort();
        self.ends.announcer.abort();
        // A commit under way is finished: closing the queue ends the task after it.
        let Self { desk, .. } = self;
        desk.close().await;
        end
    }

    async fn drive(&mut self, actors: &mut Actors) -> Result<RunEnd, EngineFailure> {
        loop {
            self.publish_status();
            match self.next_event(actors).await {
                Event::Engine(message) => self.on_engine(actors, message),
                Event::Peer(Incoming::Part(from, part)) => {
                    self.proposals.add_part(self.tip.height, from, part);
                    self.judge_what_is_due();
                }
                Event::Peer(Incoming::Proposal(proposal)) => {
                    self.on_proposal(proposal);
                    self.judge_what_is_due();
                }
                Event::Desk(done) => self.on_done(actors, done),
                Event::Signals => self.on_signals(),
                Event::Wanted => self.go_on(),
                Event::Retry => self.judge_what_is_due(),
                Event::FollowCheck => self.check_patience(),
                Event::ActorStopped(actor) => {
                    self.on_actor_stopped(actor)?;
                    return Ok(RunEnd::Again);
                }
                Event::Failed(failure) => return Err(failure),
                Event::Stop => return Ok(RunEnd::Stop),
            }
            if self.changes_role() {
                return Ok(RunEnd::Again);
            }
        }
    }

    async fn next_event(&mut self, actors: &mut Actors) -> Event {
        let parked = self.waiting.is_some() && !self.committing;
        let follows = self.own.is_some() && !self.signing;
        let retry = at(self.proposals.next_retry());
        let wanted = when(parked, self.application.wanted());
        let check = when(follows, self.follow_check.tick());
        tokio::select! {
            biased;
            _ = &mut self.ends.stopped => Event::Stop,
            Some(failure) = self.guard_failures.1.recv() => Event::Failed(failure.into()),
            Some(failure) = self.read_failures.1.recv() => Event::Failed(failure.into()),
            Some(actor) = actors.stopped.recv() => Event::ActorStopped(actor),
            end = &mut self.desk.task => Event::Failed(match end {
                Ok(Err(failure)) => failure,
                Ok(Ok(())) => ended("desk", "its queue was closed"),
                Err(error) => ended("desk", error),
            }),
            _ = &mut self.ends.pump => Event::Failed(EngineFailure::TransportGone),
            end = &mut self.ends.announcer => Event::Failed(ended("announcer", format!("{end:?}"))),
            Some(done) = self.desk.done.recv() => Event::Desk(done),
            Some(message) = actors.requests.recv() => Event::Engine(message),
            Ok(()) = self.signals.changed() => Event::Signals,
            Some(item) = self.ends.incoming.recv() => Event::Peer(item),
            () = retry => Event::Retry,
            () = wanted => Event::Wanted,
            _ = check => Event::FollowCheck,
        }
    }

    fn publish_status(&self) {
        let status = EngineStatus {
            height: self.tip.height.next(),
            consensus_round: self.round,
            idle: self.waiting.is_some(),
            signing: self.signing,
            peers_tip: self.signals.borrow().tips.values().max().copied().unwrap_or_default(),
        };
        self.ends.publish.send_if_modified(|old| std::mem::replace(old, status) != status);
    }
}

/// A future that is polled only when `on`.
async fn when<T>(on: bool, future: impl Future<Output = T>) -> T {
    if on {
        future.await
    } else {
        std::future::pending().await
    }
}

/// Resolves at `instant`; never without one.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
