//! Answers that are not a success: a status, a stable code, a message.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::Json;
use fedledger_ledger::store::{BlobError, StoreError};

use super::types::{ErrorBody, SubmitError};

/// An error as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    /// An error with its stable code.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { code: code.into(), message: message.into(), field: None } }
    }

    /// Something that is not there.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// A parameter that is not what it has to be.
    pub fn bad_parameter(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", message).at(field)
    }

    /// A fault of the node.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// Names the field, tensor or parameter at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.body.field = Some(field.into());
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(code = self.body.code, "{}", self.body.message);
        }
        (self.status, Json(self.body)).into_response()
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        let (status, code) = match &error {
            SubmitError::NotAMember => (StatusCode::FORBIDDEN, "not_a_member"),
            SubmitError::UnknownTask { .. } => (StatusCode::NOT_FOUND, "unknown_task"),
            SubmitError::TaskNotRunning { .. } => (StatusCode::CONFLICT, "task_not_running"),
            SubmitError::WrongRound { .. } => (StatusCode::CONFLICT, "wrong_round"),
            SubmitError::WrongPhase { .. } => (StatusCode::CONFLICT, "wrong_phase"),
            SubmitError::BadUpdate { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad_update"),
            SubmitError::NumExamples { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "num_examples"),
            SubmitError::AlreadyCommitted { .. } => (StatusCode::CONFLICT, "already_committed"),
            SubmitError::Refused { .. } => (StatusCode::CONFLICT, "refused"),
            SubmitError::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_long"),
            SubmitError::NotReady { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            SubmitError::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            SubmitError::NotTaken { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "not_taken"),
            SubmitError::Storage { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "storage"),
        };
        let answer = Self::new(status, code, message);
        match error {
            SubmitError::BadUpdate { tensor: Some(tensor), .. } => answer.at(tensor),
            SubmitError::NumExamples { .. } => answer.at("num_examples"),
            _ => answer,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::UnknownHeight { .. } => {
                Self::not_found("unknown_height", error.to_string()).at("height")
            }
            StoreError::UnknownEntry { .. } => {
                Self::not_found("unknown_entry", error.to_string()).at("index")
            }
            _ => Self::internal(error.to_string()),
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", rejection.body_text())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_body", rejection.body_text())
    }
}

/// The answer at a path that is no route.
pub(super) async fn no_such_route() -> ApiError {
    ApiError::not_found("no_such_route", "no such route; see /v1/openapi.json")
}

/// The answer to a method that a route does not have.
pub(super) async fn no_such_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        "this route does not have that method; see /v1/openapi.json",
    )
}
