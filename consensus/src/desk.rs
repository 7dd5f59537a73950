//! The one place from which the application is asked to propose, judge and commit: a task that
//! takes one job after the other, so that the driver never waits and the application is never asked
//! two things at once.

use std::sync::Arc;
use std::time::Duration;

use fedledger_ledger::block::CommitCertificate;
use fedledger_ledger::ids::{Digest, Height};
use malachitebft_app_channel::app::types::LocallyProposedValue;
use malachitebft_core_types::{NilOrVal, Round, VoteType};
use malachitebft_engine::host::SyncedValueOutcome;
use ractor::RpcReplyPort;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::application::{Application, DecidedBlock, Fatal, Judgement, ProposedBlock, Tip};
use crate::context::{Address, Ctx, Vote};
use crate::failure::EngineFailure;
use crate::network::Seal;

/// Something to ask the application.
pub(crate) enum Job {
    /// Build a block.
    Propose {
        height: Height,
        round: u32,
        patience: Duration,
        reply: RpcReplyPort<LocallyProposedValue<Ctx>>,
    },
    /// Judge a block that was proposed in `round`.
    Judge { height: Height, round: u32, block: ProposedBlock },
    /// Keep a block that arrived by sync with a verified certificate.
    Keep {
        height: Height,
        round: u32,
        block: ProposedBlock,
        proposer: Address,
        reply: RpcReplyPort<SyncedValueOutcome<Ctx>>,
    },
    /// Make a decided block durable. Without a block, it is one of those kept.
    Commit { certificate: CommitCertificate, block: Option<ProposedBlock>, reply: RpcReplyPort<()> },
}

/// An answer of the application.
pub(crate) enum Done {
    /// A block was built and kept.
    Proposed {
        height: Height,
        round: u32,
        block: ProposedBlock,
        reply: RpcReplyPort<LocallyProposedValue<Ctx>>,
    },
    /// A block was judged and, unless it is invalid, kept.
    Judged { height: Height, block: Digest, judgement: Judgement },
    /// A synced block was kept.
    Kept {
        height: Height,
        round: u32,
        block: ProposedBlock,
        proposer: Address,
        reply: RpcReplyPort<SyncedValueOutcome<Ctx>>,
    },
    /// A block is durable and the tip moved.
    Committed { tip: Tip, reply: RpcReplyPort<()> },
}

/// The task's two ends.
pub(crate) struct Desk {
    jobs: mpsc::UnboundedSender<Job>,
    pub(crate) done: mpsc::UnboundedReceiver<Done>,
    /// Ends only with a failure, or when this desk is dropped.
    pub(crate) task: JoinHandle<Result<(), EngineFailure>>,
}

impl Desk {
    pub(crate) fn start(application: Arc<dyn Application>, seal: Option<Seal>) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (answers, done) = mpsc::unbounded_channel();
        let worker = Worker { application, seal };
        Self { jobs, done, task: tokio::spawn(worker.run(queue, answers)) }
    }

    /// Queues a job. The queue is short: the engine asks for one block at a time, and at most two
    /// blocks a round are judged. When the task has failed, the driver sees that at once.
    pub(crate) fn give(&self, job: Job) {
        let _ = self.jobs.send(job);
    }
}

impl Desk {
    /// Waits for the job under way and drops the rest.
    pub(crate) async fn close(self) {
        let Self { jobs, mut done, task } = self;
        drop(jobs);
        done.close();
        if !task.is_finished() {
            let _ = task.await;
        }
    }
}

struct Worker {
    application: Arc<dyn Application>,
    seal: Option<Seal>,
}

impl Worker {
    async fn run(
        self,
        mut queue: mpsc::UnboundedReceiver<Job>,
        answers: mpsc::UnboundedSender<Done>,
    ) -> Result<(), EngineFailure> {
        while let Some(job) = queue.recv().await {
            let Some(answer) = self.work(job).await? else { continue };
            if answers.send(answer).is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn work(&self, job: Job) -> Result<Option<Done>, EngineFailure> {
        let application = &self.application;
        let stale = |height| application.tip().height.next() != height;
        Ok(Some(match job {
            Job::Propose { height, .. } | Job::Judge { height, .. } if stale(height) => {
                return Ok(None)
            }
            Job::Propose { height, round, patience, reply } => {
                let block = application.propose(height, round, patience).await?;
                self.keep(height, round, &block).await?;
                Done::Proposed { height, round, block, reply }
            }
            Job::Judge { height, round, block } => {
                let judgement = application.judge(height, &block).await?;
                if judgement == Judgement::Valid {
                    // The engine's log holds the id only: the block must be there after a crash.
                    self.keep(height, round, &block).await?;
                }
                Done::Judged { height, block: block.id, judgement }
            }
            Job::Keep { height, round, block, proposer, reply } => {
                if !stale(height) {
                    self.keep(height, round, &block).await?;
                }
                Done::Kept { height, round, block, proposer, reply }
            }
            Job::Commit { certificate, block, reply } => {
                let tip = self.commit(certificate, block).await?;
                Done::Committed { tip, reply }
            }
        }))
    }

    async fn keep(
        &self,
        height: Height,
        round: u32,
        block: &ProposedBlock,
    ) -> Result<(), EngineFailure> {
        let (application, block) = (self.application.clone(), block.clone());
        let keep = move || application.keep_undecided(height, round, &block);
        Ok(tokio::task::spawn_blocking(keep).await.expect("the application does not panic")?)
    }

    async fn commit(
        &self,
        certificate: CommitCertificate,
        block: Option<ProposedBlock>,
    ) -> Result<Tip, EngineFailure> {
        let (height, id) = (certificate.height, certificate.block);
        let tip = self.application.tip();
        if height <= tip.height {
            return Ok(tip);
        }
        if let Some(seal) = &self.seal {
            // Our own precommit may be in the certificate and leave with it, by sync.
            let own = Vote {
                vote_type: VoteType::Precommit,
                height: height.into(),
                round: Round::new(certificate.round),
                value: NilOrVal::Val(id),
                address: seal.intents.address(),
            };
            let signed = certificate.signatures.iter().any(|(signer, _)| *signer == own.address.0);
            let intent = seal.intents.of_vote(&own).filter(|_| signed);
            seal.seal(intent.into_iter().collect()).await?;
        }
        let block = match block {
            Some(block) => block,
            None => self.find_undecided(height, id)?,
        };
        Ok(self.application.commit(DecidedBlock { block, certificate }).await?)
    }

    fn find_undecided(&self, height: Height, id: Digest) -> Result<ProposedBlock, Fatal> {
        let kept = self.application.undecided(height)?;
        kept.into_iter().map(|(_, block)| block).find(|block| block.id == id).ok_or_else(|| {
            Fatal(format!("block {id} was decided at height {height} but is not kept"))
        })
    }
}
