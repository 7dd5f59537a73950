use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::testkit::{block_of, MemoryNetwork};

const TIP: Height = Height(4);
const NEXT: Height = Height(5);

/// A block in three parts.
fn long_block() -> ProposedBlock {
    static BLOCK: OnceLock<ProposedBlock> = OnceLock::new();
    let block = BLOCK.get_or_init(|| block_of(NEXT, 1_500)).clone();
    assert_eq!(part_count(block_ref(&block).size), 3, "{} bytes", block.bytes.len());
    block
}

fn peer(i: u8) -> PeerId {
    MemoryNetwork::peer(i)
}

#[test]
fn a_block_survives_its_parts_in_any_order() {
    let block = long_block();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let parts = split(NEXT, &block);
        let mut assembler = Assembler::default();
        let mut made = None;
        for index in order {
            assert_eq!(made, None);
            made = assembler.add(TIP, peer(1), parts[index].clone());
        }
        assert_eq!(made.as_ref(), Some(&block), "order {order:?}");
        assert_eq!(assembler.bytes_held(), 0);
    }
}

#[test]
fn parts_may_come_over_different_peers() {
    let (block, mut assembler) = (long_block(), Assembler::default());
    let parts = split(NEXT, &block);
    assert_eq!(assembler.add(TIP, peer(1), parts[0].clone()), None);
    assert_eq!(assembler.add(TIP, peer(2), parts[1].clone()), None);
    assert_eq!(assembler.add(TIP, peer(3), parts[2].clone()), Some(block));
}

#[test]
fn wrong_parts_under_a_right_name_hide_nothing() {
    let (block, mut assembler) = (long_block(), Assembler::default());
    let parts = split(NEXT, &block);
    for part in &parts {
        let mut bytes = part.bytes.to_vec();
        bytes[7] ^= 1;
        let bent = BlockPart { bytes: bytes.into(), ..part.clone() };
        assert_eq!(assembler.add(TIP, peer(1), bent), None);
    }
    let made: Vec<_> =
        parts.into_iter().filter_map(|part| assembler.add(TIP, peer(2), part)).collect();
    assert_eq!(made, [block]);
}

#[test]
fn a_lie_relayed_by_the_same_peer_hides_nothing() {
    let (block, mut assembler) = (long_block(), Assembler::default());
    let parts = split(NEXT, &block);
    let mut bytes = parts[1].bytes.to_vec();
    bytes[7] ^= 1;
    let bent = BlockPart { bytes: bytes.into(), ..parts[1].clone() };
    for part in [bent, parts[0].clone(), parts[2].clone()] {
        assert_eq!(assembler.add(TIP, peer(1), part), None);
    }
    assert_eq!(assembler.add(TIP, peer(1), parts[1].clone()), Some(block));
}

#[test]
fn what_is_not_a_part_is_dropped() {
    let block = long_block();
    let good = split(NEXT, &block)[0].clone();
    let bad = [
        BlockPart { height: TIP.into(), ..good.clone() },
        BlockPart { height: Height(TIP.0 + HEIGHT_WINDOW + 1).into(), ..good.clone() },
        BlockPart { height: Height(u64::MAX).into(), ..good.clone() },
        BlockPart { index: 3, ..good.clone() },
        BlockPart { index: u32::MAX, ..good.clone() },
        BlockPart { bytes: good.bytes.slice(1..), ..good.clone() },
        BlockPart {
            block: BlockRef { size: 0, ..good.block },
            bytes: Bytes::new(),
            ..good.clone()
        },
        BlockPart { block: BlockRef { size: u32::MAX, ..good.block }, ..good.clone() },
        BlockPart {
            block: BlockRef { size: VALUE_BYTES_MAX as u32 + 1, ..good.block },
            ..good.clone()
        },
    ];
    let mut assembler = Assembler::default();
    for part in bad {
        assert_eq!(assembler.add(TIP, peer(1), part.clone()), None);
        assert_eq!(assembler.bytes_held(), 0, "kept index {} of {:?}", part.index, part.block);
    }
    assert_eq!(assembler.add(TIP, peer(1), good.clone()), None);
    assert_eq!(assembler.bytes_held(), good.bytes.len());
}

#[test]
fn one_peer_cannot_fill_the_memory_nor_take_it_from_another() {
    let mut assembler = Assembler::default();
    for i in 0..1_000u32 {
        let id = Digest::of(&i.to_be_bytes());
        let block = BlockRef { id, size: VALUE_BYTES_MAX as u32 };
        let bytes = vec![0; PART_BYTES].into();
        assembler.add(TIP, peer(1), BlockPart { height: NEXT.into(), block, index: 0, bytes });
    }
    assert!(assembler.bytes_held() <= PEER_BYTES_MAX);
    let block = long_block();
    let made = split(NEXT, &block)
        .into_iter()
        .filter_map(|part| assembler.add(TIP, peer(2), part))
        .count();
    assert_eq!(made, 1);
    assembler.prune(NEXT);
    assert_eq!(assembler.bytes_held(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any mixture of parts, repeated, from two peers: a block is made once all its parts were
    /// there, and never a wrong one.
    #[test]
    fn a_block_is_made_exactly_when_all_parts_were_there(
        sent in proptest::collection::vec((0usize..3, 0u8..2), 0..12),
    ) {
        let block = long_block();
        let parts = split(NEXT, &block);
        let (mut assembler, mut seen) = (Assembler::default(), [false; 3]);
        for (index, from) in sent {
            seen[index] = true;
            let made = assembler.add(TIP, peer(from), parts[index].clone());
            prop_assert_eq!(made.is_some(), seen == [true; 3]);
            if let Some(made) = made {
                prop_assert_eq!(&made, &block);
                seen = [false; 3];
            }
        }
    }
}
