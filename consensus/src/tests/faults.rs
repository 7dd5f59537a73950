use std::time::Duration;

use fedledger_ledger::block::ValidatorAddress;
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::keys::{sign_raw, PublicKey};
use malachitebft_app_channel::app::types::SignedConsensusMsg;
use malachitebft_core_types::{NilOrVal, SignedMessage};

use super::consortium::{chain_id, Consortium};
use crate::codec::{decode_frame, encode_frame, Frame};
use crate::failure::EngineFailure;
use crate::guard::{Guard, GuardError, Intent, Step};
use crate::signing::{proposal_bytes, vote_bytes};
use crate::testkit::{keys, MemoryNetwork};
use crate::transport::FrameClass;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stopped_and_restarted_catches_up_and_signs_again() {
    let mut consortium = Consortium::new(4, 0);
    consortium.want(3);
    consortium.start_all();
    consortium.reached(3).await;
    consortium.stop(2).await;
    consortium.want(12);
    consortium.reached(12).await;
    consortium.start(2);
    // It catches up while nothing else happens, but leaves one height to the others.
    consortium.reached(12).await;
    consortium.signs(2, false).await;
    consortium.want(13);
    consortium.reached(13).await;
    consortium.signs(2, true).await;
    consortium.want(16);
    consortium.reached(16).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_and_restarted_go_on_at_once() {
    let mut consortium = Consortium::new(4, 0);
    for height in [3, 6, 9] {
        consortium.want(height);
        consortium.start_all();
        consortium.reached(height).await;
        for i in 0..4 {
            consortium.stop(i).await;
        }
    }
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_in_the_middle_of_a_height_go_on() {
    let mut consortium = Consortium::new(4, 0);
    consortium.rejoin_patience = Duration::from_secs(1);
    consortium.want(u64::MAX);
    for stop_after in [2, 5, 7, 11, 12] {
        consortium.start_all();
        consortium.reached(stop_after).await;
        // No pause to finish: stopping drops whatever is under way.
        for i in 0..4 {
            consortium.stop(i).await;
        }
    }
    consortium.start_all();
    let further = (0..4).map(|i| consortium.tip(i)).max().unwrap() + 3;
    consortium.reached(further).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_its_tail_contradicts_nothing() {
    let mut consortium = Consortium::new(4, 0);
    consortium.want(8);
    consortium.start_all();
    consortium.reached(8).await;
    consortium.stop(1).await;
    consortium.members[1].application.lose_tail(Height(4));
    consortium.start(1);
    consortium.reached(8).await;
    consortium.want(14);
    consortium.reached(14).await;
    consortium.signs(1, true).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_image_of_the_whole_disk_contradicts_nothing() {
    let mut consortium = Consortium::new(4, 0);
    consortium.want(4);
    consortium.start_all();
    consortium.reached(4).await;
    consortium.stop(1).await;
    let files = ["guard.cbor", "validator.wal"];
    let folder = consortium.members[1].folder.path().to_owned();
    let image = files.map(|file| std::fs::read(folder.join(file)).unwrap());
    consortium.start(1);
    consortium.want(10);
    consortium.reached(10).await;
    consortium.stop(1).await;
    for (file, bytes) in files.iter().zip(image) {
        std::fs::write(folder.join(file), bytes).unwrap();
    }
    consortium.members[1].application.lose_tail(Height(4));
    consortium.start(1);
    consortium.reached(10).await;
    consortium.signs(1, false).await;
    consortium.want(14);
    consortium.reached(14).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_leaves_the_height_to_the_others() {
    let mut consortium = Consortium::new(4, 0);
    consortium.want(3);
    consortium.start_all();
    consortium.reached(3).await;
    consortium.stop(1).await;
    let folder = consortium.members[1].folder.path().to_owned();
    std::fs::remove_file(folder.join("validator.wal")).unwrap();
    // The guard says that this key signed for the next height, in a late round.
    let guard = Guard::open(folder.join("guard.cbor")).unwrap();
    let intent = Intent {
        height: Height(4),
        round: 9,
        step: Step::Precommit,
        block: None,
        message: Digest::of(b"lost"),
    };
    guard.admit(&intent).unwrap();
    guard.seal(&intent).unwrap();
    consortium.start(1);
    consortium.want(7);
    consortium.reached(7).await;
    consortium.signs(1, true).await;
    consortium.check();
    consortium.check_no_evidence();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_guard_does_not_start() {
    let mut consortium = Consortium::new(4, 0);
    std::fs::write(consortium.members[0].folder.path().join("guard.cbor"), b"?").unwrap();
    let refused = consortium.try_start(0);
    assert!(matches!(refused, Err(EngineFailure::Guard(GuardError::Damaged { .. }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_gone_is_a_failure() {
    let mut consortium = Consortium::new(1, 0);
    consortium.start(0);
    consortium.network.leave(0);
    let failure = consortium.members[0].engine.as_mut().unwrap().failed().await;
    assert!(matches!(failure, EngineFailure::TransportGone), "{failure}");
}

/// A third of the members has its control frames eaten on the way; the others do without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_votes_are_lost_holds_nobody_up() {
    let mut consortium = Consortium::new(4, 0);
    let mute = MemoryNetwork::peer(3);
    consortium.network.tamper(move |from, _, class, frame| {
        let lost = from == mute && class == FrameClass::Control;
        (!lost).then(|| frame.clone()).into_iter().collect()
    });
    consortium.want(6);
    consortium.start_all();
    consortium.reached(6).await;
    consortium.check();
}

/// One member sends every part bent, before and after the real one, as if it relayed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bent_parts_and_garbage_stop_nobody() {
    let mut consortium = Consortium::new(4, 0);
    consortium.network.tamper(|_, _, class, frame| {
        let garbage = bytes::Bytes::from_static(b"\xff\x00garbage");
        let Ok(Frame::Part(mut part)) = decode_frame(class, frame) else {
            return vec![garbage, frame.clone()];
        };
        let mut bytes = part.bytes.to_vec();
        bytes[0] ^= 1;
        part.bytes = bytes.into();
        let bent = encode_frame(&Frame::Part(part)).unwrap();
        vec![bent.clone(), frame.clone(), bent]
    });
    consortium.want(6);
    consortium.start_all();
    consortium.reached(6).await;
    consortium.check();
    consortium.check_no_evidence();
}

/// One validator sends everybody a second, contradicting copy of each vote and proposal, rightly
/// signed. The others go on, agree, and hand proof of it to the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_signs_twice_is_proved_guilty_and_changes_nothing() {
    let mut consortium = Consortium::new(4, 0);
    let (liar, key) = (MemoryNetwork::peer(2), keys(4)[2].clone());
    let address = ValidatorAddress::of(&PublicKey::of(&key));
    let other = Digest::of(b"another block");
    consortium.network.tamper(move |from, _, class, frame| {
        let second = match decode_frame(class, frame) {
            Ok(Frame::Message(SignedConsensusMsg::Vote(vote))) if from == liar => {
                let mut vote = vote.message;
                vote.value = NilOrVal::Val(other);
                let bytes = vote_bytes(&chain_id(), &vote).expect("it was a vote of ours");
                let signed = SignedMessage::new(vote, sign_raw(&key, &bytes));
                SignedConsensusMsg::Vote(signed)
            }
            Ok(Frame::Message(SignedConsensusMsg::Proposal(proposal))) if from == liar => {
                let mut proposal = proposal.message;
                proposal.value.id = other;
                let bytes =
                    proposal_bytes(&chain_id(), &proposal).expect("it was a proposal of ours");
                let signed = SignedMessage::new(proposal, sign_raw(&key, &bytes));
                SignedConsensusMsg::Proposal(signed)
            }
            _ => return vec![frame.clone()],
        };
        let second = encode_frame(&Frame::Message(second)).expect("the first was as long");
        vec![frame.clone(), second]
    });
    consortium.want(8);
    consortium.start_all();
    consortium.reached(8).await;
    consortium.check();
    let mut seen = Vec::new();
    for member in &consortium.members {
        seen.extend(member.application.evidence_seen());
    }
    assert!(!seen.is_empty(), "nobody noticed");
    let key = consortium.validators.get(&address).expect("the liar is a validator").key;
    for equivocation in seen {
        assert_eq!(equivocation.validator, address);
        assert_ne!(equivocation.first.0, equivocation.second.0);
        for (bytes, signature) in [equivocation.first, equivocation.second] {
            assert!(key.verifies_raw(&bytes, &signature));
        }
    }
}
