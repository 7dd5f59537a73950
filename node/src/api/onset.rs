//! When members of a task began to move together, from the deviations in the ledger's decisions.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::Json;
use fedledger_contract::history::onset as estimate;
use fedledger_contract::state::StateView;
use fedledger_ledger::decision::{Decision, Deviation};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{Height, MemberId, RoundNumber, TaskId};
use fedledger_ledger::store::{LedgerStore, StoreError};
use serde::Deserialize;
use utoipa::IntoParams;

use super::tasks::unknown_task;
use super::types::{ErrorBody, OnsetView};
use super::{ApiError, ApiState};

/// Who is asked about.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OnsetQuery {
    /// Member ids, separated by commas; those in quarantine when absent.
    members: Option<String>,
}

/// Estimates the first round in which members had begun to move together. Reads the whole ledger.
#[utoipa::path(get, path = "/v1/tasks/{task}/onset", tag = "training",
    params(("task" = String, Path, description = "task id"), OnsetQuery),
    responses((status = 200, body = OnsetView), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub(super) async fn onset(
    State(state): State<ApiState>,
    task: Result<Path<TaskId>, PathRejection>,
    query: Result<Query<OnsetQuery>, QueryRejection>,
) -> Result<Json<OnsetView>, ApiError> {
    let (Path(task), Query(query)) = (task?, query?);
    let named = query.members.as_deref().map(parse_members).transpose()?;
    state
        .blocking(move |state| {
            let store = state.backend.store();
            let view = StateView::new(store);
            let spec = view.task_spec(&task).ok_or_else(|| unknown_task(&task))?;
            let policy = spec.history.ok_or_else(|| {
                let message = format!("task `{task}` remembers nothing of its members");
                ApiError::new(StatusCode::CONFLICT, "no_history", message).at("task")
            })?;
            let in_quarantine =
                |id: &MemberId| view.trust(&task, id).standing == Standing::Quarantine;
            let members = named.unwrap_or_else(|| {
                let ids = view.members().into_iter().map(|member| member.spec.id);
                ids.filter(in_quarantine).collect()
            });
            let onset = estimate(&policy, &deviations(store, &task)?, &members);
            let last_good = onset.map(|round| RoundNumber(round.0 - 1));
            Ok(Json(OnsetView { members, onset, last_good }))
        })
        .await
}

fn parse_members(list: &str) -> Result<Vec<MemberId>, ApiError> {
    let ids = list.split(',').map(|id| {
        MemberId::new(id.trim()).map_err(|error| {
            let message = format!("`{id}`: {error}");
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_member", message).at("members")
        })
    });
    let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
    ids.sort();
    Ok(ids)
}

/// The deviations of every round of a task that was decided with them, in order.
fn deviations(
    store: &LedgerStore,
    task: &TaskId,
) -> Result<Vec<(RoundNumber, Vec<Deviation>)>, StoreError> {
    let mut found = Vec::new();
    for height in 1..=store.tip()?.height.0 {
        for decision in store.block(Height(height))?.body.decisions {
            match decision {
                Decision::Outcome { task: of, round, deviations: Some(deviations), .. }
                    if of == *task =>
                {
                    found.push((round, deviations));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}
