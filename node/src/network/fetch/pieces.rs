//! The pieces of one blob from one holder.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fedledger_ledger::ids::Digest;
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::{BlobError, BlobStore};
use futures::stream::FuturesUnordered;
use futures::StreamExt;
use libp2p::PeerId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::super::driver::Input;
use super::super::exchange::{ChunkRequest, ChunkResponse};
use super::super::limits::{
    BLOB_CHUNK_BYTES_MAX, FETCH_CHUNK_BYTES_MIN, FETCH_WINDOW_MAX, FETCH_WINDOW_START,
};
use super::super::ChunkError;

/// Failures in a row, each answered with smaller and fewer requests, before a holder is given up.
const SETBACKS_MAX: u32 = 6;
/// Pause after a holder said that it is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// A holder slower than this, in bytes per second over [`SLOW_AFTER`], is left for another.
const BYTES_PER_SECOND_MIN: u64 = 32 << 10;
/// How long a holder may be slow.
const SLOW_AFTER: Duration = Duration::from_secs(60);

/// Why a holder did not help.
#[derive(Debug, Error)]
pub(super) enum PiecesError {
    #[error("it does not serve the blob")]
    NotServed,
    #[error("it served wrong bytes")]
    Wrong,
    #[error("its answer does not fit the blob's length or the request")]
    Unfit,
    #[error("it is slow, and others hold the blob too")]
    Slow,
    #[error("it is busy")]
    Busy,
    #[error(transparent)]
    Request(#[from] ChunkError),
    #[error(transparent)]
    Store(BlobError),
}

impl PiecesError {
    /// Whether asking the same holder again later may help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Slow | Self::Busy => true,
            Self::Request(error) => !matches!(error, ChunkError::Malformed | ChunkError::Stopped),
            Self::NotServed | Self::Wrong | Self::Unfit | Self::Store(_) => false,
        }
    }
}

/// Fetches what is missing of one blob from one holder.
pub(super) struct Pieces<'a> {
    pub(super) digest: Digest,
    /// Length of the whole blob, when known.
    pub(super) length: Option<u64>,
    pub(super) peer: PeerId,
    pub(super) driver: &'a mpsc::UnboundedSender<Input>,
    pub(super) store: &'a Arc<BlobStore>,
    /// Whether other holders are left to ask.
    pub(super) others: bool,
}

/// How much is asked for at once. It grows while answers come and shrinks when they do not.
struct Pace {
    window: usize,
    chunk: u32,
    setbacks: u32,
}

/// Where a fetch stands.
struct Progress {
    total: Option<u64>,
    /// Bytes in the partial file.
    written: u64,
    /// Where the next new request begins.
    next: u64,
    /// Ranges to ask for again.
    again: VecDeque<(u64, u64)>,
    /// Pieces that arrived before their predecessors, by offset.
    early: BTreeMap<u64, Bytes>,
    pace: Pace,
}

impl Pieces<'_> {
    /// Appends all pieces from the end of the partial file to the end of the blob.
    pub(super) async fn fetch(self) -> Result<(), PiecesError> {
        let digest = self.digest;
        let written = blocking(self.store, move |store| store.partial_len(&digest))
            .await
            .map_err(PiecesError::Store)?;
        let mut progress = Progress::new(self.length, written);
        let mut in_flight = FuturesUnordered::new();
        let started = Instant::now();
        loop {
            while in_flight.len() < progress.pace.window {
                let Some((offset, length)) = progress.next_range(in_flight.is_empty()) else {
                    break;
                };
                in_flight.push(self.request(offset, length));
            }
            let Some((offset, length, response)) = in_flight.next().await else {
                return if progress.total == Some(progress.written) {
                    Ok(())
                } else {
                    Err(PiecesError::Unfit)
                };
            };
            match response {
                Ok(ChunkResponse::Found { total, bytes }) => {
                    progress.accept(offset, length, total, bytes)?;
                    self.append_ready(&mut progress).await?;
                }
                Ok(ChunkResponse::NotServed) => return Err(PiecesError::NotServed),
                Ok(ChunkResponse::Busy) => {
                    progress.set_back(offset, length, PiecesError::Busy)?;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(ChunkError::Timeout) => {
                    progress.set_back(offset, length, ChunkError::Timeout.into())?;
                }
                Err(error) => return Err(error.into()),
            }
            let elapsed = started.elapsed();
            let least = BYTES_PER_SECOND_MIN.saturating_mul(elapsed.as_secs());
            if self.others && elapsed > SLOW_AFTER && progress.written - written < least {
                return Err(PiecesError::Slow);
            }
        }
    }

    async fn request(
        &self,
        offset: u64,
        length: u64,
    ) -> (u64, u64, Result<ChunkResponse, ChunkError>) {
        let bytes = u32::try_from(length).expect("a chunk is at most a megabyte");
        let request = ChunkRequest { digest: self.digest, offset, length: bytes };
        let (done, response) = oneshot::channel();
        let sent = self.driver.send(Input::Chunk { peer: self.peer, request, done });
        let response = match sent {
            Ok(()) => response.await.unwrap_or(Err(ChunkError::Stopped)),
            Err(_) => Err(ChunkError::Stopped),
        };
        (offset, length, response)
    }

    async fn append_ready(&self, progress: &mut Progress) -> Result<(), PiecesError> {
        while let Some(bytes) = progress.early.remove(&progress.written) {
            let (digest, offset) = (self.digest, progress.written);
            let append = move |store: &BlobStore| store.append_partial(&digest, offset, &bytes);
            progress.written = blocking(self.store, append).await.map_err(PiecesError::Store)?;
            if progress.written == offset {
                break;
            }
        }
        Ok(())
    }
}

impl Progress {
    fn new(total: Option<u64>, written: u64) -> Self {
        let pace =
            Pace { window: FETCH_WINDOW_START, chunk: BLOB_CHUNK_BYTES_MAX as u32, setbacks: 0 };
        let (again, early) = (VecDeque::new(), BTreeMap::new());
        Self { total, written, next: written, again, early, pace }
    }

    /// The next range to ask for. While the blob's length is not known, one request alone.
    fn next_range(&mut self, idle: bool) -> Option<(u64, u64)> {
        let chunk = u64::from(self.pace.chunk);
        if let Some((offset, length)) = self.again.pop_front() {
            if length > chunk {
                self.again.push_front((offset + chunk, length - chunk));
            }
            return Some((offset, length.min(chunk)));
        }
        let length = match self.total {
            Some(total) => total.saturating_sub(self.next).min(chunk),
            None if idle => chunk,
            None => 0,
        };
        let offset = self.next;
        self.next += length;
        (length > 0).then_some((offset, length))
    }

    fn accept(
        &mut self,
        offset: u64,
        length: u64,
        total: u64,
        bytes: Bytes,
    ) -> Result<(), PiecesError> {
        let expected = total.saturating_sub(offset).min(length);
        let agrees = self.total.is_none_or(|known| known == total);
        if !agrees || total > BLOB_BYTES_MAX || bytes.len() as u64 != expected || offset > total {
            return Err(PiecesError::Unfit);
        }
        self.total = Some(total);
        self.next = self.next.min(total);
        self.early.insert(offset, bytes);
        self.pace.faster();
        Ok(())
    }

    fn set_back(
        &mut self,
        offset: u64,
        length: u64,
        reason: PiecesError,
    ) -> Result<(), PiecesError> {
        self.pace.slower();
        if self.pace.setbacks > SETBACKS_MAX {
            return Err(reason);
        }
        self.again.push_back((offset, length));
        Ok(())
    }
}

impl Pace {
    fn faster(&mut self) {
        self.setbacks = 0;
        self.window = (self.window + 1).min(FETCH_WINDOW_MAX);
    }

    fn slower(&mut self) {
        self.setbacks += 1;
        self.window = (self.window / 2).max(1);
        self.chunk = (self.chunk / 2).max(FETCH_CHUNK_BYTES_MIN);
    }
}

/// Runs work on the disk where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    store: &Arc<BlobStore>,
    work: impl FnOnce(&BlobStore) -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.expect("work on the store does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(length: u64) -> Bytes {
        vec![0; length as usize].into()
    }

    #[test]
    fn ranges_cover_the_blob_once_whatever_fails_on_the_way() {
        let total = 10 * BLOB_CHUNK_BYTES_MAX as u64 + 17;
        let mut progress = Progress::new(None, 5);
        let mut covered = BTreeMap::new();
        let mut answers = 0;
        while let Some((offset, length)) = progress.next_range(true) {
            answers += 1;
            if answers % 3 == 0 {
                progress.set_back(offset, length, PiecesError::Busy).unwrap();
                continue;
            }
            let length_found = length.min(total - offset);
            progress.accept(offset, length, total, zeros(length_found)).unwrap();
            covered.insert(offset, length_found);
        }
        let mut end = 5;
        for (offset, length) in covered {
            assert_eq!(offset, end);
            end += length;
        }
        assert_eq!(end, total);
    }

    #[test]
    fn an_unknown_length_is_asked_for_alone() {
        let mut progress = Progress::new(None, 0);
        assert!(progress.next_range(true).is_some());
        assert!(progress.next_range(false).is_none());
    }

    #[test]
    fn answers_that_contradict_are_wrong() {
        let chunk = BLOB_CHUNK_BYTES_MAX as u64;
        let check = |known: Option<u64>, total: u64, found: u64| {
            Progress::new(known, 0).accept(0, chunk, total, zeros(found)).is_ok()
        };
        assert!(check(None, 5, 5));
        assert!(check(Some(2 * chunk), 2 * chunk, chunk));
        assert!(!check(Some(6), 5, 5), "another length than expected");
        assert!(!check(None, 5, 4), "short");
        assert!(!check(None, 5, 6), "long");
        assert!(!check(None, BLOB_BYTES_MAX + 1, chunk), "longer than any blob");
        assert!(!check(None, 0, 1), "a byte of nothing");
    }

    #[test]
    fn setbacks_shrink_the_pace_and_are_counted() {
        let mut progress = Progress::new(Some(100 << 20), 0);
        for _ in 0..SETBACKS_MAX {
            progress.set_back(0, 1 << 20, PiecesError::Busy).unwrap();
        }
        assert_eq!((progress.pace.window, progress.pace.chunk), (1, FETCH_CHUNK_BYTES_MIN));
        assert!(progress.set_back(0, 1 << 20, PiecesError::Busy).is_err());
    }
}
