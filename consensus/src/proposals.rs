//! Proposed blocks of the next heights: what was announced, what has arrived, what was judged.
//!
//! A block is judged when both its bytes and a proposal for it are there, the proposal signed by the
//! proposer of its round. So what one member can make others compute is two blocks for each round
//! that it leads, whatever it sends.

use std::collections::BTreeMap;
use std::time::Duration;

use fedledger_ledger::ids::{Digest, Height};
use malachitebft_core_types::{Round, SignedProposal};
use malachitebft_peer::PeerId;
use tokio::time::Instant;

use crate::application::{Judgement, ProposedBlock};
use crate::context::{Address, BlockPart, BlockRef, Ctx};
use crate::parts::{within_window, Assembler};

/// Different blocks that are judged for one round: as many as the engine keeps to prove a
/// proposer's equivocation.
const BLOCKS_PER_ROUND_MAX: usize = 2;
/// Rounds ahead of the current one whose proposals are kept; the engine drops further ones.
const ROUNDS_AHEAD_MAX: u32 = 10;
/// Proposals kept for the height after the next, whose validators are not known yet.
const EARLY_PROPOSALS_MAX: usize = 16;
/// Whole blocks from one peer that wait for their proposal, for each height.
const UNANNOUNCED_PER_PEER_MAX: usize = 2;
/// First and longest pause before a block that was not valid yet is judged again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// A verified proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) round: u32,
    pub(crate) pol_round: Round,
    pub(crate) proposer: Address,
    pub(crate) block: BlockRef,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Unjudged,
    Judging { tries: u32 },
    NotNow { tries: u32, again: Instant },
    Valid,
    Invalid,
}

struct Held {
    block: ProposedBlock,
    /// Who completed it; nobody for our own, synced and kept blocks.
    from: Option<PeerId>,
    verdict: Verdict,
}

/// What is known about undecided heights. The driver says where the chain stands.
#[derive(Default)]
pub(crate) struct Proposals {
    assembler: Assembler,
    announced: BTreeMap<Height, Vec<Announced>>,
    held: BTreeMap<(Height, Digest), Held>,
    early: Vec<SignedProposal<Ctx>>,
}

impl Proposals {
    /// Takes a part.
    pub(crate) fn add_part(&mut self, tip: Height, from: PeerId, part: BlockPart) {
        let height = Height::from(part.height);
        if self.held.contains_key(&(height, part.block.id)) {
            return;
        }
        let Some(block) = self.assembler.add(tip, from, part) else { return };
        let unannounced = |((at, id), held): &(&(Height, Digest), &Held)| {
            *at == height && held.from == Some(from) && !self.is_announced(height, *id)
        };
        let waiting = self.held.iter().filter(unannounced).count();
        if waiting < UNANNOUNCED_PER_PEER_MAX || self.is_announced(height, block.id) {
            self.hold(height, block, Some(from), Verdict::Unjudged);
        }
    }

    /// Keeps a proposal for the height after the next until its validators are known.
    pub(crate) fn add_early(&mut self, tip: Height, proposal: SignedProposal<Ctx>) {
        let height = Height::from(proposal.message.height);
        let wanted = within_window(tip, height) && !self.early.contains(&proposal);
        if wanted && self.early.len() < EARLY_PROPOSALS_MAX {
            self.early.push(proposal);
        }
    }

    /// Takes the proposals that were early, to be verified now.
    pub(crate) fn take_early(&mut self) -> Vec<SignedProposal<Ctx>> {
        std::mem::take(&mut self.early)
    }

    /// Takes a proposal whose signature and proposer were checked.
    pub(crate) fn announce(&mut self, height: Height, current_round: u32, proposal: Announced) {
        let known = self.announced.entry(height).or_default();
        let same_round = known.iter().filter(|other| other.round == proposal.round);
        if proposal.round > current_round.saturating_add(ROUNDS_AHEAD_MAX)
            || known.contains(&proposal)
            || same_round.count() >= BLOCKS_PER_ROUND_MAX
        {
            return;
        }
        known.push(proposal);
    }

    /// The next block to judge for `height`, with its earliest proposal.
    pub(crate) fn next_to_judge(
        &mut self,
        height: Height,
        now: Instant,
    ) -> Option<(Announced, ProposedBlock)> {
        let announced = self.announced.get(&height)?;
        for proposal in announced {
            let Some(held) = self.held.get_mut(&(height, proposal.block.id)) else { continue };
            let tries = match held.verdict {
                Verdict::Unjudged => 0,
                Verdict::NotNow { tries, again } if again <= now => tries,
                _ => continue,
            };
            held.verdict = Verdict::Judging { tries };
            return Some((*proposal, held.block.clone()));
        }
        None
    }

    /// The application answered. Returns the proposal if the engine is to hear of it.
    pub(crate) fn judged(
        &mut self,
        height: Height,
        block: Digest,
        judgement: &Judgement,
        now: Instant,
    ) -> Option<Announced> {
        let held = self.held.get_mut(&(height, block))?;
        held.verdict = match (judgement, held.verdict) {
            (Judgement::Valid, _) => Verdict::Valid,
            (Judgement::Invalid(_), _) => Verdict::Invalid,
            (Judgement::NotNow(_), Verdict::Judging { tries }) => {
                let pause = RETRY_FIRST.saturating_mul(1 << tries.min(8)).min(RETRY_LONGEST);
                Verdict::NotNow { tries: tries + 1, again: now + pause }
            }
            (Judgement::NotNow(_), verdict) => verdict,
        };
        if matches!(judgement, Judgement::NotNow(_)) {
            return None;
        }
        self.announced.get(&height)?.iter().find(|proposal| proposal.block.id == block).copied()
    }

    /// The proposals for `height` whose blocks are judged, with whether they are valid.
    pub(crate) fn verdicts(&self, height: Height) -> Vec<(Announced, bool)> {
        let verdict =
            |proposal: &Announced| match self.held.get(&(height, proposal.block.id))?.verdict {
                Verdict::Valid => Some((*proposal, true)),
                Verdict::Invalid => Some((*proposal, false)),
                _ => None,
            };
        self.announced.get(&height).into_iter().flatten().filter_map(verdict).collect()
    }

    /// A new round began: what was not valid yet is judged again at once.
    pub(crate) fn retry_all(&mut self, now: Instant) {
        for held in self.held.values_mut() {
            if let Verdict::NotNow { tries, .. } = held.verdict {
                held.verdict = Verdict::NotNow { tries, again: now };
            }
        }
    }

    /// When a block is to be judged again.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        let retry = |held: &Held| match held.verdict {
            Verdict::NotNow { again, .. } => Some(again),
            _ => None,
        };
        self.held.values().filter_map(retry).min()
    }

    /// Keeps a block that needs no judgement here: our own, or one with a certificate.
    pub(crate) fn hold_valid(&mut self, height: Height, block: ProposedBlock) {
        self.hold(height, block, None, Verdict::Valid);
    }

    /// Keeps a block from before a crash; it is judged when it is proposed again.
    pub(crate) fn hold_kept(&mut self, height: Height, block: ProposedBlock) {
        self.hold(height, block, None, Verdict::Unjudged);
    }

    /// A block that has arrived.
    pub(crate) fn get(&self, height: Height, id: Digest) -> Option<&ProposedBlock> {
        self.held.get(&(height, id)).map(|held| &held.block)
    }

    /// Drops what belongs to heights up to `tip`.
    pub(crate) fn prune(&mut self, tip: Height) {
        self.assembler.prune(tip);
        self.announced.retain(|height, _| *height > tip);
        self.held.retain(|(height, _), _| *height > tip);
        self.early.retain(|proposal| Height::from(proposal.message.height) > tip);
    }

    fn hold(
        &mut self,
        height: Height,
        block: ProposedBlock,
        from: Option<PeerId>,
        verdict: Verdict,
    ) {
        self.held.insert((height, block.id), Held { block, from, verdict });
    }

    fn is_announced(&self, height: Height, id: Digest) -> bool {
        self.announced
            .get(&height)
            .is_some_and(|known| known.iter().any(|proposal| proposal.block.id == id))
    }
}

#[cfg(test)]
mod tests;
