//! A training task on real nodes: every member a process of its own with keys, disk and sockets.
//!
//! The members' trainers run here, as they would beside their nodes; each update is handed in
//! through its member's own node, and what a round led to is read from the ledger. It is the same
//! round as [`Federation::step`](fedledger_sim::federation::Federation::step) plays without
//! signatures, blocks and sockets, and has to come to the same bits ([`compare`]). What could tell
//! the two apart is seen to here:
//!
//! - *Time.* No window of the task ends a phase: a round waits for all of its members, however slow.
//! - *The order of commitments* decides which of several equal updates counts as the copy. In
//!   process it is the order of members; here a copy is handed in only once the commitment of the
//!   first member with that update is in a block.
//! - *Evaluations.* Every hospital holds back the rows that it holds back in process, scores the
//!   candidates that its own node has, and says what it measured, or what its coalition has agreed
//!   on. Those in quarantine do too: the round waits for everybody.
//! - *What attackers know.* The public record is read from the ledger. Attackers that are told the
//!   honest updates of the round, which no network would let them see, are told them here.
//!
//! Everybody's node is an honest validator: who is hostile, is so in what it submits.

pub mod compare;
mod hospital;
mod interrupt;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Context as _};
use fedledger_contract::canonical::{FloatBits, Schema};
use fedledger_contract::evaluation::{conclude, Evaluation};
use fedledger_contract::records::{HarmRecord, TrustRecord};
use fedledger_ledger::decision::{OutcomeResult, RoundFailure, UpdateVerdict};
use fedledger_ledger::entry::Standing;
use fedledger_ledger::ids::{ChainId, Digest, MemberId, RoundNumber};
use fedledger_ledger::task::TaskSpec;
use fedledger_sim::attack::{Knowledge, PublicRecord};
use fedledger_sim::federation::{
    hold_out, losses, losses_by_class, named_bits, reported, HeldOut, PlainAverage, RoundReport,
};
use fedledger_sim::trainer::{train_round, LocalUpdate, RoundView as Known, Trainer};

use self::hospital::Hospital;
use crate::api::types::RoundView;
use crate::devnet::{Devnet, Plan, PlannedTask, Running};

pub use self::interrupt::Cleanup;

/// How long anything may take that a round waits for, before the run gives up.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Length of every phase: longer than [`PATIENCE`], so that a run that does not get on ends with an
/// error and never with a round that somebody was too slow for.
const WINDOW_MS: u64 = 3_600_000;

/// Who trains what: what [`Federation::new`](fedledger_sim::federation::Federation::new) takes.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Member ids in ascending order.
    pub names: Vec<String>,
    /// One for each name; all train one model.
    pub trainers: Vec<Trainer>,
    /// The task. Its windows are replaced by ones that nobody misses.
    pub task: TaskSpec,
    /// What all attackers know.
    pub knowledge: Knowledge,
    /// The flat model that round 1 starts from.
    pub initial_model: Vec<f32>,
}

/// A consortium of running nodes that trains one task.
pub struct NetworkRun {
    cast: Cast,
    schema: Schema,
    hospitals: Vec<Hospital>,
    /// In the order of members, where the task has an evaluation phase.
    held_out: Vec<HeldOut>,
    /// The members' trust after the last round, in their order.
    trust: Vec<TrustRecord>,
    running: Vec<Running>,
    devnet: Devnet,
    cleanup: Cleanup,
    model: (Digest, Vec<i32>),
    plain: PlainAverage,
    record: PublicRecord,
    round: RoundNumber,
    frozen: bool,
}

impl NetworkRun {
    /// Lays out a consortium in `dir`, which is empty or not there, and starts its nodes, each a
    /// process of `program`.
    ///
    /// # Errors
    /// When the task or a name cannot be used, or a node does not come up.
    ///
    /// # Panics
    /// When there is no trainer, or `initial_model` has another number of parameters than the model.
    pub fn start(
        dir: &Path,
        chain_id: ChainId,
        mut cast: Cast,
        program: &Path,
        cleanup: &Cleanup,
    ) -> anyhow::Result<Self> {
        let evaluation = cast.task.evaluation.as_mut().map(|evaluation| &mut evaluation.window_ms);
        for window in [
            &mut cast.task.commit_window_ms,
            &mut cast.task.reveal_window_ms,
            &mut cast.task.decide_window_ms,
        ]
        .into_iter()
        .chain(evaluation)
        {
            *window = WINDOW_MS;
        }
        let held_out = evaluators(&mut cast)?;
        let schema = Schema::of(&cast.task)?;
        let spec = cast.trainers.first().expect("a consortium has members").spec;
        let model = schema.quantise(&named_bits(&spec, &cast.initial_model))?;
        let devnet = create(dir, chain_id, &cast, &model)?;
        let running = launch(&devnet, program, cleanup)?;
        let hospitals = devnet.nodes.iter().zip(&running);
        let hospitals = hospitals
            .map(|(node, process)| Hospital::new(node, &process.http, &cast.task.id, PATIENCE))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let known = to_floats(&schema, &model);
        Ok(Self {
            plain: PlainAverage::new(&model),
            record: PublicRecord::new(known),
            model: (schema.digest_of(&model)?, model),
            held_out,
            trust: vec![TrustRecord::default(); cast.names.len()],
            cast,
            schema,
            hospitals,
            running,
            devnet,
            cleanup: cleanup.clone(),
            round: RoundNumber(0),
            frozen: false,
        })
    }

    /// The model now, flat.
    pub fn model(&self) -> Vec<f32> {
        to_floats(&self.schema, &self.model.1)
    }

    /// Digest of the model now.
    pub fn model_digest(&self) -> Digest {
        self.model.0
    }

    /// What plain averaging of the very same updates would have led to by now, flat.
    pub fn plain_average(&self) -> Vec<f32> {
        to_floats(&self.schema, self.plain.model())
    }

    /// Whether the task is frozen because more than f members would be in quarantine.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The nodes' processes, by member id.
    pub fn running(&self) -> &[Running] {
        &self.running
    }

    /// Plays one round: everybody trains from the model that its own node has, everybody hands in,
    /// and the round is told as the ledger has it.
    ///
    /// # Errors
    /// When a node does not answer or differs from the others, or the round does not end with a
    /// verdict on everybody.
    pub fn step(&mut self) -> anyhow::Result<RoundReport> {
        let round = self.round.next();
        let bases = everybody(&self.hospitals, |_, hospital| hospital.wait_for_model(round))?;
        self.agree_on_model(&bases)?;
        let base = self.model();
        let known = Known::new(round.0, &base, &self.record);
        let updates = train_round(&self.cast.trainers, &known, self.cast.knowledge);
        self.announce(round)?;
        self.hand_in(round, &updates)?;
        self.score(round)?;
        let watcher = &self.hospitals[0];
        let view = watcher.wait_for_end(round)?;
        let (revealed, counts) = watcher.revealed(&self.schema, &view)?;
        self.plain.add(revealed.view(), &counts);
        if let Some(model) = watcher.model_after(&self.schema, &view)? {
            self.model = model;
        }
        let report = self.report(&view)?;
        // The record is by position. Every member has a verdict, and a row when it revealed.
        let rows = revealed.rows().into_iter();
        let rows = rows.map(|row| to_floats(&self.schema, &row.to_vec())).collect();
        self.record.close_round(rows, self.model());
        self.frozen = report.failure == Some(RoundFailure::TooManySuspects);
        self.trust.clone_from(&report.trust);
        self.round = round;
        Ok(report)
    }

    /// Has members say that their data change whose turn it is, as in process: not from quarantine, and
    /// where the task keeps a history. All of it is on the ledger before anybody commits.
    fn announce(&self, round: RoundNumber) -> anyhow::Result<()> {
        everybody(&self.hospitals, |k, hospital| {
            let turn = self.cast.trainers[k].announces == Some(round.0);
            let heard = self.trust[k].standing != Standing::Quarantine;
            if turn && heard && self.cast.task.history.is_some() {
                hospital.announce_data_change()?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Has every member score the round's candidates, where the task has them scored.
    fn score(&self, round: RoundNumber) -> anyhow::Result<()> {
        if self.held_out.is_empty() {
            return Ok(());
        }
        let members: Vec<MemberId> =
            self.hospitals.iter().map(|hospital| hospital.member.clone()).collect();
        everybody(&self.hospitals, |k, hospital| {
            // Nothing is listed when the round has failed before.
            let Some(listed) = hospital.wait_for_candidates(round)? else { return Ok(()) };
            let trainer = &self.cast.trainers[k];
            let rows = self.held_out[k].rows_in(round.0);
            let models = listed.iter().map(|candidate| {
                let model = hospital.canonical(&self.schema, &candidate.model)?;
                Ok(to_floats(&self.schema, &model))
            });
            let models = models.collect::<anyhow::Result<Vec<_>>>()?;
            let classes = self.cast.task.classes().len();
            let measured = Evaluation {
                member: hospital.member.clone(),
                losses: losses(&trainer.spec, &models, rows),
                classes: losses_by_class(&trainer.spec, &models, rows, classes),
            };
            let said = reported(trainer, &members, &listed, measured);
            hospital.submit_scores(round, &listed, &said, rows.rows() as u64)
        })?;
        Ok(())
    }

    fn agree_on_model(&self, digests: &[Digest]) -> anyhow::Result<()> {
        let odd = self.hospitals.iter().zip(digests).find(|(_, digest)| **digest != self.model.0);
        if let Some((hospital, digest)) = odd {
            let (member, expected) = (&hospital.member, self.model.0);
            bail!("the node of {member} is at the model {digest}, expected {expected}");
        }
        Ok(())
    }

    /// Hands in all updates. Of equal ones the first member's is on the ledger before the others
    /// are made.
    fn hand_in(&self, round: RoundNumber, updates: &[LocalUpdate]) -> anyhow::Result<()> {
        let spec = &self.cast.trainers[0].spec;
        let mut first: BTreeMap<Digest, usize> = BTreeMap::new();
        let mut copies = vec![false; updates.len()];
        for (k, update) in updates.iter().enumerate() {
            let values = self.schema.quantise(&named_bits(spec, &update.values));
            let values =
                values.with_context(|| format!("the update of {}", self.hospitals[k].member))?;
            let place = *first.entry(self.schema.digest_of(&values)?).or_insert(k);
            copies[k] = place != k;
        }
        let any_copies = copies.contains(&true);
        everybody(&self.hospitals, |k, hospital| {
            if copies[k] {
                return Ok(());
            }
            let submitted = hospital.submit(round, spec, &updates[k])?;
            if any_copies {
                hospital.wait_included(&submitted.transaction)?;
            }
            Ok(())
        })?;
        everybody(&self.hospitals, |k, hospital| {
            if copies[k] {
                hospital.submit(round, spec, &updates[k])?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The round as the ledger tells it, in the form of a round in process.
    fn report(&self, view: &RoundView) -> anyhow::Result<RoundReport> {
        let round = view.round;
        let verdict_on = |member: &MemberId| -> anyhow::Result<UpdateVerdict> {
            let line = view.updates.iter().find(|line| line.member == *member);
            let verdict = line.and_then(|line| line.verdict.clone());
            verdict.with_context(|| format!("round {round} ended without a verdict on {member}"))
        };
        let members = self.hospitals.iter().map(|hospital| &hospital.member);
        let verdicts = members.clone().map(verdict_on).collect::<anyhow::Result<_>>()?;
        let watcher = &self.hospitals[0];
        let trust: anyhow::Result<Vec<TrustRecord>> =
            members.map(|member| watcher.trust_of(member)).collect();
        let failure = match &view.result {
            Some(OutcomeResult::Failed { failure }) => Some(*failure),
            Some(OutcomeResult::Aggregated { .. }) => None,
            None => bail!("round {round} ended without an outcome"),
        };
        let evaluations = self.counted(view);
        let harm = measured(&self.cast.task, view, &evaluations);
        let (round, trust, model) = (round.0, trust?, self.model.0);
        Ok(RoundReport { round, failure, verdicts, trust, model, evaluations, harm })
    }

    /// The evaluations that counted, as the ledger has them: of members that were not in quarantine.
    fn counted(&self, view: &RoundView) -> Vec<Evaluation> {
        let members = self.hospitals.iter().zip(&self.trust);
        let standing = |id: &MemberId| {
            let own = members.clone().find(|(hospital, _)| hospital.member == *id);
            own.is_some_and(|(_, trust)| trust.standing != Standing::Quarantine)
        };
        let counted = view.evaluations.iter().filter(|one| standing(&one.member));
        counted.map(|one| Evaluation::of(one.member.clone(), &one.scores)).collect()
    }

    /// Waits until every node knows of the end of the last round and has the same model, and stops
    /// all of them. Returns the consortium's description: its folder stays.
    ///
    /// # Errors
    /// When a node has another model, or does not end in order.
    pub fn stop(self) -> anyhow::Result<Devnet> {
        let digests = everybody(&self.hospitals, |_, one| one.wait_past(self.round))?;
        self.agree_on_model(&digests)?;
        for node in self.running {
            let pid = node.pid();
            node.stop(PATIENCE)?;
            self.cleanup.ended(pid);
        }
        Ok(self.devnet)
    }
}

/// Does something for every member at the same time; results are in the order of members, and the
/// first error is.
fn everybody<T: Send>(
    hospitals: &[Hospital],
    act: impl Fn(usize, &Hospital) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let act = &act;
        let members = hospitals.iter().enumerate();
        let work: Vec<_> =
            members.map(|(k, hospital)| scope.spawn(move || act(k, hospital))).collect();
        let work = work.into_iter().map(|one| one.join().expect("asking a node does not panic"));
        work.collect()
    })
}

fn create(
    dir: &Path,
    chain_id: ChainId,
    cast: &Cast,
    initial_model: &[i32],
) -> anyhow::Result<Devnet> {
    let members = cast.names.iter().map(|name| {
        let id = MemberId::new(name.as_str()).with_context(|| format!("the name {name}"))?;
        Ok((id, name.clone()))
    });
    let members = members.collect::<anyhow::Result<Vec<_>>>()?;
    if members.len() != cast.trainers.len() || members.windows(2).any(|two| two[0].0 >= two[1].0) {
        bail!("names must be ascending, one for each of {} trainers", cast.trainers.len());
    }
    let plan = Plan {
        chain_id,
        members,
        tasks: vec![PlannedTask { spec: cast.task.clone(), initial_model: initial_model.to_vec() }],
        dial_only: Vec::new(),
    };
    Devnet::create(dir, &plan)
}

/// What the evaluations on the ledger say of a suspected cell, as the contract reckons it. The verdicts,
/// which the nodes made, say it too, and are compared as they are.
fn measured(task: &TaskSpec, view: &RoundView, evaluations: &[Evaluation]) -> Option<HarmRecord> {
    // Whether the history has it chosen is nothing to what it measures.
    let (f, protected) = (task.byzantine as usize, task.protected_class());
    conclude(&view.candidates, evaluations, None, f, protected).harm
}

/// Takes from every trainer's rows those that it scores candidates on, where the task has that.
fn evaluators(cast: &mut Cast) -> anyhow::Result<Vec<HeldOut>> {
    if cast.task.evaluation.is_none() {
        return Ok(Vec::new());
    }
    let held_out = hold_out(&mut cast.trainers).into_iter().zip(&cast.names);
    let held_out = held_out.map(|(rows, name)| {
        rows.with_context(|| format!("{name} has too few rows to hold any back for evaluations"))
    });
    held_out.collect()
}

fn launch(devnet: &Devnet, program: &Path, cleanup: &Cleanup) -> anyhow::Result<Vec<Running>> {
    let mut running = Vec::new();
    for node in &devnet.nodes {
        let process = Running::launch(program, &node.home)?;
        cleanup.started(process.pid());
        running.push(process);
    }
    for (node, process) in devnet.nodes.iter().zip(&mut running) {
        process.wait_ready(PATIENCE).with_context(|| format!("the node of {}", node.member))?;
    }
    Ok(running)
}

/// Canonical integers as the floats they stand for, exactly.
fn to_floats(schema: &Schema, values: &[i32]) -> Vec<f32> {
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
