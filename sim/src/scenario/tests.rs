use super::{demo, wdbc, ScenarioError};
use crate::attack::{Attack, SignFlip};
use crate::comparison::default_task;
use crate::data::{Change, DataError, Skew};

fn attack() -> Attack {
    Attack::SignFlip(SignFlip::default())
}

#[test]
fn the_demonstration_is_set_up_as_asked() {
    let scenario = demo(7, 2, attack(), 3).expect("enough rows");
    assert_eq!((scenario.sites.len(), scenario.hostile.len()), (7, 2));
    assert_eq!(scenario.names[0], "hospital-01");
    let rows: usize = scenario.sites.iter().map(|s| s.train.rows() + s.test.rows()).sum();
    assert_eq!(rows, 569);
    let trainers = scenario.trainers();
    for (k, trainer) in trainers.iter().enumerate() {
        assert_eq!(trainer.coalition.is_some(), scenario.hostile.contains(&k));
        assert_eq!(trainer.data.rows(), scenario.sites[k].train.rows());
    }
    let task = default_task(&scenario).expect("a good model");
    assert_eq!((task.byzantine, task.rounds), (2, scenario.rounds));
}

#[test]
fn hostile_members_are_drawn_by_the_seed() {
    let drawn = |seed| demo(13, 4, attack(), seed).expect("enough rows").hostile;
    assert_eq!(drawn(1), drawn(1));
    assert!((2..20).any(|seed| drawn(seed) != drawn(1)));
    assert!(drawn(1).windows(2).all(|two| two[0] < two[1]));
}

#[test]
fn without_the_attackers_the_honest_ones_remain_as_they_were() {
    let scenario = demo(7, 2, attack(), 3).expect("enough rows");
    let absent = scenario.attackers_absent();
    assert_eq!(absent.sites.len(), 5);
    for (site, k) in absent.sites.iter().zip(scenario.honest()) {
        assert_eq!(*site, scenario.sites[k]);
    }
    assert!(absent.trainers().iter().all(|trainer| trainer.coalition.is_none()));
}

#[test]
fn an_honest_change_moves_with_its_member() {
    let scenario = demo(7, 2, attack(), 3).expect("enough rows");
    let member = *scenario.honest().last().expect("somebody is honest");
    let change = Change::Scanner { gain: 1.2, offset: 0.5 };
    let changed = scenario.clone().with_change(member, 4, &change);
    let absent = changed.attackers_absent();
    assert_eq!((absent.changes[0].member, absent.changes[0].round), (absent.sites.len() - 1, 4));
    for (k, trainer) in changed.trainers().iter().enumerate() {
        assert_eq!(trainer.later.is_some(), k == member);
        assert_eq!(trainer.data_in(3), &scenario.sites[k].train);
    }
    assert_eq!(changed.test_in(member, 3), &scenario.sites[member].test);
    assert_eq!(changed.test_in(member, 4), &change.changed(&scenario.sites[member].test, 0));
}

#[test]
fn impossible_consortia_are_refused() {
    let error = demo(4, 4, attack(), 1).expect_err("nobody honest");
    assert!(matches!(error, ScenarioError::Attackers { attackers: 4, institutions: 4 }));
    let error = demo(100, 2, attack(), 1).expect_err("too few rows");
    assert!(matches!(error, ScenarioError::Data(DataError::TooFewRows { .. })), "{error}");
    assert!(matches!(demo(0, 0, attack(), 1), Err(ScenarioError::Data(_))));
    assert!(wdbc(7, Skew::Label { alpha: -1.0 }, 2, attack(), 1).is_err());
}
