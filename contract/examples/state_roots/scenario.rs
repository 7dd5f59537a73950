//! The ledger: eighteen tasks of seven members, over all rules, every kind of bad submission, drift
//! that the history finds, harm that evaluators measure, and rounds that are replayed.

use std::collections::{BTreeMap, BTreeSet};

use fedledger_contract::canonical::Schema;
use fedledger_contract::{decide, pending, round, BlobRead, ReplayError, ReplayedBlock, Replayer};
use fedledger_ledger::block::{Block, CommitCertificate};
use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::decision::Decision;
use fedledger_ledger::entry::Phase;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use fedledger_ledger::state::LatestState;

use super::acts::{governance, new_validator_key, strands, Act, Strand};
use super::consortium::Consortium;
use super::lcg::Lcg;
use super::tasks::{tasks, MEMBERS};

/// Blobs in the order in which they arrived.
#[derive(Default)]
pub struct Shelf(Vec<(Digest, Vec<u8>)>);

impl Shelf {
    fn put(&mut self, bytes: Vec<u8>) {
        let digest = Digest::of(&bytes);
        if self.read(&digest).is_none() {
            self.0.push((digest, bytes));
        }
    }
}

impl BlobRead for Shelf {
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.0.iter().find(|(held, _)| held == digest).map(|(_, bytes)| bytes.clone())
    }
}

/// A ledger that came to its end.
pub struct Run {
    /// What it began from.
    pub document: Genesis,
    /// All blocks with their certificates.
    pub chain: Vec<(Block, CommitCertificate)>,
    /// All updates, aggregates and models.
    pub shelf: Shelf,
    /// What may depend on the order of arrival: `height H root ROOT`, for each height.
    pub roots: Vec<String>,
    /// What may not: for each height `height H settled DIGEST`, over the part of the state that
    /// holds no positions in the log (see [`is_settled`]), and for each decision
    /// `height H decision TASK round R DIGEST`, over its canonical bytes: verdicts with their
    /// numbers, digests of aggregate and model.
    pub decided: Vec<String>,
}

/// Plays the ledger from genesis until no task is running. With `shuffle` the transactions of each
/// block arrive in an order of that seed, except where the order is what they are about: see
/// [`Strand`].
pub fn play(shuffle: Option<u64>) -> Run {
    let tasks = tasks();
    let schemas: BTreeMap<TaskId, Schema> = tasks
        .iter()
        .map(|task| (task.id.clone(), Schema::of(task).expect("the schema can work")))
        .collect();
    let mut shelf = Shelf::default();
    for schema in schemas.values() {
        shelf.put(schema.encode(&schema.zero_model()).expect("zeros are in range"));
    }
    let mut consortium = Consortium::new(MEMBERS, tasks);
    consortium.keep_validator_key(new_validator_key());
    let (mut roots, mut decided) = (Vec::new(), Vec::new());
    let mut sent: BTreeSet<(TaskId, RoundNumber, Phase)> = BTreeSet::new();
    while let Some(deadline) = round::next_deadline(&consortium.state) {
        let decisions = decide_all(&consortium, &mut shelf);
        let acts = arrange(
            strands(&consortium.state, &schemas, &mut sent)
                .into_iter()
                .chain(governance(consortium.height.next()))
                .collect(),
            shuffle.map(|seed| Lcg::of(&[seed, consortium.height.0])),
        );
        let idle = decisions.is_empty() && acts.is_empty();
        let after_ms = if idle { deadline.0 - consortium.time.0 } else { 1 };
        let mut transactions = Vec::with_capacity(acts.len());
        for Act { member, action, blob } in acts {
            if let Some(bytes) = blob {
                shelf.put(bytes);
            }
            transactions.push(consortium.sign(member, action));
        }
        let height = consortium.height.next();
        decided.extend(decisions.iter().map(|decision| {
            let (task, round) = decision.subject();
            let digest = Digest::of(&to_canonical(decision));
            format!("height {height} decision {task} round {round} {digest}")
        }));
        consortium.block(after_ms, transactions, decisions);
        roots.push(format!("height {height} root {}", consortium.state.root()));
        decided.push(format!("height {height} settled {}", settled(&consortium.state)));
    }
    let Consortium { document, chain, .. } = consortium;
    Run { document, chain, shelf, roots, decided }
}

/// Computes what the state waits for, and keeps the blobs that this makes.
fn decide_all(consortium: &Consortium, shelf: &mut Shelf) -> Vec<Decision> {
    let waiting = pending(&consortium.state);
    let compute =
        |task| decide(&consortium.state, task, shelf).expect("every blob is on the shelf");
    let made: Vec<_> = waiting.iter().map(|pending| compute(&pending.task)).collect();
    made.into_iter()
        .map(|made| {
            for (_, bytes) in made.blobs {
                shelf.put(bytes);
            }
            made.decision
        })
        .collect()
}

/// One order of arrival: strand after strand, or the strands interleaved at random.
fn arrange(mut strands: Vec<Strand>, shuffle: Option<Lcg>) -> Vec<Act> {
    let Some(mut lcg) = shuffle else { return strands.into_iter().flatten().collect() };
    for strand in &mut strands {
        strand.reverse();
    }
    let mut acts = Vec::new();
    while !strands.is_empty() {
        let at = lcg.below(strands.len() as u64) as usize;
        acts.extend(strands[at].pop());
        if strands[at].is_empty() {
            strands.swap_remove(at);
        }
    }
    acts
}

/// Digest of the part of the state that no order of arrival may change.
fn settled(state: &LatestState) -> Digest {
    let pairs: Vec<(&[u8], &[u8])> = state.iter().filter(|(key, _)| is_settled(key)).collect();
    let mut bytes = Vec::new();
    for part in pairs.into_iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part);
    }
    Digest::of(&bytes)
}

/// Whether a record neither holds nor follows from a position in the log or a transaction's digest
/// (whose nonce depends on the order in which its member sent it). Left out: the log's head, the
/// positions in the indices, the records of the open round, and changes up for approval.
fn is_settled(key: &[u8]) -> bool {
    let key = std::str::from_utf8(key).expect("the contract's keys are text");
    let (first, last) = (key.split('/').next(), key.rsplit('/').next().unwrap_or_default());
    match first {
        Some("chain" | "members" | "member" | "nonce" | "key" | "tasks") => true,
        Some("task") => {
            let of_members = ["/trust/", "/history/", "/notice/"];
            last == "spec" || last == "progress" || of_members.iter().any(|part| key.contains(part))
        }
        Some("idx") => last.bytes().any(|byte| !byte.is_ascii_digit()),
        _ => false,
    }
}

/// Replays the ledger from genesis as an auditor with all blobs does: signatures, links, state
/// roots, and every decision computed again.
pub fn replay(run: &Run) -> Result<Vec<ReplayedBlock>, ReplayError> {
    let mut replayer = Replayer::new(&run.document)?;
    let blobs: &dyn BlobRead = &run.shelf;
    run.chain
        .iter()
        .map(|(block, certificate)| replayer.push(block, certificate, Some(blobs)))
        .collect()
}
