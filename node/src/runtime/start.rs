//! Bringing a node up and down.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{bail, Context as _};
use fedledger_consensus::application::Application;
use fedledger_consensus::chain::{system_clock, Chain};
use fedledger_consensus::engine::{self, EngineConfig, EngineHandle};
use fedledger_ledger::block::ValidatorAddress;
use fedledger_ledger::entry::Entry;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::{BlobStore, LedgerStore};
use tokio::sync::{watch, Notify};
use tokio::task::JoinSet;

use super::evaluator::{Board, Evaluator};
use super::{addresses, Fetching, HeldBack, Node, Outbox, Serving, Signing};
use crate::config::{Config, Home};
use crate::keys::NodeKeys;
use crate::network::{Network, NetworkConfig};

/// How a node is to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Its home.
    pub home: PathBuf,
    /// Whether to end when standard input closes: for nodes that must not outlive their starter.
    pub until_stdin_closes: bool,
}

/// Opens the store in the node's data folder, and lays genesis down when it is new.
fn open_store(home: &Home, config: &Config, genesis: &Genesis) -> anyhow::Result<LedgerStore> {
    let dir = home.data_dir(config).join("ledger");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let store = LedgerStore::open(&dir, &genesis.chain_id, genesis.digest())?;
    if !store.is_initialised() {
        let effects =
            fedledger_contract::genesis::genesis(genesis).context("the genesis document")?;
        let entries: Vec<Vec<u8>> = effects.entries.iter().map(Entry::to_bytes).collect();
        store.init_genesis(genesis, &effects.validators, &entries, &effects.writes)?;
    }
    Ok(store)
}

/// Runs a node until it is told to stop or cannot go on.
///
/// # Errors
/// When it cannot start, or had to stop because something failed that cannot be passed over.
pub async fn run(options: RunOptions) -> anyhow::Result<()> {
    run_on(options, |chain| chain).await
}

/// Runs a node whose engine is given `application` made from the chain, instead of the chain itself:
/// for nodes that misbehave on purpose, in tests and drills.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    options: RunOptions,
    application: impl FnOnce(Arc<Chain>) -> Arc<dyn Application>,
) -> anyhow::Result<()> {
    let home = Home::new(&options.home);
    let config = home.config()?;
    let genesis = home.genesis().context("the genesis document")?;
    let keys = NodeKeys::load(home.path())?;
    let data = home.data_dir(&config);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    let store = open_store(&home, &config, &genesis)?;
    let blobs = Arc::new(BlobStore::open(&data.join("blobs"), BLOB_BYTES_MAX)?);
    let held_back = Arc::new(HeldBack::open(&data.join("held-back"))?);
    let proposer = ValidatorAddress::of(&PublicKey::of(&keys.validator));
    let members = addresses(&store);
    let chain = Chain::open(genesis, store, Arc::clone(&blobs), proposer, system_clock)?;

    let network_config = NetworkConfig { key: keys.network, listen: config.listen(), members };
    let serving = Serving { blobs: Arc::clone(&blobs), held_back: Arc::clone(&held_back) };
    let (network, transport, events) =
        Network::start(network_config, Arc::new(serving), Arc::clone(&blobs)).await?;
    tracing::info!(addresses = ?network.listen_addresses(), "listening for members");
    let engine = engine::start(
        EngineConfig::new(chain.genesis().chain_id.clone(), data.join("consensus")),
        config.member_id().map(|_| keys.validator),
        application(chain.clone()),
        transport,
    )?;

    let member = match config.member_id() {
        Some(id) => {
            let (outbox, waiting) = Outbox::open(&data.join("outbox"))?;
            for transaction in waiting {
                if let Err(error) = chain.submit(transaction) {
                    tracing::warn!(%error, "a signed transaction from before is not taken");
                }
            }
            Some(Signing { id, key: keys.member, outbox: tokio::sync::Mutex::new(outbox) })
        }
        None => None,
    };
    let (failure, _) = watch::channel(None);
    let node = Arc::new(Node {
        chain,
        network,
        engine: engine.status(),
        member,
        held_back,
        fetching: Fetching::default(),
        announced: Mutex::new(BTreeSet::new()),
        evaluator: Board::new(&config.evaluator),
        computing: Arc::default(),
        work: Notify::new(),
        failure,
    });
    let ends = Ends { engine, events, until_stdin_closes: options.until_stdin_closes };
    serve_until_stopped(&node, &home, &config, ends).await
}

/// What a running node is ended by.
struct Ends {
    engine: EngineHandle,
    events: tokio::sync::mpsc::Receiver<crate::network::NetworkEvent>,
    until_stdin_closes: bool,
}

async fn serve_until_stopped(
    node: &Arc<Node>,
    home: &Home,
    config: &Config,
    ends: Ends,
) -> anyhow::Result<()> {
    let Ends { mut engine, events, until_stdin_closes } = ends;
    let mut failure = node.failure.subscribe();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(node).listen(events));
    tasks.spawn(Arc::clone(node).automate());
    if let Some(evaluator) = Evaluator::of(&config.evaluator, home, &home.data_dir(config))? {
        tasks.spawn(Arc::clone(node).evaluate(evaluator));
    }
    let api = crate::api::serve(Arc::clone(node), home, config).await?;
    tracing::info!(address = %api.address, "the HTTP API answers");

    let mut engine_failed = false;
    let result = tokio::select! {
        () = stop_signal(until_stdin_closes) => Ok(()),
        failed = engine.failed() => {
            engine_failed = true;
            Err(format!("the consensus engine failed: {failed}"))
        }
        failed = node.network.failed() => Err(format!("the network failed: {failed}")),
        failed = failure.wait_for(Option::is_some) => {
            Err(failed.ok().and_then(|reason| reason.clone()).unwrap_or_default())
        }
        Some(ended) = tasks.join_next() => Err(format!("a task of the node ended: {ended:?}")),
    };
    tracing::info!("shutting down");
    let patience = Duration::from_millis(config.timeouts.shutdown_ms);
    let orderly = async {
        api.shutdown().await;
        if !engine_failed {
            if let Err(error) = engine.shutdown().await {
                tracing::warn!(%error, "the consensus engine ended");
            }
        }
        node.network.shutdown().await;
        tasks.shutdown().await;
    };
    if tokio::time::timeout(patience, orderly).await.is_err() {
        tracing::warn!("not everything ended in time; what is on disk is whole all the same");
    }
    match result {
        Ok(()) => Ok(()),
        Err(reason) => bail!("{reason}"),
    }
}

/// Resolves on SIGINT, SIGTERM, or the end of standard input when that is asked for.
async fn stop_signal(until_stdin_closes: bool) {
    use tokio::signal::unix::{signal, SignalKind};
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be handled");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    let closed = async {
        if !until_stdin_closes {
            return std::future::pending().await;
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A thread of its own: a read of standard input cannot be cancelled, and the runtime would
        // wait for it at the end.
        std::thread::spawn(move || {
            let mut byte = [0u8; 64];
            while matches!(std::io::Read::read(&mut std::io::stdin(), &mut byte), Ok(1..)) {}
            let _ = sender.send(());
        });
        let _ = receiver.await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = closed => {}
    }
}
