//! What somebody makes of the chain who has CometBFT's light client and an ICS23 verifier, and our
//! specifications: headers, commits, validators and proofs are put together from what the API gives
//! as `docs/spec/block.md` and `docs/spec/state.md` say, by none of the conversions of our own.

use std::time::Duration;

use fedledger_ledger::block::{BlockHeader, CommitCertificate};
use fedledger_ledger::codec::from_canonical;
use fedledger_ledger::genesis::Genesis;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_node::api::types::{BlockView, StateView};
use ics23::{CommitmentProof, HostFunctionsManager};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tendermint::block::header::Version;
use tendermint::block::signed_header::SignedHeader;
use tendermint::block::{self, parts, Commit, CommitSig, Header};
use tendermint::validator::{self, ProposerPriority};
use tendermint::{account, chain, vote, AppHash, Hash, Time};
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{TrustedBlockState, UntrustedBlockState};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier as _};

use super::Consortium;

fn hash(digest: Digest) -> Hash {
    Hash::Sha256(digest.0)
}

fn id(digest: Digest) -> block::Id {
    let part_set_header = parts::Header::new(1, hash(digest)).expect("one part");
    block::Id { hash: hash(digest), part_set_header }
}

fn header(ours: &BlockHeader) -> Header {
    let empty = Some(Hash::Sha256(Sha256::digest(b"").into()));
    Header {
        version: Version { block: 11, app: 1 },
        chain_id: chain::Id::try_from(ours.chain_id.as_str()).expect("ours are shorter"),
        height: ours.height.0.try_into().expect("heights fit 63 bits"),
        time: Time::from_unix_timestamp(
            (ours.time.0 / 1_000) as i64,
            (ours.time.0 % 1_000) as u32 * 1_000_000,
        )
        .unwrap(),
        last_block_id: ours.last_block_id.map(id),
        last_commit_hash: empty,
        data_hash: Some(hash(ours.data_hash)),
        validators_hash: hash(ours.validators_hash),
        next_validators_hash: hash(ours.next_validators_hash),
        consensus_hash: Hash::Sha256(Sha256::digest(b"fedledger/consensus-params/v1").into()),
        app_hash: AppHash::try_from(ours.app_hash.0.to_vec()).expect("any bytes"),
        last_results_hash: empty,
        evidence_hash: empty,
        proposer_address: account::Id::new(ours.proposer.0),
    }
}

/// One slot for each validator, absent where there is no signature.
fn commit(ours: &CommitCertificate, validators: &validator::Set) -> Commit {
    let slot = |validator: &validator::Info| {
        let of = |address: &[u8; 20]| address[..] == *validator.address.as_bytes();
        match ours.signatures.iter().find(|(signer, _)| of(&signer.0)) {
            None => CommitSig::BlockIdFlagAbsent,
            Some((_, signature)) => CommitSig::BlockIdFlagCommit {
                validator_address: validator.address,
                timestamp: Time::unix_epoch(),
                signature: tendermint::Signature::new(signature.0).expect("64 bytes"),
            },
        }
    };
    Commit {
        height: ours.height.0.try_into().expect("heights fit 63 bits"),
        round: ours.round.try_into().expect("rounds fit 31 bits"),
        block_id: id(ours.block),
        signatures: validators.validators().iter().map(slot).collect(),
    }
}

/// The founders' validator keys, a vote each.
fn validators(genesis: &Genesis) -> validator::Set {
    let infos = genesis.members.iter().map(|member| {
        let key =
            tendermint::PublicKey::from_raw_ed25519(&member.keys.validator.0).expect("32 bytes");
        validator::Info {
            address: account::Id::from(key),
            pub_key: key,
            power: vote::Power::from(1u32),
            name: None,
            proposer_priority: ProposerPriority::default(),
        }
    });
    validator::Set::without_proposer(infos.collect())
}

/// Whether the light client takes `next` for a block of the chain in which it trusts `trusted`.
fn follows(trusted: &Header, next: &SignedHeader, validators: &validator::Set) -> bool {
    let options = Options {
        trust_threshold: tendermint::trust_threshold::TrustThresholdFraction::TWO_THIRDS,
        trusting_period: Duration::from_secs(14 * 24 * 3_600),
        clock_drift: Duration::from_secs(10),
    };
    let verdict = ProdVerifier::default().verify_update_header(
        UntrustedBlockState { signed_header: next, validators, next_validators: Some(validators) },
        TrustedBlockState {
            chain_id: &trusted.chain_id,
            header_time: trusted.time,
            height: trusted.height,
            next_validators: validators,
            next_validators_hash: trusted.next_validators_hash,
        },
        &options,
        next.header.time,
    );
    verdict == Verdict::Success
}

/// `docs/spec/state.md`.
fn proof_spec() -> ics23::ProofSpec {
    let sha256: i32 = ics23::HashOp::Sha256.into();
    let node = b"JMT::IntrnalNode".len() as i32;
    ics23::ProofSpec {
        leaf_spec: Some(ics23::LeafOp {
            hash: sha256,
            prehash_key: sha256,
            prehash_value: sha256,
            length: ics23::LengthOp::NoPrefix.into(),
            prefix: b"JMT::LeafNode".to_vec(),
        }),
        inner_spec: Some(ics23::InnerSpec {
            hash: sha256,
            child_order: vec![0, 1],
            min_prefix_length: node,
            max_prefix_length: node,
            child_size: 32,
            empty_child: b"SPARSE_MERKLE_PLACEHOLDER_HASH__".to_vec(),
        }),
        min_depth: 0,
        max_depth: 64,
        prehash_key_before_comparison: true,
    }
}

impl Consortium {
    fn block(&self, member: usize, height: Height) -> (BlockHeader, CommitCertificate) {
        let view: BlockView =
            self.client(member).get(&format!("/v1/blocks/{height}")).expect("a decided block");
        let header = hex::decode(view.header).expect("hexadecimal");
        let header: BlockHeader = from_canonical("header", &header, 1 << 20).expect("canonical");
        let certificate = hex::decode(view.certificate).expect("hexadecimal");
        (header, CommitCertificate::from_bytes(&certificate).expect("canonical"))
    }

    /// Follows the chain of a running node from its first header, one by one and at a leap, and
    /// returns the header of its tip.
    pub fn follow_as_light_client(&self, member: usize) -> BlockHeader {
        let genesis: Genesis = self.client(member).get("/v1/genesis").expect("every node has it");
        let validators = validators(&genesis);
        let tip = self.height(member);
        assert!(tip.0 > 2, "a chain of {tip} blocks shows nothing");
        let blocks: Vec<_> = (1..=tip.0).map(|at| self.block(member, Height(at))).collect();
        let signed = |(ours, certificate): &(BlockHeader, CommitCertificate)| {
            SignedHeader::new(header(ours), commit(certificate, &validators))
                .expect("the certificate is of the header")
        };
        for pair in blocks.windows(2) {
            let next = signed(&pair[1]);
            assert_eq!(next.header.hash(), hash(pair[1].1.block), "block {}", pair[1].0.height);
            assert!(follows(&header(&pair[0].0), &next, &validators), "block {}", pair[1].0.height);
        }
        let (first, last) = (header(&blocks[0].0), &blocks[blocks.len() - 1]);
        assert!(follows(&first, &signed(last), &validators), "from the first to the last");

        // And what is bent is refused.
        let mut bent = last.clone();
        bent.0.app_hash.0[31] ^= 1;
        assert!(!follows(&first, &signed(&bent), &validators), "another state root");
        let mut bent = last.clone();
        bent.1.signatures[0].1 .0[7] ^= 1;
        assert!(!follows(&first, &signed(&bent), &validators), "a bent signature");
        let mut bent = last.clone();
        bent.1.signatures.truncate(2);
        assert!(!follows(&first, &signed(&bent), &validators), "two of four signatures");
        last.0.clone()
    }

    /// Checks with an ICS23 verifier that a node gives the value under `key` that the state of a
    /// header has, and that a bent value does not pass.
    pub fn check_state_proof(&self, member: usize, key: &str, header: &BlockHeader) {
        let path = format!("/v1/state/{}?height={}", hex::encode(key), header.height);
        let view: StateView = self.client(member).get(&path).expect("a key of the state");
        let proof = hex::decode(view.proof).expect("hexadecimal");
        let proof = CommitmentProof::decode(&proof[..]).expect("an ICS23 proof");
        let root = header.app_hash.0.to_vec();
        let holds = |key: &str, value: &[u8]| {
            let (spec, key) = (proof_spec(), key.as_bytes());
            ics23::verify_membership::<HostFunctionsManager>(&proof, &spec, &root, key, value)
        };
        let mut value =
            hex::decode(view.value.expect("the state has the key")).expect("hexadecimal");
        assert!(holds(key, &value), "the proof of `{key}`");
        assert!(!holds("another/key", &value), "the proof of `{key}` for another key");
        value[0] ^= 1;
        assert!(!holds(key, &value), "a bent value of `{key}`");
    }

    /// Checks with an ICS23 verifier that the state of a header has nothing under `key`.
    pub fn check_absence_proof(&self, member: usize, key: &str, header: &BlockHeader) {
        let path = format!("/v1/state/{}?height={}", hex::encode(key), header.height);
        let view: StateView = self.client(member).get(&path).expect("a key of the state");
        assert_eq!(view.value, None, "`{key}` has a value");
        let proof = hex::decode(view.proof).expect("hexadecimal");
        let proof = CommitmentProof::decode(&proof[..]).expect("an ICS23 proof");
        let root = header.app_hash.0.to_vec();
        let (spec, key) = (proof_spec(), key.as_bytes());
        assert!(ics23::verify_non_membership::<HostFunctionsManager>(&proof, &spec, &root, key));
    }
}
