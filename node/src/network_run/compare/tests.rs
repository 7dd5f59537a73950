use fedledger_contract::evaluation::Evaluation;
use fedledger_contract::records::{HarmRecord, TrustRecord};
use fedledger_ledger::decision::RoundFailure;
use fedledger_ledger::ids::TaskId;
use fedledger_ledger::transaction::ClassLoss;
use fedledger_sim::attack::{Attack, Knowledge};
use fedledger_sim::federation::RoundReport;
use fedledger_sim::scenario;

use super::{compare, Difference};

fn round() -> RoundReport {
    let attack: Attack = "sign-flip".parse().expect("a known attack");
    let scenario = scenario::demo(4, 1, attack, 1).expect("the built-in data serve four members");
    let task = scenario.task(TaskId::new("task").expect("a good id")).expect("a schema");
    let mut federation = scenario.federation(task, Knowledge::Colluders).expect("a good task");
    federation.step().expect("a round")
}

/// What is told when one thing in a round is bent.
fn bent(bend: impl FnOnce(&mut RoundReport)) -> Difference {
    let here = round();
    let mut there = here.clone();
    bend(&mut there);
    compare(&there, &here).expect_err("it is not the same")
}

#[test]
fn the_same_is_the_same() {
    assert_eq!(compare(&round(), &round()), Ok(()));
}

#[test]
fn whatever_is_bent_is_named_with_round_and_member() {
    let id = round().verdicts[2].member.clone();
    let update = bent(|report| {
        report.verdicts[0].weight_micro += 1;
        report.verdicts[2].update = None;
    });
    // The cause before its effect on the first member.
    assert!(matches!(update, Difference::Update { round: 1, member, .. } if member == id));
    let one = || Evaluation { member: id.clone(), losses: vec![7, 9], classes: Vec::new() };
    let losses = bent(|report| report.evaluations.push(one()));
    assert!(matches!(&losses, Difference::Losses { round: 1, member, .. } if *member == id));
    assert!(losses.to_string().ends_with("[7, 9] on the nodes, none in process"), "{losses}");
    let classes = vec![vec![ClassLoss { loss_micro: 5, num_examples: 3 }]; 2];
    let by_class = bent(|report| report.evaluations.push(Evaluation { classes, ..one() }));
    let words = "[7, 9], by class [[(5, 3)], [(5, 3)]] on the nodes, none in process";
    assert!(by_class.to_string().ends_with(words), "{by_class}");
    let harm = bent(|report| {
        let (cell, evaluators) = (vec![id.clone()], 9);
        let harm = HarmRecord {
            cell,
            harm_micro: 1,
            score_milli: 2,
            agreeing: 8,
            evaluators,
            classes: Vec::new(),
        };
        report.harm = Some(harm);
    });
    assert!(matches!(harm, Difference::Harm { round: 1, .. }));
    let measures = bent(|report| report.verdicts[2].measures[0].1 += 1);
    assert!(matches!(measures, Difference::Verdict { round: 1, member, .. } if member == id));
    let trust = bent(|report| {
        let before = report.trust[2];
        report.trust[2] = TrustRecord { clean_rounds: before.clean_rounds + 1, ..before };
    });
    assert!(matches!(&trust, Difference::Trust { round: 1, member, .. } if *member == id));
    assert!(trust.to_string().starts_with(&format!("round 1, {id}: trust differs: ")), "{trust}");
    let model = bent(|report| report.model.0[31] ^= 1);
    assert!(matches!(model, Difference::Model { round: 1, .. }));
    let failure = bent(|report| report.failure = Some(RoundFailure::NotDecided));
    assert!(failure.to_string().contains("not_decided"), "{failure}");
}
