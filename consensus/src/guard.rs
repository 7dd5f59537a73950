//! The double-sign guard: a validator never signs two different messages for one step.
//!
//! A small file holds what this validator last let out: the height and, for that height, every
//! (consensus round, step) with the block it named. It is replaced and synced before a signature
//! leaves the process. The engine's write-ahead log has the same purpose but is reset whenever the
//! engine starts at another height than the log's, which is what happens when a store lost its tail
//! or came from a backup; this file only ever moves forward.
//!
//! Two steps, because of where a crash can fall. [`Guard::admit`] decides in memory, before a
//! signature exists. [`Guard::seal`] makes the decision durable, before the signature leaves. In
//! between the engine writes its log. So after a crash the file never names a vote that the log does
//! not also hold, and the engine, replaying its log, does not meet a refusal for a vote that nobody
//! has seen.
//!
//! What is guaranteed: with this file intact, no two conflicting signatures leave, whatever happens
//! to the store and the log. What is not: a file restored from a backup together with the store
//! knows nothing of what was signed since. [`crate::rejoin`] is the answer to that.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fedledger_ledger::codec::{from_canonical, to_canonical};
use fedledger_ledger::ids::{Digest, Height};
use minicbor::{Decode, Encode};
use thiserror::Error;

/// Consensus rounds of one height that the file remembers. Older ones are refused outright.
const ROUNDS_KEPT: u32 = 32;
/// Longest guard file: three records a round.
const FILE_BYTES_MAX: usize = 64 << 10;

/// What is signed in a consensus round, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Step {
    /// The proposer's proposal.
    #[n(0)]
    Proposal,
    /// The first vote.
    #[n(1)]
    Prevote,
    /// The second vote.
    #[n(2)]
    Precommit,
}

/// A message that this validator signs, as far as the guard needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// The height.
    pub height: Height,
    /// The consensus round.
    pub round: u32,
    /// The step.
    pub step: Step,
    /// The block, or nil.
    pub block: Option<Digest>,
    /// SHA-256 of the bytes to be signed: two messages are the same when these are.
    pub message: Digest,
}

/// Why the guard does not let a message be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Something was signed for a later height or round.
    #[error(
        "height {height} round {round} is before what was last signed, height {last_height} round \
         {last_round}"
    )]
    Lower {
        /// Height asked for.
        height: Height,
        /// Round asked for.
        round: u32,
        /// Height last signed.
        last_height: Height,
        /// Highest round signed in that height.
        last_round: u32,
    },
    /// Another message was signed for the same step.
    #[error("height {height} round {round}: another {step:?} was signed already")]
    Conflict {
        /// Height asked for.
        height: Height,
        /// Round asked for.
        round: u32,
        /// Step asked for.
        step: Step,
    },
}

/// Why the guard's file cannot be used. The node must not sign, so it does not start.
#[derive(Debug, Error)]
pub enum GuardError {
    /// Reading or writing failed.
    #[error("the double-sign guard {path} cannot be read or written: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what this program wrote.
    #[error(
        "the double-sign guard {path} is damaged ({reason}): without it this validator could vote \
         twice. Restore it, or stop signing with this key",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// One record of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Record {
    #[n(0)]
    round: u32,
    #[n(1)]
    step: Step,
    #[n(2)]
    block: Option<Digest>,
    #[n(3)]
    message: Digest,
}

/// What the file holds: a version, the content, and its SHA-256, so that any damage is seen.
#[derive(Debug, Encode, Decode)]
struct Sealed {
    #[n(0)]
    version: u8,
    #[n(1)]
    content: Content,
    #[n(2)]
    checksum: Digest,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
struct Content {
    #[n(0)]
    height: Height,
    #[n(1)]
    records: Vec<Record>,
}

/// Messages of one height.
#[derive(Debug, Clone, Default)]
struct Signed {
    height: Height,
    steps: BTreeMap<(u32, Step), (Option<Digest>, Digest)>,
}

impl Signed {
    fn last_round(&self) -> u32 {
        self.steps.keys().next_back().map_or(0, |(round, _)| *round)
    }

    fn insert(&mut self, intent: &Intent) {
        if intent.height > self.height {
            *self = Self { height: intent.height, ..Self::default() };
        }
        self.steps.insert((intent.round, intent.step), (intent.block, intent.message));
        let first_kept = self.last_round().saturating_sub(ROUNDS_KEPT - 1);
        self.steps.retain(|(round, _), _| *round >= first_kept);
    }

    fn has(&self, intent: &Intent) -> bool {
        self.height == intent.height
            && self.steps.get(&(intent.round, intent.step)).is_some_and(|s| s.1 == intent.message)
    }
}

#[derive(Debug, Default)]
struct State {
    /// What may have been signed, a superset of `sealed`.
    admitted: Signed,
    /// What the file says.
    sealed: Signed,
    /// Height of the first refusal since it was last asked for.
    refused: Option<Height>,
}

/// The guard of one validator key.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    state: Mutex<State>,
}

impl Guard {
    /// Opens the guard; a file that is not there means that nothing was ever signed.
    ///
    /// # Errors
    /// When the file cannot be read, or is cut off or damaged in any way.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, GuardError> {
        let path = path.into();
        let signed = match fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Signed::default(),
            Err(source) => return Err(GuardError::Io { path, source }),
        };
        let state = State { admitted: signed.clone(), sealed: signed, refused: None };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// The height of the last signature that left; nothing when there was none.
    pub fn last_height(&self) -> Option<Height> {
        let state = self.state();
        (!state.sealed.steps.is_empty()).then_some(state.sealed.height)
    }

    /// Allows a message to be signed, or refuses. The same message may be signed again.
    ///
    /// # Errors
    /// When a different message was signed for this step, or something for a later height or round.
    pub fn admit(&self, intent: &Intent) -> Result<(), Refusal> {
        let mut state = self.state();
        let answer = check(&state.admitted, intent);
        match answer {
            Ok(()) => state.admitted.insert(intent),
            Err(_) => state.refused = state.refused.or(Some(intent.height)),
        }
        answer
    }

    /// Makes an admitted message durable. When this returns, its signature may leave. It also takes
    /// what a certificate shows this key to have signed before.
    ///
    /// # Errors
    /// When the file cannot be written: the signature must not leave.
    pub fn seal(&self, intent: &Intent) -> Result<(), GuardError> {
        let mut state = self.state();
        if intent.height < state.sealed.height || state.sealed.has(intent) {
            return Ok(());
        }
        let mut next = state.sealed.clone();
        next.insert(intent);
        write(&self.path, &next)
            .map_err(|source| GuardError::Io { path: self.path.clone(), source })?;
        state.sealed = next;
        // A message of an earlier life that a certificate shows was never admitted in this one.
        if intent.height >= state.admitted.height {
            state.admitted.insert(intent);
        }
        Ok(())
    }

    /// The height at which a message was refused since this was last called.
    pub fn take_refusal(&self) -> Option<Height> {
        self.state().refused.take()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

fn check(signed: &Signed, intent: &Intent) -> Result<(), Refusal> {
    let Intent { height, round, step, .. } = *intent;
    if height > signed.height || signed.has(intent) {
        return Ok(());
    }
    if height == signed.height && signed.steps.contains_key(&(round, step)) {
        return Err(Refusal::Conflict { height, round, step });
    }
    // Within a round, a proposal may follow a vote; a vote never precedes one already cast.
    let later = |(last_round, last_step): &(u32, Step)| {
        *last_round > round || (*last_round == round && step != Step::Proposal && *last_step > step)
    };
    if height < signed.height || signed.steps.keys().any(later) {
        let (last_height, last_round) = (signed.height, signed.last_round());
        return Err(Refusal::Lower { height, round, last_height, last_round });
    }
    Ok(())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Signed, GuardError> {
    let damaged = |reason: String| GuardError::Damaged { path: path.to_owned(), reason };
    let file: Sealed = from_canonical("guard file", bytes, FILE_BYTES_MAX)
        .map_err(|error| damaged(error.to_string()))?;
    if file.version != 1 {
        return Err(damaged(format!("version {}, expected 1", file.version)));
    }
    if Digest::of(&to_canonical(&file.content)) != file.checksum {
        return Err(damaged("its checksum is wrong".to_owned()));
    }
    let Content { height, records } = file.content;
    let steps = records.iter().map(|r| ((r.round, r.step), (r.block, r.message))).collect();
    Ok(Signed { height, steps })
}

/// Replaces the file in one step. A crash before the rename leaves the old file, and the message
/// has not left; after it the new file is there.
fn write(path: &Path, signed: &Signed) -> io::Result<()> {
    let records = signed
        .steps
        .iter()
        .map(|((round, step), (block, message))| Record {
            round: *round,
            step: *step,
            block: *block,
            message: *message,
        })
        .collect();
    let content = Content { height: signed.height, records };
    let checksum = Digest::of(&to_canonical(&content));
    let bytes = to_canonical(&Sealed { version: 1, content, checksum });
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(&next, path)?;
    // The rename itself must survive a loss of power.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
