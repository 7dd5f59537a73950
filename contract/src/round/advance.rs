//! From phase to phase.

use std::rc::Rc;

use fedledger_ledger::decision::{
    Candidate, OutcomeResult, Reason, RoundFailure, UpdateVerdict, Verdict,
};
use fedledger_ledger::entry::{EntryBody, Phase, Standing};
use fedledger_ledger::ids::{MemberId, TaskId, TimeMs};
use fedledger_ledger::task::TaskSpec;

use super::{finish, running, updates_needed, Origin};
use crate::context::Context;
use crate::evaluation::{conclude, Conclusion, Evaluation};
use crate::records::{CommitmentRecord, Exclusion, MemberRecord, RosterLine, RoundRecord};
use crate::state_key;

/// Moves every running task as far as the block's time and what the state holds let it.
pub(crate) fn advance(context: &mut Context<'_>) {
    for task in context.state.tasks_running() {
        // Each step leads to a phase or round whose deadline is later than the block's time, so
        // at most the phases of one round and the opening of the next pass here.
        while step(context, &task) {}
    }
}

/// Takes one step, if one is due.
fn step(context: &mut Context<'_>, task: &TaskId) -> bool {
    let Some(round) = context.state.round(task) else { return false };
    let due = round.deadline <= context.time;
    match round.phase {
        Phase::Commit => leave_commit(context, task, round, due),
        Phase::Reveal => leave_reveal(context, task, round, due),
        Phase::Evaluate => leave_evaluate(context, task, round, due),
        Phase::Propose | Phase::Decide if due => {
            fail(context, task, &round, RoundFailure::NotDecided);
            true
        }
        Phase::Propose | Phase::Decide => false,
    }
}

/// The usable commitments of the open round and what stands against the others.
struct Tally {
    active: Vec<Rc<MemberRecord>>,
    commitments: Vec<(MemberId, CommitmentRecord)>,
    /// Active members in quarantine, and members whose equivocation is proved in this round.
    suspects: usize,
}

impl Tally {
    fn of(context: &Context<'_>, task: &TaskId) -> Self {
        let active = active_members(context);
        let commitments = context.state.commitments(task);
        let mut tally = Self { active, commitments, suspects: 0 };
        let quarantined = |id: &MemberId| is_quarantined(context, task, id);
        let in_quarantine = tally.active.iter().filter(|m| quarantined(&m.spec.id)).count();
        let proved = tally
            .commitments
            .iter()
            .filter(|(id, record)| record.contradiction.is_some() && !quarantined(id))
            .count();
        tally.suspects = in_quarantine + proved;
        tally
    }

    fn needed(&self, spec: &TaskSpec) -> usize {
        updates_needed(spec.updates_min as usize, spec.byzantine as usize, self.suspects)
    }

    fn is_active(&self, id: &MemberId) -> bool {
        self.active.iter().any(|member| member.spec.id == *id)
    }

    /// Commitments that can still count: of active members that did not contradict themselves.
    fn standing(&self) -> impl Iterator<Item = &(MemberId, CommitmentRecord)> {
        self.commitments
            .iter()
            .filter(|(id, record)| record.contradiction.is_none() && self.is_active(id))
    }
}

fn active_members(context: &Context<'_>) -> Vec<Rc<MemberRecord>> {
    let mut members = context.state.members_shared();
    members.retain(|member| member.is_active());
    members
}

fn is_quarantined(context: &Context<'_>, task: &TaskId, member: &MemberId) -> bool {
    context.state.trust(task, member).standing == Standing::Quarantine
}

fn leave_commit(context: &mut Context<'_>, task: &TaskId, round: RoundRecord, due: bool) -> bool {
    if !due && (round.commitments as usize) < active_members(context).len() {
        return false;
    }
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    let tally = Tally::of(context, task);
    let committed = |id: &MemberId| tally.commitments.iter().any(|(other, _)| other == id);
    let all = tally.active.iter().all(|member| committed(&member.spec.id));
    let usable = tally.standing().filter(|(id, _)| !is_quarantined(context, task, id)).count();
    let enough = usable >= tally.needed(&spec);
    if enough && (all || due) {
        let deadline = context.time.after(spec.reveal_window_ms);
        enter(context, task, round, Phase::Reveal, deadline);
        return true;
    }
    if due {
        fail(context, task, &round, RoundFailure::TooFewCommitments);
    }
    due
}

fn leave_reveal(context: &mut Context<'_>, task: &TaskId, round: RoundRecord, due: bool) -> bool {
    let tally = Tally::of(context, task);
    let all = tally.standing().all(|(_, record)| record.update.is_some());
    if !due && !all {
        return false;
    }
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    let usable = tally
        .standing()
        .filter(|(id, record)| record.update.is_some() && !is_quarantined(context, task, id))
        .count();
    if usable >= tally.needed(&spec) {
        let round = freeze(context, &spec, &tally, round);
        let phase = if spec.evaluation.is_some() { Phase::Propose } else { Phase::Decide };
        let deadline = context.time.after(spec.decide_window_ms);
        enter(context, task, round, phase, deadline);
        return true;
    }
    // With too few, the round waits for its deadline even when nobody is left to reveal: members
    // that are back by then take part in the next round, and failing rounds do not race.
    if due {
        fail(context, task, &round, RoundFailure::TooFewUpdates);
    }
    due
}

/// Writes down what the decision rests on.
fn freeze(
    context: &Context<'_>,
    spec: &TaskSpec,
    tally: &Tally,
    round: RoundRecord,
) -> RoundRecord {
    let roster: Vec<RosterLine> = tally
        .commitments
        .iter()
        .map(|(member, record)| RosterLine {
            member: member.clone(),
            update: record.update,
            log_index: record.log_index,
            num_examples: record.num_examples,
            byte_length: record.byte_length,
            exclusion: exclusion(tally.is_active(member), record),
            trust: context.state.trust(&spec.id, member),
        })
        .collect();
    let listed = |id: &MemberId| roster.iter().any(|line| line.member == *id);
    let quarantined_absent = tally
        .active
        .iter()
        .filter(|m| !listed(&m.spec.id) && is_quarantined(context, &spec.id, &m.spec.id))
        .count() as u32;
    RoundRecord { roster, quarantined_absent, ..round }
}

fn exclusion(active: bool, record: &CommitmentRecord) -> Option<Exclusion> {
    if record.contradiction.is_some() {
        Some(Exclusion::Equivocation)
    } else if !active {
        Some(Exclusion::Suspended)
    } else if record.update.is_none() {
        Some(Exclusion::NotRevealed)
    } else {
        None
    }
}

fn leave_evaluate(context: &mut Context<'_>, task: &TaskId, round: RoundRecord, due: bool) -> bool {
    let active = active_members(context);
    let evaluated = |m: &Rc<MemberRecord>| context.state.evaluation(task, &m.spec.id).is_some();
    let all = round.evaluations as usize >= active.len() && active.iter().all(evaluated);
    if !due && !all {
        return false;
    }
    let spec = context.state.task_spec_shared(task).expect("a running task has a specification");
    let deadline = context.time.after(spec.decide_window_ms);
    let counted = counted_evaluations(context, task, &active);
    let (past, f) = (context.state.past(&spec), spec.byzantine as usize);
    let Conclusion { chosen, harm, returning } =
        conclude(&round.candidates, &counted, past.as_ref(), f, spec.protected_class());
    let round = RoundRecord { chosen: Some(chosen as u32), harm, returning, ..round };
    enter(context, task, round, Phase::Decide, deadline);
    true
}

/// The evaluations that count: of active members that are not in quarantine.
fn counted_evaluations(
    context: &Context<'_>,
    task: &TaskId,
    active: &[Rc<MemberRecord>],
) -> Vec<Evaluation> {
    let ids = active.iter().map(|member| &member.spec.id);
    let standing = ids.filter(|id| !is_quarantined(context, task, id));
    let counted = standing.filter_map(|id| {
        let record = context.state.evaluation(task, id)?;
        let (losses, classes) = (record.losses_micro, record.classes);
        Some(Evaluation { member: id.clone(), losses, classes })
    });
    counted.collect()
}

/// Lists the candidates and opens their evaluation.
pub(crate) fn enter_evaluate(context: &mut Context<'_>, task: &TaskId, candidates: &[Candidate]) {
    let (spec, _, round) = running(&context.state, task).expect("the decision was checked");
    let window_ms = spec.evaluation.map_or(0, |evaluation| evaluation.window_ms);
    context.record(EntryBody::CandidatesListed {
        task: task.clone(),
        round: round.round,
        candidates: candidates.to_vec(),
    });
    let deadline = context.time.after(window_ms);
    let round = RoundRecord { candidates: candidates.to_vec(), ..round };
    enter(context, task, round, Phase::Evaluate, deadline);
}

fn enter(
    context: &mut Context<'_>,
    task: &TaskId,
    round: RoundRecord,
    phase: Phase,
    deadline: TimeMs,
) {
    let round = RoundRecord { phase, deadline, ..round };
    context.record(EntryBody::RoundAdvanced {
        task: task.clone(),
        round: round.round,
        phase,
        deadline,
        commitments: round.commitments,
        reveals: round.reveals,
    });
    context.state.put(&state_key::round(task), &round);
}

/// Ends a round without anybody's decision. Nothing was computed, so verdicts say only what the
/// state knows: who contradicted itself, was suspended, or did not reveal.
pub(super) fn fail(
    context: &mut Context<'_>,
    task: &TaskId,
    round: &RoundRecord,
    failure: RoundFailure,
) {
    let tally = Tally::of(context, task);
    let verdicts: Vec<UpdateVerdict> = tally
        .commitments
        .iter()
        .map(|(member, record)| {
            let reason = match exclusion(tally.is_active(member), record) {
                Some(Exclusion::Equivocation) => Reason::Equivocation,
                Some(Exclusion::Suspended) => Reason::MemberSuspended,
                Some(Exclusion::NotRevealed) if round.phase == Phase::Reveal => Reason::NotRevealed,
                _ => Reason::RoundFailed,
            };
            UpdateVerdict {
                member: member.clone(),
                update: record.update,
                verdict: Verdict::Reject,
                reason,
                value: 0,
                threshold: 0,
                weight_micro: 0,
                strike: reason == Reason::Equivocation,
                measures: Vec::new(),
                together_with: None,
                harmed_class: None,
                return_harmed_class: None,
            }
        })
        .collect();
    finish(context, task, OutcomeResult::Failed { failure }, &verdicts, Origin::Clock);
}
