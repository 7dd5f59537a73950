//! Published blobs: revealed updates, aggregates and models.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{header, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fedledger_contract::canonical::{NamedTensor, Schema, HEADER_BYTES, MAGIC};
use fedledger_contract::state::StateView;
use fedledger_ledger::ids::Digest;
use futures::stream;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::types::{ErrorBody, ImportedModel};
use super::updates::{busy, discard};
use super::{ApiError, ApiState};
use crate::files;

/// Bytes that are read from disk and sent at a time.
const CHUNK_BYTES: u64 = 256 << 10;

/// A published blob, in the canonical bytes that its digest is of. One `Range` of bytes may be asked
/// for.
#[utoipa::path(get, path = "/v1/blobs/{digest}", tag = "training",
    params(("digest" = String, Path, description = "SHA-256 of the blob, hexadecimal")),
    responses((status = 200, description = "the bytes"), (status = 206, description = "the range"),
        (status = 404, description = "not published, or not held by this node", body = ErrorBody),
        (status = 416, description = "no such range", body = ErrorBody)))]
pub(super) async fn blob(
    State(state): State<ApiState>,
    digest: Result<Path<Digest>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path(digest) = digest?;
    let length = state.blocking(move |state| published_length(state, &digest)).await?;
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (status, begin, end) = match range.map(|range| parse_range(range, length)) {
        None | Some(Range::Ignored) => (StatusCode::OK, 0, length),
        Some(Range::Part(begin, end)) => (StatusCode::PARTIAL_CONTENT, begin, end),
        Some(Range::Unsatisfiable) => {
            let message = format!("the blob is {length} bytes long");
            return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", message));
        }
    };
    let mut answer = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, end - begin)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{digest}\""))
        .header(header::CACHE_CONTROL, "private, immutable");
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {begin}-{}/{length}", end - 1);
        answer = answer.header(header::CONTENT_RANGE, range);
    }
    answer
        .body(stream_blob(state, digest, begin, end))
        .map_err(|error| ApiError::internal(error.to_string()))
}

/// The length of a blob that is published and held.
fn published_length(state: &ApiState, digest: &Digest) -> Result<u64, ApiError> {
    let published = state.backend.is_published(digest);
    let length = if published { state.backend.blobs().len(digest)? } else { None };
    length.ok_or_else(|| {
        let message = format!("this node holds no published blob {digest}");
        ApiError::not_found("unknown_blob", message).at("digest")
    })
}

/// The bytes `begin..end` of a blob, read as they are sent.
fn stream_blob(state: ApiState, digest: Digest, begin: u64, end: u64) -> Body {
    Body::from_stream(stream::try_unfold(begin, move |offset| {
        let state = state.clone();
        async move {
            if offset >= end {
                return Ok::<_, std::io::Error>(None);
            }
            let length = CHUNK_BYTES.min(end - offset) as usize;
            let chunk = state
                .blocking(move |state| {
                    Ok(state.backend.blobs().get_chunk(&digest, offset, length)?)
                })
                .await
                .ok()
                .flatten()
                .filter(|chunk| chunk.len() == length)
                // The connection breaks off: a receiver must not take a part for the whole.
                .ok_or_else(|| std::io::Error::other("the blob cannot be read any more"))?;
            Ok(Some((Bytes::from(chunk), offset + length as u64)))
        }
    }))
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// Not one range of bytes: the whole is sent, as RFC 9110 §14.2 allows.
    Ignored,
    /// Bytes from the first to before the second offset.
    Part(u64, u64),
    /// Beyond the end.
    Unsatisfiable,
}

fn parse_range(text: &str, length: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Range::Ignored;
    };
    let part = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, length),
        (Err(_), Ok(suffix)) if first.trim().is_empty() => (length.saturating_sub(suffix), length),
        _ => return Range::Ignored,
    };
    if part.0 < part.1 {
        Range::Part(part.0, part.1)
    } else {
        Range::Unsatisfiable
    }
}

/// The form in which a model is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModelFormat {
    /// Float32 tensors, for training.
    #[default]
    Safetensors,
    /// The same for NumPy.
    Npz,
    /// The canonical bytes that the digest is of.
    Canonical,
}

/// How a model is wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ModelQuery {
    /// `safetensors` (when absent), `npz` or `canonical`.
    #[param(inline)]
    format: Option<ModelFormat>,
}

/// A model, aggregate or revealed update as tensors.
#[utoipa::path(get, path = "/v1/models/{digest}", tag = "training",
    params(("digest" = String, Path, description = "digest of the model, hexadecimal"), ModelQuery),
    responses((status = 200, description = "a safetensors or npz file, or the canonical bytes"),
        (status = 404, body = ErrorBody)))]
pub(super) async fn model(
    State(state): State<ApiState>,
    digest: Result<Path<Digest>, PathRejection>,
    query: Result<Query<ModelQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let (Path(digest), Query(query)) = (digest?, query?);
    let (bytes, kind) = state
        .blocking(move |state| {
            published_length(state, &digest)?;
            let bytes = state.backend.blobs().get(&digest)?.ok_or_else(|| {
                ApiError::not_found("unknown_blob", format!("blob {digest} was erased"))
            })?;
            match query.format.unwrap_or_default() {
                ModelFormat::Canonical => Ok((bytes, "application/octet-stream")),
                ModelFormat::Safetensors => {
                    let kind = files::Format::Safetensors.content_type();
                    Ok((files::to_safetensors(&tensors_of(state, &digest, &bytes)?), kind))
                }
                ModelFormat::Npz => {
                    let kind = files::Format::Npz.content_type();
                    Ok((files::to_npz(&tensors_of(state, &digest, &bytes)?), kind))
                }
            }
        })
        .await?;
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::ETAG, format!("\"{digest}\"")),
        (header::CACHE_CONTROL, "private, immutable".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// Hands over a model in its canonical bytes, such as the one that a new task starts from. Other
/// members' nodes fetch it from this one.
#[utoipa::path(post, path = "/v1/models", tag = "training",
    request_body(description = "the canonical bytes", content_type = "application/octet-stream"),
    responses((status = 200, body = ImportedModel), (status = 401, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn import(
    State(state): State<ApiState>,
    body: Body,
) -> Result<axum::Json<ImportedModel>, ApiError> {
    let Ok(_permit) = state.upload_permit() else {
        discard(body).await;
        return Err(busy());
    };
    let bytes = state.read_body(body).await?;
    if !bytes.starts_with(&MAGIC) {
        let message = "the body is not a canonical model: it does not begin as one";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_a_model", message));
    }
    let put = state.blocking(move |state| Ok(state.backend.blobs().put(&bytes)?)).await;
    Ok(axum::Json(ImportedModel { model: put? }))
}

fn tensors_of(
    state: &ApiState,
    digest: &Digest,
    bytes: &[u8],
) -> Result<Vec<NamedTensor>, ApiError> {
    let unreadable = |reason: String| {
        let message = format!("blob {digest} is not a canonical model of any task: {reason}");
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_a_model", message)
    };
    let named = bytes.get(MAGIC.len()..HEADER_BYTES);
    let view = StateView::new(state.backend.store());
    let schema = view
        .tasks()
        .iter()
        .filter_map(|task| Schema::of(&view.task_spec(task)?).ok())
        .find(|schema| named == Some(&schema.digest().as_bytes()[..]))
        .ok_or_else(|| unreadable("its schema is not one of a task".into()))?;
    let values = schema.decode(bytes).map_err(|error| unreadable(error.to_string()))?;
    schema.dequantise(&values).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (text, expected) in [
            ("bytes=0-9", Range::Part(0, 10)),
            ("bytes=90-", Range::Part(90, 100)),
            ("bytes=-10", Range::Part(90, 100)),
            ("bytes=0-1000", Range::Part(0, 100)),
            ("bytes=-1000", Range::Part(0, 100)),
            ("bytes=100-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=9-0", Range::Ignored),
            ("bytes=0-1,5-6", Range::Ignored),
            ("bytes=a-b", Range::Ignored),
            ("lines=0-1", Range::Ignored),
        ] {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        }
        assert_eq!(parse_range("bytes=0-0", 0), Range::Unsatisfiable);
        assert_eq!(parse_range(&format!("bytes=0-{}", u64::MAX), 5), Range::Part(0, 5));
    }
}
