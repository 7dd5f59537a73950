use std::path::PathBuf;

use super::{hunt, worst_scenario, Goal, Search};
use crate::lab::file::Source;
use crate::lab::run::Cancel;

const OPEN: &str = r#"
title = "Nothing defends"
members = 5
rounds = 4
seeds = [1]
[data]
name = "wdbc"
[contract]
profile = "plain"
[[attackers]]
count = 2
attack = { name = "sign-flip" }
"#;

#[test]
fn against_no_defence_it_finds_harm_and_repeats() {
    let source = Source::parse("open", "open.toml", OPEN.to_owned(), PathBuf::from("."))
        .expect("it is good");
    let search = Search {
        goal: Goal::Accuracy,
        evaluations: 30,
        unseen: false,
        seed: 1,
        attacks: vec!["sign-flip".to_owned(), "label-flip".to_owned()],
    };
    let run = || hunt(&source, &search, &Cancel::default(), |_, _| {}).expect("it runs");
    let found = run();
    assert_eq!(found.trials.len(), 30);
    assert_eq!((found.members, found.hostile), (5, 2));
    let worst = found.trials.iter().map(|trial| trial.harm).fold(f64::MIN, f64::max);
    assert!((worst - found.harm_searched).abs() < 1e-12 && worst > 0.02, "{worst}");
    assert!(found.harm_fresh.expect("one seed").mean.is_finite());
    assert_eq!(run(), found);
    // What it found is a scenario that runs.
    let scenario = worst_scenario(&source, &found);
    assert_eq!(scenario.attackers, [found.worst]);
}
