use std::fs;
use std::path::{Path, PathBuf};

use rayon::ThreadPoolBuilder;

use super::file::Source;
use super::results::MeasureName;
use super::run::{run_seed, Cancel, RunError};
use super::store::{self, Keep};
use super::{library, schema};

/// A scenario that takes a moment.
const SMALL: &str = r#"
title = "Small"
members = 7
rounds = 6
seeds = [3, 1]
[data]
name = "wdbc"
[model]
name = "mlp"
hidden = 5
[[attackers]]
count = 2
attack = { name = "sign-flip", scale = 3.0 }
schedule = { from = 3 }
[acceptance]
accuracy_loss_max = 0.05
honest_quarantined_max = 0
"#;

fn source(text: &str) -> Source {
    Source::parse("small", "small.toml", text.to_owned(), PathBuf::from(".")).expect("it is good")
}

fn refused(text: &str) -> String {
    Source::parse("bad", "bad.toml", text.to_owned(), PathBuf::from("."))
        .expect_err("something is wrong")
        .to_string()
}

fn outcome(source: &Source, keep: &Keep) -> String {
    let outcome = store::run(source, keep, &Cancel::default(), &|_| {}).expect("it runs");
    serde_json::to_string(&outcome).expect("text keys")
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let source = source(SMALL);
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| outcome(&source, &Keep::default()))
    };
    assert!(with(1) == with(4), "one thread and four differ");
}

#[test]
fn finished_seeds_are_kept_and_what_does_not_fit_is_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = Keep {
        folder: Some(folder.path().to_owned()),
        program: "one".to_owned(),
        ..Keep::default()
    };
    let first = outcome(&source(SMALL), &keep);
    let seed = folder.path().join("seeds/seed-1.json");
    // A kept seed is believed: its mark comes through. Its words and thresholds may change freely.
    let marked =
        fs::read_to_string(&seed).expect("it was kept").replace("\"onset\":3", "\"onset\":2");
    fs::write(&seed, &marked).expect("a writable folder");
    let other_words = SMALL.replace("Small", "Large").replace("0.05", "0.5");
    assert!(outcome(&source(&other_words), &keep).contains("\"onset\":2"));
    // Another program, other rounds, a cut file, or the wish for it: run anew.
    let rounds = SMALL.replace("rounds = 6", "rounds = 5");
    for (text, keep) in [
        (SMALL, Keep { program: "two".to_owned(), ..keep.clone() }),
        (&rounds, keep.clone()),
        (SMALL, Keep { fresh: true, ..keep.clone() }),
    ] {
        fs::write(&seed, &marked).expect("a writable folder");
        assert!(!outcome(&source(text), &keep).contains("\"onset\":2"), "{keep:?}");
    }
    fs::write(&seed, &marked[..marked.len() / 2]).expect("a writable folder");
    assert!(outcome(&source(SMALL), &keep) == first, "half kept and all new differ");
    let read = store::read_outcome(folder.path()).expect("it was written");
    assert!(serde_json::to_string(&read).expect("text keys") == first, "written and read differ");
}

#[test]
fn the_four_runs_are_what_they_say() {
    let source = source(SMALL);
    let seed = run_seed(&source, 1, &Cancel::default(), &|_| {}).expect("it runs");
    assert_eq!(seed.onset, Some(3));
    assert_eq!((seed.attacked.members.len(), seed.absent.members.len()), (7, 5));
    assert!(seed.absent.members.iter().all(|member| !member.hostile));
    // Until the onset nobody does harm: plain averaging is plain averaging of everybody's work.
    let plain = &seed.plain.rounds[2];
    let same = &seed.attacked.rounds[2].same_updates_averaged.expect("it is followed");
    assert!((plain.quality.accuracy - same.accuracy).abs() < 0.1);
    // Every track has one letter for each round played.
    for track in &seed.attacked.members {
        assert_eq!((track.standing.len(), track.verdict.len(), track.trust_micro.len()), (6, 6, 6));
        assert_eq!(track.quarantined.is_some(), track.standing.contains('q'));
    }
    let loss = seed.loss(MeasureName::Accuracy).expect("always there");
    let (absent, attacked) = (seed.absent.end().accuracy, seed.attacked.end().accuracy);
    assert_eq!(loss, absent - attacked);
}

#[test]
fn a_scenario_written_is_the_scenario_read() {
    for name in library::names() {
        let source = library::get(&name).expect("it is there");
        let text = source.scenario.to_toml();
        let again = Source::parse(&name, "again.toml", text.clone(), PathBuf::from("."));
        assert_eq!(again.expect(&text).scenario, source.scenario, "{text}");
    }
}

#[test]
fn cancelling_ends_a_run() {
    let cancel = Cancel::default();
    cancel.cancel();
    let error = run_seed(&source(SMALL), 1, &cancel, &|_| {}).expect_err("cancelled");
    assert!(matches!(error, RunError::Cancelled), "{error}");
}

#[test]
fn what_only_shows_as_a_whole_has_a_line_too() {
    for (change, to, expected) in [
        ("members = 7\n", "", "bad.toml:1:1: `members`: 0 members; allowed: 2 or more"),
        (
            "count = 2",
            "count = 2\nmembers = [\"hospital-01\"]",
            "bad.toml:11:1: `attackers[0]`: both",
        ),
        ("from = 3", "from = 9, until = 4", "bad.toml:14:1: `attackers[0].schedule`: `until` is 4"),
        ("[3, 1]", "[3, 3]", "bad.toml:5:1: `seeds`: a seed twice"),
        (
            "scale = 3.0",
            "scale = \"much\"",
            "bad.toml:13:40: `attackers[0].attack.scale`: the text",
        ),
    ] {
        let error = refused(&SMALL.replace(change, to));
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let unknown = SMALL.replace("count = 2", "members = [\"hospital-99\"]");
    let error = super::build::build(&source(&unknown), 1).expect_err("nobody is called that");
    assert!(error.to_string().contains("`hospital-99`; allowed: hospital-01"), "{error}");
}

#[test]
fn the_published_schema_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/scenario.schema.json");
    let schema = schema::json_schema();
    if std::env::var_os("FEDLEDGER_WRITE_SCHEMA").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("docs are writable");
        fs::write(&path, &schema).expect("docs are writable");
        fs::write(path.with_file_name("scenario.md"), schema::markdown()).expect("writable");
    }
    let published = fs::read_to_string(&path).expect("docs/schema/scenario.schema.json is there");
    assert!(published == schema, "{} is out of date: see docs/laboratory.md", path.display());
    let tables = fs::read_to_string(path.with_file_name("scenario.md")).expect("beside it");
    assert!(tables == schema::markdown(), "docs/schema/scenario.md is out of date");
}

#[test]
fn defaults_in_the_schema_are_those_of_the_code() {
    let minimal = "title = \"a\"\nrounds = 1\nmembers = 4\n[data]\nname = \"wdbc\"\n[contract]\n[acceptance]\n[training]";
    let scenario = serde_json::to_value(&source(minimal).scenario).expect("text keys");
    let check = |fields: &[super::shape::Field], value: &serde_json::Value| {
        for field in fields {
            let super::shape::Absent::Default(default) = &field.absent else { continue };
            let found = &value[&field.name];
            let close = match (default.as_f64(), found.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-6,
                _ => default == found,
            };
            assert!(close || field.name == "members", "{}: {default} and {found}", field.name);
        }
    };
    let root = super::fields::root();
    check(&root, &scenario);
    for field in &root {
        if let super::shape::Shape::Table(fields) = &field.shape {
            check(fields, &scenario[&field.name]);
        }
    }
    assert!(library::names().len() > 30);
}
