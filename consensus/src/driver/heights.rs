//! From one height to the next: decisions, parking, serving others.

use std::ops::RangeInclusive;

use fedledger_ledger::ids::Height;
use malachitebft_app_channel::app::types::sync::RawDecidedValue;
use malachitebft_app_channel::app::types::MisbehaviorEvidence;
use malachitebft_core_types::{
    CommitCertificate, ExtendedCommitCertificate, HeightParams, VoteExtensions,
};
use malachitebft_engine::host::Next;
use ractor::RpcReplyPort;

use super::{Driver, Waiting};
use crate::actors::Actors;
use crate::application::{Application, Equivocation, Fatal, Tip};
use crate::codec::{engine_certificate, ledger_certificate, SYNC_BLOCKS_MAX};
use crate::context::{Ctx, EngineHeight, ValidatorSet};
use crate::desk::Job;
use crate::signing::{proposal_bytes, vote_bytes};

impl Driver {
    pub(super) fn on_ready(
        &mut self,
        actors: &Actors,
        reply: RpcReplyPort<(EngineHeight, HeightParams<Ctx>)>,
    ) {
        actors.announce_next(self.tip.height.next().into());
        self.hub.set_serving();
        self.waiting = Some(Waiting::Ready(reply));
        // A height in which this key has signed is under way: the engine's log knows the rest.
        let signed = self.own.as_ref().and_then(|own| own.seal.guard.last_height());
        if signed == Some(self.tip.height.next()) || self.others_are_at_work() {
            self.go_on();
        }
    }

    pub(super) fn on_decided(
        &mut self,
        certificate: &CommitCertificate<Ctx>,
        reply: RpcReplyPort<()>,
    ) {
        let extended = ExtendedCommitCertificate::from_commit_certificate_and_extensions(
            certificate.clone(),
            VoteExtensions::new(Vec::new()),
        );
        let certificate =
            ledger_certificate(&extended).expect("a decision is always of a consensus round");
        let block = self.proposals.get(certificate.height, certificate.block).cloned();
        self.committing = true;
        self.desk.give(Job::Commit { certificate, block, reply });
    }

    /// A block is durable. Only now are others told of it, and only now may the next height begin.
    pub(super) fn on_committed(&mut self, tip: Tip, reply: RpcReplyPort<()>) {
        self.committing = false;
        self.stalled_since = None;
        self.round = 0;
        self.tip = tip;
        self.hub.set_tip(self.tip.height);
        let _ = reply.send(());
        self.proposals.prune(self.tip.height);
        for proposal in self.proposals.take_early() {
            self.on_proposal(proposal);
        }
        self.judge_what_is_due();
        if self.others_are_at_work() {
            self.go_on();
        }
    }

    /// The engine has finished a height. It waits for our word: until the block is durable, and
    /// then for as long as there is nothing to decide.
    pub(super) fn on_finalized(&mut self, height: Height, reply: RpcReplyPort<Next<Ctx>>) {
        self.waiting = Some(Waiting::Finalized(height, reply));
        if self.others_are_at_work() {
            self.go_on();
        }
    }

    /// Whether a peer has decided or works on a height above our tip.
    pub(super) fn others_are_at_work(&self) -> bool {
        let signals = self.signals.borrow();
        signals.activity > self.tip.height || signals.ahead(self.tip.height) > 0
    }

    /// Lets the engine begin the next height if it waits and nothing is being committed.
    pub(super) fn go_on(&mut self) {
        if self.committing {
            return;
        }
        let height = self.tip.height.next().into();
        match self.waiting.take() {
            None => {}
            Some(Waiting::Ready(reply)) => {
                let _ = reply.send((height, self.params()));
            }
            Some(Waiting::Finalized(finished, reply)) if finished > self.tip.height => {
                // Its commit has not been given to us yet.
                self.waiting = Some(Waiting::Finalized(finished, reply));
            }
            Some(Waiting::Finalized(_, reply)) => {
                let _ = reply.send(Next::Start(height, self.params()));
            }
        }
    }

    fn params(&self) -> HeightParams<Ctx> {
        HeightParams::new(
            ValidatorSet::from(&self.tip.validators),
            self.config.timeouts(),
            self.config.height_pause,
        )
    }

    /// Reads decided blocks for a peer, on a thread that may wait for the disk.
    pub(super) fn serve(
        &self,
        range: RangeInclusive<EngineHeight>,
        reply: RpcReplyPort<Vec<RawDecidedValue<Ctx>>>,
    ) {
        let (application, failures) = (self.application.clone(), self.read_failures.0.clone());
        tokio::task::spawn_blocking(move || match read(application.as_ref(), &range) {
            Ok(values) => {
                let _ = reply.send(values);
            }
            Err(failure) => {
                let _ = failures.send(failure);
            }
        });
    }

    /// Hands evidence of equivocation to the ledger.
    pub(super) fn report(&self, evidence: &MisbehaviorEvidence<Ctx>) {
        let chain_id = &self.config.chain_id;
        let votes = evidence.votes.iter().flat_map(|(_, pairs)| pairs).filter_map(|(a, b)| {
            Some(Equivocation {
                validator: a.message.address.0,
                height: a.message.height.into(),
                consensus_round: a.message.round.as_u32()?,
                first: (vote_bytes(chain_id, &a.message)?, a.signature),
                second: (vote_bytes(chain_id, &b.message)?, b.signature),
            })
        });
        let proposals = evidence.proposals.iter().flat_map(|(_, pairs)| pairs);
        let proposals = proposals.filter_map(|(a, b)| {
            Some(Equivocation {
                validator: a.message.address.0,
                height: a.message.height.into(),
                consensus_round: a.message.round.as_u32()?,
                first: (proposal_bytes(chain_id, &a.message)?, a.signature),
                second: (proposal_bytes(chain_id, &b.message)?, b.signature),
            })
        });
        let seen: Vec<_> = votes.chain(proposals).collect();
        for equivocation in &seen {
            let Equivocation { validator, height, consensus_round, .. } = equivocation;
            tracing::error!(%validator, %height, consensus_round, "a validator signed twice");
        }
        if !seen.is_empty() {
            self.application.evidence(seen);
        }
    }
}

/// The decided blocks of a range, up to the first that is not kept.
fn read(
    application: &dyn Application,
    range: &RangeInclusive<EngineHeight>,
) -> Result<Vec<RawDecidedValue<Ctx>>, Fatal> {
    let heights = (range.start().0..=range.end().0).take(SYNC_BLOCKS_MAX);
    let mut values = Vec::new();
    for height in heights {
        let Some(decided) = application.decided(Height(height))? else { break };
        let certificate = engine_certificate(&decided.certificate);
        values.push(RawDecidedValue::new(decided.block.bytes, certificate));
    }
    Ok(values)
}
