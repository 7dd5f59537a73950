use fedledger_ledger::decision::{OutcomeResult, Reason, RoundFailure};
use fedledger_ledger::entry::{Entry, EntryBody, Phase, Rejection, Standing};
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::{RoundNumber, TaskId};
use fedledger_ledger::task::TaskSpec;
use fedledger_ledger::transaction::Action;

use super::ROUNDS_KEPT_MAX;
use crate::decide::BlobRead;
use crate::records::TaskStatus;
use crate::testing::{member_id, outcome, task, task_id, Ledger, D, DECIDE_MS};

const HONEST: [[i32; D]; 3] = [[100, 0, 7], [90, 4, 9], [110, -4, 5]];

/// Four members; the last one sends `fourth`.
fn play(ledger: &mut Ledger, fourth: [i32; D]) {
    let honest = (0..3).map(|at| (at, HONEST[at]));
    ledger.play(&honest.chain([(3, fourth)]).collect::<Vec<_>>());
}

fn change(round: u64, without: &[usize], replay: bool) -> Change {
    Change::RollBack {
        task: task_id(),
        round: RoundNumber(round),
        without: without.iter().map(|&at| member_id(at)).collect(),
        replay,
        reason: "the fourth was taken over".into(),
    }
}

/// Has the first `voters` members vote for it, and returns the entries of the block that applies it.
fn vote(ledger: &mut Ledger, change: &Change, voters: usize) -> Vec<Entry> {
    let send = |ledger: &mut Ledger, at, action| {
        let transaction = ledger.sign(at, action);
        ledger.block(1, vec![transaction], vec![]).entries
    };
    send(ledger, 0, Action::ProposeChange { change: change.clone() });
    let approve = || Action::Approve { change: change.digest() };
    let entries = (1..voters).map(|at| send(ledger, at, approve())).last().expect("some approve");
    let applied = |entry: &Entry| matches!(entry.body, EntryBody::ChangeApplied { .. });
    assert!(entries.iter().any(applied), "{entries:?}");
    entries
}

fn model(ledger: &Ledger) -> Vec<i32> {
    let digest = ledger.view().task_progress(&task_id()).expect("the task is there").model;
    ledger.schema.decode(&ledger.blobs[&digest]).expect("the contract made it")
}

fn replays(ledger: &Ledger) -> Vec<(u64, u64)> {
    let replayed = |entry: &Entry| match entry.body {
        EntryBody::RoundReplayed { round, of, .. } => Some((round.0, of.0)),
        _ => None,
    };
    ledger.entries.iter().filter_map(replayed).collect()
}

/// Two rounds that are good and three in which the last member bends the model.
fn bent() -> Ledger {
    let mut ledger = Ledger::new(4, vec![task(1, 3)]);
    for fourth in [[95, 2, 6], [95, 2, 6], [70, 40, 6], [70, 40, 6], [70, 40, 6]] {
        play(&mut ledger, fourth);
    }
    ledger
}

#[test]
fn rounds_are_decided_again_on_what_the_others_sent() {
    let mut ledger = bent();
    let good = {
        let mut twin = Ledger::new(4, vec![task(1, 3)]);
        (0..2).for_each(|_| play(&mut twin, [95, 2, 6]));
        model(&twin)
    };
    let trust: Vec<_> = (0..4).map(|at| ledger.trust(at)).collect();
    let entries = vote(&mut ledger, &change(2, &[3], true), 3);
    let (result, verdicts) = outcome(&entries);
    assert_eq!(result, OutcomeResult::Failed { failure: RoundFailure::RolledBack });
    assert!(verdicts.is_empty(), "nobody had committed to the open round");
    assert_eq!(model(&ledger), good);
    for _ in 0..3 {
        assert_eq!(ledger.round().phase, Phase::Decide);
        let (result, verdicts) = outcome(&ledger.decide_block().entries);
        assert!(matches!(result, OutcomeResult::Aggregated { .. }), "{result:?}");
        assert_eq!(verdicts.len(), 3);
        assert!(verdicts.iter().all(|verdict| verdict.reason == Reason::Clean && !verdict.strike));
    }
    // Without the fourth, f is 0 and the trimmed mean is the mean.
    let mean = [100, 0, 7];
    let expected: Vec<i32> = good.iter().zip(mean).map(|(&value, mean)| value + 3 * mean).collect();
    assert_eq!(model(&ledger), expected);
    assert_eq!(replays(&ledger), [(7, 3), (8, 4), (9, 5)]);
    assert_eq!((0..4).map(|at| ledger.trust(at)).collect::<Vec<_>>(), trust);
    // The next round is one like any other, and whoever was left out may take part in it.
    assert_eq!((ledger.round().round, ledger.round().phase), (RoundNumber(10), Phase::Commit));
    play(&mut ledger, [95, 2, 6]);
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
    }
}

#[test]
fn the_task_still_gets_as_many_rounds_as_were_asked_for() {
    for replay in [true, false] {
        let mut ledger = bent();
        // Rounds 3 to 5 are undone, and round 6, which was open, is lost.
        vote(&mut ledger, &change(2, &[3], replay), 3);
        let mut rounds = 2;
        while ledger.view().tasks_running().contains(&task_id()) {
            match ledger.round().phase {
                Phase::Decide => drop(ledger.decide_block()),
                _ => play(&mut ledger, [95, 2, 6]),
            }
            rounds += 1;
        }
        assert_eq!(rounds, task(1, 3).rounds, "replay: {replay}");
        let progress = ledger.view().task_progress(&task_id()).expect("the task is there");
        assert_eq!((progress.status, progress.aggregated), (TaskStatus::Completed, 10));
        // A task that is over can be taken back as well, here to its beginning.
        vote(&mut ledger, &change(0, &[], false), 3);
        assert_eq!(model(&ledger), [0; D]);
        assert_eq!(ledger.round().phase, Phase::Commit);
        let progress = ledger.view().task_progress(&task_id()).expect("the task is there");
        assert_eq!(progress.round.0 + 9, task(1, 3).rounds + progress.rounds_added);
    }
}

#[test]
fn whoever_is_in_quarantine_is_left_out_unnamed_and_a_frozen_task_goes_on() {
    let mut ledger = Ledger::new(7, vec![task(1, 5)]);
    let honest = |at: usize| (at, HONEST[at % 3].map(|value| value + (at / 3) as i32));
    let away = [(5, [0, -100, 300]), (6, [-300, 100, 0])];
    ledger.play(&(0..7).map(honest).collect::<Vec<_>>());
    let bad = |from: usize| [(0..from).map(honest).collect(), away[from - 5..].to_vec()].concat();
    for _ in 0..2 {
        ledger.play(&bad(6));
    }
    assert_eq!(ledger.trust(6).standing, Standing::Quarantine);
    // A second one is more than f.
    for _ in 0..2 {
        ledger.play(&bad(5));
    }
    let status = |ledger: &Ledger| {
        ledger.view().task_progress(&task_id()).expect("the task is there").status
    };
    assert_eq!(status(&ledger), TaskStatus::Frozen);
    vote(&mut ledger, &change(1, &[], true), 5);
    assert_eq!(status(&ledger), TaskStatus::Running);
    let (_, verdicts) = outcome(&ledger.decide_block().entries);
    assert_eq!(verdicts.len(), 6);
    assert!(verdicts.iter().all(|verdict| verdict.member != member_id(6)));
}

#[test]
fn a_replay_without_its_blobs_fails_at_its_deadline_and_the_next_goes_on() {
    let mut ledger = bent();
    vote(&mut ledger, &change(2, &[3], true), 3);
    let entries = ledger.block(DECIDE_MS, vec![], vec![]).entries;
    let (result, _) = outcome(&entries);
    assert_eq!(result, OutcomeResult::Failed { failure: RoundFailure::NotDecided });
    assert_eq!(replays(&ledger), [(7, 3), (8, 4)]);
}

#[test]
fn what_cannot_be_undone_is_refused_with_the_reason() {
    let mut ledger = bent();
    let mut refused = |change: Change, expected: &str| {
        let result = ledger.send(0, Action::ProposeChange { change });
        let Err(Rejection::InvalidChange { detail }) = result else { panic!("{result:?}") };
        assert!(detail.contains(expected), "{detail}");
    };
    refused(change(5, &[], true), "nothing to undo");
    refused(change(2, &[9], true), "not a member");
    let elsewhere = match change(2, &[], true) {
        Change::RollBack { round, without, replay, reason, .. } => {
            let task = TaskId::new("elsewhere").expect("a task id");
            Change::RollBack { task, round, without, replay, reason }
        }
        _ => unreachable!("it is one"),
    };
    refused(elsewhere, "no task `elsewhere`");
    vote(&mut ledger, &change(2, &[3], true), 3);
    let again = Action::ProposeChange { change: change(1, &[3], true) };
    let result = ledger.send(0, again);
    let Err(Rejection::InvalidChange { detail }) = result else { panic!("{result:?}") };
    assert!(detail.contains("being replayed"), "{detail}");
}

#[test]
fn only_so_many_rounds_are_kept() {
    let kept = ROUNDS_KEPT_MAX as u64;
    let mut ledger = Ledger::new(4, vec![TaskSpec { rounds: kept + 10, ..task(1, 3) }]);
    for _ in 0..kept + 3 {
        play(&mut ledger, [95, 2, 6]);
    }
    let propose = |round| Action::ProposeChange { change: change(round, &[], false) };
    let result = ledger.send(0, propose(2));
    let Err(Rejection::InvalidChange { detail }) = result else { panic!("{result:?}") };
    assert!(detail.contains("round 4 less one"), "{detail}");
    ledger.send(0, propose(3)).expect("the model before round 4 is known");
}
