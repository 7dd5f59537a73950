//! The program that scores candidates for this node's member, run once for each round that waits
//! for its scores, and again after a pause when it came to nothing.
//!
//! It never holds the node up: it runs beside it, within limits of time and output, and is killed
//! when its round stops waiting or the node ends. What goes wrong with it is in the log and in the
//! status; the round goes on without this member once its window is over.

mod child;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use fedledger_contract::canonical::Schema;
use fedledger_contract::state::StateView;
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId};
use fedledger_ledger::transaction::CandidateScore;
use futures::future::{abortable, AbortHandle, Aborted, BoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tempfile::TempDir;
use thiserror::Error;
use tokio::time::Instant;

use self::child::ChildFault;
use super::evaluations::Due;
use super::Node;
use crate::api::types::{EvaluationDue, EvaluationStatus, EvaluatorRun, EvaluatorState};
use crate::config::{EvaluatorSection, Home, ModelFormat};
use crate::evaluation::{
    AnswerError, EvaluationAnswer, EvaluationRequest, RequestedCandidate, ANSWER_BYTES_MAX,
};
use crate::files::{to_npz, to_safetensors};

/// How often the rounds are looked at without being told: a candidate may have arrived, a pause may
/// be over. What matters comes by notification.
const LOOK_AGAIN: Duration = Duration::from_millis(1_500);

/// What is known about the evaluator, for the status.
#[derive(Debug, Default)]
pub(super) struct Board {
    command: Vec<String>,
    runs: Mutex<BTreeMap<TaskId, EvaluatorRun>>,
}

impl Board {
    pub(super) fn new(settings: &EvaluatorSection) -> Self {
        Self { command: settings.command.clone(), runs: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<TaskId, EvaluatorRun>) -> T) -> T {
        act(&mut self.runs.lock().expect("nothing panics while it holds this lock"))
    }

    fn begin(&self, task: &TaskId, round: RoundNumber) {
        self.with(|all| {
            let before = all.get(task).filter(|run| run.round == round).map_or(0, |run| run.runs);
            let (state, runs) = (EvaluatorState::Running, before + 1);
            all.insert(
                task.clone(),
                EvaluatorRun { task: task.clone(), round, runs, state, fault: None },
            );
        });
    }

    fn end(&self, task: &TaskId, state: EvaluatorState, fault: Option<String>) {
        self.with(|all| {
            if let Some(run) = all.get_mut(task) {
                (run.state, run.fault) = (state, fault);
            }
        });
    }
}

/// Why a run came to nothing.
#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Child(#[from] ChildFault),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("the candidates cannot be laid out for it: {0:#}")]
    Files(anyhow::Error),
    #[error("its scores are not taken: {0}")]
    NotTaken(String),
}

/// What a run needs beside its round.
#[derive(Debug, Clone)]
pub(super) struct Evaluator {
    settings: EvaluatorSection,
    /// Where the program runs.
    home: PathBuf,
    /// Where candidates are laid out, a folder for each run.
    folder: PathBuf,
}

impl Evaluator {
    /// The evaluator of the settings, if they name one. What an earlier process of this node laid out
    /// is removed.
    pub(super) fn of(
        settings: &EvaluatorSection,
        home: &Home,
        data: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let folder = data.join("evaluation");
        let removed = fs::remove_dir_all(&folder);
        if settings.command.is_empty() {
            return Ok(None);
        }
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", folder.display()))
            }
            _ => {}
        }
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let home = home.path().canonicalize().context("the home")?;
        let folder = folder.canonicalize().context("the folder for candidates")?;
        Ok(Some(Self { settings: settings.clone(), home, folder }))
    }

    /// One run for a round: the scores to sign.
    async fn score(&self, node: &Arc<Node>, due: &Due) -> Result<Vec<CandidateScore>, Fault> {
        let (evaluator, reading, of) = (self.clone(), Arc::clone(node), due.clone());
        let laid_out = tokio::task::spawn_blocking(move || evaluator.lay_out(&reading, &of)).await;
        let laid_out = laid_out.context("laying out was cut short").and_then(|done| done);
        let (folder, request) = laid_out.map_err(Fault::Files)?;
        let request = serde_json::to_vec(&request).expect("a request has text keys");
        let time = Duration::from_millis(self.settings.timeout_ms);
        let command = &self.settings.command;
        let ended = child::run(command, &self.home, &request, time, ANSWER_BYTES_MAX).await;
        drop(folder);
        let (task, round) = (&due.task, due.round);
        if !ended.errors.is_empty() {
            tracing::info!(%task, %round, said = %ended.errors, "the evaluator said");
        }
        Ok(EvaluationAnswer::parse(&ended.output?)?.scores(&due.candidates, &due.classes)?)
    }

    /// Writes the candidates into a folder of their own, which goes when the value is dropped.
    fn lay_out(&self, node: &Node, due: &Due) -> anyhow::Result<(TempDir, EvaluationRequest)> {
        let spec = StateView::new(node.store()).task_spec(&due.task).context("no such task")?;
        let schema = Schema::of(&spec).context("the task's schema")?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-{}-", due.task, due.round))
            .tempdir_in(&self.folder)?;
        let format = self.settings.format;
        let mut candidates = Vec::new();
        for (at, candidate) in due.candidates.iter().enumerate() {
            let model = candidate.model;
            let file = folder.path().join(format!("candidate-{at}.{}", format.name()));
            let bytes = model_file(node, &schema, &model, format)
                .with_context(|| format!("the model {model}"))?;
            fs::write(&file, bytes).with_context(|| file.display().to_string())?;
            candidates.push(RequestedCandidate { model, file: Some(file) });
        }
        let member = node.member_id().context("the node is no member's")?.clone();
        let Due { task, round, deadline, classes, .. } = due.clone();
        let request = EvaluationRequest { task, round, member, deadline, candidates, classes };
        Ok((folder, request))
    }
}

fn model_file(
    node: &Node,
    schema: &Schema,
    model: &Digest,
    format: ModelFormat,
) -> anyhow::Result<Vec<u8>> {
    let bytes = node.blobs().get(model)?.context("it is not here")?;
    let tensors = schema.dequantise(&schema.decode(&bytes)?)?;
    Ok(match format {
        ModelFormat::Npz => to_npz(&tensors),
        ModelFormat::Safetensors => to_safetensors(&tensors),
    })
}

/// A run that ended, with what came of it.
type Done = (Due, Result<Vec<CandidateScore>, Fault>);

/// The runs in progress. Dropping this kills their programs.
#[derive(Default)]
struct Going {
    runs: FuturesUnordered<BoxFuture<'static, Result<Done, Aborted>>>,
    handles: BTreeMap<TaskId, (RoundNumber, AbortHandle)>,
    /// Not before these times is a task's program run again.
    pauses: BTreeMap<TaskId, Instant>,
}

impl Going {
    fn may_start(&self, due: &Due) -> bool {
        let paused = self.pauses.get(&due.task).is_some_and(|until| Instant::now() < *until);
        !self.handles.contains_key(&due.task) && !paused
    }

    fn start(&mut self, run: impl std::future::Future<Output = Done> + Send + 'static, due: &Due) {
        let (run, handle) = abortable(run);
        self.handles.insert(due.task.clone(), (due.round, handle));
        self.runs.push(run.boxed());
    }

    /// Stops the runs for rounds that no longer wait. A new round of a task begins without a pause.
    fn keep(&mut self, due: &[Due], board: &Board) {
        let waits = |task: &TaskId, round: Option<RoundNumber>| {
            let same = |one: &&Due| one.task == *task && round.is_none_or(|it| it == one.round);
            due.iter().any(|one| same(&one))
        };
        self.pauses.retain(|task, _| waits(task, None));
        self.handles.retain(|task, (round, handle)| {
            let stays = waits(task, Some(*round));
            if !stays {
                handle.abort();
                board.end(task, EvaluatorState::Stopped, None);
                tracing::warn!(%task, %round, "the evaluator was stopped: its round no longer waits");
            }
            stays
        });
    }
}

impl Node {
    /// Has candidates scored until the node stops.
    pub(super) async fn evaluate(self: Arc<Self>, evaluator: Evaluator) {
        let mut heights = self.subscribe();
        let mut going = Going::default();
        tracing::info!(command = ?evaluator.settings.command, "candidates are scored");
        loop {
            // Seen before looking, so that a block in between is looked at next.
            heights.borrow_and_update();
            let due = self.evaluations_due();
            going.keep(&due, &self.evaluator);
            // A round that waits in an old block may long be over.
            let current = !self.is_syncing();
            for one in due.into_iter().filter(|_| current) {
                match self.holds_candidates(&one) {
                    Ok(true) if going.may_start(&one) => {
                        self.begin_scoring(&evaluator, &mut going, one);
                    }
                    Ok(_) => {}
                    Err(error) => return self.fail(error),
                }
            }
            tokio::select! {
                changed = heights.changed() => if changed.is_err() { return },
                Some(ended) = going.runs.next() => if let Ok(done) = ended {
                    self.end_scoring(&evaluator, &mut going, done).await;
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    fn holds_candidates(&self, due: &Due) -> Result<bool, String> {
        for candidate in &due.candidates {
            if !self.holds(&candidate.model)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn begin_scoring(self: &Arc<Self>, evaluator: &Evaluator, going: &mut Going, due: Due) {
        self.evaluator.begin(&due.task, due.round);
        let (node, evaluator, of) = (Arc::clone(self), evaluator.clone(), due.clone());
        let run = async move {
            let scores = evaluator.score(&node, &of).await;
            (of, scores)
        };
        going.start(run, &due);
    }

    /// Signs what a run led to, or says why it led to nothing.
    async fn end_scoring(&self, evaluator: &Evaluator, going: &mut Going, (due, scores): Done) {
        let Due { task, round, .. } = due;
        going.handles.remove(&task);
        let submitted = match scores {
            Ok(scores) => self
                .submit_evaluation(task.clone(), round, scores)
                .await
                .map_err(|error| Fault::NotTaken(error.to_string())),
            Err(fault) => Err(fault),
        };
        match submitted {
            Ok(transaction) => {
                self.evaluator.end(&task, EvaluatorState::Scored, None);
                tracing::info!(%task, %round, %transaction, "the candidates are scored");
            }
            Err(fault) => {
                let pause = Duration::from_millis(evaluator.settings.retry_ms);
                going.pauses.insert(task.clone(), Instant::now() + pause);
                let again = pause.as_secs_f64();
                tracing::warn!(%task, %round, %fault, "the evaluator came to nothing; again in {again} s");
                self.evaluator.end(&task, EvaluatorState::Failed, Some(fault.to_string()));
            }
        }
    }

    /// What this member's evaluations are at.
    pub(super) fn evaluation_status(&self) -> EvaluationStatus {
        let due = self.evaluations_due().into_iter();
        let due =
            due.map(|Due { task, round, deadline, .. }| EvaluationDue { task, round, deadline });
        EvaluationStatus {
            command: self.evaluator.command.clone(),
            due: due.collect(),
            runs: self.evaluator.with(|runs| runs.values().cloned().collect()),
        }
    }
}
