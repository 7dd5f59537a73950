//! One hospital's trainer: it talks to its own node and to nobody else, as any trainer would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, Context as _};
use fedledger_contract::canonical::{FloatBits, Schema};
use fedledger_ledger::decision::OutcomeResult;
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber, TaskId};
use fedledger_ledger::limits::BLOB_BYTES_MAX;
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::attack::PublicRecord;
use fedledger_sim::federation::named_bits;
use fedledger_sim::trainer::{RoundView as Known, Trainer};
use ndarray::Array2;

use crate::api::types::{MemberView, RoundView, SubmittedUpdate, TaskView, TrustView};
use crate::client::Client;
use crate::config::{Config, Home};
use crate::devnet::DevnetNode;
use crate::files::{to_safetensors, Format};

/// How often a trainer asks its node whether a round is open.
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// A trainer beside its node.
pub(super) struct Hospital {
    member: MemberId,
    trainer: Trainer,
    client: Client,
    task: TaskId,
    schema: Schema,
}

/// The real values of canonical integers.
pub(super) fn floats(schema: &Schema, values: &[i32]) -> Vec<f32> {
    let tensors = schema.dequantise(values).expect("the values are the schema's");
    tensors
        .into_iter()
        .flat_map(|tensor| match tensor.values {
            FloatBits::F32(bits) => bits,
            FloatBits::F64(_) => unreachable!("canonical values are read as binary32"),
        })
        .map(f32::from_bits)
        .collect()
}

impl Hospital {
    pub(super) fn new(
        trainer: Trainer,
        node: &DevnetNode,
        http: &str,
        spec: &TaskSpec,
    ) -> anyhow::Result<Self> {
        let home = Home::new(&node.home);
        let config = Config::load(&home.config_file(), [])?;
        let client = Client::of_address(http.parse()?, Some(home.token_file(&config)));
        Ok(Self {
            member: node.member.clone(),
            trainer,
            client,
            task: spec.id.clone(),
            schema: Schema::of(spec)?,
        })
    }

    /// Waits until its node has opened the round, trains from the round's model, and hands the
    /// update in. `record` is what everybody could read on the ledger by now.
    pub(super) fn train_and_submit(
        &self,
        round: RoundNumber,
        record: &PublicRecord,
    ) -> anyhow::Result<()> {
        let base = self.wait_for_model(round)?;
        let update = self.trainer.train_in(&Known::new(round.0, &base, record));
        let body = to_safetensors(&named_bits(&self.trainer.spec, &update.values));
        let path = format!(
            "/v1/tasks/{}/rounds/{round}/update?num_examples={}",
            self.task, update.num_examples
        );
        let _submitted: SubmittedUpdate = self
            .client
            .post_bytes(
                &path,
                Format::Safetensors.content_type(),
                body.as_slice(),
                body.len() as u64,
            )
            .with_context(|| format!("{} hands in its update", self.member))?;
        Ok(())
    }

    fn wait_for_model(&self, round: RoundNumber) -> anyhow::Result<Vec<f32>> {
        let until = Instant::now() + super::PATIENCE;
        loop {
            let view: TaskView = self.client.get(&format!("/v1/tasks/{}", self.task))?;
            if view.status != "running" {
                bail!("the task is {}", view.status);
            }
            if view.round == round {
                if let Some(values) = self.model(&view.model)? {
                    return Ok(values);
                }
            }
            if Instant::now() > until {
                bail!("{}: round {round} did not open", self.member);
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    /// A model by its digest, checked against it.
    fn model(&self, digest: &Digest) -> anyhow::Result<Option<Vec<f32>>> {
        Ok(self.canonical(digest)?.map(|values| floats(&self.schema, &values)))
    }

    fn canonical(&self, digest: &Digest) -> anyhow::Result<Option<Vec<i32>>> {
        let Some(bytes) = self.client.get_bytes(&format!("/v1/blobs/{digest}"), BLOB_BYTES_MAX)?
        else {
            return Ok(None);
        };
        if Digest::of(&bytes) != *digest {
            bail!("the node gave other bytes than {digest}");
        }
        Ok(Some(self.schema.decode(&bytes)?))
    }

    /// Waits until the round is over.
    pub(super) fn wait_for_end(
        &self,
        round: RoundNumber,
        patience: Duration,
    ) -> anyhow::Result<RoundView> {
        let path = format!("/v1/tasks/{}/rounds/{round}", self.task);
        let mut ended = None;
        self.client.follow_entries(patience, || {
            let view: RoundView = self.client.get(&path)?;
            let done = view.phase == "ended";
            ended = done.then_some(view);
            Ok(done)
        })?;
        ended.context("the round ended without an outcome")
    }

    /// The updates of a round that were shown, with the counts that came with them.
    pub(super) fn revealed(&self, view: &RoundView) -> anyhow::Result<(Array2<i32>, Vec<u64>)> {
        let mut rows = Vec::new();
        let mut counts = Vec::new();
        for update in &view.updates {
            let Some(digest) = update.update else { continue };
            if let Some(values) = self.canonical(&digest)? {
                rows.extend(values);
                counts.push(update.num_examples);
            }
        }
        Ok((Array2::from_shape_vec((counts.len(), self.schema.parameters()), rows)?, counts))
    }

    /// The model that a round led to; nothing when it led to none.
    pub(super) fn model_after(&self, view: &RoundView) -> anyhow::Result<Option<Vec<f32>>> {
        let Some(OutcomeResult::Aggregated { chosen, .. }) = &view.result else { return Ok(None) };
        self.model(&chosen.model)
    }

    /// Everybody's trust in this task.
    pub(super) fn trust(&self) -> anyhow::Result<BTreeMap<MemberId, TrustView>> {
        let members: Vec<MemberView> = self.client.get("/v1/members")?;
        let mut trust = BTreeMap::new();
        for member in members {
            let of_task = member.trust.into_iter().find(|one| one.task == self.task);
            trust.extend(of_task.map(|one| (member.member.id, one)));
        }
        Ok(trust)
    }
}
