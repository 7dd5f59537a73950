//! Rounds whose candidates members score on rows of their own.

use fedledger_ledger::ids::RoundNumber;
use fedledger_node::api::types::EvaluatorState;
use fedledger_node::evaluation::EvaluationRequest;

use super::support::{Consortium, SCORE, SCORE_BY_CLASS};

/// Nobody waits for it but whoever kills it.
const HANG: &str = "sleep 86400 & wait";

#[test]
fn evaluators_that_fail_are_named_and_hold_nobody_up() {
    let hang = 3;
    let faults = [
        (hang, "had not ended after 2 s and was killed"),
        (4, "expected value at line 1"),
        (5, "exit status: 7"),
    ];
    let scripts = [SCORE, SCORE, SCORE, HANG, "echo loss: 0.3", "echo no rows >&2; exit 7"];
    let consortium = Consortium::start_with_evaluators(&scripts, 2, 20_000, 2_000);
    let round = RoundNumber(1);
    consortium.submit_all(round);
    let view = consortium.wait_for_end(0, round);
    // Three of at most one liar say that the second candidate is better, and three say nothing.
    assert_eq!(
        (view.candidates.len(), view.evaluations.len(), consortium.chosen(&view)),
        (2, 3, 1)
    );
    assert!(view.evaluations.iter().all(|one| one.scores[1].loss_micro == 700_000), "{view:?}");
    for (member, fault) in faults {
        let run = consortium.wait_for_evaluator(member, EvaluatorState::Failed);
        let said = run.fault.expect("it failed");
        assert!(said.contains(fault), "member {member}: {said}");
        assert_eq!((run.round, run.runs), (round, 1));
        assert!(consortium.said(member, "the evaluator came to nothing") > 0);
        assert!(consortium.said(member, fault) > 0, "the log of member {member} lacks: {fault}");
        consortium.wait_until_nothing_runs(member);
    }
    assert!(consortium.said(5, "no rows") > 0, "the log lacks what it said");

    // Mended, they score the next round, which then waits for nobody.
    for (member, _) in faults {
        consortium.set_evaluator(member, SCORE);
    }
    let round = RoundNumber(2);
    consortium.submit_all(round);
    let view = consortium.wait_for_end(0, round);
    assert_eq!((view.evaluations.len(), consortium.chosen(&view)), (6, 1));
    for member in 0..6 {
        let run = consortium.wait_for_evaluator(member, EvaluatorState::Scored);
        assert_eq!((run.round, run.fault), (round, None));
    }
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn an_evaluator_dies_with_its_node_and_runs_again_with_it() {
    let scripts = [HANG, SCORE, SCORE, SCORE];
    let mut consortium = Consortium::start_with_evaluators(&scripts, 1, 600_000, 600_000);
    consortium.submit_all(RoundNumber(1));
    consortium.wait_for_evaluator(0, EvaluatorState::Running);
    assert_eq!(consortium.scores_due(0), 1);
    consortium.stop(0);
    consortium.wait_until_nothing_runs(0);
    // The round still waits for this member, and its node knows.
    consortium.set_evaluator(0, SCORE);
    consortium.restart(0);
    let view = consortium.wait_for_end(0, RoundNumber(1));
    assert_eq!((view.evaluations.len(), consortium.chosen(&view)), (4, 1));
    consortium.wait_same_tip();
    let left = std::fs::read_dir(consortium.home_path(0).join("data/evaluation")).unwrap();
    assert_eq!(left.count(), 0);
    consortium.stop_and_audit();
}

#[test]
fn people_score_at_the_command_line_and_are_told_what_is_wrong() {
    let consortium = Consortium::start_evaluated(4, 1);
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let early = ["evaluation", "submit", "probe", "--losses", "1,1", "--num-examples", "9"];
    let early = consortium.fedledger(0, &[&early[..], &["--round", "1"]].concat(), "");
    assert_eq!(early.status.code(), Some(4), "{}", told(&early));
    assert!(told(&early).contains("lists no candidates"), "{}", told(&early));
    consortium.submit_all(RoundNumber(1));
    for member in 0..4 {
        let out = consortium.home_path(member).join("candidates");
        let wait = ["evaluation", "wait", "probe", "--output", "json", "--out"];
        let asked = [&wait[..], &[out.to_str().unwrap()]].concat();
        let asked = consortium.fedledger(member, &asked, "");
        assert_eq!(asked.status.code(), Some(0), "{}", told(&asked));
        let request: EvaluationRequest =
            serde_json::from_slice(&asked.stdout).expect("`evaluation wait` prints a request");
        assert_eq!((request.round, request.candidates.len()), (RoundNumber(1), 2));
        for candidate in &request.candidates {
            fedledger_node::files::read_tensors(candidate.file.as_deref().unwrap()).unwrap();
        }
        let model = |k: usize| request.candidates[k].model.to_string();
        let answer = |one: &str, two: &str| {
            format!(r#"{{"num_examples": 9, "losses": {{"{one}": 0.5, "{two}": 0.25}}}}"#)
        };
        let submit = |input: &str| {
            consortium.fedledger(member, &["evaluation", "submit", "probe", "-"], input)
        };
        let wrong = submit(&answer(&model(0), &"0".repeat(64)));
        assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
        assert!(told(&wrong).contains("another round's candidates"), "{}", told(&wrong));
        // The same again is the same; another score is refused before anything is signed.
        let good = submit(&answer(&model(0), &model(1)));
        assert_eq!(good.status.code(), Some(0), "{}", told(&good));
        if member < 3 {
            assert_eq!(submit(&answer(&model(0), &model(1))).stdout, good.stdout);
            let other = submit(&answer(&model(1), &model(0)));
            assert_eq!(other.status.code(), Some(4), "{}", told(&other));
            assert!(told(&other).contains("scored this round already"), "{}", told(&other));
        }
    }
    let view = consortium.wait_for_end(0, RoundNumber(1));
    assert_eq!((view.evaluations.len(), consortium.chosen(&view)), (4, 1));
    let shown = consortium.fedledger(1, &["evaluation", "show", "probe", "1"], "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("hospital-1     9   0.500000  -0.250000"), "{shown}");
    let over = consortium.fedledger(2, &["evaluation", "wait", "probe"], "");
    assert_eq!(over.status.code(), Some(4), "{}", told(&over));
    assert!(told(&over).contains("task `probe` is completed"), "{}", told(&over));
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn losses_by_class_come_from_programs_and_from_files_and_are_shown() {
    let scripts = [SCORE_BY_CLASS, SCORE_BY_CLASS, SCORE_BY_CLASS, "cat >/dev/null; exit 1"];
    let classes = ["benign", "malignant"];
    let consortium = Consortium::start_with_evaluators_of(&classes, &scripts, 1, 600_000, 600_000);
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    consortium.submit_all(RoundNumber(1));
    // The last hospital's people do what its program did not.
    consortium.wait_for_evaluator(3, EvaluatorState::Failed);
    let asked = consortium.fedledger(3, &["evaluation", "wait", "probe", "--output", "json"], "");
    assert_eq!(asked.status.code(), Some(0), "{}", told(&asked));
    let request: EvaluationRequest =
        serde_json::from_slice(&asked.stdout).expect("`evaluation wait` prints a request");
    assert_eq!(request.classes, classes);
    let model = |k: usize| request.candidates[k].model.to_string();
    let answer = |rows: &str| {
        format!(
            r#"{{"num_examples": 9, "num_examples_by_class": {{{rows}}},
                 "losses": {{"{0}": 0.5, "{1}": 0.25}},
                 "losses_by_class": {{"{0}": {{"benign": 0.5}}, "{1}": {{"benign": 0.25}}}}}}"#,
            model(0),
            model(1)
        )
    };
    let submit =
        |input: &str| consortium.fedledger(3, &["evaluation", "submit", "probe", "-"], input);
    let list = ["evaluation", "submit", "probe", "--losses", "1,1", "--num-examples", "9"];
    let list = consortium.fedledger(3, &[&list[..], &["--round", "1"]].concat(), "");
    assert_eq!(list.status.code(), Some(2), "{}", told(&list));
    assert!(
        told(&list).contains("asks for losses by class (benign, malignant)"),
        "{}",
        told(&list)
    );
    let wrong = submit(&answer(r#""benign": 8"#));
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    assert!(told(&wrong).contains("adds up to 8, `num_examples` is 9"), "{}", told(&wrong));
    let wrong = submit(&answer(r#""benign": 8, "malignant": 1"#));
    assert!(told(&wrong).contains("has none for `malignant`"), "{}", told(&wrong));
    let good = submit(&answer(r#""benign": 9"#));
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));

    let view = consortium.wait_for_end(0, RoundNumber(1));
    assert_eq!((view.evaluations.len(), consortium.chosen(&view)), (4, 1));
    let class = |member: usize, candidate: usize, class: usize| {
        let of_class = view.evaluations[member].scores[candidate].classes[class];
        (of_class.loss_micro, of_class.num_examples)
    };
    assert_eq!([class(0, 0, 1), class(0, 1, 1)], [(800_000, 2), (700_000, 2)]);
    assert_eq!([class(3, 1, 0), class(3, 1, 1)], [(250_000, 9), (0, 0)]);
    let shown = consortium.fedledger(1, &["evaluation", "show", "probe", "1"], "");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let (_, malignant) = shown.split_once("On class malignant:").expect("it is shown by class");
    assert!(malignant.contains("hospital-1     2   0.800000  -0.100000"), "{shown}");
    assert!(malignant.contains("hospital-4     0          -          -"), "{shown}");
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}
