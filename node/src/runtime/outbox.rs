//! What this node has signed and the ledger does not hold yet, durable before anybody hears of it.
//!
//! A node that forgot after a crash what it had signed would sign something else under the same
//! nonce or, worse, a second commitment for the same round: that is equivocation, and the ledger
//! punishes it. So a transaction is on the disk, synced, before it is gossiped.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fedledger_ledger::ids::Nonce;
use fedledger_ledger::transaction::Transaction;
use thiserror::Error;

/// Why the outbox could not be read or written.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The operating system refused.
    #[error("outbox file {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not a transaction that this node wrote.
    #[error(
        "outbox file {path} is damaged ({reason}); move it away to start without it, after making \
         sure that no update was committed with it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A folder with one file for each signed transaction, named by its nonce.
#[derive(Debug)]
pub struct Outbox {
    dir: PathBuf,
}

impl Outbox {
    /// Opens the folder, making it if it is not there, and reads what waits in it, by nonce.
    ///
    /// # Errors
    /// When the folder cannot be read or a file in it is damaged.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Transaction>), OutboxError> {
        let io = |source| OutboxError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(io)?;
        let mut waiting = Vec::new();
        for entry in fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_none_or(|extension| extension != "tx") {
                // A temporary file of a write that a crash cut short: nothing was said about it.
                fs::remove_file(&path).map_err(|source| OutboxError::Io { path, source })?;
                continue;
            }
            let bytes =
                fs::read(&path).map_err(|source| OutboxError::Io { path: path.clone(), source })?;
            let transaction = Transaction::from_bytes(&bytes)
                .map_err(|error| OutboxError::Damaged { path, reason: error.to_string() })?;
            waiting.push(transaction);
        }
        waiting.sort_by_key(|transaction| transaction.body.nonce);
        Ok((Self { dir: dir.to_owned() }, waiting))
    }

    fn path(&self, nonce: Nonce) -> PathBuf {
        self.dir.join(format!("{:020}.tx", nonce.0))
    }

    /// Makes a transaction durable.
    ///
    /// # Errors
    /// When it cannot be written; then nothing may be said about it.
    pub fn put(&self, transaction: &Transaction) -> Result<(), OutboxError> {
        let path = self.path(transaction.body.nonce);
        let temporary = path.with_extension("tmp");
        let io = |source| OutboxError::Io { path: temporary.clone(), source };
        let mut file = File::create(&temporary).map_err(io)?;
        file.write_all(&transaction.to_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&temporary, &path).map_err(io)?;
        // The name, too, has to survive a loss of power.
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io)
    }

    /// Forgets what the ledger holds: all up to `used`.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn prune(&self, used: Nonce) -> Result<(), OutboxError> {
        let io = |source| OutboxError::Io { path: self.dir.clone(), source };
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let nonce = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if nonce.is_some_and(|nonce| nonce <= used.0) {
                fs::remove_file(&path)
                    .map_err(|source| OutboxError::Io { path: path.clone(), source })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use fedledger_ledger::ids::{ChainId, Digest, MemberId};
    use fedledger_ledger::transaction::{Action, TransactionBody};

    use super::*;

    fn transaction(nonce: u64) -> Transaction {
        let body = TransactionBody {
            chain_id: ChainId::new("test").unwrap(),
            member: MemberId::new("a").unwrap(),
            nonce: Nonce(nonce),
            action: Action::Approve { change: Digest::of(b"c") },
        };
        Transaction::sign(body, &SigningKey::from_bytes(&[1; 32]))
    }

    #[test]
    fn what_was_put_is_there_again_until_the_ledger_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (outbox, waiting) = Outbox::open(dir.path()).unwrap();
        assert!(waiting.is_empty());
        for nonce in [3, 1, 2] {
            outbox.put(&transaction(nonce)).unwrap();
        }
        fs::write(dir.path().join("00000000000000000004.tmp"), b"half").unwrap();
        let (outbox, waiting) = Outbox::open(dir.path()).unwrap();
        assert_eq!(waiting, [transaction(1), transaction(2), transaction(3)]);
        outbox.prune(Nonce(2)).unwrap();
        assert_eq!(Outbox::open(dir.path()).unwrap().1, [transaction(3)]);
    }

    #[test]
    fn a_damaged_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(dir.path()).unwrap();
        outbox.put(&transaction(1)).unwrap();
        let path = dir.path().join("00000000000000000001.tx");
        let mut bytes = fs::read(&path).unwrap();
        bytes.pop();
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Outbox::open(dir.path()), Err(OutboxError::Damaged { .. })));
    }
}
