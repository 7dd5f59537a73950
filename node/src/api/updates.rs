//! What trainers and evaluators submit.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{header, HeaderMap, StatusCode};
use axum::Json;
use bytes::{Bytes, BytesMut};
use fedledger_contract::state::StateView;
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use fedledger_ledger::transaction::{Action, TrainingClaims};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use utoipa::IntoParams;

use super::types::{
    DataChangeBody, ErrorBody, EvaluationBody, SubmitError, SubmitUpdate, Submitted,
    SubmittedUpdate,
};
use super::{ApiError, ApiState};
use crate::files::{parse_tensors, FileError, Format};

/// What goes with an update.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UpdateQuery {
    /// Number of examples trained on.
    num_examples: u64,
    /// Claimed differential privacy ε in thousandths; the three claims go together.
    epsilon_milli: Option<u64>,
    /// Claimed differential privacy δ as -log10 δ in thousandths.
    delta_neg_log10_milli: Option<u64>,
    /// Claimed clipping norm in millionths.
    clip_micro: Option<u64>,
    /// Digest of an attestation document kept off the ledger, hexadecimal.
    #[param(value_type = Option<String>)]
    attestation: Option<Digest>,
}

impl UpdateQuery {
    fn claims(&self) -> Result<Option<TrainingClaims>, ApiError> {
        match (self.epsilon_milli, self.delta_neg_log10_milli, self.clip_micro) {
            (None, None, None) => Ok(None),
            (Some(epsilon_milli), Some(delta_neg_log10_milli), Some(clip_micro)) => {
                Ok(Some(TrainingClaims { epsilon_milli, delta_neg_log10_milli, clip_micro }))
            }
            _ => Err(ApiError::bad_parameter(
                "epsilon_milli",
                "epsilon_milli, delta_neg_log10_milli and clip_micro are claimed together",
            )),
        }
    }
}

/// Hands over an update: new weights minus base model, as a safetensors or npz file. The node makes
/// it canonical, keeps it and commits to its digest; it is published when the round is in its
/// reveal phase. `{round}` is a number, or `open` for the round that is open.
#[utoipa::path(post, path = "/v1/tasks/{task}/rounds/{round}/update", tag = "training",
    params(("task" = String, Path, description = "task id"),
        ("round" = String, Path, description = "round number, or `open`"), UpdateQuery),
    request_body(description = "the file", content(
        (Vec<u8> = "application/vnd.safetensors"), (Vec<u8> = "application/x-npz"))),
    responses((status = 202, body = SubmittedUpdate), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn submit(
    State(state): State<ApiState>,
    path: Result<Path<(TaskId, String)>, PathRejection>,
    query: Result<Query<UpdateQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SubmittedUpdate>), ApiError> {
    let Ok(_permit) = state.upload_permit() else {
        discard(body).await;
        return Err(busy());
    };
    // Read before anything is refused: see `discard`.
    let bytes = state.read_body(body).await?;
    let (Path((task, round)), Query(query)) = (path?, query?);
    let round = match round.as_str() {
        "open" => None,
        number => Some(RoundNumber(number.parse().map_err(|_| {
            ApiError::bad_parameter("round", "expected a round number, or `open`")
        })?)),
    };
    let format = content_format(&headers)?;
    let claims = query.claims()?;
    let tensors = state
        .blocking(move |_| {
            parse_tensors(format, std::path::Path::new("request body"), &bytes).map_err(bad_file)
        })
        .await?;
    let update = SubmitUpdate {
        task,
        round,
        tensors,
        num_examples: query.num_examples,
        claims,
        attestation: query.attestation,
    };
    let submitted = state.backend.submit_update(update).await?;
    Ok((StatusCode::ACCEPTED, Json(submitted)))
}

fn content_format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(Format::of_content_type).ok_or_else(|| {
        let message = "expected Content-Type application/vnd.safetensors or application/x-npz";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message)
    })
}

impl ApiState {
    /// The right to hold one upload in memory.
    pub(super) fn upload_permit(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.uploads.clone().try_acquire_owned()
    }

    /// Reads a body up to the limits of the settings. What is too long is read to its end all the
    /// same, within reason, so that the sender hears why it is refused.
    pub(super) async fn read_body(&self, body: Body) -> Result<Bytes, ApiError> {
        let max = self.upload_bytes_max;
        let read = tokio::time::timeout(self.upload_timeout, collect(body, max));
        match read.await {
            Ok(Ok(Some(bytes))) => Ok(bytes),
            Ok(Ok(None)) => {
                let message = format!("the body is longer than {max} bytes");
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message))
            }
            Ok(Err(error)) => {
                let message = format!("the body broke off: {error}");
                Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_body", message))
            }
            Err(_) => {
                let message = "the body did not arrive within `timeouts.http_upload_ms`";
                Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message))
            }
        }
    }
}

/// How many times the limit of a body is read before the connection is cut.
const PATIENCE_FACTOR: u64 = 4;

/// The bytes of a body of at most `max` bytes; nothing when it is longer.
async fn collect(body: Body, max: u64) -> Result<Option<Bytes>, axum::Error> {
    let mut parts = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut seen = 0u64;
    while let Some(part) = parts.next().await {
        let part = part?;
        seen += part.len() as u64;
        if seen <= max {
            bytes.extend_from_slice(&part);
        } else {
            bytes = BytesMut::new();
            if seen > max.saturating_mul(PATIENCE_FACTOR) {
                break;
            }
        }
    }
    Ok((seen <= max).then(|| bytes.freeze()))
}

/// Reads a body that nobody wants, so that the sender hears why: one that is cut off while it sends
/// loses the answer. Cut off it is when there is too much of it.
pub(super) async fn discard(body: Body) {
    const BYTES_MAX: u64 = 64 << 20;
    const PATIENCE: Duration = Duration::from_secs(10);
    // Whatever becomes of it, the answer is the same.
    let _ = tokio::time::timeout(PATIENCE, collect(body, BYTES_MAX / PATIENCE_FACTOR)).await;
}

/// The answer when as many uploads are in progress as may be.
pub(super) fn busy() -> ApiError {
    let message = "other uploads are in progress; try again when they are done";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
}

fn bad_file(error: FileError) -> ApiError {
    let answer = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_update", error.to_string());
    match error.tensor() {
        Some(tensor) => answer.at(tensor),
        None => answer,
    }
}

/// Submits the scores of a round's candidates on the member's own held-out data. The same scores may
/// be sent again: the answer is the same and nothing is signed twice.
#[utoipa::path(post, path = "/v1/tasks/{task}/rounds/{round}/evaluation", tag = "training",
    params(("task" = String, Path, description = "task id"),
        ("round" = u64, Path, description = "round number")),
    request_body = EvaluationBody,
    responses((status = 202, body = Submitted), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 503, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn evaluate(
    State(state): State<ApiState>,
    path: Result<Path<(TaskId, RoundNumber)>, PathRejection>,
    body: Result<Json<EvaluationBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let (Path((task, round)), Json(body)) = (path?, body?);
    let transaction = state.backend.submit_evaluation(task, round, body.scores).await?;
    Ok((StatusCode::ACCEPTED, Json(Submitted { transaction, change: None })))
}

/// Announces that this member's data have changed, in the open round before it commits: what the
/// task remembers of it begins anew, at reduced weight.
#[utoipa::path(post, path = "/v1/tasks/{task}/data-change", tag = "training",
    params(("task" = String, Path, description = "task id")),
    request_body = DataChangeBody,
    responses((status = 202, body = Submitted), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn announce(
    State(state): State<ApiState>,
    task: Result<Path<TaskId>, PathRejection>,
    body: Result<Json<DataChangeBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let (Path(task), Json(DataChangeBody { reason })) = (task?, body?);
    let named = task.clone();
    let round = state
        .blocking(move |state| {
            let view = StateView::new(state.backend.store());
            match (view.task_progress(&named), view.round(&named)) {
                (None, _) => Err(SubmitError::UnknownTask { task: named }.into()),
                (Some(_), None) => Err(SubmitError::TaskNotRunning { task: named }.into()),
                (Some(_), Some(open)) => Ok(open.round),
            }
        })
        .await?;
    let action = Action::AnnounceDataChange { task, round, reason };
    let transaction = state.backend.submit_action(action).await?;
    Ok((StatusCode::ACCEPTED, Json(Submitted { transaction, change: None })))
}
