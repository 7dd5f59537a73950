//! The engine's host actor: hands every request to the driver and keeps none.
//!
//! Malachite's own channel host waits in its actor for most answers, so that one slow judgement
//! stops everything behind it. Here the reply port travels with the message and the answer comes
//! when it is there.

use malachitebft_engine::host::{HostMsg, HostRef};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::sync::mpsc;

use crate::context::Ctx;

struct Host;

/// Starts the actor; its requests come out of the receiver.
pub(crate) async fn spawn_host_actor(
) -> Result<(HostRef<Ctx>, mpsc::UnboundedReceiver<HostMsg<Ctx>>), SpawnErr> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (actor, _) = Actor::spawn(None, Host, sender).await?;
    Ok((actor, receiver))
}

#[ractor::async_trait]
impl Actor for Host {
    type Msg = HostMsg<Ctx>;
    type State = mpsc::UnboundedSender<HostMsg<Ctx>>;
    type Arguments = mpsc::UnboundedSender<HostMsg<Ctx>>;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        sender: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(sender)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        sender: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // The driver is gone only while the engine is being stopped.
        let _ = sender.send(message);
        Ok(())
    }
}
