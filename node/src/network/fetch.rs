//! Fetching blobs: several chunks in flight from one holder, the next holder when it fails, the
//! digest checked at the end, and holders of wrong bytes remembered.

mod pieces;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedledger_ledger::ids::{Digest, MemberId};
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::store::{BlobError, BlobStore};
use libp2p::PeerId;
use thiserror::Error;
use tokio::sync::{mpsc, Semaphore};

use self::pieces::{Pieces, PiecesError};
use super::driver::Input;
use super::hub::Hub;
use super::limits::FETCHES_MAX;

/// How often one holder is asked for the same blob in one fetch.
const ATTEMPTS_PER_HOLDER_MAX: u32 = 2;
/// Holders of wrong bytes that are remembered.
const BAD_HOLDERS_MAX: usize = 1_024;

/// Why a blob was not fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The blob is longer than any may be.
    #[error("blob {digest} of {found} bytes is longer than {max}")]
    TooLong {
        /// Which blob.
        digest: Digest,
        /// Most bytes a blob may have.
        max: u64,
        /// Its length in bytes, as expected by the caller.
        found: u64,
    },
    /// No holder served the true bytes.
    #[error("nobody served blob {digest}: {}", list(.tried))]
    NoHolder {
        /// Which blob.
        digest: Digest,
        /// Who was asked and why it did not help, in order.
        tried: Vec<(MemberId, String)>,
    },
    /// The store failed.
    #[error("cannot keep blob {digest}: {source}")]
    Store {
        /// Which blob.
        digest: Digest,
        /// What the store said.
        source: BlobError,
    },
}

fn list(tried: &[(MemberId, String)]) -> String {
    if tried.is_empty() {
        return "no holder is a member".to_owned();
    }
    let lines: Vec<String> = tried.iter().map(|(who, why)| format!("{who}: {why}")).collect();
    lines.join("; ")
}

/// Fetches blobs, a bounded number at a time.
pub(super) struct Fetcher {
    local: PeerId,
    driver: mpsc::UnboundedSender<Input>,
    hub: Arc<Hub>,
    store: Arc<BlobStore>,
    slots: Semaphore,
    /// One lock per blob that is being fetched, so that two callers do not write one file.
    locks: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    bad: Mutex<BTreeSet<(Digest, PeerId)>>,
}

/// A holder that may still help.
struct Holder {
    member: MemberId,
    peer: PeerId,
    attempts: u32,
}

impl Fetcher {
    pub(super) fn new(
        local: PeerId,
        driver: mpsc::UnboundedSender<Input>,
        hub: Arc<Hub>,
        store: Arc<BlobStore>,
    ) -> Self {
        let slots = Semaphore::new(FETCHES_MAX);
        Self { local, driver, hub, store, slots, locks: Mutex::default(), bad: Mutex::default() }
    }

    /// See [`super::Network::fetch_blob`].
    pub(super) async fn fetch(
        &self,
        digest: Digest,
        length: Option<u64>,
        holders: &[MemberId],
    ) -> Result<(), FetchError> {
        if let Some(found) = length.filter(|length| *length > BLOB_BYTES_MAX) {
            return Err(FetchError::TooLong { digest, max: BLOB_BYTES_MAX, found });
        }
        let lock = lock(&self.locks).entry(digest).or_default().clone();
        let outcome = {
            let _alone = lock.lock().await;
            let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
            self.fetch_alone(digest, length, holders).await
        };
        drop(lock);
        self::lock(&self.locks).retain(|_, lock| Arc::strong_count(lock) > 1);
        outcome
    }

    async fn fetch_alone(
        &self,
        digest: Digest,
        length: Option<u64>,
        holders: &[MemberId],
    ) -> Result<(), FetchError> {
        let failed = |source| FetchError::Store { digest, source };
        if self.store(move |store| store.has(&digest)).await.map_err(failed)? {
            return Ok(());
        }
        let mut tried = Vec::new();
        let mut queue = self.candidates(&digest, holders, &mut tried);
        let partial = move |store: &BlobStore| store.partial_len(&digest);
        let discard = move |store: &BlobStore| store.discard_partial(&digest);
        // Who contributed to the partial file; one found at the start is of unknown origin.
        let mut sources: BTreeSet<Option<PeerId>> = BTreeSet::new();
        let mut unfit = false;
        match self.store(partial).await.map_err(failed)? {
            0 => {}
            found if length.is_some_and(|length| found > length) => {
                self.store(discard).await.map_err(failed)?;
            }
            _ => drop(sources.insert(None)),
        }
        while let Some(mut holder) = queue.pop_front() {
            holder.attempts += 1;
            let (peer, others) = (holder.peer, !queue.is_empty());
            let (driver, store) = (&self.driver, &self.store);
            let pieces = Pieces { digest, length, peer, driver, store, others };
            let attempt = self.attempt(pieces, &mut sources).await;
            let reason = match attempt {
                Ok(()) => return Ok(()),
                Err(PiecesError::Store(error)) => return Err(failed(error)),
                Err(reason) => reason,
            };
            tracing::debug!(%digest, member = %holder.member, %reason, "a fetch failed");
            tried.push((holder.member.clone(), reason.to_string()));
            unfit |= matches!(reason, PiecesError::Unfit);
            let wrong = matches!(reason, PiecesError::Wrong);
            if wrong {
                // The store has discarded the bytes. Several may have contributed: each is asked
                // again, alone, before it is blamed.
                let alone = sources.iter().all(|source| *source == Some(holder.peer));
                sources.clear();
                if alone {
                    self.remember_bad(digest, holder.peer);
                    continue;
                }
            }
            if (wrong || reason.may_pass()) && holder.attempts < ATTEMPTS_PER_HOLDER_MAX {
                queue.push_back(holder);
            }
        }
        if unfit {
            // Perhaps it is what was kept that does not fit.
            self.store(discard).await.map_err(failed)?;
        }
        Err(FetchError::NoHolder { digest, tried })
    }

    /// Fetches what is missing from one holder, notes whether it contributed, and checks the whole.
    async fn attempt(
        &self,
        pieces: Pieces<'_>,
        sources: &mut BTreeSet<Option<PeerId>>,
    ) -> Result<(), PiecesError> {
        let (digest, peer) = (pieces.digest, pieces.peer);
        let partial = move |store: &BlobStore| store.partial_len(&digest);
        let before = self.store(partial).await.map_err(PiecesError::Store)?;
        let outcome = pieces.fetch().await;
        if self.store(partial).await.map_err(PiecesError::Store)? > before {
            sources.insert(Some(peer));
        }
        outcome?;
        self.store(move |store| store.finish(&digest)).await.map_err(|error| match error {
            BlobError::WrongBytes { .. } => PiecesError::Wrong,
            error => PiecesError::Store(error),
        })
    }

    /// The holders that are members and not known to lie, each once, those connected first,
    /// beginning at a place of our own so that members do not all ask the same holder.
    fn candidates(
        &self,
        digest: &Digest,
        holders: &[MemberId],
        tried: &mut Vec<(MemberId, String)>,
    ) -> VecDeque<Holder> {
        let members = self.hub.members();
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::new();
        for member in holders {
            let Some(peer) = members.peer(member).filter(|peer| seen.insert(*peer)) else {
                continue;
            };
            if lock(&self.bad).contains(&(*digest, peer)) {
                tried.push((member.clone(), "served wrong bytes before".to_owned()));
                continue;
            }
            queue.push_back(Holder { member: member.clone(), peer, attempts: 0 });
        }
        if !queue.is_empty() {
            let own = Digest::of(&[&self.local.to_bytes()[..], &digest.0].concat());
            let start = u64::from_be_bytes(*own.0.first_chunk().expect("32 bytes hold eight"));
            queue.rotate_left((start % queue.len() as u64) as usize);
        }
        queue.make_contiguous().sort_by_key(|holder| !self.hub.is_linked(&holder.peer));
        queue
    }

    fn remember_bad(&self, digest: Digest, peer: PeerId) {
        tracing::warn!(%digest, %peer, "a member served wrong bytes under a blob's digest");
        let mut bad = lock(&self.bad);
        if bad.len() >= BAD_HOLDERS_MAX {
            bad.clear();
        }
        bad.insert((digest, peer));
    }

    async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BlobStore) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        pieces::blocking(&self.store, work).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
