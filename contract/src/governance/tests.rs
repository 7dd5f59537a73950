use fedledger_ledger::entry::{Standing, TrustCause};
use fedledger_ledger::ids::{RoundNumber, TaskId};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::transaction::Action;

use super::*;
use crate::testing::{has, keys_of, member_id, member_spec, task, task_id, Ledger};

fn propose_action(change: &Change) -> Action {
    Action::ProposeChange { change: change.clone() }
}

fn approve_action(change: &Change) -> Action {
    Action::Approve { change: change.digest() }
}

/// Has a change proposed by member 0 and approved by the others until it is applied.
fn pass(ledger: &mut Ledger, change: &Change, approvals: usize) {
    ledger.send(0, propose_action(change)).unwrap();
    for at in 1..approvals {
        assert!(ledger.view().changes().contains(&change.digest()), "applied too early");
        ledger.send(at, approve_action(change)).unwrap();
    }
    assert!(!ledger.view().changes().contains(&change.digest()), "not applied");
}

fn suspend(at: usize) -> Change {
    Change::SuspendMember { member: member_id(at), reason: "test".into() }
}

fn reinstate(at: usize) -> Change {
    Change::ReinstateMember { member: member_id(at), reason: "test".into() }
}

#[test]
fn a_change_takes_more_than_two_thirds_and_moves_the_validators_at_the_next_height() {
    let mut ledger = Ledger::new(4, vec![]);
    let change = Change::AdmitMember { member: member_spec(4) };
    ledger.send(0, propose_action(&change)).unwrap();
    ledger.send(1, approve_action(&change)).unwrap();
    assert_eq!(ledger.validators.len(), 4);
    ledger.send(2, approve_action(&change)).unwrap();
    assert_eq!(ledger.validators.len(), 5);
    let admitted = ledger.view().member(&member_id(4)).unwrap();
    assert_eq!(admitted.admitted, ledger.height);
    assert!(admitted.keys.iter().all(|key| key.valid_from == ledger.height.next()));
    // Four of five are needed from now on.
    ledger.validator_keys.push(keys_of(4)[1].clone());
    ledger.keys.insert(member_id(4), keys_of(4)[0].clone());
    pass(&mut ledger, &suspend(3), 4);
    assert_eq!(ledger.validators.len(), 4);
}

#[test]
fn a_suspended_member_does_nothing_until_it_is_reinstated() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    pass(&mut ledger, &suspend(3), 3);
    let update = ledger.blob([1, 2, 3]);
    let commit = ledger.commit_action(0, update);
    assert_eq!(ledger.send(3, commit.clone()), Err(Rejection::MemberSuspended));
    assert_eq!(ledger.send(3, propose_action(&reinstate(3))), Err(Rejection::MemberSuspended));
    pass(&mut ledger, &reinstate(3), 3);
    assert_eq!(ledger.send(3, commit), Ok(()));
}

#[test]
fn approvals_of_the_suspended_do_not_count() {
    let mut ledger = Ledger::new(7, vec![]);
    // Three approvals, one of them of member 2, who is suspended before the others approve.
    let change = Change::AdmitMember { member: member_spec(9) };
    ledger.send(2, propose_action(&change)).unwrap();
    ledger.send(3, approve_action(&change)).unwrap();
    ledger.send(4, approve_action(&change)).unwrap();
    let other = suspend(2);
    ledger.send(0, propose_action(&other)).unwrap();
    for at in [1, 3, 4, 5] {
        ledger.send(at, approve_action(&other)).unwrap();
    }
    // Five of six are needed; with member 2 there would be five.
    ledger.send(5, approve_action(&change)).unwrap();
    ledger.send(6, approve_action(&change)).unwrap();
    assert!(ledger.view().member(&member_id(9)).is_none());
    ledger.send(0, approve_action(&change)).unwrap();
    assert!(ledger.view().member(&member_id(9)).is_some());
}

#[test]
fn rotated_keys_leave_their_history_and_are_never_taken_again() {
    let mut ledger = Ledger::new(4, vec![]);
    let new = keys_of(100)[0].clone();
    let old = PublicKey::of(&keys_of(1)[0]);
    let key = PublicKey::of(&new);
    let change = Change::RotateKey { member: member_id(1), role: KeyRole::Member, key };
    ledger.send(0, propose_action(&change)).unwrap();
    ledger.send(2, approve_action(&change)).unwrap();
    // The old key still signs in the block that applies the change.
    let others = suspend(0);
    let by_old = ledger.sign(1, propose_action(&others));
    let last = ledger.sign(3, approve_action(&change));
    ledger.block(1, vec![last, by_old], vec![]);
    let record = ledger.view().member(&member_id(1)).unwrap();
    let history: Vec<_> = record
        .keys
        .iter()
        .filter(|record| record.role == KeyRole::Member)
        .map(|record| (record.key, record.valid_from.0, record.valid_until.map(|h| h.0)))
        .collect();
    let height = ledger.height.0;
    assert_eq!(history, [(old, 1, Some(height)), (key, height + 1, None)]);
    let stale = ledger.sign(1, approve_action(&others));
    assert!(ledger.try_block(1, &[stale], &[]).is_err());
    ledger.keys.insert(member_id(1), new);
    for taken in [old, key, PublicKey::of(&keys_of(2)[2])] {
        let role = KeyRole::Network;
        let again = Change::RotateKey { member: member_id(1), role, key: taken };
        let refused = ledger.send(1, propose_action(&again));
        assert!(matches!(refused, Err(Rejection::InvalidChange { .. })), "{refused:?}");
    }
}

#[test]
fn a_task_created_by_vote_opens_its_first_round() {
    let mut ledger = Ledger::new(4, vec![]);
    pass(&mut ledger, &Change::CreateTask { task: task(1, 3) }, 3);
    assert_eq!(ledger.round().round, RoundNumber(1));
    assert!(has(&ledger.entries, |body| matches!(body, EntryBody::RoundOpened { .. })));
}

#[test]
fn what_cannot_be_changed_is_refused_with_its_reason() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let stranger = MemberId::new("stranger").unwrap();
    let reason = String::new;
    let release = |task, member| Change::ReleaseQuarantine { task, member, reason: reason() };
    let nowhere = TaskId::new("nowhere").unwrap();
    let long = "x".repeat(1_025);
    let unusable = PublicKey([0; 32]);
    let role = KeyRole::Member;
    let cases = [
        (Change::AdmitMember { member: member_spec(1) }, "the member id `m001` is taken"),
        (suspend_named(&stranger), "`stranger` is not a member"),
        (reinstate(1), "is Active already"),
        (Change::SuspendMember { member: member_id(1), reason: long }, "the reason has 1025 bytes"),
        (Change::RotateKey { member: stranger.clone(), role, key: unusable }, "is not a member"),
        (Change::RotateKey { member: member_id(1), role, key: unusable }, "not a usable"),
        (Change::CreateTask { task: task(1, 3) }, "the task id `t` is taken"),
        (release(nowhere, member_id(1)), "there is no task `nowhere`"),
        (release(task_id(), stranger), "is not a member"),
        (
            release(task_id(), member_id(1)),
            "`m001` is neither in quarantine in `t` nor excused by a notice",
        ),
    ];
    for (change, expected) in cases {
        match ledger.send(0, propose_action(&change)) {
            Err(Rejection::InvalidChange { detail }) => {
                assert!(detail.contains(expected), "{detail}\nexpected: {expected}");
            }
            other => panic!("{change:?} gave {other:?}"),
        }
    }
}

fn suspend_named(member: &MemberId) -> Change {
    Change::SuspendMember { member: member.clone(), reason: String::new() }
}

#[test]
fn votes_are_refused_when_there_is_nothing_to_vote_on() {
    let mut ledger = Ledger::new(4, vec![]);
    let change = suspend(3);
    assert_eq!(ledger.send(0, approve_action(&change)), Err(Rejection::UnknownChange));
    assert_eq!(ledger.send(0, propose_action(&change)), Ok(()));
    assert_eq!(ledger.send(1, propose_action(&change)), Err(Rejection::AlreadyProposed));
    assert_eq!(ledger.send(0, approve_action(&change)), Err(Rejection::AlreadyApproved));
    // After its window it is gone, and can be proposed again.
    ledger.time = ledger.time.after(CHANGE_WINDOW_MS);
    assert_eq!(ledger.send(1, approve_action(&change)), Err(Rejection::UnknownChange));
    assert_eq!(ledger.send(1, propose_action(&change)), Ok(()));
}

#[test]
fn nobody_crowds_out_the_others() {
    let mut ledger = Ledger::new(4, vec![]);
    let change =
        |n: usize| Change::SuspendMember { member: member_id(3), reason: format!("reason {n}") };
    for n in 0..CHANGES_OPEN_PER_MEMBER_MAX {
        ledger.send(0, propose_action(&change(n))).unwrap();
    }
    let one_more = propose_action(&change(99));
    assert!(matches!(ledger.send(0, one_more.clone()), Err(Rejection::InvalidChange { .. })));
    assert_eq!(ledger.send(1, one_more), Ok(()));
}

#[test]
fn of_two_approved_changes_that_exclude_each_other_one_is_dropped_with_its_reason() {
    let mut ledger = Ledger::new(2, vec![]);
    let changes = [suspend(0), suspend(1)];
    for (at, change) in changes.iter().enumerate() {
        ledger.send(at, propose_action(change)).unwrap();
    }
    let transactions = vec![
        ledger.sign(0, approve_action(&changes[1])),
        ledger.sign(1, approve_action(&changes[0])),
    ];
    let effects = ledger.block(1, transactions, vec![]);
    assert_eq!(effects.validators.len(), 1);
    assert!(has(&effects.entries, |body| matches!(
        body,
        EntryBody::ChangeDropped { detail, .. } if detail.contains("no validator would be left")
    )));
}

#[test]
fn a_single_member_decides_alone_but_cannot_suspend_itself() {
    let mut ledger = Ledger::new(1, vec![]);
    let refused = ledger.send(0, propose_action(&suspend(0)));
    assert!(matches!(refused, Err(Rejection::InvalidChange { .. })), "{refused:?}");
    ledger.send(0, propose_action(&Change::AdmitMember { member: member_spec(1) })).unwrap();
    assert_eq!(ledger.validators.len(), 2);
}

#[test]
fn release_from_quarantine_is_by_vote_and_recorded() {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    let honest = [(0, [100, 0, 7]), (1, [90, 4, 9]), (2, [110, -4, 5])];
    for _ in 0..2 {
        ledger.play(&[honest[0], honest[1], honest[2], (3, [-100, 0, 0])]);
    }
    assert_eq!(ledger.trust(3).standing, Standing::Quarantine);
    let reason = "a broken scanner, since repaired".into();
    let change = Change::ReleaseQuarantine { task: task_id(), member: member_id(3), reason };
    pass(&mut ledger, &change, 3);
    assert_eq!(ledger.trust(3).standing, Standing::Probation);
    assert!(has(&ledger.entries, |body| matches!(
        body,
        EntryBody::TrustChanged { cause: TrustCause::Released, .. }
    )));
}
