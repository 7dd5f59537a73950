//! Blobs: updates and models by their SHA-256, as plain files.
//!
//! `<dir>/ab/cd/abcd…` holds a blob, `<dir>/partial/abcd…` what has arrived of one, `<dir>/tmp` what
//! is being written. A blob's name appears only once all of its bytes are on the disk and have the
//! digest that the name says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ids::Digest;

/// Bytes that are read at once while hashing.
const BUFFER_BYTES: usize = 1 << 20;

/// Why the blob folder refuses.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The file system failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The blob is longer than allowed.
    #[error("blob of {found} bytes, at most {max} are allowed")]
    TooLong {
        /// Length in bytes.
        found: u64,
        /// Longest length allowed in bytes.
        max: u64,
    },
    /// A chunk does not continue what has arrived.
    #[error(
        "blob {digest}: {expected} bytes have arrived, a chunk at {found} does not continue them"
    )]
    Offset {
        /// The blob.
        digest: Digest,
        /// Number of bytes that have arrived.
        expected: u64,
        /// Where the chunk begins.
        found: u64,
    },
    /// The bytes that have arrived are not the blob. They were discarded.
    #[error("the bytes received for blob {expected} have digest {found}; they were discarded")]
    WrongBytes {
        /// The blob.
        expected: Digest,
        /// What the bytes are.
        found: Digest,
    },
    /// A stored blob is not what was stored.
    #[error("blob {expected} is damaged on disk: {} has digest {found}; check the disk, delete the file, and let the node fetch the blob again", path.display())]
    Damaged {
        /// The blob.
        expected: Digest,
        /// What its file holds.
        found: Digest,
        /// Its file.
        path: PathBuf,
    },
}

fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Disk { action, path, source }
}

/// A folder of blobs. It is used by one process at a time, the one that has the ledger open.
#[derive(Debug)]
pub struct BlobStore {
    dir: PathBuf,
    bytes_max: u64,
    next: AtomicU64,
}

impl BlobStore {
    /// Opens the folder, or creates it. Blobs may have up to `bytes_max` bytes. What an earlier
    /// process left half written is removed; what it left half downloaded is kept.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Self, BlobError> {
        let store = Self { dir: dir.to_owned(), bytes_max, next: AtomicU64::new(0) };
        for part in [store.dir.clone(), store.dir.join("partial"), store.dir.join("tmp")] {
            fs::create_dir_all(&part).map_err(disk("create", &part))?;
        }
        let tmp = store.dir.join("tmp");
        for file in fs::read_dir(&tmp).map_err(disk("list", &tmp))? {
            let path = file.map_err(disk("list", &tmp))?.path();
            fs::remove_file(&path).map_err(disk("remove", &path))?;
        }
        sync_dir(&store.dir)?;
        Ok(store)
    }

    /// The file of a blob, whether or not it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(&name[2..4]).join(&name)
    }

    fn partial(&self, digest: &Digest) -> PathBuf {
        self.dir.join("partial").join(digest.to_string())
    }

    fn check_length(&self, found: u64) -> Result<(), BlobError> {
        if found > self.bytes_max {
            return Err(BlobError::TooLong { found, max: self.bytes_max });
        }
        Ok(())
    }

    /// Stores a blob and returns its digest, once it is on the disk.
    ///
    /// # Errors
    /// When it is too long or the file system fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        self.check_length(bytes.len() as u64)?;
        let digest = Digest::of(bytes);
        if self.len(&digest)? == Some(bytes.len() as u64) {
            return Ok(digest);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let tmp = self.dir.join("tmp").join(format!("{digest}.{number}"));
        let mut file = File::create(&tmp).map_err(disk("create", &tmp))?;
        file.write_all(bytes).map_err(disk("write", &tmp))?;
        // Crash before this: a file in `tmp`, which the next opening removes.
        file.sync_all().map_err(disk("sync", &tmp))?;
        self.publish(&tmp, &digest)?;
        Ok(digest)
    }

    /// Moves a synced file to the blob's name.
    fn publish(&self, from: &Path, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest);
        let leaf = path.parent().expect("a blob lies two folders deep");
        let branch = leaf.parent().expect("a blob lies two folders deep");
        for (dir, parent) in [(branch, self.dir.as_path()), (leaf, branch)] {
            match fs::create_dir(dir) {
                Ok(()) => sync_dir(parent)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(disk("create", dir)(error)),
            }
        }
        // Crash before this: the blob is not there yet. The rename itself is atomic.
        fs::rename(from, &path).map_err(disk("rename to", &path))?;
        // Crash before this: after a power cut the name may be missing; nobody was told of it.
        sync_dir(leaf)
    }

    /// Whether the blob is there.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn has(&self, digest: &Digest) -> Result<bool, BlobError> {
        Ok(self.len(digest)?.is_some())
    }

    /// The blob's length in bytes, if it is there.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn len(&self, digest: &Digest) -> Result<Option<u64>, BlobError> {
        file_len(&self.path(digest))
    }

    /// The blob's bytes, if it is there, checked against its digest.
    ///
    /// # Errors
    /// When the file is damaged or the file system fails.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(bytes) = self.get_unverified(digest)? else { return Ok(None) };
        let found = Digest::of(&bytes);
        if found != *digest {
            let path = self.path(digest);
            return Err(BlobError::Damaged { expected: *digest, found, path });
        }
        Ok(Some(bytes))
    }

    /// The blob's bytes, if it is there, as they are on the disk: for callers that hash them anyway.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn get_unverified(&self, digest: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk("read", &path)(error)),
        }
    }

    /// Up to `length` bytes of the blob from `offset` on, if it is there; not checked, since a
    /// receiver checks the whole.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn get_chunk(
        &self,
        digest: &Digest,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk("open", &path)(error)),
        };
        let mut chunk = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(length as u64).read_to_end(&mut chunk))
            .map_err(disk("read", &path))?;
        Ok(Some(chunk))
    }

    /// Erases a blob, and says whether it was there. Its digest stays on the ledger.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn delete(&self, digest: &Digest) -> Result<bool, BlobError> {
        let path = self.path(digest);
        if !remove(&path)? {
            return Ok(false);
        }
        sync_dir(path.parent().expect("a blob lies two folders deep"))?;
        Ok(true)
    }

    /// Number of bytes of a blob that have arrived but are not finished; 0 when there are none.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn partial_len(&self, digest: &Digest) -> Result<u64, BlobError> {
        Ok(file_len(&self.partial(digest))?.unwrap_or(0))
    }

    /// Appends a chunk that begins at `offset` to what has arrived, and returns how much that is
    /// now. It is not synced: after a power cut the download continues from what is left, and
    /// [`BlobStore::finish`] checks the whole.
    ///
    /// # Errors
    /// When the chunk does not continue what has arrived, the blob gets too long, or the file
    /// system fails.
    pub fn append_partial(
        &self,
        digest: &Digest,
        offset: u64,
        chunk: &[u8],
    ) -> Result<u64, BlobError> {
        let expected = self.partial_len(digest)?;
        if offset != expected {
            return Err(BlobError::Offset { digest: *digest, expected, found: offset });
        }
        let length = expected.saturating_add(chunk.len() as u64);
        self.check_length(length)?;
        let path = self.partial(digest);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(chunk)).map_err(disk("write", &path))?;
        Ok(length)
    }

    /// Makes a blob of what has arrived, when it has the digest, and returns once it is on the disk.
    ///
    /// # Errors
    /// When the bytes are not the blob (they are discarded, so that the download can begin again)
    /// or the file system fails.
    pub fn finish(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.partial(digest);
        if file_len(&path)?.is_none() && self.has(digest)? {
            return Ok(());
        }
        let file = OpenOptions::new().create(true).append(true).read(true).open(&path);
        let mut file = file.map_err(disk("open", &path))?;
        file.sync_all().map_err(disk("sync", &path))?;
        file.rewind().map_err(disk("read", &path))?;
        let found = hash_of(&mut file).map_err(disk("read", &path))?;
        if found != *digest {
            self.discard_partial(digest)?;
            return Err(BlobError::WrongBytes { expected: *digest, found });
        }
        // Crash before this: the partial file is whole; finishing again makes the blob of it.
        self.publish(&path, digest)
    }

    /// Throws away what has arrived of a blob.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn discard_partial(&self, digest: &Digest) -> Result<(), BlobError> {
        remove(&self.partial(digest)).map(drop)
    }

    /// Reads the whole blob and says whether it is there and undamaged.
    ///
    /// # Errors
    /// When the file is damaged or the file system fails.
    pub fn verify(&self, digest: &Digest) -> Result<bool, BlobError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(disk("open", &path)(error)),
        };
        let found = hash_of(&mut file).map_err(disk("read", &path))?;
        if found == *digest {
            Ok(true)
        } else {
            Err(BlobError::Damaged { expected: *digest, found, path })
        }
    }
}

fn hash_of(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
    }
}

fn file_len(path: &Path) -> Result<Option<u64>, BlobError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk("look at", path)(error)),
    }
}

fn remove(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(disk("remove", path)(error)),
    }
}

fn sync_dir(dir: &Path) -> Result<(), BlobError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(disk("sync the folder", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(bytes_max: u64) -> (tempfile::TempDir, BlobStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&dir.path().join("blobs"), bytes_max).unwrap();
        (dir, store)
    }

    #[test]
    fn blobs_are_kept_found_and_erased() {
        let (_dir, store) = store(10);
        let digest = store.put(b"0123456789").unwrap();
        assert_eq!(digest, Digest::of(b"0123456789"));
        assert_eq!(store.put(b"0123456789").unwrap(), digest, "twice is once");
        assert_eq!(store.get(&digest).unwrap().unwrap(), b"0123456789");
        assert_eq!(store.get_chunk(&digest, 8, 5).unwrap().unwrap(), b"89");
        assert_eq!(store.len(&digest).unwrap(), Some(10));
        assert!(store.verify(&digest).unwrap());
        assert!(store.delete(&digest).unwrap());
        assert!(!store.delete(&digest).unwrap());
        assert_eq!(store.get(&digest).unwrap(), None);
        assert!(matches!(store.put(&[0; 11]), Err(BlobError::TooLong { found: 11, max: 10 })));
    }

    #[test]
    fn a_download_resumes_and_appears_only_when_it_is_whole() {
        let (dir, store) = store(100);
        let digest = Digest::of(b"hello world");
        assert_eq!(store.append_partial(&digest, 0, b"hello ").unwrap(), 6);
        assert!(matches!(
            store.append_partial(&digest, 5, b"x"),
            Err(BlobError::Offset { expected: 6, found: 5, .. })
        ));
        drop(store);
        let store = BlobStore::open(&dir.path().join("blobs"), 100).unwrap();
        assert_eq!(store.partial_len(&digest).unwrap(), 6);
        store.append_partial(&digest, 6, b"world").unwrap();
        assert!(!store.has(&digest).unwrap());
        store.finish(&digest).unwrap();
        assert_eq!(store.get(&digest).unwrap().unwrap(), b"hello world");
        assert_eq!(store.partial_len(&digest).unwrap(), 0);
    }

    #[test]
    fn wrong_bytes_are_discarded_and_never_become_the_blob() {
        let (_dir, store) = store(100);
        let digest = Digest::of(b"hello world");
        store.append_partial(&digest, 0, b"hello w0rld").unwrap();
        assert!(matches!(store.finish(&digest), Err(BlobError::WrongBytes { .. })));
        assert!(
            matches!(store.finish(&digest), Err(BlobError::WrongBytes { .. })),
            "nothing arrived"
        );
        assert_eq!(store.partial_len(&digest).unwrap(), 0);
        assert!(!store.has(&digest).unwrap());
        assert!(matches!(
            store.append_partial(&digest, 0, &[0; 101]),
            Err(BlobError::TooLong { .. })
        ));
    }

    #[test]
    fn damage_on_disk_is_named_on_reading() {
        let (_dir, store) = store(100);
        let digest = store.put(b"hello world").unwrap();
        fs::write(store.path(&digest), b"hello w0rld").unwrap();
        assert!(matches!(store.get(&digest), Err(BlobError::Damaged { .. })));
        assert!(matches!(store.verify(&digest), Err(BlobError::Damaged { .. })));
        assert_eq!(store.get_unverified(&digest).unwrap().unwrap(), b"hello w0rld");
    }

    #[test]
    fn what_a_crash_left_half_written_is_removed() {
        let (dir, store) = store(100);
        let left = dir.path().join("blobs/tmp/left");
        fs::write(&left, b"half").unwrap();
        drop(store);
        BlobStore::open(&dir.path().join("blobs"), 100).unwrap();
        assert!(!left.exists());
    }
}
