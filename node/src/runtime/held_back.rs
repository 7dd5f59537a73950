//! Updates that this node has committed to and must not show yet: until the commit phase of their
//! round is over, nobody may see anybody's update, nor its digest. With each is kept what opens its
//! commitment; all of it survives a restart, for a commitment that nobody can open is lost.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use rand::RngCore as _;
use thiserror::Error;

/// Why the openings could not be read or written.
#[derive(Debug, Error)]
pub enum HeldBackError {
    /// The operating system refused.
    #[error("opening of a commitment, {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not an opening that this node wrote.
    #[error(
        "opening of a commitment, {path}: damaged ({reason}); move it away to start without it: an \
         update that was committed with it can then not be revealed"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system gives no random bytes.
    #[error("no random salt for a commitment: {source}")]
    Random {
        /// What the operating system said.
        source: rand::Error,
    },
}

/// One opening with whether its update may be shown. That follows from the ledger, so it is not
/// kept on the disk: after a restart everything is held back until the ledger was looked at.
#[derive(Debug)]
struct Held {
    opening: UpdateOpening,
    released: bool,
}

/// A folder with one file for each opening, named by its commitment.
#[derive(Debug)]
pub struct HeldBack {
    dir: PathBuf,
    held: Mutex<BTreeMap<Digest, Held>>,
}

impl HeldBack {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be read or made, or a file in it is damaged.
    pub fn open(dir: &Path) -> Result<Self, HeldBackError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| HeldBackError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        let mut held = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(io(dir))? {
            let path = entry.map_err(io(dir))?.path();
            if path.extension().is_none_or(|extension| extension != "opening") {
                // A temporary file of a write that a crash cut short: nothing was signed for it.
                fs::remove_file(&path).map_err(io(&path))?;
                continue;
            }
            let bytes = fs::read(&path).map_err(io(&path))?;
            let opening = UpdateOpening::from_bytes(&bytes).map_err(|error| {
                HeldBackError::Damaged { path: path.clone(), reason: error.to_string() }
            })?;
            if path != file_of(dir, &opening.commitment()) {
                let reason = "its name is not that of its content".to_owned();
                return Err(HeldBackError::Damaged { path, reason });
            }
            held.insert(opening.commitment(), Held { opening, released: false });
        }
        Ok(Self { dir: dir.to_owned(), held: Mutex::new(held) })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Held>> {
        self.held.lock().expect("no thread panics while it holds this lock")
    }

    /// Holds an update back, durably, under a new salt, and returns the commitment to sign. `of` is
    /// the opening but for its salt. When the same update is held for the same round already, its
    /// commitment is returned again. Call it before the blob is stored.
    ///
    /// # Errors
    /// When there is no randomness, or the opening cannot be made durable.
    pub fn add(&self, of: &UpdateOpening) -> Result<Digest, HeldBackError> {
        let mut held = self.held();
        let same = |one: &&UpdateOpening| **one == UpdateOpening { salt: one.salt, ..of.clone() };
        if let Some(present) = held.values().map(|one| &one.opening).find(same) {
            return Ok(present.commitment());
        }
        let mut salt = Salt([0; 32]);
        rand::rngs::OsRng
            .try_fill_bytes(&mut salt.0)
            .map_err(|source| HeldBackError::Random { source })?;
        let opening = UpdateOpening { salt, ..of.clone() };
        let commitment = opening.commitment();
        self.write(&commitment, &opening.to_bytes())?;
        held.insert(commitment, Held { opening, released: false });
        Ok(commitment)
    }

    fn write(&self, commitment: &Digest, bytes: &[u8]) -> Result<(), HeldBackError> {
        let path = file_of(&self.dir, commitment);
        let temporary = path.with_extension("tmp");
        let io = |source| HeldBackError::Io { path: temporary.clone(), source };
        let mut file = File::create(&temporary).map_err(io)?;
        file.write_all(bytes).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&temporary, &path).map_err(io)?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io)
    }

    /// What opens a commitment of this node's member, if this node made it.
    pub fn opening(&self, commitment: &Digest) -> Option<UpdateOpening> {
        self.held().get(commitment).map(|held| held.opening.clone())
    }

    /// Lets updates be shown, by their openings: those for which `may` says so.
    pub fn release(&self, may: impl Fn(&TaskId, RoundNumber) -> bool) {
        for held in self.held().values_mut() {
            held.released |= may(&held.opening.task, held.opening.round);
        }
    }

    /// Forgets the openings whose round is `over`: nothing can be revealed in it any more.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn prune(&self, over: impl Fn(&TaskId, RoundNumber) -> bool) -> Result<(), HeldBackError> {
        let mut held = self.held();
        let gone: Vec<Digest> = held
            .iter()
            .filter(|(_, held)| over(&held.opening.task, held.opening.round))
            .map(|(commitment, _)| *commitment)
            .collect();
        for commitment in gone {
            let path = file_of(&self.dir, &commitment);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(HeldBackError::Io { path, source });
                }
                _ => {}
            }
            held.remove(&commitment);
        }
        Ok(())
    }

    /// Whether an update is held back.
    pub fn contains(&self, update: &Digest) -> bool {
        self.held().values().any(|held| !held.released && held.opening.update == *update)
    }
}

fn file_of(dir: &Path, commitment: &Digest) -> PathBuf {
    dir.join(format!("{commitment}.opening"))
}

#[cfg(test)]
mod tests {
    use fedledger_ledger::ids::{ChainId, MemberId};

    use super::*;

    fn opening(round: u64, update: &[u8]) -> UpdateOpening {
        UpdateOpening {
            chain_id: ChainId::new("test").unwrap(),
            task: TaskId::new("t").unwrap(),
            round: RoundNumber(round),
            member: MemberId::new("a").unwrap(),
            update: Digest::of(update),
            salt: Salt([0; 32]),
        }
    }

    #[test]
    fn what_is_held_back_stays_so_over_a_restart_and_can_still_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let made = opening(1, b"update");
        let commitment = HeldBack::open(dir.path()).unwrap().add(&made).unwrap();
        fs::write(dir.path().join("half.tmp"), b"half").unwrap();
        let held = HeldBack::open(dir.path()).unwrap();
        assert!(held.contains(&made.update));
        let opened = held.opening(&commitment).unwrap();
        assert_eq!(opened.commitment(), commitment);
        assert_ne!(opened.salt, made.salt, "the salt is random");
        assert_eq!(UpdateOpening { salt: made.salt, ..opened }, made);
        held.release(|_, round| round == RoundNumber(2));
        assert!(held.contains(&made.update), "another round is none of its business");
        held.release(|_, round| round == RoundNumber(1));
        assert!(!held.contains(&made.update));
        assert!(held.opening(&commitment).is_some(), "shown, and still to be opened");
        held.prune(|_, round| round <= RoundNumber(1)).unwrap();
        assert_eq!(held.opening(&commitment), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_same_update_again_is_the_same_commitment_and_another_round_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let held = HeldBack::open(dir.path()).unwrap();
        let first = held.add(&opening(1, b"update")).unwrap();
        assert_eq!(held.add(&opening(1, b"update")).unwrap(), first);
        assert_ne!(held.add(&opening(1, b"other")).unwrap(), first);
        assert_ne!(held.add(&opening(2, b"update")).unwrap(), first);
        // Shown in round 1, and in round 2 to be held back again.
        held.release(|_, round| round == RoundNumber(1));
        assert!(held.contains(&Digest::of(b"update")));
    }

    #[test]
    fn a_damaged_or_renamed_opening_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let commitment = HeldBack::open(dir.path()).unwrap().add(&opening(1, b"update")).unwrap();
        let path = file_of(dir.path(), &commitment);
        let bytes = fs::read(&path).unwrap();
        let other = file_of(dir.path(), &Digest::of(b"another"));
        fs::write(&other, &bytes).unwrap();
        assert!(matches!(HeldBack::open(dir.path()), Err(HeldBackError::Damaged { .. })));
        fs::remove_file(other).unwrap();
        fs::write(&path, &bytes[1..]).unwrap();
        let error = HeldBack::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&commitment.to_string()), "{error}");
    }
}
