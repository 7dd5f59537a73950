//! Records in sled: checksummed, chunked, written in one atomic batch and synced.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};

use super::error::{disk, Damage, StoreError};

/// Bytes of a value that go into one sled item. sled keeps up to some 17 items in one node and
/// writes a node above 128 KiB to a file of its own that it never syncs; 17 × 4 KiB stay far below.
const CHUNK_BYTES_MAX: usize = 4_096;
/// A record begins with its number of further chunks and the checksum.
const RECORD_HEAD_BYTES: usize = 4 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 8;
/// First byte of the keys of further chunks.
const CHUNK_PREFIX: u8 = b'k';

/// A key with its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// The changes of one atomic write.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<Vec<u8>, (bool, Option<Vec<u8>>)>);

impl Changes {
    /// Writes a record under a key that has none yet.
    pub(super) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, (false, Some(value)));
    }

    /// Writes or replaces a record.
    pub(super) fn replace(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, (true, Some(value)));
    }

    /// Removes a record if it exists.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.0.insert(key, (true, None));
    }
}

/// An open database.
pub(super) struct Db {
    sled: sled::Db,
    /// A second descriptor of sled's data file: sled 0.34 calls `sync_file_range`, which does not
    /// reach the disk's cache, so we call `fdatasync` on the same inode ourselves.
    data: File,
    dir: PathBuf,
    failed: AtomicBool,
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = Sha256::new().chain_update((key.len() as u64).to_be_bytes()).chain_update(key);
    let hash = hash.chain_update(value).finalize();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash[..CHECKSUM_BYTES]);
    sum
}

fn chunk_key(key: &[u8], index: u32) -> Vec<u8> {
    [&[CHUNK_PREFIX], key, &index.to_be_bytes()].concat()
}

/// A key as it is shown in messages: its kind, then the rest escaped.
fn shown(key: &[u8]) -> String {
    format!("record `{}`", key.escape_ascii())
}

/// How often and after what pause a locked folder is tried again: two seconds in all.
const LOCK_TRIES: usize = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

impl Db {
    /// Opens or creates the database in `dir`.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(disk("create", dir))?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(64 << 20)
            // We flush ourselves, once for each block, before anything is acknowledged.
            .flush_every_ms(None);
        // sled asserts on some kinds of damage where it should return an error.
        let open = || catch_unwind(AssertUnwindSafe(|| config.open()));
        let mut opened = open();
        // A store that was just dropped gives up its lock from a thread of sled's own, a moment
        // later and without telling; a store that is in use keeps it.
        for _ in 0..LOCK_TRIES {
            match &opened {
                Ok(Err(error)) if is_locked(dir, error) => {
                    std::thread::sleep(LOCK_PAUSE);
                    opened = open();
                }
                _ => break,
            }
        }
        let sled = match opened {
            Ok(Ok(sled)) => sled,
            Ok(Err(error)) => return Err(open_error(dir, &error)),
            Err(_) => {
                let damage = Damage::Engine { reason: "it failed an assertion of its own".into() };
                return Err(StoreError::Damaged { dir: dir.to_owned(), damage });
            }
        };
        let data_path = dir.join("db");
        let data = File::open(&data_path).map_err(disk("open", &data_path))?;
        // The names of the files must survive a crash too: sync the folder and its parent once.
        sync_dir(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        Ok(Self { sled, data, dir: dir.to_owned(), failed: AtomicBool::new(false) })
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// An error that says what is wrong on this disk.
    pub(super) fn damaged(&self, damage: Damage) -> StoreError {
        StoreError::Damaged { dir: self.dir.clone(), damage }
    }

    fn engine(&self, action: &'static str) -> impl FnOnce(sled::Error) -> StoreError + '_ {
        move |error| match error {
            sled::Error::Corruption { .. } => {
                self.damaged(Damage::Engine { reason: error.to_string() })
            }
            error => {
                StoreError::Engine { dir: self.dir.clone(), action, reason: error.to_string() }
            }
        }
    }

    /// Whether nothing was ever written.
    pub(super) fn is_empty(&self) -> bool {
        self.sled.is_empty()
    }

    /// The value under a key, checked against its checksum.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(head) = self.sled.get(key).map_err(self.engine("read"))? else { return Ok(None) };
        self.assemble(key, &head).map(Some)
    }

    fn assemble(&self, key: &[u8], head: &[u8]) -> Result<Vec<u8>, StoreError> {
        let unreadable = |reason: &str| {
            self.damaged(Damage::Unreadable { record: shown(key), reason: reason.to_owned() })
        };
        let chunks = chunk_count(head).ok_or_else(|| unreadable("too short"))?;
        let mut value = head[RECORD_HEAD_BYTES..].to_vec();
        for index in 0..chunks {
            let chunk = self.sled.get(chunk_key(key, index)).map_err(self.engine("read"))?;
            value.extend_from_slice(&chunk.ok_or_else(|| unreadable("a part is missing"))?);
        }
        if head[4..RECORD_HEAD_BYTES] != checksum(key, &value) {
            return Err(unreadable("its checksum does not match"));
        }
        Ok(value)
    }

    /// All records whose keys begin with `prefix`, in key order.
    pub(super) fn scan<'a>(
        &'a self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<Pair, StoreError>> + 'a {
        self.sled.scan_prefix(prefix).map(move |item| {
            let (key, head) = item.map_err(self.engine("read"))?;
            let value = self.assemble(&key, &head)?;
            Ok((key.to_vec(), value))
        })
    }

    /// The record with the greatest key from `start` to `end`, both included.
    pub(super) fn last_in(&self, start: &[u8], end: &[u8]) -> Result<Option<Pair>, StoreError> {
        let Some(item) = self.sled.range(start..=end).next_back() else { return Ok(None) };
        let (key, head) = item.map_err(self.engine("read"))?;
        let value = self.assemble(&key, &head)?;
        Ok(Some((key.to_vec(), value)))
    }

    /// Writes all changes or none, and returns when they are on the disk.
    pub(super) fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(StoreError::Failed { dir: self.dir.clone() });
        }
        let batch = self.batch(changes)?;
        let written = self.write(batch);
        if written.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        written
    }

    fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        // Crash before or in this call: recovery drops the unfinished batch, the tip is the old one.
        self.sled.apply_batch(batch).map_err(self.engine("write"))?;
        // Crash here: the batch may or may not be in the page cache's hands; recovery finds all of
        // it or nothing. Nobody was told of it yet.
        self.sled.flush().map_err(self.engine("flush"))?;
        // Crash here: a killed process loses nothing; a power cut may lose the batch, whole.
        self.data.sync_data().map_err(disk("sync", &self.dir.join("db")))
        // From here on the batch is on the disk.
    }

    fn batch(&self, changes: Changes) -> Result<sled::Batch, StoreError> {
        let mut batch = sled::Batch::default();
        for (key, (replaces, value)) in changes.0 {
            let chunks = value.as_ref().map_or(0, |value| chunks_of(value.len()));
            if replaces {
                let old = self.sled.get(&key).map_err(self.engine("read"))?;
                let old_chunks = old.and_then(|head| chunk_count(&head)).unwrap_or(0);
                (chunks..old_chunks).for_each(|index| batch.remove(chunk_key(&key, index)));
            }
            let Some(value) = value else {
                batch.remove(key);
                continue;
            };
            let mut parts = value.chunks(CHUNK_BYTES_MAX);
            let sum = checksum(&key, &value);
            let first = parts.next().unwrap_or_default();
            let head = [&chunks.to_be_bytes()[..], &sum, first].concat();
            for (index, part) in (0u32..).zip(parts) {
                batch.insert(chunk_key(&key, index), part);
            }
            batch.insert(key, head);
        }
        Ok(batch)
    }
}

/// Number of chunks after the first for a value of this length.
fn chunks_of(length: usize) -> u32 {
    let chunks = length.div_ceil(CHUNK_BYTES_MAX).saturating_sub(1);
    u32::try_from(chunks).expect("no value has 2^32 chunks")
}

fn chunk_count(head: &[u8]) -> Option<u32> {
    let count = head.get(..4)?.try_into().ok().map(u32::from_be_bytes)?;
    (head.len() >= RECORD_HEAD_BYTES).then_some(count)
}

fn open_error(dir: &Path, error: &sled::Error) -> StoreError {
    let reason = error.to_string();
    let dir = dir.to_owned();
    match error {
        sled::Error::Io(io)
            if reason.contains("could not acquire lock")
                || io.kind() == io::ErrorKind::WouldBlock =>
        {
            StoreError::Locked { dir }
        }
        sled::Error::Io(io) if io.kind() == io::ErrorKind::PermissionDenied => StoreError::Disk {
            action: "open",
            path: dir,
            source: io::Error::new(io.kind(), reason),
        },
        _ => StoreError::Damaged { dir, damage: Damage::Engine { reason } },
    }
}

fn is_locked(dir: &Path, error: &sled::Error) -> bool {
    matches!(open_error(dir, error), StoreError::Locked { .. })
}

/// Syncs a folder, so that the names in it survive a crash.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(disk("sync the folder", dir))
}
