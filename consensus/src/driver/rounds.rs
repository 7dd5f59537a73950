//! Within a height: rounds, proposals, parts, judgements.

use fedledger_ledger::ids::Height;
use malachitebft_app_channel::app::types::{LocallyProposedValue, ProposedValue};
use malachitebft_core_types::{
    Context as _, Round, SignedProposal, Validator as _, Validity, ValueOrigin,
};
use malachitebft_engine::consensus::Msg as ConsensusMsg;
use malachitebft_engine::host::{HostMsg, SyncedValueOutcome};
use tokio::time::Instant;

use super::Driver;
use crate::actors::Actors;
use crate::application::{Judgement, ProposedBlock};
use crate::codec::Frame;
use crate::context::{Ctx, ValidatorSet};
use crate::desk::{Done, Job};
use crate::parts::{block_id, block_ref, split};
use crate::proposals::Announced;

impl Driver {
    pub(super) fn on_engine(&mut self, actors: &Actors, message: HostMsg<Ctx>) {
        match message {
            HostMsg::ConsensusReady { reply_to } => self.on_ready(actors, reply_to),
            HostMsg::StartedRound { height, round, proposer, role, reply_to } => {
                tracing::debug!(%height, %round, %proposer, ?role, "a consensus round starts");
                self.round = round.as_u32().unwrap_or(0);
                // Blocks from before a crash reach the engine when they are proposed again, or from
                // its own log.
                let _ = reply_to.send(Vec::new());
                self.proposals.retry_all(Instant::now());
                self.judge_what_is_due();
            }
            HostMsg::GetValue { height, round, timeout, reply_to } => {
                if let Some(round) = round.as_u32() {
                    // The other half of the time is for the block's way to the others.
                    let patience = timeout / 2;
                    let (height, reply) = (height.into(), reply_to);
                    self.desk.give(Job::Propose { height, round, patience, reply });
                }
            }
            HostMsg::RestreamValue { height, value_id, .. } => {
                if let Some(block) = self.proposals.get(height.into(), value_id) {
                    self.send_parts(height.into(), block);
                }
            }
            HostMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply_to } => {
                // A quorum vouches for the id; here it is only checked that the bytes are that
                // block. Whatever this node thinks of it, committing it decides.
                let Some(id) = block_id(&value_bytes) else {
                    let _ = reply_to.send(SyncedValueOutcome::PeerFault);
                    return;
                };
                let block = ProposedBlock { id, bytes: value_bytes };
                let (height, round) = (height.into(), round.as_u32().unwrap_or(0));
                self.desk.give(Job::Keep { height, round, block, proposer, reply: reply_to });
            }
            HostMsg::Decided { certificate, reply_to, .. } => {
                self.on_decided(&certificate, reply_to);
            }
            HostMsg::Finalized { certificate, evidence, reply_to, .. } => {
                self.report(&evidence);
                self.on_finalized(certificate.height.into(), reply_to);
            }
            HostMsg::GetDecidedValues { range, reply_to } => self.serve(range, reply_to),
            HostMsg::GetHistoryMinHeight { reply_to } => {
                let _ = reply_to.send(self.application.first_height().into());
            }
            HostMsg::ExtendVote { reply_to, .. } => {
                let _ = reply_to.send(None);
            }
            HostMsg::VerifyVoteExtensions { extensions, reply_to, .. } => {
                let none = extensions.into_iter().map(|(address, _)| (address, Ok(()))).collect();
                let _ = reply_to.send(none);
            }
            // Parts come to the driver directly, and the engine gets whole blocks.
            HostMsg::ReceivedProposalPart { .. } => {}
        }
    }

    /// A proposal from a peer: verified now if it is for the next height.
    pub(super) fn on_proposal(&mut self, proposal: SignedProposal<Ctx>) {
        let height = Height::from(proposal.message.height);
        if height != self.tip.height.next() {
            self.proposals.add_early(self.tip.height, proposal);
            return;
        }
        let Some(round) = proposal.message.round.as_u32() else { return };
        let set = ValidatorSet::from(&self.tip.validators);
        let proposer = Ctx.select_proposer(&set, height.into(), proposal.message.round);
        let (message, signature) = (&proposal.message, &proposal.signature);
        if *proposer.address() != message.address
            || !self.verifier.proposal_verifies(message, signature, proposer.public_key())
        {
            return;
        }
        let announced = Announced {
            round,
            pol_round: message.pol_round,
            proposer: message.address,
            block: message.value,
        };
        self.proposals.announce(height, self.round, announced);
    }

    /// Gives blocks to judge to the desk.
    pub(super) fn judge_what_is_due(&mut self) {
        let height = self.tip.height.next();
        while let Some((proposal, block)) = self.proposals.next_to_judge(height, Instant::now()) {
            self.desk.give(Job::Judge { height, round: proposal.round, block });
        }
    }

    /// Tells actors that were just started what is known about the next height. They take it in
    /// when they begin.
    pub(super) fn tell_verdicts(&self, actors: &Actors) {
        let height = self.tip.height.next();
        for (proposal, valid) in self.proposals.verdicts(height) {
            let value = proposed(height, &proposal, valid);
            actors.tell(ConsensusMsg::ReceivedProposedValue(value, ValueOrigin::Consensus));
        }
    }

    pub(super) fn on_done(&mut self, actors: &Actors, done: Done) {
        match done {
            Done::Proposed { height, round, block, reply } => {
                let (engine_height, round) = (height.into(), Round::new(round));
                let value = LocallyProposedValue::new(engine_height, round, block_ref(&block));
                let _ = reply.send(value);
                self.send_parts(height, &block);
                self.proposals.hold_valid(height, block);
            }
            Done::Judged { height, block, judgement } => {
                match &judgement {
                    Judgement::Valid => {}
                    Judgement::NotNow(why) => tracing::info!(%height, %block, why, "not valid yet"),
                    Judgement::Invalid(why) => tracing::warn!(%height, %block, why, "not valid"),
                }
                let told = self.proposals.judged(height, block, &judgement, Instant::now());
                if let Some(proposal) = told {
                    let value = proposed(height, &proposal, judgement == Judgement::Valid);
                    actors.tell(ConsensusMsg::ReceivedProposedValue(value, ValueOrigin::Consensus));
                }
            }
            Done::Kept { height, round, block, proposer, reply } => {
                let value = ProposedValue {
                    height: height.into(),
                    round: Round::new(round),
                    valid_round: Round::Nil,
                    proposer,
                    value: block_ref(&block),
                    validity: Validity::Valid,
                };
                self.proposals.hold_valid(height, block);
                let _ = reply.send(SyncedValueOutcome::Verdict(value));
            }
            Done::Committed { tip, reply } => self.on_committed(tip, reply),
        }
    }

    fn send_parts(&self, height: Height, block: &ProposedBlock) {
        for part in split(height, block) {
            self.hub.broadcast(&Frame::Part(part));
        }
    }
}

fn proposed(height: Height, proposal: &Announced, valid: bool) -> ProposedValue<Ctx> {
    ProposedValue {
        height: height.into(),
        round: Round::new(proposal.round),
        valid_round: proposal.pol_round,
        proposer: proposal.proposer,
        value: proposal.block,
        validity: Validity::from_bool(valid),
    }
}
