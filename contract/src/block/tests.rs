use std::collections::BTreeMap;

use fedledger_ledger::decision::{Measure, OutcomeResult, RoundFailure};
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::{ChainId, Digest, MemberId, Nonce};
use fedledger_ledger::state::LatestState;
use fedledger_ledger::task::{AggregationRule, TaskSpec};
use fedledger_ledger::transaction::CandidateScore;
use proptest::prelude::*;

use super::*;
use crate::check::{check_transaction, check_transaction_with, select_transactions};
use crate::decide::{decide, pending};
use crate::testing::{evaluation, member_id, task, task_id, Ledger, COMMIT_MS, D};

const HONEST: [(usize, [i32; D]); 4] =
    [(0, [100, 0, 7]), (1, [90, 4, 9]), (2, [110, -4, 5]), (3, [95, 2, 6])];

fn ledger() -> Ledger {
    Ledger::new(4, vec![task(1, 3)])
}

#[test]
fn blocks_follow_in_height_and_time_and_hold_something() {
    let ledger = ledger();
    let apply = |height, time, transactions: &[Transaction]| {
        let input = BlockInput { height, time, transactions, decisions: &[] };
        apply_block(&ledger.state, &input).map(drop)
    };
    let (one, later) = (Height(1), ledger.time.after(1));
    let wrong = BlockError::WrongHeight { expected: one, found: Height(2) };
    assert_eq!(apply(Height(2), later, &[]), Err(wrong));
    let still = BlockError::TimeNotAfter { previous: ledger.time, found: ledger.time };
    assert_eq!(apply(one, ledger.time, &[]), Err(still));
    assert_eq!(apply(one, later, &[]), Err(BlockError::Nothing));
    assert_eq!(apply(one, ledger.time.after(COMMIT_MS - 1), &[]), Err(BlockError::Nothing));
    assert_eq!(apply(one, ledger.time.after(COMMIT_MS), &[]), Ok(()));
    let many = vec![ledger.sign(0, Action::Approve { change: Digest::of(b"") }); 2_001];
    let too_many = BlockError::TooManyTransactions { found: 2_001, max: BLOCK_TRANSACTIONS_MAX };
    assert_eq!(apply(one, later, &many), Err(too_many));
    let empty: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let input = BlockInput { height: one, time: later, transactions: &[], decisions: &[] };
    assert_eq!(apply_block(&empty, &input).map(drop), Err(BlockError::NoGenesis));
}

/// What is wrong with a transaction, bent and signed again or not.
fn fault(bend: impl FnOnce(&mut Transaction), resign: bool) -> Option<TransactionFault> {
    let ledger = ledger();
    let mut transaction = ledger.sign(0, Action::Approve { change: Digest::of(b"") });
    bend(&mut transaction);
    if resign {
        transaction = Transaction::sign(transaction.body, &ledger.keys[&member_id(0)]);
    }
    let fault = check_transaction(&ledger.state, &transaction).err();
    let in_block = ledger.try_block(1, std::slice::from_ref(&transaction), &[]).map(drop);
    let expected = fault.clone().map(|fault| BlockError::Transaction { index: 0, fault });
    assert_eq!(in_block.err(), expected);
    fault
}

#[test]
fn a_transaction_that_binds_nobody_makes_its_block_invalid() {
    assert_eq!(fault(|_| {}, false), None);
    assert!(matches!(
        fault(|tx| tx.body.chain_id = ChainId::new("other").expect("a chain id"), true),
        Some(TransactionFault::WrongChain { .. })
    ));
    assert!(matches!(
        fault(|tx| tx.body.member = MemberId::new("stranger").expect("a member id"), true),
        Some(TransactionFault::UnknownMember { .. })
    ));
    assert!(matches!(
        fault(|tx| tx.signature.0[0] ^= 1, false),
        Some(TransactionFault::BadSignature { .. })
    ));
    assert!(matches!(
        fault(|tx| tx.body.member = member_id(1), false),
        Some(TransactionFault::BadSignature { .. })
    ));
    for nonce in [0, 2] {
        let member = member_id(0);
        let (expected, found) = (Nonce(1), Nonce(nonce));
        assert_eq!(
            fault(|tx| tx.body.nonce = found, true),
            Some(TransactionFault::WrongNonce { member, expected, found })
        );
    }
    let reason = "x".repeat(60_000);
    let change = Change::SuspendMember { member: member_id(1), reason };
    assert!(matches!(
        fault(|tx| tx.body.action = Action::ProposeChange { change }, true),
        Some(TransactionFault::TooLong { max: 60_000, .. })
    ));
}

#[test]
fn nonces_count_on_within_a_block_and_over_blocks() {
    let mut ledger = ledger();
    let action = || Action::Approve { change: Digest::of(b"") };
    let three: Vec<_> = (0..3).map(|ahead| ledger.sign_ahead(0, ahead, action())).collect();
    assert!(ledger.try_block(1, &[three[1].clone()], &[]).is_err());
    assert!(ledger.try_block(1, &[three[0].clone(), three[0].clone()], &[]).is_err());
    ledger.block(1, three.clone(), vec![]);
    assert!(ledger.try_block(1, &[three[0].clone()], &[]).is_err(), "a replay");
    ledger.block(1, vec![ledger.sign(0, action())], vec![]);
}

#[test]
fn a_proposer_selects_what_makes_a_valid_block() {
    let ledger = ledger();
    let action = || Action::Approve { change: Digest::of(b"") };
    let sign = |at, ahead| ledger.sign_ahead(at, ahead, action());
    let mut bent = sign(2, 0);
    bent.signature.0[0] ^= 1;
    let waiting = [sign(0, 1), sign(0, 0), bent, sign(1, 0), sign(0, 1), sign(1, 0), sign(3, 5)];
    let selected =
        select_transactions(&mut ExecutionCache::default(), &ledger.state, &waiting, usize::MAX);
    let expected = [&waiting[1], &waiting[3], &waiting[4]];
    assert!(selected.iter().eq(expected), "{selected:?}");
    ledger.try_block(1, &selected, &[]).expect("the block follows the state");
    let bytes = waiting[1].to_bytes().len();
    assert_eq!(
        select_transactions(&mut ExecutionCache::default(), &ledger.state, &waiting, bytes).len(),
        1
    );
}

/// A ledger that waits for an outcome, with that outcome.
fn deciding() -> (Ledger, Decision) {
    let mut ledger = ledger();
    ledger.commit_all(&HONEST);
    ledger.reveal_all(0..4);
    let decision = ledger.decide();
    (ledger, decision)
}

/// What is wrong with a decision once it is bent.
fn decision_fault(bend: impl FnOnce(&mut Decision)) -> DecisionFault {
    let (ledger, mut decision) = deciding();
    bend(&mut decision);
    match ledger.try_block(1, &[], &[decision]) {
        Err(BlockError::Decision { index: 0, fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

fn bend_outcome(
    decision: &mut Decision,
    bend: impl FnOnce(&mut OutcomeResult, &mut Vec<fedledger_ledger::decision::UpdateVerdict>),
) {
    let Decision::Outcome { result, verdicts, .. } = decision else { panic!("an outcome") };
    bend(result, verdicts);
}

fn decision_fault_of_result(bend: impl FnOnce(&mut OutcomeResult)) -> DecisionFault {
    decision_fault(|decision| bend_outcome(decision, |result, _| bend(result)))
}

#[test]
fn decisions_that_nobody_waits_for_make_their_block_invalid() {
    use DecisionFault as F;
    let fault = decision_fault(|decision| {
        if let Decision::Outcome { task, .. } = decision {
            *task = TaskId::new("elsewhere").expect("a task id");
        }
    });
    assert_eq!(fault, F::TaskNotRunning);
    let fault = decision_fault(|decision| {
        if let Decision::Outcome { round, .. } = decision {
            *round = RoundNumber(7);
        }
    });
    assert_eq!(fault, F::WrongRound { expected: RoundNumber(1) });
    let fault = decision_fault(|decision| {
        let candidates = Vec::new();
        *decision = Decision::Candidates { task: task_id(), round: RoundNumber(1), candidates };
    });
    assert!(matches!(fault, F::WrongPhase { .. }));
    let fault = decision_fault_of_result(|result| {
        if let OutcomeResult::Aggregated { base_model, .. } = result {
            *base_model = Digest::of(b"another");
        }
    });
    assert!(matches!(fault, F::WrongBaseModel { .. }));
    let fault = decision_fault_of_result(|result| {
        if let OutcomeResult::Aggregated { chosen, .. } = result {
            chosen.rule = AggregationRule::Mean;
        }
    });
    assert_eq!(fault, F::NotOffered);
    for failure in [RoundFailure::NotDecided, RoundFailure::TooFewCommitments] {
        let fault = decision_fault_of_result(|result| *result = OutcomeResult::Failed { failure });
        assert_eq!(fault, F::NotToDecide { failure });
    }
    let fault = decision_fault(|d| bend_outcome(d, |_, verdicts| drop(verdicts.pop())));
    assert_eq!(fault, F::WrongVerdicts { expected: 4, found: 3 });
    let fault = decision_fault(|d| bend_outcome(d, |_, verdicts| verdicts.swap(0, 1)));
    assert!(matches!(fault, F::WrongVerdicts { .. }));
    let fault = decision_fault(|d| {
        bend_outcome(d, |_, verdicts| verdicts[1].measures.push((Measure::Norm, 1)));
    });
    assert_eq!(fault, F::WrongMeasures { member: member_id(1) });
}

#[test]
fn a_decision_is_good_for_one_block_and_before_the_deadline_passes_in_it() {
    let (mut ledger, decision) = deciding();
    let twice = ledger.try_block(1, &[], &[decision.clone(), decision.clone()]);
    assert!(matches!(twice, Err(BlockError::Decision { index: 1, .. })));
    // However late the block that brings it: the state waited for it.
    let effects = ledger.block(1_000_000, vec![], vec![decision.clone()]);
    let (result, _) = crate::testing::outcome(&effects.entries);
    assert!(matches!(result, OutcomeResult::Aggregated { .. }));
    assert!(ledger.try_block(1, &[], &[decision]).is_err());
}

#[test]
fn pending_lists_every_blob_that_the_decision_takes() {
    let (ledger, _) = deciding();
    let waiting = pending(&ledger.state).remove(0);
    assert_eq!(waiting.blobs.len(), 5);
    for gone in &waiting.blobs {
        let mut blobs = ledger.blobs.clone();
        blobs.remove(gone);
        let missing = decide(&ledger.state, &task_id(), &blobs).unwrap_err();
        assert_eq!(missing, crate::decide::DecideError::MissingBlob { digest: *gone });
    }
    // A store that lies is one that does not have the blob.
    let mut blobs = ledger.blobs.clone();
    blobs.insert(waiting.blobs[1], b"something else".to_vec());
    assert!(decide(&ledger.state, &task_id(), &blobs).is_err());
    let task = TaskId::new("elsewhere").expect("a task id");
    assert!(decide(&ledger.state, &task, &ledger.blobs).is_err());
}

/// A step of a random schedule: who, what, and how much later.
#[derive(Debug, Clone)]
struct Step {
    member: usize,
    kind: u8,
    value: u8,
    after_ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..5usize, 0..10u8, 0..4u8, prop_oneof![Just(1u64), Just(700), Just(5_000)])
        .prop_map(|(member, kind, value, after_ms)| Step { member, kind, value, after_ms });
    proptest::collection::vec(step, 1..60)
}

/// The transactions of a step: often what an honest member would do, often not.
fn transactions(ledger: &mut Ledger, step: &Step) -> Vec<Transaction> {
    let view = ledger.view();
    let round = view.round(&task_id());
    let number = round.as_ref().map_or(RoundNumber(1), |round| round.round);
    let everybody = 0..5;
    let digest = ledger.blob([i32::from(step.value) * 50, step.member as i32, 7]);
    if round.is_none() {
        return vec![ledger.sign(step.member, Action::Approve { change: digest })];
    }
    let scores = |ledger: &Ledger| {
        let candidates = ledger.round().candidates.into_iter();
        let scores = candidates.map(|candidate| CandidateScore {
            candidate: candidate.model,
            loss_micro: u64::from(step.value),
            num_examples: 1,
            classes: Vec::new(),
        });
        Action::SubmitEvaluation { task: task_id(), round: number, scores: scores.collect() }
    };
    let suspend = Change::SuspendMember { member: member_id(4), reason: String::new() };
    match step.kind {
        0..=2 => everybody
            .map(|at| {
                let update = ledger.blob([i32::from(step.value) * 50 + 9, at as i32, 7]);
                ledger.sign(at, ledger.commit_action(at, update))
            })
            .collect(),
        3 => vec![ledger.sign(step.member, ledger.commit_action(step.member, digest))],
        4 | 5 => everybody
            .map(|at| {
                let update = ledger.committed_update(at).unwrap_or(digest);
                ledger.sign(at, ledger.reveal_action(at, update))
            })
            .collect(),
        6 | 7 => everybody.map(|at| ledger.sign(at, scores(ledger))).collect(),
        8 => vec![ledger.sign(step.member, Action::ProposeChange { change: suspend })],
        _ => vec![ledger.sign(step.member, Action::Approve { change: suspend.digest() })],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever members send, in whatever order: no block of an honest proposer fails, the task
    /// comes to its end, and another execution comes to the same root at every height.
    #[test]
    fn random_schedules_never_panic_and_replay_to_the_same_roots(steps in steps()) {
        let candidates = vec![AggregationRule::Mean];
        let evaluation = Some(evaluation(candidates));
        let mut ledger = Ledger::new(5, vec![TaskSpec { evaluation, rounds: 4, ..task(1, 3) }]);
        for step in &steps {
            let transactions = transactions(&mut ledger, step);
            let waiting = !pending(&ledger.state).is_empty();
            let decided = (waiting && step.value % 2 == 0).then(|| ledger.decide());
            let decisions = decided.into_iter().collect();
            let transactions = select_transactions(&mut ExecutionCache::default(), &ledger.state, &transactions, usize::MAX);
            ledger.block(step.after_ms, transactions, decisions);
        }
        while let Some(deadline) = crate::round::next_deadline(&ledger.state) {
            let wait = deadline.0.saturating_sub(ledger.time.0).max(1);
            ledger.block(wait, vec![], vec![]);
        }
        let effects = crate::genesis::genesis(&ledger.document).expect("the genesis is valid");
        let mut again = LatestState::new();
        again.apply(0, &effects.writes).expect("the writes fit the state");
        let mut plain: BTreeMap<Vec<u8>, Vec<u8>> =
            again.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        for (block, _) in &ledger.chain {
            let input = BlockInput::of(block);
            // Executed over a plain map, written in reverse order.
            let effects = apply_block(&plain, &input).expect("the block follows the state");
            for (key, value) in effects.writes.iter().rev() {
                match value {
                    Some(value) => drop(plain.insert(key.clone(), value.clone())),
                    None => drop(plain.remove(key)),
                }
            }
            let root = again.apply(block.header.height.0, &effects.writes).expect("the writes fit the state");
            prop_assert_eq!(root, block.header.app_hash);
        }
        prop_assert_eq!(again.root(), ledger.state.root());
    }
}

#[test]
fn no_cache_changes_what_a_block_leads_to() {
    // Ledgers of the same members and others, one of which loses a validator on the way, through one
    // cache in turns.
    let ledgers = [4, 6, 5].map(|members| {
        let mut ledger = Ledger::new(members, vec![task(1, 3)]);
        let change = Change::SuspendMember { member: member_id(3), reason: String::new() };
        if members == 6 {
            ledger
                .send(0, Action::ProposeChange { change: change.clone() })
                .expect("the transaction is accepted");
            for at in [1, 2, 4, 5] {
                ledger
                    .send(at, Action::Approve { change: change.digest() })
                    .expect("the transaction is accepted");
            }
        }
        ledger.play(&[(0, [100, 0, 7]), (1, [90, 4, 9]), (2, [110, -4, 5])]);
        ledger
    });
    let begin = |ledger: &Ledger| {
        let mut state = LatestState::new();
        state
            .apply(
                0,
                &crate::genesis::genesis(&ledger.document).expect("the genesis is valid").writes,
            )
            .expect("the writes fit the state");
        state
    };
    let mut states = ledgers.each_ref().map(begin);
    let mut caches = [ExecutionCache::default(), ExecutionCache::remembering()];
    for at in 0..ledgers[1].chain.len() {
        for (ledger, state) in ledgers.iter().zip(&mut states) {
            let Some((block, _)) = ledger.chain.get(at) else { continue };
            let input = BlockInput::of(block);
            let alone = apply_block(state, &input).expect("the block follows the state");
            assert_eq!(alone.validators.hash(), block.header.next_validators_hash);
            // Twice, so that the second finds everything in the cache.
            for cache in caches.iter_mut().chain(&mut [ExecutionCache::remembering()]) {
                for _ in 0..2 {
                    let cached = apply_block_with(cache, state, &input)
                        .expect("the block follows the state");
                    assert_eq!(cached.writes, alone.writes);
                    assert_eq!(cached.receipts, alone.receipts);
                    assert_eq!(cached.validators, alone.validators);
                }
            }
            state.apply(block.header.height.0, &alone.writes).expect("the writes fit the state");
            assert_eq!(state.root(), block.header.app_hash);
        }
    }
}

#[test]
fn a_remembered_signature_vouches_for_nothing_else() {
    let ledger = Ledger::new(4, Vec::new());
    let mut cache = ExecutionCache::remembering();
    let good = ledger.sign(1, Action::Approve { change: Digest::of(b"one") });
    let check = |cache: &mut ExecutionCache, transaction: &Transaction| {
        check_transaction_with(cache, &ledger.state, transaction)
    };
    assert_eq!(check(&mut cache, &good), Ok(()));
    assert_eq!(check(&mut cache, &good), Ok(()));
    let mut bent = good.clone();
    bent.signature.0[7] ^= 1;
    let mut other_body = good.clone();
    other_body.body.action = Action::Approve { change: Digest::of(b"two") };
    let mut other_member = good.clone();
    other_member.body.member = member_id(2);
    for forged in [bent, other_body, other_member] {
        for _ in 0..2 {
            let fault = check(&mut cache, &forged).unwrap_err();
            assert!(matches!(fault, TransactionFault::BadSignature { .. }), "{fault}");
        }
    }
}
