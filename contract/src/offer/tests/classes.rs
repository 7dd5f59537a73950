//! The class that was harmed stands in the verdict, and in nothing else.

use fedledger_ledger::decision::HarmedClass;
use fedledger_ledger::entry::Rejection;
use fedledger_ledger::transaction::ClassLoss;

use super::*;
use crate::profile::HISTORY_BALANCED;
use crate::records::ClassHarm;

fn spec_of_classes() -> TaskSpec {
    let mut spec = spec();
    spec.evaluation.as_mut().expect("the task evaluates").classes =
        vec!["benign".into(), "malignant".into()];
    spec
}

fn play_of(spec: TaskSpec) -> Play {
    Play { ledger: Ledger::new(7, vec![spec]), random: ChaCha8Rng::seed_from_u64(5) }
}

/// A score over six rows of one class and three of the other.
fn by_class(candidate: &Candidate, whole: u64, classes: [u64; 2]) -> CandidateScore {
    let class = |(loss_micro, num_examples)| ClassLoss { loss_micro, num_examples };
    let classes = classes.into_iter().zip([6, 3]).map(class).collect();
    CandidateScore { classes, ..score(candidate, whole) }
}

/// As [`harmed`] scores: the cell raises the loss on the second class alone.
fn harmed_class(at: usize, candidate: &Candidate) -> CandidateScore {
    let (with, out) = harmed(at);
    let without = candidate.without.is_some();
    let (whole, second) = if without { (out, 700_000) } else { (with, 731_000) };
    by_class(candidate, whole, [400_000, if at < 2 { 0 } else { second }])
}

#[test]
fn the_verdicts_on_a_harmful_cell_name_the_class_and_decide_as_before() {
    let (mut play, mut plain) = (play_of(spec_of_classes()), Play::new());
    let named =
        HarmedClass { class: "malignant".into(), harm_micro: 31_000, agreeing: 5, evaluators: 5 };
    for round in 1..=6 {
        let (result, verdicts) = play.scored(90, harmed_class);
        let (as_before, without) = plain.round(harmed);
        assert_eq!(result, as_before);
        for (at, (verdict, plain)) in verdicts.into_iter().zip(without).enumerate() {
            let expected = (round > 3 && at < 2).then(|| named.clone());
            assert_eq!(verdict.harmed_class, expected, "round {round}, member {at}");
            // But for the name it is the verdict of a task that asks for no classes.
            assert_eq!(UpdateVerdict { harmed_class: None, ..verdict }, plain);
        }
    }
    let ledger = play.ledger;
    for blobs in [None, Some(&ledger.blobs as &dyn BlobRead)] {
        let replayer = ledger.replay(&ledger.chain, blobs).expect("the chain is honest");
        assert_eq!(replayer.state().root(), ledger.state.root());
    }
    // Another class of the task is not what the losses come to, and one that it does not have is none.
    let decides = |block: &Block| matches!(block.body.decisions[..], [Decision::Outcome { .. }]);
    let at = ledger.chain.iter().rposition(|(block, _)| decides(block)).expect("rounds end");
    let bent = |class: &str| {
        let mut chain = ledger.chain[..=at].to_vec();
        let (block, certificate) = &mut chain[at];
        let Decision::Outcome { verdicts, .. } = &mut block.body.decisions[0] else {
            panic!("it decides")
        };
        let named = verdicts[0].harmed_class.as_mut().expect("the class is named");
        class.clone_into(&mut named.class);
        block.header.data_hash = block.body.data_hash();
        *certificate = ledger.certify(block);
        let Err(error) = ledger.replay(&chain, Some(&ledger.blobs)) else { panic!("it was bent") };
        error.to_string()
    };
    assert!(!bent("benign").contains("none of the task's"), "{}", bent("benign"));
    let unknown = bent("unclear");
    assert!(unknown.contains("names a class that is none of the task's"), "{unknown}");
}

#[test]
fn the_state_keeps_what_each_class_comes_to_until_the_round_ends() {
    let mut play = play_of(spec_of_classes());
    (0..3).for_each(|_| drop(play.scored(90, harmed_class)));
    let ledger = &mut play.ledger;
    let updates: Vec<(usize, [i32; 3])> =
        (0..7).map(|at| (at, [200, if at < 2 { 90 } else { 0 }, at as i32])).collect();
    ledger.commit_all(&updates);
    ledger.reveal_all(0..7);
    ledger.decide_block();
    let open = ledger.round();
    assert_eq!(open.candidates.len(), 2);
    let action = |at: usize, bend: fn(&mut CandidateScore)| {
        let scores = open.candidates.iter().map(|candidate| {
            let mut score = harmed_class(at, candidate);
            bend(&mut score);
            score
        });
        let (task, round) = (task_id(), open.round);
        Action::SubmitEvaluation { task, round, scores: scores.collect() }
    };
    let none = ledger.send(0, action(0, |score| score.classes.clear()));
    assert_eq!(none, Err(Rejection::WrongClasses { expected: 2 }));
    let sum = ledger.send(0, action(0, |score| score.num_examples = 10));
    assert_eq!(sum, Err(Rejection::ClassExamplesSum { num_examples: 10 }));
    (0..7).for_each(|at| ledger.send(at, action(at, |_| ())).expect("a good score"));
    let record = ledger.view().evaluation(&task_id(), &member_id(3)).expect("it has scored");
    let scores: Vec<CandidateScore> =
        open.candidates.iter().map(|candidate| harmed_class(3, candidate)).collect();
    assert_eq!(record.scores(&open.candidates), scores);
    let harm = ledger.round().harm.expect("five evaluators are enough");
    let class = |harm_micro, agreeing| ClassHarm { harm_micro, agreeing, evaluators: 5 };
    assert_eq!(harm.classes, [class(0, 0), class(31_000, 5)]);
}

#[test]
fn the_verdict_on_a_member_in_quarantine_names_the_class_that_its_return_would_harm() {
    let mut spec = spec_of_classes();
    spec.history = Some(HistoryPolicy { settle_rounds: 0, baseline_rounds: 8, ..HISTORY_BALANCED });
    let evaluation = spec.evaluation.as_mut().expect("the task evaluates");
    evaluation.harm = Some(HarmPolicy { cosine_milli: 1_000, return_micro: Some(1_000), ..HARM });
    let mut play = play_of(spec);
    let mut named = None;
    for round in 1..=45 {
        // The two change in round 10. Two of five evaluators say that their return does the greatest
        // harm to the first class; the others find it in the second.
        let moved = if round >= 10 { 90 } else { 0 };
        let (_, verdicts) =
            play.scored(moved, |at, candidate| match (candidate.with.is_some(), at) {
                (false, _) => by_class(candidate, 500_000, [400_000, 700_000]),
                (true, 5 | 6) => by_class(candidate, 500_000, [LOSS_MICRO_MAX, 700_000]),
                (true, _) => by_class(candidate, 500_000, [400_000, 707_000]),
            });
        assert!(verdicts.iter().all(|verdict| verdict.harmed_class.is_none()));
        named = verdicts[0].return_harmed_class.clone().or(named);
        if let Some(found) = &verdicts[0].return_harmed_class {
            assert_eq!(verdicts[0].verdict, Verdict::Quarantine);
            assert_eq!(
                (found.class.as_str(), found.agreeing, found.evaluators),
                ("malignant", 3, 5)
            );
            assert_eq!(found.harm_micro, 10_000);
        }
    }
    assert!(named.is_some(), "their return is measured");
}
