//! The HTTP API of a node, under `/v1`, on loopback unless the operator says otherwise.
//!
//! It serves the node's own institution: its trainers, its operator, its auditor. Reading needs no
//! credentials beyond reaching the port; whatever makes the node sign something needs the token
//! that lies in its data directory (see [`access`]). `/v1/openapi.json` describes all of it.

use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use axum::Router;
use fedledger_ledger::limits::TRANSACTION_BYTES_MAX;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{watch, Semaphore};
use tokio::task::JoinHandle;

pub mod access;
mod backend;
mod blobs;
mod chain;
mod changes;
mod error;
mod events;
mod health;
mod members;
mod node;
mod onset;
mod openapi;
pub mod rounds;
mod tasks;
pub mod types;
mod updates;

pub use access::{Access, Token};
pub use backend::Backend;
pub use error::ApiError;
pub use openapi::document as openapi_document;

use crate::config::{Config, Home};
use crate::keys::KeyError;
use rounds::RoundIndex;

/// Longest JSON request body in bytes: a transaction in JSON is at most four times its CBOR.
const JSON_BYTES_MAX: usize = 4 * TRANSACTION_BYTES_MAX;

/// What the handlers share.
#[derive(Clone)]
pub struct ApiState {
    backend: Arc<dyn Backend>,
    rounds: Arc<Mutex<RoundIndex>>,
    uploads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    upload_bytes_max: u64,
    upload_timeout: std::time::Duration,
    stopping: watch::Receiver<bool>,
}

impl ApiState {
    /// State over a node, with the limits of its settings. Event streams end when `stopping`
    /// becomes true.
    pub fn new(
        backend: Arc<dyn Backend>,
        config: &Config,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            backend,
            rounds: Arc::default(),
            uploads: Arc::new(Semaphore::new(config.limits.http_uploads)),
            streams: Arc::new(Semaphore::new(config.limits.http_event_streams)),
            upload_bytes_max: config.limits.http_upload_bytes,
            upload_timeout: std::time::Duration::from_millis(config.timeouts.http_upload_ms),
            stopping,
        }
    }

    /// Runs work that reads the disk away from the threads that serve connections.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let state = self.clone();
        tokio::task::spawn_blocking(move || work(&state)).await.map_err(|error| {
            ApiError::internal(format!("the request could not be served: {error}"))
        })?
    }
}

/// All routes, behind the checks of `access`.
pub fn router(state: ApiState, access: Access) -> Router {
    let task = "/v1/tasks/{task}";
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/status", get(health::status))
        .route("/v1/genesis", get(health::genesis))
        .route("/v1/members", get(members::list))
        .route("/v1/tasks", get(tasks::list))
        .route(task, get(tasks::show))
        .route(&format!("{task}/rounds"), get(tasks::rounds))
        .route(&format!("{task}/rounds/{{round}}"), get(tasks::round))
        .route(
            &format!("{task}/rounds/{{round}}/update"),
            post(updates::submit).layer(DefaultBodyLimit::disable()),
        )
        .route(&format!("{task}/rounds/{{round}}/evaluation"), post(updates::evaluate))
        .route(&format!("{task}/onset"), get(onset::onset))
        .route(&format!("{task}/data-change"), post(updates::announce))
        .route("/v1/transactions", post(chain::submit))
        .route("/v1/transactions/{digest}", get(chain::transaction))
        .route("/v1/entries", get(chain::entries))
        .route("/v1/entries/{index}", get(chain::entry))
        .route("/v1/blocks/{height}", get(chain::block))
        .route("/v1/state/{key}", get(chain::state))
        .route("/v1/blobs/{digest}", get(blobs::blob))
        .route("/v1/models", post(blobs::import).layer(DefaultBodyLimit::disable()))
        .route("/v1/models/{digest}", get(blobs::model))
        .route("/v1/changes", get(changes::list).post(changes::propose))
        .route("/v1/changes/{digest}/approve", post(changes::approve))
        .route("/v1/events", get(events::events))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::new(access), access::check))
        .with_state(state)
}

/// Why the API did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("the HTTP API cannot listen on {address}: {source}; see `http.address` in node.toml")]
    Bind {
        /// The address of the settings.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The token cannot be read or made.
    #[error(transparent)]
    Token(#[from] KeyError),
    /// The file that tells the command line where the API is cannot be written.
    #[error("{}: {source}", path.display())]
    AddressFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The API of a running node.
pub struct ApiServer {
    /// The address that it listens on.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<io::Result<()>>,
    address_file: PathBuf,
}

impl ApiServer {
    /// Takes no more requests, finishes those in progress, and ends event streams.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        match self.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the HTTP API ended"),
            Err(error) => tracing::warn!(%error, "the HTTP API ended"),
        }
        // A stale address would send the command line to whoever has the port next.
        if let Err(error) = std::fs::remove_file(&self.address_file) {
            tracing::debug!(%error, "the address file is gone already");
        }
    }
}

/// Serves the API of a node on the address of its settings (port 0 takes a free one), and writes
/// where that is to [`Home::address_file`]. The data directory must exist.
///
/// # Errors
/// When the address, the token or the address file cannot be had.
pub async fn serve<B: Backend>(
    backend: Arc<B>,
    home: &Home,
    config: &Config,
) -> Result<ApiServer, ServeError> {
    let wanted = config.http.address;
    let bind = |source| ServeError::Bind { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let token = Token::load_or_create(&home.token_file(config))?;
    let access = Access::new(token, address, &config.http.allowed_hosts);
    let (stop, stopping) = watch::channel(false);
    let router = router(ApiState::new(backend, config, stopping.clone()), access);
    let address_file = home.address_file(config);
    write_address(&address_file, address)?;
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopped(stopping));
    let serving = tokio::spawn(serving.into_future());
    Ok(ApiServer { address, stop, serving, address_file })
}

/// Whoever reads the file sees the old address or the new one whole.
fn write_address(path: &Path, address: SocketAddr) -> Result<(), ServeError> {
    let temporary = path.with_extension("address.new");
    std::fs::write(&temporary, format!("{address}\n"))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|source| ServeError::AddressFile { path: path.into(), source })
}

/// Waits until the flag is up, or until nobody is left to raise it.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

#[cfg(test)]
mod tests;
