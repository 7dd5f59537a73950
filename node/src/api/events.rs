//! New entries as they are decided, as server-sent events.

use std::collections::VecDeque;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use fedledger_ledger::ids::Height;
use futures::{stream, Stream};
use serde::Deserialize;
use tokio::sync::{watch, OwnedSemaphorePermit};
use utoipa::IntoParams;

use super::chain::{entries_page, ENTRIES_PAGE_MAX};
use super::types::{EntryView, ErrorBody};
use super::{ApiError, ApiState};

/// Where the stream begins.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Index of the first entry wanted; the next new one when absent.
    from: Option<u64>,
}

/// A stream of entries (`event: entry`, `id:` the leaf index, `data:` as in `/v1/entries`), each
/// once it is durable. After a break, `Last-Event-ID` goes on where it stopped.
#[utoipa::path(get, path = "/v1/events", tag = "ledger", params(EventsQuery),
    responses((status = 200, description = "text/event-stream"), (status = 503, body = ErrorBody)))]
pub(super) async fn events(
    State(state): State<ApiState>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, ApiError> {
    let Query(query) = query?;
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let next = match last_seen.map(|id: u64| id.saturating_add(1)).or(query.from) {
        Some(next) => next,
        None => state.backend.store().tip()?.log_size,
    };
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| {
        let message = "too many event streams are open; see `limits.http_event_streams`";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    })?;
    let heights = state.backend.subscribe();
    let cursor = Cursor { state, heights, next, ready: VecDeque::new(), _permit: permit };
    let stream = stream::unfold(cursor, |mut cursor| async move {
        let entry = cursor.next_entry().await?;
        let event =
            Event::default().event("entry").id(entry.leaf_index.to_string()).json_data(entry);
        Some((event, cursor))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// How far one reader has come.
struct Cursor {
    state: ApiState,
    heights: watch::Receiver<Height>,
    next: u64,
    ready: VecDeque<EntryView>,
    _permit: OwnedSemaphorePermit,
}

impl Cursor {
    /// The next entry, once there is one; nothing when the node stops or its disk fails.
    async fn next_entry(&mut self) -> Option<EntryView> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            // Seen before reading, so that a block that comes while reading is not slept through.
            self.heights.borrow_and_update();
            let next = self.next;
            let read =
                self.state.blocking(move |state| entries_page(state, next, ENTRIES_PAGE_MAX));
            let page = read.await.ok()?;
            self.next += page.entries.len() as u64;
            self.ready.extend(page.entries);
            if self.ready.is_empty() {
                self.wait().await?;
            }
        }
    }

    /// Waits for a block; nothing when the node stops.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.heights.changed() => changed.ok(),
            _ = self.state.stopping.wait_for(|stopping| *stopping) => None,
        }
    }
}
