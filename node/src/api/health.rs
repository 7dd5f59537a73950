//! Whether the node is up, whether it takes part, and what it measures.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{header, StatusCode};
use axum::response::IntoResponse;
use axum::Json;
use fedledger_ledger::genesis::Genesis;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::types::{ErrorBody, EvaluatorRun, EvaluatorState, NodeStatus};
use super::{ApiError, ApiState};

/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers 200 once the node has caught up and takes part.
#[utoipa::path(get, path = "/readyz", tag = "node", responses(
    (status = 200, body = String),
    (status = 503, description = "still catching up", body = ErrorBody),
))]
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<&'static str, ApiError> {
    if state.backend.is_ready() {
        return Ok("ready\n");
    }
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "the node has not caught up with the others; see /v1/status",
    ))
}

/// Metrics for Prometheus, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "node", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics_text(&state.backend.status()))
}

/// The status in the OpenMetrics text format.
fn metrics_text(status: &NodeStatus) -> String {
    let mut registry = Registry::with_prefix("fedledger");
    let failed = |run: &&EvaluatorRun| run.state == EvaluatorState::Failed;
    let evaluators_failed = status.evaluation.runs.iter().filter(failed).count();
    let connected = status.peers.iter().filter(|peer| peer.connected).count();
    for (name, help, value) in [
        ("height", "Height of the last decided block", status.height.0),
        ("tip_time_ms", "Its time, in milliseconds since 1970", status.tip_time.0),
        ("log_entries", "Entries in the log", status.log_size),
        ("validators", "Validators of the next block", status.validators as u64),
        ("members_connected", "Other members with an open connection", connected as u64),
        ("syncing", "1 while the node fetches blocks that others have", status.syncing.into()),
        ("signing", "1 while the node signs consensus votes", status.signing.into()),
        (
            "evaluations_due",
            "Rounds that wait for this member's scores",
            status.evaluation.due.len() as u64,
        ),
        (
            "evaluators_failed",
            "Tasks whose last run of the evaluator came to nothing",
            evaluators_failed as u64,
        ),
    ] {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to memory cannot fail");
    text
}

/// What the node knows about itself and the chain.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses((status = 200, body = NodeStatus)))]
pub(super) async fn status(State(state): State<ApiState>) -> Json<NodeStatus> {
    Json(state.backend.status())
}

/// The document that the ledger starts from. Its digest is an auditor's root of trust and has to be
/// known from elsewhere.
#[utoipa::path(get, path = "/v1/genesis", tag = "ledger", responses((status = 200, body = Object)))]
pub(super) async fn genesis(State(state): State<ApiState>) -> Json<Genesis> {
    Json(state.backend.genesis().clone())
}
