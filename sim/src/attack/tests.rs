use super::situation::fixtures::{updates, Scene};
use super::{Attack, Lesson, Schedule};
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
            let lesson = Lesson {
                spec: scene.spec,
                training: &scene.training,
                data: &scene.pooled,
                base: &scene.base,
                record: &scene.record,
                strength: 1.0,
                members: 13,
                hostile: 4,
                rank,
            };
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
        assert_eq!(Schedule::default().check(), Ok(()));
    }
}
