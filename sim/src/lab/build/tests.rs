use std::path::PathBuf;

use fedledger_contract::profile::HARM_OF_CLASS;
use rayon::ThreadPoolBuilder;

use super::build;
use crate::data::npz_images::tests::images;
use crate::lab::file::Source;
use crate::lab::run::{run_seed, Cancel};
use crate::model::ModelSpec;

const CHANGING: &str = r#"
title = "Changing"
members = 7
rounds = 6
[data]
name = "wdbc"
[[changes]]
members = ["hospital-03"]
round = 4
change = { name = "prevalence", share = 0.9 }
[[changes]]
count = 2
round = 4
change = { name = "scanner", gain = 1.5, offset = 2.0 }
[[attackers]]
count = 4
attack = { name = "sign-flip" }
schedule = { from = 2 }
[contract]
profile = "plain"
"#;

fn source(text: &str) -> Source {
    Source::parse("a", "a.toml", text.to_owned(), PathBuf::from(".")).expect(text)
}

fn refused(text: &str) -> String {
    match Source::parse("a", "a.toml", text.to_owned(), PathBuf::from(".")) {
        Ok(source) => build(&source, 1).expect_err(text).to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn named_members_change_and_others_are_drawn_among_the_honest() {
    let mut drawn = Vec::new();
    for seed in 1..=12 {
        let built = build(&source(CHANGING), seed).expect("it is good");
        let scenario = &built.scenario;
        let members: Vec<usize> = scenario.changes.iter().map(|change| change.member).collect();
        assert_eq!((members.len(), scenario.hostile.len()), (3, 4), "seed {seed}");
        assert_eq!(members[0], 2, "the named one comes first");
        assert!(members.iter().all(|member| !scenario.hostile.contains(member)), "seed {seed}");
        assert_eq!(built.first_change(), Some(4));
        // Every member has exactly one part: with four hostile and three that change, all have.
        let mut all = [members.clone(), scenario.hostile.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
        // Without the attackers the same members change, under their new places.
        let absent = built.attackers_absent().scenario;
        for (before, after) in scenario.changes.iter().zip(&absent.changes) {
            assert_eq!(scenario.names[before.member], absent.names[after.member]);
        }
        drawn.push(members[1..].to_vec());
    }
    assert!(drawn.iter().any(|pair| *pair != drawn[0]), "the seed draws: {drawn:?}");
}

#[test]
fn a_change_shows_from_its_round_on_and_not_before() {
    let quiet = CHANGING.replace("count = 4\n", "count = 1\n");
    let run = |text: &str| run_seed(&source(text), 1, &Cancel::default(), &|_| {}).expect("runs");
    let (changed, later) = (run(&quiet), run(&quiet.replace("round = 4", "round = 5")));
    assert_eq!((changed.changed, later.changed), (Some(4), Some(5)));
    for (a, b) in [(&changed.attacked, &later.attacked), (&changed.absent, &later.absent)] {
        // Model and measured rows are the same up to round 3; round 4 trains on other data.
        assert_eq!(a.rounds[..4], b.rounds[..4]);
        assert_ne!(a.rounds[4].model, b.rounds[4].model);
        assert_ne!(a.rounds[4].quality, b.rounds[4].quality);
        let marked: Vec<Option<u64>> = a.members.iter().map(|member| member.changed).collect();
        assert_eq!(marked.iter().flatten().count(), 3, "{marked:?}");
        assert!(a.members.iter().all(|member| !member.hostile || member.changed.is_none()));
    }
    // Held-out rows change as well: 90 % positives and a moved scanner are another union.
    let built = build(&source(&quiet), 1).expect("it is good");
    let (before, after) = (built.test_union(3), built.test_union(4));
    assert_eq!(before.rows(), after.rows());
    assert!(after.count(1) > before.count(1));
    let with = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| run(&quiet))
    };
    assert!(with(1) == with(3), "the number of threads shows");
}

#[test]
fn where_nobody_attacks_the_run_is_its_own_control() {
    let calm = CHANGING.split("[[attackers]]").next().expect("a text").to_owned();
    let seed = run_seed(&source(&calm), 2, &Cancel::default(), &|_| {}).expect("runs");
    assert_eq!(seed.attacked.members, seed.absent.members);
    assert_eq!(seed.attacked.end(), seed.absent.end());
    assert_eq!(seed.plain, seed.plain_absent);
    assert!(seed.attacked.rounds[1].same_updates_averaged.is_some());
    assert!(seed.absent.rounds[1].same_updates_averaged.is_none());
}

#[test]
fn sites_shift_as_asked() {
    let calm = "title = \"a\"\nmembers = 5\nrounds = 2\n[data]\nname = \"wdbc\"\n";
    let sites = |text: &str| build(&source(text), 1).expect(text).scenario.sites;
    let plain = sites(calm);
    assert_eq!(plain, sites(&format!("{calm}[shift]\nfeature = 0.0\n")));
    let moved = sites(&format!("{calm}[shift]\nfeature = 1.0\n"));
    assert!(plain.iter().zip(&moved).all(|(a, b)| a.train.labels == b.train.labels));
    assert!(plain.iter().zip(&moved).all(|(a, b)| a.train.features != b.train.features));
    let other = sites(&format!("{calm}[shift]\nconcept = 0.5\n"));
    let differing = plain.iter().zip(&other).filter(|(a, b)| a.train.labels != b.train.labels);
    assert_eq!(differing.count(), 5);
}

#[test]
fn convolutions_take_digits_and_images() {
    let digits = "title = \"a\"\nmembers = 5\nrounds = 2\n[data]\nname = \"digits\"\n\
                  [model]\nname = \"cnn\"\nfilters = 3\n[training]\nlearning_rate = 0.2\n";
    let built = build(&source(digits), 1).expect("it is good");
    let expected = ModelSpec::Cnn { height: 8, width: 8, channels: 1, filters: 3, classes: 10 };
    assert_eq!(built.scenario.spec, expected);
    let seed = run_seed(&source(digits), 1, &Cancel::default(), &|_| {}).expect("runs");
    let (start, end) = (seed.attacked.rounds[0].quality.accuracy, seed.attacked.end().accuracy);
    assert!(end > start + 0.1, "{start} {end}");
    let (_folder, path) = images(36, 4);
    let npz = |pool| {
        format!(
            "title = \"a\"\nmembers = 3\nrounds = 1\n[data]\nname = \"npz\"\npath = {:?}\npool = \
             {pool}\n[model]\nname = \"cnn\"\nfilters = 2\n",
            path.display().to_string()
        )
    };
    let built = build(&source(&npz(1)), 1).expect("it is good");
    let expected = ModelSpec::Cnn { height: 4, width: 4, channels: 1, filters: 2, classes: 3 };
    assert_eq!(built.scenario.spec, expected);
    let expected = "a.toml:8:2: `model`: a convolutional network on images of 2 × 2 pixels; \
                    allowed: images of 4 × 4 pixels or more";
    assert_eq!(refused(&npz(2)), expected);
}

#[test]
fn what_does_not_fit_together_has_a_line() {
    let generated = "title = \"a\"\nmembers = 5\nrounds = 2\n[data]\nname = \"generator\"\n";
    for (text, expected) in [
        (format!("{generated}[shift]\nconcept = 0.1\n"), "a.toml:6:2: `shift`: a shift of gen"),
        (format!("{generated}[shift]\nconcept = 1.5\n"), "a.toml:7:11: `shift.concept`: the num"),
        (format!("{generated}[model]\nname = \"cnn\"\nfilters = 2\n"), "a.toml:6:2: `model`: a"),
        (CHANGING.replace("share = 0.9", "share = 1.0"), "a.toml:10:41: `changes[0].change.share`"),
        (CHANGING.replace("\"scanner\"", "\"scaner\""), "a.toml:14:19: `changes[1].change.name`: "),
        (
            format!("{generated}[acceptance]\ncaught_within = 5\n"),
            "a.toml:7:1: `acceptance.caught_within`: it stands without `caught_min`",
        ),
        (CHANGING.replace("rounds = 6", "rounds = 3"), "a.toml:9:1: `changes[0].round`: round 4 o"),
        (CHANGING.replace("round = 4", "round = 1"), "a.toml:9:9: `changes[0].round`: the whole"),
        (
            CHANGING.replace("count = 2", "count = 2\nmembers = [\"x\"]"),
            "a.toml:11:1: `changes[1]`",
        ),
        (
            CHANGING.replace("hospital-03", "hospital-99"),
            "a.toml:8:12: `changes[0].members[0]`: no",
        ),
        (
            CHANGING.replace("count = 2", "members = [\"hospital-03\"]"),
            "a.toml:12:12: `changes[1].m",
        ),
        (CHANGING.replace("count = 2", "count = 3"), "a.toml:7:3: `changes`: 3 honest members to"),
        (CHANGING.replace("count = 4", "count = 7"), "a.toml:15:3: `attackers`: 7 attackers to d"),
    ] {
        let error = refused(&text);
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

/// A folder with the files of two regions: in each, hospitals 1 to 3 with 40 patients, and 9 with six.
fn regions() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, gain) in [("north", 1.0), ("south", 3.0)] {
        let row = |hospital: usize, k: usize| {
            format!("{hospital},{},{},{}\n", gain * (k % 7) as f64, k % 5, k % 2)
        };
        let rows = |hospital, count| (0..count).map(move |k| row(hospital, k)).collect::<String>();
        let text = (1..=3).map(|hospital| rows(hospital, 40)).collect::<String>() + &rows(9, 6);
        let path = folder.path().join(format!("{name}.csv"));
        std::fs::write(path, format!("hospital,a,b,sick\n{text}")).expect("a writable folder");
    }
    std::fs::write(folder.path().join("all.csv"), "no,such\ncolumns,here\n").expect("writable");
    folder
}

#[test]
fn institutions_come_from_a_column_or_are_cut_out_of_files() {
    let folder = regions();
    let scenario = |head: &str, data: &str| {
        let path = folder.path().display().to_string();
        let data = format!(
            "name = \"csv\"\npath = {path:?}\nlabel = \"sick\"\nexclude = [\"all\"]\n{data}"
        );
        format!("title = \"a\"\nrounds = 1\n{head}[data]\n{data}")
    };
    let names = |text: &str, seed| build(&source(text), seed).expect(text).scenario.names;
    let all = scenario("", "site = \"hospital\"\nsite_rows_min = 40\n");
    let expected = ["north-1", "north-2", "north-3", "south-1", "south-2", "south-3"];
    assert_eq!(names(&all, 1), expected);
    assert_eq!(build(&source(&all), 1).expect("good").scenario.sites[0].train.width(), 2);
    let small = scenario("", "site = \"hospital\"\nsite_rows_min = 6\n");
    assert_eq!(names(&small, 1).len(), 8);
    // Drawn by the seed.
    let drawn = scenario("members = 4\n", "site = \"hospital\"\nsite_rows_min = 40\n");
    assert_eq!(names(&drawn, 1), names(&drawn, 1));
    let sets: Vec<Vec<String>> = (1..6).map(|seed| names(&drawn, seed)).collect();
    assert!(sets.iter().all(|names| names.len() == 4) && sets.iter().any(|set| *set != sets[0]));
    // Files cut into members that keep their file's ways; or everything together, divided anew.
    let within = "members = 5\nsplit = { name = \"within\" }\n";
    let cut = scenario(within, "drop = [\"hospital\"]\n");
    assert_eq!(names(&cut, 1), ["north-01", "north-02", "north-03", "south-01", "south-02"]);
    let mean = |k: usize| {
        let sites = build(&source(&cut), 1).expect("good").scenario.sites;
        sites[k].train.features.column(0).mean().expect("rows")
    };
    assert!(mean(3) - mean(0) > 0.5, "southern values are three times as large");
    let united = scenario("members = 5\nsplit = { name = \"iid\" }\n", "drop = [\"hospital\"]\n");
    assert_eq!(names(&united, 1)[0], "hospital-01");
    for (text, expected) in [
        (scenario("members = 7\n", "site = \"hospital\"\nsite_rows_min = 40\n"), "6 sites by column"),
        (scenario("members = 5\n", ""), "a.toml:3:1: `members`: 5 members of data with sites"),
        (scenario("", "sites = \"hospital\"\n"), "did you mean `site`?"),
        (scenario(&within.replace('5', "1"), ""), "`members`: the whole number 1; allowed: a whole"),
        (
            "title = \"a\"\nrounds = 1\nmembers = 3\nsplit = { name = \"within\" }\n[data]\nname = \"wdbc\"\n".to_owned(),
            "a.toml:4:1: `split`: `within` of data without sites of their own; allowed: `iid`, ",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn classes_are_as_many_as_the_data_has_and_somebody_scores_them() {
    let text = |contract: &str| {
        let plain = "profile = \"plain\"\n";
        assert!(CHANGING.contains(plain));
        CHANGING.replace(plain, contract).replace("rounds = 6\n", "rounds = 63\n")
    };
    let line = CHANGING.lines().position(|line| line == "[contract]").expect("it has one") + 3;
    for (contract, words) in [
        (
            "profile = \"evaluated\"\nclasses = [\"a\", \"b\", \"c\"]\n",
            "`contract.classes`: 3 names; allowed: one for each of the data's 2 classes, or none",
        ),
        (
            "profile = \"evaluated\"\nclasses = [\"a\", \"a\"]\n",
            "`contract.classes`: evaluation.classes has `a` twice; allowed: names that differ",
        ),
        (
            "profile = \"balanced\"\nclasses = [\"a\", \"b\"]\n",
            "`contract.classes`: names of classes, and nobody scores candidates; allowed: with the profile",
        ),
        (
            "profile = \"evaluated\"\nclasses = [\"a\", \"b\"]\nprotected_class = \"c\"\n",
            "`contract.classes`: `c` as the protected class; allowed: one of `classes`",
        ),
        (
            "profile = \"evaluated\"\nclasses = [\"a\"]\n",
            "`contract.classes`: a list of 1; allowed: a list of 2 to 16",
        ),
    ] {
        let said = refused(&text(contract));
        assert!(said.starts_with(&format!("a.toml:{line}:")) && said.contains(words), "{said}");
    }
    let named = source(&text("profile = \"evaluated\"\nclasses = [\"sound\", \"ill\"]\n"));
    let built = build(&named, 1).expect("it is good");
    let task = named.scenario.contract.task(&built.scenario, 0).expect("a good task");
    assert_eq!(task.classes(), ["sound", "ill"]);
    assert_eq!(named.scenario.contract.describe(), "evaluated, losses on sound and ill");
    let protects =
        "profile = \"evaluated\"\nclasses = [\"sound\", \"ill\"]\nprotected_class = \"ill\"\n";
    let named = source(&text(protects));
    let built = build(&named, 1).expect("it is good");
    let task = named.scenario.contract.task(&built.scenario, 0).expect("a good task");
    assert_eq!(task.protected_class(), Some(1));
    assert_eq!(task.evaluation.and_then(|evaluation| evaluation.harm), Some(HARM_OF_CLASS));
    assert_eq!(named.scenario.contract.describe(), "evaluated, protecting ill");
}
