use super::{Form, Hostile, SilentDrift, PRIVATE_NOISE};
use crate::attack::situation::fixtures::{updates, Scene};
use crate::attack::vector::{distance_squared, mean, median, median_norm, norm_of};
use crate::attack::{PublicRecord, Situation};
use crate::seed;

fn scene() -> Scene {
    let honest: Vec<Vec<f32>> = updates(9, 5, 1)
        .into_iter()
        .map(|update| update.iter().map(|value| value * 0.01).collect())
        .collect();
    Scene::new(&honest)
}

fn drift(form: Form) -> SilentDrift {
    SilentDrift { form, ..SilentDrift::default() }
}

fn unit(scene: &Scene) -> f64 {
    let mean = mean(&scene.honest);
    median(scene.honest.iter().map(|x| distance_squared(&mean, x).sqrt()).collect())
}

fn push(attack: SilentDrift, situation: &Situation<'_>, rank: u64) -> Vec<f32> {
    let mut rng = seed::stream(1, "craft", rank, 0);
    let update = attack.craft(situation, &mut rng);
    update.iter().zip(situation.clean).map(|(update, clean)| update - clean).collect()
}

#[test]
fn the_directed_form_raises_the_loss_of_the_source_class_by_kappa_deviations() {
    let scene = scene();
    let situation = Situation { strength: 0.5, ..scene.at(0) };
    let moved = push(drift(Form::Directed), &situation, 0);
    assert!((norm_of(&moved) / unit(&scene) - 1.0).abs() < 1e-3, "κ 2 at half strength");
    let rows: Vec<usize> =
        (0..scene.pooled.rows()).filter(|&row| scene.pooled.labels[row] == 1).collect();
    let of_class = scene.pooled.select(&rows);
    let loss = |model: &[f32]| scene.spec.evaluate(model, &of_class).log_loss;
    assert!(loss(&moved) > loss(&scene.base));
}

#[test]
fn decorrelated_members_share_the_push_and_not_the_noise() {
    let scene = scene();
    let common = push(drift(Form::Directed), &scene.at(0), 0);
    let noise = |rank: usize| -> Vec<f32> {
        let moved = push(drift(Form::Decorrelated), &scene.at(rank), rank as u64);
        moved.iter().zip(&common).map(|(moved, common)| moved - common).collect()
    };
    let (first, second) = (noise(0), noise(1));
    assert_ne!(first, second);
    for noise in [&first, &second] {
        assert!((norm_of(noise) / unit(&scene) - PRIVATE_NOISE).abs() < 1e-2);
        let along: f32 = noise.iter().zip(&common).map(|(a, b)| a * b).sum();
        assert!(f64::from(along.abs()) < 1e-3 * norm_of(noise) * norm_of(&common));
    }
}

#[test]
fn the_target_form_walks_to_one_model() {
    let mut scene = scene();
    let attack = drift(Form::Target);
    let mut model = scene.base.clone();
    let start = scene.spec.evaluate(&model, &scene.pooled).recall.expect("positives");
    for _ in 0..400 {
        let moved = push(attack, &scene.at(0), 0);
        model.iter_mut().zip(moved).for_each(|(value, step)| *value += step);
        scene.record.close_round(Vec::new(), model.clone());
        scene.base.clone_from(&model);
    }
    let end = scene.spec.evaluate(&model, &scene.pooled).recall.expect("positives");
    assert!(start > 0.9 && end < 0.1, "{start} {end}");
}

#[test]
fn labels_of_the_source_class_are_flipped_and_the_cap_holds() {
    let scene = scene();
    let record = PublicRecord::default();
    let attack = SilentDrift { share: 0.5, ..drift(Form::Labels) };
    let mut rng = seed::stream(1, "poison", 0, 0);
    let poisoned = attack.poison(&scene.lesson(&record), &mut rng);
    assert_eq!((poisoned.count(1), scene.pooled.count(1)), (10, 20));
    for form in [Form::Labels, Form::Directed, Form::Decorrelated, Form::Target] {
        let attack = SilentDrift { kappa: 50.0, cap: Some(0.4), ..drift(form) };
        assert!(attack.needs_honest_updates());
        let update = attack.craft(&scene.at(0), &mut rng);
        assert!(norm_of(&update) <= 0.4001 * median_norm(&scene.honest), "{form:?}");
    }
}
