use fedledger_contract::canonical::Schema;
use fedledger_contract::evaluation::Evaluation;
use fedledger_contract::profile::{apply, Profile, RULE_FEW};
use fedledger_ledger::decision::{Measure, Reason, Verdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::MemberId;
use fedledger_ledger::limits::LOSS_MICRO_MAX;
use fedledger_ledger::task::{AggregationRule, TaskSpec};
use fedledger_ledger::transaction::ClassLoss;
use rayon::ThreadPoolBuilder;

use super::{
    loss_micro, losses, losses_by_class, reported, Evaluations, Federation, FederationError,
    RoundReport,
};
use crate::attack::{Attack, Knowledge, Schedule, SignFlip, SilentDrift, Sybil};
use crate::comparison::{default_task, mean_task};
use crate::data::synthetic::Synthetic;
use crate::model::ModelSpec;
use crate::scenario::{demo, Scenario};

fn scenario(attackers: usize, attack: Attack) -> Scenario {
    demo(7, attackers, attack, 1).expect("enough rows")
}

fn federation(scenario: &Scenario, task: TaskSpec) -> Federation {
    scenario.federation(task, Knowledge::Colluders).expect("a good scenario")
}

fn run(scenario: &Scenario) -> (Vec<f32>, Vec<RoundReport>) {
    let mut federation = federation(scenario, default_task(scenario).expect("a good model"));
    let reports = federation.run().expect("updates fit the grid");
    (federation.model(), reports)
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut scenario = scenario(2, Attack::Sybil(Sybil { jitter: 0.01, ..Sybil::default() }));
    scenario.spec = ModelSpec::Mlp { features: 30, hidden: 6 };
    scenario.rounds = 4;
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| run(&scenario))
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(one, three);
    scenario.seed += 1;
    assert_ne!(one.1, run(&scenario).1);
}

#[test]
fn one_round_of_the_mean_is_the_mean_of_the_updates() {
    let mut scenario = scenario(0, Attack::SignFlip(SignFlip::default()));
    scenario.rounds = 1;
    let mut federation = federation(&scenario, mean_task(&scenario).expect("a good model"));
    federation.run().expect("updates fit the grid");
    let base = scenario.initial_model();
    let updates: Vec<_> =
        scenario.trainers().iter().map(|trainer| trainer.train(1, &base)).collect();
    let total: u64 = updates.iter().map(|update| update.num_examples).sum();
    for (k, &value) in federation.model().iter().enumerate() {
        let mean: f64 = updates
            .iter()
            .map(|update| f64::from(update.values[k]) * update.num_examples as f64 / total as f64)
            .sum();
        // Half a quantum for each update, and half for the mean.
        assert!((f64::from(value) - mean - f64::from(base[k])).abs() < 2.0 / 65_536.0);
    }
    assert_eq!(federation.model(), federation.plain_average());
}

#[test]
fn hostile_members_end_in_quarantine_and_honest_ones_do_not() {
    let scenario = scenario(2, Attack::SignFlip(SignFlip { scale: 3.0 }));
    let (model, reports) = run(&scenario);
    let last = reports.last().expect("there were rounds");
    assert_eq!(last.quarantined(), scenario.hostile);
    assert_eq!(reports.len() as u64, scenario.rounds);
    for (k, trust) in last.trust.iter().enumerate() {
        let hostile = scenario.hostile.contains(&k);
        assert_eq!(trust.standing == Standing::Quarantine, hostile);
        assert_eq!(last.verdicts[k].verdict == Verdict::Quarantine, hostile);
    }
    assert!(scenario.evaluate_all(&model).accuracy > 0.95);
}

#[test]
fn copies_are_refused_by_digest() {
    let scenario = scenario(2, Attack::Sybil(Sybil::default()));
    let (_, reports) = run(&scenario);
    let copy = scenario.hostile[1];
    assert!(reports.iter().all(|report| report.verdicts[copy].reason == Reason::Duplicate));
}

#[test]
fn the_norm_history_is_that_of_the_contract() {
    let scenario = scenario(0, Attack::SignFlip(SignFlip::default()));
    let (_, reports) = run(&scenario);
    // From the second round on the reference norm comes from the history: the median over at most
    // five rounds of the medians of the norms that were sent.
    let measure = |report: &RoundReport, wanted| -> Vec<u64> {
        let all = report.verdicts.iter().flat_map(|verdict| verdict.measures.iter());
        all.filter(|(measure, _)| *measure == wanted).map(|(_, value)| *value).collect()
    };
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        (values[values.len() / 2] + values[(values.len() - 1) / 2]) as f64 / 2.0
    };
    for t in 1..reports.len() {
        let history = &reports[t.saturating_sub(5)..t];
        let medians =
            history.iter().map(|report| median(measure(report, Measure::Norm)) as u64).collect();
        let expected = median(medians);
        for found in measure(&reports[t], Measure::ReferenceNorm) {
            assert!((found as f64 - expected).abs() <= 1.0, "round {t}: {found} {expected}");
        }
    }
}

#[test]
fn foreign_schemas_and_names_are_refused() {
    let scenario = scenario(0, Attack::SignFlip(SignFlip::default()));
    let task = default_task(&scenario).expect("a good model");
    let mut other = task.clone();
    other.tensors[0].name = "elsewhere".to_owned();
    let error = scenario.federation(other, Knowledge::Colluders).expect_err("another schema");
    assert!(matches!(error, FederationError::Quantise(_) | FederationError::Schema(_)), "{error}");
    let mut twisted = scenario.clone();
    twisted.names.swap(0, 1);
    let error = twisted.federation(task.clone(), Knowledge::Colluders).expect_err("order");
    assert!(matches!(error, FederationError::Members { .. }), "{error}");
    twisted.names[0] = "Not An Id".to_owned();
    let error = twisted.federation(task.clone(), Knowledge::Colluders).expect_err("no id");
    assert!(matches!(error, FederationError::Name(_)), "{error}");
    // A task that states the initial model's digest states that of the scenario's.
    let schema = Schema::of(&task).expect("a good schema");
    assert_eq!(schema.digest_of(&vec![0; schema.parameters()]), Ok(task.initial_model));
}

#[test]
fn a_rule_that_cannot_work_fails_the_round_and_keeps_the_model() {
    let mut scenario = scenario(0, Attack::SignFlip(SignFlip::default()));
    scenario.rounds = 2;
    let task = default_task(&scenario).expect("a good model");
    let mut federation =
        federation(&scenario, TaskSpec { rule: AggregationRule::Bulyan, byzantine: 2, ..task });
    let reports = federation.run().expect("updates fit the grid");
    assert!(reports.iter().all(|report| report.failure.is_some()));
    assert_eq!(federation.model(), scenario.initial_model());
}

/// Thirteen hospitals of a generator, four of them hostile: flipped labels, from round `from` on.
fn drifting(from: u64, evaluations: Evaluations, seed: u64) -> Scenario {
    let made = Synthetic { rows: 150, prevalence: 0.65, signal: 6.0, ..Synthetic::default() };
    let sites = made.generate(seed).expect("a good generator").0;
    let attack = Attack::SilentDrift(SilentDrift::default());
    let scenario = Scenario::new(sites, 4, attack, seed).expect("enough are honest");
    let schedule = Schedule { from, ..Schedule::default() };
    Scenario { schedule, evaluations, rounds: 22, ..scenario }
}

/// Under a rule that lets flipped labels in; the filter would leave them out unmeasured.
fn evaluated(scenario: &Scenario) -> Vec<RoundReport> {
    evaluated_by_class(scenario, &[])
}

fn evaluated_by_class(scenario: &Scenario, classes: &[&str]) -> Vec<RoundReport> {
    let mut task = apply(Profile::Evaluated, default_task(scenario).expect("a good model"), 13);
    task.rule = RULE_FEW;
    let evaluation = task.evaluation.as_mut().expect("the profile evaluates");
    evaluation.classes = classes.iter().map(ToString::to_string).collect();
    federation(scenario, task).run().expect("updates fit the grid")
}

#[test]
fn a_cell_that_is_hostile_from_the_first_round_is_found_by_its_harm() {
    let scenario = drifting(1, Evaluations::Honest, 3);
    let reports = evaluated(&scenario);
    let struck: Vec<usize> = (0..13)
        .filter(|&k| reports.iter().any(|r| r.verdicts[k].reason == Reason::HarmfulTogether))
        .collect();
    assert_eq!(struck, scenario.hostile);
    assert_eq!(reports.last().map(RoundReport::quarantined), Some(scenario.hostile.clone()));
    // The first measured harm is of the cell, and before its quarantine the model goes on without it.
    let first = reports.iter().find(|report| report.harm.is_some()).expect("cells are suspected");
    let harm = first.harm.as_ref().expect("it was just found");
    assert!(harm.harm_micro > 0 && harm.evaluators == 9, "{harm:?}");
    let left_out = |k: &usize| reports.iter().any(|r| r.verdicts[*k].reason == Reason::CellLeftOut);
    assert!(scenario.hostile.iter().all(left_out), "{:?}", first.verdicts);
}

#[test]
fn the_class_that_is_poisoned_is_named_and_nothing_else_changes() {
    for evaluations in [Evaluations::Honest, Evaluations::Framing] {
        let scenario = drifting(1, evaluations, 3);
        let mut reports = evaluated_by_class(&scenario, &["benign", "malignant"]);
        let mut named = Vec::new();
        for report in &mut reports {
            for one in &mut report.evaluations {
                let rows = one.classes[0].iter().map(|class| class.num_examples).sum::<u64>();
                assert!(one.classes.iter().all(|all| all.len() == 2) && rows > 0, "{one:?}");
                one.classes.clear();
            }
            report.harm.iter_mut().for_each(|harm| harm.classes.clear());
            for verdict in &mut report.verdicts {
                verdict.return_harmed_class = None;
                named.extend(verdict.harmed_class.take().map(|one| (verdict.member.clone(), one)));
            }
        }
        assert_eq!(reports, evaluated(&scenario));
        // What is called benign by them is malignant.
        let hostile =
            |id| scenario.hostile.iter().any(|&k| scenario.names[k] == *MemberId::as_str(id));
        let mut of_hostile = named.iter().filter(|(id, _)| hostile(id)).peekable();
        assert!(of_hostile.peek().is_some(), "{named:?}");
        for (_, found) in of_hostile {
            assert_eq!((found.class.as_str(), found.evaluators), ("malignant", 9), "{found:?}");
            assert!(found.agreeing >= 8, "{found:?}");
        }
    }
}

#[test]
fn a_class_without_rows_has_no_loss_and_liars_keep_their_counts() {
    let data = crate::data::fixtures::clouds(30, 2, 1);
    let positives = data.select(&[0, 3, 6]);
    let spec = ModelSpec::Logistic { features: 2 };
    let models = vec![vec![1.0, 0.0, 0.0], vec![-1.0, 0.0, 0.0]];
    let of = |rows| losses_by_class(&spec, &models, rows, 2);
    let counts = |found: &[Vec<ClassLoss>]| -> Vec<Vec<u64>> {
        found.iter().map(|all| all.iter().map(|one| one.num_examples).collect()).collect()
    };
    assert_eq!(counts(&of(&data)), [[20, 10], [20, 10]]);
    assert_eq!(losses_by_class(&spec, &models, &data, 0), Vec::<Vec<ClassLoss>>::new());
    let found = of(&positives);
    assert_eq!(counts(&found), [[0, 3], [0, 3]]);
    let losses = losses(&spec, &models, &positives);
    assert_eq!((found[0][0].loss_micro, found[0][1].loss_micro), (0, losses[0]));
    // A trainer that turns its losses round.
    let scenario = drifting(1, Evaluations::Inverted, 3);
    let trainers = scenario.trainers();
    let liar =
        trainers.iter().find(|trainer| trainer.coalition.is_some()).expect("four are hostile");
    let members: Vec<MemberId> =
        scenario.names.iter().map(|name| MemberId::new(name).expect("a good id")).collect();
    let member = members[0].clone();
    let measured = Evaluation { member, losses: losses.clone(), classes: found.clone() };
    let said = reported(liar, &members, &[], measured);
    assert_eq!(said.losses, [losses[1], losses[0]]);
    assert_eq!(counts(&said.classes), counts(&found));
    let on_positives = |all: &[Vec<ClassLoss>]| [all[0][1].loss_micro, all[1][1].loss_micro];
    assert_eq!(on_positives(&said.classes), [losses[1], losses[0]]);
    assert!(said.classes.iter().all(|all| all[0].loss_micro == 0));
}

#[test]
fn the_number_of_threads_changes_no_bit_of_an_evaluation() {
    let scenario = Scenario { rounds: 18, ..drifting(1, Evaluations::Inverted, 4) };
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| evaluated(&scenario))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn liars_among_the_evaluators_have_no_honest_member_struck() {
    for seed in 1..4 {
        // They send honest updates, and accuse whoever is suspected.
        for evaluations in [Evaluations::Framing, Evaluations::Inverted] {
            let reports = evaluated(&drifting(1_000, evaluations, seed));
            let struck = |report: &RoundReport| {
                report.verdicts.iter().any(|one| one.reason == Reason::HarmfulTogether)
            };
            assert!(!reports.iter().any(struck), "seed {seed}, {evaluations:?}");
        }
    }
}

#[test]
fn losses_are_submitted_in_millionths_within_the_limit() {
    assert_eq!(loss_micro(std::f64::consts::LN_2), 693_147);
    assert_eq!(loss_micro(0.0), 0);
    assert_eq!(loss_micro(f64::INFINITY), LOSS_MICRO_MAX);
    assert_eq!(loss_micro(f64::NAN), 0);
}

#[test]
fn going_back_leads_to_the_earlier_model_and_replaying_to_the_later_one_again() {
    let scenario = scenario(2, Attack::SignFlip(SignFlip::default()));
    // Without trust nothing but the updates counts, so that the same ones lead to the same model.
    let task = mean_task(&scenario).expect("a good model");
    let mut federation = federation(&scenario, task);
    federation.keep_rounds();
    let models: Vec<_> =
        (0..6).map(|_| federation.step().expect("updates fit the grid").model).collect();
    let mut again = federation.clone();
    again.roll_back(2, &[], true).expect("updates have names");
    assert_eq!(again.model_digest(), models[5]);
    let mut without = federation.clone();
    without.roll_back(2, &scenario.hostile, true).expect("updates have names");
    assert_ne!(without.model_digest(), models[5]);
    federation.roll_back(2, &[], false).expect("updates have names");
    assert_eq!(federation.model_digest(), models[1]);
    // Whoever was named stays out of what follows, and the rest go on from there.
    let harm = |federation: &Federation| scenario.evaluate_all(&federation.model()).accuracy;
    assert!(harm(&without) > harm(&again));
    let report = without.step().expect("updates fit the grid");
    let out = |k: &usize| report.verdicts[*k].verdict == Verdict::Quarantine;
    assert!(scenario.hostile.iter().all(out), "{:?}", report.verdicts);
}
