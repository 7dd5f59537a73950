//! What the engine's side of the network knows: who is up, who listens, what peers say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use fedledger_ledger::ids::Height;
use malachitebft_engine::network::{Multiaddr, NetworkEvent, Subscriber};
use malachitebft_network::Channel;
use malachitebft_peer::PeerId;
use tokio::sync::{mpsc, watch, Notify};

use crate::application::Application;
use crate::codec::{encode_frame, Frame};
use crate::context::Ctx;
use crate::parts::within_window;
use crate::transport::TransportCommand;

/// What peers say, for the driver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// The tip that each connected peer claims.
    pub(crate) tips: BTreeMap<PeerId, Height>,
    /// The highest height near our tip for which a peer voted or proposed.
    pub(crate) activity: Height,
}

impl Signals {
    /// Number of peers that claim a tip above `tip`.
    pub(crate) fn ahead(&self, tip: Height) -> usize {
        self.tips.values().filter(|claimed| **claimed > tip).count()
    }
}

#[derive(Default)]
struct State {
    subscribers: Vec<Box<dyn Subscriber<NetworkEvent<Ctx>>>>,
    ready: bool,
    up: BTreeSet<PeerId>,
    /// What peers said last. A peer's first status may be here before the peer counts as up.
    claimed: BTreeMap<PeerId, Height>,
    /// Whether the engine's sync runs and knows where the chain stands.
    serving: bool,
    /// Sync requests that the engine has and has not answered.
    inbound: BTreeSet<u64>,
}

/// Shared by the engine's network actor, the pump and the driver.
pub(crate) struct Hub {
    application: Arc<dyn Application>,
    commands: mpsc::UnboundedSender<TransportCommand>,
    state: Mutex<State>,
    signals: watch::Sender<Signals>,
    tip: AtomicU64,
    next_request: AtomicU64,
    /// Somebody should hear where we stand.
    pub(super) status_due: Notify,
}

impl Hub {
    pub(crate) fn new(
        application: Arc<dyn Application>,
        commands: mpsc::UnboundedSender<TransportCommand>,
    ) -> Arc<Self> {
        let tip = AtomicU64::new(application.tip().height.0);
        Arc::new(Self {
            application,
            commands,
            state: Mutex::default(),
            signals: watch::Sender::default(),
            tip,
            next_request: AtomicU64::new(1),
            status_due: Notify::new(),
        })
    }

    /// Follows what peers say.
    pub(crate) fn signals(&self) -> watch::Receiver<Signals> {
        self.signals.subscribe()
    }

    /// The chain moved on.
    pub(crate) fn set_tip(&self, tip: Height) {
        // The engine's sync asks for a status itself once it knows of the block.
        self.tip.store(tip.0, Ordering::Relaxed);
    }

    /// Sends a frame to every connected member. What cannot be encoded is a bug and is logged.
    pub(crate) fn broadcast(&self, frame: &Frame) {
        match encode_frame(frame) {
            Ok(bytes) => self.command(TransportCommand::Broadcast { class: frame.class(), bytes }),
            Err(error) => tracing::error!(%error, "a frame could not be encoded"),
        }
    }

    /// Asks the transport. When it is gone the pump ends, and with it the engine.
    pub(super) fn command(&self, command: TransportCommand) {
        let _ = self.commands.send(command);
    }

    pub(super) fn next_request(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed)
    }

    /// Registers a part of the engine; it first hears what it missed, under the same lock.
    pub(super) fn subscribe(&self, subscriber: Box<dyn Subscriber<NetworkEvent<Ctx>>>) {
        let mut state = self.state();
        if state.ready {
            subscriber.send(listening());
        }
        for peer in &state.up {
            subscriber.send(NetworkEvent::PeerConnected(*peer));
            subscriber.send(NetworkEvent::PeerSubscribed(*peer, Channel::Sync));
        }
        state.subscribers.push(subscriber);
    }

    /// The engine is stopped: nobody listens any more. What it has not answered is refused, so that
    /// those who asked turn to others at once.
    pub(crate) fn unsubscribe_all(&self) {
        let unanswered = {
            let mut state = self.state();
            state.subscribers.clear();
            state.serving = false;
            std::mem::take(&mut state.inbound)
        };
        for inbound in unanswered {
            self.command(TransportCommand::SyncRespond { inbound, bytes: None });
        }
    }

    /// The engine's sync can serve from now on; those who were refused hear it.
    pub(crate) fn set_serving(&self) {
        self.state().serving = true;
        self.status_due.notify_one();
    }

    /// Gives a peer's sync request to the engine, or refuses it while it cannot serve.
    pub(super) fn give_request(&self, inbound: u64, event: &NetworkEvent<Ctx>) {
        let mut state = self.state();
        if !state.serving {
            self.command(TransportCommand::SyncRespond { inbound, bytes: None });
            return;
        }
        state.inbound.insert(inbound);
        for subscriber in &state.subscribers {
            subscriber.send(event.clone());
        }
    }

    /// Answers a sync request, once.
    pub(super) fn respond(&self, inbound: u64, bytes: Option<Bytes>) {
        if self.state().inbound.remove(&inbound) {
            self.command(TransportCommand::SyncRespond { inbound, bytes });
        }
    }

    pub(super) fn emit(&self, event: &NetworkEvent<Ctx>) {
        for subscriber in &self.state().subscribers {
            subscriber.send(event.clone());
        }
    }

    pub(super) fn set_ready(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.ready, true) {
            for subscriber in &state.subscribers {
                subscriber.send(listening());
            }
        }
    }

    pub(super) fn peer_up(&self, peer: PeerId) {
        let (is_new, claimed) = {
            let mut state = self.state();
            (state.up.insert(peer), state.claimed.get(&peer).copied())
        };
        if let Some(tip) = claimed {
            self.hear_tip(peer, tip);
        }
        if is_new {
            self.emit(&NetworkEvent::PeerConnected(peer));
            // Makes the engine's sync tell the peer where we stand.
            self.emit(&NetworkEvent::PeerSubscribed(peer, Channel::Sync));
        }
        self.status_due.notify_one();
    }

    pub(super) fn peer_down(&self, peer: PeerId) {
        let was_up = {
            let mut state = self.state();
            state.claimed.remove(&peer);
            state.up.remove(&peer)
        };
        if was_up {
            self.emit(&NetworkEvent::PeerDisconnected(peer));
        }
        self.signals.send_if_modified(|signals| signals.tips.remove(&peer).is_some());
    }

    pub(super) fn hear_tip(&self, peer: PeerId, tip: Height) {
        let is_up = {
            let mut state = self.state();
            state.claimed.insert(peer, tip);
            state.up.contains(&peer)
        };
        if is_up {
            self.signals.send_if_modified(|s| s.tips.insert(peer, tip) != Some(tip));
        }
    }

    pub(super) fn hear_activity(&self, height: Height) {
        // Only heights that we could work on: a peer cannot keep us awake with far ones.
        if within_window(Height(self.tip.load(Ordering::Relaxed)), height) {
            self.signals.send_if_modified(|signals| {
                let news = height > signals.activity;
                signals.activity = signals.activity.max(height);
                news
            });
        }
    }

    /// Where our chain stands, for others.
    pub(super) fn status(&self) -> Frame {
        Frame::Status { tip: self.application.tip().height, first: self.application.first_height() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

/// The engine starts when it hears this; the address means nothing to it.
fn listening() -> NetworkEvent<Ctx> {
    NetworkEvent::Listening(Multiaddr::empty())
}
