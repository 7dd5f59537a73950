//! Cold verification of a ledger beside the cost of its bare Ed25519 verifications.
//!
//! `cargo bench -p fedledger-contract --bench verification` builds a ledger of over 10,000 entries
//! (members play rounds; every block has a certificate of all validators), then in turn replays it
//! from genesis as an auditor without blobs does, and verifies the very same signatures over the
//! very same bytes with `verify_strict` and nothing else, keys decoded beforehand. It prints the
//! best of both over several runs and their ratio; the aim is at most 2.
//!
//! Both are of one thread. Signatures are never verified in batches: a batch accepts what strict
//! verification refuses.
#![allow(clippy::disallowed_types, clippy::float_arithmetic, reason = "a bench measures time")]

#[path = "../examples/state_roots/consortium.rs"]
mod consortium;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use consortium::{chain_id, member_id, Consortium};
use ed25519_dalek::{Signature, VerifyingKey};
use fedledger_contract::canonical::Schema;
use fedledger_contract::{decide, Replayer, StateView};
use fedledger_ledger::block::{vote_sign_bytes, VoteType};
use fedledger_ledger::codec::to_canonical;
use fedledger_ledger::commitment::{Salt, UpdateOpening};
use fedledger_ledger::ids::{Digest, TaskId};
use fedledger_ledger::keys::{Domain, PublicKey};
use fedledger_ledger::task::{
    AggregationRule, NormBand, TaskSpec, TensorSpec, TrustPolicy, Weighting,
};
use fedledger_ledger::transaction::Action;

/// Entries that a ledger has at least.
const ENTRIES_MIN: usize = 10_000;
/// How often each side runs; the best counts, since load on the machine only adds.
const RUNS: usize = 5;

fn task_id() -> TaskId {
    TaskId::new("task").expect("a short slug is an id")
}

fn task(members: usize) -> TaskSpec {
    let tensors = vec![TensorSpec { name: "w".into(), shape: vec![3], scale_bits: 10 }];
    let schema = Schema::of_tensors(&tensors).expect("the tensors make a schema");
    TaskSpec {
        id: task_id(),
        description: "bench".into(),
        tensors,
        initial_model: schema.digest_of(&schema.zero_model()).expect("zeros are in range"),
        rounds: 100_000,
        rule: AggregationRule::TrimmedMean,
        byzantine: 1,
        weighting: Weighting::Uniform,
        norm_band: Some(NormBand { low_milli: 50, clip_milli: 1_500, high_milli: 4_000 }),
        trust: Some(TrustPolicy {
            outlier_milli: 3_000,
            outlier_cosine_milli: None,
            outlier_as_sent: false,
            strikes_to_quarantine: 3,
            clean_rounds_to_return: 3,
        }),
        evaluation: None,
        updates_min: members as u32 - 1,
        commit_window_ms: 1_000,
        reveal_window_ms: 1_000,
        decide_window_ms: 1_000,
        history: None,
    }
}

/// A ledger in which every member commits and reveals in every round, with its number of entries.
fn play(members: usize) -> (Consortium, usize) {
    let spec = task(members);
    let schema = Schema::of(&spec).expect("the schema can work");
    let zero = schema.encode(&schema.zero_model()).expect("zeros are in range");
    let mut blobs = BTreeMap::from([(Digest::of(&zero), zero)]);
    let mut consortium = Consortium::new(members, vec![spec]);
    let mut entries = 2;
    for round in 0.. {
        if entries >= ENTRIES_MIN {
            break;
        }
        let open = StateView::new(&consortium.state).round(&task_id()).expect("a round is open");
        let (mut commits, mut reveals) = (Vec::new(), Vec::new());
        for member in 0..members {
            let sign = if round % 2 == 0 { 1 } else { -1 };
            let values = [sign * 100, member as i32, sign * (7 + round % 5)];
            let bytes = schema.encode(&values).expect("the values are in range");
            let update = Digest::of(&bytes);
            blobs.insert(update, bytes);
            let opening = UpdateOpening {
                chain_id: chain_id(),
                task: task_id(),
                round: open.round,
                member: member_id(member),
                update,
                salt: Salt(update.0),
            };
            commits.push(Action::CommitUpdate {
                task: task_id(),
                round: open.round,
                base_model: open.base_model,
                commitment: opening.commitment(),
                num_examples: 100,
                byte_length: schema.byte_length(),
                claims: None,
                attestation: None,
            });
            let UpdateOpening { task, round, update, salt, .. } = opening;
            reveals.push(Action::RevealUpdate { task, round, update, salt });
        }
        for actions in [commits, reveals] {
            let signed = actions.into_iter().enumerate();
            let signed = signed.map(|(member, action)| consortium.sign(member, action)).collect();
            entries += consortium.block(1, signed, vec![]).entries.len();
        }
        let decided = decide(&consortium.state, &task_id(), &blobs).expect("every blob is there");
        blobs.extend(decided.blobs);
        entries += consortium.block(1, vec![], vec![decided.decision]).entries.len();
    }
    (consortium, entries)
}

/// One signature with what it takes to verify it.
struct Signed {
    key: VerifyingKey,
    bytes: Vec<u8>,
    signature: Signature,
}

/// Every signature of the ledger.
fn signatures(consortium: &Consortium) -> Vec<Signed> {
    let decoded = |key: &PublicKey| VerifyingKey::from_bytes(&key.0).expect("the key is usable");
    let members = &consortium.document.members;
    let member_keys: BTreeMap<_, _> =
        (0..members.len()).map(|at| (member_id(at), decoded(&members[at].keys.member))).collect();
    let validator_keys: BTreeMap<_, _> = members
        .iter()
        .map(|member| &member.keys.validator)
        .map(|key| (fedledger_ledger::block::ValidatorAddress::of(key), decoded(key)))
        .collect();
    let chain_id = &consortium.document.chain_id;
    let mut all = Vec::new();
    for (block, certificate) in &consortium.chain {
        all.extend(block.body.transactions.iter().map(|transaction| Signed {
            key: member_keys[&transaction.body.member],
            bytes: Domain::Transaction.message(&to_canonical(&transaction.body)),
            signature: Signature::from_bytes(&transaction.signature.0),
        }));
        let (kind, height) = (VoteType::Precommit, certificate.height);
        let bytes =
            vote_sign_bytes(chain_id, kind, height, certificate.round, Some(certificate.block));
        all.extend(certificate.signatures.iter().map(|(address, signature)| Signed {
            key: validator_keys[address],
            bytes: bytes.clone(),
            signature: Signature::from_bytes(&signature.0),
        }));
    }
    all
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn replay(consortium: &Consortium) {
    let mut replayer = Replayer::new(&consortium.document).expect("genesis can work");
    for (block, certificate) in &consortium.chain {
        black_box(replayer.push(block, certificate, None).expect("the ledger is sound"));
    }
}

fn verify(signatures: &[Signed]) {
    for Signed { key, bytes, signature } in signatures {
        black_box(key).verify_strict(bytes, signature).expect("the signature holds");
    }
}

fn main() {
    println!("members  blocks  entries  signatures  replay ms  bare ms  ratio");
    for members in [4, 7, 13] {
        let (consortium, entries) = play(members);
        let signatures = signatures(&consortium);
        let (mut replayed, mut bare) = (Duration::MAX, Duration::MAX);
        for _ in 0..RUNS {
            replayed = replayed.min(timed(|| replay(&consortium)));
            bare = bare.min(timed(|| verify(&signatures)));
        }
        println!(
            "{members:>7}  {:>6}  {entries:>7}  {:>10}  {:>9.1}  {:>7.1}  {:>5.2}",
            consortium.chain.len(),
            signatures.len(),
            replayed.as_secs_f64() * 1e3,
            bare.as_secs_f64() * 1e3,
            replayed.as_secs_f64() / bare.as_secs_f64(),
        );
    }
}
