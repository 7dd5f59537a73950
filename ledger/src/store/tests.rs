use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::block::tests::{block_after, certify, chain_id, keys, set_of};
use crate::block::{BlockBody, CertificateError};
use crate::log::{leaf_hash, verify_consistency, verify_inclusion};
use crate::state::{verify_absence, verify_membership, MemoryState};
use crate::verify::VerifyError;

/// A chain that is stored, and the plain data that it has to hold.
struct Ledger {
    dir: TempDir,
    blocks: Vec<Block>,
    entries: Vec<Vec<u8>>,
    state: MemoryState,
    frontier: Frontier,
}

/// What goes with one block.
struct Step {
    block: Block,
    entries: Vec<Vec<u8>>,
    writes: Writes,
}

fn genesis() -> Genesis {
    Genesis {
        chain_id: chain_id(),
        time: TimeMs(1_700_000_000_000),
        members: vec![],
        tasks: vec![],
    }
}

fn open(dir: &Path) -> Result<LedgerStore, StoreError> {
    LedgerStore::open(dir, &chain_id(), genesis().digest())
}

fn set() -> ValidatorSet {
    set_of(&keys(4))
}

impl Ledger {
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger")
    }

    /// A new ledger with genesis; the store is returned beside it.
    fn create() -> (Self, LedgerStore) {
        let dir = TempDir::new().unwrap();
        let mut ledger = Self {
            dir,
            blocks: Vec::new(),
            entries: Vec::new(),
            state: MemoryState::new(),
            frontier: Frontier::default(),
        };
        let store = open(&ledger.path()).unwrap();
        assert!(!store.is_initialised());
        let (entries, writes) = ledger.changes(1);
        ledger.state.apply(0, &writes).unwrap();
        let root = store.init_genesis(&genesis(), &set(), &entries, &writes).unwrap();
        assert_eq!(root, ledger.state.root());
        ledger.entries.extend(entries);
        (ledger, store)
    }

    /// `count` new entries and writes over a few keys, one of them long.
    fn changes(&mut self, count: usize) -> (Vec<Vec<u8>>, Writes) {
        let at = self.entries.len();
        let entries: Vec<_> = (at..at + count)
            .map(|i| format!("entry {i} ").repeat(1 + i % 40 * 37).into_bytes())
            .collect();
        for entry in &entries {
            self.frontier.push(leaf_hash(entry));
        }
        let mut writes = Writes::from([
            (format!("member/{}", at % 5).into_bytes(), Some(format!("at {at}").into_bytes())),
            (b"long".to_vec(), Some(vec![at as u8; 20_000 / (1 + at % 4)])),
            (LOG_HEAD_KEY.to_vec(), Some(self.frontier.head().to_bytes())),
        ]);
        if at.is_multiple_of(3) {
            writes.insert(format!("member/{}", (at + 1) % 5).into_bytes(), None);
        }
        (entries, writes)
    }

    fn step(&mut self, count: usize) -> Step {
        let (entries, writes) = self.changes(count);
        let version = self.state.version().unwrap() + 1;
        let root = self.state.apply(version, &writes).unwrap();
        let block = block_after(self.blocks.last(), &set(), root);
        self.blocks.push(block.clone());
        self.entries.extend(entries.clone());
        Step { block, entries, writes }
    }

    fn extend(&mut self, store: &LedgerStore, blocks: usize) {
        for i in 0..blocks {
            let step = self.step(i % 4);
            commit(store, &step).unwrap();
        }
    }
}

fn commit(store: &LedgerStore, step: &Step) -> Result<(), StoreError> {
    let certificate = certify(&step.block, 0, &keys(4)[..3]);
    store.commit_block(&step.block, &certificate, &set(), &step.entries, &step.writes)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

#[test]
fn what_was_stored_is_read_back_with_proofs_after_reopening() {
    let (mut ledger, store) = Ledger::create();
    ledger.extend(&store, 12);
    drop(store);
    let store = open(&ledger.path()).unwrap();
    let tip = store.tip().unwrap();
    assert_eq!((tip.height, tip.hash), (Height(12), Some(ledger.blocks[11].hash())));
    for block in &ledger.blocks {
        let height = block.header.height;
        assert_eq!(store.block(height).unwrap(), *block);
        store.certificate(height).unwrap().verify(&chain_id(), &set()).unwrap();
        let place = store.transaction(&block.body.transactions[0].digest()).unwrap();
        assert_eq!(place, Some(TransactionPlace { height, index: 0 }));
    }
    assert_eq!(store.validators(Height(13)).unwrap(), set());
    assert!(matches!(store.block(Height(13)), Err(StoreError::UnknownHeight { .. })));

    let size = ledger.entries.len() as u64;
    assert_eq!(store.entries(0..u64::MAX).unwrap(), ledger.entries);
    let head = store.log_head().unwrap();
    assert_eq!((head.size(), head.root()), (size, ledger.frontier.root()));
    for index in 0..size {
        let path = store.prove_inclusion(index, size).unwrap();
        let leaf = leaf_hash(&ledger.entries[index as usize]);
        verify_inclusion(&leaf, index, size, &head.root(), &path).unwrap();
    }
    for height in 0..=12 {
        let old = store.log_head_at(Height(height)).unwrap();
        let path = store.prove_consistency(old.size(), size).unwrap();
        verify_consistency(old.size(), size, &old.root(), &head.root(), &path).unwrap();
        let root = store.app_hash(Height(height)).unwrap();
        for key in [&b"member/1"[..], b"member/3", b"long", b"nobody"] {
            let (value, proof) = store.prove_state(key, Height(height)).unwrap();
            assert_eq!(value, ledger.state.get_at(height, key).unwrap());
            assert_eq!(value, store.state_at(Height(height), key).unwrap());
            match value {
                Some(value) => verify_membership(&root, key, &value, &proof).unwrap(),
                None => verify_absence(&root, key, &proof).unwrap(),
            }
        }
    }
    let flat = store.state_scan(b"").unwrap();
    assert!(flat.iter().map(|(k, v)| (&k[..], &v[..])).eq(ledger.state.iter()));
    let deep = store.check_deep(|_| ()).unwrap();
    assert_eq!((deep.blocks, deep.entries, deep.state_keys), (12, size, flat.len() as u64));
}

#[test]
fn a_block_that_does_not_fit_is_refused_and_changes_nothing() {
    let (mut ledger, store) = Ledger::create();
    ledger.extend(&store, 2);
    let before = store.tip().unwrap();
    let good = ledger.step(2);
    let bent = |change: fn(&mut Step)| {
        let mut step = Step {
            block: good.block.clone(),
            entries: good.entries.clone(),
            writes: good.writes.clone(),
        };
        change(&mut step);
        commit(&store, &step).unwrap_err()
    };
    let error = bent(|step| step.block.header.app_hash.0[0] ^= 1);
    assert!(matches!(error, StoreError::StateRoot { height: Height(3), .. }));
    let error = bent(|step| drop(step.writes.insert(b"more".to_vec(), Some(vec![1]))));
    assert!(matches!(error, StoreError::StateRoot { .. }));
    let error = bent(|step| drop(step.entries.pop()));
    assert!(matches!(error, StoreError::LogHead { .. }));
    let error = bent(|step| step.entries[0][0] ^= 1);
    assert!(matches!(error, StoreError::LogHead { .. }));
    let error = bent(|step| step.entries.push(vec![0; ENTRY_BYTES_MAX + 1]));
    assert!(matches!(error, StoreError::EntryTooLong { index: 2, .. }));
    let error = bent(|step| step.block.body = BlockBody::default());
    assert!(matches!(error, StoreError::Chain(VerifyError::Block(_))));
    let few = certify(&good.block, 0, &keys(2));
    let error =
        store.commit_block(&good.block, &few, &set(), &good.entries, &good.writes).unwrap_err();
    let expected = matches!(
        error,
        StoreError::Chain(VerifyError::Certificate(CertificateError::NotEnoughPower { .. }))
    );
    assert!(expected, "{error}");
    assert_eq!(store.tip().unwrap(), before);
    commit(&store, &good).unwrap();
    assert!(matches!(
        commit(&store, &good),
        Err(StoreError::Chain(VerifyError::Height { expected: Height(4), found: Height(3) }))
    ));
    let again = store.init_genesis(&genesis(), &set(), &[], &Writes::new());
    assert!(matches!(again, Err(StoreError::NotEmpty { .. })));
}

#[test]
fn another_ledgers_folder_and_a_folder_in_use_are_refused_by_name() {
    let (ledger, store) = Ledger::create();
    let path = ledger.path();
    let error = open(&path).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(store);
    let other = ChainId::new("test-2").unwrap();
    let error = LedgerStore::open(&path, &other, genesis().digest()).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::OtherChain { .. }), "{error}");
    let error = LedgerStore::open(&path, &chain_id(), Digest::of(b"x")).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::OtherGenesis { .. }), "{error}");
    open(&path).unwrap();
}

#[test]
fn undecided_blocks_are_kept_until_their_height_is_decided() {
    let (mut ledger, store) = Ledger::create();
    let long = vec![7; 300_000];
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    store.put_undecided(Height(1), 0, &a, b"one").unwrap();
    store.put_undecided(Height(1), 0, &b, &long).unwrap();
    store.put_undecided(Height(1), 1, &a, b"one again").unwrap();
    store.put_undecided(Height(2), 0, &a, b"two").unwrap();
    drop(store);
    let store = open(&ledger.path()).unwrap();
    assert_eq!(store.undecided(Height(1), 0).unwrap().len(), 2);
    assert!(store.undecided(Height(1), 0).unwrap().contains(&(b, long)));
    assert_eq!(store.undecided_of_height(Height(1)).unwrap().len(), 3);
    ledger.extend(&store, 1);
    assert_eq!(store.undecided_of_height(Height(1)).unwrap(), vec![]);
    assert_eq!(store.undecided(Height(2), 0).unwrap(), vec![(a, b"two".to_vec())]);
    // sled never syncs its own files for large items, so there must be none.
    assert_eq!(fs::read_dir(ledger.path().join("blobs")).map_or(0, Iterator::count), 0);
}

#[test]
fn a_copy_made_at_any_block_reopens_at_that_block_and_goes_on() {
    let (mut ledger, store) = Ledger::create();
    for number in 1..=6 {
        let step = ledger.step(number % 3);
        commit(&store, &step).unwrap();
        // What a killed process leaves: the files as they are, without a shutdown.
        let left = ledger.dir.path().join(format!("copy-{number}"));
        copy(&ledger.path(), &left);
        let reopened = open(&left).unwrap();
        assert_eq!(reopened.tip().unwrap(), store.tip().unwrap());
        reopened.check_deep(|_| ()).unwrap();
    }
    let next = ledger.step(1);
    let last = open(&ledger.dir.path().join("copy-6")).unwrap();
    commit(&last, &next).unwrap();
}

/// Opens a damaged copy: it must be refused, or hold a beginning of the true chain, intact.
fn check_damaged(ledger: &Ledger, path: &Path, what: &str) -> bool {
    let opened = match open(path) {
        Ok(store) => store,
        Err(StoreError::Damaged { .. }) => return true,
        Err(error) => panic!("{what}: refused, but not as damaged: {error}"),
    };
    if !opened.is_initialised() {
        return false;
    }
    let tip = opened.tip().unwrap();
    let expected = (tip.height.0 as usize).checked_sub(1).map(|at| ledger.blocks[at].hash());
    assert_eq!(tip.hash, expected, "{what}: silently another chain");
    match opened.check_deep(|_| ()) {
        Ok(_) => {
            for height in 1..=tip.height.0 {
                assert_eq!(
                    opened.block(Height(height)).unwrap(),
                    ledger.blocks[height as usize - 1]
                );
            }
            let entries = opened.entries(0..u64::MAX).unwrap();
            assert_eq!(entries[..], ledger.entries[..entries.len()], "{what}");
            false
        }
        Err(StoreError::Damaged { .. } | StoreError::State(_)) => true,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn truncated_and_bent_database_files_are_refused_or_intact_never_silently_wrong() {
    let (mut ledger, store) = Ledger::create();
    ledger.extend(&store, 8);
    drop(store);
    let whole = fs::read(ledger.path().join("db")).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut refused = 0;
    for i in 0..24 {
        let copied = ledger.dir.path().join(format!("cut-{i}"));
        copy(&ledger.path(), &copied);
        let at = used * i / 24;
        if i % 3 == 0 {
            fs::write(copied.join("db"), &whole[..at]).unwrap();
        } else {
            let mut bent = whole.clone();
            bent[at] ^= 1 << (i % 8);
            fs::write(copied.join("db"), bent).unwrap();
        }
        refused += usize::from(check_damaged(&ledger, &copied, &format!("damage {i} at {at}")));
        fs::remove_dir_all(&copied).unwrap();
    }
    // Damage in what later records replaced changes nothing; a third of the cuts lose something.
    assert!(refused >= 8, "only {refused} of 24 damaged files were refused");
}

/// Changes one stored record.
type Bend = fn(&Db);

#[test]
fn records_bent_behind_the_engines_back_are_named() {
    let (mut ledger, store) = Ledger::create();
    ledger.extend(&store, 6);
    drop(store);
    let bends: [(&str, bool, Bend); 8] = [
        ("entry", false, |db| write(db, layout::entry(3), b"another entry".to_vec())),
        ("leaf hash", true, |db| write(db, layout::log_node(0, 3), vec![7; 32])),
        ("log node", false, |db| write(db, layout::log_node(1, 1), vec![7; 32])),
        ("state value", false, |db| write(db, layout::state(b"long"), vec![7; 9])),
        ("log head", true, |db| {
            write(db, layout::state(LOG_HEAD_KEY), Frontier::default().head().to_bytes());
        }),
        ("certificate", true, |db| {
            let bytes = db.get(&layout::certificate(Height(6))).unwrap().unwrap();
            let mut certificate = CommitCertificate::from_bytes(&bytes).unwrap();
            certificate.signatures.pop();
            write(db, layout::certificate(Height(6)), certificate.to_bytes());
        }),
        ("old block", false, |db| {
            let bytes = db.get(&layout::block(Height(2))).unwrap().unwrap();
            let mut block = Block::from_bytes(&bytes).unwrap();
            block.header.app_hash.0[0] ^= 1;
            write(db, layout::block(Height(2)), block.to_bytes());
        }),
        ("tip", true, |db| {
            let bytes = db.get(layout::TIP).unwrap().unwrap();
            let mut tip: Tip = from_canonical("tip", &bytes, 512).unwrap();
            tip.height = Height(5);
            write(db, layout::TIP.to_vec(), to_canonical(&tip));
        }),
    ];
    for (number, (what, on_opening, bend)) in bends.iter().enumerate() {
        let copied = ledger.dir.path().join(format!("bent-{number}"));
        copy(&ledger.path(), &copied);
        let db = Db::open(&copied).unwrap();
        bend(&db);
        drop(db);
        match open(&copied) {
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
                assert!(*on_opening, "{what} was noticed on opening: {error}");
            }
            Ok(store) => {
                assert!(!on_opening, "{what} was not noticed on opening");
                let error = store.check_deep(|_| ()).unwrap_err();
                assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
            }
        }
    }
}

fn write(db: &Db, key: Vec<u8>, value: Vec<u8>) {
    let mut changes = Changes::default();
    changes.replace(key, value);
    db.commit(changes).unwrap();
}
