use fedledger_ledger::commitment::Salt;
use fedledger_ledger::decision::{Candidate, OutcomeResult, Reason, RoundFailure, Verdict};
use fedledger_ledger::entry::{Rejection, Standing, TrustCause};
use fedledger_ledger::governance::Change;
use fedledger_ledger::ids::Digest;
use fedledger_ledger::limits::{LOSS_MICRO_MAX, NUM_EXAMPLES_MAX};
use fedledger_ledger::task::AggregationRule;
use fedledger_ledger::transaction::{Action, CandidateScore, Transaction};

use super::*;
use crate::state_key;
use crate::testing::{
    evaluation, has, member_id, outcome, task, task_id, Ledger, COMMIT_MS, D, DECIDE_MS,
    EVALUATE_MS, REVEAL_MS,
};
use Standing::{Probation, Quarantine};
use TrustCause::{CleanRound, Returned, Strike, StrikesInARow};

const HONEST: [[i32; D]; 4] = [[100, 0, 7], [90, 4, 9], [110, -4, 5], [95, 2, 6]];

fn ledger() -> Ledger {
    Ledger::new(4, vec![task(1, 3)])
}

fn honest(members: std::ops::Range<usize>) -> Vec<(usize, [i32; D])> {
    members.map(|at| (at, HONEST[at % 4].map(|value| value + (at / 4) as i32))).collect()
}

fn failed(failure: RoundFailure) -> OutcomeResult {
    OutcomeResult::Failed { failure }
}

#[test]
fn a_round_goes_through_its_phases_as_soon_as_it_can() {
    let mut ledger = ledger();
    assert_eq!(ledger.round().phase, Phase::Commit);
    ledger.commit_all(&honest(0..3));
    assert_eq!(ledger.round().phase, Phase::Commit, "one member has not committed");
    let update = ledger.blob(HONEST[3]);
    ledger.send(3, ledger.commit_action(3, update)).unwrap();
    assert_eq!(ledger.round().phase, Phase::Reveal);
    assert_eq!(ledger.round().deadline, ledger.time.after(REVEAL_MS));
    ledger.reveal_all(0..3);
    assert_eq!(ledger.round().phase, Phase::Reveal);
    ledger.reveal_all(3..4);
    assert_eq!(ledger.round().phase, Phase::Decide);
    assert_eq!(ledger.round().deadline, ledger.time.after(DECIDE_MS));
    let (result, verdicts) = outcome(&ledger.decide_block().entries);
    let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
    assert_eq!(verdicts.len(), 4);
    assert_eq!(ledger.round().round, RoundNumber(2));
    assert_eq!(ledger.round().base_model, chosen.model);
    let progress = ledger.view().task_progress(&task_id()).unwrap();
    assert_eq!((progress.aggregated, progress.norms.len()), (1, 1));
    assert_eq!(progress.aggregate, Some(chosen.aggregate));
}

#[test]
fn deadlines_close_phases_with_whoever_came() {
    let mut ledger = ledger();
    ledger.commit_all(&honest(0..4));
    ledger.reveal_all(0..3);
    ledger.block(REVEAL_MS, vec![], vec![]);
    assert_eq!(ledger.round().phase, Phase::Decide);
    let (result, verdicts) = outcome(&ledger.decide_block().entries);
    assert!(matches!(result, OutcomeResult::Aggregated { .. }));
    assert_eq!(verdicts[3].reason, Reason::NotRevealed);
    assert!(!verdicts[3].strike);
    ledger.commit_all(&honest(0..3));
    ledger.block(COMMIT_MS, vec![], vec![]);
    assert_eq!(ledger.round().phase, Phase::Reveal);
}

#[test]
fn each_phase_that_fails_says_why_and_the_next_round_opens_from_the_same_model() {
    type Prepare = fn(&mut Ledger);
    let cases: [(Prepare, u64, RoundFailure, Reason); 3] = [
        (
            |ledger| drop(ledger.commit_all(&honest(0..2))),
            COMMIT_MS,
            RoundFailure::TooFewCommitments,
            Reason::RoundFailed,
        ),
        (
            |ledger| {
                ledger.commit_all(&honest(0..4));
                ledger.reveal_all(2..4);
            },
            REVEAL_MS,
            RoundFailure::TooFewUpdates,
            Reason::NotRevealed,
        ),
        (
            |ledger| {
                ledger.commit_all(&honest(0..4));
                ledger.reveal_all(0..4);
            },
            DECIDE_MS,
            RoundFailure::NotDecided,
            Reason::RoundFailed,
        ),
    ];
    for (prepare, window_ms, failure, reason) in cases {
        let mut ledger = ledger();
        let model = ledger.round().base_model;
        prepare(&mut ledger);
        let effects = ledger.block(window_ms, vec![], vec![]);
        let (result, verdicts) = outcome(&effects.entries);
        assert_eq!(result, failed(failure));
        assert_eq!(verdicts[0].reason, reason, "{failure:?}");
        assert!(verdicts.iter().all(|verdict| !verdict.strike));
        assert_eq!((ledger.round().round, ledger.round().base_model), (RoundNumber(2), model));
        assert!(ledger.view().commitments(&task_id()).is_empty());
    }
}

#[test]
fn nothing_waits_for_ever() {
    // Blocks only when a deadline is due, whatever members have done before.
    for committed in 0..=4 {
        for revealed in 0..=committed {
            let mut ledger = ledger();
            if committed > 0 {
                ledger.commit_all(&honest(0..committed));
            }
            if ledger.round().phase == Phase::Commit && revealed > 0 {
                let wait = ledger.round().deadline.0 - ledger.time.0;
                ledger.block(wait, vec![], vec![]);
            }
            if ledger.round().phase == Phase::Reveal && revealed > 0 {
                ledger.reveal_all(0..revealed);
            }
            let mut blocks = 0;
            while let Some(deadline) = next_deadline(&ledger.state) {
                let wait = deadline.0.saturating_sub(ledger.time.0).max(1);
                ledger.block(wait, vec![], vec![]);
                blocks += 1;
                assert!(blocks <= 40, "ten rounds have at most four phases");
            }
            let progress = ledger.view().task_progress(&task_id()).unwrap();
            assert_eq!((progress.status, progress.round), (TaskStatus::Completed, RoundNumber(10)));
            assert!(ledger.try_block(1_000_000, &[], &[]).is_err(), "nothing is due any more");
        }
    }
}

#[test]
fn a_task_ends_after_its_rounds() {
    let mut ledger = Ledger::new(4, vec![TaskSpec { rounds: 2, ..task(1, 3) }]);
    ledger.play(&honest(0..4));
    ledger.play(&honest(0..4));
    let progress = ledger.view().task_progress(&task_id()).unwrap();
    assert_eq!((progress.status, progress.aggregated), (TaskStatus::Completed, 2));
    assert!(has(&ledger.entries, |body| matches!(
        body,
        EntryBody::TaskEnded { frozen: false, model, .. } if *model == progress.model
    )));
    let update = ledger.blob(HONEST[0]);
    let (task, round, salt) = (task_id(), RoundNumber(2), Salt([0; 32]));
    let action = Action::RevealUpdate { task, round, update, salt };
    assert_eq!(ledger.send(0, action), Err(Rejection::TaskNotRunning));
}

/// Bends a commitment that would be accepted.
fn bent_commitment(ledger: &mut Ledger, bend: impl Fn(&mut Action)) -> Result<(), Rejection> {
    let update = ledger.blob(HONEST[0]);
    let mut action = ledger.commit_action(0, update);
    bend(&mut action);
    ledger.send(0, action)
}

#[test]
fn commitments_are_refused_by_code() {
    let mut ledger = ledger();
    let elsewhere = TaskId::new("elsewhere").unwrap();
    let refused = bent_commitment(&mut ledger, |action| {
        if let Action::CommitUpdate { task, .. } = action {
            task.clone_from(&elsewhere);
        }
    });
    assert_eq!(refused, Err(Rejection::UnknownTask));
    let refused = bent_commitment(&mut ledger, |action| {
        if let Action::CommitUpdate { round, .. } = action {
            *round = RoundNumber(2);
        }
    });
    assert_eq!(refused, Err(Rejection::WrongRound { expected: RoundNumber(1) }));
    let refused = bent_commitment(&mut ledger, |action| {
        if let Action::CommitUpdate { base_model, .. } = action {
            *base_model = Digest::of(b"another model");
        }
    });
    assert_eq!(refused, Err(Rejection::WrongBaseModel { expected: ledger.round().base_model }));
    let refused = bent_commitment(&mut ledger, |action| {
        if let Action::CommitUpdate { byte_length, .. } = action {
            *byte_length += 1;
        }
    });
    assert_eq!(refused, Err(Rejection::WrongLength { expected: ledger.schema.byte_length() }));
    for bad in [0, NUM_EXAMPLES_MAX + 1] {
        let refused = bent_commitment(&mut ledger, |action| {
            if let Action::CommitUpdate { num_examples, .. } = action {
                *num_examples = bad;
            }
        });
        assert_eq!(refused, Err(Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX }));
    }
    assert_eq!(bent_commitment(&mut ledger, |_| {}), Ok(()));
    assert_eq!(bent_commitment(&mut ledger, |_| {}), Err(Rejection::AlreadyCommitted));
    ledger.commit_all(&honest(1..3));
    ledger.block(COMMIT_MS, vec![], vec![]);
    let late = ledger.blob([1, 1, 1]);
    let refused = ledger.send(3, ledger.commit_action(3, late));
    assert_eq!(refused, Err(Rejection::WrongPhase { phase: Phase::Reveal }));
    // Refused or not, each transaction used its nonce.
    assert_eq!(ledger.view().nonce(&member_id(0)).0, 8);
    assert_eq!(ledger.view().counter(&state_key::update_count(&member_id(0))), 1);
}

#[test]
fn reveals_are_refused_by_code() {
    let mut ledger = ledger();
    let updates: Vec<Digest> = HONEST.into_iter().map(|values| ledger.blob(values)).collect();
    let early = ledger.send(0, ledger.reveal_action(0, updates[0]));
    assert_eq!(early, Err(Rejection::WrongPhase { phase: Phase::Commit }));
    ledger.commit_all(&honest(0..3));
    ledger.block(COMMIT_MS, vec![], vec![]);
    let committed = ledger.opening(0, updates[0]).commitment();
    let other = ledger.send(0, ledger.reveal_action(0, updates[1]));
    assert_eq!(other, Err(Rejection::WrongOpening { committed }));
    let never = ledger.send(3, ledger.reveal_action(3, updates[3]));
    assert_eq!(never, Err(Rejection::NotCommitted));
    assert_eq!(ledger.send(0, ledger.reveal_action(0, updates[0])), Ok(()));
    let again = ledger.send(0, ledger.reveal_action(0, updates[0]));
    assert_eq!(again, Err(Rejection::AlreadyRevealed));
}

#[test]
fn equivocation_is_proved_once_and_costs_trust_and_the_round() {
    let mut ledger = ledger();
    ledger.commit_all(&honest(0..3));
    let (first, second) = (ledger.blob([1, 1, 1]), ledger.blob([2, 2, 2]));
    // Member 3 commits twice in one block; with the first all have committed.
    let transactions = vec![
        ledger.sign_ahead(3, 0, ledger.commit_action(3, first)),
        ledger.sign_ahead(3, 1, ledger.commit_action(3, second)),
    ];
    let digests: Vec<_> = transactions.iter().map(Transaction::digest).collect();
    let effects = ledger.block(1, transactions, vec![]);
    let proved = |body: &EntryBody| {
        matches!(body, EntryBody::EquivocationProved { first, second, .. }
            if [*first, *second] == digests[..])
    };
    assert!(has(&effects.entries, proved));
    let trust = ledger.trust(3);
    assert_eq!((trust.trust_micro, trust.standing), (62_500, Standing::Probation));
    // A third digest is refused too, but proves nothing new.
    let third = ledger.blob([3, 3, 3]);
    let committed = ledger.opening(3, first).commitment();
    let refused = ledger.send(3, ledger.commit_action(3, third));
    assert_eq!(refused, Err(Rejection::Equivocation { committed }));
    assert_eq!(ledger.trust(3), trust);
    // The round does not wait for the excluded member.
    assert_eq!(ledger.round().phase, Phase::Reveal);
    ledger.reveal_all(0..3);
    assert_eq!(ledger.round().phase, Phase::Decide);
    let (result, verdicts) = outcome(&ledger.decide_block().entries);
    assert!(matches!(result, OutcomeResult::Aggregated { .. }));
    let verdict = &verdicts[3];
    assert_eq!((verdict.verdict, verdict.reason), (Verdict::Reject, Reason::Equivocation));
    assert!(verdict.strike);
    // Trust fell once; the strike counts for the standing.
    assert_eq!((ledger.trust(3).trust_micro, ledger.trust(3).strikes), (62_500, 1));
}

#[test]
fn late_equivocation_costs_trust_but_moves_no_decision_that_is_being_computed() {
    let mut ledger = ledger();
    ledger.commit_all(&honest(0..4));
    ledger.reveal_all(0..4);
    let before = ledger.decide();
    let other = ledger.blob([1, 1, 1]);
    let refused = ledger.send(0, ledger.commit_action(0, other));
    assert!(matches!(refused, Err(Rejection::Equivocation { .. })));
    assert_eq!(ledger.trust(0).trust_micro, 62_500);
    assert_eq!(ledger.decide(), before);
    ledger.decide_block();
    assert_eq!(ledger.trust(0).trust_micro, 62_500, "no credit for this round");
    assert!(ledger.trust(1).trust_micro > 500_000);
}

#[test]
fn a_member_suspended_before_the_reveals_close_is_left_out_without_a_strike() {
    let mut ledger = Ledger::new(5, vec![task(1, 3)]);
    ledger.commit_all(&honest(0..5));
    let change = Change::SuspendMember { member: member_id(4), reason: String::new() };
    ledger.send(0, Action::ProposeChange { change: change.clone() }).unwrap();
    for at in 1..4 {
        ledger.send(at, Action::Approve { change: change.digest() }).unwrap();
    }
    ledger.reveal_all(0..4);
    let (_, verdicts) = outcome(&ledger.decide_block().entries);
    assert_eq!(verdicts[4].reason, Reason::MemberSuspended);
    assert!(!verdicts[4].strike);
}

#[test]
fn indexes_lead_to_the_entries() {
    let mut ledger = ledger();
    ledger.play(&honest(0..4));
    ledger.play(&honest(0..4));
    let view = ledger.view();
    let member = member_id(0);
    assert_eq!(view.counter(&state_key::update_count(&member)), 2);
    for k in 1..=2 {
        let at = view.counter(&state_key::update_at(&member, k)) as usize;
        assert!(matches!(
            &ledger.entries[at].body,
            EntryBody::Transaction { transaction, .. } if transaction.body.member == member
                && matches!(transaction.body.action, Action::CommitUpdate { .. })
        ));
        let at = view.counter(&state_key::verdict_at(&member, k)) as usize;
        assert!(matches!(
            &ledger.entries[at].body,
            EntryBody::UpdateVerdict { verdict, .. } if verdict.member == member
        ));
    }
    assert_eq!(view.counter(&state_key::verdict_count(&member)), 2);
    assert_eq!(view.counter(&state_key::verdict_kind_count(&member, Verdict::Accept)), 2);
    assert!(view.get::<u64>(&state_key::update_at(&member, 3)).is_none());
}

#[test]
fn outliers_come_to_quarantine_and_back_and_the_rounds_go_on() {
    let mut ledger = ledger();
    let bad = [honest(0..3), vec![(3, [-100, 0, 0])]].concat();
    let standings: Vec<Standing> = [&bad, &bad, &honest(0..4), &honest(0..4), &honest(0..4)]
        .into_iter()
        .map(|updates| {
            let (result, _) = ledger.play(updates);
            assert!(matches!(result, OutcomeResult::Aggregated { .. }));
            ledger.trust(3).standing
        })
        .collect();
    assert_eq!(standings, [Probation, Quarantine, Quarantine, Probation, Probation]);
    let causes: Vec<TrustCause> = ledger
        .entries
        .iter()
        .filter_map(|entry| match &entry.body {
            EntryBody::TrustChanged { member, cause, .. } if *member == member_id(3) => {
                Some(*cause)
            }
            _ => None,
        })
        .collect();
    assert_eq!(causes, [Strike, StrikesInARow, Returned, CleanRound]);
}

#[test]
fn quarantined_members_that_stay_away_do_not_stop_the_round() {
    let mut ledger = Ledger::new(4, vec![task(1, 4)]);
    let bad = [honest(0..3), vec![(3, [-100, 0, 0])]].concat();
    ledger.play(&bad);
    ledger.play(&bad);
    assert_eq!(ledger.trust(3).standing, Standing::Quarantine);
    // updates_min is 4, but one of the f is known and gone.
    let (result, verdicts) = ledger.play(&honest(0..3));
    assert!(matches!(result, OutcomeResult::Aggregated { .. }));
    assert_eq!(verdicts.len(), 3);
}

#[test]
fn more_suspects_than_f_freeze_the_task_at_its_last_model() {
    let mut ledger = Ledger::new(7, vec![task(1, 5)]);
    let liars = vec![(5, [-300, 100, 0]), (6, [0, -100, 300])];
    let updates = [honest(0..5), liars].concat();
    let (first, _) = ledger.play(&updates);
    let OutcomeResult::Aggregated { chosen, .. } = first else { panic!("{first:?}") };
    let (second, verdicts) = ledger.play(&updates);
    assert_eq!(second, failed(RoundFailure::TooManySuspects), "{verdicts:?}");
    let progress = ledger.view().task_progress(&task_id()).unwrap();
    assert_eq!((progress.status, progress.model), (TaskStatus::Frozen, chosen.model));
    assert!(ledger.view().round(&task_id()).is_none());
    assert_eq!(ledger.trust(5).standing, Standing::Probation, "nobody is newly quarantined");
    assert!(has(&ledger.entries, |body| matches!(body, EntryBody::TaskEnded { frozen: true, .. })));
}

fn evaluated_task() -> TaskSpec {
    // Of four updates with f = 1, trimmed mean and median are the same: the second is left out.
    let candidates = vec![
        AggregationRule::Mean,
        AggregationRule::Median,
        AggregationRule::GeometricMedian { iterations: 8 },
    ];
    let evaluation = Some(evaluation(candidates));
    TaskSpec { evaluation, ..task(1, 3) }
}

/// A ledger whose round is being evaluated, with the candidates.
fn evaluating() -> (Ledger, Vec<Candidate>) {
    let mut ledger = Ledger::new(4, vec![evaluated_task()]);
    ledger.commit_all(&[honest(0..3), vec![(3, [60, 30, -20])]].concat());
    ledger.reveal_all(0..4);
    assert_eq!(ledger.round().phase, Phase::Propose);
    ledger.decide_block();
    assert_eq!(ledger.round().phase, Phase::Evaluate);
    let candidates = ledger.round().candidates;
    assert_eq!(candidates.len(), 3);
    assert_eq!(candidates[0].rule, AggregationRule::TrimmedMean);
    (ledger, candidates)
}

fn scores(candidates: &[Candidate], losses: [u64; 3]) -> Action {
    let scores = candidates.iter().zip(losses).map(|(candidate, loss_micro)| CandidateScore {
        candidate: candidate.model,
        loss_micro,
        num_examples: 10,
        classes: Vec::new(),
    });
    Action::SubmitEvaluation { task: task_id(), round: RoundNumber(1), scores: scores.collect() }
}

#[test]
fn evaluations_choose_the_candidate() {
    let (mut ledger, candidates) = evaluating();
    for at in 0..3 {
        ledger.send(at, scores(&candidates, [50, 40, 60])).unwrap();
    }
    assert_eq!(ledger.round().phase, Phase::Evaluate);
    // A liar does not turn the choice, and its score closes the phase.
    ledger.send(3, scores(&candidates, [0, LOSS_MICRO_MAX, 0])).unwrap();
    assert_eq!((ledger.round().phase, ledger.round().chosen), (Phase::Decide, Some(1)));
    let (result, verdicts) = outcome(&ledger.decide_block().entries);
    let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
    assert_eq!(chosen, candidates[1]);
    assert_eq!(verdicts.len(), 4);
}

#[test]
fn without_a_quorum_of_evaluations_the_tasks_own_rule_stands() {
    let (mut ledger, candidates) = evaluating();
    for at in 0..2 {
        ledger.send(at, scores(&candidates, [50, 40, 60])).unwrap();
    }
    ledger.block(EVALUATE_MS, vec![], vec![]);
    assert_eq!(ledger.round().chosen, Some(0));
    let (result, _) = outcome(&ledger.decide_block().entries);
    let OutcomeResult::Aggregated { chosen, .. } = result else { panic!("{result:?}") };
    assert_eq!(chosen, candidates[0]);
}

#[test]
fn evaluations_are_refused_by_code() {
    let (mut ledger, candidates) = evaluating();
    let mut refuse = |bend: &dyn Fn(&mut Vec<CandidateScore>), expected: Rejection| {
        let mut action = scores(&candidates, [1, 2, 3]);
        if let Action::SubmitEvaluation { scores, .. } = &mut action {
            bend(scores);
        }
        assert_eq!(ledger.send(0, action), Err(expected));
    };
    refuse(&|scores| scores.truncate(2), Rejection::WrongCandidates);
    refuse(&|scores| scores.swap(0, 1), Rejection::WrongCandidates);
    refuse(&|scores| scores.push(scores[0].clone()), Rejection::WrongCandidates);
    let over = Rejection::LossOutOfRange { max: LOSS_MICRO_MAX };
    refuse(&|scores| scores[2].loss_micro = LOSS_MICRO_MAX + 1, over);
    let examples = Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX };
    refuse(&|scores| scores[1].num_examples = 0, examples);
    ledger.send(0, scores(&candidates, [1, 2, 3])).unwrap();
    let again = ledger.send(0, scores(&candidates, [3, 2, 1]));
    assert_eq!(again, Err(Rejection::AlreadyEvaluated));
}

#[test]
fn a_round_of_candidates_that_nobody_proposes_ends_undecided() {
    let mut ledger = Ledger::new(4, vec![evaluated_task()]);
    ledger.commit_all(&honest(0..4));
    ledger.reveal_all(0..4);
    let effects = ledger.block(DECIDE_MS, vec![], vec![]);
    assert_eq!(outcome(&effects.entries).0, failed(RoundFailure::NotDecided));
}

#[test]
fn a_base_model_that_is_none_fails_the_round_instead_of_stopping_it() {
    let bytes = b"not a model".to_vec();
    let spec = TaskSpec { initial_model: Digest::of(&bytes), ..task(1, 3) };
    let mut ledger = Ledger::new(4, vec![spec]);
    ledger.blobs.insert(Digest::of(&bytes), bytes);
    let (result, verdicts) = ledger.play(&honest(0..4));
    assert_eq!(result, failed(RoundFailure::BaseModelInvalid));
    assert!(verdicts.iter().all(|verdict| verdict.reason == Reason::RoundFailed));
}

#[test]
fn a_model_that_would_leave_its_range_fails_the_round() {
    let mut ledger = ledger();
    let near = 8_000_000;
    let start = ledger.blob([near; D]);
    ledger = Ledger::new(4, vec![TaskSpec { initial_model: start, ..task(1, 3) }]);
    ledger.blob([near; D]);
    let updates: Vec<_> = (0..4).map(|at| (at, [1_000_000 + at as i32; D])).collect();
    assert_eq!(ledger.play(&updates).0, failed(RoundFailure::ModelOutOfRange));
}

#[test]
fn blobs_that_are_no_updates_are_verdicts() {
    let mut ledger = ledger();
    ledger.commit_all(&honest(0..2));
    let whole = ledger.schema.encode(&HONEST[2]).unwrap();
    let mut bent = whole.clone();
    bent[3] ^= 1;
    let long = [whole, vec![0]].concat();
    for (at, bytes) in [(2, bent), (3, long)] {
        let digest = Digest::of(&bytes);
        ledger.blobs.insert(digest, bytes);
        ledger.send(at, ledger.commit_action(at, digest)).unwrap();
    }
    ledger.reveal_all(0..4);
    let (result, verdicts) = outcome(&ledger.decide_block().entries);
    // Two are proved faulty; the task asks for three less the one it was to withstand.
    assert!(matches!(result, OutcomeResult::Aggregated { .. }), "{result:?}");
    let said: Vec<_> = verdicts[2..].iter().map(|v| (v.reason, v.strike)).collect();
    assert_eq!(said, [(Reason::SchemaMismatch, true), (Reason::LengthMismatch, true)]);
    let length = ledger.schema.byte_length();
    assert_eq!((verdicts[3].value, verdicts[3].threshold), (length + 1, length));
}
