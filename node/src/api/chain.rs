//! The ledger itself, with proofs: transactions, entries, blocks, state.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::Json;
use bytes::Bytes;
use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::entry::Entry;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::state::STATE_KEY_BYTES_MAX;
use fedledger_ledger::transaction::Transaction;
use serde::Deserialize;
use utoipa::IntoParams;

use super::types::{
    BlockView, EntriesPage, EntryView, ErrorBody, ProvedEntry, StateView, SubmitError, Submitted,
    TransactionStatus,
};
use super::{ApiError, ApiState};

/// Most entries in one answer: a C2SP tile.
pub(super) const ENTRIES_PAGE_MAX: u64 = 256;

/// What has become of a transaction.
#[utoipa::path(get, path = "/v1/transactions/{digest}", tag = "ledger",
    params(("digest" = String, Path, description = "SHA-256 of the transaction, hexadecimal")),
    responses((status = 200, body = TransactionStatus), (status = 404, body = ErrorBody)))]
pub(super) async fn transaction(
    State(state): State<ApiState>,
    digest: Result<Path<Digest>, PathRejection>,
) -> Result<Json<TransactionStatus>, ApiError> {
    let Path(digest) = digest?;
    match state.backend.transaction_status(&digest).await {
        TransactionStatus::Unknown => Err(ApiError::not_found(
            "unknown_transaction",
            format!("this node knows no transaction {digest}"),
        )
        .at("digest")),
        known => Ok(Json(known)),
    }
}

/// Offers proposers a transaction that was signed elsewhere: its canonical CBOR, as
/// `docs/spec/entries.md` has it.
#[utoipa::path(post, path = "/v1/transactions", tag = "ledger",
    request_body(content = Vec<u8>, content_type = "application/cbor"),
    responses((status = 202, body = Submitted), (status = 401, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody)),
    security(("token" = [])))]
pub(super) async fn submit(
    State(state): State<ApiState>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Submitted>), ApiError> {
    let transaction = Transaction::from_bytes(&bytes)
        .map_err(|error| SubmitError::NotTaken { reason: error.to_string() })?;
    let transaction = state.backend.submit_signed(transaction).await?;
    Ok((StatusCode::ACCEPTED, Json(Submitted { transaction, change: None })))
}

/// Which entries are wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EntriesQuery {
    /// Index of the first entry wanted; 0 when absent.
    from: Option<u64>,
    /// Most entries in the answer, at most 256.
    limit: Option<u64>,
}

/// Entries of the log, in order.
#[utoipa::path(get, path = "/v1/entries", tag = "ledger", params(EntriesQuery),
    responses((status = 200, body = EntriesPage)))]
pub(super) async fn entries(
    State(state): State<ApiState>,
    query: Result<Query<EntriesQuery>, QueryRejection>,
) -> Result<Json<EntriesPage>, ApiError> {
    let Query(query) = query?;
    let from = query.from.unwrap_or(0);
    let limit = query.limit.unwrap_or(ENTRIES_PAGE_MAX).clamp(1, ENTRIES_PAGE_MAX);
    state.blocking(move |state| entries_page(state, from, limit).map(Json)).await
}

/// Up to `limit` entries from index `from` on.
pub(super) fn entries_page(
    state: &ApiState,
    from: u64,
    limit: u64,
) -> Result<EntriesPage, ApiError> {
    let store = state.backend.store();
    let tree_size = store.tip()?.log_size;
    let end = from.saturating_add(limit).min(tree_size);
    let bytes = if from < end { store.entries(from..end)? } else { Vec::new() };
    let entries = (from..)
        .zip(bytes)
        .map(|(leaf_index, bytes)| Ok(EntryView { leaf_index, entry: decode_entry(&bytes)? }));
    let next = (end < tree_size && from < end).then_some(end);
    Ok(EntriesPage { entries: entries.collect::<Result<_, ApiError>>()?, next, tree_size })
}

fn decode_entry(bytes: &[u8]) -> Result<Entry, ApiError> {
    Entry::from_bytes(bytes).map_err(|error| ApiError::internal(error.to_string()))
}

/// Which tree the proof is wanted for.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ProofQuery {
    /// Number of entries in the tree; the present one when absent.
    tree_size: Option<u64>,
}

/// One entry with the proof that the log holds it.
#[utoipa::path(get, path = "/v1/entries/{index}", tag = "ledger",
    params(("index" = u64, Path, description = "leaf index, from 0"), ProofQuery),
    responses((status = 200, body = ProvedEntry), (status = 404, body = ErrorBody)))]
pub(super) async fn entry(
    State(state): State<ApiState>,
    index: Result<Path<u64>, PathRejection>,
    query: Result<Query<ProofQuery>, QueryRejection>,
) -> Result<Json<ProvedEntry>, ApiError> {
    let (Path(leaf_index), Query(query)) = (index?, query?);
    state
        .blocking(move |state| {
            let store = state.backend.store();
            let head = store.log_head()?;
            let tree_size = query.tree_size.unwrap_or(head.size());
            let proof = store.prove_inclusion(leaf_index, tree_size)?;
            let bytes = store.entry(leaf_index)?;
            let root_hash = if tree_size == head.size() {
                head.root()
            } else {
                fedledger_ledger::log::root_of(store.leaf_hashes(0..tree_size)?)
            };
            Ok(Json(ProvedEntry {
                leaf_index,
                entry: decode_entry(&bytes)?,
                bytes: hex::encode(bytes),
                tree_size,
                root_hash,
                inclusion_proof: proof.iter().map(ToString::to_string).collect(),
            }))
        })
        .await
}

/// One decided block with its commit certificate.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "ledger",
    params(("height" = u64, Path, description = "height, from 1")),
    responses((status = 200, body = BlockView), (status = 404, body = ErrorBody)))]
pub(super) async fn block(
    State(state): State<ApiState>,
    height: Result<Path<Height>, PathRejection>,
) -> Result<Json<BlockView>, ApiError> {
    let Path(height) = height?;
    state
        .blocking(move |state| {
            let store = state.backend.store();
            let block = store.block(height)?;
            Ok(Json(BlockView {
                height,
                block_id: block.hash(),
                time: block.header.time,
                header: hex::encode(to_canonical(&block.header)),
                certificate: hex::encode(store.certificate(height)?.to_bytes()),
                body: hex::encode(to_canonical(&block.body)),
            }))
        })
        .await
}

/// At which height the state is wanted.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StateQuery {
    /// The height; the last decided one when absent.
    height: Option<u64>,
}

/// The value under a state key, or its absence, with an ICS23 proof against the state root.
#[utoipa::path(get, path = "/v1/state/{key}", tag = "ledger",
    params(("key" = String, Path, description = "state key, hexadecimal"), StateQuery),
    responses((status = 200, body = StateView), (status = 404, body = ErrorBody)))]
pub(super) async fn state(
    State(state): State<ApiState>,
    key: Result<Path<String>, PathRejection>,
    query: Result<Query<StateQuery>, QueryRejection>,
) -> Result<Json<StateView>, ApiError> {
    let (Path(key), Query(query)) = (key?, query?);
    let bytes = hex::decode(&key)
        .ok()
        .filter(|bytes| (1..=STATE_KEY_BYTES_MAX).contains(&bytes.len()))
        .ok_or_else(|| {
            let expected = format!("1 to {STATE_KEY_BYTES_MAX} bytes in hexadecimal");
            ApiError::bad_parameter("key", format!("a state key is {expected}, found `{key}`"))
        })?;
    state
        .blocking(move |state| {
            let store = state.backend.store();
            let height = match query.height {
                Some(height) => Height(height),
                None => store.tip()?.height,
            };
            let (value, proof) = store.prove_state(&bytes, height)?;
            Ok(Json(StateView {
                key,
                value: value.map(hex::encode),
                height,
                state_root: store.app_hash(height)?,
                proof: hex::encode(proof),
            }))
        })
        .await
}
