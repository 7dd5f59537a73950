use super::situation::fixtures::{updates, Scene};
use super::{Attack, Lesson};
use crate::seed;

#[test]
fn names_lead_to_their_attacks() {
    for (name, attack) in Attack::NAMES.into_iter().zip(Attack::all()) {
        assert_eq!(name.parse::<Attack>(), Ok(attack.clone()));
        assert_eq!(attack.name(), name);
        assert!(!attack.describe().is_empty());
    }
    let error = "trust-me".parse::<Attack>().expect_err("unknown");
    assert!(error.to_string().contains("`trust-me`; there are: sign-flip, "), "{error}");
}

#[test]
fn every_attack_is_a_function_of_what_it_is_given() {
    let honest = updates(9, 5, 1);
    let mut scene = Scene::new(&honest);
    scene.record.close_round(updates(13, 5, 2), vec![0.1; 5]);
    scene.base = vec![0.1; 5];
    for attack in Attack::all() {
        let submitted = |rank: usize| {
            let situation = scene.at(rank);
            let lesson = Lesson { rank, ..scene.lesson(&scene.record) };
            let poisoned = attack.poison_data(&lesson, &mut seed::stream(1, "poison", 0, 0));
            let own = attack.train(&lesson, &poisoned, &mut seed::stream(1, "train", 0, 0));
            let situation = super::Situation { own: &own, leader: &own, ..situation };
            attack.craft(&situation, &mut seed::stream(1, "craft", rank as u64, 1))
        };
        let update = submitted(1);
        assert_eq!(update.len(), 5, "{}", attack.name());
        assert!(update.iter().all(|value| value.is_finite()), "{}: {update:?}", attack.name());
        assert_eq!(update, submitted(1), "{}", attack.name());
        assert_ne!(update, scene.clean, "{} does nothing", attack.name());
    }
}

#[test]
fn the_documentation_has_a_row_for_every_attack_and_names_its_knobs() {
    let page = include_str!("../../../docs/attacks.md");
    for attack in Attack::all() {
        let start = format!("| `{}` |", attack.name());
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(rows.len(), 1, "{start}");
        let knobs = serde_json::to_value(&attack).expect("attacks are plain data");
        for knob in knobs.as_object().expect("a table").keys().filter(|knob| *knob != "name") {
            assert!(rows[0].contains(&format!("`{knob}`")), "{} lacks {knob}", attack.name());
        }
    }
}

#[test]
fn every_attack_survives_its_scenario_file_and_foreign_knobs_do_not() {
    for attack in Attack::all() {
        let text = toml::to_string(&attack).expect("attacks are plain data");
        assert_eq!(toml::from_str::<Attack>(&text).as_ref(), Ok(&attack), "{text}");
        let name = format!("name = \"{}\"\n", attack.name());
        assert_eq!(toml::from_str::<Attack>(&name).as_ref(), Ok(&attack), "defaults for all knobs");
        let foreign = toml::from_str::<Attack>(&format!("{name}volume = 11\n"));
        assert!(foreign.expect_err("no such knob").to_string().contains("volume"));
    }
}
