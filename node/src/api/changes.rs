//! Changes that are up for approval.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::Json;
use fedledger_contract::records::ChangeRecord;
use fedledger_contract::state::StateView;
use fedledger_contract::state_key;
use fedledger_ledger::ids::{quorum, Digest};
use fedledger_ledger::transaction::Action;

use super::types::{ChangeView, ErrorBody, ProposeChangeBody, Submitted};
use super::{ApiError, ApiState};

/// The changes that wait for approval, by digest.
#[utoipa::path(get, path = "/v1/changes", tag = "consortium",
    responses((status = 200, body = Vec<ChangeView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Vec<ChangeView>>, ApiError> {
    state
        .blocking(|state| {
            let view = StateView::new(state.backend.store());
            let needed = quorum(view.active_members().len());
            let records = view.changes().into_iter().filter_map(|digest| {
                let record: ChangeRecord = view.get(&state_key::change(&digest))?;
                Some(ChangeView {
                    digest,
                    change: record.change,
                    approvals: record.approvals,
                    needed,
                })
            });
            Ok(Json(records.collect()))
        })
        .await
}

/// Puts a change to the vote; this node's member approves it thereby.
#[utoipa::path(post, path = "/v1/changes", tag = "consortium", request_body = ProposeChangeBody,
    responses((status = 202, body = Submitted), (status = 401, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn propose(
    State(state): State<ApiState>,
    body: Result<Json<ProposeChangeBody>, JsonRejection>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let Json(ProposeChangeBody { change }) = body?;
    let digest = change.digest();
    let transaction = state.backend.submit_action(Action::ProposeChange { change }).await?;
    Ok((StatusCode::ACCEPTED, Json(Submitted { transaction, change: Some(digest) })))
}

/// Approves a change in the name of this node's member.
#[utoipa::path(post, path = "/v1/changes/{digest}/approve", tag = "consortium",
    params(("digest" = String, Path, description = "digest of the change, hexadecimal")),
    responses((status = 202, body = Submitted), (status = 401, body = ErrorBody),
        (status = 409, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn approve(
    State(state): State<ApiState>,
    digest: Result<Path<Digest>, PathRejection>,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let Path(change) = digest?;
    let transaction = state.backend.submit_action(Action::Approve { change }).await?;
    Ok((StatusCode::ACCEPTED, Json(Submitted { transaction, change: Some(change) })))
}
