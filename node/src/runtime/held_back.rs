//! Updates that this node has committed to and must not show yet: until the commit phase of their
//! round is over, nobody may see anybody's update. The list survives a restart.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fedledger_ledger::ids::Digest;

/// The digests that are held back, each an empty file in a folder.
#[derive(Debug)]
pub struct HeldBack {
    dir: PathBuf,
    digests: Mutex<BTreeSet<Digest>>,
}

impl HeldBack {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be read or made.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut digests = BTreeSet::new();
        for entry in fs::read_dir(dir)? {
            if let Some(digest) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                digests.insert(digest);
            }
        }
        Ok(Self { dir: dir.to_owned(), digests: Mutex::new(digests) })
    }

    fn set(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.digests.lock().expect("no thread panics while it holds this lock")
    }

    /// Holds a digest back, durably. Call it before the blob is stored.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn add(&self, digest: Digest) -> std::io::Result<()> {
        File::create(self.dir.join(digest.to_string()))?.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        self.set().insert(digest);
        Ok(())
    }

    /// Publishes a digest.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn release(&self, digest: &Digest) -> std::io::Result<()> {
        if self.set().remove(digest) {
            match fs::remove_file(self.dir.join(digest.to_string())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a digest is held back.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.set().contains(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_stays_so_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"update");
        HeldBack::open(dir.path()).unwrap().add(digest).unwrap();
        let held = HeldBack::open(dir.path()).unwrap();
        assert!(held.contains(&digest));
        held.release(&digest).unwrap();
        assert!(!held.contains(&digest));
        assert!(!HeldBack::open(dir.path()).unwrap().contains(&digest));
    }
}
