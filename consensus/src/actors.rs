//! One run of Malachite's actors.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use malachitebft_app_channel::app::config::{ConsensusConfig, ValuePayload, ValueSyncConfig};
use malachitebft_app_channel::app::events::TxEvent;
use malachitebft_app_channel::app::metrics::{Metrics, Registry, SharedRegistry};
use malachitebft_app_channel::app::spawn::{
    spawn_consensus_actor, spawn_node_actor, spawn_sync_actor, spawn_wal_actor,
};
use malachitebft_engine::consensus::{ConsensusRef, Msg as ConsensusMsg};
use malachitebft_engine::host::HostMsg;
use malachitebft_engine::sync::{Msg as SyncMsg, SyncRef};
use malachitebft_engine::util::output_port::{OutputPort, OutputPortSubscriberTrait as _};
use malachitebft_engine::wal::WalRef;
use malachitebft_signing::Signer;
use malachitebft_sync::HeightStartType;
use ractor::ActorCell;
use tokio::sync::mpsc;

use crate::codec::WireCodec;
use crate::context::{Address, Ctx, EngineHeight};
use crate::failure::EngineFailure;
use crate::guard::GuardError;
use crate::host::spawn_host_actor;
use crate::limits::{
    CONSENSUS_QUEUE_PER_HEIGHT, STOP_PATIENCE, SYNC_BATCH, SYNC_PARALLEL, SYNC_REQUEST_PATIENCE,
    WAL_OPEN_PATIENCE,
};
use crate::network::{spawn_net_actor, Hub, Seal};
use crate::signing::LedgerVerifier;
use crate::transport::{SYNC_REQUEST_BYTES_MAX, SYNC_RESPONSE_BYTES_MAX};

/// What the actors need.
pub(crate) struct Parts<'a> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) verifier: LedgerVerifier,
    /// Who this node is; [`Address::OBSERVER`] when it does not sign.
    pub(crate) address: Address,
    pub(crate) signer: Option<Box<dyn Signer<Ctx>>>,
    pub(crate) seal: Option<Seal>,
    pub(crate) wal: &'a Path,
    pub(crate) guard_failures: mpsc::UnboundedSender<GuardError>,
}

/// The running actors.
pub(crate) struct Actors {
    hub: Arc<Hub>,
    /// What the engine asks of us.
    pub(crate) requests: mpsc::UnboundedReceiver<HostMsg<Ctx>>,
    /// Names an actor that has stopped.
    pub(crate) stopped: mpsc::UnboundedReceiver<&'static str>,
    consensus: ConsensusRef<Ctx>,
    sync: SyncRef<Ctx>,
    /// In the order in which they are stopped.
    cells: Vec<ActorCell>,
}

impl Actors {
    /// Starts the actors as the engine's own builder does, with our host and our network.
    pub(crate) async fn start(parts: Parts<'_>) -> Result<Self, EngineFailure> {
        let Parts { hub, verifier, address, signer, seal, wal, guard_failures } = parts;
        // The engine's metrics are registered anew at every start, so they get a registry each.
        let registry = SharedRegistry::new(Registry::default(), None);
        let metrics = Metrics::register(&registry);
        let (node, _) = spawn_node_actor(metrics.clone()).await.map_err(failed("node"))?;
        let network =
            spawn_net_actor(hub.clone(), seal, guard_failures).await.map_err(failed("network"))?;
        let wal = open_wal(wal, &registry, &node).await?;
        let (host, requests) = spawn_host_actor().await.map_err(failed("host"))?;
        // The port forgets what a slow receiver has not taken: give it room.
        let sync_port = Arc::new(OutputPort::with_capacity(1024));
        let consensus = spawn_consensus_actor(
            Ctx,
            address,
            consensus_config(),
            Box::new(verifier),
            signer,
            network.clone(),
            host.clone(),
            wal.clone(),
            sync_port.clone(),
            metrics,
            TxEvent::new(),
            node.clone(),
        )
        .await
        .map_err(failed("consensus"))?;
        let sync = spawn_sync_actor(
            Ctx,
            network.clone(),
            host.clone(),
            consensus.clone(),
            WireCodec,
            &sync_config(),
            &registry,
        )
        .await
        .map_err(failed("sync"))?
        .expect("sync is enabled in the configuration above");
        sync.subscribe_to_port(&sync_port);
        let cells = [
            ("consensus", consensus.get_cell()),
            ("sync", sync.get_cell()),
            ("host", host.get_cell()),
            ("network", network.get_cell()),
            ("log", wal.get_cell()),
        ];
        let (sender, stopped) = mpsc::unbounded_channel();
        for (name, cell) in &cells {
            cell.link(node.get_cell());
            watch(name, cell.clone(), sender.clone());
        }
        watch("node", node.get_cell(), sender);
        let mut cells: Vec<_> = cells.into_iter().map(|(_, cell)| cell).collect();
        cells.push(node.get_cell());
        Ok(Self { hub, requests, stopped, consensus, sync, cells })
    }

    /// Tells consensus something. When it is gone, `stopped` says so.
    pub(crate) fn tell(&self, message: ConsensusMsg<Ctx>) {
        let _ = self.consensus.cast(message);
    }

    /// Tells sync which height comes next while consensus is parked before its first one, so that
    /// others can be served.
    pub(crate) fn announce_next(&self, next: EngineHeight) {
        let _ = self.sync.cast(SyncMsg::StartedHeight(next, HeightStartType::Start));
    }

    /// Stops all actors; none of them runs when this returns.
    pub(crate) async fn stop(self) {
        let Self { hub, requests, cells, .. } = self;
        hub.unsubscribe_all();
        // An actor that waits for our answer gets an error and can stop.
        drop(requests);
        for cell in &cells {
            if cell.stop_and_wait(None, Some(STOP_PATIENCE)).await.is_err() {
                // An actor that hangs in its handler never sees a stop.
                let _ = cell.kill_and_wait(Some(STOP_PATIENCE)).await;
            }
        }
    }
}

fn watch(name: &'static str, cell: ActorCell, stopped: mpsc::UnboundedSender<&'static str>) {
    tokio::spawn(async move {
        let _ = cell.wait(None).await;
        let _ = stopped.send(name);
    });
}

fn failed<E: std::fmt::Display>(part: &'static str) -> impl Fn(E) -> EngineFailure {
    move |error| EngineFailure::Start { part, reason: format!("{error:#}") }
}

/// Opens the log. The thread of a run that has just stopped may hold its lock for a moment more.
async fn open_wal(
    path: &Path,
    registry: &SharedRegistry,
    node: &malachitebft_engine::node::NodeRef,
) -> Result<WalRef<Ctx>, EngineFailure> {
    let give_up = tokio::time::Instant::now() + WAL_OPEN_PATIENCE;
    loop {
        match spawn_wal_actor(&Ctx, WireCodec, path, registry, node.clone()).await {
            Ok(wal) => return Ok(wal),
            Err(error) if tokio::time::Instant::now() >= give_up => {
                return Err(failed("write-ahead log")(error));
            }
            // A former actor may still hold the file, and says nothing when it lets go.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn consensus_config() -> ConsensusConfig {
    ConsensusConfig {
        enabled: true,
        value_payload: ValuePayload::ProposalAndParts,
        queue_per_height_capacity: CONSENSUS_QUEUE_PER_HEIGHT,
        ..ConsensusConfig::default()
    }
}

fn sync_config() -> ValueSyncConfig {
    ValueSyncConfig {
        enabled: true,
        // Zero: after every decision. The hub thins that out and repeats it.
        status_update_interval: Duration::ZERO,
        request_timeout: SYNC_REQUEST_PATIENCE,
        max_request_size: bytesize::ByteSize(SYNC_REQUEST_BYTES_MAX as u64),
        max_response_size: bytesize::ByteSize(SYNC_RESPONSE_BYTES_MAX as u64),
        parallel_requests: SYNC_PARALLEL,
        batch_size: SYNC_BATCH,
        ..ValueSyncConfig::default()
    }
}
