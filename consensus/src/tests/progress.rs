use fedledger_ledger::ids::Height;

use super::consortium::Consortium;
use crate::application::Judgement;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_decide_the_same_twenty_heights() {
    let mut consortium = Consortium::new(4, 0);
    consortium.want(20);
    consortium.start_all();
    consortium.reached(20).await;
    consortium.check();
    consortium.check_no_evidence();
    for i in 0..4 {
        consortium.stop(i).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_decide_decides_nothing() {
    let mut consortium = Consortium::new(4, 0);
    consortium.start_all();
    for i in 0..4 {
        consortium.signs(i, true).await;
        consortium.idle(i).await;
    }
    // Everybody is parked before the first height, and again after the third.
    for i in 0..4 {
        assert_eq!(consortium.tip(i), 0);
    }
    consortium.want(3);
    consortium.reached(3).await;
    for i in 0..4 {
        consortium.idle(i).await;
        assert_eq!(consortium.tip(i), 3);
    }
    // One who wants something wakes the others.
    consortium.members[2].application.want(Height(4));
    consortium.reached(4).await;
    consortium.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sole_validator_decides_alone() {
    let mut consortium = Consortium::new(1, 0);
    consortium.want(5);
    consortium.start(0);
    consortium.reached(5).await;
    consortium.stop(0).await;
    consortium.want(9);
    consortium.start(0);
    consortium.reached(9).await;
    consortium.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_follows_without_a_key() {
    let mut consortium = Consortium::new(4, 1);
    consortium.want(5);
    for i in 0..4 {
        consortium.start(i);
    }
    consortium.reached(5).await;
    consortium.start(4);
    consortium.reached(5).await;
    consortium.want(8);
    consortium.reached(8).await;
    consortium.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_not_ready_to_judge_follows_the_others() {
    let mut consortium = Consortium::new(4, 0);
    consortium.members[1].application.judge_as(Some(Judgement::NotNow("computing".to_owned())));
    consortium.want(6);
    consortium.start_all();
    consortium.reached(6).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_nobody_can_judge_yet_is_decided_once_they_can() {
    let mut consortium = Consortium::new(4, 0);
    let not_now = Some(Judgement::NotNow("computing".to_owned()));
    for member in &consortium.members {
        member.application.judge_as(not_now.clone());
    }
    consortium.want(1);
    consortium.start_all();
    // Rounds pass, nothing is decided: a proposer alone is no quorum.
    let mut status = consortium.members[0].engine.as_ref().unwrap().status();
    status.wait_for(|status| status.consensus_round >= 2).await.unwrap();
    assert_eq!(consortium.tip(0), 0);
    for member in &consortium.members {
        member.application.judge_as(None);
    }
    consortium.reached(1).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_finds_everything_invalid_holds_nobody_up() {
    let mut consortium = Consortium::new(4, 0);
    consortium.members[3].application.judge_as(Some(Judgement::Invalid("no".to_owned())));
    consortium.want(5);
    consortium.start_all();
    consortium.reached(5).await;
    consortium.check();
}
