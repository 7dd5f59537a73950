use fedledger_ledger::ids::{ChainId, TimeMs};
use fedledger_ledger::keys::PublicKey;
use fedledger_ledger::task::{AggregationRule, EvaluationSpec, NormBand, TaskSpec};

use super::*;
use crate::testing::{member_spec, task, EVALUATE_MS};

fn document(members: usize, tasks: Vec<TaskSpec>) -> Genesis {
    Genesis {
        chain_id: ChainId::new("test-1").unwrap(),
        time: TimeMs(1),
        members: (0..members).map(member_spec).collect(),
        tasks,
    }
}

/// Bends a document that works and returns what is said of it.
fn refusal(bend: impl FnOnce(&mut Genesis)) -> String {
    let mut document = document(7, vec![task(2, 5)]);
    assert!(genesis(&document).is_ok());
    bend(&mut document);
    genesis(&document).unwrap_err().to_string()
}

fn check(bend: impl FnOnce(&mut Genesis), expected: &str) {
    let error = refusal(bend);
    assert!(error.contains(expected), "{error}\nexpected: {expected}");
}

#[test]
fn members_are_refused_by_name() {
    check(|d| d.members.clear(), "expected 1 to 128");
    check(|d| d.members.extend((7..130).map(member_spec)), "genesis has 130 members");
    check(|d| d.members[3].id = d.members[0].id.clone(), "the member id `m000` is taken");
    check(|d| d.members[3].name = String::new(), "the member's name has 0 bytes");
    check(|d| d.members[3].addresses = vec![String::new()], "an address has 0 bytes");
    check(|d| d.members[3].addresses = vec!["x".into(); 17], "at most 16 addresses");
    check(|d| d.members[3].keys.member = PublicKey([0; 32]), "not a usable");
    check(|d| d.members[3].keys.network = d.members[0].keys.validator, "keys are never reused");
    check(|d| d.members[3].keys.network = d.members[3].keys.member, "keys are never reused");
}

fn check_task(bend: impl FnOnce(&mut TaskSpec), expected: &str) {
    check(|d| bend(&mut d.tasks[0]), expected);
}

#[test]
fn tasks_that_cannot_work_are_refused_with_the_numbers() {
    check(|d| d.tasks.push(d.tasks[0].clone()), "in genesis twice");
    check(|d| d.tasks = vec![d.tasks[0].clone(); 65], "at most 64");
    check_task(|t| t.description = "x".repeat(1_025), "length of the description is 1025");
    check_task(|t| t.description = "x".repeat(60_000), "at most 50000");
    check_task(|t| t.tensors.clear(), "at least one tensor");
    check_task(|t| t.rounds = 0, "rounds is 0, expected 1 to 1000000");
    check_task(|t| t.updates_min = 8, "updates_min is 8, expected 1 to 7");
    check_task(|t| t.updates_min = 4, "at least 5 (2f + 1)");
    check_task(|t| t.commit_window_ms = 0, "commit_window_ms is 0");
    check_task(|t| t.reveal_window_ms = u64::MAX, "reveal_window_ms is 18446744073709551615");
    check_task(|t| t.decide_window_ms = 0, "decide_window_ms is 0");
    check_task(|t| t.trust.as_mut().unwrap().outlier_milli = 1_000, "expected 1001");
    check_task(|t| t.trust.as_mut().unwrap().strikes_to_quarantine = 0, "strikes_to_quarantine");
    check_task(|t| t.trust.as_mut().unwrap().clean_rounds_to_return = 0, "clean_rounds_to_return");
    for bad in [-1_001, 1_001] {
        let cosine = |t: &mut TaskSpec| t.trust.as_mut().unwrap().outlier_cosine_milli = Some(bad);
        check_task(cosine, "expected -1000 to 1000");
    }
    let band = |low_milli, clip_milli, high_milli| NormBand { low_milli, clip_milli, high_milli };
    for bad in [band(1_000, 1_000, 1_000), band(0, 999, 2_000), band(0, 3_000, 2_999)] {
        check_task(|t| t.norm_band = Some(bad), "low < 1000 <= clip <= high");
    }
}

#[test]
fn rules_are_refused_where_their_precondition_fails() {
    // Krum needs n >= 2f + 3 = 7, and must hold at the fewest updates, 5.
    check_task(
        |t| t.rule = AggregationRule::Krum { neighbours: None },
        "at least 7 updates, found 5",
    );
    check_task(|t| t.rule = AggregationRule::Bulyan, "with 5 updates and f = 2");
    check_task(|t| t.rule = AggregationRule::GeometricMedian { iterations: 0 }, "iterations");
    let evaluation = |candidates, window_ms| {
        Some(EvaluationSpec {
            candidates,
            window_ms,
            harm: None,
            classes: Vec::new(),
            protected_class: None,
        })
    };
    check_task(|t| t.evaluation = evaluation(vec![AggregationRule::Bulyan], EVALUATE_MS), "bulyan");
    check_task(|t| t.evaluation = evaluation(vec![], 0), "window_ms of the evaluation is 0");
    check_task(
        |t| t.evaluation = evaluation(vec![AggregationRule::TrimmedMean], EVALUATE_MS),
        "offered twice",
    );
    for (classes, fault) in [
        (vec!["a"], "evaluation.classes has 1 names, expected 2 to 16, or none"),
        (vec!["a"; 17], "evaluation.classes has 17 names"),
        (vec!["a", ""], "evaluation.classes: name 2 is 0 bytes long, expected 1 to 64"),
        (vec!["a", "b\n"], "evaluation.classes: name 2 has a control character"),
        (vec!["a", "b", "a"], "evaluation.classes has `a` twice"),
    ] {
        let of_classes = |task: &mut TaskSpec| {
            let classes = classes.iter().map(ToString::to_string).collect();
            let bare = evaluation(vec![], EVALUATE_MS);
            task.evaluation = bare.map(|bare| EvaluationSpec { classes, ..bare });
        };
        check_task(of_classes, fault);
    }
    for (protected, fault) in [
        ("c", "evaluation.protected_class is `c`, expected one of evaluation.classes"),
        ("b", "evaluation.protected_class says what tells harm: give evaluation.harm too"),
    ] {
        let protects = |task: &mut TaskSpec| {
            let classes = vec!["a".into(), "b".into()];
            let protected_class = Some(protected.into());
            let bare = evaluation(vec![], EVALUATE_MS);
            task.evaluation = bare.map(|bare| EvaluationSpec { classes, protected_class, ..bare });
        };
        check_task(protects, fault);
    }
    // Five neighbours work for 7 updates, but not for the 5 that are left without two suspects.
    check_task(
        |t| {
            t.updates_min = 7;
            t.rule = AggregationRule::Krum { neighbours: Some(5) };
        },
        "with 5 updates and f = 0",
    );
}

#[test]
fn the_order_of_members_in_the_document_decides_nothing_but_the_digest() {
    let one = document(5, vec![task(1, 3)]);
    let mut other = one.clone();
    other.members.reverse();
    let (one, other) = (genesis(&one).unwrap(), genesis(&other).unwrap());
    assert_eq!(one.validators, other.validators);
    let differing: Vec<_> = one
        .writes
        .iter()
        .filter(|(key, value)| other.writes[*key] != **value)
        .map(|(key, _)| String::from_utf8(key.clone()).unwrap())
        .collect();
    assert_eq!(differing, ["chain/head", "log/head"]);
}
