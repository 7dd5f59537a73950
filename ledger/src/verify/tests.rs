use ed25519_dalek::SigningKey;

use super::*;
use crate::block::tests::{block_after, certify, chain_id, keys, set_of};
use crate::block::ValidatorAddress;

fn genesis() -> Genesis {
    Genesis {
        chain_id: chain_id(),
        time: TimeMs(1_700_000_000_000),
        members: vec![],
        tasks: vec![],
    }
}

struct Chain {
    keys: Vec<SigningKey>,
    set: ValidatorSet,
    blocks: Vec<Block>,
}

fn chain(length: usize) -> Chain {
    let keys = keys(4);
    let set = set_of(&keys);
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..length {
        let next = block_after(blocks.last(), &set, Digest::of(b"state"));
        blocks.push(next);
    }
    Chain { keys, set, blocks }
}

#[test]
fn a_chain_verifies_from_genesis_and_from_the_middle() {
    let Chain { keys, set, blocks } = chain(5);
    let mut verifier = ChainVerifier::new(&genesis(), set.clone());
    let mut last = None;
    for block in &blocks {
        let verified = verifier.push(block, &certify(block, 0, &keys), &set).unwrap();
        assert_eq!((verified.height, verified.hash), (block.header.height, block.hash()));
        last = last.or((verified.height == Height(3)).then_some(verified));
    }
    let mut resumed = ChainVerifier::resume(chain_id(), &last.unwrap(), set.clone());
    resumed.push(&blocks[3], &certify(&blocks[3], 0, &keys), &set).unwrap();
    assert_eq!(resumed.height(), Height(4));
}

#[test]
fn validators_change_at_the_height_that_the_parent_named() {
    let Chain { keys, set, blocks } = chain(1);
    let others = super::super::block::tests::keys(6);
    let next = set_of(&others[2..]);
    let mut first = blocks[0].clone();
    first.header.next_validators_hash = next.hash();
    let mut verifier = ChainVerifier::new(&genesis(), set.clone());
    verifier.push(&first, &certify(&first, 0, &keys), &next).unwrap();
    let second = block_after(Some(&first), &next, Digest::of(b"2"));
    let old = verifier.push(&second, &certify(&second, 0, &keys), &next);
    assert!(matches!(old, Err(VerifyError::Certificate(CertificateError::UnknownSigner { .. }))));
    verifier.push(&second, &certify(&second, 0, &others[2..]), &next).unwrap();
}

/// Bends the third block, signs the result with every key, and returns what is said of it.
fn refusal(bend: impl FnOnce(&mut Block)) -> VerifyError {
    let Chain { keys, set, mut blocks } = chain(3);
    let mut verifier = ChainVerifier::new(&genesis(), set.clone());
    for block in &blocks[..2] {
        verifier.push(block, &certify(block, 0, &keys), &set).unwrap();
    }
    let mut bent = blocks.pop().unwrap();
    bend(&mut bent);
    let before = format!("{verifier:?}");
    let error = verifier.push(&bent, &certify(&bent, 0, &keys), &set).unwrap_err();
    assert_eq!(format!("{verifier:?}"), before, "a refused block changes nothing");
    error
}

#[test]
fn a_bent_header_is_refused_by_the_name_of_its_field_even_when_all_sign_it() {
    use VerifyError as E;
    let error = refusal(|block| block.header.chain_id = ChainId::new("test-2").unwrap());
    assert!(matches!(error, E::ChainId { height: Height(3), .. }));
    let error = refusal(|block| block.header.height = Height(4));
    assert_eq!(error, E::Height { expected: Height(3), found: Height(4) });
    let error = refusal(|block| block.header.last_block_id = Some(Digest::of(b"x")));
    assert!(matches!(error, E::LastBlockId { height: Height(3), .. }));
    let error = refusal(|block| block.header.time = TimeMs(1_700_000_000_000 + 2 * 1_234));
    assert!(matches!(error, E::Time { height: Height(3), .. }));
    let error = refusal(|block| block.header.data_hash = Digest::of(b"x"));
    assert!(matches!(error, E::Block(BlockError::DataHash { height: Height(3), .. })));
    let error = refusal(|block| drop(block.body.transactions.pop()));
    assert!(matches!(error, E::Block(BlockError::DataHash { height: Height(3), .. })));
    let error = refusal(|block| block.header.validators_hash = Digest::of(b"x"));
    assert!(matches!(error, E::HeaderHash { field: "validators_hash", .. }));
    let error = refusal(|block| block.header.next_validators_hash = Digest::of(b"x"));
    assert!(matches!(error, E::HeaderHash { field: "next_validators_hash", .. }));
    let error = refusal(|block| block.header.proposer = ValidatorAddress([0; 20]));
    assert!(matches!(error, E::Proposer { height: Height(3), .. }));
}

#[test]
fn a_certificate_of_another_block_does_not_serve() {
    let Chain { keys, set, blocks } = chain(2);
    let mut verifier = ChainVerifier::new(&genesis(), set.clone());
    let other = block_after(None, &set, Digest::of(b"other"));
    let error = verifier.push(&blocks[0], &certify(&other, 0, &keys), &set).unwrap_err();
    assert!(matches!(error, VerifyError::CertificateSubject { height: Height(1), .. }));
    let mut bent = blocks[0].clone();
    bent.header.app_hash = Digest::of(b"another state");
    let error = verifier.push(&bent, &certify(&blocks[0], 0, &keys), &set).unwrap_err();
    assert!(matches!(error, VerifyError::CertificateSubject { .. }));
    let error = verifier.push(&blocks[0], &certify(&blocks[0], 0, &keys[..2]), &set).unwrap_err();
    assert!(matches!(error, VerifyError::Certificate(CertificateError::NotEnoughPower { .. })));
}
