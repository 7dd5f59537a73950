use fedledger_ledger::ids::Digest;
use fedledger_ledger::limits::NUM_EXAMPLES_MAX;
use fedledger_ledger::task::AggregationRule;
use fedledger_ledger::transaction::ClassLoss;

use super::*;

fn candidates() -> Vec<Candidate> {
    let candidate = |at: u8| Candidate {
        rule: AggregationRule::Median,
        aggregate: Digest([at; 32]),
        model: Digest([at; 32]),
        without: None,
        with: None,
    };
    vec![candidate(1), candidate(2)]
}

fn classes() -> Vec<String> {
    vec!["benign".into(), "malignant".into(), "unclear".into()]
}

/// Nine rows, of which the third class has none.
fn good() -> Vec<CandidateScore> {
    let class = |loss_micro, num_examples| ClassLoss { loss_micro, num_examples };
    let score = |candidate: &Candidate| CandidateScore {
        candidate: candidate.model,
        loss_micro: 300,
        num_examples: 9,
        classes: vec![class(100, 6), class(700, 3), class(0, 0)],
    };
    candidates().iter().map(score).collect()
}

fn check(bend: impl Fn(&mut Vec<CandidateScore>), expected: Rejection) {
    let mut scores = good();
    bend(&mut scores);
    assert_eq!(check_scores(&candidates(), &classes(), &scores), Err(expected));
}

#[test]
fn scores_have_one_loss_for_each_class_that_the_task_names() {
    assert_eq!(check_scores(&candidates(), &classes(), &good()), Ok(()));
    let expected = Rejection::WrongClasses { expected: 0 };
    assert_eq!(check_scores(&candidates(), &[], &good()), Err(expected));
    check(|scores| scores[1].classes.truncate(2), Rejection::WrongClasses { expected: 3 });
    check(|scores| scores[0].classes.clear(), Rejection::WrongClasses { expected: 3 });
    check(|scores| scores[0].candidate = Digest([9; 32]), Rejection::WrongCandidates);
    let mut without = good();
    without.iter_mut().for_each(|score| score.classes.clear());
    assert_eq!(check_scores(&candidates(), &[], &without), Ok(()));
    // Nobody has to hold back as many rows for one candidate as for another where no class is asked for.
    without[1].num_examples = 8;
    assert_eq!(check_scores(&candidates(), &[], &without), Ok(()));
}

#[test]
fn what_a_score_says_of_a_class_is_in_range_and_adds_up() {
    let over = Rejection::LossOutOfRange { max: LOSS_MICRO_MAX };
    check(|scores| scores[1].classes[1].loss_micro = LOSS_MICRO_MAX + 1, over.clone());
    check(|scores| scores[1].classes[2].loss_micro = u64::MAX, over);
    check(
        |scores| scores[1].classes[2].loss_micro = 1,
        Rejection::ClassWithoutExamples { class: "unclear".into() },
    );
    let sum = Rejection::ClassExamplesSum { num_examples: 9 };
    check(|scores| scores[0].classes[1].num_examples = 4, sum.clone());
    check(|scores| scores[0].classes[1].num_examples = u64::MAX, sum);
    let of_all = Rejection::NumExamplesOutOfRange { max: NUM_EXAMPLES_MAX };
    check(|scores| scores[0].num_examples = 0, of_all);
    check(
        |scores| {
            scores[1].classes[0].num_examples = 5;
            scores[1].classes[1].num_examples = 4;
        },
        Rejection::ClassExamplesDiffer { class: "benign".into() },
    );
    check(
        |scores| {
            scores[1].num_examples = 10;
            scores[1].classes[1].num_examples = 4;
        },
        Rejection::ClassExamplesDiffer { class: "malignant".into() },
    );
}
