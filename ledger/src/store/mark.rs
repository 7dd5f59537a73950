//! The high-water mark: a small file beside the database that says how far it had come.
//!
//! sled drops what it cannot read at the end of its log, and a bent byte in the middle can look
//! like the end: it then comes up with an older ledger, or an empty one, and says nothing. The mark
//! is written after each synced batch, so a mark above the tip means that acknowledged blocks are
//! gone. It is not synced itself after genesis: behind the tip is harmless.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::db::sync_dir;
use super::error::{disk, Damage, StoreError};
use crate::ids::Height;

const NAME: &str = "high-water-mark";

/// The mark of one store.
pub(super) struct Mark {
    dir: PathBuf,
    file: Option<File>,
}

impl Mark {
    /// Opens the mark and reads it; nothing when there is none yet.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<Height>), StoreError> {
        let path = dir.join(NAME);
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self { dir: dir.to_owned(), file: None }, None));
            }
            Err(error) => return Err(disk("open", &path)(error)),
        };
        let mut text = String::new();
        let read = file.read_to_string(&mut text);
        let number = text.strip_suffix('\n').filter(|digits| digits.len() == 20);
        match (read, number.and_then(|digits| digits.parse().ok())) {
            (Ok(_), Some(number)) => {
                Ok((Self { dir: dir.to_owned(), file: Some(file) }, Some(Height(number))))
            }
            (Err(error), _) if error.kind() != io::ErrorKind::InvalidData => {
                Err(disk("read", &path)(error))
            }
            _ => Err(StoreError::Damaged {
                dir: dir.to_owned(),
                damage: Damage::Unreadable {
                    record: format!("the file `{NAME}`"),
                    reason: "it must hold a height in 20 digits".to_owned(),
                },
            }),
        }
    }

    /// Moves the mark. The first time, the file is made and synced.
    pub(super) fn set(&mut self, height: Height) -> Result<(), StoreError> {
        let path = self.dir.join(NAME);
        let text = format!("{height:020}\n");
        if let Some(file) = &mut self.file {
            return file
                .seek(SeekFrom::Start(0))
                .and_then(|_| file.write_all(text.as_bytes()))
                .map_err(disk("write", &path));
        }
        let made = File::create(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            Ok(file)
        });
        self.file = Some(made.map_err(disk("write", &path))?);
        sync_dir(&self.dir)
    }
}
