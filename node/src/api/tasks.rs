//! Tasks and their rounds.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::Json;
use fedledger_contract::records::TaskStatus;
use fedledger_contract::state::StateView;
use fedledger_ledger::ids::{RoundNumber, TaskId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::types::{ErrorBody, RoundView, TaskView};
use super::{ApiError, ApiState};

/// Most rounds in one answer.
const ROUNDS_PAGE_MAX: usize = 100;

/// Every task ever created, by id.
#[utoipa::path(get, path = "/v1/tasks", tag = "training",
    responses((status = 200, body = Vec<TaskView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Result<Json<Vec<TaskView>>, ApiError> {
    state
        .blocking(|state| {
            let view = StateView::new(state.backend.store());
            Ok(Json(view.tasks().iter().filter_map(|task| task_view(&view, task)).collect()))
        })
        .await
}

/// One task.
#[utoipa::path(get, path = "/v1/tasks/{task}", tag = "training",
    params(("task" = String, Path, description = "task id")),
    responses((status = 200, body = TaskView), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    task: Result<Path<TaskId>, PathRejection>,
) -> Result<Json<TaskView>, ApiError> {
    let Path(task) = task?;
    state
        .blocking(move |state| {
            let view = StateView::new(state.backend.store());
            task_view(&view, &task).map(Json).ok_or_else(|| unknown_task(&task))
        })
        .await
}

/// Which rounds are wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RoundsQuery {
    /// The first round wanted; 1 when absent.
    from: Option<u64>,
    /// Most rounds in the answer, at most 100.
    limit: Option<usize>,
}

/// The rounds of a task, in order.
#[utoipa::path(get, path = "/v1/tasks/{task}/rounds", tag = "training",
    params(("task" = String, Path, description = "task id"), RoundsQuery),
    responses((status = 200, body = Vec<RoundView>), (status = 404, body = ErrorBody)))]
pub(super) async fn rounds(
    State(state): State<ApiState>,
    task: Result<Path<TaskId>, PathRejection>,
    query: Result<Query<RoundsQuery>, QueryRejection>,
) -> Result<Json<Vec<RoundView>>, ApiError> {
    let (Path(task), Query(query)) = (task?, query?);
    let limit = query.limit.unwrap_or(ROUNDS_PAGE_MAX).min(ROUNDS_PAGE_MAX);
    state
        .blocking(move |state| {
            let store = state.backend.store();
            if StateView::new(store).task_spec(&task).is_none() {
                return Err(unknown_task(&task));
            }
            let mut index = state.rounds.lock().expect("no thread panics while it indexes");
            index.catch_up(store)?;
            let numbers = index.rounds_of(&task, RoundNumber(query.from.unwrap_or(1)), limit);
            let views = numbers.into_iter().map(|round| index.view(store, &task, round));
            views
                .filter_map(Result::transpose)
                .collect::<Result<Vec<_>, _>>()
                .map(Json)
                .map_err(Into::into)
        })
        .await
}

/// One round of a task.
#[utoipa::path(get, path = "/v1/tasks/{task}/rounds/{round}", tag = "training",
    params(("task" = String, Path, description = "task id"),
        ("round" = u64, Path, description = "round number, from 1")),
    responses((status = 200, body = RoundView), (status = 404, body = ErrorBody)))]
pub(super) async fn round(
    State(state): State<ApiState>,
    path: Result<Path<(TaskId, RoundNumber)>, PathRejection>,
) -> Result<Json<RoundView>, ApiError> {
    let Path((task, round)) = path?;
    state
        .blocking(move |state| {
            let store = state.backend.store();
            let mut index = state.rounds.lock().expect("no thread panics while it indexes");
            index.catch_up(store)?;
            index.view(store, &task, round)?.map(Json).ok_or_else(|| {
                let message = format!("task `{task}` has no round {round} so far");
                ApiError::not_found("unknown_round", message).at("round")
            })
        })
        .await
}

pub(super) fn unknown_task(task: &TaskId) -> ApiError {
    ApiError::not_found("unknown_task", format!("there is no task `{task}`")).at("task")
}

/// A task in a state.
pub(super) fn task_view(view: &StateView<'_>, task: &TaskId) -> Option<TaskView> {
    let spec = view.task_spec(task)?;
    let progress = view.task_progress(task)?;
    let round = view.round(task).filter(|_| progress.status == TaskStatus::Running);
    let status = match progress.status {
        TaskStatus::Running => "running",
        TaskStatus::Completed => "completed",
        TaskStatus::Frozen => "frozen",
    };
    let last_round = spec.rounds.saturating_add(progress.rounds_added);
    Some(TaskView {
        last_round,
        parameters: spec.parameters().unwrap_or(0),
        task: spec,
        status: status.into(),
        round: progress.round,
        phase: round.as_ref().map(|round| round.phase),
        deadline: round.as_ref().map(|round| round.deadline),
        model: progress.model,
    })
}
