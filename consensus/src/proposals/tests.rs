use super::*;
use crate::parts::{block_ref, split};
use crate::testkit::{block_of, MemoryNetwork};
use fedledger_ledger::block::ValidatorAddress;

const TIP: Height = Height(4);
const NEXT: Height = Height(5);

fn announced(round: u32, block: &ProposedBlock) -> Announced {
    let proposer = Address(ValidatorAddress([1; 20]));
    Announced { round, pol_round: Round::Nil, proposer, block: block_ref(block) }
}

fn arrive(proposals: &mut Proposals, from: u8, block: &ProposedBlock) {
    for part in split(NEXT, block) {
        proposals.add_part(TIP, MemoryNetwork::peer(from), part);
    }
}

#[tokio::test]
async fn a_block_is_judged_once_it_is_there_and_announced() {
    let (block, now) = (block_of(NEXT, 1), Instant::now());
    for announce_first in [true, false] {
        let mut proposals = Proposals::default();
        if announce_first {
            proposals.announce(NEXT, 0, announced(0, &block));
            assert_eq!(proposals.next_to_judge(NEXT, now), None);
            arrive(&mut proposals, 1, &block);
        } else {
            arrive(&mut proposals, 1, &block);
            assert_eq!(proposals.next_to_judge(NEXT, now), None);
            proposals.announce(NEXT, 0, announced(0, &block));
        }
        assert_eq!(proposals.next_to_judge(NEXT, now), Some((announced(0, &block), block.clone())));
        assert_eq!(proposals.next_to_judge(NEXT, now), None, "judged twice");
        let told = proposals.judged(NEXT, block.id, &Judgement::Valid, now);
        assert_eq!(told, Some(announced(0, &block)));
        assert_eq!(proposals.verdicts(NEXT), [(announced(0, &block), true)]);
        proposals.prune(NEXT);
        assert_eq!(proposals.get(NEXT, block.id), None);
    }
}

#[tokio::test]
async fn not_now_is_asked_again_and_never_told() {
    let (block, now) = (block_of(NEXT, 1), Instant::now());
    let not_now = Judgement::NotNow("a blob is on its way".to_owned());
    let mut proposals = Proposals::default();
    proposals.announce(NEXT, 0, announced(0, &block));
    arrive(&mut proposals, 1, &block);
    let mut at = now;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        assert!(proposals.next_to_judge(NEXT, at).is_some());
        assert_eq!(proposals.judged(NEXT, block.id, &not_now, at), None);
        assert_eq!(proposals.next_to_judge(NEXT, at), None);
        let again = proposals.next_retry().expect("it is asked again");
        pauses.push(again - at);
        at = again;
    }
    assert_eq!(pauses[0], RETRY_FIRST);
    assert_eq!(pauses[5], RETRY_LONGEST);
    assert!(proposals.verdicts(NEXT).is_empty());
    proposals.judged(NEXT, block.id, &not_now, at);
    proposals.retry_all(now);
    assert!(proposals.next_to_judge(NEXT, now).is_some());
    let told = proposals.judged(NEXT, block.id, &Judgement::Valid, now);
    assert_eq!(told, Some(announced(0, &block)));
    assert_eq!(proposals.next_retry(), None);
}

#[tokio::test]
async fn a_proposer_makes_us_judge_two_blocks_a_round_at_most() {
    let now = Instant::now();
    let mut proposals = Proposals::default();
    for i in 1..=6 {
        let block = block_of(NEXT, i);
        proposals.announce(NEXT, 0, announced(0, &block));
        arrive(&mut proposals, i as u8, &block);
    }
    let judged = std::iter::from_fn(|| proposals.next_to_judge(NEXT, now)).count();
    assert_eq!(judged, BLOCKS_PER_ROUND_MAX);
    // A round far ahead is not kept at all.
    let far = block_of(NEXT, 7);
    proposals.announce(NEXT, 0, announced(ROUNDS_AHEAD_MAX + 1, &far));
    arrive(&mut proposals, 9, &far);
    assert_eq!(proposals.next_to_judge(NEXT, now), None);
}

#[tokio::test]
async fn whole_blocks_that_nobody_proposes_are_bounded_for_each_peer() {
    let mut proposals = Proposals::default();
    let blocks: Vec<_> = (1..=6).map(|i| block_of(NEXT, i)).collect();
    for block in &blocks {
        arrive(&mut proposals, 1, block);
    }
    let kept = |p: &Proposals| blocks.iter().filter(|b| p.get(NEXT, b.id).is_some()).count();
    assert_eq!(kept(&proposals), UNANNOUNCED_PER_PEER_MAX);
    arrive(&mut proposals, 2, &blocks[5]);
    assert_eq!(kept(&proposals), UNANNOUNCED_PER_PEER_MAX + 1);
}
