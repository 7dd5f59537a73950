//! Blocks in parts: splitting, and putting together what peers send, within limits.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use fedledger_ledger::block::{Block, BLOCK_HEADER_BYTES_MAX};
use fedledger_ledger::ids::{Digest, Height};
use fedledger_ledger::limits::BLOCK_BYTES_MAX;
use malachitebft_peer::PeerId;

use crate::application::ProposedBlock;
use crate::context::{BlockPart, BlockRef};

/// Bytes in every part but the last. Small enough that a vote never waits long behind one.
pub const PART_BYTES: usize = 128 << 10;
/// Longest block in canonical bytes.
pub const VALUE_BYTES_MAX: usize = BLOCK_HEADER_BYTES_MAX + BLOCK_BYTES_MAX;
/// Heights above the tip whose parts are kept: the next one, and the one after for peers that
/// decided while we were still writing.
pub const HEIGHT_WINDOW: u64 = 2;
/// Bytes of unfinished blocks that one peer may make us hold: three blocks of the greatest size,
/// for the rounds of two heights. What is over is dropped and comes again with the next round.
pub const PEER_BYTES_MAX: usize = 3 * VALUE_BYTES_MAX;
/// Different contents kept for the same part. A second one only exists when somebody lies.
const VARIANTS_MAX: usize = 3;

/// Number of parts of a block of `size` bytes.
pub fn part_count(size: u32) -> u32 {
    size.div_ceil(PART_BYTES as u32).max(1)
}

/// The id of a block in canonical bytes whose header and body belong together; nothing for other
/// bytes.
pub fn block_id(bytes: &[u8]) -> Option<Digest> {
    let block = Block::from_bytes(bytes).ok()?;
    block.check_consistency().ok()?;
    Some(block.hash())
}

/// How consensus names a block.
pub fn block_ref(block: &ProposedBlock) -> BlockRef {
    let size = u32::try_from(block.bytes.len()).expect("a block is at most about a MiB long");
    BlockRef { id: block.id, size }
}

/// Cuts a block that is proposed for `height` into parts, in order.
pub fn split(height: Height, block: &ProposedBlock) -> Vec<BlockPart> {
    let name = block_ref(block);
    (0..part_count(name.size))
        .map(|index| {
            let start = index as usize * PART_BYTES;
            let end = (start + PART_BYTES).min(block.bytes.len());
            BlockPart {
                height: height.into(),
                block: name,
                index,
                bytes: block.bytes.slice(start..end),
            }
        })
        .collect()
}

/// One content of one part, and from whom it came first.
struct Variant {
    from: PeerId,
    bytes: Bytes,
}

/// Unfinished blocks. A part is only believed once a whole block has the hash that was announced,
/// so a peer that sends wrong parts under a right name costs memory within its own allowance and
/// hides nobody else's parts.
#[derive(Default)]
pub struct Assembler {
    open: BTreeMap<(Height, Digest, u32), Vec<Vec<Variant>>>,
    held: BTreeMap<PeerId, usize>,
}

impl Assembler {
    /// Takes a part; returns the block that it completes. Parts outside `tip` + 1 to `tip` +
    /// [`HEIGHT_WINDOW`], of the wrong length, or over the peer's allowance are dropped.
    pub fn add(&mut self, tip: Height, from: PeerId, part: BlockPart) -> Option<ProposedBlock> {
        let height = Height::from(part.height);
        if !within_window(tip, height) || !is_well_formed(&part) {
            return None;
        }
        let held = self.held.get(&from).copied().unwrap_or(0);
        if held + part.bytes.len() > PEER_BYTES_MAX {
            return None;
        }
        let (index, name) = (part.index as usize, part.block);
        let key = (height, name.id, name.size);
        let count = part_count(name.size) as usize;
        let slots =
            self.open.entry(key).or_insert_with(|| (0..count).map(|_| Vec::new()).collect());
        let slot = &mut slots[index];
        if slot.len() == VARIANTS_MAX || slot.iter().any(|variant| variant.bytes == part.bytes) {
            return None;
        }
        *self.held.entry(from).or_default() += part.bytes.len();
        slot.push(Variant { from, bytes: part.bytes });
        let block = complete(slots, index, from, name)?;
        self.forget(|other| *other == key);
        Some(block)
    }

    /// Drops what belongs to heights up to `tip`.
    pub fn prune(&mut self, tip: Height) {
        self.forget(|(height, ..)| *height <= tip);
    }

    fn forget(&mut self, gone: impl Fn(&(Height, Digest, u32)) -> bool) {
        let held = &mut self.held;
        self.open.retain(|key, slots| {
            if !gone(key) {
                return true;
            }
            for variant in slots.iter().flatten() {
                let left = held.get_mut(&variant.from).expect("every variant was counted");
                *left -= variant.bytes.len();
            }
            false
        });
        held.retain(|_, bytes| *bytes > 0);
    }

    #[cfg(test)]
    fn bytes_held(&self) -> usize {
        self.held.values().sum()
    }
}

/// Whether parts and proposals of `height` are kept when the chain stands at `tip`.
pub fn within_window(tip: Height, height: Height) -> bool {
    height > tip && height.0 - tip.0 <= HEIGHT_WINDOW
}

fn is_well_formed(part: &BlockPart) -> bool {
    let size = part.block.size as usize;
    let count = part_count(part.block.size);
    if size == 0 || size > VALUE_BYTES_MAX || part.index >= count {
        return false;
    }
    let start = part.index as usize * PART_BYTES;
    part.bytes.len() == PART_BYTES.min(size - start)
}

/// Tries the part that came last with the others: those of the same peer, then anybody's, each time
/// the earliest contents and the latest. With one content for each part, which is how it is unless
/// somebody lies, these are all the same.
fn complete(
    slots: &[Vec<Variant>],
    last: usize,
    from: PeerId,
    name: BlockRef,
) -> Option<ProposedBlock> {
    let newest = slots[last].last()?;
    let mut tried: Vec<Vec<&Bytes>> = Vec::new();
    for (same_peer, earliest) in [(true, true), (true, false), (false, true), (false, false)] {
        let parts: Option<Vec<&Bytes>> = slots
            .iter()
            .enumerate()
            .map(|(index, slot)| {
                let mut fits = slot.iter().filter(|variant| !same_peer || variant.from == from);
                let fit = if earliest { fits.next() } else { fits.next_back() };
                let chosen = if index == last { Some(newest) } else { fit };
                chosen.map(|variant| &variant.bytes)
            })
            .collect();
        let Some(parts) = parts.filter(|parts| !tried.contains(parts)) else { continue };
        let mut bytes = BytesMut::with_capacity(name.size as usize);
        for part in &parts {
            bytes.extend_from_slice(part);
        }
        let bytes = bytes.freeze();
        if block_id(&bytes) == Some(name.id) {
            return Some(ProposedBlock { id: name.id, bytes });
        }
        tried.push(parts);
    }
    None
}

#[cfg(test)]
mod tests;
