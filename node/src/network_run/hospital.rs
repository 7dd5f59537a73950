//! One member beside its node: it hands in its update there and reads there what the ledger says,
//! as any trainer would.

use std::time::{Duration, Instant};

use anyhow::{bail, Context as _};
use fedledger_contract::canonical::Schema;
use fedledger_contract::evaluation::Evaluation;
use fedledger_contract::records::TrustRecord;
use fedledger_contract::state_key;
use fedledger_ledger::codec::from_canonical;
use fedledger_ledger::decision::{Candidate, OutcomeResult};
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::state::STATE_VALUE_BYTES_MAX;
use fedledger_ledger::transaction::CandidateScore;
use fedledger_sim::federation::named_bits;
use fedledger_sim::model::ModelSpec;
use fedledger_sim::trainer::LocalUpdate;
use ndarray::Array2;

use crate::api::types::{
    DataChangeBody, EvaluationBody, RoundView, StateView, Submitted, SubmittedUpdate, TaskView,
    TransactionStatus,
};
use crate::client::{Client, ClientError};
use crate::config::{Config, Home};
use crate::devnet::DevnetNode;
use crate::files::{to_safetensors, Format};

/// How often a member asks its node for something that it cannot be notified of.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A member with access to its own node and to no other.
pub(super) struct Hospital {
    pub(super) member: MemberId,
    client: Client,
    task: TaskId,
    patience: Duration,
}

impl Hospital {
    pub(super) fn new(
        node: &DevnetNode,
        http: &str,
        task: &TaskId,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let home = Home::new(&node.home);
        let config = Config::load(&home.config_file(), [])?;
        let client = Client::of_address(http.parse()?, Some(home.token_file(&config)));
        Ok(Self { member: node.member.clone(), client, task: task.clone(), patience })
    }

    /// Asks again and again until there is something, or patience is over.
    fn until<T>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(found) = ask()? {
                return Ok(found);
            }
            if Instant::now() > end {
                bail!("{}: gave up waiting for {what}", self.member);
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn task(&self) -> anyhow::Result<TaskView> {
        Ok(self.client.get(&format!("/v1/tasks/{}", self.task))?)
    }

    /// Waits until its node has opened the round and holds the round's model, whose digest it
    /// returns.
    pub(super) fn wait_for_model(&self, round: RoundNumber) -> anyhow::Result<Digest> {
        self.until(&format!("round {round} to open"), || {
            let view = self.task()?;
            if view.status != "running" {
                bail!("{}: the task is {}", self.member, view.status);
            }
            let open = view.round == round && self.blob(&view.model)?.is_some();
            Ok(open.then_some(view.model))
        })
    }

    /// Waits until its node knows the end of the round; returns the digest of the model after it.
    pub(super) fn wait_past(&self, round: RoundNumber) -> anyhow::Result<Digest> {
        self.until(&format!("the end of round {round}"), || {
            let view = self.task()?;
            Ok((view.round > round || view.status != "running").then_some(view.model))
        })
    }

    /// Announces a change of its data, and waits until a block has that.
    pub(super) fn announce_data_change(&self) -> anyhow::Result<()> {
        let body = DataChangeBody { reason: "the scenario says so".to_owned() };
        let path = format!("/v1/tasks/{}/data-change", self.task);
        let submitted: Submitted = self.client.post(&path, &body)?;
        self.wait_included(&submitted.transaction)
    }

    /// Hands in an update. A node that is not ready for a moment is asked again.
    pub(super) fn submit(
        &self,
        round: RoundNumber,
        spec: &ModelSpec,
        update: &LocalUpdate,
    ) -> anyhow::Result<SubmittedUpdate> {
        let body = to_safetensors(&named_bits(spec, &update.values));
        let (task, count) = (&self.task, update.num_examples);
        let path = format!("/v1/tasks/{task}/rounds/{round}/update?num_examples={count}");
        let kind = Format::Safetensors.content_type();
        self.until("its node to take the update", || {
            match self.client.post_bytes(&path, kind, body.as_slice(), body.len() as u64) {
                Ok(submitted) => Ok(Some(submitted)),
                Err(ClientError::Refused { status: 503, .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .with_context(|| format!("{} hands in its update", self.member))
    }

    /// Waits until a block has the transaction.
    pub(super) fn wait_included(&self, transaction: &Digest) -> anyhow::Result<()> {
        let path = format!("/v1/transactions/{transaction}");
        self.until("its transaction to be in a block", || {
            let status: TransactionStatus = self.client.get(&path)?;
            Ok(matches!(status, TransactionStatus::Included { .. }).then_some(()))
        })
    }

    /// The bytes of a blob, checked against its digest, when the node has it.
    fn blob(&self, digest: &Digest) -> anyhow::Result<Option<Vec<u8>>> {
        let path = format!("/v1/blobs/{digest}");
        let Some(bytes) = self.client.get_bytes(&path, BLOB_BYTES_MAX)? else { return Ok(None) };
        if Digest::of(&bytes) != *digest {
            bail!("the node of {} gave other bytes than {digest}", self.member);
        }
        Ok(Some(bytes))
    }

    /// The integers of an update or a model, once the node has it.
    pub(super) fn canonical(&self, schema: &Schema, digest: &Digest) -> anyhow::Result<Vec<i32>> {
        let bytes = self.until(&format!("the blob {digest}"), || self.blob(digest))?;
        Ok(schema.decode(&bytes)?)
    }

    /// Waits until the round's candidates are listed; nothing when it has ended without any.
    pub(super) fn wait_for_candidates(
        &self,
        round: RoundNumber,
    ) -> anyhow::Result<Option<Vec<Candidate>>> {
        let path = format!("/v1/tasks/{}/rounds/{round}", self.task);
        self.until("the candidates", || {
            let view: RoundView = self.client.get(&path)?;
            Ok(match view.phase.as_str() {
                "evaluate" => Some(Some(view.candidates)),
                "ended" => Some(None),
                _ => None,
            })
        })
    }

    /// Hands in what is said of the candidates. A node that is not ready for a moment is asked again.
    pub(super) fn submit_scores(
        &self,
        round: RoundNumber,
        candidates: &[Candidate],
        said: &Evaluation,
        num_examples: u64,
    ) -> anyhow::Result<()> {
        let losses = candidates.iter().zip(&said.losses).enumerate();
        let scores = losses.map(|(at, (candidate, &loss_micro))| CandidateScore {
            candidate: candidate.model,
            loss_micro,
            num_examples,
            classes: said.classes.get(at).cloned().unwrap_or_default(),
        });
        let body = EvaluationBody { scores: scores.collect() };
        let path = format!("/v1/tasks/{}/rounds/{round}/evaluation", self.task);
        self.until("its node to take the scores", || {
            match self.client.post::<Submitted>(&path, &body) {
                Ok(_) => Ok(Some(())),
                Err(ClientError::Refused { status: 503, .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .with_context(|| format!("{} hands in its scores", self.member))
    }

    /// Waits until the round is over.
    pub(super) fn wait_for_end(&self, round: RoundNumber) -> anyhow::Result<RoundView> {
        let path = format!("/v1/tasks/{}/rounds/{round}", self.task);
        let mut ended = None;
        self.client
            .follow_entries(self.patience, || {
                let view: RoundView = self.client.get(&path)?;
                let done = view.phase == "ended";
                ended = done.then_some(view);
                Ok(done)
            })
            .with_context(|| format!("waiting for the end of round {round}"))?;
        ended.context("the round ended without an outcome")
    }

    /// The updates of a round that were shown, with the counts that came with them.
    pub(super) fn revealed(
        &self,
        schema: &Schema,
        view: &RoundView,
    ) -> anyhow::Result<(Array2<i32>, Vec<u64>)> {
        let mut rows = Vec::new();
        let mut counts = Vec::new();
        for update in &view.updates {
            let Some(digest) = update.update else { continue };
            rows.extend(self.canonical(schema, &digest)?);
            counts.push(update.num_examples);
        }
        Ok((Array2::from_shape_vec((counts.len(), schema.parameters()), rows)?, counts))
    }

    /// Digest and integers of the model that a round led to; nothing when it led to none.
    pub(super) fn model_after(
        &self,
        schema: &Schema,
        view: &RoundView,
    ) -> anyhow::Result<Option<(Digest, Vec<i32>)>> {
        let Some(OutcomeResult::Aggregated { chosen, .. }) = &view.result else { return Ok(None) };
        Ok(Some((chosen.model, self.canonical(schema, &chosen.model)?)))
    }

    /// A member's trust record in this task, as the state has it.
    pub(super) fn trust_of(&self, member: &MemberId) -> anyhow::Result<TrustRecord> {
        let key = hex::encode(state_key::trust(&self.task, member));
        let view: StateView = self.client.get(&format!("/v1/state/{key}"))?;
        // A member whose trust never moved has no record.
        let Some(value) = view.value else { return Ok(TrustRecord::default()) };
        let bytes = hex::decode(value).context("a state value is hexadecimal")?;
        Ok(from_canonical("trust record", &bytes, STATE_VALUE_BYTES_MAX)?)
    }
}
