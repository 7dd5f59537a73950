//! A decision in a block: whether the state waits for one like it, and what it changes.

use fedledger_ledger::decision::{
    Candidate, Decision, Deviation, Measure, OutcomeResult, RoundFailure, UpdateVerdict,
};
use fedledger_ledger::entry::{Phase, Standing};
use fedledger_ledger::ids::{Digest, MemberId, RoundNumber};
use fedledger_ledger::limits::MEMBERS_MAX;
use fedledger_ledger::task::{AggregationRule, TaskSpec};
use thiserror::Error;

use crate::context::Context;
use crate::history::sketch_bytes;
use crate::records::RoundRecord;
use crate::round::{enter_evaluate, finish, running, Origin};

/// Why the state does not wait for a decision like this one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecisionFault {
    /// No such task is running.
    #[error("no such task is running")]
    TaskNotRunning,
    /// Another round is open.
    #[error("round {expected} is open")]
    WrongRound {
        /// The round that is open.
        expected: RoundNumber,
    },
    /// The round does not wait for it in its phase.
    #[error("the round is in phase {phase:?}, which does not wait for this kind of decision")]
    WrongPhase {
        /// The phase the round is in.
        phase: Phase,
    },
    /// The candidates are not those of the task's rules in their order, its own first.
    #[error("the candidates are not of the task's rules in their order, its own first")]
    WrongCandidates,
    /// The rule is not the task's, or the candidate is not the one that the evaluations chose.
    #[error("the model chosen is none that the round can lead to")]
    NotOffered,
    /// The base model is another.
    #[error("the round's base model is {expected}, found {found}")]
    WrongBaseModel {
        /// The round's.
        expected: Digest,
        /// The decision's.
        found: Digest,
    },
    /// This failure is not decided but follows from a deadline.
    #[error("{failure:?} follows from a deadline and is nobody's to decide")]
    NotToDecide {
        /// The failure.
        failure: RoundFailure,
    },
    /// There is not one verdict for each commitment, by member id, on the update it was opened to.
    #[error(
        "there are {found} verdicts, expected one for each of {expected} commitments by member"
    )]
    WrongVerdicts {
        /// Number of commitments.
        expected: usize,
        /// Number of verdicts.
        found: usize,
    },
    /// The deviations are not of members of the roster in order, of this task's length, beside a
    /// new model, or the task keeps no history.
    #[error("the deviations are none that this round can add to the histories")]
    WrongDeviations,
    /// A verdict names more members than it can have moved with.
    #[error("the verdict on `{member}` names too many members")]
    WrongCompany {
        /// Whose verdict.
        member: MemberId,
    },
    /// A verdict names a class as harmed that is none of the task's.
    #[error("the verdict on `{member}` names a class that is none of the task's")]
    WrongClass {
        /// Whose verdict.
        member: MemberId,
    },
    /// A verdict lists measures twice or out of order.
    #[error("the verdict on `{member}` does not list its measures once each in order")]
    WrongMeasures {
        /// Whose verdict.
        member: MemberId,
    },
}

/// Checks that the state waits for a decision like this one, and carries it out.
pub(crate) fn apply_decision(
    context: &mut Context<'_>,
    decision: &Decision,
) -> Result<(), DecisionFault> {
    let (task, number) = decision.subject();
    let (spec, _, round) = running(&context.state, task).ok_or(DecisionFault::TaskNotRunning)?;
    if round.round != number {
        return Err(DecisionFault::WrongRound { expected: round.round });
    }
    match decision {
        Decision::Candidates { candidates, .. } => {
            if round.phase != Phase::Propose {
                return Err(DecisionFault::WrongPhase { phase: round.phase });
            }
            check_candidates(&spec, &round, candidates)?;
            enter_evaluate(context, task, candidates);
        }
        Decision::Outcome { result, verdicts, deviations, .. } => {
            check_result(&spec, &round, result)?;
            check_verdicts(&spec, &round, verdicts)?;
            let deviations = deviations.as_deref();
            check_deviations(&spec, &round, result, deviations)?;
            finish(context, task, result.clone(), verdicts, Origin::Decision(deviations));
        }
    }
    Ok(())
}

/// The rules whose aggregates a round may offer: the task's own, then the further candidates.
pub(crate) fn rules_offered(spec: &TaskSpec) -> Vec<&AggregationRule> {
    let further = spec.evaluation.iter().flat_map(|evaluation| &evaluation.candidates);
    std::iter::once(&spec.rule).chain(further).collect()
}

fn check_candidates(
    spec: &TaskSpec,
    round: &RoundRecord,
    candidates: &[Candidate],
) -> Result<(), DecisionFault> {
    let own_first =
        candidates.first().is_some_and(|first| first.rule == spec.rule && is_whole(first));
    // Last come the one without a suspected cell and the one with members in quarantine, if any.
    let (others, with) = split_last_if(candidates, |last| last.with.is_some());
    let (of_all, without) = split_last_if(others, |last| last.without.is_some());
    let whole = of_all.iter().all(is_whole);
    let cell_fits = without
        .is_none_or(|last| last.with.is_none() && is_of_a_cell(spec, round, last))
        && with.is_none_or(|last| last.without.is_none() && is_of_a_return(spec, round, last));
    // What is listed is a subsequence of what is offered: rules that cannot work on the round's
    // updates, and those that lead to a model already listed, are left out.
    let mut offered = rules_offered(spec).into_iter();
    let in_order = of_all.iter().all(|one| offered.any(|rule| *rule == one.rule));
    let distinct = candidates
        .iter()
        .enumerate()
        .all(|(at, one)| candidates[..at].iter().all(|other| other.model != one.model));
    if own_first && in_order && whole && cell_fits && distinct {
        return Ok(());
    }
    Err(DecisionFault::WrongCandidates)
}

/// Whether a candidate is of everybody's updates and nobody else's.
fn is_whole(candidate: &Candidate) -> bool {
    candidate.without.is_none() && candidate.with.is_none()
}

/// The others and the last, where that is of a kind; else all of them.
fn split_last_if(
    candidates: &[Candidate],
    is: impl Fn(&Candidate) -> bool,
) -> (&[Candidate], Option<&Candidate>) {
    match candidates.split_last() {
        Some((last, others)) if is(last) => (others, Some(last)),
        _ => (candidates, None),
    }
}

/// Whether a candidate is of the task's own rule with members of the roster mixed in that are in
/// quarantine, in order, and the task has their return measured. Whether it is these members' turn,
/// validators recompute.
fn is_of_a_return(spec: &TaskSpec, round: &RoundRecord, candidate: &Candidate) -> bool {
    let harm = spec.evaluation.as_ref().and_then(|evaluation| evaluation.harm);
    let measured = harm.is_some_and(|policy| policy.return_micro.is_some());
    let cell = candidate.with.as_deref().unwrap_or_default();
    let mut kept = round.roster.iter().filter(|line| line.trust.standing == Standing::Quarantine);
    let listed = cell.iter().all(|id| kept.any(|line| line.member == *id));
    measured && candidate.rule == spec.rule && listed && !cell.is_empty()
}

/// Whether a candidate is of the task's own rule without at least two and at most f members of the
/// roster, in order, and the task has their harm measured. Whether it is these members' turn,
/// validators recompute.
fn is_of_a_cell(spec: &TaskSpec, round: &RoundRecord, candidate: &Candidate) -> bool {
    let measured = spec.evaluation.as_ref().is_some_and(|evaluation| evaluation.harm.is_some());
    let cell = candidate.without.as_deref().unwrap_or_default();
    let mut roster = round.roster.iter();
    let listed = cell.iter().all(|id| roster.any(|line| line.member == *id));
    let size = (2..=spec.byzantine as usize).contains(&cell.len());
    measured && candidate.rule == spec.rule && listed && size
}

fn check_result(
    spec: &TaskSpec,
    round: &RoundRecord,
    result: &OutcomeResult,
) -> Result<(), DecisionFault> {
    match result {
        OutcomeResult::Aggregated { chosen, base_model } => {
            if round.phase != Phase::Decide {
                return Err(DecisionFault::WrongPhase { phase: round.phase });
            }
            if *base_model != round.base_model {
                let (expected, found) = (round.base_model, *base_model);
                return Err(DecisionFault::WrongBaseModel { expected, found });
            }
            let offered = match round.chosen {
                None => chosen.rule == spec.rule && is_whole(chosen),
                Some(at) => round.candidates.get(at as usize) == Some(chosen),
            };
            if !offered {
                return Err(DecisionFault::NotOffered);
            }
        }
        OutcomeResult::Failed { failure } => {
            if !matches!(round.phase, Phase::Propose | Phase::Decide) {
                return Err(DecisionFault::WrongPhase { phase: round.phase });
            }
            if matches!(failure, RoundFailure::TooFewCommitments | RoundFailure::NotDecided) {
                return Err(DecisionFault::NotToDecide { failure: *failure });
            }
        }
    }
    Ok(())
}

fn check_verdicts(
    spec: &TaskSpec,
    round: &RoundRecord,
    verdicts: &[UpdateVerdict],
) -> Result<(), DecisionFault> {
    let expected = round.roster.iter().map(|line| (&line.member, line.update));
    if !verdicts.iter().map(|verdict| (&verdict.member, verdict.update)).eq(expected) {
        let (expected, found) = (round.roster.len(), verdicts.len());
        return Err(DecisionFault::WrongVerdicts { expected, found });
    }
    // A bound on the length of the entry, as is the order of the measures.
    let crowded = |verdict: &&UpdateVerdict| {
        verdict.together_with.as_ref().is_some_and(|company| company.len() > MEMBERS_MAX)
    };
    if let Some(verdict) = verdicts.iter().find(crowded) {
        return Err(DecisionFault::WrongCompany { member: verdict.member.clone() });
    }
    let unknown = |verdict: &&UpdateVerdict| {
        let named = verdict.harmed_class.iter().chain(&verdict.return_harmed_class);
        named.into_iter().any(|one| !spec.classes().contains(&one.class))
    };
    if let Some(verdict) = verdicts.iter().find(unknown) {
        return Err(DecisionFault::WrongClass { member: verdict.member.clone() });
    }
    // Each measure at most once: this also bounds the length of the entry.
    let ordered = |measures: &[(Measure, u64)]| measures.windows(2).all(|two| two[0].0 < two[1].0);
    match verdicts.iter().find(|verdict| !ordered(&verdict.measures)) {
        Some(verdict) => Err(DecisionFault::WrongMeasures { member: verdict.member.clone() }),
        None => Ok(()),
    }
}

fn check_deviations(
    spec: &TaskSpec,
    round: &RoundRecord,
    result: &OutcomeResult,
    deviations: Option<&[Deviation]>,
) -> Result<(), DecisionFault> {
    let Some(deviations) = deviations else { return Ok(()) };
    let parameters = spec.parameters().expect("the schema was checked when the task was made");
    let length = spec.history.map(|policy| sketch_bytes(&policy, parameters as usize));
    let aggregated = matches!(result, OutcomeResult::Aggregated { .. }) && round.replays.is_none();
    // What is observed is a subsequence of the roster, which is in the order of members.
    let mut roster = round.roster.iter();
    let listed = deviations.iter().all(|one| roster.any(|line| line.member == one.member));
    if aggregated && listed && deviations.iter().all(|one| Some(one.sketch.len()) == length) {
        return Ok(());
    }
    Err(DecisionFault::WrongDeviations)
}
