//! A ledger in one file, for an auditor who has no node: genesis, every block with its certificate,
//! and the blobs that the decisions were made from.
//!
//! Layout: the magic `FEDLEX` 01 00, then records of one byte kind, eight bytes length (big-endian)
//! and as many bytes: genesis (1), then for each height a block (2) and its certificate (3), then
//! blobs (4). Nothing in the file is believed: whoever reads it verifies all of it from genesis.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fedledger_ledger::block::{Block, CommitCertificate, BLOCK_HEADER_BYTES_MAX};
use fedledger_ledger::codec::{from_canonical, to_canonical};
use fedledger_ledger::decision::{Decision, OutcomeResult};
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::limits::{BLOB_BYTES_MAX, BLOCK_BYTES_MAX, GENESIS_BYTES_MAX};

use super::{LedgerSource, SourceError};

const MAGIC: [u8; 8] = *b"FEDLEX\x01\x00";
/// Longest certificate in bytes: 128 signatures with their addresses, rounded up.
const CERTIFICATE_BYTES_MAX: u64 = 64 << 10;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Genesis = 1,
    Block = 2,
    Certificate = 3,
    Blob = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Genesis, Self::Block, Self::Certificate, Self::Blob]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    fn bytes_max(self) -> u64 {
        match self {
            Self::Genesis => GENESIS_BYTES_MAX as u64,
            Self::Block => (BLOCK_HEADER_BYTES_MAX + BLOCK_BYTES_MAX) as u64,
            Self::Certificate => CERTIFICATE_BYTES_MAX,
            Self::Blob => BLOB_BYTES_MAX,
        }
    }
}

/// The blobs that recomputing a block's decisions takes.
fn blobs_of(block: &Block) -> Vec<Digest> {
    let mut digests = Vec::new();
    for decision in &block.body.decisions {
        if let Decision::Outcome { result, verdicts, .. } = decision {
            digests.extend(verdicts.iter().filter_map(|verdict| verdict.update));
            if let OutcomeResult::Aggregated { chosen, base_model } = result {
                digests.extend([*base_model, chosen.aggregate, chosen.model]);
            }
        }
    }
    digests
}

/// Writes a ledger to a new file. Returns the number of blocks and of blobs written; blobs that the
/// source does not hold are left out.
///
/// # Errors
/// When the source cannot be read or the file cannot be written.
pub fn export(
    source: &dyn LedgerSource,
    path: &Path,
    mut progress: impl FnMut(Height),
) -> Result<(u64, u64), SourceError> {
    let io = |error: std::io::Error| SourceError::Unavailable {
        reason: format!("{}: {error}", path.display()),
    };
    let mut file = BufWriter::new(File::create_new(path).map_err(io)?);
    file.write_all(&MAGIC).map_err(io)?;
    let mut put = |kind: Kind, bytes: &[u8]| {
        file.write_all(&[kind as u8])?;
        file.write_all(&(bytes.len() as u64).to_be_bytes())?;
        file.write_all(bytes)
    };
    let genesis = source.genesis()?;
    put(Kind::Genesis, &to_canonical(&genesis)).map_err(io)?;
    let tip = source.height()?;
    let mut wanted: Vec<Digest> = genesis.tasks.iter().map(|task| task.initial_model).collect();
    for height in 1..=tip.0 {
        let (block, certificate) = source.block(Height(height))?;
        put(Kind::Block, &block.to_bytes()).map_err(io)?;
        put(Kind::Certificate, &certificate.to_bytes()).map_err(io)?;
        wanted.extend(blobs_of(&block));
        progress(Height(height));
    }
    wanted.sort_unstable();
    wanted.dedup();
    let mut blobs = 0;
    for digest in wanted {
        if let Some(bytes) = source.blob(&digest)? {
            put(Kind::Blob, &bytes).map_err(io)?;
            blobs += 1;
        }
    }
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    Ok((tip.0, blobs))
}

/// An exported ledger.
pub struct ExportFile {
    path: PathBuf,
    file: Mutex<BufReader<File>>,
    genesis: Genesis,
    /// Where blocks and certificates are, by height from 1: offset and length.
    blocks: Vec<[(u64, u64); 2]>,
    blobs: BTreeMap<Digest, (u64, u64)>,
}

impl ExportFile {
    /// Opens a file and finds its records.
    ///
    /// # Errors
    /// When it cannot be read or does not follow the layout; the message has the offset.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let unavailable = |error: std::io::Error| SourceError::Unavailable {
            reason: format!("{}: {error}", path.display()),
        };
        let file = File::open(path).map_err(unavailable)?;
        let length = file.metadata().map_err(unavailable)?.len();
        let mut file = BufReader::new(file);
        let mut magic = [0u8; 8];
        let damaged = |offset: u64, reason: &str| SourceError::Damaged {
            what: format!("{}, byte {offset}", path.display()),
            reason: reason.to_owned(),
        };
        file.read_exact(&mut magic).map_err(|_| damaged(0, "the file ends in its magic"))?;
        if magic != MAGIC {
            return Err(damaged(0, "this is no exported ledger"));
        }
        let mut found = Self {
            path: path.to_owned(),
            file: Mutex::new(BufReader::new(File::open(path).map_err(unavailable)?)),
            genesis: Self::read_genesis(path, &mut file)?,
            blocks: Vec::new(),
            blobs: BTreeMap::new(),
        };
        let mut offset = file.stream_position().map_err(unavailable)?;
        while offset < length {
            let (kind, at, len) = read_head(&mut file, offset)
                .and_then(|(kind, at, len)| {
                    (at.checked_add(len)? <= length).then_some((kind, at, len))
                })
                .ok_or_else(|| damaged(offset, "no record of a known kind and length"))?;
            match (kind, found.blocks.last_mut()) {
                (Kind::Block, _) => found.blocks.push([(at, len), (0, 0)]),
                (Kind::Certificate, Some([_, certificate])) if *certificate == (0, 0) => {
                    *certificate = (at, len);
                }
                (Kind::Blob, _) => {
                    let bytes = found.read(at, len)?;
                    found.blobs.insert(Digest::of(&bytes), (at, len));
                }
                _ => return Err(damaged(offset, "a record out of place")),
            }
            offset = at + len;
            file.seek(SeekFrom::Start(offset)).map_err(unavailable)?;
        }
        if found.blocks.last().is_some_and(|[_, certificate]| *certificate == (0, 0)) {
            return Err(damaged(length, "the last block has no certificate"));
        }
        Ok(found)
    }

    fn read_genesis(path: &Path, file: &mut BufReader<File>) -> Result<Genesis, SourceError> {
        let damaged = |reason: String| SourceError::Damaged {
            what: format!("{}, genesis", path.display()),
            reason,
        };
        let Some((Kind::Genesis, _, len)) = read_head(file, 8) else {
            return Err(damaged("the first record is not genesis".to_owned()));
        };
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
        from_canonical("genesis", &bytes, GENESIS_BYTES_MAX)
            .map_err(|error| damaged(error.to_string()))
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, SourceError> {
        let mut file = self.file.lock().expect("no panic under this lock");
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at))
            .and_then(|_| (&mut *file).take(len).read_to_end(&mut bytes))
            .map_err(|error| SourceError::Unavailable {
                reason: format!("{}: {error}", self.path.display()),
            })?;
        Ok(bytes)
    }

    /// Where a block's bytes are in the file: offset and length.
    pub fn place_of_block(&self, height: Height) -> Option<(u64, u64)> {
        let at = usize::try_from(height.0.checked_sub(1)?).ok()?;
        self.blocks.get(at).map(|[block, _]| *block)
    }
}

/// Reads a record's head at the reader's place: its kind, where its bytes begin, and their number.
fn read_head(file: &mut BufReader<File>, offset: u64) -> Option<(Kind, u64, u64)> {
    let mut head = [0u8; 9];
    file.read_exact(&mut head).ok()?;
    let kind = Kind::of(head[0])?;
    let len = u64::from_be_bytes(head[1..].try_into().expect("eight bytes"));
    (len <= kind.bytes_max()).then_some((kind, offset + 9, len))
}

impl LedgerSource for ExportFile {
    fn genesis(&self) -> Result<Genesis, SourceError> {
        Ok(self.genesis.clone())
    }

    fn height(&self) -> Result<Height, SourceError> {
        Ok(Height(self.blocks.len() as u64))
    }

    fn block(&self, height: Height) -> Result<(Block, CommitCertificate), SourceError> {
        let at = usize::try_from(height.0).ok().and_then(|height| height.checked_sub(1));
        let [block, certificate] = at
            .and_then(|at| self.blocks.get(at))
            .ok_or_else(|| SourceError::Unavailable { reason: "it is not in the file".into() })?;
        let damaged = |what: &str, reason: String| SourceError::Damaged {
            what: format!("{what} {height}"),
            reason,
        };
        let block = Block::from_bytes(&self.read(block.0, block.1)?)
            .map_err(|error| damaged("block", error.to_string()))?;
        let certificate = CommitCertificate::from_bytes(&self.read(certificate.0, certificate.1)?)
            .map_err(|error| damaged("the certificate of block", error.to_string()))?;
        Ok((block, certificate))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, SourceError> {
        self.blobs.get(digest).map(|(at, len)| self.read(*at, *len)).transpose()
    }
}
