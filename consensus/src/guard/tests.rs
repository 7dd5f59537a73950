use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn intent(height: u64, round: u32, step: Step, block: Option<u8>) -> Intent {
    let block = block.map(|b| Digest::of(&[b]));
    let message = Digest::of(format!("{height} {round} {step:?} {block:?}").as_bytes());
    Intent { height: Height(height), round, step, block, message }
}

fn signs(guard: &Guard, intent: &Intent) -> bool {
    let admitted = guard.admit(intent).is_ok();
    if admitted {
        guard.seal(intent).unwrap();
    }
    admitted
}

#[test]
fn the_same_again_yes_another_no_and_it_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.cbor");
    let guard = Guard::open(&path).unwrap();
    assert_eq!(guard.last_height(), None);
    let prevote = intent(3, 1, Step::Prevote, Some(1));
    assert!(signs(&guard, &prevote));
    for guard in [guard, Guard::open(&path).unwrap()] {
        assert_eq!(guard.last_height(), Some(Height(3)));
        assert!(signs(&guard, &prevote));
        let (height, round, step) = (Height(3), 1, Step::Prevote);
        for other in [None, Some(2)] {
            let refused = guard.admit(&intent(3, 1, Step::Prevote, other));
            assert_eq!(refused, Err(Refusal::Conflict { height, round, step }));
        }
        for lower in [(2, 9, Step::Precommit), (3, 0, Step::Precommit), (3, 0, Step::Proposal)] {
            let refused = guard.admit(&intent(lower.0, lower.1, lower.2, Some(1)));
            assert!(matches!(refused, Err(Refusal::Lower { .. })), "{lower:?}: {refused:?}");
        }
        assert_eq!(guard.take_refusal(), Some(Height(3)));
        assert_eq!(guard.take_refusal(), None);
        assert!(signs(&guard, &intent(3, 1, Step::Proposal, Some(1))));
    }
    let guard = Guard::open(&path).unwrap();
    for later in [(3, 1, Step::Precommit), (3, 7, Step::Prevote), (9, 0, Step::Proposal)] {
        assert!(signs(&guard, &intent(later.0, later.1, later.2, None)), "{later:?}");
    }
    // A vote never precedes one of the same round that was already cast.
    assert!(signs(&guard, &intent(9, 0, Step::Precommit, None)));
    assert!(!signs(&guard, &intent(9, 0, Step::Prevote, None)));
}

#[test]
fn what_was_admitted_but_never_left_is_forgotten_by_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.cbor");
    let guard = Guard::open(&path).unwrap();
    guard.admit(&intent(1, 0, Step::Prevote, Some(1))).unwrap();
    assert!(guard.admit(&intent(1, 0, Step::Prevote, None)).is_err());
    drop(guard);
    // Nobody has seen the first vote: its signature leaves only after the seal.
    assert!(signs(&Guard::open(&path).unwrap(), &intent(1, 0, Step::Prevote, None)));
}

#[test]
fn a_certificate_teaches_the_guard_what_this_key_signed() {
    let folder = tempfile::tempdir().unwrap();
    let guard = Guard::open(folder.path().join("guard.cbor")).unwrap();
    guard.seal(&intent(8, 2, Step::Precommit, Some(1))).unwrap();
    assert_eq!(guard.last_height(), Some(Height(8)));
    assert!(!signs(&guard, &intent(7, 0, Step::Prevote, None)));
    assert!(!signs(&guard, &intent(8, 2, Step::Precommit, None)));
}

#[test]
fn any_damage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.cbor");
    signs(&Guard::open(&path).unwrap(), &intent(3, 0, Step::Precommit, Some(1)));
    let good = fs::read(&path).unwrap();
    let check = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let opened = Guard::open(&path);
        assert!(matches!(opened, Err(GuardError::Damaged { .. })), "{what} was accepted");
    };
    for at in 0..good.len() {
        check(&good[..at], &format!("{at} bytes"));
        for bit in [1, 0x80] {
            let mut bent = good.clone();
            bent[at] ^= bit;
            check(&bent, &format!("bit {bit} of byte {at}"));
        }
    }
    check(&[good.clone(), vec![0]].concat(), "a byte more");
    fs::write(&path, &good).unwrap();
    assert!(Guard::open(&path).is_ok());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Guard::open(&path), Err(GuardError::Io { .. })));
}

#[test]
fn a_guard_that_cannot_be_written_seals_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let guard = Guard::open(inner.join("guard.cbor")).unwrap();
    fs::remove_dir(&inner).unwrap();
    let vote = intent(1, 0, Step::Prevote, None);
    guard.admit(&vote).unwrap();
    assert!(matches!(guard.seal(&vote), Err(GuardError::Io { .. })));
    assert_eq!(guard.last_height(), None);
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![Just(Step::Proposal), Just(Step::Prevote), Just(Step::Precommit)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked for, with restarts in between, no two different messages get out for one
    /// step, and heights and rounds never go back except to repeat.
    #[test]
    fn nothing_is_signed_twice(
        asked in proptest::collection::vec(
            (1u64..4, 0u32..3, any_step(), proptest::option::of(0u8..2), any::<bool>()), 1..40,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.cbor");
        let mut guard = Guard::open(&path).unwrap();
        let mut out: BTreeMap<(u64, u32, Step), Digest> = BTreeMap::new();
        for (height, round, step, block, restart) in asked {
            if restart {
                guard = Guard::open(&path).unwrap();
            }
            let asked = intent(height, round, step, block);
            let before = out.keys().next_back().copied();
            if signs(&guard, &asked) {
                let first = *out.entry((height, round, step)).or_insert(asked.message);
                prop_assert_eq!(first, asked.message, "two messages for one step");
                let repeated = before.is_some_and(|last| (height, round) < (last.0, last.1));
                prop_assert!(!repeated || height == before.unwrap().0, "a decided height again");
            } else {
                let free = before.is_none_or(|last| (height, round) > (last.0, last.1));
                prop_assert!(!free, "refused without a reason");
            }
        }
    }
}
