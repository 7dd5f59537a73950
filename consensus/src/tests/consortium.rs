//! Engines on empty ledgers, started and stopped one by one.

use std::time::Duration;

use ed25519_dalek::SigningKey;
use fedledger_ledger::block::{ValidatorAddress, ValidatorSet};
use fedledger_ledger::ids::{ChainId, Digest, Height};
use fedledger_ledger::keys::PublicKey;
use tempfile::TempDir;

use crate::application::Application as _;
use crate::engine::{start, EngineConfig, EngineHandle};
use crate::failure::EngineFailure;
use crate::testkit::{keys, validators, EmptyApplication, MemoryNetwork};

/// Far longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Member {
    pub(super) application: EmptyApplication,
    pub(super) folder: TempDir,
    key: Option<SigningKey>,
    pub(super) engine: Option<EngineHandle>,
}

/// Validators 0 to n - 1, and observers after them.
pub(super) struct Consortium {
    pub(super) network: MemoryNetwork,
    pub(super) members: Vec<Member>,
    pub(super) validators: ValidatorSet,
    pub(super) rejoin_patience: Duration,
}

pub(super) fn chain_id() -> ChainId {
    ChainId::new("test").unwrap()
}

impl Consortium {
    pub(super) fn new(n: u8, observers: u8) -> Self {
        // RUST_LOG=info shows what the engines do.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let keys = keys(n);
        let validators = validators(&keys);
        let key_of = |i: u8| keys.get(i as usize).cloned();
        let member = |i: u8| {
            let key = key_of(i);
            let address = key
                .as_ref()
                .map_or(ValidatorAddress([i; 20]), |key| ValidatorAddress::of(&PublicKey::of(key)));
            Member {
                application: EmptyApplication::new(chain_id(), validators.clone(), address),
                folder: tempfile::tempdir().unwrap(),
                key,
                engine: None,
            }
        };
        let members = (0..n + observers).map(member).collect();
        let rejoin_patience = Duration::from_secs(600);
        Self { network: MemoryNetwork::default(), members, validators, rejoin_patience }
    }

    pub(super) fn try_start(&mut self, i: usize) -> Result<(), EngineFailure> {
        let transport = self.network.join(i as u8);
        let member = &mut self.members[i];
        assert!(member.engine.is_none(), "member {i} runs already");
        let config = EngineConfig {
            rejoin_patience: self.rejoin_patience,
            propose_timeout: Duration::from_millis(500),
            prevote_timeout: Duration::from_millis(200),
            precommit_timeout: Duration::from_millis(200),
            timeout_step: Duration::from_millis(200),
            ..EngineConfig::new(chain_id(), member.folder.path())
        };
        let application = std::sync::Arc::new(member.application.clone());
        member.engine = Some(start(config, member.key.clone(), application, transport)?);
        Ok(())
    }

    pub(super) fn start(&mut self, i: usize) {
        self.try_start(i).unwrap();
    }

    pub(super) fn start_all(&mut self) {
        for i in 0..self.members.len() {
            self.start(i);
        }
    }

    pub(super) async fn stop(&mut self, i: usize) {
        self.members[i].engine.take().expect("it runs").shutdown().await.unwrap();
        self.network.leave(i as u8);
    }

    /// Asks everybody for blocks up to `height`.
    pub(super) fn want(&self, height: u64) {
        for member in &self.members {
            member.application.want(Height(height));
        }
    }

    /// Waits until all running members have decided `height`; fails when one of them dies.
    pub(super) async fn reached(&mut self, height: u64) {
        for (i, member) in self.members.iter_mut().enumerate() {
            let Some(engine) = &mut member.engine else { continue };
            tokio::select! {
                () = member.application.reached(Height(height)) => {}
                failure = engine.failed() => panic!("member {i}: {failure}"),
                () = tokio::time::sleep(PATIENCE) => panic!(
                    "member {i} is still at {} of {height}", member.application.tip().height
                ),
            }
        }
    }

    /// Waits until member `i` signs or does not.
    pub(super) async fn signs(&mut self, i: usize, signing: bool) {
        let engine = self.members[i].engine.as_mut().expect("it runs");
        let mut status = engine.status();
        tokio::time::timeout(PATIENCE, status.wait_for(|status| status.signing == signing))
            .await
            .unwrap_or_else(|_| panic!("member {i} never came to signing = {signing}"))
            .unwrap();
    }

    /// Waits until member `i` is idle.
    pub(super) async fn idle(&mut self, i: usize) {
        let mut status = self.members[i].engine.as_mut().expect("it runs").status();
        tokio::time::timeout(PATIENCE, status.wait_for(|status| status.idle))
            .await
            .unwrap_or_else(|_| panic!("member {i} is never idle"))
            .unwrap();
    }

    pub(super) fn tip(&self, i: usize) -> u64 {
        self.members[i].application.tip().height.0
    }

    /// The oracle: chains agree as far as they go, are linked, and every certificate is a quorum of
    /// distinct validators over the block that it is kept with.
    pub(super) fn check(&self) {
        let chains: Vec<_> = self.members.iter().map(|member| member.application.chain()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        for chain in &chains {
            for (at, decided) in chain.iter().enumerate() {
                assert_eq!(decided.block, longest[at].block, "two blocks at height {}", at + 1);
                let certificate = &decided.certificate;
                assert_eq!(certificate.block, decided.block.id);
                assert_eq!(certificate.height, Height(at as u64 + 1));
                certificate.verify(&chain_id(), &self.validators).unwrap();
            }
        }
        let mut parent: Option<Digest> = None;
        for decided in longest {
            let block = fedledger_ledger::block::Block::from_bytes(&decided.block.bytes).unwrap();
            assert_eq!(block.header.last_block_id, parent);
            parent = Some(block.hash());
        }
    }

    /// Nobody was seen to sign twice.
    pub(super) fn check_no_evidence(&self) {
        for (i, member) in self.members.iter().enumerate() {
            let seen = member.application.evidence_seen();
            assert!(seen.is_empty(), "member {i} saw {seen:?}");
        }
    }
}
