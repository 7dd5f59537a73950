//! A network in memory: every frame arrives, in order, unless a test says otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use malachitebft_peer::PeerId;
use tokio::sync::mpsc;

use crate::transport::{FrameClass, Transport, TransportCommand, TransportEvent};

/// Frames that wait for one member. A member that does not read loses frames, like one whose
/// sockets are full.
const QUEUE_MAX: usize = 4_096;

type Tamper = Box<dyn Fn(PeerId, PeerId, FrameClass, &Bytes) -> Vec<Bytes> + Send>;

#[derive(Default)]
struct State {
    members: BTreeMap<PeerId, mpsc::Sender<TransportEvent>>,
    /// Sync requests under way: number given to the server, to who asked with which number.
    asked: BTreeMap<u64, (PeerId, u64)>,
    next_inbound: u64,
    tamper: Option<Tamper>,
}

/// A network that members join and leave.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    state: Arc<Mutex<State>>,
}

impl MemoryNetwork {
    /// The peer id of member number `i`.
    ///
    /// # Panics
    /// Never: an identity multihash of one byte is a peer id.
    pub fn peer(i: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, i]).expect("an identity multihash is a peer id")
    }

    /// Joins as member `i` and tells everybody. It is ready at once.
    pub fn join(&self, i: u8) -> Transport {
        let local = Self::peer(i);
        let (commands, mut queue) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::channel(QUEUE_MAX);
        {
            let mut state = self.state();
            let _ = sender.try_send(TransportEvent::Ready);
            for (peer, other) in &state.members {
                let _ = sender.try_send(TransportEvent::PeerUp(*peer));
                let _ = other.try_send(TransportEvent::PeerUp(local));
            }
            state.members.insert(local, sender);
        }
        let network = self.clone();
        tokio::spawn(async move {
            while let Some(command) = queue.recv().await {
                network.carry(local, command);
            }
        });
        Transport { local, commands, events }
    }

    /// Member `i` is gone; everybody hears it.
    pub fn leave(&self, i: u8) {
        let local = Self::peer(i);
        let mut state = self.state();
        state.members.remove(&local);
        for other in state.members.values() {
            let _ = other.try_send(TransportEvent::PeerDown(local));
        }
    }

    /// Passes every broadcast frame through `tamper(from, to, class, frame)`, which says what
    /// arrives instead: nothing, the frame, others.
    pub fn tamper(
        &self,
        tamper: impl Fn(PeerId, PeerId, FrameClass, &Bytes) -> Vec<Bytes> + Send + 'static,
    ) {
        self.state().tamper = Some(Box::new(tamper));
    }

    fn carry(&self, from: PeerId, command: TransportCommand) {
        let mut state = self.state();
        if !state.members.contains_key(&from) {
            return;
        }
        match command {
            TransportCommand::Broadcast { class, bytes } => {
                for (to, member) in state.members.iter().filter(|(to, _)| **to != from) {
                    let frames = match &state.tamper {
                        Some(tamper) => tamper(from, *to, class, &bytes),
                        None => vec![bytes.clone()],
                    };
                    for bytes in frames {
                        let _ = member.try_send(TransportEvent::Frame { from, class, bytes });
                    }
                }
            }
            TransportCommand::SyncRequest { peer, request, bytes } => {
                let inbound = state.next_inbound;
                state.next_inbound += 1;
                state.asked.insert(inbound, (from, request));
                let event = TransportEvent::SyncRequest { from, inbound, bytes };
                let sent = state.members.get(&peer).is_some_and(|to| to.try_send(event).is_ok());
                if !sent {
                    let reason = "unreachable".to_owned();
                    let failed = TransportEvent::SyncRequestFailed { peer, request, reason };
                    let _ = state.members[&from].try_send(failed);
                }
            }
            TransportCommand::SyncRespond { inbound, bytes } => {
                let Some((to, request)) = state.asked.remove(&inbound) else { return };
                let Some(member) = state.members.get(&to) else { return };
                let _ = member.try_send(match bytes {
                    Some(bytes) => TransportEvent::SyncResponse { from, request, bytes },
                    None => TransportEvent::SyncRequestFailed {
                        peer: from,
                        request,
                        reason: "refused".to_owned(),
                    },
                });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}
