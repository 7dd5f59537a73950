use ct_merkle::{mem_backed_tree::MemoryBackedTree, ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

/// MTH of RFC 9162 §2.1.1, as written there.
fn naive_root(leaves: &[Vec<u8>]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => Digest::of(&[&[0u8][..], leaf].concat()),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            Digest::of(&[&[1u8][..], &naive_root(left).0, &naive_root(right).0].concat())
        }
    }
}

/// The largest power of two below n.
fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH(m, D[n]) of RFC 9162 §2.1.3.1.
fn naive_path(m: usize, leaves: &[Vec<u8>]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m < k {
        [naive_path(m, left), vec![naive_root(right)]].concat()
    } else {
        [naive_path(m - k, right), vec![naive_root(left)]].concat()
    }
}

/// SUBPROOF(m, D[n], b) of RFC 9162 §2.1.4.1.
fn naive_consistency(m: usize, leaves: &[Vec<u8>], complete: bool) -> Vec<Digest> {
    if m == leaves.len() {
        return if complete { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m <= k {
        [naive_consistency(m, left, complete), vec![naive_root(right)]].concat()
    } else {
        [naive_consistency(m - k, right, false), vec![naive_root(left)]].concat()
    }
}

fn leaves(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("entry {i}").into_bytes()).collect()
}

fn hashes(leaves: &[Vec<u8>]) -> Vec<Digest> {
    leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn concat(path: &[Digest]) -> Vec<u8> {
    path.iter().flat_map(|hash| hash.0).collect()
}

fn ct_root(root: &Digest, size: usize) -> RootHash<Sha256> {
    RootHash::new(root.0.into(), size as u64)
}

#[test]
fn frontier_and_proofs_are_those_of_the_rfc_for_every_small_size() {
    for n in 0..40 {
        let leaves = leaves(n);
        let hashes = hashes(&leaves);
        let root = root_of(hashes.iter().copied());
        assert_eq!(root, naive_root(&leaves), "size {n}");
        for (i, leaf) in hashes.iter().enumerate() {
            let path = inclusion_path(&hashes, i as u64, n as u64).unwrap();
            assert_eq!(path, naive_path(i, &leaves), "leaf {i} of {n}");
            verify_inclusion(leaf, i as u64, n as u64, &root, &path).unwrap();
        }
        for m in 1..=n {
            let path = consistency_path(&hashes, m as u64, n as u64).unwrap();
            assert_eq!(path, naive_consistency(m, &leaves, true), "{m} to {n}");
            let first = naive_root(&leaves[..m]);
            verify_consistency(m as u64, n as u64, &first, &root, &path).unwrap();
        }
    }
}

#[test]
fn frontier_reports_each_perfect_subtree_once() {
    let hashes = hashes(&leaves(100));
    let mut nodes = std::collections::BTreeMap::new();
    let mut frontier = Frontier::default();
    for leaf in &hashes {
        frontier.push_with(*leaf, |level, index, hash| {
            assert!(nodes.insert((level, index), hash).is_none(), "node {level}/{index} twice");
        });
    }
    for ((level, index), hash) in &nodes {
        assert_eq!(hashes.node(*level, *index), Some(*hash));
    }
    assert_eq!(nodes.len(), (0..=6).map(|level| 100 >> level).sum::<usize>());
}

proptest! {
    #[test]
    fn ct_merkle_agrees(n in 1usize..300, pick in any::<proptest::sample::Index>()) {
        let leaves = leaves(n);
        let hashes = hashes(&leaves);
        let root = root_of(hashes.iter().copied());
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for leaf in &leaves {
            tree.push(leaf.clone());
        }
        let theirs = tree.root();
        prop_assert_eq!(theirs.as_bytes().as_slice(), root.0.as_slice());

        let i = pick.index(n);
        let path = inclusion_path(&hashes, i as u64, n as u64).unwrap();
        let theirs = tree.prove_inclusion(i);
        prop_assert_eq!(theirs.as_bytes(), concat(&path));
        let proof = InclusionProof::<Sha256>::from_bytes(concat(&path));
        ct_root(&root, n).verify_inclusion(&leaves[i], i as u64, &proof).unwrap();

        let m = i + 1;
        let first = root_of(hashes[..m].iter().copied());
        let path = consistency_path(&hashes, m as u64, n as u64).unwrap();
        if m < n {
            let theirs = tree.prove_consistency(n - m);
            prop_assert_eq!(theirs.as_bytes(), concat(&path));
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(concat(&path)).unwrap();
            ct_root(&root, n).verify_consistency(&ct_root(&first, m), &proof).unwrap();
        }
        verify_consistency(m as u64, n as u64, &first, &root, &path).unwrap();
    }

    #[test]
    fn bent_inclusion_proofs_are_refused(
        n in 2u64..200, pick in any::<u64>(), other in 0u64..220, bit in 0usize..256, at in any::<u64>(),
    ) {
        let hashes = hashes(&leaves(n as usize));
        let root = root_of(hashes.iter().copied());
        let i = pick % n;
        let leaf = hashes[i as usize];
        let path = inclusion_path(&hashes, i, n).unwrap();
        if other != i {
            prop_assert!(verify_inclusion(&leaf, other, n, &root, &path).is_err(), "index");
        }
        let mut bent = path.clone();
        let at = (at % path.len() as u64) as usize;
        bent[at].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_inclusion(&leaf, i, n, &root, &bent).is_err(), "path");
        prop_assert!(verify_inclusion(&leaf, i, n, &root, &path[1..]).is_err(), "short");
        prop_assert!(verify_inclusion(&leaf, i, n, &root, &[path.clone(), vec![root]].concat()).is_err());
        prop_assert!(verify_inclusion(&root, i, n, &root, &path).is_err(), "leaf");
    }

    #[test]
    fn bent_consistency_proofs_are_refused(
        n in 2u64..200, pick in any::<u64>(), bit in 0usize..256, at in any::<u64>(),
    ) {
        let hashes = hashes(&leaves(n as usize));
        let root = root_of(hashes.iter().copied());
        let m = 1 + pick % (n - 1);
        let first = root_of(hashes[..m as usize].iter().copied());
        let path = consistency_path(&hashes, m, n).unwrap();
        let mut bent = path.clone();
        let at = (at % path.len() as u64) as usize;
        bent[at].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_consistency(m, n, &first, &root, &bent).is_err(), "path");
        prop_assert!(verify_consistency(m, n, &root, &root, &path).is_err(), "first root");
        prop_assert!(verify_consistency(m, n, &first, &first, &path).is_err(), "second root");
        prop_assert!(verify_consistency(m, n, &first, &root, &path[1..]).is_err(), "short");
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let root = empty_root();
    assert_eq!(
        verify_inclusion(&root, 0, 0, &root, &[]),
        Err(ProofError::IndexOutOfRange { index: 0, size: 0 })
    );
    assert!(verify_inclusion(&root, u64::MAX, u64::MAX, &root, &[]).is_err());
    assert!(verify_inclusion(&root, u64::MAX - 1, u64::MAX, &root, &[root; 64]).is_err());
    assert!(verify_consistency(u64::MAX - 1, u64::MAX, &root, &root, &[root; 64]).is_err());
    assert!(verify_consistency(2, 1, &root, &root, &[]).is_err());
    assert!(verify_consistency(1, 1, &root, &Digest::of(b"x"), &[]).is_err());
    assert!(verify_consistency(0, 1, &Digest::of(b"x"), &root, &[]).is_err());
    let leaf = leaf_hash(b"x");
    assert_eq!(verify_consistency(0, 1, &root, &leaf, &[]), Ok(()));
    assert!(verify_consistency(0, 0, &leaf, &leaf, &[]).is_err());
}

#[test]
fn a_head_is_read_back_and_a_contradictory_one_is_refused() {
    let mut frontier = Frontier::default();
    for n in 0..20u8 {
        let head = frontier.head();
        let bytes = head.to_bytes();
        assert_eq!(LogHead::from_bytes(&bytes).unwrap(), head);
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            assert!(LogHead::from_bytes(&bent).is_err(), "size {n}, byte {at}");
        }
        frontier.push(leaf_hash(&[n]));
    }
    assert!(Frontier::from_parts(3, vec![empty_root()]).is_none());
}
