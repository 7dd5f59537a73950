//! Decisions: what the state waits for, and how anybody computes it.
//!
//! This runs outside the vote path: a node starts when a phase closes and proposes, or compares,
//! when it is done. Everything it rests on is frozen in the state while the round waits, so the
//! answer does not depend on when it is computed.

use std::collections::BTreeMap;

use fedledger_ledger::decision::{Candidate, Decision, OutcomeResult, Reason, RoundFailure};
use fedledger_ledger::entry::Phase;
use fedledger_ledger::ids::{Digest, RoundNumber, TaskId, TimeMs};
use fedledger_ledger::state::StateRead;
use fedledger_ledger::task::{AggregationRule, TaskSpec};
use ndarray::Array2;
use serde::Serialize;
use thiserror::Error;

use crate::canonical::{add_to_model, Schema};
use crate::judge::{admit, Admission, Content, RoundInputs, RoundJudgement, Submission, Terms};
use crate::offer::{offers, Offer};
use crate::outcome::rules_offered;
use crate::records::{Exclusion, RosterLine, RoundRecord, TaskProgress};
use crate::round::running;
use crate::state::StateView;

/// Reads blobs by digest.
pub trait BlobRead {
    /// The bytes whose SHA-256 is `digest`, if they are at hand.
    fn read(&self, digest: &Digest) -> Option<Vec<u8>>;
}

/// Blobs in memory, for simulation, replay and tests.
impl BlobRead for BTreeMap<Digest, Vec<u8>> {
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.get(digest).cloned()
    }
}

/// Which decision a round waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingKind {
    /// The candidates that members are to score.
    Candidates,
    /// The outcome.
    Outcome,
}

/// A decision that the state waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The task.
    pub task: TaskId,
    /// The round.
    pub round: RoundNumber,
    /// Which decision.
    pub kind: PendingKind,
    /// When the state stops waiting.
    pub deadline: TimeMs,
    /// The blobs that it takes: the base model, the revealed updates by member id, and the previous
    /// aggregate when a rule starts from it.
    pub blobs: Vec<Digest>,
}

/// A decision with the blobs that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What goes into a block.
    pub decision: Decision,
    /// Canonical aggregates and models with their digests.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// Why a decision cannot be computed here and now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecideError {
    /// A blob is not at hand, or what is kept under its digest is something else.
    #[error("the blob {digest} is not at hand")]
    MissingBlob {
        /// Its digest.
        digest: Digest,
    },
    /// The task is not running, or its round waits for members.
    #[error("no decision about `{task}` is pending")]
    NotPending {
        /// The task.
        task: TaskId,
    },
}

/// The decisions that the state waits for, by task id.
pub fn pending(state: &dyn StateRead) -> Vec<Pending> {
    let view = StateView::new(state);
    let tasks = view.tasks_running();
    tasks.iter().filter_map(|task| pending_of(&view, task)).collect()
}

fn pending_of(view: &StateView<'_>, task: &TaskId) -> Option<Pending> {
    let kind = match view.round(task)?.phase {
        Phase::Propose => PendingKind::Candidates,
        Phase::Decide => PendingKind::Outcome,
        Phase::Commit | Phase::Reveal | Phase::Evaluate => return None,
    };
    let (spec, progress, round) = running(view, task)?;
    let revealed = round.roster.iter().filter(|line| line.exclusion.is_none());
    let mut blobs = vec![round.base_model];
    blobs.extend(revealed.filter_map(|line| line.update));
    blobs.extend(start_digest(&spec, &progress));
    Some(Pending { task: task.clone(), round: round.round, kind, deadline: round.deadline, blobs })
}

/// The previous aggregate, when a rule that is offered starts from it.
fn start_digest(spec: &TaskSpec, progress: &TaskProgress) -> Option<Digest> {
    progress.aggregate.filter(|_| rules_offered(spec).into_iter().any(starts))
}

fn starts(rule: &AggregationRule) -> bool {
    match rule {
        AggregationRule::CenteredClipping { .. } => true,
        AggregationRule::PreAggregated { rule, .. } => starts(rule),
        _ => false,
    }
}

/// Computes the decision that `task` waits for.
///
/// A blob that is not of the task's schema is no error but a verdict on whoever published it.
///
/// # Errors
/// When nothing is pending or a blob is not at hand; see [`DecideError`].
pub fn decide(
    state: &dyn StateRead,
    task: &TaskId,
    blobs: &dyn BlobRead,
) -> Result<Decided, DecideError> {
    let view = StateView::new(state);
    let not_pending = || DecideError::NotPending { task: task.clone() };
    let pending = pending_of(&view, task).ok_or_else(not_pending)?;
    let (spec, progress, round) = running(&view, task).ok_or_else(not_pending)?;
    let schema = Schema::of(&spec).expect("the schema was checked when the task was made");
    let base = schema.decode(&read(blobs, &round.base_model)?);
    let inputs = round_inputs(&schema, &spec, &progress, &round, blobs)?;
    // The updates of a round that is replayed were judged in their time: they are aggregated again,
    // and nothing follows for their members.
    let inputs = match round.replays {
        Some(_) => RoundInputs { terms: Terms { trust: None, ..inputs.terms }, ..inputs },
        None => RoundInputs { past: view.past(&spec), ..inputs },
    };
    let admission = admit(inputs);
    let mut case = Case { spec: &spec, schema: &schema, round: &round, admission };
    let Ok(base) = base else {
        return Ok(case.failed(case.admission.fail(RoundFailure::BaseModelInvalid)));
    };
    Ok(match pending.kind {
        PendingKind::Candidates => case.candidates(&base),
        PendingKind::Outcome => case.outcome(&base),
    })
}

fn read(blobs: &dyn BlobRead, digest: &Digest) -> Result<Vec<u8>, DecideError> {
    let bytes = blobs.read(digest).filter(|bytes| Digest::of(bytes) == *digest);
    bytes.ok_or(DecideError::MissingBlob { digest: *digest })
}

/// Gathers what the judgement of the open round rests on: the frozen roster, and the updates from
/// their blobs, read one after the other into one matrix.
fn round_inputs(
    schema: &Schema,
    spec: &TaskSpec,
    progress: &TaskProgress,
    round: &RoundRecord,
    blobs: &dyn BlobRead,
) -> Result<RoundInputs, DecideError> {
    let present = round.roster.iter().filter(|line| line.exclusion.is_none()).count();
    let mut values = Array2::<i32>::zeros((present, schema.parameters()));
    let mut free_row = 0;
    let mut submissions = Vec::with_capacity(round.roster.len());
    for line in &round.roster {
        let content = match line.exclusion {
            Some(Exclusion::NotRevealed) => Content::refused(Reason::NotRevealed),
            Some(Exclusion::Equivocation) => Content::refused(Reason::Equivocation),
            Some(Exclusion::Suspended) => Content::refused(Reason::MemberSuspended),
            None => {
                let mut row = values.row_mut(free_row);
                let row = row.as_slice_mut().expect("the rows of an owned matrix are contiguous");
                let update = line.update.expect("what was not revealed is excluded");
                read_update(schema, line, &read(blobs, &update)?, row)
                    .unwrap_or(Content::Row(free_row))
            }
        };
        free_row += usize::from(matches!(content, Content::Row(_)));
        submissions.push(Submission {
            member: line.member.clone(),
            update: line.update,
            order: line.log_index,
            num_examples: line.num_examples,
            trust: line.trust,
            content,
        });
    }
    let start = match start_digest(spec, progress) {
        // The contract made this blob itself, so it decodes wherever it is whole.
        Some(digest) => schema.decode(&read(blobs, &digest)?).ok(),
        None => None,
    };
    Ok(RoundInputs {
        terms: spec.into(),
        submissions,
        values,
        norm_history: progress.norms.clone(),
        start,
        quarantined_absent: round.quarantined_absent as usize,
        past: None,
    })
}

/// Reads an update into its row, or says why it takes no part.
fn read_update(
    schema: &Schema,
    line: &RosterLine,
    bytes: &[u8],
    row: &mut [i32],
) -> Option<Content> {
    let (value, threshold) = (bytes.len() as u64, line.byte_length);
    if value != threshold {
        return Some(Content::Refused { reason: Reason::LengthMismatch, value, threshold });
    }
    if schema.decode_into(bytes, row).is_err() {
        return Some(Content::refused(Reason::SchemaMismatch));
    }
    None
}

/// Bytes with their digest.
type Blob = (Digest, Vec<u8>);

/// One round that is being decided.
struct Case<'a> {
    spec: &'a TaskSpec,
    schema: &'a Schema,
    round: &'a RoundRecord,
    admission: Admission,
}

impl Case<'_> {
    fn decision(&self, result: OutcomeResult, judgement: RoundJudgement) -> Decision {
        Decision::Outcome {
            task: self.spec.id.clone(),
            round: self.round.round,
            result,
            verdicts: judgement.verdicts,
            deviations: judgement.deviations,
        }
    }

    fn failed(&self, judgement: RoundJudgement) -> Decided {
        let failure = judgement.aggregate.as_ref().err().copied();
        let failure = failure.expect("only a judgement without an aggregate comes here");
        // A round without a model moves no history.
        let judgement = RoundJudgement { deviations: None, ..judgement };
        let decision = self.decision(OutcomeResult::Failed { failure }, judgement);
        Decided { decision, blobs: Vec::new() }
    }

    /// The candidate and its blobs, or nothing when the model would leave its range.
    fn candidate(&self, offer: Offer, base: &[i32]) -> Option<(Candidate, [Blob; 2])> {
        let Offer { rule, without, with, aggregate } = offer;
        let model = add_to_model(base, &aggregate).ok()?;
        let blob = |values: &[i32]| {
            let bytes = self.schema.encode(values).expect("ranges and length were checked");
            (Digest::of(&bytes), bytes)
        };
        let (aggregate, model) = (blob(&aggregate), blob(&model));
        let candidate = Candidate { rule, aggregate: aggregate.0, model: model.0, without, with };
        Some((candidate, [aggregate, model]))
    }

    fn outcome(&mut self, base: &[i32]) -> Decided {
        let chosen = self.round.chosen.map(|at| &self.round.candidates[at as usize]);
        let rule = chosen.map_or(&self.spec.rule, |chosen| &chosen.rule);
        let without = chosen.and_then(|chosen| chosen.without.clone());
        if let Some(cell) = &without {
            self.admission.leave_out(cell);
        }
        let (harm, returning) = (self.round.harm.clone(), self.round.returning.clone());
        self.admission.heed(harm, returning, self.spec.classes());
        let mut judgement = self.admission.judge(rule);
        let aggregate = match judgement.aggregate.as_mut() {
            Ok(aggregate) => std::mem::take(aggregate),
            Err(_) => return self.failed(judgement),
        };
        let offer = Offer { rule: rule.clone(), without, with: None, aggregate };
        let Some((chosen, blobs)) = self.candidate(offer, base) else {
            let aggregate = Err(RoundFailure::ModelOutOfRange);
            return self.failed(RoundJudgement { aggregate, ..judgement });
        };
        let result = OutcomeResult::Aggregated { chosen, base_model: self.round.base_model };
        Decided { decision: self.decision(result, judgement), blobs: blobs.into() }
    }

    /// What is offered ([`offers`]), but for models that leave the range or are listed already; when
    /// the task's own rule leads to none, the round has failed.
    fn candidates(&mut self, base: &[i32]) -> Decided {
        let offered = match offers(self.spec, &mut self.admission) {
            Ok(offered) => offered,
            Err(failure) => return self.failed(self.admission.fail(failure)),
        };
        let (mut candidates, mut blobs) = (Vec::<Candidate>::new(), Vec::new());
        for (at, offer) in offered.into_iter().enumerate() {
            let Some((candidate, made)) = self.candidate(offer, base) else {
                if at > 0 {
                    continue;
                }
                return self.failed(self.admission.fail(RoundFailure::ModelOutOfRange));
            };
            if candidates.iter().all(|other| other.model != candidate.model) {
                candidates.push(candidate);
                blobs.extend(made);
            }
        }
        let decision = Decision::Candidates {
            task: self.spec.id.clone(),
            round: self.round.round,
            candidates,
        };
        Decided { decision, blobs }
    }
}
