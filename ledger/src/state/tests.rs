use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::ids::Digest;

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// The root as a binary trie over hashed keys, from its definition: an empty subtree is the
/// placeholder, a subtree of one leaf is that leaf, any other is the hash of its halves.
fn naive_root(pairs: &BTreeMap<[u8; 32], [u8; 32]>, depth: usize) -> [u8; 32] {
    match pairs.len() {
        0 => *b"SPARSE_MERKLE_PLACEHOLDER_HASH__",
        1 => {
            let (key, value) = pairs.first_key_value().unwrap();
            sha(&[b"JMT::LeafNode", key, value])
        }
        _ => {
            let (right, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
                pairs.iter().partition(|(key, _)| key[depth / 8] >> (7 - depth % 8) & 1 == 1);
            let left = naive_root(&left, depth + 1);
            sha(&[b"JMT::IntrnalNode", &left, &naive_root(&right, depth + 1)])
        }
    }
}

fn root_of(current: &BTreeMap<Vec<u8>, Vec<u8>>) -> Digest {
    let hashed = current.iter().map(|(key, value)| (sha(&[key]), sha(&[value]))).collect();
    Digest(naive_root(&hashed, 0))
}

/// Versions of writes over few keys, so that they meet again.
fn versions() -> impl Strategy<Value = Vec<Writes>> {
    let key = (0u8..24).prop_map(|i| format!("key/{i}").into_bytes());
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 1..6));
    let writes = proptest::collection::btree_map(key, value, 0..8);
    proptest::collection::vec(writes, 1..12)
}

proptest! {
    #[test]
    fn roots_reads_and_proofs_are_those_of_plain_maps(versions in versions()) {
        let mut state = MemoryState::new();
        let mut latest = LatestState::new();
        let mut history = Vec::new();
        let mut current = BTreeMap::new();
        for (version, writes) in (0u64..).zip(&versions) {
            for (key, value) in writes {
                match value {
                    Some(value) => current.insert(key.clone(), value.clone()),
                    None => current.remove(key),
                };
            }
            let expected = root_of(&current);
            prop_assert_eq!(state.root_after(writes).unwrap(), expected);
            prop_assert_eq!(state.apply(version, writes).unwrap(), expected);
            prop_assert_eq!(latest.apply(version, writes).unwrap(), expected);
            history.push((expected, current.clone()));
        }
        for (version, (root, current)) in (0u64..).zip(&history) {
            prop_assert_eq!(state.root_at(version).unwrap(), *root);
            for i in 0u8..26 {
                let key = format!("key/{i}").into_bytes();
                let expected = current.get(&key).cloned();
                prop_assert_eq!(state.get_at(version, &key).unwrap(), expected.clone());
                if current.is_empty() {
                    prop_assert_eq!(state.prove(&key, version), Err(StateError::Empty { version }));
                    continue;
                }
                let (value, proof) = state.prove(&key, version).unwrap();
                prop_assert_eq!(&value, &expected);
                if let Some(value) = value {
                    verify_membership(root, &key, &value, &proof).unwrap();
                    prop_assert!(verify_membership(root, &key, b"other", &proof).is_err());
                    prop_assert!(verify_membership(root, b"other", &value, &proof).is_err());
                    prop_assert!(verify_absence(root, &key, &proof).is_err());
                } else {
                    verify_absence(root, &key, &proof).unwrap();
                    prop_assert!(verify_membership(root, &key, b"x", &proof).is_err());
                    for present in current.keys() {
                        prop_assert!(verify_absence(root, present, &proof).is_err());
                    }
                }
                let other = Digest::of(b"another root");
                prop_assert!(verify_absence(&other, &key, &proof).is_err());
            }
        }
        let (_, current) = history.last().unwrap();
        prop_assert!(latest.iter().eq(current.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))));
        prop_assert_eq!((latest.version(), latest.root()), (state.version(), state.root()));
    }
}

#[test]
fn every_bent_byte_of_a_proof_is_refused() {
    let mut state = MemoryState::new();
    let writes = (0..20u8).map(|i| (vec![b'k', i], Some(vec![i + 1]))).collect();
    let root = state.apply(0, &writes).unwrap();
    let (value, present) = state.prove(b"k\x03", 0).unwrap();
    let (nothing, absent) = state.prove(b"absent", 0).unwrap();
    assert_eq!((value.as_deref(), nothing), (Some(&[4][..]), None));
    for at in 0..present.len() {
        let mut bent = present.clone();
        bent[at] ^= 1;
        assert!(verify_membership(&root, b"k\x03", &[4], &bent).is_err(), "byte {at}");
    }
    for at in 0..absent.len() {
        let mut bent = absent.clone();
        bent[at] ^= 1;
        assert!(verify_absence(&root, b"absent", &bent).is_err(), "byte {at}");
    }
    assert!(verify_membership(&root, b"k\x03", &[4], &[]).is_err());
    assert!(verify_absence(&root, b"absent", &[&absent[..], &[0x08, 0x00]].concat()).is_err());
}

#[test]
fn the_latest_state_refuses_misuse_and_changes_nothing() {
    let mut state = LatestState::new();
    let one = |key: &[u8], value: &[u8]| Writes::from([(key.to_vec(), Some(value.to_vec()))]);
    assert_eq!(state.root(), MemoryState::new().root());
    assert_eq!(state.apply(1, &one(b"a", b"1")), Err(StateError::UnknownVersion { version: 0 }));
    let root = state.apply(0, &one(b"a", b"1")).unwrap();
    for version in [0, 2] {
        let refused = state.apply(version, &one(b"a", b"2"));
        assert!(matches!(refused, Err(StateError::UnknownVersion { .. })));
    }
    let mut both = one(b"b", b"2");
    both.insert(vec![1; 257], Some(vec![1]));
    assert!(matches!(state.apply(1, &both), Err(StateError::KeyLength { .. })));
    assert_eq!((state.root(), state.get(b"b"), state.version()), (root, None, Some(0)));
    assert_eq!(state.apply(1, &Writes::new()), Ok(root));
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let mut state = MemoryState::new();
    let one = |key: &[u8], value: &[u8]| Writes::from([(key.to_vec(), Some(value.to_vec()))]);
    assert_eq!(state.apply(1, &one(b"a", b"1")), Err(StateError::UnknownVersion { version: 0 }));
    let root = state.apply(0, &one(b"a", b"1")).unwrap();
    assert!(matches!(state.apply(0, &one(b"a", b"2")), Err(StateError::UnknownVersion { .. })));
    assert!(matches!(state.apply(2, &one(b"a", b"2")), Err(StateError::UnknownVersion { .. })));
    assert!(matches!(state.apply(1, &one(b"", b"2")), Err(StateError::KeyLength { .. })));
    assert!(matches!(state.apply(1, &one(b"b", b"")), Err(StateError::ValueLength { .. })));
    assert!(matches!(state.apply(1, &one(&[1; 257], b"2")), Err(StateError::KeyLength { .. })));
    assert!(matches!(state.prove(b"", 0), Err(StateError::KeyLength { .. })));
    assert!(matches!(state.prove(b"a", 1), Err(StateError::UnknownVersion { version: 1 })));
    assert_eq!((state.root(), state.get(b"a")), (root, Some(b"1".to_vec())));
    // A version without writes keeps the root and can be extended.
    assert_eq!(state.apply(1, &Writes::new()), Ok(root));
    assert_eq!(state.apply(2, &one(b"a", b"1")), Ok(root), "the root has no history in it");
}

#[test]
fn writes_on_top_of_a_state_are_read_first() {
    let mut state = MemoryState::new();
    let start = [(b"a".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), Some(b"1".to_vec()))];
    state.apply(0, &start.into()).unwrap();
    let writes = Writes::from([(b"a".to_vec(), None), (b"c".to_vec(), Some(b"2".to_vec()))]);
    let view = (&state, &writes);
    assert_eq!(view.get(b"a"), None);
    assert_eq!(view.get(b"b"), Some(b"1".to_vec()));
    assert_eq!(view.get(b"c"), Some(b"2".to_vec()));
}
