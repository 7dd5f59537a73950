use std::sync::Arc;

use super::{train_round, Coalition, RoundView, Trainer};
use crate::attack::{
    Alie, Attack, InnerProduct, Knowledge, PublicRecord, Schedule, SignFlip, Sybil,
};
use crate::data::fixtures::clouds;
use crate::model::{ModelSpec, Training};

fn trainers(attack: &Attack, hostile: &[usize]) -> Vec<Trainer> {
    scheduled(attack, Schedule::default(), hostile)
}

fn scheduled(attack: &Attack, schedule: Schedule, hostile: &[usize]) -> Vec<Trainer> {
    let parts: Vec<_> = (0..5).map(|k| Arc::new(clouds(40, 3, k))).collect();
    let shared = hostile.iter().map(|&k| (k, Arc::clone(&parts[k]))).collect();
    let coalition = Arc::new(Coalition::new(attack.clone(), schedule, 5, shared));
    let training = Training {
        epochs: 2,
        batch_size: 8,
        learning_rate: 0.1,
        l2: 0.0,
        momentum: 0.0,
        class_balanced: true,
    };
    let trainer = |member: usize| Trainer {
        member,
        spec: ModelSpec::Logistic { features: 3 },
        training,
        data: Arc::clone(&parts[member]),
        later: None,
        announces: None,
        seed: 1,
        coalition: hostile.contains(&member).then(|| Arc::clone(&coalition)),
    };
    (0..5).map(trainer).collect()
}

#[test]
fn hostile_members_craft_and_honest_ones_do_not() {
    let attack = Attack::SignFlip(SignFlip { scale: 2.0 });
    let base = [0.0; 4];
    for trainer in trainers(&attack, &[1, 3]) {
        let clean = trainer.clean_update(7, &base);
        let factor = if trainer.coalition.is_some() { -2.0 } else { 1.0 };
        let expected: Vec<f32> = clean.iter().map(|value| factor * value).collect();
        assert_eq!(trainer.train(7, &base).values, expected);
        assert_ne!(trainer.clean_update(8, &base), clean);
        assert_eq!(trainer.train(7, &base).num_examples, 40);
    }
}

#[test]
fn a_coalition_agrees_on_its_copies_without_talking() {
    let base = [0.0; 4];
    for attack in [
        Attack::Sybil(Sybil::default()),
        Attack::InnerProduct(InnerProduct::default()),
        Attack::Alie(Alie::default()),
    ] {
        let submitted: Vec<_> = trainers(&attack, &[0, 2])
            .iter()
            .map(|trainer| trainer.train(1, &base).values)
            .collect();
        assert_eq!(submitted[0], submitted[2], "{}", attack.name());
        assert_ne!(submitted[0], submitted[1], "{}", attack.name());
    }
}

#[test]
fn a_lone_attacker_still_has_a_spread_to_hide_in() {
    let attack = Attack::Alie(Alie { z: Some(1.0) });
    let lone = &trainers(&attack, &[2])[2];
    let update = lone.train(1, &[0.0; 4]).values;
    let clean = lone.clean_update(1, &[0.0; 4]);
    let away: f32 = update.iter().zip(&clean).map(|(a, b)| (a - b).powi(2)).sum();
    assert!(away.sqrt() > 1e-3, "{away}");
}

#[test]
fn knowing_honest_updates_replaces_the_estimate() {
    let attack = Attack::InnerProduct(InnerProduct { epsilon: 1.0 });
    let hostile = &trainers(&attack, &[2])[2];
    let honest = [vec![1.0f32, 2.0, 3.0, 4.0]];
    let record = PublicRecord::default();
    let view = RoundView { honest: Some(&honest), ..RoundView::new(1, &[0.0; 4], &record) };
    assert_eq!(hostile.train_in(&view).values, [-1.0, -2.0, -3.0, -4.0]);
}

#[test]
fn an_honest_change_acts_from_its_round_on() {
    let mut honest = trainers(&Attack::SignFlip(SignFlip::default()), &[1])[0].clone();
    let before: Vec<_> = (1..=3).map(|round| honest.train(round, &[0.0; 4])).collect();
    honest.later = Some((3, Arc::new(clouds(25, 3, 9))));
    let after: Vec<_> = (1..=3).map(|round| honest.train(round, &[0.0; 4])).collect();
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2].values, after[2].values);
    assert_eq!(after[2].num_examples, 25);
}

#[test]
fn a_round_is_what_each_member_computes_alone() {
    let base = [0.0; 4];
    let record = PublicRecord::default();
    for attack in Attack::all() {
        let trainers = trainers(&attack, &[1, 3]);
        let view = RoundView::new(2, &base, &record);
        let together = train_round(&trainers, &view, Knowledge::Colluders);
        for (trainer, update) in trainers.iter().zip(&together) {
            assert_eq!(trainer.train(2, &base), *update, "{}", attack.name());
        }
    }
}

#[test]
fn outside_its_schedule_a_hostile_member_is_honest() {
    let schedule = Schedule { from: 3, ramp: 2, until: Some(4), ..Schedule::default() };
    for attack in Attack::all() {
        let hostile = &scheduled(&attack, schedule, &[2, 4])[4];
        let base = [0.1; 4];
        // Some attacks build on what was revealed before.
        let mut record = PublicRecord::new(vec![0.0; 4]);
        record.close_round(vec![vec![0.2, 0.1, -0.1, 0.3]; 5], base.to_vec());
        for round in 1..=5 {
            let clean = hostile.clean_update(round, &base);
            let update = hostile.train_in(&RoundView::new(round, &base, &record)).values;
            let is_clean = update == clean;
            assert_eq!(is_clean, !(3..=4).contains(&round), "{} in {round}", attack.name());
        }
    }
    // Half strength is half way.
    let flip = Attack::SignFlip(SignFlip { scale: 1.0 });
    let half = scheduled(&flip, schedule, &[2])[2].train(3, &[0.0; 4]).values;
    assert!(half.iter().all(|value| value.abs() < 1e-7), "{half:?}");
}
