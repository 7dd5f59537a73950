use std::time::Duration;

use ed25519_dalek::SigningKey;
use tendermint::block::signed_header::SignedHeader;
use tendermint::{block, chain, vote, Time};
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{TrustedBlockState, UntrustedBlockState};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};
use tendermint_proto::v0_38::types::CanonicalVote as RawVote;
use tendermint_proto::Protobuf;

use super::*;
use crate::ids::{MemberId, Nonce};
use crate::keys::{sign_raw, PublicKey, Signature};
use crate::transaction::{Action, TransactionBody};

pub(crate) fn chain_id() -> ChainId {
    ChainId::new("test-1").unwrap()
}

pub(crate) fn keys(n: u8) -> Vec<SigningKey> {
    (1..=n).map(|i| SigningKey::from_bytes(&[i; 32])).collect()
}

pub(crate) fn set_of(keys: &[SigningKey]) -> ValidatorSet {
    ValidatorSet::of_equals(keys.iter().map(PublicKey::of)).unwrap()
}

pub(crate) fn certify(block: &Block, round: u32, keys: &[SigningKey]) -> CommitCertificate {
    let header = &block.header;
    let id = Some(block.hash());
    let message = vote_sign_bytes(&header.chain_id, VoteType::Precommit, header.height, round, id);
    let signatures =
        keys.iter().map(|key| (ValidatorAddress::of(&PublicKey::of(key)), sign_raw(key, &message)));
    CommitCertificate::new(header.height, round, block.hash(), signatures)
}

pub(crate) fn transaction(nonce: u64) -> Transaction {
    let body = TransactionBody {
        chain_id: chain_id(),
        member: MemberId::new("a").unwrap(),
        nonce: Nonce(nonce),
        action: Action::Approve { change: Digest::of(&nonce.to_be_bytes()) },
    };
    Transaction::sign(body, &SigningKey::from_bytes(&[9; 32]))
}

/// A block with one transaction on top of `parent`; all validators stay.
pub(crate) fn block_after(parent: Option<&Block>, set: &ValidatorSet, app_hash: Digest) -> Block {
    let height = parent.map_or(Height(1), |parent| parent.header.height.next());
    let body = BlockBody { transactions: vec![transaction(height.0)], decisions: Vec::new() };
    let header = BlockHeader {
        chain_id: chain_id(),
        height,
        time: TimeMs(1_700_000_000_000 + height.0 * 1_234),
        last_block_id: parent.map(Block::hash),
        data_hash: body.data_hash(),
        validators_hash: set.hash(),
        next_validators_hash: set.hash(),
        app_hash,
        proposer: set.validators()[0].address,
    };
    Block { header, body }
}

#[test]
fn block_bytes_round_trip_and_every_bent_byte_is_refused() {
    let set = set_of(&keys(4));
    let first = block_after(None, &set, Digest::of(b"1"));
    let block = block_after(Some(&first), &set, Digest::of(b"2"));
    let bytes = block.to_bytes();
    assert_eq!(Block::from_bytes(&bytes).unwrap(), block);
    block.check_consistency().unwrap();
    let hash = block.hash();
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        let accepted = Block::from_bytes(&bent)
            .is_ok_and(|bent| bent.check_consistency().is_ok() && bent.hash() == hash);
        assert!(!accepted, "byte {at} can be changed");
    }
    assert!(Block::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn limits_of_a_block_hold() {
    let set = set_of(&keys(1));
    let mut block = block_after(None, &set, Digest::of(b"1"));
    block.body.transactions = vec![transaction(1); BLOCK_TRANSACTIONS_MAX + 1];
    assert!(matches!(
        Block::from_bytes(&block.to_bytes()),
        Err(BlockError::TooMany { what: "transactions", found: 2_001, max: 2_000, .. })
    ));
    assert!(matches!(
        Block::from_bytes(&vec![0; BLOCK_BYTES_MAX + BLOCK_HEADER_BYTES_MAX + 1]),
        Err(BlockError::Codec(CodecError::TooLong { .. }))
    ));
}

#[test]
fn headers_outside_the_range_of_cometbft_are_not_decoded() {
    let set = set_of(&keys(1));
    let good = block_after(None, &set, Digest::of(b"1"));
    let bend = |change: fn(&mut BlockHeader)| {
        let mut block = good.clone();
        change(&mut block.header);
        block
    };
    for (what, bent) in [
        ("height 0", bend(|header| header.height = Height(0))),
        ("height 2^63", bend(|header| header.height = Height(1 << 63))),
        ("no parent", bend(|header| header.height = Height(2))),
        ("parent of the first", bend(|header| header.last_block_id = Some(header.app_hash))),
        ("year 10000", bend(|header| header.time = TimeMs(BLOCK_TIME_MAX.0 + 1))),
    ] {
        assert!(Block::from_bytes(&bent.to_bytes()).is_err(), "{what}");
        assert!(bent.check_consistency().is_err(), "{what}");
    }
    let last = bend(|header| header.time = BLOCK_TIME_MAX);
    assert_eq!(Block::from_bytes(&last.to_bytes()).unwrap().hash(), last.hash());
}

#[test]
fn data_hash_covers_order_and_every_item() {
    let body = |nonces: &[u64]| BlockBody {
        transactions: nonces.iter().map(|nonce| transaction(*nonce)).collect(),
        decisions: Vec::new(),
    };
    let all = [body(&[]), body(&[1]), body(&[1, 2]), body(&[2, 1]), body(&[1, 2, 2])];
    let hashes: std::collections::BTreeSet<_> = all.iter().map(BlockBody::data_hash).collect();
    assert_eq!(hashes.len(), all.len());
    let leaves: Vec<_> =
        all[2].transactions.iter().map(|transaction| transaction.digest().0).collect();
    let theirs = tendermint::merkle::simple_hash_from_byte_vectors::<sha2::Sha256>(&leaves);
    assert_eq!(all[2].data_hash().0, theirs);
}

#[test]
fn vote_bytes_are_those_of_the_tendermint_crate() {
    let ids = ["a", "test-1", &"x".repeat(50)].map(|id| ChainId::new(id).unwrap());
    for chain_id in &ids {
        for (height, round) in
            [(1, 0), (7, 1), (u64::from(u32::MAX), 300), (i64::MAX as u64, i32::MAX as u32)]
        {
            for (kind, theirs) in [
                (VoteType::Prevote, vote::Type::Prevote),
                (VoteType::Precommit, vote::Type::Precommit),
            ] {
                for id in [None, Some(Digest::of(b"block"))] {
                    let ours = vote_sign_bytes(chain_id, kind, Height(height), round, id);
                    let canonical = vote::CanonicalVote {
                        vote_type: theirs,
                        height: height.try_into().unwrap(),
                        round: round.try_into().unwrap(),
                        block_id: id.map(|id| block::Id {
                            hash: tendermint::Hash::Sha256(id.0),
                            part_set_header: block::parts::Header::new(
                                1,
                                tendermint::Hash::Sha256(id.0),
                            )
                            .unwrap(),
                        }),
                        timestamp: Some(Time::unix_epoch()),
                        chain_id: chain::Id::try_from(chain_id.as_str()).unwrap(),
                    };
                    let expected = Protobuf::<RawVote>::encode_length_delimited_vec(canonical);
                    assert_eq!(
                        hex::encode(ours),
                        hex::encode(expected),
                        "{height}/{round} {kind:?}"
                    );
                }
            }
        }
    }
    // Numbers of a hostile peer do not panic.
    vote_sign_bytes(&ids[2], VoteType::Prevote, Height(u64::MAX), u32::MAX, Some(Digest::of(b"")));
}

#[test]
fn validator_sets_are_ordered_checked_and_read_back() {
    let keys: Vec<_> = keys(5).iter().map(PublicKey::of).collect();
    let powers = [3, 1, 7, 1, 3];
    let set = ValidatorSet::new(keys.iter().copied().zip(powers)).unwrap();
    let reversed =
        ValidatorSet::new(keys.iter().copied().zip(powers).collect::<Vec<_>>().into_iter().rev());
    assert_eq!(reversed.as_ref(), Ok(&set));
    assert_eq!(set.validators()[0].power, 7);
    assert_eq!(set.total_power(), 15);
    assert!(!set.is_quorum(10) && set.is_quorum(11));
    assert_eq!(ValidatorSet::from_bytes(&set.to_bytes()).unwrap(), set);
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<ValidatorSet>(&json).unwrap(), set);

    let error = |keys: Vec<(PublicKey, u64)>| ValidatorSet::new(keys).unwrap_err();
    assert!(matches!(error(vec![]), ValidatorSetError::Count { .. }));
    assert!(matches!(error(vec![(keys[0], 0)]), ValidatorSetError::Power { .. }));
    assert!(matches!(error(vec![(keys[0], u64::MAX)]), ValidatorSetError::Power { .. }));
    assert!(matches!(error(vec![(keys[0], 1), (keys[0], 2)]), ValidatorSetError::Duplicate { .. }));
    assert!(matches!(error(vec![(PublicKey([0; 32]), 1)]), ValidatorSetError::UnusableKey { .. }));
    let mut bytes = set.to_bytes();
    // The last validator's power 1 becomes 2: the order no longer holds.
    *bytes.last_mut().unwrap() = 2;
    assert!(ValidatorSet::from_bytes(&bytes).is_err());
}

#[test]
fn a_certificate_needs_more_than_two_thirds_of_known_distinct_strict_signers() {
    let keys = keys(6);
    let set = set_of(&keys[..4]);
    let block = block_after(None, &set, Digest::of(b"1"));
    let verify = |certificate: &CommitCertificate| certificate.verify(&chain_id(), &set);
    let good = certify(&block, 2, &keys[..3]);
    verify(&good).unwrap();
    assert_eq!(CommitCertificate::from_bytes(&good.to_bytes()).unwrap(), good);
    assert!(matches!(
        verify(&certify(&block, 2, &keys[..2])),
        Err(CertificateError::NotEnoughPower { signed: 2, total: 4, .. })
    ));
    assert!(matches!(
        verify(&certify(&block, 2, &keys[1..5])),
        Err(CertificateError::UnknownSigner { .. })
    ));
    let mut twice = certify(&block, 2, &keys[..2]);
    twice.signatures.push(twice.signatures[1]);
    assert!(matches!(verify(&twice), Err(CertificateError::Order { .. })));
    assert!(CommitCertificate::from_bytes(&twice.to_bytes()).is_err());

    let wrong = |change: fn(&mut CommitCertificate)| {
        let mut bent = good.clone();
        change(&mut bent);
        matches!(verify(&bent), Err(CertificateError::WrongSignature { .. }))
    };
    assert!(wrong(|certificate| certificate.round = 1));
    assert!(wrong(|certificate| certificate.height = Height(2)));
    assert!(wrong(|certificate| certificate.block.0[0] ^= 1));
    assert!(wrong(|certificate| certificate.signatures[2].1 = Signature([0; 64])));
    assert!(good.verify(&ChainId::new("test-2").unwrap(), &set).is_err());
}

/// Asks `tendermint-light-client-verifier` whether `second` follows the trusted `first`.
fn light_client(
    first: &Block,
    second: &SignedHeader,
    set: &ValidatorSet,
    next: &ValidatorSet,
) -> Verdict {
    let trusted_next = set.to_tendermint();
    let chain = chain::Id::try_from(first.header.chain_id.as_str()).unwrap();
    let trusted = first.header.to_tendermint().unwrap();
    let options = Options {
        trust_threshold: tendermint::trust_threshold::TrustThresholdFraction::TWO_THIRDS,
        trusting_period: Duration::from_secs(3_600),
        clock_drift: Duration::from_secs(1),
    };
    ProdVerifier::default().verify_update_header(
        UntrustedBlockState {
            signed_header: second,
            validators: &set.to_tendermint(),
            next_validators: Some(&next.to_tendermint()),
        },
        TrustedBlockState {
            chain_id: &chain,
            header_time: trusted.time,
            height: trusted.height,
            next_validators: &trusted_next,
            next_validators_hash: trusted.next_validators_hash,
        },
        &options,
        (trusted.time + Duration::from_secs(60)).unwrap(),
    )
}

#[test]
fn the_tendermint_light_client_accepts_headers_and_commits_and_rejects_tampered_ones() {
    let keys = keys(4);
    let set = set_of(&keys);
    let first = block_after(None, &set, Digest::of(b"1"));
    let second = block_after(Some(&first), &set, Digest::of(b"2"));
    let certificate = certify(&second, 1, &keys[..3]);
    let good = signed_header(&second.header, &certificate, &set).unwrap();
    assert_eq!(good.header.hash().as_bytes(), second.hash().0);
    assert_eq!(set.to_tendermint().hash().as_bytes(), set.hash().0);
    assert_eq!(light_client(&first, &good, &set, &set), Verdict::Success);

    let bend_header = |change: fn(&mut BlockHeader)| {
        let mut header = second.header.clone();
        change(&mut header);
        signed_header(&header, &certificate, &set).unwrap()
    };
    let bend_commit = |change: fn(&mut CommitCertificate)| {
        let mut bent = certificate.clone();
        change(&mut bent);
        signed_header(&second.header, &bent, &set).unwrap()
    };
    for (what, bent) in [
        ("chain id", bend_header(|header| header.chain_id = ChainId::new("test-2").unwrap())),
        ("time", bend_header(|header| header.time = TimeMs(header.time.0 + 1))),
        ("last block id", bend_header(|header| header.last_block_id = Some(header.app_hash))),
        ("data hash", bend_header(|header| header.data_hash = header.app_hash)),
        ("validators", bend_header(|header| header.validators_hash = header.app_hash)),
        ("next validators", bend_header(|header| header.next_validators_hash = header.app_hash)),
        ("app hash", bend_header(|header| header.app_hash.0[31] ^= 1)),
        ("proposer", bend_header(|header| header.proposer.0[0] ^= 1)),
        ("round", bend_commit(|commit| commit.round = 0)),
        ("block", bend_commit(|commit| commit.block.0[0] ^= 1)),
        ("signature", bend_commit(|commit| commit.signatures[0].1 .0[0] ^= 1)),
        ("too few", bend_commit(|commit| commit.signatures.truncate(2))),
    ] {
        assert_ne!(light_client(&first, &bent, &set, &set), Verdict::Success, "{what}");
    }
    let strangers = set_of(&super::tests::keys(7)[3..]);
    assert_ne!(light_client(&first, &good, &strangers, &set), Verdict::Success);
    assert_ne!(light_client(&first, &good, &set, &strangers), Verdict::Success);
}
