//! From the transport to the engine and the driver.

use std::sync::Arc;
use std::time::Duration;

use malachitebft_app_channel::app::types::codec::Codec;
use malachitebft_app_channel::app::types::sync::{Request, Response};
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_core_types::SignedProposal;
use malachitebft_engine::network::{NetworkEvent, Status};
use malachitebft_peer::PeerId;
use malachitebft_sync::{InboundRequestId, OutboundFailureReason, OutboundRequestId};
use tokio::sync::mpsc;

use super::hub::Hub;
use crate::codec::{decode_frame, Frame, WireCodec};
use crate::context::{BlockPart, Ctx};
use crate::transport::{TransportCommand, TransportEvent};

/// Shortest time between two statuses: every new peer and every decision asks for one, which in a
/// cold start of 100 members would be 100 × 100 at once.
const STATUS_PAUSE: Duration = Duration::from_millis(100);
/// A status is repeated this often when nothing happens, in case one was lost.
const STATUS_REPEAT: Duration = Duration::from_secs(5);

/// What peers send for the driver.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A piece of a proposed block.
    Part(PeerId, BlockPart),
    /// A proposal; its signature is not checked yet.
    Proposal(SignedProposal<Ctx>),
}

/// Carries events until the transport or the driver is gone.
pub(crate) async fn pump(
    hub: Arc<Hub>,
    mut events: mpsc::Receiver<TransportEvent>,
    incoming: mpsc::Sender<Incoming>,
) {
    while let Some(event) = events.recv().await {
        let for_driver = match event {
            TransportEvent::Frame { from, class, bytes } => match decode_frame(class, &bytes) {
                Ok(frame) => on_frame(&hub, from, frame),
                Err(error) => {
                    tracing::debug!(%from, %error, "a frame was dropped");
                    None
                }
            },
            other => {
                on_event(&hub, other);
                None
            }
        };
        if let Some(item) = for_driver {
            if incoming.send(item).await.is_err() {
                return;
            }
        }
    }
}

/// Tells peers where we stand: when asked to, and from time to time.
pub(crate) async fn announce_status(hub: Arc<Hub>) {
    loop {
        let _ = tokio::time::timeout(STATUS_REPEAT, hub.status_due.notified()).await;
        hub.broadcast(&hub.status());
        tokio::time::sleep(STATUS_PAUSE).await;
    }
}

fn on_frame(hub: &Hub, from: PeerId, frame: Frame) -> Option<Incoming> {
    match frame {
        Frame::Message(SignedConsensusMsg::Vote(vote)) => {
            hub.hear_activity(vote.message.height.into());
            hub.emit(&NetworkEvent::Vote(from, vote));
        }
        Frame::Message(SignedConsensusMsg::Proposal(proposal)) => {
            hub.hear_activity(proposal.message.height.into());
            hub.emit(&NetworkEvent::Proposal(from, proposal.clone()));
            return Some(Incoming::Proposal(proposal));
        }
        Frame::Polka(polka) => {
            hub.hear_activity(polka.height.into());
            hub.emit(&NetworkEvent::PolkaCertificate(from, polka));
        }
        Frame::Round(certificate) => {
            hub.hear_activity(certificate.height.into());
            hub.emit(&NetworkEvent::RoundCertificate(from, certificate));
        }
        Frame::Part(part) => {
            hub.hear_activity(part.height.into());
            return Some(Incoming::Part(from, part));
        }
        Frame::Status { tip, first } => {
            hub.hear_tip(from, tip);
            // The engine takes a tip of zero for a peer to ask, and then finds nobody to ask.
            if tip.0 > 0 {
                hub.emit(&NetworkEvent::Status(from, Status::new(tip.into(), first.into())));
            }
        }
    }
    None
}

fn on_event(hub: &Hub, event: TransportEvent) {
    match event {
        TransportEvent::Frame { .. } => {}
        TransportEvent::Ready => hub.set_ready(),
        TransportEvent::PeerUp(peer) => hub.peer_up(peer),
        TransportEvent::PeerDown(peer) => hub.peer_down(peer),
        TransportEvent::SyncRequest { from, inbound, bytes } => {
            let request: Result<Request<Ctx>, _> = WireCodec.decode(bytes);
            match request {
                Ok(request) => {
                    let id = InboundRequestId::new(inbound);
                    hub.give_request(inbound, &NetworkEvent::SyncRequest(id, from, request));
                }
                Err(error) => {
                    tracing::debug!(%from, %error, "a sync request was dropped");
                    hub.command(TransportCommand::SyncRespond { inbound, bytes: None });
                }
            }
        }
        TransportEvent::SyncResponse { from, request, bytes } => {
            let response: Result<Response<Ctx>, _> = WireCodec.decode(bytes);
            let response = response
                .inspect_err(|error| tracing::debug!(%from, %error, "a sync response was refused"));
            let id = OutboundRequestId::new(request);
            hub.emit(&NetworkEvent::SyncResponse(id, from, response.ok()));
        }
        TransportEvent::SyncRequestFailed { peer, request, reason } => {
            tracing::debug!(%peer, reason, "a sync request failed");
            let id = OutboundRequestId::new(request);
            let reason = OutboundFailureReason::ConnectionClosed;
            hub.emit(&NetworkEvent::SyncRequestFailed(id, peer, reason));
        }
    }
}
