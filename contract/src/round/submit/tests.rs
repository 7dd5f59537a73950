//! What a commitment hides, and what it binds.

use fedledger_ledger::commitment::Salt;
use fedledger_ledger::decision::{OutcomeResult, Reason, Verdict};

use super::*;
use crate::testing::{
    has, member_id, outcome, task, task_id, Ledger, COMMIT_MS, DECIDE_MS, REVEAL_MS,
};

const HONEST: [[i32; 3]; 4] = [[100, 0, 7], [90, 4, 9], [110, -4, 5], [95, 2, 7]];

fn honest(members: std::ops::Range<usize>) -> Vec<(usize, [i32; 3])> {
    members.map(|at| (at, HONEST[at])).collect()
}

/// Puts another value in the place of a commitment.
fn with_commitment(action: Action, other: Digest) -> Action {
    let Action::CommitUpdate {
        task,
        round,
        base_model,
        num_examples,
        byte_length,
        claims,
        attestation,
        ..
    } = action
    else {
        panic!("not a commitment")
    };
    Action::CommitUpdate {
        task,
        round,
        base_model,
        commitment: other,
        num_examples,
        byte_length,
        claims,
        attestation,
    }
}

#[test]
fn who_copies_a_commitment_cannot_open_it_even_with_the_salt() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let update = ledger.blob(HONEST[0]);
    let opening = ledger.opening(0, update);
    // Member 3 sees the commitment of member 0 on its way and gets ahead of it.
    let copied = with_commitment(ledger.commit_action(3, update), opening.commitment());
    ledger.send(3, copied).expect("the transaction is accepted");
    ledger.commit_all(&honest(0..3));
    assert_eq!(ledger.round().phase, Phase::Reveal);
    // Member 0 opens it; now member 3 knows update and salt, and neither helps.
    ledger.send(0, ledger.reveal_action(0, update)).expect("the transaction is accepted");
    let committed = opening.commitment();
    let (task, round) = (task_id(), ledger.round().round);
    for salt in [opening.salt, ledger.opening(3, update).salt, Salt([0; 32])] {
        let action = Action::RevealUpdate { task: task.clone(), round, update, salt };
        assert_eq!(ledger.send(3, action), Err(Rejection::WrongOpening { committed }));
    }
    ledger.reveal_all(1..3);
    let effects = ledger.block(REVEAL_MS, vec![], vec![]);
    assert!(has(&effects.entries, |body| matches!(
        body,
        EntryBody::RoundAdvanced { phase: Phase::Decide, reveals: 3, .. }
    )));
    let (result, verdicts) = outcome(&ledger.decide_block().entries);
    assert!(matches!(result, OutcomeResult::Aggregated { .. }), "{result:?}");
    assert_eq!((verdicts[0].reason, verdicts[0].update), (Reason::Clean, Some(update)));
    let copy = &verdicts[3];
    assert_eq!(
        (copy.verdict, copy.reason, copy.update),
        (Verdict::Reject, Reason::NotRevealed, None)
    );
}

#[test]
fn nothing_on_the_ledger_gives_the_update_away_before_it_is_opened() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let effects = ledger.commit_all(&honest(0..3));
    let update = ledger.committed_update(0).expect("member 0 has committed");
    let salt = ledger.opening(0, update).salt;
    let holds = |bytes: &[u8], needle: &[u8; 32]| bytes.windows(32).any(|window| window == needle);
    for secret in [&update.0, &salt.0] {
        assert!(effects.entries.iter().all(|entry| !holds(&entry.to_bytes(), secret)));
        assert!(effects.writes.values().flatten().all(|value| !holds(value, secret)));
    }
}

#[test]
fn the_same_update_under_another_salt_is_another_commitment_and_so_equivocation() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let update = ledger.blob(HONEST[0]);
    let first = ledger.opening(0, update);
    ledger.send(0, ledger.commit_action(0, update)).expect("the transaction is accepted");
    let second = UpdateOpening { salt: Salt([9; 32]), ..first.clone() };
    let action = with_commitment(ledger.commit_action(0, update), second.commitment());
    let committed = first.commitment();
    assert_eq!(ledger.send(0, action), Err(Rejection::Equivocation { committed }));
    assert!(has(&ledger.entries, |body| matches!(body, EntryBody::EquivocationProved { .. })));
}

/// No reveal is accepted whose blob was not asked for, and none asked for that must be refused.
#[test]
fn a_blob_is_asked_for_exactly_when_its_reveal_can_be_accepted() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let updates: Vec<Digest> = HONEST.into_iter().map(|values| ledger.blob(values)).collect();
    let mut told = Vec::new();
    let check = |ledger: &mut Ledger, at: usize, update, after_ms, told: &mut Vec<bool>| {
        let transaction = ledger.sign(at, ledger.reveal_action(at, update));
        let asked = update_revealed(&ledger.state, &transaction);
        let effects =
            ledger.try_block(after_ms, &[transaction], &[]).expect("the block follows the state");
        let accepted = effects.receipts == [fedledger_ledger::entry::Receipt::Accepted];
        assert_eq!(asked.is_some(), accepted, "member {at}");
        assert!(asked.is_none_or(|asked| asked == update));
        told.push(accepted);
    };
    check(&mut ledger, 0, updates[0], 1, &mut told);
    ledger.commit_all(&honest(0..3));
    // The block in which the commit phase ends by its deadline can hold the first reveals.
    check(&mut ledger, 0, updates[0], COMMIT_MS, &mut told);
    ledger.block(COMMIT_MS, vec![], vec![]);
    check(&mut ledger, 0, updates[0], 1, &mut told);
    check(&mut ledger, 0, updates[1], 1, &mut told);
    check(&mut ledger, 3, updates[3], 1, &mut told);
    ledger.reveal_all(0..1);
    check(&mut ledger, 0, updates[0], 1, &mut told);
    ledger.reveal_all(1..3);
    assert_eq!(ledger.round().phase, Phase::Decide);
    check(&mut ledger, 1, updates[1], 1, &mut told);
    ledger.block(DECIDE_MS, vec![], vec![]);
    check(&mut ledger, 1, updates[1], 1, &mut told);
    assert_eq!(told, [false, true, true, false, false, false, false, false]);
    assert!(ledger.view().commitment(&task_id(), &member_id(0)).is_none());
}
