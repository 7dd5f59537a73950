//! Whole consortia of separate processes: the real program, real sockets, real disks, and what goes
//! wrong in the real world.

#[path = "consortium/evaluation.rs"]
mod evaluation;
mod support;

use std::time::Duration;

use fedledger_ledger::decision::{Reason, RoundFailure};
use fedledger_ledger::entry::{Receipt, Rejection};
use fedledger_ledger::ids::{Digest, Height, RoundNumber};
use support::{Consortium, Forged};

#[test]
fn four_nodes_decide_rounds_and_agree() {
    let mut consortium = Consortium::start(4, 3);
    for round in 1..=3 {
        consortium.play_round(RoundNumber(round), &[]);
    }
    consortium.wait_same_tip();
    consortium.assert_task_status("completed");
    consortium.stop_and_audit();
}

#[test]
fn a_cometbft_light_client_follows_the_chain_and_ics23_proves_its_state() {
    let mut consortium = Consortium::start(4, 2);
    for round in 1..=2 {
        consortium.play_round(RoundNumber(round), &[]);
    }
    consortium.wait_same_tip();
    let tip = consortium.follow_as_light_client(1);
    // Another node's certificates may have other signers, and its proofs are for the same root.
    assert_eq!(consortium.follow_as_light_client(2).hash(), tip.hash());
    consortium.check_state_proof(1, "task/probe/trust/hospital-1", &tip);
    consortium.check_state_proof(2, "chain/head", &tip);
    consortium.check_absence_proof(1, "task/probe/trust/hospital-9", &tip);
    consortium.stop_and_audit();
}

#[test]
fn a_consortium_goes_back_by_vote_and_decides_later_rounds_without_the_culprit() {
    let mut consortium = Consortium::start(4, 5);
    for round in 1..=3 {
        consortium.play_round(RoundNumber(round), &[]);
    }
    consortium.roll_back(RoundNumber(1), &[3]);
    assert_eq!(consortium.failure(0, RoundNumber(4)), Some(RoundFailure::RolledBack));
    for (round, of) in [(5, 2), (6, 3)] {
        let view = consortium.wait_for_end(2, RoundNumber(round));
        let replay = view.replay.expect("the round replays another");
        assert_eq!((replay.of, replay.without), (RoundNumber(of), vec![consortium.member(3)]));
        assert_eq!(replay.verdicts.len(), 3);
        assert!(replay.verdicts.iter().all(|verdict| verdict.weight_micro > 0 && !verdict.strike));
    }
    // Four of five rounds were left after the first; two of them are over.
    for round in 7..=8 {
        consortium.play_round(RoundNumber(round), &[]);
    }
    consortium.wait_same_tip();
    consortium.assert_task_status("completed");
    consortium.stop_and_audit();
}

#[test]
fn a_node_killed_again_and_again_comes_back_and_agrees() {
    let mut consortium = Consortium::start(4, 6);
    for round in 1..=6 {
        let round = RoundNumber(round);
        // Killed at another moment each time: before it submits, or right after.
        let victim = (round.0 as usize) % 4;
        if round.0 % 2 == 0 {
            consortium.submit(victim, round);
        }
        consortium.kill(victim);
        for other in (0..4).filter(|k| *k != victim) {
            consortium.submit(other, round);
        }
        consortium.restart(victim);
        if round.0 % 2 == 1 {
            consortium.submit(victim, round);
        }
        consortium.wait_for_end(0, round);
    }
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn two_of_four_down_halts_and_resumes_without_a_fork() {
    let mut consortium = Consortium::start_patient(4, 2);
    consortium.play_round(RoundNumber(1), &[]);
    consortium.wait_same_tip();
    let before = consortium.height(0);
    consortium.kill(2);
    consortium.kill(3);
    let waiting = consortium.submit(0, RoundNumber(2));
    // Nothing may be decided by two of four. Waiting for something not to happen needs a while.
    consortium.assert_no_height_above(0, before, Duration::from_secs(4));
    consortium.assert_pending(0, &waiting);
    consortium.restart(2);
    consortium.wait_for_height_above(0, before);
    consortium.restart(3);
    for member in 1..4 {
        consortium.submit(member, RoundNumber(2));
    }
    consortium.wait_for_end(0, RoundNumber(2));
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn a_node_with_a_wiped_disk_catches_up() {
    let mut consortium = Consortium::start(4, 3);
    consortium.play_round(RoundNumber(1), &[]);
    consortium.kill(3);
    consortium.play_round(RoundNumber(2), &[3]);
    consortium.wipe_data(3);
    consortium.restart(3);
    consortium.wait_same_tip();
    consortium.play_round(RoundNumber(3), &[]);
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn a_node_restored_from_an_old_disk_signs_nothing_twice() {
    let mut consortium = Consortium::start(4, 4);
    consortium.play_round(RoundNumber(1), &[]);
    consortium.wait_same_tip();
    consortium.stop(3);
    consortium.backup_data(3);
    consortium.restart(3);
    consortium.play_round(RoundNumber(2), &[]);
    consortium.wait_same_tip();
    consortium.stop(3);
    consortium.restore_data(3);
    consortium.restart(3);
    consortium.play_round(RoundNumber(3), &[]);
    consortium.play_round(RoundNumber(4), &[]);
    consortium.wait_same_tip();
    consortium.assert_no_evidence();
    consortium.stop_and_audit();
}

#[test]
fn a_validator_that_proposes_a_wrong_outcome_is_outvoted() {
    let liar = 2;
    let mut consortium = Consortium::start_with_liar(4, 40, liar);
    // Validators take turns in proposing: sooner or later an outcome falls to the liar.
    let lied = |consortium: &Consortium| consortium.said(liar, "names a false model");
    let mut round = RoundNumber(0);
    while lied(&consortium) < 2 {
        assert!(round.0 < 40, "in {round} rounds the liar never had an outcome to propose");
        round = round.next();
        consortium.play_round(round, &[]);
    }
    for honest in [0, 1, 3] {
        let refused = consortium.said(honest, "differs from the one computed here");
        assert!(refused > 0, "member {honest} accepted a wrong outcome");
    }
    consortium.wait_same_tip();
    // Every ledger, the liar's too, is replayed: what was decided is what the contract computes.
    consortium.stop_and_audit();
}

#[test]
fn a_stranger_with_the_genesis_document_gets_no_block_and_no_blob() {
    let mut consortium = Consortium::start(4, 2);
    let stranger = consortium.make_stranger();
    consortium.play_round(RoundNumber(1), &[]);
    // It dials everybody, again and again, while they play on.
    let mut played = false;
    stranger.run_until("the stranger to be turned away", |stranger, status| {
        if !std::mem::replace(&mut played, true) {
            consortium.play_round(RoundNumber(2), &[]);
        }
        assert_eq!(status.height, Height(0), "a stranger got a block");
        assert!(status.peers.iter().all(|peer| !peer.connected), "a stranger got a link");
        stranger.refusals() >= 12
    });
    assert_eq!(stranger.blobs().len(), 0, "a stranger got a blob: {:?}", stranger.blobs());
    // The same program under a member's network key gets everything, so it did ask rightly.
    consortium.wait_same_tip();
    let tip = consortium.height(0);
    consortium.kill(3);
    consortium.hand_over_network_key(3, &stranger);
    stranger.run_until("the member's key to open the door", |stranger, status| {
        status.height >= tip && !stranger.blobs().is_empty()
    });
    consortium.restart(3);
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn members_that_only_dial_out_take_full_part() {
    let mut consortium = Consortium::start_with_dial_only(4, 2, &[2, 3]);
    consortium.play_round(RoundNumber(1), &[]);
    consortium.play_round(RoundNumber(2), &[]);
    consortium.wait_same_tip();
    consortium.assert_submitted_by_all(RoundNumber(2));
    consortium.stop_and_audit();
}

#[test]
fn bad_submissions_are_refused_by_name_and_the_round_still_ends() {
    let mut consortium = Consortium::start(4, 2);
    let round = RoundNumber(1);
    consortium.assert_refused(
        0,
        round,
        &consortium.update_with_nan(),
        "bad_update",
        "not a number",
    );
    consortium.assert_refused(
        0,
        round,
        &consortium.update_with_wrong_shape(),
        "bad_update",
        "shape",
    );
    consortium.assert_refused(0, round, b"not a safetensors file", "bad_update", "safetensors");
    consortium.assert_refused(0, RoundNumber(7), &consortium.update(0, round), "wrong_round", "7");
    // The same update again is the same commitment; another one is refused before it is signed.
    let first = consortium.submit(0, round);
    assert_eq!(consortium.submit(0, round), first);
    consortium.assert_refused(
        0,
        round,
        &consortium.update(9, round),
        "already_committed",
        "already committed",
    );
    for member in 1..4 {
        consortium.submit(member, round);
    }
    consortium.wait_for_end(0, round);
    consortium.play_round(RoundNumber(2), &[]);
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

#[test]
fn what_a_hostile_member_signs_by_hand_is_refused_by_name_and_rounds_go_on() {
    let consortium = Consortium::start(4, 4);
    let hostile = 3;
    let others_submit = |consortium: &Consortium, round| {
        for member in 0..hostile {
            consortium.submit(member, round);
        }
    };
    // A commitment on another model, and to another length than the task's, are refused when made.
    // The true one is taken; its blob exists nowhere, so it never counts as revealed.
    let round = RoundNumber(1);
    let missing = consortium.forge(&consortium.canonical(50, round));
    let wrong_base = Forged { base_model: Digest::of(b"my own model"), ..missing.clone() };
    let receipt = consortium.commit_by_hand(hostile, round, &wrong_base);
    assert!(matches!(refusal(&receipt), Rejection::WrongBaseModel { .. }), "{receipt:?}");
    let oversized = Forged { byte_length: u64::MAX, ..missing.clone() };
    let receipt = consortium.commit_by_hand(hostile, round, &oversized);
    assert!(matches!(refusal(&receipt), Rejection::WrongLength { .. }), "{receipt:?}");
    assert_eq!(consortium.commit_by_hand(hostile, round, &missing), Receipt::Accepted);
    others_submit(&consortium, round);
    consortium.reveal_by_hand(hostile, round, &missing);
    let view = consortium.wait_for_end(0, round);
    assert_eq!(consortium.reason(hostile, &view), Reason::NotRevealed);

    // A blob that is longer than was committed to is fetched by nobody.
    let round = RoundNumber(2);
    let mut bytes = consortium.canonical(51, round);
    bytes.resize(5 << 20, 0);
    let longer = consortium.forge(&bytes);
    assert_eq!(consortium.commit_by_hand(hostile, round, &longer), Receipt::Accepted);
    consortium.plant_blob(hostile, &bytes);
    others_submit(&consortium, round);
    consortium.reveal_by_hand(hostile, round, &longer);
    let view = consortium.wait_for_end(0, round);
    assert_eq!(consortium.reason(hostile, &view), Reason::NotRevealed);

    // The same update as another member's: one of the two counts, whichever committed first.
    let round = RoundNumber(3);
    others_submit(&consortium, round);
    let copy = consortium.forge(&consortium.canonical(0, round));
    assert_eq!(consortium.commit_by_hand(hostile, round, &copy), Receipt::Accepted);
    consortium.reveal_by_hand(hostile, round, &copy);
    let view = consortium.wait_for_end(0, round);
    assert_eq!(consortium.reason(hostile, &view), Reason::Duplicate);
    assert_ne!(consortium.reason(0, &view), Reason::Duplicate);

    // Two commitments for one round: the proof is recorded.
    let round = RoundNumber(4);
    for seed in [40, 41] {
        let forged = consortium.forge(&consortium.canonical(seed, round));
        consortium.commit_by_hand(hostile, round, &forged);
    }
    others_submit(&consortium, round);
    let view = consortium.wait_for_end(0, round);
    assert_eq!(consortium.reason(hostile, &view), Reason::Equivocation);
    consortium.assert_entry_kind("equivocation_proved");
    consortium.wait_same_tip();
    consortium.stop_and_audit();
}

fn refusal(receipt: &Receipt) -> &Rejection {
    match receipt {
        Receipt::Refused { rejection } => rejection,
        Receipt::Accepted => panic!("it was accepted"),
    }
}
