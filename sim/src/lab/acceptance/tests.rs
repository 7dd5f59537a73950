use super::{summarise, Acceptance, Judge, Verdict};
use crate::lab::results::{MeasureName, MemberTrack, Quality, RoundResult, RunResult, SeedResult};

fn run(accuracy: f64, success: f64, members: &[(bool, &str)]) -> RunResult {
    let quality = Quality {
        accuracy,
        recall: Some(accuracy),
        auc: Some(accuracy),
        positive_probability: Some(accuracy),
        log_loss: 0.1,
        worst_site_accuracy: accuracy - 0.1,
        attack_success: Some(success),
    };
    let round = RoundResult {
        round: 8,
        model: String::new(),
        failure: None,
        quality,
        same_updates_averaged: None,
    };
    let member = |(k, (hostile, standing)): (usize, &(bool, &str))| MemberTrack {
        member: format!("hospital-{k:02}"),
        hostile: *hostile,
        changed: None,
        examples: 10,
        trust_micro: vec![500_000; standing.len()],
        standing: (*standing).to_owned(),
        verdict: "a".repeat(standing.len()),
        strike: ".".repeat(standing.len()),
        quarantined: standing.find('q').map(|place| place as u64 + 1),
        reason: None,
    };
    RunResult {
        rounds: vec![round],
        members: members.iter().enumerate().map(member).collect(),
        frozen: None,
        coordination: Vec::new(),
    }
}

/// Two attackers from round 3 on, caught in the rounds that the standings say, two honest members.
fn seed(seed: u64, attacked: f64, standings: [&str; 4], absent: [&str; 2]) -> SeedResult {
    let [first, second, third, fourth] = standings;
    let all = [(true, first), (true, second), (false, third), (false, fourth)];
    SeedResult {
        seed,
        onset: Some(3),
        changed: None,
        test_rows: 100,
        test_positives: 50,
        on_nodes: None,
        attacked: run(attacked, 0.5, &all),
        absent: run(0.9, 0.2, &absent.map(|standing| (false, standing))),
        plain: run(0.5, 0.8, &all),
        plain_absent: run(0.94, 0.3, &absent.map(|standing| (false, standing))),
    }
}

fn two_seeds() -> Vec<SeedResult> {
    vec![
        seed(1, 0.88, ["aaqqqqqq", "aaaaqqqq", "aaaaaaaa", "aaaaaaaa"], ["aaaaaaaa", "aaaaaaaa"]),
        seed(2, 0.80, ["aaaaaaqq", "aaaaaaaa", "aaqqaaaa", "aaaaaaaa"], ["aqqqaqaa", "aaaaaaaa"]),
    ]
}

fn judged(acceptance: &Acceptance, seeds: &[SeedResult]) -> Verdict {
    acceptance.judge(&summarise(seeds))
}

type Set = fn(f64) -> Acceptance;

#[test]
fn every_threshold_holds_at_its_measure_and_fails_just_beyond() {
    let seeds = two_seeds();
    // (field, measured): the limit at the measure holds, one step to the strict side does not.
    let none = Acceptance::default;
    let at_most: [(&str, f64, Set); 7] = [
        ("accuracy_loss_max", 0.06, |x| Acceptance {
            accuracy_loss_max: Some(x),
            ..Acceptance::default()
        }),
        ("contract_cost_max", 0.04, |x| Acceptance {
            contract_cost_max: Some(x),
            ..Acceptance::default()
        }),
        ("recall_loss_max", 0.06, |x| Acceptance {
            recall_loss_max: Some(x),
            ..Acceptance::default()
        }),
        ("worst_site_loss_max", 0.06, |x| Acceptance {
            worst_site_loss_max: Some(x),
            ..Acceptance::default()
        }),
        ("attack_success_max", 0.30, |x| Acceptance {
            attack_success_max: Some(x),
            ..Acceptance::default()
        }),
        ("honest_quarantined_share_max", 0.25, |x| Acceptance {
            honest_quarantined_share_max: Some(x),
            ..Acceptance::default()
        }),
        ("underestimation_max", 0.06 / 0.9, |x| Acceptance {
            underestimation_max: Some(x),
            ..Acceptance::default()
        }),
    ];
    for (name, measured, set) in at_most {
        for (limit, holds) in [(measured + 1e-6, true), (measured - 1e-6, false)] {
            let verdict = judged(&set(limit), &seeds);
            assert_eq!((verdict.checks.len(), verdict.pass), (1, holds), "{name} {limit}");
            assert_eq!(verdict.checks[0].threshold, name);
        }
    }
    let worst = Acceptance { judge: Judge::Worst, accuracy_loss_max: Some(0.07), ..none() };
    assert!(!judged(&worst, &seeds).pass, "the second seed loses ten points");
    assert!(judged(&Acceptance { judge: Judge::Mean, ..worst }, &seeds).pass);
}

#[test]
fn attackers_count_as_caught_within_the_rounds_that_are_asked() {
    let seeds = two_seeds();
    // Delays are 1, 3, 5 and never.
    let asked = |caught_min, caught_within| Acceptance {
        caught_min: Some(caught_min),
        caught_within,
        ..Acceptance::default()
    };
    for (share, within, holds) in [
        (0.75, None, true),
        (0.76, None, false),
        (0.75, Some(5), true),
        (0.75, Some(4), false),
        (0.50, Some(3), true),
        (0.25, Some(1), true),
        (0.26, Some(2), false),
    ] {
        assert_eq!(judged(&asked(share, within), &seeds).pass, holds, "{share} within {within:?}");
    }
    let check = judged(&asked(0.5, Some(4)), &seeds).checks.remove(0);
    assert_eq!(check.question, "attackers put in quarantine within 4 rounds, at least");
    let interval = check.interval.expect("two seeds");
    assert_eq!((interval.low, interval.high), (Some(0.0), Some(1.0)));
}

#[test]
fn honest_members_have_to_come_back() {
    let back = |limit| Acceptance { honest_return_max: Some(limit), ..Acceptance::default() };
    let mut seeds = two_seeds();
    // The longest stay is three rounds, in the run without attackers.
    assert!(judged(&back(3), &seeds).pass && !judged(&back(2), &seeds).pass);
    let summary = summarise(&seeds);
    assert_eq!((summary.honest_quarantined, summary.honest_quarantined_absent), (1, 1));
    assert_eq!((summary.wronged_share.count, summary.wronged_share.of), (2, 8));
    seeds[0].attacked.members[2].standing = "aaaaaaaq".to_owned();
    let verdict = judged(&back(1_000), &seeds);
    assert!(!verdict.pass && verdict.checks[0].measured.is_none());
}

#[test]
fn where_nobody_attacks_no_run_counts_twice() {
    let mut seeds = two_seeds();
    for seed in &mut seeds {
        seed.attacked = seed.absent.clone();
        seed.onset = None;
    }
    let summary = summarise(&seeds);
    assert_eq!((summary.hostile, summary.honest), (0, 4));
    assert_eq!((summary.honest_quarantined, summary.honest_quarantined_absent), (0, 1));
    assert_eq!((summary.wronged_share.count, summary.wronged_share.of), (1, 4));
    assert_eq!(summary.caught_share.share(), None);
    let one = Acceptance { honest_quarantined_max: Some(1), ..Acceptance::default() };
    assert!(judged(&one, &seeds).pass);
    // Nobody to catch is not everybody caught.
    let caught = Acceptance { caught_min: Some(0.0), ..Acceptance::default() };
    assert!(!judged(&caught, &seeds).pass);
}

#[test]
fn gains_of_the_attack_are_told_above_the_clean_rate() {
    let summary = summarise(&two_seeds());
    let success = summary.measure(MeasureName::AttackSuccess);
    let gain = success.loss.expect("there is a goal").negated();
    assert!((gain.mean - 0.3).abs() < 1e-12, "{gain:?}");
    assert_eq!(success.absent.expect("there is a goal").mean, 0.2);
}
