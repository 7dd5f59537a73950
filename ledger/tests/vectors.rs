//! The golden vectors of `docs/spec/vectors`, which a generator in another language made.

use fedledger_ledger::block::{
    vote_sign_bytes, Block, CommitCertificate, ValidatorAddress, ValidatorSet, VoteType,
};
use fedledger_ledger::commitment::UpdateOpening;
use fedledger_ledger::ids::{ChainId, Digest, Height, MemberId, Nonce};
use fedledger_ledger::keys::{PublicKey, Signature};
use fedledger_ledger::log::{
    consistency_path, inclusion_path, leaf_hash, root_of, verify_consistency, verify_inclusion,
};
use fedledger_ledger::state::MemoryState;
use fedledger_ledger::transaction::{Action, ClassLoss, Transaction};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../docs/spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value[name].as_array().unwrap_or_else(|| panic!("no list `{name}`"));
    assert!(!list.is_empty(), "`{name}` is empty");
    list
}

fn get<T: DeserializeOwned>(value: &Value, name: &str) -> T {
    serde_json::from_value(value[name].clone()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(get::<String>(value, name)).unwrap()
}

/// What the valid transaction of that name in the vectors does.
fn action_of(what: &str) -> Action {
    let all = vectors("transactions");
    let case = list(&all, "valid").iter().find(|case| case["what"] == what);
    let case = case.unwrap_or_else(|| panic!("the vectors have no {what:?}"));
    Transaction::from_bytes(&bytes(case, "bytes")).expect("it is listed as valid").body.action
}

#[test]
fn votes() {
    for case in list(&vectors("votes"), "valid") {
        let kind: VoteType = get(case, "type");
        let chain_id: ChainId = get(case, "chain_id");
        let height = Height(get(case, "height"));
        let made = vote_sign_bytes(&chain_id, kind, height, get(case, "round"), get(case, "block"));
        assert_eq!(hex::encode(made), get::<String>(case, "bytes"), "{case}");
    }
}

#[test]
fn validators() {
    let all = vectors("validators");
    for case in list(&all, "valid") {
        let given = list(case, "given").iter().map(|v| (get(v, "key"), get(v, "power")));
        let set = ValidatorSet::new(given).unwrap();
        let addresses: Vec<_> = set.validators().iter().map(|v| v.address).collect();
        assert_eq!(addresses, get::<Vec<ValidatorAddress>>(case, "addresses"));
        assert_eq!(set.hash(), get(case, "hash"));
        assert_eq!(set.to_bytes(), bytes(case, "bytes"));
        assert_eq!(ValidatorSet::from_bytes(&set.to_bytes()).unwrap(), set);
    }
    for case in list(&all, "tampered") {
        assert!(ValidatorSet::from_bytes(&bytes(case, "bytes")).is_err(), "{}", case["what"]);
    }
}

#[test]
fn commitments() {
    let all = vectors("commitments");
    let opening = |case: &Value| UpdateOpening {
        chain_id: get(case, "chain_id"),
        task: get(case, "task"),
        round: get(case, "round"),
        member: get(case, "member"),
        update: get(case, "update"),
        salt: get(case, "salt"),
    };
    for case in list(&all, "valid") {
        let opening = opening(case);
        assert_eq!(opening.commitment(), get(case, "commitment"));
        assert_eq!(opening.to_bytes(), bytes(case, "bytes"));
        assert_eq!(UpdateOpening::from_bytes(&opening.to_bytes()).unwrap(), opening);
    }
    let good: Digest = get(&list(&all, "valid")[0], "commitment");
    for case in list(&all, "tampered") {
        assert_ne!(opening(case).commitment(), good, "{}", case["what"]);
    }
    // The commitment in the transactions' vectors is the first one here, and the reveal opens it.
    let Action::CommitUpdate { commitment, .. } = action_of("commit") else {
        panic!("no commitment")
    };
    assert_eq!(commitment, good);
    let Action::RevealUpdate { update, salt, .. } = action_of("reveal") else {
        panic!("no reveal")
    };
    let first = opening(&list(&all, "valid")[0]);
    assert_eq!((update, salt), (first.update, first.salt));
}

#[test]
fn transactions() {
    let all = vectors("transactions");
    for case in list(&all, "valid") {
        let bytes = bytes(case, "bytes");
        let transaction = Transaction::from_bytes(&bytes).unwrap_or_else(|error| {
            panic!("{}: {error}", case["what"]);
        });
        assert_eq!(transaction.to_bytes(), bytes);
        assert_eq!(transaction.digest(), get(case, "digest"));
        assert_eq!(transaction.body.member, get::<MemberId>(case, "member"));
        assert_eq!(transaction.body.nonce, get::<Nonce>(case, "nonce"));
        assert_eq!(transaction.signature, get::<Signature>(case, "signature"));
        assert!(transaction.is_signed_by(&get(case, "key")), "{}", case["what"]);
    }
    for case in list(&all, "tampered") {
        let key: PublicKey = get(case, "key");
        let accepted =
            Transaction::from_bytes(&bytes(case, "bytes")).is_ok_and(|tx| tx.is_signed_by(&key));
        assert!(!accepted, "{} was accepted", case["what"]);
    }
}

#[test]
fn an_evaluation_by_class_has_a_loss_and_a_count_for_each() {
    let find = |what: &str| match action_of(what) {
        Action::SubmitEvaluation { scores, .. } => scores,
        action => panic!("{what}: no scores in {action:?}"),
    };
    assert!(find("evaluation").iter().all(|score| score.classes.is_empty()));
    let class = |loss_micro, num_examples| ClassLoss { loss_micro, num_examples };
    let expected = [class(200_000, 40), class(1_634_000, 21), class(0, 0)];
    assert!(find("evaluation by class").iter().all(|score| score.classes == expected));
}

#[test]
fn blocks() {
    for case in list(&vectors("blocks"), "valid") {
        let bytes = bytes(case, "bytes");
        let block = Block::from_bytes(&bytes).unwrap();
        assert_eq!(block.to_bytes(), bytes);
        assert_eq!(block.header, get(case, "header"));
        assert_eq!(block.hash(), get(case, "hash"));
        block.check_consistency().unwrap();
        let set = ValidatorSet::of_equals(get::<Vec<PublicKey>>(case, "validators")).unwrap();
        assert_eq!(block.header.validators_hash, set.hash());
        let certificate = CommitCertificate::from_bytes(
            &hex::decode(get::<String>(case, "certificate")).unwrap(),
        )
        .unwrap();
        assert_eq!(certificate.block, block.hash());
        certificate.verify(&block.header.chain_id, &set).unwrap();

        let mut bent = certificate.clone();
        bent.signatures.pop();
        assert!(bent.verify(&block.header.chain_id, &set).is_err());
        let mut bent = block.clone();
        bent.header.data_hash.0[0] ^= 1;
        assert_ne!(bent.hash(), block.hash());
        assert!(bent.check_consistency().is_err());
    }
}

#[test]
fn log() {
    let all = vectors("log");
    let entries: Vec<String> = get(&all, "entries");
    let hashes: Vec<_> =
        entries.iter().map(|entry| leaf_hash(&hex::decode(entry).unwrap())).collect();
    assert_eq!(hashes, get::<Vec<Digest>>(&all, "leaf_hashes"));
    let roots: Vec<Digest> = get(&all, "roots");
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(root_of(hashes[..size].iter().copied()), *root, "size {size}");
    }
    for case in list(&all, "inclusion") {
        let (index, size): (u64, u64) = (get(case, "index"), get(case, "size"));
        let path: Vec<Digest> = get(case, "path");
        assert_eq!(inclusion_path(&hashes, index, size).unwrap(), path);
        let (leaf, root) = (&hashes[index as usize], &roots[size as usize]);
        verify_inclusion(leaf, index, size, root, &path).unwrap();
    }
    for case in list(&all, "consistency") {
        let (first, second): (u64, u64) = (get(case, "first"), get(case, "second"));
        let path: Vec<Digest> = get(case, "path");
        assert_eq!(consistency_path(&hashes, first, second).unwrap(), path);
        let (old, new) = (&roots[first as usize], &roots[second as usize]);
        verify_consistency(first, second, old, new, &path).unwrap();
    }
    for case in list(&all, "tampered_inclusion") {
        let (leaf, index, size): (usize, u64, u64) =
            (get(case, "leaf"), get(case, "index"), get(case, "size"));
        let path: Vec<Digest> = get(case, "path");
        let checked = verify_inclusion(&hashes[leaf], index, size, &roots[11], &path);
        assert!(checked.is_err(), "{}", case["what"]);
    }
    for case in list(&all, "tampered_consistency") {
        let (first, second): (u64, u64) = (get(case, "first"), get(case, "second"));
        let path: Vec<Digest> = get(case, "path");
        let checked = verify_consistency(first, second, &roots[6], &roots[11], &path);
        assert!(checked.is_err(), "{}", case["what"]);
    }
}

#[test]
fn state() {
    for case in list(&vectors("state"), "valid") {
        let pairs = case["pairs"].as_array().unwrap();
        let writes =
            pairs.iter().map(|pair| (bytes(pair, "key"), Some(bytes(pair, "value")))).collect();
        let root = MemoryState::new().apply(0, &writes).unwrap();
        assert_eq!(root, get(case, "root"), "{} pairs", pairs.len());
    }
}
