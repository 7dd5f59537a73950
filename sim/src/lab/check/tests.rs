use serde_json::json;

use super::super::shape::{Field, Shape, Variant};
use super::{check, edits, nearest, place};

fn root() -> Vec<Field> {
    let variant = |name, fields| Variant { name, doc: String::new(), fields };
    let attack = Shape::Named(vec![
        variant("flip", vec![Field::default("share", Shape::share(), 1.0, "")]),
        variant(
            "noise",
            vec![Field::required("sigma", Shape::Number { min: 0.0, max: f64::INFINITY }, "")],
        ),
    ]);
    vec![
        Field::required("rounds", Shape::count(1, 100), ""),
        Field::default("seeds", Shape::list(Shape::count(0, 9), 1, 3), json!([1]), ""),
        Field::optional("attack", attack, "nobody attacks", ""),
        Field::optional(
            "band",
            Shape::Either(vec![
                Shape::Choice(vec!["none"]),
                Shape::Table(vec![Field::default("low", Shape::count(0, 5), 1, "")]),
            ]),
            "",
            "",
        ),
    ]
}

fn faults(text: &str) -> String {
    check("a.toml", text, &root()).expect_err("something is wrong").to_string()
}

#[test]
fn good_documents_become_json() {
    let text =
        "rounds = 0x10\nseeds = [1, 2]\nband = \"none\"\n[attack]\nname = \"noise\"\nsigma = 2";
    let value = check("a.toml", text, &root()).expect("it is good");
    let expected = json!({"rounds": 16, "seeds": [1, 2], "band": "none", "attack": {"name": "noise", "sigma": 2}});
    assert_eq!(value, expected);
    assert!(check("a.toml", "rounds = 1\nband = { low = 2 }", &root()).is_ok());
}

#[test]
fn every_fault_has_its_line_field_and_what_is_allowed() {
    for (text, expected) in [
        ("rounds = 0", "a.toml:1:10: `rounds`: the whole number 0; allowed: a whole number from 1 to 100"),
        ("rounds = 1.5", "a.toml:1:10: `rounds`: the number 1.5; allowed: a whole number from 1 to 100"),
        ("\n\nround = 3\nrounds = 1", "a.toml:3:1: `round`: no field has this name, did you mean `rounds`?; allowed: `rounds`, `seeds`, `attack`, `band`"),
        ("seeds = [1]", "a.toml:1:1: `rounds`: it is missing; allowed: a whole number from 1 to 100"),
        ("rounds = 1\nseeds = [1, 20]", "a.toml:2:13: `seeds[1]`: the whole number 20; allowed: a whole number from 0 to 9"),
        ("rounds = 1\nseeds = []", "a.toml:2:9: `seeds`: a list of 0; allowed: a list of 1 to 3, each a whole number from 0 to 9"),
        ("rounds = 1\n[attack]\nname = \"filp\"", "a.toml:3:8: `attack.name`: `\"filp\"`, did you mean `flip`?; allowed: one of `\"flip\"`, `\"noise\"`"),
        ("rounds = 1\nattack = { name = \"flip\", sigma = 1 }", "a.toml:2:27: `attack.sigma`: no field has this name; allowed: `name`, `share`"),
        ("rounds = 1\n[attack]\nname = \"noise\"", "a.toml:2:1: `attack.sigma`: it is missing; allowed: a number of 0 or more"),
        ("rounds = 1\n[attack]\nshare = 1", "a.toml:2:1: `attack.name`: it is missing; allowed: one of `\"flip\"`, `\"noise\"`"),
        ("rounds = 1\nattack = 3", "a.toml:2:10: `attack`: the whole number 3; allowed: a table with `name`, one of `\"flip\"`, `\"noise\"`"),
        ("rounds = 1\nband = \"non\"", "a.toml:2:8: `band`: `\"non\"`, did you mean `none`?; allowed: `\"none\"`"),
        ("rounds = 1\nband = 7", "a.toml:2:8: `band`: the whole number 7; allowed: `\"none\"`, or a table"),
        ("rounds = 1\n[attack]\nname = \"flip\"\nshare = nan", "a.toml:4:9: `attack.share`: the number nan; allowed: a number from 0 to 1"),
    ] {
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn all_faults_are_told_at_once_and_broken_documents_have_a_line() {
    let text = faults("rounds = 0\nseeds = [77]\nox = 1");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        faults("rounds = 1\nseeds = [").starts_with("a.toml:2:"),
        "{}",
        faults("rounds = 1\nseeds = [")
    );
    assert!(
        faults("rounds = 1\nrounds = 2").contains(":2:1:"),
        "{}",
        faults("rounds = 1\nrounds = 2")
    );
}

#[test]
fn places_are_found_by_path() {
    let text = "rounds = 1\n[attack]\nname = \"flip\"\n[[x]]\na = 1\n[[x]]\nb = 2\n";
    assert_eq!(place(text, "rounds"), (1, 1));
    assert_eq!(place(text, "attack.name"), (3, 1));
    assert_eq!(place(text, "x[1].b"), (7, 1));
    assert_eq!(place(text, "attack.share"), (2, 2));
    assert_eq!(place(text, "nothing"), (1, 1));
}

#[test]
fn near_names_are_near() {
    assert_eq!((edits("kitten", "sitting"), edits("", "abc"), edits("same", "same")), (3, 3, 0));
    assert_eq!((edits("filp", "flip"), edits("ab", "ba")), (1, 1));
    assert_eq!(nearest("trimed_mean", ["mean", "trimmed_mean"].into_iter()), Some("trimmed_mean"));
    assert_eq!(nearest("quorum", ["mean", "median"].into_iter()), None);
}
