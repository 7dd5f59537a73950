//! A node that lies as a validator: every outcome that it proposes names another model than the one
//! that the contract computed, in a block that is otherwise what it should be. It takes the
//! arguments of `fedledger run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fedledger_consensus::application::{
    Application, DecidedBlock, Equivocation, Fatal, Judgement, ProposedBlock, Tip,
};
use fedledger_consensus::chain::Chain;
use fedledger_contract::block::{apply_block, BlockInput};
use fedledger_ledger::block::Block;
use fedledger_ledger::decision::{Decision, OutcomeResult};
use fedledger_ledger::ids::{Digest, Height};
use fedledger_node::runtime::{run_on, RunOptions};

struct Liar(Arc<Chain>);

impl Liar {
    /// The block with a false outcome, executed and sealed so that only recomputing the aggregate
    /// shows the lie; nothing when the block holds no outcome.
    fn falsify(&self, honest: &ProposedBlock) -> Option<ProposedBlock> {
        let Block { mut header, mut body } = Block::from_bytes(&honest.bytes).ok()?;
        let mut lied = false;
        for decision in &mut body.decisions {
            if let Decision::Outcome { result: OutcomeResult::Aggregated { chosen, .. }, .. } =
                decision
            {
                chosen.model = Digest::of(b"the model that the liar would like");
                lied = true;
            }
        }
        if !lied {
            return None;
        }
        let input = BlockInput::new(header.height, header.time, &body);
        let effects = apply_block(self.0.store(), &input).expect("a false digest executes as well");
        header.app_hash = self.0.store().root_after(&effects.writes).expect("the store works");
        header.next_validators_hash = effects.validators.hash();
        header.data_hash = body.data_hash();
        let block = Block { header, body };
        eprintln!("liar: block {} names a false model", block.header.height);
        Some(ProposedBlock { id: block.hash(), bytes: block.to_bytes().into() })
    }
}

#[async_trait]
impl Application for Liar {
    fn tip(&self) -> Tip {
        self.0.tip()
    }

    fn first_height(&self) -> Height {
        self.0.first_height()
    }

    async fn propose(
        &self,
        height: Height,
        consensus_round: u32,
        patience: Duration,
    ) -> Result<ProposedBlock, Fatal> {
        let honest = self.0.propose(height, consensus_round, patience).await?;
        Ok(self.falsify(&honest).unwrap_or(honest))
    }

    /// It votes for whatever it is shown.
    async fn judge(&self, _: Height, _: &ProposedBlock) -> Result<Judgement, Fatal> {
        Ok(Judgement::Valid)
    }

    async fn commit(&self, decided: DecidedBlock) -> Result<Tip, Fatal> {
        self.0.commit(decided).await
    }

    fn decided(&self, height: Height) -> Result<Option<DecidedBlock>, Fatal> {
        self.0.decided(height)
    }

    fn keep_undecided(
        &self,
        height: Height,
        consensus_round: u32,
        block: &ProposedBlock,
    ) -> Result<(), Fatal> {
        self.0.keep_undecided(height, consensus_round, block)
    }

    fn undecided(&self, height: Height) -> Result<Vec<(u32, ProposedBlock)>, Fatal> {
        self.0.undecided(height)
    }

    fn evidence(&self, seen: Vec<Equivocation>) {
        self.0.evidence(seen);
    }

    async fn wanted(&self) {
        self.0.wanted().await;
    }
}

fn main() -> ExitCode {
    let mut home = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--home" {
            home = arguments.next().map(PathBuf::from);
        }
    }
    let Some(home) = home else {
        eprintln!("usage: fedledger-liar run --home DIR");
        return ExitCode::from(2);
    };
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let options = RunOptions { home, until_stdin_closes: true };
    let ended = runtime.block_on(run_on(options, |chain| Arc::new(Liar(chain))));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
