use fedledger_ledger::entry::{Phase, Standing};
use fedledger_ledger::governance::Change;
use fedledger_ledger::task::{HistoryPolicy, TaskSpec};
use fedledger_ledger::transaction::Action;

use crate::profile::HISTORY_BALANCED;
use crate::testing::{member_id, task, task_id, Ledger};

const BAD: usize = 3;

/// Seven members, one of which is in quarantine for two updates against the others.
fn ledger() -> Ledger {
    let history = HistoryPolicy { settle_rounds: 2, baseline_rounds: 4, ..HISTORY_BALANCED };
    let mut ledger =
        Ledger::new(7, vec![TaskSpec { history: Some(history), rounds: 100, ..task(2, 5) }]);
    (0..2).for_each(|_| drop(ledger.play(&updates([-300, 100, 0]))));
    assert_eq!(ledger.trust(BAD).standing, Standing::Quarantine);
    assert_eq!(observed(&ledger), Some(2));
    ledger
}

fn updates(bad: [i32; 3]) -> Vec<(usize, [i32; 3])> {
    let good = |at: usize| [100 + 3 * at as i32, 5 - 2 * at as i32, 7 + at as i32];
    (0..7).map(|at| (at, if at == BAD { bad } else { good(at) })).collect()
}

/// Rounds in which the member was observed.
fn observed(ledger: &Ledger) -> Option<u32> {
    let spec = ledger.view().task_spec(&task_id()).expect("the task is there");
    let past = ledger.view().past(&spec).expect("the task keeps a history");
    past.members.get(&member_id(BAD)).map(|history| history.observed)
}

fn vote(ledger: &mut Ledger) {
    let reason = "a broken scanner, since repaired".into();
    let change = Change::ReleaseQuarantine { task: task_id(), member: member_id(BAD), reason };
    let digest = change.digest();
    ledger.send(0, Action::ProposeChange { change }).expect("the member is in quarantine");
    for at in 1..5 {
        ledger.send(at, Action::Approve { change: digest }).expect("the change waits for approval");
    }
}

#[test]
fn a_release_begins_the_history_anew() {
    let mut ledger = ledger();
    vote(&mut ledger);
    assert_eq!((ledger.trust(BAD).standing, observed(&ledger)), (Standing::Probation, None));
    ledger.play(&updates([103, 4, 8]));
    assert_eq!((ledger.trust(BAD).standing, observed(&ledger)), (Standing::Probation, Some(1)));
}

#[test]
fn a_release_waits_for_the_decision_that_is_being_computed_and_is_not_undone_by_it() {
    let mut ledger = ledger();
    ledger.commit_all(&updates([-300, 100, 0]));
    ledger.reveal_all(0..7);
    assert_eq!(ledger.round().phase, Phase::Decide);
    vote(&mut ledger);
    // What the decision rests on stands still.
    assert_eq!((ledger.trust(BAD).standing, observed(&ledger)), (Standing::Probation, Some(2)));
    ledger.decide_block();
    // The round found it as far away as before: it was judged as in quarantine, and stays released.
    let trust = ledger.trust(BAD);
    assert_eq!((trust.standing, trust.strikes, observed(&ledger)), (Standing::Probation, 0, None));
    // From the next round on it is as any other.
    ledger.play(&updates([-300, 100, 0]));
    assert_eq!((ledger.trust(BAD).strikes, observed(&ledger)), (1, Some(1)));
}
