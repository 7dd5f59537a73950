use fedledger_ledger::entry::{EntryBody, Phase, Rejection, Standing, TrustCause};
use fedledger_ledger::ids::RoundNumber;
use fedledger_ledger::limits::TEXT_BYTES_MAX;
use fedledger_ledger::task::{HistoryPolicy, TaskSpec};
use fedledger_ledger::transaction::Action;

use super::NOTICE_BASELINES;
use crate::history::Past;
use crate::profile::HISTORY_BALANCED;
use crate::testing::{has, member_id, task, task_id, Ledger, COMMIT_MS};

const BASELINE: u64 = 6;

fn ledger() -> Ledger {
    let history = HistoryPolicy {
        settle_rounds: 2,
        baseline_rounds: BASELINE as u32 - 2,
        ..HISTORY_BALANCED
    };
    Ledger::new(7, vec![TaskSpec { history: Some(history), rounds: 100, ..task(2, 5) }])
}

fn update(at: usize) -> (usize, [i32; 3]) {
    (at, [100 + 3 * at as i32, 5 - 2 * at as i32, 7 + at as i32])
}

fn play(ledger: &mut Ledger) {
    ledger.play(&(0..7).map(update).collect::<Vec<_>>());
}

fn notice(ledger: &Ledger) -> Action {
    let (task, round) = (task_id(), ledger.round().round);
    Action::AnnounceDataChange { task, round, reason: "a new scanner".into() }
}

fn past(ledger: &Ledger) -> Past {
    let spec = ledger.view().task_spec(&task_id()).expect("the task is there");
    ledger.view().past(&spec).expect("the task keeps a history")
}

fn history(ledger: &Ledger, at: usize) -> Option<u32> {
    past(ledger).members.get(&member_id(at)).map(|history| history.observed)
}

#[test]
fn a_notice_excuses_until_there_is_a_new_baseline_and_costs_weight() {
    let mut ledger = ledger();
    (0..8).for_each(|_| play(&mut ledger));
    let excused = |ledger: &Ledger| past(ledger).members[&member_id(2)].excused;
    assert_eq!((excused(&ledger), ledger.trust(2).standing), (None, Standing::Active));
    ledger.send(2, notice(&ledger)).expect("its first notice");
    assert_eq!((history(&ledger, 2), excused(&ledger)), (Some(8), Some(BASELINE as u32)));
    assert_eq!(ledger.trust(2).standing, Standing::Probation);
    assert!(has(&ledger.entries, |body| matches!(
        body,
        EntryBody::TrustChanged { member, cause: TrustCause::DataChanged, .. }
            if *member == member_id(2)
    )));
    play(&mut ledger);
    assert_eq!((history(&ledger, 2), excused(&ledger)), (Some(9), Some(BASELINE as u32 - 1)));
    play(&mut ledger);
    assert_eq!(ledger.trust(2).standing, Standing::Active, "two clean rounds end the probation");
    (2..BASELINE).for_each(|_| play(&mut ledger));
    assert_eq!(excused(&ledger), None);
    assert_eq!(past(&ledger).members[&member_id(2)].rebased, Some(8 + BASELINE as u32));
}

#[test]
fn before_there_is_a_baseline_a_notice_begins_the_history_anew() {
    let mut ledger = ledger();
    (0..3).for_each(|_| play(&mut ledger));
    ledger.send(2, notice(&ledger)).expect("its first notice");
    assert_eq!((history(&ledger, 2), ledger.trust(2).standing), (None, Standing::Probation));
    play(&mut ledger);
    assert_eq!((history(&ledger, 2), history(&ledger, 3)), (Some(1), Some(4)));
}

#[test]
fn a_notice_counts_once_in_a_while() {
    let mut ledger = ledger();
    play(&mut ledger);
    ledger.send(2, notice(&ledger)).expect("its first notice");
    let from = RoundNumber(2 + NOTICE_BASELINES * BASELINE);
    let refused = Err(Rejection::AnnouncedTooSoon { from });
    assert_eq!(ledger.send(2, notice(&ledger)), refused);
    while ledger.round().round < from {
        assert_eq!(ledger.send(2, notice(&ledger)), refused);
        play(&mut ledger);
    }
    ledger.send(2, notice(&ledger)).expect("the wait is over");
}

#[test]
fn a_notice_that_comes_late_or_changes_nothing_is_refused() {
    let mut ledger = ledger();
    let late = RoundNumber(2);
    let Action::AnnounceDataChange { task, reason, .. } = notice(&ledger) else { unreachable!() };
    let action = Action::AnnounceDataChange { task: task.clone(), round: late, reason };
    let expected = RoundNumber(1);
    assert_eq!(ledger.send(1, action), Err(Rejection::WrongRound { expected }));
    let reason = "x".repeat(TEXT_BYTES_MAX + 1);
    let long = Action::AnnounceDataChange { task, round: RoundNumber(1), reason };
    let max = TEXT_BYTES_MAX as u64;
    assert_eq!(ledger.send(1, long), Err(Rejection::TextTooLong { max }));
    // The decision rests on histories, which stand still from the first reveal on.
    ledger.commit_all(&[
        (0, [1, 2, 3]),
        (1, [2, 2, 3]),
        (2, [1, 3, 3]),
        (3, [1, 2, 4]),
        (4, [1, 4, 4]),
    ]);
    ledger.block(COMMIT_MS, vec![], vec![]);
    let phase = Phase::Reveal;
    assert_eq!(ledger.send(1, notice(&ledger)), Err(Rejection::WrongPhase { phase }));

    let mut forgetful = Ledger::new(4, vec![crate::testing::task(1, 3)]);
    assert_eq!(forgetful.send(1, notice(&forgetful)), Err(Rejection::NoHistory));
    let mut ledger = self::ledger();
    let mut bad: Vec<_> = (0..7).map(update).collect();
    bad[3].1 = [-300, 100, 0];
    (0..2).for_each(|_| drop(ledger.play(&bad)));
    assert_eq!(ledger.trust(3).standing, Standing::Quarantine);
    assert_eq!(ledger.send(3, notice(&ledger)), Err(Rejection::InQuarantine));
}
