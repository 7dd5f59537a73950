//! The consortium.

use axum::extract::State;
use axum::Json;
use fedledger_contract::state::StateView;

use super::types::{MemberView, TrustView};
use super::{ApiError, ApiState};

/// Every member ever admitted, with its standing, by id.
#[utoipa::path(get, path = "/v1/members", tag = "consortium",
    responses((status = 200, body = Vec<MemberView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Vec<MemberView>>, ApiError> {
    state.blocking(|state| Ok(Json(all(&StateView::new(state.backend.store()))))).await
}

/// The members in a state.
pub(super) fn all(view: &StateView<'_>) -> Vec<MemberView> {
    let tasks = view.tasks();
    let members = view.members().into_iter();
    members
        .map(|record| {
            let id = record.spec.id.clone();
            let trust = tasks.iter().map(|task| {
                let trust = view.trust(task, &id);
                TrustView {
                    task: task.clone(),
                    trust_micro: trust.trust_micro,
                    standing: trust.standing,
                }
            });
            MemberView {
                active: record.is_active(),
                transactions: view.nonce(&id).0,
                trust: trust.collect(),
                member: record.spec,
            }
        })
        .collect()
}
