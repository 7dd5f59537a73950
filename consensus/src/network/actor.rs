//! The actor to which the engine speaks.

use std::sync::Arc;

use malachitebft_app_channel::app::consensus::LivenessMsg;
use malachitebft_app_channel::app::types::codec::Codec;
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_core_types::{NilOrVal, VoteType};
use malachitebft_engine::network::{Msg, NetworkRef};
use malachitebft_sync::OutboundRequestId;
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::sync::mpsc;

use super::hub::Hub;
use crate::codec::{Frame, WireCodec};
use crate::context::{Ctx, Vote};
use crate::guard::{Guard, GuardError, Intent};
use crate::signing::Intents;
use crate::transport::TransportCommand;

/// Makes this validator's own messages durable in the guard before they leave.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    pub(crate) guard: Arc<Guard>,
    pub(crate) intents: Intents,
}

impl Seal {
    /// Seals the intents, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// When the guard cannot be written.
    pub(crate) async fn seal(&self, intents: Vec<Intent>) -> Result<(), GuardError> {
        if intents.is_empty() {
            return Ok(());
        }
        let guard = self.guard.clone();
        let all = move || intents.iter().try_for_each(|intent| guard.seal(intent));
        tokio::task::spawn_blocking(all).await.expect("sealing does not panic")
    }

    fn of_message(&self, message: &SignedConsensusMsg<Ctx>) -> Option<Intent> {
        match message {
            SignedConsensusMsg::Vote(vote) => self.intents.of_vote(&vote.message),
            SignedConsensusMsg::Proposal(proposal) => self.intents.of_proposal(&proposal.message),
        }
    }

    /// A certificate may carry our vote before the vote itself was published.
    fn of_liveness(&self, message: &LivenessMsg<Ctx>) -> Vec<Intent> {
        match message {
            LivenessMsg::Vote(vote) => self.intents.of_vote(&vote.message).into_iter().collect(),
            LivenessMsg::PolkaCertificate(polka) => {
                let (height, round) = (polka.height, polka.round);
                let value = NilOrVal::Val(polka.value_id);
                let votes = polka.polka_signatures.iter().map(|s| Vote {
                    vote_type: VoteType::Prevote,
                    height,
                    round,
                    value,
                    address: s.address,
                });
                votes.filter_map(|vote| self.intents.of_vote(&vote)).collect()
            }
            LivenessMsg::SkipRoundCertificate(certificate) => {
                let (height, round) = (certificate.height, certificate.round);
                let votes = certificate.round_signatures.iter().map(|s| Vote {
                    vote_type: s.vote_type,
                    height,
                    round,
                    value: s.value_id,
                    address: s.address,
                });
                votes.filter_map(|vote| self.intents.of_vote(&vote)).collect()
            }
        }
    }
}

/// Starts the actor. `seal` is there for a node that signs; `failures` hears of a guard that cannot
/// be written, after which nothing of ours leaves.
pub(crate) async fn spawn_net_actor(
    hub: Arc<Hub>,
    seal: Option<Seal>,
    failures: mpsc::UnboundedSender<GuardError>,
) -> Result<NetworkRef<Ctx>, SpawnErr> {
    let (actor, _) = Actor::spawn(None, NetActor, State { hub, seal, failures }).await?;
    Ok(actor)
}

struct NetActor;

struct State {
    hub: Arc<Hub>,
    seal: Option<Seal>,
    failures: mpsc::UnboundedSender<GuardError>,
}

impl State {
    async fn send_sealed(&self, intents: Vec<Intent>, frame: Frame) {
        if let Some(seal) = &self.seal {
            if let Err(error) = seal.seal(intents).await {
                let _ = self.failures.send(error);
                return;
            }
        }
        self.hub.broadcast(&frame);
    }

    fn intents(&self, of: impl FnOnce(&Seal) -> Vec<Intent>) -> Vec<Intent> {
        self.seal.as_ref().map(of).unwrap_or_default()
    }
}

#[ractor::async_trait]
impl Actor for NetActor {
    type Msg = Msg<Ctx>;
    type State = State;
    type Arguments = State;

    async fn pre_start(
        &self,
        _: ActorRef<Msg<Ctx>>,
        state: State,
    ) -> Result<State, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Msg<Ctx>>,
        message: Msg<Ctx>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Subscribe(subscriber) => state.hub.subscribe(subscriber),
            Msg::PublishConsensusMsg(message) => {
                let intents = state.intents(|s| s.of_message(&message).into_iter().collect());
                state.send_sealed(intents, Frame::Message(message)).await;
            }
            Msg::PublishLivenessMsg(message) => {
                let intents = state.intents(|seal| seal.of_liveness(&message));
                let frame = match message {
                    LivenessMsg::Vote(vote) => Frame::Message(SignedConsensusMsg::Vote(vote)),
                    LivenessMsg::PolkaCertificate(polka) => Frame::Polka(polka),
                    LivenessMsg::SkipRoundCertificate(certificate) => Frame::Round(certificate),
                };
                state.send_sealed(intents, frame).await;
            }
            Msg::BroadcastStatus(_) => state.hub.status_due.notify_one(),
            Msg::OutgoingRequest(peer, request, reply) => {
                // The sync actor waits for this number without a limit: answer before anything else.
                let number = state.hub.next_request();
                let _ = reply.send(OutboundRequestId::new(number));
                match WireCodec.encode(&request) {
                    Ok(bytes) => state.hub.command(TransportCommand::SyncRequest {
                        peer,
                        request: number,
                        bytes,
                    }),
                    Err(error) => tracing::error!(%error, "a sync request could not be encoded"),
                }
            }
            Msg::OutgoingResponse(id, response) => {
                let bytes = WireCodec.encode(&response).ok();
                respond(&state.hub, &id.to_string(), bytes);
            }
            Msg::CancelInboundRequest(id) => respond(&state.hub, &id.to_string(), None),
            Msg::DumpState(reply) => {
                let _ = reply.send(None);
            }
            Msg::UpdatePersistentPeers(_, reply) => {
                // The node's network follows the members on the ledger by itself.
                let _ = reply.send(Ok(()));
            }
            // Parts are sent by the driver; the rest is for upstream's own network.
            Msg::PublishProposalPart(_)
            | Msg::CancelRequest(_)
            | Msg::UpdateValidatorSet(_)
            | Msg::ValidatorProofVerified { .. }
            | Msg::NewEvent(_) => {}
        }
        Ok(())
    }
}

fn respond(hub: &Hub, id: &str, bytes: Option<bytes::Bytes>) {
    let inbound = id.parse().expect("inbound request ids are made from numbers by the pump");
    hub.respond(inbound, bytes);
}
