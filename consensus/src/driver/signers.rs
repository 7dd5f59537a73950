//! Who signs: the role in which the actors run, and when it changes.

use std::path::PathBuf;

use malachitebft_signing::Signer;
use tokio::time::Instant;

use super::Driver;
use crate::actors::{Actors, Parts};
use crate::context::{Address, Ctx};
use crate::failure::EngineFailure;
use crate::rejoin::Standing;
use crate::signing::GuardedSigner;

impl Driver {
    /// Starts the actors in the role that the gate allows now.
    ///
    /// A node that only follows has a log of its own: the engine empties the log of a node that is
    /// no validator, and that of the validator must survive until it signs again.
    pub(super) async fn start_actors(&mut self) -> Result<Actors, EngineFailure> {
        self.signing = self.may_sign();
        let own = self.own.as_ref().filter(|_| self.signing);
        let signer = own.map(|own| {
            let signer = GuardedSigner::new(
                own.key.clone(),
                own.seal.intents.clone(),
                own.seal.guard.clone(),
            );
            Box::new(signer) as Box<dyn Signer<Ctx>>
        });
        let log = if self.signing { "validator.wal" } else { "follower.wal" };
        let wal: PathBuf = self.config.folder.join(log);
        tracing::info!(signing = self.signing, next = %self.tip.height.next(), "consensus starts");
        Actors::start(Parts {
            hub: self.hub.clone(),
            verifier: self.verifier.clone(),
            address: own.map_or(Address::OBSERVER, |own| own.seal.intents.address()),
            signer,
            seal: own.map(|own| own.seal.clone()),
            wal: &wal,
            guard_failures: self.guard_failures.0.clone(),
        })
        .await
    }

    /// Whether the actors must be started anew because the node may sign from now on. Never in the
    /// middle of a commit.
    pub(super) fn changes_role(&mut self) -> bool {
        !self.signing && !self.committing && self.may_sign()
    }

    /// An actor has stopped. That is a failure, unless the guard refused to sign: then this height
    /// is left to the others, and the actors start again without a signer.
    pub(super) fn on_actor_stopped(&mut self, actor: &'static str) -> Result<(), EngineFailure> {
        let refused = self.own.as_ref().and_then(|own| own.seal.guard.take_refusal());
        let Some(height) = refused else {
            return Err(EngineFailure::ActorStopped { actor });
        };
        tracing::warn!(%height, "this height is left to the other validators");
        self.gate.refuse(height);
        Ok(())
    }

    /// What peers say changed: the gate may open, and a parked engine may have to go on.
    pub(super) fn on_signals(&mut self) {
        let signals = self.signals.borrow_and_update().clone();
        for (peer, tip) in &signals.tips {
            self.gate.hear(*peer, *tip);
        }
        if self.others_are_at_work() {
            self.go_on();
        }
    }

    /// While we only follow and the others ask for votes, see whether they get on.
    pub(super) fn check_patience(&mut self) {
        let (active, ahead) = {
            let signals = self.signals.borrow();
            (signals.activity > self.tip.height, signals.ahead(self.tip.height))
        };
        if !active {
            self.stalled_since = None;
            return;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.config.rejoin_patience
            && self.gate.lose_patience(self.tip.validators.len(), ahead)
        {
            tracing::warn!("the others cannot decide without this validator: it signs again");
        }
    }

    fn may_sign(&mut self) -> bool {
        let standing = self.gate.standing(self.tip.height, self.tip.validators.len());
        self.own.is_some() && standing == Standing::Validating
    }
}
