use std::fs;
use std::path::PathBuf;

use super::{combinations, selected, sweep, sweep_into};
use crate::lab::acceptance::summarise;
use crate::lab::file::Source;
use crate::lab::run::{run_seeds, Cancel};
use crate::lab::store::Keep;
use crate::lab::tables::{grid as csv, sweep_markdown};

/// Everything that a sweep can vary, in few rounds.
const SMALL: &str = r#"
title = "Small"
members = 7
rounds = 8
seeds = [3, 1]
[data]
name = "wdbc"
[[attackers]]
count = 2
attack = { name = "sign-flip" }
schedule = { from = 3 }
[sweep]
contracts = [{ profile = "balanced" }, { profile = "plain" }, { rule = { name = "bulyan" }, byzantine = 2 }]
attacks = [
  { name = "sign-flip" },
  { attack = { name = "backdoor" }, schedule = { from = 2, ramp = 3 }, knowledge = "omniscient" },
  { attack = { name = "dba" }, count = 1 },
  { attack = { name = "sign-flip" }, count = 0 },
]
schedules = [{ from = 3 }, { from = 5 }]
data = [
  { title = "short", data = { name = "wdbc" }, split = { name = "label", alpha = 1.0 }, training = { epochs = 1 } },
  { title = "made", data = { name = "generator", rows = 60 }, members = 5, hostile = 1 },
  { title = "elsewhere", data = { name = "csv", path = "not-here", label = "y" } },
]
"#;

fn source(text: &str) -> Source {
    Source::parse("small", "small.toml", text.to_owned(), PathBuf::from(".")).expect("it is good")
}

fn refused(text: &str) -> String {
    Source::parse("bad", "bad.toml", text.to_owned(), PathBuf::from("."))
        .expect_err("something is wrong")
        .to_string()
}

#[test]
fn every_combination_is_there_once() {
    let all = combinations(&source(SMALL).scenario);
    // For each contract and data: sign-flip and dba under two schedules, backdoor under its own, nobody.
    assert_eq!(all.len(), 3 * (2 + 1 + 2 + 1) * 3);
    let of = |k: usize| &all[k].scenario;
    assert_eq!(of(0).attackers[0].schedule.from, 3);
    assert_eq!((of(1).members, of(1).attackers[0].count), (5, 1));
    assert_eq!((of(2).members, of(0).members, of(0).training.epochs), (0, 7, 1));
    assert_eq!(of(3).attackers[0].schedule.from, 5);
    let backdoor = &of(6).attackers[0];
    assert_eq!((backdoor.schedule.from, backdoor.schedule.ramp), (2, 3));
    // A number of attackers of an attack's own is not that of the data.
    assert_eq!((of(10).attackers[0].attack.name(), of(10).attackers[0].count), ("dba", 1));
    assert!(all.iter().all(|one| one.scenario.sweep == super::Axes::default()));
    let only = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        selected(&source(SMALL).scenario, &words).len()
    };
    assert_eq!((only(&[]), only(&["made"]), only(&["made", "from 5"])), (54, 18, 6));
    assert_eq!(
        (only(&["plain averaging", "short", "dba"]), only(&["omniscient", "nothing"])),
        (2, 0)
    );
}

#[test]
fn what_is_shared_ends_as_what_is_run_by_itself() {
    let source = source(SMALL);
    let cancel = Cancel::default();
    let grid = sweep(&source, &cancel, |_, _| {}).expect("it runs");
    let combinations = combinations(&source.scenario);
    assert_eq!(grid.cells.len(), combinations.len());
    let mut compared = 0;
    for (cell, combination) in grid.cells.iter().zip(combinations) {
        let one = Source { scenario: combination.scenario, ..source.clone() };
        match run_seeds(&one, &cancel, &|_| {}) {
            Ok(seeds) => {
                let same = cell.summary == Some(summarise(&seeds));
                assert!(same, "{} {} {}", cell.contract, cell.attack, cell.data);
                compared += 1;
            }
            Err(error) => {
                let why = cell.refused.as_deref().expect("what cannot be run says why");
                let missing = why.starts_with("these data are not here: cannot read ./not-here");
                assert_eq!(missing, cell.data == "elsewhere", "{why}");
                assert!(missing || error.to_string().ends_with(why), "{error}: {why}");
            }
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn finished_cells_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = Keep {
        folder: Some(folder.path().to_owned()),
        program: "one".to_owned(),
        ..Keep::default()
    };
    let short = SMALL.replace("rounds = 8", "rounds = 4").replace("[3, 1]", "[3]");
    let run = |text: &str, keep: &Keep| {
        let grid = sweep_into(&source(text), &[], keep, &Cancel::default(), |_, _| {});
        grid.expect("it runs")
    };
    let first = run(&short, &keep);
    let cells = folder.path().join("cells");
    let files = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&cells).expect("the folder is there");
        let mut files: Vec<PathBuf> =
            entries.map(|entry| entry.expect("it can be read").path()).collect();
        files.sort();
        files
    };
    let kept = files();
    // A kept cell is believed: its mark comes through, whatever the words around it say.
    let texts = kept.iter().map(|path| fs::read_to_string(path).expect("it was kept"));
    let attacked = texts.enumerate().find(|(_, text)| text.contains("\"hostile\":true"));
    let (which, text) = attacked.expect("somebody attacks");
    let mark = || {
        let marked = text.replace("\"hostile\":true", "\"hostile\":false");
        fs::write(&kept[which], marked).expect("writable");
    };
    mark();
    let words = short.replace("Small", "Large").replace("\"short\"", "\"brief\"");
    let is_marked = |cell: &super::Cell| {
        cell.hostile > 0 && cell.summary.as_ref().is_some_and(|of| of.hostile == 0)
    };
    assert!(run(&words, &keep).cells.iter().any(is_marked));
    assert_eq!(files(), kept);
    // Half a file, another program or the wish for it: run anew, to the same end.
    fs::write(&kept[which], &text[..text.len() / 2]).expect("writable");
    assert!(run(&short, &keep) == first, "half kept and all new differ");
    mark();
    assert!(run(&short, &Keep { fresh: true, ..keep.clone() }) == first, "a mark was kept");
    let other = Keep { program: "two".to_owned(), ..keep.clone() };
    assert!(run(&short, &other) == first, "another program's cells were taken");
    assert_eq!(files().len(), 2 * kept.len());
}

#[test]
fn tables_say_what_was_run_and_what_was_not() {
    let grid = sweep(&source(SMALL), &Cancel::default(), |_, _| {}).expect("it runs");
    let text = sweep_markdown(&grid);
    for part in [
        "### balanced",
        "### plain averaging",
        "| data | attack | when | knows | reports | hostile | accuracy lost | recall lost |",
        "| short | backdoor | from 2, ramp 3 | omniscient | honest | 2 |",
        "| made | dba | from 5 | colluders | honest | 1 |",
        "2 seeds (3, 1); model: logistic regression; rounds: 8.",
        "Not run: elsewhere; sign-flip; from 3; colluders; honest; 2: these data are not here",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let lengths: Vec<usize> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.matches('|').count())
        .collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{text}");
    let mut reader = ::csv::ReaderBuilder::new().from_reader(std::io::Cursor::new(csv(&grid)));
    let width = reader.headers().expect("a header").len();
    let rows: Vec<usize> = reader.records().map(|row| row.expect("a row").len()).collect();
    assert_eq!(rows, vec![width; grid.cells.len()]);
}

#[test]
fn what_is_wrong_in_a_sweep_has_a_line_and_a_field() {
    for (change, to, expected) in [
        ("ramp = 3 }", "ramp = -3 }", "bad.toml:16:67: `sweep.attacks[1].schedule.ramp`: the whole"),
        ("{ from = 5 }", "{ from = 5, until = 2 }", "bad.toml:20:28: `sweep.schedules[1]`: `until`"),
        (
            "{ attack = { name = \"dba\" }, count = 1 }",
            "{ attak = { name = \"dba\" }, count = 1 }",
            "bad.toml:17:3: `sweep.attacks[2].attack`: it is missing",
        ),
        ("rows = 60 }", "rows = 60 }, split = { name = \"iid\" }", "`sweep.data[1].split`: a split of"),
        ("alpha = 1.0 }", "alpha = 1.0 }, members = 1", "`sweep.data[0].members`: the whole number 1"),
        ("name = \"label\", alpha = 1.0", "name = \"within\"", "`sweep.data[0].split`: `within` of data"),
        ("title = \"made\", ", "titel = \"made\", ", "did you mean `title`?"),
        (
            "[[attackers]]\ncount = 2\nattack = { name = \"sign-flip\" }\nschedule = { from = 3 }\n",
            "",
            "`sweep.attacks`: attacks without a group of attackers",
        ),
        ("schedules =", "splits = [{ name = \"iid\" }]\nschedules =", "`sweep.splits`: a split of generated"),
        ("schedules =", "models = [{ name = \"cnn\", filters = 4 }]\nschedules =", "`sweep.models`: a convolutional"),
        (
            "schedules =",
            "changes = [{ title = \"a\", changes = [{ count = 1, round = 9, change = { name = \"prevalence\", share = 0.5 } }] }]\nschedules =",
            "`sweep.changes[0].changes[0].round`: round 9 of 8",
        ),
    ] {
        let text = SMALL.replace(change, to);
        assert_ne!(text, SMALL, "{change}");
        let error = refused(&text);
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}
